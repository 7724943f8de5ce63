/*
 * sync/state/seed - files with a random seed, from which the keys of this device are derived: its
 * identity, and what it signs with as a member of spaces.
 *
 * The file: the seed, and a checksum, as a changed seed would be another device. Thread: one.
 */
#ifndef SYNC_STATE_SEED_H
#define SYNC_STATE_SEED_H

#include "proto/base/err.h"

enum { SEED_BYTES = 32 };

/**
 * Reads the seed @name in a directory, after drawing it on first use. Wipe it after use.
 * Errors: -EPERM owner or mode, -EBADMSG the file is not a seed, -EIO, -ENOMEM.
 */
int seed_load(int dir_fd, const char *name, uint8_t ret_seed[static SEED_BYTES],
              struct err *err) MUST_CHECK;

#endif
