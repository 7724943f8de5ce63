#include "fs/space/publish_edit.h"

#include <errno.h>

#include "fs/space/merger.h"

void edit_fini(struct edit *e)
{
    captured_fini(&e->captured);
    buf_fini(&e->body);
}

bool edit_base(const struct rid *rid, const struct attr *a, struct dot *ret)
{
    struct rid is = bind_rid(a), of;
    bool shows = a->bound && rid_cmp(rid, &is) == 0;
    bool over = a->has_over && !shows;
    base_split(over ? &a->over : &a->base, &of, ret);
    /* A file without a record that has bytes of its base is a copy of that. */
    bool based = over || (a->has_base && (shows || (!a->bound && a->base_size == 0)));
    return based && rid_cmp(rid, &of) == 0;
}

int edit_take(struct space *s, const struct rid *rid, const struct attr *a, bool merge,
              struct edit *ret)
{
    int rc = capture_content(s, a, &ret->captured);
    ret->content = ret->captured.content;
    ret->based = rid != NULL && edit_base(rid, a, &ret->base);
    if (rc < 0 || !merge || !attr_is_file(a) || !ret->based)
        return rc;
    rc = merge_stale(s, rid, &ret->base, &ret->captured.content, &ret->body, &ret->content,
                     &ret->over);
    ret->merged = rc == 1;
    return rc < 0 ? rc : 0;
}

static bool is_as_saved(const struct edit *e)
{
    return memcmp(e->content.hash, e->captured.content.hash, HASH_SIZE) == 0;
}

int edit_keep_saved(struct space *s, struct db_batch *batch, const struct rid *rid, struct edit *e)
{
    struct replica_info info;
    if (!e->merged)
        return 0;
    int rc = replica_stat(s->replica, rid, &info);
    if (rc == 0 && !dot_equal(&info.content.dot, &e->over))
        rc = -EAGAIN;
    if (rc < 0 || is_as_saved(e))
        return rc;
    struct change *c = replica_begin(s->replica, batch);
    if (c == NULL)
        return -ENOMEM;
    rc = change_edit(c, rid, &e->captured.content, &e->over);
    if (rc == 0)
        rc = replica_commit(c, &e->saved);
    else
        replica_cancel(c);
    return rc;
}

int edit_author(struct change *c, const struct rid *rid, struct edit *e)
{
    e->dot = change_dot(c);
    bool apart = !dot_is_none(&e->saved);
    const struct dot *base = apart ? &e->saved : e->merged ? &e->over : e->based ? &e->base : NULL;
    if (!apart)
        e->saved = e->dot;
    return change_edit(c, rid, &e->content, base);
}

bool edit_show(struct space *s, struct op *x, struct attr *a, const struct edit *e,
               struct inval_list *invals)
{
    struct rid rid = bind_rid(a);
    struct base_ref saved = base_of(&rid, &e->saved);
    bool mixed = e->merged && !is_as_saved(e), later = mixed && op_is_open(x, a, true);
    struct base_ref ref = later ? saved : base_of(&rid, &e->dot);
    if (attr_is_file(a))
        op_set_version(x, a, &ref, later ? e->captured.content.size : e->content.size);
    if (later) {
        op_tell_closed(x, a);
    } else if (e->merged) {
        a->changes++;
        a->ctime = attr_now();
        a->mtime = capture_time(e->content.mtime_ns);
        inval_inode(invals, a->ino);
    }
    a->has_base = true;
    a->base = ref;
    a->dirty = false;
    tree_published(s->tree, a->ino, &saved, mixed && !later);
    return !later;
}
