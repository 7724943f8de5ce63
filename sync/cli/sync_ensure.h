/*
 * sync/cli/sync_ensure - sees to it that the sync process of this device runs. Thread: one.
 */
#ifndef SYNC_CLI_SYNC_ENSURE_H
#define SYNC_CLI_SYNC_ENSURE_H

#include "sync/cli/home.h"

/**
 * Starts `persist daemon` when nobody listens at the sync process's socket in @run_fd, and returns
 * when somebody does. Errors, with a message: what kept it from starting; -ETIMEDOUT.
 */
int sync_ensure(const struct home *h, int run_fd, struct err *err) MUST_CHECK;

/**
 * Starts `persist daemon`, whoever listens, and returns when that has: 0, too, when another one is
 * starting or runs. Errors, with a message: what kept it from starting. Thread: any.
 */
int sync_start(const struct home *h, struct err *err) MUST_CHECK;

#endif
