/*
 * proto/sealed/discovery - the name under which the members of a space look for each other among
 * strangers: who is no member cannot compute it, it is another one each day, and another one for
 * each epoch, so that a device that was put out does not know it any more. Pure. Thread: any.
 */
#ifndef PROTO_SEALED_DISCOVERY_H
#define PROTO_SEALED_DISCOVERY_H

#include "proto/sealed/keys.h"

/** The day of UTC that is @seconds after the beginning of 1970. */
static inline uint64_t discovery_day(uint64_t seconds)
{
    return seconds / 86400;
}

/**
 * The name of @day: SHA-256 of BLAKE2b-256, keyed with the discovery key of the epoch, over
 * "persist.dht.1" and the day, 64 bits; as a digest it is a key of Kademlia (kad_provide()).
 * Whoever stores it learns nothing but that the same devices ask for it for a day. Around midnight
 * clocks disagree: members look for the day before and the day after, too.
 */
void discovery_name(const struct epoch_keys *k, uint64_t day, uint8_t ret[static HASH_SIZE]);

#endif
