/*
 * Building a body. Content is a sequence of entries, each decided by the bytes from where it
 * begins:
 *
 *   zeros, at least CONTENT_HOLE_MIN of them: a hole, as long as they go on;
 *   else a chunk, to the cut of FastCDC, or to the first hole inside it if that comes earlier.
 *
 * So after an edit, entries up to a little before a dirty range are the old ones, and from the
 * first place after it where an old entry begins, too.
 */
#include "fs/store/content.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/store/cdc.h"
#include "fs/store/chunk.h"
#include "fs/store/content_priv.h"
#include "fs/store/feed.h"
#include "fs/store/lister.h"

_Static_assert((int)CDC_MAX == (int)CONTENT_CHUNK_MAX, "the largest cut is the largest chunk");
_Static_assert((int)CDC_MAX + (int)CONTENT_HOLE_MIN <= (int)FEED_BYTES,
               "a chunk and what decides about its end fit the window");
_Static_assert((int)CDC_SEED_BYTES == (int)CONTENT_KEY_BYTES, "the gear key is the seed");

enum {
    CUT_FIRST_BYTES = 96 * 1024,
    AHEAD_MAX = FEED_BYTES / CDC_MIN,
};

/* Chunks that follow each other, cut and hashed together, which is faster. */
struct ahead {
    uint64_t off; /* where the next one of them begins */
    size_t at, n; /* the next one, and the end of them */
    size_t len[AHEAD_MAX];
    uint8_t id[AHEAD_MAX][CONTENT_ID_BYTES];
};

struct build {
    struct db *db;
    const struct content_source *src;
    const struct content_edit *edit; /* NULL, or its base is a list */
    struct cdc cdc;
    struct feed feed;
    struct chunk_sink sink;
    struct lister lister;
    struct ahead ahead;
    size_t dirty_i;       /* first dirty range that ends after the place reached */
    uint64_t limit_dirty; /* the dirty byte for which limit was computed; UINT64_MAX: not yet */
    uint64_t limit;       /* old entries that end here or before are not touched by it */
};

/* Bytes of the chunk at @off, which is no hole. */
static int cut_chunk(struct build *b, uint64_t off, struct bytes *ret)
{
    /* Most chunks end in their first part: after a small edit not much more should be read. */
    struct bytes v;
    int rc = feed_at(&b->feed, off, CUT_FIRST_BYTES, &v);
    if (rc < 0)
        return rc;
    size_t cut = cdc_cut(&b->cdc, v.p, v.n);
    if (cut == v.n) {
        rc = feed_at(&b->feed, off, CDC_MAX, &v);
        if (rc < 0)
            return rc;
        cut = cdc_cut(&b->cdc, v.p, v.n);
    }
    size_t zeros = feed_zeros_back(bytes_of(v.p, cut));
    if (zeros > 0) {
        /* They may be the beginning of a hole. */
        rc = feed_at(&b->feed, off, cut + CONTENT_HOLE_MIN, &v);
        if (rc < 0)
            return rc;
        size_t more = feed_zeros_front(bytes_of(v.p + cut, v.n - cut));
        bool to_wall = cut + more == v.n && feed_at_wall(&b->feed);
        if (to_wall || zeros + more >= CONTENT_HOLE_MIN)
            cut -= zeros;
    }
    assert(cut > 0); /* else feed_hole() would have said so */
    *ret = bytes_of(v.p, cut);
    return 0;
}

/*
 * Cuts and hashes what is in the window from @off on, as far as chunks end there whatever follows:
 * at a cut, which is not within zeros.
 */
static int look_ahead(struct build *b, uint64_t off)
{
    struct ahead *a = &b->ahead;
    struct bytes v, data[AHEAD_MAX];
    *a = (struct ahead){.off = off};
    int rc = feed_at(&b->feed, off, CDC_MAX, &v);
    while (rc == 0 && v.n > 0 && a->n < AHEAD_MAX) {
        size_t cut = cdc_cut(&b->cdc, v.p, v.n);
        if ((cut == v.n && cut < CDC_MAX) || v.p[cut - 1] == 0)
            break;
        data[a->n] = bytes_of(v.p, cut);
        a->len[a->n++] = cut;
        v = bytes_of(v.p + cut, v.n - cut);
    }
    if (a->n > 0)
        chunk_ids(b->sink.key, data, a->n, a->id);
    return rc;
}

/* The chunk at @off, if it was looked at: 1, 0, or an error. */
static int take_ahead(struct build *b, uint64_t off, struct bytes *ret,
                      uint8_t ret_id[static CONTENT_ID_BYTES])
{
    struct ahead *a = &b->ahead;
    if (b->edit != NULL) /* little is new: no more of it is read or hashed than must be */
        return 0;
    int rc = a->at == a->n || a->off != off ? look_ahead(b, off) : 0;
    if (rc < 0 || a->n == 0)
        return rc;
    size_t len = a->len[a->at];
    rc = feed_at(&b->feed, off, len, ret);
    if (rc < 0)
        return rc;
    assert(ret->n >= len);
    *ret = bytes_of(ret->p, len);
    memcpy(ret_id, a->id[a->at++], CONTENT_ID_BYTES);
    a->off += len;
    return 1;
}

/* Stores the chunk at @off, which is no hole. */
static int add_chunk(struct build *b, uint64_t off, struct list_entry *e)
{
    struct bytes data;
    int rc = take_ahead(b, off, &data, e->id);
    if (rc == 1) {
        rc = chunk_sink_put_named(&b->sink, e->id, off, data);
    } else if (rc == 0) {
        rc = cut_chunk(b, off, &data);
        if (rc == 0)
            rc = chunk_sink_put(&b->sink, false, off, data, e->id);
    }
    if (rc == 0)
        e->len = data.n;
    return rc;
}

/* Adds the entry that begins at @off, made from the bytes. */
static int add_new(struct build *b, uint64_t off, uint64_t *ret_end)
{
    struct list_entry e = {0};
    uint64_t hole_end;
    int rc = feed_hole(&b->feed, off, &hole_end);
    if (rc < 0)
        return rc;
    if (hole_end > off) {
        e.len = hole_end - off;
        e.hole = true;
    } else {
        rc = add_chunk(b, off, &e);
        if (rc < 0)
            return rc;
    }
    rc = lister_add(&b->lister, 0, &e);
    *ret_end = off + e.len;
    return rc;
}

/* The first dirty byte at or after @off; UINT64_MAX when there is none. May be before @off: then
 * @off is dirty itself. A change of size makes the last common byte dirty, and all after it. */
static uint64_t next_dirty(struct build *b, uint64_t off)
{
    const struct content_edit *e = b->edit;
    while (b->dirty_i < e->dirty_n && e->dirty[b->dirty_i].end <= off)
        b->dirty_i++;
    uint64_t old = content_size(e->base), common = min_u64(old, b->src->size);
    uint64_t tail = old == b->src->size ? UINT64_MAX : common - 1;
    uint64_t first = b->dirty_i < e->dirty_n ? e->dirty[b->dirty_i].off : UINT64_MAX;
    return first < common ? min_u64(first, tail) : tail;
}

/*
 * Up to where old entries hold although the byte at @dirty changes. The entry around it does not.
 * One before it was decided by its own bytes, except that zeros at its end, or after it, are looked
 * at on for up to CONTENT_HOLE_MIN.
 */
static int compute_limit(struct build *b, uint64_t dirty, uint64_t *ret_limit)
{
    struct content_list l;
    int rc = content_list_at(b->edit->base, 0, dirty, &l);
    if (rc < 0)
        return rc;
    size_t i = list_find(l.list, dirty - l.off);
    uint64_t start = l.off + list_start(l.list, i);
    bool hole = l.list->items[i].hole;
    content_list_done(b->edit->base, &l);
    *ret_limit = start;
    if (start == 0)
        return 0;
    if (hole) {
        /* The chunk before it ended because at least CONTENT_HOLE_MIN zeros followed. */
        *ret_limit = dirty - start >= CONTENT_HOLE_MIN ? start : start - 1;
        return 0;
    }
    uint8_t before;
    rc = b->src->read(b->src->arg, start - 1, &before, 1);
    if (rc == 0 && before == 0)
        *ret_limit = dirty > CONTENT_HOLE_MIN ? dirty - CONTENT_HOLE_MIN : 0;
    return rc;
}

/* The entry of the base's lists of @level that begins at @off, if there is one. 1, 0, or an error.
 */
static int old_entry(struct build *b, unsigned level, uint64_t off, struct list_entry *ret)
{
    struct content_list l;
    int rc = content_list_at(b->edit->base, level, off, &l);
    if (rc < 0)
        return rc;
    size_t i = list_find(l.list, off - l.off);
    const struct list_item *item = &l.list->items[i];
    uint64_t start = list_start(l.list, i);
    bool found = l.off + start == off;
    if (found) {
        *ret = (struct list_entry){.len = item->end - start, .hole = item->hole};
        memcpy(ret->id, item->id, CONTENT_ID_BYTES);
    }
    content_list_done(b->edit->base, &l);
    return found;
}

/*
 * Adds one old chunk, hole or node at @off, the largest that may be. 1, 0 when there is none.
 * A node that is the last of its level is complete for its level only if it ends both contents;
 * else the limit, which is before the end of the shorter one, keeps it out.
 */
static int add_old(struct build *b, uint64_t off, uint64_t limit, uint64_t *ret_end)
{
    for (unsigned level = b->edit->base->info.level + 1; level-- > 0;) {
        struct list_entry e;
        if (level > 0 && !lister_takes_node(&b->lister, level))
            continue;
        int rc = old_entry(b, level, off, &e);
        if (rc < 0)
            return rc;
        if (rc == 0 || off + e.len > limit)
            continue;
        rc = lister_add(&b->lister, level, &e);
        *ret_end = off + e.len;
        return rc < 0 ? rc : 1;
    }
    return 0;
}

/* Takes over what does not change from @off on. 1 when that was something. */
static int reuse(struct build *b, uint64_t off, uint64_t *ret_end)
{
    if (b->edit == NULL || off >= content_size(b->edit->base))
        return 0;
    uint64_t dirty = next_dirty(b, off);
    if (dirty <= off)
        return 0;
    if (dirty == UINT64_MAX)
        return add_old(b, off, UINT64_MAX, ret_end);
    if (dirty != b->limit_dirty) {
        int rc = compute_limit(b, dirty, &b->limit);
        if (rc < 0)
            return rc;
        b->limit_dirty = dirty;
    }
    return off < b->limit ? add_old(b, off, b->limit, ret_end) : 0;
}

static bool is_cancelled(const struct content_source *src)
{
    return src->cancel != NULL && atomic_load_explicit(src->cancel, memory_order_relaxed);
}

static int build_list(struct build *b, struct buf *ret_body)
{
    uint64_t off = 0;
    while (off < b->src->size) {
        if (is_cancelled(b->src))
            return -ECANCELED;
        uint64_t end = off;
        int rc = reuse(b, off, &end);
        if (rc == 0)
            rc = add_new(b, off, &end);
        if (rc < 0)
            return rc;
        assert(end > off && end <= b->src->size);
        off = end;
    }
    int rc = lister_finish(&b->lister, ret_body);
    return rc < 0 ? rc : chunk_sink_flush(&b->sink);
}

static int build_inline(const struct content_source *src, struct buf *ret_body)
{
    CLEANUP(buf_fini) struct buf data = {0};
    int rc = buf_resize(&data, (size_t)src->size);
    if (rc == 0 && src->size > 0)
        rc = src->read(src->arg, 0, data.p, data.n);
    return rc < 0 ? rc : content_inline(buf_bytes(&data), ret_body);
}

static void build_free(struct build **b)
{
    if (*b == NULL)
        return;
    lister_fini(&(*b)->lister);
    chunk_sink_fini(&(*b)->sink);
    feed_fini(&(*b)->feed);
    free(*b);
}

static int build_large(struct db *db, const struct content_keys *keys,
                       const struct content_source *src, const struct content_edit *edit,
                       struct buf *ret_body)
{
    CLEANUP(build_free) struct build *b = malloc(sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->db = db;
    b->src = src;
    b->edit = edit;
    b->dirty_i = 0;
    b->limit_dirty = UINT64_MAX;
    b->limit = 0;
    b->ahead.n = b->ahead.at = 0;
    cdc_init(&b->cdc, keys->gear);
    lister_init(&b->lister, &b->sink);
    int rc = feed_init(&b->feed, src, edit);
    int rc_sink = chunk_sink_init(&b->sink, db, keys->id);
    b->sink.stored = src->stored;
    b->sink.stored_arg = src->arg;
    if (rc == 0)
        rc = rc_sink;
    return rc < 0 ? rc : build_list(b, ret_body);
}

static bool is_sorted(const struct content_edit *e)
{
    for (size_t i = 0; i < e->dirty_n; i++)
        if (e->dirty[i].off > e->dirty[i].end || (i > 0 && e->dirty[i].off < e->dirty[i - 1].off))
            return false;
    return true;
}

int content_build(struct db *db, const struct content_keys *keys, const struct content_source *src,
                  const struct content_edit *edit, struct buf *ret_body,
                  uint8_t ret_hash[static CONTENT_HASH_BYTES])
{
    assert(edit == NULL || is_sorted(edit));
    if (src->size > CONTENT_SIZE_MAX)
        return -EFBIG;
    CLEANUP(buf_fini) struct buf body = {0};
    int rc;
    if (src->size <= CONTENT_INLINE_MAX) {
        rc = build_inline(src, &body);
    } else {
        bool use_base = edit != NULL && edit->base->root != NULL;
        rc = build_large(db, keys, src, use_base ? edit : NULL, &body);
    }
    if (rc < 0)
        return rc;
    content_hash(keys, buf_bytes(&body), ret_hash);
    buf_fini(ret_body);
    *ret_body = body;
    body = (struct buf){0};
    return 0;
}
