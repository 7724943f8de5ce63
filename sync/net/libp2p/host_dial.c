/*
 * Dialing a peer: of its addresses some are tried at once, the first that leads to it is taken.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sync/net/libp2p/host_priv.h"

/* ---- begin and end -----------------------------------------------------------------------------
 */

void p2p_dial_cancel(struct p2p_dial *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n; i++) {
        struct p2p_link *k = d->attempts[i].link;
        buf_fini(&d->attempts[i].addr);
        if (k != NULL) {
            k->dial = NULL;
            p2p_link_free(k);
        }
    }
    net_timer_free(d->step);
    ring_remove(&d->all);
    free(d);
}

/* Tells what became of it. */
static void finish(struct p2p_dial *d, int rc, struct p2p_peer *p)
{
    void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why) = d->done;
    void *arg = d->arg;
    char why[sizeof d->why];
    memcpy(why, d->why, sizeof why);
    p2p_dial_cancel(d);
    done(arg, rc, p, why);
}

static void note(struct p2p_dial *d, int rc, const char *why)
{
    /* That another peer is there says more than that somewhere is nobody. */
    if (d->rc != 0 && rc != -EPERM)
        return;
    d->rc = rc;
    snprintf(d->why, sizeof d->why, "%.*s", (int)sizeof d->why - 1, why);
}

/* ---- attempts ----------------------------------------------------------------------------------
 */

static int begin(struct p2p_dial *d, struct p2p_attempt *a)
{
    struct maddr_dial to;
    struct err err = {0};
    int rc = maddr_dial(buf_bytes(&a->addr), &to);
    if (rc < 0)
        return rc;
    struct p2p_link *k = p2p_link_new(d->h, d, true);
    if (k == NULL)
        return -ENOMEM;
    rc = wire_dial(d->h->loop, d->h->cfg.ws, &to, &p2p_wire_events, k, &k->wire, &err);
    if (rc < 0) {
        note(d, rc, err.msg);
        k->dial = NULL;
        p2p_link_free(k);
        return rc;
    }
    a->link = k;
    return 0;
}

static size_t count_open(const struct p2p_dial *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->next; i++)
        n += d->attempts[i].link != NULL;
    return n;
}

static void step(void *arg)
{
    struct p2p_dial *d = arg;
    struct p2p_peer *p = d->expects ? p2p_find(d->h, d->id) : NULL;
    if (p != NULL) {
        finish(d, 0, p);
        return;
    }
    while (d->next < d->n && count_open(d) < P2P_DIAL_AT_ONCE) {
        int rc = begin(d, &d->attempts[d->next++]);
        if (rc < 0)
            note(d, rc, "cannot be dialed");
    }
    if (count_open(d) > 0)
        return;
    note(d, -ECONNRESET, "the connection was lost at once"); /* when it did not fail before */
    finish(d, d->rc, NULL);
}

static void forget(struct p2p_dial *d, const struct p2p_link *k)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->attempts[i].link == k)
            d->attempts[i].link = NULL;
}

void p2p_dial_connected(struct p2p_link *k)
{
    struct p2p_dial *d = k->dial;
    int rc = p2p_link_begin(k, d != NULL && d->expects ? d->id : NULL);
    if (rc < 0)
        wire_close(k->wire); /* out of memory: closed() comes */
}

bool p2p_dial_is_met(const struct p2p_dial *d)
{
    return d->expects && p2p_find(d->h, d->id) != NULL;
}

/* Runs in the machine of @k, so that the others are ended in a turn of their own. */
void p2p_dial_opened(struct p2p_dial *d, struct p2p_link *k)
{
    forget(d, k);
    if (!d->expects)
        memcpy(d->id, conn_peer(k->conn), PEER_ID_BYTES);
    d->expects = true;
    net_timer_set(d->step, 0);
}

void p2p_dial_failed(struct p2p_dial *d, struct p2p_link *k, int rc, const char *why)
{
    forget(d, k);
    note(d, rc, why);
    net_timer_set(d->step, 0);
}

/* ---- for users ---------------------------------------------------------------------------------
 */

/* An address is tried when it can be dialed, and is not another peer's, or this device's own. */
static bool is_worth(const struct p2p_dial *d, struct bytes addr)
{
    struct maddr_dial to;
    if (maddr_dial(addr, &to) < 0 || bytes_equal(to.id, bytes_of(d->h->id, PEER_ID_BYTES)))
        return false;
    return !d->expects || to.id.n == 0 || bytes_equal(to.id, bytes_of(d->id, PEER_ID_BYTES));
}

static int add_addresses(struct p2p_dial *d, struct bytes addrs)
{
    struct reader r = reader_of(addrs);
    while (r.n > 0 && !r.failed && d->n < P2P_DIAL_ADDRS) {
        struct bytes a = reader_string(&r, P2P_ADDR_BYTES);
        if (r.failed || !is_worth(d, a))
            continue;
        struct maddr_dial to;
        int rc = maddr_dial(a, &to);
        if (rc == 0 && !d->expects && to.id.n == PEER_ID_BYTES) {
            memcpy(d->id, to.id.p, PEER_ID_BYTES);
            d->expects = true; /* the address says who is to be there */
        }
        buf_put_bytes(&d->attempts[d->n].addr, a);
        rc = buf_status(&d->attempts[d->n].addr);
        d->n++;
        if (rc < 0)
            return rc;
    }
    return d->n == 0 ? -EINVAL : 0;
}

/* NULL: out of memory. */
static struct p2p_dial *
dial_new(struct p2p_host *h, void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why),
         void *arg)
{
    struct p2p_dial *d = calloc(1, sizeof *d);
    if (d == NULL || net_timer_new(h->loop, step, d, &d->step) < 0) {
        free(d);
        return NULL;
    }
    d->h = h;
    d->done = done;
    d->arg = arg;
    ring_init(&d->all);
    ring_add(&h->dials, &d->all);
    return d;
}

int p2p_dial(struct p2p_host *h, const uint8_t *id, struct bytes addrs,
             void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why), void *arg,
             struct p2p_dial **ret, struct err *err)
{
    if (h->stopping)
        return err_set(err, -ESHUTDOWN, "peers: nobody is dialed any more");
    if (id != NULL && memcmp(id, h->id, PEER_ID_BYTES) == 0)
        return err_set(err, -EINVAL, "this device does not dial itself");
    struct p2p_dial *d = dial_new(h, done, arg);
    if (d == NULL)
        return err_set(err, -ENOMEM, "peers: out of memory");
    d->expects = id != NULL;
    if (id != NULL)
        memcpy(d->id, id, PEER_ID_BYTES);
    int rc = add_addresses(d, addrs);
    if (rc < 0) {
        p2p_dial_cancel(d);
        return err_set(err, rc,
                       rc == -EINVAL ? "no address of the peer can be dialed"
                                     : "peers: out of memory");
    }
    net_timer_set(d->step, 0);
    *ret = d;
    return 0;
}

int p2p_adopt(struct p2p_host *h, struct ws *pipe, bool dials,
              void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why), void *arg,
              struct p2p_dial **ret, struct err *err)
{
    if (h->stopping)
        return err_set(err, -ESHUTDOWN, "peers: nobody is met any more");
    if (h->links_n >= P2P_CONNECTIONS)
        return err_set(err, -ENOBUFS, "peers: there are %d connections already", P2P_CONNECTIONS);
    struct p2p_dial *d = dial_new(h, done, arg);
    struct p2p_link *k = d != NULL ? p2p_link_new(h, d, dials) : NULL;
    if (k != NULL) {
        d->n = d->next = 1;
        d->attempts[0].link = k;
        k->piped = true;
        k->wire = wire_adopt(pipe, &p2p_wire_events, k);
    }
    if (k == NULL || k->wire == NULL) {
        p2p_dial_cancel(d);
        return err_set(err, -ENOMEM, "peers: out of memory");
    }
    if (p2p_link_begin(k, NULL) < 0)
        wire_close(k->wire); /* out of memory: closed() comes */
    *ret = d;
    return 0;
}
