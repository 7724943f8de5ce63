/*
 * sync/cli/process - what holds for every process of the program, and running a helper program.
 */
#ifndef SYNC_CLI_PROCESS_H
#define SYNC_CLI_PROCESS_H

#include <sys/types.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

/**
 * No core dumps, not to be traced by others of this user, umask 077, SIGPIPE ignored. First thing
 * in main. Source: the security rules for processes.
 */
void process_harden(void);

/** The umask that the program was started with: for files that are the user's, not ours. */
mode_t process_umask(void);

/**
 * Runs @argv (argv[0] is searched in PATH, then in /usr/bin and /bin), its stdout and stderr into
 * @ret_text (cut at 4 KiB). Returns its exit status, 128 + signal, or a negative errno: -ENOENT no
 * such program.
 */
int process_run(char *const argv[], struct buf *ret_text) MUST_CHECK;

/** Whether a program can be found as process_run() would. */
bool process_find(const char *name);

/** Waits until a process is gone. 0, -ETIMEDOUT. */
int process_wait_gone(pid_t pid, unsigned timeout_ms) MUST_CHECK;

#endif
