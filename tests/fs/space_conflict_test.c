/*
 * What becomes of files that were edited apart: two or three spaces that exchange their changes,
 * with the policy that holds for the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/drivers.h"
#include "fs/space/merger.h"
#include "fs/space/sibling.h"
#include "fs/space/verb.h"
#include "tests/support/answer.h"
#include "tests/support/meet.h"

enum { DEVICES = 3 };

struct three {
    struct device d[DEVICES];
};

static int setup(void **state)
{
    static const char *const names[] = {"anna", "bert", "carl"};
    static struct three t;
    for (int i = 0; i < DEVICES; i++)
        device_open(&t.d[i], names[i], i == 0 ? NULL : &t.d[0]);
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    struct three *t = *state;
    for (int i = 0; i < DEVICES; i++)
        device_close(&t->d[i]);
    return 0;
}

/* ---- what the devices do ---- */

static void meet(struct three *t, size_t n)
{
    struct device *all[] = {&t->d[0], &t->d[1], &t->d[2]};
    devices_meet(all, n);
}

/* Each merges what it can, at the same moment, and then they tell each other, until all rest. */
static void settle(struct three *t, size_t n)
{
    meet(t, n);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < n; i++)
            assert_int_equal(merger_flush(t->d[i].s, false), 0);
        meet(t, n);
    }
}

struct listing {
    unsigned files, siblings;
};

static bool add_name(void *arg, const struct tree_entry *e)
{
    struct listing *l = arg;
    if (e->offset <= 2)
        return true;
    l->files++;
    l->siblings += sibling_is(e->name);
    return true;
}

static struct listing list(struct device *d)
{
    struct listing l = {0};
    assert_int_equal(tree_list(d->s->tree, TREE_ROOT, 0, false, add_name, &l), 0);
    return l;
}

static int count(void *ctx, const struct rid *rid)
{
    (void)rid;
    ++*(unsigned *)ctx;
    return 0;
}

static unsigned open_conflicts(struct device *d)
{
    unsigned n = 0;
    pthread_mutex_lock(&d->s->lock);
    assert_int_equal(replica_conflicts(d->s->replica, count, &n), 0);
    pthread_mutex_unlock(&d->s->lock);
    return n;
}

static void assert_bytes(struct device *d, const char *path, const void *p, size_t n)
{
    uint64_t ino = device_ino(d, path);
    if (ino == 0)
        fail_msg("%s is missing", path);
    struct attr a;
    assert_int_equal(tree_getattr(d->s->tree, ino, &a), 0);
    char *got = calloc(a.size + 1, 1);
    assert_non_null(got);
    assert_int_equal(tree_read_unseen(d->s->tree, ino, 0, got, a.size), (int64_t)a.size);
    if (a.size != n || memcmp(got, p, n) != 0)
        fail_msg("%s has: %s", path, got);
    free(got);
}

/* All devices show this content, and @siblings more files beside it. */
static void expect(struct three *t, size_t n, const char *path, const char *text, unsigned siblings)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(open_conflicts(&t->d[i]), 0);
        assert_bytes(&t->d[i], path, text, strlen(text));
        assert_int_equal(list(&t->d[i]).siblings, siblings);
    }
}

/* Both know @base; then each has its own edit of it, the second device's is the later. */
static void edit_apart(struct three *t, const char *path, const char *base, const char *a,
                       const char *b)
{
    if (base != NULL) {
        device_save_text(&t->d[0], path, base);
        meet(t, 2);
    }
    device_save_text(&t->d[0], path, a);
    assert_int_equal(publisher_flush(t->d[0].s), 0);
    usleep(2000); /* stamps count milliseconds */
    device_save_text(&t->d[1], path, b);
    assert_int_equal(publisher_flush(t->d[1].s), 0);
    settle(t, 2);
}

static void set_policy(struct three *t, const char *text)
{
    device_save_text(&t->d[0], ".persistpolicy", text);
    meet(t, 3);
}

/* ---- strategies ---- */

static void text_merges_edits_of_different_paragraphs(void **state)
{
    edit_apart(*state, "notes.md", "one\n\ntwo\n\nthree\n", "ONE\n\ntwo\n\nthree\n",
               "one\n\ntwo\n\nTHREE\n");
    expect(*state, 2, "notes.md", "ONE\n\ntwo\n\nTHREE\n", 0);
}

static void text_keeps_both_of_what_overlaps(void **state)
{
    edit_apart(*state, "notes", "one\n", "first\n", "uno\n");
    expect(*state, 2, "notes", "uno\n", 1);
}

static void text_keeps_line_ends_mark_and_missing_newline(void **state)
{
    edit_apart(*state, "crlf", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n");
    expect(*state, 2, "crlf", "A\r\nb\r\nC\r\n", 0);
    edit_apart(*state, "mark",
               "\xef\xbb\xbf"
               "a\nb\nc",
               "\xef\xbb\xbf"
               "A\nb\nc",
               "\xef\xbb\xbf"
               "a\nb\nC");
    expect(*state, 2, "mark",
           "\xef\xbb\xbf"
           "A\nb\nC",
           0);
}

static void union_keeps_the_lines_of_both(void **state)
{
    set_policy(*state, "*.log union\n");
    edit_apart(*state, "x.log", "start\n", "start\nof a\n", "start\nof b\n");
    expect(*state, 2, "x.log", "start\nof a\nof b\n", 0);
}

static void json_merges_by_key(void **state)
{
    set_policy(*state, "*.json json\n");
    edit_apart(*state, "x.json", "{\"a\": 1, \"b\": 1}", "{\"a\": 2, \"b\": 1}",
               "{\"a\": 1, \"b\": 3}");
    expect(*state, 2, "x.json", "{\"a\": 2, \"b\": 3}", 0);
}

static void front_matter_unites_the_tags_of_both(void **state)
{
    edit_apart(*state, "n.md", "---\ntags: [x]\n---\ntext\n", "---\ntags: [x, a]\n---\ntext\n",
               "---\ntags: [x, b]\n---\ntext\n");
    struct three *t = *state;
    expect(t, 2, "n.md", "---\ntags: [x, a, b]\n---\ntext\n", 0);
}

static void lww_leaves_the_earlier_to_history(void **state)
{
    set_policy(*state, "* lww\n");
    edit_apart(*state, "f", "one\n", "first\n", "uno\n");
    expect(*state, 2, "f", "uno\n", 0);
}

static void keep_both_merges_nothing(void **state)
{
    set_policy(*state, "*.md keep-both\n");
    edit_apart(*state, "f.md", "one\n\ntwo\n", "ONE\n\ntwo\n", "one\n\nTWO\n");
    expect(*state, 2, "f.md", "one\n\nTWO\n", 1);
}

static void bytes_that_are_no_text_stay_both(void **state)
{
    struct three *t = *state;
    device_save(&t->d[0], "bin", "a\0b", 3);
    meet(t, 2);
    device_save(&t->d[0], "bin", "A\0b", 3);
    assert_int_equal(publisher_flush(t->d[0].s), 0);
    usleep(2000);
    device_save(&t->d[1], "bin", "a\0B", 3);
    settle(t, 2);
    for (int i = 0; i < 2; i++) {
        assert_bytes(&t->d[i], "bin", "a\0B", 3);
        assert_int_equal(list(&t->d[i]).siblings, 1);
    }
}

static void the_nearest_policy_holds(void **state)
{
    struct three *t = *state;
    device_make(&t->d[0], "logs", S_IFDIR | 0755);
    device_save_text(&t->d[0], "logs/.persistpolicy", "x union\n");
    set_policy(t, "logs/* lww\n");
    edit_apart(t, "logs/x", "start\n", "start\na\n", "start\nb\n");
    expect(t, 2, "logs/x", "start\na\nb\n", 0);
    edit_apart(t, "logs/y", "start\n", "start\na\n", "start\nb\n");
    expect(t, 2, "logs/y", "start\nb\n", 0);
}

/* ---- bases ---- */

static void base_is_the_latest_that_both_come_from(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n\n2\n\n3\n");
    meet(t, 2);
    device_save_text(&t->d[1], "f", "1\n\n2\n\n3\n\n4\n");
    meet(t, 2);
    edit_apart(t, "f", NULL, "one\n\n2\n\n3\n\n4\n", "1\n\n2\n\n3\n\n");
    /* From the older base the last line would be an insertion of one side. */
    expect(t, 2, "f", "one\n\n2\n\n3\n\n", 0);
}

static void base_of_edits_after_a_merge_is_the_merge(void **state)
{
    struct three *t = *state;
    edit_apart(t, "f", "1\n\n2\n\n3\n", "one\n\n2\n\n3\n", "1\n\n2\n\nthree\n");
    expect(t, 2, "f", "one\n\n2\n\nthree\n", 0);
    edit_apart(t, "f", NULL, "one\n\ntwo\n\nthree\n", "one\n\n2\n\nTHREE\n");
    expect(t, 2, "f", "one\n\ntwo\n\nTHREE\n", 0);
}

/* Each has merged by itself and edits its own merge before it hears of the other's. */
static void base_of_edits_of_two_equal_merges_is_the_merge(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n\n2\n\n3\n");
    meet(t, 2);
    device_save_text(&t->d[0], "f", "one\n\n2\n\n3\n");
    device_save_text(&t->d[1], "f", "1\n\n2\n\nthree\n");
    meet(t, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(merger_flush(t->d[i].s, false), 0);
    device_save_text(&t->d[0], "f", "ONE\n\n2\n\nthree\n");
    device_save_text(&t->d[1], "f", "one\n\n2\n\nTHREE\n");
    settle(t, 2);
    expect(t, 2, "f", "ONE\n\n2\n\nTHREE\n", 0);
}

static void without_the_base_a_conflict_is_left_to_others_for_a_while(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n\n2\n\n3\n");
    meet(t, 2);
    device_save_text(&t->d[0], "f", "one\n\n2\n\n3\n");
    device_save_text(&t->d[1], "f", "1\n\n2\n\nthree\n");
    assert_int_equal(publisher_flush(t->d[1].s), 0);
    /* The third one never had the first version. */
    device_pull(&t->d[2], &t->d[0]);
    device_pull(&t->d[2], &t->d[1]);
    device_pull(&t->d[2], &t->d[0]);
    assert_int_equal(merger_flush(t->d[2].s, false), 0);
    assert_int_equal(open_conflicts(&t->d[2]), 1);
    settle(t, 3);
    expect(t, 3, "f", "one\n\n2\n\nthree\n", 0);
}

static void without_the_base_anywhere_both_are_kept(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n");
    device_save_text(&t->d[1], "f", "2\n");
    assert_int_equal(publisher_flush(t->d[0].s), 0);
    settle(t, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_conflicts(&t->d[i]), 0);
        assert_int_equal(list(&t->d[i]).siblings, 1);
    }
}

/* ---- how conflicts end ---- */

static void equal_contents_are_no_conflict(void **state)
{
    edit_apart(*state, "f", "one\n", "two\n", "two\n");
    expect(*state, 2, "f", "two\n", 0);
}

static void three_ways_merge_into_one_or_leave_two_siblings(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "good", "1\n\n2\n\n3\n");
    device_save_text(&t->d[0], "bad", "1\n");
    device_save_text(&t->d[0], "mixed", "1\n\n2\n\n3\n");
    meet(t, 3);
    static const char *const good[] = {"one\n\n2\n\n3\n", "1\n\ntwo\n\n3\n", "1\n\n2\n\nthree\n"};
    static const char *const bad[] = {"a\n", "b\n", "c\n"};
    static const char *const mixed[] = {"one\n\n2\n\n3\n", "1\n\n2\n\nTHREE\n",
                                        "1\n\n2\n\nthree\n"};
    for (int i = 0; i < DEVICES; i++) {
        device_save_text(&t->d[i], "good", good[i]);
        device_save_text(&t->d[i], "bad", bad[i]);
        device_save_text(&t->d[i], "mixed", mixed[i]);
        assert_int_equal(publisher_flush(t->d[i].s), 0);
        usleep(2000);
    }
    settle(t, 3);
    expect(t, 3, "good", "one\n\ntwo\n\nthree\n", 3); /* two of bad, one of mixed */
    expect(t, 3, "bad", "c\n", 3);
    expect(t, 3, "mixed", "one\n\n2\n\nthree\n", 3);
}

static void a_merge_is_kept_when_a_program_holds_the_file_open(void **state)
{
    struct three *t = *state;
    struct attr a;
    device_save_text(&t->d[0], "f", "1\n\n2\n\n3\n");
    meet(t, 2);
    uint64_t ino = device_ino(&t->d[0], "f");
    assert_int_equal(tree_open_file(t->d[0].s->tree, ino, true, false, &a), 0);
    device_save_text(&t->d[1], "f", "1\n\n2\n\nthree\n");
    meet(t, 2);
    assert_bytes(&t->d[0], "f", "1\n\n2\n\n3\n", 8); /* not under the program's hands */
    assert_int_equal(tree_write(t->d[0].s->tree, ino, bytes_str("7"), &(struct tree_write){0}), 0);
    tree_close_file(t->d[0].s->tree, ino, true);
    settle(t, 2);
    expect(t, 2, "f", "7\n\n2\n\nthree\n", 0);
}

static void a_save_over_what_its_program_had_not_seen_keeps_both(void **state)
{
    struct three *t = *state;
    struct attr a;
    device_save_text(&t->d[0], "f", "1\n");
    meet(t, 2);
    uint64_t ino = device_ino(&t->d[0], "f");
    assert_int_equal(tree_open_file(t->d[0].s->tree, ino, true, false, &a), 0);
    device_save_text(&t->d[1], "f", "2\n");
    meet(t, 2);
    assert_int_equal(tree_write(t->d[0].s->tree, ino, bytes_str("7"), &(struct tree_write){0}), 0);
    tree_close_file(t->d[0].s->tree, ino, true);
    settle(t, 2);
    expect(t, 2, "f", "7\n", 1);
}

static void conflicts_are_ended_by_the_thread_alone(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n\n2\n");
    meet(t, 2);
    merger_release(t->d[0].s);
    device_save_text(&t->d[0], "f", "one\n\n2\n");
    device_save_text(&t->d[1], "f", "1\n\ntwo\n");
    meet(t, 2);
    for (int i = 0; i < 500 && open_conflicts(&t->d[0]) > 0; i++)
        usleep(10000);
    merger_hold(t->d[0].s);
    meet(t, 2);
    expect(t, 2, "f", "one\n\ntwo\n", 0);
}

static void a_conflict_that_was_open_at_the_end_is_ended_at_the_next_start(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n\n2\n");
    meet(t, 2);
    device_save_text(&t->d[0], "f", "one\n\n2\n");
    device_save_text(&t->d[1], "f", "1\n\ntwo\n");
    meet(t, 2);
    device_reopen(&t->d[0]);
    merger_release(t->d[0].s);
    for (int i = 0; i < 500 && open_conflicts(&t->d[0]) > 0; i++)
        usleep(10000);
    merger_hold(t->d[0].s);
    meet(t, 2);
    expect(t, 2, "f", "one\n\ntwo\n", 0);
}

/* Sizes and depths at which a merge gives up, in bounded time. */
static void merge_bombs_end_as_siblings(void **state)
{
    struct three *t = *state;
    enum { N = 5 << 20, DEEP = 60000 };
    char *big = malloc(N);
    assert_non_null(big);
    set_policy(t, "*.json json\n");
    memset(big, '\n', N);
    device_save(&t->d[0], "big", big, N);
    memset(big, '[', DEEP);
    device_save(&t->d[0], "deep.json", "{}", 2);
    meet(t, 2);
    for (int i = 0; i < 2; i++) {
        memset(big, '\n', N);
        big[i] = 'x';
        device_save(&t->d[i], "big", big, N);
        memset(big, '[', DEEP);
        device_save(&t->d[i], "deep.json", big, (size_t)(DEEP - i));
        assert_int_equal(publisher_flush(t->d[i].s), 0);
    }
    uint64_t began_ms = space_now_ms();
    settle(t, 2);
    assert_true(space_now_ms() - began_ms < 20000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(list(&t->d[i]).siblings, 2);
    free(big);
}

/* ---- drivers ---- */

static void allow(struct device *d, const char *name, const char *script)
{
    CLEANUP(buf_fini) struct buf file = {0};
    CLEANUP(drivers_fini) struct drivers none = {.v = NULL};
    struct driver set = {.name = name, .argv = {"/bin/sh", "-c", script, "sh", "%O", "%A", "%B"}};
    assert_int_equal(drivers_put(&none, &set, NULL, &file), 0);
    int fd = openat(d->s->dir_fd, DRIVERS_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, file.p, file.n), (ssize_t)file.n);
    close(fd);
}

static void with_driver(struct three *t, const char *script)
{
    set_policy(t, "*.x exec:join\n");
    for (int i = 0; i < 2; i++)
        allow(&t->d[i], "join", script);
    edit_apart(t, "f.x", "base\n", "a\n", "b\n");
    struct stat st;
    for (int i = 0; i < 2; i++)
        assert_int_equal(fstatat(t->d[i].s->dir_fd, "merge", &st, 0), -1);
}

static void driver_gets_three_files_and_gives_one(void **state)
{
    with_driver(*state, "PATH=/bin:/usr/bin; cat \"$1\" \"$2\" \"$3\" > new && mv new \"$2\"");
    expect(*state, 2, "f.x", "base\nb\na\n", 0);
}

static void driver_runs_without_environment_in_its_own_folder(void **state)
{
    with_driver(*state,
                "PATH=/bin:/usr/bin; { ls | tr '\\n' ' '; stat -c %a .; "
                "/usr/bin/env | grep -v '^PWD=\\|^PATH=\\|^_=\\|^SHLVL='; } > \"$2\"; exit 0");
    expect(*state, 2, "f.x", "base ours theirs 700\n", 0);
}

static void driver_has_no_network(void **state)
{
    with_driver(*state, "PATH=/bin:/usr/bin; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' "
                        "> \"$2\"");
    expect(*state, 2, "f.x", "lo\n", 0);
}

static void driver_that_fails_leaves_both(void **state)
{
    with_driver(*state, "echo wrong > \"$2\"; exit 1");
    expect(*state, 2, "f.x", "b\n", 1);
}

static void driver_that_is_killed_or_left_no_result_leaves_both(void **state)
{
    with_driver(*state, "kill -9 $$");
    expect(*state, 2, "f.x", "b\n", 1);
    struct three *t = *state;
    allow(&t->d[0], "join", "PATH=/bin; rm \"$2\"; ln -s /etc/passwd \"$2\"");
    allow(&t->d[1], "join", "PATH=/bin; rm \"$2\"");
    edit_apart(t, "g.x", "base\n", "a\n", "b\n");
    expect(t, 2, "g.x", "b\n", 2);
}

static void driver_that_hangs_is_ended_with_all_it_started(void **state)
{
    char mark[64], script[256];
    snprintf(mark, sizeof mark, "7%d", (int)getpid() + 100000);
    snprintf(script, sizeof script,
             "PATH=/bin:/usr/bin; setsid sleep %s & (setsid sleep %s &) ; sleep %s", mark, mark,
             mark);
    struct three *t = *state;
    set_policy(t, "*.x exec:join\n");
    allow(&t->d[0], "join", script);
    device_save_text(&t->d[0], "f.x", "base\n");
    meet(t, 2);
    device_save_text(&t->d[0], "f.x", "a\n");
    device_save_text(&t->d[1], "f.x", "b\n");
    meet(t, 2);
    uint64_t began_ms = space_now_ms();
    assert_int_equal(merger_flush(t->d[0].s, false), 0);
    uint64_t took_ms = space_now_ms() - began_ms;
    assert_true(took_ms >= 9000 && took_ms < 15000);
    assert_int_equal(list(&t->d[0]).siblings, 1);
    char command[128];
    snprintf(command, sizeof command,
             "grep -lz '^%s$' /proc/[0-9]*/cmdline 2>/dev/null | grep -q .", mark);
    assert_int_not_equal(system(command), 0);
}

static void driver_that_writes_without_end_is_stopped(void **state)
{
    with_driver(*state, "PATH=/bin:/usr/bin; head -c 1073741824 /dev/zero; "
                        "head -c 1073741824 /dev/zero > \"$2\"");
    expect(*state, 2, "f.x", "b\n", 1);
}

static void driver_that_takes_too_much_memory_fails(void **state)
{
    with_driver(*state, "PATH=/bin:/usr/bin; head -c 800000000 /dev/zero | tail -n 1 > \"$2\"");
    struct three *t = *state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(open_conflicts(&t->d[i]), 0);
}

static void driver_that_is_not_allowed_here_is_left_to_others_then_both_stay(void **state)
{
    struct three *t = *state;
    set_policy(t, "*.x exec:join\n");
    edit_apart(t, "f.x", "base\n", "a\n", "b\n");
    assert_int_equal(open_conflicts(&t->d[0]), 1);
    allow(&t->d[1], "join", "PATH=/bin; cat \"$3\" >> \"$2\"");
    settle(t, 2);
    expect(t, 2, "f.x", "b\na\n", 0);
    assert_int_equal(unlinkat(t->d[1].s->dir_fd, DRIVERS_FILE, 0), 0);
    edit_apart(t, "g.x", "base\n", "a\n", "b\n");
    assert_int_equal(merger_flush(t->d[0].s, true), 0);
    settle(t, 2);
    expect(t, 2, "g.x", "b\n", 1);
}

static void drivers_file_that_others_can_write_is_not_used(void **state)
{
    struct three *t = *state;
    set_policy(t, "*.x exec:join\n");
    allow(&t->d[0], "join", "PATH=/bin; cat \"$3\" >> \"$2\"");
    assert_int_equal(fchmodat(t->d[0].s->dir_fd, DRIVERS_FILE, 0660, 0), 0);
    edit_apart(t, "f.x", "base\n", "a\n", "b\n");
    assert_int_equal(open_conflicts(&t->d[0]), 1);
}

/* ---- what a person says ---- */

static void expect_refused(struct device *d, const char *path, const char *keep, const char *why)
{
    struct answer a = answer_of(d, "resolve", path, keep);
    if (strstr(a.error, why) == NULL)
        fail_msg("said: %s", a.error);
}

static void expect_done(struct device *d, const char *path, const char *keep)
{
    struct answer a = answer_of(d, "resolve", path, keep);
    if (a.error[0] != '\0')
        fail_msg("said: %s", a.error);
}

struct first {
    char name[256];
};

static bool take_sibling(void *arg, const struct tree_entry *e)
{
    struct first *f = arg;
    if (!sibling_is(e->name))
        return true;
    snprintf(f->name, sizeof f->name, "%.*s", (int)e->name.n, (const char *)e->name.p);
    return false;
}

static struct first sibling_in(struct device *d)
{
    struct first f = {.name = ""};
    assert_int_equal(tree_list(d->s->tree, TREE_ROOT, 0, false, take_sibling, &f), 0);
    return f;
}

static void resolve_keeps_this_or_the_other_on_all_devices(void **state)
{
    struct three *t = *state;
    edit_apart(t, "f.md", "one\n", "first\n", "uno\n");
    expect(t, 2, "f.md", "uno\n", 1);
    expect_done(&t->d[0], "f.md", "this");
    meet(t, 3);
    expect(t, 3, "f.md", "uno\n", 0);
    edit_apart(t, "f.md", "one\n", "first\n", "uno\n");
    expect_done(&t->d[1], "f.md", "other");
    meet(t, 3);
    expect(t, 3, "f.md", "first\n", 0);
    expect_refused(&t->d[1], "f.md", "other", "has no conflict");
}

static void resolve_takes_the_name_of_the_version_beside_the_file(void **state)
{
    struct three *t = *state;
    edit_apart(t, "f.md", "one\n", "first\n", "uno\n");
    expect_done(&t->d[0], sibling_in(&t->d[0]).name, "this");
    meet(t, 2);
    expect(t, 2, "f.md", "first\n", 0);
    edit_apart(t, "f.md", "one\n", "first\n", "uno\n");
    expect_done(&t->d[0], sibling_in(&t->d[0]).name, "other");
    meet(t, 2);
    expect(t, 2, "f.md", "uno\n", 0);
    edit_apart(t, "f.md", "one\n", "first\n", "uno\n");
    device_unlink(&t->d[0], "f.md");
    expect_refused(&t->d[0], sibling_in(&t->d[0]).name, "other", "is gone");
    expect_done(&t->d[0], sibling_in(&t->d[0]).name, "this");
    meet(t, 2);
    expect(t, 2, "f.md", "first\n", 0);
}

static void resolve_that_keeps_both_makes_the_other_an_ordinary_file(void **state)
{
    struct three *t = *state;
    edit_apart(t, "f.md", "one\n", "first\n", "uno\n");
    unsigned before = list(&t->d[0]).files;
    expect_done(&t->d[0], "f.md", "both");
    meet(t, 2);
    expect(t, 2, "f.md", "uno\n", 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(list(&t->d[i]).files, before);
    assert_non_null(strstr(answer_of(&t->d[0], "conflicts", "", NULL).text, "no conflicts"));
}

static void resolve_of_several_wants_one_to_be_named(void **state)
{
    struct three *t = *state;
    device_save_text(&t->d[0], "f", "1\n");
    meet(t, 3);
    for (int i = 0; i < DEVICES; i++) {
        device_save_text(&t->d[i], "f", i == 0 ? "a\n" : i == 1 ? "b\n" : "c\n");
        assert_int_equal(publisher_flush(t->d[i].s), 0);
        usleep(2000);
    }
    settle(t, 3);
    expect_refused(&t->d[0], "f", "other", "2 other versions");
    expect_done(&t->d[0], "f", "this");
    meet(t, 3);
    expect(t, 3, "f", "c\n", 0);
}

/* Before any device has settled it: so it is where a driver or a base is missing. */
static void resolve_ends_an_open_conflict(void **state)
{
    static const char *const keeps[] = {"this", "other", "both"};
    static const char *const texts[] = {"uno\n", "first\n", "uno\n"};
    struct three *t = *state;
    set_policy(t, "* exec:none\n");
    for (unsigned i = 0; i < ARRAY_N(keeps); i++) {
        edit_apart(t, "f", "one\n", "first\n", "uno\n");
        assert_int_equal(open_conflicts(&t->d[0]), 1);
        expect_done(&t->d[i % 2], "f", keeps[i]);
        meet(t, 2);
        expect(t, 2, "f", texts[i], i == 2);
    }
}

static void resolve_says_what_is_wrong(void **state)
{
    struct three *t = *state;
    device_make(&t->d[0], "d", S_IFDIR | 0755);
    device_save_text(&t->d[0], "f", "1\n");
    expect_refused(&t->d[0], "f", "mine", "'this', 'other' or 'both'");
    expect_refused(&t->d[0], "d", "this", "name a file");
    expect_refused(&t->d[0], "", "this", "name a file");
    expect_refused(&t->d[0], "nothing", "this", "no such file");
    expect_refused(&t->d[0], "f", "both", "has no conflict");
}

static void status_tells_of_policies_that_do_not_hold(void **state)
{
    struct three *t = *state;
    device_make(&t->d[0], "d", S_IFDIR | 0755);
    device_save_text(&t->d[0], "d/.persistpolicy", "# mine\n*.x best\n");
    set_policy(t, "*.x lww\n*.y exec:none\n");
    for (int i = 0; i < 2; i++) {
        struct answer a = answer_of(&t->d[i], "status", NULL, NULL);
        assert_non_null(strstr(a.text, "d/.persistpolicy: line 2: 'best' is no strategy"));
        assert_non_null(strstr(a.text, ".persistpolicy: line 2: this device has no driver 'none'"));
    }
    allow(&t->d[0], "none", "true");
    assert_null(strstr(answer_of(&t->d[0], "status", NULL, NULL).text, "'none'"));
    /* The default holds where nothing above says more, and what is above where it does. */
    edit_apart(t, "d/f.x", "one\n", "first\n", "uno\n");
    expect(t, 2, "d/f.x", "uno\n", 0);
    edit_apart(t, "d/f", "1\n\n2\n", "one\n\n2\n", "1\n\ntwo\n");
    expect(t, 2, "d/f", "one\n\ntwo\n", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(text_merges_edits_of_different_paragraphs),
        CASE(text_keeps_both_of_what_overlaps),
        CASE(text_keeps_line_ends_mark_and_missing_newline),
        CASE(union_keeps_the_lines_of_both),
        CASE(json_merges_by_key),
        CASE(front_matter_unites_the_tags_of_both),
        CASE(lww_leaves_the_earlier_to_history),
        CASE(keep_both_merges_nothing),
        CASE(bytes_that_are_no_text_stay_both),
        CASE(the_nearest_policy_holds),
        CASE(base_is_the_latest_that_both_come_from),
        CASE(base_of_edits_after_a_merge_is_the_merge),
        CASE(base_of_edits_of_two_equal_merges_is_the_merge),
        CASE(without_the_base_a_conflict_is_left_to_others_for_a_while),
        CASE(without_the_base_anywhere_both_are_kept),
        CASE(equal_contents_are_no_conflict),
        CASE(three_ways_merge_into_one_or_leave_two_siblings),
        CASE(a_merge_is_kept_when_a_program_holds_the_file_open),
        CASE(a_save_over_what_its_program_had_not_seen_keeps_both),
        CASE(conflicts_are_ended_by_the_thread_alone),
        CASE(a_conflict_that_was_open_at_the_end_is_ended_at_the_next_start),
        CASE(merge_bombs_end_as_siblings),
        CASE(driver_gets_three_files_and_gives_one),
        CASE(driver_runs_without_environment_in_its_own_folder),
        CASE(driver_has_no_network),
        CASE(driver_that_fails_leaves_both),
        CASE(driver_that_is_killed_or_left_no_result_leaves_both),
        CASE(driver_that_hangs_is_ended_with_all_it_started),
        CASE(driver_that_writes_without_end_is_stopped),
        CASE(driver_that_takes_too_much_memory_fails),
        CASE(driver_that_is_not_allowed_here_is_left_to_others_then_both_stay),
        CASE(drivers_file_that_others_can_write_is_not_used),
        CASE(resolve_keeps_this_or_the_other_on_all_devices),
        CASE(resolve_takes_the_name_of_the_version_beside_the_file),
        CASE(resolve_that_keeps_both_makes_the_other_an_ordinary_file),
        CASE(resolve_of_several_wants_one_to_be_named),
        CASE(resolve_ends_an_open_conflict),
        CASE(resolve_says_what_is_wrong),
        CASE(status_tells_of_policies_that_do_not_hold),
#undef CASE
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
