/*
 * sync/net/libp2p/identify - what a peer says of itself when a connection is made, and when
 * something of it changed: its addresses, its protocols. Pure. Thread: any.
 *
 * All of it is hearsay but for the key, which is that of the connection, and for addresses that
 * the peer signed. Source: libp2p specs, identify.
 */
#ifndef SYNC_NET_LIBP2P_IDENTIFY_H
#define SYNC_NET_LIBP2P_IDENTIFY_H

#include "proto/base/err.h"
#include "proto/peer_id.h"
#include "proto/peer_key.h"
#include "sync/net/libp2p/message.h"

/* What this peer says. All is borrowed. */
struct identify_self {
    const uint8_t *key;        /* PEER_KEY_PUBLIC_BYTES, its identity's */
    const struct bytes *addrs; /* multiaddrs, without /p2p/ID; at most P2P_ADDRS */
    size_t addrs_n;
    const char *const *protocols; /* those that it serves, and no others; at most P2P_PROTOCOLS */
    size_t protocols_n;
    struct bytes observed; /* the reader's address as it is seen here; empty: left out */
    const char *version;   /* of the network's protocols */
    const char *agent;     /* this program and its version */
    struct bytes record;   /* an envelope (peer_record.h); empty: left out */
};

/** Appends the message, with its length before it. Errors: -EMSGSIZE longer than
 * P2P_IDENTIFY_SENT; -ENOMEM. */
int identify_put(struct buf *b, const struct identify_self *self) MUST_CHECK;

/* Strings, each a varint length and the bytes: for reader_string(). */
struct identify_list {
    struct buf b;
    size_t n;
};

/* What a peer said. What it left out is empty. */
struct identify {
    uint8_t id[PEER_ID_BYTES]; /* of the connection */
    uint64_t seq;              /* of the newest record known of it; a newer one replaces it */
    bool has_key;
    bool has_record;                /* a newer one came: addrs are from it, signed */
    struct identify_list addrs;     /* valid, without /p2p/ID; at most P2P_ADDRS */
    struct identify_list protocols; /* at most P2P_PROTOCOLS */
    struct buf observed;            /* a valid address, without /p2p/ID, or empty */
    struct buf version, agent;      /* cut to P2P_AGENT_BYTES; any bytes */
    unsigned messages;
    struct message_reader reader;
};

/** Begins. @id: of the peer of the connection; @seq: of its newest record that is known, or 0.
 * Free: identify_fini(). */
void identify_init(struct identify *i, const uint8_t id[static PEER_ID_BYTES], uint64_t seq);
void identify_fini(struct identify *i);

/**
 * Takes what came on the stream: one message, or several that make one. What cannot be used (an
 * address that is not known, a record that does not verify or is not newer) is skipped, as is what
 * goes beyond a limit. Errors, after which nothing of it counts: -EPROTO too long, too many, or the
 * key of another peer, with a message; -EBADMSG, with a message; -ENOMEM.
 */
int identify_feed(struct identify *i, struct bytes in, struct err *err) MUST_CHECK;

/** The stream ended. @push: what is left out is as it was, the key, too. Errors: -EPROTO within a
 * message, or nothing came, or no key. */
int identify_end(const struct identify *i, bool push, struct err *err) MUST_CHECK;

#endif
