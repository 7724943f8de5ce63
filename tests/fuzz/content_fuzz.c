/*
 * A body from a hostile device, with list nodes and chunks to go with it: parsed, fetched, read,
 * built upon, and freed.
 *
 * Input: number of parts (at most 8); per part kind ('n' node, else data), length (2), bytes; the
 * rest is the body. As a fuzzer can find no ids, PLACEHOLDER bytes and a number stand for the id of
 * that part.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "fs/store/chunk.h"
#include "fs/store/content.h"

enum { PARTS_MAX = 8, PLACEHOLDER = 31, RUNS_PER_DB = 2000, BUILD_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct db *db;
static struct content_keys keys;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void open_db(void)
{
    static unsigned runs;
    if (db != NULL && runs++ % RUNS_PER_DB != 0)
        return;
    struct db_config cfg = {.create = true, .in_memory = true};
    db_close(db);
    db = NULL;
    must(sodium_init() >= 0 && db_open("/fuzz", &cfg, &db, NULL) == 0);
}

struct parts {
    size_t n;
    uint8_t id[PARTS_MAX][CONTENT_ID_BYTES];
};

/* Copies bytes, with ids in the place of placeholders. */
static void link_parts(const struct parts *parts, struct bytes v, struct buf *ret)
{
    static uint8_t mark[PLACEHOLDER];
    memset(mark, 0xaa, sizeof mark);
    for (size_t i = 0; i < v.n;) {
        bool is_mark = v.n - i > PLACEHOLDER && memcmp(v.p + i, mark, PLACEHOLDER) == 0;
        if (is_mark && v.p[i + PLACEHOLDER] < parts->n) {
            buf_put(ret, parts->id[v.p[i + PLACEHOLDER]], CONTENT_ID_BYTES);
            i += PLACEHOLDER + 1;
        } else {
            buf_put_u8(ret, v.p[i++]);
        }
    }
    must(buf_status(ret) == 0);
}

static void put_part(struct parts *parts, bool is_node, struct bytes raw)
{
    struct buf b = {0};
    link_parts(parts, raw, &b);
    uint8_t *id = parts->id[parts->n++];
    chunk_id(keys.id, is_node, buf_bytes(&b), id);
    int rc = content_put_chunk(db, &keys, id, buf_bytes(&b));
    must(rc == 0 || rc == -EBADMSG);
    buf_fini(&b);
}

static int source_read(void *arg, uint64_t off, void *p, size_t n)
{
    (void)arg;
    memset(p, (int)(off / 300000) & 1, n);
    return 0;
}

/* Whatever the base is: what is built on it is well-formed. */
static void build_upon(struct content *base, uint64_t size)
{
    struct content_range dirty = {size / 3, size / 2};
    struct content_edit edit = {base, &dirty, 1};
    struct content_source src = {.size = size, .read = source_read};
    struct buf body = {0};
    struct content_info info;
    uint8_t hash[CONTENT_HASH_BYTES];
    if (content_build(db, &keys, &src, &edit, &body, hash) == 0) {
        must(content_parse(buf_bytes(&body), &info) == 0);
        must(info.size == size);
    }
    buf_fini(&body);
}

static void read_around(struct content *c, bool is_whole)
{
    uint8_t p[5000];
    uint64_t size = content_size(c), to;
    const uint64_t offs[] = {0, size / 3, size / 2, size - (size > 100 ? 100 : size), size};
    for (size_t i = 0; i < ARRAY_N(offs); i++) {
        ssize_t n = content_read(c, offs[i], p, sizeof p);
        must(n <= (ssize_t)sizeof p && (n >= 0 || !is_whole));
        must(n < 0 || (uint64_t)n == min_u64(sizeof p, size - offs[i]));
        int rc = content_next_data(c, offs[i], &to);
        must(rc < 0 || (to >= offs[i] && to < size));
        rc = content_next_hole(c, offs[i], &to);
        must(rc < 0 || (to >= offs[i] && to <= size));
    }
}

static void use_body(struct bytes body)
{
    struct content *c;
    int rc = content_open(db, body, &c);
    must(rc == 0 || rc == -EBADMSG);
    if (rc < 0)
        return;
    rc = content_check_body(db, body);
    must(rc == 0 || rc == -EBADMSG || rc == -ENODATA);
    read_around(c, rc == 0);
    if (content_size(c) <= BUILD_MAX) {
        build_upon(c, content_size(c));
        build_upon(c, content_size(c) + 12345);
        build_upon(c, content_size(c) / 2);
    }
    content_free(c);
    struct db_batch *b = db_batch_new(db);
    must(b != NULL && content_ref(b, body, bytes_str("v")) == 0);
    must(db_write(db, b, false) == 0);
    db_batch_clear(b);
    must(content_unref(b, body, bytes_str("v")) == 0 && db_write(db, b, false) == 0);
    db_batch_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_db();
    struct reader r = reader_of(bytes_of(data, size));
    struct parts parts = {0};
    for (unsigned left = reader_u8(&r) % (PARTS_MAX + 1); left > 0; left--) {
        uint8_t kind = reader_u8(&r);
        struct bytes raw = reader_bytes(&r, reader_u16(&r));
        if (r.failed)
            break;
        put_part(&parts, kind == 'n', raw);
    }
    if (!r.failed) {
        struct buf body = {0};
        link_parts(&parts, bytes_of(r.p, r.n), &body);
        use_body(buf_bytes(&body));
        buf_fini(&body);
    }
    must(content_gc(db, NULL) == 0); /* nothing refers to anything: all of it goes */
    struct chunk_row row;
    for (size_t i = 0; i < parts.n; i++)
        must(chunk_stat(db, parts.id[i], &row) == 0);
    return 0;
}
