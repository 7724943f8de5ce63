/*
 * Who is online: what a server tells the sessions of a space of each other, and what a device makes
 * of that, also when the server keeps to no rule.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "fs/space/exchange.h"
#include "fs/space/sync_priv.h"
#include "sync/server/session_priv.h"
#include "tests/support/hostile_world.h"
#include "tests/support/sealed_fixture.h"
#include "tests/support/session_world.h"

/* ---- frames ------------------------------------------------------------------------------------
 */

static int decode(struct bytes identities, bool many)
{
    struct buf b CLEANUP(buf_fini) = {0};
    Persist__Online o = PERSIST__ONLINE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    Persist__Frame *got = NULL;
    o.identities = frame_data(identities);
    o.many = many;
    f.kind_case = PERSIST__FRAME__KIND_ONLINE;
    f.online = &o;
    assert_int_equal(frame_encode(&f, &b), 0);
    int rc = frame_decode(buf_bytes(&b), &got);
    if (rc == 0)
        frame_free(got);
    return rc;
}

static void lists_that_are_none_are_refused(void **state)
{
    uint8_t ids[(FRAME_ONLINE_MAX + 1) * SIGN_KEY_SIZE] = {0};
    (void)state;
    for (uint8_t i = 0; i <= FRAME_ONLINE_MAX; i++)
        ids[i * SIGN_KEY_SIZE] = i;
    assert_int_equal(decode(bytes_of(ids, 0), false), 0);
    assert_int_equal(decode(bytes_of(ids, 0), true), 0);
    assert_int_equal(decode(bytes_of(ids, sizeof ids - SIGN_KEY_SIZE), false), 0);
    assert_int_equal(decode(bytes_of(ids, sizeof ids), false), -EBADMSG);
    assert_int_equal(decode(bytes_of(ids, SIGN_KEY_SIZE), true), -EBADMSG);
    assert_int_equal(decode(bytes_of(ids, SIGN_KEY_SIZE + 1), false), -EBADMSG);
    ids[SIGN_KEY_SIZE] = 0; /* the same twice */
    assert_int_equal(decode(bytes_of(ids, 2 * SIGN_KEY_SIZE), false), -EBADMSG);
    ids[0] = 1; /* descending */
    assert_int_equal(decode(bytes_of(ids, 2 * SIGN_KEY_SIZE), false), -EBADMSG);
}

/* ---- the server --------------------------------------------------------------------------------
 */

/* A session that wants to know, not caught up yet. */
static struct caller start_watcher(struct session_world *w, unsigned who)
{
    struct caller d = caller_join(w, who);
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    open.space = frame_data(bytes_of(w->at.space, SPACE_ID_SIZE));
    open.online = true;
    f.kind_case = PERSIST__FRAME__KIND_OPEN;
    f.open = &open;
    assert_true(wire_send(d.end, &f));
    Persist__Frame *opened = wire_next(d.end, WIRE_WAIT_MS);
    assert_true(opened != NULL && opened->kind_case == PERSIST__FRAME__KIND_OPENED);
    frame_free(opened);
    return d;
}

/* Whether an Online names these devices of the world, in bits, and nobody else. */
static bool names(const Persist__Online *o, unsigned who)
{
    unsigned n = 0, found = 0;
    for (unsigned i = 0; i < WORLD_TOKENS; i++) {
        struct member_keys k = sealed_member(1 + i);
        if ((who >> i & 1) != 0)
            n++;
        for (size_t at = 0; at < o->identities.len; at += SIGN_KEY_SIZE)
            if ((who >> i & 1) != 0 &&
                memcmp(o->identities.data + at, k.sign_public, SIGN_KEY_SIZE) == 0)
                found++;
        member_keys_fini(&k);
    }
    return found == n && o->identities.len == n * SIGN_KEY_SIZE && !o->many;
}

/* The next frame says that. */
static void expect_online(struct caller *d, unsigned who)
{
    Persist__Frame *f = wire_next(d->end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_ONLINE);
    assert_true(names(f->online, who));
    frame_free(f);
}

enum { A = 1 << ANNA_1, B = 1 << ANNA_2, C = 1 << ANNA_3, ALONE = 1 << BEN };

static void those_that_come_and_go_are_told(void **state)
{
    struct session_world *w = *state;
    struct caller a = start_watcher(w, ANNA_1);
    expect_online(&a, A); /* before it is caught up */
    caller_catch_up(&a);
    struct caller b = start_watcher(w, ANNA_2);
    expect_online(&b, A | B);
    caller_catch_up(&b);
    expect_online(&a, A | B);
    struct caller c = caller_start(w, ANNA_3, NULL); /* did not ask: is told nothing, and named */
    caller_catch_up(&c);
    expect_online(&a, A | B | C);
    expect_online(&b, A | B | C);
    struct caller ben =
        start_watcher(w, BEN); /* the same space of another account is another one */
    expect_online(&ben, ALONE);
    caller_catch_up(&ben);
    caller_end(&b);
    expect_online(&a, A | C);
    assert_null(wire_next(a.end, 700));
    assert_null(wire_next(c.end, 1));
    assert_null(wire_next(ben.end, 1));
    caller_end(&a);
    caller_end(&c);
    caller_end(&ben);
}

/* Reads on until the CaughtUp that a question for dots is answered with: who was online by then. */
static unsigned ask_what_is_new(struct caller *d, unsigned online)
{
    uint8_t last[DOT_SIZE];
    memset(last, 0xff, sizeof last);
    assert_true(wire_list_dots(d->end, bytes_of(last, sizeof last)));
    for (bool dots = false, up = false; !up;) {
        Persist__Frame *f = wire_next(d->end, WIRE_WAIT_MS);
        assert_non_null(f);
        for (unsigned who = 0; f->kind_case == PERSIST__FRAME__KIND_ONLINE && who < 8; who++)
            online = names(f->online, who) ? who : online;
        dots = dots || f->kind_case == PERSIST__FRAME__KIND_DOTS;
        up = dots && f->kind_case == PERSIST__FRAME__KIND_CAUGHT_UP;
        frame_free(f);
    }
    return online;
}

/* However short ago they came. */
static void who_asks_what_is_new_hears_of_all(void **state)
{
    struct session_world *w = *state;
    struct caller a = start_watcher(w, ANNA_1);
    caller_fill(w, &a, 1);
    unsigned online = 0;
    for (unsigned i = 0; i < 6; i++) {
        struct caller b = caller_start(w, i % 2 == 0 ? ANNA_2 : ANNA_3, NULL);
        online = ask_what_is_new(&a, online);
        assert_true((online & (i % 2 == 0 ? B : C)) != 0);
        caller_end(&b);
    }
    caller_end(&a);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whoever comes and goes all the time costs the others two frames a second. */
static void comings_and_goings_are_told_together(void **state)
{
    enum { TIMES = 60, EACH_MS = 500 };
    struct session_world *w = *state;
    struct caller a = start_watcher(w, ANNA_1);
    expect_online(&a, A);
    caller_catch_up(&a);
    uint64_t began = now_ms();
    for (unsigned i = 0; i < TIMES; i++) {
        struct caller b = caller_start(w, ANNA_2, NULL);
        caller_end(&b);
    }
    uint64_t most = (now_ms() - began) / EACH_MS + 2, n = 0;
    for (Persist__Frame *f; (f = wire_next(a.end, 2 * EACH_MS)) != NULL; n++)
        frame_free(f);
    print_message("%ju frames for %u comings and goings\n", (uintmax_t)n, TIMES);
    assert_true(n <= most);
    caller_end(&a);
}

static void more_than_there_can_be_members_are_not_named(void **state)
{
    enum { N = FRAME_ONLINE_MAX + 2 };
    static struct srv_session s[N];
    struct place p = {.online_n = 0};
    (void)state;
    memset(s, 0, sizeof s);
    ring_init(&p.sessions);
    for (uint8_t i = 0; i < N; i++) {
        s[i].is_online = true;
        s[i].identity[0] = (uint8_t)(N - i / 2); /* two of each device */
        ring_add(&p.sessions, &s[i].in_place);
        p.online_n++;
        hub_look_online(&p);
        bool many = i >= FRAME_ONLINE_MAX;
        assert_int_equal(p.online_many, many);
        assert_int_equal(p.online.n, many ? 0 : SIGN_KEY_SIZE * (i / 2 + 1));
        for (size_t at = SIGN_KEY_SIZE; at < p.online.n; at += SIGN_KEY_SIZE)
            assert_true(p.online.p[at - SIGN_KEY_SIZE] < p.online.p[at]);
    }
    /* Said once, however many more come. */
    assert_int_equal(p.online_number, FRAME_ONLINE_MAX / 2 + 1);
    s[0].is_online = s[1].is_online = false;
    p.online_n -= 2;
    hub_look_online(&p);
    assert_false(p.online_many);
    assert_int_equal(p.online.n, SIGN_KEY_SIZE * FRAME_ONLINE_MAX / 2);
    buf_fini(&p.online);
}

/* ---- devices -----------------------------------------------------------------------------------
 */

static struct sync_meet w;
static struct online on[DEVICES];
static struct hostile_server bad, good;

static struct hostile_world world = {&w, on, &bad, &good};

static void start(size_t i, const struct hostile_server *s)
{
    const char *urls[] = {s->url};
    online_start(&on[i], &w.d[i], (unsigned)i + 1, urls, ARRAY_N(urls));
}

static const uint8_t *identity(size_t i)
{
    return w.d[i].s->sync->me->pub.identity;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, SIGN_KEY_SIZE);
}

/* The server says of these devices, and of one that is no member, that they are online. */
static void say_online(struct hostile_server *s, size_t n, bool many)
{
    uint8_t ids[DEVICES + 1][SIGN_KEY_SIZE] = {{0}};
    struct buf b CLEANUP(buf_fini) = {0};
    Persist__Online o = PERSIST__ONLINE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    for (size_t i = 0; i < n; i++)
        memcpy(ids[i], identity(i), SIGN_KEY_SIZE);
    memset(ids[n], 5, SIGN_KEY_SIZE);
    qsort(ids, n + 1, SIGN_KEY_SIZE, by_bytes);
    o.identities = frame_data(bytes_of(ids[0], many ? 0 : (n + 1) * SIGN_KEY_SIZE));
    o.many = many;
    f.kind_case = PERSIST__FRAME__KIND_ONLINE;
    f.online = &o;
    assert_int_equal(frame_encode(&f, &b), 0);
    hostile_server_say(s, buf_bytes(&b));
}

/* What device ANNA would wait for. */
static int acknowledged(struct vv *held, char label[LIMIT_LABEL + 1])
{
    label[0] = '\0';
    return space_sync_acknowledged(w.d[ANNA].s, held, label);
}

struct wish {
    struct vv *held;
    int is;
};

static bool is_so(void *arg)
{
    const struct wish *x = arg;
    char label[LIMIT_LABEL + 1];
    return acknowledged(x->held, label) == x->is;
}

static void expect(struct vv *held, int is, const char *what)
{
    struct wish x = {held, is};
    online_wait(is_so, &x, what);
}

static bool peer_is_online(void)
{
    struct buf peers CLEANUP(buf_fini) = {0};
    struct sync_peer p;
    assert_int_equal(space_sync_peers(w.d[ANNA].s, &peers), 0);
    assert_int_equal(peers.n, sizeof p);
    memcpy(&p, peers.p, sizeof p);
    return p.online;
}

static void save(size_t i, const char *path, const char *text)
{
    device_save_text(&w.d[i], path, text);
    assert_int_equal(publisher_flush(w.d[i].s), 0);
}

static bool anna_has_it(void *arg)
{
    (void)arg;
    return device_ino(&w.d[ANNA], "hello") != 0;
}

/* All that a server can do by it is to have a person wait, or not wait. */
static void a_false_list_makes_one_wait_or_not_and_no_more(void **state)
{
    (void)state;
    CLEANUP(vv_fini) struct vv held = {0};
    char label[LIMIT_LABEL + 1];
    start(ANNA, &bad);
    start(BERT, &bad);
    save(BERT, "hello", "so that it has said something\n");
    online_sync(&on[BERT]);
    online_wait(anna_has_it, NULL, "anna has it");
    online_stop(&on[BERT]);
    save(ANNA, "note", "text\n");
    online_sync(&on[ANNA]);
    assert_int_equal(space_knowledge(w.d[ANNA].s, &held), 0);
    assert_int_equal(acknowledged(&held, label), 1); /* it said nothing so far */
    assert_false(peer_is_online());
    say_online(&bad, 1, false); /* herself, and who is no member */
    say_online(&bad, 2, false);
    expect(&held, 0, "who is said to be online is waited for");
    assert_int_equal(acknowledged(&held, label), 0);
    assert_string_equal(label, "bert");
    assert_true(peer_is_online());
    say_online(&bad, 1, false);
    expect(&held, 1, "who went is not waited for");
    say_online(&bad, 2, false);
    expect(&held, 0, "who came again is");
    say_online(&bad, 2, true);
    expect(&held, 1, "of too many nobody is waited for");
    say_online(&bad, 2, false);
    expect(&held, 0, "and then again");
    /* It has, when it says so itself, and not before. */
    start(BERT, &bad);
    expect(&held, 1, "bert has acknowledged it");
    assert_true(device_ino(&w.d[BERT], "note") != 0);
    assert_true(peer_is_online());
    /* A list of who is online goes with the session. */
    online_stop(&on[ANNA]);
    assert_false(peer_is_online());
}

/* Whether each has said of itself what the other one has, too. */
static bool are_told_equal(void *arg)
{
    bool equal = device_ino(&w.d[BERT], arg) != 0;
    for (size_t i = 0; i < DEVICES; i++) {
        struct buf peers CLEANUP(buf_fini) = {0};
        struct sync_peer p = {.equal = false};
        assert_int_equal(space_sync_peers(w.d[i].s, &peers), 0);
        if (peers.n == sizeof p)
            memcpy(&p, peers.p, sizeof p);
        equal = equal && p.equal;
    }
    return equal;
}

/* Nobody asks for it, and nothing else changes: a while after a change each says what it has. */
static void what_is_there_after_a_change_is_told_by_itself(void **state)
{
    static char names[2][8] = {"hello", "note"};
    (void)state;
    start(ANNA, &good);
    start(BERT, &good);
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        save(ANNA, names[i], "text\n");
        assert_false(are_told_equal(names[i]));
        online_wait(are_told_equal, names[i], "each has heard that the other one has it");
    }
}

static bool says_no_frame(void *arg)
{
    char text[SYNC_TEXT_MAX];
    (void)arg;
    online_error(&on[ANNA], bad.url, text, sizeof text);
    return strstr(text, "no frame") != NULL;
}

static void a_list_that_is_none_ends_the_session(void **state)
{
    uint8_t twice[2 * SIGN_KEY_SIZE] = {0};
    struct buf b CLEANUP(buf_fini) = {0};
    Persist__Online o = PERSIST__ONLINE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    (void)state;
    start(ANNA, &bad);
    online_sync(&on[ANNA]);
    o.identities = frame_data(bytes_of(twice, sizeof twice));
    f.kind_case = PERSIST__FRAME__KIND_ONLINE;
    f.online = &o;
    assert_int_equal(frame_encode(&f, &b), 0);
    hostile_server_say(&bad, buf_bytes(&b));
    online_wait(says_no_frame, NULL, "the session has ended");
}

int main(void)
{
#define AT_SERVER(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, session_world_setup, session_world_teardown)
#define ON_DEVICES(test) HOSTILE_WORLD_TEST(test, &world)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_that_are_none_are_refused),
        AT_SERVER(those_that_come_and_go_are_told),
        AT_SERVER(who_asks_what_is_new_hears_of_all),
        AT_SERVER(comings_and_goings_are_told_together),
        cmocka_unit_test(more_than_there_can_be_members_are_not_named),
        ON_DEVICES(a_false_list_makes_one_wait_or_not_and_no_more),
        ON_DEVICES(what_is_there_after_a_change_is_told_by_itself),
        ON_DEVICES(a_list_that_is_none_ends_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
