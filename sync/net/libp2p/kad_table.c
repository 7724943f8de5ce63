#include "sync/net/libp2p/kad_table.h"

#include <errno.h>
#include <stdlib.h>

int kad_table_init(struct kad_table *t, const uint8_t id[static PEER_ID_BYTES])
{
    *t = (struct kad_table){0};
    t->buckets = calloc(P2P_KAD_BUCKETS, sizeof *t->buckets);
    if (t->buckets == NULL)
        return -ENOMEM;
    memcpy(t->id, id, sizeof t->id);
    t->self = kad_place_of(bytes_of(id, PEER_ID_BYTES));
    return 0;
}

void kad_table_fini(struct kad_table *t)
{
    for (size_t i = 0; t->buckets != NULL && i < P2P_KAD_BUCKETS; i++) {
        struct kad_bucket *b = &t->buckets[i];
        for (size_t j = 0; j < b->n; j++)
            kad_contact_fini(&b->v[j].contact);
        if (b->has_waiting)
            kad_contact_fini(&b->waits.contact);
    }
    free(t->buckets);
    *t = (struct kad_table){0};
}

static struct kad_bucket *bucket_of(const struct kad_table *t, const struct kad_place *place)
{
    unsigned common = kad_place_common(&t->self, place);
    return &t->buckets[min_u64(common, P2P_KAD_BUCKETS - 1)];
}

static struct kad_entry *find(struct kad_bucket *b, const uint8_t *id)
{
    for (size_t i = 0; i < b->n; i++)
        if (memcmp(b->v[i].contact.id, id, PEER_ID_BYTES) == 0)
            return &b->v[i];
    return NULL;
}

/* Whether one more of the network of @ip has a place beside those that are there, but for @id. */
static bool is_welcome(const struct kad_bucket *b, const uint8_t *id, const uint8_t *ip)
{
    uint8_t net[SCOPE_IP_BYTES], other[SCOPE_IP_BYTES];
    unsigned n = 0;
    if (scope_is_private(ip))
        return true;
    scope_net(ip, net);
    for (size_t i = 0; i < b->n; i++) {
        scope_net(b->v[i].ip, other);
        n += memcmp(net, other, sizeof net) == 0 &&
             memcmp(b->v[i].contact.id, id, PEER_ID_BYTES) != 0;
    }
    return n < P2P_KAD_BUCKET_NET;
}

/* Makes *e new; what was there is kept on failure. */
static int entry_set(struct kad_entry *e, bool was, const struct kad_contact *c, const uint8_t *ip,
                     uint64_t now_ms)
{
    struct kad_entry made = {.place = kad_place_of(bytes_of(c->id, PEER_ID_BYTES)),
                             .seen_ms = now_ms};
    int rc = kad_contact_copy(&made.contact, c);
    if (rc < 0)
        return rc;
    memcpy(made.ip, ip, sizeof made.ip);
    if (was)
        kad_contact_fini(&e->contact);
    *e = made;
    return 0;
}

int kad_table_put(struct kad_table *t, const struct kad_contact *c,
                  const uint8_t ip[static SCOPE_IP_BYTES], uint64_t now_ms)
{
    struct kad_place place = kad_place_of(bytes_of(c->id, PEER_ID_BYTES));
    struct kad_bucket *b = bucket_of(t, &place);
    struct kad_entry *e = find(b, c->id);
    if (c->addrs_n == 0 || memcmp(c->id, t->id, PEER_ID_BYTES) == 0 || !is_welcome(b, c->id, ip))
        return 0;
    if (e != NULL)
        return entry_set(e, true, c, ip, now_ms);
    if (b->n == P2P_KAD_K) {
        int rc = entry_set(&b->waits, b->has_waiting, c, ip, now_ms);
        b->has_waiting = b->has_waiting || rc == 0;
        return rc;
    }
    int rc = entry_set(&b->v[b->n], false, c, ip, now_ms);
    if (rc < 0)
        return rc;
    b->n++;
    t->n++;
    return 1;
}

void kad_table_seen(struct kad_table *t, const uint8_t id[static PEER_ID_BYTES], uint64_t now_ms)
{
    struct kad_place place = kad_place_of(bytes_of(id, PEER_ID_BYTES));
    struct kad_entry *e = find(bucket_of(t, &place), id);
    if (e == NULL)
        return;
    e->failures = 0;
    e->seen_ms = now_ms;
}

void kad_table_failed(struct kad_table *t, const uint8_t id[static PEER_ID_BYTES])
{
    struct kad_place place = kad_place_of(bytes_of(id, PEER_ID_BYTES));
    struct kad_bucket *b = bucket_of(t, &place);
    struct kad_entry *e = find(b, id);
    if (b->has_waiting && memcmp(b->waits.contact.id, id, PEER_ID_BYTES) == 0) {
        kad_contact_fini(&b->waits.contact);
        b->has_waiting = false;
    }
    if (e == NULL || (++e->failures < P2P_KAD_FAILURES && !b->has_waiting))
        return;
    kad_contact_fini(&e->contact);
    *e = b->v[--b->n];
    t->n--;
    if (!b->has_waiting)
        return;
    b->has_waiting = false;
    if (!is_welcome(b, b->waits.contact.id, b->waits.ip)) {
        kad_contact_fini(&b->waits.contact);
        return;
    }
    b->v[b->n++] = b->waits;
    t->n++;
}

const struct kad_contact *kad_table_doubtful(const struct kad_table *t, uint64_t now_ms)
{
    for (size_t i = 0; i < P2P_KAD_BUCKETS; i++) {
        const struct kad_bucket *b = &t->buckets[i];
        const struct kad_entry *oldest = b->v;
        for (size_t j = 1; j < b->n; j++)
            oldest = b->v[j].seen_ms < oldest->seen_ms ? &b->v[j] : oldest;
        if (b->has_waiting && now_ms >= oldest->seen_ms + P2P_KAD_STALE_MS)
            return &oldest->contact;
    }
    return NULL;
}

size_t kad_table_nearest(const struct kad_table *t, const struct kad_place *target,
                         const struct kad_contact *ret[static P2P_KAD_K])
{
    const struct kad_entry *best[P2P_KAD_K];
    size_t n = 0;
    for (size_t i = 0; i < P2P_KAD_BUCKETS; i++)
        for (size_t j = 0; j < t->buckets[i].n; j++) {
            const struct kad_entry *e = &t->buckets[i].v[j];
            size_t at = n;
            while (at > 0 && kad_place_cmp(target, &e->place, &best[at - 1]->place) < 0)
                at--;
            if (at == P2P_KAD_K)
                continue;
            n += n < P2P_KAD_K;
            memmove(&best[at + 1], &best[at], (n - at - 1) * sizeof best[0]);
            best[at] = e;
        }
    for (size_t i = 0; i < n; i++)
        ret[i] = &best[i]->contact;
    return n;
}

unsigned kad_table_depth(const struct kad_table *t)
{
    unsigned n = P2P_KAD_BUCKETS;
    while (n > 0 && t->buckets[n - 1].n == 0)
        n--;
    return n;
}
