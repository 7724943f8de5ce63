/*
 * fs/replica/version - reading of versions' bodies without a replica: by any thread, at any time.
 */
#ifndef FS_REPLICA_VERSION_H
#define FS_REPLICA_VERSION_H

#include "fs/store/db.h"
#include "proto/id.h"

/** The body of a written version, into @ret (replaced). -ENOENT, -EUCLEAN, -EIO, -ENOMEM. */
int version_read(struct db *db, const struct rid *rid, const struct dot *dot,
                 struct buf *ret) MUST_CHECK;

#endif
