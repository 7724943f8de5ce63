/*
 * sync/links/p2p_file - what this device knows of direct links: where it listens, whether it is
 * announced on the local network, which DHT is used, who leads to it, and where other devices were.
 *
 *   p2p   version 1 · flags 1 (1 mdns, 2 a port that nobody asked for, 4 no DHT, 8 DHT, 16 that of
 * IPFS) · listen (varint n, each a string) · bootstrap (the same) · devices (varint n, each:
 * identity 32 · addresses (varint n, each a string)) · XXH3 8
 *
 * Addresses are binary multiaddrs. A file of sync/state/statefile.h: closed to others, written
 * whole. Thread: one.
 */
#ifndef SYNC_LINKS_P2P_FILE_H
#define SYNC_LINKS_P2P_FILE_H

#include "proto/base/err.h"
#include "proto/sealed/keys.h"

/* Where a device listens that was told nothing. */
#define P2P_FILE_ANY "/ip4/0.0.0.0/tcp/0"

enum { P2P_KNOWN_MAX = 256, P2P_LISTEN_MAX = 8, P2P_BOOTSTRAP_MAX = 16 };

/* Whether devices are looked for in the DHT. */
enum p2p_dht { P2P_DHT_IF_LED /* when there is a bootstrap peer */, P2P_DHT_ON, P2P_DHT_OFF };

/* Where another device was. */
struct p2p_known {
    uint8_t identity[SIGN_KEY_SIZE];
    struct buf addrs; /* multiaddrs without /p2p/ID, each as buf_put_string() does */
};

struct p2p_file {
    int dir_fd;
    bool mdns;
    bool any_port; /* the port was free once, and another one does as well */
    enum p2p_dht dht;
    bool ipfs;            /* the DHT is that of IPFS, else of devices with this program */
    struct buf bootstrap; /* who leads to the DHT: multiaddrs, each as buf_put_string() does */
    struct buf listen;    /* the same; empty: no direct links */
    struct p2p_known *known;
    size_t known_n;
};

/** Reads it from @dir_fd, which stays the caller's; without a file: what a new device has, any port
 * of all interfaces of IPv4, mdns, and no bootstrap peer. Errors: -EPERM, -EUCLEAN, -ENOTSUP a
 * later version, -EIO, -ENOMEM. Free: p2p_file_fini(). */
int p2p_file_open(int dir_fd, struct p2p_file *ret, struct err *err) MUST_CHECK;
void p2p_file_fini(struct p2p_file *f);

/** Where @identity was; empty: not known. Borrowed until the next change. */
struct bytes p2p_file_find(const struct p2p_file *f, const uint8_t identity[static SIGN_KEY_SIZE]);

/** Sets it; of too many devices the one that was set first goes. Durable when it returns. */
int p2p_file_put(struct p2p_file *f, const uint8_t identity[static SIGN_KEY_SIZE],
                 struct bytes addrs, struct err *err) MUST_CHECK;

/** Sets where to listen, and whether to be announced. Durable when it returns; else as before. */
int p2p_file_set(struct p2p_file *f, struct bytes listen, bool any_port, bool mdns,
                 struct err *err) MUST_CHECK;

/** Whether the DHT is used. */
bool p2p_file_is_dht(const struct p2p_file *f);

/** Sets whether the DHT is used, which one, and who leads to it. Durable when it returns; else as
 * before. */
int p2p_file_set_dht(struct p2p_file *f, enum p2p_dht dht, bool ipfs, struct bytes bootstrap,
                     struct err *err) MUST_CHECK;

#endif
