/* What `check` finds, what it repairs, and what `gc` frees. */
#include <dirent.h>
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

#include "fs/space/space_priv.h"
#include "fs/store/pack.h"
#include "tests/support/space_fixture.h"

enum { BIG = 900000 };

static void write_big(struct space_fixture *f, const char *path, uint64_t seed)
{
    uint8_t *p = malloc(BIG);
    assert_non_null(p);
    uint64_t x = seed * 88172645463325252 + 1;
    for (size_t i = 0; i < BIG; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)x;
    }
    space_write(f, path, p, BIG);
    free(p);
}

static int check(struct space_fixture *f, bool repair)
{
    struct verb_call call = {.verb = "check", .repair = repair};
    return space_run_call(f, &call, NULL, NULL, NULL);
}

static const char *text(const struct space_fixture *f)
{
    return (const char *)f->text.p;
}

static void fill(struct space_fixture *f)
{
    space_mkdir(f, "d");
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "d/note %d", i);
        space_write_text(f, name, "some text of a note");
    }
    write_big(f, "big", 1);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* The largest file in a folder of the space's directory whose name ends so. */
static void largest(const struct space_fixture *f, const char *folder, const char *end,
                    char ret[700], off_t *ret_size)
{
    char dir[400];
    snprintf(dir, sizeof dir, "%s/%s", f->dir, folder);
    DIR *d = opendir(dir);
    struct dirent *e;
    assert_non_null(d);
    *ret_size = -1;
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        size_t n = strlen(e->d_name), k = strlen(end);
        if (n < k || strcmp(e->d_name + n - k, end) != 0 ||
            fstatat(dirfd(d), e->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (st.st_size > *ret_size) {
            *ret_size = st.st_size;
            snprintf(ret, 700, "%s/%s", dir, e->d_name);
        }
    }
    closedir(d);
    assert_true(*ret_size >= 0);
}

static void check_healthy_space_finds_nothing(void **state)
{
    struct space_fixture *f = *state;
    fill(f);
    space_write_text(f, "local~", "of this device alone");
    assert_int_equal(check(f, false), VERB_OK);
    assert_non_null(strstr(text(f), "no problems"));
    space_fixture_close(f);
    assert_int_equal(space_fixture_open(f), 0);
    struct verb_call call = {.verb = "check", .json = true};
    assert_int_equal(space_run_call(f, &call, NULL, NULL, NULL), VERB_OK);
    assert_non_null(strstr(text(f), "\"ok\":true"));
}

/* Wherever in the bytes of chunks: sampled, as each trial opens the space anew. */
static void check_flipped_byte_in_chunks_is_found(void **state)
{
    struct space_fixture *f = *state;
    char path[700];
    off_t size;
    fill(f);
    assert_int_equal(check(f, false), VERB_OK);
    for (int i = 1; i < 8; i++) {
        space_fixture_close(f);
        largest(f, "db", ".pack", path, &size);
        flip(path, size * i / 8);
        assert_int_equal(space_fixture_open(f), 0);
        assert_int_equal(check(f, false), VERB_FAILED);
        assert_int_equal(f->errors_n, 1);
        assert_non_null(strstr(text(f), "big: chunk "));
        flip(path, size * i / 8);
    }
    space_fixture_close(f);
    assert_int_equal(space_fixture_open(f), 0);
    assert_int_equal(check(f, false), VERB_OK);
}

/* The filter of the largest table lies before its properties. */
static void check_repairs_a_flipped_byte_in_a_filter(void **state)
{
    struct space_fixture *f = *state;
    char path[700];
    off_t size;
    fill(f);
    unsigned repaired = 0;
    for (int back = 1100; back < 2000; back += 100) {
        space_fixture_close(f);
        largest(f, "db", ".sst", path, &size);
        flip(path, size - back);
        bool opened = space_fixture_open(f) == 0;
        if (opened)
            assert_int_equal(check(f, false), VERB_FAILED);
        if (!opened || strstr(text(f), "the filter of its file") == NULL) {
            space_fixture_close(f);
            flip(path, size - back);
            assert_int_equal(space_fixture_open(f), 0);
            continue;
        }
        assert_int_equal(check(f, true), VERB_OK);
        repaired += strstr(text(f), "(repaired)") != NULL; /* else it was merged into another */
        assert_int_equal(check(f, false), VERB_OK);
    }
    assert_true(repaired > 0);
}

static void check_flipped_byte_in_tables_is_found(void **state)
{
    struct space_fixture *f = *state;
    char path[700];
    off_t size;
    fill(f);
    assert_int_equal(check(f, false), VERB_OK);
    for (int i = 0; i < 6; i++) {
        space_fixture_close(f);
        largest(f, "db", ".sst", path, &size);
        off_t where = size / 2 * i / 6; /* the first half is blocks of rows */
        flip(path, where);
        if (space_fixture_open(f) == 0)
            assert_int_equal(check(f, false), VERB_FAILED);
        space_fixture_close(f);
        flip(path, where);
        assert_int_equal(space_fixture_open(f), 0);
    }
    assert_int_equal(check(f, false), VERB_OK);
}

static void check_flipped_byte_in_staging_is_found(void **state)
{
    struct space_fixture *f = *state;
    char path[700];
    off_t size;
    write_big(f, "local~", 3); /* never published: its bytes stay where they were written */
    assert_int_equal(check(f, false), VERB_OK);
    largest(f, "staging", "", path, &size);
    flip(path, 500000);
    assert_int_equal(check(f, false), VERB_FAILED);
    assert_non_null(strstr(text(f), "local~: 4096 bytes at 499712 are not what was written"));
    flip(path, 500000);
    assert_int_equal(check(f, false), VERB_OK);
}

static void check_missing_chunk_is_found_and_taken_from_the_file(void **state)
{
    struct space_fixture *f = *state;
    write_big(f, "big", 1);
    assert_int_equal(check(f, false), VERB_OK);
    struct space *s = f->space;
    struct db_iter *it = db_iter_new(s->db, DB_CHUNKREF, bytes_of(NULL, 0), NULL);
    assert_non_null(it);
    uint32_t len = 0;
    uint8_t id[CONTENT_ID_BYTES] = {0}, place[8] = {0};
    while (db_iter_next(it))
        if (db_iter_key(it).n == sizeof id && !content_id_is_node(db_iter_key(it).p) &&
            get_u32(db_iter_value(it).p) > len) { /* not one without a whole page, which stays */
            memcpy(id, db_iter_key(it).p, sizeof id);
            len = get_u32(db_iter_value(it).p);
            memcpy(place, db_iter_value(it).p + 4, sizeof place); /* after the length */
        }
    db_iter_free(it);
    assert_int_equal(pack_punch(db_packs(s->db), get_u64(place), get_u64(place) + len), 0);
    assert_int_equal(check(f, false), VERB_FAILED);
    assert_non_null(strstr(text(f), "big: chunk"));
    assert_int_equal(check(f, true), VERB_FAILED); /* nobody has its bytes */
    /* A program writes the same bytes again, and has not finished. */
    struct attr a;
    uint64_t ino = space_ino(f, "big");
    assert_int_equal(tree_open_file(f->tree, ino, true, true, &a), 0);
    uint8_t *p = malloc(BIG);
    assert_non_null(p);
    uint64_t x = 88172645463325252 + 1;
    for (size_t i = 0; i < BIG; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)x;
    }
    struct tree_write how = {.offset = 0};
    assert_int_equal(tree_write(f->tree, ino, bytes_of(p, BIG), &how), 0);
    free(p);
    (void)check(f, true);
    tree_close_file(f->tree, ino, true);
    assert_int_equal(check(f, false), VERB_OK);
}

/* Changes an inode behind the tree's back, in a space that is closed. */
static void break_inode(struct space_fixture *f, uint64_t ino, uint32_t nlink)
{
    struct space *s = f->space;
    struct op x;
    struct attr *a;
    assert_int_equal(op_begin(s->tree, false, &x), 0);
    assert_int_equal(op_add(&x, ino, &a), 0);
    a->nlink = nlink;
    op_put(&x, a);
    assert_int_equal(op_commit(&x), 0);
}

static void check_link_counts_are_found_and_repaired(void **state)
{
    struct space_fixture *f = *state;
    fill(f);
    assert_int_equal(check(f, false), VERB_OK);
    break_inode(f, space_ino(f, "big"), 7);
    break_inode(f, space_ino(f, "d"), 5);
    assert_int_equal(check(f, false), VERB_FAILED);
    assert_non_null(strstr(text(f), "big: counts 7 links and has 1"));
    assert_non_null(strstr(text(f), "d: counts 5 links and has 2"));
    assert_int_equal(check(f, true), VERB_OK);
    assert_int_equal(check(f, false), VERB_OK);
}

static void check_lost_and_stray_names_are_repaired(void **state)
{
    struct space_fixture *f = *state;
    fill(f);
    assert_int_equal(check(f, false), VERB_OK);
    struct op x;
    struct attr root;
    assert_int_equal(tree_getattr(f->tree, TREE_ROOT, &root), 0);
    assert_int_equal(op_begin(f->tree, false, &x), 0);
    dirent_delete(&x, TREE_ROOT, bytes_str("big"));
    dirent_put(&x, TREE_ROOT, bytes_str("ghost"), (struct dirent_value){123456, S_IFREG});
    assert_int_equal(op_commit(&x), 0);
    assert_int_equal(check(f, false), VERB_FAILED);
    assert_non_null(strstr(text(f), "no name leads to it"));
    assert_non_null(strstr(text(f), "'ghost' in it leads to no file"));
    assert_non_null(strstr(text(f), "big: is not in the folder as the records have it"));
    (void)check(f, true);
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    assert_false(space_has(f, "ghost"));
    (void)check(f, true);
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
}

static void check_stray_bindings_are_repaired(void **state)
{
    struct space_fixture *f = *state;
    fill(f);
    assert_int_equal(check(f, false), VERB_OK);
    struct db_batch *b = db_batch_new(f->space->db);
    struct attr a;
    uint8_t value[8], other[RID_SIZE] = {9};
    assert_int_equal(tree_getattr(f->tree, space_ino(f, "big"), &a), 0);
    put_u64(value, a.ino);
    db_batch_delete(b, DB_BIND, bytes_of(a.record, sizeof a.record));
    db_batch_put(b, DB_BIND, bytes_of(other, sizeof other), bytes_of(value, sizeof value));
    assert_int_equal(db_write(f->space->db, b, false), 0);
    db_batch_free(b);
    assert_int_equal(check(f, false), VERB_FAILED);
    assert_non_null(strstr(text(f), "shows a record that is not bound to it"));
    assert_int_equal(check(f, true), VERB_OK);
    assert_int_equal(check(f, false), VERB_OK);
}

static void check_digest_of_the_records_is_repaired(void **state)
{
    struct space_fixture *f = *state;
    fill(f);
    assert_int_equal(check(f, false), VERB_OK);
    struct db_batch *b = db_batch_new(f->space->db);
    struct db_value row = {0};
    uint8_t wrong[512];
    assert_int_equal(db_get(f->space->db, DB_META, bytes_str("replica"), &row), 0);
    assert_true(row.v.n < sizeof wrong);
    memcpy(wrong, row.v.p, row.v.n);
    wrong[row.v.n - 1] ^= 1; /* the digest is its end */
    db_batch_put(b, DB_META, bytes_str("replica"), bytes_of(wrong, row.v.n));
    assert_int_equal(db_write(f->space->db, b, false), 0);
    db_batch_free(b);
    db_value_fini(&row);
    space_fixture_close(f);
    assert_int_equal(space_fixture_open(f), 0);
    assert_int_equal(check(f, false), VERB_FAILED);
    assert_non_null(strstr(text(f), "the digest of the records is not theirs"));
    assert_int_equal(check(f, true), VERB_OK);
    assert_int_equal(check(f, false), VERB_OK);
}

static void gc_keeps_what_is_new_and_frees_what_is_unused(void **state)
{
    struct space_fixture *f = *state;
    fill(f);
    write_big(f, "big", 2);
    struct verb_call call = {.verb = "gc", .json = true};
    assert_int_equal(space_run_call(f, &call, NULL, NULL, NULL), VERB_OK);
    char n[32];
    assert_true(space_json(f, "versions_removed", 0, n, sizeof n));
    assert_string_equal(n, "0");
    assert_int_equal(check(f, false), VERB_OK);
    assert_int_equal(space_tidy(f->space), 0);
    assert_int_equal(check(f, false), VERB_OK);
}

static void thinning_keeps_versions_that_files_are_based_on(void **state)
{
    struct space_fixture *f = *state;
    struct attr a;
    write_big(f, "big", 1);
    assert_int_equal(check(f, false), VERB_OK);
    struct tree_new what = {.mode = S_IFREG | 0600};
    assert_int_equal(tree_make(f->tree, TREE_ROOT, bytes_str("copy~"), &what, &a), 0);
    uint64_t copy = a.ino, big = space_ino(f, "big");
    assert_int_equal(tree_copy(f->tree, big, 0, copy, 0, BIG), BIG);
    assert_int_equal(tree_getattr(f->tree, copy, &a), 0);
    struct rid rid;
    struct dot dot;
    base_split(&a.base, &rid, &dot);
    assert_int_equal(tidy_version_kept(f->space, &rid, &dot), 1);
    write_big(f, "big", 2);
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    assert_int_equal(tidy_version_kept(f->space, &rid, &dot), 1);
    space_remove(f, "copy~");
    tree_forget(f->tree, copy);
    assert_int_equal(tidy_version_kept(f->space, &rid, &dot), 0);
    /* A file that was moved to a name of this device alone keeps its bytes likewise. */
    assert_int_equal(tree_getattr(f->tree, big, &a), 0);
    base_split(&a.base, &rid, &dot);
    space_rename(f, "big", "big~");
    write_big(f, "big", 3);
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    assert_int_equal(space_ino(f, "big~"), big);
    assert_int_equal(tidy_version_kept(f->space, &rid, &dot), 1);
}

static unsigned count_chunks(struct space_fixture *f)
{
    unsigned n = 0;
    struct db_iter *it = db_iter_new_scan(f->space->db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    assert_non_null(it);
    while (db_iter_next(it))
        n++;
    assert_int_equal(db_iter_status(it), 0);
    db_iter_free(it);
    return n;
}

/* Chunks of versions that are no longer kept go without a command, while nothing is to be done. */
static void tidying_in_the_background_frees_chunks(void **state)
{
    struct space_fixture *f = *state;
    const uint64_t year_ms = UINT64_C(366) * 24 * 3600 * 1000;
    uint64_t removed = 0;
    struct rid cursor = RID_ROOT;
    write_big(f, "big", 1);
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    unsigned one = count_chunks(f);
    write_big(f, "big", 2);
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    unsigned two = count_chunks(f);
    assert_true(two > one);
    assert_int_equal(tidy_slice(f->space, tidy_now_ms() + year_ms, &cursor, &removed), 0);
    assert_int_equal(removed, 1);
    assert_int_equal(count_chunks(f), two);
    space_fixture_close(f);
    f->tidy_ms = 10;
    assert_int_equal(space_fixture_open(f), 0);
    unsigned left = two;
    for (int ms = 0; ms < 20000 && left == two; ms += 10) {
        usleep(10000);
        left = count_chunks(f);
    }
    assert_true(left < two);
    assert_int_equal(check(f, false), VERB_OK);
}

/* All of the past goes after a long time, and nothing of what is there now. */
static void thinning_after_a_year_leaves_what_is_shown(void **state)
{
    struct space_fixture *f = *state;
    const uint64_t year_ms = UINT64_C(366) * 24 * 3600 * 1000;
    fill(f);
    uint64_t removed = 0;
    for (uint64_t i = 2; i < 6; i++) {
        write_big(f, "big", i);
        assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    }
    space_remove(f, "d/note 7");
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    struct rid cursor = RID_ROOT;
    int more = 1;
    for (uint64_t n; more == 1; removed += n)
        more = tidy_slice(f->space, tidy_now_ms() + year_ms, &cursor, &n);
    assert_int_equal(more, 0);
    assert_int_equal(removed, 3); /* of big; the deleted note goes with its record, when all know */
    assert_int_equal(f->space->versions, 301);
    struct verb_call call = {.verb = "gc", .json = true};
    assert_int_equal(space_run_call(f, &call, NULL, NULL, NULL), VERB_OK);
    char freed[32];
    assert_true(space_json(f, "freed_bytes", 0, freed, sizeof freed));
    assert_true(strtoull(freed, NULL, 10) > 2 * BIG);
    assert_int_equal(check(f, false), VERB_OK);
    struct buf b = {0};
    space_read(f, "big", &b);
    assert_int_equal(b.n, BIG);
    buf_fini(&b);
}

/* The names below a folder that is removed at once are gone with it, however many they are. */
static void removing_a_large_folder_reaches_the_records(void **state)
{
    struct space_fixture *f = *state;
    char name[64];
    space_mkdir(f, "d");
    space_mkdir(f, "d/sub");
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof name, "d/%s%d", i % 2 != 0 ? "sub/" : "", i);
        space_write_text(f, name, "x");
    }
    assert_int_equal(check(f, false), VERB_OK);
    space_rename(f, "d/0", "kept");
    for (int i = 1; i < 1500; i++) {
        snprintf(name, sizeof name, "d/%s%d", i % 2 != 0 ? "sub/" : "", i);
        space_remove(f, name);
    }
    space_remove(f, "d/sub");
    space_remove(f, "d");
    assert_int_equal(space_run(f, "flush", NULL, NULL, NULL), VERB_OK);
    assert_int_equal(check(f, false), VERB_OK);
    struct verb_call call = {.verb = "status", .json = true};
    assert_int_equal(space_run_call(f, &call, NULL, NULL, NULL), VERB_OK);
    char value[32];
    assert_true(space_json(f, "pending", 0, value, sizeof value));
    assert_string_equal(value, "0");
    assert_int_equal(space_run(f, "log", "kept", NULL, NULL), VERB_OK);
    struct verb_call log = {.verb = "log", .json = true};
    assert_int_equal(space_run_call(f, &log, "", NULL, NULL), VERB_OK);
    assert_non_null(strstr(text(f), "\"name\":\"d\",\"kind\":\"folder\",\"change\":\"deleted\""));
}

/* A name of a file with two gets a file of its own: the other name keeps what it had. */
static void replacing_a_hard_link_leaves_the_other_name(void **state)
{
    struct space_fixture *f = *state;
    struct attr a;
    space_write_text(f, "one", "first");
    assert_int_equal(tree_link(f->tree, space_ino(f, "one"), TREE_ROOT, bytes_str("two"), &a), 0);
    assert_int_equal(check(f, false), VERB_OK);
    space_write_text(f, "aside", "second");
    space_rename(f, "aside", "one");
    assert_int_equal(check(f, false), VERB_OK);
    space_expect_text(f, "one", "second");
    space_expect_text(f, "two", "first");
    struct verb_call log = {.verb = "log", .json = true};
    char version[64];
    assert_int_equal(space_run_call(f, &log, "two", NULL, NULL), VERB_OK);
    assert_true(space_json(f, "version", 0, version, sizeof version));
    assert_int_equal(space_run(f, "show", "two", version, NULL), VERB_OK);
    assert_string_equal(text(f), "first");
}

static void conflicts_lists_siblings_below_a_path(void **state)
{
    struct space_fixture *f = *state;
    space_mkdir(f, "d");
    space_write_text(f, "d/a (conflict from Bob 2026-11-22 14.03.05).md", "his");
    assert_int_equal(space_run(f, "conflicts", "", NULL, NULL), VERB_OK);
    assert_non_null(strstr(text(f), "d/a (conflict from Bob 2026-11-22 14.03.05).md"));
    struct verb_call call = {.verb = "conflicts", .json = true};
    assert_int_equal(space_run_call(f, &call, "d", NULL, NULL), VERB_OK);
    assert_non_null(strstr(text(f), "\"state\":\"sibling\""));
    space_mkdir(f, "e");
    assert_int_equal(space_run(f, "conflicts", "e", NULL, NULL), VERB_OK);
    assert_string_equal(text(f), "no conflicts\n");
    assert_int_equal(space_run(f, "conflicts", "never", NULL, NULL), VERB_NOT_FOUND);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, space_fixture_setup, space_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(check_healthy_space_finds_nothing),
        T(check_flipped_byte_in_chunks_is_found),
        T(check_repairs_a_flipped_byte_in_a_filter),
        T(check_flipped_byte_in_tables_is_found),
        T(check_flipped_byte_in_staging_is_found),
        T(check_missing_chunk_is_found_and_taken_from_the_file),
        T(check_link_counts_are_found_and_repaired),
        T(check_lost_and_stray_names_are_repaired),
        T(check_stray_bindings_are_repaired),
        T(check_digest_of_the_records_is_repaired),
        T(gc_keeps_what_is_new_and_frees_what_is_unused),
        T(thinning_keeps_versions_that_files_are_based_on),
        T(tidying_in_the_background_frees_chunks),
        T(thinning_after_a_year_leaves_what_is_shown),
        T(replacing_a_hard_link_leaves_the_other_name),
        T(conflicts_lists_siblings_below_a_path),
        T(removing_a_large_folder_reaches_the_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
