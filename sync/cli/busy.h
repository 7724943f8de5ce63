/*
 * sync/cli/busy - which processes hold a mount open.
 */
#ifndef SYNC_CLI_BUSY_H
#define SYNC_CLI_BUSY_H

#include "proto/base/buf.h"

/**
 * Appends "vim (pid 1234), bash (pid 99)" for the processes that have a file open below @folder,
 * are in it, run from it or have it mapped, as far as this user may see. Names no more than eight.
 * Returns how many there are. Thread: one.
 */
size_t busy_list(const char *folder, struct buf *ret);

#endif
