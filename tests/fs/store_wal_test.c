/* The write-ahead log: what was appended comes back, in order, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/store/wal.h"
#include "tests/support/crash_tree.h"

enum { SEED = 7, SMALL = 36, SMALL_ROOM = 40, LARGE = WAL_SEGMENT_BYTES + 12345 };

static char dir[256];
static uint64_t persisted_number;

/* What a reopened log gave. */
static struct {
    uint64_t n, first, last, bytes, synced;
    bool in_order, as_written;
} seen;

static int setup(void **state)
{
    (void)state;
    const char *made = crash_temp_dir();
    if (made == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s", made);
    persisted_number = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crash_remove_dir(dir);
    return 0;
}

static uint8_t byte_of(uint64_t number, size_t at)
{
    return (uint8_t)(number * 31 + at * 7);
}

static int see(void *arg, const struct wal_record *r)
{
    (void)arg;
    seen.in_order = seen.n == 0 || (seen.in_order && r->number == seen.last + 1);
    seen.as_written = seen.n == 0 || seen.as_written;
    for (size_t i = 0; i < r->batch.n; i++)
        seen.as_written = seen.as_written && r->batch.p[i] == byte_of(r->number, i);
    seen.first = seen.n++ == 0 ? r->number : seen.first;
    seen.last = r->number;
    seen.synced = r->synced;
    seen.bytes += r->batch.n;
    return 0;
}

static int reopen(uint64_t after, struct wal **ret, uint64_t *ret_next)
{
    char path[300];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/wal", dir);
    memset(&seen, 0, sizeof seen);
    return wal_open(path, SEED, after, see, NULL, ret, ret_next, &err);
}

static struct wal *open_log(uint64_t after, uint64_t *ret_next)
{
    struct wal *w = NULL;
    assert_int_equal(reopen(after, &w, ret_next), 0);
    return w;
}

static uint64_t persisted(void *arg)
{
    (void)arg;
    return persisted_number;
}

static uint64_t append(struct wal *w, uint64_t next, size_t n)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = byte_of(next, i);
    uint64_t number;
    assert_int_equal(wal_append(w, bytes_of(p, n), persisted, NULL, &number), 0);
    assert_int_equal(number, next);
    free(p);
    return number;
}

static void append_many(struct wal *w, uint64_t next, unsigned n, size_t bytes)
{
    for (unsigned i = 0; i < n; i++)
        append(w, next + i, bytes);
}

static void flip(const char *name, off_t at)
{
    char path[300];
    uint8_t b;
    snprintf(path, sizeof path, "%s/wal/%s", dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

/* Of the record behind the first @n small ones, the second half is not there. */
static void tear(unsigned n)
{
    char path[300], nothing[SMALL / 2] = "";
    snprintf(path, sizeof path, "%s/wal/0", dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t at = n * (WAL_HEADER_BYTES + SMALL_ROOM) + WAL_HEADER_BYTES + SMALL / 2;
    assert_int_equal(pwrite(fd, nothing, sizeof nothing, at), sizeof nothing);
    close(fd);
}

static bool has_segment(unsigned i)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "%s/wal/%u", dir, i);
    return stat(path, &st) == 0;
}

static void records_come_back_in_order(void **state)
{
    (void)state;
    uint64_t next;
    struct wal *w = open_log(0, &next);
    append_many(w, next, 1000, 20000); /* five segments */
    append(w, next + 1000, LARGE);
    append(w, next + 1001, 0);
    append(w, next + 1002, SMALL);
    wal_close(w, true);
    uint64_t later;
    w = open_log(next - 1, &later);
    assert_true(seen.in_order && seen.as_written);
    assert_int_equal(seen.n, 1003);
    assert_int_equal(seen.first, next);
    assert_true(later > seen.last);
    wal_close(w, true);
    w = open_log(next + 499, &later); /* those that the tables have are passed over */
    assert_int_equal(seen.n, 503);
    assert_int_equal(seen.first, next + 500);
    wal_close(w, true);
}

static void what_a_crash_left_is_not_taken_later(void **state)
{
    (void)state;
    uint64_t next, later;
    struct wal *w = open_log(0, &next);
    append_many(w, next, 50, SMALL);
    wal_close(w, true);
    tear(20); /* by a loss of power */
    w = open_log(next - 1, &later);
    assert_int_equal(seen.n, 20);
    append_many(w, later, 21, SMALL); /* of the same length, up to where the others begin */
    wal_close(w, true);
    w = open_log(later - 1, &next);
    assert_int_equal(seen.n, 21);
    assert_true(seen.in_order && seen.as_written);
    wal_close(w, true);
}

static void a_flip_is_put_right_wherever_it_is(void **state)
{
    (void)state;
    uint64_t next;
    struct wal *w = open_log(0, &next);
    append_many(w, next, 3, SMALL);
    assert_int_equal(wal_sync(w), 0);
    append_many(w, next + 3, 2, SMALL);
    wal_close(w, true);
    for (off_t at = 0; at < 5 * (WAL_HEADER_BYTES + SMALL_ROOM); at++) {
        uint64_t later;
        flip("0", at);
        w = open_log(next - 1, &later);
        bool padding = at % (WAL_HEADER_BYTES + SMALL_ROOM) >= WAL_HEADER_BYTES + SMALL;
        assert_int_equal(wal_healed(w), padding ? 0 : 1);
        assert_int_equal(seen.n, 5);
        assert_true(seen.in_order && seen.as_written);
        wal_close(w, true);
        flip("0", at);
    }
}

static void a_flip_in_a_large_record_or_before_a_segment_is_put_right(void **state)
{
    (void)state;
    uint64_t next, later;
    struct wal *w = open_log(0, &next);
    append_many(w, next, 3, SMALL);
    append(w, next + 3, LARGE);
    append(w, next + 4, LARGE);
    wal_close(w, true);
    static const off_t places[] = {8, 15, 24, 26, 27, 28, 40, LARGE / 2, LARGE};
    for (size_t i = 0; i < ARRAY_N(places); i++)
        for (char name[2] = "0"; name[0] <= '2'; name[0]++) {
            if (name[0] == '0' && places[i] > WAL_HEADER_BYTES + SMALL)
                continue;
            flip(name, places[i]);
            w = open_log(next - 1, &later);
            assert_int_equal(wal_healed(w), 1);
            assert_int_equal(seen.n, 5);
            assert_true(seen.in_order && seen.as_written);
            wal_close(w, true);
            flip(name, places[i]);
        }
}

static void more_than_a_flip_in_what_was_synced_is_damage(void **state)
{
    (void)state;
    uint64_t next;
    struct wal *w = open_log(0, &next), *again = NULL;
    append_many(w, next, 50, SMALL);
    assert_int_equal(wal_sync(w), 0);
    append(w, next + 50, SMALL);
    wal_close(w, true);
    for (off_t at = WAL_HEADER_BYTES; at + 9 < WAL_HEADER_BYTES + SMALL; at++) {
        uint64_t later;
        flip("0", at);
        flip("0", at + 9);
        assert_int_equal(reopen(next - 1, &again, &later), -EUCLEAN);
        flip("0", at);
        flip("0", at + 9);
    }
}

static void what_is_taken_back_does_not_come(void **state)
{
    (void)state;
    uint64_t next, later;
    struct wal *w = open_log(0, &next);
    append_many(w, next, 3, SMALL);
    assert_int_equal(wal_undo(w), 0);
    wal_close(w, true);
    w = open_log(next - 1, &later);
    assert_int_equal(seen.n, 2);
    wal_close(w, true);
}

/* Else the record that takes its number would count as synced, and its loss as damage. */
static void what_is_taken_back_was_not_synced(void **state)
{
    (void)state;
    uint64_t next;
    struct wal *w = open_log(0, &next);
    append(w, next, SMALL);
    assert_int_equal(wal_sync(w), 0);
    assert_int_equal(wal_undo(w), 0);
    append(w, next, SMALL);
    append(w, next + 1, SMALL);
    wal_close(w, true);
    wal_close(open_log(next - 1, &(uint64_t){0}), true);
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.synced, next - 1);
}

static void segments_are_used_again(void **state)
{
    (void)state;
    uint64_t next;
    struct wal *w = open_log(0, &next);
    for (unsigned i = 0; i < 1000; i++) {
        append(w, next + i, 100000);
        persisted_number = next + i;
    }
    assert_false(has_segment(2));
    wal_close(w, false);
    assert_false(has_segment(1));
    assert_true(has_segment(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_come_back_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_not_taken_later, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flip_is_put_right_wherever_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flip_in_a_large_record_or_before_a_segment_is_put_right,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_a_flip_in_what_was_synced_is_damage, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_back_does_not_come, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_back_was_not_synced, setup, teardown),
        cmocka_unit_test_setup_teardown(segments_are_used_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
