/* Reading an open content. */
#include "fs/store/content.h"

#include <errno.h>
#include <limits.h>

#include "fs/store/chunk.h"
#include "fs/store/content_priv.h"

enum {
    LARGE_BYTES = 128 << 10, /* a read of this size is likely one of many, */
    AHEAD_BYTES = 4 << 20,   /* and the disk is asked for so much after it */
};

/*
 * Has the disk read on while this is answered. Chunks of a file lie after each other, as a rule: so
 * what comes after this one is what comes after it in the file. What was asked for is not again.
 */
static size_t ask_ahead(struct content *c, uint64_t off, size_t n, size_t *ret_skip)
{
    *ret_skip = 0;
    if (n < LARGE_BYTES)
        return 0;
    uint64_t end = min_u64(off + n + AHEAD_BYTES, c->info.size);
    uint64_t asked = atomic_exchange(&c->asked, end);
    uint64_t from = asked >= off && asked <= end ? asked : off;
    *ret_skip = (size_t)(from - off);
    return (size_t)(end - from);
}

/* Reads from one list of level 0: up to @n bytes, or to its end. */
static int read_list(struct content *c, const struct content_list *l, uint64_t off, uint8_t *p,
                     size_t n, size_t *ret_done)
{
    size_t skip, ahead = ask_ahead(c, off, n, &skip);
    size_t done = 0;
    for (size_t i = list_find(l->list, off - l->off); i < l->list->n && done < n; i++) {
        const struct list_item *item = &l->list->items[i];
        uint64_t start = list_start(l->list, i);
        uint64_t from = off + done - l->off - start;
        uint64_t len = item->end - start;
        size_t part = (size_t)min_u64(len - from, n - done);
        if (item->hole) {
            memset(p + done, 0, part);
        } else {
            struct chunk_part want = {item->id, (size_t)len, (size_t)from, part, skip, ahead};
            int rc = chunk_read(c->db, &want, p + done);
            if (rc < 0)
                return rc;
            ahead = 0;
        }
        done += part;
    }
    *ret_done = done;
    return 0;
}

ssize_t content_read(struct content *c, uint64_t off, void *p, size_t n)
{
    if (off >= c->info.size)
        return 0;
    n = (size_t)min_u64(min_u64(n, SSIZE_MAX), c->info.size - off);
    if (n == 0)
        return 0;
    if (c->info.is_inline) {
        memcpy(p, c->info.data.p + off, n);
        return (ssize_t)n;
    }
    size_t done = 0;
    while (done < n) {
        struct content_list l;
        size_t part;
        int rc = content_list_at(c, 0, off + done, &l);
        if (rc < 0)
            return rc;
        rc = read_list(c, &l, off + done, (uint8_t *)p + done, n - done, &part);
        content_list_done(c, &l);
        if (rc < 0)
            return rc;
        done += part;
    }
    return (ssize_t)n;
}

int content_next_data(struct content *c, uint64_t off, uint64_t *ret_off)
{
    if (off >= c->info.size)
        return -ENXIO;
    if (c->info.is_inline) {
        *ret_off = off;
        return 0;
    }
    struct content_list l;
    int rc = content_list_at(c, 0, off, &l);
    if (rc < 0)
        return rc;
    const struct list_item *item = &l.list->items[list_find(l.list, off - l.off)];
    /* Two holes in a row are not made; in such a list the second would count as data. */
    uint64_t data = item->hole ? l.off + item->end : off;
    content_list_done(c, &l);
    if (data == c->info.size)
        return -ENXIO;
    *ret_off = data;
    return 0;
}

/* The first item at or after @off that is, or has below it, a hole; the end of the list if none. */
static uint64_t skip_to_hole(const struct content_list *l, uint64_t off, bool *ret_found)
{
    *ret_found = false;
    for (size_t i = list_find(l->list, off - l->off); i < l->list->n; i++)
        if (l->list->items[i].hole) {
            *ret_found = true;
            return max_u64(off, l->off + list_start(l->list, i));
        }
    return l->off + l->list->items[l->list->n - 1].end;
}

int content_next_hole(struct content *c, uint64_t off, uint64_t *ret_off)
{
    if (off >= c->info.size)
        return -ENXIO;
    /* Down to where a list says that holes are; from a list without one after off, up again. That
     * is at most once per level: a list entered at its beginning has what its parent says. */
    unsigned level = c->info.level;
    while (!c->info.is_inline && off < c->info.size) {
        struct content_list l;
        int rc = content_list_at(c, level, off, &l);
        if (rc < 0)
            return rc;
        bool found;
        off = skip_to_hole(&l, off, &found);
        content_list_done(c, &l);
        if (found && level == 0) {
            *ret_off = off;
            return 0;
        }
        level = found ? level - 1 : c->info.level;
    }
    *ret_off = c->info.size;
    return 0;
}
