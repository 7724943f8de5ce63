#include "tests/support/content_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>
#include <sodium.h>

enum { HOLE_BLOCK = 4096 };

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t content_random_u64(struct content_random *r)
{
    r->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(r->state);
}

uint64_t content_random_below(struct content_random *r, uint64_t n)
{
    return content_random_u64(r) % n;
}

void content_random_fill(struct content_random *r, void *p, size_t n)
{
    uint8_t *q = p;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = content_random_u64(r);
        memcpy(q + i, &v, n - i < 8 ? n - i : 8);
    }
}

struct content_random content_random_seeded(void)
{
    const char *text = getenv("PERSIST_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        text != NULL ? strtoull(text, NULL, 10) : mix((uint64_t)now.tv_nsec) % 1000000000;
    print_message("PERSIST_TEST_SEED=%llu\n", (unsigned long long)seed);
    return (struct content_random){seed};
}

void content_fixture_init(struct content_fixture *f)
{
    *f = (struct content_fixture){0};
    struct db_config cfg = {.create = true, .in_memory = true};
    struct err err = {0};
    assert_true(sodium_init() >= 0);
    assert_int_equal(db_open("/content", &cfg, &f->db, &err), 0);
    memset(f->keys.id, 1, sizeof f->keys.id);
    memset(f->keys.gear, 2, sizeof f->keys.gear);
    memset(f->keys.equal, 3, sizeof f->keys.equal);
}

void content_fixture_fini(struct content_fixture *f)
{
    db_close(f->db);
    f->db = NULL;
}

static int memory_read(void *arg, uint64_t off, void *p, size_t n)
{
    struct content_memory *m = arg;
    assert_true(off <= m->size && n <= m->size - off);
    if (m->fail != 0)
        return m->fail;
    m->read_bytes += n;
    memcpy(p, m->p + off, n);
    return 0;
}

static bool block_is_zero(const struct content_memory *m, uint64_t block)
{
    uint64_t off = block * HOLE_BLOCK, end = min_u64(off + HOLE_BLOCK, m->size);
    while (off < end && m->p[off] == 0)
        off++;
    return off == end;
}

static int memory_next_data(void *arg, uint64_t off, uint64_t *ret_off, uint64_t *ret_end)
{
    const struct content_memory *m = arg;
    uint64_t block = off / HOLE_BLOCK, n = (m->size + HOLE_BLOCK - 1) / HOLE_BLOCK;
    while (block < n && block_is_zero(m, block))
        block++;
    if (block == n)
        return -ENXIO;
    *ret_off = max_u64(off, block * HOLE_BLOCK);
    while (block < n && !block_is_zero(m, block))
        block++;
    *ret_end = block * HOLE_BLOCK;
    return 0;
}

struct content_source content_memory_source(struct content_memory *m, bool tells_holes)
{
    return (struct content_source){.size = m->size,
                                   .read = memory_read,
                                   .next_data = tells_holes ? memory_next_data : NULL,
                                   .arg = m};
}

/* Index of the first piece that ends after @off. */
static size_t find_piece(const struct content_sparse *s, uint64_t off)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (s->pieces[mid].off + s->pieces[mid].len > off)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* Fills @n bytes at @at of a piece. */
static void generate(const struct content_piece *k, uint64_t at, uint8_t *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        uint64_t v = mix(k->seed + at / 8) | UINT64_C(0x0101010101010101);
        size_t skip = at % 8, part = n - done < 8 - skip ? n - done : 8 - skip;
        memcpy(p + done, (const uint8_t *)&v + skip, part);
        done += part;
        at += part;
    }
}

static int sparse_read(void *arg, uint64_t off, void *p, size_t n)
{
    const struct content_sparse *s = arg;
    memset(p, 0, n);
    for (size_t i = find_piece(s, off); i < s->n && s->pieces[i].off < off + n; i++) {
        const struct content_piece *k = &s->pieces[i];
        uint64_t from = max_u64(off, k->off), to = min_u64(off + n, k->off + k->len);
        generate(k, from - k->off, (uint8_t *)p + (from - off), to - from);
    }
    return 0;
}

static int sparse_next_data(void *arg, uint64_t off, uint64_t *ret_off, uint64_t *ret_end)
{
    struct content_sparse *s = arg;
    s->asked_n++;
    size_t lo = find_piece(s, off);
    if (lo == s->n)
        return -ENXIO;
    *ret_off = max_u64(off, s->pieces[lo].off);
    *ret_end = s->pieces[lo].off + s->pieces[lo].len;
    return 0;
}

struct content_source content_sparse_source(struct content_sparse *s)
{
    return (struct content_source){
        .size = s->size, .read = sparse_read, .next_data = sparse_next_data, .arg = s};
}

void content_fixture_build(struct content_fixture *f, const struct content_source *src,
                           const struct content_edit *edit, struct buf *ret_body)
{
    uint8_t hash[CONTENT_HASH_BYTES], again[CONTENT_HASH_BYTES];
    assert_int_equal(content_build(f->db, &f->keys, src, edit, ret_body, hash), 0);
    content_hash(&f->keys, buf_bytes(ret_body), again);
    assert_memory_equal(hash, again, sizeof hash);
    struct content_info info;
    assert_int_equal(content_parse(buf_bytes(ret_body), &info), 0);
    assert_int_equal(info.size, src->size);
}

struct content *content_fixture_open(struct content_fixture *f, const struct buf *body)
{
    struct content *c = NULL;
    assert_int_equal(content_open(f->db, buf_bytes(body), &c), 0);
    return c;
}

static void write_refs(struct content_fixture *f, const struct buf *body, const char *version,
                       bool add)
{
    struct db_batch *b = db_batch_new(f->db);
    assert_non_null(b);
    int rc = add ? content_ref(b, buf_bytes(body), bytes_str(version))
                 : content_unref(b, buf_bytes(body), bytes_str(version));
    assert_int_equal(rc, 0);
    assert_int_equal(db_write(f->db, b, false), 0);
    db_batch_free(b);
}

void content_fixture_ref(struct content_fixture *f, const struct buf *body, const char *version)
{
    write_refs(f, body, version, true);
}

void content_fixture_unref(struct content_fixture *f, const struct buf *body, const char *version)
{
    write_refs(f, body, version, false);
}

struct content_count content_fixture_count(struct content_fixture *f)
{
    struct content_count n = {0};
    struct db_iter *it = db_iter_new(f->db, DB_CHUNKREF, bytes_of(NULL, 0), NULL);
    assert_non_null(it);
    while (db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n == CONTENT_ID_BYTES) {
            bool node = content_id_is_node(key.p);
            n.nodes += node;
            n.chunks += !node;
            n.bytes += get_u32(db_iter_value(it).p);
        } else {
            n.refs++;
        }
    }
    assert_int_equal(db_iter_status(it), 0);
    db_iter_free(it);
    return n;
}
