/*
 * sync/server/managed - the spaces that this server is itself a member of.
 *
 * A device makes the server a member (`persist remote add --managed`) and grants it the space's
 * keys; from then on the server has the space open like any device: a database of its own
 * (fs/space), an engine (sync/engine) that keeps it even with what the server stores, through the
 * same session as every device (own_link.h). It authors nothing but what makes it a member, STATEs,
 * and the adds of devices of the account that ask to join. With a directory for mirrors each such
 * space is there as plain files (fs/space/mirror.h), as DIR/USER/NAME.
 *
 * Below the data directory: `identity` and `member`, the seeds of the server's keys; of each space
 * managed/ACCOUNT/SPACE/ with keys, db/, staging/, `name`, and `mirror`. A thread opens spaces and
 * writes mirrors. Thread of all functions: the loop's.
 */
#ifndef SYNC_SERVER_MANAGED_H
#define SYNC_SERVER_MANAGED_H

#include "sync/server/session.h"

enum {
    MANAGED_MAX = 1000,       /* spaces of all accounts */
    MANAGED_SETTLE_MS = 2000, /* a mirror is written when a space has not changed for so long, */
    MANAGED_SETTLE_MAX_MS = 30000, /* and at most so late */
};

struct srv_managed_config {
    const char *dir;    /* the data directory; used by srv_managed_new() only */
    const char *mirror; /* where mirrors are written; NULL: nowhere. Likewise */
    struct srv_store *store;
    struct srv_spaces *spaces;
    size_t fd_max; /* descriptors of the process, see net_loop_new() */
};

/** Makes or reads the keys. Errors as seed_load(), statefile_open_dir(). */
int srv_managed_new(const struct srv_managed_config *cfg, struct srv_managed **ret,
                    struct err *err) MUST_CHECK;
/** Opens the spaces that there are, in a thread: the rest works from now on. */
int srv_managed_start(struct srv_managed *m, struct srv_hub *hub, struct net_loop *loop,
                      struct err *err) MUST_CHECK;
/** Closes them. Before the hub is freed. Accepts NULL. */
void srv_managed_free(struct srv_managed *m);

/** The server's public keys for a Welcome: identity, sign, box. */
struct bytes srv_managed_member(const struct srv_managed *m);

/** Whether the server is a member of a space, or is about to become one. */
bool srv_managed_has(struct srv_managed *m, const struct srv_at *at);

/**
 * A device grants the server a space that it has pushed. What it needs is on disk when it returns
 * 0. -EBADMSG not for this server, or of another space; -ENOENT; -EEXIST it was granted with
 * another secret; -EMFILE too many; -EAGAIN again, a moment later; -ENOSPC, -EIO.
 */
int srv_managed_grant(struct srv_managed *m, const struct srv_at *at, struct bytes blob,
                      struct err *err) MUST_CHECK;

/* A device that wants to join. */
struct srv_joining {
    const uint8_t *member; /* identity, sign, box */
    const char *label;
};

/**
 * Lets it in: @ret_grant gets the blob for it; @ret_acts what the server made of acts, each as
 * buf_put_string() does, to be in the log before the device looks. -ENOENT, -ENOTCONN the server is
 * no member; -EAGAIN it is about to become one; -EKEYREVOKED the device was one, and was revoked;
 * -ENOBUFS; -EBADMSG; -EIO, -ENOSPC.
 */
int srv_managed_join(struct srv_managed *m, const struct srv_at *at, const struct srv_joining *who,
                     struct buf *ret_acts, struct buf *ret_grant) MUST_CHECK;

/* For /metrics. */
struct srv_managed_stats {
    uint64_t spaces;
    uint64_t mirror_runs, mirror_failed; /* since the start */
    uint64_t mirror_braked;              /* times an old state was kept aside */
};
struct srv_managed_stats srv_managed_stats(struct srv_managed *m);

#endif
