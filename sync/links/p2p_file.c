#include "sync/links/p2p_file.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/multiaddr.h"
#include "sync/state/statefile.h"

enum {
    VERSION = 1,
    SUM_BYTES = 8,
    FLAG_MDNS = 1,
    FLAG_ANY_PORT = 2,
    FLAG_NO_DHT = 4,
    FLAG_DHT = 8,
    FLAG_IPFS = 16,
    ADDRS_BYTES = P2P_ADDRS * (P2P_ADDR_BYTES + 2),
    FILE_MAX = 64 + (P2P_LISTEN_MAX + P2P_BOOTSTRAP_MAX) * (P2P_ADDR_BYTES + 2) +
               P2P_KNOWN_MAX * (40 + ADDRS_BYTES)
};

static const char name[] = "p2p";

static void known_free(struct p2p_known *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_fini(&v[i].addrs);
    free(v);
}

void p2p_file_fini(struct p2p_file *f)
{
    known_free(f->known, f->known_n);
    buf_fini(&f->listen);
    buf_fini(&f->bootstrap);
    *f = (struct p2p_file){.dir_fd = -1};
}

/* ---- reading and writing ---- */

static uint64_t count_strings(struct bytes v)
{
    struct reader r = reader_of(v);
    uint64_t n = 0;
    for (; r.n > 0 && !r.failed; n++)
        (void)reader_string(&r, P2P_ADDR_BYTES);
    return n;
}

static void put_strings(struct buf *b, struct bytes v)
{
    buf_put_varint(b, count_strings(v));
    buf_put_bytes(b, v);
}

static void get_strings(struct reader *r, size_t max, struct buf *ret)
{
    uint64_t n = reader_varint(r);
    r->failed = r->failed || n > max;
    for (; n > 0 && !r->failed; n--)
        buf_put_string(ret, reader_string(r, P2P_ADDR_BYTES));
}

static int decode(struct p2p_file *f, struct bytes in)
{
    if (in.n < SUM_BYTES || XXH3_64bits(in.p, in.n - SUM_BYTES) != get_u64(in.p + in.n - SUM_BYTES))
        return -EUCLEAN;
    struct reader r = reader_of(bytes_of(in.p, in.n - SUM_BYTES));
    if (reader_u8(&r) != VERSION)
        return -ENOTSUP;
    uint8_t flags = reader_u8(&r);
    f->mdns = (flags & FLAG_MDNS) != 0;
    f->any_port = (flags & FLAG_ANY_PORT) != 0;
    f->dht = (flags & FLAG_NO_DHT) != 0 ? P2P_DHT_OFF
             : (flags & FLAG_DHT) != 0  ? P2P_DHT_ON
                                        : P2P_DHT_IF_LED;
    f->ipfs = (flags & FLAG_IPFS) != 0;
    get_strings(&r, P2P_LISTEN_MAX, &f->listen);
    get_strings(&r, P2P_BOOTSTRAP_MAX, &f->bootstrap);
    uint64_t n = reader_varint(&r);
    if (r.failed || n > P2P_KNOWN_MAX)
        return -EUCLEAN;
    f->known = calloc(P2P_KNOWN_MAX, sizeof *f->known);
    if (f->known == NULL)
        return -ENOMEM;
    for (; f->known_n < n && !r.failed; f->known_n++) {
        struct bytes identity = reader_bytes(&r, SIGN_KEY_SIZE);
        if (identity.n == SIGN_KEY_SIZE)
            memcpy(f->known[f->known_n].identity, identity.p, SIGN_KEY_SIZE);
        get_strings(&r, P2P_ADDRS, &f->known[f->known_n].addrs);
    }
    return reader_end(&r) < 0 ? -EUCLEAN : 0;
}

static uint8_t flags_of(const struct p2p_file *f)
{
    unsigned dht = f->dht == P2P_DHT_OFF ? FLAG_NO_DHT : f->dht == P2P_DHT_ON ? FLAG_DHT : 0;
    return (uint8_t)(dht | (f->ipfs ? FLAG_IPFS : 0) | (f->mdns ? FLAG_MDNS : 0) |
                     (f->any_port ? FLAG_ANY_PORT : 0));
}

static int write_file(const struct p2p_file *f, struct err *err)
{
    struct buf b CLEANUP(buf_fini) = {0};
    buf_put_u8(&b, VERSION);
    buf_put_u8(&b, flags_of(f));
    put_strings(&b, buf_bytes(&f->listen));
    put_strings(&b, buf_bytes(&f->bootstrap));
    buf_put_varint(&b, f->known_n);
    for (size_t i = 0; i < f->known_n; i++) {
        buf_put(&b, f->known[i].identity, SIGN_KEY_SIZE);
        put_strings(&b, buf_bytes(&f->known[i].addrs));
    }
    buf_put_u64(&b, XXH3_64bits(b.p, b.n));
    if (buf_status(&b) < 0)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    return statefile_write(f->dir_fd, name, buf_bytes(&b), false, err);
}

/* What a device has that was told nothing. */
static int begin(struct p2p_file *f)
{
    struct buf any CLEANUP(buf_fini) = {0};
    f->any_port = true;
    f->known = calloc(P2P_KNOWN_MAX, sizeof *f->known);
    int rc = f->known == NULL ? -ENOMEM : maddr_parse(bytes_str(P2P_FILE_ANY), &any, NULL);
    buf_put_string(&f->listen, buf_bytes(&any));
    return rc < 0 ? rc : buf_status(&f->listen);
}

int p2p_file_open(int dir_fd, struct p2p_file *ret, struct err *err)
{
    struct buf file CLEANUP(buf_fini) = {0};
    *ret = (struct p2p_file){.dir_fd = dir_fd, .mdns = true};
    int rc = statefile_read(dir_fd, name, FILE_MAX, &file, err);
    if (rc == 0) {
        rc = decode(ret, buf_bytes(&file));
        if (rc < 0)
            err_set(err, rc, "%s: %s", name,
                    rc == -ENOTSUP   ? "was written by a later version of persist"
                    : rc == -EUCLEAN ? "is damaged; bring it back from a copy, or remove it"
                                     : "out of memory");
    } else if (rc == -ENOENT) {
        rc = begin(ret) < 0 ? err_set(err, -ENOMEM, "%s: out of memory", name) : 0;
    }
    if (rc < 0)
        p2p_file_fini(ret);
    return rc;
}

/* ---- what is in it ---- */

static struct p2p_known *find(const struct p2p_file *f, const uint8_t *identity)
{
    for (size_t i = 0; i < f->known_n; i++)
        if (memcmp(f->known[i].identity, identity, SIGN_KEY_SIZE) == 0)
            return &f->known[i];
    return NULL;
}

struct bytes p2p_file_find(const struct p2p_file *f, const uint8_t identity[static SIGN_KEY_SIZE])
{
    const struct p2p_known *k = find(f, identity);
    return k == NULL ? bytes_of(NULL, 0) : buf_bytes(&k->addrs);
}

/* A place for it: a new one, or that of the device that was set first. */
static struct p2p_known *need(struct p2p_file *f, const uint8_t *identity)
{
    struct p2p_known *k = find(f, identity);
    if (k != NULL)
        return k;
    if (f->known_n == P2P_KNOWN_MAX) {
        buf_fini(&f->known[0].addrs);
        memmove(f->known, f->known + 1, (P2P_KNOWN_MAX - 1) * sizeof *f->known);
        f->known_n--;
    }
    k = &f->known[f->known_n++];
    *k = (struct p2p_known){.addrs = {0}};
    memcpy(k->identity, identity, SIGN_KEY_SIZE);
    return k;
}

int p2p_file_put(struct p2p_file *f, const uint8_t identity[static SIGN_KEY_SIZE],
                 struct bytes addrs, struct err *err)
{
    struct p2p_known *k = need(f, identity);
    if (bytes_equal(buf_bytes(&k->addrs), addrs))
        return 0;
    struct buf copy = {0};
    buf_put_bytes(&copy, addrs);
    if (buf_status(&copy) < 0) {
        buf_fini(&copy);
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    }
    buf_fini(&k->addrs);
    k->addrs = copy;
    return write_file(f, err);
}

int p2p_file_set(struct p2p_file *f, struct bytes listen, bool any_port, bool mdns, struct err *err)
{
    struct p2p_file next = *f;
    if (f->mdns == mdns && f->any_port == any_port && bytes_equal(buf_bytes(&f->listen), listen))
        return 0;
    next.listen = (struct buf){0};
    next.mdns = mdns;
    next.any_port = any_port;
    buf_put_bytes(&next.listen, listen);
    int rc = buf_status(&next.listen) < 0 ? err_set(err, -ENOMEM, "%s: out of memory", name)
                                          : write_file(&next, err);
    if (rc < 0) {
        buf_fini(&next.listen);
        return rc;
    }
    buf_fini(&f->listen);
    *f = next;
    return 0;
}

bool p2p_file_is_dht(const struct p2p_file *f)
{
    return f->dht == P2P_DHT_ON || (f->dht == P2P_DHT_IF_LED && f->bootstrap.n > 0);
}

int p2p_file_set_dht(struct p2p_file *f, enum p2p_dht dht, bool ipfs, struct bytes bootstrap,
                     struct err *err)
{
    struct p2p_file next = *f;
    next.bootstrap = (struct buf){0};
    next.dht = dht;
    next.ipfs = ipfs;
    buf_put_bytes(&next.bootstrap, bootstrap);
    int rc = buf_status(&next.bootstrap) < 0 ? err_set(err, -ENOMEM, "%s: out of memory", name)
                                             : write_file(&next, err);
    if (rc < 0) {
        buf_fini(&next.bootstrap);
        return rc;
    }
    buf_fini(&f->bootstrap);
    *f = next;
    return 0;
}
