#include "fs/store/feed.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { AHEAD_FIRST_BYTES = 64 * 1024 };

int feed_init(struct feed *f, const struct content_source *src, const struct content_edit *edit)
{
    *f = (struct feed){.src = src, .edit = edit, .window = malloc(FEED_BYTES)};
    return f->window == NULL ? -ENOMEM : 0;
}

void feed_fini(struct feed *f)
{
    free(f->window);
    f->window = NULL;
}

/* What the source says of @off: zeros up to *zero_end (> off), or data up to *data_end at least. */
static int ask_source(const struct feed *f, uint64_t off, uint64_t *zero_end, uint64_t *data_end)
{
    const struct content_source *src = f->src;
    if (src->next_data == NULL)
        return 0;
    uint64_t from = 0, end = 0;
    int rc = src->next_data(src->arg, off, &from, &end);
    if (rc == -ENXIO) {
        *zero_end = src->size;
        return 0;
    }
    if (rc < 0)
        return rc;
    assert(from >= off && end > from);
    if (from > off)
        *zero_end = min_u64(from, src->size);
    else
        *data_end = min_u64(*data_end, end);
    return 0;
}

/* The same of the base of the edit, which counts outside the dirty ranges only. */
static int ask_base(struct feed *f, uint64_t off, uint64_t *zero_end, uint64_t *data_end)
{
    const struct content_edit *e = f->edit;
    if (e == NULL)
        return 0;
    while (f->dirty_i > 0 && e->dirty[f->dirty_i - 1].end > off)
        f->dirty_i--;
    while (f->dirty_i < e->dirty_n && e->dirty[f->dirty_i].end <= off)
        f->dirty_i++;
    uint64_t clean_end = min_u64(content_size(e->base), f->src->size);
    if (f->dirty_i < e->dirty_n) {
        const struct content_range *d = &e->dirty[f->dirty_i];
        if (d->off <= off) {
            *data_end = min_u64(*data_end, d->end);
            return 0;
        }
        clean_end = min_u64(clean_end, d->off);
    }
    if (off >= clean_end)
        return 0;
    uint64_t hole, end;
    int rc = content_next_hole(e->base, off, &hole);
    if (rc < 0)
        return rc;
    if (hole > off) {
        *data_end = min_u64(*data_end, min_u64(hole, clean_end));
        return 0;
    }
    rc = content_next_data(e->base, off, &end);
    if (rc < 0 && rc != -ENXIO)
        return rc;
    *zero_end = max_u64(*zero_end, rc == -ENXIO ? clean_end : min_u64(end, clean_end));
    return 0;
}

/* Sets known_*: what holds from @off to known_end, which is past @off. */
static int learn(struct feed *f, uint64_t off)
{
    if (off >= f->known_off && off < f->known_end)
        return 0;
    uint64_t zero_end = off, data_end = f->src->size;
    int rc = ask_source(f, off, &zero_end, &data_end);
    if (rc == 0)
        rc = ask_base(f, off, &zero_end, &data_end);
    if (rc < 0)
        return rc;
    f->known_off = off;
    f->known_zero = zero_end > off;
    f->known_end = f->known_zero ? zero_end : data_end;
    assert(f->known_end > off);
    return 0;
}

/* End of the zeros known at @off (so @off itself where data is), over all neighbouring pieces. */
static int known_zeros(struct feed *f, uint64_t off, uint64_t *ret_end)
{
    uint64_t end = off;
    while (end < f->src->size) {
        int rc = learn(f, end);
        if (rc < 0)
            return rc;
        if (!f->known_zero)
            break;
        end = f->known_end;
    }
    *ret_end = end;
    return 0;
}

/* Appends the next piece to the window, or finds the wall. -ECANCELED when told to stop. */
static int extend(struct feed *f)
{
    uint64_t at = f->off + f->n, end;
    int rc = known_zeros(f, at, &end);
    if (rc < 0)
        return rc;
    if (end - at >= CONTENT_HOLE_MIN) {
        f->wall = end;
        return 0;
    }
    uint8_t *p = f->window + f->n;
    size_t room = FEED_BYTES - f->n;
    if (end > at) {
        size_t n = (size_t)min_u64(end - at, room);
        memset(p, 0, n);
        f->n += n;
        return 0;
    }
    /* known_zeros() ended because the byte at `at` is data: known_end is past it. */
    size_t n = (size_t)min_u64(f->known_end - at, room < f->ahead ? room : f->ahead);
    /* Here and not only per entry: a hole of zeros that must be read can be long. */
    if (f->src->cancel != NULL && atomic_load_explicit(f->src->cancel, memory_order_relaxed))
        return -ECANCELED;
    rc = f->src->read(f->src->arg, at, p, n);
    if (rc < 0)
        return rc;
    f->n += n;
    f->ahead = f->ahead < FEED_BYTES ? f->ahead * 2 : f->ahead;
    return 0;
}

int feed_at(struct feed *f, uint64_t off, size_t want, struct bytes *ret)
{
    assert(off >= f->off && off < f->src->size && want <= FEED_BYTES);
    size_t skip = (size_t)min_u64(off - f->off, f->n);
    want = (size_t)min_u64(want, f->src->size - off);
    if (f->wall != 0 && off == f->off + f->n) {
        *ret = bytes_of(f->window, 0);
        return 0;
    }
    if (f->n - skip < want || skip == f->n) {
        if (f->wall == 0 || skip == f->n) {
            if (f->n == 0 || off > f->off + f->n)
                f->ahead = AHEAD_FIRST_BYTES;
            memmove(f->window, f->window + skip, f->n - skip);
            f->n -= skip;
            skip = 0;
            f->off = off;
            f->wall = 0;
        }
        while (f->n - skip < want && f->wall == 0) {
            int rc = extend(f);
            if (rc < 0)
                return rc;
        }
    }
    *ret = bytes_of(f->window + skip, f->n - skip);
    return 0;
}

size_t feed_zeros_front(struct bytes v)
{
    size_t i = 0;
    for (; i + 8 <= v.n; i += 8) {
        uint64_t w;
        memcpy(&w, v.p + i, sizeof w);
        if (w != 0)
            break;
    }
    while (i < v.n && v.p[i] == 0)
        i++;
    return i;
}

size_t feed_zeros_back(struct bytes v)
{
    size_t i = v.n;
    while (i > 0 && v.p[i - 1] == 0)
        i--;
    return v.n - i;
}

int feed_hole(struct feed *f, uint64_t off, uint64_t *ret_end)
{
    struct bytes v;
    *ret_end = off;
    int rc = feed_at(f, off, 1, &v);
    if (rc < 0 || (v.n > 0 && v.p[0] != 0))
        return rc;
    rc = feed_at(f, off, CONTENT_HOLE_MIN, &v);
    if (rc < 0)
        return rc;
    size_t zeros = feed_zeros_front(v);
    if (zeros < v.n ? zeros < CONTENT_HOLE_MIN : !feed_at_wall(f) && zeros < CONTENT_HOLE_MIN)
        return 0;
    uint64_t end = off + zeros;
    while (zeros == v.n) {
        if (feed_at_wall(f))
            end = f->wall;
        if (end == f->src->size)
            break;
        rc = feed_at(f, end, CONTENT_HOLE_MIN, &v);
        if (rc < 0)
            return rc;
        zeros = feed_zeros_front(v);
        end += zeros;
    }
    *ret_end = end;
    return 0;
}
