/* What a peer says of itself, and records that it signed: within the limits, whatever the pieces.
 */
#include <sodium.h>

#include "sync/net/libp2p/identify.h"
#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "sync/net/libp2p/peer_record.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The peer of the seeds. */
static const uint8_t *id_of_peer(void)
{
    static uint8_t id[PEER_ID_BYTES];
    static bool made;
    uint8_t seed[32], public[PEER_KEY_PUBLIC_BYTES], secret[PEER_KEY_SECRET_BYTES];
    if (made)
        return id;
    made = true;
    memset(seed, 1, sizeof seed);
    crypto_sign_seed_keypair(public, secret, seed);
    peer_id_of_key(public, id);
    return id;
}

static int feed(struct identify *i, struct bytes in, size_t step)
{
    int rc = 0;
    identify_init(i, id_of_peer(), 0);
    while (rc == 0 && in.n > 0) {
        struct bytes piece = bytes_of(in.p, (size_t)min_u64(step, in.n));
        in = bytes_of(in.p + piece.n, in.n - piece.n);
        rc = identify_feed(i, piece, NULL);
    }
    return rc < 0 ? rc : identify_end(i, true, NULL);
}

static void check_list(const struct identify_list *l, size_t n_max, size_t max, bool addrs)
{
    struct reader r = reader_of(buf_bytes(&l->b));
    size_t n = 0;
    for (; r.n > 0; n++) {
        struct bytes v = reader_string(&r, max);
        must(!r.failed && (!addrs || maddr_check(v) == 0));
    }
    must(n == l->n && n <= n_max);
}

static void check_record(struct bytes in)
{
    struct peer_record r;
    if (peer_record_open(&r, in, id_of_peer()) < 0)
        return;
    for (size_t i = 0; i < r.addrs_n; i++)
        must(peer_record_addr(&r, i).n <= in.n);
    peer_record_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct identify one, whole;
    struct bytes in = bytes_of(data, size);
    if (sodium_init() < 0)
        return 0;
    check_record(in);
    int rc = feed(&one, in, 1);
    must(feed(&whole, in, size + 1) == rc);
    if (rc == 0) {
        must(bytes_equal(buf_bytes(&one.addrs.b), buf_bytes(&whole.addrs.b)));
        must(bytes_equal(buf_bytes(&one.protocols.b), buf_bytes(&whole.protocols.b)));
        must(one.seq == whole.seq && one.has_key == whole.has_key);
        must(one.agent.n <= P2P_AGENT_BYTES && one.version.n <= P2P_AGENT_BYTES);
        must(one.observed.n == 0 || maddr_check(buf_bytes(&one.observed)) == 0);
        check_list(&one.addrs, P2P_ADDRS, P2P_ADDR_BYTES, true);
        check_list(&one.protocols, P2P_PROTOCOLS, P2P_PROTOCOL_BYTES, false);
    }
    identify_fini(&one);
    identify_fini(&whole);
    return 0;
}
