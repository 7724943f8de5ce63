/*
 * sync/net/libp2p/multiaddr - addresses of libp2p: text, bytes, and which of them can be dialed.
 *
 * An address is handled in its binary form: parts, each a code and a value. There is one such form
 * of each address, so two are compared with bytes_equal(). What others send may have parts that
 * are not known here; of those not even the length is known, so such an address is skipped as a
 * whole, and what carried it is not to fail. Pure. Thread: any.
 * Source: libp2p specs, addressing and websockets; multiformats, multiaddr.
 */
#ifndef SYNC_NET_LIBP2P_MULTIADDR_H
#define SYNC_NET_LIBP2P_MULTIADDR_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum maddr_code {
    MADDR_END = 0, /* no part */
    MADDR_IP4 = 4,
    MADDR_TCP = 6,
    MADDR_IP6 = 41,
    MADDR_IP6ZONE = 42,
    MADDR_DNS = 53,
    MADDR_DNS4 = 54,
    MADDR_DNS6 = 55,
    MADDR_DNSADDR = 56,
    MADDR_UDP = 273,
    MADDR_CIRCUIT = 290,
    MADDR_P2P = 421,
    MADDR_TLS = 448,
    MADDR_SNI = 449,
    MADDR_QUIC_V1 = 461,
    MADDR_WS = 477,
    MADDR_WSS = 478,
    MADDR_HTTP_PATH = 481
};

struct maddr_part {
    enum maddr_code code;
    struct bytes value; /* borrowed; without its length */
};

/**
 * Reads the next part, its value checked. 1, or 0 at the end.
 * Errors: -EBADMSG malformed, -ENOTSUP a code that is not known.
 */
int maddr_next(struct reader *r, struct maddr_part *ret) MUST_CHECK;

/** Whether all of @addr is known: 0, or as maddr_next(); -EBADMSG too long or empty, too. */
int maddr_check(struct bytes addr) MUST_CHECK;

/** Appends one part, whose value must be of its code. */
void maddr_put(struct buf *b, enum maddr_code code, struct bytes value);

/** Reads a text and appends the binary form; *ret keeps its length on failure.
 * Errors: -EBADMSG with a message, -ENOTSUP a part that is not known, with a message; -ENOMEM. */
int maddr_parse(struct bytes text, struct buf *ret, struct err *err) MUST_CHECK;

/** Appends the text. Errors: as maddr_check(); -ENOMEM. */
int maddr_text(struct bytes addr, struct buf *ret) MUST_CHECK;

/**
 * Takes the last /p2p/ID off: *ret is what is left of @addr (all of it when there is none), *ret_id
 * the binary id, of any kind of key (empty when there is none). Both borrow from @addr.
 * Errors: as maddr_check().
 */
int maddr_split_peer(struct bytes addr, struct bytes *ret, struct bytes *ret_id) MUST_CHECK;

/* How to reach a peer directly. All borrows from the address. */
struct maddr_dial {
    enum maddr_code host_kind; /* IP4, IP6, DNS, DNS4 or DNS6 */
    struct bytes host;         /* 4 or 16 bytes, or a name */
    uint16_t port;
    bool ws, tls;     /* over a WebSocket; that over TLS */
    struct bytes sni; /* the name to ask for in TLS; empty: the host's */
    struct bytes id;  /* whom to expect there, with an Ed25519 key; empty: not said */
};

/**
 * Whether this program can dial @addr: /ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT, then nothing, /ws,
 * /wss, /tls/ws or /tls/sni/NAME/ws, then nothing or /p2p/ID. A WebSocket's port may be left out.
 * Errors: as maddr_check(); -ENOTSUP any other; -EACCES what is never dialed: no address of one
 * host (unspecified, multicast, broadcast), or port 0. That an address is of this very process is
 * for the caller to see.
 */
int maddr_dial(struct bytes addr, struct maddr_dial *ret) MUST_CHECK;

#endif
