/* Addresses of others, bytes and texts: what is accepted has one text and one binary form. */
#include "proto/peer_id.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(struct bytes part, struct bytes whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_dial(struct bytes addr)
{
    struct maddr_dial d;
    uint8_t key[PEER_ID_KEY_BYTES];
    if (maddr_dial(addr, &d) < 0)
        return;
    must(d.port > 0 && is_within(d.host, addr) && is_within(d.sni, addr) && is_within(d.id, addr));
    must(d.host.n > 0 && (!d.tls || d.ws) && (d.sni.n == 0 || d.tls));
    must(d.id.n == 0 || peer_id_key(d.id, key) == 0);
}

static void check_bytes(struct bytes addr)
{
    struct bytes base, id;
    struct buf text = {0}, again = {0};
    if (maddr_check(addr) < 0) {
        must(maddr_split_peer(addr, &base, &id) < 0 && maddr_text(addr, &text) < 0);
        return;
    }
    must(addr.n > 0 && addr.n <= P2P_ADDR_BYTES);
    must(maddr_split_peer(addr, &base, &id) == 0 && base.p == addr.p && base.n <= addr.n);
    must(id.n == 0 || peer_id_any_valid(id));
    must(maddr_text(addr, &text) == 0);
    must(text.n > P2P_ADDR_TEXT || maddr_parse(buf_bytes(&text), &again, NULL) == 0);
    must(again.n == 0 || bytes_equal(buf_bytes(&again), addr));
    check_dial(addr);
    buf_fini(&text);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b = {0};
    struct err err;
    check_bytes(bytes_of(data, size));
    if (maddr_parse(bytes_of(data, size), &b, &err) == 0) {
        must(maddr_check(buf_bytes(&b)) == 0);
        check_bytes(buf_bytes(&b));
    } else {
        must(b.n == 0);
    }
    buf_fini(&b);
    return 0;
}
