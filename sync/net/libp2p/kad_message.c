#include "sync/net/libp2p/kad_message.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/libp2p.pb-c.h"
#include "sync/net/libp2p/message.h"

enum { PEERS_READ = 100 }; /* of a list, those that are skipped included */

/* ---- in ----------------------------------------------------------------------------------------
 */

/* 1, or 0 when it is nobody that can be talked to; -ENOMEM. */
static int read_contact(struct kad_contact *c, struct bytes in, const uint8_t *ip)
{
    struct message whole CLEANUP(message_fini) = {0};
    uint8_t key[PEER_ID_KEY_BYTES];
    const Libp2p__KadPeer *p = message_unpack(&whole, &libp2p__kad_peer__descriptor, in);
    if (p == NULL || peer_id_key(frame_bytes(p->id), key) < 0)
        return 0;
    memcpy(c->id, p->id.data, sizeof c->id);
    for (size_t i = 0; i < p->n_addrs; i++)
        kad_contact_add(c, ip, frame_bytes(p->addrs[i]));
    int rc = buf_status(&c->addrs);
    return rc < 0 ? rc : 1;
}

static int read_contacts(struct kad_contacts *to, const ProtobufCBinaryData *peers, size_t n,
                         size_t max, const uint8_t *ip)
{
    if (n == 0)
        return 0;
    to->v = calloc((size_t)min_u64(n, max), sizeof *to->v);
    if (to->v == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < min_u64(n, PEERS_READ) && to->n < max; i++) {
        struct kad_contact *c = &to->v[to->n];
        int rc = read_contact(c, frame_bytes(peers[i]), ip);
        if (rc < 0)
            kad_contact_fini(c);
        if (rc < 0)
            return rc;
        to->n += (size_t)rc;
    }
    return 0;
}

static int read_all(struct kad_message *m, const Libp2p__KadMessage *in, const uint8_t *ip)
{
    if (in->type > KAD_PING || in->key.len > sizeof m->key)
        return -EBADMSG;
    m->type = (enum kad_type)in->type; /* one of them, as was seen */
    m->key_n = in->key.len;
    if (in->key.len > 0)
        memcpy(m->key, in->key.data, in->key.len);
    int rc = read_contacts(&m->closer, in->closer_peers, in->n_closer_peers, P2P_KAD_K, ip);
    if (rc < 0)
        return rc;
    return read_contacts(&m->providers, in->provider_peers, in->n_provider_peers, P2P_KAD_PROVIDERS,
                         ip);
}

int kad_message_read(struct kad_message *m, struct bytes in,
                     const uint8_t ip[static SCOPE_IP_BYTES])
{
    struct message whole CLEANUP(message_fini) = {0};
    *m = (struct kad_message){0};
    if (in.n > P2P_KAD_MESSAGE)
        return -EBADMSG;
    const Libp2p__KadMessage *said = message_unpack(&whole, &libp2p__kad_message__descriptor, in);
    int rc = said == NULL ? -EBADMSG : read_all(m, said, ip);
    if (rc < 0)
        kad_message_fini(m);
    return rc;
}

static void contacts_fini(struct kad_contacts *l)
{
    for (size_t i = 0; i < l->n; i++)
        kad_contact_fini(&l->v[i]);
    free(l->v);
}

void kad_message_fini(struct kad_message *m)
{
    if (m == NULL)
        return;
    contacts_fini(&m->closer);
    contacts_fini(&m->providers);
    *m = (struct kad_message){0};
}

/* ---- out ---------------------------------------------------------------------------------------
 */

/* Appends the peer; false: no address of it is of use there. */
static bool put_contact(struct buf *b, const struct kad_contact *c, const uint8_t *ip)
{
    ProtobufCBinaryData addrs[P2P_KAD_ADDRS];
    Libp2p__KadPeer p = LIBP2P__KAD_PEER__INIT;
    struct reader r = reader_of(buf_bytes(&c->addrs));
    p.has_id = true;
    p.id = frame_data(bytes_of(c->id, PEER_ID_BYTES));
    p.addrs = addrs;
    while (r.n > 0 && p.n_addrs < ARRAY_N(addrs)) {
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        if (kad_addr_suits(ip, addr))
            addrs[p.n_addrs++] = frame_data(addr);
    }
    return p.n_addrs > 0 && frame_pack(&p.base, P2P_KAD_MESSAGE, b) == 0;
}

/* Peers one after the other in @pool, and where each of them ends. */
static size_t put_contacts(struct buf *pool, size_t *ends, const struct kad_contact *const *from,
                           size_t n, const uint8_t *ip)
{
    size_t put = 0;
    for (size_t i = 0; i < n; i++)
        if (put_contact(pool, from[i], ip))
            ends[put++] = pool->n;
    return put;
}

static void list_contacts(const struct buf *pool, const size_t *ends, size_t n,
                          ProtobufCBinaryData *ret)
{
    for (size_t i = 0, at = 0; i < n; at = ends[i++])
        ret[i] = frame_data(bytes_of(pool->p + at, ends[i] - at));
}

int kad_message_put(struct buf *b, const struct kad_said *said,
                    const uint8_t ip[static SCOPE_IP_BYTES])
{
    size_t closer_ends[P2P_KAD_K], provider_ends[P2P_KAD_PROVIDERS];
    ProtobufCBinaryData closer[P2P_KAD_K], providers[P2P_KAD_PROVIDERS];
    struct buf closer_pool CLEANUP(buf_fini) = {0}, provider_pool CLEANUP(buf_fini) = {0};
    struct buf body CLEANUP(buf_fini) = {0};
    Libp2p__KadMessage m = LIBP2P__KAD_MESSAGE__INIT;
    m.has_type = true;
    m.type = said->type;
    m.has_key = said->key.n > 0;
    m.key = frame_data(said->key);
    m.n_closer_peers = put_contacts(&closer_pool, closer_ends, said->closer, said->closer_n, ip);
    m.n_provider_peers =
        put_contacts(&provider_pool, provider_ends, said->providers, said->providers_n, ip);
    list_contacts(&closer_pool, closer_ends, m.n_closer_peers, closer);
    list_contacts(&provider_pool, provider_ends, m.n_provider_peers, providers);
    m.closer_peers = closer;
    m.provider_peers = providers;
    int rc = frame_pack(&m.base, P2P_KAD_MESSAGE, &body);
    if (rc == 0 && (closer_pool.failed || provider_pool.failed))
        rc = -ENOMEM;
    if (rc < 0)
        return rc;
    buf_put_string(b, buf_bytes(&body));
    return buf_status(b);
}
