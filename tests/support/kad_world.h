/*
 * tests/support/kad_world - peers of Kademlia without sockets: ids, contacts and addresses that
 * follow from a number. Thread: one.
 */
#ifndef TESTS_SUPPORT_KAD_WORLD_H
#define TESTS_SUPPORT_KAD_WORLD_H

#include "sync/net/libp2p/kad_contact.h"

/** The PeerId that belongs to @n. */
void kad_world_id(uint64_t n, uint8_t ret[PEER_ID_BYTES]);
/** Its IP address: in 10.0.0.0/8, or a public one, each of another network. */
void kad_world_ip(uint64_t n, bool public, uint8_t ret[SCOPE_IP_BYTES]);
/** Appends /ip4/ADDRESS/tcp/@port, of an IPv4 address mapped into IPv6. */
void kad_world_address(const uint8_t ip[SCOPE_IP_BYTES], uint16_t port, struct buf *ret);
/** The peer at its address. Free: kad_contact_fini(). */
struct kad_contact kad_world_contact(uint64_t n, bool public);

#endif
