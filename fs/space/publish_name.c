/*
 * A name of the tree that changed, published as a change of records.
 *
 * Identity follows the name: where a published name has a new file, its old one being gone or moved
 * away, that is an edit of the same record, whatever way the editor took. A file that left its name
 * and has another one was moved, unless the name got a new file.
 */
#include <errno.h>

#include "fs/space/ignore.h"

enum {
    HOPS_MAX = 64,
    KEEP_S = 10, /* how old a folder that is not published may be and still be about to be */
};

enum action {
    ACT_FORGET,  /* in step with the records, or of this device alone */
    ACT_KEEP,    /* its directory is not published: looked at when that is */
    ACT_WAIT,    /* see view.wait */
    ACT_CREATE,  /* a new record */
    ACT_REPLACE, /* the record of this name has a new file */
    ACT_LINK,    /* a further name */
    ACT_MOVE,    /* the file's record had view.from */
    ACT_CLEAR,   /* another kind of file has the name: delete the record first */
    ACT_UNLINK,  /* the name is gone */
    ACT_FOLLOW,  /* the file went to view.to: publish that name */
};

struct view {
    enum action act;
    enum publish_result wait;
    struct attr dir, file;
    bool has_file, has_record;
    struct replica_entry record, from;
    uint64_t to_dir;
    struct buf to_name;
    struct buf children; /* names in a directory that was published: length byte, name */
};

/* ---- looking ---- */

static int file_at(struct space *s, uint64_t dir, struct bytes name, struct attr *ret,
                   bool *ret_has)
{
    int rc = tree_lookup(s->tree, dir, name, ret);
    *ret_has = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

/* Where the file went that left this name: the last stop of its way, if it is still there. */
static int follow(struct space *s, uint64_t dir, struct bytes name, uint64_t ino, struct view *v,
                  bool *ret_found)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t key_n = pending_name_key(dir, name, key);
    *ret_found = false;
    for (int hop = 0; hop < HOPS_MAX; hop++) {
        struct db_value p;
        int rc = db_get(s->db, DB_PENDING, bytes_of(key, key_n), &p);
        if (rc < 0 || p.v.n <= 16 || get_u64(p.v.p) != ino) {
            db_value_fini(&p);
            return rc == -ENOENT ? 0 : rc;
        }
        v->to_dir = get_u64(p.v.p + 8);
        buf_reset(&v->to_name);
        buf_put(&v->to_name, p.v.p + 16, p.v.n - 16);
        db_value_fini(&p);
        if (buf_status(&v->to_name) < 0)
            return -ENOMEM;
        struct attr a;
        rc = file_at(s, v->to_dir, buf_bytes(&v->to_name), &a, ret_found);
        if (rc < 0)
            return rc == -ESTALE ? 0 : rc;
        *ret_found = *ret_found && a.ino == ino;
        if (*ret_found) {
            v->file = a;
            return 0;
        }
        key_n = pending_name_key(v->to_dir, buf_bytes(&v->to_name), key);
    }
    return 0;
}

static void wait_for(struct view *v, enum publish_result what)
{
    v->act = ACT_WAIT;
    v->wait = what;
}

/* Does the file that shows the record have a name, which the record does not know of yet? */
static bool has_name(struct space *s, const struct rid *rid, uint64_t ino)
{
    struct attr a;
    return tree_getattr(s->tree, ino, &a) == 0 && a.nlink > 0 && a.bound &&
           memcmp(a.record, rid->b, sizeof a.record) == 0 && publish_is_linked(s, rid) == 0;
}

/* The file that left the name is at view.to. To where it is ignored, it is a deletion. */
static int look_followed(struct space *s, struct view *v)
{
    struct attr to;
    int rc = tree_getattr(s->tree, v->to_dir, &to);
    if (rc < 0)
        return rc == -ESTALE ? 0 : rc;
    bool ignored = false;
    struct rid dir = bind_rid(&to);
    if (to.bound) {
        rc = ignore_name(s, &dir, buf_bytes(&v->to_name), attr_is_dir(&v->file), &ignored);
    } else {
        rc = ignore_folder(s, v->to_dir);
        ignored = rc > 0;
    }
    if (rc < 0 || ignored)
        return rc < 0 ? rc : 0;
    if (to.bound)
        v->act = ACT_FOLLOW;
    else /* into a folder that is not published yet */
        wait_for(v, PUBLISH_LATER);
    return 0;
}

/* The name is gone. */
static int look_gone(struct space *s, const struct publish_item *item, struct view *v)
{
    uint64_t ino;
    if (!item->settled && !item->forced) {
        wait_for(v, PUBLISH_SETTLE);
        return 0;
    }
    v->act = ACT_UNLINK;
    int rc = bind_ino(s, &v->record.rid, &ino);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    bool found;
    rc = follow(s, item->ino, item->name, ino, v, &found);
    if (rc == 0 && !found && !item->quiet && has_name(s, &v->record.rid, ino))
        wait_for(v, PUBLISH_LATER); /* somewhere: that name is pending, and moves the record */
    return rc < 0 || !found ? rc : look_followed(s, v);
}

struct places {
    struct space *s;
    uint64_t ino;
    bool kept, moved;
    struct replica_entry from;
};

/* Which of the record's names the file still has, and which have neither it nor a new file. */
static int look_place(void *arg, const struct replica_entry *e)
{
    struct places *p = arg;
    uint64_t dir;
    struct attr a;
    bool has = false;
    int rc = bind_ino(p->s, &e->parent, &dir);
    if (rc == 0)
        rc = file_at(p->s, dir, bytes_of(e->name, e->name_len), &a, &has);
    if (rc < 0 && rc != -ENOENT && rc != -ESTALE)
        return rc;
    if (has && a.ino == p->ino) {
        p->kept = true;
    } else if (!has) {
        p->moved = true;
        p->from = *e;
    }
    return 0;
}

/* A file that shows a record has a name that the record does not have. */
static int look_known(struct space *s, const struct publish_item *item, struct view *v)
{
    struct rid rid = bind_rid(&v->file);
    struct places p = {.s = s, .ino = v->file.ino};
    int rc = replica_entries(s->replica, &rid, look_place, &p);
    if (rc < 0)
        return rc;
    if (!p.moved && !p.kept) { /* its record stayed with the name it left */
        v->act = ACT_CREATE;
        return 0;
    }
    v->act = p.moved ? ACT_MOVE : ACT_LINK;
    v->from = p.from;
    if (!item->settled && !item->forced)
        wait_for(v, PUBLISH_SETTLE);
    return 0;
}

/* Is the file in a state that may be published? Links, directories: always. */
static bool is_whole(struct space *s, const struct publish_item *item, const struct attr *file)
{
    if (!attr_is_file(file))
        return true;
    struct op x;
    struct attr *a;
    if (op_begin(s->tree, false, &x) < 0)
        return false;
    bool whole = op_add(&x, file->ino, &a) == 0 &&
                 (!op_is_open(&x, a, true) || (item->quiet && !op_is_cut(&x, a)));
    (void)op_abort(&x, 0);
    return whole;
}

/* A name without a record: does it stay on this device? That is not known while rules change. */
static int look_ignored(struct space *s, struct publish_item *item, struct view *v)
{
    struct rid dir = bind_rid(&v->dir);
    int rc = ignore_name(s, &dir, item->name, attr_is_dir(&v->file), &item->local);
    if (rc == 0 && !item->quiet)
        rc = ignore_unsettled(s, item->ino, item->name);
    if (rc > 0)
        wait_for(v, PUBLISH_LATER);
    return rc < 0 ? rc : rc > 0 || item->local;
}

/*
 * Its folder is not published: when that happens, all in it is pending anew. So a note is of use
 * only while that is to be expected, and one in a folder that is ignored would never go.
 */
static enum action look_unpublished(const struct attr *dir)
{
    return dir->nlink == 0 || attr_now().tv_sec > dir->btime.tv_sec + KEEP_S ? ACT_FORGET
                                                                             : ACT_KEEP;
}

static int look(struct space *s, struct publish_item *item, struct view *v)
{
    v->act = ACT_FORGET;
    v->has_file = v->has_record = false;
    int rc = tree_getattr(s->tree, item->ino, &v->dir);
    if (rc < 0)
        return rc == -ESTALE ? 0 : rc;
    if (!v->dir.bound || v->dir.nlink == 0) {
        v->act = look_unpublished(&v->dir);
        return file_at(s, item->ino, item->name, &v->file, &v->has_file);
    }
    struct rid dir = bind_rid(&v->dir);
    rc = file_at(s, item->ino, item->name, &v->file, &v->has_file);
    if (rc < 0)
        return rc;
    rc = replica_lookup(s->replica, &dir, item->name, &v->record);
    v->has_record = rc == 0;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    enum kind kind;
    if (!v->has_file)
        return v->has_record ? look_gone(s, item, v) : 0;
    bool known = v->file.bound;
    struct rid rid = bind_rid(&v->file);
    if (v->has_record && known && rid_cmp(&rid, &v->record.rid) == 0)
        return 0;
    if (!capture_kind(&v->file, &kind) || !value_name_valid(&dir, item->name))
        return 0;
    rc = v->has_record ? 0 : look_ignored(s, item, v);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (known) {
        rc = look_known(s, item, v);
        /* Another record's name is free for a file of its own kind that moves there, only. */
        if (rc == 0 && v->has_record &&
            (v->act == ACT_LINK || (v->act == ACT_MOVE && rid_kind(&v->record.rid) != kind)))
            v->act = ACT_CLEAR;
        if (rc < 0 || v->act != ACT_CREATE)
            return rc;
    } else {
        v->act = ACT_CREATE;
    }
    if (v->has_record)
        v->act = rid_kind(&v->record.rid) == kind && kind != KIND_DIR ? ACT_REPLACE : ACT_CLEAR;
    /* A hard link that was replaced: its record goes on under the other names. */
    if (v->act == ACT_REPLACE) {
        rc = publish_is_linked(s, &v->record.rid);
        if (rc < 0)
            return rc;
        v->act = rc > 0 ? ACT_CLEAR : ACT_REPLACE;
    }
    /* Made, and just about to be written to by who made it: not what the name stands for. */
    bool bare = v->act == ACT_REPLACE && v->file.size == 0 && !item->settled;
    if (!is_whole(s, item, &v->file)) {
        item->wait_ino = v->file.ino;
        wait_for(v, PUBLISH_OPEN);
    } else if (bare) {
        wait_for(v, PUBLISH_SETTLE);
    } else if (v->act != ACT_REPLACE && !item->settled && !item->forced) {
        wait_for(v, PUBLISH_SETTLE);
    }
    return 0;
}

/* ---- doing ---- */

struct deed {
    struct space *s;
    struct op *x;
    struct change *c;
    struct publish_item *item;
    struct view *v;
    struct captured *content;
    struct rid rid; /* what the file shows from now on */
    struct dot dot;
    bool more; /* a part of what is gone is still to be deleted */
};

static int author_create(struct deed *d, const struct rid *dir)
{
    enum kind kind = KIND_FILE;
    (void)capture_kind(&d->v->file, &kind);
    CLEANUP(buf_fini) struct buf xattrs = {0};
    struct value_meta meta;
    int rc = capture_meta(d->s, &d->v->file, &xattrs, &meta);
    return rc < 0 ? rc
                  : change_create(d->c, kind, dir, d->item->name, &meta,
                                  kind == KIND_DIR ? NULL : &d->content->content, &d->rid);
}

static int author_replace(struct deed *d)
{
    d->rid = d->v->record.rid;
    int rc = change_edit(d->c, &d->rid, &d->content->content, NULL);
    CLEANUP(buf_fini) struct buf xattrs = {0}, theirs = {0};
    struct value_meta meta;
    struct replica_info info;
    if (rc == 0)
        rc = capture_meta(d->s, &d->v->file, &xattrs, &meta);
    if (rc == 0)
        rc = replica_stat(d->s->replica, &d->rid, &info);
    if (rc == 0)
        rc = replica_xattrs(d->s->replica, &d->rid, &theirs);
    if (rc < 0 ||
        (info.has_meta && info.mode == meta.mode && bytes_equal(buf_bytes(&theirs), meta.xattrs)))
        return rc;
    return change_meta(d->c, &d->rid, &meta);
}

/* The change of the records. */
static int author(struct deed *d)
{
    struct view *v = d->v;
    struct rid dir = bind_rid(&v->dir), rid = bind_rid(&v->file);
    struct dot slot;
    switch (v->act) {
    case ACT_CREATE:
        return author_create(d, &dir);
    case ACT_REPLACE:
        return author_replace(d);
    case ACT_LINK:
        return change_link(d->c, &rid, &dir, d->item->name, &slot);
    case ACT_MOVE:
        return change_move(d->c, &rid, &v->from.slot, &dir, d->item->name);
    case ACT_CLEAR:
    case ACT_UNLINK:
        return publish_gone(d->s, d->c, d->item, &v->record);
    case ACT_FORGET:
    case ACT_KEEP:
    case ACT_WAIT:
    case ACT_FOLLOW:
        break;
    }
    return 0;
}

static void set_published(struct deed *d, struct attr *a)
{
    struct base_ref ref = base_of(&d->rid, &d->dot);
    bind_put(d->x, &d->rid, a);
    if (attr_is_file(a)) {
        op_set_version(d->x, a, &ref, a->size);
    } else if (S_ISLNK(a->mode)) {
        a->has_base = true;
        a->base = ref;
        a->dirty = false;
    }
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_inode_key(a->ino, key);
    db_batch_delete(d->x->batch, DB_PENDING, bytes_of(key, n));
}

/* The names in a directory that is published now are pending, too, if they were not already. */
static int child_pending(void *arg, struct bytes name, struct dirent_value value)
{
    struct deed *d = arg;
    (void)value;
    op_pending_name(d->x, d->v->file.ino, name, NULL);
    buf_put_u8(&d->v->children, (uint8_t)name.n);
    buf_put_bytes(&d->v->children, name);
    return buf_status(&d->v->children);
}

static int show_created(struct deed *d, struct attr *a)
{
    if (a->bound) /* its old record stays where it was, and is looked at there */
        bind_delete(d->x, a);
    set_published(d, a);
    return attr_is_dir(a) ? dirent_each(d->s->tree, a->ino, child_pending, d) : 0;
}

static int show_replaced(struct deed *d, struct attr *a)
{
    uint64_t old;
    struct attr *o;
    if (bind_ino(d->s, &d->rid, &old) == 0 && old != a->ino && op_add(d->x, old, &o) == 0 &&
        o->bound && memcmp(o->record, d->rid.b, sizeof o->record) == 0) {
        op_keep_base(d->x, o);
        o->bound = false; /* the key of the binding is the new file's now */
        op_put(d->x, o);
    }
    set_published(d, a);
    return 0;
}

/* Is everything as it was seen? From here on nothing changes any more. */
static int still_so(struct deed *d, struct attr **ret_file)
{
    const struct view *v = d->v;
    struct dirent_value now = {0};
    int rc = dirent_get(d->s->tree, d->item->ino, d->item->name, &now);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (now.ino != (v->has_file ? v->file.ino : 0))
        return -EAGAIN;
    if (!v->has_file)
        return 0;
    rc = op_add(d->x, v->file.ino, ret_file);
    if (rc < 0)
        return rc == -ESTALE ? -EAGAIN : rc;
    const struct attr *a = *ret_file;
    /* A change of names, mode or attributes of the file would show in its ctime. */
    return a->changes != v->file.changes || a->bound != v->file.bound ||
                   attr_time_cmp(&a->ctime, &v->file.ctime) != 0
               ? -EAGAIN
               : 0;
}

/* What the change means for the file. */
static int show_deed(void *arg)
{
    struct deed *d = arg;
    struct attr *a = NULL;
    int rc = still_so(d, &a);
    if (rc == 0 && d->v->act == ACT_CREATE)
        rc = show_created(d, a);
    else if (rc == 0 && d->v->act == ACT_REPLACE)
        rc = show_replaced(d, a);
    /* Where a record was cleared away, the new file is still to be published. */
    if (rc == 0 && d->v->act != ACT_CLEAR && !d->more) {
        uint8_t key[PENDING_KEY_MAX];
        size_t n = pending_name_key(d->item->ino, d->item->name, key);
        db_batch_delete(d->x->batch, DB_PENDING, bytes_of(key, n));
    }
    return rc;
}

static bool same_act(const struct view *a, const struct view *b)
{
    return a->act == b->act && a->has_file == b->has_file && a->has_record == b->has_record &&
           (!a->has_file || (a->file.ino == b->file.ino && a->file.changes == b->file.changes)) &&
           (!a->has_record || rid_cmp(&a->record.rid, &b->record.rid) == 0);
}

static int publish_deed(struct deed *d, struct inval_list *invals)
{
    d->c = replica_begin(d->s->replica, d->x->batch);
    if (d->c == NULL)
        return op_abort(d->x, -ENOMEM);
    d->dot = change_dot(d->c);
    int rc = author(d);
    d->more = rc > 0;
    if (rc < 0) {
        replica_cancel(d->c);
        replica_abort(d->s->replica);
        return op_abort(d->x, rc);
    }
    return publish_commit(d->s, d->x, d->c, show_deed, d, invals);
}

/* Carries out what was seen. Most of the work is done before names are locked. */
static int carry_out(struct space *s, struct publish_item *item, struct view *v,
                     struct captured *content, struct inval_list *invals)
{
    struct op x;
    int rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    struct deed d = {.s = s, .x = &x, .item = item, .v = v, .content = content};
    if (v->act == ACT_FORGET) {
        op_lock_names(&x);
        rc = show_deed(&d);
        return rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    }
    rc = publish_deed(&d, invals);
    if (rc == 0 && d.more)
        return -EINPROGRESS;
    return rc < 0 ? rc : v->act == ACT_CLEAR ? -EAGAIN : 0;
}

int publish_commit(struct space *s, struct op *x, struct change *c, publish_show show, void *arg,
                   struct inval_list *invals)
{
    struct dot dot;
    int rc = replica_commit(c, &dot);
    if (!x->names)
        op_lock_names(x);
    if (rc == 0 && show != NULL)
        rc = show(arg);
    if (rc == 0)
        rc = show_effects(s, x, invals, NULL);
    rc = rc < 0 ? op_abort(x, rc) : op_commit(x);
    if (rc < 0)
        replica_abort(s->replica);
    else
        replica_committed(s->replica);
    return rc;
}

/* They were looked at before their directory was published, and left. */
static void tell_children(struct space *s, struct view *v)
{
    struct reader r = reader_of(buf_bytes(&v->children));
    while (r.n > 0) {
        size_t n = reader_u8(&r);
        struct tree_change change = {
            .kind = TREE_NAME, .ino = v->file.ino, .name = reader_bytes(&r, n)};
        publisher_changed(s, &change);
    }
}

static bool has_content(const struct view *v)
{
    return (v->act == ACT_CREATE || v->act == ACT_REPLACE) && !attr_is_dir(&v->file);
}

/* Takes the content; that of a big file without the lock, so what was seen is looked at again. */
static int take_content(struct space *s, struct publish_item *item, struct view *v,
                        struct captured *content)
{
    if (v->file.size <= CONTENT_INLINE_MAX)
        return capture_content(s, &v->file, content);
    struct view before = *v;
    pthread_mutex_unlock(&s->lock);
    int rc = capture_content(s, &v->file, content);
    pthread_mutex_lock(&s->lock);
    if (rc < 0)
        return rc;
    rc = look(s, item, v);
    return rc < 0 ? rc : same_act(&before, v) ? 0 : -EAGAIN;
}

static int publish_once(struct space *s, struct publish_item *item, struct view *v)
{
    struct captured content = {0};
    struct inval_list invals = {0};
    pthread_rwlock_rdlock(&s->builds);
    pthread_mutex_lock(&s->lock);
    int rc = look(s, item, v);
    bool waits = v->act == ACT_WAIT || v->act == ACT_KEEP || v->act == ACT_FOLLOW;
    if (rc == 0 && has_content(v))
        rc = take_content(s, item, v, &content);
    if (rc == 0 && !waits)
        rc = carry_out(s, item, v, &content, &invals);
    pthread_mutex_unlock(&s->lock);
    pthread_rwlock_unlock(&s->builds);
    captured_fini(&content);
    if (rc == 0)
        tell_children(s, v);
    buf_fini(&v->children);
    if (rc == 0)
        inval_send(s, &invals);
    else
        buf_fini(&invals.b);
    return rc;
}

int publish_name(struct space *s, struct publish_item *item)
{
    enum { TRIES = 8 };
    struct view v = {0};
    int rc = -EAGAIN;
    /* What is done in parts gets on with each of them, and is no failed try. */
    for (int i = 0; i < TRIES && (rc == -EAGAIN || rc == -EINPROGRESS); i += rc == -EAGAIN) {
        rc = publish_once(s, item, &v);
        if (rc == 0 && v.act == ACT_FOLLOW) {
            /* One step only: what is there has the file. */
            struct publish_item to = {.ino = v.to_dir,
                                      .name = buf_bytes(&v.to_name),
                                      .settled = true,
                                      .quiet = item->quiet,
                                      .forced = item->forced};
            struct view target = {0};
            rc = publish_once(s, &to, &target);
            buf_fini(&target.to_name);
            if (rc == 0)
                rc = target.act == ACT_MOVE || target.act == ACT_LINK ? -EAGAIN : -EBUSY;
        }
    }
    buf_fini(&v.to_name);
    if (rc == -EAGAIN || rc == -EBUSY || rc == -ENOTEMPTY || rc == -ESTALE)
        return PUBLISH_LATER;
    if (rc < 0)
        return rc;
    return v.act == ACT_WAIT ? (int)v.wait : (int)PUBLISH_DONE;
}
