#include "sync/net/libp2p/kad_lookup.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum kad_state { KAD_NEW, KAD_ASKED, KAD_ANSWERED, KAD_FAILED };

struct kad_candidate {
    struct kad_contact contact;
    struct kad_place place;
    enum kad_state state;
    uint8_t nets[P2P_KAD_ADDRS][SCOPE_IP_BYTES]; /* of its addresses; of a private one all zero */
};

void kad_lookup_init(struct kad_lookup *l, const struct kad_place *target,
                     const uint8_t self[static PEER_ID_BYTES])
{
    *l = (struct kad_lookup){.target = *target, .asked_max = P2P_KAD_QUERIES};
    memcpy(l->self, self, sizeof l->self);
}

static void candidate_free(struct kad_candidate *c)
{
    kad_contact_fini(&c->contact);
    free(c);
}

void kad_lookup_fini(struct kad_lookup *l)
{
    for (size_t i = 0; i < l->n; i++)
        candidate_free(l->v[i]);
    *l = (struct kad_lookup){0};
}

static struct kad_candidate *find(const struct kad_lookup *l, const uint8_t *id)
{
    for (size_t i = 0; i < l->n; i++)
        if (memcmp(l->v[i]->contact.id, id, PEER_ID_BYTES) == 0)
            return l->v[i];
    return NULL;
}

/* ---- who is taken up ---------------------------------------------------------------------------
 */

static bool is_in(const struct kad_candidate *c, const uint8_t *net)
{
    for (size_t i = 0; i < c->contact.addrs_n; i++)
        if (memcmp(c->nets[i], net, SCOPE_IP_BYTES) == 0)
            return true;
    return false;
}

/* Whether others than @c are in the network as often as is allowed. */
static bool is_crowded(const struct kad_lookup *l, const struct kad_candidate *c,
                       const uint8_t *net)
{
    static const uint8_t private[SCOPE_IP_BYTES];
    unsigned n = 0;
    if (memcmp(net, private, sizeof private) == 0)
        return false;
    for (size_t i = 0; i < l->n && n < P2P_KAD_CANDIDATES_NET; i++)
        n += l->v[i] != c && is_in(l->v[i], net);
    return n == P2P_KAD_CANDIDATES_NET;
}

/* Adds what is new in @from. */
static int take_addresses(const struct kad_lookup *l, struct kad_candidate *c,
                          const struct kad_contact *from)
{
    struct reader r = reader_of(buf_bytes(&from->addrs));
    while (r.n > 0) {
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        uint8_t ip[SCOPE_IP_BYTES], net[SCOPE_IP_BYTES] = {0};
        scope_ip(addr, ip);
        if (!scope_is_private(ip))
            scope_net(ip, net);
        if (is_crowded(l, c, net))
            continue;
        size_t n = c->contact.addrs_n;
        kad_contact_add(&c->contact, ip, addr);
        if (c->contact.addrs_n > n)
            memcpy(c->nets[n], net, sizeof net);
    }
    return buf_status(&c->contact.addrs);
}

/* Puts it where it belongs. The farthest one goes when it is not asked or has not answered. False:
 * there is no room for one as far. */
static bool place(struct kad_lookup *l, struct kad_candidate *c)
{
    size_t at = l->n;
    while (at > 0 && kad_place_cmp(&l->target, &c->place, &l->v[at - 1]->place) < 0)
        at--;
    if (l->n == P2P_KAD_CANDIDATES) {
        struct kad_candidate *last = l->v[l->n - 1];
        if (at == l->n || last->state == KAD_ASKED || last->state == KAD_ANSWERED)
            return false;
        candidate_free(last);
        l->n--;
    }
    memmove(&l->v[at + 1], &l->v[at], (l->n - at) * sizeof l->v[0]);
    l->v[at] = c;
    l->n++;
    return true;
}

int kad_lookup_add(struct kad_lookup *l, const struct kad_contact *from)
{
    struct kad_candidate *c = find(l, from->id);
    if (memcmp(from->id, l->self, PEER_ID_BYTES) == 0)
        return 0;
    if (c != NULL)
        return c->state == KAD_NEW ? take_addresses(l, c, from) : 0;
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    memcpy(c->contact.id, from->id, PEER_ID_BYTES);
    c->place = kad_place_of(bytes_of(from->id, PEER_ID_BYTES));
    int rc = take_addresses(l, c, from);
    if (rc < 0 || c->contact.addrs_n == 0 || !place(l, c))
        candidate_free(c);
    return rc;
}

/* ---- who is asked ------------------------------------------------------------------------------
 */

/* The nearest of those that have not been asked, as long as it may be among the nearest that
 * answer. */
static struct kad_candidate *find_next(const struct kad_lookup *l)
{
    size_t before = 0; /* that have answered, or still may */
    if (l->asked == l->asked_max)
        return NULL;
    for (size_t i = 0; i < l->n && before < P2P_KAD_K; i++) {
        if (l->v[i]->state == KAD_NEW)
            return l->v[i];
        before += l->v[i]->state != KAD_FAILED;
    }
    return NULL;
}

const struct kad_contact *kad_lookup_next(struct kad_lookup *l)
{
    struct kad_candidate *c = l->open < P2P_KAD_ALPHA ? find_next(l) : NULL;
    if (c == NULL)
        return NULL;
    c->state = KAD_ASKED;
    l->open++;
    l->asked++;
    return &c->contact;
}

void kad_lookup_ended(struct kad_lookup *l, const uint8_t id[static PEER_ID_BYTES], bool answered)
{
    struct kad_candidate *c = find(l, id);
    assert(c != NULL && c->state == KAD_ASKED);
    c->state = answered ? KAD_ANSWERED : KAD_FAILED;
    l->open--;
    l->answered += answered;
}

bool kad_lookup_is_over(const struct kad_lookup *l)
{
    return l->open == 0 && find_next(l) == NULL;
}

size_t kad_lookup_nearest(const struct kad_lookup *l,
                          const struct kad_contact *ret[static P2P_KAD_K])
{
    size_t n = 0;
    for (size_t i = 0; i < l->n && n < P2P_KAD_K; i++)
        if (l->v[i]->state == KAD_ANSWERED)
            ret[n++] = &l->v[i]->contact;
    return n;
}
