#include "sync/net/libp2p/mdns_packet.h"

#include <strings.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "sync/net/libp2p/scope.h"

enum {
    NAME_MAX_BYTES = 255,
    LABELS_MAX = 128, /* of a name; a chain of pointers ends there, too */
    LABEL_POINTER = 0xc0,
    TYPE_CNAME = 5,
    TYPE_TXT = 16
};

static const char prefix[] = "dnsaddr=", pair_prefix[] = "persist-pair=";
/* The last labels of a name of the service, each with its length. */
static const char suffix[] = "\x04_p2p\x04_udp\x05local";

/* ---- packets -----------------------------------------------------------------------------------
 */

/* Goes over a name as it stands. */
static void skip_name(struct reader *r)
{
    for (int i = 0; i < LABELS_MAX && !r->failed; i++) {
        uint8_t n = reader_u8(r);
        if (n == 0)
            return;
        if ((n & LABEL_POINTER) == LABEL_POINTER) {
            (void)reader_u8(r);
            return;
        }
        if ((n & LABEL_POINTER) != 0)
            break;
        (void)reader_bytes(r, n);
    }
    r->failed = true;
}

/* The name at @at in labels, without pointers and end. Returns its length, 0 when it is none. */
static size_t expand_name(struct bytes packet, size_t at, uint8_t ret[NAME_MAX_BYTES])
{
    size_t n = 0;
    for (int i = 0; i < LABELS_MAX && at < packet.n; i++) {
        size_t label = packet.p[at];
        if (label == 0)
            return n;
        if ((label & LABEL_POINTER) == LABEL_POINTER) {
            if (at + 1 >= packet.n)
                return 0;
            at = (label & ~(size_t)LABEL_POINTER) << 8 | packet.p[at + 1];
        } else {
            if (label > packet.n - at - 1 || label + 1 > NAME_MAX_BYTES - n)
                return 0;
            memcpy(ret + n, packet.p + at, label + 1);
            n += label + 1;
            at += label + 1;
        }
    }
    return 0;
}

/* Reads a name; whether it is that of the service, or ends with it. */
static bool read_name(struct bytes packet, struct reader *r)
{
    uint8_t name[NAME_MAX_BYTES];
    size_t n = expand_name(packet, packet.n - r->n, name), last = sizeof suffix - 1;
    skip_name(r);
    return n >= last && strncasecmp((const char *)name + n - last, suffix, last) == 0;
}

static bool question_read(struct bytes packet, struct reader *r)
{
    bool ours = read_name(packet, r);
    (void)reader_u32(r); /* type, class */
    return ours;
}

/* *ret_bad: the library is not to see it. */
static bool record_read(struct bytes packet, struct reader *r, bool *ret_bad)
{
    bool ours = read_name(packet, r);
    uint16_t type = reader_u16(r);
    (void)reader_u16(r); /* class */
    (void)reader_u32(r); /* time to live */
    struct bytes data = reader_bytes(r, reader_u16(r));
    *ret_bad = *ret_bad || type == TYPE_CNAME || (type == TYPE_TXT && data.n > P2P_MDNS_TXT);
    return ours;
}

bool mdns_packet_good(struct bytes packet)
{
    struct reader r = reader_of(packet);
    bool ours = false, bad = packet.n > P2P_MDNS_PACKET;
    (void)reader_u32(&r); /* id, flags */
    uint16_t questions = reader_u16(&r);
    uint32_t records = reader_u16(&r);
    records += reader_u16(&r);
    records += reader_u16(&r);
    for (uint16_t i = 0; i < questions && !r.failed; i++)
        ours |= question_read(packet, &r);
    for (uint32_t i = 0; i < records && !r.failed; i++)
        ours |= record_read(packet, &r, &bad);
    return ours && !bad && !r.failed;
}

/* ---- strings -----------------------------------------------------------------------------------
 */

/* Whether it is an address on a private network. */
static bool is_near(struct bytes addr, bool loopback)
{
    struct maddr_dial d;
    uint8_t ip[SCOPE_IP_BYTES];
    if (maddr_dial(addr, &d) < 0 || (d.host_kind != MADDR_IP4 && d.host_kind != MADDR_IP6))
        return false;
    scope_ip(addr, ip);
    return scope_is_private(ip) && (loopback || !scope_is_loopback(ip));
}

bool mdns_string_read(struct bytes string, bool loopback, uint8_t ret_id[PEER_ID_BYTES],
                      struct buf *ret_addr)
{
    struct buf addr CLEANUP(buf_fini) = {0};
    struct bytes base, id;
    uint8_t key[PEER_ID_KEY_BYTES];
    size_t head = sizeof prefix - 1;
    if (string.n <= head || string.n > P2P_MDNS_STRING || memcmp(string.p, prefix, head) != 0)
        return false;
    if (maddr_parse(bytes_of(string.p + head, string.n - head), &addr, NULL) < 0 ||
        maddr_split_peer(buf_bytes(&addr), &base, &id) < 0 || peer_id_key(id, key) < 0 ||
        !is_near(base, loopback))
        return false;
    memcpy(ret_id, id.p, PEER_ID_BYTES);
    buf_put_string(ret_addr, base);
    return true;
}

bool mdns_string_write(struct bytes addr, const uint8_t id[PEER_ID_BYTES], struct buf *ret)
{
    char text[PEER_ID_TEXT_SIZE];
    size_t at = ret->n;
    if (!is_near(addr, true))
        return false;
    buf_put_bytes(ret, bytes_str(prefix));
    bool good = maddr_text(addr, ret) == 0;
    buf_put_bytes(ret, bytes_str("/p2p/"));
    buf_put_bytes(ret, bytes_str(peer_id_text(id, text)));
    good = good && buf_status(ret) == 0 && ret->n - at <= P2P_MDNS_STRING;
    if (!good)
        ret->n = at;
    return good;
}

bool mdns_plate_read(struct bytes string, char ret[static MDNS_PLATE_SIZE])
{
    size_t head = sizeof pair_prefix - 1;
    if (string.n != head + MDNS_PLATE_DIGITS || memcmp(string.p, pair_prefix, head) != 0)
        return false;
    for (size_t i = 0; i < MDNS_PLATE_DIGITS; i++) {
        ret[i] = (char)string.p[head + i];
        if (ret[i] < '0' || ret[i] > '9')
            return false;
    }
    ret[MDNS_PLATE_DIGITS] = '\0';
    return true;
}

void mdns_plate_write(const char *plate, struct buf *ret)
{
    buf_put_bytes(ret, bytes_str(pair_prefix));
    buf_put_bytes(ret, bytes_str(plate));
}
