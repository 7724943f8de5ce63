/*
 * One request to one peer: over the connection that there is, or that is made for it. How it ended
 * is looked at in a turn of its own.
 */
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/kad_priv.h"

/* ---- the end -----------------------------------------------------------------------------------
 */

/* Gives up what is open. */
static void leave(struct kad_query *q)
{
    struct p2p_dial *d = TAKE_PTR(q->dial);
    struct conn_stream *s = TAKE_PTR(q->s);
    q->find->kad->dialing -= d != NULL;
    q->waits = false;
    p2p_dial_cancel(d);
    if (s != NULL)
        conn_reset(s);
}

static void end(struct kad_query *q, int rc)
{
    if (q->ended)
        return;
    leave(q);
    q->ended = true;
    q->rc = rc;
    q->find->due = true;
    kad_kick(q->find->kad);
}

void kad_query_free(struct kad_query *q)
{
    leave(q);
    ring_remove(&q->all);
    message_reader_fini(&q->reader);
    kad_message_fini(&q->answer);
    kad_contact_fini(&q->to);
    free(q);
}

/* ---- the stream --------------------------------------------------------------------------------
 */

static enum kad_type type_of(const struct kad_find *f)
{
    if (f->telling)
        return KAD_ADD_PROVIDER;
    return f->kind == KAD_FIND_PROVIDERS ? KAD_GET_PROVIDERS : KAD_FIND_NODE;
}

static bool on_opened(struct conn_stream *s, void *user)
{
    struct kad_query *q = user;
    (void)s;
    q->agreed = true;
    return true;
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct kad_query *q = user;
    struct bytes in;
    uint8_t ip[SCOPE_IP_BYTES];
    conn_consumed(s, data.n);
    int rc = message_next(&q->reader, &data, &in);
    if (rc == 0)
        return;
    if (rc == 1) {
        const struct p2p_peer *p = p2p_of(s);
        scope_ip(p == NULL ? bytes_of(NULL, 0) : p2p_peer_address(p), ip);
        rc = kad_message_read(&q->answer, in, ip);
        if (rc == 0 && q->answer.type != type_of(q->find))
            rc = -EPROTO;
    }
    end(q, rc);
}

/* Both sides have said all; or, as js-libp2p ends each stream, it was reset. What is told has no
 * answer, and was taken by who agreed to hear it. */
static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct kad_query *q = user;
    (void)s;
    q->s = NULL;
    if (q->find->telling)
        end(q, rc == -ECONNRESET && q->agreed ? 0 : rc);
    else
        end(q, rc == 0 ? -EPROTO : rc);
}

static const struct conn_handler asking = {
    .opened = on_opened, .data = on_data, .closed = on_closed};

static int put_request(const struct kad_query *q, const uint8_t *ip, struct buf *ret)
{
    const struct kad_find *f = q->find;
    struct kad_contact self CLEANUP(kad_contact_fini) = {0};
    struct kad_said said = {.key = bytes_of(f->key, f->key_n), .type = type_of(f)};
    if (f->telling) {
        int rc = kad_self(f->kad, ip, &self);
        if (rc < 0 || self.addrs_n == 0)
            return rc < 0 ? rc : -EADDRNOTAVAIL; /* nobody there could reach this peer */
        said.providers[said.providers_n++] = &self;
    }
    return kad_message_put(ret, &said, ip);
}

/* Asks who is connected. */
static void ask(struct kad_query *q, struct p2p_peer *p)
{
    struct buf request CLEANUP(buf_fini) = {0};
    uint8_t ip[SCOPE_IP_BYTES];
    scope_ip(p2p_peer_address(p), ip);
    int rc = put_request(q, ip, &request);
    if (rc == 0)
        rc = p2p_open(p, q->find->kad->cfg.protocol, &asking, q, &q->s);
    if (rc == 0 && conn_write(q->s, buf_bytes(&request)) != (ssize_t)request.n)
        rc = -ENOBUFS;
    if (rc == 0)
        conn_finish(q->s);
    else
        end(q, rc);
}

/* ---- dialing -----------------------------------------------------------------------------------
 */

static void on_dialed(void *arg, int rc, struct p2p_peer *p, const char *why)
{
    struct kad_query *q = arg;
    (void)why;
    q->dial = NULL;
    q->find->kad->dialing--;
    if (rc < 0) {
        end(q, rc);
        return;
    }
    kad_note_conn(q->find->kad, q->to.id, true);
    ask(q, p);
}

static void begin(struct kad_query *q)
{
    struct kad *k = q->find->kad;
    struct p2p_peer *p = p2p_find(k->cfg.host, q->to.id);
    struct err ignored = {0};
    q->waits = false;
    if (p != NULL) {
        ask(q, p);
        return;
    }
    if (!kad_may_dial(k)) {
        q->waits = true;
        return;
    }
    int rc =
        p2p_dial(k->cfg.host, q->to.id, buf_bytes(&q->to.addrs), on_dialed, q, &q->dial, &ignored);
    if (rc < 0)
        end(q, rc);
    else
        k->dialing++;
}

int kad_query_new(struct kad_find *f, const struct kad_contact *to)
{
    struct kad_query *q = calloc(1, sizeof *q);
    int rc = q == NULL ? -ENOMEM : kad_contact_copy(&q->to, to);
    if (rc < 0) {
        free(q);
        return rc;
    }
    q->find = f;
    q->reader.max = P2P_KAD_MESSAGE;
    q->by_ms = net_now_ms() + P2P_KAD_QUERY_MS;
    ring_init(&q->all);
    ring_add(&f->queries, &q->all);
    begin(q);
    return 0;
}

void kad_query_tick(struct kad_query *q, uint64_t now_ms)
{
    if (q->ended)
        return;
    if (now_ms >= q->by_ms)
        end(q, q->waits ? -EAGAIN : -ETIMEDOUT);
    else if (q->waits)
        begin(q);
}
