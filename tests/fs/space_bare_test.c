/*
 * Content of deleted files: a device that never had it does not fetch it, until something is to be
 * done with it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fs/space/merger.h"
#include "fs/space/sync_priv.h"
#include "fs/space/versions.h"
#include "tests/support/sync_meet.h"

/* Anna and Carl have what is saved; Bert is given entries, and fetches when he is told to. */
enum { ANNA, BERT, CARL, BIG = 1 << 20 };

static uint8_t big[BIG];

static int setup(void **state)
{
    static struct sync_meet w;
    sync_meet_found(&w, "anna");
    sync_meet_join(&w, BERT, "bert", ANNA);
    sync_meet_join(&w, CARL, "carl", ANNA);
    sync_meet_all(&w, 3);
    w.back = true;
    randombytes_buf(big, sizeof big);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    sync_meet_close(*state);
    return 0;
}

static uint64_t waiting_n(struct device *d)
{
    return d->s->sync->counts.content_waiting;
}

static int count_need(void *arg, const struct content_need *need)
{
    *(uint64_t *)arg += need->len;
    return 0;
}

/* The bytes that the waiting ones of Bert need; those that need none are taken. */
static uint64_t needs(struct sync_meet *w)
{
    struct space *s = w->d[BERT].s;
    struct buf waiting CLEANUP(buf_fini) = {0};
    uint64_t bytes = 0;
    assert_int_equal(space_sync_waiting(s, &waiting), 0);
    for (size_t i = 0; i < waiting.n; i += sizeof(struct sync_wait)) {
        struct sync_wait one;
        uint64_t of = 0;
        memcpy(&one, waiting.p + i, sizeof one);
        assert_int_equal(space_sync_needs(s, &one.dot, count_need, &of), 0);
        if (of == 0)
            assert_in_range(space_sync_retry(s, &one.dot), SYNC_KNOWN, SYNC_TAKEN);
        bytes += of;
    }
    assert_int_equal(space_sync_settle(s), 0);
    return bytes;
}

struct giving {
    struct space *from, *to;
};

static int give_chunk(void *arg, const struct content_need *need)
{
    const struct giving *g = arg;
    struct sync_chunk c;
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    memcpy(c.name, need->id, sizeof c.name);
    assert_int_equal(space_sync_chunk_id(g->to, c.name, 0, &c.id), 0);
    int rc = space_sync_chunk_seal(g->from, &c, &sealed, &below);
    if (rc == 0)
        rc = space_sync_chunk_take(g->to, &c, buf_bytes(&sealed));
    assert_true(rc == 0 || rc == -ENODATA);
    return 0;
}

/* Gives Bert those chunks that @from has, of what he waits for. */
static void give_chunks(struct sync_meet *w, size_t from)
{
    struct buf waiting CLEANUP(buf_fini) = {0};
    struct giving g = {w->d[from].s, w->d[BERT].s};
    assert_int_equal(space_sync_waiting(g.to, &waiting), 0);
    for (size_t i = 0; i < waiting.n; i += sizeof(struct sync_wait)) {
        struct sync_wait one;
        memcpy(&one, waiting.p + i, sizeof one);
        assert_int_equal(space_sync_needs(g.to, &one.dot, give_chunk, &g), 0);
    }
}

static size_t bare_n(struct device *d)
{
    const uint8_t prefix = SYNC_BARE;
    size_t n = 0;
    struct db_iter *it = db_iter_new(d->s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    assert_non_null(it);
    while (db_iter_next(it))
        n++;
    db_iter_free(it);
    return n;
}

static void expect_big(struct device *d, const char *path)
{
    static uint8_t got[BIG + 1];
    uint64_t ino = device_ino(d, path);
    assert_int_not_equal(ino, 0);
    assert_int_equal(tree_read(d->s->tree, ino, 0, got, sizeof got), BIG);
    assert_memory_equal(got, big, BIG);
}

/* "f" is deleted, and Bert holds it without its bytes; Carl, who has it, has not heard of that. */
static void delete_unseen(struct sync_meet *w)
{
    device_save(&w->d[ANNA], "f", big, BIG);
    sync_meet_give(w, ANNA, CARL);
    device_unlink(&w->d[ANNA], "f");
    sync_meet_give_entries(w, ANNA, BERT);
    assert_int_equal(waiting_n(&w->d[BERT]), 1);
    assert_int_equal(needs(w), 0);
    assert_int_equal(waiting_n(&w->d[BERT]), 0);
    assert_int_equal(bare_n(&w->d[BERT]), 1);
}

static void content_of_deleted_files_is_not_fetched(void **state)
{
    struct sync_meet *w = *state;
    delete_unseen(w);
    device_save(&w->d[ANNA], "stays", big, BIG / 2);
    sync_meet_give_entries(w, ANNA, BERT);
    assert_int_equal(needs(w), BIG / 2);
    assert_true(vv_covers(replica_knowledge(w->d[BERT].s->replica),
                          replica_knowledge(w->d[ANNA].s->replica)) == false);
    sync_meet_give(w, ANNA, BERT);
    /* He knows all, so he keeps nobody from cleaning up; and gives what he has. */
    assert_true(vv_covers(replica_knowledge(w->d[BERT].s->replica),
                          replica_knowledge(w->d[ANNA].s->replica)));
    sync_meet_all(w, 3);
    sync_meet_expect_equal(w, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(space_sync_state(w->d[i].s), 1);
    sync_meet_all(w, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(exchange_clean(w->d[i].s, tidy_now_ms()), 1);
}

static void what_is_deleted_when_it_comes_is_taken_without_its_bytes(void **state)
{
    struct sync_meet *w = *state;
    device_save(&w->d[ANNA], "f", big, BIG);
    sync_meet_sign(&w->d[ANNA]);
    sync_meet_give(w, ANNA, CARL);
    device_unlink(&w->d[CARL], "f");
    sync_meet_give_entries(w, CARL, BERT);
    assert_int_equal(needs(w), 0);
    assert_int_equal(waiting_n(&w->d[BERT]), 0);
    device_reopen(&w->d[BERT]);
    sync_meet_all(w, 3);
    sync_meet_expect_equal(w, 3);
    assert_int_equal(bare_n(&w->d[BERT]), 1);
}

static void what_is_shown_again_is_fetched_first(void **state)
{
    struct sync_meet *w = *state;
    delete_unseen(w);
    device_rename(&w->d[CARL], "f", "g");
    sync_meet_give_entries(w, CARL, BERT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waiting_n(&w->d[BERT]), 1);
        assert_int_equal(device_ino(&w->d[BERT], "g"), 0);
        assert_int_equal(needs(w), BIG);
        device_reopen(&w->d[BERT]);
    }
    sync_meet_give(w, CARL, BERT);
    expect_big(&w->d[BERT], "g");
    assert_int_equal(bare_n(&w->d[BERT]), 0);
    assert_int_equal(waiting_n(&w->d[BERT]), 0);
    sync_meet_all(w, 3);
    sync_meet_expect_equal(w, 3);
    for (size_t i = 0; i < 3; i++)
        expect_big(&w->d[i], "g");
}

static void what_was_not_whole_is_given_when_it_is(void **state)
{
    struct sync_meet *w = *state;
    struct arrival at;
    struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
    const uint64_t other = 77;
    uint64_t seen = 0;
    size_t with_chunks = 0;
    delete_unseen(w);
    for (size_t i = 0; i < 2; i++) {
        sync_meet_sign(&w->d[BERT]);
        while (space_sync_next(w->d[BERT].s, seen, other, &at) == 1) {
            seen = at.number;
            buf_reset(&bytes);
            buf_reset(&chunks);
            int rc = space_sync_seal(w->d[BERT].s, &at, &bytes, &chunks);
            assert_true(rc == 0 || rc == -ENOENT);
            with_chunks += rc == 0 && chunks.n > 0;
        }
        assert_int_equal(with_chunks, i);
        if (i == 0) {
            device_rename(&w->d[CARL], "f", "g");
            sync_meet_give(w, CARL, BERT);
        }
    }
}

static void a_side_of_a_conflict_is_fetched(void **state)
{
    struct sync_meet *w = *state;
    device_save_text(&w->d[ANNA], "f", "first");
    sync_meet_all(w, 3);
    device_save(&w->d[ANNA], "f", big, BIG);
    sync_meet_sign(&w->d[ANNA]);
    device_unlink(&w->d[ANNA], "f");
    sync_meet_give_entries(w, ANNA, BERT);
    assert_int_equal(needs(w), 0);
    assert_int_equal(bare_n(&w->d[BERT]), 1);
    device_save(&w->d[CARL], "f", big, BIG / 2); /* unseen, so it lives, beside what it was not */
    sync_meet_give_entries(w, CARL, BERT);
    sync_meet_expect(&w->d[BERT], "f", NULL);
    uint64_t of = needs(w);
    assert_true(of > BIG && of <= BIG + BIG / 2); /* some chunks are of both */
    give_chunks(w, CARL);
    assert_true(needs(w) > 0); /* the other one is with Anna alone */
    sync_meet_expect(&w->d[BERT], "f", NULL);
    give_chunks(w, ANNA);
    assert_int_equal(needs(w), 0);
    assert_int_not_equal(device_ino(&w->d[BERT], "f"), 0);
    assert_int_equal(bare_n(&w->d[BERT]), 0);
    sync_meet_give(w, BERT, CARL);
    sync_meet_give(w, BERT, ANNA);
    sync_meet_all(w, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(merger_flush(w->d[i].s, true), 0);
    sync_meet_all(w, 3);
    assert_int_equal(bare_n(&w->d[BERT]), 0);
    sync_meet_expect_equal(w, 3);
}

static void an_old_version_that_is_asked_for_is_fetched(void **state)
{
    struct sync_meet *w = *state;
    struct space *s = w->d[BERT].s;
    struct content *c;
    struct path p;
    struct buf list CLEANUP(buf_fini) = {0};
    delete_unseen(w);
    assert_int_equal(path_find(s, "f", &p), 0);
    assert_int_equal(versions_of_path(s, &p, &list), 0);
    path_fini(&p);
    assert_int_equal(versions_n(&list), 1);
    struct version v = versions_at(&list, 0);
    uint64_t at = 0;
    assert_int_equal(needs(w), 0);
    assert_false(space_sync_wants(s, &at));
    assert_int_equal(version_ask(s, &v.rid, &v.h.content.dot), -ENODATA);
    assert_true(space_sync_wants(s, &at));
    assert_false(space_sync_wants(s, &at));
    assert_int_equal(needs(w), BIG);
    sync_meet_give(w, ANNA, BERT);
    assert_int_equal(needs(w), 0);
    assert_int_equal(bare_n(&w->d[BERT]), 0);
    assert_int_equal(version_ask(s, &v.rid, &v.h.content.dot), 0);
    assert_int_equal(version_open(s, &v.rid, &v.h.content.dot, &c), 0);
    assert_int_equal(content_size(c), BIG);
    content_free(c);
    sync_meet_expect(&w->d[BERT], "f", NULL);
}

/* Lines, long enough to be cut into chunks. */
static void save_lines(struct device *d, const char *path, const char *first, const char *last)
{
    struct buf b CLEANUP(buf_fini) = {0};
    buf_put_bytes(&b, bytes_str(first));
    for (int i = 0; i < 5000; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %d of many\n", i);
        buf_put_bytes(&b, bytes_str(line));
    }
    buf_put_bytes(&b, bytes_str(last));
    device_save(d, path, b.p, b.n);
}

static void a_base_of_a_merge_is_fetched(void **state)
{
    struct sync_meet *w = *state;
    save_lines(&w->d[ANNA], "f", "a\n", "z\n");
    sync_meet_give(w, ANNA, CARL);
    device_unlink(&w->d[ANNA], "f");
    sync_meet_give(w, ANNA, CARL);
    sync_meet_give_entries(w, ANNA, BERT);
    assert_int_equal(needs(w), 0);
    assert_int_equal(bare_n(&w->d[BERT]), 1);
    save_lines(&w->d[ANNA], "f", "A\n", "z\n");
    save_lines(&w->d[CARL], "f", "a\n", "Z\n");
    sync_meet_sign(&w->d[ANNA]);
    sync_meet_sign(&w->d[CARL]);
    merger_hold(w->d[BERT].s);
    sync_meet_give(w, ANNA, BERT);
    sync_meet_give(w, CARL, BERT);
    assert_int_equal(w->d[BERT].s->sync->wanted.n, 0);
    assert_int_equal(merger_flush(w->d[BERT].s, false), 0);
    assert_int_not_equal(w->d[BERT].s->sync->wanted.n, 0);
    sync_meet_give(w, ANNA, BERT); /* nothing new but what is wanted */
    assert_int_equal(bare_n(&w->d[BERT]), 0);
    assert_int_equal(merger_flush(w->d[BERT].s, false), 0);
    merger_release(w->d[BERT].s);
    char got[2];
    uint64_t ino = device_ino(&w->d[BERT], "f");
    assert_int_equal(tree_read(w->d[BERT].s->tree, ino, 0, got, 2), 2);
    assert_memory_equal(got, "A\n", 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(content_of_deleted_files_is_not_fetched),
        TEST(what_is_deleted_when_it_comes_is_taken_without_its_bytes),
        TEST(what_is_shown_again_is_fetched_first),
        TEST(what_was_not_whole_is_given_when_it_is),
        TEST(a_side_of_a_conflict_is_fetched),
        TEST(an_old_version_that_is_asked_for_is_fetched),
        TEST(a_base_of_a_merge_is_fetched),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
