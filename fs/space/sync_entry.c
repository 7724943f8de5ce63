/*
 * The rows of entries. The content that an entry brought is the body of a version, too; where it is
 * more than a little, the row leaves it out, and names the record of that version. When a version
 * goes, its entry goes, too, or gets the content back, if anything else of the change is current.
 */
#include <errno.h>

#include "fs/replica/version.h"
#include "fs/space/sync_priv.h"

enum {
    SHARED_MIN = 256,                 /* bytes of a content that are worth it */
    ROW_HEAD = 8 + 4,                 /* arrival number · where the content is left out, or 0 */
    ROW_SHARED = ROW_HEAD + RID_SIZE, /* · the record */
};

struct entry_shared sync_shared(struct bytes stored, struct bytes change)
{
    struct entry_shared none = {.at = 0};
    struct reader r;
    struct dot dot;
    size_t n;
    struct value v;
    if (value_change_open(change, &r, &dot, &n) < 0)
        return none;
    for (size_t i = 0; i < n && value_change_next(&r, &dot, &v) == 0; i++)
        if (v.facet == FACET_CONTENT && v.content.body.n >= SHARED_MIN)
            return (struct entry_shared){v.rid, (size_t)(v.content.body.p - stored.p),
                                         v.content.body};
    return none;
}

int sync_put_entry(struct db_batch *batch, const struct dot *dot, uint64_t number,
                   struct bytes stored, const struct entry_shared *shared)
{
    struct buf row CLEANUP(buf_wipe) = {0};
    struct sync_key key = sync_key_dot(SYNC_ENTRY, dot);
    buf_put_u64(&row, number);
    buf_put_u32(&row, (uint32_t)shared->at);
    if (shared->at > 0) {
        size_t end = shared->at + shared->body.n;
        buf_put(&row, shared->rid.b, RID_SIZE);
        buf_put(&row, stored.p, shared->at);
        buf_put(&row, stored.p + end, stored.n - end);
    } else {
        buf_put_bytes(&row, stored);
    }
    if (buf_status(&row) < 0)
        return -ENOMEM;
    db_batch_put(batch, DB_SYNC, sync_key_bytes(&key), buf_bytes(&row));
    return 0;
}

/* A row taken apart. */
struct row {
    uint64_t number;
    size_t at; /* 0: nothing is left out */
    struct rid rid;
    struct bytes stored; /* all that is not left out */
};

static int read_row(struct bytes in, struct row *ret)
{
    if (in.n < ROW_HEAD)
        return -EUCLEAN;
    *ret = (struct row){.number = get_u64(in.p), .at = get_u32(in.p + 8)};
    size_t head = ret->at > 0 ? ROW_SHARED : ROW_HEAD;
    if (in.n < head || ret->at > in.n - head)
        return -EUCLEAN;
    if (ret->at > 0)
        memcpy(ret->rid.b, in.p + ROW_HEAD, RID_SIZE);
    ret->stored = bytes_of(in.p + head, in.n - head);
    return 0;
}

static int put_whole(struct buf *b, const struct row *row, struct bytes body)
{
    buf_put(b, row->stored.p, row->at);
    buf_put_bytes(b, body);
    buf_put(b, row->stored.p + row->at, row->stored.n - row->at);
    return buf_status(b);
}

/* -ESTALE: the version is not there. */
static int get(struct space *s, const struct dot *dot, uint64_t *ret_number, struct buf *ret)
{
    struct sync_key key = sync_key_dot(SYNC_ENTRY, dot);
    struct buf body CLEANUP(buf_wipe) = {0};
    struct row row;
    struct db_value v;
    int rc = db_get(s->db, DB_SYNC, sync_key_bytes(&key), &v);
    if (rc < 0)
        return rc;
    rc = read_row(v.v, &row);
    if (rc == 0 && row.at > 0) {
        rc = version_read(s->db, &row.rid, dot, &body);
        rc = rc == -ENOENT ? -ESTALE : rc;
    }
    buf_reset(ret);
    if (rc == 0) {
        *ret_number = row.number;
        rc = put_whole(ret, &row, buf_bytes(&body));
    }
    db_value_fini(&v);
    return rc;
}

int sync_get_entry(struct space *s, const struct dot *dot, uint64_t *ret_number, struct buf *ret)
{
    int rc = get(s, dot, ret_number, ret);
    if (rc == -ESTALE) /* it went between the two reads: now the row has all */
        rc = get(s, dot, ret_number, ret);
    return rc == -ESTALE ? -EUCLEAN : rc;
}

int sync_version_goes(struct space *s, struct db_batch *batch, const struct rid *rid,
                      const struct dot *dot, struct bytes body)
{
    struct sync_key key = sync_key_dot(SYNC_ENTRY, dot);
    struct buf stored CLEANUP(buf_wipe) = {0};
    struct row row;
    struct db_value v;
    int rc = db_get(s->db, DB_SYNC, sync_key_bytes(&key), &v);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = read_row(v.v, &row);
    bool shared = rc == 0 && row.at > 0 && rid_cmp(&row.rid, rid) == 0;
    if (shared)
        rc = sync_is_current(s, dot);
    if (shared && rc == 0)
        sync_drop_entry(s, batch, dot, row.number);
    if (shared && rc == 1)
        rc = put_whole(&stored, &row, body);
    if (stored.n > 0 && rc == 0)
        rc = sync_put_entry(batch, dot, row.number, buf_bytes(&stored),
                            &(struct entry_shared){.at = 0});
    db_value_fini(&v);
    return rc;
}
