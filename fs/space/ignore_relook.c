/* Rules that have changed, or that a folder was moved to: names are looked at again. */
#include <errno.h>

#include "fs/space/ignore_priv.h"

static size_t relook_key(uint64_t dir, uint8_t key[PENDING_KEY_MAX])
{
    size_t n = pending_inode_key(dir, key);
    key[0] = 'r';
    return n;
}

struct effect {
    struct space *s;
    struct op *x;
    bool rules; /* a file of rules came, went or changed */
};

/* What is below a folder is looked at again, when this change is written. */
static int relook_below(struct effect *w, const struct rid *dir)
{
    uint8_t key[PENDING_KEY_MAX];
    uint64_t ino;
    int rc = bind_ino(w->s, dir, &ino);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc; /* it is just coming, or going: nothing else is in it */
    db_batch_put(w->x->batch, DB_PENDING, bytes_of(key, relook_key(ino, key)), bytes_of(NULL, 0));
    w->s->ignore->generation++;
    publisher_changed(w->s, &(struct tree_change){.kind = TREE_INODE, .ino = ino});
    return 0;
}

static int look_entry(void *arg, const struct replica_entry *e)
{
    struct effect *w = arg;
    if (!ignore_is_rules(bytes_of(e->name, e->name_len)))
        return 0;
    w->rules = true;
    return relook_below(w, &e->parent);
}

/* A folder that moved takes its names to other rules, or away from some. */
static int look_moved(struct effect *w, const struct rid *dir, const struct replica_place *p)
{
    struct ignore *g = w->s->ignore;
    const struct rid *parents[] = {&p->from.parent, &p->to.parent};
    bool any = false;
    for (size_t i = 0; i < ARRAY_N(parents) && !any; i++)
        any = ignore_enter(w->s, parents[i]) < 0 || g->last.levels.n > 0;
    /* Read while the change was not written yet. */
    ignore_forget(g);
    return any ? relook_below(w, dir) : 0;
}

int ignore_effect(struct space *s, struct op *x, const struct replica_effect *e)
{
    struct effect w = {.s = s, .x = x};
    int rc = 0;
    for (size_t i = 0; i < e->places_n && rc == 0; i++) {
        const struct replica_place *p = &e->places[i];
        if (p->was)
            rc = look_entry(&w, &p->from);
        if (rc == 0 && p->is)
            rc = look_entry(&w, &p->to);
        if (rc == 0 && rid_is_dir(&e->rid) && p->was)
            rc = p->is ? look_moved(&w, &e->rid, p) : 0;
        s->ignore->last.valid = s->ignore->last.valid && !rid_is_dir(&e->rid);
    }
    if (rc == 0 && e->content && e->places_n == 0)
        rc = replica_entries(s->replica, &e->rid, look_entry, &w);
    if (w.rules)
        ignore_forget(s->ignore);
    return rc;
}

/* ---- looking again ---- */

enum { SLICE = 256 };

struct relook {
    struct space *s;
    struct rid rid;
    uint64_t dir;
    struct buf dirs;  /* numbers of folders that are still to be looked at */
    struct buf names; /* of the slice: number, type, length byte, name */
    unsigned names_n;
};

static int relook_one(struct relook *r, struct op *x, uint64_t ino, bool is_dir, struct bytes name)
{
    bool ignored;
    struct attr a;
    int rc = ignore_name(r->s, &r->rid, name, is_dir, &ignored);
    if (rc < 0 || ignored)
        return rc;
    rc = tree_getattr(r->s->tree, ino, &a);
    if (rc < 0)
        return rc == -ESTALE ? 0 : rc;
    if (!a.bound) {
        op_pending_name(x, r->dir, name, NULL);
        return 1;
    }
    if (is_dir)
        buf_put_u64(&r->dirs, ino);
    return buf_status(&r->dirs);
}

/* Notes which names of a slice are to be published, and then tells of them. */
static int relook_slice(struct relook *r)
{
    struct space *s = r->s;
    struct op x;
    CLEANUP(buf_fini) struct buf told = {0};
    struct reader left = reader_of(buf_bytes(&r->names));
    pthread_mutex_lock(&s->lock);
    int rc = op_begin(s->tree, false, &x);
    bool begun = rc == 0;
    while (rc == 0 && left.n > 0) {
        uint64_t ino = reader_u64(&left);
        bool is_dir = reader_u8(&left) != 0;
        size_t n = reader_u8(&left);
        struct bytes name = reader_bytes(&left, n);
        rc = relook_one(r, &x, ino, is_dir, name);
        if (rc > 0) {
            buf_put_u8(&told, (uint8_t)n);
            buf_put_bytes(&told, name);
            rc = buf_status(&told);
        }
    }
    if (begun)
        rc = rc < 0 || told.n == 0 ? op_abort(&x, rc) : op_commit(&x);
    pthread_mutex_unlock(&s->lock);
    left = reader_of(buf_bytes(&told));
    while (rc == 0 && left.n > 0) {
        size_t n = reader_u8(&left);
        publisher_changed(s, &(struct tree_change){
                                 .kind = TREE_NAME, .ino = r->dir, .name = reader_bytes(&left, n)});
    }
    buf_reset(&r->names);
    r->names_n = 0;
    return rc;
}

static int add_entry(void *arg, struct bytes name, struct dirent_value v)
{
    struct relook *r = arg;
    buf_put_u64(&r->names, v.ino);
    buf_put_u8(&r->names, S_ISDIR(v.type));
    buf_put_u8(&r->names, (uint8_t)name.n);
    buf_put_bytes(&r->names, name);
    int rc = buf_status(&r->names);
    return rc == 0 && ++r->names_n == SLICE ? relook_slice(r) : rc;
}

static int relook_all(struct relook *r)
{
    int rc = 0;
    while (rc == 0 && r->dirs.n > 0) {
        struct attr a;
        r->dir = get_u64(r->dirs.p + r->dirs.n - 8);
        r->dirs.n -= 8;
        rc = tree_getattr(r->s->tree, r->dir, &a);
        if (rc == -ESTALE || (rc == 0 && !a.bound)) {
            rc = 0;
            continue;
        }
        r->rid = bind_rid(&a);
        if (rc == 0)
            rc = dirent_each(r->s->tree, r->dir, add_entry, r);
        if (rc == 0)
            rc = relook_slice(r);
    }
    return rc;
}

static int drop_note(struct space *s, struct bytes key)
{
    struct op x;
    int rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    db_batch_delete(x.batch, DB_PENDING, key);
    return op_commit(&x);
}

/* Whether there is a note to look again; with @done it goes, unless rules changed meanwhile. */
static int relook_note(struct space *s, uint64_t dir, uint64_t *generation, bool done)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = relook_key(dir, key);
    pthread_mutex_lock(&s->lock);
    int rc = db_has(s->db, DB_PENDING, bytes_of(key, n));
    if (rc > 0 && done && *generation == s->ignore->generation)
        rc = drop_note(s, bytes_of(key, n));
    *generation = s->ignore->generation;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int ignore_relook(struct space *s, uint64_t dir)
{
    struct relook r = {.s = s};
    uint64_t generation = 0;
    int rc = relook_note(s, dir, &generation, false);
    if (rc <= 0)
        return rc;
    buf_put_u64(&r.dirs, dir);
    rc = buf_status(&r.dirs);
    if (rc == 0)
        rc = relook_all(&r);
    if (rc == 0)
        rc = relook_note(s, dir, &generation, true);
    buf_fini(&r.dirs);
    buf_fini(&r.names);
    return rc;
}
