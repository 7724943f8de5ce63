/* A disk that is full under a server: pushes are told so, and nothing that is stored is harmed. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/server/admin.h"
#include "tests/support/server_fixture.h"

enum { DISK_MIB = 200, FILL_BYTES = 200000, FILL_MAX = 2000 };

static bool fill_disk(struct server_fixture *f, const struct srv_at *at, unsigned *i)
{
    for (unsigned from = *i; *i < from + FILL_MAX; ++*i) {
        int rc = server_push_chunk(f, at, *i, NULL, 0, (uint8_t)(*i % 251), FILL_BYTES);
        if (rc == -ENOSPC)
            return true;
        assert_int_equal(rc, 1);
    }
    return false;
}

/* The store may take much of a small disk for moments, when it merges its files. */
static void push_small(struct server_fixture *f, const struct srv_at *at, uint64_t counter)
{
    int rc = -ENOSPC;
    for (int tries = 0; rc == -ENOSPC && tries < 200; tries++) {
        rc = server_push_value(f, at, 5, counter, 7);
        if (rc == -ENOSPC)
            usleep(100000);
    }
    assert_int_equal(rc, 1);
}

static void disk_full_refuses_and_harms_nothing(void **state)
{
    struct server_fixture *f = *state;
    char options[32];
    server_fixture_close(f);
    snprintf(options, sizeof options, "size=%dm,mode=700", DISK_MIB);
    assert_int_equal(mount("persist-test", f->dir, "tmpfs", 0, options), 0);
    server_fixture_open(f);
    char token[TOKEN_TEXT_SIZE];
    struct srv_token t;
    assert_int_equal(srv_user_add(f->accounts, "anna", 0, 0, 1, &f->anna, NULL), 0);
    assert_int_equal(srv_user_add(f->accounts, "ben", 0, 0, 1, &f->ben, NULL), 0);
    assert_int_equal(srv_token_create(f->accounts, "anna", "x", 1, token, &t, NULL), 0);
    struct srv_at annas = server_make_space(f, f->anna.account, 1);
    struct srv_at bens = server_make_space(f, f->ben.account, 1);
    unsigned kept = 0;
    while (kept < 100)
        assert_int_equal(server_push_chunk(f, &annas, kept++, NULL, 0, 1, FILL_BYTES), 1);
    assert_int_equal(server_push_value(f, &annas, 5, 1, 7), 1);
    unsigned n = 0;
    assert_true(fill_disk(f, &bens, &n));
    assert_string_equal(f->err.msg, "the server is full; tell who runs it");
    assert_true(n > 50);
    /* What is small goes on. */
    for (unsigned i = 0; i < 200; i++)
        push_small(f, &annas, 2 + i);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    for (int again = 0; again < 2; again++) {
        for (unsigned i = 0; i < kept; i++) {
            struct server_seen seen = {0};
            uint8_t id[CHUNK_ID_SIZE];
            server_chunk_id(i, id);
            assert_int_equal(srv_chunk_get(f->spaces, &annas, id, server_see_chunk, &seen), 1);
            assert_true(seen.bytes == FILL_BYTES && seen.fills == 1);
        }
        assert_int_equal(server_read_log(f, &annas).values, 201);
        server_check_usage(f, f->anna.account);
        server_check_usage(f, f->ben.account);
        server_fixture_reopen(f);
    }
    /* What takes rights away, or gives room, works on a full disk. */
    fill_disk(f, &bens, &n);
    assert_int_equal(srv_token_revoke(f->accounts, SRV_ANY_ACCOUNT, t.id, &t, NULL), 0);
    struct srv_admin admin = {.accounts = f->accounts, .spaces = f->spaces, .now_ms = 1};
    struct buf out = {0};
    assert_int_equal(srv_admin_user_remove(&admin, "ben", &out, &f->err), 0);
    assert_int_equal(server_push_chunk(f, &annas, kept, NULL, 0, 1, FILL_BYTES), 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    buf_fini(&out);
    server_fixture_close(f);
    assert_int_equal(umount(f->dir), 0);
}

int main(void)
{
    /* A namespace of its own: nothing is left mounted, whatever becomes of this process. */
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        perror("a namespace for mounts");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(disk_full_refuses_and_harms_nothing, server_fixture_setup,
                                        server_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
