/*
 * The parts of Kademlia, without sockets: places, addresses, messages, the table, the walk on a
 * network of 200 peers and among liars, and what is kept for others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/net/libp2p/kad_lookup.h"
#include "sync/net/libp2p/kad_message.h"
#include "sync/net/libp2p/kad_store.h"
#include "sync/net/libp2p/kad_table.h"
#include "sync/net/libp2p/multiaddr.h"
#include "tests/support/crash_rand.h"
#include "tests/support/kad_world.h"

#define RELAY "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"

static struct crash_rand rnd;

static void put_text(struct buf *b, const char *text)
{
    struct err err = {0};
    if (maddr_parse(bytes_str(text), b, &err) < 0)
        fail_msg("%s", err.msg);
}

static void ip_of(const char *text, uint8_t ret[SCOPE_IP_BYTES])
{
    struct buf b CLEANUP(buf_fini) = {0};
    put_text(&b, text);
    scope_ip(buf_bytes(&b), ret);
}

/* ---- places ---- */

static void place_is_the_hash_and_nearer_is_by_xor(void **state)
{
    (void)state;
    struct kad_place a = {{0x80}}, b = {{0x40}}, c = {{0xc0}}, abc = kad_place_of(bytes_str("abc"));
    static const uint8_t sha256[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    assert_memory_equal(abc.b, sha256, sizeof sha256);
    assert_true(kad_place_cmp(&c, &a, &b) < 0); /* 0x40 is less than 0x80 */
    assert_true(kad_place_cmp(&a, &b, &c) > 0); /* 0xc0, 0x40 */
    assert_int_equal(kad_place_cmp(&a, &b, &b), 0);
    assert_int_equal(kad_place_common(&a, &b), 0);
    assert_int_equal(kad_place_common(&a, &c), 1);
    assert_int_equal(kad_place_common(&a, &a), KAD_PLACE_BITS);
}

/* ---- addresses ---- */

static void addresses_are_believed_by_whose_network_they_are_of(void **state)
{
    (void)state;
    static const char *const from[] = {"/ip4/8.8.8.8", "/ip4/192.168.1.2", "/ip4/127.0.0.1",
                                       "/ip6/2001:db8::1", "/ip6/::1"};
    static const struct {
        const char *addr;
        bool suits[ARRAY_N(from)];
    } rows[] = {
        {"/ip4/9.9.9.9/tcp/1", {1, 1, 1, 1, 1}},
        {"/ip4/9.9.9.9/tcp/1/ws", {1, 1, 1, 1, 1}},
        {"/ip6/2001:db8::2/tcp/1", {1, 1, 1, 1, 1}},
        {"/ip4/10.0.0.1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip4/192.168.7.1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip4/172.16.0.1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip4/169.254.1.1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip4/100.64.0.1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip4/100.63.0.1/tcp/1", {1, 1, 1, 1, 1}},
        {"/ip6/fd00::1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip6/fe80::1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip6/::ffff:10.0.0.1/tcp/1", {0, 1, 1, 0, 1}},
        {"/ip4/127.0.0.1/tcp/1", {0, 0, 1, 0, 1}},
        {"/ip6/::1/tcp/1", {0, 0, 1, 0, 1}},
        {"/ip4/0.0.0.0/tcp/1", {0}},
        {"/ip4/0.0.0.0/tcp/1/p2p/" RELAY "/p2p-circuit", {0}},
        {"/ip4/224.0.0.1/tcp/1", {0}},
        {"/ip4/9.9.9.9/tcp/0", {0}},
        {"/ip4/9.9.9.9/udp/1/quic-v1", {0}},
        {"/dns4/localhost/tcp/1", {0}},
        {"/dnsaddr/example.org", {0}},
        {"/ip4/9.9.9.9/tcp/1/p2p/" RELAY "/p2p-circuit", {1, 1, 1, 1, 1}},
        {"/ip4/10.0.0.1/tcp/1/p2p/" RELAY "/p2p-circuit", {0, 1, 1, 0, 1}},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct buf addr CLEANUP(buf_fini) = {0};
        put_text(&addr, rows[i].addr);
        for (size_t j = 0; j < ARRAY_N(from); j++) {
            uint8_t ip[SCOPE_IP_BYTES];
            ip_of(from[j], ip);
            if (kad_addr_suits(ip, buf_bytes(&addr)) != rows[i].suits[j])
                fail_msg("%s of %s", rows[i].addr, from[j]);
        }
    }
}

static void contact_keeps_a_bounded_number_of_addresses(void **state)
{
    (void)state;
    struct kad_contact c CLEANUP(kad_contact_fini) = {0}, wide CLEANUP(kad_contact_fini) = {0};
    uint8_t ip[SCOPE_IP_BYTES], other[PEER_ID_BYTES];
    kad_world_id(1, c.id);
    kad_world_id(2, other);
    kad_world_ip(1, true, ip);
    for (unsigned i = 0; i < 2 * P2P_KAD_ADDRS; i++) {
        struct buf addr CLEANUP(buf_fini) = {0};
        kad_world_address(ip, (uint16_t)(1000 + i / 2), &addr);
        if (i % 2 == 1) /* the same again, with its id; another's is left out */
            maddr_put(&addr, MADDR_P2P, bytes_of(i % 4 == 1 ? c.id : other, PEER_ID_BYTES));
        kad_contact_add(&c, ip, buf_bytes(&addr));
        assert_int_equal(c.addrs_n, i / 2 + 1);
    }
    struct buf more CLEANUP(buf_fini) = {0}, list CLEANUP(buf_fini) = {0};
    kad_world_address(ip, 1, &more);
    kad_contact_add(&c, ip, buf_bytes(&more));
    assert_int_equal(c.addrs_n, P2P_KAD_ADDRS);
    for (unsigned i = 0; i < P2P_KAD_ADDRS; i++) {
        struct buf addr CLEANUP(buf_fini) = {0};
        char text[256];
        snprintf(text, sizeof text, "/ip4/9.9.9.9/tcp/%u/tls/sni/%0200u/ws", 1 + i, 0u);
        put_text(&addr, text);
        buf_put_string(&list, buf_bytes(&addr));
    }
    kad_contact_add_all(&wide, ip, buf_bytes(&list));
    assert_int_equal(wide.addrs_n, 2);
    assert_true(wide.addrs.n <= P2P_KAD_ADDRS_BYTES);
}

/* ---- messages ---- */

/* Of protobuf, by hand: a field of bytes. */
static void put_field(struct buf *b, unsigned field, struct bytes v)
{
    buf_put_varint(b, field << 3 | 2);
    buf_put_string(b, v);
}

static void put_peer(struct buf *b, unsigned field, struct bytes id, unsigned addrs_n, bool public)
{
    struct buf peer CLEANUP(buf_fini) = {0};
    put_field(&peer, 1, id);
    for (unsigned i = 0; i < addrs_n; i++) {
        struct buf addr CLEANUP(buf_fini) = {0};
        uint8_t ip[SCOPE_IP_BYTES];
        kad_world_ip(i, public, ip);
        kad_world_address(ip, (uint16_t)(i + 1), &addr);
        put_field(&peer, 2, buf_bytes(&addr));
    }
    buf_put_varint(&peer, 3 << 3); /* connected? */
    buf_put_varint(&peer, 1);
    put_field(b, field, buf_bytes(&peer));
}

static int read_from(struct kad_message *m, const struct buf *b, const char *from)
{
    uint8_t ip[SCOPE_IP_BYTES];
    ip_of(from, ip);
    return kad_message_read(m, buf_bytes(b), ip);
}

static void message_is_as_others_write_it(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_fini) = {0};
    struct kad_message m CLEANUP(kad_message_fini) = {0};
    struct kad_contact c CLEANUP(kad_contact_fini) = kad_world_contact(7, true);
    struct kad_said said = {.type = KAD_FIND_NODE, .key = bytes_str("ab")};
    uint8_t ip[SCOPE_IP_BYTES];
    static const uint8_t request[] = {6, 0x08, 4, 0x12, 2, 'a', 'b'};
    ip_of("/ip4/8.8.8.8", ip);
    assert_int_equal(kad_message_put(&b, &said, ip), 0);
    assert_true(bytes_equal(buf_bytes(&b), bytes_of(request, sizeof request)));
    /* Peers: 2 and 3 are length and tag of the peer, then its id and address. */
    static const uint8_t peer[] = {0x42, 50, 0x0a, PEER_ID_BYTES};
    said.closer[said.closer_n++] = &c;
    buf_reset(&b);
    assert_int_equal(kad_message_put(&b, &said, ip), 0);
    assert_int_equal(b.n, sizeof request + sizeof peer + PEER_ID_BYTES + 2 + 8);
    assert_memory_equal(b.p + sizeof request, peer, sizeof peer);
    assert_int_equal(kad_message_read(&m, bytes_of(b.p + 1, b.n - 1), ip), 0);
    assert_int_equal(m.type, KAD_FIND_NODE);
    assert_true(bytes_equal(bytes_of(m.key, m.key_n), bytes_str("ab")));
    assert_int_equal(m.closer.n, 1);
    assert_memory_equal(m.closer.v[0].id, c.id, PEER_ID_BYTES);
    assert_true(bytes_equal(buf_bytes(&m.closer.v[0].addrs), buf_bytes(&c.addrs)));
    assert_int_equal(m.providers.n, 0);
}

static void message_has_its_limits(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_fini) = {0};
    struct kad_message m = {0};
    uint8_t id[PEER_ID_BYTES], rsa[34] = {0x12, 0x20};
    put_peer(&b, 8, bytes_of(rsa, sizeof rsa), 1, true); /* is skipped, as are these */
    put_peer(&b, 8, bytes_of(NULL, 0), 1, true);
    put_field(&b, 3, bytes_str("a record"));
    for (unsigned i = 0; i < 100; i++) {
        kad_world_id(i, id);
        put_peer(&b, i % 2 == 0 ? 8 : 9, bytes_of(id, sizeof id), 2 * P2P_KAD_ADDRS, true);
    }
    assert_int_equal(read_from(&m, &b, "/ip4/8.8.8.8"), 0);
    assert_int_equal(m.type, KAD_PUT_VALUE); /* that which is left out */
    assert_int_equal(m.closer.n, P2P_KAD_K);
    assert_int_equal(m.providers.n, P2P_KAD_PROVIDERS);
    for (size_t i = 0; i < m.closer.n; i++)
        assert_int_equal(m.closer.v[i].addrs_n, P2P_KAD_ADDRS);
    kad_message_fini(&m);
    /* Private addresses of a public peer are gone, those of a private one are not. */
    buf_reset(&b);
    put_peer(&b, 8, bytes_of(id, sizeof id), 3, false);
    assert_int_equal(read_from(&m, &b, "/ip4/8.8.8.8"), 0);
    assert_true(m.closer.n == 1 && m.closer.v[0].addrs_n == 0);
    kad_message_fini(&m);
    assert_int_equal(read_from(&m, &b, "/ip4/192.168.1.1"), 0);
    assert_true(m.closer.n == 1 && m.closer.v[0].addrs_n == 3);
    kad_message_fini(&m);
}

static void message_that_is_none_is_refused(void **state)
{
    (void)state;
    static const uint8_t long_key[P2P_KAD_KEY + 1], big[P2P_KAD_MESSAGE];
    struct buf b[4] = {0};
    struct kad_message m;
    buf_put(&b[0], "\x08\x06", 2); /* a type that is none */
    buf_put(&b[1], "\x08\xff\xff\xff\xff\x0f", 6);
    put_field(&b[2], 2, bytes_of(long_key, sizeof long_key));
    put_field(&b[3], 7, bytes_of(big, sizeof big)); /* too long */
    for (size_t i = 0; i < ARRAY_N(b); i++) {
        assert_int_equal(read_from(&m, &b[i], "/ip4/8.8.8.8"), -EBADMSG);
        assert_true(m.closer.v == NULL && m.key_n == 0);
        buf_fini(&b[i]);
    }
}

static void peers_that_are_none_are_skipped(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_fini) = {0}, bomb CLEANUP(buf_fini) = {0};
    struct kad_message m CLEANUP(kad_message_fini) = {0};
    uint8_t id[PEER_ID_BYTES];
    for (unsigned i = 0; i < 20000; i++)
        buf_put(&bomb, "\x12", 2); /* addresses of 0 bytes, each of which costs 16 here */
    kad_world_id(1, id);
    put_field(&bomb, 1, bytes_of(id, sizeof id));
    put_field(&b, 8, buf_bytes(&bomb));
    put_field(&b, 8, bytes_str("\xff"));
    put_peer(&b, 8, bytes_of(id, sizeof id), 1, true);
    assert_int_equal(read_from(&m, &b, "/ip4/8.8.8.8"), 0);
    assert_true(m.closer.n == 1 && m.closer.v[0].addrs_n == 1);
}

static void what_is_told_is_of_use_to_who_hears_it(void **state)
{
    (void)state;
    struct kad_contact near CLEANUP(kad_contact_fini) = kad_world_contact(1, false);
    struct kad_contact far CLEANUP(kad_contact_fini) = kad_world_contact(2, true);
    struct kad_said said = {.type = KAD_GET_PROVIDERS,
                            .key = bytes_str("k"),
                            .closer = {&near, &far},
                            .closer_n = 2,
                            .providers = {&near},
                            .providers_n = 1};
    static const struct {
        const char *to;
        size_t closer, providers;
    } rows[] = {{"/ip4/8.8.8.8", 1, 0}, {"/ip4/192.168.1.1", 2, 1}};
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        struct buf b CLEANUP(buf_fini) = {0};
        struct kad_message m CLEANUP(kad_message_fini) = {0};
        uint8_t ip[SCOPE_IP_BYTES];
        ip_of(rows[i].to, ip);
        assert_int_equal(kad_message_put(&b, &said, ip), 0);
        struct reader r = reader_of(buf_bytes(&b));
        assert_int_equal(kad_message_read(&m, reader_string(&r, P2P_KAD_MESSAGE), ip), 0);
        assert_int_equal(m.closer.n, rows[i].closer);
        assert_int_equal(m.providers.n, rows[i].providers);
    }
}

/* ---- the table ---- */

enum { SELF = 1 << 20, NOW = 1000 };

static void table_of_self(struct kad_table *t)
{
    uint8_t id[PEER_ID_BYTES];
    kad_world_id(SELF, id);
    assert_int_equal(kad_table_init(t, id), 0);
}

static int put_from(struct kad_table *t, uint64_t n, bool public, uint64_t ip_n, uint64_t now)
{
    struct kad_contact c CLEANUP(kad_contact_fini) = kad_world_contact(n, public);
    uint8_t ip[SCOPE_IP_BYTES];
    kad_world_ip(ip_n, public, ip);
    return kad_table_put(t, &c, ip, now);
}

static unsigned bucket_of(const struct kad_table *t, uint64_t n)
{
    uint8_t id[PEER_ID_BYTES];
    kad_world_id(n, id);
    struct kad_place place = kad_place_of(bytes_of(id, sizeof id));
    return kad_place_common(&t->self, &place);
}

static bool has(const struct kad_table *t, uint64_t n)
{
    const struct kad_contact *near[P2P_KAD_K];
    uint8_t id[PEER_ID_BYTES];
    kad_world_id(n, id);
    struct kad_place place = kad_place_of(bytes_of(id, sizeof id));
    return kad_table_nearest(t, &place, near) > 0 && memcmp(near[0]->id, id, sizeof id) == 0;
}

static void table_is_bounded_and_the_old_stay(void **state)
{
    (void)state;
    struct kad_table t;
    uint64_t first = UINT64_MAX, last = 0;
    table_of_self(&t);
    assert_int_equal(put_from(&t, SELF, false, 0, NOW), 0); /* itself */
    for (uint64_t i = 0; i < 5000; i++) {
        bool half = bucket_of(&t, i) == 0;
        int rc = put_from(&t, i, false, i, NOW + i + (half ? 0 : 1000000)); /* it has the oldest */
        assert_in_range(rc, 0, 1);
        if (half && first == UINT64_MAX)
            first = i;
        if (half)
            last = i;
    }
    for (unsigned i = 0; i < P2P_KAD_BUCKETS; i++)
        assert_true(t.buckets[i].n <= P2P_KAD_K);
    assert_int_equal(t.buckets[0].n, P2P_KAD_K);
    assert_true(t.n > 8 * P2P_KAD_K && t.n < 12 * P2P_KAD_K);
    assert_true(has(&t, first) && !has(&t, last));
    /* Who waits gets the place of the oldest, when that does not answer; else nobody's. */
    uint8_t id[PEER_ID_BYTES];
    kad_world_id(first, id);
    assert_null(kad_table_doubtful(&t, NOW + first + P2P_KAD_STALE_MS - 1));
    const struct kad_contact *c = kad_table_doubtful(&t, NOW + first + P2P_KAD_STALE_MS);
    assert_memory_equal(c->id, id, sizeof id);
    kad_table_seen(&t, id, NOW + P2P_KAD_STALE_MS);
    assert_null(kad_table_doubtful(&t, NOW + first + P2P_KAD_STALE_MS));
    kad_table_failed(&t, id);
    assert_true(!has(&t, first) && has(&t, last) && t.buckets[0].n == P2P_KAD_K);
    kad_table_fini(&t);
}

static void who_fails_is_forgotten_after_some_times(void **state)
{
    (void)state;
    struct kad_table t;
    uint8_t id[PEER_ID_BYTES];
    table_of_self(&t);
    kad_world_id(1, id);
    assert_int_equal(put_from(&t, 1, false, 1, NOW), 1);
    for (unsigned i = 0; i < P2P_KAD_FAILURES - 1; i++)
        kad_table_failed(&t, id);
    assert_true(has(&t, 1));
    kad_table_seen(&t, id, NOW);
    for (unsigned i = 0; i < P2P_KAD_FAILURES - 1; i++)
        kad_table_failed(&t, id);
    assert_true(has(&t, 1));
    kad_table_failed(&t, id);
    assert_true(!has(&t, 1) && t.n == 0);
    kad_table_failed(&t, id); /* of nobody */
    kad_table_fini(&t);
}

static void one_network_has_few_places_of_a_bucket(void **state)
{
    (void)state;
    struct kad_table t;
    unsigned in[KAD_PLACE_BITS + 1] = {0}, total = 0;
    table_of_self(&t);
    for (uint64_t i = 0; i < 2000; i++) {
        int rc = put_from(&t, i, true, 5, NOW); /* all of one public network */
        assert_in_range(rc, 0, 1);
        in[bucket_of(&t, i)] += rc == 1;
        total += rc == 1;
    }
    for (size_t i = 0; i < ARRAY_N(in); i++)
        assert_true(in[i] <= P2P_KAD_BUCKET_NET);
    assert_int_equal(total, t.n);
    assert_int_equal(in[0], P2P_KAD_BUCKET_NET);
    size_t n = t.n;
    for (uint64_t i = 2000; i < 2020; i++) /* others have their places */
        assert_in_range(put_from(&t, i, true, i, NOW), 0, 1);
    assert_true(t.n >= n + 19);
    kad_table_fini(&t);
}

static void nearest_are_the_nearest(void **state)
{
    (void)state;
    enum { N = 300 };
    struct kad_table t;
    static struct kad_place places[N];
    size_t there = 0;
    table_of_self(&t);
    for (uint64_t i = 0; i < N; i++) {
        uint8_t id[PEER_ID_BYTES];
        kad_world_id(i, id);
        if (put_from(&t, i, false, i, NOW) == 1)
            places[there++] = kad_place_of(bytes_of(id, sizeof id));
    }
    for (unsigned round = 0; round < 50; round++) {
        const struct kad_contact *near[P2P_KAD_K];
        uint64_t seed = crash_next(&rnd);
        struct kad_place target = kad_place_of(bytes_of(&seed, sizeof seed)), last = {0};
        assert_int_equal(kad_table_nearest(&t, &target, near), P2P_KAD_K);
        for (size_t i = 0; i < P2P_KAD_K; i++) {
            struct kad_place p = kad_place_of(bytes_of(near[i]->id, PEER_ID_BYTES));
            assert_true(i == 0 || kad_place_cmp(&target, &last, &p) < 0);
            last = p;
        }
        size_t nearer = 0;
        for (size_t i = 0; i < there; i++)
            nearer += kad_place_cmp(&target, &places[i], &last) < 0;
        assert_int_equal(nearer, P2P_KAD_K - 1);
    }
    kad_table_fini(&t);
}

/* ---- the walk ---- */

enum { PEERS = 200 };

struct peer {
    struct kad_table table;
    struct kad_contact contact;
    struct kad_place place;
    bool dead;
};

static struct peer peers[PEERS];

static void make_network(unsigned dead_percent)
{
    for (uint64_t i = 0; i < PEERS; i++) {
        struct peer *p = &peers[i];
        p->contact = kad_world_contact(i, i % 2 == 0);
        p->place = kad_place_of(bytes_of(p->contact.id, PEER_ID_BYTES));
        p->dead = crash_chance(&rnd, dead_percent);
        assert_int_equal(kad_table_init(&p->table, p->contact.id), 0);
    }
    for (uint64_t i = 0; i < PEERS; i++)
        for (uint64_t j = 0, from = crash_below(&rnd, PEERS); j < PEERS; j++)
            assert_in_range(put_from(&peers[i].table, (from + j) % PEERS, (from + j) % 2 == 0,
                                     (from + j) % PEERS, NOW),
                            0, 1);
}

static void free_network(void)
{
    for (size_t i = 0; i < PEERS; i++) {
        kad_table_fini(&peers[i].table);
        kad_contact_fini(&peers[i].contact);
    }
}

static struct peer *peer_of(const uint8_t *id)
{
    for (size_t i = 0; i < PEERS; i++)
        if (memcmp(peers[i].contact.id, id, PEER_ID_BYTES) == 0)
            return &peers[i];
    fail_msg("nobody has this id");
    abort();
}

static void add_all(struct kad_lookup *l, const struct kad_table *t)
{
    const struct kad_contact *near[P2P_KAD_K];
    size_t n = kad_table_nearest(t, &l->target, near);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(kad_lookup_add(l, near[i]), 0);
}

/* Asks as many as it may at once, and answers for one of them at a time, in any order. */
static void walk(struct kad_lookup *l)
{
    const struct kad_contact *open[P2P_KAD_ALPHA];
    size_t n = 0;
    while (!kad_lookup_is_over(l)) {
        const struct kad_contact *c;
        while ((c = kad_lookup_next(l)) != NULL) {
            assert_true(n < P2P_KAD_ALPHA);
            open[n++] = c;
        }
        assert_true(n > 0);
        size_t at = crash_below(&rnd, n);
        struct peer *p = peer_of(open[at]->id);
        kad_lookup_ended(l, open[at]->id, !p->dead);
        open[at] = open[--n];
        if (!p->dead)
            add_all(l, &p->table);
    }
    assert_int_equal(n, 0);
}

/* Of the P2P_KAD_K nearest of all, how many live, and how many of these were found. */
static size_t count_found(const struct kad_lookup *l, const struct peer *from, size_t *ret_all)
{
    const struct kad_contact *near[P2P_KAD_K];
    size_t n = kad_lookup_nearest(l, near), found = 0;
    for (size_t i = 0; i < PEERS; i++) {
        size_t nearer = 0;
        for (size_t j = 0; j < PEERS; j++)
            nearer += &peers[j] != from &&
                      kad_place_cmp(&l->target, &peers[j].place, &peers[i].place) < 0;
        if (nearer >= P2P_KAD_K || peers[i].dead || &peers[i] == from)
            continue;
        ++*ret_all;
        for (size_t j = 0; j < n; j++)
            found += memcmp(near[j]->id, peers[i].contact.id, PEER_ID_BYTES) == 0;
    }
    return found;
}

static void walk_finds_the_nearest_that_live(void **state)
{
    (void)state;
    static const unsigned dead[] = {0, 30};
    for (size_t i = 0; i < ARRAY_N(dead); i++) {
        size_t asked = 0, found = 0, all = 0;
        make_network(dead[i]);
        for (unsigned round = 0; round < 100; round++) {
            uint64_t seed = crash_next(&rnd);
            struct kad_place target = kad_place_of(bytes_of(&seed, sizeof seed));
            struct peer *from = &peers[crash_below(&rnd, PEERS)];
            struct kad_lookup l;
            kad_lookup_init(&l, &target, from->contact.id);
            add_all(&l, &from->table);
            walk(&l);
            assert_true(l.asked <= P2P_KAD_QUERIES);
            asked += l.asked;
            found += count_found(&l, from, &all);
            kad_lookup_fini(&l);
        }
        printf("%u %% dead: %zu asked of %d, %zu of %zu found\n", dead[i], asked / 100, PEERS,
               found, all);
        assert_true(found >= all * 99 / 100);
        free_network();
    }
}

static void liars_cost_a_bounded_number_of_queries(void **state)
{
    (void)state;
    struct kad_lookup l;
    uint8_t self[PEER_ID_BYTES];
    uint64_t next = 1;
    struct kad_place target = kad_place_of(bytes_str("target"));
    struct kad_contact first CLEANUP(kad_contact_fini) = kad_world_contact(0, true);
    const struct kad_contact *c;
    kad_world_id(SELF, self);
    kad_lookup_init(&l, &target, self);
    assert_int_equal(kad_lookup_add(&l, &first), 0);
    while ((c = kad_lookup_next(&l)) != NULL) {
        kad_lookup_ended(&l, c->id, true); /* each one answers, and tells of 20 that nobody knew */
        for (unsigned i = 0; i < P2P_KAD_K; i++, next++) {
            struct kad_contact liar CLEANUP(kad_contact_fini) = kad_world_contact(next, true);
            assert_int_equal(kad_lookup_add(&l, &liar), 0);
        }
    }
    assert_true(kad_lookup_is_over(&l));
    assert_true(l.asked <= P2P_KAD_QUERIES && l.n <= P2P_KAD_CANDIDATES);
    kad_lookup_fini(&l);
    /* And when none of them is there. */
    kad_lookup_init(&l, &target, self);
    for (uint64_t i = 0; i < 10000; i++) {
        struct kad_contact liar CLEANUP(kad_contact_fini) = kad_world_contact(i, true);
        assert_int_equal(kad_lookup_add(&l, &liar), 0);
    }
    assert_int_equal(l.n, P2P_KAD_CANDIDATES);
    while ((c = kad_lookup_next(&l)) != NULL)
        kad_lookup_ended(&l, c->id, false);
    assert_int_equal(l.asked, P2P_KAD_QUERIES);
    assert_true(kad_lookup_is_over(&l) && l.answered == 0);
    kad_lookup_fini(&l);
}

/* A peer with addresses of its own network, and one of @victim's each. */
static struct kad_contact aimed_at(uint64_t n, uint64_t victim)
{
    struct kad_contact c = kad_world_contact(n, true);
    struct buf addr CLEANUP(buf_fini) = {0};
    uint8_t ip[SCOPE_IP_BYTES];
    kad_world_ip(victim, true, ip);
    ip[SCOPE_IP_BYTES - 1] = (uint8_t)n;
    kad_world_address(ip, 443, &addr);
    kad_contact_add(&c, ip, buf_bytes(&addr));
    return c;
}

static void nobody_is_flooded_by_a_walk(void **state)
{
    (void)state;
    struct kad_lookup l;
    uint8_t self[PEER_ID_BYTES], net[SCOPE_IP_BYTES], ip[SCOPE_IP_BYTES], at[SCOPE_IP_BYTES];
    struct kad_place target = kad_place_of(bytes_str("target"));
    unsigned aimed = 0;
    kad_world_id(SELF, self);
    kad_lookup_init(&l, &target, self);
    for (uint64_t i = 0; i < 200; i++) {
        struct kad_contact c CLEANUP(kad_contact_fini) = aimed_at(i, 5000);
        assert_int_equal(c.addrs_n, 2);
        assert_int_equal(kad_lookup_add(&l, &c), 0);
    }
    kad_world_ip(5000, true, ip);
    scope_net(ip, net);
    for (const struct kad_contact *c; (c = kad_lookup_next(&l)) != NULL;) {
        for (struct reader r = reader_of(buf_bytes(&c->addrs)); r.n > 0;) {
            scope_ip(reader_string(&r, P2P_ADDR_BYTES), at);
            scope_net(at, at);
            aimed += memcmp(at, net, sizeof net) == 0;
        }
        kad_lookup_ended(&l, c->id, false);
    }
    assert_true(aimed <= P2P_KAD_CANDIDATES_NET);
    assert_int_equal(l.asked, P2P_KAD_QUERIES);
    kad_lookup_fini(&l);
}

/* ---- what is kept ---- */

static void store_put(struct kad_store *s, uint64_t key, uint64_t n, uint64_t ip_n, uint64_t now)
{
    uint8_t digest[KAD_DIGEST_BYTES] = {0}, whole[KAD_MULTIHASH_BYTES], ip[SCOPE_IP_BYTES];
    struct kad_contact c CLEANUP(kad_contact_fini) = kad_world_contact(n, true);
    put_u64(digest, key);
    kad_multihash(digest, whole);
    kad_world_ip(ip_n, true, ip);
    assert_int_equal(kad_store_put(s, whole, &c, ip, now), 0);
}

/* How many provide it; whether @n is one of them. */
static size_t store_find(const struct kad_store *s, uint64_t key, uint64_t n, uint64_t now,
                         bool *ret_has)
{
    const struct kad_contact *who[P2P_KAD_PROVIDERS];
    uint8_t digest[KAD_DIGEST_BYTES] = {0}, whole[KAD_MULTIHASH_BYTES], id[PEER_ID_BYTES];
    put_u64(digest, key);
    kad_multihash(digest, whole);
    kad_world_id(n, id);
    size_t found = kad_store_find(s, bytes_of(whole, sizeof whole), now, who);
    *ret_has = false;
    for (size_t i = 0; i < found; i++)
        *ret_has = *ret_has || memcmp(who[i]->id, id, sizeof id) == 0;
    return found;
}

static void records_are_kept_for_a_day(void **state)
{
    (void)state;
    struct kad_store s;
    bool there;
    kad_store_init(&s);
    store_put(&s, 1, 10, 10, 0);
    store_put(&s, 1, 11, 11, 5);
    store_put(&s, 2, 10, 10, 5);
    assert_int_equal(store_find(&s, 1, 10, 5, &there), 2);
    assert_true(there);
    assert_int_equal(store_find(&s, 3, 10, 5, &there), 0);
    assert_int_equal(store_find(&s, 1, 10, P2P_KAD_RECORD_MS, &there), 1);
    assert_false(there);
    store_put(&s, 1, 10, 10, 100); /* said again */
    assert_int_equal(s.n, 3);
    kad_store_expire(&s, P2P_KAD_RECORD_MS + 5);
    assert_int_equal(s.n, 1);
    assert_int_equal(store_find(&s, 1, 10, P2P_KAD_RECORD_MS + 5, &there), 1);
    assert_true(there);
    kad_store_fini(&s);
}

static void a_flood_of_records_takes_nobodys_place(void **state)
{
    (void)state;
    struct kad_store s;
    bool there;
    kad_store_init(&s);
    memset(s.secret, 0,
           sizeof s.secret);          /* else one in a hundred times two networks count as one */
    for (uint64_t i = 0; i < 20; i++) /* honest ones, each in another network */
        store_put(&s, i, 100000 + i, 100000 + i, 0);
    for (uint64_t i = 0; i < 300; i++) /* many ids of one network for one key */
        store_put(&s, 0, i, 7, 1);
    assert_int_equal(s.n, 20 + P2P_KAD_RECORDS_KEY - 1);
    for (uint64_t i = 0; i < 300; i++) /* one id for many keys */
        store_put(&s, 1000 + i, 5000, 8, 2);
    assert_int_equal(s.n, 20 + P2P_KAD_RECORDS_KEY - 1 + P2P_KAD_RECORDS_SENDER);
    for (uint64_t i = 0; i < P2P_KAD_RECORDS + 1000; i++) /* many ids for many keys */
        store_put(&s, 10000 + i, 200000 + i, 9, 3);
    assert_int_equal(s.n, P2P_KAD_RECORDS);
    for (uint64_t i = 1; i < 20; i++) {
        assert_int_equal(store_find(&s, i, 100000 + i, 4, &there), 1);
        assert_true(there);
    }
    bool ever = false;
    for (unsigned i = 0; i < 200 && !ever; i++) {
        assert_int_equal(store_find(&s, 0, 100000, 4, &there), P2P_KAD_PROVIDERS);
        ever = there;
    }
    assert_true(ever);
    kad_store_fini(&s);
}

static void a_full_key_of_many_networks_stays_bounded(void **state)
{
    (void)state;
    struct kad_store s;
    kad_store_init(&s);
    for (uint64_t i = 0; i < 1000; i++)
        store_put(&s, 0, i, i, i);
    assert_int_equal(s.n, P2P_KAD_RECORDS_KEY);
    kad_store_fini(&s);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    rnd.s = crash_seed("kad");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place_is_the_hash_and_nearer_is_by_xor),
        cmocka_unit_test(addresses_are_believed_by_whose_network_they_are_of),
        cmocka_unit_test(contact_keeps_a_bounded_number_of_addresses),
        cmocka_unit_test(message_is_as_others_write_it),
        cmocka_unit_test(message_has_its_limits),
        cmocka_unit_test(message_that_is_none_is_refused),
        cmocka_unit_test(peers_that_are_none_are_skipped),
        cmocka_unit_test(what_is_told_is_of_use_to_who_hears_it),
        cmocka_unit_test(table_is_bounded_and_the_old_stay),
        cmocka_unit_test(who_fails_is_forgotten_after_some_times),
        cmocka_unit_test(one_network_has_few_places_of_a_bucket),
        cmocka_unit_test(nearest_are_the_nearest),
        cmocka_unit_test(walk_finds_the_nearest_that_live),
        cmocka_unit_test(liars_cost_a_bounded_number_of_queries),
        cmocka_unit_test(nobody_is_flooded_by_a_walk),
        cmocka_unit_test(records_are_kept_for_a_day),
        cmocka_unit_test(a_flood_of_records_takes_nobodys_place),
        cmocka_unit_test(a_full_key_of_many_networks_stays_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
