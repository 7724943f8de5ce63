/* One space and one other device: its stream, and when to open it. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/link.h"
#include "sync/links/peers_priv.h"

enum {
    HEAD_BYTES = 4,
    GREETED = 1,       /* what who accepts says */
    GOOD_MS = 30000,   /* a stream that lasted so long was a good one */
    LASTED_MS = 5000,  /* and after one that lasted so long it is tried again */
    SOON_MS = 100,     /* after so long to twice as long: both sides may */
    CLOSED_MS = 60000, /* until a device is asked again that has not opened the folder */
};

/* ---- states ------------------------------------------------------------------------------------
 */

static void set_state(struct peer_link *l, Persist__LinkState state, const char *error)
{
    if (l->state == state && strcmp(l->error, error) == 0)
        return;
    snprintf(l->error, sizeof l->error, "%s", error);
    l->state = state;
    log_debug("peer: link=%u state=%d %s why=%s", l->id, (int)state, l->url, error);
    l->events->changed(l, l->user);
}

static void come_again(struct peer_link *l, uint64_t ms)
{
    l->due_ms = net_now_ms() + ms;
    net_timer_set(l->timer, ms);
}

/* Its stream is gone, or was none. */
static void fall(struct peer_link *l, uint64_t ms, const char *why)
{
    bool was_up = l->state == PERSIST__LINK_STATE__LINK_UP;
    l->drop = false;
    if (was_up && net_now_ms() >= l->up_ms + GOOD_MS)
        backoff_reset(&l->backoff);
    come_again(l, ms);
    set_state(l, PERSIST__LINK_STATE__LINK_DOWN, why);
    if (l->full) {
        l->full = false;
        l->events->writable(l, l->user); /* what waited for room is to be dropped */
    }
}

static void rise(struct peer_link *l, struct peer_stream *st)
{
    l->stream = st;
    l->generation++;
    l->due_ms = 0;
    l->paused = l->full = l->drop = false;
    l->up_ms = net_now_ms();
    net_timer_cancel(l->timer);
    set_state(l, PERSIST__LINK_STATE__LINK_UP, "");
}

/* ---- streams -----------------------------------------------------------------------------------
 */

static struct peer_stream *stream_new(struct peers *p, struct peer_link *l)
{
    struct peer_stream *st = calloc(1, sizeof *st);
    if (st == NULL)
        return NULL;
    st->peers = p;
    st->link = l;
    st->ours = l != NULL;
    return st;
}

static void stream_free(struct peer_stream *st)
{
    buf_fini(&st->in);
    buf_fini(&st->out);
    free(st);
}

/* Ends the stream of a link, which goes on without it. */
static void leave_stream(struct peer_link *l)
{
    struct peer_stream *st = l->stream;
    l->stream = NULL;
    if (st == NULL)
        return;
    st->link = NULL;
    if (st->s != NULL)
        conn_reset(st->s);
    stream_free(st);
}

/* Writes what had no room. Whether all is written. */
static bool flush(struct peer_stream *st)
{
    struct bytes rest = bytes_of(st->out.p + st->out_at, st->out.n - st->out_at);
    ssize_t n = rest.n == 0 ? 0 : conn_write(st->s, rest);
    if (n > 0)
        st->out_at += (size_t)n;
    if (st->out_at < st->out.n)
        return false;
    buf_reset(&st->out);
    st->out_at = 0;
    return true;
}

static int queue(struct peer_stream *st, struct bytes v)
{
    buf_put_bytes(&st->out, v);
    int rc = buf_status(&st->out);
    if (rc == 0)
        (void)flush(st);
    return rc;
}

/* ---- what comes --------------------------------------------------------------------------------
 */

/* The next whole frame: 1; 0: more is needed; -EPROTO: longer than one is. */
static int next_frame(struct peer_stream *st, struct bytes *ret)
{
    size_t left = st->in.n - st->in_at;
    if (left < HEAD_BYTES)
        return 0;
    size_t n = get_u32(st->in.p + st->in_at);
    if (n == 0 || n > FRAME_MAX)
        return -EPROTO;
    if (left < HEAD_BYTES + n)
        return 0;
    *ret = bytes_of(st->in.p + st->in_at + HEAD_BYTES, n);
    return 1;
}

/* What was delivered goes. There is new room for all that came, also for a part of a frame, which
 * may be longer than the window, as long as the mount takes frames. */
static void compact(struct peer_stream *st)
{
    if (st->link == NULL || !st->link->paused) {
        conn_consumed(st->s, st->unconsumed);
        st->unconsumed = 0;
    }
    if (st->in_at == 0)
        return;
    memmove(st->in.p, st->in.p + st->in_at, st->in.n - st->in_at);
    st->in.n -= st->in_at;
    st->in_at = 0;
}

static void drop_later(struct peer_link *l, uint64_t ms, const char *why)
{
    l->drop = true;
    l->drop_ms = ms;
    snprintf(l->drop_why, sizeof l->drop_why, "%s", why);
    net_timer_set(l->timer, 0);
}

static void deliver(struct peer_stream *st)
{
    struct bytes frame;
    int rc = 1;
    while (st->link != NULL && !st->link->paused && !st->link->drop &&
           (rc = next_frame(st, &frame)) == 1) {
        st->in_at += HEAD_BYTES + frame.n;
        st->link->events->frame(st->link, frame, st->link->user);
    }
    compact(st);
    if (rc < 0 && st->link != NULL)
        drop_later(st->link, LINK_REFUSED_MS, "the device sent what is no frame");
}

/* Which of two streams that both sides opened stays: that of the lesser. */
static bool ours_stays(const struct peer_link *l)
{
    return memcmp(p2p_host_id(l->peers->host), l->peer_id, PEER_ID_BYTES) < 0;
}

static struct peer_link *link_of(const struct peer_stream *st, const uint8_t *space)
{
    for (struct ring *r = st->peers->links.next; r != &st->peers->links; r = r->next) {
        struct peer_link *l = CONTAINER_OF(r, struct peer_link, all);
        if (memcmp(l->space, space, SPACE_ID_SIZE) == 0 &&
            memcmp(l->identity, st->identity, SIGN_KEY_SIZE) == 0)
            return l;
    }
    return NULL;
}

/* The other side has named a space. False: it is none of its business, and the stream is gone. */
static bool accept_link(struct peer_stream *st, const uint8_t *space)
{
    static const uint8_t answer = GREETED;
    struct peer_link *l = st->in.p[0] == SPACE_ID_SIZE ? link_of(st, space) : NULL;
    bool refused = l == NULL || (l->stream != NULL && l->stream->ours && ours_stays(l));
    if (!refused && queue(st, bytes_of(&answer, 1)) < 0)
        refused = true;
    if (refused) {
        conn_reset(st->s);
        stream_free(st);
        return false;
    }
    if (l->stream != NULL) {
        leave_stream(l);
        set_state(l, PERSIST__LINK_STATE__LINK_DOWN, "the device connected anew");
    }
    st->link = l;
    st->greeted = true;
    rise(l, st);
    return true;
}

/* The first bytes. False: the stream is gone, or more is needed. */
static bool greet(struct peer_stream *st)
{
    size_t need = st->ours ? 1 : 1 + SPACE_ID_SIZE;
    const uint8_t *p = st->in.p;
    if (st->in.n < need)
        return false;
    if (st->ours && p[0] != GREETED) {
        drop_later(st->link, LINK_REFUSED_MS, "the device speaks another protocol");
        return false;
    }
    st->in_at = need;
    if (!st->ours)
        return accept_link(st, p + 1);
    st->greeted = true;
    rise(st->link, st);
    return true;
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct peer_stream *st = user;
    (void)s;
    buf_put_bytes(&st->in, data);
    st->unconsumed += data.n;
    if (buf_status(&st->in) < 0) {
        if (st->link != NULL)
            drop_later(st->link, 0, "out of memory");
        return;
    }
    if (st->greeted || greet(st))
        deliver(st);
}

static void on_writable(struct conn_stream *s, void *user)
{
    struct peer_stream *st = user;
    struct peer_link *l = st->link;
    (void)s;
    if (!flush(st) || l == NULL || !l->full)
        return;
    l->full = false;
    l->events->writable(l, l->user);
}

static bool on_opened(struct conn_stream *s, void *user)
{
    struct peer_stream *st = user;
    if (st != NULL)
        return true; /* of ours: the space is named already */
    struct p2p_peer *peer = p2p_of(s);
    if (peer == NULL)
        return false;
    st = stream_new(p2p_host_user(peer), NULL);
    if (st == NULL)
        return false;
    st->s = s;
    if (peer_id_key(bytes_of(p2p_peer_id(peer), PEER_ID_BYTES), st->identity) < 0) {
        stream_free(st);
        return false;
    }
    conn_set_user(s, st);
    return true;
}

static void on_finished(struct conn_stream *s, void *user)
{
    (void)user;
    conn_finish(s);
}

/* When a link whose stream has ended is tried again. */
static uint64_t again_ms(struct peer_link *l)
{
    bool lasted = l->state == PERSIST__LINK_STATE__LINK_UP && net_now_ms() >= l->up_ms + LASTED_MS;
    return lasted ? SOON_MS + randombytes_uniform(SOON_MS)
                  : backoff_next(&l->backoff, randombytes_random());
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct peer_stream *st = user;
    struct peer_link *l = st->link;
    (void)s;
    if (l != NULL) {
        bool asked = st->ours && !st->greeted && rc != -ENOTCONN;
        l->stream = NULL;
        if (l->drop)
            fall(l, l->drop_ms, l->drop_why);
        else if (asked)
            fall(l, CLOSED_MS, "the folder is not open there");
        else
            fall(l, again_ms(l), "the connection has ended");
    }
    stream_free(st);
}

static const struct conn_handler handler = {.opened = on_opened,
                                            .data = on_data,
                                            .writable = on_writable,
                                            .finished = on_finished,
                                            .closed = on_closed};

const struct conn_protocol peer_link_protocol = {
    .id = SYNC_PROTOCOL, .handler = &handler, .streams_max = 16};

/* ---- opening -----------------------------------------------------------------------------------
 */

static int open_stream(struct peer_link *l, struct p2p_peer *peer)
{
    static const uint8_t size = SPACE_ID_SIZE;
    struct peer_stream *st = stream_new(l->peers, l);
    if (st == NULL)
        return -ENOMEM;
    int rc = p2p_open(peer, SYNC_PROTOCOL, &handler, st, &st->s);
    if (rc < 0) {
        stream_free(st);
        return rc;
    }
    l->stream = st;
    rc = queue(st, bytes_of(&size, 1));
    if (rc == 0)
        rc = queue(st, bytes_of(l->space, SPACE_ID_SIZE));
    if (rc < 0)
        leave_stream(l);
    return rc;
}

void peer_link_connected(struct peer_link *l)
{
    struct p2p_peer *peer = p2p_find(l->peers->host, l->peer_id);
    if (l->stream != NULL || peer == NULL || p2p_peer_is_piped(peer))
        return;
    l->due_ms = 0;
    net_timer_cancel(l->timer);
    peers_remember(l->peers, peer, false); /* it may have said so before it was one of ours */
    int rc = open_stream(l, peer);
    if (rc < 0)
        fall(l, backoff_next(&l->backoff, randombytes_random()), strerror(-rc));
    else
        set_state(l, PERSIST__LINK_STATE__LINK_CONNECTING, "");
}

void peer_link_unreached(struct peer_link *l, const char *why)
{
    if (l->stream == NULL)
        fall(l, backoff_next(&l->backoff, randombytes_random()), why);
}

void peer_link_try(struct peer_link *l)
{
    struct peers *p = l->peers;
    if (l->stream != NULL || p->stopping || p->host == NULL)
        return;
    l->due_ms = 0;
    struct p2p_peer *peer = p2p_find(p->host, l->peer_id);
    if (peer != NULL && p2p_peer_is_piped(peer))
        come_again(l, SOON_MS); /* it pairs, and is soon gone */
    else if (peer != NULL)
        peer_link_connected(l);
    else
        peers_dial(p, l);
}

/* What was asked for in a call is done here. */
static void on_timer(void *arg)
{
    struct peer_link *l = arg;
    if (l->drop) {
        leave_stream(l);
        fall(l, l->drop_ms, l->drop_why);
    } else if (l->stream != NULL) {
        if (l->stream->greeted)
            deliver(l->stream);
    } else if (l->due_ms <= net_now_ms()) {
        peer_link_try(l);
    } else {
        net_timer_set(l->timer, l->due_ms - net_now_ms());
    }
}

/* ---- for users ---------------------------------------------------------------------------------
 */

int peer_link_new(struct peers *p, const uint8_t space[static SPACE_ID_SIZE],
                  const uint8_t identity[static SIGN_KEY_SIZE], uint32_t id,
                  const struct peer_link_events *events, void *user, struct peer_link **ret)
{
    struct peer_link *l = calloc(1, sizeof *l);
    char text[PEER_ID_TEXT_SIZE];
    if (l == NULL || net_timer_new(p->loop, on_timer, l, &l->timer) < 0) {
        free(l);
        return -ENOMEM;
    }
    l->peers = p;
    l->id = id;
    l->events = events;
    l->user = user;
    l->state = PERSIST__LINK_STATE__LINK_CONNECTING;
    memcpy(l->space, space, SPACE_ID_SIZE);
    memcpy(l->identity, identity, SIGN_KEY_SIZE);
    peer_id_of_key(identity, l->peer_id);
    snprintf(l->url, sizeof l->url, "/p2p/%s", peer_id_text(l->peer_id, text));
    ring_init(&l->all);
    ring_add(&p->links, &l->all);
    come_again(l, 0);
    *ret = l;
    return 0;
}

void peer_link_free(struct peer_link *l)
{
    if (l == NULL)
        return;
    leave_stream(l);
    ring_remove(&l->all);
    net_timer_free(l->timer);
    buf_fini(&l->hints);
    free(l);
}

void peer_link_retry(struct peer_link *l, uint64_t generation, uint64_t after_ms, struct bytes why)
{
    if (generation != l->generation || l->stream == NULL || l->drop)
        return;
    escape_to(l->drop_why, sizeof l->drop_why, why);
    l->drop = true;
    l->drop_ms = min_u64(after_ms, LINK_RETRY_MAX_MS);
    net_timer_set(l->timer, 0);
}

int peer_link_send(struct peer_link *l, uint64_t generation, struct bytes frame)
{
    uint8_t head[HEAD_BYTES];
    if (generation > l->generation)
        return -EPROTO;
    if (generation < l->generation || l->state != PERSIST__LINK_STATE__LINK_UP ||
        l->stream == NULL || l->drop)
        return -ENOTCONN;
    if (l->stream->out.n > 0) {
        l->full = true;
        return -EAGAIN;
    }
    put_u32(head, (uint32_t)frame.n);
    int rc = queue(l->stream, bytes_of(head, sizeof head));
    return rc < 0 ? rc : queue(l->stream, frame);
}

void peer_link_pause(struct peer_link *l)
{
    l->paused = true;
}

void peer_link_resume(struct peer_link *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    net_timer_set(l->timer, 0);
}

uint64_t peer_link_generation(const struct peer_link *l)
{
    return l->generation;
}

const char *peer_link_url(const struct peer_link *l)
{
    return l->url;
}

const uint8_t *peer_link_identity(const struct peer_link *l)
{
    return l->identity;
}

void peer_link_describe(struct peer_link *l, Persist__Link *ret)
{
    uint64_t now = net_now_ms();
    persist__link__init(ret);
    ret->id = l->id;
    ret->generation = l->generation;
    ret->state = l->state;
    ret->url = l->url;
    ret->error = l->error;
    ret->retry_ms = l->due_ms > now ? l->due_ms - now : 0;
    ret->peer = frame_data(bytes_of(l->identity, SIGN_KEY_SIZE));
}
