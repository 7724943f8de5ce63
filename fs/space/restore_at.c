/* A file, or a folder with all in it, as it was at a time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/out.h"
#include "fs/space/path.h"
#include "fs/space/restore.h"

enum { DEPTH_MAX = 2 * LIMIT_DEPTH };

static int add_entry(void *ctx, const struct history_entry *e)
{
    struct buf *b = ctx;
    buf_put(b, e, sizeof *e);
    return buf_status(b);
}

static struct history_entry entry_at(const struct buf *list, size_t i)
{
    struct history_entry e;
    memcpy(&e, list->p + i * sizeof e, sizeof e);
    return e;
}

static size_t entries_n(const struct buf *list)
{
    return list->n / sizeof(struct history_entry);
}

static int by_name(const void *ap, const void *bp)
{
    const struct history_entry *a = ap, *b = bp;
    int c = bytes_cmp(bytes_of(a->entry.name, a->entry.name_len),
                      bytes_of(b->entry.name, b->entry.name_len));
    return c != 0 ? c : rid_cmp(&a->entry.rid, &b->entry.rid);
}

/* What folder @dir held then, by name. */
static int list_then(struct space *s, const struct rid *dir, uint64_t at_ms, struct buf *ret)
{
    pthread_mutex_lock(&s->lock);
    int rc = replica_list_at(s->replica, dir, at_ms, add_entry, ret);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 && entries_n(ret) > 1)
        qsort(ret->p, entries_n(ret), sizeof(struct history_entry), by_name);
    return rc;
}

static bool find_then(const struct buf *list, struct bytes name, struct history_entry *ret)
{
    size_t lo = 0, hi = entries_n(list);
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        *ret = entry_at(list, mid);
        int c = bytes_cmp(bytes_of(ret->entry.name, ret->entry.name_len), name);
        if (c == 0)
            return true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

/* ---- what came later ---- */

struct later {
    const struct buf *then;
    struct space *s;
    struct buf names; /* each with its length before it */
};

static bool look_later(void *arg, const struct tree_entry *e)
{
    struct later *l = arg;
    struct history_entry then;
    if (e->offset <= 2 || find_then(l->then, e->name, &then))
        return true;
    buf_put_u8(&l->names, (uint8_t)e->name.n);
    buf_put_bytes(&l->names, e->name);
    return !l->names.failed;
}

static int remove_later(struct restore *r, uint64_t dir, const struct buf *then)
{
    struct later l = {.then = then, .s = r->s};
    int rc = tree_list(r->s->tree, dir, 0, false, look_later, &l);
    if (rc == 0)
        rc = buf_status(&l.names);
    struct reader left = reader_of(buf_bytes(&l.names));
    while (rc == 0 && left.n > 0) {
        size_t n = reader_u8(&left);
        rc = restore_remove(r, dir, reader_bytes(&left, n));
    }
    buf_fini(&l.names);
    return rc;
}

/* ---- what was there ---- */

static int restore_dir(struct restore *r, uint64_t dir, const struct rid *rid, uint64_t at_ms,
                       unsigned depth);

/* Of several that wanted one name then, the others get one of their own. */
static struct bytes own_name(const struct buf *then, size_t i, char to[LIMIT_NAME + 16])
{
    struct history_entry e = entry_at(then, i);
    unsigned before = 0;
    for (size_t j = i; j > 0; j--) {
        struct history_entry other = entry_at(then, j - 1);
        if (other.entry.name_len != e.entry.name_len ||
            memcmp(other.entry.name, e.entry.name, e.entry.name_len) != 0)
            break;
        before++;
    }
    int keep = before == 0 ? e.entry.name_len : (int)min_u64(e.entry.name_len, LIMIT_NAME - 16);
    int n = before == 0
                ? snprintf(to, LIMIT_NAME + 16, "%.*s", keep, e.entry.name)
                : snprintf(to, LIMIT_NAME + 16, "%.*s (%u)", keep, e.entry.name, before + 1);
    return bytes_of(to, (size_t)n);
}

/* A file or link is in the way of a folder, or the other way round. */
static int clear_way(struct restore *r, uint64_t dir, struct bytes name, bool wants_dir)
{
    struct attr a;
    int rc = tree_lookup(r->s->tree, dir, name, &a);
    if (rc < 0 || attr_is_dir(&a) == wants_dir)
        return rc == -ENOENT ? 0 : rc;
    rc = restore_remove(r, dir, name);
    return rc < 0 ? rc : publisher_flush(r->s);
}

static int restore_entry(struct restore *r, uint64_t dir, struct bytes name,
                         const struct history_entry *e, uint64_t at_ms, unsigned depth)
{
    struct attr a;
    const struct rid *rid = &e->entry.rid;
    int rc = clear_way(r, dir, name, rid_is_dir(rid));
    if (rc < 0)
        return rc;
    if (rid_is_dir(rid)) {
        rc = restore_folder(r, dir, name, rid, &a);
        if (rc == 0)
            rc = restore_dir(r, a.ino, rid, at_ms, depth + 1);
    } else if (dot_is_none(&e->content.dot)) {
        r->missing++;
    } else {
        struct restore_from from = {*rid, e->content};
        rc = restore_file(r, dir, name, &from);
        if (rc == -ENOENT || rc == -ENODATA) { /* thinned a moment ago; not fetched yet */
            r->missing++;
            rc = 0;
        }
    }
    if (rc == -EBUSY || rc == -EISDIR || rc == -ENOTDIR) {
        r->kept++;
        rc = 0;
    }
    return rc;
}

static int restore_dir(struct restore *r, uint64_t dir, const struct rid *rid, uint64_t at_ms,
                       unsigned depth)
{
    CLEANUP(buf_fini) struct buf then = {0};
    if (depth > DEPTH_MAX)
        return -ELOOP;
    int rc = list_then(r->s, rid, at_ms, &then);
    if (rc == 0)
        rc = remove_later(r, dir, &then);
    for (size_t i = 0; rc == 0 && i < entries_n(&then); i++) {
        char name[LIMIT_NAME + 16];
        struct history_entry e = entry_at(&then, i);
        rc = restore_entry(r, dir, own_name(&then, i, name), &e, at_ms, depth);
        if (rc == 0 && out_cancelled(r->out, 0))
            rc = -ECANCELED;
    }
    return rc;
}

/* ---- the way there ---- */

int restore_at(struct restore *r, const char *path, uint64_t at_ms)
{
    struct rid rid = RID_ROOT;
    uint64_t dir = TREE_ROOT;
    struct bytes name;
    int rc = 0;
    for (bool more = path_next(&path, &name); rc == 0 && more;) {
        CLEANUP(buf_fini) struct buf then = {0};
        struct history_entry e;
        struct attr a;
        rc = list_then(r->s, &rid, at_ms, &then);
        if (rc == 0 && !find_then(&then, name, &e))
            rc = -ENOENT;
        if (rc < 0)
            break;
        struct bytes next;
        more = path_next(&path, &next);
        if (!more)
            return restore_entry(r, dir, name, &e, at_ms, 0);
        rid = e.entry.rid;
        rc = rid_is_dir(&rid) ? restore_folder(r, dir, name, &rid, &a) : -ENOENT;
        dir = rc == 0 ? a.ino : dir;
        name = next;
    }
    return rc < 0 ? rc : restore_dir(r, dir, &rid, at_ms, 0);
}
