/* Names, link counts and bindings of the tree, in one state of the database. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/check.h"

struct row {
    uint64_t ino, parent;
    uint32_t nlink, names, folders; /* names that lead to it; folders in it */
    uint16_t type;                  /* S_IFMT bits >> 12 */
    bool bound, has_bind, above;    /* above: the way up from it ends at the root */
    uint8_t record[RID_SIZE];
};

struct look {
    struct check *c;
    struct db_snapshot *snap;
    struct buf rows; /* of struct row, by ino */
};

static struct row *row_at(struct look *l, size_t i)
{
    return (struct row *)(void *)l->rows.p + i;
}

static size_t rows_n(const struct look *l)
{
    return l->rows.n / sizeof(struct row);
}

static struct row *row_of(struct look *l, uint64_t ino)
{
    size_t lo = 0, hi = rows_n(l);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        struct row *r = row_at(l, mid);
        if (r->ino == ino)
            return r;
        if (r->ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static bool is_dir(const struct row *r)
{
    return r->type == S_IFDIR >> 12;
}

/* ---- reading ---- */

typedef int (*row_fn)(struct look *l, struct bytes key, struct bytes value);

/* Damage of the table was told of before; then what is missing here is no news. */
static int each(struct look *l, enum db_cf cf, row_fn fn)
{
    struct db_iter *it = db_iter_new_scan(l->c->s->db, cf, bytes_of(NULL, 0), l->snap);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it), v = db_iter_value(it);
        rc = fn(l, key, v);
        if (rc == 0 && !check_step(l->c, key.n + v.n))
            rc = -ECANCELED;
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

static int add_inode(struct look *l, struct bytes key, struct bytes value)
{
    struct attr a;
    if (key.n != 8 || attr_decode(value, get_u64(key.p), &a) < 0)
        return 0;
    struct row r = {.ino = a.ino,
                    .parent = a.parent,
                    .nlink = a.nlink,
                    .type = (uint16_t)((a.mode & S_IFMT) >> 12),
                    .bound = a.bound};
    memcpy(r.record, a.record, sizeof r.record);
    buf_put(&l->rows, &r, sizeof r);
    return buf_status(&l->rows);
}

/* ---- names ---- */

static int repair_entry(struct check *c, uint64_t dir, struct bytes name, const struct row *file)
{
    struct op x;
    struct dirent_value v;
    int rc = op_begin(c->s->tree, true, &x);
    if (rc < 0)
        return rc;
    rc = dirent_get(c->s->tree, dir, name, &v);
    if (rc < 0)
        return op_abort(&x, rc);
    if (file == NULL) {
        dirent_delete(&x, dir, name);
        op_pending_name(&x, dir, name, NULL);
    } else {
        v.type = (unsigned)file->type << 12;
        dirent_put(&x, dir, name, v);
    }
    return op_commit(&x);
}

static void tell_entry(struct check *c, uint64_t dir, struct bytes name, const struct row *file,
                       const char *what)
{
    bool fine = c->repair && repair_entry(c, dir, name, file) == 0;
    char line[400];
    snprintf(line, sizeof line, "the name '%.*s' in it %s", (int)min_u64(name.n, 255),
             (const char *)name.p, what);
    check_problem_file(c, dir, fine ? CHECK_REPAIRED : CHECK_FOUND, line);
}

static int add_name(struct look *l, struct bytes key, struct bytes value)
{
    struct dirent_value v;
    if (key.n <= 16 || dirent_decode(value, &v) < 0)
        return 0;
    struct bytes name = bytes_of(key.p + 16, key.n - 16);
    uint64_t dir = get_u64(key.p);
    struct row *d = row_of(l, dir), *f = row_of(l, v.ino);
    if (d == NULL || !is_dir(d) || d->nlink == 0 || f == NULL) {
        tell_entry(l->c, dir, name, NULL, f == NULL ? "leads to no file" : "is in no folder");
        return 0;
    }
    if (f->type != v.type >> 12)
        tell_entry(l->c, dir, name, f, "is of another kind than its file");
    f->names++;
    if (is_dir(f)) {
        d->folders++;
        if (f->parent != dir)
            check_problem_file(l->c, v.ino, CHECK_FOUND, "is a folder in two places");
    }
    return 0;
}

/* ---- link counts ---- */

static int repair_links(struct check *c, uint64_t ino, int64_t by)
{
    struct op x;
    struct attr *a;
    int rc = op_begin(c->s->tree, true, &x);
    if (rc < 0)
        return rc;
    rc = op_add(&x, ino, &a);
    if (rc < 0)
        return op_abort(&x, rc);
    a->nlink = (uint32_t)((int64_t)a->nlink + by);
    op_put(&x, a);
    return op_commit(&x);
}

/* A file that no name leads to gets one, at the top. */
static int repair_lost(struct check *c, const struct row *r)
{
    char text[40];
    struct op x;
    struct attr *root, *a;
    struct timespec now = attr_now();
    snprintf(text, sizeof text, "recovered-%llu", (unsigned long long)r->ino);
    struct bytes name = bytes_str(text);
    struct dirent_value there;
    int rc = op_begin(c->s->tree, true, &x);
    if (rc < 0)
        return rc;
    rc = dirent_get(c->s->tree, TREE_ROOT, name, &there);
    rc = rc == -ENOENT ? op_add(&x, TREE_ROOT, &root) : rc == 0 ? -EEXIST : rc;
    if (rc == 0)
        rc = op_add(&x, r->ino, &a);
    if (rc < 0)
        return op_abort(&x, rc);
    dirent_put(&x, TREE_ROOT, name, (struct dirent_value){r->ino, a->mode & S_IFMT});
    a->parent = TREE_ROOT;
    a->nlink = is_dir(r) ? 2 + r->folders : 1;
    op_put(&x, a);
    root->nlink += is_dir(r);
    names_touch(&x, root, &now);
    op_pending_name(&x, TREE_ROOT, name, NULL);
    return op_commit(&x);
}

static void check_links(struct check *c, const struct row *r)
{
    uint32_t want = is_dir(r) ? 2 + r->folders : r->names;
    if (r->ino != TREE_ROOT && r->names == 0 && r->nlink > 0) {
        bool fine = c->repair && repair_lost(c, r) == 0;
        check_problem_file(c, r->ino, fine ? CHECK_REPAIRED : CHECK_FOUND, "no name leads to it");
    } else if (r->nlink == 0 && r->names == 0) {
        return; /* unlinked, and still in use */
    } else if (r->nlink != want) {
        char what[100];
        snprintf(what, sizeof what, "counts %u links and has %u", r->nlink, want);
        bool fine = c->repair && repair_links(c, r->ino, (int64_t)want - r->nlink) == 0;
        check_problem_file(c, r->ino, fine ? CHECK_REPAIRED : CHECK_FOUND, what);
    }
}

/* Folders that are in one another, and in nothing else, have names and link counts as they should.
 */
static void check_way_up(struct look *l, struct row *r)
{
    size_t steps = 0;
    struct row *at = r;
    while (at != NULL && at->ino != TREE_ROOT && !at->above && steps++ <= rows_n(l))
        at = row_of(l, at->parent);
    if (at != NULL && (at->ino == TREE_ROOT || at->above)) {
        for (at = r; at != NULL && at->ino != TREE_ROOT && !at->above; at = row_of(l, at->parent))
            at->above = true;
        return;
    }
    r->above = true; /* told once */
    check_problem_file(l->c, r->ino, CHECK_FOUND, "is in no folder that is below the top");
}

/* ---- bindings ---- */

static int repair_bind(struct check *c, struct bytes key, const struct row *r)
{
    struct op x;
    struct attr *a;
    uint8_t value[8];
    int rc = op_begin(c->s->tree, true, &x);
    if (rc < 0)
        return rc;
    if (r == NULL) {
        db_batch_delete(x.batch, DB_BIND, key);
        return op_commit(&x);
    }
    rc = op_add(&x, r->ino, &a);
    if (rc < 0 || !a->bound || memcmp(a->record, key.p, RID_SIZE) != 0)
        return op_abort(&x, rc < 0 ? rc : -EAGAIN);
    put_u64(value, r->ino);
    db_batch_put(x.batch, DB_BIND, key, bytes_of(value, sizeof value));
    return op_commit(&x);
}

/* Whether no file shows the record, nor should: else its name is pending, or is looked at as such.
 */
static bool is_stray(struct space *s, const struct rid *rid)
{
    uint64_t ino;
    struct attr a = {.bound = false};
    struct replica_info info = {.shown = true};
    pthread_mutex_lock(&s->lock);
    int rc = bind_ino(s, rid, &ino);
    if (rc == 0)
        rc = tree_getattr(s->tree, ino, &a);
    bool shows = rc == 0 && a.bound && memcmp(a.record, rid->b, sizeof a.record) == 0;
    if (rc == -ESTALE || (rc == 0 && !shows))
        rc = replica_stat(s->replica, rid, &info);
    pthread_mutex_unlock(&s->lock);
    return rc == 0 && !shows && !info.shown;
}

static int add_bind(struct look *l, struct bytes key, struct bytes value)
{
    if (key.n != RID_SIZE || value.n != 8)
        return 0;
    struct row *r = row_of(l, get_u64(value.p));
    if (r != NULL && r->bound && memcmp(r->record, key.p, RID_SIZE) == 0) {
        r->has_bind = true;
        return 0;
    }
    struct rid rid;
    memcpy(rid.b, key.p, sizeof rid.b);
    if (!is_stray(l->c->s, &rid))
        return 0;
    bool fine = l->c->repair && repair_bind(l->c, key, NULL) == 0;
    check_problem_record(l->c, &rid, fine ? CHECK_REPAIRED : CHECK_FOUND,
                         "is bound to a file that does not show it");
    return 0;
}

static void check_bind(struct check *c, const struct row *r)
{
    if (!r->bound || r->has_bind || r->ino == TREE_ROOT || r->nlink == 0)
        return;
    bool fine = c->repair && repair_bind(c, bytes_of(r->record, RID_SIZE), r) == 0;
    check_problem_file(c, r->ino, fine ? CHECK_REPAIRED : CHECK_FOUND,
                       "shows a record that is not bound to it");
}

static int look(struct look *l)
{
    int rc = each(l, DB_INODE, add_inode);
    if (rc == 0)
        rc = each(l, DB_DIRENT, add_name);
    if (rc == 0)
        rc = each(l, DB_BIND, add_bind);
    for (size_t i = 0; rc == 0 && i < rows_n(l); i++) {
        struct row *r = row_at(l, i);
        check_links(l->c, r);
        check_bind(l->c, r);
        if (is_dir(r) && r->nlink > 0 && r->names > 0)
            check_way_up(l, r);
        rc = l->c->broken ? -ECANCELED : 0;
    }
    return rc;
}

int check_tree(struct check *c)
{
    struct look l = {.c = c, .snap = db_snapshot_new(c->s->db)};
    int rc = l.snap == NULL ? -ENOMEM : look(&l);
    db_snapshot_free(c->s->db, l.snap);
    buf_fini(&l.rows);
    if (rc != -EUCLEAN && rc != -EIO)
        return rc;
    check_problem(c, bytes_of(NULL, 0), CHECK_FOUND,
                  "names and files could not be compared: a table cannot be read");
    return 0;
}
