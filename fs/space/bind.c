/* Which file shows which record. */
#include <errno.h>

#include "fs/space/space_priv.h"

_Static_assert(RID_SIZE + DOT_SIZE == TREE_BASE_BYTES, "a version is named by record and dot");

int bind_ino(struct space *s, const struct rid *rid, uint64_t *ret_ino)
{
    if (rid_is_root(rid)) {
        *ret_ino = TREE_ROOT;
        return 0;
    }
    struct db_value v;
    int rc = db_get(s->db, DB_BIND, bytes_of(rid->b, sizeof rid->b), &v);
    if (rc == 0 && v.v.n != 8)
        rc = -EUCLEAN;
    if (rc == 0)
        *ret_ino = get_u64(v.v.p);
    db_value_fini(&v);
    return rc;
}

int bind_waits(struct space *s, const struct rid *rid)
{
    struct replica_info info;
    if (rid_kind(rid) == KIND_DIR)
        return 0;
    int rc = replica_stat(s->replica, rid, &info);
    return rc < 0 ? rc : dot_is_none(&info.content.dot);
}

void bind_put(struct op *x, const struct rid *rid, struct attr *a)
{
    uint8_t value[8];
    put_u64(value, a->ino);
    db_batch_put(x->batch, DB_BIND, bytes_of(rid->b, sizeof rid->b), bytes_of(value, sizeof value));
    a->bound = true;
    memcpy(a->record, rid->b, sizeof a->record);
    op_put(x, a);
}

void bind_delete(struct op *x, struct attr *a)
{
    if (a->bound)
        db_batch_delete(x->batch, DB_BIND, bytes_of(a->record, sizeof a->record));
    op_keep_base(x, a);
    a->bound = a->half = false;
    op_put(x, a);
}

struct base_ref base_of(const struct rid *rid, const struct dot *dot)
{
    struct base_ref ref;
    memcpy(ref.b, rid->b, RID_SIZE);
    dot_encode(dot, ref.b + RID_SIZE);
    return ref;
}

void base_split(const struct base_ref *ref, struct rid *ret_rid, struct dot *ret_dot)
{
    memcpy(ret_rid->b, ref->b, RID_SIZE);
    *ret_dot = dot_decode(ref->b + RID_SIZE);
}
