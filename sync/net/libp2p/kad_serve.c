/*
 * What others ask: who is near a place, who provides a key; and that they provide one.
 */
#include <errno.h>
#include <stdlib.h>

#include "sync/net/libp2p/kad_priv.h"

/* ---- answers -----------------------------------------------------------------------------------
 */

/* One that asks. */
struct asker {
    struct kad *k;
    const uint8_t *id;
    uint8_t ip[SCOPE_IP_BYTES];
};

/* The nearest to the key but for who asks; this peer itself when it is what is asked for. */
static void find_closer(const struct asker *a, struct kad_said *said,
                        const struct kad_contact *self)
{
    const struct kad_contact *near[P2P_KAD_K];
    struct kad_place target = kad_place_of(said->key);
    size_t n = kad_table_nearest(&a->k->table, &target, near);
    if (bytes_equal(said->key, bytes_of(self->id, PEER_ID_BYTES)))
        said->closer[said->closer_n++] = self;
    for (size_t i = 0; i < n && said->closer_n < P2P_KAD_K; i++)
        if (memcmp(near[i]->id, a->id, PEER_ID_BYTES) != 0)
            said->closer[said->closer_n++] = near[i];
}

static bool is_own(const struct kad *k, struct bytes key)
{
    uint8_t own[KAD_MULTIHASH_BYTES];
    for (size_t i = 0; i < k->own_n; i++) {
        kad_multihash(k->own[i].digest, own);
        if (bytes_equal(key, bytes_of(own, sizeof own)))
            return true;
    }
    return false;
}

static void find_providers(const struct asker *a, struct kad_said *said,
                           const struct kad_contact *self)
{
    said->providers_n = kad_store_find(&a->k->store, said->key, net_now_ms(), said->providers);
    if (!is_own(a->k, said->key))
        return;
    said->providers_n -= said->providers_n == P2P_KAD_PROVIDERS;
    said->providers[said->providers_n++] = self;
}

static int put_answer(const struct asker *a, const struct kad_message *m, struct buf *ret)
{
    struct kad_contact self CLEANUP(kad_contact_fini) = {0};
    struct kad_said said = {.type = m->type, .key = bytes_of(m->key, m->key_n)};
    int rc = kad_self(a->k, a->ip, &self);
    if (rc < 0)
        return rc;
    if (m->type != KAD_PING)
        find_closer(a, &said, &self);
    if (m->type == KAD_GET_PROVIDERS)
        find_providers(a, &said, &self);
    return kad_message_put(ret, &said, a->ip);
}

/* What it says of others does not count. */
static int take_provider(const struct asker *a, const struct kad_message *m)
{
    if (!kad_multihash_valid(bytes_of(m->key, m->key_n)))
        return -EPROTO;
    for (size_t i = 0; i < m->providers.n; i++) {
        const struct kad_contact *c = &m->providers.v[i];
        if (c->addrs_n > 0 && memcmp(c->id, a->id, PEER_ID_BYTES) == 0)
            return kad_store_put(&a->k->store, m->key, c, a->ip, net_now_ms());
    }
    return 0;
}

static int answer(const struct asker *a, const struct kad_message *m, struct buf *ret)
{
    if (m->key_n == 0 && m->type != KAD_PING)
        return -EPROTO;
    switch (m->type) {
    case KAD_FIND_NODE:
    case KAD_GET_PROVIDERS:
    case KAD_PING:
        return put_answer(a, m, ret);
    case KAD_ADD_PROVIDER:
        return take_provider(a, m);
    case KAD_PUT_VALUE:
    case KAD_GET_VALUE:
        break;
    }
    return -EPERM;
}

/* ---- streams -----------------------------------------------------------------------------------
 */

void kad_served_free(struct kad_served *v)
{
    struct conn_stream *s = TAKE_PTR(v->s);
    ring_remove(&v->all);
    message_reader_fini(&v->reader);
    free(v);
    if (s != NULL)
        conn_reset(s);
}

static bool on_opened(struct conn_stream *s, void *user)
{
    struct kad *k = user;
    const struct p2p_peer *p = p2p_of(s);
    struct kad_served *v = p == NULL ? NULL : calloc(1, sizeof *v);
    if (v == NULL)
        return false;
    *v = (struct kad_served){.kad = k, .s = s, .reader = {.max = P2P_KAD_MESSAGE}};
    ring_init(&v->all);
    ring_add(&k->served, &v->all);
    conn_set_user(s, v);
    kad_note_conn(k, p2p_peer_id(p), false);
    return true;
}

static int serve(struct kad_served *v, struct bytes in)
{
    struct kad_message m CLEANUP(kad_message_fini) = {0};
    struct buf out CLEANUP(buf_fini) = {0};
    const struct p2p_peer *p = p2p_of(v->s);
    if (p == NULL)
        return -ENOTCONN;
    struct asker a = {.k = v->kad, .id = p2p_peer_id(p)};
    scope_ip(p2p_peer_address(p), a.ip);
    int rc = kad_message_read(&m, in, a.ip);
    if (rc == 0)
        rc = answer(&a, &m, &out);
    if (rc < 0 || out.n == 0)
        return rc;
    /* Who does not read what it asked for is not waited for. */
    return conn_write(v->s, buf_bytes(&out)) == (ssize_t)out.n ? 0 : -ENOBUFS;
}

static void on_data(struct conn_stream *s, struct bytes data, void *user)
{
    struct kad_served *v = user;
    struct bytes in;
    int rc;
    conn_consumed(s, data.n);
    while ((rc = message_next(&v->reader, &data, &in)) == 1) {
        rc = serve(v, in);
        if (rc < 0)
            break;
    }
    if (rc < 0)
        kad_served_free(v);
}

static void on_closed(struct conn_stream *s, int rc, void *user)
{
    struct kad_served *v = user;
    (void)s, (void)rc;
    v->s = NULL;
    kad_served_free(v);
}

const struct conn_handler kad_server = {.opened = on_opened, .data = on_data, .closed = on_closed};
