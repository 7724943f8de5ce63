/* Acts: one encoding each, signed whole, within their limits; labels and boxes open for whom they
 * are, and for nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>

#include "proto/sealed/act.h"
#include "tests/support/sealed_fixture.h"

static uint8_t parents[(LIMIT_ACT_HEADS + 1) * ACT_ID_SIZE];
static uint8_t members[(LIMIT_MEMBERS + 1) * MEMBER_ID_SIZE];
static uint8_t boxes[(LIMIT_EPOCH_BOXES + 1) * ACT_BOX_SIZE];
static uint8_t cuts[(LIMIT_REPLICAS + 1) * DOT_SIZE];
static uint8_t label[ACT_LABEL_SIZE];

/* An act of member 1 of each kind, with @n of everything that it has any number of. */
static struct act an_act(enum act_kind kind, size_t n)
{
    static struct buf fork[2];
    static struct entry e[2];
    for (size_t i = 0; i <= LIMIT_ACT_HEADS; i++)
        parents[i * ACT_ID_SIZE] = (uint8_t)(i + 1);
    for (size_t i = 0; i <= LIMIT_MEMBERS; i++)
        members[i * MEMBER_ID_SIZE] = (uint8_t)(i + 1);
    for (size_t i = 0; i <= LIMIT_EPOCH_BOXES; i++)
        put_u32(boxes + i * ACT_BOX_SIZE, (uint32_t)i);
    for (size_t i = 0; i <= LIMIT_REPLICAS; i++)
        dot_encode(&(struct dot){i, LIMIT_COUNTER}, cuts + i * DOT_SIZE);
    struct member_public p = sealed_public(1);
    struct act a = {.kind = kind,
                    .space = sealed_space(1),
                    .author = member_id_of(&p),
                    .number = UINT32_MAX,
                    .parents = {parents, min_u64(n, LIMIT_ACT_HEADS)},
                    .add = {.member = sealed_public(2), .role = ACT_ROLE_SERVER, .label = label},
                    .replica = 77,
                    .revoke = {members,
                               min_u64(n, LIMIT_MEMBERS),
                               {cuts, min_u64(n, LIMIT_REPLICAS)},
                               200,
                               true},
                    .epoch = {.generation = UINT32_MAX,
                              .boxes = boxes,
                              .boxes_n = min_u64(n, LIMIT_EPOCH_BOXES)},
                    .label = label};
    if (kind == ACT_GENESIS) {
        a.space = (struct space_id){{0}};
        a.parents.n = 0;
        a.number = 1;
        a.add.member = p;
    }
    memcpy(a.door, sealed_public(3).sign, SIGN_KEY_SIZE);
    for (size_t i = 0; i < 2; i++) {
        struct entry_head h = sealed_head(9, 5);
        buf_reset(&fork[i]);
        sealed_entry(1, &h, NULL, bytes_str("x"), &fork[i]); /* its random bytes differ */
        assert_int_equal(entry_parse_stored(buf_bytes(&fork[i]), &e[i]), 0);
        a.fork.head[i] = e[i].head_raw;
        a.fork.sign[i] = e[i].sign;
    }
    return a;
}

static int sign_it(const struct act *a, struct buf *ret)
{
    struct member_keys k = sealed_member(1);
    buf_reset(ret);
    int rc = act_sign(a, &k, ret);
    member_keys_fini(&k);
    return rc;
}

static bool accepts(void *ctx, struct bytes in)
{
    struct act a;
    return act_decode(in, &a) == 0 && act_verify(&a, ctx) == 0;
}

static void act_of_each_kind_round_trips(void **state)
{
    (void)state;
    struct member_public p = sealed_public(1), q = sealed_public(2);
    for (enum act_kind kind = ACT_GENESIS; kind <= ACT_LABEL; kind++)
        for (size_t n = 1; n <= 1024; n *= 32) {
            struct act a = an_act(kind, n), out;
            struct buf b = {0}, again = {0};
            assert_int_equal(sign_it(&a, &b), 0);
            assert_int_equal(act_decode(buf_bytes(&b), &out), 0);
            assert_int_equal(act_verify(&out, p.sign), 0);
            assert_int_equal(act_verify(&out, q.sign), -EBADMSG);
            assert_int_equal(sign_it(&out, &again), 0);
            assert_true(bytes_equal(buf_bytes(&b), buf_bytes(&again)));
            for (size_t cut = 0; cut < b.n; cut += 1 + b.n / 500)
                assert_false(accepts(p.sign, bytes_of(b.p, cut)));
            buf_put_u8(&b, 0);
            assert_false(accepts(p.sign, buf_bytes(&b)));
            buf_fini(&b);
            buf_fini(&again);
        }
}

static void flipped_bit_is_refused(void **state)
{
    (void)state;
    struct member_public p = sealed_public(1);
    for (enum act_kind kind = ACT_GENESIS; kind <= ACT_LABEL; kind++) {
        struct act a = an_act(kind, 2);
        struct buf b = {0};
        assert_int_equal(sign_it(&a, &b), 0);
        assert_true(accepts(p.sign, buf_bytes(&b)));
        assert_int_equal(sealed_flips(buf_bytes(&b), accepts, p.sign), 0);
        buf_fini(&b);
    }
}

static void id_is_that_of_all_bytes(void **state)
{
    (void)state;
    struct act a = an_act(ACT_DOOR, 1);
    struct buf b = {0};
    assert_int_equal(sign_it(&a, &b), 0);
    struct act_id id = act_id_of(buf_bytes(&b));
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        struct act_id changed = act_id_of(buf_bytes(&b));
        assert_int_not_equal(act_id_cmp(&id, &changed), 0);
        b.p[i] ^= 1;
    }
    struct space_id space = act_space_of(buf_bytes(&b));
    assert_memory_equal(space.b, id.b, SPACE_ID_SIZE);
    buf_fini(&b);
}

static int decode(const struct act *a)
{
    static struct buf b;
    struct act out;
    assert_int_equal(sign_it(a, &b), 0);
    return act_decode(buf_bytes(&b), &out);
}

static void act_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct act a = an_act(ACT_GENESIS, 1);
    a.author.b[0] ^= 1; /* of another than the first member */
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_GENESIS, 1);
    a.parents = (struct act_ids){parents, 1};
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_GENESIS, 1);
    a.space.b[0] = 1;
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_DOOR, 1);
    a.parents.n = 0; /* only a genesis has none */
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_DOOR, 1);
    a.number = 0;
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_EPOCH, 1);
    a.epoch.generation = 0;
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_REVOKE, 2);
    members[0] = 9; /* not ascending */
    assert_int_equal(decode(&a), -EBADMSG);
    a = an_act(ACT_EPOCH, 2);
    boxes[3] = 1; /* two for one */
    assert_int_equal(decode(&a), -EBADMSG);
}

static void key_that_gives_away_secrets_is_refused(void **state)
{
    (void)state;
    static const uint8_t small[32] = {1};
    for (size_t i = 0; i < 4; i++) {
        struct act a = an_act(i < 3 ? ACT_ADD : ACT_DOOR, 1);
        uint8_t *at[] = {a.add.member.identity, a.add.member.sign, a.add.member.box, a.door};
        assert_int_equal(decode(&a), 0);
        memcpy(at[i], small, sizeof small);
        assert_int_equal(decode(&a), -EBADMSG);
    }
}

static void fork_needs_two_heads_of_one_dot(void **state)
{
    (void)state;
    struct act a = an_act(ACT_FORK, 1), ok = a;
    assert_int_equal(decode(&a), 0);
    a.fork.head[1] = a.fork.head[0];
    assert_int_equal(decode(&a), -EBADMSG);
    const size_t at[] = {1, 4, 20, 28}; /* kind, space, replica, counter */
    for (size_t i = 0; i < ARRAY_N(at); i++) {
        uint8_t head[ENTRY_HEAD_SIZE];
        memcpy(head, ok.fork.head[1], sizeof head);
        head[at[i]] ^= at[i] == 1 ? 3 : 1;
        a.fork.head[1] = head;
        assert_int_equal(decode(&a), -EBADMSG);
    }
}

/* ---- limits ------------------------------------------------------------------------------------
 */

/* An act of @kind up to its first count, then @count and zeros enough. */
static int decode_count(enum act_kind kind, bool of_parents, bool of_cuts, uint64_t count)
{
    static const uint8_t much[LIMIT_ACT];
    struct act a = an_act(kind, 1), out;
    struct buf b = {0};
    assert_int_equal(sign_it(&a, &b), 0);
    b.n = 2 + SPACE_ID_SIZE + MEMBER_ID_SIZE + 4;
    if (!of_parents) {
        b.n += 1 + ACT_ID_SIZE;
        if (kind == ACT_EPOCH)
            b.n += EPOCH_ID_SIZE + 4;
        if (of_cuts)
            b.n += 1 + MEMBER_ID_SIZE;
    }
    buf_put_varint(&b, count);
    buf_put(&b, much, LIMIT_ACT - b.n);
    int rc = act_decode(buf_bytes(&b), &out);
    buf_fini(&b);
    return rc;
}

static void counts_beyond_their_limits_are_refused(void **state)
{
    (void)state;
    const uint64_t far[] = {UINT32_MAX, UINT64_MAX, UINT64_MAX / 16 + 2};
    for (size_t i = 0; i < ARRAY_N(far); i++) {
        assert_int_equal(decode_count(ACT_DOOR, true, false, far[i]), -EBADMSG);
        assert_int_equal(decode_count(ACT_REVOKE, false, false, far[i]), -EBADMSG);
        assert_int_equal(decode_count(ACT_REVOKE, false, true, far[i]), -EBADMSG);
        assert_int_equal(decode_count(ACT_EPOCH, false, false, far[i]), -EBADMSG);
    }
}

/* One more than the limit, well-formed otherwise: encoded by hand into the act at the limit. */
static void one_more_than_the_limit_is_refused(void **state)
{
    (void)state;
    struct member_keys k = sealed_member(1);
    const struct {
        enum act_kind kind;
        size_t limit, size, at; /* of the count, of one element, where the count stands */
        const uint8_t *elements;
    } cases[] = {
        {ACT_LABEL, LIMIT_ACT_HEADS, ACT_ID_SIZE, 54, parents},
        {ACT_REVOKE, LIMIT_MEMBERS, MEMBER_ID_SIZE, 54 + 17, members},
        {ACT_EPOCH, LIMIT_EPOCH_BOXES, ACT_BOX_SIZE, 54 + 17 + 20, boxes},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++)
        for (size_t more = 0; more < 2; more++) {
            struct act a = an_act(cases[i].kind, 1), out;
            struct buf b = {0}, made = {0};
            uint8_t hash[HASH_SIZE], sig[SIGNATURE_SIZE];
            assert_int_equal(sign_it(&a, &b), 0);
            buf_put(&made, b.p, cases[i].at);
            buf_put_varint(&made, cases[i].limit + more);
            buf_put(&made, cases[i].elements, (cases[i].limit + more) * cases[i].size);
            size_t rest = cases[i].at + 1 + cases[i].size;
            buf_put(&made, b.p + rest, b.n - rest - SIGNATURE_SIZE);
            hash_parts(NULL, SEAL_LABEL_ACT_HASH, &(struct bytes){made.p, made.n}, 1, hash);
            label_sign(&k, SEAL_LABEL_ACT, bytes_of(hash, sizeof hash), sig);
            buf_put(&made, sig, sizeof sig);
            assert_int_equal(act_decode(buf_bytes(&made), &out), more == 0 ? 0 : -EBADMSG);
            buf_fini(&b);
            buf_fini(&made);
        }
    struct buf big = {0};
    struct act out;
    (void)!buf_resize(&big, LIMIT_ACT + 1);
    assert_int_equal(act_decode(buf_bytes(&big), &out), -EBADMSG);
    buf_fini(&big);
}

/* ---- labels and boxes --------------------------------------------------------------------------
 */

struct label_case {
    struct epoch_keys k;
    struct space_id space;
    struct member_id member;
};

static bool label_opens(void *ctx, struct bytes in)
{
    const struct label_case *c = ctx;
    char out[LIMIT_LABEL + 1];
    return act_label_open(&c->k, &c->space, &c->member, in.p, out) == 0;
}

static void label_opens_for_its_member_alone(void **state)
{
    (void)state;
    struct label_case c = {sealed_epoch(1), sealed_space(1), {{7}}};
    uint8_t sealed[ACT_LABEL_SIZE];
    struct bytes in = bytes_of(sealed, sizeof sealed);
    char out[LIMIT_LABEL + 1], longest[LIMIT_LABEL];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(
        act_label_seal(&c.k, &c.space, &c.member, bytes_of(longest, sizeof longest), sealed), 0);
    assert_int_equal(act_label_open(&c.k, &c.space, &c.member, sealed, out), 0);
    assert_int_equal(strlen(out), LIMIT_LABEL);
    assert_int_equal(sealed_flips(in, label_opens, &c), 0);
    c.member.b[0] ^= 1;
    assert_false(label_opens(&c, in));
    c.member.b[0] ^= 1;
    c.space.b[0] ^= 1;
    assert_false(label_opens(&c, in));
    c.space.b[0] ^= 1;
    c.k = sealed_epoch(2);
    assert_int_equal(act_label_open(&c.k, &c.space, &c.member, sealed, out), -ENOKEY);
    struct epoch_id epoch = act_label_epoch(sealed);
    assert_int_not_equal(epoch_id_cmp(&epoch, &c.k.id), 0);
}

static void label_that_must_not_be_shown_is_refused(void **state)
{
    (void)state;
    struct label_case c = {sealed_epoch(1), sealed_space(1), {{7}}};
    const char *bad[] = {"", "a/b", "\x1b[31m", "\xff", "a\nb"};
    uint8_t sealed[ACT_LABEL_SIZE];
    char out[LIMIT_LABEL + 1];
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        assert_int_equal(act_label_seal(&c.k, &c.space, &c.member, bytes_str(bad[i]), sealed), 0);
        assert_int_equal(act_label_open(&c.k, &c.space, &c.member, sealed, out), -EBADMSG);
    }
}

struct box_case {
    struct space_id space;
    struct member_id member;
    struct member_keys keys;
    struct epoch_id id;
};

static int open_box(const struct box_case *c, const uint8_t *box)
{
    struct act_epoch e = {.id = c->id, .generation = 1, .boxes = box, .boxes_n = 1};
    struct epoch_keys out;
    int rc = act_box_open(&e, &c->space, &c->member, &c->keys, &out);
    if (rc == 0)
        assert_int_equal(epoch_id_cmp(&out.id, &c->id), 0);
    return rc;
}

static bool box_opens(void *ctx, struct bytes in)
{
    return open_box(ctx, in.p) == 0;
}

static void box_opens_for_its_member_to_the_committed_key_alone(void **state)
{
    (void)state;
    struct epoch_keys k = sealed_epoch(1), other = sealed_epoch(2);
    struct member_public p = sealed_public(1), q = sealed_public(2);
    struct box_case c = {sealed_space(1), member_id_of(&p), sealed_member(1), k.id};
    uint8_t box[ACT_BOX_SIZE], theirs[ACT_BOX_SIZE];
    assert_int_equal(act_box_seal(&k, &c.space, &p, box), 0);
    assert_int_equal(open_box(&c, box), 0);
    assert_int_equal(sealed_flips(bytes_of(box, sizeof box), box_opens, &c), 0);
    assert_int_equal(act_box_seal(&k, &c.space, &q, theirs), 0);
    assert_int_equal(open_box(&c, theirs), -ENOKEY);
    memcpy(theirs, box, MEMBER_ID_SIZE); /* another's box under the own name */
    assert_int_equal(open_box(&c, theirs), -EBADMSG);
    assert_int_equal(act_box_seal(&other, &c.space, &p, box), 0); /* another key */
    assert_int_equal(open_box(&c, box), -EBADMSG);
    other.id = k.id; /* and it claims the id */
    assert_int_equal(act_box_seal(&other, &c.space, &p, box), 0);
    assert_int_equal(open_box(&c, box), -EBADMSG);
    struct space_id elsewhere = sealed_space(2);
    assert_int_equal(act_box_seal(&k, &elsewhere, &p, box), 0);
    assert_int_equal(open_box(&c, box), -EBADMSG);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(act_of_each_kind_round_trips),
        cmocka_unit_test(flipped_bit_is_refused),
        cmocka_unit_test(id_is_that_of_all_bytes),
        cmocka_unit_test(act_that_contradicts_itself_is_refused),
        cmocka_unit_test(key_that_gives_away_secrets_is_refused),
        cmocka_unit_test(fork_needs_two_heads_of_one_dot),
        cmocka_unit_test(counts_beyond_their_limits_are_refused),
        cmocka_unit_test(one_more_than_the_limit_is_refused),
        cmocka_unit_test(label_opens_for_its_member_alone),
        cmocka_unit_test(label_that_must_not_be_shown_is_refused),
        cmocka_unit_test(box_opens_for_its_member_to_the_committed_key_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
