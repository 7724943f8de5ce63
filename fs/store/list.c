#include "fs/store/list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

_Static_assert(
    LIST_CHILDREN_MAX *(CONTENT_ID_BYTES + 8) + 16 <= CONTENT_BODY_MAX,
    "a list of the most entries fits a body and a chunk; a varint below 2^51 has 8 bytes");
_Static_assert(LIST_NODE_MIN < LIST_ROOT_MAX, "a level that is made into nodes gets shorter");

static struct list_entry read_entry(struct reader *r, unsigned level)
{
    struct list_entry e = {0};
    uint64_t v = reader_varint(r);
    e.len = v >> 1;
    e.hole = (v & 1) != 0;
    if (level > 0 || !e.hole) {
        struct bytes id = reader_bytes(r, CONTENT_ID_BYTES);
        if (!r->failed)
            memcpy(e.id, id.p, CONTENT_ID_BYTES);
    }
    return e;
}

static bool entry_ok(const struct list_entry *e, unsigned level, bool after_hole)
{
    if (level > 0)
        return e->len > 0 && content_id_is_node(e->id);
    if (e->hole)
        return e->len >= CONTENT_HOLE_MIN && !after_hole;
    return e->len > 0 && e->len <= CONTENT_CHUNK_MAX && !content_id_is_node(e->id);
}

/* Reads all that is left as entries of a list of @level. */
static int parse_entries(struct reader *r, unsigned level, size_t n_max, struct list_head *ret)
{
    struct list_head h = {.level = level, .entries = bytes_of(r->p, r->n)};
    bool hole = false;
    while (!r->failed && r->n > 0) {
        struct list_entry e = read_entry(r, level);
        if (r->failed || h.n == n_max || !entry_ok(&e, level, hole) ||
            e.len > CONTENT_SIZE_MAX - h.size)
            return -EBADMSG;
        h.n++;
        h.size += e.len;
        hole = e.hole;
        h.holes |= e.hole;
    }
    if (r->failed || h.n == 0)
        return -EBADMSG;
    *ret = h;
    return 0;
}

int list_parse_node(struct bytes node, struct list_head *ret_head)
{
    struct reader r = reader_of(node);
    uint8_t format = reader_u8(&r);
    uint8_t level = reader_u8(&r);
    if (r.failed || node.n > CONTENT_CHUNK_MAX || format != LIST_FORMAT || level >= LIST_LEVEL_MAX)
        return -EBADMSG;
    return parse_entries(&r, level, LIST_CHILDREN_MAX, ret_head);
}

static int parse_inline(struct reader *r, struct content_info *ret_info, struct list_head *ret_head)
{
    uint64_t size = reader_varint(r);
    if (r->failed || size > CONTENT_INLINE_MAX || size != r->n)
        return -EBADMSG;
    *ret_info =
        (struct content_info){.size = size, .is_inline = true, .data = bytes_of(r->p, r->n)};
    *ret_head = (struct list_head){0};
    return 0;
}

int list_parse_body(struct bytes body, struct content_info *ret_info, struct list_head *ret_head)
{
    struct reader r = reader_of(body);
    uint8_t format = reader_u8(&r);
    uint8_t kind = reader_u8(&r);
    if (r.failed || body.n > CONTENT_BODY_MAX || format != LIST_FORMAT)
        return -EBADMSG;
    if (kind == LIST_KIND_INLINE)
        return parse_inline(&r, ret_info, ret_head);
    uint8_t level = reader_u8(&r);
    uint64_t size = reader_varint(&r);
    if (r.failed || kind != LIST_KIND_LIST || level > LIST_LEVEL_MAX || size <= CONTENT_INLINE_MAX)
        return -EBADMSG;
    struct list_head head;
    size_t n_max = level == LIST_LEVEL_MAX ? LIST_CHILDREN_MAX : LIST_ROOT_MAX;
    int rc = parse_entries(&r, level, n_max, &head);
    if (rc < 0)
        return rc;
    if (head.size != size)
        return -EBADMSG;
    *ret_info = (struct content_info){.size = size, .level = level, .children_n = head.n};
    *ret_head = head;
    return 0;
}

bool list_fits(const struct list_head *node, unsigned parent_level, const struct list_entry *e)
{
    return node->level + 1 == parent_level && node->size == e->len && node->holes == e->hole;
}

struct list_walk list_walk_of(const struct list_head *head)
{
    return (struct list_walk){reader_of(head->entries), head->level};
}

bool list_walk_next(struct list_walk *w, struct list_entry *ret)
{
    if (w->r.n == 0)
        return false;
    *ret = read_entry(&w->r, w->level);
    assert(!w->r.failed); /* checked by whoever made the head */
    return true;
}

int list_each_id(const struct list_head *head, content_id_fn fn, void *arg)
{
    struct list_walk w = list_walk_of(head);
    struct list_entry e;
    while (list_walk_next(&w, &e)) {
        if (head->level == 0 && e.hole)
            continue;
        int rc = fn(arg, e.id);
        if (rc != 0)
            return rc;
    }
    return 0;
}

void list_put_inline(struct buf *b, struct bytes data)
{
    assert(data.n <= CONTENT_INLINE_MAX);
    buf_put_u8(b, LIST_FORMAT);
    buf_put_u8(b, LIST_KIND_INLINE);
    buf_put_string(b, data);
}

void list_put_body_head(struct buf *b, unsigned level, uint64_t size)
{
    assert(level <= LIST_LEVEL_MAX && size > CONTENT_INLINE_MAX && size <= CONTENT_SIZE_MAX);
    buf_put_u8(b, LIST_FORMAT);
    buf_put_u8(b, LIST_KIND_LIST);
    buf_put_u8(b, (uint8_t)level);
    buf_put_varint(b, size);
}

void list_put_node_head(struct buf *b, unsigned level)
{
    assert(level < LIST_LEVEL_MAX);
    buf_put_u8(b, LIST_FORMAT);
    buf_put_u8(b, (uint8_t)level);
}

void list_put_entry(struct buf *b, unsigned level, const struct list_entry *e)
{
    assert(e->len > 0 && e->len <= CONTENT_SIZE_MAX);
    buf_put_varint(b, e->len << 1 | (e->hole ? 1 : 0));
    if (level > 0 || !e->hole)
        buf_put(b, e->id, CONTENT_ID_BYTES);
}

bool list_ends_node(const struct list_entry *e, unsigned level, size_t n)
{
    if (n >= LIST_CHILDREN_MAX)
        return true;
    bool is_hole = level == 0 && e->hole;
    return n >= LIST_NODE_MIN && !is_hole && e->id[CONTENT_ID_BYTES - 1] == 0;
}

struct list *list_new(const struct list_head *head)
{
    assert(head->n > 0 && head->n <= LIST_CHILDREN_MAX);
    struct list *l = malloc(sizeof *l + head->n * sizeof l->items[0]);
    if (l == NULL)
        return NULL;
    *l = (struct list){.level = head->level, .n = head->n, .holes = head->holes};
    struct list_walk w = list_walk_of(head);
    struct list_entry e;
    uint64_t end = 0;
    for (size_t i = 0; list_walk_next(&w, &e); i++) {
        assert(i < l->n);
        end += e.len;
        l->items[i].end = end;
        l->items[i].hole = e.hole;
        memcpy(l->items[i].id, e.id, CONTENT_ID_BYTES);
    }
    return l;
}

size_t list_find(const struct list *l, uint64_t off)
{
    assert(off < l->items[l->n - 1].end);
    size_t lo = 0, hi = l->n - 1; /* the item is in lo..hi */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (off < l->items[mid].end)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}
