#include "sync/net/libp2p/kad_store.h"

#include <errno.h>
#include <stdlib.h>

enum { CROWDS = 4096, GROW_MIN = 16 };

struct kad_record {
    uint8_t key[KAD_MULTIHASH_BYTES];
    uint16_t crowd; /* of its network: one of CROWDS that a secret hash picks */
    struct kad_contact contact;
    uint64_t at_ms;
};

void kad_store_init(struct kad_store *s)
{
    *s = (struct kad_store){0};
    crypto_shorthash_keygen(s->secret);
}

void kad_store_fini(struct kad_store *s)
{
    for (size_t i = 0; i < s->n; i++)
        kad_contact_fini(&s->v[i].contact);
    free(s->v);
    *s = (struct kad_store){0};
}

static void drop(struct kad_store *s, size_t at)
{
    kad_contact_fini(&s->v[at].contact);
    s->v[at] = s->v[--s->n];
}

static bool is_old(const struct kad_record *r, uint64_t now_ms)
{
    return now_ms >= r->at_ms + P2P_KAD_RECORD_MS;
}

void kad_store_expire(struct kad_store *s, uint64_t now_ms)
{
    for (size_t i = s->n; i-- > 0;)
        if (is_old(&s->v[i], now_ms))
            drop(s, i);
}

/* ---- room --------------------------------------------------------------------------------------
 */

static uint16_t crowd_of(const struct kad_store *s, const uint8_t *ip)
{
    uint8_t net[SCOPE_IP_BYTES], hash[crypto_shorthash_BYTES];
    scope_net(ip, net);
    crypto_shorthash(hash, net, sizeof net, s->secret);
    return (uint16_t)((hash[0] << 8 | hash[1]) % CROWDS);
}

static bool is_for(const struct kad_record *r, const uint8_t *key)
{
    return key == NULL || memcmp(r->key, key, KAD_MULTIHASH_BYTES) == 0;
}

/* Of the records for @key (NULL: of all) the oldest goes of the network with most of them, the new
 * one of @crowd counted. */
static void drop_crowded(struct kad_store *s, const uint8_t *key, uint16_t crowd)
{
    uint16_t count[CROWDS] = {0}, most = 0;
    unsigned most_n = 0;
    size_t oldest = s->n;
    for (size_t i = 0; i < s->n; i++)
        if (is_for(&s->v[i], key))
            count[s->v[i].crowd]++;
    for (unsigned i = 0; i < CROWDS; i++) {
        unsigned n = count[i] == 0 ? 0 : count[i] + (unsigned)(i == crowd);
        if (n > most_n) {
            most = (uint16_t)i;
            most_n = n;
        }
    }
    for (size_t i = 0; i < s->n; i++)
        if (is_for(&s->v[i], key) && s->v[i].crowd == most &&
            (oldest == s->n || s->v[i].at_ms < s->v[oldest].at_ms))
            oldest = i;
    if (oldest < s->n)
        drop(s, oldest);
}

static size_t count_of(const struct kad_store *s, const uint8_t *id, size_t *ret_oldest)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (memcmp(s->v[i].contact.id, id, PEER_ID_BYTES) != 0)
            continue;
        if (n++ == 0 || s->v[i].at_ms < s->v[*ret_oldest].at_ms)
            *ret_oldest = i;
    }
    return n;
}

static size_t count_for(const struct kad_store *s, const uint8_t *key)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += is_for(&s->v[i], key);
    return n;
}

static int grow(struct kad_store *s)
{
    if (s->n < s->cap)
        return 0;
    size_t cap = s->cap == 0 ? GROW_MIN : 2 * s->cap;
    struct kad_record *v = realloc(s->v, cap * sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    s->v = v;
    s->cap = cap;
    return 0;
}

static void make_room(struct kad_store *s, const uint8_t *key, const uint8_t *id, uint16_t crowd)
{
    size_t oldest = 0;
    if (count_of(s, id, &oldest) >= P2P_KAD_RECORDS_SENDER)
        drop(s, oldest);
    if (count_for(s, key) >= P2P_KAD_RECORDS_KEY)
        drop_crowded(s, key, crowd);
    if (s->n >= P2P_KAD_RECORDS)
        drop_crowded(s, NULL, crowd);
}

/* ---- records -----------------------------------------------------------------------------------
 */

static struct kad_record *find(const struct kad_store *s, const uint8_t *key, const uint8_t *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (is_for(&s->v[i], key) && memcmp(s->v[i].contact.id, id, PEER_ID_BYTES) == 0)
            return &s->v[i];
    return NULL;
}

int kad_store_put(struct kad_store *s, const uint8_t key[static KAD_MULTIHASH_BYTES],
                  const struct kad_contact *c, const uint8_t ip[static SCOPE_IP_BYTES],
                  uint64_t now_ms)
{
    struct kad_record made = {.crowd = crowd_of(s, ip), .at_ms = now_ms}, *r = find(s, key, c->id);
    int rc = kad_contact_copy(&made.contact, c);
    if (rc < 0)
        return rc;
    memcpy(made.key, key, sizeof made.key);
    if (r != NULL) {
        kad_contact_fini(&r->contact);
        *r = made;
        return 0;
    }
    make_room(s, key, c->id, made.crowd);
    rc = grow(s);
    if (rc < 0)
        kad_contact_fini(&made.contact);
    else
        s->v[s->n++] = made;
    return rc;
}

size_t kad_store_find(const struct kad_store *s, struct bytes key, uint64_t now_ms,
                      const struct kad_contact *ret[static P2P_KAD_PROVIDERS])
{
    size_t n = 0, all = 0;
    if (!kad_multihash_valid(key))
        return 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct kad_record *r = &s->v[i];
        if (!is_for(r, key.p) || is_old(r, now_ms))
            continue;
        /* Each of them is among those with the same chance, however many follow. */
        size_t at = n < P2P_KAD_PROVIDERS ? n++ : randombytes_uniform((uint32_t)all + 1);
        if (at < P2P_KAD_PROVIDERS)
            ret[at] = &r->contact;
        all++;
    }
    return n;
}
