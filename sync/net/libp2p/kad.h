/*
 * sync/net/libp2p/kad - a peer of a Kademlia network: it finds who provides a key, where a peer is,
 * and has others keep that this one provides a key. Once it is told that it can be reached, it
 * answers the same to others.
 *
 * Over a host, whose connections it shares, beside those that it makes and closes itself. All that
 * is found is what strangers said: a hint where to dial, and the handshake tells who is there.
 * Callbacks come from the loop, never inside a call of this file. Thread: the loop's.
 * Source: libp2p specs, kad-dht.
 */
#ifndef SYNC_NET_LIBP2P_KAD_H
#define SYNC_NET_LIBP2P_KAD_H

#include "sync/net/libp2p/host.h"
#include "sync/net/libp2p/kad_key.h"

/* The network of devices with this program, and that of IPFS. */
#define KAD_PROTOCOL "/persist/kad/1.0.0"
#define KAD_PROTOCOL_IPFS "/ipfs/kad/1.0.0"

struct kad;
struct kad_find;

struct kad_config {
    struct p2p_host *host; /* borrowed, freed later */
    const char *protocol;  /* of its network; borrowed as long as the host lives */
    /** Where others reach this peer: appends multiaddrs each as buf_put_string() does, without
     * /p2p/ID. 0 or negative. NULL: where the host listens. */
    int (*addresses)(struct buf *ret, void *user);
    /** So many peers keep that this one provides the key of @digest (KAD_DIGEST_BYTES) since it
     * was last told. May be NULL. */
    void (*provided)(const uint8_t *digest, unsigned peers, void *user);
    void *user;
};

/** Knows nobody yet, and serves nothing. Before the host listens or dials: on connections that are
 * there already it can ask, and not answer. Errors, with a message: -ENOMEM; -ENOBUFS the host
 * serves no further protocol. */
int kad_new(struct net_loop *l, const struct kad_config *cfg, struct kad **ret,
            struct err *err) MUST_CHECK;

/** Gives up all lookups without a callback, and serves nothing any more. Before its host is stopped
 * or freed, not from a callback. Accepts NULL. */
void kad_free(struct kad *k);

/** To be called in the host's identified(): who serves the protocol becomes a neighbour. */
void kad_identified(struct kad *k, struct p2p_peer *p);

/**
 * Peers that a person names, multiaddrs each as buf_put_string() does, with or without /p2p/ID,
 * instead of those before: they are dialed now, and each time nobody else is known. At most
 * P2P_KAD_BOOTSTRAPS. Errors: -EBADMSG not such a list; -E2BIG; -ENOMEM.
 */
int kad_bootstrap(struct kad *k, struct bytes addrs) MUST_CHECK;

/** Whether this peer can be reached, so that it answers others, and tells them that it does. Those
 * that are connected hear of it when they connect anew. */
void kad_serve(struct kad *k, bool reachable);

/** How many peers are known that serve it. */
size_t kad_neighbours(const struct kad *k);

/**
 * Has others keep that this peer provides the key of @digest (KAD_DIGEST_BYTES), now and again and
 * again, until kad_withdraw(); they forget it in a day. Once more: nothing changes.
 * Errors: -ENOBUFS there are P2P_KAD_PROVIDED; -ENOMEM.
 */
int kad_provide(struct kad *k, const uint8_t *digest) MUST_CHECK;
void kad_withdraw(struct kad *k, const uint8_t *digest);

/** The addresses of this peer are others, or the network is: what is provided is told again, and
 * who is named by a person is dialed. */
void kad_hurry(struct kad *k);

/* What a lookup tells. */
struct kad_events {
    /** The peer @id (PEER_ID_BYTES) is what was looked for, and somebody says it is at @addrs:
     * multiaddrs each as buf_put_string() does, P2P_KAD_ADDRS at most. Others may say other
     * addresses of it: then this is called again. */
    void (*found)(const uint8_t *id, struct bytes addrs, void *user);
    /** It is over, and gone. @rc: 0; -ENETUNREACH nobody could be asked; -ETIMEDOUT nobody answered
     * in time. */
    void (*done)(int rc, void *user);
};

/**
 * Looks for peers that provide the key of @digest (KAD_DIGEST_BYTES), this one left out. @events is
 * borrowed. Takes P2P_KAD_LOOKUP_MS at most once it runs, of which there are P2P_KAD_LOOKUPS at
 * once. Errors: -EBUSY there are P2P_KAD_FINDS; -ENOMEM.
 */
int kad_find_providers(struct kad *k, const uint8_t *digest, const struct kad_events *events,
                       void *user, struct kad_find **ret) MUST_CHECK;

/** The same for the peer @id (PEER_ID_BYTES) itself, when it serves the protocol. */
int kad_find_peer(struct kad *k, const uint8_t *id, const struct kad_events *events, void *user,
                  struct kad_find **ret) MUST_CHECK;

/** Gives it up: no callback comes any more. Also from its found(), not from or after its done().
 * Accepts NULL. */
void kad_find_cancel(struct kad_find *f);

#endif
