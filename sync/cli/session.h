/*
 * sync/cli/session - what nearly every command begins with: the state directory and the spaces in
 * it, and running a verb on one of them wherever it lives. Thread: one.
 */
#ifndef SYNC_CLI_SESSION_H
#define SYNC_CLI_SESSION_H

#include <sys/types.h>

#include "fs/space/verb.h"
#include "sync/cli/resolve.h"
#include "sync/cli/spaces.h"

struct session {
    struct home home;
    struct space_list spaces;
    int run_fd;
};

#define SESSION_INIT                                                                               \
    {                                                                                              \
        .home = HOME_INIT, .run_fd = -1                                                            \
    }

/**
 * Opens the state directory, after making it when @create; without one there are no spaces. As
 * home_open() and spaces_load().
 */
int session_open(struct session *s, bool create, struct err *err) MUST_CHECK;
void session_fini(struct session *s);

/**
 * Takes the lock of the state directory (home_lock(); closing @ret_fd gives it back), sweeps what
 * dead commands left of spaces, and reads anew which there are: nobody else makes or moves one
 * meanwhile.
 */
int session_lock(struct session *s, int *ret_fd, struct err *err) MUST_CHECK;

/** The process that serves a space: 1 and its id, 0 none, or a negative errno. */
int session_owner(const struct session *s, const struct space_entry *e, pid_t *ret_pid,
                  struct err *err) MUST_CHECK;

/**
 * Runs a verb on a space: in its mount process when there is one, else here, on its database.
 * Returns 0 and the verb's exit status, or a negative errno when it could not be asked: as
 * space_open() and control_call(). Fills in folder, name and mounted of @call.
 */
int session_run(const struct session *s, const struct space_entry *e, struct verb_call *call,
                struct out *out, int *ret_status, struct err *err) MUST_CHECK;

/**
 * The common command: runs @call on the space with a terminal's out, says what went wrong, returns
 * the exit status.
 */
int session_command(const struct session *s, const struct space_entry *e, struct verb_call *call);

#endif
