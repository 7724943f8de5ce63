/*
 * fs/store/feed - a window that slides over the bytes a build reads, and where they are zeros.
 *
 * Long runs of zeros that the source (its next_data) or the base of an edit (its holes, outside the
 * dirty ranges) tells of are stepped over and never read. Thread: one.
 */
#ifndef FS_STORE_FEED_H
#define FS_STORE_FEED_H

#include "fs/store/content.h"

enum { FEED_BYTES = 1 << 20 };

struct feed {
    const struct content_source *src;
    const struct content_edit *edit; /* may be NULL */
    size_t dirty_i;                  /* first dirty range that ends after what was asked last */
    size_t ahead;                    /* bytes of the next read: short after a jump, then longer */
    uint8_t *window;                 /* FEED_BYTES */
    uint64_t off;                    /* the window holds bytes off .. off + n */
    size_t n;
    uint64_t wall;                 /* 0, or: a hole follows the window up to here */
    uint64_t known_off, known_end; /* of these bytes it is known whether they are zeros */
    bool known_zero;
};

/** -ENOMEM. @src and @edit are borrowed until feed_fini(). */
int feed_init(struct feed *f, const struct content_source *src,
              const struct content_edit *edit) MUST_CHECK;
void feed_fini(struct feed *f);

/**
 * Gives the bytes at @off: at least @want (at most FEED_BYTES) of them, or all up to the end or up
 * to a known hole of CONTENT_HOLE_MIN or more. @off never goes back. Errors: the source's.
 */
int feed_at(struct feed *f, uint64_t off, size_t want, struct bytes *ret) MUST_CHECK;

/** Whether a known hole of CONTENT_HOLE_MIN or more follows what feed_at() gave last. */
static inline bool feed_at_wall(const struct feed *f)
{
    return f->wall != 0;
}

/**
 * Where the zeros at @off end, if there are at least CONTENT_HOLE_MIN of them, else @off (then the
 * bytes at @off can still be read).
 */
int feed_hole(struct feed *f, uint64_t off, uint64_t *ret_end) MUST_CHECK;

/** Number of zeros at the front, and at the back. */
size_t feed_zeros_front(struct bytes v);
size_t feed_zeros_back(struct bytes v);

#endif
