/*
 * sync/cli/logfile - the log of a background process, log/NAME, and log/NAME.1 with what was before
 * once it has 4 MiB. Thread: one.
 */
#ifndef SYNC_CLI_LOGFILE_H
#define SYNC_CLI_LOGFILE_H

#include "sync/cli/home.h"

/** Opens it for appending (0600). As home_dir(); -EIO, -ENOSPC. */
int logfile_open(const struct home *h, const char *name, int *ret_fd, struct err *err) MUST_CHECK;

#endif
