/* The past of files: listing, showing and restoring it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "fs/space/space_priv.h"
#include "tests/support/space_fixture.h"

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void flush(struct space_fixture *f)
{
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
}

/* A moment between what was and what is to come. */
static uint64_t moment(struct space_fixture *f)
{
    flush(f);
    usleep(5000);
    uint64_t ms = now_ms();
    usleep(5000);
    return ms;
}

/* The name of the i-th newest version. */
static void version_of(struct space_fixture *f, const char *path, unsigned i, char ret[64])
{
    struct verb_call call = {.verb = "log", .json = true};
    assert_int_equal(space_run_call(f, &call, path, NULL, NULL), VERB_OK);
    assert_true(space_json(f, "version", i, ret, 64));
}

static int restore_at(struct space_fixture *f, const char *path, uint64_t ms)
{
    struct verb_call call = {.verb = "restore", .at_ms = ms, .json = true};
    return space_run_call(f, &call, path, NULL, NULL);
}

static void expect_count(struct space_fixture *f, const char *key, const char *n)
{
    char value[64];
    assert_true(space_json(f, key, 0, value, sizeof value));
    assert_string_equal(value, n);
}

static void log_file_lists_versions_newest_first(void **state)
{
    struct space_fixture *f = *state;
    char name[64], size[64];
    space_write_text(f, "a", "1");
    flush(f);
    space_write_text(f, "a", "22");
    flush(f);
    struct verb_call call = {.verb = "log", .json = true};
    assert_int_equal(space_run_call(f, &call, "a", NULL, NULL), VERB_OK);
    assert_true(space_json(f, "size", 0, size, sizeof size));
    assert_string_equal(size, "2");
    assert_true(space_json(f, "size", 1, size, sizeof size));
    assert_string_equal(size, "1");
    assert_false(space_json(f, "size", 2, size, sizeof size));
    assert_true(space_json(f, "device", 0, name, sizeof name));
    assert_string_equal(name, "test device");
    assert_true(space_json(f, "current", 0, name, sizeof name));
    assert_string_equal(name, "true");
    assert_int_equal(space_run(f, "log", "a", NULL, NULL), VERB_OK);
    assert_non_null(strstr((const char *)f->text.p, "VERSION"));
    assert_int_equal(space_run(f, "log", "never", NULL, NULL), VERB_NOT_FOUND);
    assert_int_equal(f->errors_n, 1);
}

static void log_touched_file_shows_one_version(void **state)
{
    struct space_fixture *f = *state;
    char name[64];
    space_write_text(f, "a", "same");
    flush(f);
    struct attr a;
    struct tree_set set = {.what = TREE_SET_MTIME, .mtime = {1000000000, 5}};
    assert_int_equal(tree_setattr(f->tree, space_ino(f, "a"), &set, &a), 0);
    flush(f);
    struct verb_call call = {.verb = "log", .json = true};
    assert_int_equal(space_run_call(f, &call, "a", NULL, NULL), VERB_OK);
    assert_true(space_json(f, "mtime", 0, name, sizeof name));
    assert_string_equal(name, "2001-09-09T01:46:40.000Z");
    assert_false(space_json(f, "version", 1, name, sizeof name));
}

static void log_folder_tells_of_each_entry(void **state)
{
    struct space_fixture *f = *state;
    space_mkdir(f, "d");
    space_write_text(f, "d/kept", "1");
    space_write_text(f, "d/gone", "2");
    space_write_text(f, "d/moved", "3");
    flush(f);
    space_remove(f, "d/gone");
    space_rename(f, "d/moved", "moved");
    flush(f);
    assert_int_equal(space_run(f, "log", "d", NULL, NULL), VERB_OK);
    const char *text = (const char *)f->text.p;
    assert_non_null(strstr(text, "created"));
    assert_non_null(strstr(text, "deleted"));
    assert_non_null(strstr(text, "moved away"));
    assert_int_equal(space_run(f, "log", "", NULL, NULL), VERB_OK);
    assert_non_null(strstr((const char *)f->text.p, "folder"));
}

/* A file is at work, and stays so while programs use the folder. */
static void begin(struct space_fixture *f, const char *path, size_t n)
{
    enum { USED_MS = 5000 };
    uint8_t *p = malloc(n);
    assert_non_null(p);
    randombytes_buf(p, n);
    atomic_store(&f->space->used_ms, space_now_ms() + USED_MS);
    space_write(f, path, p, n);
    free(p);
    /* It is at work for longer than a look at a name takes. */
    for (int in_row = 0, looks = 0; in_row < 20; looks++) {
        assert_true(looks < USED_MS);
        bool free_now = pthread_rwlock_trywrlock(&f->space->builds) == 0;
        if (free_now)
            pthread_rwlock_unlock(&f->space->builds);
        in_row = free_now ? 0 : in_row + 1;
        usleep(1000);
    }
}

static void log_waits_for_small_saves_but_not_for_a_big_file(void **state)
{
    struct space_fixture *f = *state;
    char name[64];
    space_write_text(f, "known", "1");
    flush(f);
    begin(f, "big", 8 << 20);
    space_write_text(f, "known", "2");
    space_write_text(f, "new", "1");
    version_of(f, "new", 0, name);
    assert_int_equal(space_run(f, "show", "new", name, NULL), VERB_OK);
    version_of(f, "known", 1, name);
    version_of(f, "known", 0, name);
    assert_int_equal(space_run(f, "show", "known", name, NULL), VERB_OK);
    assert_string_equal((const char *)f->text.p, "2");
    space_write_text(f, "known", "3");
    assert_int_equal(space_run(f, "conflicts", "", NULL, NULL), VERB_OK);
    assert_int_equal(space_run(f, "log", "big", NULL, NULL), VERB_NOT_FOUND);
    assert_non_null(strstr(f->error, "has no version yet"));
    flush(f);
    version_of(f, "big", 0, name);
    version_of(f, "known", 2, name);
}

static void log_waits_for_a_file_that_is_not_big(void **state)
{
    struct space_fixture *f = *state;
    char name[64];
    begin(f, "middle", 500000);
    version_of(f, "middle", 0, name);
}

static void show_streams_old_bytes_exactly(void **state)
{
    struct space_fixture *f = *state;
    enum { BYTES = 3 << 20 };
    char version[64];
    uint8_t *big = malloc(BYTES);
    assert_non_null(big);
    for (size_t i = 0; i < BYTES; i++)
        big[i] = (uint8_t)(i * 2654435761U >> 13);
    space_write(f, "big", big, BYTES);
    flush(f);
    space_write_text(f, "big", "small now");
    version_of(f, "big", 1, version);
    assert_int_equal(space_run(f, "show", "big", version, NULL), VERB_OK);
    assert_int_equal(f->text.n, BYTES + 1);
    assert_memory_equal(f->text.p, big, BYTES);
    free(big);
    assert_int_equal(space_run(f, "show", "big", "99999", NULL), VERB_NOT_FOUND);
    assert_int_equal(space_run(f, "show", "big", "x", NULL), VERB_NOT_FOUND);
    assert_int_equal(f->errors_n, 1);
}

static void show_takes_the_number_alone(void **state)
{
    struct space_fixture *f = *state;
    char version[64];
    space_write_text(f, "a", "text");
    version_of(f, "a", 0, version);
    *strchr(version, '-') = '\0';
    assert_int_equal(space_run(f, "show", "a", version, NULL), VERB_OK);
    assert_string_equal((const char *)f->text.p, "text");
}

static void restore_version_is_an_edit_of_the_file(void **state)
{
    struct space_fixture *f = *state;
    char old[64], name[64];
    space_write_text(f, "a", "old");
    flush(f);
    space_write_text(f, "a", "new");
    version_of(f, "a", 1, old);
    uint64_t ino = space_ino(f, "a");
    assert_int_equal(space_run(f, "restore", "a", old, NULL), VERB_OK);
    space_expect_text(f, "a", "old");
    assert_int_equal(space_ino(f, "a"), ino);
    version_of(f, "a", 2, name); /* three now, and nothing beside the file */
    assert_string_equal(name, old);
    assert_int_equal(space_run(f, "conflicts", "", NULL, NULL), VERB_OK);
    assert_string_equal((const char *)f->text.p, "no conflicts\n");
    version_of(f, "a", 1, name);
    assert_int_equal(space_run(f, "restore", "a", name, NULL), VERB_OK);
    space_expect_text(f, "a", "new");
}

static void restore_version_brings_times_back(void **state)
{
    struct space_fixture *f = *state;
    char old[64];
    struct attr a;
    struct tree_set set = {.what = TREE_SET_MTIME, .mtime = {1000000000, 123456789}};
    space_write_text(f, "a", "old");
    assert_int_equal(tree_setattr(f->tree, space_ino(f, "a"), &set, &a), 0);
    flush(f);
    space_write_text(f, "a", "new");
    version_of(f, "a", 1, old);
    assert_int_equal(space_run(f, "restore", "a", old, NULL), VERB_OK);
    assert_int_equal(tree_getattr(f->tree, space_ino(f, "a"), &a), 0);
    assert_int_equal(a.mtime.tv_sec, 1000000000);
    assert_int_equal(a.mtime.tv_nsec, 123456789);
}

static void restore_version_to_another_path(void **state)
{
    struct space_fixture *f = *state;
    char old[64];
    enum { BYTES = 200000 };
    uint8_t *big = calloc(1, BYTES);
    assert_non_null(big);
    for (size_t i = 0; i < BYTES; i++)
        big[i] = (uint8_t)(i * 31 >> 3);
    space_write(f, "a", big, BYTES);
    flush(f);
    space_write_text(f, "a", "new");
    version_of(f, "a", 1, old);
    assert_int_equal(space_run(f, "restore", "a", old, "b"), VERB_OK);
    struct buf b = {0};
    space_read(f, "b", &b);
    assert_int_equal(b.n, BYTES);
    assert_memory_equal(b.p, big, BYTES);
    buf_fini(&b);
    free(big);
    space_expect_text(f, "a", "new");
    assert_int_equal(space_run(f, "restore", "a", old, "b"), VERB_FAILED);
    assert_non_null(strstr(f->error, "exists already"));
    assert_int_equal(space_run(f, "restore", "a", old, "none/b"), VERB_NOT_FOUND);
    assert_int_equal(space_run(f, "check", NULL, NULL, NULL), VERB_OK);
}

static void restore_version_of_deleted_file_continues_it(void **state)
{
    struct space_fixture *f = *state;
    char old[64], name[64];
    space_mkdir(f, "d");
    space_write_text(f, "d/a", "precious");
    flush(f);
    space_remove(f, "d/a");
    space_remove(f, "d");
    version_of(f, "d/a", 0, old);
    assert_true(space_json(f, "deleted", 0, name, sizeof name));
    assert_string_equal(name, "true");
    assert_int_equal(space_run(f, "restore", "d/a", old, NULL), VERB_OK);
    space_expect_text(f, "d/a", "precious");
    version_of(f, "d/a", 1, name);
    assert_string_equal(name, old);
}

static void restore_folder_at_time_brings_all_back(void **state)
{
    struct space_fixture *f = *state;
    space_mkdir(f, "d");
    space_mkdir(f, "d/sub");
    space_write_text(f, "d/changed", "then");
    space_write_text(f, "d/same", "same");
    space_write_text(f, "d/sub/gone", "gone");
    space_write_text(f, "other", "1");
    uint64_t then = moment(f);
    space_write_text(f, "d/changed", "now");
    space_remove(f, "d/sub/gone");
    space_remove(f, "d/sub");
    space_write_text(f, "d/later", "later");
    space_write_text(f, "d/.swp.sw", "x");
    space_write_text(f, "other", "2");
    uint64_t now = moment(f);
    assert_int_equal(restore_at(f, "d", then), VERB_OK);
    space_expect_text(f, "d/changed", "then");
    space_expect_text(f, "d/same", "same");
    space_expect_text(f, "d/sub/gone", "gone");
    space_expect_text(f, "other", "2");
    assert_false(space_has(f, "d/later"));
    expect_count(f, "restored", "3");
    expect_count(f, "unchanged", "1");
    assert_int_equal(restore_at(f, "d", now), VERB_OK);
    space_expect_text(f, "d/changed", "now");
    space_expect_text(f, "d/later", "later");
    assert_false(space_has(f, "d/sub"));
    assert_int_equal(space_run(f, "check", NULL, NULL, NULL), VERB_OK);
}

static void restore_whole_space_and_single_file_at_time(void **state)
{
    struct space_fixture *f = *state;
    uint64_t before = moment(f);
    space_write_text(f, "a", "1");
    space_write_text(f, "~local~", "stays here");
    uint64_t then = moment(f);
    space_write_text(f, "a", "2");
    space_write_text(f, "b", "2");
    moment(f);
    assert_int_equal(restore_at(f, "a", then), VERB_OK);
    space_expect_text(f, "a", "1");
    space_expect_text(f, "b", "2");
    assert_int_equal(restore_at(f, "", then), VERB_OK);
    assert_false(space_has(f, "b"));
    space_expect_text(f, "~local~", "stays here");
    expect_count(f, "kept", "1");
    assert_int_equal(restore_at(f, "a", before), VERB_NOT_FOUND);
    assert_int_equal(space_run(f, "restore", "a", NULL, NULL), VERB_USAGE);
}

static void restore_refuses_a_file_that_is_being_written(void **state)
{
    struct space_fixture *f = *state;
    char old[64];
    struct attr a;
    space_write_text(f, "a", "old");
    flush(f);
    space_write_text(f, "a", "new");
    version_of(f, "a", 1, old);
    uint64_t ino = space_ino(f, "a");
    assert_int_equal(tree_open_file(f->tree, ino, true, false, &a), 0);
    assert_int_equal(space_run(f, "restore", "a", old, NULL), VERB_FAILED);
    assert_non_null(strstr(f->error, "writing"));
    tree_close_file(f->tree, ino, true);
    space_expect_text(f, "a", "new");
}

static void status_counts_what_is_there(void **state)
{
    struct space_fixture *f = *state;
    space_mkdir(f, "d");
    space_write_text(f, "d/a", "12345");
    space_write_text(f, "b", "678");
    flush(f);
    struct verb_call call = {.verb = "status", .json = true, .mounted = true};
    assert_int_equal(space_run_call(f, &call, NULL, NULL, NULL), VERB_OK);
    expect_count(f, "files", "2");
    expect_count(f, "folders", "1");
    expect_count(f, "bytes", "8");
    expect_count(f, "pending", "0");
    expect_count(f, "versions", "2");
    expect_count(f, "folder", "/folder");
    f->polls_max = 3;
    struct verb_call watch = {.verb = "status", .json = true, .watch = true};
    assert_int_equal(space_run_call(f, &watch, NULL, NULL, NULL), VERB_OK);
    assert_int_equal(strchr((const char *)f->text.p, '\n') - (const char *)f->text.p + 2,
                     f->text.n); /* nothing changed: one line */
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, space_fixture_setup, space_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(log_file_lists_versions_newest_first),
        T(log_waits_for_small_saves_but_not_for_a_big_file),
        T(log_waits_for_a_file_that_is_not_big),
        T(log_touched_file_shows_one_version),
        T(log_folder_tells_of_each_entry),
        T(show_streams_old_bytes_exactly),
        T(show_takes_the_number_alone),
        T(restore_version_is_an_edit_of_the_file),
        T(restore_version_brings_times_back),
        T(restore_version_to_another_path),
        T(restore_version_of_deleted_file_continues_it),
        T(restore_folder_at_time_brings_all_back),
        T(restore_whole_space_and_single_file_at_time),
        T(restore_refuses_a_file_that_is_being_written),
        T(status_counts_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
