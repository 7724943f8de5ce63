/*
 * sync/net/libp2p/kad_contact - a peer and where it is said to be; which addresses are believed of
 * whom, and told to whom. Pure. Thread: any.
 */
#ifndef SYNC_NET_LIBP2P_KAD_CONTACT_H
#define SYNC_NET_LIBP2P_KAD_CONTACT_H

#include "proto/peer_id.h"
#include "sync/net/libp2p/scope.h"

/* All zero is valid and empty. Free: kad_contact_fini(). */
struct kad_contact {
    uint8_t id[PEER_ID_BYTES];
    struct buf addrs; /* each as buf_put_string() does, without the peer's /p2p/ID; at most
                         P2P_KAD_ADDRS, of P2P_KAD_ADDRS_BYTES in all */
    size_t addrs_n;
};

/**
 * Whether @addr, without the peer's /p2p/ID, is of use between this peer and one at @ip, whichever
 * of both said it: it begins with an IP address (a name could lead anywhere), is dialed directly or
 * through a relay, and is public unless @ip is private, too; of loopback only if @ip is.
 */
bool kad_addr_suits(const uint8_t ip[static SCOPE_IP_BYTES], struct bytes addr);

/** Adds an address, which may end with the contact's own /p2p/ID. What does not suit, is known
 * already, or has no room is left out. Memory that ran out shows in buf_status(). */
void kad_contact_add(struct kad_contact *c, const uint8_t ip[static SCOPE_IP_BYTES],
                     struct bytes addr);

/** Adds all of a list, each as buf_put_string() does. */
void kad_contact_add_all(struct kad_contact *c, const uint8_t ip[static SCOPE_IP_BYTES],
                         struct bytes addrs);

/** Copies into an empty @to. -ENOMEM: it is empty still. */
int kad_contact_copy(struct kad_contact *to, const struct kad_contact *from) MUST_CHECK;

/** Accepts NULL. */
void kad_contact_fini(struct kad_contact *c);

#endif
