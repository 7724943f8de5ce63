/*
 * sync/server/accounts - users, and the tokens of their devices.
 *
 * A token belongs to one user and, from its first use on, to one device (its PeerId). Everything
 * that a client may do hangs on the account number that a login has: no name or number that a
 * client sends takes its place. Times are given, in ms since 1970. Thread: any.
 */
#ifndef SYNC_SERVER_ACCOUNTS_H
#define SYNC_SERVER_ACCOUNTS_H

#include <stdbool.h>

#include "proto/base/utf8.h"
#include "proto/peer_id.h"
#include "sync/server/store.h"
#include "sync/server/token.h"

enum {
    USER_NAME_MAX = 64,
    USER_TOKENS_MAX = 1000,
    USER_LOGINS_MAX = 64,
    SEEN_STEP_MS = 60000, /* last seen is not written more often */
};

#define USER_QUOTA_BYTES (UINT64_C(100) << 30)
#define USER_QUOTA_ENTRIES UINT64_C(20000000) /* a million files, with what retention keeps */

struct srv_accounts;

struct srv_user {
    uint64_t account; /* never used again, also when the name is */
    char name[USER_NAME_MAX + 1];
    uint64_t created_ms, quota_bytes, quota_entries;
};

struct srv_token {
    uint8_t id[TOKEN_ID_BYTES];
    uint64_t account;
    char user[USER_NAME_MAX + 1];
    char label[LABEL_BYTES_MAX + 1];
    uint64_t created_ms, seen_ms; /* seen_ms 0: never. While a device is connected it may be old: */
    bool online;                  /* one is, now; of srv_token_list() only */
    bool bound;
    uint8_t peer[PEER_ID_BYTES]; /* when bound */
};

/* A live connection. The owner sets what is above the line, and keeps it until srv_logout(). */
struct srv_login {
    /* Its token is gone: called once, inside the call that revokes, under a lock. It must not call
     * anything of this file; it wakes who cuts the connection. */
    void (*ended)(struct srv_login *l);
    void *arg;
    /* ---- */
    struct srv_token token;
    bool has_ended;
    struct srv_login *next, *prev;
};

/** On an open store, which must stay open. */
int srv_accounts_open(struct srv_store *store, struct srv_accounts **ret,
                      struct err *err) MUST_CHECK;
/** Accepts NULL. No login may be left. */
void srv_accounts_close(struct srv_accounts *a);

/**
 * Tells, from now on, that tokens have ended: inside the call that ends them, under a lock, in
 * whatever thread that is; so @fn only wakes who asks srv_token_is_live(). NULL: tells nobody.
 */
void srv_accounts_on_ended(struct srv_accounts *a, void (*fn)(void *arg), void *arg);

/* ---- users ---- */

/** Whether @name can be a user's: 1 to 64 of a-z 0-9 . _ - and not only dots. */
bool srv_user_name_valid(const char *name);

/** Adds a user; quotas of 0 are the defaults. -EEXIST, -EINVAL, -ENOSPC, -EIO. */
int srv_user_add(struct srv_accounts *a, const char *name, uint64_t quota_bytes,
                 uint64_t quota_entries, uint64_t now_ms, struct srv_user *ret,
                 struct err *err) MUST_CHECK;
/**
 * Changes quotas; one of 0 stays as it is. What is held of the account is then to be told:
 * srv_spaces_set_quota(). -ENOENT, -ENOSPC, -EIO.
 */
int srv_user_set_quota(struct srv_accounts *a, const char *name, uint64_t quota_bytes,
                       uint64_t quota_entries, struct srv_user *ret, struct err *err) MUST_CHECK;
/** -ENOENT. */
int srv_user_get(struct srv_accounts *a, const char *name, struct srv_user *ret,
                 struct err *err) MUST_CHECK;
/** The user of an account number; -ENOENT. */
int srv_user_of(struct srv_store *store, uint64_t account, struct srv_user *ret) MUST_CHECK;

typedef int srv_user_fn(void *arg, const struct srv_user *u);
/** Calls @fn for each user, by name, until it returns something else than 0: returns that. */
int srv_user_list(struct srv_accounts *a, srv_user_fn *fn, void *arg) MUST_CHECK;

/**
 * Removes a user and all tokens, and ends all logins. What the user stored is then to be dropped:
 * srv_spaces_drop(). -ENOENT.
 */
int srv_user_remove(struct srv_accounts *a, const char *name, struct srv_user *ret,
                    struct err *err) MUST_CHECK;

/* ---- tokens ---- */

/** Makes a token; @ret_text is the only copy of it. -ENOENT, -EINVAL (label), -EMFILE too many. */
int srv_token_create(struct srv_accounts *a, const char *user, const char *label, uint64_t now_ms,
                     char ret_text[TOKEN_TEXT_SIZE], struct srv_token *ret,
                     struct err *err) MUST_CHECK;

typedef int srv_token_fn(void *arg, const struct srv_token *t);
/** Calls @fn for each token of a user (NULL: of all), as srv_user_list(). -ENOENT: no such user. */
int srv_token_list(struct srv_accounts *a, const char *user, srv_token_fn *fn, void *arg,
                   struct err *err) MUST_CHECK;

enum { SRV_ANY_ACCOUNT = 0 };

/**
 * Revokes a token of @account, or of SRV_ANY_ACCOUNT for the operator. When it returns the token is
 * gone from the disk and each login with it was told. -ENOENT: the account has none such.
 */
int srv_token_revoke(struct srv_accounts *a, uint64_t account, const uint8_t id[TOKEN_ID_BYTES],
                     struct srv_token *ret, struct err *err) MUST_CHECK;

/** Likewise all tokens of @account that belong to device @peer: how many. */
int srv_token_revoke_peer(struct srv_accounts *a, uint64_t account,
                          const uint8_t peer[PEER_ID_BYTES], struct err *err) MUST_CHECK;

/** Whether there is a token of that id still, as far as can be read. */
bool srv_token_is_live(struct srv_accounts *a, const uint8_t id[TOKEN_ID_BYTES]);

/**
 * Looks at a token that somebody at @address (4 or 16 bytes, or empty) shows.
 * -EACCES it is none; -EAGAIN it is none, and too many such came from there.
 */
int srv_token_check(struct srv_accounts *a, struct bytes text, struct bytes address,
                    uint64_t now_ms, struct srv_token *ret, struct err *err) MUST_CHECK;

/**
 * The same for a device that has proved to be @peer: binds the token to it when this is its first
 * use, and enters @l as a live connection. -EACCES, -EAGAIN; -EMFILE too many connections.
 */
int srv_login(struct srv_accounts *a, struct bytes text, const uint8_t peer[PEER_ID_BYTES],
              struct bytes address, uint64_t now_ms, struct srv_login *l,
              struct err *err) MUST_CHECK;
/** The connection is closed. Only after a login that worked. */
void srv_logout(struct srv_accounts *a, struct srv_login *l, uint64_t now_ms);
/** Notes that all who are connected are seen, for the case that no end of theirs will be. */
void srv_logins_seen(struct srv_accounts *a, uint64_t now_ms);
/** Number of live connections. */
unsigned srv_logins(struct srv_accounts *a);

#endif
