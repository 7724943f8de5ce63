#include "fs/replica/check.h"

#include <errno.h>

#include "fs/replica/names.h"
#include "fs/replica/past.h"
#include "fs/replica/record.h"

static int check_version_row(struct bytes key, struct bytes row, struct replica_row *ret)
{
    struct replica_content content;
    struct history_place place;
    switch (key.p[0]) {
    case HISTORY_VERSION:
        if (past_version(key, row, &content, &ret->body) < 0)
            return -EUCLEAN;
        ret->is_version = true;
        ret->dot = content.dot;
        return 0;
    case HISTORY_PLACE:
        return past_place(key, row, &place);
    case HISTORY_NAME:
        return row.n == 0 && key.n >= 1 + 2 * RID_SIZE + 2 ? 0 : -EUCLEAN;
    default:
        return -EUCLEAN;
    }
}

static int check_shown_row(struct replica *r, struct bytes key, struct bytes row,
                           const struct rid *rid)
{
    struct group group;
    struct node node;
    switch (key.p[0]) {
    case SHOWN_NODE:
        return key.n == 1 + RID_SIZE ? node_load(r, rid, &node) : -EUCLEAN;
    case SHOWN_NAME:
        return names_decode(&r->txn, key, row, &group);
    case SHOWN_SUSPENDED:
    case SHOWN_CONFLICT:
    case SHOWN_DEAD:
        return key.n == 1 + RID_SIZE && row.n == 0 ? 0 : -EUCLEAN;
    case SHOWN_LOSER:
    case SHOWN_COUNTS:
        return 0;
    default:
        return -EUCLEAN;
    }
}

static int check_row(struct replica *r, enum db_cf cf, struct bytes key, struct bytes row,
                     struct replica_row *ret)
{
    struct record rec;
    if (cf == DB_RECORD) {
        ret->has_rid = key.n == RID_SIZE;
        ret->rid = ret->has_rid ? rid_at(key, 0) : RID_ROOT;
        return ret->has_rid ? record_decode(&r->txn, &ret->rid, row, &rec) : -EUCLEAN;
    }
    if (cf == DB_LOG) {
        ret->has_rid = key.n == DOT_SIZE + RID_SIZE;
        ret->rid = ret->has_rid ? rid_at(key, DOT_SIZE) : RID_ROOT;
        return ret->has_rid && (row.n == 0 || row.n == HASH_SIZE) ? 0 : -EUCLEAN;
    }
    ret->has_rid = key.n >= 1 + RID_SIZE;
    ret->rid = ret->has_rid ? rid_at(key, 1) : RID_ROOT;
    if (key.n == 0 || (!ret->has_rid && (cf == DB_VERSION || key.p[0] != SHOWN_COUNTS)))
        return -EUCLEAN;
    return cf == DB_VERSION ? check_version_row(key, row, ret)
                            : check_shown_row(r, key, row, &ret->rid);
}

int replica_check_row(struct replica *r, enum db_cf cf, struct bytes key, struct bytes row,
                      struct replica_row *ret)
{
    *ret = (struct replica_row){.has_rid = false};
    return replica_done(r, check_row(r, cf, key, row, ret));
}
