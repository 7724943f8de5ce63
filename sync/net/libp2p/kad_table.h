/*
 * sync/net/libp2p/kad_table - the peers of Kademlia that are known to serve it, the more of them
 * the nearer they are: a bucket for each length of the prefix that a place has in common with one's
 * own. Who is there and answers stays; a newer one waits for who does not.
 *
 * Pure; the clock is given. Thread: any. Source: libp2p specs, kad-dht.
 */
#ifndef SYNC_NET_LIBP2P_KAD_TABLE_H
#define SYNC_NET_LIBP2P_KAD_TABLE_H

#include "sync/net/libp2p/kad_contact.h"
#include "sync/net/libp2p/kad_key.h"
#include "sync/net/libp2p/limits.h"

struct kad_entry {
    struct kad_contact contact;
    struct kad_place place;
    uint8_t ip[SCOPE_IP_BYTES]; /* where it was connected */
    uint64_t seen_ms;
    unsigned failures; /* since it was seen */
};

struct kad_bucket {
    struct kad_entry v[P2P_KAD_K];
    size_t n;
    struct kad_entry waits; /* for a place in a full one */
    bool has_waiting;
};

struct kad_table {
    uint8_t id[PEER_ID_BYTES];
    struct kad_place self;
    struct kad_bucket *buckets; /* P2P_KAD_BUCKETS */
    size_t n;                   /* in all of them */
};

/** The table of the peer @id. Errors: -ENOMEM. */
int kad_table_init(struct kad_table *t, const uint8_t id[static PEER_ID_BYTES]) MUST_CHECK;
/** Accepts all zero. */
void kad_table_fini(struct kad_table *t);

/**
 * A peer that has proved its id at @ip, serves the protocol and is at the addresses of @c. 1: it is
 * new; 0: it was known, waits for a place, or is refused, as it has no address, or its public
 * network has P2P_KAD_BUCKET_NET places in the bucket. Errors: -ENOMEM.
 */
int kad_table_put(struct kad_table *t, const struct kad_contact *c,
                  const uint8_t ip[static SCOPE_IP_BYTES], uint64_t now_ms) MUST_CHECK;

/** It answered. */
void kad_table_seen(struct kad_table *t, const uint8_t id[static PEER_ID_BYTES], uint64_t now_ms);

/** It did not answer: its place is free after P2P_KAD_FAILURES times, or at once for who waits. */
void kad_table_failed(struct kad_table *t, const uint8_t id[static PEER_ID_BYTES]);

/** Someone that has not been heard of for P2P_KAD_STALE_MS, and whose place another one waits for;
 * borrowed. NULL: nobody. */
const struct kad_contact *kad_table_doubtful(const struct kad_table *t, uint64_t now_ms);

/** The nearest ones, the nearest first, at most P2P_KAD_K; borrowed until the table changes. */
size_t kad_table_nearest(const struct kad_table *t, const struct kad_place *target,
                         const struct kad_contact *ret[static P2P_KAD_K]);

/** One more than the last bucket with somebody in it. */
unsigned kad_table_depth(const struct kad_table *t);

#endif
