/*
 * sync/net/libp2p/kad_store - who has what, as the peers say it of themselves: a bounded number of
 * records, each for P2P_KAD_RECORD_MS. When there is no room, whoever's network has most of the
 * places gives its oldest: many ids at one place do not drive others out.
 *
 * Pure; the clock is given. Thread: any.
 */
#ifndef SYNC_NET_LIBP2P_KAD_STORE_H
#define SYNC_NET_LIBP2P_KAD_STORE_H

#include <sodium.h>

#include "sync/net/libp2p/kad_contact.h"
#include "sync/net/libp2p/kad_key.h"
#include "sync/net/libp2p/limits.h"

struct kad_record;

struct kad_store {
    struct kad_record *v;
    size_t n, cap;
    uint8_t secret[crypto_shorthash_KEYBYTES]; /* so that nobody knows with whom one counts */
};

/** All empty. */
void kad_store_init(struct kad_store *s);
void kad_store_fini(struct kad_store *s);

/** The peer @c, which is connected from @ip, has @key, kad_multihash_valid(); it takes the place of
 * what it said of it before. Errors: -ENOMEM. */
int kad_store_put(struct kad_store *s, const uint8_t key[static KAD_MULTIHASH_BYTES],
                  const struct kad_contact *c, const uint8_t ip[static SCOPE_IP_BYTES],
                  uint64_t now_ms) MUST_CHECK;

/** Who has @key, at most P2P_KAD_PROVIDERS, others of them each time if there are more; borrowed
 * until the store changes. */
size_t kad_store_find(const struct kad_store *s, struct bytes key, uint64_t now_ms,
                      const struct kad_contact *ret[static P2P_KAD_PROVIDERS]);

/** Forgets what is too old. */
void kad_store_expire(struct kad_store *s, uint64_t now_ms);

#endif
