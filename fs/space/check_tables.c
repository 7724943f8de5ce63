/* Every row of every table: that it can be read, and decodes. */
#include <errno.h>
#include <stdio.h>

#include "fs/replica/check.h"
#include "fs/replica/version.h"
#include "fs/space/check.h"
#include "fs/space/versions.h"
#include "fs/store/chunk.h"

enum { RID_KEY = RID_SIZE, SKIP_SHIFT = 4 };

static const struct {
    enum db_cf cf;
    const char *name;
} tables[] = {
    {DB_META, "settings"},
    {DB_INODE, "files"},
    {DB_DIRENT, "names"},
    {DB_DATA, "small files"},
    {DB_MAP, "blocks"},
    {DB_REDO, "synced blocks"},
    {DB_XATTR, "attributes"},
    {DB_PENDING, "pending"},
    {DB_RECORD, "records"},
    {DB_LOG, "changes"},
    {DB_SHOWN, "shown"},
    {DB_VERSION, "versions"},
    {DB_CHUNK, "places of chunks"},
    {DB_CHUNKREF, "chunks in use"},
    {DB_BIND, "bindings"},
    {DB_SYNC, "sync"},
};

/* ---- rows ---- */

static bool is_fine_tree_row(const struct check *c, enum db_cf cf, struct bytes key, struct bytes v)
{
    enum { SEGMENT_MIN = 16, SEGMENT_MAX = 16 + 8 * 64, BLOCK = 4096 };
    struct attr a;
    struct dirent_value d;
    struct dirent_key again;
    switch ((unsigned)cf) {
    case DB_INODE:
        return key.n == 8 && attr_decode(v, get_u64(key.p), &a) == 0;
    case DB_DIRENT:
        if (key.n <= 16 || key.n > 16 + TREE_NAME_MAX || dirent_decode(v, &d) < 0)
            return false;
        dirent_key(c->s->tree, get_u64(key.p), bytes_of(key.p + 16, key.n - 16), &again);
        return bytes_equal(bytes_of(again.b, again.n), key);
    case DB_DATA:
        return (key.n == 8 || key.n == 9) && v.n <= BLOCK;
    case DB_MAP:
        return key.n == 16 && v.n >= SEGMENT_MIN && v.n <= SEGMENT_MAX && v.n % 8 == 0;
    case DB_REDO:
        return key.n == 16 && v.n == BLOCK;
    case DB_XATTR:
        return key.n > 8;
    case DB_PENDING:
        return key.n >= 9 && (key.p[0] == 'n' || key.p[0] == 'i' || key.p[0] == 'r');
    case DB_CHUNKREF:
        return key.n == CONTENT_ID_BYTES ? v.n > CHUNK_ROW_BYTES : key.n > CONTENT_ID_BYTES + 1;
    case DB_CHUNK:
        return chunk_placed(key, v, &(struct chunk_placed){0}) == 0;
    case DB_BIND:
        return key.n == RID_KEY ? v.n == 8 : key.n == TREE_BASE_BYTES + 8;
    default:
        return true;
    }
}

static int check_version(struct check *c, const struct replica_row *row)
{
    struct space *s = c->s;
    CLEANUP(buf_fini) struct buf again = {0};
    char name[VERSION_NAME_SIZE], what[200];
    c->versions++;
    int rc = content_check_body(s->db, row->body);
    if (rc == 0 || rc == -ENOMEM)
        return rc;
    /* Thinned meanwhile, or not yet all here: that is no damage. */
    if (rc == -ENODATA && (row->dot.replica != replica_id(s->replica) ||
                           version_read(s->db, &row->rid, &row->dot, &again) == -ENOENT))
        return 0;
    snprintf(what, sizeof what, "version %s %s", version_name(&row->dot, name),
             rc == -ENODATA ? "lacks a part of its bytes" : "is damaged");
    check_problem_record(c, &row->rid, CHECK_FOUND, what);
    return 0;
}

static int check_row(struct check *c, enum db_cf cf, const char *table, struct bytes key,
                     struct bytes v)
{
    if (cf != DB_RECORD && cf != DB_LOG && cf != DB_SHOWN && cf != DB_VERSION) {
        if (!is_fine_tree_row(c, cf, key, v))
            check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "a row of table '%s' makes no sense",
                          table);
        return 0;
    }
    struct replica_row row;
    pthread_mutex_lock(&c->s->lock);
    int rc = replica_check_row(c->s->replica, cf, key, v, &row);
    pthread_mutex_unlock(&c->s->lock);
    if (rc == -ENOMEM)
        return rc;
    if (rc == 0)
        return row.is_version ? check_version(c, &row) : 0;
    char what[100];
    snprintf(what, sizeof what, "its row in table '%s' makes no sense", table);
    if (row.has_rid)
        check_problem_record(c, &row.rid, CHECK_FOUND, what);
    else
        check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "a row of table '%s' makes no sense",
                      table);
    return 0;
}

/* ---- tables ---- */

/* The walk ended at a damaged block: goes on behind it, in growing steps. False: at the end. */
static bool skip_damage(struct db_iter *it, struct buf *last)
{
    uint8_t key[16] = {0};
    if (last->n > 0)
        memcpy(key, last->p, min_u64(last->n, sizeof key));
    for (unsigned shift = last->n <= 8 ? 64 : 0; shift < 128; shift += SKIP_SHIFT) {
        uint64_t lo = get_u64(key + 8), hi = get_u64(key), by_lo = 0, by_hi = 0;
        if (shift < 64)
            by_lo = UINT64_C(1) << shift;
        else
            by_hi = UINT64_C(1) << (shift - 64);
        bool carry = __builtin_add_overflow(lo, by_lo, &lo);
        if (__builtin_add_overflow(hi, by_hi + carry, &hi))
            return false;
        put_u64(key, hi);
        put_u64(key + 8, lo);
        db_iter_seek(it, bytes_of(key, sizeof key));
        if (db_iter_next(it))
            return true;
        int rc = db_iter_status(it);
        if (rc == 0) /* nothing behind it */
            return false;
    }
    return false;
}

static int walk(struct check *c, enum db_cf cf, const char *table, struct db_iter *it)
{
    CLEANUP(buf_fini) struct buf last = {0};
    bool more = db_iter_next(it);
    for (;;) {
        for (; more; more = db_iter_next(it)) {
            struct bytes key = db_iter_key(it), v = db_iter_value(it);
            buf_reset(&last);
            buf_put_bytes(&last, key);
            int rc = check_row(c, cf, table, key, v);
            if (rc == 0)
                rc = buf_status(&last);
            if (rc < 0)
                return rc;
            if (!check_step(c, key.n + v.n))
                return -ECANCELED;
        }
        int rc = db_iter_status(it);
        if (rc == 0 || rc == -ENOMEM)
            return rc;
        check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "table '%s' is damaged: %s", table,
                      rc == -EUCLEAN ? "a checksum does not hold" : strerror(-rc));
        more = skip_damage(it, &last);
        if (!more)
            return 0;
    }
}

int check_tables(struct check *c)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_N(tables); i++) {
        struct db_iter *it = db_iter_new_scan(c->s->db, tables[i].cf, bytes_of(NULL, 0), NULL);
        rc = it == NULL ? -ENOMEM : walk(c, tables[i].cf, tables[i].name, it);
        db_iter_free(it);
    }
    return rc;
}

/* ---- staging files ---- */

static bool staging_step(void *arg, uint64_t bytes)
{
    return check_step(arg, bytes);
}

static void staging_fault(void *arg, const struct tree_fault *f)
{
    char what[120];
    snprintf(what, sizeof what, "%llu bytes at %llu are %s", (unsigned long long)f->bytes,
             (unsigned long long)f->offset,
             f->error == -EUCLEAN ? "not what was written" : strerror(-f->error));
    check_problem_file(arg, f->ino, CHECK_FOUND, what);
}

int check_staging(struct check *c)
{
    if (tree_healed(c->s->tree) > 0)
        check_problem(c, bytes_of(NULL, 0), CHECK_REPAIRED,
                      "a byte of %u staged blocks was put right when it was opened",
                      tree_healed(c->s->tree));
    int rc = tree_check_staging(c->s->tree, staging_step, staging_fault, c);
    /* The table itself was told of before. */
    return rc == -EUCLEAN || rc == -EIO ? 0 : rc;
}
