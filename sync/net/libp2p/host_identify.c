/*
 * What is answered to every peer: who this device is, and that it is there.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/host_priv.h"
#include "sync/net/libp2p/peer_record.h"

#define IDENTIFY "/ipfs/id/1.0.0"
#define PING "/ipfs/ping/1.0.0"

/* ---- what this device says of itself -----------------------------------------------------------
 */

/* The addresses, at most @max; views into @text, which p2p_host_addresses() filled. */
static size_t list_addresses(const struct buf *text, struct bytes *ret, size_t max)
{
    struct reader r = reader_of(buf_bytes(text));
    size_t n = 0;
    while (r.n > 0 && n < max)
        ret[n++] = reader_string(&r, P2P_ADDR_BYTES);
    return n;
}

static int put_identify(const struct p2p_peer *p, struct buf *ret)
{
    const struct p2p_host *h = p->h;
    struct buf text CLEANUP(buf_fini) = {0};
    struct buf record CLEANUP(buf_fini) = {0};
    struct bytes addrs[P2P_ADDRS];
    const char *protocols[CONN_PROTOCOLS_MAX];
    int rc = p2p_host_addresses(h, &text);
    if (rc < 0)
        return rc;
    struct identify_self self = {.key = h->key,
                                 .addrs = addrs,
                                 .addrs_n = list_addresses(&text, addrs, P2P_ADDRS),
                                 .protocols = protocols,
                                 .observed = p2p_peer_address(p),
                                 .version = "persist/1.0.0",
                                 .agent = h->cfg.agent};
    for (size_t i = 0; i < h->protocols_n; i++)
        if (h->protocols[i].streams_max > 0)
            protocols[self.protocols_n++] = h->protocols[i].id;
    rc = peer_record_put(&record, h->secret, addrs, self.addrs_n, h->seq);
    if (rc < 0)
        return rc;
    self.record = buf_bytes(&record);
    return identify_put(ret, &self);
}

static bool tell(struct conn_stream *s, void *user)
{
    struct buf said CLEANUP(buf_fini) = {0};
    const struct p2p_peer *p = p2p_of(s);
    (void)user;
    if (p == NULL || put_identify(p, &said) < 0 ||
        conn_write(s, buf_bytes(&said)) != (ssize_t)said.n)
        return false;
    conn_finish(s);
    return true;
}

static void forget(struct conn_stream *s, int rc, void *user)
{
    (void)s, (void)rc, (void)user;
}

static const struct conn_handler teller = {.opened = tell, .closed = forget};

const struct conn_protocol p2p_identify_served = {.id = IDENTIFY,
                                                  .handler = &teller,
                                                  .streams_max = P2P_STREAMS_IDENTIFY,
                                                  .idle_ms = P2P_NEGOTIATION_MS};

/* ---- what a peer says of itself ----------------------------------------------------------------
 */

static bool listen_to(struct conn_stream *s, void *user)
{
    (void)user;
    conn_finish(s);
    return true;
}

static void on_said(struct conn_stream *s, struct bytes data, void *user)
{
    struct p2p_peer *p = user;
    conn_consumed(s, data.n);
    if (identify_feed(&p->said, data, NULL) < 0)
        conn_reset(s);
}

/* It has said all, and is not asked again. */
static void on_said_all(struct conn_stream *s, void *user)
{
    struct p2p_peer *p = user;
    (void)s;
    if (identify_end(&p->said, false, NULL) < 0)
        return;
    p->has_said = true;
    if (p->h->cfg.identified != NULL)
        p->h->cfg.identified(p, p->h->cfg.user);
}

static const struct conn_handler listener = {
    .opened = listen_to, .data = on_said, .finished = on_said_all, .closed = forget};

void p2p_identify_ask(struct p2p_peer *p)
{
    struct conn_stream *s;
    int rc = p2p_open(p, IDENTIFY, &listener, p, &s);
    (void)rc; /* then nothing is known of it, and nothing depends on that */
}

/* ---- ping --------------------------------------------------------------------------------------
 */

static bool answer_pings(struct conn_stream *s, void *user)
{
    (void)s, (void)user;
    return true;
}

/* What comes goes back; who does not read it is not waited for. */
static void echo(struct conn_stream *s, struct bytes data, void *user)
{
    (void)user;
    if (conn_write(s, data) != (ssize_t)data.n)
        conn_reset(s);
    else
        conn_consumed(s, data.n);
}

static void echoed(struct conn_stream *s, void *user)
{
    (void)user;
    conn_finish(s);
}

static const struct conn_handler ponger = {
    .opened = answer_pings, .data = echo, .finished = echoed, .closed = forget};

const struct conn_protocol p2p_ping_served = {
    .id = PING, .handler = &ponger, .streams_max = P2P_STREAMS_PING, .idle_ms = P2P_STREAM_IDLE_MS};
