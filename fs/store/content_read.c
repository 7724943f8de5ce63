/* Reading an open content. */
#include "fs/store/content.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "fs/store/chunk.h"
#include "fs/store/content_priv.h"

/* A chunk's bytes: those held from the read before, or from the database. */
static int take_chunk(struct content *c, const struct list_item *item, size_t len,
                      struct db_value *ret)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < ARRAY_N(c->held); i++) {
        struct content_held *h = &c->held[i];
        if (h->value.pin != NULL && memcmp(h->id, item->id, CONTENT_ID_BYTES) == 0) {
            *ret = h->value;
            h->value = (struct db_value){0};
            break;
        }
    }
    pthread_mutex_unlock(&c->lock);
    int rc = ret->pin != NULL ? 0 : chunk_get(c->db, item->id, ret);
    /* Whoever made the list may have lied about the length. */
    return rc == 0 && ret->v.n != len ? -EBADMSG : rc;
}

/* Holds a chunk for the read that goes on in it; takes the value over. */
static void hold_chunk(struct content *c, const struct list_item *item, struct db_value *value)
{
    pthread_mutex_lock(&c->lock);
    struct content_held *h = &c->held[c->held_next];
    c->held_next = (c->held_next + 1) % CONTENT_CHUNKS_HELD;
    struct db_value old = h->value;
    h->value = *value;
    memcpy(h->id, item->id, CONTENT_ID_BYTES);
    pthread_mutex_unlock(&c->lock);
    *value = (struct db_value){0};
    db_value_fini(&old);
}

static int read_chunk(struct content *c, const struct list_item *item, size_t len, size_t from,
                      uint8_t *p, size_t n)
{
    assert(from + n <= len);
    CLEANUP(db_value_fini) struct db_value v = {0};
    int rc = take_chunk(c, item, len, &v);
    if (rc < 0)
        return rc;
    memcpy(p, v.v.p + from, n);
    if (from + n < len)
        hold_chunk(c, item, &v);
    return 0;
}

/* Reads from one list of level 0: up to @n bytes, or to its end. */
static int read_list(struct content *c, const struct content_list *l, uint64_t off, uint8_t *p,
                     size_t n, size_t *ret_done)
{
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
            int rc = read_chunk(c, item, (size_t)len, (size_t)from, p + done, part);
            if (rc < 0)
                return rc;
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
