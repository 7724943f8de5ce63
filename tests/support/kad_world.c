#include "tests/support/kad_world.h"

#include <sodium.h>

#include "sync/net/libp2p/multiaddr.h"

enum { IP4_AT = 12, PORT = 4001 };

void kad_world_id(uint64_t n, uint8_t ret[PEER_ID_BYTES])
{
    uint8_t key[PEER_ID_KEY_BYTES], number[8];
    put_u64(number, n);
    crypto_hash_sha256(key, number, sizeof number);
    peer_id_of_key(key, ret);
}

void kad_world_ip(uint64_t n, bool public, uint8_t ret[SCOPE_IP_BYTES])
{
    memset(ret, 0, SCOPE_IP_BYTES);
    ret[10] = ret[11] = 0xff;
    ret[IP4_AT] = public ? (uint8_t)(11 + n / 65536 % 80) : 10;
    ret[IP4_AT + 1] = (uint8_t)(n >> 8);
    ret[IP4_AT + 2] = (uint8_t)n;
    ret[IP4_AT + 3] = 1;
}

void kad_world_address(const uint8_t ip[SCOPE_IP_BYTES], uint16_t port, struct buf *ret)
{
    const uint8_t number[] = {(uint8_t)(port >> 8), (uint8_t)port};
    maddr_put(ret, MADDR_IP4, bytes_of(ip + IP4_AT, 4));
    maddr_put(ret, MADDR_TCP, bytes_of(number, sizeof number));
}

struct kad_contact kad_world_contact(uint64_t n, bool public)
{
    struct kad_contact c = {0};
    struct buf addr CLEANUP(buf_fini) = {0};
    uint8_t ip[SCOPE_IP_BYTES];
    kad_world_id(n, c.id);
    kad_world_ip(n, public, ip);
    kad_world_address(ip, PORT, &addr);
    kad_contact_add(&c, ip, buf_bytes(&addr));
    return c;
}
