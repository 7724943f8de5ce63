/* sync/net/libp2p/kad_priv - what kad*.c of the driver share. Not for others. */
#ifndef SYNC_NET_LIBP2P_KAD_PRIV_H
#define SYNC_NET_LIBP2P_KAD_PRIV_H

#include "proto/base/ring.h"
#include "sync/net/libp2p/kad.h"
#include "sync/net/libp2p/kad_lookup.h"
#include "sync/net/libp2p/kad_message.h"
#include "sync/net/libp2p/kad_store.h"
#include "sync/net/libp2p/kad_table.h"
#include "sync/net/libp2p/message.h"

/* One request to one peer. */
struct kad_query {
    struct kad_find *find;
    struct ring all; /* in find->queries */
    struct kad_contact to;
    uint64_t by_ms;
    bool waits; /* it may not be dialed yet */
    struct p2p_dial *dial;
    struct conn_stream *s;
    bool agreed; /* on the protocol */
    struct message_reader reader;
    bool ended; /* then rc, and answer when that is 0 */
    int rc;
    struct kad_message answer;
};

enum kad_kind {
    KAD_FIND_PROVIDERS,
    KAD_FIND_PEER,
    KAD_FIND_PLACES, /* for this peer's records */
    KAD_FIND_NEAR,   /* whoever is around */
    KAD_FIND_ONE     /* whether one that is known is still there */
};

/* Something that is looked for. */
struct kad_find {
    struct kad *kad;
    struct ring all; /* in kad->finds */
    enum kad_kind kind;
    uint8_t key[P2P_KAD_KEY];
    size_t key_n;
    struct kad_lookup lookup;
    struct ring queries;
    bool runs, due, late, calling, gone;
    uint64_t by_ms;
    const struct kad_events *events; /* NULL: it is the kad's own */
    void *user;
    struct buf told; /* hashes of what found() was told */
    /* Of KAD_FIND_PLACES, once they are found. */
    bool telling;
    const struct kad_contact *tell[P2P_KAD_K];
    size_t tell_n, tell_at, tell_open;
    unsigned took;
};

/* A key that this peer provides. */
struct kad_own {
    uint8_t digest[KAD_DIGEST_BYTES];
    uint64_t next_ms; /* when it is told */
    bool busy;        /* it is being told */
};

/* A connection that is there for lookups. */
struct kad_conn {
    uint8_t id[PEER_ID_BYTES];
    bool dialed;       /* by this peer */
    uint64_t moved_ms; /* when streams were open last */
};

struct kad_named {
    struct kad *kad;
    struct buf addr; /* a list of one */
    struct p2p_dial *dial;
};

/* A stream of a peer that asks. */
struct kad_served {
    struct kad *kad;
    struct ring all; /* in kad->served */
    struct conn_stream *s;
    struct message_reader reader;
};

struct kad {
    struct kad_config cfg;
    struct net_loop *loop;
    struct kad_table table;
    struct kad_store store;
    struct ring finds, served;
    size_t finds_n, running;
    struct kad_own own[P2P_KAD_PROVIDED];
    size_t own_n;
    struct kad_conn conns[P2P_CONNECTIONS];
    size_t conns_n;
    unsigned dialing, dials; /* dials that run; that may begin */
    struct kad_named named[P2P_KAD_BOOTSTRAPS];
    size_t named_n;
    uint64_t named_ms, around_ms, swept_ms; /* when to dial these, to look around, to sweep */
    unsigned around_at; /* the bucket that is looked into next, and one: 0 is this peer's place */
    bool looks;         /* around */
    struct net_timer *tick, *step;
};

/* ---- kad.c ---- */
/** Has the finds looked at that are due. */
void kad_kick(struct kad *k);
/** Whether one more peer may be dialed now: then it is counted. */
bool kad_may_dial(struct kad *k);
/** The peer's connection is used by lookups; it is closed when it is not for long. */
void kad_note_conn(struct kad *k, const uint8_t *id, bool dialed);
/** This peer with its addresses, for a peer at @ip. */
int kad_self(const struct kad *k, const uint8_t *ip, struct kad_contact *ret) MUST_CHECK;
/** The key of @digest is told, or is not, to so many peers. */
void kad_own_told(struct kad *k, const uint8_t *digest, unsigned peers);
/** Looks into the next bucket. */
void kad_look_around(struct kad *k);

/* ---- kad_find.c ---- */
int kad_find_new(struct kad *k, enum kad_kind kind, struct bytes key,
                 const struct kad_events *events, void *user, struct kad_find **ret) MUST_CHECK;
/** Without a callback. */
void kad_find_free(struct kad_find *f);
/** Goes on with all that are due, and begins those for which there is a place. */
void kad_find_step(struct kad *k);
/** Ends what is out of time, and tries again what waits. */
void kad_find_tick(struct kad *k, uint64_t now_ms);

/* ---- kad_query.c ---- */
/** Asks @to. -ENOMEM. */
int kad_query_new(struct kad_find *f, const struct kad_contact *to) MUST_CHECK;
void kad_query_free(struct kad_query *q);
void kad_query_tick(struct kad_query *q, uint64_t now_ms);

/* ---- kad_serve.c ---- */
extern const struct conn_handler kad_server;
void kad_served_free(struct kad_served *v);

#endif
