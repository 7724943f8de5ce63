/*
 * tests/support/content_fixture - content in a database in memory, and sources to build it from.
 */
#ifndef TESTS_SUPPORT_CONTENT_FIXTURE_H
#define TESTS_SUPPORT_CONTENT_FIXTURE_H

#include "fs/store/content.h"

/* A generator of the same numbers for the same seed everywhere. */
struct content_random {
    uint64_t state;
};

uint64_t content_random_u64(struct content_random *r);
/** Below @n (> 0). */
uint64_t content_random_below(struct content_random *r, uint64_t n);
void content_random_fill(struct content_random *r, void *p, size_t n);
/** Seed from PERSIST_TEST_SEED, else from the clock; printed, so that a failure can be repeated. */
struct content_random content_random_seeded(void);

struct content_fixture {
    struct db *db;
    struct content_keys keys;
};

/** Opens a database in memory, with fixed keys. Fails the test when it cannot. */
void content_fixture_init(struct content_fixture *f);
void content_fixture_fini(struct content_fixture *f);

/* Bytes in memory as a source. Its holes are the zero blocks of 4 KiB, when it tells of them. */
struct content_memory {
    const uint8_t *p;
    uint64_t size;
    uint64_t read_bytes; /* counted */
    int fail;            /* what reads return instead, when not 0 */
};

struct content_source content_memory_source(struct content_memory *m, bool tells_holes);

/* Pieces of generated data (no byte of it 0) in an endless field of zeros. */
struct content_piece {
    uint64_t off, len, seed;
};

struct content_sparse {
    const struct content_piece *pieces; /* in order, apart */
    size_t n;
    uint64_t size;
    uint64_t asked_n; /* calls of next_data, counted */
};

struct content_source content_sparse_source(struct content_sparse *s);

/** Builds or fails the test. @edit may be NULL. */
void content_fixture_build(struct content_fixture *f, const struct content_source *src,
                           const struct content_edit *edit, struct buf *ret_body);
struct content *content_fixture_open(struct content_fixture *f, const struct buf *body);

/** Writes one batch with the references (or their removal) of a version. */
void content_fixture_ref(struct content_fixture *f, const struct buf *body, const char *version);
void content_fixture_unref(struct content_fixture *f, const struct buf *body, const char *version);

/* What is in the database. */
struct content_count {
    size_t chunks, nodes, refs, bytes;
};

struct content_count content_fixture_count(struct content_fixture *f);

#endif
