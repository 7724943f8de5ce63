/*
 * Attack 23 of the list in proto/sealed/README.md, its second half: what is seen of a whole run of
 * pairing fits each of the 331,776 codes, so that nobody who listened can try codes by himself.
 *
 * That holds since each code stands for an element of a group of prime order, of which each share
 * is exactly one multiple, and the tags need the factor. Here it is looked at that nothing else of
 * the code is in what is sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/pair/cpace.h"
#include "sync/pair/pair.h"
#include "tests/support/crash_rand.h"

enum {
    CODES = 24 * 24 * 24 * 24,
    SHARE_AT = 19 + 2, /* in what a side sends: after message 1, a length and a number */
    SHARE_END = SHARE_AT + CPACE_SHARE_SIZE,
    TAG_AT = SHARE_END + 6 + 2,
    TAG_END = TAG_AT + CPACE_TAG_SIZE
};

_Static_assert((int)TAG_END == (int)PAIR_PROOF_BYTES, "messages 1 to 3, and 1, 2 and 4");

/* Code number @i of those with the digits of the one that is used here, which is number RIGHT. */
enum { RIGHT = ((9 * 24 + 21) * 24 + 12) * 24 + 15 };

static struct pair_code code_of(unsigned i)
{
    static const char letters[] = "ABCDEFGHJKLMNPQRSTUVWXYZ";
    struct pair_code c = {"XXXX7842"};
    for (size_t k = PAIR_CODE_LETTERS; k-- > 0; i /= 24)
        c.c[k] = letters[i % 24];
    return c;
}

static struct bytes code_bytes(const struct pair_code *c)
{
    return bytes_of(c->c, sizeof c->c);
}

/* ---- randomness of the test's own, so that two runs differ in nothing but the code ---- */

static struct crash_rand drawn;

static const char *name(void)
{
    return "seeded";
}

static void fill(void *p, size_t n)
{
    crash_fill(crash_next(&drawn), 0, p, n);
}

static uint32_t word(void)
{
    return (uint32_t)crash_next(&drawn);
}

static struct randombytes_implementation seeded = {name, word, NULL, NULL, fill, NULL};

/* ---- a run ---- */

struct run {
    struct pair *side[2]; /* A, B */
    struct pair_tries tries;
    struct buf said[2];
};

static void begin(struct run *r, struct pair_code a, struct pair_code b)
{
    for (int i = 0; i < 2; i++) {
        struct pair_config cfg = {.joins = i == 0,
                                  .own_id = bytes_str(i == 0 ? "PeerId of A" : "PeerId of B"),
                                  .peer_id = bytes_str(i == 0 ? "PeerId of B" : "PeerId of A"),
                                  .channel = bytes_str("handshake"),
                                  .code = i == 0 ? a : b,
                                  .payload = bytes_str(i == 0 ? "keys" : ""),
                                  .tries = i == 0 ? NULL : &r->tries};
        assert_int_equal(pair_new(&cfg, 0, &r->side[i]), 0);
    }
}

/* Both talk until they are done. */
static void run_pair(struct run *r, struct pair_code a, struct pair_code b)
{
    drawn.s = 1;
    *r = (struct run){.tries = {.expires_ms = PAIR_CODE_MS}};
    begin(r, a, b);
    for (int i = 0; pair_out(r->side[0]).n + pair_out(r->side[1]).n > 0; i = 1 - i) {
        struct bytes out = pair_out(r->side[i]);
        buf_put_bytes(&r->said[i], out);
        if (pair_feed(r->side[1 - i], out, 0) == PAIR_ASKS)
            assert_int_equal(pair_answer(r->side[1 - i], bytes_str(i == 0 ? "secrets" : "")), 0);
        pair_sent(r->side[i], out.n);
    }
}

static void run_fini(struct run *r)
{
    for (int i = 0; i < 2; i++) {
        pair_free(r->side[i]);
        buf_fini(&r->said[i]);
    }
}

static void run_right(struct run *r)
{
    run_pair(r, code_of(RIGHT), code_of(RIGHT));
    assert_true(pair_end(r->side[0]) == PAIR_OK && pair_end(r->side[1]) == PAIR_OK);
}

/* What everybody may know of the run: its id, and what goes into the generator besides the code. */
static void get_public(const struct run *r, uint8_t sid[static 32], struct buf *ci)
{
    memcpy(sid, r->said[0].p + 3, 16);
    memcpy(sid + 16, r->said[1].p + 3, 16);
    buf_put_string(ci, bytes_str("persist/pair/1"));
    buf_put_string(ci, bytes_str("PeerId of A"));
    buf_put_string(ci, bytes_str("PeerId of B"));
    buf_put_string(ci, bytes_str("handshake"));
}

static struct cpace_sent sent(const struct run *r, int side)
{
    const uint8_t *p = r->said[side].p + SHARE_AT;
    return (struct cpace_sent){bytes_of(p, CPACE_SHARE_SIZE), bytes_of(p + CPACE_SHARE_SIZE, 6)};
}

/* ---- tests ---- */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, CPACE_SHARE_SIZE);
}

/* No code is out of the question, and no two are one. */
static void each_code_has_an_element_of_its_own(void **state)
{
    (void)state;
    enum { N = CODES / TEST_SHARE };
    struct run r CLEANUP(run_fini);
    struct buf ci CLEANUP(buf_fini) = {0};
    uint8_t sid[32], (*all)[CPACE_SHARE_SIZE] = malloc((size_t)N * CPACE_SHARE_SIZE);
    assert_non_null(all);
    run_right(&r);
    get_public(&r, sid, &ci);
    for (unsigned i = 0; i < N; i++) {
        struct pair_code c = code_of(i * TEST_SHARE);
        cpace_generator(code_bytes(&c), buf_bytes(&ci), bytes_of(sid, sizeof sid), all[i]);
        assert_int_equal(crypto_core_ristretto255_is_valid_point(all[i]), 1);
        assert_false(sodium_is_zero(all[i], sizeof all[i]));
    }
    qsort(all, N, sizeof *all, by_bytes);
    for (unsigned i = 1; i < N; i++)
        assert_memory_not_equal(all[i - 1], all[i], sizeof all[i]);
    free(all);
}

/* With one randomness: each byte but those of shares, tags and boxes, and how many there are. */
static void nothing_else_of_a_run_depends_on_the_code(void **state)
{
    (void)state;
    struct run right CLEANUP(run_fini);
    run_right(&right);
    for (unsigned i = 1; i < CODES; i += CODES / 50) {
        struct run r CLEANUP(run_fini);
        run_pair(&r, code_of(i), code_of(i));
        for (int side = 0; side < 2; side++) {
            const uint8_t *a = right.said[side].p, *b = r.said[side].p;
            assert_int_equal(r.said[side].n, right.said[side].n);
            assert_memory_equal(a, b, SHARE_AT);
            assert_memory_not_equal(a + SHARE_AT, b + SHARE_AT, CPACE_SHARE_SIZE);
            assert_memory_equal(a + SHARE_END, b + SHARE_END, TAG_AT - SHARE_END);
            assert_memory_not_equal(a + TAG_AT, b + TAG_AT, CPACE_TAG_SIZE);
        }
    }
}

/* Each bit of a share but the two that an element never has is set in half of them: 6 deviations
 * are no chance, and with this seed there is none. */
static void shares_of_each_code_are_spread_alike(void **state)
{
    (void)state;
    enum { N = 4000, HALF = N / 2, OFF = 6 * 32 /* half the root of N */ };
    static const unsigned codes[] = {0, RIGHT, CODES - 1};
    drawn.s = 2;
    for (size_t k = 0; k < ARRAY_N(codes); k++) {
        unsigned set[8 * CPACE_SHARE_SIZE] = {0};
        struct pair_code code = code_of(codes[k]);
        for (unsigned i = 0; i < N; i++) {
            struct cpace c;
            assert_int_equal(cpace_init(&c, code_bytes(&code), bytes_str("ci"), bytes_str("sid")),
                             0);
            for (size_t bit = 0; bit < ARRAY_N(set); bit++)
                set[bit] += c.share[bit / 8] >> bit % 8 & 1;
        }
        assert_true(set[0] == 0 && set[ARRAY_N(set) - 1] == 0);
        for (size_t bit = 1; bit < ARRAY_N(set) - 1; bit++)
            assert_in_range(set[bit], HALF - OFF, HALF + OFF);
    }
}

/* Whether the tags are those of the key that a side with this secret and share would have. */
static bool tags_fit(const struct run *r, const struct cpace *c, struct bytes share)
{
    struct buf ci CLEANUP(buf_fini) = {0}, t CLEANUP(buf_fini) = {0};
    struct cpace_sent a = sent(r, 0), b = sent(r, 1);
    uint8_t sid[32], key[CPACE_KEY_SIZE], tag[CPACE_TAG_SIZE];
    bool fits = false;
    get_public(r, sid, &ci);
    cpace_transcript(&a, &b, &t);
    assert_int_equal(cpace_key(c, share, bytes_of(sid, sizeof sid), buf_bytes(&t), key), 0);
    for (int side = 0; side < 2; side++) {
        cpace_tag(key, bytes_of(sid, sizeof sid), side == 0 ? &a : &b, tag);
        fits = fits || (r->said[side].n >= TAG_END &&
                        memcmp(tag, r->said[side].p + TAG_AT, sizeof tag) == 0);
    }
    return fits;
}

/* Who listened has the shares, each code's element, and small multiples of them. */
static void no_tag_can_be_tried_with_what_was_seen(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini);
    struct buf ci CLEANUP(buf_fini) = {0};
    uint8_t sid[32], g[CPACE_SHARE_SIZE], sum[CPACE_SHARE_SIZE];
    struct pair_code right = code_of(RIGHT);
    run_right(&r);
    get_public(&r, sid, &ci);
    cpace_generator(code_bytes(&right), buf_bytes(&ci), bytes_of(sid, sizeof sid), g);
    struct bytes a = sent(&r, 0).share, b = sent(&r, 1).share;
    assert_int_equal(crypto_core_ristretto255_add(sum, a.p, b.p), 0);
    struct bytes seen[] = {a, b, bytes_of(g, sizeof g), bytes_of(sum, sizeof sum)};
    for (uint8_t factor = 1; factor < 20; factor++)
        for (size_t i = 0; i < ARRAY_N(seen); i++) {
            struct cpace c = {.secret = {factor}};
            assert_false(tags_fit(&r, &c, seen[i]));
        }
}

/* Who takes part with a secret of its own tries the code that it made its share with, no other. */
static void a_run_tries_one_code(void **state)
{
    (void)state;
    unsigned fit = 0;
    for (unsigned i = RIGHT % 997; i < CODES; i += 997) {
        struct run r CLEANUP(run_fini);
        struct buf ci CLEANUP(buf_fini) = {0};
        uint8_t sid[32];
        struct pair_code guess = code_of(i);
        struct cpace c;
        run_pair(&r, code_of(RIGHT), guess);
        get_public(&r, sid, &ci);
        /* The same draws: its side again, with the secret that the machine had. */
        drawn.s = 1;
        for (int k = 0; k < 3; k++)
            (void)crash_next(&drawn);
        assert_int_equal(
            cpace_init(&c, code_bytes(&guess), buf_bytes(&ci), bytes_of(sid, sizeof sid)), 0);
        assert_memory_equal(c.share, sent(&r, 1).share.p, sizeof c.share);
        bool fits = tags_fit(&r, &c, sent(&r, 0).share);
        assert_true(fits == (i == RIGHT));
        assert_true((pair_end(r.side[1]) == PAIR_OK) == fits && r.tries.tries == 1);
        fit += fits;
    }
    assert_int_equal(fit, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_code_has_an_element_of_its_own),
        cmocka_unit_test(nothing_else_of_a_run_depends_on_the_code),
        cmocka_unit_test(shares_of_each_code_are_spread_alike),
        cmocka_unit_test(no_tag_can_be_tried_with_what_was_seen),
        cmocka_unit_test(a_run_tries_one_code),
    };
    if (sodium_init() < 0)
        return 1;
    randombytes_set_implementation(&seeded);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
