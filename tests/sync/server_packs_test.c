/*
 * Chunks in packs: what a kill or a loss of power leaves of them, and that their room is given
 * back. The process that pushes is this program again, with words that say what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/crash_power.h"
#include "tests/support/crash_rand.h"
#include "tests/support/server_fixture.h"

enum { CHUNK_BYTES = 100000 };

static void pack_path(const struct server_fixture *f, char ret[128])
{
    snprintf(ret, 128, "%s/chunks-0000.pack", f->dir);
}

static struct stat pack_stat(const struct server_fixture *f)
{
    char path[128];
    struct stat st;
    pack_path(f, path);
    assert_int_equal(stat(path, &st), 0);
    return st;
}

static uint64_t pack_room(const struct server_fixture *f)
{
    return (uint64_t)pack_stat(f).st_blocks * 512;
}

/* As if these bytes had not come to the disk. */
static void zero_pack(const struct server_fixture *f, off_t from, off_t end)
{
    static const uint8_t zeros[4096];
    char path[128];
    pack_path(f, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (; from < end; from += (off_t)sizeof zeros)
        assert_int_equal(pwrite(fd, zeros, sizeof zeros, from), sizeof zeros);
    close(fd);
}

/* How many variants of a chunk there are, or an error; and their last bytes, added. */
static int variants(struct server_fixture *f, const struct srv_at *at, unsigned n, uint64_t *fills)
{
    struct server_seen seen = {0};
    uint8_t id[CHUNK_ID_SIZE];
    server_chunk_id(n, id);
    int rc = srv_chunk_get(f->spaces, at, id, server_see_chunk, &seen);
    assert_true(rc < 0 || rc == (int)seen.n);
    *fills = seen.fills;
    return rc;
}

static void push(struct server_fixture *f, const struct srv_at *at, unsigned n, uint8_t fill)
{
    assert_int_equal(server_push_chunk(f, at, n, NULL, 0, fill, CHUNK_BYTES), 1);
}

static void torn_chunks_are_gone_and_come_again(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    uint64_t fills;
    push(f, &at, 1, 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    off_t from = pack_stat(f).st_size;
    push(f, &at, 2, 1);
    push(f, &at, 3, 1);
    off_t end = pack_stat(f).st_size;
    push(f, &at, 3, 2);
    server_fixture_close(f);
    zero_pack(f, (from + 4095) / 4096 * 4096, end / 4096 * 4096);
    server_fixture_open(f);
    assert_int_equal(variants(f, &at, 1, &fills), 1);
    assert_int_equal(variants(f, &at, 2, &fills), 0);
    assert_int_equal(variants(f, &at, 3, &fills), 1);
    assert_int_equal(fills, 2);
    server_check_usage(f, f->anna.account);
    uint8_t ids[2 * CHUNK_ID_SIZE];
    uint8_t missing = 0;
    server_chunk_id(2, ids);
    server_chunk_id(3, ids + CHUNK_ID_SIZE);
    assert_int_equal(srv_chunks_missing(f->spaces, &at, ids, 2, f->now_ms, &missing), 0);
    assert_int_equal(missing, 1);
    push(f, &at, 2, 1);
    push(f, &at, 3, 1);
    assert_int_equal(server_push_chunk(f, &at, 3, NULL, 0, 2, CHUNK_BYTES), 0);
    server_fixture_reopen(f);
    assert_int_equal(variants(f, &at, 2, &fills), 1);
    assert_int_equal(variants(f, &at, 3, &fills), 2);
    assert_int_equal(fills, 3);
    server_check_usage(f, f->anna.account);
}

/* What had been synced does not pass for what never came: it is damage. */
static void damaged_chunk_is_told(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    uint64_t fills;
    push(f, &at, 1, 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    server_fixture_close(f);
    zero_pack(f, 4096, 8192);
    server_fixture_open(f);
    assert_int_equal(variants(f, &at, 1, &fills), -EUCLEAN);
    server_check_usage(f, f->anna.account);
}

static void kill_between_bytes_and_row_costs_no_room(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_place first;
    struct srv_place second;
    static const uint8_t bytes[CHUNK_BYTES] = {1};
    push(f, &at, 1, 1);
    assert_int_equal(srv_store_append(f->store, bytes_of(bytes, sizeof bytes), &first), 0);
    /* A sync that comes between them counts on bytes that no row will name. */
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    server_fixture_reopen(f);
    assert_int_equal(srv_store_append(f->store, bytes_of(bytes, sizeof bytes), &second), 0);
    assert_true(first.at == second.at && first.at >= CHUNK_BYTES);
    server_fixture_reopen(f);
    /* And what comes to that place now is looked at after a loss of power. */
    uint64_t fills;
    push(f, &at, 2, 1);
    server_fixture_close(f);
    zero_pack(f, (off_t)first.at, (off_t)first.at + 4096);
    server_fixture_open(f);
    assert_int_equal(variants(f, &at, 2, &fills), 0);
    assert_int_equal(variants(f, &at, 1, &fills), 1);
    server_check_usage(f, f->anna.account);
}

static void refused_chunk_costs_no_room(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_place p;
    static const uint8_t bytes[CHUNK_BYTES] = {1};
    push(f, &at, 1, 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    uint64_t room = pack_room(f);
    assert_int_equal(srv_store_append(f->store, bytes_of(bytes, sizeof bytes), &p), 0);
    assert_true(pack_room(f) >= room + CHUNK_BYTES / 2);
    srv_store_abandon(f->store, &p);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    assert_true(pack_room(f) <= room);
}

/* ---- room ---- */

enum { CHUNKS = 40, SOME_ROOM = CHUNKS * CHUNK_BYTES / 2, NO_ROOM = 2 * CHUNK_BYTES };

static void push_all(struct server_fixture *f, const struct srv_at *at)
{
    for (unsigned i = 0; i < CHUNKS; i++)
        push(f, at, 100 + i, 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    assert_true(pack_room(f) > SOME_ROOM);
}

static void sweep(struct server_fixture *f, uint64_t chunks)
{
    struct srv_swept swept = {0};
    int rc;
    while ((rc = srv_spaces_sweep(f->spaces, f->now_ms, 7, &swept)) == 1)
        ;
    assert_int_equal(rc, 0);
    assert_int_equal(swept.chunks, chunks);
}

static void room_of_dropped_chunks_is_given_back(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    uint64_t fills;
    for (int crash = 0; crash < 2; crash++) {
        push_all(f, &at);
        f->now_ms += SPACES_UNREFERENCED_MS / 2;
        push(f, &at, 1 + (unsigned)crash, 1);
        f->now_ms += SPACES_UNREFERENCED_MS / 2;
        sweep(f, CHUNKS + (unsigned)crash);
        sweep(f, 0);
        /* Not before it is on the disk that nothing names them. */
        assert_true(pack_room(f) > SOME_ROOM);
        if (crash == 1)
            server_fixture_reopen(f);
        else
            assert_int_equal(srv_spaces_sync(f->spaces), 0);
        sweep(f, 0);
        assert_true(pack_room(f) < NO_ROOM);
        assert_int_equal(variants(f, &at, 1 + (unsigned)crash, &fills), 1);
        server_check_usage(f, f->anna.account);
    }
}

static void room_of_a_removed_user_is_given_back(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_at bens = server_make_space(f, f->ben.account, 1);
    struct srv_user u;
    uint64_t fills;
    push(f, &bens, 1, 9);
    push_all(f, &at);
    assert_int_equal(srv_user_remove(f->accounts, "anna", &u, NULL), 0);
    assert_int_equal(srv_spaces_drop(f->spaces, u.account), 0);
    assert_true(pack_room(f) < NO_ROOM);
    assert_int_equal(variants(f, &bens, 1, &fills), 1);
    assert_int_equal(fills, 9);
    server_fixture_reopen(f);
    assert_int_equal(variants(f, &bens, 1, &fills), 1);
    server_check_usage(f, f->ben.account);
}

/* ---- power ---- */

enum { CUTS = 12, CUT_AFTER_US = 60000 };

/* Pushes without end; what is on the disk is told before more is pushed. */
static int push_until_killed(struct server_fixture *f, uint64_t i)
{
    server_fixture_open(f);
    struct srv_at at = server_at(f->anna.account, 1, 1);
    f->now_ms = SERVER_START_MS;
    for (;;) {
        for (uint64_t until = i + 1 + i % 4; i < until; i++)
            if (server_push_chunk(f, &at, (unsigned)i, NULL, 0, (uint8_t)(1 + i % 200),
                                  5000 + i * 7919 % CHUNK_BYTES) < 0) {
                fprintf(stderr, "chunk %" PRIu64 ": %s\n", i, f->err.msg);
                return 2;
            }
        if (srv_spaces_sync(f->spaces) < 0 || write(STDOUT_FILENO, &i, sizeof i) != sizeof i)
            return 3;
    }
}

/* Starts a process that pushes from @from on, and kills it. The number that it has acknowledged. */
static uint64_t push_and_kill(struct server_fixture *f, uint64_t from, struct crash_rand *rand)
{
    int fd;
    pid_t pid = server_start_again(f, "push", from, &fd);
    uint64_t told;
    assert_int_equal(read(fd, &told, sizeof told), sizeof told);
    struct timespec t = {.tv_nsec = (long)(1000 * crash_below(rand, CUT_AFTER_US))};
    nanosleep(&t, NULL);
    server_kill_again(pid);
    uint64_t done = told;
    while (read(fd, &told, sizeof told) == sizeof told)
        done = told;
    close(fd);
    return done;
}

static void power_loss_keeps_what_was_acknowledged(void **state)
{
    struct server_fixture *f = *state;
    struct crash_rand rand = {crash_seed("server_packs_test")};
    struct crash_power power = {.server = 0};
    snprintf(f->dir, sizeof f->dir, "%s/disk", f->top);
    assert_int_equal(mkdir(f->dir, 0700), 0);
    server_fixture_close(f);
    assert_true(crash_power_start(&power, f->dir));
    server_fixture_open(f);
    assert_int_equal(srv_user_add(f->accounts, "anna", 0, 0, 1, &f->anna, NULL), 0);
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    server_fixture_close(f);
    assert_true(crash_power_sync(&power));
    uint64_t done = 1;
    for (int cut = 0; cut < CUTS; cut++) {
        done = push_and_kill(f, done, &rand);
        assert_true(crash_power_cut(&power, crash_next(&rand)));
        server_fixture_open(f);
        for (uint64_t i = 1; i < done + 50; i++) {
            uint64_t fills = 0;
            int n = variants(f, &at, (unsigned)i, &fills);
            if (n != 1 && (i < done || n != 0))
                fail_msg("chunk %" PRIu64 " of %" PRIu64 ": %d", i, done, n);
            assert_int_equal(fills, n == 1 ? 1 + i % 200 : 0);
        }
        server_check_usage(f, f->anna.account);
        server_fixture_close(f);
    }
    crash_power_stop(&power);
    snprintf(f->dir, sizeof f->dir, "%s/data", f->top);
    server_fixture_open(f);
}

int main(int argc, char **argv)
{
    struct server_fixture f;
    uint64_t from;
    if (server_is_again(argc, argv, &f, &from))
        return push_until_killed(&f, from);
#define CASE(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(torn_chunks_are_gone_and_come_again),      CASE(damaged_chunk_is_told),
        CASE(kill_between_bytes_and_row_costs_no_room), CASE(refused_chunk_costs_no_room),
        CASE(room_of_dropped_chunks_is_given_back),     CASE(room_of_a_removed_user_is_given_back),
        CASE(power_loss_keeps_what_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
