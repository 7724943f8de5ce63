/*
 * tests/support/crash_power - a file system in memory that loses its power: what was not synced is
 * then lost, or kept in part, as a disk may.
 *
 * What it promises is what ext4 does, and no more:
 *   - the bytes and the size of a file are on disk after fsync or fdatasync of it; of what was
 *     written since, each block of 4 KiB is kept or lost by chance; a new size may be there with
 *     zeros for its bytes. A file that was only ever appended to keeps a first part of what was
 *     appended, and zeros may follow;
 *   - names (made, linked, renamed, removed) are kept in their order: a cut loses the newest of
 * them; fsync of a directory or of a file keeps all up to the last one that concerns it. The kernel
 * does not pass on syncfs: who needs its effect calls crash_power_sync().
 */
#ifndef TESTS_SUPPORT_CRASH_POWER_H
#define TESTS_SUPPORT_CRASH_POWER_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/base.h"

struct crash_power {
    char mount[256];
    pid_t server;
    int fd; /* to the server */
};

/** Starts its server in a process of its own and mounts it at @mount. */
bool crash_power_start(struct crash_power *p, const char *mount) MUST_CHECK;
/** All that was written is on disk. */
bool crash_power_sync(struct crash_power *p) MUST_CHECK;
/**
 * Cuts the power and mounts what is left. @seed decides what that is. Nothing may have a file of it
 * open any more: its users have been ended.
 */
bool crash_power_cut(struct crash_power *p, uint64_t seed) MUST_CHECK;
/** Unmounts and forgets everything. */
void crash_power_stop(struct crash_power *p);

#endif
