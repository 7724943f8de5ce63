#include "tests/support/pair_stranger.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/peer_key.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/e2e.h"

enum { FDS = 4096, LOOK_MS = 10, DIALS = 3, AGAIN_MS = 1000, GARBAGE = 3000 };

/* Of all of them. */
static struct {
    struct net_loop *loop;
    struct net_timer *timer;
    bool (*condition)(void *arg);
    void *arg;
    uint64_t end_ms;
    bool held;
} run;

/* What the test cannot do without. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- the loop ----------------------------------------------------------------------------------
 */

static void look(void *arg)
{
    (void)arg;
    run.held = run.condition != NULL && run.condition(run.arg);
    if (run.held || net_now_ms() >= run.end_ms)
        net_loop_stop(run.loop);
    else
        net_timer_set(run.timer, LOOK_MS);
}

void stranger_start(void)
{
    struct err err = {0};
    must(sodium_init() >= 0);
    must(net_loop_new(FDS, &run.loop, &err) == 0);
    must(net_timer_new(run.loop, look, NULL, &run.timer) == 0);
}

void stranger_stop(void)
{
    net_timer_free(run.timer);
    net_loop_free(run.loop);
}

static bool run_until(bool (*condition)(void *arg), void *arg, unsigned ms)
{
    run.condition = condition;
    run.arg = arg;
    run.end_ms = net_now_ms() + ms;
    net_timer_set(run.timer, 0);
    must(net_loop_run(run.loop) == 0);
    return run.held;
}

bool stranger_until(bool (*condition)(void *arg), void *arg, unsigned ms, const char *what)
{
    bool held = run_until(condition, arg, ms);
    if (!held)
        check_fail("in %u ms it did not come to this: %s", ms, what);
    return held;
}

void stranger_run_ms(unsigned ms)
{
    (void)run_until(NULL, NULL, ms);
}

/* ---- what goes out -----------------------------------------------------------------------------
 */

void stranger_write(struct stranger *x, struct bytes data)
{
    if (x->s != NULL) /* it has room for a whole run */
        must(conn_write(x->s, data) == (ssize_t)data.n);
}

static void end_stream(struct stranger *x)
{
    if (x->s != NULL && !x->keeps_open)
        conn_finish(x->s);
}

/* A message from the front of @in, with its length before it; its number, 0 of an end. -1: there is
 * none that is whole. */
static int next_message(struct bytes in, struct bytes *ret)
{
    struct reader r = reader_of(in);
    uint64_t n = reader_varint(&r);
    if (r.failed || r.n < n)
        return -1;
    *ret = bytes_of(in.p, in.n - r.n + (size_t)n);
    return n == 0 ? 0 : r.p[0];
}

/* Sends a message, changed in its middle when that is asked for. */
static void send_message(struct stranger *x, struct bytes m, bool alter)
{
    struct buf b CLEANUP(buf_fini) = {0};
    buf_put_bytes(&b, m);
    must(buf_status(&b) == 0);
    if (alter)
        b.p[b.n / 2] ^= 0x10;
    stranger_write(x, buf_bytes(&b));
}

static void speak(struct stranger *x)
{
    struct bytes m;
    int number;
    while (x->machine != NULL && (number = next_message(pair_out(x->machine), &m)) >= 0) {
        if (number <= (int)x->send_to) {
            send_message(x, m, number > 0 && number == (int)x->alter);
            x->sent = number > 0 ? (unsigned)number : x->sent;
        }
        pair_sent(x->machine, m.n);
    }
    if (x->machine != NULL && pair_state(x->machine) == PAIR_DONE)
        end_stream(x);
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

/* A guest looks at what it was given. */
static void take_grant(struct stranger *x)
{
    struct pair_inviter got;
    if (pair_inviter_get(pair_payload(x->machine), &got) == 0 && got.grants_n > 0)
        x->granted = grant_open(got.grants[0], &x->keys, &x->grant) == 0;
}

static void answer(struct stranger *x, bool joins)
{
    struct pair_joiner to;
    struct buf made CLEANUP(buf_fini) = {0};
    if (joins) {
        take_grant(x);
        must(pair_answer(x->machine, bytes_of(NULL, 0)) == 0);
        return;
    }
    must(pair_joiner_get(pair_payload(x->machine), &to) == 0);
    if (x->give != NULL)
        x->give(x, &to, &made);
    must(pair_answer(x->machine, x->give != NULL ? buf_bytes(&made) : x->gives) == 0);
}

static void on_message(struct stranger *x, int number, struct bytes m)
{
    if (number > 0)
        x->got = (unsigned)number;
    else
        x->refused = true;
    if (x->relay != NULL)
        send_message(x->relay, m, number > 0 && number == (int)x->alter);
    if (x->machine == NULL)
        return;
    bool joins = x->tries.expires_ms == 0;
    if (pair_feed(x->machine, m, net_now_ms()) == PAIR_ASKS)
        answer(x, joins);
    speak(x);
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct stranger *x = user;
    struct bytes m;
    int number;
    x->bytes += data.n;
    buf_put_bytes(&x->in, data);
    must(buf_status(&x->in) == 0);
    conn_consumed(s, data.n);
    while ((number = next_message(buf_bytes(&x->in), &m)) >= 0) {
        on_message(x, number, m);
        x->in.n -= m.n;
        memmove(x->in.p, x->in.p + m.n, x->in.n);
    }
}

static void on_finished(struct conn_stream *s, void *user)
{
    struct stranger *x = user;
    (void)s;
    x->ended = true;
    end_stream(x);
    if (x->relay != NULL)
        end_stream(x->relay);
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct stranger *x = user;
    (void)s, (void)rc;
    x->s = NULL;
    x->ended = true;
    if (x->relay != NULL)
        end_stream(x->relay);
}

static void make_machine(struct stranger *x, bool joins)
{
    struct p2p_peer *peer = p2p_of(x->s);
    uint8_t other[PEER_ID_BYTES];
    struct err err = {0};
    memcpy(other, p2p_host_id(x->host), sizeof other);
    other[PEER_ID_BYTES - 1] ^= x->other_id;
    struct pair_config cfg = {.joins = joins,
                              .own_id = bytes_of(other, sizeof other),
                              .peer_id = bytes_of(p2p_peer_id(peer), PEER_ID_BYTES),
                              .channel = bytes_of(p2p_peer_hash(peer), NOISE_HASH_BYTES),
                              .payload = joins ? x->gives : bytes_of(NULL, 0),
                              .tries = &x->tries};
    if (!joins)
        x->tries = (struct pair_tries){.expires_ms = net_now_ms() + PAIR_CODE_MS};
    must(pair_code_parse(bytes_str(x->code), &cfg.code, &err) == 0);
    must(pair_new(&cfg, net_now_ms(), &x->machine) == 0);
}

static void say_garbage(struct stranger *x)
{
    uint8_t some[GARBAGE];
    randombytes_buf(some, sizeof some);
    some[0] = 0x7f; /* longer than any first message */
    stranger_write(x, bytes_of(some, sizeof some));
}

static bool on_opened(struct conn_stream *s, void *user)
{
    bool joins = user != NULL;
    struct stranger *x = joins ? user : p2p_host_user(p2p_of(s));
    if (!joins && (x->closes || x->s != NULL))
        return false;
    x->s = s;
    conn_set_user(s, x);
    x->opened = true;
    if (x->code != NULL)
        make_machine(x, joins);
    if (!joins && x->garbage)
        say_garbage(x);
    speak(x);
    return true;
}

static const struct conn_handler handler = {
    .opened = on_opened, .data = on_data, .finished = on_finished, .closed = on_closed};
static const struct conn_protocol served = {
    .id = PAIR_PROTOCOL, .handler = &handler, .streams_max = 2};

/* ---- its life ----------------------------------------------------------------------------------
 */

static void on_peer(struct p2p_peer *p, void *user)
{
    (void)p, (void)user;
}

void stranger_init(struct stranger *x, const struct stranger *twin)
{
    uint8_t secret[PEER_KEY_SECRET_BYTES], seed[SEED_SIZE];
    struct err err = {0};
    *x = (struct stranger){.send_to = STRANGER_MESSAGES};
    randombytes_buf(seed, sizeof seed);
    must(member_keys_init(&x->keys, seed) == 0);
    randombytes_buf(x->seed, sizeof x->seed);
    if (twin != NULL)
        memcpy(x->seed, twin->seed, sizeof x->seed);
    crypto_sign_seed_keypair(x->member.identity, secret, x->seed);
    memcpy(x->member.sign, x->keys.sign_public, sizeof x->member.sign);
    memcpy(x->member.box, x->keys.box_public, sizeof x->member.box);
    struct p2p_host_config cfg = {.identity = secret,
                                  .protocols = &served,
                                  .protocols_n = 1,
                                  .agent = "stranger/1",
                                  .connected = on_peer,
                                  .disconnected = on_peer,
                                  .user = x};
    must(p2p_host_new(run.loop, &cfg, &x->host, &err) == 0);
}

void stranger_fini(struct stranger *x)
{
    if (x->relay != NULL)
        x->relay->relay = NULL;
    p2p_host_free(x->host);
    pair_free(x->machine);
    grant_fini(&x->grant);
    member_keys_fini(&x->keys);
    buf_fini(&x->in);
    *x = (struct stranger){0};
}

void stranger_leave(struct stranger *x)
{
    if (x->s != NULL)
        p2p_disconnect(p2p_of(x->s));
}

void stranger_listen(struct stranger *x, char ret[static 200])
{
    struct buf at CLEANUP(buf_fini) = {0}, all CLEANUP(buf_fini) = {0},
                  text CLEANUP(buf_fini) = {0};
    struct err err = {0};
    char id[PEER_ID_TEXT_SIZE];
    must(maddr_parse(bytes_str("/ip4/127.0.0.1/tcp/0"), &at, &err) == 0);
    must(p2p_host_listen(x->host, buf_bytes(&at), &err) == 0);
    must(p2p_host_listening(x->host, &all) == 0);
    struct reader r = reader_of(buf_bytes(&all));
    must(maddr_text(reader_string(&r, all.n), &text) == 0);
    snprintf(ret, 200, "%.*s/p2p/%s", (int)text.n, (const char *)text.p,
             peer_id_text(p2p_host_id(x->host), id));
}

/* ---- dialing -----------------------------------------------------------------------------------
 */

struct opening {
    struct stranger *x;
    const char *protocol;
    int rc;
    char why[200];
};

static void on_dialed(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct opening *o = arg;
    o->x->dial = NULL;
    snprintf(o->why, sizeof o->why, "%s", rc < 0 ? why : "");
    o->rc = rc;
    if (rc == 0)
        o->rc = p2p_open(p, o->protocol, &handler, o->x, &o->x->s);
}

static bool is_open(void *arg)
{
    const struct opening *o = arg;
    return o->x->opened || o->x->ended || o->rc < 0;
}

static void dial_once(struct opening *o, const uint8_t *id, struct bytes where)
{
    struct buf list CLEANUP(buf_fini) = {0};
    struct err err = {0};
    struct stranger *x = o->x;
    struct p2p_peer *peer = p2p_find(x->host, id);
    o->rc = 0;
    buf_put_string(&list, where);
    if (peer != NULL)
        o->rc = p2p_open(peer, o->protocol, &handler, x, &x->s);
    else
        must(p2p_dial(x->host, id, buf_bytes(&list), on_dialed, o, &x->dial, &err) == 0);
    (void)stranger_until(is_open, o, E2E_LONG_MS, "the stranger has a stream");
    p2p_dial_cancel(x->dial);
    x->dial = NULL;
}

void stranger_dial(struct stranger *x, const char *address, const char *protocol)
{
    struct buf addr CLEANUP(buf_fini) = {0};
    struct bytes where, id;
    struct err err = {0};
    struct opening o = {.x = x, .protocol = protocol, .rc = -ENOTCONN};
    x->opened = x->ended = x->refused = false;
    x->bytes = 0;
    must(maddr_parse(bytes_str(address), &addr, &err) == 0);
    must(maddr_split_peer(buf_bytes(&addr), &where, &id) == 0 && id.n == PEER_ID_BYTES);
    /* A host drops connections that come too fast: then it is dialed again. */
    for (int i = 0; i < DIALS && o.rc < 0; i++) {
        if (i > 0)
            stranger_run_ms(AGAIN_MS);
        dial_once(&o, id.p, where);
    }
    if (o.rc < 0)
        check_fail("the stranger has no stream: %s (%s)", strerror(-o.rc), o.why);
}

void stranger_gives_member(const struct stranger *x, const char *label, struct buf *ret)
{
    struct pair_joiner j = {.label = ""};
    memcpy(j.member, x->member.identity, SIGN_KEY_SIZE);
    memcpy(j.member + SIGN_KEY_SIZE, x->member.sign, SIGN_KEY_SIZE);
    memcpy(j.member + 2 * SIGN_KEY_SIZE, x->member.box, BOX_KEY_SIZE);
    snprintf(j.label, sizeof j.label, "%s", label);
    pair_joiner_put(&j, ret);
    must(buf_status(ret) == 0);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

struct step {
    struct stranger *x;
    unsigned number;
};

static bool has_got(void *arg)
{
    const struct step *st = arg;
    return st->x->got >= st->number || st->x->ended;
}

static bool has_sent(void *arg)
{
    const struct step *st = arg;
    return st->x->sent >= st->number || st->x->ended;
}

static bool has_ended(void *arg)
{
    return ((struct stranger *)arg)->ended;
}

bool stranger_until_got(struct stranger *x, unsigned number)
{
    struct step st = {x, number};
    return stranger_until(has_got, &st, E2E_LONG_MS, "the stranger got a message") &&
           holds(x->got >= number);
}

bool stranger_until_sent(struct stranger *x, unsigned number)
{
    struct step st = {x, number};
    return stranger_until(has_sent, &st, E2E_LONG_MS, "the stranger sent a message") &&
           holds(x->sent >= number);
}

bool stranger_until_ended(struct stranger *x)
{
    return stranger_until(has_ended, x, E2E_LONG_MS, "the stranger's stream ended");
}
