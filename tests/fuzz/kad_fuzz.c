/* Messages of Kademlia from anybody, anywhere: what is kept is within its limits, can be dialed, is
 * not of another's own network, and says the same when it is told again. */
#include <sodium.h>

#include "sync/net/libp2p/kad_lookup.h"
#include "sync/net/libp2p/kad_message.h"
#include "sync/net/libp2p/kad_store.h"
#include "sync/net/libp2p/kad_table.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Where it is sent from; the last one is not known. */
static const uint8_t from[][SCOPE_IP_BYTES] = {
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 8, 8, 8, 8},
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 1},
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1},
    {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
    {0}};

static void check_contact(const struct kad_contact *c, const uint8_t *ip)
{
    uint8_t key[PEER_ID_KEY_BYTES], there[SCOPE_IP_BYTES];
    size_t n = 0;
    must(peer_id_key(bytes_of(c->id, PEER_ID_BYTES), key) == 0);
    must(c->addrs.n <= P2P_KAD_ADDRS_BYTES);
    for (struct reader r = reader_of(buf_bytes(&c->addrs)); r.n > 0; n++) {
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        must(!r.failed && kad_addr_suits(ip, addr));
        scope_ip(addr, there);
        must(scope_is_private(ip) || !scope_is_private(there));
    }
    must(n == c->addrs_n && n <= P2P_KAD_ADDRS);
}

/* It goes wherever such a message goes. */
static void use(const struct kad_message *m, const uint8_t *ip)
{
    struct kad_table t;
    struct kad_store s;
    struct kad_lookup l;
    uint8_t self[PEER_ID_BYTES] = {0};
    struct kad_place target = kad_place_of(bytes_of(m->key, m->key_n));
    must(kad_table_init(&t, self) == 0);
    kad_store_init(&s);
    kad_lookup_init(&l, &target, self);
    for (size_t i = 0; i < m->closer.n; i++) {
        must(kad_table_put(&t, &m->closer.v[i], ip, 1) >= 0);
        must(kad_lookup_add(&l, &m->closer.v[i]) == 0);
    }
    for (size_t i = 0; i < m->providers.n; i++)
        if (kad_multihash_valid(bytes_of(m->key, m->key_n)))
            must(kad_store_put(&s, m->key, &m->providers.v[i], ip, 1) == 0);
    must(t.n <= m->closer.n && l.n <= m->closer.n && s.n <= m->providers.n);
    for (const struct kad_contact *c; (c = kad_lookup_next(&l)) != NULL;)
        kad_lookup_ended(&l, c->id, false);
    must(kad_lookup_is_over(&l));
    kad_table_fini(&t);
    kad_store_fini(&s);
    kad_lookup_fini(&l);
}

static size_t list(const struct kad_contacts *l, const uint8_t *ip, const struct kad_contact **ret)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        check_contact(&l->v[i], ip);
        if (l->v[i].addrs_n > 0)
            ret[n++] = &l->v[i];
    }
    return n;
}

static void check_again(const struct kad_said *said, const uint8_t *ip)
{
    struct buf b = {0}, again = {0};
    struct kad_message m;
    must(kad_message_put(&b, said, ip) == 0);
    struct reader r = reader_of(buf_bytes(&b));
    must(kad_message_read(&m, reader_string(&r, P2P_KAD_MESSAGE), ip) == 0);
    must(m.type == said->type && bytes_equal(bytes_of(m.key, m.key_n), said->key));
    struct kad_said second = {.type = m.type, .key = said->key};
    second.closer_n = list(&m.closer, ip, second.closer);
    second.providers_n = list(&m.providers, ip, second.providers);
    must(kad_message_put(&again, &second, ip) == 0);
    must(bytes_equal(buf_bytes(&b), buf_bytes(&again)));
    kad_message_fini(&m);
    buf_fini(&b);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kad_message m;
    if (size == 0 || sodium_init() < 0)
        return 0;
    const uint8_t *ip = from[data[0] % ARRAY_N(from)];
    if (kad_message_read(&m, bytes_of(data + 1, size - 1), ip) < 0) {
        must(m.closer.v == NULL && m.providers.v == NULL);
        return 0;
    }
    must(m.type <= KAD_PING && m.key_n <= P2P_KAD_KEY);
    must(m.closer.n <= P2P_KAD_K && m.providers.n <= P2P_KAD_PROVIDERS);
    struct kad_said said = {.type = m.type, .key = bytes_of(m.key, m.key_n)};
    said.closer_n = list(&m.closer, ip, said.closer);
    said.providers_n = list(&m.providers, ip, said.providers);
    check_again(&said, ip);
    use(&m, ip);
    kad_message_fini(&m);
    return 0;
}
