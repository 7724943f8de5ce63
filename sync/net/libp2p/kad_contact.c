#include "sync/net/libp2p/kad_contact.h"

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"

enum { IP4_AT = 12 };

/* That of a network behind one's own provider, too: it leads to others' devices there. */
static bool is_inner(const uint8_t *ip)
{
    static const uint8_t mapped[IP4_AT] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const uint8_t *p = ip + IP4_AT;
    bool shared = memcmp(ip, mapped, sizeof mapped) == 0 && p[0] == 100 && (p[1] & 0xc0) == 64;
    return shared || scope_is_private(ip);
}

/* What is dialed: all of it, or what comes before a /p2p-circuit at its end. */
static struct bytes dialed_part(struct bytes addr)
{
    struct reader r = reader_of(addr);
    struct maddr_part part;
    size_t before = 0;
    while (maddr_next(&r, &part) == 1) {
        if (part.code == MADDR_CIRCUIT && r.n == 0)
            return bytes_of(addr.p, before);
        before = addr.n - r.n;
    }
    return addr;
}

/* Whether it begins with the IP address of one host. */
static bool has_host(struct bytes addr)
{
    struct maddr_dial d;
    return maddr_check(addr) == 0 && maddr_dial(dialed_part(addr), &d) == 0 &&
           (d.host_kind == MADDR_IP4 || d.host_kind == MADDR_IP6);
}

bool kad_addr_suits(const uint8_t ip[static SCOPE_IP_BYTES], struct bytes addr)
{
    uint8_t there[SCOPE_IP_BYTES];
    if (!has_host(addr))
        return false;
    scope_ip(addr, there);
    if (scope_is_loopback(there))
        return scope_is_loopback(ip);
    return !is_inner(there) || is_inner(ip);
}

static bool has(const struct kad_contact *c, struct bytes addr)
{
    struct reader r = reader_of(buf_bytes(&c->addrs));
    while (r.n > 0)
        if (bytes_equal(reader_string(&r, P2P_ADDR_BYTES), addr))
            return true;
    return false;
}

void kad_contact_add(struct kad_contact *c, const uint8_t ip[static SCOPE_IP_BYTES],
                     struct bytes addr)
{
    struct bytes base, id;
    if (maddr_split_peer(addr, &base, &id) < 0 ||
        (id.n > 0 && !bytes_equal(id, bytes_of(c->id, PEER_ID_BYTES))) ||
        !kad_addr_suits(ip, base) || has(c, base))
        return;
    /* 2: the most that the length of such an address has. */
    if (c->addrs_n == P2P_KAD_ADDRS || c->addrs.n + base.n + 2 > P2P_KAD_ADDRS_BYTES)
        return;
    buf_put_string(&c->addrs, base);
    c->addrs_n++;
}

void kad_contact_add_all(struct kad_contact *c, const uint8_t ip[static SCOPE_IP_BYTES],
                         struct bytes addrs)
{
    struct reader r = reader_of(addrs);
    while (r.n > 0 && !r.failed)
        kad_contact_add(c, ip, reader_string(&r, P2P_ADDR_BYTES));
}

int kad_contact_copy(struct kad_contact *to, const struct kad_contact *from)
{
    struct buf addrs = {0};
    buf_put_bytes(&addrs, buf_bytes(&from->addrs));
    int rc = buf_status(&addrs);
    if (rc < 0) {
        buf_fini(&addrs);
        return rc;
    }
    memcpy(to->id, from->id, sizeof to->id);
    to->addrs = addrs;
    to->addrs_n = from->addrs_n;
    return 0;
}

void kad_contact_fini(struct kad_contact *c)
{
    if (c != NULL)
        buf_fini(&c->addrs);
}
