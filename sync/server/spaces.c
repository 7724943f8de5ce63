/* Opening; accounts and spaces in memory; syncing; removal of accounts; numbers. */
#include "sync/server/spaces.h"

#include <errno.h>
#include <search.h>
#include <sodium.h>
#include <stdlib.h>

#include "sync/server/accounts.h"
#include "sync/server/spaces_priv.h"

enum { INFO_VERSION = 1, GIVE_BACK_ROWS = 1000 };

/* ---- accounts in memory ---- */

static int by_number(const void *a, const void *b)
{
    const struct account *x = a;
    const struct account *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void account_free(void *p)
{
    struct account *a = p;
    for (unsigned i = 0; i < a->spaces_n; i++)
        free(a->spaces[i]);
    free(a);
}

static struct account *held(struct srv_spaces *s, uint64_t number)
{
    struct account key = {.number = number};
    struct account **found = tfind(&key, &s->accounts, by_number);
    return found == NULL ? NULL : *found;
}

/* The row 'n' of a space: whose it is, and how it stands. */
static int read_info(struct bytes row, uint64_t *ret_account, struct srv_space_info *ret)
{
    struct reader r = reader_of(row);
    uint8_t version = reader_u8(&r);
    *ret_account = reader_u64(&r);
    struct bytes id = reader_bytes(&r, SPACE_ID_SIZE);
    uint64_t *const numbers[] = {&ret->log_id, &ret->created_ms, &ret->last_seq,
                                 &ret->bytes,  &ret->entries,    &ret->chunks};
    for (size_t i = 0; i < ARRAY_N(numbers); i++)
        *numbers[i] = reader_u64(&r);
    if (version != INFO_VERSION || reader_end(&r) < 0)
        return -EUCLEAN;
    memcpy(ret->id, id.p, id.n);
    return 0;
}

void spaces_batch_info(struct srv_batch *b, const struct space *sp,
                       const struct srv_space_info *now)
{
    const uint64_t numbers[] = {now->log_id, now->created_ms, now->last_seq,
                                now->bytes,  now->entries,    now->chunks};
    uint8_t row[1 + 8 + SPACE_ID_SIZE + sizeof numbers] = {INFO_VERSION};
    put_u64(row + 1, sp->account->number);
    memcpy(row + 9, now->id, SPACE_ID_SIZE);
    for (size_t i = 0; i < ARRAY_N(numbers); i++)
        put_u64(row + 9 + SPACE_ID_SIZE + 8 * i, numbers[i]);
    struct row_key k = row_meta('n', sp->number);
    srv_batch_put(b, SRV_META, row_bytes(&k), bytes_of(row, sizeof row));
}

void spaces_take_info(struct space *sp, const struct srv_space_info *now)
{
    sp->account->bytes += now->bytes - sp->now.bytes;
    sp->account->entries += now->entries - sp->now.entries;
    sp->now = *now;
}

static int load_space(struct srv_spaces *s, struct account *a, uint64_t number)
{
    if (a->spaces_n == SPACES_MAX_OF_ACCOUNT)
        return -EUCLEAN;
    struct space *sp = calloc(1, sizeof *sp);
    if (sp == NULL)
        return -ENOMEM;
    sp->account = a;
    sp->number = number;
    a->spaces[a->spaces_n++] = sp;
    struct row_key k = row_meta('n', number);
    struct buf row = {0};
    struct srv_space_info now = {.log_id = 0};
    uint64_t account = 0;
    int rc = srv_store_get(s->store, SRV_META, row_bytes(&k), &row);
    if (rc == 0)
        rc = read_info(buf_bytes(&row), &account, &now);
    if (rc == -ENOENT || (rc == 0 && account != a->number))
        rc = -EUCLEAN;
    buf_fini(&row);
    if (rc < 0)
        return rc;
    spaces_take_info(sp, &now);
    return 0;
}

/* Calls @fn for the number of each space of an account. */
static int each_number(struct srv_spaces *s, uint64_t account,
                       int (*fn)(void *arg, uint64_t number), void *arg)
{
    struct row_key k = row_meta('s', account);
    struct srv_iter *it = srv_iter_new(s->store, SRV_ACCOUNTS, row_bytes(&k), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it))
        rc = srv_iter_value(it).n != 8 ? -EUCLEAN : fn(arg, get_u64(srv_iter_value(it).p));
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

struct loading {
    struct srv_spaces *s;
    struct account *a;
};

static int load_numbered(void *arg, uint64_t number)
{
    struct loading *l = arg;
    return load_space(l->s, l->a, number);
}

int spaces_account(struct srv_spaces *s, uint64_t number, struct account **ret)
{
    *ret = held(s, number);
    if (*ret != NULL)
        return 0;
    struct srv_user u;
    int rc = srv_user_of(s->store, number, &u);
    if (rc < 0)
        return rc;
    struct account *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->number = number;
    a->quota_bytes = u.quota_bytes;
    a->quota_entries = u.quota_entries;
    a->credit = UINT64_C(1000) * SPACES_BURST;
    struct loading l = {s, a};
    rc = each_number(s, number, load_numbered, &l);
    if (rc == 0 && tsearch(a, &s->accounts, by_number) == NULL)
        rc = -ENOMEM;
    if (rc < 0) {
        account_free(a);
        return rc;
    }
    *ret = a;
    return 0;
}

void srv_spaces_set_quota(struct srv_spaces *s, uint64_t account, uint64_t bytes, uint64_t entries)
{
    pthread_mutex_lock(&s->lock);
    struct account *a = held(s, account); /* one that is not held is read with its user */
    if (a != NULL) {
        a->quota_bytes = bytes;
        a->quota_entries = entries;
    }
    pthread_mutex_unlock(&s->lock);
}

int spaces_find(struct srv_spaces *s, const struct srv_at *at, struct space **ret)
{
    struct account *a;
    int rc = spaces_account(s, at->account, &a);
    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < a->spaces_n; i++)
        if (memcmp(a->spaces[i]->now.id, at->space, SPACE_ID_SIZE) == 0) {
            *ret = a->spaces[i];
            return 0;
        }
    return -ENOENT;
}

int spaces_numbered(struct srv_spaces *s, uint64_t number, struct space **ret)
{
    struct row_key k = row_meta('n', number);
    struct buf row = {0};
    struct srv_space_info info;
    struct srv_at at = {.account = 0};
    int rc = srv_store_get(s->store, SRV_META, row_bytes(&k), &row);
    if (rc == 0)
        rc = read_info(buf_bytes(&row), &at.account, &info);
    buf_fini(&row);
    if (rc < 0)
        return rc;
    memcpy(at.space, info.id, SPACE_ID_SIZE);
    return spaces_find(s, &at, ret);
}

int spaces_look_up(struct srv_spaces *s, const struct srv_at *at, uint64_t *ret_number,
                   uint64_t *ret_last_seq)
{
    struct space *sp;
    pthread_mutex_lock(&s->lock);
    int rc = spaces_find(s, at, &sp);
    if (rc == 0) {
        *ret_number = sp->number;
        *ret_last_seq = sp->now.last_seq;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- opening ---- */

/* The account of a removed user whose data may still be there: 1, or 0 when there is none. */
static int pending_drop(struct srv_spaces *s, uint64_t *ret_account)
{
    struct srv_iter *it = srv_iter_new(s->store, SRV_META, bytes_str("d"), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = srv_iter_next(it) ? 1 : srv_iter_status(it);
    if (rc == 1 && srv_iter_key(it).n != 9)
        rc = -EUCLEAN;
    if (rc == 1)
        *ret_account = get_u64(srv_iter_key(it).p + 1);
    srv_iter_free(it);
    return rc;
}

int srv_spaces_open(struct srv_store *store, uint32_t rate_s, struct srv_spaces **ret,
                    struct err *err)
{
    struct srv_spaces *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->store = store;
    s->rate_s = rate_s > 0 ? rate_s : SPACES_RATE_S;
    randombytes_buf(s->run_key, sizeof s->run_key);
    pthread_mutex_init(&s->lock, NULL);
    struct buf v = {0};
    int rc = srv_store_get(store, SRV_META, bytes_str("space-next"), &v);
    s->next_space = rc == 0 && v.n == 8 ? get_u64(v.p) : 1;
    rc = rc == -ENOENT ? 0 : rc;
    buf_fini(&v);
    pthread_mutex_lock(&s->lock);
    rc = rc == 0 ? chunk_rows_mend(s) : rc;
    pthread_mutex_unlock(&s->lock);
    uint64_t account;
    while (rc == 0 && (rc = pending_drop(s, &account)) == 1)
        rc = srv_spaces_drop(s, account);
    if (rc < 0) {
        srv_spaces_close(s);
        return err_set(err, rc, "spaces cannot be read: %s", strerror(-rc));
    }
    *ret = s;
    return 0;
}

void srv_spaces_close(struct srv_spaces *s)
{
    if (s == NULL)
        return;
    tdestroy(s->accounts, account_free);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void srv_spaces_on_grown(struct srv_spaces *s, srv_grown_fn *fn, void *arg)
{
    s->grown = fn;
    s->grown_arg = arg;
}

/* ---- syncing ---- */

int srv_spaces_sync(struct srv_spaces *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t sync = ++s->begun;
    pthread_mutex_unlock(&s->lock);
    int rc = srv_store_sync(s->store);
    pthread_mutex_lock(&s->lock);
    s->stats.syncs++;
    if (rc == 0)
        s->synced = max_u64(s->synced, sync);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- removal ---- */

struct dropping {
    uint64_t numbers[SPACES_MAX_OF_ACCOUNT];
    unsigned n;
};

static int note_number(void *arg, uint64_t number)
{
    struct dropping *d = arg;
    if (d->n == SPACES_MAX_OF_ACCOUNT)
        return -EUCLEAN;
    d->numbers[d->n++] = number;
    return 0;
}

static void drop_numbered(struct srv_batch *b, uint64_t number)
{
    uint8_t prefix[8];
    put_u64(prefix, number);
    for (int f = SRV_LOG; f <= SRV_CHUNKS; f++)
        srv_batch_delete_all(b, (enum srv_family)f, bytes_of(prefix, sizeof prefix));
    struct row_key k = row_meta('n', number);
    srv_batch_delete(b, SRV_META, row_bytes(&k));
}

/* With the lock held. */
static void forget(struct srv_spaces *s, uint64_t number)
{
    struct account *a = held(s, number);
    if (a == NULL)
        return;
    tdelete(a, &s->accounts, by_number);
    account_free(a);
}

/* All that is left once the chunks are gone. */
static int drop_rest(struct srv_spaces *s, uint64_t account, const struct dropping *d)
{
    struct srv_batch *b = srv_batch_new(s->store);
    if (b == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < d->n; i++)
        drop_numbered(b, d->numbers[i]);
    struct row_key spaces = row_meta('s', account);
    struct row_key pending = row_meta('d', account);
    srv_batch_delete_all(b, SRV_ACCOUNTS, row_bytes(&spaces));
    srv_batch_delete(b, SRV_META, row_bytes(&pending));
    int rc = srv_store_write(s->store, b, SRV_URGENT);
    srv_batch_free(b);
    return rc < 0 ? rc : srv_store_sync(s->store);
}

/* The user is gone, so nothing comes to its spaces once they are forgotten. Of a crash on the way
 * the row 'd' is left, and the next process begins anew. */
static int drop(struct srv_spaces *s, uint64_t account, struct dropping *d)
{
    pthread_mutex_lock(&s->lock);
    forget(s, account);
    int rc = each_number(s, account, note_number, d);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; rc == 0 && i < d->n; i++)
        rc = chunk_rows_drop(s->store, d->numbers[i]);
    return rc < 0 ? rc : drop_rest(s, account, d);
}

int srv_spaces_drop(struct srv_spaces *s, uint64_t account)
{
    struct dropping d = {.n = 0};
    int rc = drop(s, account, &d);
    for (unsigned i = 0; rc == 0 && i < d.n; i++) {
        uint8_t prefix[8];
        put_u64(prefix, d.numbers[i]);
        for (int f = SRV_LOG; f <= SRV_CHUNKS; f++)
            srv_store_reclaim(s->store, (enum srv_family)f, bytes_of(prefix, sizeof prefix));
    }
    while (rc == 0 && (rc = srv_store_give_back(s->store, GIVE_BACK_ROWS)) == 1)
        rc = 0;
    return rc;
}

/* ---- numbers ---- */

int srv_space_info(struct srv_spaces *s, const struct srv_at *at, struct srv_space_info *ret)
{
    struct space *sp;
    pthread_mutex_lock(&s->lock);
    int rc = spaces_find(s, at, &sp);
    if (rc == 0)
        *ret = sp->now;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int srv_space_list(struct srv_spaces *s, uint64_t account, srv_space_fn *fn, void *arg)
{
    struct srv_space_info all[SPACES_MAX_OF_ACCOUNT];
    struct account *a;
    unsigned n = 0;
    pthread_mutex_lock(&s->lock);
    int rc = spaces_account(s, account, &a);
    while (rc == 0 && n < a->spaces_n) {
        all[n] = a->spaces[n]->now;
        n++;
    }
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; rc == 0 && i < n; i++)
        rc = fn(arg, &all[i]);
    return rc;
}

int srv_spaces_usage(struct srv_spaces *s, uint64_t account, struct srv_usage *ret)
{
    struct account *a;
    pthread_mutex_lock(&s->lock);
    int rc = spaces_account(s, account, &a);
    if (rc == 0) {
        *ret = (struct srv_usage){a->bytes, a->entries, 0, a->spaces_n};
        for (unsigned i = 0; i < a->spaces_n; i++)
            ret->chunks += a->spaces[i]->now.chunks;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* How many bytes of content a row has. */
typedef int row_size_fn(struct bytes value, uint64_t *ret);

static int entry_size(struct bytes value, uint64_t *ret)
{
    *ret = value.n - ENTRY_HEAD_BYTES;
    return value.n < ENTRY_HEAD_BYTES ? -EUCLEAN : 0;
}

static int chunk_size(struct bytes value, uint64_t *ret)
{
    struct chunk_row c;
    int rc = chunk_row_parse(value, &c);
    *ret = rc < 0 ? 0 : c.n;
    return rc;
}

/* Adds the rows with a prefix. */
static int count_rows(struct srv_spaces *s, enum srv_family family, const struct row_key *prefix,
                      row_size_fn *size, uint64_t *rows, uint64_t *bytes)
{
    struct srv_iter *it = srv_iter_new(s->store, family, row_bytes(prefix), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        uint64_t n;
        rc = size(srv_iter_value(it), &n);
        ++*rows;
        *bytes += n;
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

int srv_spaces_recount(struct srv_spaces *s, uint64_t account, struct srv_usage *ret)
{
    struct account *a;
    *ret = (struct srv_usage){0};
    pthread_mutex_lock(&s->lock);
    int rc = spaces_account(s, account, &a);
    for (unsigned i = 0; rc == 0 && i < a->spaces_n; i++) {
        uint64_t n = a->spaces[i]->number;
        for (const char *letter = "aes"; rc == 0 && *letter != '\0'; letter++) {
            struct row_key entries = row_of(n, *letter);
            rc = count_rows(s, SRV_ENTRIES, &entries, entry_size, &ret->entries, &ret->bytes);
        }
        struct row_key chunks = row_of(n, 'c');
        if (rc == 0)
            rc = count_rows(s, SRV_CHUNKS, &chunks, chunk_size, &ret->chunks, &ret->bytes);
        ret->spaces++;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int srv_spaces_stats(struct srv_spaces *s, struct srv_stats *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = s->stats;
    pthread_mutex_unlock(&s->lock);
    struct srv_iter *it = srv_iter_new(s->store, SRV_META, bytes_str("n"), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        uint64_t account;
        struct srv_space_info info;
        rc = read_info(srv_iter_value(it), &account, &info);
        if (rc < 0)
            break;
        ret->stored.bytes += info.bytes;
        ret->stored.entries += info.entries;
        ret->stored.chunks += info.chunks;
        ret->stored.spaces++;
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}
