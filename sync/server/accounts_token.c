/* Tokens, and the live connections that use them. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "sync/server/accounts_priv.h"

enum { TOKEN_VERSION = 1 };

/* ---- rows ---- */

static int write_token(struct srv_accounts *a, const struct srv_token *t,
                       const uint8_t hash[TOKEN_HASH_BYTES], bool on_disk, struct err *err)
{
    struct buf row = {0};
    buf_put_u8(&row, TOKEN_VERSION);
    buf_put_u64(&row, t->account);
    buf_put_u64(&row, t->created_ms);
    buf_put_u64(&row, t->seen_ms);
    buf_put_u8(&row, t->bound);
    buf_put(&row, t->peer, sizeof t->peer);
    buf_put(&row, hash, TOKEN_HASH_BYTES);
    buf_put_string(&row, bytes_str(t->label));
    struct srv_batch *b = buf_status(&row) == 0 ? srv_batch_new(a->store) : NULL;
    if (b != NULL) {
        struct accounts_key token = accounts_key_token(t->id);
        struct accounts_key owned = accounts_key_owned(t->account, t->id);
        srv_batch_put(b, SRV_ACCOUNTS, accounts_key_bytes(&token), buf_bytes(&row));
        srv_batch_put(b, SRV_ACCOUNTS, accounts_key_bytes(&owned), bytes_of(NULL, 0));
    }
    buf_fini(&row);
    if (on_disk)
        return accounts_write(a, b, err);
    int rc = b == NULL ? -ENOMEM : srv_store_write(a->store, b, SRV_URGENT);
    srv_batch_free(b);
    return rc;
}

/* @hash is left alone when there is none such. */
static int read_token(struct srv_accounts *a, const uint8_t id[TOKEN_ID_BYTES],
                      struct srv_token *ret, uint8_t hash[TOKEN_HASH_BYTES])
{
    struct accounts_key k = accounts_key_token(id);
    struct buf v = {0};
    int rc = srv_store_get(a->store, SRV_ACCOUNTS, accounts_key_bytes(&k), &v);
    if (rc < 0)
        goto out;
    struct reader r = reader_of(buf_bytes(&v));
    uint8_t version = reader_u8(&r);
    *ret = (struct srv_token){.account = reader_u64(&r)};
    memcpy(ret->id, id, TOKEN_ID_BYTES);
    ret->created_ms = reader_u64(&r);
    ret->seen_ms = reader_u64(&r);
    ret->bound = reader_u8(&r) != 0;
    struct bytes peer = reader_bytes(&r, PEER_ID_BYTES);
    struct bytes kept = reader_bytes(&r, TOKEN_HASH_BYTES);
    struct bytes label = reader_string(&r, LABEL_BYTES_MAX);
    rc = version != TOKEN_VERSION || reader_end(&r) < 0 ? -EUCLEAN : 0;
    if (rc < 0)
        goto out;
    memcpy(ret->peer, peer.p, peer.n);
    memcpy(hash, kept.p, kept.n);
    memcpy(ret->label, label.p, label.n);
    struct srv_user u;
    rc = srv_user_of(a->store, ret->account, &u);
    if (rc == 0)
        memcpy(ret->user, u.name, sizeof u.name);
out:
    buf_fini(&v);
    return rc;
}

void accounts_batch_token(struct srv_batch *b, const struct srv_token *t)
{
    struct accounts_key token = accounts_key_token(t->id);
    struct accounts_key owned = accounts_key_owned(t->account, t->id);
    srv_batch_delete(b, SRV_ACCOUNTS, accounts_key_bytes(&token));
    srv_batch_delete(b, SRV_ACCOUNTS, accounts_key_bytes(&owned));
}

int accounts_each_token(struct srv_accounts *a, uint64_t account, srv_token_fn *fn, void *arg)
{
    struct accounts_key k = accounts_key_owned(account, NULL);
    struct srv_iter *it =
        srv_iter_new(a->store, SRV_ACCOUNTS, accounts_key_bytes(&k), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        struct srv_token t;
        uint8_t hash[TOKEN_HASH_BYTES];
        struct bytes key = srv_iter_key(it);
        rc = key.n != k.n + TOKEN_ID_BYTES ? -EUCLEAN : read_token(a, key.p + k.n, &t, hash);
        if (rc == 0)
            rc = fn(arg, &t);
        else if (rc == -ENOENT) /* revoked since */
            rc = 0;
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

/* The list that has the logins of an account, among others. */
static struct srv_login **logins_of(struct srv_accounts *a, uint64_t account)
{
    return &a->logins[account % LOGIN_LISTS];
}

/* ---- making and listing ---- */

static int count(void *arg, const struct srv_token *t)
{
    (void)t;
    ++*(unsigned *)arg;
    return 0;
}

static int create_locked(struct srv_accounts *a, const char *user, struct srv_token *t,
                         const struct token *secret, struct err *err)
{
    struct srv_user u;
    unsigned n = 0;
    int rc = accounts_find_user(a, user, &u, err);
    if (rc < 0)
        return rc;
    rc = accounts_each_token(a, u.account, count, &n);
    if (rc < 0)
        return accounts_unreadable(rc, err);
    if (n >= USER_TOKENS_MAX)
        return err_set(err, -EMFILE, "user %s: has %u tokens; revoke one", user, n);
    uint8_t hash[TOKEN_HASH_BYTES];
    token_hash(secret, hash);
    t->account = u.account;
    memcpy(t->user, u.name, sizeof u.name);
    return write_token(a, t, hash, true, err);
}

int srv_token_create(struct srv_accounts *a, const char *user, const char *label, uint64_t now_ms,
                     char ret_text[TOKEN_TEXT_SIZE], struct srv_token *ret, struct err *err)
{
    if (!utf8_is_label(bytes_str(label)))
        return err_set(
            err, -EINVAL,
            "label: is to be 1 to %d bytes of plain text without '/'; choose another one",
            LABEL_BYTES_MAX);
    struct token secret;
    token_make(&secret);
    *ret = (struct srv_token){.created_ms = now_ms};
    memcpy(ret->id, secret.b, TOKEN_ID_BYTES);
    snprintf(ret->label, sizeof ret->label, "%s", label);
    pthread_mutex_lock(&a->lock);
    int rc = create_locked(a, user, ret, &secret, err);
    pthread_mutex_unlock(&a->lock);
    if (rc == 0)
        token_text(&secret, ret_text);
    sodium_memzero(&secret, sizeof secret);
    return rc;
}

struct each_user {
    struct srv_accounts *a;
    srv_token_fn *fn;
    void *arg;
};

static int list_token(void *arg, const struct srv_token *t)
{
    const struct each_user *e = arg;
    struct srv_token listed = *t;
    pthread_mutex_lock(&e->a->lock);
    for (const struct srv_login *l = *logins_of(e->a, t->account); l != NULL; l = l->next)
        if (!l->has_ended && memcmp(l->token.id, t->id, TOKEN_ID_BYTES) == 0)
            listed.online = true;
    pthread_mutex_unlock(&e->a->lock);
    return e->fn(e->arg, &listed);
}

static int list_of_user(void *arg, const struct srv_user *u)
{
    struct each_user *e = arg;
    return accounts_each_token(e->a, u->account, list_token, e);
}

int srv_token_list(struct srv_accounts *a, const char *user, srv_token_fn *fn, void *arg,
                   struct err *err)
{
    struct each_user e = {a, fn, arg};
    if (user == NULL)
        return srv_user_list(a, list_of_user, &e);
    struct srv_user u;
    int rc = srv_user_get(a, user, &u, err);
    return rc < 0 ? rc : list_of_user(&e, &u);
}

/* ---- revoking ---- */

void accounts_end(struct srv_accounts *a, uint64_t account, const uint8_t *id)
{
    for (struct srv_login *l = *logins_of(a, account); l != NULL; l = l->next) {
        if (l->has_ended || l->token.account != account ||
            (id != NULL && memcmp(l->token.id, id, TOKEN_ID_BYTES) != 0))
            continue;
        l->has_ended = true;
        l->ended(l);
    }
    if (a->ended != NULL)
        a->ended(a->ended_arg);
}

void srv_accounts_on_ended(struct srv_accounts *a, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&a->lock);
    a->ended = fn;
    a->ended_arg = arg;
    pthread_mutex_unlock(&a->lock);
}

bool srv_token_is_live(struct srv_accounts *a, const uint8_t id[TOKEN_ID_BYTES])
{
    uint8_t hash[TOKEN_HASH_BYTES];
    struct srv_token t;
    pthread_mutex_lock(&a->lock);
    int rc = read_token(a, id, &t, hash);
    pthread_mutex_unlock(&a->lock);
    return rc == 0;
}

static int revoke_locked(struct srv_accounts *a, uint64_t account, const uint8_t id[TOKEN_ID_BYTES],
                         struct srv_token *ret, struct err *err)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    int rc = read_token(a, id, ret, hash);
    if (rc == 0 && account != SRV_ANY_ACCOUNT && ret->account != account)
        rc = -ENOENT;
    char text[TOKEN_ID_TEXT_SIZE];
    if (rc == -ENOENT)
        return err_set(err, rc, "token %s: there is no token of that id; see persist token list",
                       token_id_text(id, text));
    if (rc < 0)
        return accounts_unreadable(rc, err);
    struct srv_batch *b = srv_batch_new(a->store);
    if (b != NULL)
        accounts_batch_token(b, ret);
    rc = accounts_write(a, b, err);
    if (rc == 0)
        accounts_end(a, ret->account, id);
    return rc;
}

int srv_token_revoke(struct srv_accounts *a, uint64_t account, const uint8_t id[TOKEN_ID_BYTES],
                     struct srv_token *ret, struct err *err)
{
    struct srv_token t;
    pthread_mutex_lock(&a->lock);
    int rc = revoke_locked(a, account, id, &t, err);
    pthread_mutex_unlock(&a->lock);
    if (rc == 0)
        *ret = t;
    return rc;
}

struct of_peer {
    const uint8_t *peer;
    struct srv_batch *b;
    uint8_t ids[USER_TOKENS_MAX][TOKEN_ID_BYTES];
    int n;
};

static int note_of_peer(void *arg, const struct srv_token *t)
{
    struct of_peer *p = arg;
    if (!t->bound || memcmp(t->peer, p->peer, PEER_ID_BYTES) != 0 || p->n == USER_TOKENS_MAX)
        return 0;
    accounts_batch_token(p->b, t);
    memcpy(p->ids[p->n++], t->id, TOKEN_ID_BYTES);
    return 0;
}

static int revoke_peer_locked(struct srv_accounts *a, uint64_t account, struct of_peer *p,
                              struct err *err)
{
    p->b = srv_batch_new(a->store);
    int rc = p->b == NULL ? -ENOMEM : accounts_each_token(a, account, note_of_peer, p);
    if (rc < 0 || p->n == 0) {
        srv_batch_free(p->b);
        return rc < 0 ? accounts_unreadable(rc, err) : 0;
    }
    rc = accounts_write(a, p->b, err);
    for (int i = 0; rc == 0 && i < p->n; i++)
        accounts_end(a, account, p->ids[i]);
    return rc < 0 ? rc : p->n;
}

int srv_token_revoke_peer(struct srv_accounts *a, uint64_t account,
                          const uint8_t peer[PEER_ID_BYTES], struct err *err)
{
    struct of_peer p = {.peer = peer};
    pthread_mutex_lock(&a->lock);
    int rc = revoke_peer_locked(a, account, &p, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- using ---- */

/* All ways of being wrong look alike: nobody learns which ids there are. */
static int refuse_locked(struct srv_accounts *a, struct bytes address, uint64_t now_ms,
                         struct err *err)
{
    uint64_t wait_ms = limiter_wait(&a->limiter, address, now_ms);
    if (wait_ms > 0)
        return err_set(err, -EAGAIN,
                       "too many wrong tokens came from this address; try again in %" PRIu64 " s",
                       (wait_ms + 999) / 1000);
    limiter_fail(&a->limiter, address, now_ms);
    return err_set(err, -EACCES, "the token is not known here; ask for a new one");
}

/* A right one passes however many wrong ones came from its address: others may share that. */
static int check_locked(struct srv_accounts *a, struct bytes text, struct bytes address,
                        uint64_t now_ms, struct srv_token *ret, uint8_t hash[TOKEN_HASH_BYTES],
                        struct err *err)
{
    struct token shown;
    uint8_t shown_hash[TOKEN_HASH_BYTES];
    memset(hash, 0, TOKEN_HASH_BYTES);
    int rc = token_parse(text, &shown);
    if (rc == 0) {
        token_hash(&shown, shown_hash);
        rc = read_token(a, shown.b, ret, hash);
        if (sodium_memcmp(hash, shown_hash, sizeof shown_hash) != 0 && rc == 0)
            rc = -ENOENT;
    }
    sodium_memzero(&shown, sizeof shown);
    if (rc == -ENOENT || rc == -EBADMSG)
        return refuse_locked(a, address, now_ms, err);
    return rc < 0 ? accounts_unreadable(rc, err) : 0;
}

int srv_token_check(struct srv_accounts *a, struct bytes text, struct bytes address,
                    uint64_t now_ms, struct srv_token *ret, struct err *err)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    struct srv_token t;
    pthread_mutex_lock(&a->lock);
    int rc = check_locked(a, text, address, now_ms, &t, hash, err);
    pthread_mutex_unlock(&a->lock);
    if (rc == 0)
        *ret = t;
    return rc;
}

static unsigned count_logins(struct srv_accounts *a, uint64_t account)
{
    unsigned n = 0;
    for (const struct srv_login *l = *logins_of(a, account); l != NULL; l = l->next)
        n += l->token.account == account;
    return n;
}

static int login_locked(struct srv_accounts *a, struct bytes text,
                        const uint8_t peer[PEER_ID_BYTES], struct bytes address, uint64_t now_ms,
                        struct srv_login *l, struct err *err)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    struct srv_token *t = &l->token;
    int rc = check_locked(a, text, address, now_ms, t, hash, err);
    if (rc < 0)
        return rc;
    if (t->bound && memcmp(t->peer, peer, PEER_ID_BYTES) != 0)
        return err_set(err, -EACCES,
                       "the token belongs to another device; create one for this device");
    if (count_logins(a, t->account) >= USER_LOGINS_MAX)
        return err_set(err, -EMFILE, "the account has %d connections already", USER_LOGINS_MAX);
    bool binds = !t->bound;
    if (binds || now_ms >= t->seen_ms + SEEN_STEP_MS) {
        t->bound = true;
        memcpy(t->peer, peer, PEER_ID_BYTES);
        t->seen_ms = now_ms;
        rc = write_token(a, t, hash, binds, err);
        if (rc < 0 && binds)
            return rc; /* else: on a full disk, only the time is not noted */
    }
    l->has_ended = false;
    struct srv_login **list = logins_of(a, t->account);
    l->prev = NULL;
    l->next = *list;
    if (l->next != NULL)
        l->next->prev = l;
    *list = l;
    a->logins_n++;
    return 0;
}

int srv_login(struct srv_accounts *a, struct bytes text, const uint8_t peer[PEER_ID_BYTES],
              struct bytes address, uint64_t now_ms, struct srv_login *l, struct err *err)
{
    pthread_mutex_lock(&a->lock);
    int rc = login_locked(a, text, peer, address, now_ms, l, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* A token that was revoked is not there any more, and is not written again. */
static void note_seen(struct srv_accounts *a, struct srv_login *l, uint64_t now_ms)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    struct srv_token t;
    if (now_ms < l->token.seen_ms + SEEN_STEP_MS || read_token(a, l->token.id, &t, hash) < 0)
        return;
    l->token.seen_ms = now_ms;
    t.seen_ms = max_u64(t.seen_ms, now_ms);
    (void)!write_token(a, &t, hash, false, NULL); /* on a full disk the time is not noted */
}

void srv_logins_seen(struct srv_accounts *a, uint64_t now_ms)
{
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < LOGIN_LISTS; i++)
        for (struct srv_login *l = a->logins[i]; l != NULL; l = l->next)
            note_seen(a, l, now_ms);
    pthread_mutex_unlock(&a->lock);
}

void srv_logout(struct srv_accounts *a, struct srv_login *l, uint64_t now_ms)
{
    pthread_mutex_lock(&a->lock);
    note_seen(a, l, now_ms);
    if (l->prev != NULL)
        l->prev->next = l->next;
    else
        *logins_of(a, l->token.account) = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    a->logins_n--;
    pthread_mutex_unlock(&a->lock);
}

unsigned srv_logins(struct srv_accounts *a)
{
    pthread_mutex_lock(&a->lock);
    unsigned n = a->logins_n;
    pthread_mutex_unlock(&a->lock);
    return n;
}
