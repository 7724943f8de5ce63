/* Both ends of a pairing, and who sits between them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/pair/cpace.h"
#include "sync/pair/pair.h"

static const struct pair_code right = {"KXNR7842"}, wrong = {"KXNS7842"};
static const char gives_a[] = "keys and label of A", gives_b[] = "spaces and secrets of B";

/* A run, and what may happen to its messages. */
struct run {
    struct pair *a, *b;
    struct pair_tries tries;
    uint64_t now;
    size_t step;                   /* bytes fed at once */
    struct buf got_a, got_b, seen; /* payloads; and all lengths of messages, with who sent them */
    /* Changes a message, with its length before it. */
    void (*edit)(struct run *r, bool of_a, struct buf *m);
    unsigned number; /* for edit: which message, of A (or B) */
    bool of_a;
    size_t at; /* which byte */
    struct buf kept;
    bool holds; /* what is asked for is not given */
};

static struct pair_config config(bool joins, struct run *r)
{
    struct bytes a = bytes_str("PeerId of A"), b = bytes_str("PeerId of B");
    return (struct pair_config){.joins = joins,
                                .own_id = joins ? a : b,
                                .peer_id = joins ? b : a,
                                .channel = bytes_str("handshake"),
                                .code = right,
                                .payload = bytes_str(joins ? gives_a : ""),
                                .tries = joins ? NULL : &r->tries};
}

static void begin_with(struct run *r, const struct pair_config *a, const struct pair_config *b)
{
    if (r->tries.expires_ms == 0)
        r->tries.expires_ms = PAIR_CODE_MS;
    assert_int_equal(pair_new(a, r->now, &r->a), 0);
    assert_int_equal(pair_new(b, r->now, &r->b), 0);
}

static void begin(struct run *r)
{
    struct pair_config a = config(true, r), b = config(false, r);
    begin_with(r, &a, &b);
}

static void answer(struct pair *p, struct buf *got, const char *gives)
{
    if (pair_state(p) != PAIR_ASKS)
        return;
    buf_put_bytes(got, pair_payload(p));
    assert_int_equal(pair_answer(p, bytes_str(gives)), 0);
}

static void deliver(struct run *r, bool to_a, struct bytes m)
{
    struct pair *p = to_a ? r->a : r->b;
    while (m.n > 0) {
        size_t n = (size_t)min_u64(m.n, r->step != 0 ? r->step : m.n);
        (void)pair_feed(p, bytes_of(m.p, n), r->now);
        m = bytes_of(m.p + n, m.n - n);
        if (!r->holds)
            answer(p, to_a ? &r->got_a : &r->got_b, to_a ? "" : gives_b);
    }
}

/* One message from the front of what @p has to send. */
static bool next_message(struct pair *p, struct buf *ret)
{
    struct reader all = reader_of(pair_out(p));
    if (all.n == 0)
        return false;
    const uint8_t *from = all.p;
    (void)reader_string(&all, PAIR_MESSAGE_MAX);
    assert_false(all.failed);
    size_t n = (size_t)(all.p - from);
    buf_put(ret, from, n);
    pair_sent(p, n);
    return true;
}

static bool pump_one(struct run *r, bool of_a)
{
    struct buf m CLEANUP(buf_fini) = {0};
    if (!next_message(of_a ? r->a : r->b, &m))
        return false;
    buf_put_u8(&r->seen, of_a);
    buf_put_u32(&r->seen, (uint32_t)m.n);
    if (r->edit != NULL)
        r->edit(r, of_a, &m);
    deliver(r, !of_a, buf_bytes(&m));
    return true;
}

/* Until nobody has anything to say; then the connection ends. */
static void pump(struct run *r)
{
    while (pump_one(r, true) || pump_one(r, false))
        continue;
    (void)pair_gone(r->a);
    (void)pair_gone(r->b);
    assert_false(r->tries.busy);
}

static void run_fini(struct run *r)
{
    pair_free(r->a);
    pair_free(r->b);
    buf_fini(&r->got_a);
    buf_fini(&r->got_b);
    buf_fini(&r->seen);
    buf_fini(&r->kept);
}

static void assert_ends(struct run *r, enum pair_end a, enum pair_end b)
{
    assert_int_equal(pair_end(r->a), a);
    assert_int_equal(pair_end(r->b), b);
    assert_int_equal(pair_state(r->a), a == PAIR_OK ? PAIR_DONE : PAIR_FAILED);
    assert_int_equal(pair_state(r->b), b == PAIR_OK ? PAIR_DONE : PAIR_FAILED);
    assert_true((pair_end_text(a, true) == NULL) == (a == PAIR_OK));
    assert_true((pair_end_text(b, false) == NULL) == (b == PAIR_OK));
}

static void who_knows_the_code_is_paired(void **state)
{
    (void)state;
    for (size_t step = 0; step < 3; step++) {
        struct run r CLEANUP(run_fini) = {.step = step};
        begin(&r);
        pump(&r);
        assert_ends(&r, PAIR_OK, PAIR_OK);
        assert_true(bytes_equal(buf_bytes(&r.got_b), bytes_str(gives_a)));
        assert_true(bytes_equal(buf_bytes(&r.got_a), bytes_str(gives_b)));
        assert_true(r.tries.used && r.tries.tries == 1);
    }
}

static void a_wrong_code_of_either_is_told_to_both_and_costs_a_try(void **state)
{
    (void)state;
    for (unsigned who = 0; who < 2; who++) {
        struct run r CLEANUP(run_fini) = {0};
        struct pair_config a = config(true, &r), b = config(false, &r);
        *(who == 0 ? &a.code : &b.code) = wrong;
        begin_with(&r, &a, &b);
        pump(&r);
        assert_ends(&r, PAIR_WRONG_CODE, PAIR_WRONG_CODE);
        assert_true(r.got_a.n == 0 && r.got_b.n == 0);
        assert_true(!r.tries.used && r.tries.tries == 1);
    }
}

static void again(struct run *r, struct pair_code code)
{
    pair_free(r->a);
    pair_free(r->b);
    struct pair_config a = config(true, r), b = config(false, r);
    a.code = code;
    begin_with(r, &a, &b);
}

/* B says one byte, from which nobody learns why. */
static void assert_refused(struct run *r, enum pair_end why)
{
    assert_true(bytes_equal(pair_out(r->b), bytes_of("", 1)));
    pump(r);
    assert_ends(r, PAIR_REFUSED, why);
}

static void three_tries_are_all_and_a_used_code_is_none(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini) = {0};
    for (unsigned i = 1; i <= PAIR_TRIES_MAX; i++) {
        again(&r, wrong);
        pump(&r);
        assert_ends(&r, PAIR_WRONG_CODE, PAIR_WRONG_CODE);
        assert_int_equal(r.tries.tries, i);
    }
    again(&r, right);
    assert_refused(&r, PAIR_TOO_MANY);
    r.tries = (struct pair_tries){0};
    for (unsigned i = 1; i < PAIR_TRIES_MAX; i++) {
        again(&r, wrong);
        pump(&r);
    }
    again(&r, right);
    pump(&r);
    assert_ends(&r, PAIR_OK, PAIR_OK);
    again(&r, right);
    assert_refused(&r, PAIR_USED);
}

static void a_code_expires_also_while_somebody_is_at_it(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini) = {0};
    begin(&r);
    assert_true(pump_one(&r, true) && pump_one(&r, false)); /* message 1 of both */
    r.now = PAIR_CODE_MS;
    pump(&r);
    assert_ends(&r, PAIR_REFUSED, PAIR_EXPIRED);
    assert_int_equal(r.tries.tries, 0);
    again(&r, right);
    assert_refused(&r, PAIR_EXPIRED);
    r.tries = (struct pair_tries){.expires_ms = PAIR_CODE_MS + 1};
    again(&r, right);
    pump(&r);
    assert_ends(&r, PAIR_OK, PAIR_OK);
}

static void a_second_device_at_the_same_time_is_refused(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini) = {0};
    struct pair *second;
    begin(&r);
    struct pair_config b = config(false, &r);
    assert_int_equal(pair_new(&b, 0, &second), 0);
    assert_int_equal(pair_end(second), PAIR_BUSY);
    assert_true(bytes_equal(pair_out(second), bytes_of("", 1)));
    pair_free(second);
    assert_true(r.tries.busy && r.tries.tries == 0);
    pump(&r);
    assert_ends(&r, PAIR_OK, PAIR_OK);
}

static void who_sits_between_two_connections_fails(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 3; what++) {
        struct run r CLEANUP(run_fini) = {0};
        struct pair_config a = config(true, &r), b = config(false, &r);
        struct bytes other = bytes_str("another");
        *(what == 0 ? &a.channel : what == 1 ? &a.peer_id : &b.peer_id) = other;
        begin_with(&r, &a, &b);
        pump(&r);
        assert_ends(&r, PAIR_WRONG_CODE, PAIR_WRONG_CODE);
        assert_int_equal(r.tries.tries, 1);
    }
}

/* ---- messages that somebody changes ------------------------------------------------------------
 */

/* Whether @m is the one that r->edit is about: its bytes after length and number begin at 2 or 3.
 */
static bool is_it(const struct run *r, bool of_a, const struct buf *m)
{
    size_t at = m->p[0] < 0x80 ? 1 : 2;
    return of_a == r->of_a && m->n > at && m->p[at] == r->number;
}

static void replace_share(struct run *r, bool of_a, struct buf *m)
{
    if (of_a && m->n > 1 && m->p[1] == 2)
        buf_put_bytes(&r->kept, buf_bytes(m));
    if (!is_it(r, of_a, m))
        return;
    if (r->at == 0) /* that of A itself */
        memcpy(m->p + 2, r->kept.p + 2, CPACE_SHARE_SIZE);
    else
        memset(m->p + 2, r->at == 1 ? 0 : 0xff, CPACE_SHARE_SIZE);
}

static void shares_that_are_none_cost_a_try_and_give_nothing(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 6; what++) {
        struct run r CLEANUP(run_fini) = {
            .edit = replace_share, .number = 2, .of_a = what % 2 == 1, .at = what / 2};
        if (what == 1) /* B has not sent its own yet: there is nothing to send back */
            continue;
        begin(&r);
        pump(&r);
        assert_ends(&r, r.of_a ? PAIR_REFUSED : PAIR_FAULT, r.of_a ? PAIR_FAULT : PAIR_GONE);
        assert_true(r.tries.tries == 1 && r.got_a.n == 0 && r.got_b.n == 0);
    }
}

/* To @at bytes, with its length and number: it is cut, or zeros follow. */
static void resize_share(struct run *r, bool of_a, struct buf *m)
{
    if (!is_it(r, of_a, m))
        return;
    while (m->n < r->at)
        buf_put_u8(m, 0);
    m->n = r->at;
    m->p[0] = (uint8_t)(r->at - 1);
}

static void shares_of_another_length_cost_a_try_and_give_nothing(void **state)
{
    (void)state;
    enum { WHOLE = 2 + CPACE_SHARE_SIZE + 6, LONGEST = 1 + 64 };
    for (size_t n = 2; n <= LONGEST; n++)
        for (int of_a = 0; n != WHOLE && of_a < 2; of_a++) {
            struct run r CLEANUP(run_fini) = {
                .edit = resize_share, .number = 2, .of_a = of_a != 0, .at = n};
            begin(&r);
            pump(&r);
            assert_ends(&r, r.of_a ? PAIR_REFUSED : PAIR_FAULT, r.of_a ? PAIR_FAULT : PAIR_GONE);
            assert_true(r.tries.tries == 1 && r.got_a.n == 0 && r.got_b.n == 0);
        }
}

static void mirror_tag(struct run *r, bool of_a, struct buf *m)
{
    if (of_a && m->n > 1 && m->p[1] == 3)
        buf_put_bytes(&r->kept, buf_bytes(m));
    if (!of_a && m->n > 1 && m->p[1] == 4)
        memcpy(m->p + 2, r->kept.p + 2, CPACE_TAG_SIZE);
}

static void a_tag_that_comes_back_is_refused(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini) = {.edit = mirror_tag};
    begin(&r);
    pump(&r);
    assert_ends(&r, PAIR_FAULT, PAIR_GONE);
    assert_int_equal(r.got_b.n, 0);
}

static void renumber(struct run *r, bool of_a, struct buf *m)
{
    if (is_it(r, of_a, m))
        m->p[m->p[0] < 0x80 ? 1 : 2] = (uint8_t)r->at;
}

static const struct {
    unsigned number;
    bool of_a;
} messages[] = {{1, true},  {1, false}, {2, true},  {2, false}, {3, true},
                {4, false}, {5, true},  {6, false}, {7, true}};

static void messages_come_in_one_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(messages); i++)
        for (size_t to = 0; to < 9; to++) {
            struct run r CLEANUP(run_fini) = {
                .edit = renumber, .number = messages[i].number, .of_a = messages[i].of_a, .at = to};
            if (to == r.number)
                continue;
            begin(&r);
            pump(&r);
            enum pair_end who = pair_end(r.of_a ? r.b : r.a);
            assert_int_equal(who, r.number == 7 ? PAIR_NOT_CONFIRMED : PAIR_FAULT);
            assert_true(r.number >= 5 || (r.got_a.n == 0 && r.got_b.n == 0));
            /* Once B has A's share, a try is gone; used is the code when it has A's tag. */
            assert_int_equal(r.tries.tries, r.number > 2 || (r.number == 2 && !r.of_a));
            assert_true(r.tries.used == (r.number >= 4));
        }
}

static void flip(struct run *r, bool of_a, struct buf *m)
{
    if (is_it(r, of_a, m) && r->at < m->n) {
        m->p[r->at] ^= (uint8_t)(1u << r->at % 8);
        r->kept.n = 1; /* it was done */
    }
}

static void no_bit_of_a_message_can_be_changed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_N(messages); i++)
        for (size_t at = 0, more = 1; more != 0; at++) {
            struct run r CLEANUP(run_fini) = {
                .edit = flip, .number = messages[i].number, .of_a = messages[i].of_a, .at = at};
            begin(&r);
            pump(&r);
            more = r.kept.n;
            r.kept.n = 0;
            if (more == 0) {
                assert_ends(&r, PAIR_OK, PAIR_OK);
                continue;
            }
            assert_int_equal(pair_state(r.b), PAIR_FAILED);
            assert_int_equal(pair_state(r.a), r.number == 7 ? PAIR_DONE : PAIR_FAILED);
            assert_true(r.number >= 6 || r.got_a.n == 0);
            assert_true(r.number >= 4 || r.got_b.n == 0);
        }
}

/* A box of the run before, and A's own box as that of B. */
static void another_box(struct run *r, bool of_a, struct buf *m)
{
    size_t number = m->n > 1 ? m->p[1] : 0;
    if (r->at == 0 && number == 5 && r->kept.n == 0) {
        buf_put_bytes(&r->kept, buf_bytes(m));
    } else if (r->at == 0 && is_it(r, of_a, m)) {
        buf_reset(m);
        buf_put_bytes(m, buf_bytes(&r->kept));
    } else if (r->at == 1 && number == 5 && of_a) {
        buf_put_bytes(&r->kept, buf_bytes(m));
    } else if (r->at == 1 && number == 6) {
        buf_reset(m);
        buf_put_bytes(m, buf_bytes(&r->kept));
        m->p[1] = 6;
    }
}

static void a_box_is_of_one_run_and_one_side(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini) = {.edit = another_box, .number = 5, .of_a = true};
    begin(&r);
    pump(&r);
    assert_ends(&r, PAIR_OK, PAIR_OK);
    r.tries = (struct pair_tries){0};
    buf_reset(&r.got_b);
    again(&r, right);
    pump(&r);
    assert_ends(&r, PAIR_GONE, PAIR_FAULT);
    assert_int_equal(r.got_b.n, 0);
    r.tries = (struct pair_tries){0};
    r.at = 1;
    buf_reset(&r.kept);
    buf_reset(&r.got_a);
    again(&r, right);
    pump(&r);
    assert_ends(&r, PAIR_FAULT, PAIR_NOT_CONFIRMED);
    assert_int_equal(r.got_a.n, 0);
}

/* ---- an A made by hand, which has the code -----------------------------------------------------
 */

struct hand {
    struct run r; /* its B alone */
    uint8_t key[CPACE_KEY_SIZE], ad[crypto_hash_sha512_BYTES + 1];
};

static void say(struct hand *h, uint8_t number, struct bytes content)
{
    struct buf m CLEANUP(buf_fini) = {0};
    buf_put_varint(&m, content.n + 1);
    buf_put_u8(&m, number);
    buf_put_bytes(&m, content);
    (void)pair_feed(h->r.b, buf_bytes(&m), 0);
}

/* The content of the one message that B has to send. */
static struct bytes heard(struct hand *h)
{
    buf_reset(&h->r.kept);
    assert_true(next_message(h->r.b, &h->r.kept));
    size_t head = h->r.kept.p[0] < 0x80 ? 2 : 3;
    return bytes_of(h->r.kept.p + head, h->r.kept.n - head);
}

static void hand_key(const struct hand *h, const char *label, uint8_t ret[static CPACE_TAG_SIZE])
{
    crypto_auth_hmacsha512_state mac;
    crypto_auth_hmacsha512_init(&mac, h->key, sizeof h->key);
    crypto_auth_hmacsha512_update(&mac, (const uint8_t *)label, strlen(label));
    crypto_auth_hmacsha512_final(&mac, ret);
}

static void say_box(struct hand *h, uint8_t number, uint8_t last, struct bytes plain)
{
    uint8_t key[CPACE_TAG_SIZE], box[200] = {7};
    hand_key(h, "persist pair box A", key);
    h->ad[sizeof h->ad - 1] = last;
    crypto_aead_xchacha20poly1305_ietf_encrypt(box + 24, NULL, plain.p, plain.n, h->ad,
                                               sizeof h->ad, NULL, box, key);
    say(h, number, bytes_of(box, 24 + plain.n + 16));
}

/* Messages 1 to 4, with @role in A's share. */
static void hand_begin(struct hand *h, uint8_t role)
{
    static const uint8_t first[17] = {1, 5};
    uint8_t sid[32] = {5}, ad[6] = {role, 1}, tag[CPACE_TAG_SIZE];
    struct pair_config b = config(false, &h->r);
    struct buf ci CLEANUP(buf_fini) = {0}, m CLEANUP(buf_fini) = {0}, t CLEANUP(buf_fini) = {0};
    struct cpace c;
    h->r.tries.expires_ms = 1;
    assert_int_equal(pair_new(&b, 0, &h->r.b), 0);
    say(h, 1, bytes_of(first, sizeof first));
    memcpy(sid + 16, heard(h).p + 1, 16);
    buf_put_string(&ci, bytes_str("persist/pair/1"));
    buf_put_string(&ci, bytes_str("PeerId of A"));
    buf_put_string(&ci, bytes_str("PeerId of B"));
    buf_put_string(&ci, bytes_str("handshake"));
    struct bytes run_id = bytes_of(sid, sizeof sid);
    assert_int_equal(cpace_init(&c, bytes_str("KXNR7842"), buf_bytes(&ci), run_id), 0);
    struct cpace_sent sent = {bytes_of(c.share, sizeof c.share), bytes_of(ad, sizeof ad)};
    buf_put_bytes(&m, sent.share);
    buf_put_bytes(&m, sent.ad);
    say(h, 2, buf_bytes(&m));
    if (pair_state(h->r.b) == PAIR_FAILED)
        return;
    struct bytes peer = heard(h);
    struct cpace_sent other = {bytes_of(peer.p, 32), bytes_of(peer.p + 32, peer.n - 32)};
    cpace_transcript(&sent, &other, &t);
    assert_int_equal(cpace_key(&c, other.share, run_id, buf_bytes(&t), h->key), 0);
    crypto_hash_sha512(h->ad, t.p, t.n);
    cpace_tag(h->key, run_id, &sent, tag);
    say(h, 3, bytes_of(tag, sizeof tag));
    assert_int_equal(heard(h).n, CPACE_TAG_SIZE);
}

static void a_peer_with_the_code_is_held_to_the_rest(void **state)
{
    (void)state;
    static const struct {
        uint8_t role;
        const char *five, *seven; /* in the boxes */
        enum pair_end end;
    } all[] = {{1, "\x0bPeerId of Akeys", "", PAIR_OK},
               {2, "\x0bPeerId of Akeys", "", PAIR_FAULT},
               {1, "\x0bPeerId of Xkeys", "", PAIR_FAULT},
               {1, "\x7f", "", PAIR_FAULT},
               {1, "\x0bPeerId of Akeys", "more", PAIR_NOT_CONFIRMED}};
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct hand h = {0};
        uint8_t key[CPACE_TAG_SIZE], plain[100];
        unsigned long long n;
        hand_begin(&h, all[i].role);
        if (pair_state(h.r.b) == PAIR_TALKS)
            say_box(&h, 5, 1, bytes_str(all[i].five));
        if (pair_state(h.r.b) == PAIR_ASKS) {
            assert_true(bytes_equal(pair_payload(h.r.b), bytes_str("keys")));
            assert_int_equal(pair_answer(h.r.b, bytes_str("secrets")), 0);
            struct bytes box = heard(&h);
            hand_key(&h, "persist pair box B", key);
            h.ad[sizeof h.ad - 1] = 2;
            assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &n, NULL, box.p + 24,
                                                                        box.n - 24, h.ad,
                                                                        sizeof h.ad, box.p, key),
                             0);
            assert_true(bytes_equal(bytes_of(plain, n), bytes_str("\x0bPeerId of Bsecrets")));
            say_box(&h, 7, 3, bytes_str(all[i].seven));
        }
        assert_int_equal(pair_end(h.r.b), all[i].end);
        assert_int_equal(pair_state(h.r.b), all[i].end == PAIR_OK ? PAIR_DONE : PAIR_FAILED);
        run_fini(&h.r);
    }
}

/* ---- limits, ends, shapes ----------------------------------------------------------------------
 */

static void lengths_are_limited_before_anything_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } all[] = {{"\x41", 1},         /* 65 of a first message */
               {"\x81\x80\x04", 3}, /* 65537 */
               {"\x80\x80\x80", 3}, /* goes on */
               {"\x80\x00", 2},     /* 0, longer than it must be */
               {"\x92\x00", 2}};
    for (size_t i = 0; i < ARRAY_N(all); i++) {
        struct run r CLEANUP(run_fini) = {0};
        begin(&r);
        assert_int_equal(pair_feed(r.b, bytes_of(all[i].bytes, all[i].n), 0), PAIR_FAILED);
        assert_int_equal(pair_end(r.b), PAIR_FAULT);
        assert_int_equal(r.tries.tries, 0);
    }
    struct run r CLEANUP(run_fini) = {0};
    static const uint8_t big[PAIR_PAYLOAD_MAX + 1];
    struct pair_config a = config(true, &r);
    struct pair *none;
    a.payload = bytes_of(big, sizeof big);
    assert_int_equal(pair_new(&a, 0, &none), -EINVAL);
    a = config(true, &r);
    a.own_id = bytes_of(big, PAIR_ID_MAX + 1);
    assert_int_equal(pair_new(&a, 0, &none), -EINVAL);
    begin(&r);
    assert_int_equal(pair_answer(r.b, bytes_of("", 0)), -EINVAL);
    r.holds = true;
    while (pump_one(&r, true) || pump_one(&r, false))
        continue;
    assert_int_equal(pair_state(r.b), PAIR_ASKS);
    assert_int_equal(pair_answer(r.b, bytes_of(big, sizeof big)), -EINVAL);
    assert_int_equal(pair_answer(r.b, bytes_of(big, PAIR_PAYLOAD_MAX)), 0);
    struct buf m CLEANUP(buf_fini) = {0};
    assert_true(next_message(r.b, &m));
    assert_int_equal(pair_feed(r.a, buf_bytes(&m), 0), PAIR_ASKS);
    assert_int_equal(pair_payload(r.a).n, PAIR_PAYLOAD_MAX);
}

static void set_version(struct run *r, bool of_a, struct buf *m)
{
    if (is_it(r, of_a, m))
        m->p[2] = 2;
}

static void another_version_is_told_and_costs_no_try(void **state)
{
    (void)state;
    for (unsigned who = 0; who < 2; who++) {
        struct run r CLEANUP(run_fini) = {.edit = set_version, .number = 1, .of_a = who == 1};
        begin(&r);
        pump(&r);
        assert_int_equal(pair_end(who == 1 ? r.b : r.a), PAIR_OTHER_VERSION);
        assert_int_equal(r.tries.tries, 0);
    }
}

/* After @n messages the connection is gone. */
static void a_peer_that_goes_is_gone_at_any_time(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 10; n++) {
        struct run r CLEANUP(run_fini) = {0};
        begin(&r);
        for (unsigned i = 0; i < n; i++)
            assert_true(pump_one(&r, true) || pump_one(&r, false) || n > 9);
        (void)pair_gone(r.a);
        (void)pair_gone(r.b);
        /* Whether message 6 arrived, B does not know. */
        enum pair_end b = n < 7 ? PAIR_GONE : n < 9 ? PAIR_NOT_CONFIRMED : PAIR_OK;
        assert_ends(&r, n < 8 ? PAIR_GONE : PAIR_OK, b);
        assert_false(r.tries.busy);
    }
}

static void a_run_that_takes_too_long_makes_room_for_another(void **state)
{
    (void)state;
    struct run r CLEANUP(run_fini) = {0};
    begin(&r);
    assert_int_equal(pair_tick(r.b, PAIR_RUN_MS - 1), PAIR_TALKS);
    assert_int_equal(pair_tick(r.b, PAIR_RUN_MS), PAIR_FAILED);
    assert_int_equal(pair_tick(r.a, PAIR_RUN_MS), PAIR_FAILED);
    assert_ends(&r, PAIR_GONE, PAIR_GONE);
    again(&r, right);
    pump(&r);
    assert_ends(&r, PAIR_OK, PAIR_OK);
}

/* Up to A's tag a run with a wrong code looks like one with the right one, and then B says one
 * byte. */
static void who_listens_sees_the_same_until_it_ends(void **state)
{
    (void)state;
    enum { ENTRY = 5 };
    struct run good CLEANUP(run_fini) = {0}, bad CLEANUP(run_fini) = {0};
    again(&good, right);
    pump(&good);
    again(&bad, wrong);
    pump(&bad);
    assert_int_equal(good.seen.n, 9 * ENTRY);
    assert_int_equal(bad.seen.n, 6 * ENTRY);
    assert_memory_equal(good.seen.p, bad.seen.p, 5 * ENTRY);
    assert_true(bad.seen.p[5 * ENTRY] == 0 && get_u32(bad.seen.p + 5 * ENTRY + 1) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_knows_the_code_is_paired),
        cmocka_unit_test(a_wrong_code_of_either_is_told_to_both_and_costs_a_try),
        cmocka_unit_test(three_tries_are_all_and_a_used_code_is_none),
        cmocka_unit_test(a_code_expires_also_while_somebody_is_at_it),
        cmocka_unit_test(a_second_device_at_the_same_time_is_refused),
        cmocka_unit_test(who_sits_between_two_connections_fails),
        cmocka_unit_test(shares_that_are_none_cost_a_try_and_give_nothing),
        cmocka_unit_test(shares_of_another_length_cost_a_try_and_give_nothing),
        cmocka_unit_test(a_tag_that_comes_back_is_refused),
        cmocka_unit_test(messages_come_in_one_order),
        cmocka_unit_test(no_bit_of_a_message_can_be_changed),
        cmocka_unit_test(a_box_is_of_one_run_and_one_side),
        cmocka_unit_test(a_peer_with_the_code_is_held_to_the_rest),
        cmocka_unit_test(lengths_are_limited_before_anything_is_kept),
        cmocka_unit_test(another_version_is_told_and_costs_no_try),
        cmocka_unit_test(a_peer_that_goes_is_gone_at_any_time),
        cmocka_unit_test(a_run_that_takes_too_long_makes_room_for_another),
        cmocka_unit_test(who_listens_sees_the_same_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
