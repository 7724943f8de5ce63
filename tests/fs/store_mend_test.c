/* A database whose list of files was cut off by a loss of power: what was not synced is passed
 * over. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/store/db.h"
#include "tests/support/crash_tree.h"

static char dir[256];

static int setup(void **state)
{
    (void)state;
    const char *made = crash_temp_dir();
    if (made == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s", made);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crash_remove_dir(dir);
    return 0;
}

static int open_it(struct db **ret, struct err *err)
{
    struct db_config how = {.create = true};
    return db_open(dir, &how, ret, err);
}

static void make_database(void)
{
    struct db *db;
    assert_int_equal(open_it(&db, NULL), 0);
    struct db_batch *b = db_batch_new(db);
    db_batch_put(b, DB_META, bytes_str("key"), bytes_str("value"));
    assert_int_equal(db_write(db, b, true), 0);
    db_batch_free(b);
    assert_int_equal(db_flush(db), 0);
    db_close(db);
}

/* The list of files, open. */
static int open_list(int flags)
{
    char path[512], name[64] = "";
    snprintf(path, sizeof path, "%s/CURRENT", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, name, sizeof name - 1) > 0);
    close(fd);
    name[strcspn(name, "\n")] = '\0';
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return open(path, flags | O_CLOEXEC);
}

static void the_value_is_there(void)
{
    struct db *db;
    struct err err = {0};
    struct db_value v;
    if (open_it(&db, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(db_get(db, DB_META, bytes_str("key"), &v), 0);
    assert_true(bytes_equal(v.v, bytes_str("value")));
    db_value_fini(&v);
    db_close(db);
}

static void an_entry_that_ends_in_zeros_is_passed_over(void **state)
{
    (void)state;
    /* A head (checksum, length 200, kind: whole), the first of the bytes, and zeros. */
    uint8_t entry[207] = {1, 2, 3, 4, 200, 0, 1, 9, 9, 9};
    make_database();
    int fd = open_list(O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, entry, sizeof entry), sizeof entry);
    close(fd);
    the_value_is_there();
    the_value_is_there();
}

static void damage_inside_the_list_is_not_mended(void **state)
{
    (void)state;
    make_database();
    int fd = open_list(O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, 20), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, 20), 1);
    close(fd);
    struct db *db;
    struct err err = {0};
    assert_int_equal(open_it(&db, &err), -EUCLEAN);
    assert_non_null(strstr(err.msg, "damaged"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_that_ends_in_zeros_is_passed_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damage_inside_the_list_is_not_mended, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
