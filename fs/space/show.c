/*
 * What the records show, put into the tree: after changes from other devices, and after own ones,
 * which may move other entries aside. What the tree already shows is left as it is, so an own
 * change costs a few look-ups here.
 */
#include <assert.h>
#include <errno.h>

#include "fs/space/ignore.h"

/* A name that was given or taken in this operation; reads of the database do not see it yet. */
struct shown_name {
    uint64_t dir, ino; /* ino 0: taken away */
    size_t at, n;      /* of the name in show.names */
};

struct show {
    struct space *s;
    struct op *x;
    struct inval_list *invals;
    struct blocked *blocked; /* may be NULL */
    bool own;                /* the changes come from the tree: no name is taken from it */
    struct timespec now;
    struct buf entries, names; /* of struct shown_name; the bytes of names */
    struct buf taken;          /* of struct shown_name: directories, and the name that each lost */
    struct rid parent;         /* the last directory that was looked for, */
    uint64_t parent_ino;       /* and what shows it; 0: none was */
    unsigned depth;
};

enum { DEPTH_MAX = 256 };

/* ---- what this operation has made so far ---- */

static int note_name(struct show *w, uint64_t dir, struct bytes name, uint64_t ino)
{
    struct shown_name e = {.dir = dir, .ino = ino, .at = w->names.n, .n = name.n};
    buf_put_bytes(&w->names, name);
    buf_put(&w->entries, &e, sizeof e);
    inval_name(w->invals, dir, name);
    return buf_status(&w->names) < 0 ? -ENOMEM : buf_status(&w->entries);
}

/* The inode that has a name now; 0: none. */
static int name_get(struct show *w, uint64_t dir, struct bytes name, uint64_t *ret_ino)
{
    for (size_t i = w->entries.n; i > 0; i -= sizeof(struct shown_name)) {
        struct shown_name e;
        memcpy(&e, w->entries.p + i - sizeof e, sizeof e);
        if (e.dir == dir && bytes_equal(bytes_of(w->names.p + e.at, e.n), name)) {
            *ret_ino = e.ino;
            return 0;
        }
    }
    struct dirent_value v = {0};
    int rc = dirent_get(w->s->tree, dir, name, &v);
    *ret_ino = v.ino;
    return rc == -ENOENT ? 0 : rc;
}

static int ino_get(struct show *w, const struct rid *rid, uint64_t *ret_ino)
{
    for (unsigned i = 0; i < w->x->n; i++) {
        const struct attr *a = op_attr(w->x, i);
        if (a->bound && memcmp(a->record, rid->b, sizeof a->record) == 0) {
            *ret_ino = a->ino;
            return 0;
        }
    }
    return bind_ino(w->s, rid, ret_ino);
}

/* ---- attributes and content ---- */

static int set_xattrs(struct show *w, struct attr *a, struct bytes encoded)
{
    uint8_t key[8 + 255];
    put_u64(key, a->ino);
    memcpy(key + 8, "user.", 5);
    uint8_t end[8 + 5];
    memcpy(end, key, sizeof end);
    end[sizeof end - 1]++;
    db_batch_delete_range(w->x->batch, DB_XATTR, bytes_of(key, 13), bytes_of(end, sizeof end));
    struct reader r = reader_of(encoded);
    struct bytes name, value;
    while (value_xattr_next(&r, &name, &value)) {
        /* Others' security attributes and the like have no effect here. */
        if (name.n > 255 || name.n < 5 || memcmp(name.p, "user.", 5) != 0)
            continue;
        memcpy(key + 8, name.p, name.n);
        db_batch_put(w->x->batch, DB_XATTR, bytes_of(key, 8 + name.n), value);
        a->has_xattr = true;
    }
    return 0;
}

static int show_meta(struct show *w, struct attr *a, const struct replica_info *info)
{
    struct rid rid = bind_rid(a);
    CLEANUP(buf_fini) struct buf theirs = {0}, ours = {0};
    struct value_meta own;
    int rc = replica_xattrs(w->s->replica, &rid, &theirs);
    if (rc == 0)
        rc = capture_meta(w->s, a, &ours, &own);
    if (rc < 0 || !info->has_meta)
        return rc;
    bool mode = (a->mode & 0777) != (info->mode & 0777);
    bool xattrs = !bytes_equal(buf_bytes(&theirs), buf_bytes(&ours));
    if (!mode && !xattrs)
        return 0;
    /* setuid and the like are given on this machine, or not at all. */
    if (mode)
        rc = op_chmod(w->x, a, (a->mode & 07000) | (info->mode & 0777));
    if (rc < 0)
        return rc;
    a->ctime = w->now;
    op_put(w->x, a);
    inval_inode(w->invals, a->ino);
    return xattrs ? set_xattrs(w, a, buf_bytes(&theirs)) : 0;
}

static int show_target(struct show *w, struct attr *a, const struct replica_content *content)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct rid rid = bind_rid(a);
    struct content_info info;
    int rc = replica_version_get(w->s->replica, &rid, &content->dot, &body);
    if (rc == 0)
        rc = content_parse(buf_bytes(&body), &info);
    if (rc < 0)
        return rc;
    if (!info.is_inline)
        return -EUCLEAN;
    uint8_t key[8];
    put_u64(key, a->ino);
    db_batch_put(w->x->batch, DB_DATA, bytes_of(key, sizeof key), info.data);
    a->data = ATTR_DATA_SMALL;
    a->size = info.size;
    a->has_base = true;
    a->base = base_of(&rid, &content->dot);
    a->dirty = false;
    return 0;
}

static int show_content(struct show *w, struct attr *a, const struct replica_info *info)
{
    if (attr_is_dir(a) || dot_is_none(&info->content.dot))
        return 0;
    struct rid rid = bind_rid(a);
    struct base_ref ref = base_of(&rid, &info->content.dot);
    if (a->has_base && memcmp(&a->base, &ref, sizeof ref) == 0 && !a->dirty)
        return 0;
    /* What a program is writing stays: it becomes an edit of the version that it was based on. */
    if (a->dirty)
        return 0;
    if (op_is_open(w->x, a, true)) {
        op_pending_inode(w->x, a);
        op_tell_closed(w->x, a);
        return 0;
    }
    if (S_ISLNK(a->mode)) {
        int rc = show_target(w, a, &info->content);
        if (rc < 0)
            return rc;
    } else {
        op_set_version(w->x, a, &ref, info->content.size);
    }
    tree_replaced(w->s->tree, a->record);
    a->mtime = capture_time(info->content.mtime_ns);
    a->ctime = w->now;
    a->btime = (struct timespec){0}; /* it is not a program's of this device alone any more */
    a->has_over = false;
    a->changes++;
    op_put(w->x, a);
    if (op_node_of(w->x, a) != NULL) /* of a new one the kernel knows nothing */
        inval_inode(w->invals, a->ino);
    return 0;
}

/* ---- names ---- */

/* Can the file be published, so that the records decide between the two? */
static bool may_publish(struct show *w, uint64_t ino)
{
    struct attr *a;
    enum kind kind;
    return w->blocked != NULL && !w->blocked->aside && op_add(w->x, ino, &a) == 0 &&
           capture_kind(a, &kind);
}

/* Gives a file of this device the name, if @itself may be, or one beside it. */
static int put_aside(struct show *w, uint64_t dir, struct bytes name, bool itself,
                     const struct attr *a)
{
    for (unsigned i = itself ? 0 : 1; i < NAMES_BESIDE_MAX; i++) {
        char room[NAMES_BESIDE_ROOM];
        struct bytes aside = names_beside(name, i, room);
        uint64_t there;
        int rc = name_get(w, dir, aside, &there);
        if (rc < 0)
            return rc;
        if (there != 0)
            continue;
        dirent_put(w->x, dir, aside, (struct dirent_value){a->ino, a->mode & S_IFMT});
        op_pending_name(w->x, dir, aside, NULL);
        publisher_changed(w->s,
                          &(struct tree_change){.kind = TREE_NAME, .ino = dir, .name = aside});
        return note_name(w, dir, aside, a->ino);
    }
    return -EEXIST;
}

/* The name is published first: -EAGAIN. */
static int publish_first(struct show *w, uint64_t dir, struct bytes name)
{
    w->blocked->dir = dir;
    buf_reset(&w->blocked->name);
    buf_put_bytes(&w->blocked->name, name);
    return buf_status(&w->blocked->name) < 0 ? -ENOMEM : -EAGAIN;
}

/* A file that is not published is in the way of a record: it is published first, or makes way. */
static int move_aside(struct show *w, uint64_t dir, struct bytes name, uint64_t ino)
{
    if (may_publish(w, ino))
        return publish_first(w, dir, name);
    struct attr *a;
    int rc = op_add(w->x, ino, &a);
    return rc < 0 ? rc : put_aside(w, dir, name, false, a);
}

static int see_entry(void *arg, const struct replica_entry *e)
{
    struct buf *b = arg;
    buf_put(b, e, sizeof *e);
    return buf_status(b);
}

/*
 * A record is to be shown that was removed here, or something in a folder that was, which is not
 * published yet: that goes first, for who removed it has not seen what came. -EAGAIN; -ESTALE: it
 * cannot be published now.
 */
static int removed_first(struct show *w, const struct rid *removed)
{
    struct rid rid = *removed;
    int rc = w->blocked->aside ? -ESTALE : 0;
    for (unsigned i = 0; rc == 0 && i < DEPTH_MAX; i++) {
        CLEANUP(buf_fini) struct buf list = {0};
        struct replica_entry e;
        uint64_t dir;
        struct attr *d;
        rc = replica_entries(w->s->replica, &rid, see_entry, &list);
        if (rc < 0 || list.n == 0)
            break;
        memcpy(&e, list.p, sizeof e);
        rc = ino_get(w, &e.parent, &dir);
        if (rc == 0)
            rc = op_add(w->x, dir, &d);
        if (rc == 0 && d->nlink > 0)
            return publish_first(w, dir, bytes_of(e.name, e.name_len));
        rid = e.parent;
        rc = rc == -ESTALE ? 0 : rc;
    }
    return rc < 0 && rc != -ENOENT ? rc : -ESTALE;
}

static int make_file(struct show *w, const struct rid *rid, const struct attr *parent,
                     const struct replica_info *info, struct attr **ret)
{
    static const uint32_t types[] = {
        [KIND_DIR] = S_IFDIR, [KIND_FILE] = S_IFREG, [KIND_SYMLINK] = S_IFLNK};
    struct attr *a;
    int rc = op_make(w->x, &a);
    if (rc < 0)
        return rc;
    enum kind kind = rid_kind(rid);
    uint32_t mode = info->has_meta ? info->mode & 0777 : kind == KIND_DIR ? 0755 : 0644;
    a->mode = types[kind] | (kind == KIND_SYMLINK ? 0777 : mode);
    /* Owners are this machine's own affair: as those of what it is in. */
    a->uid = parent->uid;
    a->gid = parent->gid;
    a->atime = a->mtime = a->ctime = a->btime = w->now;
    a->nlink = kind == KIND_DIR ? 2 : 0;
    bind_put(w->x, rid, a);
    CLEANUP(buf_fini) struct buf xattrs = {0};
    rc = replica_xattrs(w->s->replica, rid, &xattrs);
    if (rc == 0 && xattrs.n > 0)
        rc = set_xattrs(w, a, buf_bytes(&xattrs));
    if (rc == 0)
        rc = show_content(w, a, info);
    *ret = a;
    return rc;
}

static int show_children(struct show *w, const struct rid *dir);

/* Of the directory of an entry: many entries of one come after each other. */
static int parent_get(struct show *w, const struct rid *dir, uint64_t *ret_ino)
{
    if (w->parent_ino == 0 || !rid_equal(&w->parent, dir)) {
        w->parent_ino = 0;
        int rc = ino_get(w, dir, ret_ino);
        if (rc < 0)
            return rc;
        w->parent = *dir;
        w->parent_ino = *ret_ino;
    }
    *ret_ino = w->parent_ino;
    return 0;
}

/* Gives an entry to the tree, and makes the file when there is none. */
static int show_entry(struct show *w, const struct replica_entry *e)
{
    uint64_t dir, ino, there;
    int rc = parent_get(w, &e->parent, &dir);
    if (rc == -ENOENT) /* comes with the directory, when that is shown */
        return 0;
    struct bytes name = bytes_of(e->name, e->name_len);
    if (rc == 0)
        rc = name_get(w, dir, name, &there);
    if (rc < 0)
        return rc;
    rc = ino_get(w, &e->rid, &ino);
    if (rc == 0 && ino == there)
        return 0;
    bool fresh = rc == -ENOENT;
    struct attr *d, *a;
    struct replica_info info;
    rc = fresh ? bind_waits(w->s, &e->rid) : rc;
    if (rc > 0) /* comes with its content */
        return 0;
    if (rc == 0 && there != 0)
        rc = move_aside(w, dir, name, there);
    if (rc == 0)
        rc = op_add(w->x, dir, &d);
    if (rc == -ESTALE || (rc == 0 && d->nlink == 0)) /* an own change: it goes with the folder */
        return w->own ? 0 : removed_first(w, &e->parent);
    if (rc == 0)
        rc = replica_stat(w->s->replica, &e->rid, &info);
    if (rc == 0)
        rc = fresh ? make_file(w, &e->rid, d, &info, &a) : op_add(w->x, ino, &a);
    if (rc < 0)
        return rc;
    dirent_put(w->x, dir, name, (struct dirent_value){a->ino, a->mode & S_IFMT});
    if (attr_is_dir(a))
        d->nlink++;
    else
        a->nlink++;
    a->parent = dir;
    a->ctime = w->now;
    op_put(w->x, a);
    names_touch(w->x, d, &w->now);
    inval_inode(w->invals, dir);
    rc = note_name(w, dir, name, a->ino);
    return rc == 0 && fresh && attr_is_dir(a) ? show_children(w, &e->rid) : rc;
}

/* What is in a directory that appeared may have come before it. */
static int show_children(struct show *w, const struct rid *dir)
{
    if (++w->depth > DEPTH_MAX)
        return -ELOOP;
    CLEANUP(buf_fini) struct buf list = {0};
    int rc = replica_list(w->s->replica, dir, see_entry, &list);
    for (size_t i = 0; i < list.n && rc == 0; i += sizeof(struct replica_entry)) {
        struct replica_entry e;
        memcpy(&e, list.p + i, sizeof e);
        rc = show_entry(w, &e);
    }
    w->depth--;
    return rc;
}

static int hide_entry(struct show *w, const struct replica_effect *effect,
                      const struct replica_entry *e)
{
    uint64_t dir, ino, there;
    struct bytes name = bytes_of(e->name, e->name_len);
    int rc = ino_get(w, &e->parent, &dir);
    if (rc == 0)
        rc = ino_get(w, &effect->rid, &ino);
    if (rc == 0)
        rc = name_get(w, dir, name, &there);
    if (rc < 0 || there != ino)
        return rc == -ENOENT ? 0 : rc;
    for (size_t i = 0; i < effect->places_n; i++) {
        const struct replica_place *p = &effect->places[i];
        if (p->is && rid_cmp(&p->to.parent, &e->parent) == 0 &&
            bytes_equal(bytes_of(p->to.name, p->to.name_len), name))
            return 0;
    }
    struct attr *d, *a;
    rc = op_add(w->x, dir, &d);
    if (rc == 0)
        rc = op_add(w->x, ino, &a);
    if (rc < 0)
        return rc;
    dirent_delete(w->x, dir, name);
    if (attr_is_dir(a)) {
        struct shown_name lost = {.dir = dir, .ino = ino, .at = w->names.n, .n = name.n};
        d->nlink--;
        buf_put(&w->taken, &lost, sizeof lost); /* the bytes come with note_name() */
        if (buf_status(&w->taken) < 0)
            return -ENOMEM;
    } else {
        a->nlink--;
    }
    op_put(w->x, a);
    names_touch(w->x, d, &w->now);
    inval_inode(w->invals, dir);
    return note_name(w, dir, name, 0);
}

/* ---- a new file in place of the old one ---- */

/* Those that records hold are left out when these are shown next. */
static int copy_xattrs(struct show *w, const struct attr *from, const struct attr *to, bool own)
{
    uint8_t prefix[8];
    put_u64(prefix, from->ino);
    struct db_iter *it = db_iter_new(w->s->db, DB_XATTR, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    while (db_iter_next(it)) {
        struct bytes name = bytes_of(db_iter_key(it).p + 8, db_iter_key(it).n - 8);
        uint8_t key[8 + 255];
        if (name.n > 255 || (own && name.n >= 5 && memcmp(name.p, "user.", 5) == 0))
            continue;
        put_u64(key, to->ino);
        memcpy(key + 8, name.p, name.n);
        db_batch_put(w->x->batch, DB_XATTR, bytes_of(key, 8 + name.n), db_iter_value(it));
    }
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

/* The only name of a file, and where it is: 1; 0: it has none in the tree, or several. */
static int only_name(struct show *w, const struct attr *a, struct replica_entry *ret,
                     uint64_t *ret_dir)
{
    CLEANUP(buf_fini) struct buf list = {0};
    struct rid rid = bind_rid(a);
    uint64_t ino;
    int rc = replica_entries(w->s->replica, &rid, see_entry, &list);
    if (rc < 0 || list.n != sizeof *ret)
        return rc;
    memcpy(ret, list.p, sizeof *ret);
    rc = ino_get(w, &ret->parent, ret_dir);
    if (rc == 0)
        rc = name_get(w, *ret_dir, bytes_of(ret->name, ret->name_len), &ino);
    return rc < 0 ? (rc == -ENOENT ? 0 : rc) : ino == a->ino;
}

/*
 * A program that reads a file must not find a part of the old content and a part of the new one,
 * nor the size of the one with bytes of the other. So new content comes in a new file, as an editor
 * that renames brings it: who has the old one open keeps that. *@a is the new file then.
 */
static int take_new_file(struct show *w, struct attr **a, bool with_meta)
{
    struct attr *old = *a, *d, *n;
    struct replica_entry e;
    uint64_t dir;
    if (w->own || !attr_is_file(old) || old->nlink != 1 || old->dirty ||
        op_is_open(w->x, old, true))
        return 0;
    int rc = only_name(w, old, &e, &dir);
    if (rc != 1)
        return rc;
    rc = op_add(w->x, dir, &d);
    if (rc == 0)
        rc = op_make(w->x, &n);
    if (rc < 0)
        return rc;
    struct bytes name = bytes_of(e.name, e.name_len);
    uint64_t ino = n->ino;
    *n = *old;
    n->ino = ino;
    n->data = ATTR_DATA_NONE;
    n->has_base = n->half = n->unsynced = false;
    n->staging = 0;
    rc = old->has_xattr ? copy_xattrs(w, old, n, with_meta) : 0;
    bind_delete(w->x, old);
    names_drop(w->x, old, &w->now);
    op_lost(w->x, old);
    bind_put(w->x, &e.rid, n);
    dirent_put(w->x, dir, name, (struct dirent_value){ino, n->mode & S_IFMT});
    names_touch(w->x, d, &w->now);
    inval_inode(w->invals, dir);
    *a = n;
    return rc < 0 ? rc : note_name(w, dir, name, ino);
}

/* Whether what a file shows differs from its record. */
static bool is_old(const struct attr *a, const struct replica_info *info)
{
    struct rid rid = bind_rid(a);
    struct base_ref ref = base_of(&rid, &info->content.dot);
    return !dot_is_none(&info->content.dot) &&
           (!a->has_base || memcmp(&a->base, &ref, sizeof ref) != 0);
}

/* ---- passes over the effects ---- */

/* New content of a file that was removed here. */
static int pass_removed(void *arg, const struct replica_effect *effect)
{
    struct show *w = arg;
    struct replica_info info;
    struct attr *a;
    uint64_t ino;
    int rc = effect->content ? replica_stat(w->s->replica, &effect->rid, &info) : 0;
    if (rc < 0 || !effect->content || !info.shown)
        return rc;
    rc = ino_get(w, &effect->rid, &ino);
    if (rc == 0)
        rc = op_add(w->x, ino, &a);
    if (rc == -ESTALE || (rc == 0 && a->nlink == 0))
        rc = removed_first(w, &effect->rid);
    return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
}

static int pass_hide(void *arg, const struct replica_effect *effect)
{
    int rc = 0;
    for (size_t i = 0; i < effect->places_n && rc == 0; i++)
        if (effect->places[i].was)
            rc = hide_entry(arg, effect, &effect->places[i].from);
    return rc;
}

/* What has come without its content got that. */
static int show_names(struct show *w, const struct rid *rid)
{
    CLEANUP(buf_fini) struct buf list = {0};
    int rc = replica_entries(w->s->replica, rid, see_entry, &list);
    for (size_t i = 0; i < list.n && rc == 0; i += sizeof(struct replica_entry)) {
        struct replica_entry e;
        memcpy(&e, list.p + i, sizeof e);
        rc = show_entry(w, &e);
    }
    return rc;
}

static int pass_show(void *arg, const struct replica_effect *effect)
{
    struct show *w = arg;
    int rc = ignore_effect(w->s, w->x, effect);
    for (size_t i = 0; i < effect->places_n && rc == 0; i++)
        if (effect->places[i].is)
            rc = show_entry(w, &effect->places[i].to);
    uint64_t ino;
    if (rc == 0 && effect->content && ino_get(w, &effect->rid, &ino) == -ENOENT)
        return show_names(w, &effect->rid);
    if (rc < 0 || (!effect->content && !effect->meta) || ino_get(w, &effect->rid, &ino) < 0)
        return rc;
    struct attr *a;
    struct replica_info info;
    rc = op_add(w->x, ino, &a);
    if (rc == -ESTALE) /* removed here; the name may have a new file, which is to be published */
        return 0;
    if (rc == 0)
        rc = replica_stat(w->s->replica, &effect->rid, &info);
    if (rc == 0 && effect->content && is_old(a, &info))
        rc = take_new_file(w, &a, effect->meta && info.has_meta);
    if (rc == 0 && effect->content)
        rc = show_content(w, a, &info);
    if (rc == 0 && effect->meta)
        rc = show_meta(w, a, &info);
    return rc;
}

static bool was_taken(const struct show *w, uint64_t ino)
{
    for (size_t i = 0; i < w->taken.n; i += sizeof(struct shown_name)) {
        struct shown_name e;
        memcpy(&e, w->taken.p + i, sizeof e);
        if (e.ino == ino)
            return true;
    }
    return false;
}

struct holds {
    struct show *w;
    uint64_t dir;
};

/* A name that a folder has when this operation is done, or a folder in it that has one: 1. */
static int look_held(void *arg, struct bytes name, struct dirent_value v)
{
    struct holds *h = arg, below = {h->w, v.ino};
    uint64_t ino;
    int rc = name_get(h->w, h->dir, name, &ino);
    if (rc < 0 || ino != 0)
        return rc < 0 ? rc : 1;
    return was_taken(h->w, v.ino) ? dirent_each(h->w->s->tree, v.ino, look_held, &below) : 0;
}

/*
 * A folder was deleted elsewhere that holds files of this device alone. It gets its name back, or
 * one beside it, and is published anew: what is made in it from now on is to be seen by others.
 */
static int keep_folder(struct show *w, const struct replica_effect *effect, struct attr *a)
{
    struct bytes name = bytes_of(NULL, 0);
    struct attr *d;
    for (size_t i = 0; i < effect->places_n; i++)
        if (effect->places[i].was)
            name = bytes_of(effect->places[i].from.name, effect->places[i].from.name_len);
    int rc = op_add(w->x, a->parent, &d);
    if (rc < 0)
        return rc;
    d->nlink++;
    names_touch(w->x, d, &w->now);
    inval_inode(w->invals, d->ino);
    return put_aside(w, d->ino, name, true, a);
}

/* A name that a deleted file had here until this operation: 1, or 0: none. */
static int name_before(struct show *w, const struct replica_effect *effect, const struct attr *a,
                       uint64_t *ret_dir, struct bytes *ret_name)
{
    for (size_t i = 0; i < effect->places_n; i++) {
        const struct replica_place *p = &effect->places[i];
        struct dirent_value before;
        *ret_name = bytes_of(p->from.name, p->from.name_len);
        int rc = p->was ? ino_get(w, &p->from.parent, ret_dir) : -ENOENT;
        if (rc == 0)
            rc = dirent_get(w->s->tree, *ret_dir, *ret_name, &before);
        if (rc == 0 && before.ino == a->ino)
            return 1;
        if (rc < 0 && rc != -ENOENT)
            return rc;
    }
    return 0;
}

/*
 * A file that was deleted elsewhere has what is not published yet. It gets its name back, or one
 * beside it, and is published as a new one: who deleted it had not seen that.
 */
static int keep_file(struct show *w, uint64_t dir, struct bytes name, struct attr *a)
{
    struct attr *d;
    int rc = op_add(w->x, dir, &d);
    if (rc < 0)
        return rc;
    a->nlink = 1;
    a->parent = dir;
    op_put(w->x, a);
    names_touch(w->x, d, &w->now);
    inval_inode(w->invals, dir);
    return put_aside(w, dir, name, true, a);
}

/* Who has the file open may still write to it, and has not seen that it was deleted either. */
static int lose_file(struct show *w, const struct replica_effect *effect, struct attr *a)
{
    uint64_t dir;
    struct bytes name;
    if (a->nlink > 0 || w->own)
        return 0;
    int named = name_before(w, effect, a, &dir, &name);
    if (named < 0 || (named > 0 && a->dirty))
        return named < 0 ? named : keep_file(w, dir, name, a);
    a->nlink = 1;
    names_drop(w->x, a, &w->now);
    op_lost(w->x, a);
    return named > 0 && attr_is_file(a) ? op_gone(w->x, a, dir, name) : 0;
}

static int lose_folder(struct show *w, const struct replica_effect *effect, struct attr *a)
{
    if (!was_taken(w, a->ino)) /* it lives on under a name of this device alone */
        return 0;
    struct holds holds = {.w = w, .dir = a->ino};
    int rc = dirent_each(w->s->tree, a->ino, look_held, &holds);
    if (rc != 0) /* it holds what is of this device alone */
        return rc < 0 ? rc : keep_folder(w, effect, a);
    names_drop(w->x, a, &w->now);
    return 0;
}

/* Files that have lost their last name go; those that a record no longer shows are let go. */
static int lose(struct show *w, const struct replica_effect *effect, bool folders)
{
    bool lost = false;
    for (size_t i = 0; i < effect->places_n; i++)
        lost = lost || (effect->places[i].was && !effect->places[i].is);
    uint64_t ino;
    if (!lost || (rid_kind(&effect->rid) == KIND_DIR) != folders ||
        ino_get(w, &effect->rid, &ino) < 0)
        return 0;
    struct replica_info info;
    struct attr *a;
    int rc = replica_stat(w->s->replica, &effect->rid, &info);
    if (rc < 0 || info.shown)
        return rc;
    db_batch_delete(w->x->batch, DB_BIND, bytes_of(effect->rid.b, sizeof effect->rid.b));
    rc = op_add(w->x, ino, &a);
    if (rc < 0)
        return rc == -ESTALE ? 0 : rc;
    if (!a->bound || memcmp(a->record, effect->rid.b, sizeof a->record) != 0)
        return 0;
    bind_delete(w->x, a);
    return folders ? lose_folder(w, effect, a) : lose_file(w, effect, a);
}

/* Folders from which a file may come back: where they were, from below upwards. */
static int note_folders(struct show *w)
{
    int rc = 0;
    for (size_t i = 0; i < w->taken.n && rc >= 0; i += sizeof(struct shown_name)) {
        struct shown_name e;
        struct attr *a;
        memcpy(&e, w->taken.p + i, sizeof e);
        rc = op_add(w->x, e.ino, &a);
        if (rc < 0 || a->nlink > 0) /* moved, or kept */
            continue;
        rc = op_gone_folder(w->x, a, e.dir, bytes_of(w->names.p + e.at, e.n));
        if (rc > 0) /* one above may have been passed already */
            i = 0 - sizeof(struct shown_name);
    }
    return rc < 0 ? rc : 0;
}

static int pass_lost_files(void *arg, const struct replica_effect *effect)
{
    return lose(arg, effect, false);
}

static int pass_lost_folders(void *arg, const struct replica_effect *effect)
{
    return lose(arg, effect, true);
}

int show_effects(struct space *s, struct op *x, struct inval_list *invals, struct blocked *blocked)
{
    struct show w = {.s = s,
                     .x = x,
                     .invals = invals,
                     .blocked = blocked,
                     .own = blocked == NULL,
                     .now = attr_now()};
    int rc = w.own ? 0 : replica_effects(s->replica, pass_removed, &w);
    if (rc == 0 && !w.own)
        rc = replica_effects(s->replica, pass_hide, &w);
    if (rc == 0)
        rc = replica_effects(s->replica, pass_show, &w);
    if (rc == 0)
        rc = replica_effects(s->replica, pass_lost_files, &w);
    if (rc == 0) /* which may go on for what files are left in them */
        rc = replica_effects(s->replica, pass_lost_folders, &w);
    if (rc == 0 && !w.own)
        rc = note_folders(&w);
    buf_fini(&w.entries);
    buf_fini(&w.names);
    buf_fini(&w.taken);
    return rc;
}

int show_record(struct space *s, struct op *x, struct attr *a, struct inval_list *invals)
{
    struct show w = {.s = s, .x = x, .invals = invals, .now = attr_now()};
    struct rid rid = bind_rid(a);
    struct replica_info info;
    int rc = replica_stat(s->replica, &rid, &info);
    return rc < 0 ? rc : show_content(&w, a, &info);
}
