/*
 * sync/net/libp2p/mdns_priv - what mdns.c, which announces, and mdns_browse.c, which finds, share.
 */
#ifndef SYNC_NET_LIBP2P_MDNS_PRIV_H
#define SYNC_NET_LIBP2P_MDNS_PRIV_H

#include <avahi-core/core.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/mdns.h"

struct mdns_name;

enum { MDNS_LABEL_SIZE = 33 }; /* a random name: 32 characters and their end */

/* A peer of whom was told. */
struct mdns_peer {
    uint8_t id[PEER_ID_BYTES];
    struct buf addrs; /* what was told */
    char plate[MDNS_PLATE_SIZE];
};

struct mdns {
    AvahiPoll poll;
    AvahiServer *server;
    uint8_t id[PEER_ID_BYTES];
    bool loopback;
    void (*found)(const uint8_t *id, struct bytes addrs, const char *plate, void *user);
    void (*lost)(const uint8_t *id, void *user);
    void *user;

    /* mdns.c */
    AvahiSEntryGroup *group;
    char label[MDNS_LABEL_SIZE]; /* the name that it has now */
    AvahiStringList *strings;    /* what is announced; NULL: nothing */
    struct net_timer *retry;
    bool withdrawn; /* until then nothing is announced */

    /* mdns_browse.c */
    AvahiSServiceBrowser *browser;
    struct mdns_name *names;
    size_t names_n;
    size_t bytes; /* of all their records */
    struct net_timer *settle;
    bool changed; /* something, since it was told: the timer is set */
    struct mdns_peer peers[P2P_MDNS_NAMES];
    size_t peers_n;
};

/** Begins to look. Errors: -ENOMEM. */
int mdns_browse_start(struct mdns *m, struct net_loop *l) MUST_CHECK;
/** Ends that, and forgets all; the server is there still. */
void mdns_browse_end(struct mdns *m);

#endif
