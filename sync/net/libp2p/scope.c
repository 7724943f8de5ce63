#include "sync/net/libp2p/scope.h"

#include <netinet/in.h>

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

bool scope_is_loopback(const uint8_t ip[SCOPE_IP_BYTES])
{
    const struct in6_addr *a = (const void *)ip;
    return IN6_IS_ADDR_V4MAPPED(a) ? ip[IP4_AT] == 127 : IN6_IS_ADDR_LOOPBACK(a);
}

bool scope_is_private(const uint8_t ip[SCOPE_IP_BYTES])
{
    const struct in6_addr *a = (const void *)ip;
    if (!IN6_IS_ADDR_V4MAPPED(a))
        return scope_is_loopback(ip) || IN6_IS_ADDR_LINKLOCAL(a) || (ip[0] & 0xfe) == 0xfc;
    const uint8_t *p = ip + IP4_AT;
    return p[0] == 127 || p[0] == 10 || (p[0] == 172 && (p[1] & 0xf0) == 16) ||
           (p[0] == 192 && p[1] == 168) || (p[0] == 169 && p[1] == 254);
}

void scope_net(const uint8_t ip[SCOPE_IP_BYTES], uint8_t ret[SCOPE_IP_BYTES])
{
    const struct in6_addr *a = (const void *)ip;
    size_t bits = IN6_IS_ADDR_V4MAPPED(a) ? 8 * IP4_AT + P2P_NET_BITS_IP4 : P2P_NET_BITS_IP6;
    memset(ret, 0, SCOPE_IP_BYTES);
    memcpy(ret, ip, bits / 8);
}
