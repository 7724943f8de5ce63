/*
 * sync/net/libp2p/kad_lookup - the walk towards a place: of all peers that anybody told of, the
 * nearest ones are asked, until the P2P_KAD_K nearest that answer have done so.
 *
 * Who told of whom is not believed in anything but that: a lie costs a query, of which there are
 * P2P_KAD_QUERIES. Pure. Thread: any. Source: libp2p specs, kad-dht.
 */
#ifndef SYNC_NET_LIBP2P_KAD_LOOKUP_H
#define SYNC_NET_LIBP2P_KAD_LOOKUP_H

#include "sync/net/libp2p/kad_contact.h"
#include "sync/net/libp2p/kad_key.h"
#include "sync/net/libp2p/limits.h"

struct kad_candidate;

struct kad_lookup {
    uint8_t self[PEER_ID_BYTES];
    struct kad_place target;
    struct kad_candidate *v[P2P_KAD_CANDIDATES]; /* the nearest first */
    size_t n;
    size_t asked, asked_max; /* in all */
    size_t open, answered;   /* are asked now; have answered */
};

/** Begins. @self is never asked. */
void kad_lookup_init(struct kad_lookup *l, const struct kad_place *target,
                     const uint8_t self[static PEER_ID_BYTES]);
/** Accepts all zero. */
void kad_lookup_fini(struct kad_lookup *l);

/** Someone told of a peer: it is taken up, or what is new of it, as far as there is room: the
 * farthest one makes some. Of it those addresses are left out in whose public network
 * P2P_KAD_CANDIDATES_NET others are already. Errors: -ENOMEM. */
int kad_lookup_add(struct kad_lookup *l, const struct kad_contact *c) MUST_CHECK;

/** Whom to ask now, as many as P2P_KAD_ALPHA at once; for each kad_lookup_ended() is called.
 * Borrowed as long as the lookup. NULL: nobody. */
const struct kad_contact *kad_lookup_next(struct kad_lookup *l);

/** Who was asked answered, or not. */
void kad_lookup_ended(struct kad_lookup *l, const uint8_t id[static PEER_ID_BYTES], bool answered);

/** Nobody is asked, and nobody is to be asked. */
bool kad_lookup_is_over(const struct kad_lookup *l);

/** The nearest that answered, at most P2P_KAD_K. Borrowed as long as the lookup. */
size_t kad_lookup_nearest(const struct kad_lookup *l,
                          const struct kad_contact *ret[static P2P_KAD_K]);

#endif
