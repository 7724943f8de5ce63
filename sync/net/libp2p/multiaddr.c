#include "sync/net/libp2p/multiaddr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "proto/base/escape.h"
#include "proto/peer_id.h"
#include "sync/net/libp2p/limits.h"

enum form { FORM_NONE, FORM_IP4, FORM_IP6, FORM_PORT, FORM_NAME, FORM_PATH, FORM_PEER };

enum { IP4_BYTES = 4, IP6_BYTES = 16, PORT_BYTES = 2, PORT_MAX = 65535, TEXT_MAX = 64 };

static const struct kind {
    enum maddr_code code;
    enum form form;
    const char *name;
} kinds[] = {
    {MADDR_IP4, FORM_IP4, "ip4"},
    {MADDR_TCP, FORM_PORT, "tcp"},
    {MADDR_IP6, FORM_IP6, "ip6"},
    {MADDR_IP6ZONE, FORM_NAME, "ip6zone"},
    {MADDR_DNS, FORM_NAME, "dns"},
    {MADDR_DNS4, FORM_NAME, "dns4"},
    {MADDR_DNS6, FORM_NAME, "dns6"},
    {MADDR_DNSADDR, FORM_NAME, "dnsaddr"},
    {MADDR_UDP, FORM_PORT, "udp"},
    {MADDR_CIRCUIT, FORM_NONE, "p2p-circuit"},
    {MADDR_P2P, FORM_PEER, "p2p"},
    {MADDR_P2P, FORM_PEER, "ipfs"}, /* the old name: read, not written */
    {MADDR_TLS, FORM_NONE, "tls"},
    {MADDR_SNI, FORM_NAME, "sni"},
    {MADDR_QUIC_V1, FORM_NONE, "quic-v1"},
    {MADDR_WS, FORM_NONE, "ws"},
    {MADDR_WSS, FORM_NONE, "wss"},
    {MADDR_HTTP_PATH, FORM_PATH, "http-path"},
};

static const struct kind *kind_of(uint64_t code)
{
    for (size_t i = 0; i < ARRAY_N(kinds); i++)
        if ((uint64_t)kinds[i].code == code)
            return &kinds[i];
    return NULL;
}

/* The same of a code that was read, or is this program's own. */
static const struct kind *kind_known(enum maddr_code code)
{
    const struct kind *kind = kind_of((uint64_t)code);
    assert(kind != NULL);
    return kind;
}

static const struct kind *kind_named(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_N(kinds); i++)
        if (bytes_equal(name, bytes_str(kinds[i].name)))
            return &kinds[i];
    return NULL;
}

/* ---- bytes -------------------------------------------------------------------------------------
 */

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What may stand in a name that is looked up, and in the text of a path as it is. */
static bool is_plain(uint8_t c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_';
}

static bool is_name(struct bytes v)
{
    bool ok = v.n > 0 && v.n <= P2P_ADDR_NAME;
    for (size_t i = 0; ok && i < v.n; i++)
        ok = is_plain(v.p[i]);
    return ok;
}

/* The length of a value; SIZE_MAX: it is written before it. */
static size_t size_of(enum form form)
{
    switch (form) {
    case FORM_NONE:
        return 0;
    case FORM_IP4:
        return IP4_BYTES;
    case FORM_IP6:
        return IP6_BYTES;
    case FORM_PORT:
        return PORT_BYTES;
    case FORM_NAME:
    case FORM_PATH:
    case FORM_PEER:
        break;
    }
    return SIZE_MAX;
}

static bool value_valid(enum form form, struct bytes v)
{
    if (form == FORM_NAME)
        return is_name(v);
    if (form == FORM_PEER)
        return peer_id_any_valid(v);
    return form == FORM_PATH ? v.n > 0 : v.n == size_of(form);
}

int maddr_next(struct reader *r, struct maddr_part *ret)
{
    if (r->n == 0)
        return 0;
    uint64_t code = reader_varint(r);
    const struct kind *kind = kind_of(code);
    if (r->failed || kind == NULL)
        return r->failed ? -EBADMSG : -ENOTSUP;
    size_t n = size_of(kind->form);
    ret->code = kind->code;
    ret->value = n == SIZE_MAX ? reader_string(r, P2P_ADDR_BYTES) : reader_bytes(r, n);
    return !r->failed && value_valid(kind->form, ret->value) ? 1 : -EBADMSG;
}

int maddr_check(struct bytes addr)
{
    struct reader r = reader_of(addr);
    struct maddr_part part;
    int rc;
    if (addr.n == 0 || addr.n > P2P_ADDR_BYTES)
        return -EBADMSG;
    while ((rc = maddr_next(&r, &part)) == 1)
        ;
    return rc;
}

void maddr_put(struct buf *b, enum maddr_code code, struct bytes value)
{
    buf_put_varint(b, (uint64_t)code);
    if (size_of(kind_known(code)->form) == SIZE_MAX)
        buf_put_varint(b, value.n);
    buf_put_bytes(b, value);
}

/* ---- from text ---------------------------------------------------------------------------------
 */

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-encoded. */
static int parse_path(struct bytes text, struct buf *ret)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.n ? hex_of(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_of(text.p[i + 2]) : -1;
            if (low < 0)
                return -EBADMSG;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        buf_put_u8(ret, c);
    }
    return 0;
}

static int parse_port(struct bytes text, struct buf *ret)
{
    unsigned port = 0;
    if (text.n == 0 || text.n > 5 || (text.n > 1 && text.p[0] == '0'))
        return -EBADMSG;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -EBADMSG;
        port = port * 10 + (text.p[i] - '0');
    }
    buf_put_u16(ret, (uint16_t)port);
    return port <= PORT_MAX ? 0 : -EBADMSG;
}

static int parse_ip(int family, struct bytes text, struct buf *ret)
{
    char s[INET6_ADDRSTRLEN];
    uint8_t v[IP6_BYTES];
    if (text.n >= sizeof s || memchr(text.p, '\0', text.n) != NULL)
        return -EBADMSG;
    memcpy(s, text.p, text.n);
    s[text.n] = '\0';
    if (inet_pton(family, s, v) != 1)
        return -EBADMSG;
    buf_put(ret, v, family == AF_INET ? IP4_BYTES : IP6_BYTES);
    return 0;
}

/* Appends the value that @text says. */
static int parse_value(enum form form, struct bytes text, struct buf *ret)
{
    uint8_t id[PEER_ID_ANY_MAX];
    int n;
    switch (form) {
    case FORM_IP4:
        return parse_ip(AF_INET, text, ret);
    case FORM_IP6:
        return parse_ip(AF_INET6, text, ret);
    case FORM_PORT:
        return parse_port(text, ret);
    case FORM_PATH:
        return parse_path(text, ret);
    case FORM_PEER:
        n = peer_id_any_parse(text, id);
        buf_put(ret, id, n < 0 ? 0 : (size_t)n);
        return n < 0 ? n : 0;
    case FORM_NAME:
    case FORM_NONE:
        break;
    }
    buf_put_bytes(ret, text);
    return 0;
}

/* Takes "/what" off the front of @v; @v must not be empty. */
static int take(struct bytes *v, struct bytes *ret)
{
    if (v->n == 0 || v->p[0] != '/')
        return -EBADMSG;
    const uint8_t *end = memchr(v->p + 1, '/', v->n - 1);
    size_t n = end != NULL ? (size_t)(end - v->p) : v->n;
    *ret = bytes_of(v->p + 1, n - 1);
    *v = bytes_of(v->p + n, v->n - n);
    return 0;
}

static int parse_part(struct bytes *text, struct buf *ret, struct err *err)
{
    char shown[TEXT_MAX];
    struct bytes name, value = {0};
    struct buf v CLEANUP(buf_fini) = {0};
    if (take(text, &name) < 0)
        return err_set(err, -EBADMSG, "address: every part begins with '/'");
    const struct kind *kind = kind_named(name);
    if (kind == NULL)
        return err_set(err, -ENOTSUP, "address: '%s' is not known",
                       escape_to(shown, sizeof shown, name));
    if ((kind->form != FORM_NONE && take(text, &value) < 0) ||
        parse_value(kind->form, value, &v) < 0 || !value_valid(kind->form, buf_bytes(&v)))
        return err_set(err, -EBADMSG, "address: '%s' is no value of '%s'",
                       escape_to(shown, sizeof shown, value), kind->name);
    maddr_put(ret, kind->code, buf_bytes(&v));
    return buf_status(&v) < 0 ? -ENOMEM : buf_status(ret);
}

int maddr_parse(struct bytes text, struct buf *ret, struct err *err)
{
    size_t at = ret->n;
    int rc = 0;
    if (text.n == 0 || text.n > P2P_ADDR_TEXT)
        return err_set(err, -EBADMSG, "address: %s",
                       text.n == 0 ? "it is empty" : "it is too long");
    while (rc == 0 && text.n > 0)
        rc = parse_part(&text, ret, err);
    if (rc == 0 && ret->n - at > P2P_ADDR_BYTES)
        rc = err_set(err, -EBADMSG, "address: it is too long");
    if (rc < 0)
        ret->n = at;
    return rc;
}

/* ---- to text -----------------------------------------------------------------------------------
 */

static void put_path(struct buf *b, struct bytes v)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < v.n; i++) {
        const char escaped[] = {'%', hex[v.p[i] >> 4], hex[v.p[i] & 15]};
        if (is_plain(v.p[i]) || v.p[i] == '~')
            buf_put_u8(b, v.p[i]);
        else
            buf_put(b, escaped, sizeof escaped);
    }
}

static void put_value(struct buf *b, enum form form, struct bytes v)
{
    char text[PEER_ID_ANY_TEXT_SIZE];
    _Static_assert(sizeof text >= (size_t)INET6_ADDRSTRLEN, "room for either");
    switch (form) {
    case FORM_IP4:
    case FORM_IP6:
        inet_ntop(form == FORM_IP4 ? AF_INET : AF_INET6, v.p, text, sizeof text);
        buf_put_bytes(b, bytes_str(text));
        break;
    case FORM_PORT:
        snprintf(text, sizeof text, "%u", (unsigned)v.p[0] << 8 | v.p[1]);
        buf_put_bytes(b, bytes_str(text));
        break;
    case FORM_PATH:
        put_path(b, v);
        break;
    case FORM_PEER:
        buf_put_bytes(b, bytes_str(peer_id_any_text(v, text)));
        break;
    case FORM_NAME:
    case FORM_NONE:
        buf_put_bytes(b, v);
        break;
    }
}

int maddr_text(struct bytes addr, struct buf *ret)
{
    struct reader r = reader_of(addr);
    struct maddr_part part;
    int rc = maddr_check(addr);
    while (rc >= 0 && (rc = maddr_next(&r, &part)) == 1) {
        const struct kind *kind = kind_known(part.code);
        buf_put_u8(ret, '/');
        buf_put_bytes(ret, bytes_str(kind->name));
        if (kind->form != FORM_NONE)
            buf_put_u8(ret, '/');
        put_value(ret, kind->form, part.value);
    }
    return rc < 0 ? rc : buf_status(ret);
}

/* ---- what it leads to --------------------------------------------------------------------------
 */

int maddr_split_peer(struct bytes addr, struct bytes *ret, struct bytes *ret_id)
{
    struct reader r = reader_of(addr);
    struct maddr_part part = {.code = MADDR_END};
    size_t at = 0; /* of the last part */
    int rc = maddr_check(addr);
    while (rc == 0 && r.n > 0) {
        at = addr.n - r.n;
        rc = maddr_next(&r, &part) < 0 ? -EBADMSG : 0;
    }
    if (rc < 0)
        return rc;
    bool peer = part.code == MADDR_P2P;
    *ret = bytes_of(addr.p, peer ? at : addr.n);
    *ret_id = peer ? part.value : bytes_of(NULL, 0);
    return 0;
}

static bool is_one_host4(const uint8_t *ip)
{
    static const uint8_t broadcast[IP4_BYTES] = {255, 255, 255, 255};
    bool multicast = (ip[0] & 0xf0) == 0xe0;
    /* All of 0.0.0.0/8 is this very host. */
    return ip[0] != 0 && !multicast && memcmp(ip, broadcast, IP4_BYTES) != 0;
}

static bool is_one_host6(const uint8_t *ip)
{
    static const uint8_t none[IP6_BYTES] = {0};
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(ip, mapped, sizeof mapped) == 0)
        return is_one_host4(ip + sizeof mapped);
    return ip[0] != 0xff && memcmp(ip, none, IP6_BYTES) != 0;
}

static bool is_host(enum maddr_code code)
{
    return code == MADDR_IP4 || code == MADDR_IP6 || code == MADDR_DNS || code == MADDR_DNS4 ||
           code == MADDR_DNS6;
}

/* Goes on to the next part of what was checked. */
static struct maddr_part step(struct reader *r)
{
    struct maddr_part part;
    return maddr_next(r, &part) == 1 ? part : (struct maddr_part){.code = MADDR_END};
}

/* Reads [/tls [/sni/NAME]] /ws, or /wss, whose first part is *part. */
static void read_carrier(struct reader *r, struct maddr_part *part, struct maddr_dial *d)
{
    if (part->code == MADDR_TLS) {
        d->tls = true;
        *part = step(r);
        if (part->code == MADDR_SNI) {
            d->sni = part->value;
            *part = step(r);
        }
    } else if (part->code == MADDR_WSS) {
        d->tls = true;
        part->code = MADDR_WS;
    }
    if (part->code == MADDR_WS) {
        d->ws = true;
        *part = step(r);
    }
}

int maddr_dial(struct bytes addr, struct maddr_dial *ret)
{
    uint8_t key[PEER_ID_KEY_BYTES];
    struct reader r = reader_of(addr);
    struct maddr_dial d = {.host_kind = MADDR_END};
    int rc = maddr_check(addr);
    if (rc < 0)
        return rc;
    struct maddr_part part = step(&r);
    d.host_kind = part.code;
    d.host = part.value;
    part = step(&r);
    bool has_port = part.code == MADDR_TCP;
    if (has_port) {
        d.port = (uint16_t)(part.value.p[0] << 8 | part.value.p[1]);
        part = step(&r);
    }
    read_carrier(&r, &part, &d);
    if (!has_port)
        d.port = d.tls ? 443 : 80;
    if (part.code == MADDR_P2P) {
        d.id = part.value;
        part = step(&r);
    }
    if (part.code != MADDR_END || !is_host(d.host_kind) || (!d.ws && (d.tls || !has_port)) ||
        (d.id.n > 0 && peer_id_key(d.id, key) < 0))
        return -ENOTSUP;
    if (d.port == 0 || (d.host_kind == MADDR_IP4 && !is_one_host4(d.host.p)) ||
        (d.host_kind == MADDR_IP6 && !is_one_host6(d.host.p)))
        return -EACCES;
    *ret = d;
    return 0;
}
