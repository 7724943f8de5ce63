/* Which names are published under a .persistignore, and what happens when it changes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/space/exchange.h"
#include "fs/space/ignore_rules.h"
#include "proto/base/log.h"
#include "tests/support/published.h"

/* Makes what is named, the names between spaces: folders, with a '/' at the end, and files. */
static void make(struct device *d, const char *names)
{
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save)) {
        size_t n = strlen(p);
        if (p[n - 1] != '/') {
            device_save_text(d, p, "x");
            continue;
        }
        p[n - 1] = '\0';
        (void)device_make(d, p, S_IFDIR | 0755);
    }
}

static void publish(struct device *d, const char *names)
{
    make(d, names);
    publish_all(d);
}

static void expect_records(struct device *d, const char *names, bool has)
{
    char copy[256], *save = NULL;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
        if (is_recorded(d, p) != has)
            fail_msg("%s has %s record", p, has ? "no" : "a");
}

/* What has a record, and what has none. */
static void expect(struct device *d, const char *published, const char *local)
{
    expect_records(d, published, true);
    expect_records(d, local, false);
}

static void rules(struct device *d, const char *path, const char *text)
{
    device_save_text(d, path, text);
    publish_all(d);
}

static int count(struct device *d)
{
    struct db_iter *it = db_iter_new_scan(d->s->db, DB_PENDING, bytes_of(NULL, 0), NULL);
    int n = 0;
    while (db_iter_next(it))
        n++;
    assert_int_equal(db_iter_status(it), 0);
    db_iter_free(it);
    return n;
}

/* ---- cases ---- */

static void rules_keep_names_and_what_is_below_folders_local(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "*.o\n!keep.o\n/out/\nsub/only.here\n");
    publish(d, "out/ out/deep/ sub/ sub/out/ a.o keep.o out/deep/note sub/out/note sub/only.here "
               "only.here");
    expect(d, ".persistignore keep.o sub/out/note only.here", "a.o out sub/only.here");
}

/* In one flush, though the names were made first to last at once. */
static void rules_that_are_pending_hold_for_names_made_with_them(void **state)
{
    struct device *d = *state;
    publisher_hold(d->s);
    make(d, "p/");
    device_save_text(d, "p/.persistignore", "secret\n");
    make(d, "p/secret p/note");
    publisher_release(d->s);
    publish_all(d);
    expect(d, "p/note", "p/secret");
    publisher_hold(d->s);
    device_save_text(d, "p/.persistignore", "secret\nmore\n");
    make(d, "p/more");
    publisher_release(d->s);
    publish_all(d);
    expect(d, "", "p/more");
}

static void rules_of_a_folder_go_before_those_above_it(void **state)
{
    struct device *d = *state;
    make(d, "a/ a/b/");
    rules(d, ".persistignore", "*.log\n");
    rules(d, "a/.persistignore", "!*.log\n/x\n");
    publish(d, "1.log a/2.log a/b/3.log a/x a/b/x");
    expect(d, "a/2.log a/b/3.log a/b/x", "1.log a/x");
}

static void name_with_a_record_keeps_it_until_it_is_removed(void **state)
{
    struct device *d = *state;
    device_save_text(d, "a.o", "1");
    publish_all(d);
    rules(d, ".persistignore", "*.o\n");
    device_save_text(d, "a.o", "2");
    publish_all(d);
    expect(d, "a.o", "");
    device_unlink(d, "a.o");
    publish_all(d);
    expect(d, "", "a.o");
    device_save_text(d, "a.o", "3");
    publish_all(d);
    expect(d, "", "a.o");
}

static void names_are_published_when_rules_stop_to_ignore_them(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "*.o\nbuild/\n");
    publish(d, "build/ src/ build/x src/a.o");
    expect(d, "", "build");
    rules(d, ".persistignore", "build/\n");
    expect(d, "src/a.o", "build");
    device_unlink(d, ".persistignore");
    publish_all(d);
    expect(d, "build/x", "");
    assert_int_equal(count(d), 0);
}

static void names_are_published_though_the_end_came_before_the_second_look(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "*.o\n");
    publish(d, "src/ src/a.o");
    uint8_t key[9] = {'r'};
    put_u64(key + 1, TREE_ROOT);
    /* The change of the rules alone, as it is written: the note of the second look is with it. */
    publisher_hold(d->s);
    device_unlink(d, ".persistignore");
    struct publish_item item = {.ino = TREE_ROOT,
                                .name = bytes_str(".persistignore"),
                                .settled = true,
                                .quiet = true,
                                .forced = true};
    assert_int_equal(publish_name(d->s, &item), PUBLISH_DONE);
    assert_int_equal(db_has(d->s->db, DB_PENDING, bytes_of(key, sizeof key)), 1);
    expect(d, "", "src/a.o");
    publisher_release(d->s);
    device_reopen(d);
    publish_all(d);
    expect(d, "src/a.o", "");
    assert_int_equal(count(d), 0);
}

static void rename_to_an_ignored_name_is_a_deletion_and_back_a_new_file(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "*.o\nbuild/\n");
    make(d, "build/ build/deep/");
    device_save_text(d, "one", "1");
    device_save_text(d, "two", "2");
    publish_all(d);
    device_rename(d, "one", "one.o");
    device_rename(d, "two", "build/deep/two");
    publish_all(d);
    expect(d, "", "one one.o two");
    assert_true(device_ino(d, "one.o") != 0 && device_ino(d, "build/deep/two") != 0);
    device_save_text(d, "one.o", "still here");
    publish_all(d);
    expect(d, "", "one.o");
    device_rename(d, "one.o", "one");
    device_rename(d, "build/deep/two", "two");
    publish_all(d);
    expect(d, "one two", "");
}

static void folder_renamed_to_an_ignored_name_stays_with_all_in_it(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "build/\n*.o\n");
    publish(d, "src/ src/sub/ src/sub/note src/sub/a.o");
    device_rename(d, "src", "build");
    publish_all(d);
    expect(d, "", "src build");
    assert_true(device_ino(d, "build/sub/note") != 0 && device_ino(d, "build/sub/a.o") != 0);
    publish(d, "build/sub/new");
    expect(d, "", "build");
    device_rename(d, "build", "src");
    publish_all(d);
    expect(d, "src/sub/note src/sub/new", "src/sub/a.o");
}

static void folder_that_moves_takes_its_names_out_of_rules(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "/src/sub/*.o\n");
    publish(d, "src/ src/sub/ src/sub/a.o");
    expect(d, "", "src/sub/a.o");
    device_rename(d, "src", "lib");
    publish_all(d);
    expect(d, "lib/sub/a.o", "");
}

static void rules_that_are_too_long_do_not_hold_and_status_tells(void **state)
{
    struct device *d = *state;
    struct buf text = {0};
    char last[256];
    uint64_t ms;
    buf_put_bytes(&text, bytes_str("*.o\n"));
    for (unsigned i = 0; i <= IGNORE_LINES_MAX; i++)
        buf_put_bytes(&text, bytes_str("x\n"));
    buf_put_u8(&text, 0);
    rules(d, ".persistignore", (const char *)text.p);
    publish(d, "a.o a~");
    expect(d, "a.o", "a~");
    assert_true(log_last(last, sizeof last, &ms));
    assert_non_null(strstr(last, "./.persistignore: more than"));
    buf_fini(&text);
}

/* As if the folder had been made an hour ago. */
static void make_old(struct device *d, const char *path)
{
    struct attr a;
    uint8_t key[8];
    CLEANUP(buf_fini) struct buf value = {0};
    struct db_batch *b = db_batch_new(d->s->db);
    assert_int_equal(tree_getattr(d->s->tree, device_ino(d, path), &a), 0);
    a.btime.tv_sec -= 3600;
    attr_encode(&a, &value);
    put_u64(key, a.ino);
    db_batch_put(b, DB_INODE, bytes_of(key, sizeof key), buf_bytes(&value));
    assert_int_equal(db_write(d->s->db, b, false), 0);
    db_batch_free(b);
    device_reopen(d);
}

static void notes_of_names_in_ignored_folders_go(void **state)
{
    struct device *d = *state;
    rules(d, ".persistignore", "/cache/\n");
    publish(d, "cache/ cache/a");
    assert_int_equal(count(d), 1);
    make_old(d, "cache");
    publish(d, "cache/b");
    assert_int_equal(count(d), 0);
    rules(d, ".persistignore", "\n");
    publish_all(d);
    expect(d, "cache/a cache/b", "");
}

/* ---- another device ---- */

static void pull(struct device *to, struct device *from)
{
    struct vv have = {0};
    struct replica_stream *stream;
    CLEANUP(buf_fini) struct buf change = {0};
    struct dot dot;
    publish_all(to);
    assert_int_equal(space_knowledge(to->s, &have), 0);
    assert_int_equal(space_stream(from->s, &have, &stream), 0);
    while (replica_stream_next(stream, &dot, &change) == 1)
        assert_true(space_apply(to->s, buf_bytes(&change)) >= 0);
    assert_int_equal(space_know(to->s, replica_stream_knowledge(stream)), 0);
    replica_stream_free(stream);
    vv_fini(&have);
}

static void rules_from_another_device_hold_and_publish(void **state)
{
    struct device *a = *state, b;
    device_open(&b, "bert", a);
    rules(a, ".persistignore", "*.o\n");
    pull(&b, a);
    publish(&b, "b.o");
    expect(&b, "", "b.o");
    rules(a, ".persistignore", "*.x\n");
    pull(&b, a);
    publish_all(&b);
    expect(&b, "b.o", "");
    device_close(&b);
}

static void record_from_elsewhere_takes_the_name_of_an_ignored_file(void **state)
{
    struct device *a = *state, b;
    device_open(&b, "bert", a);
    rules(&b, ".persistignore", "*.o\n");
    device_save_text(&b, "x.o", "mine");
    device_save_text(a, "x.o", "theirs");
    publish_all(a);
    pull(&b, a);
    publish_all(&b);
    expect(&b, "x.o", "");
    assert_true(device_ino(&b, "x.o (local 1)") != 0);
    device_close(&b);
}

static void folder_deleted_elsewhere_keeps_what_is_ignored_in_it(void **state)
{
    struct device *a = *state, b;
    device_open(&b, "bert", a);
    rules(a, ".persistignore", "*.o\n");
    publish(a, "src/ src/note");
    pull(&b, a);
    device_save_text(&b, "src/b.o", "mine");
    publish_all(&b);
    device_unlink(a, "src/note");
    device_rmdir(a, "src");
    publish_all(a);
    pull(&b, a);
    expect(&b, "", "src");
    assert_true(device_ino(&b, "src/b.o") != 0);
    device_close(&b);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, published_setup, published_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rules_keep_names_and_what_is_below_folders_local),
        TEST(rules_that_are_pending_hold_for_names_made_with_them),
        TEST(rules_of_a_folder_go_before_those_above_it),
        TEST(name_with_a_record_keeps_it_until_it_is_removed),
        TEST(names_are_published_when_rules_stop_to_ignore_them),
        TEST(names_are_published_though_the_end_came_before_the_second_look),
        TEST(rename_to_an_ignored_name_is_a_deletion_and_back_a_new_file),
        TEST(folder_renamed_to_an_ignored_name_stays_with_all_in_it),
        TEST(folder_that_moves_takes_its_names_out_of_rules),
        TEST(rules_that_are_too_long_do_not_hold_and_status_tells),
        TEST(notes_of_names_in_ignored_folders_go),
        TEST(rules_from_another_device_hold_and_publish),
        TEST(record_from_elsewhere_takes_the_name_of_an_ignored_file),
        TEST(folder_deleted_elsewhere_keeps_what_is_ignored_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
