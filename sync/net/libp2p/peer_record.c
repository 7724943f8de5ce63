#include "sync/net/libp2p/peer_record.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "proto/frame.h"
#include "proto/libp2p.pb-c.h"
#include "sync/net/libp2p/limits.h"

static const char domain[] = "libp2p-peer-record";
static const uint8_t payload_type[] = {0x03, 0x01};

/* What is signed. 0 or -ENOMEM. */
static int put_signed(struct buf *b, struct bytes payload)
{
    buf_put_string(b, bytes_str(domain));
    buf_put_string(b, bytes_of(payload_type, sizeof payload_type));
    buf_put_string(b, payload);
    return buf_status(b);
}

static int put_payload(struct buf *b, const uint8_t *public, const struct bytes *addrs,
                       size_t addrs_n, uint64_t seq)
{
    uint8_t id[PEER_ID_BYTES];
    Libp2p__AddressInfo info[P2P_ADDRS], *list[P2P_ADDRS];
    Libp2p__PeerRecord r = LIBP2P__PEER_RECORD__INIT;
    assert(addrs_n <= P2P_ADDRS);
    peer_id_of_key(public, id);
    r.has_peer_id = r.has_seq = true;
    r.peer_id = frame_data(bytes_of(id, sizeof id));
    r.seq = seq;
    for (size_t i = 0; i < addrs_n; i++) {
        info[i] = (Libp2p__AddressInfo)LIBP2P__ADDRESS_INFO__INIT;
        info[i].has_multiaddr = true;
        info[i].multiaddr = frame_data(addrs[i]);
        list[i] = &info[i];
    }
    r.addresses = list;
    r.n_addresses = addrs_n;
    return frame_pack(&r.base, P2P_IDENTIFY_SENT, b);
}

int peer_record_put(struct buf *b, const uint8_t identity[static PEER_KEY_SECRET_BYTES],
                    const struct bytes *addrs, size_t addrs_n, uint64_t seq)
{
    const uint8_t *public = identity + PEER_KEY_SECRET_BYTES - PEER_KEY_PUBLIC_BYTES;
    uint8_t key[PEER_KEY_BYTES], signature[crypto_sign_BYTES];
    struct buf payload CLEANUP(buf_fini) = {0}, text CLEANUP(buf_fini) = {0};
    Libp2p__Envelope e = LIBP2P__ENVELOPE__INIT;
    int rc = put_payload(&payload, public, addrs, addrs_n, seq);
    if (rc == 0)
        rc = put_signed(&text, buf_bytes(&payload));
    if (rc < 0)
        return rc;
    crypto_sign_detached(signature, NULL, text.p, text.n, identity);
    peer_key_encode(public, key);
    e.has_public_key = e.has_payload_type = e.has_payload = e.has_signature = true;
    e.public_key = frame_data(bytes_of(key, sizeof key));
    e.payload_type = frame_data(bytes_of(payload_type, sizeof payload_type));
    e.payload = frame_data(buf_bytes(&payload));
    e.signature = frame_data(bytes_of(signature, sizeof signature));
    return frame_pack(&e.base, P2P_IDENTIFY_SENT, b);
}

/* Whether it is of the kind and of the peer, and signed. */
static bool envelope_valid(const Libp2p__Envelope *e, const uint8_t *id)
{
    uint8_t key[PEER_KEY_PUBLIC_BYTES], ought[PEER_KEY_PUBLIC_BYTES];
    struct buf text CLEANUP(buf_fini) = {0};
    return bytes_equal(frame_bytes(e->payload_type), bytes_of(payload_type, sizeof payload_type)) &&
           peer_key_decode(frame_bytes(e->public_key), key) == 0 &&
           peer_id_key(bytes_of(id, PEER_ID_BYTES), ought) == 0 &&
           memcmp(key, ought, sizeof key) == 0 && e->signature.len == crypto_sign_BYTES &&
           put_signed(&text, frame_bytes(e->payload)) == 0 &&
           crypto_sign_verify_detached(e->signature.data, text.p, text.n, key) == 0;
}

int peer_record_open(struct peer_record *r, struct bytes envelope,
                     const uint8_t id[static PEER_ID_BYTES])
{
    struct message outer CLEANUP(message_fini) = {0};
    *r = (struct peer_record){0};
    const Libp2p__Envelope *e = message_unpack(&outer, &libp2p__envelope__descriptor, envelope);
    if (e == NULL || !envelope_valid(e, id))
        return -EBADMSG;
    const Libp2p__PeerRecord *p =
        message_unpack(&r->message, &libp2p__peer_record__descriptor, frame_bytes(e->payload));
    if (p == NULL || !bytes_equal(frame_bytes(p->peer_id), bytes_of(id, PEER_ID_BYTES))) {
        peer_record_fini(r);
        return -EBADMSG;
    }
    r->seq = p->seq;
    r->addrs_n = p->n_addresses;
    r->inner = p;
    return 0;
}

struct bytes peer_record_addr(const struct peer_record *r, size_t i)
{
    const Libp2p__PeerRecord *p = r->inner;
    return frame_bytes(p->addresses[i]->multiaddr);
}

void peer_record_fini(struct peer_record *r)
{
    if (r == NULL)
        return;
    message_fini(&r->message);
    *r = (struct peer_record){0};
}
