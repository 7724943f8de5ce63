/* Values and changes: one encoding each, and nothing malformed is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/value.h"

static uint8_t elements[3 * DOT_SIZE];

static struct dots some_dots(void)
{
    dot_encode(&(struct dot){1, 5}, elements);
    dot_encode(&(struct dot){2, 1}, elements + DOT_SIZE);
    dot_encode(&(struct dot){9, LIMIT_COUNTER}, elements + 2 * DOT_SIZE);
    return (struct dots){elements, 3};
}

static struct rid some_rid(enum kind kind)
{
    struct rid rid = {{1, 2, 3}};
    rid.b[RID_SIZE - 1] = (uint8_t)kind;
    return rid;
}

static struct value base(enum kind kind, enum facet facet)
{
    return (struct value){.rid = some_rid(kind),
                          .facet = facet,
                          .dot = {3, 7},
                          .ctx = some_dots(),
                          .stamp = {0x1234, 3},
                          .from_own = true};
}

static struct value place(void)
{
    struct value v = base(KIND_FILE, FACET_PLACE);
    v.slot = (struct dot){2, 1};
    v.place = (struct value_place){.alive = true, .name = bytes_str("name.txt")};
    return v;
}

static struct value deletion(void)
{
    struct value v = place();
    v.place.alive = false;
    v.place.cseen = some_dots();
    return v;
}

static struct value meta(struct buf *xattrs)
{
    struct value v = base(KIND_DIR, FACET_META);
    value_xattr_put(xattrs, bytes_str("user.a"), bytes_str("1"));
    value_xattr_put(xattrs, bytes_str("user.b"), bytes_str(""));
    v.meta = (struct value_meta){.mode = 0755, .xattrs = buf_bytes(xattrs)};
    return v;
}

static struct value content(void)
{
    struct value v = base(KIND_FILE, FACET_CONTENT);
    v.from_own = false;
    v.from = some_dots();
    v.content = (struct value_content){.size = 4, .mtime_ns = -1, .body = bytes_str("body")};
    return v;
}

static int decode(const struct value *v, struct value *ret)
{
    static struct buf b;
    buf_reset(&b);
    value_encode(v, VALUE_WIRE, &b);
    return value_decode(buf_bytes(&b), VALUE_WIRE, ret);
}

/* What was decoded encodes to the same bytes; any cut of them, or more, is refused. */
static void assert_round_trip(const struct value *v, enum value_form form)
{
    struct buf a = {0}, b = {0};
    struct value out;
    value_encode(v, form, &a);
    assert_int_equal(value_decode(buf_bytes(&a), form, &out), 0);
    value_encode(&out, form, &b);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    for (size_t n = 0; n < a.n; n++)
        assert_int_equal(value_decode(bytes_of(a.p, n), form, &out), -EBADMSG);
    buf_put_u8(&a, 0);
    assert_int_equal(value_decode(buf_bytes(&a), form, &out), -EBADMSG);
    enum value_form other = form == VALUE_WIRE ? VALUE_STORED : VALUE_WIRE;
    assert_int_equal(value_decode(buf_bytes(&b), other, &out), -EBADMSG);
    buf_fini(&a);
    buf_fini(&b);
}

static void value_of_each_facet_round_trips(void **state)
{
    (void)state;
    struct buf xattrs = {0};
    const struct value all[] = {place(), deletion(), meta(&xattrs), content()};
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        assert_round_trip(&all[i], VALUE_WIRE);
        assert_round_trip(&all[i], VALUE_STORED);
    }
    buf_fini(&xattrs);
}

static void value_stored_has_no_body(void **state)
{
    (void)state;
    struct value v = content(), out;
    struct buf b = {0};
    value_encode(&v, VALUE_STORED, &b);
    assert_int_equal(value_decode(buf_bytes(&b), VALUE_STORED, &out), 0);
    assert_int_equal(out.content.body.n, 0);
    assert_int_equal(out.content.size, 4);
    buf_fini(&b);
}

static void name_that_must_not_be_is_refused(void **state)
{
    (void)state;
    char longest[LIMIT_NAME + 1];
    memset(longest, 'x', sizeof longest);
    const struct bytes bad[] = {
        bytes_of("", 0),       bytes_str("."),
        bytes_str(".."),       bytes_str("a/b"),
        bytes_of("a\0b", 3),   bytes_str("/"),
        bytes_str(".persist"), bytes_of(longest, LIMIT_NAME + 1),
    };
    const struct bytes good[] = {bytes_str("..."), bytes_str(".a"), bytes_of("\xff\n", 2),
                                 bytes_of(longest, LIMIT_NAME)};
    const struct rid root = RID_ROOT, dir = some_rid(KIND_DIR);
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        assert_false(value_name_valid(&root, bad[i]));
    for (size_t i = 0; i < ARRAY_N(good); i++)
        assert_true(value_name_valid(&root, good[i]));
    assert_true(value_name_valid(&dir, bytes_str(".persist")));
    struct value v = place(), out;
    v.place.name = bytes_str("..");
    assert_int_equal(decode(&v, &out), -EBADMSG);
}

static void value_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct value out, v = place();
    v.rid = RID_ROOT; /* the root has no place */
    v.slot = (struct dot){0, 0};
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v = place();
    v.rid = some_rid(KIND_DIR); /* no hard links of directories */
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v.slot = (struct dot){0, 0};
    assert_int_equal(decode(&v, &out), 0);
    v.place.parent = some_rid(KIND_FILE); /* nothing is in a file */
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v = content();
    v.rid = some_rid(KIND_DIR);
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v = content();
    v.dot = (struct dot){2, 1}; /* its own context supersedes it */
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v = content();
    dot_encode(&v.dot, elements); /* an origin of the own dot alone is not written out */
    v.ctx = (struct dots){NULL, 0};
    v.from = (struct dots){elements, 1};
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v = content();
    v.rid = some_rid(KIND_SYMLINK);
    v.content.size = LIMIT_SYMLINK + 1;
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v = content();
    v.content.size = LIMIT_FILE + 1;
    assert_int_equal(decode(&v, &out), -EBADMSG);
}

static void counter_outside_its_range_is_refused(void **state)
{
    (void)state;
    struct value v = place(), out;
    struct buf b = {0};
    value_encode(&v, VALUE_WIRE, &b);
    const uint64_t bad[] = {0, LIMIT_COUNTER + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        put_u64(b.p + 2 + RID_SIZE + 8, bad[i]); /* form, facet, rid, replica */
        assert_int_equal(value_decode(buf_bytes(&b), VALUE_WIRE, &out), -EBADMSG);
    }
    put_u64(b.p + 2 + RID_SIZE + 8, LIMIT_COUNTER);
    assert_int_equal(value_decode(buf_bytes(&b), VALUE_WIRE, &out), 0);
    buf_fini(&b);
}

static void vector_out_of_order_or_too_long_is_refused(void **state)
{
    (void)state;
    struct value v = place(), out;
    v.ctx = some_dots();
    dot_encode(&(struct dot){9, 1}, elements + DOT_SIZE); /* one replica twice */
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v.ctx = some_dots();
    dot_encode(&(struct dot){1, 9}, elements + 2 * DOT_SIZE);
    assert_int_equal(decode(&v, &out), -EBADMSG);
    static uint8_t many[(LIMIT_VECTOR + 1) * DOT_SIZE];
    for (size_t i = 0; i <= LIMIT_VECTOR; i++)
        dot_encode(&(struct dot){100 + i, 1}, many + i * DOT_SIZE);
    v.ctx = (struct dots){many, LIMIT_VECTOR + 1};
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v.ctx.n = LIMIT_VECTOR;
    assert_int_equal(decode(&v, &out), 0);
}

static void length_beyond_the_input_is_refused(void **state)
{
    (void)state;
    const uint64_t lengths[] = {LIMIT_VECTOR + 1, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_N(lengths); i++) {
        struct buf b = {0};
        struct value out;
        buf_put_u8(&b, VALUE_WIRE);
        buf_put_u8(&b, FACET_META);
        struct rid rid = some_rid(KIND_FILE);
        rid_put(&b, &rid);
        dot_put(&b, &(struct dot){1, 1});
        buf_put_varint(&b, lengths[i]);
        assert_int_equal(value_decode(buf_bytes(&b), VALUE_WIRE, &out), -EBADMSG);
        buf_fini(&b);
    }
}

static void xattrs_out_of_order_are_refused(void **state)
{
    (void)state;
    struct buf x = {0};
    struct value v = base(KIND_FILE, FACET_META), out;
    value_xattr_put(&x, bytes_str("user.b"), bytes_str("1"));
    value_xattr_put(&x, bytes_str("user.a"), bytes_str("2"));
    v.meta = (struct value_meta){.mode = 0644, .xattrs = buf_bytes(&x)};
    assert_int_equal(decode(&v, &out), -EBADMSG);
    v.meta = (struct value_meta){.mode = 010000};
    assert_int_equal(decode(&v, &out), -EBADMSG);
    buf_fini(&x);
}

static void change_of_parts_with_one_dot_is_read_back(void **state)
{
    (void)state;
    struct buf b = {0}, one = {0};
    struct value v = content(), out;
    struct reader r;
    struct dot dot;
    size_t n;
    value_change_begin(&b, &v.dot, 1);
    value_encode(&v, VALUE_WIRE, &one);
    buf_put_string(&b, buf_bytes(&one));
    assert_int_equal(value_change_open(buf_bytes(&b), &r, &dot, &n), 0);
    assert_true(n == 1 && dot_equal(&dot, &v.dot));
    assert_int_equal(value_change_next(&r, &dot, &out), 0);
    assert_int_equal(reader_end(&r), 0);
    assert_int_equal(value_change_open(buf_bytes(&b), &r, &dot, &n), 0);
    assert_int_equal(value_change_next(&r, &(struct dot){3, 8}, &out), -EBADMSG);
    b.p[0] = 2;
    assert_int_equal(value_change_open(buf_bytes(&b), &r, &dot, &n), -EBADMSG);
    buf_fini(&b);
    buf_fini(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_of_each_facet_round_trips),
        cmocka_unit_test(value_stored_has_no_body),
        cmocka_unit_test(name_that_must_not_be_is_refused),
        cmocka_unit_test(value_that_contradicts_itself_is_refused),
        cmocka_unit_test(counter_outside_its_range_is_refused),
        cmocka_unit_test(vector_out_of_order_or_too_long_is_refused),
        cmocka_unit_test(length_beyond_the_input_is_refused),
        cmocka_unit_test(xattrs_out_of_order_are_refused),
        cmocka_unit_test(change_of_parts_with_one_dot_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
