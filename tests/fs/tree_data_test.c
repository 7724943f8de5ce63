/*
 * The bytes of files in cases of their own: what fsync does to a file that was opened anew, what a
 * cut leaves behind, holes as long as the memory of the map, deaths between two steps of a write.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/tree/data.h"
#include "tests/support/crash_tree.h"

/* Calls of fdatasync for staging files, and how long each takes. */
static atomic_uint staging_syncs;
static unsigned sync_takes_ms;

int fdatasync(int fd)
{
    char link[64], path[512] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/staging/") != NULL) {
        usleep(sync_takes_ms * 1000);
        atomic_fetch_add(&staging_syncs, 1);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
    char dir[256], path[384];
    struct crash_tree c;
    unsigned deaths_n;
    uint64_t ino; /* of the file "f" */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    const char *dir = crash_temp_dir();
    assert_non_null(dir);
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    snprintf(f->path, sizeof f->path, "%s/space", dir);
    *state = f;
    staging_syncs = 0;
    sync_takes_ms = 0;
    if (crash_tree_open(&f->c, f->path) < 0)
        return -1;
    struct tree_new what = {.mode = S_IFREG | 0644};
    struct attr a;
    int rc = tree_make(f->c.tree, TREE_ROOT, bytes_str("f"), &what, &a);
    f->ino = a.ino;
    return rc;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->c.db != NULL)
        crash_tree_close(&f->c);
    crash_remove_dir(f->dir);
    free(f);
    return 0;
}

/* ---- steps ---- */

static void put(struct fixture *f, uint64_t offset, size_t n, uint64_t fill)
{
    uint8_t *p = malloc(n);
    assert_non_null(p);
    crash_fill(fill, offset, p, n);
    struct tree_write how = {.offset = offset};
    int rc = tree_write(f->c.tree, f->ino, bytes_of(p, n), &how);
    free(p);
    assert_int_equal(rc, 0);
}

static void open_it(struct fixture *f)
{
    struct attr a;
    assert_int_equal(tree_open_file(f->c.tree, f->ino, true, false, &a), 0);
}

static void close_it(struct fixture *f)
{
    tree_close_file(f->c.tree, f->ino, true);
}

static void resize(struct fixture *f, uint64_t size)
{
    struct tree_set set = {.what = TREE_SET_SIZE, .size = size};
    struct attr a;
    assert_int_equal(tree_setattr(f->c.tree, f->ino, &set, &a), 0);
}

/* Bytes @from <= i < @end are those of @fill; 0: zeros. */
static void is(struct fixture *f, uint64_t from, uint64_t end, uint64_t fill)
{
    size_t n = (size_t)(end - from);
    uint8_t *p = malloc(n), *ought = calloc(1, n);
    assert_non_null(p);
    assert_non_null(ought);
    if (fill != 0)
        crash_fill(fill, from, ought, n);
    int64_t got = tree_read(f->c.tree, f->ino, from, p, n);
    size_t at = 0;
    while (got == (int64_t)n && at < n && p[at] == ought[at])
        at++;
    free(p);
    free(ought);
    assert_int_equal(got, n);
    if (at < n)
        fail_msg("byte %llu is wrong", (unsigned long long)(from + at));
}

static void sums_hold(struct fixture *f)
{
    char why[256] = "";
    if (!crash_tree_sums_hold(&f->c, why))
        fail_msg("%s", why);
}

static void staging_path(struct fixture *f, char path[448])
{
    struct attr a;
    char name[STAGING_NAME_BYTES];
    assert_int_equal(tree_getattr(f->c.tree, f->ino, &a), 0);
    assert_int_equal(a.data, ATTR_DATA_STAGED);
    file_staging_name(f->ino, a.staging, name);
    snprintf(path, 448, "%s/staging/%s", f->path, name);
}

static uint64_t redo_blocks(struct fixture *f)
{
    struct db_iter *it = db_iter_new(f->c.db, DB_REDO, bytes_of(NULL, 0), NULL);
    uint64_t n = 0;
    while (db_iter_next(it))
        n++;
    db_iter_free(it);
    return n;
}

/* The process dies here and now: goes on with a copy of its directory. */
static void die(struct fixture *f)
{
    char copy[sizeof f->path];
    assert_int_equal(db_flush(f->c.db), 0); /* so that nothing moves during the copy */
    snprintf(copy, sizeof copy, "%.256s/%u", f->dir, ++f->deaths_n);
    assert_int_equal(crash_copy_dir(f->path, copy), 0);
    crash_tree_close(&f->c);
    crash_remove_dir(f->path);
    memcpy(f->path, copy, sizeof copy);
    assert_int_equal(crash_tree_open(&f->c, f->path), 0);
}

/* Writes into the staging file behind the back of the tree, as a write that was cut off has. */
static void write_half(struct fixture *f, uint64_t offset, size_t n, uint64_t fill)
{
    char path[448];
    staging_path(f, path);
    uint8_t *p = malloc(n);
    assert_non_null(p);
    crash_fill(fill, offset, p, n);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t put_n = pwrite(fd, p, n, (off_t)offset);
    free(p);
    close(fd);
    assert_int_equal(put_n, n);
}

/* ---- tests ---- */

static void fsync_of_few_blocks_copies_them_to_the_log(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    put(f, 0, 100000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    assert_int_equal(redo_blocks(f), 25);
    put(f, 8192, 100, 2);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    close_it(f);
    /* The staging file loses all that it was not told to keep. */
    char path[448];
    staging_path(f, path);
    assert_int_equal(truncate(path, 0), 0);
    die(f);
    is(f, 0, 8192, 1);
    is(f, 8192, 8292, 2);
    is(f, 8292, 100000, 1);
    sums_hold(f);
}

/* What was written through an earlier opening is not known by block: all of it has to be synced. */
static void fsync_after_opening_anew_syncs_what_was_written_before(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    put(f, 0, 100000, 1);
    close_it(f);
    open_it(f);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    struct attr a;
    assert_int_equal(tree_getattr(f->c.tree, f->ino, &a), 0);
    assert_false(a.unsynced);
    assert_true(redo_blocks(f) == 25 || staging_syncs == 1);
    close_it(f);
}

static void fsync_of_a_file_nobody_has_open_syncs_it(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 100000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    assert_true(redo_blocks(f) == 25 || staging_syncs == 1);
}

static void *sync_it(void *arg)
{
    struct fixture *f = arg;
    intptr_t rc = tree_sync_file(f->c.tree, f->ino);
    tree_thread_done();
    return (void *)rc;
}

static void a_second_fsync_does_not_return_before_the_first(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    put(f, 0, 1000000, 1);
    pthread_t first;
    sync_takes_ms = 400;
    assert_int_equal(pthread_create(&first, NULL, sync_it, f), 0);
    usleep(100000);
    assert_int_equal(staging_syncs, 0);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    assert_true(staging_syncs >= 1);
    void *rc;
    pthread_join(first, &rc);
    assert_null(rc);
    close_it(f);
}

static void blocks_past_a_cut_are_not_redone(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    put(f, 0, 100000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    resize(f, 50000);
    put(f, 50000, 50000, 2);
    die(f);
    is(f, 0, 50000, 1);
    is(f, 50000, 100000, 2);
    sums_hold(f);
}

static void a_cut_that_did_not_happen_leaves_the_bytes(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    put(f, 0, 100000, 1);
    resize(f, 50000);
    is(f, 0, 50000, 1);
    /* Only the database knows of the cut: the staging file must not. */
    char path[448];
    staging_path(f, path);
    uint8_t tail[2000], ought[2000];
    crash_fill(1, 50000, ought, sizeof ought);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = pread(fd, tail, sizeof tail, 50000);
    close(fd);
    assert_int_equal(n, sizeof tail);
    assert_memory_equal(tail, ought, sizeof tail);
    resize(f, 70000);
    is(f, 0, 50000, 1);
    is(f, 50000, 70000, 0);
    sums_hold(f);
    die(f);
    is(f, 50000, 70000, 0);
    close_it(f);
}

static void growing_over_a_write_that_was_cut_off_shows_zeros(void **state)
{
    struct fixture *f = *state;
    open_it(f);
    put(f, 0, 50000, 1);
    write_half(f, 50000, 1000, 2);
    die(f);
    open_it(f);
    put(f, 80000, 10, 3);
    is(f, 0, 50000, 1);
    is(f, 50000, 80000, 0);
    sums_hold(f);
    close_it(f);
    die(f);
    write_half(f, 80010, 500, 4);
    resize(f, 90000);
    is(f, 80010, 90000, 0);
    sums_hold(f);
}

static void growing_by_fallocate_shows_zeros(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 50000, 1);
    write_half(f, 50000, 1000, 2);
    assert_int_equal(tree_fallocate(f->c.tree, f->ino, 0, 40000, 40000), 0);
    is(f, 0, 50000, 1);
    is(f, 50000, 80000, 0);
    sums_hold(f);
}

static void a_write_cut_off_in_a_synced_file_is_no_damage(void **state)
{
    struct fixture *f = *state;
    put(f, 0, 300000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    write_half(f, 8192, 4096, 2);
    die(f);
    is(f, 0, 8192, 1);
    is(f, 8192, 12288, 2);
    is(f, 12288, 300000, 1);
    sums_hold(f);
}

/* Head, hole and tail of a zeroed range lie in segments that share a place in memory. */
static void a_hole_as_long_as_the_map_in_memory_keeps_its_ends(void **state)
{
    struct fixture *f = *state;
    const uint64_t span = (uint64_t)MAP_CACHE_SEGMENTS * SEGMENT_BYTES;
    open_it(f);
    put(f, 0, 10000, 1);
    put(f, span, 10000, 1);
    assert_int_equal(crash_tree_publish(&f->c, "f"), 0);
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    assert_int_equal(tree_fallocate(f->c.tree, f->ino, mode, 100, span), 0);
    is(f, 0, 100, 1);
    is(f, 100, 10000, 0);
    is(f, span, span + 100, 0);
    is(f, span + 100, span + 10000, 1);
    sums_hold(f);
    close_it(f);
}

/* What is lost of the staging file was in the database before, and was synced there. */
static void a_small_file_that_grows_keeps_what_was_synced(void **state)
{
    struct fixture *f = *state;
    char path[448];
    open_it(f);
    put(f, 0, 20000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    put(f, 20000, 50000, 1);
    close_it(f);
    staging_path(f, path);
    assert_int_equal(truncate(path, 0), 0);
    die(f);
    is(f, 0, 20000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    sums_hold(f);
}

/* The same for one that was published: the base has what a lost block had before. */
static void a_published_file_keeps_what_was_synced(void **state)
{
    struct fixture *f = *state;
    char path[448];
    put(f, 0, 300000, 1);
    assert_int_equal(crash_tree_publish(&f->c, "f"), 0);
    open_it(f);
    put(f, 8192, 100, 2);
    put(f, 100000, 100000, 1); /* so many blocks that the next ones are not copied at once */
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    put(f, 40960, 8192, 2);
    put(f, 8192, 100, 3);
    staging_path(f, path);
    assert_int_equal(truncate(path, 0), 0);
    die(f);
    is(f, 0, 8192, 1);
    is(f, 8192, 8292, 3);
    is(f, 8292, 300000, 1);
    sums_hold(f);
}

/* Who syncs often has the blocks copied to the log as they are written: there is no more to do. */
static void a_file_that_is_synced_often_needs_the_log_alone(void **state)
{
    struct fixture *f = *state;
    char path[448];
    put(f, 0, 300000, 1);
    assert_int_equal(crash_tree_publish(&f->c, "f"), 0);
    open_it(f);
    put(f, 8192, 100, 2);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    put(f, 40960, 8192, 2);
    assert_int_equal(db_sync(f->c.db), 0);
    staging_path(f, path);
    assert_int_equal(truncate(path, 0), 0);
    die(f);
    is(f, 8192, 8292, 2);
    is(f, 40960, 49152, 2);
    is(f, 49152, 300000, 1);
    sums_hold(f);
}

/* The space of a file that was dropped goes only after the batch that dropped it is on disk. */
static void a_dropped_staging_file_stays_until_the_log_is_on_disk(void **state)
{
    struct fixture *f = *state;
    char path[448];
    open_it(f);
    put(f, 0, 100000, 1);
    assert_int_equal(tree_sync_file(f->c.tree, f->ino), 0);
    staging_path(f, path);
    resize(f, 0);
    put(f, 0, 60000, 2);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(tree_sync(f->c.tree), 0);
    assert_int_equal(access(path, F_OK), -1);
    is(f, 0, 60000, 2);
    close_it(f);
    /* And nothing is left of it after a clean end. */
    staging_path(f, path);
    assert_int_equal(crash_tree_publish(&f->c, "f"), 0);
    assert_int_equal(access(path, F_OK), 0);
    crash_tree_close(&f->c);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(crash_tree_open(&f->c, f->path), 0);
    is(f, 0, 60000, 2);
}

static void many_dropped_staging_files_do_not_wait(void **state)
{
    struct fixture *f = *state;
    char path[448], name[40];
    put(f, 0, 100000, 1);
    staging_path(f, path);
    assert_int_equal(tree_unlink(f->c.tree, TREE_ROOT, bytes_str("f")), 0);
    tree_forget(f->c.tree, f->ino);
    struct crash_op op = {.length = 40000, .fill = 1};
    for (int i = 0; i < 80; i++) {
        snprintf(name, sizeof name, "n%d", i);
        snprintf(op.path, sizeof op.path, "%s", name);
        op.kind = CRASH_CREATE;
        assert_int_equal(crash_tree_apply(&f->c, &op), 0);
        op.kind = CRASH_WRITE;
        assert_int_equal(crash_tree_apply(&f->c, &op), 0);
        op.kind = CRASH_UNLINK;
        assert_int_equal(crash_tree_apply(&f->c, &op), 0);
    }
    assert_int_equal(access(path, F_OK), -1);
}

static void an_open_file_stays_while_many_others_are_looked_at(void **state)
{
    struct fixture *f = *state;
    enum { FILES = 64 * 256 + 64 * 16 };
    open_it(f);
    put(f, 0, 50000, 1);
    for (unsigned i = 0; i < FILES; i++) {
        char name[20];
        snprintf(name, sizeof name, "n%u", i);
        struct tree_new what = {.mode = S_IFREG | 0644};
        struct attr a;
        assert_int_equal(tree_make(f->c.tree, TREE_ROOT, bytes_str(name), &what, &a), 0);
        assert_int_equal(tree_read(f->c.tree, a.ino, 0, name, 1), 0);
    }
    put(f, 50000, 10, 1);
    is(f, 0, 50010, 1);
    close_it(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fsync_of_few_blocks_copies_them_to_the_log),
        TEST(fsync_after_opening_anew_syncs_what_was_written_before),
        TEST(fsync_of_a_file_nobody_has_open_syncs_it),
        TEST(a_second_fsync_does_not_return_before_the_first),
        TEST(blocks_past_a_cut_are_not_redone),
        TEST(a_cut_that_did_not_happen_leaves_the_bytes),
        TEST(growing_over_a_write_that_was_cut_off_shows_zeros),
        TEST(growing_by_fallocate_shows_zeros),
        TEST(a_write_cut_off_in_a_synced_file_is_no_damage),
        TEST(a_hole_as_long_as_the_map_in_memory_keeps_its_ends),
        TEST(a_small_file_that_grows_keeps_what_was_synced),
        TEST(a_published_file_keeps_what_was_synced),
        TEST(a_file_that_is_synced_often_needs_the_log_alone),
        TEST(a_dropped_staging_file_stays_until_the_log_is_on_disk),
        TEST(many_dropped_staging_files_do_not_wait),
        TEST(an_open_file_stays_while_many_others_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
