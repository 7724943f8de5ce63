/* A device that joins, and strangers in the place of the one that shows the code, or between. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/pair_stranger.h"
#include "tests/support/pair_world.h"

enum { LISTEN = 200 };

static const char any_code[] = "KXNR-7842";

static struct stranger mallory;

/* ---- what it gives -----------------------------------------------------------------------------
 */

/* A grant of a space that is nowhere. */
static void put_grant(const uint8_t *box, struct buf *ret)
{
    struct grant g = {.name = "gift", .epochs_n = 1};
    randombytes_buf(g.space.b, sizeof g.space.b);
    randombytes_buf(g.secret, sizeof g.secret);
    randombytes_buf(g.epochs[0], sizeof g.epochs[0]);
    ok(grant_seal(&g, box, ret));
}

static const uint8_t *box_of(const struct pair_joiner *to)
{
    return to->member + 2 * SIGN_KEY_SIZE;
}

static void give(const char *label, unsigned n, const uint8_t *box, bool again, struct buf *ret)
{
    struct buf blob CLEANUP(buf_fini) = {0};
    buf_put_string(ret, bytes_str(label));
    buf_put_u8(ret, (uint8_t)n);
    for (unsigned i = 0; i < n; i++) {
        if (!again)
            buf_reset(&blob);
        if (blob.n == 0)
            put_grant(box, &blob);
        buf_put_u32(ret, (uint32_t)blob.n);
        buf_put_bytes(ret, buf_bytes(&blob));
    }
}

static void give_one(struct stranger *x, const struct pair_joiner *to, struct buf *ret)
{
    (void)x;
    give("desk", 1, box_of(to), false, ret);
}

static void give_to_another(struct stranger *x, const struct pair_joiner *to, struct buf *ret)
{
    (void)to;
    give("desk", 1, x->member.box, false, ret);
}

static void give_too_many(struct stranger *x, const struct pair_joiner *to, struct buf *ret)
{
    (void)x;
    give("desk", PAIR_SPACES_MAX + 1, box_of(to), false, ret);
}

static void give_nothing(struct stranger *x, const struct pair_joiner *to, struct buf *ret)
{
    (void)x, (void)to;
    give("desk", 0, NULL, false, ret);
}

static void give_one_twice(struct stranger *x, const struct pair_joiner *to, struct buf *ret)
{
    (void)x;
    give("desk", 2, box_of(to), true, ret);
}

static void give_under_a_bad_label(struct stranger *x, const struct pair_joiner *to,
                                   struct buf *ret)
{
    (void)x;
    give("de\x1b[2Jsk", 1, box_of(to), false, ret);
}

static void give_garbage(struct stranger *x, const struct pair_joiner *to, struct buf *ret)
{
    static const uint8_t some[300] = {4, 'd', 'e', 's', 'k', 1, 0, 0, 1};
    (void)x, (void)to;
    buf_put(ret, some, sizeof some);
}

/* ---- the device that joins ---------------------------------------------------------------------
 */

/* It has no space, no folder, no mount, and nothing half made. */
static void expect_nothing(void)
{
    expect_alone();
    e2e_ok(phone, "! test -e gift && ! test -e new && test -z \"$(ls -A notes)\"");
    e2e_ok(phone, "test -z \"$(ls -A $PERSIST_HOME/spaces 2>/dev/null | grep -v '^member$')\"");
}

/* The phone types the code, and Mallory is there, set up by the test. */
static void join_mallory(const char *folder)
{
    char where[LISTEN];
    stranger_listen(&mallory, where);
    join_begin("%s %s --peer %s", any_code, folder, where);
}

static void who_gives_what_is_none_gets_nowhere(struct e2e *f)
{
    static const struct {
        const char *about, *part;
        void (*give)(struct stranger *x, const struct pair_joiner *to, struct buf *ret);
        int status;
    } all[] = {
        {"a grant for another", "makes no sense", give_to_another, 1},
        {"too many grants", "makes no sense", give_too_many, 1},
        {"no grant", "makes no sense", give_nothing, 1},
        {"the same grant twice", "pair: ", give_one_twice, 1},
        {"a label with control characters", "makes no sense", give_under_a_bad_label, 1},
        {"garbage", "makes no sense", give_garbage, 1},
    };
    if (pair_world_begin(f))
        for (size_t i = 0; i < ARRAY_N(all); i++) {
            check_about("%s", all[i].about);
            stranger_init(&mallory, NULL);
            mallory.code = any_code;
            mallory.give = all[i].give;
            join_mallory("new");
            join_ends(all[i].status, all[i].part);
            same(mallory.sent, 6);
            expect_nothing();
            stranger_fini(&mallory);
        }
    check_about_nothing();
    pair_world_end();
}

static void who_says_what_is_none_gets_nowhere(struct e2e *f)
{
    static const struct {
        const char *about, *part;
        struct stranger how;
        int status;
    } all[] = {
        {"garbage", "not what it should be", {.garbage = true}, 4},
        {"closed at once", "waits for nobody", {.closes = true}, 5},
        {"another code", "the code is wrong", {.code = "KXNS-7842"}, 4},
        {"another device", "the code is wrong", {.code = any_code, .other_id = true}, 4},
        {"message 1", "pair: ", {.code = any_code, .alter = 1}, 4},
        {"message 2", "pair: ", {.code = any_code, .alter = 2}, 4},
        {"message 4", "the code is wrong", {.code = any_code, .alter = 4}, 4},
        {"message 6", "changed on the way", {.code = any_code, .alter = 6}, 4},
    };
    if (pair_world_begin(f))
        for (size_t i = 0; i < ARRAY_N(all); i++) {
            check_about("%s", all[i].about);
            stranger_init(&mallory, NULL);
            mallory.code = all[i].how.code;
            mallory.garbage = all[i].how.garbage;
            mallory.closes = all[i].how.closes;
            mallory.other_id = all[i].how.other_id;
            mallory.alter = all[i].how.alter;
            mallory.give = give_one;
            join_mallory("new");
            join_ends(all[i].status, all[i].part);
            expect_nothing();
            stranger_fini(&mallory);
        }
    check_about_nothing();
    pair_world_end();
}

static void who_says_nothing_is_not_waited_for_forever(struct e2e *f)
{
    if (pair_world_begin(f)) {
        stranger_init(&mallory, NULL);
        join_mallory("notes");
        join_ends(5, "is gone, or gave up");
        holds(mallory.opened && mallory.bytes > 0);
        expect_nothing();
        stranger_fini(&mallory);
    }
    pair_world_end();
}

/* Nothing shows that there is such a space: no act, and no device that knows it. It may come later,
 * as of a device that went just then; until then it is empty, and can be left. */
static void a_space_that_nobody_serves_is_empty(struct e2e *f)
{
    if (pair_world_begin(f)) {
        stranger_init(&mallory, NULL);
        mallory.code = any_code;
        mallory.give = give_one;
        join_mallory("new");
        stranger_until_got(&mallory, 7);
        join_ends(5, "no other device is reached");
        e2e_ok(phone, "test -z \"$(ls -A new)\" && persist unmount new && "
                      "persist forget new --yes && rmdir new");
        expect_nothing();
        stranger_fini(&mallory);
    }
    pair_world_end();
}

/* ---- who is stopped ----------------------------------------------------------------------------
 */

static void a_cancelled_command_leaves_nothing(struct e2e *f)
{
    static const char *const signals[] = {"INT", "KILL"};
    if (pair_world_begin(f))
        for (size_t i = 0; i < ARRAY_N(signals); i++) {
            check_about("%s", signals[i]);
            stranger_init(&mallory, NULL);
            mallory.code = any_code;
            mallory.send_to = 4;
            mallory.give = give_one;
            join_mallory("new");
            stranger_until_got(&mallory, 5);
            e2e_ok(phone, "kill -%s $(cat join.pid)", signals[i]);
            if (i == 0)
                join_ends(1, "cancelled; nothing was taken over");
            else
                join_ends_any("");
            stranger_until_ended(&mallory);
            expect_nothing();
            stranger_fini(&mallory);
        }
    check_about_nothing();
    pair_world_end();
}

static void who_does_not_end_a_run_has_not_confirmed_it(struct e2e *f)
{
    if (pair_world_begin(f)) {
        stranger_init(&mallory, NULL);
        mallory.code = any_code;
        mallory.give = give_one;
        mallory.keeps_open = true;
        join_mallory("new");
        stranger_until_got(&mallory, 7);
        join_ends(5, "nothing was taken over");
        expect_nothing();
        stranger_fini(&mallory);
    }
    pair_world_end();
}

/* ---- who is between ----------------------------------------------------------------------------
 */

/* Two connections of one stranger, and what comes on one goes out on the other. @alter: a message
 * of which it changes a byte, of the guest if @of_guest. */
static void join_through(struct stranger *front, struct stranger *back, unsigned alter,
                         bool of_guest)
{
    char where[LISTEN];
    stranger_init(front, NULL);
    stranger_init(back, front);
    front->alter = of_guest ? alter : 0;
    back->alter = of_guest ? 0 : alter;
    stranger_listen(front, where);
    stranger_dial(back, address, PAIR_PROTOCOL);
    front->relay = back;
    back->relay = front;
    join_begin("%s notes --peer %s", code, where);
}

static void between_fini(struct stranger *front, struct stranger *back)
{
    stranger_fini(front);
    stranger_fini(back);
}

static void who_carries_all_between_two_gets_nothing(struct e2e *f)
{
    struct stranger front, back;
    if (pair_world_begin(f) && invite("notes")) {
        for (int i = 0; i < PAIR_TRIES_MAX; i++) {
            join_through(&front, &back, 0, false);
            join_ends(4, "the code is wrong: a typing mistake, or somebody is between");
            holds(front.got == 3 && back.got == 2 && back.refused);
            expect_nothing();
            between_fini(&front, &back);
        }
        invite_ends(4, "was wrong each time");
    }
    pair_world_end();
}

/* From message 4 on it has nothing to change: none comes. What a peer with the code changes of the
 * rest is in the other tests. */
static void who_changes_something_between_two_gets_nothing(struct e2e *f)
{
    struct stranger front, back;
    if (pair_world_begin(f)) {
        for (unsigned i = 0; i < 2 * STRANGER_MESSAGES && invite("notes"); i++) {
            check_about("message %u of the %s", i / 2 + 1, i % 2 == 0 ? "guest" : "inviter");
            join_through(&front, &back, i / 2 + 1, i % 2 == 0);
            join_ends_any("persist: pair: ");
            holds(front.got <= 3 && back.got <= 2);
            expect_nothing();
            e2e_ok(desk, "! test -e pair.status && kill -INT $(cat pair.pid)");
            invite_ends(1, "cancelled");
            between_fini(&front, &back);
        }
        check_about_nothing();
    }
    pair_world_end();
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(who_gives_what_is_none_gets_nowhere),
        E2E_TEST(who_says_what_is_none_gets_nowhere),
        E2E_TEST(who_says_nothing_is_not_waited_for_forever),
        E2E_TEST(a_space_that_nobody_serves_is_empty),
        E2E_TEST(a_cancelled_command_leaves_nothing),
        E2E_TEST(who_does_not_end_a_run_has_not_confirmed_it),
        E2E_TEST(who_carries_all_between_two_gets_nothing),
        E2E_TEST(who_changes_something_between_two_gets_nothing),
    };
    stranger_start();
    int status = e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
    stranger_stop();
    return status;
}
