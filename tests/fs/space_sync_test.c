/*
 * Spaces brought to the same tree by nothing but what is signed and sealed: fs/space/sync.h. Each
 * transfer is what a server in the middle would carry.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/space/sync.h"
#include "proto/sealed/chunk.h"
#include "tests/support/members.h"

/* ---- what is looked at -------------------------------------------------------------------------
 */

static void expect_text(struct device *d, const char *path, const char *text)
{
    char got[256] = "";
    size_t n = 0;
    uint64_t ino = device_ino(d, path);
    if (text == NULL) {
        assert_int_equal(ino, 0);
        return;
    }
    assert_int_not_equal(ino, 0);
    ssize_t r = tree_read(d->s->tree, ino, 0, got, sizeof got - 1);
    assert_true(r >= 0);
    n = (size_t)r;
    got[n] = '\0';
    assert_string_equal(got, text);
}

/* ---- setting up --------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    static struct members m;
    members_found(&m);
    members_join(&m, 1, 0);
    *state = &m;
    return 0;
}

static int teardown(void **state)
{
    members_close(*state);
    return 0;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void saves_go_both_ways(void **state)
{
    struct members *w = *state;
    device_make(&w->d[0], "notes", S_IFDIR | 0755);
    device_save_text(&w->d[0], "notes/a.md", "one");
    members_give(w, 0, 1);
    expect_text(&w->d[1], "notes/a.md", "one");
    device_save_text(&w->d[1], "notes/a.md", "two");
    device_save_text(&w->d[1], "b.md", "bert's");
    members_give(w, 1, 0);
    expect_text(&w->d[0], "notes/a.md", "two");
    expect_text(&w->d[0], "b.md", "bert's");
    device_rename(&w->d[0], "notes", "texts");
    device_unlink(&w->d[0], "b.md");
    members_meet(w, 2);
    expect_text(&w->d[1], "texts/a.md", "two");
    expect_text(&w->d[1], "b.md", NULL);
    members_expect_equal(w, 2);
}

static void what_was_replaced_before_it_was_sent_is_never_sent(void **state)
{
    struct members *w = *state;
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "version %d", i);
        device_save_text(&w->d[0], "a.md", text);
        assert_int_equal(publisher_flush(w->d[0].s), 0);
    }
    assert_true(members_give(w, 0, 1) <= 3);
    expect_text(&w->d[1], "a.md", "version 19");
    members_expect_equal(w, 2);
}

static void big_content_comes_before_its_entry_shows(void **state)
{
    struct members *w = *state;
    static uint8_t big[3 << 20];
    randombytes_buf(big, sizeof big);
    device_save(&w->d[0], "big", big, sizeof big);
    device_save_text(&w->d[0], "small", "x");
    members_give(w, 0, 1);
    uint64_t ino = device_ino(&w->d[1], "big");
    assert_int_not_equal(ino, 0);
    static uint8_t got[sizeof big + 1];
    assert_int_equal(tree_read(w->d[1].s->tree, ino, 0, got, sizeof got), sizeof big);
    assert_memory_equal(got, big, sizeof big);
    members_meet(w, 2);
    members_expect_equal(w, 2);
}

static void third_device_learns_all_from_the_second(void **state)
{
    struct members *w = *state;
    device_save_text(&w->d[0], "a", "1");
    device_save_text(&w->d[0], "b", "2");
    members_give(w, 0, 1);
    device_save_text(&w->d[1], "b", "3");
    members_join(w, 2, 1);
    device_save_text(&w->d[2], "c", "carl's");
    members_give(w, 2, 1);
    members_give(w, 1, 0);
    expect_text(&w->d[2], "a", "1");
    expect_text(&w->d[2], "b", "3");
    expect_text(&w->d[0], "c", "carl's");
    members_meet(w, 3);
    members_expect_equal(w, 3);
}

static void a_restart_forgets_nothing(void **state)
{
    struct members *w = *state;
    device_save_text(&w->d[0], "a", "1");
    members_give(w, 0, 1);
    device_reopen(&w->d[0]);
    device_reopen(&w->d[1]);
    device_save_text(&w->d[1], "a", "2");
    device_save_text(&w->d[0], "b", "3");
    members_meet(w, 2);
    expect_text(&w->d[0], "a", "2");
    expect_text(&w->d[1], "b", "3");
    members_expect_equal(w, 2);
}

static void a_state_closes_gaps_and_says_who_is_equal(void **state)
{
    struct members *w = *state;
    struct arrival at;
    struct buf peers CLEANUP(buf_fini) = {0};
    struct sync_peer p;
    device_save_text(&w->d[0], "a", "1");
    members_give(w, 0, 1);
    /* A change that is superseded by one that does not come right after it never reaches the other.
     */
    device_save_text(&w->d[0], "a", "2");
    assert_int_equal(publisher_flush(w->d[0].s), 0);
    assert_int_equal(space_sync_collect(w->d[0].s), 0);
    device_save_text(&w->d[0], "a", "3");
    assert_int_equal(publisher_flush(w->d[0].s), 0);
    assert_int_equal(space_sync_collect(w->d[0].s), 0);
    assert_int_equal(space_sync_next(w->d[0].s, w->done[0][1], 2, &at), 1);
    w->done[0][1] = at.number; /* left out */
    members_give(w, 0, 1);
    expect_text(&w->d[1], "a", "3");
    assert_false(
        vv_covers(replica_knowledge(w->d[1].s->replica), replica_knowledge(w->d[0].s->replica)));
    assert_int_equal(space_sync_state(w->d[0].s), 1);
    assert_int_equal(space_sync_state(w->d[0].s), 0);
    members_give(w, 0, 1);
    members_expect_equal(w, 2);
    assert_int_equal(space_sync_peers(w->d[1].s, &peers), 0);
    assert_int_equal(peers.n, sizeof p);
    memcpy(&p, peers.p, sizeof p);
    assert_true(p.equal);
    assert_string_equal(p.label, "anna");
}

static void a_chunk_that_is_not_what_its_name_says_is_refused(void **state)
{
    struct members *w = *state;
    struct sync_chunk c = {.name = {1}};
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct keyring *k = &w->d[0].s->keyring;
    struct space_id id;
    assert_int_equal(space_sync_id(w->d[0].s, &id), 0);
    /* A member, who has the keys, seals other bytes under the id of a chunk. */
    c.id = chunk_id_of(&k->epochs[0], c.name);
    assert_int_equal(chunk_seal(&k->epochs[0], &id, &c.id, (struct chunk_ids){NULL, 0},
                                bytes_str("something else"), &sealed),
                     0);
    assert_int_equal(space_sync_chunk_take(w->d[1].s, &c, buf_bytes(&sealed)), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(saves_go_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_replaced_before_it_was_sent_is_never_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(big_content_comes_before_its_entry_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(third_device_learns_all_from_the_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_forgets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_closes_gaps_and_says_who_is_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_not_what_its_name_says_is_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
