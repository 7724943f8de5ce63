#include "sync/net/libp2p/scope.h"

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"

enum { IP4_AT = 12, IP4_BYTES = 4 };

void scope_ip(struct bytes addr, uint8_t ret[SCOPE_IP_BYTES])
{
    struct reader r = reader_of(addr);
    struct maddr_part part;
    memset(ret, 0, SCOPE_IP_BYTES);
    if (maddr_next(&r, &part) != 1)
        return;
    if (part.code == MADDR_IP4) {
        ret[10] = ret[11] = 0xff;
        memcpy(ret + IP4_AT, part.value.p, IP4_BYTES);
    } else if (part.code == MADDR_IP6) {
        memcpy(ret, part.value.p, SCOPE_IP_BYTES);
    }
}

/* An IPv4 address. What is looked at may lie anywhere: no struct in6_addr. */
static bool is_mapped(const uint8_t *ip)
{
    static const uint8_t mapped[IP4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

bool scope_is_loopback(const uint8_t ip[SCOPE_IP_BYTES])
{
    static const uint8_t loopback[SCOPE_IP_BYTES] = {[SCOPE_IP_BYTES - 1] = 1};
    return is_mapped(ip) ? ip[IP4_AT] == 127 : memcmp(ip, loopback, sizeof loopback) == 0;
}

bool scope_is_private(const uint8_t ip[SCOPE_IP_BYTES])
{
    if (!is_mapped(ip))
        return scope_is_loopback(ip) || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) ||
               (ip[0] & 0xfe) == 0xfc;
    const uint8_t *p = ip + IP4_AT;
    return p[0] == 127 || p[0] == 10 || (p[0] == 172 && (p[1] & 0xf0) == 16) ||
           (p[0] == 192 && p[1] == 168) || (p[0] == 169 && p[1] == 254);
}

void scope_net(const uint8_t ip[SCOPE_IP_BYTES], uint8_t ret[SCOPE_IP_BYTES])
{
    size_t bits = is_mapped(ip) ? 8 * IP4_AT + P2P_NET_BITS_IP4 : P2P_NET_BITS_IP6;
    uint8_t net[SCOPE_IP_BYTES] = {0};
    memcpy(net, ip, bits / 8);
    memcpy(ret, net, sizeof net); /* which may be @ip */
}
