/*
 * sync/net/libp2p/scope - whose network an address is of.
 *
 * A private one says something within one network only, that of a home or an office. Pure.
 * Thread: any. Source: RFC 1918, 3927, 4193, 4291.
 */
#ifndef SYNC_NET_LIBP2P_SCOPE_H
#define SYNC_NET_LIBP2P_SCOPE_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum { SCOPE_IP_BYTES = 16 };

/** The IP address that the multiaddr @addr begins with, mapped into IPv6 when it is of IPv4; all
 * zero when there is none. */
void scope_ip(struct bytes addr, uint8_t ret[SCOPE_IP_BYTES]);

/** 127; ::1. */
bool scope_is_loopback(const uint8_t ip[SCOPE_IP_BYTES]);

/** A network of one's own has all devices in it: 127, 10, 172.16, 192.168, 169.254; ::1, fc00,
 * fe80.
 */
bool scope_is_private(const uint8_t ip[SCOPE_IP_BYTES]);

/** The network that @ip is in, as far as one has one owner: its first P2P_NET_BITS_IP4 or
 * P2P_NET_BITS_IP6 bits, the others zero. */
void scope_net(const uint8_t ip[SCOPE_IP_BYTES], uint8_t ret[SCOPE_IP_BYTES]);

#endif
