/*
 * Peers that find each other by multicast DNS, in two network namespaces that a pair of virtual
 * Ethernet devices joins: this peer and another one like it, or js-libp2p's, or somebody who sends
 * what no peer does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "sync/net/libp2p/limits.h"
#include "sync/net/libp2p/mdns.h"
#include "sync/net/libp2p/multiaddr.h"

enum { SIDES = 2, WAIT_MS = 180000, SEEN_MAX = 2048, TEXT_MAX = 4096, MDNS_PORT = 5353 };

#define GROUP "224.0.0.251"
#define SERVICE "\x04_p2p\x04_udp\x05local"

/* ---- the networks ------------------------------------------------------------------------------
 */

static int ns[SIDES], home_ns; /* descriptors */

static void enter(int fd)
{
    assert_int_equal(setns(fd, CLONE_NEWNET), 0);
}

static int new_ns(void)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void sh_in(int side, const char *command)
{
    enter(ns[side]);
    assert_int_equal(system(command), 0);
    enter(ns[0]);
}

static int join_networks(void **state)
{
    char command[256];
    (void)state;
    home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ns[0] = new_ns();
    ns[1] = new_ns();
    snprintf(command, sizeof command,
             "ip link set lo up && ip link add va type veth peer name vb && "
             "ip link set vb netns /proc/%d/fd/%d && ip address add 10.77.0.1/24 dev va && "
             "ip link set va up",
             (int)getpid(), ns[1]);
    sh_in(0, command);
    sh_in(1, "ip link set lo up && ip address add 10.77.0.2/24 dev vb && ip link set vb up && "
             "ip route add default dev vb");
    return 0;
}

static int leave_networks(void **state)
{
    (void)state;
    enter(home_ns);
    close(ns[0]);
    close(ns[1]);
    close(home_ns);
    return 0;
}

/* ---- peers -------------------------------------------------------------------------------------
 */

struct seen {
    uint8_t id[PEER_ID_BYTES];
    char addrs[TEXT_MAX]; /* each and a space; "" when it is lost */
    char plate[MDNS_PLATE_SIZE];
    size_t n;
};

struct side {
    struct mdns *m;
    uint8_t id[PEER_ID_BYTES];
    char plate[MDNS_PLATE_SIZE]; /* announced with the addresses */
    struct seen seen[SEEN_MAX];
    size_t seen_n;
    size_t most; /* addresses of one peer */
};

static struct world {
    struct net_loop *loop;
    struct net_timer *timer;
    struct side side[SIDES];
} w;

static struct seen *find(struct side *s, const uint8_t *id)
{
    for (size_t i = 0; i < s->seen_n; i++)
        if (memcmp(s->seen[i].id, id, PEER_ID_BYTES) == 0)
            return &s->seen[i];
    assert_true(s->seen_n < SEEN_MAX);
    memcpy(s->seen[s->seen_n].id, id, PEER_ID_BYTES);
    return &s->seen[s->seen_n++];
}

static void on_found(const uint8_t *id, struct bytes addrs, const char *plate, void *user)
{
    struct side *s = user;
    struct seen *p = find(s, id);
    assert_memory_not_equal(id, s->id, PEER_ID_BYTES);
    p->addrs[0] = '\0';
    p->n = 0;
    snprintf(p->plate, sizeof p->plate, "%s", plate);
    for (struct reader r = reader_of(addrs); r.n > 0; p->n++) {
        struct buf text CLEANUP(buf_fini) = {0};
        size_t at = strlen(p->addrs);
        assert_int_equal(maddr_text(reader_string(&r, P2P_ADDR_BYTES), &text), 0);
        snprintf(p->addrs + at, TEXT_MAX - at, "%.*s ", (int)text.n, (const char *)text.p);
    }
    s->most = p->n > s->most ? p->n : s->most;
}

static void on_lost(const uint8_t *id, void *user)
{
    struct seen *p = find(user, id);
    assert_true(p->n > 0);
    p->addrs[0] = '\0';
    p->n = 0;
}

static void random_id(uint8_t ret[PEER_ID_BYTES])
{
    uint8_t key[PEER_ID_KEY_BYTES];
    randombytes_buf(key, sizeof key);
    peer_id_of_key(key, ret);
}

static void start(int side)
{
    struct side *s = &w.side[side];
    struct mdns_config cfg = {.id = s->id, .found = on_found, .lost = on_lost, .user = s};
    struct err err = {0};
    enter(ns[side]);
    assert_int_equal(mdns_new(w.loop, &cfg, &s->m, &err), 0);
    enter(ns[0]);
}

static void stop(int side)
{
    mdns_free(w.side[side].m);
    w.side[side].m = NULL;
}

/* Addresses as text, a space between two. */
static void announce(int side, const char *addrs)
{
    struct buf list CLEANUP(buf_fini) = {0};
    while (*addrs != '\0') {
        struct buf addr CLEANUP(buf_fini) = {0};
        size_t n = strcspn(addrs, " ");
        assert_int_equal(maddr_parse(bytes_of(addrs, n), &addr, NULL), 0);
        buf_put_string(&list, buf_bytes(&addr));
        addrs += n + (addrs[n] == ' ');
    }
    assert_int_equal(mdns_announce(w.side[side].m, buf_bytes(&list), w.side[side].plate), 0);
}

static void on_timer(void *arg)
{
    (void)arg;
    net_loop_stop(w.loop);
}

static void run_ms(uint64_t ms)
{
    net_timer_set(w.timer, ms);
    assert_int_equal(net_loop_run(w.loop), 0);
}

static void until(bool (*done)(void *arg), void *arg)
{
    uint64_t end = net_now_ms() + WAIT_MS;
    while (!done(arg)) {
        assert_true(net_now_ms() < end);
        run_ms(20);
    }
}

/* What one side is to know of a peer. */
struct want {
    int side;
    const uint8_t *id;
    const char *addrs; /* sorted, each and a space */
};

static bool is_known(void *arg)
{
    const struct want *want = arg;
    return strcmp(find(&w.side[want->side], want->id)->addrs, want->addrs) == 0;
}

static void until_known(int side, const uint8_t *id, const char *addrs)
{
    struct want want = {side, id, addrs};
    until(is_known, &want);
}

static int set_up(void **state)
{
    struct err err = {0};
    (void)state;
    memset(&w, 0, sizeof w);
    enter(ns[0]);
    assert_int_equal(net_loop_new(256, &w.loop, &err), 0);
    assert_int_equal(net_timer_new(w.loop, on_timer, NULL, &w.timer), 0);
    for (int i = 0; i < SIDES; i++)
        random_id(w.side[i].id);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < SIDES; i++)
        stop(i);
    net_timer_free(w.timer);
    net_loop_free(w.loop);
    return 0;
}

/* ---- one like this -----------------------------------------------------------------------------
 */

static void peers_find_each_other(void **state)
{
    (void)state;
    start(0);
    start(1);
    announce(0, "/ip4/10.77.0.1/tcp/4001 /ip4/10.77.0.1/tcp/4001/ws /ip4/127.0.0.1/tcp/4001 "
                "/ip4/8.8.8.8/tcp/4001 /ip6/fd00::1/tcp/4001");
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
    until_known(1, w.side[0].id,
                "/ip4/10.77.0.1/tcp/4001 /ip4/10.77.0.1/tcp/4001/ws /ip6/fd00::1/tcp/4001 ");
    assert_int_equal(w.side[0].seen_n, 1);
    assert_int_equal(w.side[1].seen_n, 1);
}

static void other_addresses_are_told(void **state)
{
    (void)state;
    start(0);
    start(1);
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
    announce(1, "/ip4/10.77.0.2/tcp/2 /ip4/10.77.0.2/tcp/3");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/2 /ip4/10.77.0.2/tcp/3 ");
    announce(1, "/ip4/8.8.8.8/tcp/2");
    until_known(0, w.side[1].id, "");
    announce(1, "/ip4/10.77.0.2/tcp/4");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/4 ");
}

static bool plate_is_known(void *arg)
{
    const struct want *want = arg;
    return strcmp(find(&w.side[want->side], want->id)->plate, want->addrs) == 0;
}

static void until_plate(int side, const uint8_t *id, const char *plate)
{
    struct want want = {side, id, plate};
    until(plate_is_known, &want);
}

static void who_waits_for_a_device_is_found_by_its_plate(void **state)
{
    (void)state;
    start(0);
    start(1);
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
    snprintf(w.side[1].plate, MDNS_PLATE_SIZE, "7842");
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_plate(0, w.side[1].id, "7842");
    snprintf(w.side[1].plate, MDNS_PLATE_SIZE, "0099");
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_plate(0, w.side[1].id, "0099");
    w.side[1].plate[0] = '\0';
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_plate(0, w.side[1].id, "");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
}

static void one_that_goes_is_lost(void **state)
{
    (void)state;
    start(0);
    start(1);
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
    stop(1);
    until_known(0, w.side[1].id, "");
}

static void a_network_that_goes_comes_back(void **state)
{
    (void)state;
    start(0);
    start(1);
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
    sh_in(0, "ip link set va down");
    until_known(0, w.side[1].id, "");
    sh_in(0, "ip link set va up");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
}

/* ---- js-libp2p ---------------------------------------------------------------------------------
 */

struct node {
    pid_t pid;
    int fd;
    char said[1 << 16];
    size_t n;
    const char *wanted[2]; /* in one line */
};

static void node_start(struct node *n)
{
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    enter(ns[1]);
    n->pid = fork();
    assert_true(n->pid >= 0);
    if (n->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
        dup2(out[1], STDOUT_FILENO);
        execlp("node", "node", INTEROP_DIR "/peer.mjs", "listen", "--tcp", "--mdns", "--host",
               "10.77.0.2", "--tcp-port", "4000", NULL);
        _exit(127);
    }
    enter(ns[0]);
    close(out[1]);
    n->fd = out[0];
}

static bool node_has_said(void *arg)
{
    struct node *n = arg;
    ssize_t got = read(n->fd, n->said + n->n, sizeof n->said - 1 - n->n);
    n->n += got > 0 ? (size_t)got : 0;
    for (char *line = n->said, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        bool is = strstr(line, n->wanted[0]) != NULL && strstr(line, n->wanted[1]) != NULL;
        *end = '\n';
        if (is)
            return true;
    }
    return false;
}

static void js_finds_and_is_found(void **state)
{
    static struct node n;
    char id[PEER_ID_TEXT_SIZE];
    uint8_t js[PEER_ID_BYTES];
    (void)state;
    start(0);
    snprintf(w.side[0].plate, MDNS_PLATE_SIZE, "7842"); /* which is passed over */
    announce(0, "/ip4/10.77.0.1/tcp/4001");
    node_start(&n);
    n.wanted[0] = "\"listening\"";
    n.wanted[1] = "12D3KooW";
    until(node_has_said, &n);
    assert_int_equal(peer_id_parse(bytes_of(strstr(n.said, n.wanted[1]), 52), js), 0);
    until_known(0, js, "/ip4/10.77.0.2/tcp/4000 ");
    n.wanted[0] = "\"discovered\"";
    n.wanted[1] = peer_id_text(w.side[0].id, id);
    until(node_has_said, &n);
    n.wanted[0] = "/ip4/10.77.0.1/tcp/4001";
    assert_true(node_has_said(&n));
    assert_int_equal(kill(n.pid, SIGTERM), 0);
    assert_int_equal(waitpid(n.pid, NULL, 0), n.pid);
    close(n.fd);
}

/* ---- who is no peer ----------------------------------------------------------------------------
 */

enum { TYPE_CNAME = 5, TYPE_PTR = 12, TYPE_TXT = 16, TYPE_SRV = 33 };

/* A socket of the other side, at the port of multicast DNS. */
static int fake_socket(void)
{
    enter(ns[1]);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
    struct ip_mreqn group = {0};
    assert_int_equal(inet_pton(AF_INET, GROUP, &group.imr_multiaddr), 1);
    assert_int_equal(inet_pton(AF_INET, "10.77.0.2", &group.imr_address), 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group), 0);
    enter(ns[0]);
    return fd;
}

static void fake_send(int fd, struct buf *b)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
    assert_int_equal(inet_pton(AF_INET, GROUP, &to.sin_addr), 1);
    assert_int_equal(sendto(fd, b->p, b->n, 0, (const struct sockaddr *)&to, sizeof to), b->n);
    buf_fini(b);
}

static void put_head(struct buf *b, uint16_t answers)
{
    buf_put_u32(b, 0x8400);
    buf_put_u16(b, 0);
    buf_put_u16(b, answers);
    buf_put_u32(b, 0);
}

/* "LABEL._p2p._udp.local". */
static void put_name(struct buf *b, const char *label)
{
    buf_put_string(b, bytes_str(label)); /* a varint below 128 is a byte */
    buf_put(b, SERVICE, sizeof SERVICE);
}

static void put_record(struct buf *b, const char *label, uint16_t type, uint32_t ttl,
                       struct bytes data)
{
    if (label != NULL)
        put_name(b, label);
    else
        buf_put(b, SERVICE, sizeof SERVICE);
    buf_put_u16(b, type);
    buf_put_u16(b, 1);
    buf_put_u32(b, ttl);
    buf_put_u16(b, (uint16_t)data.n);
    buf_put_bytes(b, data);
}

static void put_pointer(struct buf *b, const char *label, uint16_t type)
{
    struct buf name CLEANUP(buf_fini) = {0};
    put_name(&name, label);
    put_record(b, type == TYPE_PTR ? NULL : label, type, 120, buf_bytes(&name));
}

/* A string that says where the peer is. */
static void put_place(struct buf *b, const uint8_t *id, const char *addr)
{
    char string[P2P_MDNS_STRING + 1], text[PEER_ID_TEXT_SIZE];
    snprintf(string, sizeof string, "dnsaddr=%s/p2p/%s", addr, peer_id_text(id, text));
    buf_put_u8(b, (uint8_t)strlen(string));
    buf_put_bytes(b, bytes_str(string));
}

/* A name, and what it says. */
static void fake_peer(int fd, const char *label, struct bytes txt)
{
    struct buf b = {0};
    put_head(&b, 2);
    put_pointer(&b, label, TYPE_PTR);
    put_record(&b, label, TYPE_TXT, 120, txt);
    fake_send(fd, &b);
}

/* An honest peer, known before. */
static void with_another(void)
{
    start(0);
    start(1);
    announce(1, "/ip4/10.77.0.2/tcp/1");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/1 ");
}

/* It is known still, and what it says is heard. */
static void it_is_there_still(void)
{
    announce(1, "/ip4/10.77.0.2/tcp/2");
    until_known(0, w.side[1].id, "/ip4/10.77.0.2/tcp/2 ");
}

static size_t known_now(const struct side *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->seen_n; i++)
        n += s->seen[i].n > 0;
    return n;
}

static bool all_places_are_taken(void *arg)
{
    (void)arg;
    /* This peer's own name has a place, too. */
    return known_now(&w.side[0]) >= P2P_MDNS_NAMES - 1;
}

static void a_thousand_names_have_an_end(void **state)
{
    (void)state;
    with_another();
    int fd = fake_socket();
    for (int i = 0; i < 1000; i++) {
        char label[16];
        uint8_t id[PEER_ID_BYTES];
        struct buf txt CLEANUP(buf_fini) = {0};
        snprintf(label, sizeof label, "name%d", i);
        random_id(id);
        put_place(&txt, id, "/ip4/10.77.0.3/tcp/1");
        fake_peer(fd, label, buf_bytes(&txt));
        if (i % 10 == 0)
            run_ms(5);
    }
    until(all_places_are_taken, NULL);
    run_ms(500);
    assert_in_range(known_now(&w.side[0]), P2P_MDNS_NAMES - 2, P2P_MDNS_NAMES);
    it_is_there_still();
    close(fd);
}

static bool has_all_addresses(void *arg)
{
    const struct side *s = arg;
    return s->most == P2P_ADDRS;
}

static void ten_thousand_addresses_have_an_end(void **state)
{
    uint8_t id[PEER_ID_BYTES];
    (void)state;
    with_another();
    random_id(id);
    int fd = fake_socket();
    for (int i = 0; i < 1000; i++) {
        struct buf txt CLEANUP(buf_fini) = {0};
        for (int k = 0; k < 10; k++) {
            char addr[64];
            snprintf(addr, sizeof addr, "/ip4/10.%d.%d.%d/tcp/1", 1 + i / 250, i % 250, k);
            put_place(&txt, id, addr);
        }
        fake_peer(fd, i % 2 == 0 ? "even" : "odd", buf_bytes(&txt));
        if (i % 10 == 0)
            run_ms(5);
    }
    until(has_all_addresses, &w.side[0]);
    it_is_there_still();
    assert_int_equal(w.side[0].most, P2P_ADDRS);
    close(fd);
}

static void what_is_no_place_is_skipped(void **state)
{
    static const char *const bad[] = {"/ip4/8.8.8.8/tcp/1",   "/ip4/127.0.0.1/tcp/1", "/tcp/1", "",
                                      "/ip4/10.77.0.3/udp/1", "/dns4/a/tcp/1",        "garbage"};
    uint8_t id[PEER_ID_BYTES], other[PEER_ID_BYTES];
    struct buf txt CLEANUP(buf_fini) = {0};
    struct buf own CLEANUP(buf_fini) = {0};
    (void)state;
    with_another();
    int fd = fake_socket();
    random_id(id);
    random_id(other);
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        put_place(&txt, id, bad[i]);
    put_place(&txt, id, "/ip4/10.77.0.3/tcp/1");
    put_place(&txt, other, "/ip4/10.77.0.4/tcp/1"); /* a name is one peer's */
    put_place(&own, w.side[0].id, "/ip4/10.77.0.3/tcp/1");
    fake_peer(fd, "mixed", buf_bytes(&txt));
    fake_peer(fd, "own", buf_bytes(&own));
    /* The library keeps the strings in the order in which they came, or the other way round. */
    uint64_t end = net_now_ms() + WAIT_MS;
    while (find(&w.side[0], id)->n + find(&w.side[0], other)->n == 0) {
        assert_true(net_now_ms() < end);
        run_ms(20);
    }
    it_is_there_still();
    assert_int_equal(find(&w.side[0], id)->n + find(&w.side[0], other)->n, 1);
    assert_int_equal(known_now(&w.side[0]), 2);
    close(fd);
}

/* The library alone ends the program here. */
static void aliases_are_not_followed(void **state)
{
    uint8_t id[PEER_ID_BYTES];
    struct buf txt CLEANUP(buf_fini) = {0};
    (void)state;
    with_another();
    int fd = fake_socket();
    random_id(id);
    put_place(&txt, id, "/ip4/10.77.0.3/tcp/1");
    fake_peer(fd, "alias", buf_bytes(&txt));
    until_known(0, id, "/ip4/10.77.0.3/tcp/1 ");
    for (int i = 0; i < 3; i++) {
        static const char *const to[] = {"alias", "other"};
        for (size_t k = 0; k < ARRAY_N(to); k++) {
            struct buf b = {0}, name CLEANUP(buf_fini) = {0};
            put_name(&name, to[k]);
            put_head(&b, 1);
            put_record(&b, "alias", TYPE_CNAME, 1, buf_bytes(&name));
            fake_send(fd, &b);
        }
        run_ms(1300);
    }
    it_is_there_still();
    close(fd);
}

static void broken_packets_do_no_harm(void **state)
{
    uint8_t id[PEER_ID_BYTES];
    (void)state;
    with_another();
    int fd = fake_socket();
    random_id(id);
    for (int i = 0; i < 3000; i++) {
        struct buf b = {0}, txt CLEANUP(buf_fini) = {0};
        put_place(&txt, id, "/ip4/10.77.0.3/tcp/1");
        put_head(&b, (uint16_t)randombytes_uniform(4));
        put_pointer(&b, "broken", TYPE_PTR);
        put_record(&b, "broken", TYPE_TXT, 120, buf_bytes(&txt));
        put_pointer(&b, "broken", TYPE_SRV);
        for (uint32_t k = randombytes_uniform(4); k > 0; k--)
            b.p[randombytes_uniform((uint32_t)b.n)] = (uint8_t)randombytes_uniform(256);
        b.n -= randombytes_uniform(3) == 0 ? randombytes_uniform((uint32_t)b.n) : 0;
        if (b.n > 0)
            fake_send(fd, &b);
        buf_fini(&b);
        if (i % 10 == 0)
            run_ms(2);
    }
    it_is_there_still();
    close(fd);
}

/* ---- names -------------------------------------------------------------------------------------
 */

enum { LABEL = 32 };

/* The name that this peer has, from the next packet in which it stands first. */
static bool hear_label(int fd, char ret[LABEL + 1])
{
    uint8_t p[P2P_MDNS_PACKET];
    ssize_t n;
    while ((n = recv(fd, p, sizeof p, 0)) > 0)
        for (size_t i = 12; i + LABEL < (size_t)n; i++) {
            size_t k = 0;
            while (k < LABEL &&
                   strchr("abcdefghijklmnopqrstuvwxyz0123456789", p[i + 1 + k]) != NULL &&
                   p[i + 1 + k] != '\0')
                k++;
            if (p[i] == LABEL && k == LABEL) {
                memcpy(ret, p + i + 1, LABEL);
                ret[LABEL] = '\0';
                return true;
            }
        }
    return false;
}

static void a_name_that_is_taken_is_given_up(void **state)
{
    char first[LABEL + 1] = "", now[LABEL + 1];
    uint64_t end = net_now_ms() + WAIT_MS;
    (void)state;
    int fd = fake_socket();
    start(0);
    announce(0, "/ip4/10.77.0.1/tcp/4001");
    for (;;) {
        assert_true(net_now_ms() < end);
        run_ms(50);
        bool heard = hear_label(fd, now);
        if (heard && first[0] == '\0')
            memcpy(first, now, sizeof first);
        else if (heard && strcmp(first, now) != 0)
            break;
        if (first[0] == '\0')
            continue;
        struct buf b = {0}, target CLEANUP(buf_fini) = {0};
        put_head(&b, 1);
        buf_put(&target, "\xff\xff\xff\xff\xff\xff", 6);
        put_name(&target, "zzz");
        put_record(&b, first, TYPE_SRV, 120, buf_bytes(&target));
        fake_send(fd, &b);
    }
    /* Under the new one it is found. */
    start(1);
    until_known(1, w.side[0].id, "/ip4/10.77.0.1/tcp/4001 ");
    close(fd);
}

static void a_port_that_is_not_shared_is_told(void **state)
{
    struct mdns_config cfg = {.id = w.side[0].id, .found = on_found, .lost = on_lost};
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(MDNS_PORT)};
    struct mdns *m;
    struct err err = {0};
    (void)state;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* of both versions */
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(mdns_new(w.loop, &cfg, &m, &err), -EADDRINUSE);
    assert_non_null(strstr(err.msg, "5353"));
    close(fd);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(peers_find_each_other),
        TEST(other_addresses_are_told),
        TEST(who_waits_for_a_device_is_found_by_its_plate),
        TEST(one_that_goes_is_lost),
        TEST(a_network_that_goes_comes_back),
        TEST(js_finds_and_is_found),
        TEST(a_thousand_names_have_an_end),
        TEST(ten_thousand_addresses_have_an_end),
        TEST(what_is_no_place_is_skipped),
        TEST(aliases_are_not_followed),
        TEST(broken_packets_do_no_harm),
        TEST(a_name_that_is_taken_is_given_up),
        TEST(a_port_that_is_not_shared_is_told),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, join_networks, leave_networks);
}
