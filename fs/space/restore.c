#include "fs/space/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/replica/version.h"
#include "fs/space/sync_priv.h"

enum { INVALS_BYTES_MAX = 64 * 1024, DEPTH_MAX = 2 * LIMIT_DEPTH };

void restore_tell(struct restore *r)
{
    inval_send(&r->invals);
}

static void note(struct restore *r, uint64_t dir, struct bytes name)
{
    inval_name(&r->invals, dir, name);
    inval_inode(&r->invals, dir);
    if (r->invals.b.n > INVALS_BYTES_MAX)
        restore_tell(r);
}

/* -ENODATA: its bytes are not here, and are asked for. Lock held. */
static int load_body(struct space *s, const struct restore_from *from, struct buf *ret)
{
    int rc = sync_ask_bare(s, &from->rid, &from->content.dot);
    return rc < 0 ? rc : version_read(s->db, &from->rid, &from->content.dot, ret);
}

/* The content of a version, as a change takes it. */
static int load(struct space *s, const struct restore_from *from, struct buf *body,
                struct value_content *ret)
{
    int rc = load_body(s, from, body);
    if (rc < 0)
        return rc;
    *ret = (struct value_content){
        .size = from->content.size, .mtime_ns = from->content.mtime_ns, .body = buf_bytes(body)};
    memcpy(ret->hash, from->content.hash, sizeof ret->hash);
    return 0;
}

/* ---- a file that is there, and has a record ---- */

static bool is_same(const struct replica_content *a, const struct replica_content *b)
{
    return a->size == b->size && a->mtime_ns == b->mtime_ns &&
           memcmp(a->hash, b->hash, sizeof a->hash) == 0;
}

static int put_target(struct op *x, struct attr *a, const struct value_content *content)
{
    struct content_info info;
    int rc = content_parse(content->body, &info);
    if (rc < 0 || !info.is_inline)
        return rc < 0 ? rc : -EUCLEAN;
    uint8_t key[8];
    put_u64(key, a->ino);
    db_batch_put(x->batch, DB_DATA, bytes_of(key, sizeof key), info.data);
    a->size = info.size;
    a->has_base = true;
    a->dirty = false;
    return 0;
}

/* The file has what the change gives to its record. */
static int author(struct restore *r, struct op *x, struct attr *a,
                  const struct value_content *content)
{
    struct space *s = r->s;
    struct rid rid = bind_rid(a);
    struct change *c = replica_begin(s->replica, x->batch);
    if (c == NULL)
        return op_abort(x, -ENOMEM);
    struct dot dot = change_dot(c);
    struct base_ref ref = base_of(&rid, &dot);
    int rc = change_edit(c, &rid, content, NULL);
    if (rc == 0 && attr_is_file(a))
        op_set_version(x, a, &ref, content->size);
    else if (rc == 0)
        rc = put_target(x, a, content);
    if (rc < 0) {
        replica_cancel(c);
        replica_abort(s->replica);
        return op_abort(x, rc);
    }
    a->base = ref;
    a->mtime = capture_time(content->mtime_ns);
    a->ctime = attr_now();
    a->changes++;
    op_put(x, a);
    inval_inode(&r->invals, a->ino);
    tree_replaced(s->tree,
                  a->record); /* who has the newer one in an editor saves an edit of that */
    return publish_commit(s, x, c, NULL, NULL, &r->invals);
}

static int edit_locked(struct restore *r, const struct attr *seen, const struct restore_from *from,
                       const struct value_content *content, bool *ret_same)
{
    struct op x;
    struct attr *a;
    struct replica_info info;
    struct rid rid = bind_rid(seen);
    int rc = replica_stat(r->s->replica, &rid, &info);
    if (rc == 0)
        rc = op_begin(r->s->tree, true, &x);
    if (rc < 0)
        return rc;
    rc = op_add(&x, seen->ino, &a);
    if (rc == 0 && (!a->bound || memcmp(a->record, rid.b, sizeof rid.b) != 0 || !info.shown))
        rc = -EAGAIN;
    if (rc == 0 && (a->dirty || op_is_open(&x, a, true)))
        rc = -EBUSY;
    *ret_same = rc == 0 && is_same(&info.content, &from->content);
    if (rc < 0 || *ret_same)
        return op_abort(&x, rc);
    return author(r, &x, a, content);
}

static int edit(struct restore *r, const struct attr *seen, const struct restore_from *from)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct value_content content;
    bool same = false;
    pthread_rwlock_rdlock(&r->s->builds);
    pthread_mutex_lock(&r->s->lock);
    int rc = load(r->s, from, &body, &content);
    if (rc == 0)
        rc = edit_locked(r, seen, from, &content, &same);
    pthread_mutex_unlock(&r->s->lock);
    pthread_rwlock_unlock(&r->s->builds);
    r->unchanged += rc == 0 && same;
    r->restored += rc == 0 && !same;
    return rc;
}

/* ---- a file that is not there, or of this device alone ---- */

static int set_xattrs(struct space *s, uint64_t ino, struct bytes encoded)
{
    struct reader rest = reader_of(encoded);
    struct bytes name, value;
    int rc = 0;
    while (rc == 0 && value_xattr_next(&rest, &name, &value))
        if (name.n > 5 && memcmp(name.p, "user.", 5) == 0)
            rc = tree_xattr_set(s->tree, ino, name, value, 0);
    return rc;
}

/* Mode and attributes of a record, which it keeps when it is deleted. */
static int load_meta(struct space *s, const struct rid *rid, uint32_t *mode, struct buf *xattrs)
{
    struct replica_info info;
    pthread_mutex_lock(&s->lock);
    int rc = replica_stat(s->replica, rid, &info);
    if (rc == 0)
        rc = replica_xattrs(s->replica, rid, xattrs);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 && info.has_meta)
        *mode = info.mode & 0777;
    return rc;
}

static int make_link(struct restore *r, uint64_t dir, struct bytes name, struct tree_new *what,
                     const struct restore_from *from)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct content_info info = {.is_inline = false};
    struct value_content content;
    struct attr a;
    int rc = load(r->s, from, &body, &content);
    if (rc == 0)
        rc = content_parse(content.body, &info);
    if (rc == 0 && !info.is_inline)
        rc = -EUCLEAN;
    if (rc < 0)
        return rc;
    what->mode = S_IFLNK | 0777;
    what->target = info.data;
    rc = tree_unlink(r->s->tree, dir, name);
    if (rc == 0 || rc == -ENOENT)
        rc = tree_make(r->s->tree, dir, name, what, &a);
    struct tree_set set = {.what = TREE_SET_MTIME, .mtime = capture_time(content.mtime_ns)};
    return rc < 0 ? rc : tree_setattr(r->s->tree, a.ino, &set, &a);
}

static int make_file(struct restore *r, uint64_t dir, struct bytes name, struct tree_new *what,
                     const struct restore_from *from, struct bytes xattrs)
{
    struct attr a;
    struct base_ref ref = base_of(&from->rid, &from->content.dot);
    struct timespec mtime = capture_time(from->content.mtime_ns);
    /* Kept until the file is based on it: nothing is thinned while the lock is held. */
    pthread_mutex_lock(&r->s->lock);
    CLEANUP(buf_fini) struct buf body = {0};
    int rc = load_body(r->s, from, &body);
    if (rc == 0)
        rc = tree_make_version(r->s->tree, dir, name, what, &ref, from->content.size, &mtime, &a);
    pthread_mutex_unlock(&r->s->lock);
    return rc < 0 ? rc : set_xattrs(r->s, a.ino, xattrs);
}

static int make(struct restore *r, uint64_t dir, struct bytes name, const struct attr *parent,
                const struct restore_from *from)
{
    CLEANUP(buf_fini) struct buf xattrs = {0};
    uint32_t mode = 0644;
    int rc = load_meta(r->s, &from->rid, &mode, &xattrs);
    struct tree_new what = {.mode = S_IFREG | mode, .caller = {parent->uid, parent->gid}};
    if (rc == 0)
        rc = rid_kind(&from->rid) == KIND_SYMLINK
                 ? make_link(r, dir, name, &what, from)
                 : make_file(r, dir, name, &what, from, buf_bytes(&xattrs));
    if (rc == 0) {
        note(r, dir, name);
        r->restored++;
    }
    return rc;
}

static bool same_kind(const struct attr *a, const struct rid *rid)
{
    return rid_kind(rid) == KIND_SYMLINK ? S_ISLNK(a->mode) : attr_is_file(a);
}

int restore_file(struct restore *r, uint64_t dir, struct bytes name,
                 const struct restore_from *from)
{
    enum { TRIES = 4 };
    int rc = -EAGAIN;
    for (int i = 0; i < TRIES && rc == -EAGAIN; i++) {
        struct attr parent, there;
        rc = tree_getattr(r->s->tree, dir, &parent);
        if (rc < 0)
            return rc == -ESTALE ? -ENOENT : rc;
        rc = tree_lookup(r->s->tree, dir, name, &there);
        if (rc < 0 && rc != -ENOENT)
            return rc;
        if (rc == 0 && attr_is_dir(&there))
            return -EISDIR;
        if (rc == 0 && there.bound && same_kind(&there, &from->rid))
            rc = edit(r, &there, from);
        else
            rc = make(r, dir, name, &parent, from);
        if (rc == -EAGAIN)
            rc = publisher_flush(r->s) < 0 ? -EIO : -EAGAIN;
    }
    return rc == -EAGAIN ? -EBUSY : rc;
}

int restore_folder(struct restore *r, uint64_t dir, struct bytes name, const struct rid *rid,
                   struct attr *ret)
{
    struct attr parent;
    int rc = tree_lookup(r->s->tree, dir, name, ret);
    if (rc != -ENOENT)
        return rc < 0 ? rc : attr_is_dir(ret) ? 0 : -ENOTDIR;
    CLEANUP(buf_fini) struct buf xattrs = {0};
    uint32_t mode = 0755;
    rc = load_meta(r->s, rid, &mode, &xattrs);
    if (rc == 0)
        rc = tree_getattr(r->s->tree, dir, &parent);
    if (rc < 0)
        return rc;
    struct tree_new what = {.mode = S_IFDIR | mode, .caller = {parent.uid, parent.gid}};
    rc = tree_make(r->s->tree, dir, name, &what, ret);
    if (rc == 0)
        rc = set_xattrs(r->s, ret->ino, buf_bytes(&xattrs));
    if (rc == 0) {
        note(r, dir, name);
        r->restored++;
    }
    return rc;
}

/* ---- removing ---- */

struct names {
    struct buf b; /* each with its length before it */
};

static bool add_name(void *arg, const struct tree_entry *e)
{
    struct names *l = arg;
    if (e->offset <= 2)
        return true;
    buf_put_u8(&l->b, (uint8_t)e->name.n);
    buf_put_bytes(&l->b, e->name);
    return !l->b.failed;
}

static int remove_one(struct restore *r, uint64_t dir, struct bytes name, const struct attr *a)
{
    struct tree *t = r->s->tree;
    int rc = attr_is_dir(a) ? tree_rmdir(t, dir, name) : tree_unlink(t, dir, name);
    if (rc == -ENOTEMPTY) {
        r->kept++;
        return 0;
    }
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    note(r, dir, name);
    if (!r->mounted)
        tree_forget(t, a->ino);
    r->removed++;
    return 0;
}

static int remove_at(struct restore *r, uint64_t dir, struct bytes name, unsigned depth)
{
    struct attr a;
    int rc = tree_lookup(r->s->tree, dir, name, &a);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    /* What was never published would be gone for good. */
    if (!a.bound || (a.dirty && !attr_is_dir(&a)) || depth > DEPTH_MAX) {
        r->kept++;
        return 0;
    }
    struct names l = {0};
    if (attr_is_dir(&a))
        rc = tree_list(r->s->tree, a.ino, 0, false, add_name, &l);
    if (rc == 0)
        rc = buf_status(&l.b);
    struct reader left = reader_of(buf_bytes(&l.b));
    while (rc == 0 && left.n > 0) {
        size_t n = reader_u8(&left);
        rc = remove_at(r, a.ino, reader_bytes(&left, n), depth + 1);
    }
    buf_fini(&l.b);
    return rc < 0 ? rc : remove_one(r, dir, name, &a);
}

int restore_remove(struct restore *r, uint64_t dir, struct bytes name)
{
    return remove_at(r, dir, name, 0);
}
