/*
 * fs/space/driver_run - runs a merge driver, shut in: no shell, no environment, no network, little
 * memory and time, and nothing of it left running.
 */
#ifndef FS_SPACE_DRIVER_RUN_H
#define FS_SPACE_DRIVER_RUN_H

#include <stdatomic.h>

#include "proto/base/err.h"

enum {
    DRIVER_MS = 10000,
    DRIVER_MEMORY_BYTES = 512 << 20, /* of each of its processes */
    DRIVER_OUTPUT_BYTES = 64 << 20,  /* of each file that it writes */
    DRIVER_PROCESSES = 64,
    DRIVER_FILES = 64,
};

/* The files of a merge, in the driver's directory: all that a driver is told of names. */
#define DRIVER_BASE "base"
#define DRIVER_OURS "ours" /* the result is to be put here */
#define DRIVER_THEIRS "theirs"

/**
 * Runs @argv in the directory @dir_fd, in which the three files are; in its words %O, %A and %B
 * stand for the base, ours and theirs, %% for a percent sign. 0: it has ended with status 0.
 * -ETIMEDOUT, -ECANCELED @cancel (may be NULL) became true, -EPROTO it failed, -EIO, -ENOMEM;
 * @e says why. Thread: any.
 */
int driver_run(int dir_fd, const char *const *argv, const atomic_bool *cancel,
               struct err *e) MUST_CHECK;

#endif
