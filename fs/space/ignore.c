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

#include "fs/space/ignore_priv.h"
#include "fs/space/path.h"

/* Measured on the editors' save sequences; see fs/space/README.md. */
static const char builtin[] =
    ".*.sw[a-px]\n.sw[a-p]\n4913\n.~lock.*#\n.#*\n\\#*#\n*~\n.goutputstream-*\n*.kate-swp\n"
    ".nfs*\n.fuse_hidden*\n";

bool ignore_is_rules(struct bytes name)
{
    return bytes_equal(name, bytes_str(IGNORE_RULES));
}

int ignore_open(struct space *s)
{
    s->ignore = calloc(1, sizeof *s->ignore);
    return s->ignore == NULL ? -ENOMEM
                             : ignore_rules_parse(bytes_str(builtin), &s->ignore->builtin);
}

void ignore_forget(struct ignore *g)
{
    for (size_t i = 0; i < IGNORE_SLOTS && g->slots_n > 0; i++)
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
    ignore_forget(g);
    buf_fini(&g->last.path);
    buf_fini(&g->last.levels);
    ignore_rules_fini(&g->builtin);
    free(g);
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
        int rc =
            depth < IGNORE_DEPTH_MAX ? replica_entries(s->replica, &at, take_entry, &step) : -ELOOP;
        if (rc <= 0)
            return rc < 0 ? rc : -ENOENT;
        buf_put(ret, &step, sizeof step);
        at = step.parent;
    }
    return buf_status(ret);
}

static bool judge(const struct ignore *g, const struct ignore_folder *f, bool is_dir)
{
    struct bytes path = buf_bytes(&f->path);
    enum ignore_verdict v = IGNORE_SILENT;
    for (size_t end = f->levels.n; end > 0 && v == IGNORE_SILENT;
         end -= sizeof(struct ignore_level)) {
        struct ignore_level l;
        memcpy(&l, f->levels.p + end - sizeof l, sizeof l);
        v = ignore_rules_match(l.slot->rules, bytes_of(path.p + l.from, path.n - l.from), is_dir);
    }
    if (v == IGNORE_SILENT)
        v = ignore_rules_match(&g->builtin, path, is_dir);
    return v == IGNORE_YES;
}

static int add_level(struct space *s, struct ignore_folder *f, const struct rid *dir)
{
    struct ignore_level l = {.from = f->path.n + (f->path.n > 0)};
    int rc = ignore_slot(s, dir, &l.slot);
    if (rc == 0 && l.slot->rules != NULL)
        buf_put(&f->levels, &l, sizeof l);
    return rc < 0 ? rc : buf_status(&f->levels);
}

static void add_name(struct ignore_folder *f, struct bytes name)
{
    if (f->path.n > 0)
        buf_put_u8(&f->path, '/');
    buf_put_bytes(&f->path, name);
}

int ignore_enter(struct space *s, const struct rid *dir)
{
    struct ignore *g = s->ignore;
    struct ignore_folder *f = &g->last;
    if (f->valid && rid_equal(&f->rid, dir))
        return 0;
    if (g->slots_n >= IGNORE_SLOTS_FULL)
        ignore_forget(g);
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
    struct ignore_folder *f = &s->ignore->last;
    *ret = false;
    int rc = ignore_enter(s, dir);
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
    struct ignore_folder *f = &s->ignore->last;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < f->levels.n; at += sizeof(struct ignore_level)) {
        struct ignore_level l;
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
        rc = itself ? 0 : is_pending(s, dir, bytes_str(IGNORE_RULES));
        if (rc == 0 && !top)
            rc = tree_getattr(s->tree, dir, &a);
        dir = rc == 0 && !top ? a.parent : dir;
    }
    return rc == -ESTALE ? 0 : rc;
}

/* ---- folders that are not published ---- */

int ignore_folder(struct space *s, uint64_t dir)
{
    struct attr a, above;
    CLEANUP(buf_fini) struct buf name = {0};
    int rc = tree_getattr(s->tree, dir, &a);
    for (unsigned depth = 0; rc == 0; depth++) {
        rc = depth < IGNORE_DEPTH_MAX ? tree_getattr(s->tree, a.parent, &above) : -ELOOP;
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
