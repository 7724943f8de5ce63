/*
 * sync/net/libp2p/mdns_poll - the loop as libavahi-core wants it. Thread: the loop's.
 */
#ifndef SYNC_NET_LIBP2P_MDNS_POLL_H
#define SYNC_NET_LIBP2P_MDNS_POLL_H

#include <avahi-common/watch.h>

#include "sync/net/loop.h"

/**
 * Makes *ret wait in @l. Of its watches those of UDP sockets let through what mdns_packet_good()
 * does; the library never sees the rest.
 */
void mdns_poll_init(AvahiPoll *ret, struct net_loop *l);

#endif
