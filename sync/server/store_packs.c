/*
 * Large values in packs, and the rows about them: 'p', address -> sum, length, key of the row that
 * names it; 'q', address -> length, of what nothing names any more; "synced-to" -> the address up
 * to which all bytes are on the disk. An address is used again only after 'p' and 'q' are gone.
 */
#include <errno.h>

#include "fs/store/db_err.h"
#include "fs/store/xxh3.h"
#include "sync/server/store_priv.h"

enum { PLACE_KEY_BYTES = 1 + 8, KEPT_HEAD_BYTES = SRV_PLACE_BYTES - 8 };

static const char synced_to[] = "synced-to";

void srv_place_encode(const struct srv_place *p, uint8_t ret[SRV_PLACE_BYTES])
{
    put_u64(ret, p->at);
    put_u64(ret + 8, p->sum);
    put_u32(ret + 16, p->n);
}

struct srv_place srv_place_decode(const uint8_t from[SRV_PLACE_BYTES])
{
    return (struct srv_place){get_u64(from), get_u64(from + 8), get_u32(from + 16)};
}

static void place_key(char letter, uint64_t at, uint8_t ret[PLACE_KEY_BYTES])
{
    ret[0] = (uint8_t)letter;
    put_u64(ret + 1, at);
}

/* No page has bytes of two values. */
static uint64_t end_of_pages(const struct srv_place *p)
{
    return (p->at + p->n + PACK_PAGE - 1) / PACK_PAGE * PACK_PAGE;
}

/* ---- bytes ---- */

int srv_store_append(struct srv_store *s, struct bytes value, struct srv_place *ret)
{
    int rc = value.n > SRV_LARGE_MAX ? -EFBIG : srv_store_room(s, value.n, SRV_BULK);
    if (rc < 0)
        return rc;
    struct pack_writer w = {.next = NULL};
    *ret = (struct srv_place){.sum = XXH3_64bits(value.p, value.n), .n = (uint32_t)value.n};
    rc = pack_append(s->packs, &w, 0, value, &ret->at);
    if (rc < 0 && w.from != w.end) {
        ret->at = w.from;
        srv_store_abandon(s, ret);
    }
    pack_done(s->packs, &w);
    return rc;
}

void srv_store_abandon(struct srv_store *s, const struct srv_place *p)
{
    int rc = pack_punch(s->packs, p->at, end_of_pages(p));
    (void)rc; /* what is not given back is room lost, and no more */
}

int srv_store_read(struct srv_store *s, const struct srv_place *p, struct buf *ret)
{
    buf_reset(ret);
    if (p->n > SRV_LARGE_MAX)
        return -EUCLEAN;
    int rc = buf_resize(ret, p->n);
    if (rc == 0)
        rc = pack_read(s->packs, p->at, ret->p, p->n);
    return rc == 0 && XXH3_64bits(ret->p, p->n) != p->sum ? -EUCLEAN : rc;
}

/* ---- rows ---- */

void srv_batch_keep(struct srv_batch *b, const struct srv_place *p, struct bytes key)
{
    uint8_t k[PLACE_KEY_BYTES];
    uint8_t place[SRV_PLACE_BYTES];
    place_key('p', p->at, k);
    srv_place_encode(p, place);
    srv_batch_put_parts(b, SRV_META, bytes_of(k, sizeof k), bytes_of(place + 8, KEPT_HEAD_BYTES),
                        key);
}

void srv_batch_release(struct srv_batch *b, const struct srv_place *p)
{
    uint8_t k[PLACE_KEY_BYTES];
    uint8_t n[4];
    place_key('p', p->at, k);
    srv_batch_delete(b, SRV_META, bytes_of(k, sizeof k));
    k[0] = 'q';
    put_u32(n, p->n);
    srv_batch_put(b, SRV_META, bytes_of(k, sizeof k), bytes_of(n, sizeof n));
    b->releases = true;
}

/* A row 'p' or 'q'. -EUCLEAN. */
static int read_place(struct bytes key, struct bytes value, struct srv_place *ret)
{
    bool kept = key.n == PLACE_KEY_BYTES && key.p[0] == 'p';
    if (key.n != PLACE_KEY_BYTES || value.n < (kept ? KEPT_HEAD_BYTES : 4))
        return -EUCLEAN;
    *ret = (struct srv_place){.at = get_u64(key.p + 1)};
    if (kept)
        ret->sum = get_u64(value.p);
    ret->n = get_u32(value.p + (kept ? 8 : 0));
    return 0;
}

/* ---- opening ---- */

/* Where the last place of rows of a letter ends; 0: there is none. */
static int last_end(struct srv_store *s, char letter, uint64_t *ret)
{
    uint8_t last[PLACE_KEY_BYTES];
    struct srv_place p;
    place_key(letter, UINT64_MAX, last);
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(s->rocks, s->read, s->family[SRV_META]);
    rocksdb_iter_seek_for_prev(it, (const char *)last, sizeof last);
    int rc = 0;
    *ret = 0;
    if (rocksdb_iter_valid(it)) {
        size_t key_n;
        size_t value_n;
        const char *key = rocksdb_iter_key(it, &key_n);
        const char *value = rocksdb_iter_value(it, &value_n);
        if (key_n > 0 && key[0] == letter) {
            rc = read_place(bytes_of(key, key_n), bytes_of(value, value_n), &p);
            *ret = rc == 0 ? p.at + p.n : 0;
        }
    } else {
        char *error = NULL;
        rocksdb_iter_get_error(it, &error);
        rc = db_err_take(&error, NULL);
    }
    rocksdb_iter_destroy(it);
    return rc;
}

static int note_synced(struct srv_store *s, uint64_t end)
{
    uint8_t v[8];
    put_u64(v, end);
    struct srv_batch *b = srv_batch_new(s);
    if (b == NULL)
        return -ENOMEM;
    srv_batch_put(b, SRV_META, bytes_str(synced_to), bytes_of(v, sizeof v));
    int rc = srv_store_write(s, b, SRV_URGENT);
    srv_batch_free(b);
    return rc;
}

/* Packs go on behind the last place of a row; what lies there is of nobody. */
int srv_packs_open(struct srv_store *s)
{
    uint64_t kept;
    uint64_t released;
    struct buf v = {0};
    int rc = last_end(s, 'p', &kept);
    if (rc == 0)
        rc = last_end(s, 'q', &released);
    if (rc < 0)
        return rc;
    uint64_t end = max_u64(kept, released);
    rc = srv_store_get(s, SRV_META, bytes_str(synced_to), &v);
    uint64_t synced = rc == 0 && v.n == 8 ? get_u64(v.p) : 0;
    buf_fini(&v);
    if (rc == 0 || rc == -ENOENT)
        rc = packs_open(s->dir_fd, end, &s->packs);
    if (rc < 0)
        return rc;
    s->packs_synced = min_u64(synced, end);
    if (synced <= end)
        return 0;
    rc = note_synced(s, end); /* else what comes there would pass for synced */
    return rc < 0 ? rc : srv_store_sync(s);
}

int srv_store_each_torn(struct srv_store *s, srv_torn_fn *fn, void *arg)
{
    uint8_t from[PLACE_KEY_BYTES];
    place_key('p', s->packs_synced, from);
    struct srv_iter *it = srv_iter_new(s, SRV_META, bytes_of(from, 1), bytes_of(from, sizeof from));
    if (it == NULL)
        return -ENOMEM;
    struct buf v = {0};
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        struct bytes value = srv_iter_value(it);
        struct srv_place p;
        rc = read_place(srv_iter_key(it), value, &p);
        if (rc == 0 && (rc = srv_store_read(s, &p, &v)) == -EUCLEAN)
            rc = fn(arg, bytes_of(value.p + KEPT_HEAD_BYTES, value.n - KEPT_HEAD_BYTES), &p);
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    buf_fini(&v);
    return rc;
}

/* ---- syncing ---- */

int srv_packs_sync(struct srv_store *s, struct srv_packs_sync *ret)
{
    uint64_t end = pack_settled(s->packs);
    pthread_mutex_lock(&s->lock);
    ret->released = s->released;
    struct pack_writer unsynced = {.from = s->packs_synced, .end = end};
    int rc = s->packs_error;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0 || unsynced.from >= end)
        return rc;
    rc = pack_sync(s->packs, &unsynced);
    pthread_mutex_lock(&s->lock);
    if (rc < 0) /* the kernel says it once, and not again of the same bytes */
        s->packs_error = rc;
    else
        s->packs_synced = max_u64(s->packs_synced, end);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0)
        rc = note_synced(s, end);
    return rc == -ENOSPC ? 0 : rc; /* then more is looked at after a crash */
}

void srv_packs_synced(struct srv_store *s, const struct srv_packs_sync *y)
{
    pthread_mutex_lock(&s->lock);
    s->released_synced = max_u64(s->released_synced, y->released);
    pthread_mutex_unlock(&s->lock);
}

/* ---- room ---- */

/* The released places as they are on the disk, or NULL when some are not, or memory ran out. */
static struct srv_iter *walk_released(struct srv_store *s)
{
    struct srv_iter *it = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->released == s->released_synced)
        it = srv_iter_new(s, SRV_META, bytes_str("q"), bytes_of(NULL, 0));
    pthread_mutex_unlock(&s->lock);
    return it;
}

/* Places that follow each other are given back at once. */
static int punch_released(struct srv_store *s, struct srv_iter *it, struct srv_batch *b,
                          unsigned max)
{
    uint64_t from = 0;
    uint64_t end = 0;
    int rc = 0;
    unsigned n = 0;
    bool more;
    while ((more = srv_iter_next(it)) && n++ < max) {
        struct srv_place p;
        rc = read_place(srv_iter_key(it), srv_iter_value(it), &p);
        if (rc == 0 && p.at != end) {
            rc = pack_punch(s->packs, from, end);
            from = p.at;
        }
        if (rc < 0)
            return rc;
        end = end_of_pages(&p);
        srv_batch_delete(b, SRV_META, srv_iter_key(it));
    }
    rc = more ? 1 : srv_iter_status(it);
    int rc_punch = rc < 0 ? 0 : pack_punch(s->packs, from, end);
    return rc_punch < 0 ? rc_punch : rc;
}

int srv_store_give_back(struct srv_store *s, unsigned max)
{
    struct srv_iter *it = walk_released(s);
    struct srv_batch *b = it == NULL ? NULL : srv_batch_new(s);
    if (it == NULL)
        return 0;
    int rc = b == NULL ? -ENOMEM : punch_released(s, it, b, max);
    srv_iter_free(it);
    if (rc >= 0 && rocksdb_writebatch_count(b->wb) > 0) {
        int rc_write = srv_store_write(s, b, SRV_URGENT);
        rc = rc_write < 0 ? rc_write : rc;
    }
    srv_batch_free(b);
    return rc;
}
