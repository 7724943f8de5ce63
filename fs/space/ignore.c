/*
 * Names that stay on this device: what programs make beside a file while they work on it, and what
 * the rules say that a person has put into files named .persistignore.
 *
 * Rules are in force as their file was published last: so a save of it is atomic here, too. What is
 * kept of them in memory is guarded by space.lock, and dropped when records of such files change.
 */
#include "fs/space/ignore.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/replica/version.h"
#include "fs/space/ignore_rules.h"
#include "fs/space/path.h"
#include "proto/base/log.h"

/* Measured on the editors' save sequences; see fs/space/README.md. */
static const char builtin[] =
    ".*.sw[a-px]\n.sw[a-p]\n4913\n.~lock.*#\n.#*\n\\#*#\n*~\n.goutputstream-*\n*.kate-swp\n"
    ".nfs*\n.fuse_hidden*\n";

enum { DEPTH_MAX = 2 * LIMIT_DEPTH, SLOTS = 1024, SLOTS_FULL = SLOTS - DEPTH_MAX - 1 };

/* What is known of one folder's own rules. */
struct slot {
    bool used;
    struct rid dir, file;
    struct ignore_rules *rules; /* NULL: none */
};

/* Rules that are in force, and where in a path what they speak of begins. */
struct level {
    const struct slot *slot;
    size_t from;
};

/* All that a name in one folder has to be looked at for. */
struct folder {
    bool valid;
    bool ignored; /* the folder itself, so all that is in it */
    struct rid rid;
    struct buf path;
    struct buf levels; /* of struct level */
};

struct ignore {
    struct ignore_rules builtin;
    struct slot slots[SLOTS];
    size_t slots_n;
    struct folder last;  /* names are looked at folder by folder */
    struct dot refused;  /* the version of rules that was complained of last */
    uint64_t generation; /* counts changes of rules */
};

bool ignore_is_rules(struct bytes name)
{
    return bytes_equal(name, bytes_str(".persistignore"));
}

int ignore_open(struct space *s)
{
    s->ignore = calloc(1, sizeof *s->ignore);
    return s->ignore == NULL ? -ENOMEM
                             : ignore_rules_parse(bytes_str(builtin), &s->ignore->builtin);
}

static void forget(struct ignore *g)
{
    for (size_t i = 0; i < SLOTS && g->slots_n > 0; i++)
        if (g->slots[i].used && g->slots[i].rules != NULL) {
            ignore_rules_fini(g->slots[i].rules);
            free(g->slots[i].rules);
        }
    memset(g->slots, 0, sizeof g->slots);
    g->slots_n = 0;
    g->last.valid = false;
}

void ignore_close(struct space *s)
{
    struct ignore *g = s->ignore;
    if (g == NULL)
        return;
    forget(g);
    buf_fini(&g->last.path);
    buf_fini(&g->last.levels);
    ignore_rules_fini(&g->builtin);
    free(g);
}

/* ---- the rules of a folder ---- */

static void refuse(struct space *s, const struct rid *dir, const struct dot *version)
{
    CLEANUP(buf_fini) struct buf path = {0};
    if (dot_equal(version, &s->ignore->refused))
        return;
    s->ignore->refused = *version;
    if (path_of_record(s, dir, &path) < 0 || path.n == 0)
        buf_put_u8(&path, '.');
    buf_put_u8(&path, 0);
    if (buf_status(&path) == 0)
        log_warn("%s/.persistignore: more than %d KiB, %d lines or %d bytes in a line; none of its "
                 "rules holds until it is made shorter",
                 (const char *)path.p, IGNORE_FILE_MAX >> 10, IGNORE_LINES_MAX, IGNORE_LINE_MAX);
}

static int read_text(struct space *s, const struct rid *rid, const struct replica_content *from,
                     struct buf *ret)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct content *c;
    int rc = version_read(s->db, rid, &from->dot, &body);
    if (rc == 0)
        rc = content_open(s->db, buf_bytes(&body), &c);
    if (rc < 0)
        return rc == -ENOENT ? -EUCLEAN : rc;
    rc = buf_resize(ret, from->size);
    ssize_t n = rc == 0 && ret->n > 0 ? content_read(c, 0, ret->p, ret->n) : 0;
    content_free(c);
    return rc < 0 ? rc : n < 0 ? (int)n : (size_t)n < ret->n ? -EUCLEAN : 0;
}

static int load(struct space *s, struct slot *slot)
{
    struct replica_entry e;
    struct replica_info info;
    int rc = replica_lookup(s->replica, &slot->dir, bytes_str(".persistignore"), &e);
    if (rc < 0 || rid_kind(&e.rid) != KIND_FILE)
        return rc == -ENOENT ? 0 : rc;
    rc = replica_stat(s->replica, &e.rid, &info);
    if (rc < 0 || dot_is_none(&info.content.dot))
        return rc;
    CLEANUP(buf_fini) struct buf text = {0};
    struct ignore_rules rules = {.text = {0}};
    rc = info.content.size > IGNORE_FILE_MAX ? -E2BIG : read_text(s, &e.rid, &info.content, &text);
    if (rc == 0)
        rc = ignore_rules_parse(buf_bytes(&text), &rules);
    if (rc == -E2BIG)
        refuse(s, &slot->dir, &info.content.dot);
    if (rc < 0 && rc != -E2BIG)
        return rc;
    slot->file = e.rid;
    slot->rules = malloc(sizeof rules);
    if (slot->rules == NULL) {
        ignore_rules_fini(&rules);
        return -ENOMEM;
    }
    *slot->rules = rules;
    return 0;
}

static int slot_of(struct space *s, const struct rid *dir, const struct slot **ret)
{
    struct ignore *g = s->ignore;
    size_t at = get_u64(dir->b + RID_SIZE - 8) % SLOTS;
    while (g->slots[at].used && !rid_equal(&g->slots[at].dir, dir))
        at = (at + 1) % SLOTS;
    struct slot *slot = &g->slots[at];
    if (!slot->used) {
        *slot = (struct slot){.dir = *dir};
        int rc = load(s, slot);
        if (rc < 0)
            return rc;
        slot->used = true;
        g->slots_n++;
    }
    *ret = slot;
    return 0;
}

/* ---- the way down to a folder ---- */

struct step {
    struct rid dir, parent;
    size_t name_n;
    char name[LIMIT_NAME];
};

static int take_entry(void *arg, const struct replica_entry *e)
{
    struct step *step = arg;
    step->parent = e->parent;
    step->name_n = e->name_len;
    memcpy(step->name, e->name, e->name_len);
    return 1;
}

/* From @dir up to below the root. */
static int steps_up(struct space *s, const struct rid *dir, struct buf *ret)
{
    struct rid at = *dir;
    for (unsigned depth = 0; !rid_is_root(&at); depth++) {
        struct step step = {.dir = at};
        int rc = depth < DEPTH_MAX ? replica_entries(s->replica, &at, take_entry, &step) : -ELOOP;
        if (rc <= 0)
            return rc < 0 ? rc : -ENOENT;
        buf_put(ret, &step, sizeof step);
        at = step.parent;
    }
    return buf_status(ret);
}

static bool judge(const struct ignore *g, const struct folder *f, bool is_dir)
{
    struct bytes path = buf_bytes(&f->path);
    enum ignore_verdict v = IGNORE_SILENT;
    for (size_t end = f->levels.n; end > 0 && v == IGNORE_SILENT; end -= sizeof(struct level)) {
        struct level l;
        memcpy(&l, f->levels.p + end - sizeof l, sizeof l);
        v = ignore_rules_match(l.slot->rules, bytes_of(path.p + l.from, path.n - l.from), is_dir);
    }
    if (v == IGNORE_SILENT)
        v = ignore_rules_match(&g->builtin, path, is_dir);
    return v == IGNORE_YES;
}

static int add_level(struct space *s, struct folder *f, const struct rid *dir)
{
    struct level l = {.from = f->path.n + (f->path.n > 0)};
    int rc = slot_of(s, dir, &l.slot);
    if (rc == 0 && l.slot->rules != NULL)
        buf_put(&f->levels, &l, sizeof l);
    return rc < 0 ? rc : buf_status(&f->levels);
}

static void add_name(struct folder *f, struct bytes name)
{
    if (f->path.n > 0)
        buf_put_u8(&f->path, '/');
    buf_put_bytes(&f->path, name);
}

static int folder_of(struct space *s, const struct rid *dir)
{
    struct ignore *g = s->ignore;
    struct folder *f = &g->last;
    if (f->valid && rid_equal(&f->rid, dir))
        return 0;
    if (g->slots_n >= SLOTS_FULL)
        forget(g);
    CLEANUP(buf_fini) struct buf steps = {0};
    const struct rid root = RID_ROOT;
    f->valid = f->ignored = false;
    f->rid = *dir;
    buf_reset(&f->path);
    buf_reset(&f->levels);
    int rc = steps_up(s, dir, &steps);
    if (rc == 0)
        rc = add_level(s, f, &root);
    for (size_t end = steps.n; rc == 0 && end > 0; end -= sizeof(struct step)) {
        struct step step;
        memcpy(&step, steps.p + end - sizeof step, sizeof step);
        add_name(f, bytes_of(step.name, step.name_n));
        rc = buf_status(&f->path);
        f->ignored = f->ignored || (rc == 0 && judge(g, f, true));
        if (rc == 0)
            rc = add_level(s, f, &step.dir);
    }
    f->valid = rc == 0;
    return rc;
}

int ignore_name(struct space *s, const struct rid *dir, struct bytes name, bool is_dir, bool *ret)
{
    struct folder *f = &s->ignore->last;
    *ret = false;
    int rc = folder_of(s, dir);
    if (rc < 0 || f->ignored) {
        *ret = rc == 0;
        return rc == -ENOENT ? 0 : rc; /* the folder is just about to go */
    }
    size_t n = f->path.n;
    add_name(f, name);
    f->valid = buf_status(&f->path) == 0;
    if (!f->valid)
        return -ENOMEM;
    *ret = judge(s->ignore, f, is_dir);
    f->path.n = n;
    return 0;
}

/* ---- rules that are about to change ---- */

static int is_pending(struct space *s, uint64_t ino, struct bytes name)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = name.n > 0 ? pending_name_key(ino, name, key) : pending_inode_key(ino, key);
    return db_has(s->db, DB_PENDING, bytes_of(key, n));
}

int ignore_unsettled(struct space *s, uint64_t dir, struct bytes name)
{
    struct folder *f = &s->ignore->last;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < f->levels.n; at += sizeof(struct level)) {
        struct level l;
        uint64_t ino;
        memcpy(&l, f->levels.p + at, sizeof l);
        rc = bind_ino(s, &l.slot->file, &ino);
        rc = rc == 0 ? is_pending(s, ino, bytes_of(NULL, 0)) : rc == -ENOENT ? 0 : rc;
    }
    /* Rules do not wait for themselves. */
    bool itself = ignore_is_rules(name);
    for (bool top = !atomic_load(&s->rules_seen); rc == 0 && !top; itself = false) {
        struct attr a;
        top = dir == TREE_ROOT;
        rc = itself ? 0 : is_pending(s, dir, bytes_str(".persistignore"));
        if (rc == 0 && !top)
            rc = tree_getattr(s->tree, dir, &a);
        dir = rc == 0 && !top ? a.parent : dir;
    }
    return rc == -ESTALE ? 0 : rc;
}

/* ---- rules that have changed ---- */

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
        any = folder_of(w->s, parents[i]) < 0 || g->last.levels.n > 0;
    /* Read while the change was not written yet. */
    forget(g);
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
        forget(s->ignore);
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

/* ---- folders that are not published ---- */

int ignore_folder(struct space *s, uint64_t dir)
{
    struct attr a, above;
    CLEANUP(buf_fini) struct buf name = {0};
    int rc = tree_getattr(s->tree, dir, &a);
    for (unsigned depth = 0; rc == 0; depth++) {
        rc = depth < DEPTH_MAX ? tree_getattr(s->tree, a.parent, &above) : -ELOOP;
        if (rc < 0 || above.bound)
            break;
        a = above;
    }
    if (rc == 0)
        rc = path_name_of(s, above.ino, a.ino, &name);
    if (rc < 0)
        return rc == -ESTALE || rc == -ENOENT ? 0 : rc;
    struct rid rid = bind_rid(&above);
    bool ignored;
    rc = ignore_name(s, &rid, buf_bytes(&name), true, &ignored);
    return rc < 0 ? rc : ignored;
}
