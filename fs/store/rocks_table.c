/*
 * A table file is blocks, each with 5 bytes behind it: how it is compressed, and a checksum; then a
 * footer. The footer says where two of the blocks are: the index, that says where the blocks of
 * rows are, and the list of the others. Together they must be the whole file.
 */
#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

#include "fs/store/rocks.h"
#include "fs/store/xxh3.h"

enum {
    TRAILER = 5,
    FOOTER = 53, /* kind of checksum, two places padded to 40 bytes, version, magic */
    PLACES = 40,
    XXH3 = 4,
    VERSION = 5,
    PLAIN = 0,
    LZ4 = 4,
    INDEX_BYTES_MAX = 64 << 20,
};

#define MAGIC UINT64_C(0x88e241b785f4cff7)

struct place {
    uint64_t at, n; /* n: without the trailer */
    bool filter, properties;
};

struct places {
    struct place *v;
    size_t n, cap;
};

struct table {
    struct bytes file; /* without the footer */
    struct places places;
    struct rocks_fault *fault;
};

static int fault(struct table *t, uint64_t at, const char *what)
{
    *t->fault = (struct rocks_fault){.at = at, .what = what, .rows_hold = false};
    return -EUCLEAN;
}

/* A number of 7 bits a byte, the lowest first; moves on. */
static bool take_number(struct bytes *b, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && b->n > 0; shift += 7) {
        uint8_t byte = *b->p;
        *b = bytes_of(b->p + 1, b->n - 1);
        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool take_bytes(struct bytes *b, uint64_t n, struct bytes *ret)
{
    if (n > b->n)
        return false;
    *ret = bytes_of(b->p, (size_t)n);
    *b = bytes_of(b->p + n, b->n - (size_t)n);
    return true;
}

static bool take_place(struct bytes *b, struct place *ret)
{
    ret->filter = ret->properties = false;
    return take_number(b, &ret->at) && take_number(b, &ret->n);
}

static int add(struct table *t, const struct place *p)
{
    struct places *l = &t->places;
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
        struct place *v = reallocarray(l->v, cap, sizeof *v);
        if (v == NULL)
            return -ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *p;
    return 0;
}

static int verify(struct table *t, const struct place *p, const char *what)
{
    if (p->at > t->file.n || p->n > t->file.n - p->at || t->file.n - p->at - p->n < TRAILER)
        return fault(t, p->at, what);
    const uint8_t *block = t->file.p + p->at, *trailer = block + p->n;
    uint32_t sum = (uint32_t)XXH3_64bits(block, (size_t)p->n) ^ trailer[0] * UINT32_C(0x6b9083d9);
    return sum == rocks_u32(trailer + 1) ? 0 : fault(t, p->at, what);
}

/* The bytes of a verified block, in @own when they were compressed. */
static int unpack(struct table *t, const struct place *p, struct buf *own, struct bytes *ret)
{
    struct bytes packed = bytes_of(t->file.p + p->at, (size_t)p->n);
    uint8_t kind = packed.p[packed.n];
    uint64_t n;
    *ret = packed;
    if (kind == PLAIN)
        return 0;
    if (kind != LZ4 || !take_number(&packed, &n) || n > INDEX_BYTES_MAX)
        return fault(t, p->at, "a block");
    if (buf_resize(own, (size_t)n) < 0)
        return -ENOMEM;
    if (LZ4_decompress_safe((const char *)packed.p, (char *)own->p, (int)packed.n, (int)n) !=
        (int)n)
        return fault(t, p->at, "a block");
    *ret = buf_bytes(own);
    return 0;
}

/*
 * Adds the places that the rows of a block have for values. In both kinds of block each key is
 * written whole; in the index, no length of the value is.
 */
static int add_places(struct table *t, const struct place *p, bool index)
{
    CLEANUP(buf_fini) struct buf own = {0};
    const struct bytes filter = bytes_str("fullfilter.");
    struct bytes b, value, key;
    uint64_t shared, key_n, value_n;
    int rc = unpack(t, p, &own, &b);
    if (rc < 0)
        return rc;
    uint64_t ends_n = b.n < 4 ? UINT64_MAX : rocks_u32(b.p + b.n - 4);
    if (ends_n > (b.n - 4) / 4)
        return fault(t, p->at, "a block");
    b.n -= 4 + 4 * (size_t)ends_n;
    while (rc == 0 && b.n > 0) {
        struct place at;
        bool fine = take_number(&b, &shared) && shared == 0 && take_number(&b, &key_n) &&
                    (index || take_number(&b, &value_n)) && take_bytes(&b, key_n, &key);
        if (fine && index) {
            fine = take_place(&b, &at);
        } else if (fine) {
            fine = take_bytes(&b, value_n, &value) && take_place(&value, &at);
            at.filter = fine && key.n > filter.n && bytes_equal(bytes_of(key.p, filter.n), filter);
            at.properties = fine && bytes_equal(key, bytes_str("rocksdb.properties"));
        }
        rc = fine ? add(t, &at) : fault(t, p->at, "a block");
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* All blocks, and that nothing is between them. The fault of a filter is told if it is the only. */
static int verify_all(struct table *t)
{
    uint64_t at = 0;
    const struct place *filter = NULL;
    int rc = 0;
    qsort(t->places.v, t->places.n, sizeof *t->places.v, by_place);
    for (size_t i = 0; rc == 0 && i < t->places.n; i++) {
        const struct place *p = &t->places.v[i];
        rc = p->at == at ? verify(t, p, "a block") : fault(t, at, "a gap");
        if (rc < 0 && p->at == at && p->filter) {
            filter = p;
            rc = 0;
        }
        at = p->at + p->n + TRAILER;
    }
    if (rc < 0 || (at == t->file.n && filter == NULL))
        return rc;
    if (at != t->file.n)
        return fault(t, at, "a gap");
    fault(t, filter->at, "the filter");
    t->fault->rows_hold = true;
    return -EUCLEAN;
}

/* The list of blocks and the index, as the footer has them. */
static int read_footer(struct table *t, const uint8_t *footer, struct place *list,
                       struct place *index)
{
    struct bytes b = bytes_of(footer + 1, PLACES);
    bool fine = footer[0] == XXH3 && take_place(&b, list) && take_place(&b, index) &&
                rocks_u32(footer + 1 + PLACES) == VERSION &&
                rocks_u64(footer + FOOTER - 8) == MAGIC;
    for (size_t i = 0; fine && i < b.n; i++)
        fine = b.p[i] == 0;
    return fine ? 0 : fault(t, t->file.n, "the footer");
}

static int verify_table(struct table *t, const uint8_t *footer)
{
    struct place list, index;
    int rc = read_footer(t, footer, &list, &index);
    if (rc == 0)
        rc = verify(t, &list, "the list of blocks");
    if (rc == 0)
        rc = verify(t, &index, "the index");
    if (rc == 0)
        rc = add(t, &list);
    if (rc == 0)
        rc = add(t, &index);
    if (rc == 0)
        rc = add_places(t, &list, false);
    if (rc == 0)
        rc = add_places(t, &index, true);
    return rc == 0 ? verify_all(t) : rc;
}

int rocks_table(struct bytes file, struct rocks_fault *ret)
{
    struct table t = {.fault = ret};
    if (file.n < FOOTER)
        return fault(&t, 0, "the footer");
    t.file = bytes_of(file.p, file.n - FOOTER);
    int rc = verify_table(&t, file.p + t.file.n);
    free(t.places.v);
    return rc;
}

bool rocks_table_aborts(struct bytes file)
{
    struct rocks_fault ignored;
    struct table t = {.fault = &ignored};
    struct place list, index;
    bool found = false;
    if (file.n < FOOTER)
        return false;
    t.file = bytes_of(file.p, file.n - FOOTER);
    if (read_footer(&t, file.p + t.file.n, &list, &index) == 0 && verify(&t, &list, "") == 0 &&
        add_places(&t, &list, false) == 0)
        for (size_t i = 0; i < t.places.n; i++) {
            const struct place *p = &t.places.v[i];
            found |= p->properties && p->n > 0 && verify(&t, p, "") < 0 &&
                     p->at + p->n <= t.file.n && (t.file.p[p->at + p->n - 1] & 0x80) != 0;
        }
    free(t.places.v);
    return found;
}
