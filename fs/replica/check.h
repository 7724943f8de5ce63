/*
 * fs/replica/check - whether single rows of the replica's families are what they should be.
 */
#ifndef FS_REPLICA_CHECK_H
#define FS_REPLICA_CHECK_H

#include "fs/replica/exchange.h"

/* What a row is about, as far as it was decoded. */
struct replica_row {
    bool has_rid, is_version;
    struct rid rid;
    struct dot dot;    /* of a version */
    struct bytes body; /* of a version; a view into the row */
};

/**
 * Decodes a row of DB_RECORD, DB_LOG, DB_SHOWN or DB_VERSION. 0, -EUCLEAN, -ENOTSUP or -ENOMEM.
 * Thread: as of all calls on @r.
 */
int replica_check_row(struct replica *r, enum db_cf cf, struct bytes key, struct bytes row,
                      struct replica_row *ret) MUST_CHECK;

/**
 * The digest counted anew from all records: replica_digest(), unless something is damaged. Nothing
 * may be pending (asserted). Takes about 10 µs a record.
 */
int replica_digest_recount(struct replica *r, struct state_digest *ret) MUST_CHECK;

/** Takes over what is counted anew; nothing may be pending before. Pending in @batch. */
int replica_digest_repair(struct replica *r, struct db_batch *batch) MUST_CHECK;

#endif
