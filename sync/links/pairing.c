#include "sync/links/pairing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/pairing_mail.h"
#include "sync/links/peers_priv.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "sync/pair/pair.h"

enum {
    WAITS_MAX = 256 * 1024, /* of the command's bytes that the device does not take: a whole run */
    TRIED_MAX = 8,
    ROOM_MS = 5000, /* until a run that shows nothing makes room; an ended one, which may not end */
    HOUR_MS = 3600 * 1000
};

/* A device that is there. */
struct pair_run {
    struct pairing *of;
    struct ring all; /* in its runs */
    uint32_t id;
    struct conn_stream *s;
    size_t got;       /* bytes of the device */
    uint64_t room_ms; /* from then on it makes room for another one, if it has not shown anything */
    struct buf out;   /* that had no room, from out_at on */
    size_t out_at;
    uint8_t peer_id[PEER_ID_BYTES];
    bool told;    /* the command knows of it */
    bool ends;    /* after what waits */
    bool dropped; /* to be reset when the callback is over that noticed it */
};

struct pairing {
    struct peers *peers;
    struct ring all; /* in peers->pairings */
    struct unix_conn *conn;
    bool joins;
    char plate[MDNS_PLATE_SIZE];
    struct buf address;            /* joins: where to look; empty: on the local network */
    uint8_t expect[PEER_ID_BYTES]; /* who is there, if @expects */
    bool expects;
    struct ring runs;
    size_t runs_n;
    uint32_t last_run;
    struct net_timer *timer; /* for what is not done in the call that asks for it */
    struct p2p_dial *dial;
    struct pairing_mail *mail;   /* NULL: none */
    uint8_t left[PEER_ID_BYTES]; /* whose run is over: a pipe to it is closed */
    bool leaves;
    uint8_t tried[TRIED_MAX][PEER_ID_BYTES]; /* not reached: not dialed again */
    size_t tried_n;
    bool over; /* it has met its device, or meets none */
};

/* ---- to the command ----------------------------------------------------------------------------
 */

static int tell(struct pairing *g, Persist__Local *f)
{
    CLEANUP(buf_fini) struct buf b = {0};
    int rc = frame_local_encode(f, &b);
    return rc < 0 ? rc : unix_send(g->conn, buf_bytes(&b));
}

static int tell_run(struct pair_run *run, struct p2p_peer *peer)
{
    struct pairing *g = run->of;
    Persist__PairRun r = PERSIST__PAIR_RUN__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    r.run = run->id;
    r.own_id = frame_data(bytes_of(p2p_host_id(g->peers->host), PEER_ID_BYTES));
    r.peer_id = frame_data(bytes_of(p2p_peer_id(peer), PEER_ID_BYTES));
    r.channel = frame_data(bytes_of(p2p_peer_hash(peer), NOISE_HASH_BYTES));
    f.kind_case = PERSIST__LOCAL__KIND_PAIR_RUN;
    f.pair_run = &r;
    run->told = true;
    memcpy(run->peer_id, p2p_peer_id(peer), sizeof run->peer_id);
    return tell(g, &f);
}

static int tell_data(struct pair_run *run, struct bytes data)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < data.n; at += FRAME_PAIR_MAX) {
        Persist__PairData d = PERSIST__PAIR_DATA__INIT;
        Persist__Local f = PERSIST__LOCAL__INIT;
        size_t n = min_u64(data.n - at, FRAME_PAIR_MAX);
        d.run = run->id;
        d.data = frame_data(bytes_of(data.p + at, n));
        f.kind_case = PERSIST__LOCAL__KIND_PAIR_DATA;
        f.pair_data = &d;
        rc = tell(run->of, &f);
    }
    return rc;
}

static void tell_end(struct pairing *g, uint32_t id, bool clean, const char *why)
{
    char text[FRAME_TEXT_MAX];
    Persist__PairEnd e;
    Persist__Local f = PERSIST__LOCAL__INIT;
    persist__pair_end__init(&e);
    snprintf(text, sizeof text, "%s", why);
    e.run = id;
    e.clean = clean;
    e.why = text;
    f.kind_case = PERSIST__LOCAL__KIND_PAIR_END;
    f.pair_end = &e;
    if (tell(g, &f) < 0)
        unix_close(g->conn);
}

/* Whoever joins meets one device, or none. */
static void give_up(struct pairing *g, const char *why)
{
    g->over = true;
    tell_end(g, 0, false, why);
}

/* ---- runs --------------------------------------------------------------------------------------
 */

static struct pair_run *run_new(struct pairing *g)
{
    struct pair_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return NULL;
    run->of = g;
    run->id = ++g->last_run;
    run->room_ms = net_now_ms() + ROOM_MS;
    ring_init(&run->all);
    ring_add(&g->runs, &run->all);
    g->runs_n++;
    return run;
}

static void run_free(struct pair_run *run)
{
    ring_remove(&run->all);
    run->of->runs_n--;
    if (run->out.p != NULL)
        sodium_memzero(run->out.p, run->out.cap);
    buf_fini(&run->out);
    free(run);
}

static void drop_later(struct pair_run *run)
{
    run->dropped = true;
    net_timer_set(run->of->timer, 0);
}

static void flush(struct pair_run *run)
{
    struct bytes rest = bytes_of(run->out.p + run->out_at, run->out.n - run->out_at);
    ssize_t n = rest.n == 0 ? 0 : conn_write(run->s, rest);
    if (n > 0)
        run->out_at += (size_t)n;
    if (run->out_at < run->out.n)
        return;
    buf_reset(&run->out);
    run->out_at = 0;
    if (run->ends)
        conn_finish(run->s);
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct pair_run *run = user;
    int rc = run->dropped ? 0 : tell_data(run, data);
    run->got += data.n;
    conn_consumed(s, data.n);
    if (rc < 0)
        drop_later(run);
}

static void on_writable(struct conn_stream *s, void *user)
{
    (void)s;
    flush(user);
}

static void on_finished(struct conn_stream *s, void *user)
{
    (void)user;
    conn_finish(s);
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct pair_run *run = user;
    struct pairing *g = run->of;
    (void)s;
    if (run->told)
        tell_end(g, run->id, rc == 0, "");
    else if (rc == -ENOPROTOOPT)
        give_up(g, "the device there has a persist that does not pair");
    else
        give_up(g, "the device there waits for nobody, or others are at it; run 'persist pair' on "
                   "it first, or try again");
    if (run->told) {
        memcpy(g->left, run->peer_id, sizeof g->left);
        g->leaves = true;
        net_timer_set(g->timer, 0);
    }
    run_free(run);
}

/* The command that waits for devices; NULL: none. */
static struct pairing *inviting(const struct peers *p)
{
    for (struct ring *r = p->pairings.next; r != &p->pairings; r = r->next) {
        struct pairing *g = CONTAINER_OF(r, struct pairing, all);
        if (!g->joins)
            return g;
    }
    return NULL;
}

/* A run of somebody who does not say enough to be known as one with the code, or does not end. */
static bool makes_room(const struct pair_run *run)
{
    return net_now_ms() >= run->room_ms && (run->ends || run->got < PAIR_PROOF_BYTES);
}

static void reset_run(struct pair_run *run)
{
    tell_end(run->of, run->id, false, "");
    conn_reset(run->s);
    run_free(run);
}

/* A run for a device that comes; NULL: there is no room, nobody waits, or no memory. */
static struct pair_run *run_for(struct pairing *g)
{
    if (g == NULL)
        return NULL;
    for (struct ring *r = g->runs.next, *next; r != &g->runs; r = next) {
        struct pair_run *run = CONTAINER_OF(r, struct pair_run, all);
        next = r->next;
        if (!run->dropped && makes_room(run))
            reset_run(run);
    }
    return g->runs_n >= PAIRING_RUNS_MAX ? NULL : run_new(g);
}

static bool on_opened(struct conn_stream *s, void *user)
{
    struct p2p_peer *peer = p2p_of(s);
    struct pair_run *run = user;
    if (peer == NULL)
        return false;
    if (run == NULL) {
        run = run_for(inviting(p2p_host_user(peer)));
        if (run == NULL)
            return false;
        run->s = s;
        conn_set_user(s, run);
    }
    if (tell_run(run, peer) < 0)
        drop_later(run);
    return true;
}

static const struct conn_handler handler = {.opened = on_opened,
                                            .data = on_data,
                                            .writable = on_writable,
                                            .finished = on_finished,
                                            .closed = on_closed};

const struct conn_protocol pairing_protocol = {
    .id = PAIR_PROTOCOL, .handler = &handler, .streams_max = 2, .idle_ms = P2P_STREAM_IDLE_MS};

/* ---- joining -----------------------------------------------------------------------------------
 */

static bool was_tried(const struct pairing *g, const uint8_t *peer_id)
{
    for (size_t i = 0; i < g->tried_n; i++)
        if (memcmp(g->tried[i], peer_id, PEER_ID_BYTES) == 0)
            return true;
    return false;
}

static void meet(struct pairing *g, struct p2p_peer *peer)
{
    struct pair_run *run = run_new(g);
    g->over = true; /* one device: each is a guess */
    p2p_dial_cancel(g->dial);
    g->dial = NULL;
    if (run == NULL) {
        give_up(g, "out of memory");
        return;
    }
    int rc = p2p_open(peer, PAIR_PROTOCOL, &handler, run, &run->s);
    if (rc < 0) {
        run_free(run);
        give_up(g, strerror(-rc));
    }
}

static void on_dialed(void *arg, int rc, struct p2p_peer *peer, const char *why)
{
    struct pairing *g = arg;
    g->dial = NULL;
    if (rc == 0)
        meet(g, peer);
    else if (g->address.n > 0)
        give_up(g, why);
    else
        log_debug("pairing: a device that is announced is not reached: %s", why);
}

static void dial(struct pairing *g, const uint8_t *peer_id, struct bytes addrs)
{
    struct err err = {0};
    struct p2p_peer *peer = peer_id == NULL ? NULL : p2p_find(g->peers->host, peer_id);
    if (peer != NULL) {
        meet(g, peer);
        return;
    }
    if (p2p_dial(g->peers->host, peer_id, addrs, on_dialed, g, &g->dial, &err) == 0)
        return;
    g->dial = NULL;
    if (g->address.n > 0)
        give_up(g, err.msg);
}

static void try_near(struct pairing *g, const struct peers_near *near)
{
    if (near->addrs.n == 0 || strcmp(near->plate, g->plate) != 0 || was_tried(g, near->peer_id) ||
        g->tried_n == TRIED_MAX)
        return;
    memcpy(g->tried[g->tried_n++], near->peer_id, PEER_ID_BYTES);
    dial(g, near->peer_id, buf_bytes(&near->addrs));
}

static void look(struct pairing *g)
{
    if (!g->joins || g->over || g->dial != NULL)
        return;
    if (g->address.n > 0) {
        dial(g, g->expects ? g->expect : NULL, buf_bytes(&g->address));
        return;
    }
    for (size_t i = 0; i < PEERS_NEAR_MAX && !g->over && g->dial == NULL; i++)
        try_near(g, &g->peers->near[i]);
}

void pairing_look(struct peers *p)
{
    for (struct ring *r = p->pairings.next; r != &p->pairings; r = r->next)
        if (CONTAINER_OF(r, struct pairing, all)->address.n == 0)
            look(CONTAINER_OF(r, struct pairing, all));
}

void pairing_host_gone(struct peers *p)
{
    for (struct ring *r = p->pairings.next; r != &p->pairings; r = r->next) {
        struct pairing *g = CONTAINER_OF(r, struct pairing, all);
        p2p_dial_cancel(g->dial);
        g->dial = NULL;
        pairing_mail_free(g->mail);
        g->mail = NULL;
        if (!g->over)
            give_up(g, "the settings of direct links were changed meanwhile");
    }
}

const char *pairing_plate(const struct peers *p)
{
    const struct pairing *g = inviting(p);
    return g == NULL ? "" : g->plate;
}

bool pairing_looks(const struct peers *p, const char *plate)
{
    for (struct ring *r = p->pairings.next; plate[0] != '\0' && r != &p->pairings; r = r->next) {
        const struct pairing *g = CONTAINER_OF(r, struct pairing, all);
        if (g->joins && strcmp(g->plate, plate) == 0)
            return true;
    }
    return false;
}

/* ---- beginning and end -------------------------------------------------------------------------
 */

/* What goes through a pipe is a run, and no more. */
static void leave(struct pairing *g)
{
    struct p2p_host *host = g->peers->host;
    struct p2p_peer *peer = g->leaves && host != NULL ? p2p_find(host, g->left) : NULL;
    g->leaves = false;
    if (peer != NULL && g->joins) /* it is linked with soon, and nothing else may say where it is */
        peers_remember(g->peers, peer, true);
    if (peer != NULL && p2p_peer_is_piped(peer))
        p2p_disconnect(peer);
}

static void on_met(struct p2p_peer *peer, void *user)
{
    struct pairing *g = user;
    if (g->joins && !g->over)
        meet(g, peer); /* else it opens a stream */
}

void pairing_left(struct peers *p, const uint8_t *peer_id)
{
    for (struct ring *r = p->pairings.next; r != &p->pairings; r = r->next)
        pairing_mail_left(CONTAINER_OF(r, struct pairing, all)->mail, peer_id);
}

static void on_timer(void *arg)
{
    struct pairing *g = arg;
    leave(g);
    for (struct ring *r = g->runs.next, *next; r != &g->runs; r = next) {
        struct pair_run *run = CONTAINER_OF(r, struct pair_run, all);
        next = r->next;
        if (run->dropped)
            reset_run(run);
    }
    look(g);
}

/* A multiaddr with or without /p2p/ID at its end. */
static int take_address(struct pairing *g, const char *text, struct err *err)
{
    struct buf addr CLEANUP(buf_fini) = {0};
    struct bytes where, id;
    uint8_t key[SIGN_KEY_SIZE];
    if (maddr_parse(bytes_str(text), &addr, err) < 0)
        return err_wrap(err, -EINVAL, "%s", text);
    if (maddr_split_peer(buf_bytes(&addr), &where, &id) < 0)
        return err_set(err, -EINVAL, "%s: is no address", text);
    g->expects = id.n > 0;
    if (where.n == 0 || (g->expects && peer_id_key(id, key) < 0))
        return err_set(err, -EINVAL, "%s: is not where a device is", text);
    if (g->expects)
        memcpy(g->expect, id.p, PEER_ID_BYTES);
    buf_put_string(&g->address, where);
    return buf_status(&g->address) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int take(struct pairing *g, const Persist__Pair *in, struct err *err)
{
    size_t n = strlen(in->nameplate);
    if (n != MDNS_PLATE_DIGITS || strspn(in->nameplate, "0123456789") != n)
        return err_set(err, -EINVAL, "a code has four digits at its end");
    memcpy(g->plate, in->nameplate, n + 1);
    g->joins = in->joins;
    if (in->joins && in->address[0] != '\0')
        return take_address(g, in->address, err);
    return 0;
}

/* Counts a code that is waited with. */
static bool may_wait(struct peers *p)
{
    uint64_t now = net_now_ms();
    if (p->codes_n == 0 || now - p->codes_ms >= HOUR_MS) {
        p->codes_ms = now;
        p->codes_n = 0;
    }
    return p->codes_n++ < PAIRING_CODES_HOUR;
}

static int check(struct pairing *g, struct err *err)
{
    struct peers *p = g->peers;
    if (p->host == NULL)
        return err_set(err, -ENOTCONN,
                       "there are no direct links%s%s; 'persist p2p --listen /ip4/0.0.0.0/tcp/0' "
                       "turns them on",
                       p->trouble[0] != '\0' ? ": " : "", p->trouble);
    if (!g->joins && inviting(p) != NULL)
        return err_set(err, -EBUSY, "another 'persist pair' waits for a device already");
    if (!g->joins && !may_wait(p))
        return err_set(err, -EACCES, "%d codes an hour are enough; try again later",
                       PAIRING_CODES_HOUR);
    return net_timer_new(p->loop, on_timer, g, &g->timer) < 0
               ? err_set(err, -ENOMEM, "out of memory")
               : 0;
}

/* Who is told an address looks nowhere else. */
static int open_mail(struct pairing *g, const struct remotes *remotes, struct err *err)
{
    struct pairing_mail_config cfg = {.peers = g->peers,
                                      .remotes = remotes,
                                      .plate = g->plate,
                                      .inviting = !g->joins,
                                      .met = on_met,
                                      .user = g};
    if (g->address.n > 0)
        return 0;
    return pairing_mail_new(&cfg, &g->mail) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int pairing_new(struct peers *p, const struct remotes *remotes, struct unix_conn *conn,
                const Persist__Pair *in, struct pairing **ret, struct err *err)
{
    struct pairing *g = calloc(1, sizeof *g);
    if (g == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    g->peers = p;
    g->conn = conn;
    ring_init(&g->all);
    ring_init(&g->runs);
    int rc = take(g, in, err);
    if (rc == 0)
        rc = check(g, err);
    if (rc == 0)
        rc = open_mail(g, remotes, err);
    if (rc < 0) {
        pairing_free(g);
        return rc;
    }
    ring_add(&p->pairings, &g->all);
    if (g->joins)
        net_timer_set(g->timer, 0);
    else
        peers_announce(p);
    *ret = g;
    return 0;
}

void pairing_free(struct pairing *g)
{
    if (g == NULL)
        return;
    bool waited = pairing_plate(g->peers) == g->plate;
    while (!ring_is_empty(&g->runs)) {
        struct pair_run *run = CONTAINER_OF(g->runs.next, struct pair_run, all);
        conn_reset(run->s);
        run_free(run);
    }
    p2p_dial_cancel(g->dial);
    pairing_mail_free(g->mail);
    g->mail = NULL;
    leave(g);
    ring_remove(&g->all);
    if (waited)
        peers_announce(g->peers);
    net_timer_free(g->timer);
    buf_fini(&g->address);
    free(g);
}

/* ---- from the command --------------------------------------------------------------------------
 */

static struct pair_run *run_of(struct pairing *g, uint32_t id)
{
    for (struct ring *r = g->runs.next; r != &g->runs; r = r->next)
        if (CONTAINER_OF(r, struct pair_run, all)->id == id)
            return CONTAINER_OF(r, struct pair_run, all);
    return NULL; /* it ended meanwhile */
}

int pairing_frame(struct pairing *g, const Persist__Local *f)
{
    bool data = f->kind_case == PERSIST__LOCAL__KIND_PAIR_DATA;
    if (!data && f->kind_case != PERSIST__LOCAL__KIND_PAIR_END)
        return -EPROTO;
    struct pair_run *run = run_of(g, data ? f->pair_data->run : f->pair_end->run);
    if (run == NULL || run->ends || run->dropped)
        return 0;
    if (data)
        buf_put_bytes(&run->out, frame_bytes(f->pair_data->data));
    else
        run->ends = true;
    if (run->ends)
        run->room_ms = net_now_ms() + ROOM_MS;
    if (buf_status(&run->out) < 0 || run->out.n > WAITS_MAX)
        drop_later(run);
    else
        flush(run);
    return 0;
}
