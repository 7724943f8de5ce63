/*
 * sync/server/admin - what `persist user` and `persist token` do, on a store that is open: in the
 * running server, asked over its control socket, or in the command's own process.
 *
 * Each writes what is to be shown to the end of @out: a table or a line for people, or with @json
 * one document. Errors have a sentence. Thread: any.
 */
#ifndef SYNC_SERVER_ADMIN_H
#define SYNC_SERVER_ADMIN_H

#include "sync/server/accounts.h"
#include "sync/server/spaces.h"

struct srv_admin {
    struct srv_accounts *accounts;
    struct srv_spaces *spaces;
    bool json;
    uint64_t now_ms;
    const char *dir; /* the data directory, to look for mirrors; NULL: they are not looked for */
};

/** Quotas of 0 are the defaults. {"user", "quota_bytes", "quota_entries"}. -EEXIST, -EINVAL. */
int srv_admin_user_add(const struct srv_admin *a, const char *user, uint64_t quota_bytes,
                       uint64_t quota_entries, struct buf *out, struct err *err) MUST_CHECK;
/** Changes those that are not 0, for what is pushed from now on. The same. -ENOENT. */
int srv_admin_user_quota(const struct srv_admin *a, const char *user, uint64_t quota_bytes,
                         uint64_t quota_entries, struct buf *out, struct err *err) MUST_CHECK;
/**
 * {"users": [{"user", "created", "spaces", "bytes", "quota_bytes", "entries", "quota_entries",
 * "kept": [paths of what mirrors set aside]}]}
 */
int srv_admin_user_list(const struct srv_admin *a, struct buf *out, struct err *err) MUST_CHECK;
/**
 * Removes the user with tokens and data. The mirror stays, for who makes backups of it: that is
 * told. {"user", "removed", "mirror": path or null}. -ENOENT.
 */
int srv_admin_user_remove(const struct srv_admin *a, const char *user, struct buf *out,
                          struct err *err) MUST_CHECK;

/**
 * {"token", "id", "user", "label"}; for people the token alone, on a line. It is nowhere else: wipe
 * @out after use. -ENOENT, -EINVAL, -EMFILE.
 */
int srv_admin_token_create(const struct srv_admin *a, const char *user, const char *label,
                           struct buf *out, struct err *err) MUST_CHECK;
/**
 * Of one user, or of all when @user is NULL.
 * {"tokens": [{"id", "user", "label", "created", "last_seen" or null, "peer_id" or null,
 * "connected"}]}.
 * -ENOENT.
 */
int srv_admin_token_list(const struct srv_admin *a, const char *user, struct buf *out,
                         struct err *err) MUST_CHECK;
/** @id: 16 hex digits. Connections are told. {"id", "user", "label", "revoked"}. -ENOENT. */
int srv_admin_token_revoke(const struct srv_admin *a, const char *id, struct buf *out,
                           struct err *err) MUST_CHECK;

#endif
