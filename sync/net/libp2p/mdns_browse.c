/*
 * What others say: names of the service, TXT records of each name, in them addresses of one peer.
 * A name, and each of its records, comes once for each interface and version of IP.
 */
#include <avahi-common/domain.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "sync/net/libp2p/mdns_packet.h"
#include "sync/net/libp2p/mdns_priv.h"

struct record {
    struct record *next;
    AvahiIfIndex interface;
    AvahiProtocol protocol;
    uint8_t id[PEER_ID_BYTES];
    struct buf addrs; /* each as buf_put_string() does */
    char plate[MDNS_PLATE_SIZE];
};

struct mdns_name {
    struct mdns *m;
    struct mdns_name *next;
    unsigned seen; /* interfaces on which it is there */
    AvahiSRecordBrowser *browser;
    struct record *records; /* all of one peer, the oldest first */
    size_t records_n;
    char text[AVAHI_LABEL_MAX];
};

/* ---- peers -------------------------------------------------------------------------------------
 */

struct addr_list {
    struct bytes v[P2P_ADDRS]; /* sorted; borrowed from records */
    size_t n;
};

static void add_addr(struct addr_list *l, struct bytes addr)
{
    size_t at = 0;
    while (at < l->n && bytes_cmp(l->v[at], addr) < 0)
        at++;
    if (l->n == ARRAY_N(l->v) || (at < l->n && bytes_equal(l->v[at], addr)))
        return;
    memmove(&l->v[at + 1], &l->v[at], (l->n - at) * sizeof l->v[0]);
    l->v[at] = addr;
    l->n++;
}

static bool is_of(const struct mdns_name *n, const uint8_t *id)
{
    return n->records != NULL && memcmp(n->records->id, id, PEER_ID_BYTES) == 0;
}

/* All addresses that any name says of the peer, and the newest of the plates. */
static void collect(const struct mdns *m, const uint8_t *id, struct buf *ret,
                    char ret_plate[static MDNS_PLATE_SIZE])
{
    struct addr_list l = {.n = 0};
    ret_plate[0] = '\0';
    for (const struct mdns_name *n = m->names; n != NULL; n = n->next)
        for (const struct record *c = is_of(n, id) ? n->records : NULL; c != NULL; c = c->next) {
            for (struct reader r = reader_of(buf_bytes(&c->addrs)); r.n > 0;)
                add_addr(&l, reader_string(&r, P2P_ADDR_BYTES));
            if (c->plate[0] != '\0')
                memcpy(ret_plate, c->plate, MDNS_PLATE_SIZE);
        }
    for (size_t i = 0; i < l.n; i++)
        buf_put_string(ret, l.v[i]);
}

/* Tells of a peer when something is new; false: it is gone, and forgotten. */
static bool tell(struct mdns *m, struct mdns_peer *p)
{
    struct buf now = {0};
    char plate[MDNS_PLATE_SIZE];
    collect(m, p->id, &now, plate);
    if (buf_status(&now) < 0 ||
        (bytes_equal(buf_bytes(&now), buf_bytes(&p->addrs)) && strcmp(plate, p->plate) == 0)) {
        buf_fini(&now);
        return p->addrs.n > 0;
    }
    buf_fini(&p->addrs);
    p->addrs = now;
    memcpy(p->plate, plate, sizeof plate);
    if (now.n > 0)
        m->found(p->id, buf_bytes(&p->addrs), p->plate, m->user);
    else
        m->lost(p->id, m->user);
    return now.n > 0;
}

static bool is_told(const struct mdns *m, const uint8_t *id)
{
    for (size_t i = 0; i < m->peers_n; i++)
        if (memcmp(m->peers[i].id, id, PEER_ID_BYTES) == 0)
            return true;
    return false;
}

/* Those that are gone first: then there is room, as each other one has a name. */
static void on_settle(void *arg)
{
    struct mdns *m = arg;
    m->changed = false;
    for (size_t i = m->peers_n; i-- > 0;)
        if (!tell(m, &m->peers[i])) {
            buf_fini(&m->peers[i].addrs);
            m->peers[i] = m->peers[--m->peers_n];
        }
    for (const struct mdns_name *n = m->names; n != NULL; n = n->next) {
        if (n->records == NULL || is_told(m, n->records->id) || m->peers_n == ARRAY_N(m->peers))
            continue;
        struct mdns_peer *p = &m->peers[m->peers_n];
        *p = (struct mdns_peer){0};
        memcpy(p->id, n->records->id, PEER_ID_BYTES);
        if (tell(m, p))
            m->peers_n++;
    }
}

/* Soon it is told; what goes on changing does not put that off. */
static void changed(struct mdns *m)
{
    if (!m->changed)
        net_timer_set(m->settle, P2P_MDNS_SETTLE_MS);
    m->changed = true;
}

/* ---- records -----------------------------------------------------------------------------------
 */

static size_t cost_of(const struct record *c)
{
    return sizeof *c + c->addrs.cap;
}

static void record_free(struct mdns_name *n, struct record **at)
{
    struct record *c = *at;
    *at = c->next;
    n->records_n--;
    n->m->bytes -= cost_of(c);
    buf_fini(&c->addrs);
    free(c);
    changed(n->m);
}

/* What a record says of the first peer in it. False: nothing. */
static bool record_read(const struct mdns *m, const AvahiStringList *s, struct record *ret)
{
    uint8_t id[PEER_ID_BYTES];
    size_t n = 0;
    for (; s != NULL && n < P2P_ADDRS; s = s->next) {
        size_t at = ret->addrs.n;
        char plate[MDNS_PLATE_SIZE];
        if (mdns_plate_read(bytes_of(s->text, s->size), plate))
            memcpy(ret->plate, plate, sizeof plate);
        if (!mdns_string_read(bytes_of(s->text, s->size), m->loopback, id, &ret->addrs))
            continue;
        if (n == 0)
            memcpy(ret->id, id, sizeof id);
        if (memcmp(ret->id, id, sizeof id) == 0)
            n++;
        else
            ret->addrs.n = at;
    }
    return n > 0 && buf_status(&ret->addrs) == 0 && memcmp(ret->id, m->id, sizeof ret->id) != 0;
}

/* One more, also when it says the same as another: each is removed for itself. Takes what @got has.
 */
static void record_new(struct mdns_name *n, struct record *got)
{
    if (n->records_n == P2P_MDNS_RECORDS || n->m->bytes + cost_of(got) > P2P_MDNS_BYTES ||
        (n->records != NULL && !is_of(n, got->id)))
        return;
    struct record *c = malloc(sizeof *c), **end = &n->records;
    if (c == NULL)
        return;
    while (*end != NULL)
        end = &(*end)->next;
    *c = *got;
    got->addrs = (struct buf){0};
    *end = c;
    n->records_n++;
    n->m->bytes += cost_of(c);
    changed(n->m);
}

/* One that says the same is gone. */
static void record_gone(struct mdns_name *n, const struct record *like)
{
    for (struct record **at = &n->records; *at != NULL; at = &(*at)->next)
        if ((*at)->interface == like->interface && (*at)->protocol == like->protocol &&
            memcmp((*at)->id, like->id, PEER_ID_BYTES) == 0 &&
            strcmp((*at)->plate, like->plate) == 0 &&
            bytes_equal(buf_bytes(&(*at)->addrs), buf_bytes(&like->addrs))) {
            record_free(n, at);
            return;
        }
}

static void on_record(AvahiSRecordBrowser *b, AvahiIfIndex interface, AvahiProtocol protocol,
                      AvahiBrowserEvent event, AvahiRecord *record, AvahiLookupResultFlags flags,
                      void *arg)
{
    struct mdns_name *n = arg;
    struct record got = {.interface = interface, .protocol = protocol};
    (void)b, (void)flags;
    if (record == NULL || record->key->type != AVAHI_DNS_TYPE_TXT)
        return;
    if (record_read(n->m, record->data.txt.string_list, &got)) {
        if (event == AVAHI_BROWSER_NEW)
            record_new(n, &got);
        else if (event == AVAHI_BROWSER_REMOVE)
            record_gone(n, &got);
    }
    buf_fini(&got.addrs);
}

/* ---- names -------------------------------------------------------------------------------------
 */

static struct mdns_name **find_name(struct mdns *m, const char *text)
{
    struct mdns_name **at = &m->names;
    while (*at != NULL && strcasecmp((*at)->text, text) != 0)
        at = &(*at)->next;
    return at;
}

static void name_free(struct mdns_name **at)
{
    struct mdns_name *n = *at;
    *at = n->next;
    n->m->names_n--;
    while (n->records != NULL)
        record_free(n, &n->records);
    if (n->browser != NULL)
        avahi_s_record_browser_free(n->browser);
    free(n);
}

/* Asks for the records of a name. */
static AvahiSRecordBrowser *ask(struct mdns_name *n)
{
    char full[AVAHI_DOMAIN_NAME_MAX];
    if (avahi_service_name_join(full, sizeof full, n->text, MDNS_SERVICE, MDNS_DOMAIN) < 0)
        return NULL;
    AvahiKey *key = avahi_key_new(full, AVAHI_DNS_CLASS_IN, AVAHI_DNS_TYPE_TXT);
    if (key == NULL)
        return NULL;
    AvahiSRecordBrowser *b =
        avahi_s_record_browser_new(n->m->server, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, key,
                                   AVAHI_LOOKUP_USE_MULTICAST, on_record, n);
    avahi_key_unref(key);
    return b;
}

/* Remembers a name, at the end of the list. One that has no room now is not looked at again before
 * it goes and comes: whoever announces so many names could have it out at any time. */
static void name_new(struct mdns *m, const char *text, struct mdns_name **end)
{
    if (m->names_n == P2P_MDNS_NAMES || strlen(text) >= sizeof(*end)->text)
        return;
    struct mdns_name *n = calloc(1, sizeof *n);
    if (n == NULL)
        return;
    n->m = m;
    n->seen = 1;
    memcpy(n->text, text, strlen(text) + 1);
    *end = n;
    m->names_n++;
    n->browser = ask(n);
    if (n->browser == NULL)
        name_free(end);
}

static void on_name(AvahiSServiceBrowser *b, AvahiIfIndex interface, AvahiProtocol protocol,
                    AvahiBrowserEvent event, const char *text, const char *type, const char *domain,
                    AvahiLookupResultFlags flags, void *arg)
{
    struct mdns *m = arg;
    (void)b, (void)interface, (void)protocol, (void)flags;
    if (text == NULL || !avahi_domain_equal(type, MDNS_SERVICE) ||
        !avahi_domain_equal(domain, MDNS_DOMAIN))
        return;
    struct mdns_name **at = find_name(m, text);
    if (event == AVAHI_BROWSER_NEW && *at == NULL)
        name_new(m, text, at);
    else if (event == AVAHI_BROWSER_NEW)
        (*at)->seen++;
    else if (event == AVAHI_BROWSER_REMOVE && *at != NULL && --(*at)->seen == 0)
        name_free(at);
}

/* ---- its life ----------------------------------------------------------------------------------
 */

int mdns_browse_start(struct mdns *m, struct net_loop *l)
{
    int rc = net_timer_new(l, on_settle, m, &m->settle);
    if (rc < 0)
        return rc;
    m->browser =
        avahi_s_service_browser_new(m->server, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, MDNS_SERVICE,
                                    MDNS_DOMAIN, AVAHI_LOOKUP_USE_MULTICAST, on_name, m);
    return m->browser != NULL ? 0 : -ENOMEM;
}

void mdns_browse_end(struct mdns *m)
{
    if (m->browser != NULL)
        avahi_s_service_browser_free(m->browser);
    while (m->names != NULL)
        name_free(&m->names);
    for (size_t i = 0; i < m->peers_n; i++)
        buf_fini(&m->peers[i].addrs);
    net_timer_free(m->settle);
}
