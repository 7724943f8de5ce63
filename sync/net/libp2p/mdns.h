/*
 * sync/net/libp2p/mdns - peers on the local network: tells them where this one is, and finds where
 * they are, by multicast DNS.
 *
 * By libavahi-core, in this process: no daemon is needed, and one that runs does not mind. All
 * interfaces are used, also those that come later. What is found is what anybody on the network
 * said, for any id: a hint where to dial, and the handshake tells who is there. Callbacks come from
 * the loop, never inside a call of this file. Thread: the loop's.
 * Source: libp2p specs, discovery/mdns; RFC 6762, RFC 6763.
 */
#ifndef SYNC_NET_LIBP2P_MDNS_H
#define SYNC_NET_LIBP2P_MDNS_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/peer_id.h"
#include "sync/net/libp2p/mdns_packet.h"
#include "sync/net/loop.h"

struct mdns;

struct mdns_config {
    const uint8_t *id; /* this peer's; PEER_ID_BYTES; copied */
    bool loopback;     /* believes others' addresses of loopback: for tests alone */
    /**
     * The peer @id (PEER_ID_BYTES), which is not this one, is at @addrs, or now is: multiaddrs each
     * as buf_put_string() does, of private networks and without /p2p/ID, sorted, P2P_ADDRS at most.
     * @plate: under which it waits for a device that has its code; "": it does not.
     */
    void (*found)(const uint8_t *id, struct bytes addrs, const char *plate, void *user);
    /** It was found, and is not there any more: it said so, or was not heard of for long. */
    void (*lost)(const uint8_t *id, void *user);
    void *user;
};

/**
 * Looks for peers; nothing is told of this one before mdns_announce(). Errors, with a message;
 * everything else works without: -EADDRINUSE no socket at the port, -ENOTSUP the interfaces cannot
 * be watched, -ENOMEM.
 */
int mdns_new(struct net_loop *l, const struct mdns_config *cfg, struct mdns **ret,
             struct err *err) MUST_CHECK;

/** Says good bye, not from one of its callbacks. Neither is called any more. Accepts NULL. */
void mdns_free(struct mdns *m);

/**
 * Announces @addrs, multiaddrs each as buf_put_string() does, without /p2p/ID, instead of those
 * before. Left out is what is not of a private network, and, after the first ones, what does not
 * fit into a packet. None left: nothing is announced. @plate: MDNS_PLATE_DIGITS digits, under which
 * this peer waits for a device that has its code; "": it does not. Errors: -ENOMEM, -EBADMSG
 * @addrs.
 */
int mdns_announce(struct mdns *m, struct bytes addrs, const char *plate) MUST_CHECK;

#endif
