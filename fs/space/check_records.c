/*
 * That the tree shows what the records say, but for what is pending and for this device alone; and
 * that the digest that is kept of the records is theirs.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/replica/check.h"
#include "fs/space/check.h"
#include "fs/space/ignore.h"
#include "fs/space/path.h"

enum { DEPTH_MAX = 2 * LIMIT_DEPTH };

struct names {
    struct buf entries; /* of struct replica_entry: what the records show in a folder */
    struct buf local;   /* names in the tree, each with its length before it */
};

static int add_entry(void *ctx, const struct replica_entry *e)
{
    struct buf *b = ctx;
    buf_put(b, e, sizeof *e);
    return buf_status(b);
}

/* ---- one name, with nothing changing meanwhile ---- */

enum verdict { FINE, NOT_SHOWN, NOT_PUBLISHED };

static int is_pending(struct space *s, uint64_t dir, struct bytes name, uint64_t ino)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_name_key(dir, name, key);
    int rc = db_has(s->db, DB_PENDING, bytes_of(key, n));
    if (rc != 0 || ino == 0)
        return rc;
    n = pending_inode_key(ino, key);
    return db_has(s->db, DB_PENDING, bytes_of(key, n));
}

/* Both locks are held. */
static int judge(struct space *s, const struct rid *rid, uint64_t dir, struct bytes name,
                 enum verdict *ret, bool *ret_is_dir)
{
    struct replica_entry e;
    struct attr d, a = {.ino = 0};
    enum kind kind;
    *ret = FINE;
    int rc = replica_lookup(s->replica, rid, name, &e);
    bool shown = rc == 0;
    if (rc == 0 || rc == -ENOENT)
        rc = tree_lookup(s->tree, dir, name, &a);
    bool there = rc == 0;
    if (rc < 0 && rc != -ENOENT)
        return rc == -ESTALE ? 0 : rc;
    struct rid has = bind_rid(&a);
    if (shown && there && a.bound && rid_equal(&has, &e.rid))
        return 0;
    if (shown && !there)
        shown = bind_waits(s, &e.rid) == 0;
    if (!shown && !there)
        return 0;
    rc = tree_getattr(s->tree, dir, &d);
    if (rc == 0)
        rc = is_pending(s, dir, name, a.ino);
    if (rc != 0 || !d.bound)
        return rc < 0 ? rc : 0;
    if (shown)
        *ret = NOT_SHOWN;
    else if (capture_kind(&a, &kind) && value_name_valid(rid, name))
        *ret = NOT_PUBLISHED;
    *ret_is_dir = there && attr_is_dir(&a);
    return 0;
}

/* The publisher looks at the name again: it makes records of what the tree has. */
static int repair(struct space *s, uint64_t dir, struct bytes name)
{
    struct op x;
    int rc = op_begin(s->tree, true, &x);
    if (rc < 0)
        return rc;
    op_pending_name(&x, dir, name, NULL);
    rc = op_commit(&x);
    if (rc == 0)
        publisher_changed(s, &(struct tree_change){.kind = TREE_NAME, .ino = dir, .name = name});
    return rc;
}

static int look_at(struct check *c, const struct rid *rid, uint64_t dir, struct bytes name)
{
    struct space *s = c->s;
    struct op x;
    enum verdict verdict = FINE;
    bool is_dir = false, ignored = false;
    pthread_mutex_lock(&s->lock);
    int rc = op_begin(s->tree, true, &x);
    if (rc == 0)
        rc = op_abort(&x, judge(s, rid, dir, name, &verdict, &is_dir));
    if (rc == 0 && verdict == NOT_PUBLISHED)
        rc = ignore_name(s, rid, name, is_dir, &ignored);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0 || verdict == FINE || ignored)
        return rc == -ESTALE ? 0 : rc;
    CLEANUP(buf_fini) struct buf path = {0};
    rc = path_of_file(s, dir, &path);
    if (rc == 0 && path.n > 0)
        buf_put_u8(&path, '/');
    buf_put_bytes(&path, name);
    if (buf_status(&path) < 0)
        return -ENOMEM;
    /* What is shown and not there could be a deletion or a loss: it is not decided here. */
    bool fine = verdict == NOT_PUBLISHED && c->repair && repair(s, dir, name) == 0;
    check_problem(c, buf_bytes(&path), fine ? CHECK_REPAIRED : CHECK_FOUND, "%s",
                  verdict == NOT_SHOWN ? "is not in the folder as the records have it"
                                       : "is in the folder and not in the records");
    return 0;
}

/* ---- folders ---- */

static int by_name(const void *ap, const void *bp)
{
    const struct replica_entry *a = ap, *b = bp;
    return bytes_cmp(bytes_of(a->name, a->name_len), bytes_of(b->name, b->name_len));
}

static bool in_records(const struct names *n, struct bytes name)
{
    struct replica_entry key = {.name_len = (uint8_t)name.n};
    memcpy(key.name, name.p, name.n);
    return n->entries.n > 0 &&
           bsearch(&key, n->entries.p, n->entries.n / sizeof key, sizeof key, by_name) != NULL;
}

static int read_names(struct space *s, const struct rid *rid, uint64_t dir, struct names *ret)
{
    pthread_mutex_lock(&s->lock);
    int rc = replica_list(s->replica, rid, add_entry, &ret->entries);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0)
        rc = tree_list(s->tree, dir, 0, false, path_add_entry, &ret->local);
    if (rc == 0)
        rc = buf_status(&ret->local);
    size_t n = ret->entries.n / sizeof(struct replica_entry);
    if (rc == 0 && n > 1)
        qsort(ret->entries.p, n, sizeof(struct replica_entry), by_name);
    return rc;
}

static int check_folder(struct check *c, const struct rid *rid, uint64_t dir, unsigned depth);

static int check_entry(struct check *c, const struct replica_entry *e, uint64_t dir, unsigned depth)
{
    struct attr a;
    struct bytes name = bytes_of(e->name, e->name_len);
    int rc = tree_lookup(c->s->tree, dir, name, &a);
    struct rid has = bind_rid(&a);
    if (rc < 0 || !a.bound || !rid_equal(&has, &e->rid))
        return look_at(c, &e->parent, dir, name);
    return attr_is_dir(&a) ? check_folder(c, &e->rid, a.ino, depth + 1) : 0;
}

static int check_both(struct check *c, const struct rid *rid, uint64_t dir, const struct names *n,
                      unsigned depth)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < n->entries.n; at += sizeof(struct replica_entry)) {
        struct replica_entry e;
        memcpy(&e, n->entries.p + at, sizeof e);
        rc = check_entry(c, &e, dir, depth);
        if (rc == 0 && !check_step(c, sizeof e))
            rc = -ECANCELED;
    }
    struct reader left = reader_of(buf_bytes(&n->local));
    while (rc == 0 && left.n > 0) {
        size_t k = reader_u8(&left);
        struct bytes name = reader_bytes(&left, k);
        if (!in_records(n, name))
            rc = look_at(c, rid, dir, name);
    }
    return rc;
}

static int check_folder(struct check *c, const struct rid *rid, uint64_t dir, unsigned depth)
{
    struct names n = {0};
    int rc = depth < DEPTH_MAX ? read_names(c->s, rid, dir, &n) : -ELOOP;
    if (rc == 0)
        rc = check_both(c, rid, dir, &n, depth);
    buf_fini(&n.entries);
    buf_fini(&n.local);
    if (rc == 0 || rc == -ENOMEM || rc == -ECANCELED || rc == -ESTALE || rc == -ENOENT)
        return rc == -ESTALE || rc == -ENOENT ? 0 : rc;
    check_problem_file(c, dir, CHECK_FOUND, "cannot be compared with its records: damaged");
    return 0;
}

/* ---- the digest ---- */

static int repair_digest(struct space *s)
{
    struct db_batch *b = db_batch_new(s->db);
    if (b == NULL)
        return -ENOMEM;
    int rc = replica_digest_repair(s->replica, b);
    if (rc == 0)
        rc = db_write(s->db, b, false);
    if (rc == 0)
        replica_committed(s->replica);
    else
        replica_abort(s->replica);
    db_batch_free(b);
    return rc;
}

/* Without it others cannot tell that this device has all that they have. */
static int check_digest(struct check *c)
{
    struct space *s = c->s;
    struct state_digest kept, anew;
    bool repaired = false;
    pthread_mutex_lock(&s->lock);
    replica_digest(s->replica, &kept);
    int rc = replica_digest_recount(s->replica, &anew);
    bool same = memcmp(&kept, &anew, sizeof kept) == 0;
    if (rc == 0 && !same && c->repair)
        repaired = repair_digest(s) == 0;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0) /* of a damaged row was told already */
        return rc == -ENOMEM ? rc : 0;
    if (!same)
        check_problem(c, bytes_of(NULL, 0), repaired ? CHECK_REPAIRED : CHECK_FOUND,
                      "the digest of the records is not theirs");
    return 0;
}

int check_records(struct check *c)
{
    struct rid root = RID_ROOT;
    int rc = check_digest(c);
    return rc < 0 ? rc : check_folder(c, &root, TREE_ROOT, 0);
}
