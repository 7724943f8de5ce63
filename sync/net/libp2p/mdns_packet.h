/*
 * sync/net/libp2p/mdns_packet - what peers say of themselves over multicast DNS: the strings of a
 * TXT record, and which packets are looked at. Pure. Thread: any.
 * Source: libp2p specs, discovery/mdns; RFC 1035, RFC 6762.
 */
#ifndef SYNC_NET_LIBP2P_MDNS_PACKET_H
#define SYNC_NET_LIBP2P_MDNS_PACKET_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/peer_id.h"

#define MDNS_SERVICE "_p2p._udp"
#define MDNS_DOMAIN "local"

enum { MDNS_PLATE_DIGITS = 4, MDNS_PLATE_SIZE = MDNS_PLATE_DIGITS + 1 };

/**
 * Whether the packet may go to the library: it parses, it is about MDNS_SERVICE, and has nothing in
 * it that the library does not withstand. Libavahi 0.8 ends the program on an alias (CNAME) that
 * nobody asked for, and keeps records of all services there are.
 */
bool mdns_packet_good(struct bytes packet);

/**
 * Reads a string "dnsaddr=ADDRESS/p2p/ID" of @n bytes. True: it says that the peer @ret_id is at
 * *ret_addr, which is appended as buf_put_string() does. False: any other, an address that cannot
 * be dialed or is not of a private network, a name's, or, without @loopback, one of loopback.
 */
bool mdns_string_read(struct bytes string, bool loopback, uint8_t ret_id[PEER_ID_BYTES],
                      struct buf *ret_addr);

/** Appends the string that says that @id is at @addr. False, with nothing appended: it is no
 * address of a private network, or too long. */
bool mdns_string_write(struct bytes addr, const uint8_t id[PEER_ID_BYTES], struct buf *ret);

/** Reads a string "persist-pair=NNNN": under these digits a peer waits for a device that has the
 * rest of its code. Other programs pass such a string over. False: any other string. */
bool mdns_plate_read(struct bytes string, char ret[static MDNS_PLATE_SIZE]);
/** Appends that string. */
void mdns_plate_write(const char *plate, struct buf *ret);

#endif
