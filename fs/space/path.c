#include "fs/space/path.h"

#include <errno.h>
#include <stdlib.h>

enum { DEPTH_MAX = 2 * LIMIT_DEPTH, LOOKS_MAX = 4096 };

bool path_next(const char **text, struct bytes *ret_name)
{
    const char *p = *text;
    while (*p == '/')
        p++;
    size_t n = strcspn(p, "/");
    *ret_name = bytes_of(p, n);
    *text = p + n;
    return n > 0;
}

size_t path_parent_len(const char *text)
{
    const char *slash = strrchr(text, '/');
    return slash == NULL ? 0 : (size_t)(slash - text);
}

bool path_covers(const char *path, struct bytes at)
{
    size_t n = strlen(path);
    return n == 0 || (at.n >= n && memcmp(at.p, path, n) == 0 && (at.n == n || at.p[n] == '/'));
}

int path_file(struct space *s, const char *text, struct attr *ret)
{
    struct attr a;
    struct bytes name;
    int rc = tree_getattr(s->tree, TREE_ROOT, &a);
    while (rc == 0 && path_next(&text, &name))
        rc = !attr_is_dir(&a) ? -ENOENT : tree_lookup(s->tree, a.ino, name, &a);
    if (rc == 0)
        *ret = a;
    return rc == -ENAMETOOLONG || rc == -ESTALE ? -ENOENT : rc;
}

int path_is_pending(struct space *s, const char *text)
{
    struct attr dir;
    size_t n = path_parent_len(text);
    const char *name = text + n + (text[n] == '/');
    CLEANUP(buf_fini) struct buf parent = {0};
    uint8_t key[PENDING_KEY_MAX];
    buf_put(&parent, text, n);
    buf_put_u8(&parent, 0);
    int rc = buf_status(&parent);
    if (rc == 0)
        rc = path_file(s, (const char *)parent.p, &dir);
    if (rc < 0 || !dir.bound) /* in a folder that is not published itself, notes are kept a while */
        return rc == -ENOENT ? 0 : rc;
    size_t key_n = pending_name_key(dir.ino, bytes_str(name), key);
    return db_has(s->db, DB_PENDING, bytes_of(key, key_n));
}

/* ---- records, deleted ones included ---- */

struct candidate {
    struct rid rid;
    struct stamp last; /* when it got the name last */
    bool shown;
};

struct search {
    struct space *s;
    struct buf *rids;
    unsigned looks;
    bool shown;
};

static int add_rid(void *ctx, const struct rid *rid)
{
    struct buf *b = ctx;
    struct candidate c = {.rid = *rid};
    buf_put(b, &c, sizeof c);
    return buf_status(b);
}

struct last_place {
    const struct rid *parent;
    struct bytes name;
    struct stamp last;
};

static int look_place(void *ctx, const struct history_place *p)
{
    struct last_place *l = ctx;
    if (rid_equal(&p->parent, l->parent) && bytes_equal(bytes_of(p->name, p->name_len), l->name))
        l->last = p->stamp;
    return 0;
}

static int cmp_candidates(const void *ap, const void *bp)
{
    const struct candidate *a = ap, *b = bp;
    if (a->shown != b->shown)
        return a->shown ? -1 : 1;
    return stamp_cmp(&b->last, &a->last);
}

/* Who is shown at a name, and who was and is shown nowhere; the latest first. */
static int candidates(struct space *s, const struct rid *dir, struct bytes name, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf all = {0};
    struct replica_entry e;
    int rc = replica_lookup(s->replica, dir, name, &e);
    bool any = rc == 0;
    if (any) {
        struct candidate c = {.rid = e.rid, .shown = true};
        buf_put(ret, &c, sizeof c);
    }
    rc = any || rc == -ENOENT ? replica_find(s->replica, dir, name, add_rid, &all) : rc;
    for (size_t i = 0; rc == 0 && i < all.n; i += sizeof(struct candidate)) {
        struct candidate c;
        struct replica_info info;
        memcpy(&c, all.p + i, sizeof c);
        struct last_place l = {.parent = dir, .name = name};
        rc = replica_stat(s->replica, &c.rid, &info);
        if (rc == 0 && !info.shown)
            rc = replica_places(s->replica, &c.rid, look_place, &l);
        c.last = l.last;
        if (rc == 0 && !info.shown)
            buf_put(ret, &c, sizeof c);
    }
    if (rc == 0)
        rc = buf_status(ret);
    if (rc == 0 && ret->n > sizeof(struct candidate))
        qsort(ret->p, ret->n / sizeof(struct candidate), sizeof(struct candidate), cmp_candidates);
    return rc;
}

/* Goes down every way that @text may have meant; a shown directory before a deleted one. */
static int search(struct search *w, const struct rid *dir, bool shown, const char *text)
{
    struct bytes name;
    if (!path_next(&text, &name)) {
        w->shown = w->shown || (shown && w->rids->n == 0);
        buf_put(w->rids, dir, sizeof *dir);
        return buf_status(w->rids);
    }
    if (!rid_is_dir(dir) || name.n > LIMIT_NAME || ++w->looks > LOOKS_MAX)
        return 0;
    CLEANUP(buf_fini) struct buf found = {0};
    int rc = candidates(w->s, dir, name, &found);
    for (size_t i = 0; rc == 0 && i < found.n; i += sizeof(struct candidate)) {
        struct candidate c;
        memcpy(&c, found.p + i, sizeof c);
        rc = search(w, &c.rid, shown && c.shown, text);
    }
    return rc;
}

void path_fini(struct path *p)
{
    buf_fini(&p->rids);
}

int path_find(struct space *s, const char *text, struct path *ret)
{
    *ret = (struct path){0};
    int rc = path_file(s, text, &ret->file);
    ret->has_file = rc == 0;
    struct search w = {.s = s, .rids = &ret->rids};
    struct rid root = RID_ROOT;
    if (rc == 0 || rc == -ENOENT) {
        pthread_mutex_lock(&s->lock);
        rc = search(&w, &root, true, text);
        pthread_mutex_unlock(&s->lock);
    }
    ret->shown = w.shown;
    if (rc == 0 && !ret->has_file && ret->rids.n == 0)
        rc = -ENOENT;
    if (rc < 0)
        path_fini(ret);
    return rc;
}

/* ---- the other way round ---- */

struct step {
    struct rid parent;
    size_t name_n;
    char name[LIMIT_NAME];
};

static int take_entry(void *ctx, const struct replica_entry *e)
{
    struct step *step = ctx;
    step->parent = e->parent;
    step->name_n = e->name_len;
    memcpy(step->name, e->name, e->name_len);
    return 1;
}

static int take_place(void *ctx, const struct history_place *p)
{
    struct step *step = ctx;
    step->parent = p->parent;
    step->name_n = p->name_len;
    memcpy(step->name, p->name, p->name_len);
    return 0;
}

/* Puts a component before what was appended to @b from @start on. */
static void prepend(struct buf *b, size_t start, struct bytes name)
{
    size_t old = b->n - start, more = name.n + (old > 0);
    if (buf_resize(b, b->n + more) < 0)
        return;
    memmove(b->p + start + more, b->p + start, old);
    memcpy(b->p + start, name.p, name.n);
    if (old > 0)
        b->p[start + name.n] = '/';
}

int path_of_record(struct space *s, const struct rid *rid, struct buf *ret)
{
    struct rid at = *rid;
    size_t start = ret->n;
    for (unsigned depth = 0; !rid_is_root(&at); depth++) {
        struct step step = {.name_n = 0};
        int rc = depth < DEPTH_MAX ? replica_entries(s->replica, &at, take_entry, &step) : -ELOOP;
        if (rc == 0)
            rc = replica_places(s->replica, &at, take_place, &step);
        if (rc < 0 || step.name_n == 0)
            return rc < 0 ? rc : -ENOENT;
        prepend(ret, start, bytes_of(step.name, step.name_n));
        at = step.parent;
    }
    return buf_status(ret);
}

struct find_name {
    uint64_t ino;
    struct step *step;
};

static bool is_wanted(void *arg, const struct tree_entry *e)
{
    struct find_name *f = arg;
    if (e->ino != f->ino || e->offset <= 2)
        return true;
    f->step->name_n = e->name.n;
    memcpy(f->step->name, e->name.p, e->name.n);
    return false;
}

static int name_of(struct space *s, uint64_t dir, uint64_t ino, struct step *step)
{
    struct find_name f = {ino, step};
    step->name_n = 0;
    int rc = tree_list(s->tree, dir, 0, false, is_wanted, &f);
    return rc == 0 && step->name_n == 0 ? -ENOENT : rc;
}

int path_name_of(struct space *s, uint64_t dir, uint64_t ino, struct buf *ret)
{
    struct step step;
    int rc = name_of(s, dir, ino, &step);
    if (rc == 0)
        buf_put(ret, step.name, step.name_n);
    return rc < 0 ? rc : buf_status(ret);
}

int path_of_file(struct space *s, uint64_t ino, struct buf *ret)
{
    size_t start = ret->n;
    for (unsigned depth = 0; ino != TREE_ROOT; depth++) {
        struct attr a;
        struct step step;
        int rc = depth < DEPTH_MAX ? tree_getattr(s->tree, ino, &a) : -ELOOP;
        if (rc == 0)
            rc = name_of(s, a.parent, ino, &step);
        if (rc < 0)
            return rc == -ESTALE ? -ENOENT : rc;
        prepend(ret, start, bytes_of(step.name, step.name_n));
        ino = a.parent;
    }
    return buf_status(ret);
}

bool path_add_entry(void *arg, const struct tree_entry *e)
{
    struct buf *b = arg;
    if (e->offset <= 2) /* "." and ".." */
        return true;
    buf_put_u8(b, (uint8_t)e->name.n);
    buf_put_bytes(b, e->name);
    return !b->failed;
}
