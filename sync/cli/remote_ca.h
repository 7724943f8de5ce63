/*
 * sync/cli/remote_ca - the certificates that --ca names, where the sync process can read them: it
 * is confined to its own directory (confine.h), so they are copied there, once for each content.
 */
#ifndef SYNC_CLI_REMOTE_CA_H
#define SYNC_CLI_REMOTE_CA_H

#include "proto/base/buf.h"
#include "sync/cli/home.h"

/**
 * @file, an absolute path, terminated, becomes that of the copy; empty, it stays so. What copies no
 * remote has any more the sync process removes (remotes_tidy()). Errors, with a message that names
 * the file: -ENOENT it is not there or has no certificates, -EACCES, -EFBIG above 1 MiB, -EIO,
 * -ENOMEM.
 */
int remote_ca(const struct home *h, struct buf *file, struct err *err) MUST_CHECK;

#endif
