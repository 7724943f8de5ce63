/*
 * sync/cli/secretfile - a token or passphrase that the user keeps in a file. Thread: one.
 */
#ifndef SYNC_CLI_SECRETFILE_H
#define SYNC_CLI_SECRETFILE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum { SECRET_MAX = 1024 };

/* Wiped with secret_wipe(). */
struct secret {
    char text[SECRET_MAX + 1];
    size_t n;
};

/**
 * Reads the first line of @path, without its end. Errors, which name @path and never show what is
 * in it: -ENOENT, -EACCES, -EINVAL empty, or longer than SECRET_MAX; -EIO.
 */
int secretfile_read(const char *path, struct secret *ret, struct err *err) MUST_CHECK;
void secret_wipe(struct secret *s);

#endif
