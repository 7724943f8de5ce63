/*
 * Spaces brought to the same tree by nothing but what is signed and sealed: fs/space/sync.h. Each
 * transfer is what a server in the middle would carry.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/history_view.h"
#include "fs/space/sync_priv.h"
#include "fs/space/unsent.h"
#include "fs/space/versions.h"
#include "proto/sealed/chunk.h"
#include "tests/support/answer.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sealed_fixture.h"
#include "tests/support/sync_meet.h"

static int setup(void **state)
{
    static struct sync_meet w;
    sync_meet_found(&w, "anna");
    sync_meet_join(&w, 1, "bert", 0);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    sync_meet_close(*state);
    return 0;
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void saves_go_both_ways(void **state)
{
    struct sync_meet *w = *state;
    device_make(&w->d[0], "notes", S_IFDIR | 0755);
    device_save_text(&w->d[0], "notes/a.md", "one");
    sync_meet_give(w, 0, 1);
    sync_meet_expect(&w->d[1], "notes/a.md", "one");
    device_save_text(&w->d[1], "notes/a.md", "two");
    device_save_text(&w->d[1], "b.md", "bert's");
    sync_meet_give(w, 1, 0);
    sync_meet_expect(&w->d[0], "notes/a.md", "two");
    sync_meet_expect(&w->d[0], "b.md", "bert's");
    device_rename(&w->d[0], "notes", "texts");
    device_unlink(&w->d[0], "b.md");
    sync_meet_all(w, 2);
    sync_meet_expect(&w->d[1], "texts/a.md", "two");
    sync_meet_expect(&w->d[1], "b.md", NULL);
    sync_meet_expect_equal(w, 2);
}

static void what_was_replaced_before_it_was_sent_is_never_sent(void **state)
{
    struct sync_meet *w = *state;
    for (int i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "version %d", i);
        device_save_text(&w->d[0], "a.md", text);
        assert_int_equal(publisher_flush(w->d[0].s), 0);
    }
    assert_true(sync_meet_give(w, 0, 1) <= 3);
    sync_meet_expect(&w->d[1], "a.md", "version 19");
    sync_meet_expect_equal(w, 2);
}

static void big_content_comes_before_its_entry_shows(void **state)
{
    struct sync_meet *w = *state;
    static uint8_t big[3 << 20];
    randombytes_buf(big, sizeof big);
    device_save(&w->d[0], "big", big, sizeof big);
    device_save_text(&w->d[0], "small", "x");
    sync_meet_give(w, 0, 1);
    uint64_t ino = device_ino(&w->d[1], "big");
    assert_int_not_equal(ino, 0);
    static uint8_t got[sizeof big + 1];
    assert_int_equal(tree_read(w->d[1].s->tree, ino, 0, got, sizeof got), sizeof big);
    assert_memory_equal(got, big, sizeof big);
    sync_meet_all(w, 2);
    sync_meet_expect_equal(w, 2);
}

/* Gives the second device the entries of the first, but no chunk. */
static void give_without_content(struct sync_meet *w)
{
    struct arrival at;
    sync_meet_sign(&w->d[0]);
    while (space_sync_next(w->d[0].s, w->done[0][1], 2, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        w->done[0][1] = at.number;
        int rc = space_sync_seal(w->d[0].s, &at, &bytes, &chunks);
        if (rc == 0)
            rc = at.kind == ARRIVAL_ACT ? space_sync_take_act(w->d[1].s, 1, buf_bytes(&bytes))
                                        : space_sync_take_entry(w->d[1].s, 1, buf_bytes(&bytes));
        assert_true(rc >= 0 || rc == -ENOENT);
    }
    assert_int_equal(space_sync_settle(w->d[1].s), 0);
}

static void save_random(struct device *d, const char *path, size_t n)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    randombytes_buf(p, n);
    device_save(d, path, p, n);
    free(p);
}

static int count_need(void *arg, const struct content_need *need)
{
    (void)need;
    ++*(size_t *)arg;
    return 0;
}

static void superseded_content_is_not_needed(void **state)
{
    struct sync_meet *w = *state;
    struct buf waiting CLEANUP(buf_fini) = {0};
    struct sync_wait one;
    size_t needs = 0;
    save_random(&w->d[0], "a", 3 << 20);
    give_without_content(w);
    save_random(&w->d[0], "a", 2 << 20);
    give_without_content(w);
    assert_int_equal(w->d[1].s->sync->counts.content_waiting, 2);
    device_save_text(&w->d[0], "a", "short now");
    give_without_content(w);
    device_reopen(&w->d[1]);
    assert_int_equal(space_sync_waiting(w->d[1].s, &waiting), 0);
    assert_int_equal(waiting.n, 2 * sizeof one);
    for (size_t i = 0; i < waiting.n; i += sizeof one) {
        memcpy(&one, waiting.p + i, sizeof one);
        assert_int_equal(one.rank, 0);
        assert_int_equal(space_sync_needs(w->d[1].s, &one.dot, count_need, &needs), 0);
        assert_int_equal(needs, 0);
        assert_in_range(space_sync_retry(w->d[1].s, &one.dot), SYNC_KNOWN, SYNC_TAKEN);
    }
    assert_int_equal(w->d[1].s->sync->counts.content_waiting, 0);
    assert_int_equal(w->d[1].s->sync->counts.content_bytes, 0);
    device_reopen(&w->d[1]); /* no row of them is left */
    assert_int_equal(w->d[1].s->sync->counts.content_waiting, 0);
    sync_meet_expect(&w->d[1], "a", "short now");
    /* It knows all, though it never had the content. */
    assert_true(
        vv_covers(replica_knowledge(w->d[1].s->replica), replica_knowledge(w->d[0].s->replica)));
    sync_meet_all(w, 2);
    sync_meet_expect_equal(w, 2);
}

static void third_device_learns_all_from_the_second(void **state)
{
    struct sync_meet *w = *state;
    device_save_text(&w->d[0], "a", "1");
    device_save_text(&w->d[0], "b", "2");
    sync_meet_give(w, 0, 1);
    device_save_text(&w->d[1], "b", "3");
    device_join(&w->d[2], "carl", 3, &w->d[1]);
    sync_meet_give(w, 1, 2);
    assert_int_equal(space_sync_join(w->d[2].s), 1);
    device_save_text(&w->d[2], "c", "carl's");
    sync_meet_give(w, 2, 1);
    sync_meet_give(w, 1, 0);
    sync_meet_expect(&w->d[2], "a", "1");
    sync_meet_expect(&w->d[2], "b", "3");
    sync_meet_expect(&w->d[0], "c", "carl's");
    sync_meet_all(w, 3);
    sync_meet_expect_equal(w, 3);
}

static void a_restart_forgets_nothing(void **state)
{
    struct sync_meet *w = *state;
    device_save_text(&w->d[0], "a", "1");
    sync_meet_give(w, 0, 1);
    device_reopen(&w->d[0]);
    device_reopen(&w->d[1]);
    device_save_text(&w->d[1], "a", "2");
    device_save_text(&w->d[0], "b", "3");
    sync_meet_all(w, 2);
    sync_meet_expect(&w->d[0], "a", "2");
    sync_meet_expect(&w->d[1], "b", "3");
    sync_meet_expect_equal(w, 2);
}

static void a_state_closes_gaps_and_says_who_is_equal(void **state)
{
    struct sync_meet *w = *state;
    struct arrival at;
    struct buf peers CLEANUP(buf_fini) = {0};
    struct sync_peer p;
    device_save_text(&w->d[0], "a", "1");
    sync_meet_give(w, 0, 1);
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
    sync_meet_give(w, 0, 1);
    sync_meet_expect(&w->d[1], "a", "3");
    assert_false(
        vv_covers(replica_knowledge(w->d[1].s->replica), replica_knowledge(w->d[0].s->replica)));
    assert_int_equal(space_sync_state(w->d[0].s), 1);
    assert_int_equal(space_sync_state(w->d[0].s), 0);
    sync_meet_give(w, 0, 1);
    sync_meet_expect_equal(w, 2);
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
    struct sync_meet *w = *state;
    for (int i = 0; i < 5; i++) {
        char text[32];
        snprintf(text, sizeof text, "version %d", i);
        device_save_text(&w->d[0], "a.md", text);
        sync_meet_give(w, 0, 1);
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
    sync_meet_give(w, 0, 1);
    assert_int_equal(count_rows(&w->d[0], SYNC_REPLACED), 0);
    sync_meet_expect(&w->d[1], "a.md", "version 4");
    sync_meet_all(w, 2);
    sync_meet_expect_equal(w, 2);
}

/* The bytes of the largest row. */
static size_t largest_row(struct device *d, int tag)
{
    const uint8_t prefix = (uint8_t)tag;
    struct db_iter *it = db_iter_new(d->s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    size_t n = 0;
    while (db_iter_next(it))
        n = db_iter_value(it).n > n ? db_iter_value(it).n : n;
    db_iter_free(it);
    return n;
}

/* All that age lets go. */
static uint64_t thin(struct device *d)
{
    struct rid cursor = RID_ROOT;
    uint64_t removed, all = 0;
    for (int more = 1; more == 1; all += removed) {
        more = tidy_slice(d->s, tidy_now_ms() + UINT64_C(400) * 86400000, &cursor, &removed);
        assert_true(more >= 0);
    }
    return all;
}

static void content_is_in_its_version_and_in_the_entry_when_that_is_gone(void **state)
{
    enum { N = 1000 };
    struct sync_meet *w = *state;
    char text[N + 1] = {0};
    for (char c = 'a'; c <= 'c'; c++) { /* made, with a name that stays current; edited twice */
        memset(text, c, N);
        device_save_text(&w->d[0], "a.md", c == 'c' ? "now" : text);
        sync_meet_give(w, 0, 1);
    }
    size_t before = count_rows(&w->d[1], SYNC_ENTRY);
    device_reopen(&w->d[1]); /* nobody has the files of the older ones open any more */
    for (size_t i = 0; i < 2; i++) {
        assert_in_range(largest_row(&w->d[i], SYNC_ENTRY), 1, N - 1);
        assert_int_equal(thin(&w->d[i]), 2);
        assert_in_range(largest_row(&w->d[i], SYNC_ENTRY), N, 2 * N);
    }
    assert_int_equal(count_rows(&w->d[1], SYNC_ENTRY), before - 1); /* of the first edit */
    device_join(&w->d[2], "carl", 3, &w->d[1]);
    sync_meet_give(w, 1, 2);
    sync_meet_expect(&w->d[2], "a.md", "now");
    assert_int_equal(space_sync_join(w->d[2].s), 1);
    sync_meet_all(w, 3);
    assert_int_equal(space_sync_state(w->d[0].s), 1); /* nothing is left of the first edit */
    sync_meet_all(w, 3);
    sync_meet_expect_equal(w, 3);
}

static void what_all_know_to_be_deleted_is_cleaned_up(void **state)
{
    struct sync_meet *w = *state;
    device_save_text(&w->d[0], "a.md", "x");
    device_save_text(&w->d[0], "b.md", "y");
    sync_meet_all(w, 2);
    device_unlink(&w->d[0], "a.md");
    sync_meet_all(w, 2);
    assert_int_equal(exchange_clean(w->d[0].s, tidy_now_ms()),
                     0); /* nobody has said that it knows */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(space_sync_state(w->d[i].s), 1);
    sync_meet_all(w, 2);
    assert_int_equal(exchange_clean(w->d[0].s, tidy_now_ms()), 1);
    assert_int_equal(exchange_clean(w->d[0].s, tidy_now_ms()), 0);
    sync_meet_expect_equal(w, 2); /* also while it is cleaned up on one of them alone */
    assert_int_equal(exchange_clean(w->d[1].s, tidy_now_ms()), 1);
    device_save_text(&w->d[1], "a.md", "again");
    sync_meet_all(w, 2);
    sync_meet_expect(&w->d[0], "a.md", "again");
    sync_meet_expect_equal(w, 2);
}

/* An editor's temporary file that was published before it was saved and renamed over the note. */
static void what_takes_a_name_brings_its_content_along(void **state)
{
    struct sync_meet *w = *state;
    struct arrival at;
    device_save_text(&w->d[0], "note.md", "note");
    device_save_text(&w->d[0], "t", "half");
    sync_meet_give(w, 0, 1);
    device_save_text(&w->d[0], "t", "whole");
    device_rename(&w->d[0], "t", "note.md");
    struct publish_item name = {.ino = TREE_ROOT, .name = bytes_str("note.md"), .forced = true};
    assert_int_equal(publish_name(w->d[0].s, &name), PUBLISH_DONE);
    assert_int_equal(space_sync_collect(w->d[0].s), 0);
    while (space_sync_next(w->d[0].s, w->done[0][1], 2, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        char text[16] = "";
        w->done[0][1] = at.number;
        assert_int_equal(space_sync_seal(w->d[0].s, &at, &bytes, &chunks), 0);
        assert_int_equal(space_sync_take_entry(w->d[1].s, 1, buf_bytes(&bytes)), SYNC_TAKEN);
        uint64_t ino = device_ino(&w->d[1], "note.md");
        assert_true(tree_read(w->d[1].s->tree, ino, 0, text, sizeof text - 1) > 0);
        assert_string_not_equal(text, "half");
    }
    sync_meet_expect(&w->d[1], "note.md", "whole");
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
    struct sync_meet *w = *state;
    struct arrival at;
    struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
    device_save_text(&w->d[0], "a.md", "poison");
    assert_int_equal(publisher_flush(w->d[0].s), 0);
    assert_int_equal(space_sync_collect(w->d[0].s), 0);
    assert_int_equal(space_sync_next(w->d[0].s, w->done[0][1], 2, &at), 1);
    assert_int_equal(space_sync_seal(w->d[0].s, &at, &bytes, &chunks), 0);
    struct entry e;
    assert_int_equal(entry_parse_sealed(buf_bytes(&bytes), &e), 0);
    struct dot key = sync_poison_key(&e);
    for (int i = 0; i < 5; i++)
        crash_while_taking(&w->d[1], &key, SIGKILL);
    crash_while_taking(&w->d[1], &key, SIGABRT);
    assert_true(sync_poison_begin(w->d[1].s->sync, &key));
    sync_poison_end(w->d[1].s->sync);
    crash_while_taking(&w->d[1], &key, SIGABRT);
    assert_int_equal(space_sync_take_entry(w->d[1].s, 1, buf_bytes(&bytes)), SYNC_REFUSED);
    w->done[0][1] = at.number;
    device_save_text(&w->d[0], "b.md", "others come");
    sync_meet_give(w, 0, 1);
    sync_meet_expect(&w->d[1], "b.md", "others come");
    sync_meet_expect(&w->d[1], "a.md", NULL);
}

static void a_copied_device_takes_a_new_id_and_nothing_is_lost(void **state)
{
    struct sync_meet *w = *state;
    device_save_text(&w->d[0], "a.md", "before");
    sync_meet_give(w, 0, 1);
    sync_meet_give(w, 1, 0);
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
    sync_meet_give(w, 0, 1);
    sync_meet_give(w, 1, 2);
    assert_int_not_equal(replica_id(w->d[2].s->replica), id);
    assert_int_equal(replica_id(w->d[0].s->replica), id);
    sync_meet_give(w, 2, 1);
    sync_meet_give(w, 1, 0);
    for (size_t i = 0; i < 3; i++) {
        sync_meet_expect(&w->d[i], "a.md", "changed by the copy");
        sync_meet_expect(&w->d[i], "b.md", "of the original");
        sync_meet_expect(&w->d[i], "c.md", "of the copy");
    }
    sync_meet_all(w, 3);
    sync_meet_expect_equal(w, 3);
}

static void a_restored_device_goes_on_where_others_know_more(void **state)
{
    struct sync_meet *w = *state;
    device_save_text(&w->d[0], "a.md", "one");
    sync_meet_give(w, 0, 1);
    device_copy(&w->d[2], &w->d[0]); /* the backup */
    device_save_text(&w->d[0], "a.md", "two");
    device_save_text(&w->d[0], "b.md", "later");
    sync_meet_give(w, 0, 1);
    device_close(&w->d[0]); /* lost */
    w->d[0] = w->d[2];
    w->d[2].s = NULL;
    memset(w->done, 0, sizeof w->done);
    w->back = true;
    sync_meet_give(w, 1, 0);
    sync_meet_expect(&w->d[0], "a.md", "two");
    sync_meet_expect(&w->d[0], "b.md", "later");
    device_save_text(&w->d[0], "a.md", "three");
    sync_meet_all(w, 2);
    sync_meet_expect(&w->d[1], "a.md", "three");
    sync_meet_expect_equal(w, 2);
}

static void a_chunk_that_is_not_what_its_name_says_is_refused(void **state)
{
    struct sync_meet *w = *state;
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

/* ---- labels ---- */

static void give_label(struct device *of, struct device *to, const char *label)
{
    struct buf raw CLEANUP(buf_fini) = {0};
    uint8_t sealed[ACT_LABEL_SIZE];
    const struct sync *y = of->s->sync;
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_LABEL;
    a.label = sealed;
    assert_int_equal(act_label_seal(sync_epoch(of->s), &y->space, &y->id, bytes_str(label), sealed),
                     0);
    hostile_act(of, &a, &raw);
    assert_int_equal(space_sync_take_act(to->s, 1, buf_bytes(&raw)), SYNC_TAKEN);
    assert_int_equal(space_sync_take_act(of->s, 1, buf_bytes(&raw)), SYNC_TAKEN);
}

/* How often a word that begins with @label is in what a verb says. */
static unsigned words_of(struct device *d, const char *verb, const char *path, const char *label)
{
    char word[LIMIT_LABEL + 2];
    struct answer a = answer_of(d, verb, path, NULL);
    unsigned n = 0;
    snprintf(word, sizeof word, " %s", label);
    for (const char *p = a.text; (p = strstr(p, word)) != NULL; p++)
        n++;
    return n;
}

static bool is_in_history(struct device *d, const char *path, const char *label)
{
    char word[LIMIT_LABEL + 3];
    struct buf names CLEANUP(buf_fini) = {0};
    snprintf(word, sizeof word, " %s ", label);
    assert_int_equal(history_view_list(d->s, path, &names), 0);
    const uint8_t *at = memmem(names.p, names.n, word, strlen(word));
    if (at == NULL)
        return false;
    /* The first name: it is found, too. */
    struct history_view v;
    assert_int_equal(history_view_find(d->s, path, bytes_of(names.p + 2, names.p[1]), &v), 0);
    assert_true(v.is_version);
    return true;
}

static void the_past_and_conflicts_name_devices_by_label(void **state)
{
    struct sync_meet *w = *state;
    struct device *bert = &w->d[1];
    char label[LIMIT_LABEL + 1];
    device_save_text(&w->d[0], "a.md", "one");
    sync_meet_all(w, 2);
    /* A copy of anna's device writes, too, as another replica of it. */
    device_copy(&w->d[2], &w->d[0]);
    memcpy(w->done[2], w->done[0], sizeof w->done[2]);
    w->done[1][2] = w->done[1][0];
    device_save_text(&w->d[0], "b.md", "of the original");
    device_save_text(&w->d[2], "a.md", "of the copy");
    assert_int_equal(publisher_flush(w->d[2].s), 0);
    sync_meet_give(w, 0, 1);
    sync_meet_give(w, 1, 2);
    sync_meet_all(w, 3);
    assert_int_not_equal(replica_id(w->d[2].s->replica), replica_id(w->d[0].s->replica));
    assert_int_equal(words_of(bert, "log", "a.md", "anna"), 2);
    assert_true(is_in_history(bert, "a.md", "anna"));
    /* A conflict that is open. */
    device_save_text(&w->d[0], "c.bin", "anna's");
    assert_int_equal(publisher_flush(w->d[0].s), 0);
    usleep(5000);
    device_save_text(bert, "c.bin", "bert's");
    sync_meet_all(w, 2);
    assert_int_equal(words_of(bert, "conflicts", "", "anna"), 1);
    assert_int_equal(words_of(bert, "conflicts", "", "bert"), 1);
    /* A new label shows at once, an unknown device as a number. */
    struct timespec before = history_view_time(bert->s);
    give_label(&w->d[0], bert, "anne");
    struct timespec after = history_view_time(bert->s);
    assert_memory_not_equal(&before, &after, sizeof before);
    assert_int_equal(words_of(bert, "log", "a.md", "anna"), 0);
    assert_int_equal(words_of(bert, "log", "a.md", "anne"), 2);
    assert_true(is_in_history(bert, "a.md", "anne"));
    struct dot unknown = {.replica = UINT64_C(0x12345678abcdef00), .counter = 1};
    assert_string_equal(version_device(bert->s, &unknown, label), "12345678");
}

struct beside {
    const char *label;
    unsigned n, other; /* names with this label; with another one */
};

static bool find_beside(void *arg, const struct tree_entry *e)
{
    struct beside *b = arg;
    static const char mark[] = "(conflict from ";
    char name[LIMIT_NAME + 1];
    snprintf(name, sizeof name, "%.*s", (int)e->name.n, (const char *)e->name.p);
    const char *at = strstr(name, mark);
    bool is = at != NULL && strncmp(at + sizeof mark - 1, b->label, strlen(b->label)) == 0 &&
              at[sizeof mark - 1 + strlen(b->label)] == ' ';
    b->n += is;
    b->other += at != NULL && !is;
    return true;
}

/* The name under which a device shows the file that is not the first of its name: its label. */
static void expect_beside(struct device *d, const char *label)
{
    struct beside b = {.label = label};
    assert_int_equal(space_sync_settle(d->s), 0);
    assert_int_equal(tree_list(d->s->tree, TREE_ROOT, 0, false, find_beside, &b), 0);
    if (b.n != 1 || b.other != 0)
        fail_msg("%u names with the label %s, %u with another", b.n, label, b.other);
}

static void names_of_conflicts_follow_a_new_label(void **state)
{
    struct sync_meet *w = *state;
    struct device *bert = &w->d[1];
    device_save_text(&w->d[0], "f", "anna's");
    assert_int_equal(publisher_flush(w->d[0].s), 0);
    usleep(5000);
    device_make(bert, "f", S_IFDIR | 0755);
    sync_meet_all(w, 2);
    expect_beside(bert, "anna");
    give_label(&w->d[0], bert, "anne");
    expect_beside(bert, "anne");
    give_label(&w->d[0], bert, "hanna");
    device_reopen(bert); /* it dies before it has changed the name */
    expect_beside(bert, "hanna");
    device_save_text(bert, "f/in", "goes on");
    sync_meet_all(w, 2);
    sync_meet_expect(&w->d[0], "f/in", "goes on");
    expect_beside(bert, "hanna");
}

/* ---- acts that wait ---- */

/* An act that a server made up: of nobody known, with a parent that is not known. */
static void take_junk(struct device *d, uint32_t number)
{
    static const uint8_t parent[ACT_ID_SIZE] = {9};
    struct buf raw CLEANUP(buf_fini) = {0};
    struct member_keys k = sealed_member(77);
    struct member_public pub = sealed_public(77);
    struct act a = {.kind = ACT_DOOR,
                    .space = d->s->sync->space,
                    .author = member_id_of(&pub),
                    .number = number,
                    .parents = {parent, 1}};
    memcpy(a.door, k.sign_public, SIGN_KEY_SIZE);
    assert_int_equal(act_sign(&a, &k, &raw), 0);
    assert_int_equal(space_sync_take_act(d->s, 1, buf_bytes(&raw)), SYNC_WAITS);
}

static size_t rows_that_wait(struct device *d)
{
    static const uint8_t prefix = SYNC_ACT_WAITS;
    struct db_iter *it = db_iter_new(d->s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    size_t n = 0;
    assert_non_null(it);
    while (db_iter_next(it))
        n++;
    db_iter_free(it);
    return n;
}

static void junk_acts_keep_no_true_one_out_and_take_bounded_room(void **state)
{
    struct sync_meet *w = *state;
    struct device *bert = &w->d[1];
    const struct members *of_bert = bert->s->sync->members, *of_anna = w->d[0].s->sync->members;
    size_t n = members_acts_n(of_bert);
    assert_int_equal(members_acts_n(of_anna), n);
    for (uint32_t i = 1; i <= MEMBERS_WAITING_MAX + 100; i++)
        take_junk(bert, i);
    assert_int_equal(rows_that_wait(bert), MEMBERS_WAITING_MAX);
    device_reopen(bert);
    of_bert = bert->s->sync->members;
    /* Carl comes; what that took arrives backwards, with junk between. */
    sync_meet_join(w, 2, "carl", 0);
    for (size_t i = members_acts_n(of_anna); i > n; i--) {
        assert_int_equal(space_sync_take_act(bert->s, 1, members_act(of_anna, i - 1)->raw),
                         i - 1 > n ? SYNC_WAITS : SYNC_TAKEN);
        take_junk(bert, 10000 + (uint32_t)i);
    }
    assert_true(members_acts_n(of_anna) > n + 2);
    assert_int_equal(members_acts_n(of_bert), members_acts_n(of_anna));
    assert_in_range(rows_that_wait(bert), 1, MEMBERS_WAITING_MAX);
}

/* ---- more than an entry holds ------------------------------------------------------------------
 */

enum { MANY = 6, MUCH = 32000 };

/* A file with as many attributes as there may be, of which all devices write a small, random
 * version at once. */
static void write_all_at_once(struct sync_meet *w)
{
    static uint8_t bytes[MUCH];
    device_save_text(&w->d[0], "much", "");
    for (char name[] = "user.a"; name[5] <= 'b'; name[5]++) {
        randombytes_buf(bytes, sizeof bytes);
        assert_int_equal(tree_xattr_set(w->d[0].s->tree, device_ino(&w->d[0], "much"),
                                        bytes_str(name), bytes_of(bytes, sizeof bytes), 0),
                         0);
    }
    sync_meet_all(w, MANY);
    for (size_t i = 0; i < MANY; i++) {
        randombytes_buf(bytes, sizeof bytes);
        device_save(&w->d[i], "much", bytes, sizeof bytes);
        sync_meet_sign(&w->d[i]);
    }
}

static void expect_unsent(struct device *d, const char *path)
{
    struct unsent u;
    assert_int_equal(unsent_get(d->s, &u), 0);
    bool found = path == NULL && u.n == 0;
    for (size_t i = 0; i < u.named && path != NULL; i++)
        found = found || bytes_equal(buf_bytes(&u.path[i]), bytes_str(path));
    unsent_fini(&u);
    assert_true(found);
}

/* A save that settles the conflict: beside it are the five that it does not replace. */
static void a_change_that_no_entry_holds_is_told_and_the_rest_goes_on(void **state)
{
    struct sync_meet *w = *state;
    static const char *const labels[] = {"carl", "dora", "emil", "frida"};
    for (size_t i = 2; i < MANY; i++)
        sync_meet_join(w, i, labels[i - 2], 0);
    sync_meet_all(w, MANY);
    write_all_at_once(w);
    expect_unsent(&w->d[0], NULL);
    for (size_t i = 1; i < MANY; i++)
        sync_meet_give(w, i, 0);
    device_save_text(&w->d[0], "much", "all of them");
    device_save_text(&w->d[0], "other", "goes on");
    sync_meet_give(w, 0, 1);
    sync_meet_expect(&w->d[1], "other", "goes on");
    expect_unsent(&w->d[0], "much");
    device_reopen(&w->d[0]);
    expect_unsent(&w->d[0], "much");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(saves_go_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_replaced_before_it_was_sent_is_never_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(big_content_comes_before_its_entry_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(superseded_content_is_not_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(third_device_learns_all_from_the_second, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_forgets_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_closes_gaps_and_says_who_is_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(superseded_entries_go_and_the_next_one_names_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_all_know_to_be_deleted_is_cleaned_up, setup, teardown),
        cmocka_unit_test_setup_teardown(what_takes_a_name_brings_its_content_along, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_change_that_crashes_the_program_twice_is_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            content_is_in_its_version_and_in_the_entry_when_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copied_device_takes_a_new_id_and_nothing_is_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restored_device_goes_on_where_others_know_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_not_what_its_name_says_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_past_and_conflicts_name_devices_by_label, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(names_of_conflicts_follow_a_new_label, setup, teardown),
        cmocka_unit_test_setup_teardown(junk_acts_keep_no_true_one_out_and_take_bounded_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_change_that_no_entry_holds_is_told_and_the_rest_goes_on,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
