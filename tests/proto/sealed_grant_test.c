/* A grant: it opens for the member that it was made for, and for nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/sealed/door.h"
#include "proto/sealed/grant.h"
#include "tests/support/sealed_fixture.h"

static struct grant grant, out;

static void make_grant(size_t epochs, const char *name)
{
    randombytes_buf(&grant, sizeof grant);
    memset(grant.name, 0, sizeof grant.name);
    memcpy(grant.name, name, strlen(name));
    grant.epochs_n = epochs;
}

static struct buf a_blob(size_t epochs, const char *name)
{
    struct buf b = {0};
    struct member_public to = sealed_public(1);
    make_grant(epochs, name);
    assert_int_equal(grant_seal(&grant, to.box, &b), 0);
    return b;
}

static void opens_for_its_member(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 3, LIMIT_EPOCHS};
    static const char longest[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    struct member_keys k = sealed_member(1), other = sealed_member(2);
    for (size_t i = 0; i < ARRAY_N(counts); i++) {
        struct buf b = a_blob(counts[i], i % 2 == 0 ? "notes" : longest);
        assert_true(grant_is(buf_bytes(&b)));
        assert_true(b.n <= GRANT_BLOB_MAX);
        assert_int_equal(grant_open(buf_bytes(&b), &k, &out), 0);
        assert_memory_equal(out.space.b, grant.space.b, SPACE_ID_SIZE);
        assert_memory_equal(out.secret, grant.secret, SPACE_SECRET_SIZE);
        assert_string_equal(out.name, grant.name);
        assert_int_equal(out.epochs_n, counts[i]);
        assert_memory_equal(out.epochs, grant.epochs, counts[i] * EPOCH_KEY_SIZE);
        assert_int_equal(grant_open(buf_bytes(&b), &other, &out), -EKEYREJECTED);
        assert_true(sodium_is_zero((const uint8_t *)&out, sizeof out));
        buf_fini(&b);
    }
    member_keys_fini(&k);
    member_keys_fini(&other);
}

/* The largest one fits, and is the largest: nothing else may be taken for one. */
static void the_largest_is_as_long_as_said(void **state)
{
    (void)state;
    char name[GRANT_NAME_MAX + 1] = "";
    memset(name, 'n', GRANT_NAME_MAX);
    struct buf b = a_blob(LIMIT_EPOCHS, name);
    assert_int_equal(b.n, GRANT_BLOB_MAX);
    buf_fini(&b);
}

static bool opens(void *ctx, struct bytes in)
{
    return grant_open(in, ctx, &out) == 0;
}

static void flipped_bit_or_cut_is_refused(void **state)
{
    (void)state;
    struct member_keys k = sealed_member(1);
    struct buf b = a_blob(2, "notes");
    assert_true(opens(&k, buf_bytes(&b)));
    assert_int_equal(sealed_flips(buf_bytes(&b), opens, &k), 0);
    for (size_t n = 0; n < b.n; n++)
        assert_false(opens(&k, bytes_of(b.p, n)));
    buf_put_u8(&b, 0);
    assert_false(opens(&k, buf_bytes(&b)));
    assert_true(sodium_is_zero((const uint8_t *)&out, sizeof out));
    buf_fini(&b);
    member_keys_fini(&k);
}

/* Neither is taken for the other. */
static void a_passphrase_blob_is_none(void **state)
{
    (void)state;
    struct member_keys k = sealed_member(1);
    struct buf b = a_blob(1, "notes");
    uint8_t salt[DOOR_SALT_SIZE];
    assert_int_equal(door_salt(buf_bytes(&b), salt), -ENOTSUP);
    for (unsigned v = 0; v < 256; v++) {
        b.p[0] = (uint8_t)v;
        assert_int_equal(grant_is(buf_bytes(&b)), v == 2);
        assert_int_equal(grant_open(buf_bytes(&b), &k, &out), v == 2 ? 0 : -ENOTSUP);
    }
    assert_false(grant_is(bytes_of(NULL, 0)));
    assert_int_equal(grant_open(bytes_of(NULL, 0), &k, &out), -EBADMSG);
    buf_fini(&b);
    member_keys_fini(&k);
}

enum { NAME_AT = GRANT_LABEL_SIZE + SPACE_ID_SIZE + SPACE_SECRET_SIZE };

/* Anybody can seal to a member: what is in it is not believed either. */
static int open_plain(const void *p, size_t n)
{
    struct member_keys k = sealed_member(1);
    struct buf b = {0};
    assert_int_equal(buf_resize(&b, 1 + n + crypto_box_SEALBYTES), 0);
    b.p[0] = 2;
    assert_int_equal(crypto_box_seal(b.p + 1, p, n, k.box_public), 0);
    int rc = grant_open(buf_bytes(&b), &k, &out);
    buf_fini(&b);
    member_keys_fini(&k);
    return rc;
}

static void senseless_content_is_refused(void **state)
{
    (void)state;
    static uint8_t plain[GRANT_PLAIN_MAX + 64];
    const size_t n = NAME_AT + 1 + 5 + 2 + EPOCH_KEY_SIZE;
    memcpy(plain, "persist.grant.1", 15);
    plain[NAME_AT] = 5;
    memcpy(plain + NAME_AT + 1, "notes", 5);
    plain[NAME_AT + 7] = 1;
    assert_int_equal(open_plain(plain, n), 0);
    assert_int_equal(open_plain(plain, n + 1), -EBADMSG);
    assert_int_equal(open_plain(plain, n - 1), -EBADMSG);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(open_plain(plain, i), -EBADMSG);
    plain[NAME_AT + 7] = 2; /* epochs */
    assert_int_equal(open_plain(plain, n), -EBADMSG);
    plain[NAME_AT + 6] = 0xff;
    assert_int_equal(open_plain(plain, n), -EBADMSG);
    plain[NAME_AT + 6] = 0;
    plain[NAME_AT + 7] = 1;
    plain[NAME_AT + 2] = 0; /* a name with an end in it */
    assert_int_equal(open_plain(plain, n), -EBADMSG);
    plain[NAME_AT + 2] = 'o';
    plain[NAME_AT] = GRANT_NAME_MAX + 1;
    assert_int_equal(open_plain(plain, sizeof plain), -EBADMSG);
    plain[NAME_AT] = 5;
    plain[0] ^= 1; /* what is sealed to the same key for another purpose */
    assert_int_equal(open_plain(plain, n), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_for_its_member),
        cmocka_unit_test(the_largest_is_as_long_as_said),
        cmocka_unit_test(flipped_bit_or_cut_is_refused),
        cmocka_unit_test(a_passphrase_blob_is_none),
        cmocka_unit_test(senseless_content_is_refused),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests_name("sealed grant", tests, NULL, NULL);
}
