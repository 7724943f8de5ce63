/*
 * sync/cli/daemon - leaves the terminal: runs a role in the background while the command waits
 * until it is ready. Thread: one, before any other exists.
 */
#ifndef SYNC_CLI_DAEMON_H
#define SYNC_CLI_DAEMON_H

#include "fs/mount/control.h"

/*
 * The role. It reports progress and error lines on @report and says with control_out_exit() that it
 * is ready (status 0) or has failed; what it returns is the exit status of the process.
 */
typedef int (*daemon_fn)(struct control_out *report, void *arg);

/**
 * Starts @role in a new session, "/" as its directory, stdin and stdout closed, stderr on @log_fd.
 * Passes what it reports on to @out and returns when it is ready or has failed: 0 and its status.
 * Errors: -ECONNRESET it died before it reported, -EAGAIN, -ENOMEM.
 */
int daemon_start(daemon_fn role, void *arg, int log_fd, struct out *out, int *ret_status,
                 struct err *err) MUST_CHECK;

/** Closes every descriptor above stderr that this process was started with. */
void daemon_close_inherited(void);

#endif
