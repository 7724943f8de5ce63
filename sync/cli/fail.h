/*
 * sync/cli/fail - says in one line on stderr why a command did not do its work.
 */
#ifndef SYNC_CLI_FAIL_H
#define SYNC_CLI_FAIL_H

#include "fs/space/verb.h"
#include "proto/base/err.h"

/** Writes "persist: text" to stderr; returns @status, for the command to return. */
int fail(enum verb_status status, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** The same with the message of @err and the status that its code means. */
int fail_err(const struct err *err);

#endif
