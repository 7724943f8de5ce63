/*
 * sync/server/accounts_priv - what the accounts*.c files share. Not for others.
 */
#ifndef SYNC_SERVER_ACCOUNTS_PRIV_H
#define SYNC_SERVER_ACCOUNTS_PRIV_H

#include <pthread.h>

#include "sync/server/accounts.h"
#include "sync/server/limiter.h"

enum { LOGIN_LISTS = 1024 };

struct srv_accounts {
    struct srv_store *store;
    pthread_mutex_t lock;
    uint64_t next_account;
    struct srv_login *logins[LOGIN_LISTS]; /* by the account's number */
    unsigned logins_n;
    void (*ended)(void *arg); /* see srv_accounts_on_ended() */
    void *ended_arg;
    struct limiter limiter;
};

enum { ACCOUNTS_KEY_MAX = 1 + USER_NAME_MAX + 16 };

/* A key of the family: a letter, then what it is of. */
struct accounts_key {
    uint8_t p[ACCOUNTS_KEY_MAX];
    size_t n;
};

static inline struct bytes accounts_key_bytes(const struct accounts_key *k)
{
    return bytes_of(k->p, k->n);
}

struct accounts_key accounts_key_user(const char *name);                  /* u name -> account */
struct accounts_key accounts_key_account(uint64_t account);               /* a account -> user */
struct accounts_key accounts_key_token(const uint8_t id[TOKEN_ID_BYTES]); /* t id -> token */
/* o account id -> nothing; without @id the beginning of all of them */
struct accounts_key accounts_key_owned(uint64_t account, const uint8_t *id);

/** All with the lock held. */
int accounts_find_user(struct srv_accounts *a, const char *name, struct srv_user *ret,
                       struct err *err) MUST_CHECK;
/** Puts the removal of a token into @b. */
void accounts_batch_token(struct srv_batch *b, const struct srv_token *t);
/** Tells the logins of @account, and of token @id when it is not NULL. */
void accounts_end(struct srv_accounts *a, uint64_t account, const uint8_t *id);
/** Calls @fn for each token of an account. */
int accounts_each_token(struct srv_accounts *a, uint64_t account, srv_token_fn *fn,
                        void *arg) MUST_CHECK;
/** Sets the error of a store that fails; returns @rc. */
int accounts_unreadable(int rc, struct err *err);
/** Writes a batch that must be on disk; frees it. NULL: memory had run out. */
int accounts_write(struct srv_accounts *a, struct srv_batch *b, struct err *err) MUST_CHECK;

#endif
