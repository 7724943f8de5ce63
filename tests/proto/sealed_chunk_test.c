/* Chunks: what comes back is what the id names, in its space and epoch, or nothing does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/sealed/chunk.h"
#include "tests/support/sealed_fixture.h"

static uint8_t data[LIMIT_CHUNK], ids[(LIMIT_CHUNK_IDS + 1) * CHUNK_ID_SIZE];

struct fixture {
    struct epoch_keys k;
    struct space_id space;
    struct chunk_id id;
    struct buf sealed, out;
};

/* The id of a piece, whose name is made of its bytes. */
static struct chunk_id id_of(const struct epoch_keys *k, struct bytes plain)
{
    uint8_t name[HASH_SIZE];
    hash_parts(NULL, "test.name", &plain, 1, name);
    return chunk_id_of(k, name);
}

static struct fixture sealed(struct bytes plain, size_t names)
{
    struct fixture f = {.k = sealed_epoch(1), .space = sealed_space(1)};
    f.id = id_of(&f.k, plain);
    assert_int_equal(
        chunk_seal(&f.k, &f.space, &f.id, (struct chunk_ids){ids, names}, plain, &f.sealed), 0);
    return f;
}

static void done(struct fixture *f)
{
    buf_fini(&f->sealed);
    buf_fini(&f->out);
}

static int open_it(struct fixture *f)
{
    return chunk_open(&f->k, &f->space, &f->id, buf_bytes(&f->sealed), &f->out);
}

static void chunk_comes_back_as_it_was(void **state)
{
    (void)state;
    randombytes_buf(data, sizeof data);
    const size_t sizes[] = {0, 1, 4091, 4092, 4093, 65536, LIMIT_CHUNK - 1, LIMIT_CHUNK};
    for (size_t i = 0; i < ARRAY_N(sizes); i++) {
        struct fixture f = sealed(bytes_of(data, sizes[i]), 0);
        assert_int_equal(open_it(&f), 0);
        assert_true(bytes_equal(buf_bytes(&f.out), bytes_of(data, sizes[i])));
        assert_int_equal((f.sealed.n - 1 - 24 - 16) % 4096, 0);
        assert_true(f.sealed.n <= CHUNK_SEALED_MAX);
        done(&f);
    }
}

static void list_chunk_names_its_chunks_in_the_open(void **state)
{
    (void)state;
    struct fixture f = sealed(bytes_of(data, LIMIT_CHUNK), LIMIT_CHUNK_IDS);
    struct chunk_ids names;
    assert_true(f.sealed.n <= CHUNK_SEALED_MAX);
    assert_int_equal(chunk_names(buf_bytes(&f.sealed), &names), 0);
    assert_int_equal(names.n, LIMIT_CHUNK_IDS);
    assert_int_equal(open_it(&f), 0);
    f.sealed.p[2] ^= 1; /* another name */
    assert_int_equal(open_it(&f), -EBADMSG);
    done(&f);
}

static void equal_pieces_have_one_id_within_an_epoch(void **state)
{
    (void)state;
    struct epoch_keys one = sealed_epoch(1), two = sealed_epoch(2);
    struct chunk_id a = id_of(&one, bytes_str("x")), b = id_of(&one, bytes_str("x"));
    struct chunk_id c = id_of(&two, bytes_str("x")), d = id_of(&one, bytes_str("y"));
    assert_memory_equal(a.b, b.b, CHUNK_ID_SIZE);
    assert_memory_not_equal(a.b, c.b, CHUNK_ID_SIZE);
    assert_memory_not_equal(a.b, d.b, CHUNK_ID_SIZE);
}

static void chunk_in_the_place_of_another_is_refused(void **state)
{
    (void)state;
    struct fixture a = sealed(bytes_str("one"), 0), b = sealed(bytes_str("two"), 0);
    struct buf swap = a.sealed;
    a.sealed = b.sealed;
    b.sealed = swap;
    assert_int_equal(open_it(&a), -EBADMSG);
    assert_int_equal(a.out.n, 0);
    assert_int_equal(open_it(&b), -EBADMSG);
    done(&a);
    done(&b);
}

static void chunk_of_another_epoch_or_space_is_refused(void **state)
{
    (void)state;
    struct fixture f = sealed(bytes_str("one"), 0);
    struct epoch_keys first = f.k;
    f.k = sealed_epoch(2);
    assert_int_equal(open_it(&f), -EBADMSG);
    struct chunk_id old = f.id;
    f.id = id_of(&f.k, bytes_str("one"));
    assert_int_equal(open_it(&f), -EBADMSG);
    f.k = first;
    f.id = old;
    f.space = sealed_space(2);
    assert_int_equal(open_it(&f), -EBADMSG);
    f.space = sealed_space(1);
    assert_int_equal(open_it(&f), 0);
    done(&f);
}

static bool accepts(void *ctx, struct bytes in)
{
    struct fixture *f = ctx;
    return chunk_open(&f->k, &f->space, &f->id, in, &f->out) == 0;
}

static void flipped_bit_or_cut_is_refused(void **state)
{
    (void)state;
    struct fixture f = sealed(bytes_str("text"), 2);
    assert_true(accepts(&f, buf_bytes(&f.sealed)));
    assert_int_equal(sealed_flips(buf_bytes(&f.sealed), accepts, &f), 0);
    for (size_t n = 0; n < f.sealed.n; n++)
        assert_false(accepts(&f, bytes_of(f.sealed.p, n)));
    done(&f);
}

/* Sealed by a member with a body of another form, under the id that it would have. */
static int open_body(struct fixture *f, size_t size, uint32_t length, uint8_t last)
{
    static uint8_t body[LIMIT_CHUNK + 2 * CHUNK_PAD];
    uint8_t ad[64 + 1] = {0};
    memset(body, 0, sizeof body);
    put_u32(body, length);
    body[size - 1] = last;
    f->id = id_of(&f->k, bytes_of(body + 4, min_u64(length, size - 4)));
    memcpy(ad, f->space.b, 16);
    memcpy(ad + 16, f->k.id.b, 16);
    memcpy(ad + 32, f->id.b, 32);
    buf_reset(&f->sealed);
    buf_put_u8(&f->sealed, 0);
    seal_put(&f->sealed, f->k.chunk, bytes_of(ad, sizeof ad), bytes_of(body, size));
    return open_it(f);
}

static void body_of_another_form_is_refused(void **state)
{
    (void)state;
    struct fixture f = sealed(bytes_str("text"), 0);
    assert_int_equal(open_body(&f, 4096, 4092, 0), 0);
    assert_int_equal(open_body(&f, 4096, 4093, 0), -EBADMSG);
    assert_int_equal(open_body(&f, 4096, 4091, 1), -EBADMSG);
    assert_int_equal(open_body(&f, 8192, 4092, 0), -EBADMSG);
    assert_int_equal(open_body(&f, 4096, UINT32_MAX, 0), -EBADMSG);
    assert_int_equal(open_body(&f, LIMIT_CHUNK + 4096, LIMIT_CHUNK, 0), 0);
    assert_int_equal(open_body(&f, LIMIT_CHUNK + 4096, LIMIT_CHUNK + 1, 0), -EBADMSG);
    assert_int_equal(open_body(&f, LIMIT_CHUNK + 8192, LIMIT_CHUNK + 4096, 0), -EBADMSG);
    done(&f);
}

static void names_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    const uint64_t counts[] = {LIMIT_CHUNK_IDS + 1, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_N(counts); i++) {
        struct buf b = {0};
        struct chunk_ids names;
        buf_put_varint(&b, counts[i]);
        (void)!buf_resize(&b, b.n + (LIMIT_CHUNK_IDS + 1) * CHUNK_ID_SIZE + 24 + 4096 + 16);
        assert_int_equal(chunk_names(buf_bytes(&b), &names), -EBADMSG);
        buf_fini(&b);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunk_comes_back_as_it_was),
        cmocka_unit_test(list_chunk_names_its_chunks_in_the_open),
        cmocka_unit_test(equal_pieces_have_one_id_within_an_epoch),
        cmocka_unit_test(chunk_in_the_place_of_another_is_refused),
        cmocka_unit_test(chunk_of_another_epoch_or_space_is_refused),
        cmocka_unit_test(flipped_bit_or_cut_is_refused),
        cmocka_unit_test(body_of_another_form_is_refused),
        cmocka_unit_test(names_beyond_the_limit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
