/*
 * sync/server/control - the socket control.sock in a server's data directory, for `persist user`
 * and `persist token` while the server runs. This user alone is served.
 *
 * Requests are carried out one after the other in a thread, so that the removal of a large account
 * keeps no session waiting.
 */
#ifndef SYNC_SERVER_CONTROL_H
#define SYNC_SERVER_CONTROL_H

#include "sync/net/loop.h"
#include "sync/server/admin_call.h"

struct srv_control;

struct srv_control_config {
    struct net_loop *loop;
    const char *dir; /* the data directory; used by the start call only */
    struct srv_accounts *accounts;
    struct srv_spaces *spaces;
};

/** Errors: -EACCES, -ENOMEM, -EMFILE, -EAGAIN, -EIO. Thread: the loop's. */
int srv_control_start(const struct srv_control_config *cfg, struct srv_control **ret,
                      struct err *err) MUST_CHECK;
/** Carries out what has begun, removes the socket. Accepts NULL. Thread: the loop's. */
void srv_control_free(struct srv_control *c);

/**
 * Asks the server that runs on @dir and waits for its answer. @ret_served says whether there is
 * one; if not nothing else was done and 0 is returned. Else as srv_admin_call(), and -ECONNRESET
 * the server went away. Thread: any.
 */
int srv_control_ask(const char *dir, const Persist__AdminRequest *request, bool *ret_served,
                    struct buf *out, struct err *err) MUST_CHECK;

#endif
