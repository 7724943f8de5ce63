/*
 * proto/vv - version vectors and sets of dots.
 *
 * struct dots is a borrowed, encoded view: 16 bytes per element, big-endian, ascending. As a vector
 * it has one element per replica (its highest counter); as a set, any. It is how vectors lie in
 * values, so that reading a value allocates nothing. struct vv is an owned vector that grows.
 */
#ifndef PROTO_VV_H
#define PROTO_VV_H

#include "proto/id.h"

struct dots {
    const uint8_t *p;
    size_t n; /* elements */
};

/* All zero is valid and empty. Sorted by replica; counters are never 0. */
struct vv {
    struct dot *v;
    size_t n, cap;
};

static inline struct dot dots_at(struct dots d, size_t i)
{
    return dot_decode(d.p + i * DOT_SIZE);
}

/** The counter that vector @d has for @replica; 0: none. */
uint64_t dots_get(struct dots d, uint64_t replica);

/** Whether vector @d covers @dot. */
static inline bool dots_cover(struct dots d, const struct dot *dot)
{
    return dots_get(d, dot->replica) >= dot->counter;
}

bool dots_equal(struct dots a, struct dots b);

/** A varint count, then the elements. */
void dots_put(struct buf *b, struct dots d);
/** Reads a vector or a set of at most @max elements; fails the reader unless valid and in order. */
struct dots dots_read_vector(struct reader *r, size_t max);
struct dots dots_read_set(struct reader *r, size_t max);

/** Frees the memory and leaves @v empty. Accepts NULL. */
void vv_fini(struct vv *v);
/** Makes it empty, keeping its memory. */
void vv_reset(struct vv *v);

/** The counter of @replica; 0: none. */
uint64_t vv_get(const struct vv *v, uint64_t replica);

static inline bool vv_has(const struct vv *v, const struct dot *dot)
{
    return vv_get(v, dot->replica) >= dot->counter;
}

/** Raises @replica to at least @counter. 0 or -ENOMEM (then @v is as before). */
int vv_add(struct vv *v, const struct dot *dot) MUST_CHECK;
/** Sets a counter, lower too; 0 takes the replica out. */
int vv_set(struct vv *v, uint64_t replica, uint64_t counter) MUST_CHECK;
/** Raises @v to cover @with. 0 or -ENOMEM (then a part of @with may have been joined). */
int vv_join(struct vv *v, const struct vv *with) MUST_CHECK;
/** The same; @with may be a vector or a set of dots. */
int vv_join_dots(struct vv *v, struct dots with) MUST_CHECK;
/** Lowers @v to what @with covers too. */
void vv_meet(struct vv *v, const struct vv *with);
/** @v := a copy of @from. 0 or -ENOMEM (then @v is as before). */
int vv_copy(struct vv *v, const struct vv *from) MUST_CHECK;
static inline void vv_swap(struct vv *a, struct vv *b)
{
    struct vv t = *a;
    *a = *b;
    *b = t;
}

/** Whether @a covers all that @b covers. */
bool vv_covers(const struct vv *a, const struct vv *b);
bool vv_covers_dots(const struct vv *a, struct dots b);
bool vv_equal(const struct vv *a, const struct vv *b);

/** Appends the elements alone: what struct dots views. */
void vv_put_elements(struct buf *b, const struct vv *v);
/** A varint count, then the elements: the same as dots_put(). */
void vv_put(struct buf *b, const struct vv *v);
/** Reads a vector of at most LIMIT_VECTOR elements into @ret. -EBADMSG, -ENOMEM (@ret unchanged).
 */
int vv_read(struct reader *r, struct vv *ret) MUST_CHECK;

#endif
