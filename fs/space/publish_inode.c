/* Content and attributes of a file whose record is known, published as a change of it. */
#include <errno.h>

#include "fs/space/ignore.h"
#include "fs/space/publish_edit.h"

/* What has to be published of an inode. */
struct need {
    bool content, meta, show; /* show: a version from elsewhere waited for the file to be closed */
    bool behind;              /* that version waits still: the note of it stays */
    bool emptied;             /* show: nothing was written by who emptied it, before a crash */
};

static int look(struct space *s, struct publish_item *item, const struct attr *a, struct need *ret,
                bool *ret_wait)
{
    *ret = (struct need){.content = false};
    *ret_wait = false;
    struct op x;
    struct attr *live;
    int rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    rc = op_add(&x, a->ino, &live);
    bool writing = rc == 0 && op_is_open(&x, live, true);
    bool cut = rc == 0 && op_is_cut(&x, live);
    (void)op_abort(&x, 0);
    if (rc < 0)
        return rc;
    struct rid rid = bind_rid(a);
    struct replica_info info;
    CLEANUP(buf_fini) struct buf theirs = {0}, ours = {0};
    struct value_meta meta;
    rc = replica_stat(s->replica, &rid, &info);
    if (rc == 0)
        rc = replica_xattrs(s->replica, &rid, &theirs);
    if (rc == 0)
        rc = capture_meta(s, a, &ours, &meta);
    if (rc < 0 || (!info.shown && !rid_is_root(&rid)))
        return rc;
    ret->meta = !S_ISLNK(a->mode) && (!info.has_meta || info.mode != meta.mode ||
                                      !bytes_equal(buf_bytes(&theirs), meta.xattrs));
    if (attr_is_dir(a))
        return 0;
    bool changed = a->dirty || (!dot_is_none(&info.content.dot) && !writing &&
                                info.content.mtime_ns != capture_mtime_ns(a));
    struct base_ref ref = base_of(&rid, &info.content.dot);
    if (!a->dirty && a->has_base && memcmp(&ref, &a->base, sizeof ref) != 0) {
        ret->show = !writing;
        ret->behind = writing;
        return 0;
    }
    /* In the middle of a save that nobody will finish: what was published last stays, if anything.
     */
    bool unfinished = a->half && !writing && info.content.size > 0;
    if (unfinished && a->size == 0) {
        ret->show = ret->emptied = true;
        return 0;
    }
    if (unfinished) { /* but what has only been appended to, a journal, has lost nothing by it */
        rc = capture_has_grown(s, a);
        changed = changed && rc == 1;
    }
    if (rc < 0)
        return rc;
    rc = changed ? publish_was_replaced(s, a) : 0;
    if (rc != 0) /* what it has now is none of that record's */
        return rc < 0 ? rc : -EAGAIN;
    if (changed && writing && (!item->quiet || cut)) {
        *ret_wait = true;
        return 0;
    }
    ret->content = changed;
    return 0;
}

static void drop_pending(struct op *x, uint64_t ino)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_inode_key(ino, key);
    db_batch_delete(x->batch, DB_PENDING, bytes_of(key, n));
}

/* @seen: as it was when there was nothing to do. NULL: it was gone. */
static int forget(struct space *s, uint64_t ino, const struct attr *seen)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t n = pending_inode_key(ino, key);
    struct op x;
    struct attr *a;
    int rc = db_has(s->db, DB_PENDING, bytes_of(key, n));
    if (rc <= 0) /* mostly there is none: a read is cheaper than a write */
        return rc;
    rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    rc = op_add(&x, ino, &a);
    if (rc == 0 && seen != NULL &&
        (a->changes != seen->changes || attr_time_cmp(&a->ctime, &seen->ctime) != 0))
        return op_abort(&x, -EAGAIN);
    if (rc < 0 && rc != -ESTALE)
        return op_abort(&x, rc);
    drop_pending(&x, ino);
    return op_commit(&x);
}

struct deed {
    struct space *s;
    struct op *x;
    const struct attr *seen;
    const struct need *need;
    struct edit *edit;
    struct inval_list *invals;
    struct rid rid;
};

/* The same file, with the same bytes and attributes as they were captured. */
static int still_so(const struct deed *d, struct attr **ret)
{
    int rc = op_add(d->x, d->seen->ino, ret);
    if (rc < 0)
        return rc;
    const struct attr *a = *ret;
    return !a->bound || memcmp(a->record, d->seen->record, sizeof a->record) != 0 ||
                   a->changes != d->seen->changes || attr_time_cmp(&a->ctime, &d->seen->ctime) != 0
               ? -EAGAIN
               : 0;
}

static int show_deed(void *arg)
{
    struct deed *d = arg;
    struct attr *a;
    int rc = still_so(d, &a);
    if (rc < 0)
        return rc;
    bool shown = !d->need->behind;
    if (d->need->content) {
        shown = edit_show(d->s, d->x, a, d->edit, d->invals) && shown;
        op_put(d->x, a);
    }
    if (shown)
        drop_pending(d->x, a->ino);
    return 0;
}

static int author(struct space *s, struct deed *d, struct inval_list *invals)
{
    d->rid = bind_rid(d->seen);
    int rc = d->need->content ? edit_keep_saved(s, d->x->batch, &d->rid, d->edit) : 0;
    struct change *c = rc < 0 ? NULL : replica_begin(s->replica, d->x->batch);
    if (c == NULL) {
        replica_abort(s->replica);
        return op_abort(d->x, rc < 0 ? rc : -ENOMEM);
    }
    if (d->need->content)
        rc = edit_author(c, &d->rid, d->edit);
    CLEANUP(buf_fini) struct buf xattrs = {0};
    struct value_meta meta;
    if (rc == 0 && d->need->meta)
        rc = capture_meta(s, d->seen, &xattrs, &meta);
    if (rc == 0 && d->need->meta)
        rc = change_meta(c, &d->rid, &meta);
    if (rc < 0) {
        replica_cancel(c);
        replica_abort(s->replica);
        return op_abort(d->x, rc == -ENOENT ? -EAGAIN : rc); /* deleted elsewhere meanwhile */
    }
    return publish_commit(s, d->x, c, show_deed, d, invals);
}

/* What records show, instead of a file that a crash left empty. */
static int show_again(struct deed *d, struct attr *a)
{
    if (op_is_open(d->x, a, true)) /* by now: its close decides */
        return -EAGAIN;
    if (d->need->emptied)
        a->dirty = a->half = a->has_base = false;
    return show_record(d->s, d->x, a, d->invals);
}

static int carry_out(struct space *s, const struct attr *seen, const struct need *need,
                     struct edit *edit, struct inval_list *invals)
{
    struct op x;
    int rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    struct deed d = {.s = s, .x = &x, .seen = seen, .need = need, .edit = edit, .invals = invals};
    if (!need->show)
        return author(s, &d, invals);
    struct attr *a;
    op_lock_names(&x);
    rc = still_so(&d, &a);
    if (rc == 0)
        rc = show_again(&d, a);
    drop_pending(&x, seen->ino);
    return rc < 0 ? op_abort(&x, rc) : op_commit(&x);
}

static int publish_once(struct space *s, struct publish_item *item, bool *ret_wait)
{
    struct attr a;
    struct need need;
    *ret_wait = false;
    int rc = tree_getattr(s->tree, item->ino, &a);
    if (rc < 0)
        return rc == -ESTALE ? forget(s, item->ino, NULL) : rc;
    /* Without a record it is published with its name, if at all. */
    if (!a.bound || (a.nlink == 0 && !attr_is_dir(&a)))
        return forget(s, item->ino, &a);
    pthread_mutex_lock(&s->lock);
    rc = look(s, item, &a, &need, ret_wait);
    bool done = rc == 0 && !*ret_wait && !need.content && !need.meta && !need.show;
    if (done && !a.half && !need.behind) /* under the lock: a note of what comes stays */
        rc = forget(s, item->ino, &a);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0 || *ret_wait || done)
        return rc;
    struct edit edit = {.merged = false};
    struct inval_list invals = {.s = s};
    pthread_rwlock_rdlock(&s->builds);
    struct rid rid = bind_rid(&a);
    rc = need.content ? edit_take(s, &rid, &a, true, &edit) : 0;
    if (rc == 0) {
        pthread_mutex_lock(&s->lock);
        rc = carry_out(s, &a, &need, &edit, &invals);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_rwlock_unlock(&s->builds);
    edit_fini(&edit);
    if (rc == 0)
        inval_send(&invals);
    else
        inval_drop(&invals);
    return rc;
}

int publish_inode(struct space *s, struct publish_item *item)
{
    bool wait = false;
    int rc = ignore_relook(s, item->ino);
    if (rc > 0)
        return PUBLISH_LATER;
    if (rc == 0)
        rc = publish_once(s, item, &wait);
    item->wait_ino = wait ? item->ino : 0;
    if (rc == -EAGAIN || rc == -ESTALE)
        return PUBLISH_LATER;
    return rc < 0 ? rc : wait ? (int)PUBLISH_OPEN : (int)PUBLISH_DONE;
}
