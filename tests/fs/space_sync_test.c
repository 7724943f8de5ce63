/*
 * Spaces brought to the same tree by nothing but what is signed and sealed: fs/space/sync.h. Each
 * transfer is what a server in the middle would carry.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/sealed/chunk.h"
#include "tests/support/device.h"

enum { DEVICES = 3 };

struct world {
    struct device d[DEVICES];
    uint64_t done[DEVICES][DEVICES]; /* arrivals of the first that the second was given */
    bool back; /* what a device brought is given back to it, too */
};

/* ---- transfers ---------------------------------------------------------------------------------
 */

struct want {
    struct device *from, *to;
    uint64_t chunks;
};

static int fetch(void *arg, const struct content_need *need)
{
    struct want *w = arg;
    struct sync_chunk c;
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    memcpy(c.name, need->id, sizeof c.name);
    assert_int_equal(space_sync_chunk_id(w->to->s, c.name, 0, &c.id), 0);
    assert_int_equal(space_sync_chunk_seal(w->from->s, &c, &sealed, &below), 0);
    assert_int_equal(space_sync_chunk_take(w->to->s, &c, buf_bytes(&sealed)), 0);
    w->chunks++;
    return need->level > 0; /* below a list node more may be missing: look again */
}

static void fetch_content(struct want *w)
{
    struct buf waiting CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_waiting(w->to->s, &waiting), 0);
    for (size_t i = 0; i < waiting.n; i += sizeof(struct sync_wait)) {
        struct sync_wait one;
        memcpy(&one, waiting.p + i, sizeof one);
        while (space_sync_needs(w->to->s, &one.dot, fetch, w) > 0)
            ;
        assert_int_equal(space_sync_retry(w->to->s, &one.dot), SYNC_TAKEN);
    }
}

/* Gives device @b what device @a has and @b was not given. How many arrivals. */
static size_t give(struct world *w, size_t a, size_t b)
{
    struct device *from = &w->d[a], *to = &w->d[b];
    struct arrival at;
    size_t n = 0;
    assert_int_equal(publisher_flush(from->s), 0);
    int more = space_sync_collect(from->s);
    while (more == 1)
        more = space_sync_collect(from->s);
    assert_true(more == 0 || more == -ENOTCONN);
    while (space_sync_next(from->s, w->done[a][b], w->back ? 99 : b + 1, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        w->done[a][b] = at.number;
        int rc = space_sync_seal(from->s, &at, &bytes, &chunks);
        if (rc == -ENOENT)
            continue;
        assert_int_equal(rc, 0);
        n++;
        rc = at.kind == ARRIVAL_ACT ? space_sync_take_act(to->s, a + 1, buf_bytes(&bytes))
                                    : space_sync_take_entry(to->s, a + 1, buf_bytes(&bytes));
        assert_in_range(rc, SYNC_KNOWN, SYNC_CONTENT);
    }
    struct want want = {from, to, 0};
    assert_int_equal(space_sync_settle(to->s), 0);
    fetch_content(&want);
    assert_int_equal(space_sync_settle(to->s), 0);
    return n;
}

static void all_meet(struct world *w, size_t n)
{
    for (int round = 0; round < 3; round++)
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < n; b++)
                if (a != b)
                    give(w, a, b);
}

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

static void expect_equal(struct world *w, size_t n)
{
    struct state_digest first, other;
    replica_digest(w->d[0].s->replica, &first);
    for (size_t i = 1; i < n; i++) {
        replica_digest(w->d[i].s->replica, &other);
        assert_memory_equal(&first, &other, sizeof first);
        assert_true(
            vv_equal(replica_knowledge(w->d[0].s->replica), replica_knowledge(w->d[i].s->replica)));
    }
}

/* ---- setting up --------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    device_found(&w.d[0], "anna", 1);
    device_join(&w.d[1], "bert", 2, &w.d[0]);
    give(&w, 0, 1);
    assert_int_equal(space_sync_join(w.d[1].s), 1);
    give(&w, 1, 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < DEVICES; i++)
        if (w->d[i].s != NULL)
            device_close(&w->d[i]);
    return 0;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void saves_go_both_ways(void **state)
{
    struct world *w = *state;
    device_make(&w->d[0], "notes", S_IFDIR | 0755);
    device_save_text(&w->d[0], "notes/a.md", "one");
    give(w, 0, 1);
    expect_text(&w->d[1], "notes/a.md", "one");
    device_save_text(&w->d[1], "notes/a.md", "two");
    device_save_text(&w->d[1], "b.md", "bert's");
    give(w, 1, 0);
    expect_text(&w->d[0], "notes/a.md", "two");
    expect_text(&w->d[0], "b.md", "bert's");
    device_rename(&w->d[0], "notes", "texts");
    device_unlink(&w->d[0], "b.md");
    all_meet(w, 2);
    expect_text(&w->d[1], "texts/a.md", "two");
    expect_text(&w->d[1], "b.md", NULL);
    expect_equal(w, 2);
}

static void what_was_replaced_before_it_was_sent_is_never_sent(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "version %d", i);
        device_save_text(&w->d[0], "a.md", text);
        assert_int_equal(publisher_flush(w->d[0].s), 0);
    }
    assert_true(give(w, 0, 1) <= 3);
    expect_text(&w->d[1], "a.md", "version 19");
    expect_equal(w, 2);
}

static void big_content_comes_before_its_entry_shows(void **state)
{
    struct world *w = *state;
    static uint8_t big[3 << 20];
    randombytes_buf(big, sizeof big);
    device_save(&w->d[0], "big", big, sizeof big);
    device_save_text(&w->d[0], "small", "x");
    give(w, 0, 1);
    uint64_t ino = device_ino(&w->d[1], "big");
    assert_int_not_equal(ino, 0);
    static uint8_t got[sizeof big + 1];
    assert_int_equal(tree_read(w->d[1].s->tree, ino, 0, got, sizeof got), sizeof big);
    assert_memory_equal(got, big, sizeof big);
    all_meet(w, 2);
    expect_equal(w, 2);
}

static void third_device_learns_all_from_the_second(void **state)
{
    struct world *w = *state;
    device_save_text(&w->d[0], "a", "1");
    device_save_text(&w->d[0], "b", "2");
    give(w, 0, 1);
    device_save_text(&w->d[1], "b", "3");
    device_join(&w->d[2], "carl", 3, &w->d[1]);
    give(w, 1, 2);
    assert_int_equal(space_sync_join(w->d[2].s), 1);
    device_save_text(&w->d[2], "c", "carl's");
    give(w, 2, 1);
    give(w, 1, 0);
    expect_text(&w->d[2], "a", "1");
    expect_text(&w->d[2], "b", "3");
    expect_text(&w->d[0], "c", "carl's");
    all_meet(w, 3);
    expect_equal(w, 3);
}

static void a_restart_forgets_nothing(void **state)
{
    struct world *w = *state;
    device_save_text(&w->d[0], "a", "1");
    give(w, 0, 1);
    device_reopen(&w->d[0]);
    device_reopen(&w->d[1]);
    device_save_text(&w->d[1], "a", "2");
    device_save_text(&w->d[0], "b", "3");
    all_meet(w, 2);
    expect_text(&w->d[0], "a", "2");
    expect_text(&w->d[1], "b", "3");
    expect_equal(w, 2);
}

static void a_state_closes_gaps_and_says_who_is_equal(void **state)
{
    struct world *w = *state;
    struct arrival at;
    struct buf peers CLEANUP(buf_fini) = {0};
    struct sync_peer p;
    device_save_text(&w->d[0], "a", "1");
    give(w, 0, 1);
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
    give(w, 0, 1);
    expect_text(&w->d[1], "a", "3");
    assert_false(
        vv_covers(replica_knowledge(w->d[1].s->replica), replica_knowledge(w->d[0].s->replica)));
    assert_int_equal(space_sync_state(w->d[0].s), 1);
    assert_int_equal(space_sync_state(w->d[0].s), 0);
    give(w, 0, 1);
    expect_equal(w, 2);
    assert_int_equal(space_sync_peers(w->d[1].s, &peers), 0);
    assert_int_equal(peers.n, sizeof p);
    memcpy(&p, peers.p, sizeof p);
    assert_true(p.equal);
    assert_string_equal(p.label, "anna");
}

static size_t count_rows(struct device *d, int tag)
{
    const uint8_t prefix = (uint8_t)tag;
    struct db_iter *it = db_iter_new(d->s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    size_t n = 0;
    while (db_iter_next(it))
        n++;
    db_iter_free(it);
    return n;
}

static void superseded_entries_go_and_the_next_one_names_them(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5; i++) {
        char text[32];
        snprintf(text, sizeof text, "version %d", i);
        device_save_text(&w->d[0], "a.md", text);
        give(w, 0, 1);
    }
    struct dot cursor = {0, 0};
    size_t before = count_rows(&w->d[0], SYNC_ENTRY);
    assert_int_equal(sync_tidy_slice(w->d[0].s, &cursor), 0);
    size_t after = count_rows(&w->d[0], SYNC_ENTRY);
    assert_true(after + 3 <= before);
    assert_int_equal(count_rows(&w->d[0], SYNC_REPLACED), before - after);
    cursor = (struct dot){0, 0};
    assert_int_equal(sync_tidy_slice(w->d[1].s, &cursor), 0);
    assert_int_equal(count_rows(&w->d[1], SYNC_ENTRY), after);
    device_save_text(&w->d[0], "b.md", "next");
    give(w, 0, 1);
    assert_int_equal(count_rows(&w->d[0], SYNC_REPLACED), 0);
    expect_text(&w->d[1], "a.md", "version 4");
    all_meet(w, 2);
    expect_equal(w, 2);
}

static void what_all_know_to_be_deleted_is_cleaned_up(void **state)
{
    struct world *w = *state;
    device_save_text(&w->d[0], "a.md", "x");
    device_save_text(&w->d[0], "b.md", "y");
    all_meet(w, 2);
    device_unlink(&w->d[0], "a.md");
    all_meet(w, 2);
    assert_int_equal(exchange_clean(w->d[0].s), 0); /* nobody has said that it knows */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(space_sync_state(w->d[i].s), 1);
    all_meet(w, 2);
    assert_int_equal(exchange_clean(w->d[0].s), 1);
    assert_int_equal(exchange_clean(w->d[0].s), 0);
    expect_equal(w, 2); /* also while it is cleaned up on one of them alone */
    assert_int_equal(exchange_clean(w->d[1].s), 1);
    device_save_text(&w->d[1], "a.md", "again");
    all_meet(w, 2);
    expect_text(&w->d[0], "a.md", "again");
    expect_equal(w, 2);
}

/* A child that takes an entry in, and crashes while it does. */
static void crash_while_taking(struct device *d, const struct dot *dot, int how)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        if (sync_poison_begin(d->s->sync, dot))
            raise(how);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    device_reopen(d);
}

static void a_change_that_crashes_the_program_twice_is_left_out(void **state)
{
    struct world *w = *state;
    struct arrival at;
    struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
    device_save_text(&w->d[0], "a.md", "poison");
    assert_int_equal(publisher_flush(w->d[0].s), 0);
    assert_int_equal(space_sync_collect(w->d[0].s), 0);
    assert_int_equal(space_sync_next(w->d[0].s, w->done[0][1], 2, &at), 1);
    assert_int_equal(space_sync_seal(w->d[0].s, &at, &bytes, &chunks), 0);
    for (int i = 0; i < 5; i++)
        crash_while_taking(&w->d[1], &at.dot, SIGKILL);
    crash_while_taking(&w->d[1], &at.dot, SIGABRT);
    assert_true(sync_poison_begin(w->d[1].s->sync, &at.dot));
    sync_poison_end(w->d[1].s->sync);
    crash_while_taking(&w->d[1], &at.dot, SIGABRT);
    assert_int_equal(space_sync_take_entry(w->d[1].s, 1, buf_bytes(&bytes)), SYNC_REFUSED);
    w->done[0][1] = at.number;
    device_save_text(&w->d[0], "b.md", "others come");
    give(w, 0, 1);
    expect_text(&w->d[1], "b.md", "others come");
    expect_text(&w->d[1], "a.md", NULL);
}

static void a_copied_device_takes_a_new_id_and_nothing_is_lost(void **state)
{
    struct world *w = *state;
    device_save_text(&w->d[0], "a.md", "before");
    give(w, 0, 1);
    give(w, 1, 0);
    device_copy(&w->d[2], &w->d[0]);
    memcpy(w->done[2], w->done[0], sizeof w->done[2]);
    w->done[1][2] = w->done[1][0];
    uint64_t id = replica_id(w->d[2].s->replica);
    assert_int_equal(replica_id(w->d[0].s->replica), id);
    /* Both write; the original is heard first. */
    device_save_text(&w->d[0], "b.md", "of the original");
    device_save_text(&w->d[2], "c.md", "of the copy");
    device_save_text(&w->d[2], "a.md", "changed by the copy");
    assert_int_equal(publisher_flush(w->d[2].s), 0);
    give(w, 0, 1);
    give(w, 1, 2);
    assert_int_not_equal(replica_id(w->d[2].s->replica), id);
    assert_int_equal(replica_id(w->d[0].s->replica), id);
    give(w, 2, 1);
    give(w, 1, 0);
    for (size_t i = 0; i < 3; i++) {
        expect_text(&w->d[i], "a.md", "changed by the copy");
        expect_text(&w->d[i], "b.md", "of the original");
        expect_text(&w->d[i], "c.md", "of the copy");
    }
    all_meet(w, 3);
    expect_equal(w, 3);
}

static void a_restored_device_goes_on_where_others_know_more(void **state)
{
    struct world *w = *state;
    device_save_text(&w->d[0], "a.md", "one");
    give(w, 0, 1);
    device_copy(&w->d[2], &w->d[0]); /* the backup */
    device_save_text(&w->d[0], "a.md", "two");
    device_save_text(&w->d[0], "b.md", "later");
    give(w, 0, 1);
    device_close(&w->d[0]); /* lost */
    w->d[0] = w->d[2];
    w->d[2].s = NULL;
    memset(w->done, 0, sizeof w->done);
    w->back = true;
    give(w, 1, 0);
    expect_text(&w->d[0], "a.md", "two");
    expect_text(&w->d[0], "b.md", "later");
    device_save_text(&w->d[0], "a.md", "three");
    all_meet(w, 2);
    expect_text(&w->d[1], "a.md", "three");
    expect_equal(w, 2);
}

static void a_chunk_that_is_not_what_its_name_says_is_refused(void **state)
{
    struct world *w = *state;
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
        cmocka_unit_test_setup_teardown(superseded_entries_go_and_the_next_one_names_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_all_know_to_be_deleted_is_cleaned_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_that_crashes_the_program_twice_is_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_copied_device_takes_a_new_id_and_nothing_is_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restored_device_goes_on_where_others_know_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_not_what_its_name_says_is_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
