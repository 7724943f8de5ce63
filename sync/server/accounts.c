/* Opening, and users. Tokens and logins are in accounts_token.c. */
#include "sync/server/accounts.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "sync/server/accounts_priv.h"

enum { USER_VERSION = 1 };

static struct accounts_key key_of(char kind, const void *a, size_t a_n, const void *b, size_t b_n)
{
    struct accounts_key k = {.p = {(uint8_t)kind}, .n = 1 + a_n + b_n};
    memcpy(k.p + 1, a, a_n);
    if (b_n > 0)
        memcpy(k.p + 1 + a_n, b, b_n);
    return k;
}

struct accounts_key accounts_key_user(const char *name)
{
    return key_of('u', name, strlen(name), NULL, 0);
}

struct accounts_key accounts_key_account(uint64_t account)
{
    uint8_t n[8];
    put_u64(n, account);
    return key_of('a', n, sizeof n, NULL, 0);
}

struct accounts_key accounts_key_token(const uint8_t id[TOKEN_ID_BYTES])
{
    return key_of('t', id, TOKEN_ID_BYTES, NULL, 0);
}

struct accounts_key accounts_key_owned(uint64_t account, const uint8_t *id)
{
    uint8_t n[8];
    put_u64(n, account);
    return key_of('o', n, sizeof n, id, id == NULL ? 0 : TOKEN_ID_BYTES);
}

static struct bytes next_key(void)
{
    return bytes_str("account-next");
}

int accounts_unreadable(int rc, struct err *err)
{
    return err_set(err, rc, "accounts: cannot be read: %s; look at the disk and the server's log",
                   strerror(-rc));
}

int srv_accounts_open(struct srv_store *store, struct srv_accounts **ret, struct err *err)
{
    if (sodium_init() < 0)
        return err_set(err, -EIO, "the library of cryptography cannot start");
    struct srv_accounts *a = calloc(1, sizeof *a);
    if (a == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    a->store = store;
    pthread_mutex_init(&a->lock, NULL);
    limiter_init(&a->limiter, LIMITER_FAILS);
    struct buf v = {0};
    int rc = srv_store_get(store, SRV_META, next_key(), &v);
    a->next_account = rc == 0 && v.n == 8 ? get_u64(v.p) : 1;
    buf_fini(&v);
    if (rc < 0 && rc != -ENOENT) {
        srv_accounts_close(a);
        return accounts_unreadable(rc, err);
    }
    *ret = a;
    return 0;
}

void srv_accounts_close(struct srv_accounts *a)
{
    if (a == NULL)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a);
}

bool srv_user_name_valid(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > USER_NAME_MAX || strspn(name, ".") == n)
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int srv_user_of(struct srv_store *store, uint64_t account, struct srv_user *ret)
{
    struct accounts_key k = accounts_key_account(account);
    struct buf v = {0};
    int rc = srv_store_get(store, SRV_ACCOUNTS, accounts_key_bytes(&k), &v);
    if (rc == 0) {
        struct reader r = reader_of(buf_bytes(&v));
        uint8_t version = reader_u8(&r);
        *ret = (struct srv_user){.account = account};
        ret->created_ms = reader_u64(&r);
        ret->quota_bytes = reader_u64(&r);
        ret->quota_entries = reader_u64(&r);
        struct bytes name = reader_string(&r, USER_NAME_MAX);
        if (name.n > 0)
            memcpy(ret->name, name.p, name.n);
        rc = version != USER_VERSION || reader_end(&r) < 0 ? -EUCLEAN : 0;
    }
    buf_fini(&v);
    return rc;
}

int accounts_find_user(struct srv_accounts *a, const char *name, struct srv_user *ret,
                       struct err *err)
{
    int rc = -ENOENT;
    if (srv_user_name_valid(name)) {
        struct accounts_key k = accounts_key_user(name);
        struct buf v = {0};
        rc = srv_store_get(a->store, SRV_ACCOUNTS, accounts_key_bytes(&k), &v);
        if (rc == 0)
            rc = v.n != 8 ? -EUCLEAN : srv_user_of(a->store, get_u64(v.p), ret);
        buf_fini(&v);
    }
    char shown[100];
    if (rc == -ENOENT)
        return err_set(err, rc, "user %s: there is no user of that name; see persist user list",
                       escape_to(shown, sizeof shown, bytes_str(name)));
    return rc < 0 ? accounts_unreadable(rc, err) : 0;
}

int accounts_write(struct srv_accounts *a, struct srv_batch *b, struct err *err)
{
    int rc = b == NULL ? -ENOMEM : srv_store_write(a->store, b, SRV_URGENT);
    srv_batch_free(b);
    if (rc == 0)
        rc = srv_store_sync(a->store);
    return rc < 0 ? err_set(err, rc, "accounts: cannot be written: %s; look at the disk",
                            strerror(-rc))
                  : 0;
}

/* A batch with the row of a user. NULL: no memory. */
static struct srv_batch *new_row(struct srv_accounts *a, const struct srv_user *u)
{
    CLEANUP(buf_fini) struct buf row = {0};
    struct accounts_key of = accounts_key_account(u->account);
    buf_put_u8(&row, USER_VERSION);
    buf_put_u64(&row, u->created_ms);
    buf_put_u64(&row, u->quota_bytes);
    buf_put_u64(&row, u->quota_entries);
    buf_put_string(&row, bytes_str(u->name));
    struct srv_batch *b = buf_status(&row) == 0 ? srv_batch_new(a->store) : NULL;
    if (b != NULL)
        srv_batch_put(b, SRV_ACCOUNTS, accounts_key_bytes(&of), buf_bytes(&row));
    return b;
}

static int add_locked(struct srv_accounts *a, struct srv_user *u, struct err *err)
{
    struct srv_user there;
    int rc = accounts_find_user(a, u->name, &there, NULL);
    if (rc == 0)
        return err_set(err, -EEXIST, "user %s: exists already; choose another name", u->name);
    if (rc != -ENOENT)
        return accounts_unreadable(rc, err);
    u->account = a->next_account;
    uint8_t account[8];
    uint8_t next[8];
    put_u64(account, u->account);
    put_u64(next, u->account + 1);
    struct srv_batch *b = new_row(a, u);
    if (b != NULL) {
        struct accounts_key user = accounts_key_user(u->name);
        srv_batch_put(b, SRV_ACCOUNTS, accounts_key_bytes(&user), bytes_of(account, 8));
        srv_batch_put(b, SRV_META, next_key(), bytes_of(next, 8));
    }
    rc = accounts_write(a, b, err);
    if (rc == 0)
        a->next_account++;
    return rc;
}

int srv_user_add(struct srv_accounts *a, const char *name, uint64_t quota_bytes,
                 uint64_t quota_entries, uint64_t now_ms, struct srv_user *ret, struct err *err)
{
    if (!srv_user_name_valid(name))
        return err_set(err, -EINVAL,
                       "user: a name is 1 to %d of a-z, 0-9, '.', '_' and '-'; choose another one",
                       USER_NAME_MAX);
    *ret = (struct srv_user){.created_ms = now_ms};
    snprintf(ret->name, sizeof ret->name, "%s", name);
    ret->quota_bytes = quota_bytes != 0 ? quota_bytes : USER_QUOTA_BYTES;
    ret->quota_entries = quota_entries != 0 ? quota_entries : USER_QUOTA_ENTRIES;
    pthread_mutex_lock(&a->lock);
    int rc = add_locked(a, ret, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int srv_user_set_quota(struct srv_accounts *a, const char *name, uint64_t quota_bytes,
                       uint64_t quota_entries, struct srv_user *ret, struct err *err)
{
    pthread_mutex_lock(&a->lock);
    int rc = accounts_find_user(a, name, ret, err);
    if (rc == 0) {
        ret->quota_bytes = quota_bytes != 0 ? quota_bytes : ret->quota_bytes;
        ret->quota_entries = quota_entries != 0 ? quota_entries : ret->quota_entries;
        rc = accounts_write(a, new_row(a, ret), err);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int srv_user_get(struct srv_accounts *a, const char *name, struct srv_user *ret, struct err *err)
{
    pthread_mutex_lock(&a->lock);
    int rc = accounts_find_user(a, name, ret, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int srv_user_list(struct srv_accounts *a, srv_user_fn *fn, void *arg)
{
    struct srv_iter *it = srv_iter_new(a->store, SRV_ACCOUNTS, bytes_str("u"), bytes_of(NULL, 0));
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && srv_iter_next(it)) {
        struct srv_user u;
        if (srv_iter_value(it).n != 8)
            rc = -EUCLEAN;
        else
            rc = srv_user_of(a->store, get_u64(srv_iter_value(it).p), &u);
        if (rc == 0)
            rc = fn(arg, &u);
        else if (rc == -ENOENT) /* removed since */
            rc = 0;
    }
    if (rc == 0)
        rc = srv_iter_status(it);
    srv_iter_free(it);
    return rc;
}

static int batch_token(void *arg, const struct srv_token *t)
{
    accounts_batch_token(arg, t);
    return 0;
}

static int remove_locked(struct srv_accounts *a, const char *name, struct srv_user *ret,
                         struct err *err)
{
    int rc = accounts_find_user(a, name, ret, err);
    if (rc < 0)
        return rc;
    struct srv_batch *b = srv_batch_new(a->store);
    if (b != NULL) {
        struct accounts_key user = accounts_key_user(name);
        struct accounts_key of = accounts_key_account(ret->account);
        uint8_t drop[9] = {'d'};
        put_u64(drop + 1, ret->account);
        srv_batch_delete(b, SRV_ACCOUNTS, accounts_key_bytes(&user));
        srv_batch_delete(b, SRV_ACCOUNTS, accounts_key_bytes(&of));
        srv_batch_put(b, SRV_META, bytes_of(drop, sizeof drop), bytes_of(NULL, 0));
        rc = accounts_each_token(a, ret->account, batch_token, b);
    }
    if (rc < 0) {
        srv_batch_free(b);
        return accounts_unreadable(rc, err);
    }
    rc = accounts_write(a, b, err);
    if (rc == 0)
        accounts_end(a, ret->account, NULL);
    return rc;
}

int srv_user_remove(struct srv_accounts *a, const char *name, struct srv_user *ret, struct err *err)
{
    pthread_mutex_lock(&a->lock);
    int rc = remove_locked(a, name, ret, err);
    pthread_mutex_unlock(&a->lock);
    return rc;
}
