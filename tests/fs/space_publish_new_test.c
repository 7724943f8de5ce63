/* What the publisher makes of many new small files. */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/crash_rand.h"
#include "tests/support/published.h"

enum { MANY = 100, BIG = 2 << 20, LONGEST_MS = 60000 };

/* ---- cases ---- */

static void many_path(size_t i, char ret[24])
{
    snprintf(ret, 24, "new%zu", i);
}

static void make_many(struct device *d)
{
    for (size_t i = 0; i < MANY; i++) {
        char path[24];
        many_path(i, path);
        device_save_text(d, path, path);
    }
}

static void expect_many(struct device *d)
{
    for (size_t i = 0; i < MANY; i++) {
        char path[24];
        many_path(i, path);
        assert_int_equal(count_versions(d, path), 1);
        assert_text(d, path, path);
    }
    assert_int_equal(publisher_pending(d->s), 0);
}

static void publish_many_new_files_with_few_writes(void **state)
{
    struct device *d = *state;
    make_many(d);
    uint64_t before = db_written(d->s->db);
    publish_all(d);
    assert_in_range(db_written(d->s->db) - before, 1, MANY / 20);
    assert_int_equal(changes(d), MANY); /* each is a change of its own */
    expect_many(d);
    device_reopen(d);
    publish_all(d);
    assert_int_equal(changes(d), MANY);
    expect_many(d);
}

static void publish_many_new_files_with_others_between(void **state)
{
    struct device *d = *state;
    struct attr a;
    uint8_t big[64 << 10];
    randombytes_buf(big, sizeof big);
    published(d, "old", "one");
    device_make(d, "open", S_IFREG | 0644);
    assert_int_equal(tree_open_file(d->s->tree, device_ino(d, "open"), true, false, &a), 0);
    make_many(d);
    device_save_text(d, ".persistignore", "*.tmp\n");
    device_save_text(d, "stays.tmp", "here");
    device_make(d, "folder", S_IFDIR | 0755);
    device_save_text(d, "folder/in it", "text");
    device_save(d, "big", big, sizeof big);
    device_save_text(d, "old", "two");
    device_save_text(d, "linked", "twice");
    assert_int_equal(
        tree_link(d->s->tree, device_ino(d, "linked"), TREE_ROOT, bytes_str("again"), &a), 0);
    device_make(d, "link", S_IFLNK | 0777);
    publish_all(d);
    assert_false(is_recorded(d, "open"));
    assert_false(is_recorded(d, "stays.tmp"));
    assert_int_equal(count_versions(d, "old"), 2);
    assert_int_equal(count_versions(d, "big"), 1);
    assert_int_equal(count_versions(d, "link"), 1);
    assert_int_equal(count_versions(d, "folder/in it"), 1);
    struct rid rid;
    assert_true(record_at(d, "linked", &rid));
    assert_same_record(d, "again", &rid);
    tree_close_file(d->s->tree, device_ino(d, "open"), true);
    publish_all(d);
    assert_true(is_recorded(d, "open"));
    expect_many(d);
}

/* A program at work on the files that are being published. */
struct busy {
    struct device *d;
    _Atomic bool stop;
    size_t saves[MANY]; /* of each file */
    size_t lost;        /* saves that were not there when the file was looked at again */
};

static bool has_last_save(struct busy *b, size_t i, const char *path)
{
    char text[24], is[24] = "";
    snprintf(text, sizeof text, "save %zu", b->saves[i]);
    int64_t n = tree_read(b->d->s->tree, device_ino(b->d, path), 0, is, sizeof is - 1);
    return b->saves[i] == 0 || (n == (int64_t)strlen(text) && strcmp(is, text) == 0);
}

static void save_again(struct busy *b, size_t i, const char *path)
{
    char text[24];
    snprintf(text, sizeof text, "save %zu", ++b->saves[i]);
    device_save_text(b->d, path, text);
}

/* One file is deleted and made anew all the time; the others are left alone. */
static void *work_on_one(void *arg)
{
    struct busy *b = arg;
    while (!atomic_load(&b->stop)) {
        device_unlink(b->d, "new50");
        save_again(b, 50, "new50");
    }
    tree_thread_done();
    return NULL;
}

static void publish_many_new_files_beside_one_that_changes(void **state)
{
    struct device *d = *state;
    uint64_t rounds = max_u64(crash_share(20), 4);
    for (uint64_t round = 0; round < rounds; round++) {
        pthread_t thread;
        struct busy b = {.d = d};
        publisher_hold(d->s);
        make_many(d);
        assert_int_equal(pthread_create(&thread, NULL, work_on_one, &b), 0);
        publisher_release(d->s);
        publish_all(d);
        atomic_store(&b.stop, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        publish_all(d);
        for (size_t i = 0; i < MANY; i++) {
            char path[24];
            many_path(i, path);
            assert_true(is_recorded(d, path));
            device_unlink(d, path);
        }
        publish_all(d);
    }
}

/* Some files are deleted and made anew, and saved twice; the others are moved there and back. */
static void *work_on_many(void *arg)
{
    struct busy *b = arg;
    for (size_t i = 0; !atomic_load(&b->stop); i = (i + 7) % MANY) {
        char path[24], to[24];
        many_path(i, path);
        snprintf(to, sizeof to, "moved%zu", i);
        if (i % 8 != 0) {
            b->lost += !has_last_save(b, i, path);
            device_unlink(b->d, path);
            save_again(b, i, path);
            save_again(b, i, path);
        } else if (device_ino(b->d, path) != 0) {
            device_rename(b->d, path, to);
        } else {
            device_rename(b->d, to, path);
        }
    }
    tree_thread_done();
    return NULL;
}

static void publish_many_new_files_that_change_meanwhile(void **state)
{
    struct device *d = *state;
    pthread_t thread;
    struct busy b = {.d = d};
    make_many(d);
    assert_int_equal(pthread_create(&thread, NULL, work_on_many, &b), 0);
    uint64_t end_ms = space_now_ms() + LONGEST_MS; /* a sanitizer makes fewer of them */
    for (uint64_t i = 0; i < crash_share(5000) && space_now_ms() < end_ms; i++)
        publish_all(d);
    atomic_store(&b.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    publish_all(d);
    assert_int_equal(b.lost, 0);
    assert_int_equal(publisher_pending(d->s), 0);
    for (size_t i = 0; i < MANY; i++) {
        char path[24], moved[24];
        struct attr a;
        struct rid rid;
        struct replica_info info;
        many_path(i, path);
        snprintf(moved, sizeof moved, "moved%zu", i);
        const char *at = device_ino(d, path) != 0 ? path : moved;
        assert_int_equal(is_recorded(d, path) + is_recorded(d, moved), 1);
        assert_true(record_at(d, at, &rid));
        assert_int_equal(tree_getattr(d->s->tree, device_ino(d, at), &a), 0);
        assert_true(a.bound && !a.dirty);
        assert_memory_equal(a.record, rid.b, sizeof rid.b);
        assert_int_equal(replica_stat(d->s->replica, &rid, &info), 0);
        struct base_ref ref = base_of(&rid, &info.content.dot);
        assert_memory_equal(&a.base, &ref, sizeof ref);
        assert_int_equal(info.content.mtime_ns, capture_mtime_ns(&a));
        char text[24];
        snprintf(text, sizeof text, "save %zu", b.saves[i]);
        assert_text(d, at, b.saves[i] > 0 ? text : path);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, published_setup, published_teardown)
    const struct CMUnitTest tests[] = {
        CASE(publish_many_new_files_with_few_writes),
        CASE(publish_many_new_files_with_others_between),
        CASE(publish_many_new_files_beside_one_that_changes),
        CASE(publish_many_new_files_that_change_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
