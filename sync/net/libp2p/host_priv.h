/* sync/net/libp2p/host_priv - what host*.c share. Not for others. */
#ifndef SYNC_NET_LIBP2P_HOST_PRIV_H
#define SYNC_NET_LIBP2P_HOST_PRIV_H

#include "proto/base/ring.h"
#include "sync/net/libp2p/host.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/wire.h"

enum {
    P2P_LISTENERS = 8,
    P2P_SEEN = 64, /* connections whose time is remembered */
};

/* A wire and the machine on it. */
struct p2p_link {
    struct p2p_host *h;
    struct wire *wire; /* NULL: it is closed */
    struct conn *conn;
    struct p2p_peer *peer; /* once it is the peer's connection */
    struct p2p_dial *dial; /* that made it, until it is open or failed */
    struct ring all;       /* in h->links */
    struct ring kicked;    /* in h->kicked, or in nothing */
    bool dialed, paused;
    bool piped;       /* see p2p_adopt() */
    bool due;         /* its clock is to be looked at */
    bool retired;     /* to be ended when its machine has returned */
    bool closing;     /* it is ended, what it had to say is still being written */
    uint8_t host[16]; /* whom it is from, an IPv4 address mapped */
};

struct p2p_peer {
    struct p2p_host *h;
    struct p2p_link *link;
    uint8_t id[PEER_ID_BYTES], hash[NOISE_HASH_BYTES];
    struct ring all; /* in h->peers, until it is gone */
    struct identify said;
    bool has_said;
    void *user;
};

/* An address that is tried. */
struct p2p_attempt {
    struct buf addr;       /* a multiaddr */
    struct p2p_link *link; /* while it is tried */
};

struct p2p_dial {
    struct p2p_host *h;
    struct ring all; /* in h->dials */
    bool expects;
    uint8_t id[PEER_ID_BYTES];
    struct p2p_attempt attempts[P2P_DIAL_ADDRS];
    size_t n, next;         /* those before next have begun */
    struct net_timer *step; /* begins what comes next, or ends the dial */
    void (*done)(void *arg, int rc, struct p2p_peer *p, const char *why);
    void *arg;
    int rc; /* of the first that failed, or of one where another peer is */
    char why[128];
};

/* When a host connected. */
struct p2p_seen {
    uint8_t host[16];
    uint64_t at_ms;
};

struct p2p_host {
    struct net_loop *loop;
    struct p2p_host_config cfg;
    uint8_t id[PEER_ID_BYTES], key[PEER_KEY_PUBLIC_BYTES];
    uint8_t secret[PEER_KEY_SECRET_BYTES];
    struct noise_keys *keys; /* of sodium_malloc() */
    struct conn_protocol protocols[CONN_PROTOCOLS_MAX];
    size_t protocols_n;
    struct wire_listener *listeners[P2P_LISTENERS];
    size_t listeners_n;
    struct ring links, peers, dials, kicked;
    size_t links_n;
    struct p2p_seen seen[P2P_SEEN];
    size_t seen_at;
    uint64_t seq; /* of the record of this peer */
    struct net_timer *tick, *kick;
    bool stopping, freeing;
};

/* ---- host.c ---- */
/** A link on a wire that was accepted, or that this device @dials, for @d or NULL. NULL: out of
 * memory. */
struct p2p_link *p2p_link_new(struct p2p_host *h, struct p2p_dial *d, bool dials);
/** Cuts and frees it; its peer is told to be gone. Not from within its machine. */
void p2p_link_free(struct p2p_link *k);
/** Begins the machine: the wire is connected. @expect: PEER_ID_BYTES, or NULL. */
int p2p_link_begin(struct p2p_link *k, const uint8_t *expect) MUST_CHECK;
extern const struct wire_events p2p_wire_events;

/* ---- host_dial.c ---- */
/** Whether its peer is connected, by whatever link: then it needs no other one. */
bool p2p_dial_is_met(const struct p2p_dial *d);
/** The link of a dial is connected; its peer is known, and the link is the dial's no more; or it
 * failed. They call nobody. */
void p2p_dial_connected(struct p2p_link *k);
void p2p_dial_opened(struct p2p_dial *d, struct p2p_link *k);
void p2p_dial_failed(struct p2p_dial *d, struct p2p_link *k, int rc, const char *why);

/* ---- host_identify.c ---- */
extern const struct conn_protocol p2p_identify_served, p2p_ping_served;
/** Asks the peer who it is. */
void p2p_identify_ask(struct p2p_peer *p);

#endif
