/*
 * sync/links/peers - direct links with other devices: this process as a libp2p peer, which keeps a
 * connection to each device that is a member of a space whose mount is attached, as long as it
 * knows where that is; and on it a stream for each such space.
 *
 *   /persist/sync/1.0.0   who opens it names the space (a string of 16 bytes), who accepts it
 *                         answers with one byte, 1; then both send frames, each a length (u32
 *                         big-endian) and a frame of proto/session.proto, peers
 *
 * A space is named to nobody but a device that its mount calls a member, and a stream of anybody
 * else is reset without a word. Either side opens the stream when it can; when both do, that of the
 * lesser PeerId stays. Thread: the loop's; no callback runs inside a call of this file.
 */
#ifndef SYNC_LINKS_PEERS_H
#define SYNC_LINKS_PEERS_H

#include "proto/local.pb-c.h"
#include "sync/links/clients.h"
#include "sync/links/p2p_file.h"

struct peers;

struct peers_config {
    struct net_loop *loop;
    struct clients *clients;
    const struct member_keys *identity;
    int dir_fd;
    void (*turned_on)(void *arg); /* there are direct links after all: see peers_new() */
    void *arg;
};

/**
 * Listens as the file in @dir_fd says. All in @cfg stays the caller's. Errors: as p2p_file_open();
 * an address that cannot be listened at is said in the log, and shown, and tried again.
 */
int peers_new(const struct peers_config *cfg, struct peers **ret, struct err *err) MUST_CHECK;

/** Cuts all. Its links were freed before. Accepts NULL. */
void peers_free(struct peers *p);

/** Says good bye to all; connects no more. */
void peers_stop(struct peers *p);

/** Whether all have been said good bye to. */
bool peers_is_idle(const struct peers *p);

/** The network is another: devices that are not reached are tried at once, and those that are
 * linked are asked whether they are still there. */
void peers_hurry(struct peers *p);

/* What a person sets. */
struct peers_settings {
    bool set_listen;     /* else as before */
    char *const *listen; /* texts of multiaddrs; none: there are no direct links */
    size_t listen_n;
    int mdns; /* announced on the local network: 1, 0; < 0: as before */
    int dht;  /* the same for being in the DHT, which until it is set follows from this: */
    bool set_bootstrap;     /* else as before */
    char *const *bootstrap; /* who leads to the DHT: texts of multiaddrs */
    size_t bootstrap_n;
    int ipfs; /* the DHT is that of IPFS: 1, 0; < 0: as before */
};

/**
 * Does as @s says, and stores that. Errors, with a message: -EINVAL no address, -EADDRINUSE and the
 * like; then all is as before.
 */
int peers_set(struct peers *p, const struct peers_settings *s, struct err *err) MUST_CHECK;

/** Remembers where a device is: a multiaddr with /p2p/ID. Errors: -EINVAL; as p2p_file_put(). */
int peers_know(struct peers *p, const char *address, struct err *err) MUST_CHECK;

/** Whether there are direct links. */
bool peers_is_on(const struct peers *p);
/** Where it listens, as texts with /p2p/ID, each as buf_put_string() does; appended. */
int peers_addresses(const struct peers *p, struct buf *ret) MUST_CHECK;
bool peers_mdns(const struct peers *p);
/** Whether it is in the DHT, and whether in that of IPFS; who leads to it, as peers_addresses() has
 * them; and how many peers of it are known. */
bool peers_dht(const struct peers *p);
bool peers_is_ipfs(const struct peers *p);
int peers_bootstrap(const struct peers *p, struct buf *ret) MUST_CHECK;
size_t peers_neighbours(const struct peers *p);
/** Why it does not listen where it should; empty: it does. */
const char *peers_trouble(const struct peers *p);

/**
 * The devices of @space look for each other in the DHT under @names, HASH_SIZE each, of yesterday,
 * today and tomorrow; this one has others keep that of today. None: not any more. Errors: -ENOMEM.
 */
int peers_seek(struct peers *p, const uint8_t space[static SPACE_ID_SIZE],
               struct bytes names) MUST_CHECK;

/* ---- links ---- */

/* One space and one other device. */
struct peer_link;

/* As those of link.h. */
struct peer_link_events {
    void (*changed)(struct peer_link *l, void *user);
    void (*frame)(struct peer_link *l, struct bytes frame, void *user);
    void (*writable)(struct peer_link *l, void *user);
};

/** Makes it, and connects when it can. Errors: -ENOMEM. */
int peer_link_new(struct peers *p, const uint8_t space[static SPACE_ID_SIZE],
                  const uint8_t identity[static SIGN_KEY_SIZE], uint32_t id,
                  const struct peer_link_events *events, void *user,
                  struct peer_link **ret) MUST_CHECK;
void peer_link_free(struct peer_link *l); /* accepts NULL */

/** As those of link.h. */
void peer_link_retry(struct peer_link *l, uint64_t generation, uint64_t after_ms, struct bytes why);
int peer_link_send(struct peer_link *l, uint64_t generation, struct bytes frame) MUST_CHECK;
void peer_link_pause(struct peer_link *l);
void peer_link_resume(struct peer_link *l);
uint64_t peer_link_generation(const struct peer_link *l);
const char *peer_link_url(const struct peer_link *l);
const uint8_t *peer_link_identity(const struct peer_link *l);
void peer_link_describe(struct peer_link *l, Persist__Link *ret);

#endif
