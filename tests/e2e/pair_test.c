/* A device that is let in by a short code: `persist pair` on both sides, on one machine. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/pair_world.h"
#include "tests/support/sync_world.h"

static void expect_line(struct e2e *at, const char *file, const char *text)
{
    e2e_until(at, "grep -qxF '%s' notes/%s", text, file);
}

static void expect_shared(const char *text)
{
    expect_line(phone, "sub/two.md", "two");
    e2e_ok(phone, "echo %s >notes/back.md", text);
    expect_line(desk, "back.md", text);
    e2e_ok(desk, "echo %s >notes/first.md", text);
    expect_line(phone, "first.md", text);
    e2e_ok(phone, "diff -r notes %s", desk->folder);
}

/* ---- one like this -----------------------------------------------------------------------------
 */

static void a_device_with_the_code_is_let_in(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes --label 'the desk'")) {
        e2e_ok(phone, "persist pair %s notes --label 'my phone' --peer %s >joined", code, address);
        e2e_ok(phone, "grep -q '^paired with the desk (\\.\\.\\.[A-Za-z0-9]\\{8\\})$' joined");
        invite_ends(0, "paired with my phone (...");
        holds(e2e_is_mounted(phone->folder));
        expect_shared("once");
        e2e_ok(desk, "persist peers notes | grep -q 'my phone'");
        e2e_ok(phone, "persist unmount notes && persist mount notes");
        expect_shared("again");
        e2e_ok(phone, "persist check notes");
    }
    pair_world_end();
}

static void a_folder_is_made_where_none_is(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        e2e_ok(phone, "rmdir notes && mkdir in && cd in && persist pair %s --peer %s >../joined",
               code, address);
        invite_ends(0, "paired with");
        e2e_ok(phone, "test \"$(cat in/notes/sub/two.md)\" = two");
        e2e_ok(phone, "persist unmount in/notes && mkdir notes");
    }
    pair_world_end();
}

/* What is told of them at once is more than a stream takes before it is read. */
static void a_folder_of_many_files_comes(struct e2e *f)
{
    if (pair_world_begin(f) &&
        e2e_ok(desk, "mkdir made; i=0; while test $i -lt 500; do i=$((i+1)); "
                     "head -c 1000 /dev/urandom >made/file-$i; done; cp -R made notes/") &&
        invite("notes")) {
        e2e_ok(phone, "persist pair %s notes --peer %s >joined", code, address);
        invite_ends(0, "paired with");
        e2e_until(phone, "diff -rq notes %s", desk->folder);
    }
    pair_world_end();
}

static void several_folders_come_at_once(struct e2e *f)
{
    if (pair_world_begin(f) &&
        e2e_ok(desk, "mkdir plans && persist mount plans && echo p >plans/p.md") &&
        invite("notes plans")) {
        e2e_ok(phone, "rmdir notes && persist pair %s all --peer %s >joined", code, address);
        invite_ends(0, "paired with");
        e2e_ok(phone, "test \"$(cat all/notes/first.md)\" = first");
        e2e_until(phone, "test \"$(cat all/plans/p.md)\" = p");
        e2e_ok(phone, "persist unmount all/notes && persist unmount all/plans && mkdir notes");
    }
    e2e_sh(desk, "persist unmount plans");
    pair_world_end();
}

static void a_device_that_has_it_is_told_so(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        e2e_ok(phone, "persist pair %s notes --peer %s", code, address);
        invite_ends(0, "paired with");
        holds(invite("notes"));
        e2e_ok(phone, "mkdir other && persist pair %s other --peer %s | grep -q 'was here before'",
               code, address);
        invite_ends(0, "paired with");
        expect_shared("anew");
    }
    pair_world_end();
}

/* Neither knows where the other one is; each has a folder with the same server. */
static bool begin_at_server(struct sync_world *w, struct e2e *f)
{
    if (!world_begin(w, f, 1))
        return false;
    desk = world_at(w, 0);
    phone = world_add(w);
    return phone != NULL &&
           e2e_ok(desk,
                  "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null; "
                  "echo first >notes/first.md; mkdir notes/sub; echo two >notes/sub/two.md") &&
           e2e_ok(phone,
                  "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null; "
                  "mkdir mine && persist mount mine && persist remote add %s mine --token-file "
                  "token >/dev/null",
                  w->url);
}

static void devices_meet_at_their_server(struct e2e *f)
{
    struct sync_world w;
    if (begin_at_server(&w, f) && invite("notes")) {
        e2e_refused(phone, 4, "the code is wrong", "persist pair %s notes", wrong_code());
        e2e_ok(phone, "persist pair %s notes >joined", code);
        invite_ends(0, "paired with");
        expect_shared("by mail");
        e2e_sh(phone, "persist unmount mine; persist unmount notes");
    }
    world_end(&w);
}

/* Tries are counted together, and a use is the only one, whichever way they come. */
static void a_code_is_one_on_all_ways(struct e2e *f)
{
    struct sync_world w;
    if (begin_at_server(&w, f) && invite("notes")) {
        for (int i = 0; i < 3; i++)
            e2e_refused(phone, 4, "the code is wrong", "persist pair %s notes %s %s", wrong_code(),
                        i == 1 ? "--peer" : "", i == 1 ? address : "");
        invite_ends(4, "was wrong each time");
        e2e_refused(phone, 5, "waits for nobody", "persist pair %s notes --peer %s", code, address);
        if (holds(invite("notes"))) {
            e2e_ok(phone, "persist pair %s notes", code);
            invite_ends(0, "paired with");
            e2e_refused(phone, 5, "waits for nobody",
                        "mkdir other; persist pair %s other --peer %s", code, address);
        }
        if (holds(invite("notes"))) {
            e2e_ok(phone, "persist pair %s other --peer %s", code, address);
            invite_ends(0, "paired with");
            e2e_refused(phone, 5, "no device with this code", "persist pair %s other", code);
        }
        e2e_sh(phone, "persist unmount mine; persist unmount notes");
    }
    world_end(&w);
}

/* ---- wrong codes -------------------------------------------------------------------------------
 */

static void a_wrong_code_is_one_try_of_three(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        e2e_refused(phone, 4, "the code is wrong", "persist pair %s notes --peer %s", wrong_code(),
                    address);
        e2e_refused(phone, 4, "the code is wrong", "persist pair %s notes --peer %s", wrong_code(),
                    address);
        expect_alone();
        e2e_ok(phone, "persist pair %s notes --peer %s >joined", code, address);
        invite_ends(0, "paired with");
        expect_shared("then");
    }
    pair_world_end();
}

static void after_three_wrong_ones_it_is_worth_nothing(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        for (int i = 0; i < 3; i++)
            e2e_refused(phone, 4, "the code is wrong", "persist pair %s notes --peer %s",
                        wrong_code(), address);
        invite_ends(4, "was wrong each time");
        e2e_refused(phone, 5, "waits for nobody", "persist pair %s notes --peer %s", code, address);
        expect_alone();
    }
    pair_world_end();
}

static void a_code_is_good_once(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        struct e2e *third = pair_world_device("third");
        e2e_ok(phone, "persist pair %s notes --peer %s", code, address);
        invite_ends(0, "paired with");
        e2e_refused(third, 5, "waits for nobody", "persist pair %s notes --peer %s", code, address);
        pair_world_leave(third);
    }
    pair_world_end();
}

static void a_code_expires(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes --expires 10")) {
        invite_ends(5, "expired");
        e2e_refused(phone, 5, "waits for nobody", "persist pair %s notes --peer %s", code, address);
        expect_alone();
    }
    pair_world_end();
}

static void who_gives_up_leaves_nothing(struct e2e *f)
{
    if (pair_world_begin(f) && invite("notes")) {
        e2e_ok(desk, "kill -INT $(cat pair.pid)");
        invite_ends(1, "cancelled");
        e2e_refused(phone, 5, "waits for nobody", "persist pair %s notes --peer %s", code, address);
        expect_alone();
    }
    pair_world_end();
}

/* ---- what is refused at once -------------------------------------------------------------------
 */

static void what_makes_no_sense_changes_nothing(struct e2e *f)
{
    if (pair_world_begin(f)) {
        e2e_refused(phone, 2, "neither a code nor a folder", "persist pair KXN-7842 notes");
        e2e_refused(phone, 2, "", "persist pair KXNR-7842 notes --peer nowhere");
        e2e_refused(phone, 2, "--expires", "persist pair KXNR-7842 notes --expires 20");
        e2e_refused(phone, 1, "empty", "touch notes/x; persist pair KXNR-7842 notes");
        e2e_refused(phone, 5, "",
                    "rm notes/x; persist pair KXNR-7842 notes --peer "
                    "/ip4/127.0.0.1/tcp/9");
        e2e_refused(desk, 2, "--expires", "persist pair notes --expires 1");
        e2e_refused(desk, 2, "--peer", "persist pair notes --peer /ip4/127.0.0.1/tcp/9");
        e2e_refused(desk, 3, "", "mkdir nothing; persist pair nothing");
        e2e_refused(phone, 2, "", "persist pair notes --label 'a/b'");
        holds(invite("notes"));
        e2e_refused(desk, 1, "waits for a device already", "persist pair notes");
        e2e_ok(desk, "kill -INT $(cat pair.pid)");
        invite_ends(1, "cancelled");
        e2e_ok(desk, "persist p2p --listen off >/dev/null");
        e2e_refused(desk, 5, "no direct links", "persist pair notes");
        e2e_ok(desk, "persist unmount notes");
        e2e_refused(desk, 1, "not mounted", "persist pair notes");
        expect_alone();
    }
    pair_world_end();
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_device_with_the_code_is_let_in),
        E2E_TEST(a_folder_is_made_where_none_is),
        E2E_TEST(a_folder_of_many_files_comes),
        E2E_TEST(several_folders_come_at_once),
        E2E_TEST(a_device_that_has_it_is_told_so),
        E2E_TEST(devices_meet_at_their_server),
        E2E_TEST(a_code_is_one_on_all_ways),
        E2E_TEST(a_wrong_code_is_one_try_of_three),
        E2E_TEST(after_three_wrong_ones_it_is_worth_nothing),
        E2E_TEST(a_code_is_good_once),
        E2E_TEST(a_code_expires),
        E2E_TEST(who_gives_up_leaves_nothing),
        E2E_TEST(what_makes_no_sense_changes_nothing),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
