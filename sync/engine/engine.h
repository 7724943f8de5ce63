/*
 * sync/engine/engine - runs the sessions of one space, in a thread of the mount process: it talks
 * to the sync process over its socket (proto/local.proto), which carries the frames to the remotes.
 *
 * When there is no sync process it tries again, and tells: starting and restarting that one is
 * another's business. Nothing here touches the network.
 */
#ifndef SYNC_ENGINE_ENGINE_H
#define SYNC_ENGINE_ENGINE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

struct engine;
struct space;

struct engine_config {
    struct space *space; /* open until engine_stop() has returned */
    int run_fd;          /* the directory with sync.sock; borrowed as long */
    size_t fd_max;       /* of the process, as net_loop_new() takes it; 0: 1024 */
    struct bytes links;  /* struct sync_link of each stored remote, until the sync process tells */
    /* Whether there is a sync process, whenever it was looked for; NULL: nobody asks. */
    void (*attached)(void *arg, bool is);
    void *arg;
};

/** Starts the thread. -ENOMEM, -EAGAIN. A space that is not signed has no sessions: -ENOTCONN. */
int engine_start(const struct engine_config *cfg, struct engine **ret, struct err *err) MUST_CHECK;

/** Ends all sessions, then the thread. Accepts NULL. */
void engine_stop(struct engine *e);

#endif
