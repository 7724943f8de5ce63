/* What a database of content leaves free on a small disk: enough to merge all of its tables. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/store/db.h"
#include "tests/support/crash_rand.h"
#include "tests/support/scratch.h"

enum { ROW_BYTES = 3000, ROWS_MAX = 100000 };

static char top[64];

static uint64_t tables(const char *dir)
{
    uint64_t sum = 0;
    struct stat st;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, ".sst") != NULL && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
            sum += (uint64_t)st.st_size;
    closedir(d);
    return sum;
}

static int change(struct db *db, uint32_t n, bool there)
{
    static uint8_t row[ROW_BYTES];
    uint8_t key[4];
    put_u32(key, n);
    struct db_batch *b = db_batch_new(db);
    assert_non_null(b);
    crash_fill(n, 0, row, sizeof row);
    if (there)
        db_batch_put(b, DB_VERSION, bytes_of(key, sizeof key), bytes_of(row, sizeof row));
    else
        db_batch_delete(b, DB_VERSION, bytes_of(key, sizeof key));
    int rc = db_write(db, b, false);
    db_batch_free(b);
    return rc;
}

static void small_rows_of_content_leave_room_to_merge_all_tables(void **state)
{
    (void)state;
    char dir[80];
    struct db *db;
    struct statvfs v;
    uint32_t n = 0;
    int rc;
    assert_true(scratch_dir(top, sizeof top, "room"));
    if (mount("persist-test", top, "tmpfs", 0, "size=120m,mode=700") < 0) {
        rmdir(top);
        skip();
    }
    snprintf(dir, sizeof dir, "%s/db", top);
    assert_int_equal(db_open(dir, &(struct db_config){.create = true}, &db, NULL), 0);
    while ((rc = change(db, n, true)) == 0 && n < ROWS_MAX)
        n++;
    assert_int_equal(rc, -ENOSPC);
    while (db_room_wait(db))
        ;
    assert_int_equal(statvfs(top, &v), 0);
    assert_true((uint64_t)v.f_bavail * v.f_frsize >= tables(dir));
    assert_true(n > 5000);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(change(db, i, false), 0);
    assert_int_equal(db_compact(db, DB_VERSION), 0);
    assert_int_equal(change(db, 0, true), 0);
    db_close(db);
    assert_int_equal(umount(top), 0);
    rmdir(top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_rows_of_content_leave_room_to_merge_all_tables),
    };
    return cmocka_run_group_tests_name("store_room", tests, NULL, NULL);
}
