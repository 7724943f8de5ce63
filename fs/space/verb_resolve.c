/* Ends the conflict of a file as a person says. What goes stays in the history. */
#include <errno.h>

#include "fs/space/merger.h"
#include "fs/space/path.h"
#include "fs/space/restore.h"
#include "fs/space/sibling.h"
#include "fs/space/verb.h"
#include "fs/space/versions.h"
#include "proto/base/escape.h"
#include "proto/base/json.h"

struct resolving {
    struct restore r; /* what was put in another's place, what was removed */
    enum keep keep;
    struct attr file; /* what PATH names */
    uint64_t dir;
    struct bytes name;
    bool is_sibling;     /* PATH names a version that was put beside the file */
    struct buf siblings; /* the others, each with its length before it; else those of PATH */
    size_t siblings_n;
    uint64_t renamed;
    bool open; /* it was not settled yet, and is now */
};

static bool parse_keep(const char *text, enum keep *ret)
{
    static const char *const names[] = {
        [KEEP_THIS] = "this", [KEEP_OTHER] = "other", [KEEP_BOTH] = "both"};
    for (size_t i = 0; i < ARRAY_N(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum keep)i;
            return true;
        }
    return false;
}

static bool add_sibling(void *arg, const struct tree_entry *e)
{
    struct resolving *w = arg;
    if (e->offset <= 2 || !sibling_is_of(e->name, w->name))
        return true;
    buf_put_u8(&w->siblings, (uint8_t)e->name.n);
    buf_put_bytes(&w->siblings, e->name);
    w->siblings_n++;
    return !w->siblings.failed;
}

static int find_dir(struct space *s, const char *path, uint64_t *ret)
{
    CLEANUP(buf_fini) struct buf parent = {0};
    struct attr a;
    buf_put(&parent, path, path_parent_len(path));
    buf_put_u8(&parent, 0);
    int rc = buf_status(&parent);
    if (rc == 0)
        rc = path_file(s, (const char *)parent.p, &a);
    if (rc == 0)
        *ret = a.ino;
    return rc;
}

static int find(struct resolving *w, const char *path)
{
    struct space *s = w->r.s;
    size_t n = path_parent_len(path);
    w->name = bytes_str(path + n + (path[n] == '/'));
    int rc = path_file(s, path, &w->file);
    if (rc == 0 && (attr_is_dir(&w->file) || w->name.n == 0))
        rc = -EISDIR;
    if (rc == 0)
        rc = find_dir(s, path, &w->dir);
    w->is_sibling = rc == 0 && sibling_is(w->name);
    if (rc == 0 && !w->is_sibling)
        rc = tree_list(s->tree, w->dir, 0, false, add_sibling, w);
    return rc < 0 ? rc : buf_status(&w->siblings);
}

/* ---- what has become a file of its own ---- */

static int remove_sibling(struct resolving *w, struct bytes name)
{
    uint64_t kept = w->r.kept;
    int rc = restore_remove(&w->r, w->dir, name);
    return rc == 0 && w->r.kept > kept ? -EBUSY : rc;
}

static int rename_to(struct resolving *w, struct bytes name, struct bytes to)
{
    int rc = tree_rename(w->r.s->tree, w->dir, name, w->dir, to, RENAME_NOREPLACE);
    if (rc < 0)
        return rc;
    inval_name(&w->r.invals, w->dir, name);
    inval_name(&w->r.invals, w->dir, to);
    inval_inode(&w->r.invals, w->dir);
    w->renamed++;
    return 0;
}

/* It is a file like any other from now on. */
static int free_sibling(struct resolving *w, struct bytes name)
{
    enum { TRIES = 16 };
    CLEANUP(buf_fini) struct buf to = {0};
    int rc = sibling_plain(name, &to);
    for (int i = 0; rc == 0 && i < TRIES; i++) {
        int given = rename_to(w, name, buf_bytes(&to));
        if (given != -EEXIST)
            return given;
        buf_put_u8(&to, '+');
        rc = buf_status(&to);
    }
    return rc < 0 ? rc : -EEXIST;
}

/* The file becomes what its sibling is, which then goes. */
static int take_sibling(struct resolving *w, struct bytes name, struct bytes file)
{
    struct space *s = w->r.s;
    struct attr a;
    struct replica_info info = {.held = false};
    int rc = tree_lookup(s->tree, w->dir, file, &a);
    if (rc == -ENOENT)
        return rename_to(w, name, file);
    if (rc == 0)
        rc = tree_lookup(s->tree, w->dir, name, &a);
    if (rc == 0 && !a.bound)
        rc = -EBUSY;
    if (rc < 0)
        return rc;
    struct restore_from from = {.rid = bind_rid(&a)};
    pthread_mutex_lock(&s->lock);
    rc = replica_stat(s->replica, &from.rid, &info);
    pthread_mutex_unlock(&s->lock);
    from.content = info.content;
    if (rc == 0)
        rc = restore_file(&w->r, w->dir, file, &from);
    return rc < 0 ? rc : remove_sibling(w, name);
}

/* PATH is the version that was put beside the file. */
static int settle_from_sibling(struct resolving *w)
{
    CLEANUP(buf_fini) struct buf file = {0};
    struct attr a;
    int rc = sibling_file(w->name, &file);
    if (rc < 0)
        return rc;
    switch (w->keep) {
    case KEEP_THIS:
        return take_sibling(w, w->name, buf_bytes(&file));
    case KEEP_OTHER:
        rc = tree_lookup(w->r.s->tree, w->dir, buf_bytes(&file), &a);
        return rc < 0 ? rc : remove_sibling(w, w->name);
    case KEEP_BOTH:
        return free_sibling(w, w->name);
    }
    return -EINVAL;
}

static int settle_siblings(struct resolving *w)
{
    struct reader r = reader_of(buf_bytes(&w->siblings));
    int rc = w->siblings_n == 0                           ? -EALREADY
             : w->keep == KEEP_OTHER && w->siblings_n > 1 ? -ENOTUNIQ
                                                          : 0;
    while (rc == 0 && r.n > 0) {
        size_t n = reader_u8(&r);
        struct bytes name = reader_bytes(&r, n);
        rc = w->keep == KEEP_THIS    ? remove_sibling(w, name)
             : w->keep == KEEP_OTHER ? take_sibling(w, name, w->name)
                                     : free_sibling(w, name);
    }
    return rc;
}

/* ---- all ---- */

static int settle(struct resolving *w)
{
    struct rid rid = bind_rid(&w->file);
    int rc = w->file.bound ? merge_keep(w->r.s, &rid, w->keep) : -EALREADY;
    w->open = rc == 0;
    if (rc != -EALREADY)
        return rc;
    return w->is_sibling ? settle_from_sibling(w) : settle_siblings(w);
}

static int report(const struct resolving *w, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    if (!call->json) {
        escape_put(&text, bytes_str(call->args[0]));
        buf_put_bytes(&text, bytes_str(w->keep == KEEP_BOTH ? ": kept both\n"
                                       : w->keep == KEEP_THIS
                                           ? ": kept this; the other is in the history\n"
                                           : ": kept the other; this is in the history\n"));
        return out_buf(out, &text);
    }
    struct json j;
    json_init(&j, &text);
    json_object(&j);
    json_key_str(&j, "path", call->args[0]);
    json_key_str(&j, "kept", call->args[1]);
    json_key_bool(&j, "open", w->open);
    json_key_u64(&j, "removed", w->r.removed);
    json_key_u64(&j, "renamed", w->renamed);
    json_end(&j);
    int rc = json_finish(&j);
    return rc < 0 ? rc : out_buf(out, &text);
}

static void explain(const struct resolving *w, const struct verb_call *call, int rc,
                    struct out *out)
{
    char shown[200];
    escape_to(shown, sizeof shown, bytes_str(call->args[0]));
    if (rc == -EALREADY)
        out_error(out, "%s: has no conflict; 'persist conflicts' lists them", shown);
    else if (rc == -ENOTUNIQ && w->siblings_n > 1)
        out_error(out, "%s: %zu other versions are beside it; name the one to keep, and keep this",
                  shown, w->siblings_n);
    else if (rc == -ENOTUNIQ)
        out_error(out, "%s: there are several other versions; keep both, and then choose", shown);
    else if (rc == -EAGAIN)
        out_error(out, "%s: not all of the conflict has arrived; try again in a moment", shown);
    else if (rc == -ENOENT && w->is_sibling)
        out_error(out, "%s: the file that it is a version of is gone; keep this", shown);
    else if (rc == -ENOENT)
        out_error(out, "%s: no such file; check the path", shown);
    else if (rc == -EISDIR)
        out_error(out, "%s: a folder has no versions; name a file", shown);
    else if (rc == -EBUSY)
        out_error(out, "%s: a program is writing the file; close it there and try again", shown);
    else
        out_error(out, "%s: %s", shown, strerror(-rc));
}

int verb_resolve(struct space *s, const struct verb_call *call, struct out *out)
{
    struct resolving w = {.r = {.s = s, .invals.s = s, .out = out, .mounted = call->mounted}};
    if (!parse_keep(call->args[1], &w.keep)) {
        out_error(out, "resolve: what is kept is 'this', 'other' or 'both'");
        return VERB_USAGE;
    }
    int rc = publisher_flush(s);
    if (rc == 0)
        rc = find(&w, call->args[0]);
    if (rc == 0)
        rc = settle(&w);
    restore_tell(&w.r);
    if (rc == 0)
        rc = publisher_flush(s);
    if (rc < 0)
        explain(&w, call, rc, out);
    else
        rc = report(&w, call, out);
    buf_fini(&w.siblings);
    return verb_status_of(rc);
}
