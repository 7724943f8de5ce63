/* Mailboxes of a server: alone, and over real WebSockets to a real server. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/ws_pair.h"
#include "sync/server/mailbox.h"
#include "tests/support/net.h"
#include "tests/support/session_world.h"

enum { KIB = 1024, MINUTE_MS = 60 * 1000, PIECE = 32 * KIB, FIRST_MS = 1000 };

/* ---- alone -------------------------------------------------------------------------------------
 */

/* What the carrier of an end was told. */
struct seat {
    struct srv_mailbox_end *e; /* NULL: gone */
    unsigned code;             /* closed with; 0: it is not */
    size_t n, bytes;           /* messages */
    bool takes_no_more, paused;
};

static const uint8_t anna[TOKEN_ID_BYTES] = {1};
static const uint8_t desk[TOKEN_ID_BYTES] = {2}; /* of anna, too */
static const uint8_t ben[TOKEN_ID_BYTES] = {3};
enum { NO_USER = 0, USER_ANNA = 7, USER_BEN = 8 };

static int send_seat(void *to, struct bytes message)
{
    struct seat *s = to;
    assert_int_equal(s->code, 0);
    s->n++;
    s->bytes += message.n;
    return s->takes_no_more;
}

static void read_seat(void *to, bool on)
{
    struct seat *s = to;
    s->paused = !on;
}

static void close_seat(void *to, unsigned code, const char *text)
{
    struct seat *s = to;
    assert_int_equal(s->code, 0);
    assert_non_null(text);
    s->code = code;
}

static const struct srv_mailbox_wire seats = {send_seat, read_seat, close_seat};

static struct srv_mailboxes *boxes;
static struct seat a, b, c, other, again;

static int boxes_setup(void **state)
{
    (void)state;
    return srv_mailboxes_new(&seats, &boxes);
}

static int boxes_teardown(void **state)
{
    (void)state;
    srv_mailboxes_free(boxes);
    return 0;
}

static unsigned ask_to_invite(struct seat *s, unsigned nameplate, uint64_t account,
                              const uint8_t *id, uint64_t now_ms)
{
    *s = (struct seat){.e = NULL};
    return srv_mailbox_invite(boxes, nameplate, account, id, now_ms, &s->e);
}

static void invite(struct seat *s, unsigned nameplate, const uint8_t *id, uint64_t now_ms)
{
    uint64_t account = id == ben ? USER_BEN : USER_ANNA;
    assert_int_equal(ask_to_invite(s, nameplate, account, id, now_ms), 0);
    srv_mailbox_opened(s->e, s);
}

static struct bytes address_of(uint8_t n)
{
    static uint8_t raw[4] = {192, 0, 2};
    raw[3] = n;
    return bytes_of(raw, sizeof raw);
}

static unsigned ask_to_join(struct seat *s, unsigned nameplate, uint64_t account, uint8_t from,
                            uint64_t now_ms)
{
    *s = (struct seat){.e = NULL};
    return srv_mailbox_join(boxes, nameplate, account, address_of(from), now_ms, &s->e);
}

static void join(struct seat *s, unsigned nameplate, uint64_t now_ms)
{
    static uint8_t from;
    assert_int_equal(ask_to_join(s, nameplate, NO_USER, ++from, now_ms), 0);
    srv_mailbox_opened(s->e, s);
}

static void leave(struct seat *s)
{
    srv_mailbox_closed(TAKE_PTR(s->e));
}

static void say(struct seat *s, size_t n)
{
    static const uint8_t some[SRV_MAILBOX_BYTES + 1];
    srv_mailbox_message(s->e, bytes_of(some, n));
}

static void two_meet_and_each_gets_what_the_other_sends(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    assert_int_equal(a.n, 0);
    join(&b, 42, FIRST_MS);
    assert_true(a.n == 1 && a.bytes == 1 && b.n == 1 && b.bytes == 1); /* the hello */
    say(&a, 10);
    say(&a, 0);
    say(&b, 1000);
    assert_true(a.n == 2 && a.bytes == 1001 && b.n == 3 && b.bytes == 11);
    leave(&b);
    assert_int_equal(a.code, WS_PAIR_LEFT);
    say(&a, 10); /* was on its way */
    leave(&a);
}

static void who_invites_leaves_and_the_other_is_told(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    join(&b, 42, FIRST_MS);
    leave(&a);
    assert_int_equal(b.code, WS_PAIR_LEFT);
    assert_int_equal(ask_to_join(&a, 42, NO_USER, 1, FIRST_MS), 404);
    leave(&b);
}

static void only_one_is_let_in_where_somebody_invites(void **state)
{
    (void)state;
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 404);
    invite(&a, 42, anna, FIRST_MS);
    assert_int_equal(ask_to_join(&b, 43, NO_USER, 1, FIRST_MS), 404);
    assert_int_equal(ask_to_invite(&other, 42, USER_BEN, ben, FIRST_MS), 409);
    assert_int_equal(ask_to_invite(&other, 42, USER_ANNA, desk, FIRST_MS), 409);
    join(&b, 42, FIRST_MS);
    assert_int_equal(ask_to_join(&other, 42, NO_USER, 1, FIRST_MS), 409);
    struct srv_mailbox_stats s = srv_mailboxes_stats(boxes);
    assert_true(s.open == 1 && s.made == 1 && s.joined == 1 && s.refused == 3);
    leave(&a);
    leave(&b);
    assert_int_equal(ask_to_invite(&other, 42, USER_BEN, ben, FIRST_MS),
                     409); /* it may come back */
}

static void there_are_three_joins(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SRV_MAILBOX_JOINS; i++) {
        invite(&a, 42, anna, FIRST_MS + i);
        join(&b, 42, FIRST_MS + i);
        assert_int_equal(b.n, 1);
        leave(&b);
        leave(&a);
    }
    assert_int_equal(ask_to_invite(&a, 42, USER_ANNA, anna, FIRST_MS), 429);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 429);
    invite(&a, 43, anna, FIRST_MS); /* another code */
    join(&b, 43, FIRST_MS);
    leave(&b);
    leave(&a);
}

static void a_join_that_does_not_come_is_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SRV_MAILBOX_JOINS; i++) {
        invite(&a, 42, anna, FIRST_MS);
        assert_int_equal(ask_to_join(&b, 42, NO_USER, (uint8_t)i, FIRST_MS), 0);
        leave(&b);
        assert_int_equal(a.code, WS_PAIR_LEFT);
        leave(&a);
    }
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 429);
}

static void a_mailbox_lives_five_minutes(void **state)
{
    (void)state;
    assert_int_equal(srv_mailboxes_tend(boxes, FIRST_MS), 0);
    invite(&a, 42, anna, FIRST_MS);
    invite(&other, 43, ben, FIRST_MS + 5);
    leave(&a);
    invite(&a, 42, anna, FIRST_MS + 1000); /* comes back: that is no new one */
    join(&b, 42, FIRST_MS + 1000);
    assert_int_equal(srv_mailboxes_tend(boxes, FIRST_MS + 2000), SRV_MAILBOX_MS - 2000);
    assert_int_equal(srv_mailboxes_tend(boxes, FIRST_MS + SRV_MAILBOX_MS - 1), 1);
    assert_true(a.code == 0 && b.code == 0);
    assert_int_equal(srv_mailboxes_tend(boxes, FIRST_MS + SRV_MAILBOX_MS), 5);
    assert_true(a.code == WS_PAIR_EXPIRED && b.code == WS_PAIR_EXPIRED && other.code == 0);
    assert_int_equal(srv_mailboxes_stats(boxes).open, 1);
    leave(&a);
    leave(&b);
    /* Nobody has looked since. */
    assert_int_equal(ask_to_join(&b, 43, NO_USER, 1, FIRST_MS + SRV_MAILBOX_MS + 5), 404);
    assert_int_equal(other.code, WS_PAIR_EXPIRED);
    leave(&other);
}

static void so_many_bytes_and_no_more(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    join(&b, 42, FIRST_MS);
    say(&a, SRV_MAILBOX_BYTES / 2);
    leave(&b);
    leave(&a);
    invite(&a, 42, anna, FIRST_MS);
    join(&b, 42, FIRST_MS);
    say(&b, SRV_MAILBOX_BYTES / 2);
    assert_int_equal(a.bytes, 1 + SRV_MAILBOX_BYTES / 2);
    assert_int_equal(a.code, 0);
    say(&b, 1);
    assert_true(a.code == WS_PAIR_FULL && b.code == WS_PAIR_FULL);
    assert_int_equal(a.bytes, 1 + SRV_MAILBOX_BYTES / 2);
    leave(&a);
    leave(&b);
    assert_int_equal(ask_to_invite(&a, 42, USER_ANNA, anna, FIRST_MS), 429);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 429);
}

static void a_user_has_one_mailbox(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    join(&b, 42, FIRST_MS);
    invite(&c, 43, desk, FIRST_MS);
    assert_true(a.code == WS_PAIR_REPLACED && b.code == WS_PAIR_REPLACED);
    assert_int_equal(srv_mailboxes_stats(boxes).open, 1);
    leave(&a);
    leave(&b);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 404);
    leave(&c);
}

/* One whose connection broke does not wait until the server sees that. */
static void who_invites_comes_back_before_it_is_gone(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    join(&b, 42, FIRST_MS);
    invite(&again, 42, anna, FIRST_MS);
    assert_true(a.code == WS_PAIR_LEFT && b.code == WS_PAIR_LEFT && again.code == 0);
    leave(&a);
    leave(&b);
    assert_int_equal(again.code, 0);
    join(&b, 42, FIRST_MS);
    assert_true(again.n == 1 && b.n == 1);
    /* The same before its connection is open. */
    assert_int_equal(ask_to_invite(&a, 42, USER_ANNA, anna, FIRST_MS), 0);
    leave(&again);
    leave(&b);
    invite(&again, 42, anna, FIRST_MS);
    srv_mailbox_opened(a.e, &a);
    assert_int_equal(a.code, WS_PAIR_LEFT);
    leave(&a);
    leave(&again);
}

static void a_full_pipe_is_not_written_to(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    join(&b, 42, FIRST_MS);
    b.takes_no_more = true;
    say(&a, 10);
    assert_true(a.paused && !b.paused);
    say(&a, 10); /* was read already */
    assert_int_equal(b.bytes, 21);
    say(&b, 10); /* the other way is free */
    assert_int_equal(a.bytes, 11);
    b.takes_no_more = false;
    srv_mailbox_writable(b.e);
    assert_false(a.paused);
    say(&a, 10);
    assert_false(a.paused);
    leave(&a);
    srv_mailbox_writable(b.e);
    leave(&b);
}

static void nobody_speaks_before_both_are_there(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 0);
    say(&a, 1);
    assert_int_equal(a.code, WS_PAIR_EARLY);
    srv_mailbox_opened(b.e, &b);
    assert_true(b.code == WS_PAIR_EARLY && b.n == 0);
    leave(&a);
    leave(&b);
}

static void joins_of_an_address_are_limited(void **state)
{
    (void)state;
    invite(&a, 42, anna, FIRST_MS);
    for (unsigned i = 0; i < SRV_MAILBOX_RATE; i++)
        assert_int_equal(ask_to_join(&b, 100 + i, NO_USER, 1, FIRST_MS), 404);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS), 429);
    assert_int_equal(ask_to_join(&b, 43, NO_USER, 2, FIRST_MS), 404);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS + MINUTE_MS - 1), 429);
    assert_int_equal(ask_to_join(&b, 42, NO_USER, 1, FIRST_MS + MINUTE_MS), 0);
    leave(&b);
    leave(&a);
    /* With a token it is the user's, wherever it is. */
    for (unsigned i = 0; i < SRV_MAILBOX_RATE; i++)
        assert_int_equal(ask_to_join(&b, 100 + i, USER_BEN, (uint8_t)i, FIRST_MS), 404);
    assert_int_equal(ask_to_join(&b, 42, USER_BEN, 99, FIRST_MS), 429);
    assert_int_equal(ask_to_join(&b, 43, USER_ANNA, 99, FIRST_MS), 404);
    assert_int_equal(ask_to_join(&b, 43, NO_USER, 99, FIRST_MS), 404);
}

static bool is_not_annas(void *arg, const uint8_t id[TOKEN_ID_BYTES])
{
    ++*(unsigned *)arg;
    return memcmp(id, anna, TOKEN_ID_BYTES) != 0;
}

static void mailboxes_go_with_their_token(void **state)
{
    (void)state;
    unsigned asked = 0;
    invite(&a, 42, anna, FIRST_MS);
    invite(&c, 43, ben, FIRST_MS);
    join(&b, 42, FIRST_MS);
    srv_mailboxes_check(boxes, is_not_annas, &asked);
    assert_true(a.code == WS_PAIR_TOKEN && b.code == WS_PAIR_TOKEN && c.code == 0 && asked == 2);
    assert_int_equal(srv_mailboxes_stats(boxes).open, 1);
    leave(&a);
    leave(&b);
    leave(&c);
}

static void each_nameplate_can_be_had(void **state)
{
    (void)state;
    static struct seat all[WS_PAIR_NAMEPLATES];
    for (unsigned i = 0; i < WS_PAIR_NAMEPLATES; i++) {
        uint8_t id[TOKEN_ID_BYTES];
        put_u64(id, i);
        assert_int_equal(ask_to_invite(&all[i], i, 1 + i, id, FIRST_MS), 0);
        srv_mailbox_opened(all[i].e, &all[i]);
    }
    assert_int_equal(srv_mailboxes_stats(boxes).open, WS_PAIR_NAMEPLATES);
    for (unsigned i = 0; i < WS_PAIR_NAMEPLATES; i++)
        leave(&all[i]);
    assert_int_equal(srv_mailboxes_tend(boxes, FIRST_MS + SRV_MAILBOX_MS), 0);
    assert_int_equal(srv_mailboxes_stats(boxes).open, 0);
}

static void paths_are_of_four_digits(void **state)
{
    (void)state;
    char path[WS_PAIR_PATH_SIZE];
    unsigned n = 0;
    bool inviting = true;
    assert_int_equal(ws_pair_path("0042", false, path, NULL), 0);
    assert_string_equal(path, "/v1/pair/0042");
    assert_int_equal(ws_pair_path_parse(path, &n, &inviting), 0);
    assert_true(n == 42 && !inviting);
    assert_int_equal(ws_pair_path("9999", true, path, NULL), 0);
    assert_string_equal(path, "/v1/pair/9999/inviting");
    assert_int_equal(ws_pair_path_parse(path, &n, &inviting), 0);
    assert_true(n == 9999 && inviting);
    static const char *const bad[] = {"", "123", "12345", "12a4", "-123", " 123", "123\n"};
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        char whole[64];
        snprintf(whole, sizeof whole, "/v1/pair/%s", bad[i]);
        assert_int_equal(ws_pair_path(bad[i], false, path, NULL), -EINVAL);
        assert_int_equal(ws_pair_path_parse(whole, &n, &inviting), -EINVAL);
    }
    static const char *const odd[] = {"/v1/pair/1234/", "/v1/pair/1234/invitin",
                                      "/v1/pair/1234/inviting/", "/v1/pair", "/v2/pair/1234"};
    for (size_t i = 0; i < ARRAY_N(odd); i++)
        assert_int_equal(ws_pair_path_parse(odd[i], &n, &inviting), -EINVAL);
}

/* ---- over the network --------------------------------------------------------------------------
 */

enum { ENDS = 32 };

static struct net net;
static struct net_end ends[ENDS];
static struct session_world *world;

static int world_setup(void **state)
{
    struct err err = {0};
    int rc = session_world_setup(state);
    world = *state;
    memset(&net, 0, sizeof net);
    memset(ends, 0, sizeof ends);
    assert_int_equal(net_loop_new(1024, &net.loop, &err), 0);
    net_client(&net, (struct ws_client_config){0});
    return rc;
}

static int world_teardown(void **state)
{
    net_end(&net);
    return session_world_teardown(state);
}

static bool is_open_or_closed(void *arg)
{
    const struct net_end *e = arg;
    return e->opened > 0 || e->closed > 0;
}

/* The answer; 101: it is open. */
static unsigned ask(struct net_end *e, const char *path, const char *subprotocol, const char *token)
{
    struct ws_service service = {path, subprotocol};
    struct err err = {0};
    *e = (struct net_end){0};
    if (ws_connect_to(net.client, world->server.url, &service, bytes_str(token), &net_events, e,
                      &e->ws, &err) < 0)
        fail_msg("%s", err.msg);
    net_until(&net, is_open_or_closed, e);
    return e->closed > 0 ? e->end.http_status : 101;
}

static unsigned come(struct net_end *e, const char *path, const char *token)
{
    return ask(e, path, WS_PAIR_SUBPROTOCOL, token);
}

/* Two that have met. */
static void meet(struct net_end *x, struct net_end *y)
{
    assert_int_equal(come(x, "/v1/pair/0042/inviting", world->token[ANNA_1]), 101);
    assert_int_equal(x->messages, 0);
    assert_int_equal(come(y, "/v1/pair/0042", ""), 101);
    net_until_messages(&net, x, 1);
    net_until_messages(&net, y, 1);
    assert_true(x->bytes == 1 && y->bytes == 1);
    assert_true(x->last.p[0] == WS_PAIR_HELLO && y->last.p[0] == WS_PAIR_HELLO);
}

static void expect_closed(struct net_end *e, unsigned code)
{
    net_until_closed(&net, e);
    assert_true(e->end.by_peer);
    assert_int_equal(e->end.code, code);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

/* Message number i begins at i * PIECE of the pattern. */
static void say_piece(struct net_end *e, size_t at, size_t n)
{
    static uint8_t piece[WS_MESSAGE_MAX];
    for (size_t i = 0; i < n; i++)
        piece[i] = pattern(at + i);
    assert_int_equal(ws_send(e->ws, bytes_of(piece, n)), 0);
}

static void check_pattern(struct net_end *e, struct bytes message)
{
    for (size_t i = 0; e->messages > 1 && i < message.n; i++)
        e->wrong = e->wrong || message.p[i] != pattern(e->next++);
}

static void a_pipe_carries_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100, 70000, 200000};
    meet(&ends[0], &ends[1]);
    for (unsigned k = 0; k < 2; k++) {
        struct net_end *from = &ends[k], *to = &ends[1 - k];
        to->on_message = check_pattern;
        size_t at = 0;
        for (size_t i = 0; i + k < ARRAY_N(sizes); i++) {
            say_piece(from, at, sizes[i]);
            at += sizes[i];
            net_until_messages(&net, to, 2 + (unsigned)i);
            assert_int_equal(to->bytes, 1 + at);
            assert_false(to->wrong);
        }
    }
    assert_int_equal(server_process_metric(&world->server, "mailboxes"), 1);
    assert_int_equal(server_process_metric(&world->server, "mailbox_joins_total"), 1);
    ws_close(ends[1].ws, WS_NORMAL, NULL);
    expect_closed(&ends[0], WS_PAIR_LEFT);
}

/* The other end sends on while it reads nothing, and nothing is lost. */
static void a_slow_reader_gets_all(void **state)
{
    (void)state;
    enum { N = 3, LONG = 5 * PIECE }; /* more than what waits before the other end is paused */
    meet(&ends[0], &ends[1]);
    ends[1].on_message = check_pattern;
    ws_pause(ends[1].ws);
    for (size_t i = 0; i < N; i++)
        say_piece(&ends[0], i * LONG, LONG);
    net_run_ms(&net, 300);
    assert_int_equal(ends[1].messages, 1);
    ends[1].pause_each = true;
    for (unsigned i = 1; i <= N; i++) {
        ws_resume(ends[1].ws);
        net_until_messages(&net, &ends[1], 1 + i);
        assert_int_equal(ends[1].messages, 1 + i);
    }
    assert_false(ends[1].wrong);
    assert_int_equal(ends[1].bytes, 1 + N * LONG);
}

static void the_fourth_join_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SRV_MAILBOX_JOINS; i++) {
        struct net_end *x = &ends[2 * i], *y = &ends[2 * i + 1];
        meet(x, y);
        assert_int_equal(come(&ends[ENDS - 1], "/v1/pair/0042", ""), 409);
        ws_close(y->ws, WS_NORMAL, NULL);
        expect_closed(x, WS_PAIR_LEFT);
    }
    assert_int_equal(come(&ends[10], "/v1/pair/0042/inviting", world->token[ANNA_1]), 429);
    assert_int_equal(come(&ends[10], "/v1/pair/0042", ""), 429);
    assert_int_equal(server_process_metric(&world->server, "mailbox_refused_total"),
                     SRV_MAILBOX_JOINS + 1);
}

static void who_may_not_is_told_why(void **state)
{
    (void)state;
    static const char wrong[] = "ps1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    static const char *const nowhere[] = {
        "/v1/pair/004", "/v1/pair/00420", "/v1/pair/0042/",    "/v1/pair/0042/inviting/",
        "/v1/pair/",    "/v1/pair",       "/v1/pair/0042?make"};
    struct net_end *e = &ends[1];
    assert_int_equal(come(e, "/v1/pair/0042/inviting", ""), 401);
    assert_int_equal(come(e, "/v1/pair/0042/inviting", wrong), 401);
    assert_int_equal(come(e, "/v1/pair/0042", wrong), 401);
    assert_int_equal(come(e, "/v1/pair/0042", ""), 404);
    assert_int_equal(come(&ends[0], "/v1/pair/0042/inviting", world->token[ANNA_1]), 101);
    assert_int_equal(come(e, "/v1/pair/0043", ""), 404);
    assert_int_equal(come(e, "/v1/pair/0042/inviting", world->token[BEN]), 409);
    assert_int_equal(ask(e, "/v1/pair/0042", WS_SUBPROTOCOL, ""), 400);
    assert_int_equal(ask(e, WS_PATH, WS_PAIR_SUBPROTOCOL, world->token[BEN]), 400);
    assert_int_equal(ask(e, WS_PATH, WS_SUBPROTOCOL, ""), 401);
    for (size_t i = 0; i < ARRAY_N(nowhere); i++)
        assert_int_equal(come(e, nowhere[i], world->token[BEN]), 404);
    assert_int_equal(come(e, "/v1/pair/0042", world->token[BEN]), 101);
}

static void a_user_is_served_anew(void **state)
{
    (void)state;
    meet(&ends[0], &ends[1]);
    assert_int_equal(come(&ends[2], "/v1/pair/0043/inviting", world->token[ANNA_2]), 101);
    expect_closed(&ends[0], WS_PAIR_REPLACED);
    expect_closed(&ends[1], WS_PAIR_REPLACED);
    assert_int_equal(come(&ends[3], "/v1/pair/0043/inviting", world->token[ANNA_2]), 101);
    expect_closed(&ends[2], WS_PAIR_LEFT);
}

static void end_token(unsigned who)
{
    char id[TOKEN_ID_TEXT_SIZE];
    struct token t;
    assert_int_equal(token_parse(bytes_str(world->token[who]), &t), 0);
    assert_int_equal(server_process_ask(&world->server, PERSIST__ADMIN_VERB__ADMIN_TOKEN_REVOKE,
                                        token_id_text(t.b, id)),
                     0);
}

static void a_revoked_token_ends_its_mailbox(void **state)
{
    (void)state;
    meet(&ends[0], &ends[1]);
    assert_int_equal(come(&ends[2], "/v1/pair/0043/inviting", world->token[BEN]), 101);
    end_token(ANNA_2);
    net_run_ms(&net, 100);
    assert_true(ends[0].closed == 0 && ends[1].closed == 0);
    end_token(ANNA_1);
    expect_closed(&ends[0], WS_PAIR_TOKEN);
    expect_closed(&ends[1], WS_PAIR_TOKEN);
    assert_int_equal(come(&ends[3], "/v1/pair/0042/inviting", world->token[ANNA_1]), 401);
    assert_int_equal(come(&ends[3], "/v1/pair/0042", ""), 404);
    assert_int_equal(
        server_process_ask(&world->server, PERSIST__ADMIN_VERB__ADMIN_USER_REMOVE, "ben"), 0);
    expect_closed(&ends[2], WS_PAIR_TOKEN);
    assert_int_equal(server_process_metric(&world->server, "mailboxes"), 0);
}

static void more_bytes_end_it(void **state)
{
    (void)state;
    meet(&ends[0], &ends[1]);
    for (size_t i = 0; i < SRV_MAILBOX_BYTES / PIECE; i++)
        say_piece(&ends[0], i * PIECE, PIECE);
    net_until_messages(&net, &ends[1], 1 + SRV_MAILBOX_BYTES / PIECE);
    say_piece(&ends[1], 0, 1);
    expect_closed(&ends[0], WS_PAIR_FULL);
    expect_closed(&ends[1], WS_PAIR_FULL);
    assert_int_equal(ends[1].bytes, 1 + SRV_MAILBOX_BYTES);
    assert_int_equal(come(&ends[2], "/v1/pair/0042/inviting", world->token[ANNA_1]), 429);
}

static void an_early_word_ends_it(void **state)
{
    (void)state;
    assert_int_equal(come(&ends[0], "/v1/pair/0042/inviting", world->token[ANNA_1]), 101);
    say_piece(&ends[0], 0, 1);
    expect_closed(&ends[0], WS_PAIR_EARLY);
}

static void joins_without_a_token_are_limited(void **state)
{
    (void)state;
    assert_int_equal(come(&ends[0], "/v1/pair/0042/inviting", world->token[ANNA_1]), 101);
    for (unsigned i = 0; i < SRV_MAILBOX_RATE; i++)
        assert_int_equal(come(&ends[1], "/v1/pair/0043", ""), 404);
    assert_int_equal(come(&ends[1], "/v1/pair/0042", ""), 429);
    assert_int_equal(come(&ends[1], "/v1/pair/0042", world->token[BEN]), 101);
}

static void a_server_that_stops_closes_mailboxes(void **state)
{
    (void)state;
    meet(&ends[0], &ends[1]);
    kill(world->server.pid, SIGTERM);
    expect_closed(&ends[0], WS_GOING_AWAY);
    expect_closed(&ends[1], WS_GOING_AWAY);
    assert_int_equal(server_process_stop(&world->server, SIGTERM), 0);
}

#define ALONE(test) cmocka_unit_test_setup_teardown(test, boxes_setup, boxes_teardown)
#define SERVED(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(two_meet_and_each_gets_what_the_other_sends),
        ALONE(who_invites_leaves_and_the_other_is_told),
        ALONE(only_one_is_let_in_where_somebody_invites),
        ALONE(there_are_three_joins),
        ALONE(a_join_that_does_not_come_is_one),
        ALONE(a_mailbox_lives_five_minutes),
        ALONE(so_many_bytes_and_no_more),
        ALONE(a_user_has_one_mailbox),
        ALONE(who_invites_comes_back_before_it_is_gone),
        ALONE(a_full_pipe_is_not_written_to),
        ALONE(nobody_speaks_before_both_are_there),
        ALONE(joins_of_an_address_are_limited),
        ALONE(mailboxes_go_with_their_token),
        ALONE(each_nameplate_can_be_had),
        cmocka_unit_test(paths_are_of_four_digits),
        SERVED(a_pipe_carries_both_ways),
        SERVED(a_slow_reader_gets_all),
        SERVED(the_fourth_join_is_refused),
        SERVED(who_may_not_is_told_why),
        SERVED(a_user_is_served_anew),
        SERVED(a_revoked_token_ends_its_mailbox),
        SERVED(more_bytes_end_it),
        SERVED(an_early_word_ends_it),
        SERVED(joins_without_a_token_are_limited),
        SERVED(a_server_that_stops_closes_mailboxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
