#include "fs/space/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/space/ignore.h"
#include "fs/space/links.h"
#include "fs/space/merger.h"
#include "fs/space/path.h"
#include "fs/space/usage.h"
#include "proto/base/escape.h"

enum { PIECE_BYTES = 1 << 20, DEPTH_MAX = 2048, FAILED_MAX = 16 };

/*
 * What has a record goes first, and is published before any rules are there: it keeps its record
 * although rules may name it. Then the rules, so that what has none finds them in force.
 */
enum turn { TURN_RECORDS, TURN_RULES, TURN_REST };

/* A copy under way. */
struct carry {
    struct space *from, *to;
    struct out *out;
    struct err *err;
    enum turn turn;
    struct buf path;    /* of what is being copied */
    struct links links; /* inodes of @from with several names -> those of @to */
    uint8_t *piece;
    uint64_t done_bytes, total_bytes;
};

static int carry_failed(struct carry *c, int code)
{
    char shown[300];
    if (code == -ENOSPC)
        return err_set(c->err, code,
                       "no room for another copy of its files; free some on the disk");
    if (code == -ECANCELED)
        return err_set(c->err, code, "interrupted; it is as it was");
    if (c->path.n == 0)
        return err_set(c->err, code, "%s", strerror(-code));
    return err_set(c->err, code, "'%s': %s", escape_to(shown, sizeof shown, buf_bytes(&c->path)),
                   strerror(-code));
}

/* ---- one file ---- */

static int carry_range(struct carry *c, uint64_t from, uint64_t to, uint64_t at, uint64_t end)
{
    char shown[300];
    while (at < end) {
        int64_t n = tree_read_unseen(c->from->tree, from, at, c->piece,
                                     (size_t)min_u64(end - at, PIECE_BYTES));
        if (n <= 0 && n != -ENOMEM)
            return err_set(c->err, -EUCLEAN,
                           "'%s' cannot be read; mount the folder as it was, restore or remove "
                           "that file there, and try again",
                           escape_to(shown, sizeof shown, buf_bytes(&c->path)));
        struct tree_write how = {.offset = at};
        int rc = n < 0 ? (int)n : tree_write(c->to->tree, to, bytes_of(c->piece, (size_t)n), &how);
        if (rc < 0)
            return rc;
        at += (uint64_t)n;
        c->done_bytes += (uint64_t)n;
        out_progress(c->out, c->done_bytes, c->total_bytes, "copying");
        if (out_cancelled(c->out, 0))
            return -ECANCELED;
    }
    return 0;
}

static int carry_bytes(struct carry *c, const struct attr *a, uint64_t to)
{
    struct tree *t = c->from->tree;
    struct attr now;
    int64_t at = 0;
    int rc = 0;
    while (rc == 0 && (uint64_t)at < a->size) {
        at = tree_seek(t, a->ino, (uint64_t)at, SEEK_DATA);
        int64_t end = at < 0 ? at : tree_seek(t, a->ino, (uint64_t)at, SEEK_HOLE);
        if (end == -ENXIO) /* only a hole is left */
            break;
        if (end < 0)
            return (int)end;
        rc = carry_range(c, a->ino, to, (uint64_t)at, min_u64((uint64_t)end, a->size));
        at = end;
    }
    if (rc == 0)
        rc = tree_getattr(c->to->tree, to, &now);
    struct tree_set set = {.what = TREE_SET_SIZE, .size = a->size};
    return rc < 0 || now.size == a->size ? rc : tree_setattr(c->to->tree, to, &set, &now);
}

/* Owner, mode, times, and attributes of every kind; ACLs are among them. */
static int carry_attr(struct carry *c, const struct attr *a, uint64_t to)
{
    CLEANUP(buf_fini) struct buf names = {0}, value = {0};
    int rc = tree_xattr_list(c->from->tree, a->ino, &names);
    for (size_t at = 0; rc == 0 && at < names.n;) {
        struct bytes name = bytes_str((const char *)names.p + at);
        at += name.n + 1;
        buf_reset(&value);
        rc = tree_xattr_get(c->from->tree, a->ino, name, &value);
        if (rc == 0)
            rc = tree_xattr_set(c->to->tree, to, name, buf_bytes(&value), 0);
    }
    struct attr now;
    struct tree_set set = {
        .what = TREE_SET_MODE | TREE_SET_UID | TREE_SET_GID | TREE_SET_ATIME | TREE_SET_MTIME,
        .mode = a->mode & 07777,
        .uid = a->uid,
        .gid = a->gid,
        .atime = a->atime,
        .mtime = a->mtime,
    };
    return rc < 0 ? rc : tree_setattr(c->to->tree, to, &set, &now);
}

static int make(struct carry *c, const struct attr *a, uint64_t dir, struct bytes name,
                struct attr *ret)
{
    CLEANUP(buf_fini) struct buf target = {0};
    struct tree_new what = {.mode = a->mode, .rdev = a->rdev, .caller = {a->uid, a->gid}};
    int rc = S_ISLNK(a->mode) ? tree_readlink(c->from->tree, a->ino, &target) : 0;
    what.target = buf_bytes(&target);
    return rc < 0 ? rc : tree_make(c->to->tree, dir, name, &what, ret);
}

/* Open for writing until all of it is there, so that nothing of it is published before. */
static int carry_content(struct carry *c, const struct attr *a, uint64_t to)
{
    struct attr now;
    int rc = tree_open_file(c->to->tree, to, true, false, &now);
    if (rc < 0)
        return rc;
    rc = carry_bytes(c, a, to);
    if (rc == 0)
        rc = carry_attr(c, a, to);
    tree_close_file(c->to->tree, to, true);
    return rc;
}

static int carry_file(struct carry *c, const struct attr *a, uint64_t dir, struct bytes name)
{
    struct attr b;
    const struct buf *first = a->nlink > 1 ? links_find(&c->links, 0, a->ino) : NULL;
    if (first != NULL) {
        uint64_t ino;
        memcpy(&ino, first->p, sizeof ino);
        return tree_link(c->to->tree, ino, dir, name, &b);
    }
    int rc = make(c, a, dir, name, &b);
    if (rc == 0)
        rc = attr_is_file(a) ? carry_content(c, a, b.ino) : carry_attr(c, a, b.ino);
    return rc < 0 || a->nlink < 2 ? rc
                                  : links_add(&c->links, 0, a->ino, bytes_of(&b.ino, sizeof b.ino));
}

/* ---- folders ---- */

/* A folder under way. */
struct level {
    uint64_t from, to;
    bool published; /* with a record, as all above it; that is @rid */
    struct rid rid;
    unsigned depth;
};

/* Whether the record of a file or folder is at this name: of several it may be at some only. */
static int has_record(struct carry *c, const struct level *l, const struct attr *a,
                      struct bytes name)
{
    struct replica_entry e;
    if (!a->bound || !l->published)
        return 0;
    pthread_mutex_lock(&c->from->lock);
    int rc = replica_lookup(c->from->replica, &l->rid, name, &e);
    pthread_mutex_unlock(&c->from->lock);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return memcmp(e.rid.b, a->record, sizeof a->record) == 0;
}

static int carry_dir(struct carry *c, const struct level *l);

/* Its own attributes come last, when nothing is made in it any more. */
static int carry_folder(struct carry *c, const struct level *above, const struct attr *a,
                        struct bytes name, bool published)
{
    struct attr b;
    if (!published && c->turn != TURN_REST)
        return 0;
    int rc = tree_lookup(c->to->tree, above->to, name, &b);
    if (rc == -ENOENT)
        rc = make(c, a, above->to, name, &b);
    if (rc < 0)
        return rc;
    struct level l = {
        .from = a->ino, .to = b.ino, .published = published, .depth = above->depth + 1};
    memcpy(l.rid.b, a->record, sizeof l.rid.b);
    rc = carry_dir(c, &l);
    return rc < 0 || c->turn != TURN_REST ? rc : carry_attr(c, a, b.ino);
}

/* @c->path is at the entry while it is copied, and stays there after an error. */
static int carry_entry(struct carry *c, const struct level *l, const struct attr *a,
                       struct bytes name)
{
    size_t n = c->path.n;
    if (n > 0)
        buf_put_u8(&c->path, '/');
    buf_put_bytes(&c->path, name);
    int rc = buf_status(&c->path);
    if (rc == 0)
        rc = has_record(c, l, a, name);
    enum turn turn = rc <= 0 ? TURN_REST : ignore_is_rules(name) ? TURN_RULES : TURN_RECORDS;
    if (rc >= 0 && attr_is_dir(a))
        rc = carry_folder(c, l, a, name, rc > 0);
    else if (rc >= 0)
        rc = turn == c->turn ? carry_file(c, a, l->to, name) : 0;
    if (rc == 0)
        c->path.n = n;
    return rc;
}

static int carry_dir(struct carry *c, const struct level *l)
{
    CLEANUP(buf_fini) struct buf names = {0};
    int rc = l->depth < DEPTH_MAX
                 ? tree_list(c->from->tree, l->from, 0, false, path_add_entry, &names)
                 : -ENAMETOOLONG;
    if (rc == 0)
        rc = buf_status(&names);
    struct reader left = reader_of(buf_bytes(&names));
    while (rc == 0 && left.n > 0) {
        struct attr a;
        size_t n = reader_u8(&left);
        struct bytes name = reader_bytes(&left, n);
        rc = tree_lookup(c->from->tree, l->from, name, &a);
        if (rc == 0)
            rc = carry_entry(c, l, &a, name);
    }
    return rc;
}

/* ---- the whole ---- */

/* Publishes what has been copied; what cannot be for want of room ends the copy. */
static int publish(struct carry *c)
{
    struct publish_failed failed[FAILED_MAX];
    int rc = publisher_flush(c->to);
    size_t n = rc < 0 ? 0 : publisher_failed(c->to, failed, FAILED_MAX);
    for (size_t i = 0; i < n && i < FAILED_MAX; i++)
        if (failed[i].error == ENOSPC)
            rc = -ENOSPC;
    return rc;
}

static int carry_all(struct carry *c)
{
    const struct level top = {
        .from = TREE_ROOT, .to = TREE_ROOT, .published = true, .rid = RID_ROOT};
    struct attr root;
    struct usage u;
    /* What a crash left unpublished may still be merged: before the copy, not under it. And of what
     * was edited apart only one side would come along, as long as nobody has ended that. */
    int rc = publisher_flush(c->from);
    if (rc == 0 && merger_flush(c->from, true) == -ENOSPC)
        rc = -ENOSPC;
    if (rc == 0)
        rc = publisher_flush(c->from);
    publisher_hold(c->from);
    if (rc == 0)
        rc = usage_get(c->from, &u, NULL);
    c->total_bytes = rc == 0 ? u.bytes : 0;
    for (enum turn t = TURN_RECORDS; rc == 0 && t <= TURN_REST; t++) {
        c->turn = t;
        rc = carry_dir(c, &top);
        if (rc == 0)
            rc = publish(c);
    }
    if (rc == 0)
        rc = tree_getattr(c->from->tree, TREE_ROOT, &root);
    if (rc == 0)
        rc = carry_attr(c, &root, TREE_ROOT);
    publisher_release(c->from);
    return rc < 0 ? rc : tree_sync(c->to->tree);
}

int space_carry(struct space *from, struct space *to, struct out *out, struct err *err)
{
    struct err own = {0};
    struct carry c = {.from = from, .to = to, .out = out, .err = err, .piece = malloc(PIECE_BYTES)};
    if (c.err == NULL)
        c.err = &own;
    c.err->code = 0;
    int rc = c.piece == NULL ? -ENOMEM : carry_all(&c);
    if (rc < 0 && c.err->code == 0)
        rc = carry_failed(&c, rc);
    links_fini(&c.links);
    buf_fini(&c.path);
    free(c.piece);
    return rc;
}
