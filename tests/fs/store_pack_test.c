/* Packs: what is where, what is given back, and that a damaged page is noticed. */
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

#include "fs/store/chunk.h"
#include "fs/store/pack.h"
#include "tests/support/content_fixture.h"
#include "tests/support/crash_tree.h"
#include "tests/support/scratch.h"

enum { CHUNK = 70001, CHUNKS = 40 };

/* Linked in the place of the call: how many of the next ones fail. */
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
static int bad_syncs;

int __wrap_fdatasync(int fd)
{
    if (bad_syncs == 0)
        return __real_fdatasync(fd);
    bad_syncs--;
    errno = EIO;
    return -1;
}

static struct content_fixture fixture;
static uint8_t data[CHUNKS][CHUNK], ids[CHUNKS][CONTENT_ID_BYTES];

static int setup(void **state)
{
    (void)state;
    content_fixture_init(&fixture);
    struct content_random r = {1};
    for (int i = 0; i < CHUNKS; i++) {
        content_random_fill(&r, data[i], CHUNK);
        chunk_id(fixture.keys.id, false, bytes_of(data[i], CHUNK), ids[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    content_fixture_fini(&fixture);
    return 0;
}

/* Puts chunks as those of a file that begins with a page. */
static void put_all(void)
{
    struct chunk_batch b;
    assert_int_equal(chunk_batch_init(&b, fixture.db), 0);
    for (int i = 0; i < CHUNKS; i++)
        assert_int_equal(chunk_batch_put(&b, ids[i], (uint64_t)i * CHUNK, bytes_of(data[i], CHUNK)),
                         0);
    assert_int_equal(chunk_batch_write(&b), 0);
    chunk_batch_fini(&b);
}

static struct chunk_row row_of(int i)
{
    struct chunk_row row;
    assert_int_equal(chunk_stat(fixture.db, ids[i], &row), 1);
    return row;
}

static void delete (int i)
{
    struct db_batch *b = db_batch_new(fixture.db);
    assert_non_null(b);
    assert_int_equal(chunk_delete(fixture.db, b, ids[i]), 0);
    assert_int_equal(db_write(fixture.db, b, false), 0);
    db_batch_free(b);
}

static void parts_of_chunks_are_read(void **state)
{
    (void)state;
    put_all();
    struct content_random r = content_random_seeded();
    static uint8_t got[CHUNK + 1];
    for (int i = 0; i < 3000; i++) {
        size_t k = content_random_below(&r, CHUNKS), from = content_random_below(&r, CHUNK);
        size_t n =
            content_random_below(&r, i % 2 == 0 ? CHUNK - from : min_u64(5000, CHUNK - from));
        struct chunk_part part = {.id = ids[k], .len = CHUNK, .from = from, .n = n + 1};
        got[n + 1] = 0xee;
        assert_int_equal(chunk_read(fixture.db, &part, got), 0);
        assert_memory_equal(got, data[k] + from, n + 1);
        assert_int_equal(got[n + 1], 0xee);
    }
    struct chunk_part longer = {.id = ids[0], .len = CHUNK + 1, .n = 10};
    assert_int_equal(chunk_read(fixture.db, &longer, got), -EBADMSG);
}

static void chunks_of_a_file_follow_each_other_page_by_page(void **state)
{
    (void)state;
    put_all();
    uint64_t first = row_of(0).place;
    assert_int_equal(first % PACK_PAGE, 0);
    for (int i = 1; i < CHUNKS; i++)
        assert_int_equal(row_of(i).place, first + (uint64_t)i * CHUNK);
}

static void page_that_was_written_is_not_written_again(void **state)
{
    (void)state;
    put_all();
    uint64_t end = row_of(CHUNKS - 1).place + CHUNK;
    put_all(); /* another batch, and each chunk is replaced */
    assert_true(row_of(0).place / PACK_PAGE > (end - 1) / PACK_PAGE);
}

static int count_bad(void *arg, const uint8_t id[CONTENT_ID_BYTES])
{
    (void)id;
    ++*(unsigned *)arg;
    return 0;
}

/* As in a file that repeats itself, at another place in a page. */
static void chunk_that_comes_twice_in_a_batch_is_there_once(void **state)
{
    (void)state;
    struct chunk_batch b;
    assert_int_equal(chunk_batch_init(&b, fixture.db), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(
            chunk_batch_put(&b, ids[i % 2], (uint64_t)i * CHUNK, bytes_of(data[i % 2], CHUNK)), 0);
    assert_int_equal(chunk_batch_write(&b), 0);
    chunk_batch_fini(&b);
    unsigned bad = 0;
    assert_int_equal(content_check_all(fixture.db, &fixture.keys, count_bad, &bad, NULL), 0);
    assert_int_equal(bad, 0);
    delete (0);
    delete (1);
    struct db_iter *it = db_iter_new(fixture.db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    assert_false(db_iter_next(it));
    db_iter_free(it);
}

/* More of them than are looked at before the first step. */
static void put_small(uint32_t from)
{
    struct chunk_batch b;
    uint8_t id[CONTENT_ID_BYTES];
    assert_int_equal(chunk_batch_init(&b, fixture.db), 0);
    for (uint32_t i = from; i < from + 100; i++) {
        struct bytes d = bytes_of(&i, sizeof i);
        chunk_id(fixture.keys.id, false, d, id);
        assert_int_equal(chunk_batch_put(&b, id, 0, d), 0);
    }
    assert_int_equal(chunk_batch_write(&b), 0);
    chunk_batch_fini(&b);
}

/* Once, as another thread could. */
static bool replace_and_delete(void *arg, uint64_t done_n)
{
    bool *done = arg;
    (void)done_n;
    if (!*done) {
        put_all();
        delete (3);
    }
    *done = true;
    return true;
}

static void what_is_replaced_while_all_is_checked_is_not_damaged(void **state)
{
    (void)state;
    put_small(0);
    put_all();
    unsigned bad = 0;
    bool done = false;
    struct content_progress progress = {replace_and_delete, &done};
    assert_int_equal(content_check_all(fixture.db, &fixture.keys, count_bad, &bad, &progress), 0);
    assert_true(done);
    assert_int_equal(bad, 0);
}

/* Flips a byte of the rows in a table, and back. */
static void flip_rows(const char *path)
{
    struct stat st;
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pread(fd, &byte, 1, st.st_size / 4), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, st.st_size / 4), 1);
    close(fd);
}

static bool is_readable(struct db *db, enum db_cf cf)
{
    struct db_iter *it = db_iter_new_scan(db, cf, bytes_of(NULL, 0), NULL);
    assert_non_null(it);
    while (db_iter_next(it))
        ;
    bool fine = db_iter_status(it) == 0;
    db_iter_free(it);
    return fine;
}

/* Each table of a database in turn: 1 when it was the one of the places. */
static int check_with_flipped(const char *dir, const char *table)
{
    struct db_config cfg = {0};
    char path[700];
    int found = 0;
    unsigned bad = 0;
    struct db *db = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, table);
    flip_rows(path);
    if (db_open(dir, &cfg, &db, NULL) == 0) {
        found = !is_readable(db, DB_CHUNK) && is_readable(db, DB_CHUNKREF);
        if (found) {
            assert_int_equal(content_check_all(db, &fixture.keys, count_bad, &bad, NULL), 0);
            assert_true(bad > 0);
        }
        db_close(db);
    }
    flip_rows(path);
    return found;
}

static void chunks_whose_places_cannot_be_read_are_all_told(void **state)
{
    (void)state;
    struct db_config cfg = {.create = true};
    struct db *memory = fixture.db;
    char dir[400];
    int found = 0;
    assert_true(scratch_dir(dir, sizeof dir, "places"));
    assert_int_equal(db_open(dir, &cfg, &fixture.db, NULL), 0);
    for (uint32_t i = 0; i < 20; i++)
        put_small(100 * i);
    assert_int_equal(db_flush(fixture.db), 0);
    db_close(fixture.db);
    fixture.db = memory;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, ".sst") != NULL)
            found += check_with_flipped(dir, e->d_name);
    closedir(d);
    assert_true(found > 0);
    crash_remove_dir(dir);
}

/* Where no bytes are is -EUCLEAN or a sum that does not fit; what has a row is whole. */
static void deleted_are_given_back_and_their_neighbours_stay(void **state)
{
    (void)state;
    put_all();
    uint64_t place = row_of(7).place;
    uint8_t page[PACK_PAGE], zeros[PACK_PAGE] = {0};
    uint64_t inside = (place / PACK_PAGE + 2) * PACK_PAGE;
    for (int i = 0; i < CHUNKS; i += 7)
        delete (i);
    assert_int_equal(pack_read(db_packs(fixture.db), inside, page, sizeof page), 0);
    assert_memory_not_equal(page, zeros, sizeof page);
    assert_int_equal(content_reclaim(fixture.db), 0);
    assert_int_equal(pack_read(db_packs(fixture.db), inside, page, sizeof page), 0);
    assert_memory_equal(page, zeros, sizeof page);
    for (int i = 0; i < CHUNKS; i++) {
        CLEANUP(db_value_fini) struct db_value v = {0};
        int rc = chunk_get(fixture.db, ids[i], &v);
        assert_int_equal(rc, i % 7 == 0 ? -ENODATA : 0);
        if (rc == 0)
            assert_memory_equal(v.v.p, data[i], CHUNK);
    }
}

/* What a batch has put is not taken for something that nobody needs, before its rows are there. */
static void batch_under_way_is_left_alone(void **state)
{
    (void)state;
    struct chunk_batch b;
    assert_int_equal(chunk_batch_init(&b, fixture.db), 0);
    assert_int_equal(chunk_batch_put(&b, ids[0], 0, bytes_of(data[0], CHUNK)), 0);
    struct chunk_batch other;
    assert_int_equal(chunk_batch_init(&other, fixture.db), 0);
    assert_int_equal(chunk_batch_put(&other, ids[1], 0, bytes_of(data[1], CHUNK)), 0);
    assert_int_equal(chunk_batch_write(&other), 0);
    assert_int_equal(content_reclaim(fixture.db), 0);
    assert_int_equal(chunk_batch_write(&b), 0);
    chunk_batch_fini(&b);
    chunk_batch_fini(&other);
    for (int i = 0; i < 2; i++) {
        CLEANUP(db_value_fini) struct db_value v = {0};
        assert_int_equal(chunk_get(fixture.db, ids[i], &v), 0);
        assert_memory_equal(v.v.p, data[i], CHUNK);
    }
}

static void damage_of_a_page_is_that_of_reads_in_it(void **state)
{
    (void)state;
    put_all();
    struct chunk_row row = row_of(3);
    uint64_t page = (row.place / PACK_PAGE + 5) * PACK_PAGE;
    assert_int_equal(pack_punch(db_packs(fixture.db), page, page + PACK_PAGE), 0);
    static uint8_t got[CHUNK];
    struct chunk_part before = {.id = ids[3], .len = CHUNK, .n = (size_t)(page - row.place)};
    assert_int_equal(chunk_read(fixture.db, &before, got), 0);
    assert_memory_equal(got, data[3], before.n);
    before.n++;
    assert_int_equal(chunk_read(fixture.db, &before, got), -EUCLEAN);
    struct chunk_part after = {
        .id = ids[3], .len = CHUNK, .from = (size_t)(page - row.place) + PACK_PAGE, .n = 9000};
    assert_int_equal(chunk_read(fixture.db, &after, got), 0);
}

static unsigned places(void)
{
    unsigned n = 0;
    struct db_iter *it = db_iter_new(fixture.db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    assert_non_null(it);
    while (db_iter_next(it))
        n++;
    assert_int_equal(db_iter_status(it), 0);
    db_iter_free(it);
    return n;
}

/* Each finds that it is not here; and once more, when it is. */
static void chunk_of_two_batches_has_one_place(void **state)
{
    (void)state;
    struct chunk_batch b[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chunk_batch_init(&b[i], fixture.db), 0);
        assert_int_equal(chunk_batch_has(&b[i], ids[0]), 0);
        assert_int_equal(chunk_batch_put_new(&b[i], ids[0], 0, bytes_of(data[0], CHUNK)), 0);
        assert_int_equal(chunk_batch_has(&b[i], ids[0]), 1);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chunk_batch_write(&b[i]), 0);
        assert_int_equal(places(), 1);
    }
    assert_int_equal(chunk_batch_has(&b[0], ids[1]), 0);
    assert_int_equal(chunk_batch_put_new(&b[0], ids[1], 0, bytes_of(data[1], CHUNK)), 0);
    assert_int_equal(chunk_batch_put(&b[0], ids[0], 0, bytes_of(data[0], CHUNK)), 0);
    assert_int_equal(chunk_batch_write(&b[0]), 0);
    assert_int_equal(places(), 2);
    for (int i = 0; i < 2; i++) {
        CLEANUP(db_value_fini) struct db_value v = {0};
        chunk_batch_fini(&b[i]);
        assert_int_equal(chunk_get(fixture.db, ids[i], &v), 0);
        assert_memory_equal(v.v.p, data[i], CHUNK);
    }
}

static void append(struct packs *p, struct pack_writer *w)
{
    uint64_t place;
    assert_int_equal(pack_append(p, w, 0, bytes_of(data[0], CHUNK), &place), 0);
}

/* The kernel tells one of two writers that something was not written, perhaps of the other one. */
static void what_a_disk_does_not_take_is_an_error_for_all_who_wrote(void **state)
{
    (void)state;
    char dir[64];
    assert_true(scratch_dir(dir, sizeof dir, "pack"));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pack_writer a = {.next = NULL}, b = a, later = a;
    struct packs *p;
    assert_int_equal(packs_open(fd, 0, &p), 0);
    append(p, &a);
    append(p, &b);
    bad_syncs = 1;
    assert_int_equal(pack_sync(p, &a), -EIO);
    assert_int_equal(pack_sync(p, &b), -EIO);
    append(p, &later);
    assert_int_equal(pack_sync(p, &later), 0);
    pack_done(p, &a);
    pack_done(p, &b);
    pack_done(p, &later);
    packs_close(p);
    close(fd);
    crash_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_of_chunks_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(chunks_of_a_file_follow_each_other_page_by_page, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(page_that_was_written_is_not_written_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(chunk_that_comes_twice_in_a_batch_is_there_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_replaced_while_all_is_checked_is_not_damaged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(chunks_whose_places_cannot_be_read_are_all_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(deleted_are_given_back_and_their_neighbours_stay, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(batch_under_way_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_of_a_page_is_that_of_reads_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(chunk_of_two_batches_has_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_disk_does_not_take_is_an_error_for_all_who_wrote,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
