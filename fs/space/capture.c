/* A file's content and attributes, as records hold them. */
#include <errno.h>

#include "fs/replica/version.h"
#include "fs/space/space_priv.h"
#include "fs/space/sync_priv.h"

bool capture_kind(const struct attr *a, enum kind *ret)
{
    switch (a->mode & S_IFMT) {
    case S_IFDIR:
        *ret = KIND_DIR;
        return true;
    case S_IFREG:
        *ret = KIND_FILE;
        return true;
    case S_IFLNK:
        *ret = KIND_SYMLINK;
        return true;
    default: /* fifos, sockets and devices have a meaning on their own machine alone */
        return false;
    }
}

int64_t capture_mtime_ns(const struct attr *a)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)a->mtime.tv_sec, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)a->mtime.tv_nsec, &ns))
        return a->mtime.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

struct timespec capture_time(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += 1000000000;
    }
    return t;
}

void captured_fini(struct captured *c)
{
    buf_fini(&c->body);
}

enum { STEP_BYTES = 1 << 20, GROWN_MAX = 1 << 20, GROWN_STEP = 16 << 10 };

struct source {
    struct space *s;
    uint64_t ino, size, changes;
    bool is_bulk; /* there is much to be read: what is small goes first */
};

static int source_read(void *arg, uint64_t off, void *p, size_t n)
{
    struct source *src = arg;
    struct attr a;
    if (src->is_bulk)
        publisher_pause(src->size > STEP_BYTES);
    int64_t got = tree_read_unseen(src->s->tree, src->ino, off, p, n);
    int rc = got < 0 ? (int)got : tree_getattr(src->s->tree, src->ino, &a);
    /* Written to meanwhile: it is captured again when that has settled. */
    return rc < 0 ? rc : (size_t)got < n || a.changes != src->changes ? -EAGAIN : 0;
}

static int source_next_data(void *arg, uint64_t off, uint64_t *ret_off, uint64_t *ret_end)
{
    struct source *src = arg;
    int64_t at = tree_seek(src->s->tree, src->ino, off, SEEK_DATA);
    if (at < 0)
        return (int)at;
    if ((uint64_t)at >= src->size) /* it has grown meanwhile */
        return -ENXIO;
    /* Where the next hole begins is not asked for: among scattered blocks that costs more than to
     * read on, and zeros become holes all the same. */
    *ret_off = (uint64_t)at;
    *ret_end = min_u64(src->size, (uint64_t)at + STEP_BYTES);
    return 0;
}

static void source_stored(void *arg, struct bytes ids)
{
    const struct source *src = arg;
    sync_put_fresh(src->s, ids);
}

static int capture_inline(struct space *s, const struct attr *a, struct buf *ret_body)
{
    CLEANUP(buf_fini) struct buf bytes = {0};
    int rc = 0;
    if (S_ISLNK(a->mode)) {
        rc = tree_readlink(s->tree, a->ino, &bytes);
    } else {
        rc = buf_resize(&bytes, a->size);
        if (rc == 0 && a->size > 0)
            rc = source_read(&(struct source){s, a->ino, a->size, a->changes, false}, 0, bytes.p,
                             bytes.n);
    }
    return rc < 0 ? rc : content_inline(buf_bytes(&bytes), ret_body);
}

/* The version that the file is based on, when there is one that the chunks can be taken over from.
 */
static int open_edit_base(struct space *s, const struct attr *a, struct content **ret)
{
    struct rid rid;
    struct dot dot;
    CLEANUP(buf_fini) struct buf body = {0};
    base_split(&a->base, &rid, &dot);
    int rc = version_read(s->db, &rid, &dot, &body);
    return rc < 0 ? rc : content_open(s->db, buf_bytes(&body), ret);
}

/* Where the file may differ from @base; what is past the shorter of both need not be told. */
static int dirty_ranges(struct space *s, const struct attr *a, const struct content *base,
                        struct buf *ret)
{
    int rc = a->data == ATTR_DATA_STAGED ? tree_dirty(s->tree, a->ino, ret) : 0;
    if (rc < 0 || a->base_size >= min_u64(content_size(base), a->size))
        return rc;
    /* The file was cut and has grown again: from there on nothing is the base's. */
    struct content_range last = {a->base_size, a->size};
    const struct content_range *range = (const struct content_range *)(void *)ret->p;
    size_t n = ret->n / sizeof *range;
    while (n > 0 && range[n - 1].off >= last.off)
        n--;
    ret->n = n * sizeof *range;
    buf_put(ret, &last, sizeof last);
    return buf_status(ret);
}

/* Whether a build reads little more than a small file has. */
static bool is_small(const struct content_edit *e, uint64_t size)
{
    if (e->base == NULL)
        return false;
    uint64_t n = size - min_u64(size, content_size(e->base));
    for (size_t i = 0; i < e->dirty_n; i++)
        n += e->dirty[i].end - e->dirty[i].off;
    return n <= STEP_BYTES;
}

static int capture_chunks(struct space *s, const struct attr *a, struct captured *ret)
{
    if (a->size > STEP_BYTES && publisher_between())
        return -EAGAIN;
    struct source arg = {s, a->ino, a->size, a->changes, true};
    struct content_source src = {.size = a->size,
                                 .read = source_read,
                                 .next_data = source_next_data,
                                 .stored = source_stored,
                                 .arg = &arg};
    struct content_edit edit = {0};
    CLEANUP(buf_fini) struct buf dirty = {0};
    if (a->has_base && a->base_size > 0 && open_edit_base(s, a, &edit.base) == 0 &&
        dirty_ranges(s, a, edit.base, &dirty) < 0) {
        content_free(edit.base);
        edit.base = NULL; /* reading all of it will do, too */
    }
    edit.dirty = (const struct content_range *)(void *)dirty.p;
    edit.dirty_n = dirty.n / sizeof(struct content_range);
    arg.is_bulk = !is_small(&edit, a->size);
    int rc = content_build(s->db, &s->keys, &src, edit.base != NULL ? &edit : NULL, &ret->body,
                           ret->content.hash);
    content_free(edit.base);
    return rc;
}

/* Whether the first @n bytes of the file are those of its base. */
static int begins_with(struct space *s, const struct attr *a, struct content *base, uint64_t n)
{
    uint8_t was[GROWN_STEP], is[GROWN_STEP];
    for (uint64_t at = 0; at < n; at += GROWN_STEP) {
        size_t part = min_u64(n - at, GROWN_STEP);
        ssize_t got = content_read(base, at, was, part);
        int64_t has = got == (ssize_t)part ? tree_read_unseen(s->tree, a->ino, at, is, part) : got;
        if (got < 0 || has < 0)
            return got < 0 ? (int)got : (int)has;
        if ((size_t)has != part || memcmp(was, is, part) != 0)
            return 0;
    }
    return 1;
}

int capture_has_grown(struct space *s, const struct attr *a)
{
    struct content *base;
    if (!a->has_base)
        return 0;
    int rc = open_edit_base(s, a, &base);
    if (rc < 0)
        return rc;
    uint64_t n = content_size(base);
    rc = n < a->size && n <= GROWN_MAX ? begins_with(s, a, base, n) : 0;
    content_free(base);
    return rc;
}

int capture_content(struct space *s, const struct attr *a, struct captured *ret)
{
    *ret = (struct captured){.changes = a->changes};
    int rc;
    if (a->size <= CONTENT_INLINE_MAX) {
        rc = capture_inline(s, a, &ret->body);
        if (rc == 0)
            content_hash(&s->keys, buf_bytes(&ret->body), ret->content.hash);
    } else {
        rc = capture_chunks(s, a, ret);
    }
    if (rc < 0) {
        captured_fini(ret);
        return rc;
    }
    ret->content.size = a->size;
    ret->content.mtime_ns = capture_mtime_ns(a);
    ret->content.body = buf_bytes(&ret->body);
    return 0;
}

int capture_meta(struct space *s, const struct attr *a, struct buf *xattrs, struct value_meta *ret)
{
    static const char user[] = "user.";
    buf_reset(xattrs);
    int rc = 0;
    if (a->has_xattr) {
        uint8_t prefix[8 + sizeof user - 1];
        put_u64(prefix, a->ino);
        memcpy(prefix + 8, user, sizeof user - 1);
        struct db_iter *it = db_iter_new(s->db, DB_XATTR, bytes_of(prefix, sizeof prefix), NULL);
        if (it == NULL)
            return -ENOMEM;
        while (db_iter_next(it)) {
            struct bytes key = db_iter_key(it);
            value_xattr_put(xattrs, bytes_of(key.p + 8, key.n - 8), db_iter_value(it));
        }
        rc = db_iter_status(it);
        db_iter_free(it);
    }
    *ret = (struct value_meta){.mode = a->mode & 07777, .xattrs = buf_bytes(xattrs)};
    return rc < 0 ? rc : buf_status(xattrs);
}
