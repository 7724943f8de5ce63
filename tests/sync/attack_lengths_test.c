/*
 * Numbers in what comes from others: attack 30 of the list in proto/sealed/README.md. Each decoder
 * is given true bytes in which a number stands at each place, in each of the widths that lengths
 * and counts have; where one is, that is a hostile length, elsewhere just garbage. None may make it
 * allocate more than a small multiple of what came. That it reads nothing beyond is for ASan to
 * see.
 */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "fs/store/content.h"
#include "proto/base/log.h"
#include "proto/frame.h"
#include "proto/sealed/chunk.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sync_meet.h"

enum { HEAP_MAX = 4 << 20 };

static const uint64_t numbers[] = {
    0,         1,         16,     17,     64,     65,      255,       256,        257,
    1024,      1025,      4095,   4096,   4097,   65535,   65536,     65537,      262144,
    262145,    393216,    393217, 524288, 524289, 1 << 20, INT32_MAX, UINT32_MAX, LIMIT_COUNTER + 1,
    INT64_MAX, UINT64_MAX};

static struct sync_meet w;

typedef void (*decode_fn)(struct bytes in);

/* ---- decoders ----------------------------------------------------------------------------------
 */

static const struct epoch_keys *keys(void)
{
    return &w.d[0].s->keyring.epochs[0];
}

static void decode_sealed(struct bytes in)
{
    struct entry e;
    (void)!entry_parse_sealed(in, &e);
}

static void decode_stored(struct bytes in)
{
    struct entry e;
    (void)!entry_parse_stored(in, &e);
}

static void decode_act(struct bytes in)
{
    struct act a;
    (void)!act_decode(in, &a);
}

static void decode_change(struct bytes in)
{
    struct reader r;
    struct dot dot;
    struct value v;
    size_t n;
    if (value_change_open(in, &r, &dot, &n) < 0)
        return;
    for (size_t i = 0; i < n && value_change_next(&r, &dot, &v) == 0; i++) {
        struct content_info info;
        if (v.facet == FACET_CONTENT)
            (void)!content_parse(v.content.body, &info);
    }
}

static void decode_state(struct bytes in)
{
    struct state st;
    (void)!state_decode(in, &st);
}

static void decode_chunk(struct bytes in)
{
    struct chunk_ids ids;
    struct chunk_id id = {{1}};
    struct buf plain CLEANUP(buf_fini) = {0};
    (void)!chunk_names(in, &ids);
    (void)!chunk_open(keys(), &w.d[0].s->sync->space, &id, in, &plain);
}

static void decode_door(struct bytes in)
{
    static struct door door;
    const struct door_key k = {.wrap = {1}, .commitment = {2}};
    (void)!door_open(in, &k, &w.d[0].s->sync->space, &door);
}

static void decode_frame(struct bytes in)
{
    Persist__Frame *f = NULL;
    if (frame_decode(in, &f) == 0)
        frame_free(f);
}

static void decode_local(struct bytes in)
{
    Persist__Local *f = NULL;
    if (frame_local_decode(in, &f) == 0)
        frame_local_free(f);
}

/* ---- numbers at each place ---------------------------------------------------------------------
 */

/* The most that was in use since the start: mallopt() keeps the heap from shrinking. */
static size_t heap(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 0;
#else
    struct mallinfo2 m = mallinfo2();
    return m.arena + m.hblkhd;
#endif
}

/* Decodes a copy of @in, of its exact length, in which @as stands for the @n bytes at @at. */
static void decode_with(decode_fn fn, struct bytes in, size_t at, size_t n, struct bytes as)
{
    uint8_t *copy = malloc(in.n - n + as.n);
    assert_non_null(copy);
    memcpy(copy, in.p, at);
    memcpy(copy + at, as.p, as.n);
    memcpy(copy + at + as.n, in.p + at + n, in.n - at - n);
    fn(bytes_of(copy, in.n - n + as.n));
    free(copy);
}

static void put_little_varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_put_u8(b, (uint8_t)(v | 0x80));
    buf_put_u8(b, (uint8_t)v);
}

/* As a varint of ours and of protobuf in place of 1 to 3 bytes, and in 2, 4 and 8 bytes. */
static void put_number(decode_fn fn, struct bytes in, size_t at, uint64_t number)
{
    struct buf ours CLEANUP(buf_fini) = {0}, theirs CLEANUP(buf_fini) = {0};
    uint8_t fixed[8];
    buf_put_varint(&ours, number);
    put_little_varint(&theirs, number);
    put_u64(fixed, number);
    for (size_t n = 1; n <= 3 && at + n <= in.n; n++) {
        decode_with(fn, in, at, n, buf_bytes(&ours));
        decode_with(fn, in, at, n, buf_bytes(&theirs));
    }
    for (size_t n = 2; n <= 8 && at + n <= in.n; n *= 2)
        decode_with(fn, in, at, n, bytes_of(fixed + 8 - n, n));
}

static void try_all(decode_fn fn, struct bytes in)
{
    fn(in);
    size_t before = heap();
    for (size_t at = 0; at < in.n; at++)
        for (size_t i = 0; i < ARRAY_N(numbers); i++)
            put_number(fn, in, at, numbers[i]);
    assert_true(heap() < before + HEAP_MAX);
}

/* ---- what is decoded ---------------------------------------------------------------------------
 */

static int setup(void **state)
{
    static const char *const labels[] = {"anna", "bert"};
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
#ifndef __SANITIZE_ADDRESS__
    mallopt(M_MMAP_THRESHOLD, INT32_MAX);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
#endif
    sync_meet_open(&w, labels, ARRAY_N(labels));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_meet_close(&w);
    return 0;
}

/* A change of anna's with two files, as a hostile member would encode it. */
static void put_change(struct buf *ret)
{
    struct buf xattrs CLEANUP(buf_fini) = {0};
    struct dot dot = hostile_next_dot(&w.d[0]);
    uint8_t seen[DOT_SIZE];
    dot_encode(&(struct dot){5, 5}, seen);
    value_xattr_put(&xattrs, bytes_str("user.a"), bytes_str("b"));
    struct hostile_file f[] = {{.kind = KIND_FILE,
                                .name = "name",
                                .name_n = 4,
                                .content = bytes_str("text"),
                                .xattrs = buf_bytes(&xattrs),
                                .content_ctx = {seen, 1}},
                               {.kind = KIND_DIR, .name = "dir", .name_n = 3}};
    hostile_change(&w.d[0], &dot, f, ARRAY_N(f), ret);
}

static void of_an_entry(void **state)
{
    (void)state;
    struct buf change CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct buf stored CLEANUP(buf_fini) = {0};
    struct entry e, opened;
    put_change(&change);
    struct hostile_entry x = {.dot = hostile_next_dot(&w.d[0]), .plain = buf_bytes(&change)};
    hostile_entry_seal(&w.d[0], &x, &sealed);
    try_all(decode_sealed, buf_bytes(&sealed));
    assert_int_equal(entry_parse_sealed(buf_bytes(&sealed), &e), 0);
    assert_int_equal(entry_open(&e, keys(), &stored, &opened), 0);
    try_all(decode_stored, buf_bytes(&stored));
}

static void of_a_change(void **state)
{
    (void)state;
    struct buf change CLEANUP(buf_fini) = {0};
    put_change(&change);
    try_all(decode_change, buf_bytes(&change));
}

static void of_a_state(void **state)
{
    (void)state;
    struct buf plain CLEANUP(buf_fini) = {0}, known CLEANUP(buf_fini) = {0};
    for (uint64_t i = 1; i < 5; i++)
        dot_put(&known, &(struct dot){i, i});
    struct state st = {.known = {known.p, 4}, .heads = hostile_heads(&w.d[0])};
    state_encode(&st, &plain);
    try_all(decode_state, buf_bytes(&plain));
}

static void of_every_act(void **state)
{
    (void)state;
    const struct members *m = w.d[0].s->sync->members;
    assert_true(members_acts_n(m) >= 6);
    for (size_t i = 0; i < members_acts_n(m); i++)
        try_all(decode_act, members_act(m, i)->raw);
    /* A revocation with an epoch, which nobody has made here so far. */
    struct buf raw CLEANUP(buf_fini) = {0}, cuts CLEANUP(buf_fini) = {0};
    uint8_t box[ACT_BOX_SIZE];
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_REVOKE;
    dot_put(&cuts, &(struct dot){5, 5});
    assert_int_equal(act_box_seal(keys(), &w.d[0].s->sync->space, &w.d[0].member->pub, box), 0);
    a.revoke = (struct act_revoke){
        .members = w.d[1].s->sync->id.b, .members_n = 1, .cuts = {cuts.p, 1}, .with_epoch = true};
    a.epoch = (struct act_epoch){.id = keys()->id, .generation = 2, .boxes = box, .boxes_n = 1};
    hostile_act(&w.d[0], &a, &raw);
    try_all(decode_act, buf_bytes(&raw));
}

static void of_a_chunk(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct chunk_id id = {{1}};
    uint8_t names[3 * CHUNK_ID_SIZE] = {1};
    assert_int_equal(chunk_seal(keys(), &w.d[0].s->sync->space, &id, (struct chunk_ids){names, 3},
                                bytes_str("bytes"), &sealed),
                     0);
    /* Its numbers are at its beginning: what is behind the names is one ciphertext. */
    struct bytes all = buf_bytes(&sealed);
    size_t before = heap();
    for (size_t at = 0; at < 8; at++)
        for (size_t i = 0; i < ARRAY_N(numbers); i++)
            put_number(decode_chunk, all, at, numbers[i]);
    assert_true(heap() < before + HEAP_MAX);
}

static void of_a_door(void **state)
{
    (void)state;
    struct buf blob CLEANUP(buf_fini) = {0};
    const struct door_key k = {.wrap = {1}, .commitment = {2}};
    const uint8_t salt[DOOR_SALT_SIZE] = {3};
    assert_int_equal(space_sync_door(w.d[0].s, &k, salt, &blob), 0);
    try_all(decode_door, buf_bytes(&blob));
}

static void of_frames(void **state)
{
    (void)state;
    struct buf change CLEANUP(buf_fini) = {0}, b CLEANUP(buf_fini) = {0};
    struct buf local CLEANUP(buf_fini) = {0};
    Persist__Items__Item in = PERSIST__ITEMS__ITEM__INIT;
    Persist__Items__Item *list[] = {&in, &in, &in};
    Persist__Items items = PERSIST__ITEMS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    Persist__Data d = PERSIST__DATA__INIT;
    Persist__Local l = PERSIST__LOCAL__INIT;
    put_change(&change);
    in.seq = 300;
    in.what_case = PERSIST__ITEMS__ITEM__WHAT_ENTRY;
    in.entry = frame_data(bytes_of(change.p, 64));
    items.n_items = ARRAY_N(list);
    items.items = list;
    f.kind_case = PERSIST__FRAME__KIND_ITEMS;
    f.items = &items;
    assert_int_equal(frame_encode(&f, &b), 0);
    try_all(decode_frame, buf_bytes(&b));
    d.frame = frame_data(buf_bytes(&b));
    l.kind_case = PERSIST__LOCAL__KIND_DATA;
    l.data = &d;
    assert_int_equal(frame_local_encode(&l, &local), 0);
    try_all(decode_local, buf_bytes(&local));
}

/* ---- at the limit, and one beyond --------------------------------------------------------------
 */

/* @n ids or dots of @size bytes behind their count, ascending. */
static void put_list(struct buf *b, size_t n, size_t size)
{
    buf_put_varint(b, n);
    for (size_t i = 0; i < n; i++) {
        uint8_t one[HASH_SIZE] = {0};
        put_u32(one, (uint32_t)i + 1);
        one[15] = 1;
        buf_put(b, one, size);
    }
}

static bool reads(size_t n, size_t size, void (*read)(struct reader *r))
{
    struct buf b CLEANUP(buf_fini) = {0};
    put_list(&b, n, size);
    struct reader r = reader_of(buf_bytes(&b));
    read(&r);
    return reader_end(&r) == 0;
}

static void read_acts(struct reader *r)
{
    (void)act_ids_read(r);
}

static void read_chunks(struct reader *r)
{
    (void)chunk_ids_read(r);
}

static void read_vector(struct reader *r)
{
    (void)dots_read_vector(r, LIMIT_VECTOR);
}

static void read_replaced(struct reader *r)
{
    (void)dots_read_set(r, LIMIT_REPLACED);
}

static void lists_end_at_their_limit(void **state)
{
    (void)state;
    static const struct {
        size_t limit, size;
        void (*read)(struct reader *r);
    } rows[] = {
        {LIMIT_ACT_HEADS, ACT_ID_SIZE, read_acts},
        {LIMIT_CHUNK_IDS, CHUNK_ID_SIZE, read_chunks},
        {LIMIT_VECTOR, DOT_SIZE, read_vector},
        {LIMIT_REPLACED, DOT_SIZE, read_replaced},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        assert_true(reads(rows[i].limit, rows[i].size, rows[i].read));
        assert_false(reads(rows[i].limit + 1, rows[i].size, rows[i].read));
    }
}

static void a_name_and_an_attribute_end_at_their_limit(void **state)
{
    (void)state;
    static char name[LIMIT_NAME + 1], value[LIMIT_XATTR_VALUE];
    memset(name, 'n', sizeof name);
    for (size_t more = 0; more < 2; more++) {
        struct buf change CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
        struct buf xattrs CLEANUP(buf_fini) = {0};
        struct hostile_file f = {.kind = KIND_FILE, .name = name, .name_n = LIMIT_NAME + more};
        struct hostile_entry x = {.dot = hostile_next_dot(&w.d[1])};
        x.dot.counter += 2 * more; /* he does not hear of his own */
        hostile_change(&w.d[1], &x.dot, &f, 1, &change);
        x.plain = buf_bytes(&change);
        hostile_entry_seal(&w.d[1], &x, &sealed);
        assert_int_equal(space_sync_take_entry(w.d[0].s, 9, buf_bytes(&sealed)),
                         more ? SYNC_REFUSED : SYNC_TAKEN);
        /* The list of attributes as a whole: one of the greatest, 7 bytes of name with its length
         * and 3 of the value's length; and 7 and 2 of another one. */
        size_t fits = LIMIT_XATTR_BYTES - 10 - LIMIT_XATTR_VALUE - 9;
        value_xattr_put(&xattrs, bytes_str("user.a"), bytes_of(value, LIMIT_XATTR_VALUE));
        value_xattr_put(&xattrs, bytes_str("user.b"), bytes_of(value, fits + more));
        f = (struct hostile_file){
            .kind = KIND_FILE, .name = name, .name_n = 9 + more, .xattrs = buf_bytes(&xattrs)};
        x.dot.counter++;
        hostile_change(&w.d[1], &x.dot, &f, 1, &change);
        x.plain = buf_bytes(&change);
        hostile_entry_seal(&w.d[1], &x, &sealed);
        assert_int_equal(space_sync_take_entry(w.d[0].s, 9, buf_bytes(&sealed)),
                         more ? SYNC_REFUSED : SYNC_TAKEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_entry),
        cmocka_unit_test(of_a_change),
        cmocka_unit_test(of_a_state),
        cmocka_unit_test(of_every_act),
        cmocka_unit_test(of_a_chunk),
        cmocka_unit_test(of_a_door),
        cmocka_unit_test(of_frames),
        cmocka_unit_test(lists_end_at_their_limit),
        cmocka_unit_test(a_name_and_an_attribute_end_at_their_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
