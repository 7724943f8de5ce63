#include "fs/replica/version.h"

#include <errno.h>

#include "fs/replica/past.h"

int version_read(struct db *db, const struct rid *rid, const struct dot *dot, struct buf *ret)
{
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, rid, dot), body;
    struct db_value row;
    int rc = db_get(db, DB_VERSION, key, &row);
    if (rc < 0)
        return rc;
    struct replica_content content;
    rc = past_version(key, row.v, &content, &body);
    buf_reset(ret);
    if (rc == 0)
        buf_put_bytes(ret, body);
    db_value_fini(&row);
    return rc < 0 ? rc : buf_status(ret);
}
