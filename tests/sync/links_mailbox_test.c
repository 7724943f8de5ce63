/* Devices that meet in the mailbox of a real server, and are connected as peers through it. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "sync/links/mailbox.h"
#include "sync/net/ws_pair.h"
#include "tests/support/hosts.h"
#include "tests/support/server_process.h"

enum { TOKENS = 2, MEETINGS = 4, RUN_MS = 200 };

static struct server_process server;
static char tokens[TOKENS][TOKEN_TEXT_SIZE];
static struct clients *clients;

/* A mailbox, and what was told of it. */
struct meeting {
    struct mailbox *m; /* NULL: it has ended */
    bool waits, done;
    enum mailbox_end end;
    struct p2p_peer *p;
    char why[512];
};

static struct meeting meetings[MEETINGS];

static int setup(void **state)
{
    int rc = hosts_setup(state);
    memset(meetings, 0, sizeof meetings);
    server_process_init(&server);
    server_process_user(&server, "anna", 0, 0, 1, &tokens[0]);
    server_process_user(&server, "ben", 0, 0, 1, &tokens[1]);
    server_process_start(&server);
    assert_int_equal(clients_new(hosts.net.loop, &clients), 0);
    return rc;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < MEETINGS; i++)
        mailbox_cancel(TAKE_PTR(meetings[i].m));
    for (size_t i = 0; i < HOSTS_DEVS; i++)
        p2p_host_free(TAKE_PTR(hosts.devs[i].h));
    clients_free(clients);
    server_process_fini(&server);
    return hosts_teardown(state);
}

static void on_waits(void *user)
{
    struct meeting *x = user;
    assert_false(x->waits || x->done);
    x->waits = true;
}

static void on_done(enum mailbox_end end, struct p2p_peer *p, const char *why, void *user)
{
    struct meeting *x = user;
    assert_false(x->done);
    assert_true((end == MAILBOX_MET) == (p != NULL));
    assert_true((end == MAILBOX_MET) == (why[0] == '\0'));
    x->m = NULL;
    x->done = true;
    x->end = end;
    x->p = p;
    snprintf(x->why, sizeof x->why, "%s", why);
}

static int try_open(struct meeting *x, size_t dev, const char *token, const char *nameplate,
                    bool inviting, struct err *err)
{
    struct remote r = {.interval_s = 0};
    snprintf(r.url, sizeof r.url, "%s", server.url);
    snprintf(r.token, sizeof r.token, "%s", token);
    struct mailbox_config cfg = {.host = hosts.devs[dev].h,
                                 .remote = &r,
                                 .nameplate = nameplate,
                                 .inviting = inviting,
                                 .waits = on_waits,
                                 .done = on_done,
                                 .user = x};
    *x = (struct meeting){.m = NULL};
    return mailbox_open(hosts.net.loop, clients, &cfg, &x->m, err);
}

static void begin(struct meeting *x, size_t dev, const char *token, bool inviting)
{
    struct err err = {0};
    if (try_open(x, dev, token, "0042", inviting, &err) < 0)
        fail_msg("%s", err.msg);
}

static bool is_waiting(void *arg)
{
    return ((struct meeting *)arg)->waits;
}

static bool is_done(void *arg)
{
    return ((struct meeting *)arg)->done;
}

static void invite(struct meeting *x, size_t dev)
{
    begin(x, dev, tokens[0], true);
    net_until(&hosts.net, is_waiting, x);
    assert_false(x->done);
}

static void expect(struct meeting *x, enum mailbox_end end, const char *why)
{
    net_until(&hosts.net, is_done, x);
    assert_int_equal(x->end, end);
    assert_non_null(strstr(x->why, why));
    if (end != MAILBOX_MET)
        assert_memory_equal(x->why, server.url, strlen(server.url));
}

/* Device 0 invites, another one joins. */
static void meet(struct meeting *a, struct meeting *b, size_t joining)
{
    invite(a, 0);
    begin(b, joining, "", false);
    expect(b, MAILBOX_MET, "");
    expect(a, MAILBOX_MET, "");
}

static bool both_know(void *arg)
{
    (void)arg;
    return hosts.devs[0].identified > 0 && hosts.devs[1].identified > 0;
}

static void two_hosts_meet_and_talk(void **state)
{
    (void)state;
    struct buf own CLEANUP(buf_fini) = {0};
    hosts_listen(&hosts.devs[0], hosts_kinds[0]);
    meet(&meetings[0], &meetings[1], 1);
    struct p2p_peer *b = meetings[0].p, *a = meetings[1].p;
    assert_ptr_equal(b, p2p_find(hosts.devs[0].h, p2p_host_id(hosts.devs[1].h)));
    assert_ptr_equal(a, p2p_find(hosts.devs[1].h, p2p_host_id(hosts.devs[0].h)));
    assert_memory_equal(p2p_peer_hash(a), p2p_peer_hash(b), NOISE_HASH_BYTES);
    assert_true(p2p_peer_is_piped(a) && p2p_peer_is_piped(b));
    /* Each asks the other for an echo when it is connected. */
    hosts_until_rest();
    assert_true(hosts_is_answered(hosts.devs[0].asked) && hosts_is_answered(hosts.devs[1].asked));
    /* The pipe is no address of anybody. */
    net_until(&hosts.net, both_know, NULL);
    assert_int_equal(p2p_host_addresses(hosts.devs[0].h, &own), 0);
    assert_int_equal(p2p_identity(b)->addrs.n, 0);
    assert_int_equal(p2p_identity(a)->addrs.n, 1);
    assert_true(bytes_equal(buf_bytes(&p2p_identity(a)->addrs.b), buf_bytes(&own)));
    assert_true(p2p_peer_address(a).n == 0 && p2p_identity(a)->observed.n == 0);
    assert_true(p2p_peer_address(b).n == 0 && p2p_identity(b)->observed.n == 0);
}

static bool is_alone(void *arg)
{
    return hosts_peers(arg) == 0;
}

static void runs_follow_each_other(void **state)
{
    (void)state;
    uint8_t hash[NOISE_HASH_BYTES] = {0};
    for (size_t i = 0; i < 3; i++) {
        meet(&meetings[0], &meetings[1], 1 + i % 2);
        assert_memory_not_equal(p2p_peer_hash(meetings[0].p), hash, sizeof hash);
        memcpy(hash, p2p_peer_hash(meetings[0].p), sizeof hash);
        hosts_until_rest();
        assert_int_equal(p2p_peer_is_piped(meetings[0].p), true);
        p2p_disconnect(i == 0 ? meetings[0].p : meetings[1].p);
        net_until(&hosts.net, is_alone, &hosts.devs[0]);
        net_until(&hosts.net, is_alone, &hosts.devs[1 + i % 2]);
    }
    begin(&meetings[0], 0, tokens[0], true);
    expect(&meetings[0], MAILBOX_SPENT, "as often as it can be");
    begin(&meetings[1], 1, "", false);
    expect(&meetings[1], MAILBOX_SPENT, "as often as it can be");
    assert_int_equal(server_process_metric(&server, "mailbox_joins_total"), 3);
}

static void each_end_says_why(void **state)
{
    (void)state;
    struct err err = {0};
    struct meeting *a = &meetings[0], *b = &meetings[1], *c = &meetings[2];
    begin(b, 1, "", false);
    expect(b, MAILBOX_NOBODY, "no device invites there");
    begin(b, 1, "nonsense", false);
    expect(b, MAILBOX_REFUSED, "refuses the token");
    begin(a, 0, "nonsense", true);
    expect(a, MAILBOX_REFUSED, "refuses the token");
    assert_false(a->waits);
    assert_int_equal(try_open(b, 1, "", "042", false, &err), -EINVAL);
    assert_int_equal(try_open(b, 1, "", "0042", true, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "no token is stored"));
    meet(a, b, 1);
    begin(c, 2, tokens[1], false);
    expect(c, MAILBOX_TAKEN, "another device is just using this code");
    begin(c, 2, tokens[1], true);
    expect(c, MAILBOX_TAKEN, "the same digits");
    invite(a, 0);
    assert_int_equal(server_process_ask(&server, PERSIST__ADMIN_VERB__ADMIN_USER_REMOVE, "anna"),
                     0);
    expect(a, MAILBOX_REFUSED, "refuses the token");
    server_process_stop(&server, SIGKILL);
    begin(b, 1, "", false);
    expect(b, MAILBOX_LOST, "cannot connect");
}

static void a_newer_code_of_the_user_ends_an_older_one(void **state)
{
    (void)state;
    struct err err = {0};
    invite(&meetings[0], 0);
    assert_int_equal(try_open(&meetings[1], 1, tokens[0], "0043", true, &err), 0);
    expect(&meetings[0], MAILBOX_TAKEN, "newer code");
    invite(&meetings[2], 2);
    expect(&meetings[1], MAILBOX_TAKEN, "newer code");
}

/* A direct connection is not given up for a pipe. */
static void devices_that_are_connected_stay_so(void **state)
{
    (void)state;
    /* By who joins later: else the one of the lesser id might stay as well. */
    hosts_listen(&hosts.devs[0], hosts_kinds[0]);
    hosts_dial(&hosts.dials[0], &hosts.devs[1], &hosts.devs[0]);
    net_until(&hosts.net, both_know, NULL);
    struct p2p_peer *b = hosts.devs[0].last, *a = hosts.devs[1].last;
    meet(&meetings[0], &meetings[1], 1);
    assert_true(meetings[0].p == b && meetings[1].p == a);
    assert_false(p2p_peer_is_piped(a) || p2p_peer_is_piped(b));
    assert_true(hosts.devs[0].disconnected == 0 && hosts.devs[1].disconnected == 0);
    hosts_ask(&hosts.devs[0], b);
    hosts_until_rest();
}

static bool is_direct(void *arg)
{
    struct hosts_dev *x = arg;
    return x->connected == 2 && x->last != NULL && !p2p_peer_is_piped(x->last);
}

static void a_direct_connection_takes_the_place_of_a_pipe(void **state)
{
    (void)state;
    for (size_t from = 0; from < 2; from++) {
        struct buf list CLEANUP(buf_fini) = {0};
        if (from == 1)
            hosts_renew();
        hosts_listen(&hosts.devs[1 - from], hosts_kinds[0]);
        meet(&meetings[0], &meetings[1], 1);
        hosts_until_rest();
        assert_int_equal(p2p_host_addresses(hosts.devs[1 - from].h, &list), 0);
        assert_int_equal(hosts_try_dial(&hosts.dials[0], &hosts.devs[from], NULL, buf_bytes(&list)),
                         0);
        hosts_until_dialed(&hosts.dials[0]);
        net_until(&hosts.net, is_direct, &hosts.devs[0]);
        net_until(&hosts.net, is_direct, &hosts.devs[1]);
        assert_true(hosts.devs[0].disconnected == 1 && hosts.devs[1].disconnected == 1);
        hosts_until_rest();
        assert_true(hosts_is_answered(hosts.devs[0].asked));
    }
}

static void one_that_is_given_up_says_nothing(void **state)
{
    (void)state;
    struct meeting *a = &meetings[0], *b = &meetings[1];
    begin(a, 0, tokens[0], true);
    mailbox_cancel(TAKE_PTR(a->m)); /* before it is open */
    invite(a, 0);
    mailbox_cancel(TAKE_PTR(a->m));
    net_run_ms(&hosts.net, RUN_MS);
    assert_false(a->done);
    begin(b, 1, "", false);
    expect(b, MAILBOX_NOBODY, "no device invites there");
    /* While the connection is being made over the pipe, as far as that can be met. */
    for (unsigned turns = 0; turns < 60; turns += 10) {
        char nameplate[WS_PAIR_DIGITS + 1];
        snprintf(nameplate, sizeof nameplate, "%04u", turns);
        hosts_renew();
        assert_int_equal(try_open(a, 0, tokens[0], nameplate, true, NULL), 0);
        net_until(&hosts.net, is_waiting, a);
        assert_int_equal(try_open(b, 1, tokens[1], nameplate, false, NULL), 0);
        hosts_turns(turns);
        mailbox_cancel(TAKE_PTR(a->m));
        mailbox_cancel(TAKE_PTR(b->m));
        net_run_ms(&hosts.net, RUN_MS / 4);
        assert_false(a->done && a->end != MAILBOX_MET && a->end != MAILBOX_LOST);
        *a = *b = (struct meeting){.m = NULL};
    }
}

/* The host has no room for it. */
static void a_host_that_stops_takes_no_pipe(void **state)
{
    (void)state;
    invite(&meetings[0], 0);
    p2p_host_stop(hosts.devs[0].h);
    begin(&meetings[1], 1, "", false);
    expect(&meetings[0], MAILBOX_LOST, "nobody is met any more");
    expect(&meetings[1], MAILBOX_LOST, "");
    net_run_ms(&hosts.net, RUN_MS);
    assert_true(p2p_host_is_idle(hosts.devs[0].h) && p2p_host_is_idle(hosts.devs[1].h));
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(two_hosts_meet_and_talk),
        SERVED(runs_follow_each_other),
        SERVED(each_end_says_why),
        SERVED(a_newer_code_of_the_user_ends_an_older_one),
        SERVED(devices_that_are_connected_stay_so),
        SERVED(a_direct_connection_takes_the_place_of_a_pipe),
        SERVED(one_that_is_given_up_says_nothing),
        SERVED(a_host_that_stops_takes_no_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
