#include "fs/store/lister.h"

#include <assert.h>
#include <errno.h>

void lister_init(struct lister *l, struct chunk_sink *sink)
{
    /* Not all zeroed: the entries are large, and a small file needs few of them. */
    l->sink = sink;
    l->size = 0;
    l->node = (struct buf){0};
    for (unsigned i = 0; i <= LIST_LEVEL_MAX; i++)
        l->levels[i].total_n = l->levels[i].open_n = 0;
}

void lister_fini(struct lister *l)
{
    buf_fini(&l->node);
}

static int append(struct lister *l, unsigned level, const struct list_entry *e);

/* Makes a node of the first @n open entries of @level, whose place is taken by those after them. */
static int close_node(struct lister *l, unsigned level, size_t n)
{
    struct lister_level *v = &l->levels[level];
    assert(level < LIST_LEVEL_MAX && n > 0 && n <= v->open_n);
    struct list_entry up = {0};
    buf_reset(&l->node);
    list_put_node_head(&l->node, level);
    for (size_t i = 0; i < n; i++) {
        list_put_entry(&l->node, level, &v->open[i]);
        up.len += v->open[i].len;
        up.hole |= v->open[i].hole;
    }
    int rc = buf_status(&l->node);
    if (rc == 0)
        rc = chunk_sink_put(l->sink, true, 0, buf_bytes(&l->node), up.id);
    if (rc < 0)
        return rc;
    v->open_n -= n;
    memmove(v->open, v->open + n, v->open_n * sizeof v->open[0]);
    return append(l, level + 1, &up);
}

/* The list has become too long for a body: makes the nodes that it has had so far. */
static int open_level(struct lister *l, unsigned level)
{
    struct lister_level *v = &l->levels[level];
    size_t n = 0;
    while (n < v->open_n) {
        n++;
        if (!list_ends_node(&v->open[n - 1], level, n))
            continue;
        int rc = close_node(l, level, n);
        if (rc < 0)
            return rc;
        n = 0;
    }
    return 0;
}

/* Recursion: at most one call per level. */
static int append(struct lister *l, unsigned level, const struct list_entry *e)
{
    struct lister_level *v = &l->levels[level];
    if (v->open_n == LIST_CHILDREN_MAX)
        return -EFBIG; /* of the highest level; the others close at that number */
    v->open[v->open_n++] = *e;
    v->total_n++;
    if (level == LIST_LEVEL_MAX || v->total_n <= LIST_ROOT_MAX)
        return 0;
    if (v->total_n == LIST_ROOT_MAX + 1)
        return open_level(l, level);
    return list_ends_node(e, level, v->open_n) ? close_node(l, level, v->open_n) : 0;
}

/* Two holes in a row, which only the list of a strange base leads to, become one. */
static bool merge_hole(struct lister *l, unsigned level, const struct list_entry *e)
{
    struct lister_level *v = &l->levels[0];
    if (level > 0 || !e->hole || v->open_n == 0 || !v->open[v->open_n - 1].hole)
        return false;
    v->open[v->open_n - 1].len += e->len;
    return true;
}

int lister_add(struct lister *l, unsigned level, const struct list_entry *e)
{
    assert(level <= LIST_LEVEL_MAX && (level == 0 || lister_takes_node(l, level)));
    if (e->len > CONTENT_SIZE_MAX - l->size)
        return -EFBIG;
    int rc = merge_hole(l, level, e) ? 0 : append(l, level, e);
    if (rc == 0)
        l->size += e->len;
    return rc;
}

bool lister_takes_node(const struct lister *l, unsigned level)
{
    for (unsigned i = 0; i < level; i++)
        if (l->levels[i].total_n <= LIST_ROOT_MAX || l->levels[i].open_n > 0)
            return false;
    return true;
}

int lister_finish(struct lister *l, struct buf *ret_body)
{
    unsigned level = 0;
    while (level < LIST_LEVEL_MAX && l->levels[level].total_n > LIST_ROOT_MAX) {
        if (l->levels[level].open_n > 0) {
            int rc = close_node(l, level, l->levels[level].open_n);
            if (rc < 0)
                return rc;
        }
        level++;
    }
    const struct lister_level *v = &l->levels[level];
    assert(v->open_n > 0 && v->open_n == v->total_n);
    list_put_body_head(ret_body, level, l->size);
    for (size_t i = 0; i < v->open_n; i++)
        list_put_entry(ret_body, level, &v->open[i]);
    return buf_status(ret_body);
}
