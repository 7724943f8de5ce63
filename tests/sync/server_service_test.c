/* A server under load, under limits, and at its end. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/server/service.h"
#include "tests/support/session_world.h"

enum { MIB = 1 << 20 };

/* ---- slow readers ---- */

/* 64 MiB wait for 20 devices that take nothing: that is no reason to hold any of it 20 times. */
static void a_slow_reader_costs_only_itself(void **state)
{
    struct session_world *w = *state;
    enum { READERS = 20, N = 256, BYTES = MIB / 4 };
    struct caller slow[READERS];
    struct caller a = caller_start(w, ANNA_1, NULL);
    struct caller b = caller_start(w, ANNA_3, NULL);
    caller_fill(w, &a, 0);
    for (size_t i = 0; i < READERS; i++) {
        slow[i] = caller_start(w, ANNA_2, NULL);
        wire_end_pause(slow[i].end, true);
    }
    size_t before = server_process_memory(&w->server);
    for (unsigned i = 1; i <= N; i++)
        caller_put_value(w, &a, 7, i, BYTES);
    caller_wait_done(&a);
    caller_wait_items(&b, N, 1);
    /* What RocksDB caches, a queue and a frame each, and 256 MiB that a sanitizer keeps back. */
    assert_true(server_process_memory(&w->server) < before + 512 * MIB);
    wire_end_pause(slow[0].end, false);
    caller_wait_items(&slow[0], N, 1);
    for (size_t i = 0; i < READERS; i++)
        caller_end(&slow[i]);
    caller_end(&a);
    caller_end(&b);
}

/* ---- rates ---- */

static void who_pushes_too_fast_is_slowed_down_not_refused(void **state)
{
    struct session_world *w = *state;
    enum { STEP = 500 };
    struct caller a = caller_start(w, ANNA_1, NULL);
    struct caller b = caller_start(w, BEN, NULL);
    unsigned n = SPACES_BURST;
    caller_fill(w, &a, n - 1); /* and the genesis */
    /* However slow that was, and however much it may push again since. */
    while (server_process_metric(&w->server, "delayed_total") == 0) {
        for (unsigned i = 0; i < STEP; i++)
            caller_put_value(w, &a, 7, n++, 0);
        wire_run(w->wire, 1, NULL, NULL);
        assert_true(n < 4 * SPACES_BURST);
    }
    caller_fill(w, &b, 1); /* another account goes on */
    assert_int_equal(server_process_metric(&w->server, "devices"), 2);
    caller_wait_done(&a);
    assert_int_equal(server_process_metric(&w->server, "pushed_entries_total"), n - 1 + 1);
    caller_end(&a);
    caller_end(&b);
}

/* ---- ends ---- */

static void a_revoked_token_ends_its_session_at_once(void **state)
{
    struct session_world *w = *state;
    char id[TOKEN_ID_TEXT_SIZE];
    struct token t;
    struct caller a = caller_start(w, ANNA_1, NULL);
    struct caller b = caller_start(w, ANNA_2, NULL);
    caller_fill(w, &a, 1);
    assert_int_equal(token_parse(bytes_str(w->token[ANNA_1]), &t), 0);
    uint64_t began = net_now_ms();
    assert_int_equal(server_process_ask(&w->server, PERSIST__ADMIN_VERB__ADMIN_TOKEN_REVOKE,
                                        token_id_text(t.b, id)),
                     0);
    caller_expect_end(&a, PERSIST__CODE__CODE_TOKEN);
    assert_true(net_now_ms() - began < 5000); /* not when the next thing is to be sent */
    caller_put_value(w, &b, 8, 1, 0);         /* the other one lives */
    caller_wait_done(&b);
    struct wire_end *again = wire_connect(w->wire, w->server.url, w->token[ANNA_1]);
    assert_true(wire_wait_closed(again, WIRE_WAIT_MS));
    assert_int_equal(again->end.http_status, 401);
    /* With the user all devices go. */
    assert_int_equal(server_process_ask(&w->server, PERSIST__ADMIN_VERB__ADMIN_USER_REMOVE, "anna"),
                     0);
    caller_expect_end(&b, PERSIST__CODE__CODE_TOKEN);
    assert_int_equal(server_process_metric(&w->server, "stored_spaces"), 0);
    assert_int_equal(server_process_metric(&w->server, "devices"), 0);
    caller_end(&a);
    caller_end(&b);
}

static void an_account_has_so_many_connections(void **state)
{
    struct session_world *w = *state;
    struct caller d[USER_LOGINS_MAX];
    for (unsigned i = 0; i < USER_LOGINS_MAX; i++)
        d[i] = caller_join(w, ANNA_1);
    struct caller more = {.end = wire_connect(w->wire, w->server.url, w->token[ANNA_1])};
    assert_false(wire_link(more.end, w->token[ANNA_1], 1 + ANNA_1));
    caller_expect_end(&more, PERSIST__CODE__CODE_LIMIT);
    struct caller ben = caller_join(w, BEN);
    caller_end(&ben);
    caller_end(&d[0]);
    d[0] = caller_join(w, ANNA_1);
    for (unsigned i = 0; i < USER_LOGINS_MAX; i++)
        caller_end(&d[i]);
}

static void who_proves_nothing_is_cut(void **state)
{
    struct session_world *w = *state;
    struct caller d = {.end = wire_connect(w->wire, w->server.url, w->token[ANNA_1])};
    uint64_t began = net_now_ms();
    caller_expect_end(&d, PERSIST__CODE__CODE_PROOF);
    uint64_t ms = net_now_ms() - began;
    assert_true(ms >= 9000 && ms < 20000);
}

static void a_server_that_stops_says_so(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    struct caller stuck = caller_start(w, ANNA_2, NULL);
    caller_fill(w, &a, 1);
    wire_end_pause(stuck.end, true);
    for (unsigned i = 0; i < 100; i++)
        caller_put_value(w, &a, 7, 2 + i, MIB / 4);
    caller_wait_done(&a);
    uint64_t began = net_now_ms();
    kill(w->server.pid, SIGTERM);
    assert_true(wire_wait_closed(a.end, WIRE_WAIT_MS));
    assert_true(a.end->end.by_peer && a.end->end.code == WS_GOING_AWAY);
    assert_int_equal(server_process_stop(&w->server, SIGTERM), 0);
    assert_true(net_now_ms() - began < SERVICE_STOP_MS + 5000);
    caller_end(&a);
    caller_end(&stuck);
}

#define IN_WORLD(test)                                                                             \
    cmocka_unit_test_setup_teardown(test, session_world_setup, session_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_slow_reader_costs_only_itself),
        IN_WORLD(who_pushes_too_fast_is_slowed_down_not_refused),
        IN_WORLD(a_revoked_token_ends_its_session_at_once),
        IN_WORLD(an_account_has_so_many_connections),
        IN_WORLD(who_proves_nothing_is_cut),
        IN_WORLD(a_server_that_stops_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
