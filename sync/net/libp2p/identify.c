#include "sync/net/libp2p/identify.h"

#include <assert.h>
#include <errno.h>

#include "proto/frame.h"
#include "proto/libp2p.pb-c.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "sync/net/libp2p/peer_record.h"

/* ---- out ---------------------------------------------------------------------------------------
 */

static void set(protobuf_c_boolean *has, ProtobufCBinaryData *to, struct bytes v)
{
    *has = v.n > 0;
    *to = frame_data(v);
}

int identify_put(struct buf *b, const struct identify_self *self)
{
    uint8_t key[PEER_KEY_BYTES];
    ProtobufCBinaryData addrs[P2P_ADDRS], protocols[P2P_PROTOCOLS];
    struct buf body CLEANUP(buf_fini) = {0};
    Libp2p__Identify m = LIBP2P__IDENTIFY__INIT;
    assert(self->addrs_n <= P2P_ADDRS && self->protocols_n <= P2P_PROTOCOLS);
    peer_key_encode(self->key, key);
    set(&m.has_public_key, &m.public_key, bytes_of(key, sizeof key));
    for (size_t i = 0; i < self->addrs_n; i++)
        addrs[m.n_listen_addrs++] = frame_data(self->addrs[i]);
    m.listen_addrs = addrs;
    for (size_t i = 0; i < self->protocols_n; i++)
        protocols[m.n_protocols++] = frame_data(bytes_str(self->protocols[i]));
    m.protocols = protocols;
    if (self->observed.n > 0)
        set(&m.has_observed_addr, &m.observed_addr, self->observed);
    set(&m.has_protocol_version, &m.protocol_version, bytes_str(self->version));
    set(&m.has_agent_version, &m.agent_version, bytes_str(self->agent));
    set(&m.has_signed_peer_record, &m.signed_peer_record, self->record);
    int rc = frame_pack(&m.base, P2P_IDENTIFY_SENT, &body);
    if (rc < 0)
        return rc;
    buf_put_string(b, buf_bytes(&body));
    return buf_status(b);
}

/* ---- in ----------------------------------------------------------------------------------------
 */

void identify_init(struct identify *i, const uint8_t id[static PEER_ID_BYTES], uint64_t seq)
{
    memset(i, 0, sizeof *i);
    memcpy(i->id, id, sizeof i->id);
    i->seq = seq;
    i->reader.max = P2P_IDENTIFY_MESSAGE;
}

void identify_fini(struct identify *i)
{
    struct buf *const all[] = {&i->addrs.b, &i->protocols.b, &i->observed, &i->version, &i->agent};
    for (size_t at = 0; at < ARRAY_N(all); at++)
        buf_fini(all[at]);
    message_reader_fini(&i->reader);
}

static void add(struct identify_list *l, struct bytes v, size_t max)
{
    if (l->n == max)
        return;
    buf_put_string(&l->b, v);
    l->n++;
}

/* Takes the peer's own id off the end; false: it is no address, or of another peer. */
static bool is_own_addr(const struct identify *i, struct bytes addr, struct bytes *ret)
{
    struct bytes id;
    return maddr_split_peer(addr, ret, &id) == 0 && ret->n > 0 &&
           (id.n == 0 || bytes_equal(id, bytes_of(i->id, sizeof i->id)));
}

static void add_addr(struct identify *i, struct bytes addr)
{
    struct bytes own;
    if (is_own_addr(i, addr, &own))
        add(&i->addrs, own, P2P_ADDRS);
}

static void put_cut(struct buf *to, ProtobufCBinaryData v)
{
    if (v.len == 0)
        return;
    buf_reset(to);
    buf_put(to, v.data, (size_t)min_u64(v.len, P2P_AGENT_BYTES));
}

/* Where this side was seen: an address of the reader's, so its id in it is not the peer's. */
static void take_observed(struct identify *i, struct bytes addr)
{
    struct bytes base, id;
    if (addr.n == 0 || maddr_split_peer(addr, &base, &id) < 0)
        return;
    buf_reset(&i->observed);
    buf_put_bytes(&i->observed, base);
}

/* Its addresses come in place of all others. */
static void take_record(struct identify *i, struct bytes envelope)
{
    struct peer_record r CLEANUP(peer_record_fini) = {0};
    if (envelope.n == 0 || peer_record_open(&r, envelope, i->id) < 0 || r.seq <= i->seq)
        return;
    i->seq = r.seq;
    i->has_record = true;
    buf_reset(&i->addrs.b);
    i->addrs.n = 0;
    for (size_t at = 0; at < r.addrs_n; at++)
        add_addr(i, peer_record_addr(&r, at));
}

static int take_key(struct identify *i, struct bytes key, struct err *err)
{
    uint8_t is[PEER_KEY_PUBLIC_BYTES], ought[PEER_KEY_PUBLIC_BYTES];
    if (key.n == 0)
        return 0;
    if (peer_key_decode(key, is) < 0 || peer_id_key(bytes_of(i->id, sizeof i->id), ought) < 0 ||
        memcmp(is, ought, sizeof is) != 0)
        return err_set(err, -EPROTO, "identify: the peer names another key than its own");
    i->has_key = true;
    return 0;
}

static int status_of(const struct identify *i)
{
    bool failed = i->addrs.b.failed || i->protocols.b.failed || i->observed.failed ||
                  i->version.failed || i->agent.failed;
    return failed ? -ENOMEM : 0;
}

static int on_message(struct identify *i, struct bytes in, struct err *err)
{
    struct message message CLEANUP(message_fini) = {0};
    if (++i->messages > P2P_IDENTIFY_MESSAGES)
        return err_set(err, -EPROTO, "identify: the peer says too much");
    const Libp2p__Identify *m = message_unpack(&message, &libp2p__identify__descriptor, in);
    if (m == NULL)
        return err_set(err, -EBADMSG, "identify: what the peer says is not to be read");
    int rc = take_key(i, frame_bytes(m->public_key), err);
    if (rc < 0)
        return rc;
    for (size_t at = 0; at < m->n_listen_addrs && !i->has_record; at++)
        add_addr(i, frame_bytes(m->listen_addrs[at]));
    for (size_t at = 0; at < m->n_protocols; at++)
        if (m->protocols[at].len > 0 && m->protocols[at].len <= P2P_PROTOCOL_BYTES)
            add(&i->protocols, frame_bytes(m->protocols[at]), P2P_PROTOCOLS);
    take_observed(i, frame_bytes(m->observed_addr));
    put_cut(&i->version, m->protocol_version);
    put_cut(&i->agent, m->agent_version);
    take_record(i, frame_bytes(m->signed_peer_record));
    return status_of(i);
}

int identify_feed(struct identify *i, struct bytes in, struct err *err)
{
    struct bytes message;
    int rc;
    while ((rc = message_next(&i->reader, &in, &message)) == 1) {
        rc = on_message(i, message, err);
        if (rc < 0)
            return rc;
    }
    return rc == -EPROTO ? err_set(err, rc, "identify: the peer says too much") : rc;
}

int identify_end(const struct identify *i, bool push, struct err *err)
{
    if (i->messages == 0 || message_cut(&i->reader))
        return err_set(err, -EPROTO, "identify: the peer breaks off");
    if (!i->has_key && !push)
        return err_set(err, -EPROTO, "identify: the peer names no key");
    return 0;
}
