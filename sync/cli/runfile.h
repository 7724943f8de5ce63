/*
 * sync/cli/runfile - the pid file of a background process: says that it lives, and which it is.
 *
 * The process holds a lock on run/mount-NAME.pid, or run/sync.pid, for as long as it lives, so that
 * a stale file is known for what it is, whatever became of the number in it. Thread: one.
 */
#ifndef SYNC_CLI_RUNFILE_H
#define SYNC_CLI_RUNFILE_H

#include <sys/types.h>

#include "sync/cli/spaces.h"

enum { RUNFILE_NAME_SIZE = SPACE_NAME_SIZE + 16 };

/** "mount-NAME" and @suffix (".pid", ".sock", ".log"). Returns @to. */
const char *runfile_name(const struct space_entry *e, const char *suffix,
                         char to[RUNFILE_NAME_SIZE]);

/**
 * Writes and locks the pid file of this process. -EBUSY another one lives (named in @err), -EPERM,
 * -EIO. The lock ends with the process or runfile_release().
 */
int runfile_take(int run_fd, const struct space_entry *e, int *ret_fd, struct err *err) MUST_CHECK;
void runfile_release(int run_fd, const struct space_entry *e, int fd);

/** The process that serves a space: 1 and its id, or 0 when there is none. -EIO, -EPERM. */
int runfile_owner(int run_fd, const struct space_entry *e, pid_t *ret_pid,
                  struct err *err) MUST_CHECK;

/* The same for the file @name; @what is whose process it is, for the message. A file that is not
 * the process's any more (runfile_is_current()) is left alone. */
int runfile_take_named(int run_fd, const char *name, const char *what, int *ret_fd,
                       struct err *err) MUST_CHECK;
void runfile_release_named(int run_fd, const char *name, int fd);
int runfile_owner_named(int run_fd, const char *name, pid_t *ret_pid, struct err *err) MUST_CHECK;

/** Whether the file @name is still the one that was taken: somebody may have removed it. */
bool runfile_is_current(int run_fd, const char *name, int fd);

#endif
