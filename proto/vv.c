#include "proto/vv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

uint64_t dots_get(struct dots d, uint64_t replica)
{
    size_t lo = 0, hi = d.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (get_u64(d.p + mid * DOT_SIZE) < replica)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == d.n || get_u64(d.p + lo * DOT_SIZE) != replica)
        return 0;
    return get_u64(d.p + lo * DOT_SIZE + 8);
}

bool dots_equal(struct dots a, struct dots b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n * DOT_SIZE) == 0);
}

void dots_put(struct buf *b, struct dots d)
{
    buf_put_varint(b, d.n);
    buf_put(b, d.p, d.n * DOT_SIZE);
}

static struct dots read_dots(struct reader *r, size_t max, bool vector)
{
    uint64_t n = reader_varint(r);
    if (n > max)
        r->failed = true;
    struct bytes raw = reader_bytes(r, r->failed ? 0 : (size_t)n * DOT_SIZE);
    struct dots d = {raw.p, raw.n / DOT_SIZE};
    for (size_t i = 0; i < d.n; i++) {
        struct dot now = dots_at(d, i), before = i > 0 ? dots_at(d, i - 1) : (struct dot){0, 0};
        bool ascending =
            i == 0 || (vector ? before.replica < now.replica : dot_cmp(&before, &now) < 0);
        if (!dot_valid(&now) || !ascending)
            r->failed = true;
    }
    return r->failed ? (struct dots){NULL, 0} : d;
}

struct dots dots_read_vector(struct reader *r, size_t max)
{
    return read_dots(r, max, true);
}

struct dots dots_read_set(struct reader *r, size_t max)
{
    return read_dots(r, max, false);
}

void vv_fini(struct vv *v)
{
    if (v == NULL)
        return;
    free(v->v);
    *v = (struct vv){0};
}

void vv_reset(struct vv *v)
{
    v->n = 0;
}

/* Index of the first element whose replica is not below @replica. */
static size_t lower(const struct vv *v, uint64_t replica)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (v->v[mid].replica < replica)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint64_t vv_get(const struct vv *v, uint64_t replica)
{
    size_t i = lower(v, replica);
    return i < v->n && v->v[i].replica == replica ? v->v[i].counter : 0;
}

static int reserve(struct vv *v, size_t n)
{
    if (n <= v->cap)
        return 0;
    size_t cap = v->cap < 4 ? 4 : v->cap * 2;
    if (cap < n)
        cap = n;
    struct dot *p = reallocarray(v->v, cap, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    v->v = p;
    v->cap = cap;
    return 0;
}

int vv_set(struct vv *v, uint64_t replica, uint64_t counter)
{
    size_t i = lower(v, replica);
    bool there = i < v->n && v->v[i].replica == replica;
    if (there && counter > 0) {
        v->v[i].counter = counter;
    } else if (there) {
        memmove(v->v + i, v->v + i + 1, (v->n - i - 1) * sizeof *v->v);
        v->n--;
    } else if (counter > 0) {
        int rc = reserve(v, v->n + 1);
        if (rc < 0)
            return rc;
        memmove(v->v + i + 1, v->v + i, (v->n - i) * sizeof *v->v);
        v->v[i] = (struct dot){replica, counter};
        v->n++;
    }
    return 0;
}

int vv_add(struct vv *v, const struct dot *dot)
{
    return vv_has(v, dot) ? 0 : vv_set(v, dot->replica, dot->counter);
}

int vv_join(struct vv *v, const struct vv *with)
{
    for (size_t i = 0; i < with->n; i++) {
        int rc = vv_add(v, &with->v[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int vv_join_dots(struct vv *v, struct dots with)
{
    for (size_t i = 0; i < with.n; i++) {
        struct dot d = dots_at(with, i);
        int rc = vv_add(v, &d);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void vv_meet(struct vv *v, const struct vv *with)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        uint64_t c = min_u64(v->v[i].counter, vv_get(with, v->v[i].replica));
        if (c > 0)
            v->v[n++] = (struct dot){v->v[i].replica, c};
    }
    v->n = n;
}

int vv_copy(struct vv *v, const struct vv *from)
{
    int rc = reserve(v, from->n);
    if (rc < 0)
        return rc;
    if (from->n > 0)
        memcpy(v->v, from->v, from->n * sizeof *v->v);
    v->n = from->n;
    return 0;
}

bool vv_covers(const struct vv *a, const struct vv *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!vv_has(a, &b->v[i]))
            return false;
    return true;
}

bool vv_covers_dots(const struct vv *a, struct dots b)
{
    for (size_t i = 0; i < b.n; i++) {
        struct dot d = dots_at(b, i);
        if (!vv_has(a, &d))
            return false;
    }
    return true;
}

bool vv_equal(const struct vv *a, const struct vv *b)
{
    return a->n == b->n && vv_covers(a, b) && vv_covers(b, a);
}

void vv_put_elements(struct buf *b, const struct vv *v)
{
    for (size_t i = 0; i < v->n; i++)
        dot_put(b, &v->v[i]);
}

void vv_put(struct buf *b, const struct vv *v)
{
    buf_put_varint(b, v->n);
    vv_put_elements(b, v);
}

int vv_read(struct reader *r, struct vv *ret)
{
    struct dots d = dots_read_vector(r, LIMIT_VECTOR);
    if (r->failed)
        return -EBADMSG;
    int rc = reserve(ret, d.n);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < d.n; i++)
        ret->v[i] = dots_at(d, i);
    ret->n = d.n;
    return 0;
}
