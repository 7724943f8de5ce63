/* sync/links/peers_priv - what peers.c and peer_link.c share. Not for others. */
#ifndef SYNC_LINKS_PEERS_PRIV_H
#define SYNC_LINKS_PEERS_PRIV_H

#include "proto/base/ring.h"
#include "proto/peer_id.h"
#include "sync/links/peers.h"
#include "sync/net/backoff.h"
#include "sync/net/libp2p/host.h"
#include "sync/net/libp2p/mdns.h"

#define SYNC_PROTOCOL "/persist/sync/1.0.0"

enum { PEER_URL_SIZE = 8 + PEER_ID_TEXT_SIZE, PEER_TEXT_SIZE = 256 };

/* A stream of the protocol, of either side; freed when it is closed. */
struct peer_stream {
    struct peers *peers;
    struct conn_stream *s;
    struct peer_link *link; /* NULL: not known yet, or left */
    uint8_t identity[SIGN_KEY_SIZE];
    bool ours, greeted;
    struct buf in; /* that came and is not delivered, from in_at on */
    size_t in_at;
    size_t unconsumed; /* bytes that came, for which the other side has no new room yet */
    struct buf out;    /* that had no room, from out_at on */
    size_t out_at;
};

struct peer_link {
    struct peers *peers;
    struct ring all; /* in peers->links */
    uint8_t space[SPACE_ID_SIZE], identity[SIGN_KEY_SIZE], peer_id[PEER_ID_BYTES];
    uint32_t id;
    char url[PEER_URL_SIZE];
    const struct peer_link_events *events;
    void *user;
    Persist__LinkState state;
    char error[PEER_TEXT_SIZE];
    uint64_t generation;
    struct peer_stream *stream; /* NULL: none */
    struct net_timer *timer;    /* for what is not done in the call that asks for it */
    uint64_t due_ms;            /* the next try; 0: when something happens */
    struct backoff backoff;
    uint64_t up_ms;
    bool paused, full; /* full: link_send() said -EAGAIN */
    bool drop;         /* the stream is to be ended, and tried again after: */
    uint64_t drop_ms;
    char drop_why[PEER_TEXT_SIZE];
    struct buf
        hints; /* where strangers say that it is: multiaddrs, each as buf_put_string() does */
    uint64_t hinted_ms; /* when it was tried because of one */
};

enum { PEERS_NEAR_MAX = 64 };

/* Where a device is said to be on the local network, by anybody: a hint. */
struct peers_near {
    uint8_t peer_id[PEER_ID_BYTES];
    struct buf addrs; /* empty: the place is free */
    char plate[MDNS_PLATE_SIZE];
};

struct peers {
    struct peers_config cfg;
    struct net_loop *loop;
    struct p2p_host *host;   /* NULL: there are no direct links */
    struct net_timer *again; /* when it cannot listen: tries */
    unsigned port_taken;     /* tries at which the port was another program's */
    struct peers_near near[PEERS_NEAR_MAX];
    struct mdns *mdns; /* NULL: neither announced nor looking on the local network */
    struct peers_dht *dht;
    struct p2p_file file;
    struct ring links, dials, pairings;
    uint64_t codes_ms; /* since when codes are counted, and how many */
    unsigned codes_n;
    char trouble[PEER_TEXT_SIZE];
    bool stopping;
};

extern const struct conn_protocol peer_link_protocol, pairing_protocol;

/** There is a connection to the device of the link: a stream is opened, if there is none. */
void peer_link_connected(struct peer_link *l);
/** It cannot be reached: tried again after a while. */
void peer_link_unreached(struct peer_link *l, const char *why);
/** Tries now. */
void peer_link_try(struct peer_link *l);

/** Connects to the device, or does so already: peer_link_unreached() or peer_link_connected()
 * follows. */
void peers_dial(struct peers *p, const struct peer_link *l);

/** Remembers what a device that is connected has signed of itself, if it is one of ours, or @any.
 */
void peers_remember(struct peers *p, struct p2p_peer *peer, bool any);

/** Tells the network where this device is; again when that, or what it waits for, may have changed.
 */
void peers_announce(struct peers *p);

/* ---- what peers_dht.c has for peers.c ---- */

/** Errors: -ENOMEM. */
int peers_dht_new(struct peers *p, struct peers_dht **ret) MUST_CHECK;
void peers_dht_free(struct peers_dht *d); /* accepts NULL */

/** The host of direct links begins, and does not listen yet. */
void peers_dht_begin(struct peers_dht *d, struct p2p_host *host);
/** It listens, and that is stored: who leads to the DHT is dialed. */
void peers_dht_go(struct peers_dht *d);
/** It ends. */
void peers_dht_end(struct peers_dht *d);
/** The settings are others; @host NULL: there are no direct links. */
void peers_dht_again(struct peers_dht *d, struct p2p_host *host);

/** In identified() of the host. */
void peers_dht_identified(struct peers_dht *d, struct p2p_peer *peer);
/** The network is another. */
void peers_dht_hurry(struct peers_dht *d);

/** Appends some of the addresses that strangers say of a device, others each time. */
void peers_dht_hints(struct peers *p, const uint8_t *peer_id, struct buf *ret);

/* ---- what pairing.c has for peers.c ---- */

/** Somebody new is on the local network. */
void pairing_look(struct peers *p);
/** The host is about to end: what is dialed, or waits in mailboxes, goes before it. */
void pairing_host_gone(struct peers *p);
/** A connection is gone. */
void pairing_left(struct peers *p, const uint8_t *peer_id);
/** Under which a command waits; "": none does. */
const char *pairing_plate(const struct peers *p);
/** Whether a command looks for it. */
bool pairing_looks(const struct peers *p, const char *plate);

#endif
