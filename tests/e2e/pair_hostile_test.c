/* Strangers at a device that shows a code: they go, hold on, lie, come in crowds. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/pair_stranger.h"
#include "tests/support/pair_world.h"

enum {
    ROOM_MS = 5500,   /* a run that shows nothing makes room */
    SILENT_MS = 3000, /* the other side has nothing to say */
    CROWD = 40,
    CROWD_MS = 240000, /* less than a code is good for */
    PACE_MS = 250      /* of a crowd: more than so many in a second are dropped before */
};

#define SYNC_PROTOCOL "/persist/sync/1.0.0"

static struct stranger mallory;
static struct buf member;

/* ---- a guest -----------------------------------------------------------------------------------
 */

/* A guest with the code, that sends messages up to @send_to, and then nothing more. */
static void guest_init(struct stranger *x, unsigned send_to)
{
    stranger_init(x, NULL);
    x->code = code;
    x->send_to = send_to;
    x->keeps_open = send_to < STRANGER_MESSAGES;
    buf_reset(&member);
    stranger_gives_member(x, "mallory", &member);
    x->gives = buf_bytes(&member);
}

static void guest_comes(struct stranger *x, unsigned send_to)
{
    guest_init(x, send_to);
    stranger_dial(x, address, PAIR_PROTOCOL);
}

static bool has_bytes(void *arg)
{
    return ((struct stranger *)arg)->bytes > 0;
}

/* Asks the desk for a session of the space it was granted. */
static void ask_session(struct stranger *x)
{
    uint8_t hello[1 + SPACE_ID_SIZE] = {SPACE_ID_SIZE};
    memcpy(hello + 1, x->grant.space.b, SPACE_ID_SIZE);
    pair_free(x->machine);
    x->machine = NULL;
    x->code = NULL;
    stranger_dial(x, address, SYNC_PROTOCOL);
    stranger_write(x, bytes_of(hello, sizeof hello));
}

static void expect_served(struct stranger *x)
{
    ask_session(x);
    stranger_until(has_bytes, x, E2E_LONG_MS, "the desk has a session with the stranger");
}

static void expect_not_served(struct stranger *x)
{
    ask_session(x);
    stranger_run_ms(SILENT_MS);
    holds(x->bytes == 0);
}

static void expect_no_guest(void)
{
    e2e_ok(desk, "persist peers notes >peers && ! grep -q mallory peers");
    expect_alone();
}

static void honest_pairs(void)
{
    join_begin("%s notes --peer %s", code, address);
    join_ends(0, "paired with");
    invite_ends(0, "paired with");
    e2e_ok(phone, "test \"$(cat notes/sub/two.md)\" = two");
    e2e_ok(phone, "persist unmount notes && persist forget notes --yes");
}

static void stays(const char *part)
{
    e2e_until(desk, "grep -q 'can still be used' pair.err || test -e pair.status");
    e2e_ok(desk, "! test -e pair.status && cat pair.err");
    contains(desk->last.out, part);
}

/* The stranger of these tests speaks the protocol: else what is refused below would show nothing.
 */
static void a_stranger_with_the_code_is_let_in(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        guest_comes(&mallory, 7);
        stranger_until_ended(&mallory);
        invite_ends(0, "paired with mallory");
        e2e_ok(desk, "persist peers notes | grep -q mallory");
        if (holds(mallory.granted))
            expect_served(&mallory);
        stranger_fini(&mallory);
    }
    pair_world_end();
}

static void who_takes_all_and_does_not_confirm_is_put_out(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        guest_comes(&mallory, 6);
        stranger_until_got(&mallory, 6);
        stranger_leave(&mallory);
        stranger_until_ended(&mallory);
        invite_ends(1, "did not confirm");
        holds(mallory.granted);
        expect_no_guest();
        e2e_ok(desk, "persist peers notes --all | grep -q mallory");
        expect_not_served(&mallory);
        stranger_fini(&mallory);
        if (holds(invite("notes")))
            honest_pairs();
    }
    pair_world_end();
}

static void who_stays_and_does_not_confirm_is_put_out(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        guest_comes(&mallory, 6);
        stranger_until_got(&mallory, 6);
        stranger_until_ended(&mallory);
        invite_ends(1, "did not confirm");
        expect_no_guest();
        expect_not_served(&mallory);
        stranger_fini(&mallory);
    }
    pair_world_end();
}

/* ---- who goes ----------------------------------------------------------------------------------
 */

static void who_goes_early_leaves_the_code_as_it_was(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        for (unsigned last = 1; last <= 2; last++) {
            check_about("after message %u", last);
            guest_comes(&mallory, last);
            stranger_until_got(&mallory, last);
            stranger_leave(&mallory);
            stranger_until_ended(&mallory);
            stays("is gone, or gave up");
            e2e_ok(desk, ": >pair.err");
            stranger_fini(&mallory);
            expect_no_guest();
        }
        check_about_nothing();
        honest_pairs();
    }
    pair_world_end();
}

static void who_goes_with_the_code_ends_it(struct e2e *f)
{
    if (pair_world_begin(f)) {
        for (unsigned last = 4; last <= 5 && invite("notes"); last++) {
            check_about("after message %u", last);
            guest_comes(&mallory, last == 4 ? 3 : 5);
            stranger_until_got(&mallory, 4);
            stranger_until_sent(&mallory, last == 4 ? 3 : 5);
            stranger_run_ms(last == 4 ? 0 : 20);
            stranger_leave(&mallory);
            stranger_until_ended(&mallory);
            invite_ends(last == 4 ? 4 : -1, "the other device "); /* 5: it may have got 6 */
            stranger_fini(&mallory);
            expect_no_guest();
        }
        check_about_nothing();
        if (invite("notes"))
            honest_pairs();
    }
    pair_world_end();
}

/* ---- who lies ----------------------------------------------------------------------------------
 */

static void what_a_guest_alters_is_refused(struct e2e *f)
{
    static const struct {
        unsigned number;
        int status;
        const char *part;
    } all[] = {{2, 0, ""}, {3, 0, ""}, {5, 4, "changed on the way"}, {7, 1, "did not confirm"}};
    if (pair_world_begin(f)) {
        for (size_t i = 0; i < ARRAY_N(all) && invite("notes"); i++) {
            check_about("message %u", all[i].number);
            guest_init(&mallory, 7);
            mallory.alter = all[i].number;
            stranger_dial(&mallory, address, PAIR_PROTOCOL);
            stranger_until_ended(&mallory);
            if (all[i].status == 0) { /* a try of three */
                stays("");
                e2e_ok(desk, "kill -INT $(cat pair.pid)");
            }
            invite_ends(all[i].status == 0 ? 1 : all[i].status, all[i].part);
            expect_no_guest();
            stranger_fini(&mallory);
        }
        check_about_nothing();
    }
    pair_world_end();
}

static void who_gives_the_keys_of_another_is_refused(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        struct stranger other = {0};
        stranger_init(&other, NULL);
        guest_init(&mallory, 7);
        buf_reset(&member);
        stranger_gives_member(&other, "mallory", &member);
        mallory.gives = buf_bytes(&member);
        stranger_dial(&mallory, address, PAIR_PROTOCOL);
        stranger_until_ended(&mallory);
        invite_ends(4, "says that it is another one");
        holds(mallory.got == 4);
        expect_no_guest();
        stranger_fini(&mallory);
        stranger_fini(&other);
    }
    pair_world_end();
}

static void who_gives_a_label_with_control_characters_is_refused(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        guest_init(&mallory, 7);
        buf_reset(&member);
        stranger_gives_member(&mallory, "mal\x1b[2Jlory", &member);
        mallory.gives = buf_bytes(&member);
        stranger_dial(&mallory, address, PAIR_PROTOCOL);
        stranger_until_ended(&mallory);
        invite_ends(4, "makes no sense");
        e2e_ok(desk, "! grep -q \"$(printf '\\033')\" pair.out pair.err");
        expect_no_guest();
        stranger_fini(&mallory);
    }
    pair_world_end();
}

/* ---- who holds on ------------------------------------------------------------------------------
 */

/* Another one is refused. */
static void another_comes_in_vain(void)
{
    struct stranger other = {0};
    stranger_init(&other, NULL);
    stranger_dial(&other, address, PAIR_PROTOCOL);
    stranger_until_ended(&other);
    holds(other.refused && !mallory.ended);
    stranger_fini(&other);
}

static void who_holds_on_keeps_others_out_for_a_moment(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        guest_comes(&mallory, 2);
        stranger_until_got(&mallory, 2);
        another_comes_in_vain(); /* at once: a command may take longer than the moment */
        stranger_run_ms(ROOM_MS);
        holds(!mallory.ended); /* it may stay as long as nobody else comes */
        honest_pairs();
        holds(mallory.ended && mallory.got == 2 && !mallory.granted);
        stranger_fini(&mallory);
    }
    pair_world_end();
}

static void a_second_guest_does_not_end_the_run_of_the_first(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        guest_comes(&mallory, 3);
        stranger_until_got(&mallory, 4); /* the code is used, and mallory known to have it */
        another_comes_in_vain();
        e2e_until(desk, "grep -q 'at the same time' pair.err");
        e2e_ok(desk, "! test -e pair.status");
        join_begin("%s notes --peer %s", code, address);
        join_ends(4, "another device is at it");
        expect_no_guest();
        e2e_ok(desk, "kill -INT $(cat pair.pid)");
        invite_ends(1, "cancelled");
        stranger_fini(&mallory);
        expect_no_guest();
    }
    pair_world_end();
}

static void a_crowd_that_says_nothing_keeps_nobody_out(struct e2e *f)
{
    static struct stranger crowd[CROWD];
    if (pair_world_begin(f) && invite("notes")) {
        unsigned came = 0;
        for (size_t i = 0; i < CROWD; i++) {
            stranger_init(&crowd[i], NULL);
            crowd[i].keeps_open = true;
            stranger_dial(&crowd[i], address, PAIR_PROTOCOL);
            came += crowd[i].opened || crowd[i].ended; /* there is room for some at a time */
            stranger_run_ms(PACE_MS);
        }
        same(came, CROWD);
        uint64_t began = e2e_now_ms();
        e2e_sh(phone,
               "echo 'i=0; while test $i -lt 100 && ! persist pair %s notes --peer %s; do "
               "sleep 2; i=$((i+1)); done 2>tries' >again",
               code, address);
        pid_t pid = e2e_start(phone, "sh again >joined; echo $? >done");
        while (e2e_now_ms() < began + CROWD_MS) {
            stranger_run_ms(100);
            e2e_sh(phone, "grep -q '^paired with' joined && test -s done");
            if (phone->last.status == 0)
                break;
        }
        holds(e2e_now_ms() < began + CROWD_MS);
        e2e_stop(pid);
        invite_ends(0, "paired with");
        for (size_t i = 0; i < CROWD; i++)
            stranger_fini(&crowd[i]);
    }
    pair_world_end();
}

/* ---- who is stopped ----------------------------------------------------------------------------
 */

static void a_cancelled_command_trusts_nobody(struct e2e *f)
{
    static const char *const signals[] = {"INT", "KILL"};
    if (pair_world_begin(f)) {
        for (size_t i = 0; i < 2 * ARRAY_N(signals) && invite("notes"); i++) {
            const char *name = signals[i % 2];
            bool before = i < 2; /* message 5 */
            check_about("%s, %s", name, before ? "before it was let in" : "after");
            guest_comes(&mallory, before ? 3 : 6);
            stranger_until_got(&mallory, before ? 4 : 6);
            e2e_ok(desk, "kill -%s $(cat pair.pid)", name);
            invite_ends(i % 2 == 0 ? 1 : 137, i % 2 == 0 ? "cancelled" : "code");
            stranger_until_ended(&mallory);
            if (i < 3)
                expect_no_guest();
            else /* who is killed can put nobody out any more, but the person sees it */
                e2e_ok(desk, "persist peers notes | grep -q mallory && "
                             "persist revoke mallory notes --yes");
            stranger_fini(&mallory);
        }
        check_about_nothing();
    }
    pair_world_end();
}

/* ---- the code ----------------------------------------------------------------------------------
 */

/* In neither state directory, nor anywhere that other users can look. */
static void expect_code_nowhere(const char *when)
{
    check_about("%s", when);
    struct e2e *all[] = {desk, phone};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        e2e_ok(all[i], "test -d $PERSIST_HOME/log; ! grep -rqaiF -e %s -e %.4s%s $PERSIST_HOME",
               code, code, code + 5);
    check_about_nothing();
}

static void the_code_stands_nowhere(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes --label desk")) {
        e2e_ok(desk,
               "pid=$(cat pair.pid); ! grep -qaF -e %s -e %.4s%s /proc/$pid/cmdline "
               "/proc/$pid/environ",
               code, code, code + 5);
        e2e_ok(desk,
               "for pid in $(cat $PERSIST_HOME/run/*.pid); do ! grep -qaF %.4s%s "
               "/proc/$pid/cmdline || exit 1; done",
               code, code + 5);
        expect_code_nowhere("while it waits");
        e2e_refused(phone, 4, "the code is wrong", "persist pair %s notes --peer %s", wrong_code(),
                    address);
        expect_code_nowhere("after a wrong one");
        honest_pairs();
        expect_code_nowhere("after it was used");
    }
    pair_world_end();
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_stranger_with_the_code_is_let_in),
        E2E_TEST(who_takes_all_and_does_not_confirm_is_put_out),
        E2E_TEST(who_stays_and_does_not_confirm_is_put_out),
        E2E_TEST(who_goes_early_leaves_the_code_as_it_was),
        E2E_TEST(who_goes_with_the_code_ends_it),
        E2E_TEST(what_a_guest_alters_is_refused),
        E2E_TEST(who_gives_the_keys_of_another_is_refused),
        E2E_TEST(who_gives_a_label_with_control_characters_is_refused),
        E2E_TEST(who_holds_on_keeps_others_out_for_a_moment),
        E2E_TEST(a_second_guest_does_not_end_the_run_of_the_first),
        E2E_TEST(a_crowd_that_says_nothing_keeps_nobody_out),
        E2E_TEST(a_cancelled_command_trusts_nobody),
        E2E_TEST(the_code_stands_nowhere),
    };
    stranger_start();
    int status = e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
    stranger_stop();
    buf_fini(&member);
    return status;
}
