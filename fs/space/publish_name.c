/* A name of the tree that changed, published as a change of records. */
#include <errno.h>

#include "fs/space/publish_deed.h"

int deed_create(struct deed *d)
{
    struct rid dir = bind_rid(&d->v->dir);
    enum kind kind = KIND_FILE;
    (void)capture_kind(&d->v->file, &kind);
    CLEANUP(buf_fini) struct buf xattrs = {0};
    struct value_meta meta;
    d->edit->dot = d->edit->saved = change_dot(d->c);
    int rc = capture_meta(d->s, &d->v->file, &xattrs, &meta);
    return rc < 0 ? rc
                  : change_create(d->c, kind, &dir, d->item->name, &meta,
                                  kind == KIND_DIR ? NULL : &d->edit->content, &d->rid);
}

static int author_replace(struct deed *d)
{
    d->rid = d->v->record.rid;
    int rc = edit_author(d->c, &d->rid, d->edit);
    CLEANUP(buf_fini) struct buf xattrs = {0}, theirs = {0};
    struct value_meta meta;
    struct replica_info info;
    if (rc == 0)
        rc = capture_meta(d->s, &d->v->file, &xattrs, &meta);
    if (rc == 0)
        rc = replica_stat(d->s->replica, &d->rid, &info);
    if (rc == 0)
        rc = replica_xattrs(d->s->replica, &d->rid, &theirs);
    if (rc == 0 &&
        (!info.has_meta || info.mode != meta.mode || !bytes_equal(buf_bytes(&theirs), meta.xattrs)))
        rc = change_meta(d->c, &d->rid, &meta);
    if (rc == 0 && d->v->was_temporary)
        rc = change_unlink(d->c, &d->v->from.rid, &d->v->from.slot);
    return rc;
}

/* The change of the records. */
static int author(struct deed *d)
{
    struct view *v = d->v;
    struct rid dir = bind_rid(&v->dir), rid = bind_rid(&v->file);
    struct dot slot;
    switch (v->act) {
    case ACT_CREATE:
        return deed_create(d);
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
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_inode_key(a->ino, key);
    if (a->bound) { /* another record, which goes, or stays with the name that the file had */
        db_batch_delete(d->x->batch, DB_PENDING, bytes_of(key, n));
        bind_delete(d->x, a);
    }
    a->has_over = false;
    bind_put(d->x, &d->rid, a);
    if (!attr_is_dir(a) && !edit_show(d->s, d->x, a, d->edit, d->invals))
        op_pending_inode(d->x, a);
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
    if (a->bound)
        tree_moved(d->s->tree, a, d->rid.b);
    a->btime = (struct timespec){0}; /* the record is older */
    set_published(d, a);
    return 0;
}

/* It is no edit of the record whose name it took. */
static void show_moved(struct deed *d, struct attr *a)
{
    if (!a->has_over)
        return;
    a->has_over = false;
    op_put(d->x, a);
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
int deed_show(void *arg)
{
    struct deed *d = arg;
    struct attr *a = NULL;
    int rc = still_so(d, &a);
    if (rc == 0 && d->v->act == ACT_CREATE)
        rc = show_created(d, a);
    else if (rc == 0 && d->v->act == ACT_REPLACE)
        rc = show_replaced(d, a);
    else if (rc == 0 && (d->v->act == ACT_MOVE || d->v->act == ACT_LINK))
        show_moved(d, a);
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
           (!a->has_record || rid_cmp(&a->record.rid, &b->record.rid) == 0) &&
           a->was_temporary == b->was_temporary;
}

static int publish_deed(struct deed *d, struct inval_list *invals)
{
    d->invals = invals;
    int rc = edit_keep_saved(d->s, d->x->batch, &d->v->record.rid, d->edit);
    d->c = rc < 0 ? NULL : replica_begin(d->s->replica, d->x->batch);
    if (d->c == NULL) {
        replica_abort(d->s->replica);
        return op_abort(d->x, rc < 0 ? rc : -ENOMEM);
    }
    rc = author(d);
    d->more = rc > 0;
    if (rc < 0) {
        replica_cancel(d->c);
        replica_abort(d->s->replica);
        return op_abort(d->x, rc);
    }
    return publish_commit(d->s, d->x, d->c, deed_show, d, invals);
}

/* Carries out what was seen. Most of the work is done before names are locked. */
static int carry_out(struct space *s, struct publish_item *item, struct view *v, struct edit *edit,
                     struct inval_list *invals)
{
    struct op x;
    int rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    struct deed d = {.s = s, .x = &x, .item = item, .v = v, .edit = edit};
    if (v->act == ACT_FORGET) {
        op_lock_names(&x);
        rc = deed_show(&d);
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

/* Is the file an edit of an older version of the record than the one that is shown? */
static bool is_stale(struct space *s, const struct view *v)
{
    struct dot base;
    struct replica_info info;
    return v->act == ACT_REPLACE && edit_base(&v->record.rid, &v->file, &base) &&
           replica_stat(s->replica, &v->record.rid, &info) == 0 &&
           !dot_equal(&info.content.dot, &base);
}

/*
 * Takes the content; that of a big file, and one that is to be merged, without the lock, so what
 * was seen is looked at again.
 */
static int take_content(struct space *s, struct publish_item *item, struct view *v,
                        struct edit *edit)
{
    const struct rid *rid = v->act == ACT_REPLACE ? &v->record.rid : NULL;
    if (v->file.size <= CONTENT_INLINE_MAX && (rid == NULL || !is_stale(s, v)))
        return edit_take(s, rid, &v->file, false, edit);
    struct view before = *v;
    pthread_mutex_unlock(&s->lock);
    int rc = edit_take(s, rid != NULL ? &before.record.rid : NULL, &before.file, true, edit);
    pthread_mutex_lock(&s->lock);
    if (rc < 0)
        return rc;
    rc = publish_look(s, item, v);
    return rc < 0 ? rc : same_act(&before, v) ? 0 : -EAGAIN;
}

/*
 * A file that has a record of its own, and content that is not published, takes the name of another
 * record. Others must not find there what it had before: the content goes first.
 */
static bool takes_a_name_unpublished(const struct view *v)
{
    return v->act == ACT_MOVE && v->has_record && attr_is_file(&v->file) && v->file.dirty;
}

static int publish_once(struct space *s, struct publish_item *item, struct view *v, bool first,
                        bool content_is_out)
{
    struct edit edit = {.merged = false};
    struct inval_list invals = {.s = s};
    pthread_rwlock_rdlock(&s->builds);
    pthread_mutex_lock(&s->lock);
    int rc = publish_look(s, item, v);
    bool waits = v->act == ACT_WAIT || v->act == ACT_KEEP || v->act == ACT_FOLLOW;
    if (rc == 0 && !content_is_out && takes_a_name_unpublished(v))
        rc = -EINPROGRESS;
    bool alone = !first || !publish_is_new(item, v);
    if (rc == 0 && !alone)
        rc = publish_new(s, item, v, &invals);
    if (rc == 0 && alone && has_content(v))
        rc = take_content(s, item, v, &edit);
    if (rc == 0 && alone && !waits)
        rc = carry_out(s, item, v, &edit, &invals);
    pthread_mutex_unlock(&s->lock);
    pthread_rwlock_unlock(&s->builds);
    edit_fini(&edit);
    if (rc == 0)
        tell_children(s, v);
    buf_fini(&v->children);
    if (rc == 0)
        inval_send(&invals);
    else
        inval_drop(&invals);
    return rc;
}

int publish_name(struct space *s, struct publish_item *item)
{
    enum { TRIES = 8 };
    struct view v = {0};
    bool content_is_out = false;
    int rc = -EAGAIN;
    /* What is done in parts gets on with each of them, and is no failed try. */
    for (int i = 0; i < TRIES && (rc == -EAGAIN || rc == -EINPROGRESS); i += rc == -EAGAIN) {
        rc = publish_once(s, item, &v, i == 0, content_is_out);
        if (rc == -EINPROGRESS && !content_is_out && takes_a_name_unpublished(&v)) {
            struct publish_item content = *item;
            content.ino = v.file.ino;
            content.name = bytes_of(NULL, 0);
            int published = publish_inode(s, &content);
            if (published == PUBLISH_OPEN)
                item->wait_ino = v.file.ino;
            if (published == PUBLISH_OPEN || published == PUBLISH_LATER) {
                buf_fini(&v.to_name);
                return published;
            }
            content_is_out = true; /* or never will be: a save that nobody ends */
            rc = published < 0 ? published : -EAGAIN;
        }
        if (rc == 0 && v.act == ACT_FOLLOW) {
            /* One step only: what is there has the file. */
            struct publish_item to = {.ino = v.to_dir,
                                      .name = buf_bytes(&v.to_name),
                                      .settled = true,
                                      .quiet = item->quiet,
                                      .forced = item->forced};
            struct view target = {0};
            rc = publish_once(s, &to, &target, false, false);
            buf_fini(&target.to_name);
            if (rc == -EINPROGRESS && takes_a_name_unpublished(&target))
                rc = -EBUSY; /* that name is pending, too, and has the content go first */
            if (rc == 0)
                rc = target.act == ACT_MOVE || target.act == ACT_LINK || target.act == ACT_REPLACE
                         ? -EAGAIN
                         : -EBUSY;
        }
    }
    buf_fini(&v.to_name);
    if (rc == -EAGAIN || rc == -EBUSY || rc == -ENOTEMPTY || rc == -ESTALE)
        return PUBLISH_LATER;
    if (rc < 0)
        return rc;
    return v.act == ACT_WAIT ? (int)v.wait : (int)PUBLISH_DONE;
}
