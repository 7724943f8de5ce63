/*
 * sync/cli/sync_keeper - sees to it that a mount process is not left without a sync process: when
 * that one dies, or could not be started with the mount, it is started again, after 1 to 2 s at
 * first, then ever more rarely, up to once in 30 to 60 s. Who ended it on purpose (SIGTERM) has it
 * stay so, until a command starts it.
 *
 * A thread of its own, which sleeps while all is well; what keeps the process from starting is told
 * to the space (space_sync_set_trouble()). That there is one of it at most is the business of its
 * pid file.
 */
#ifndef SYNC_CLI_SYNC_KEEPER_H
#define SYNC_CLI_SYNC_KEEPER_H

#include "sync/cli/home.h"

struct space;
struct starter;
struct sync_keeper;

/* All but @why is used until sync_keeper_stop(), and stays the caller's. */
struct sync_keeper_config {
    const struct home *home;
    int run_fd;
    struct starter *starter; /* starts it */
    struct space *space;
    const char *why; /* what kept the process from starting with the mount; "": nothing */
};

/** Starts the thread. -ENOMEM, -EAGAIN. */
int sync_keeper_start(const struct sync_keeper_config *cfg, struct sync_keeper **ret,
                      struct err *err) MUST_CHECK;
/** Ends it, after a start that is under way; accepts NULL. */
void sync_keeper_stop(struct sync_keeper *k);

/** Tells @keeper (a struct sync_keeper) whether the mount is attached now. Thread: any. */
void sync_keeper_tell(void *keeper, bool attached);

#endif
