#include "sync/net/libp2p/mdns.h"

#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-core/log.h>
#include <errno.h>
#include <linux/netlink.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "sync/net/libp2p/mdns_packet.h"
#include "sync/net/libp2p/mdns_poll.h"
#include "sync/net/libp2p/mdns_priv.h"

/* A service has a port, which no peer of libp2p looks at; go has this one. */
enum { PORT = 4001 };

static void random_label(char ret[MDNS_LABEL_SIZE])
{
    static const char of[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i + 1 < MDNS_LABEL_SIZE; i++)
        ret[i] = of[randombytes_uniform(sizeof of - 1)];
    ret[MDNS_LABEL_SIZE - 1] = '\0';
}

/* ---- announcing --------------------------------------------------------------------------------
 */

/* Takes it all back; a while later it is tried under another name. */
static void withdraw(struct mdns *m)
{
    m->withdrawn = true;
    net_timer_set(m->retry, P2P_MDNS_RETRY_MS);
}

static int publish(struct mdns *m)
{
    AvahiPublishFlags how = AVAHI_PUBLISH_USE_MULTICAST;
    if (!avahi_s_entry_group_is_empty(m->group))
        return avahi_server_update_service_txt_strlst(m->server, m->group, AVAHI_IF_UNSPEC,
                                                      AVAHI_PROTO_UNSPEC, how, m->label,
                                                      MDNS_SERVICE, MDNS_DOMAIN, m->strings);
    int rc = avahi_server_add_service_strlst(m->server, m->group, AVAHI_IF_UNSPEC,
                                             AVAHI_PROTO_UNSPEC, how, m->label, MDNS_SERVICE,
                                             MDNS_DOMAIN, NULL, PORT, m->strings);
    return rc < 0 ? rc : avahi_s_entry_group_commit(m->group);
}

/* Has announced what there is. */
static void update(struct mdns *m)
{
    if (m->withdrawn)
        return;
    int rc = 0;
    if (m->strings != NULL)
        rc = publish(m);
    else
        avahi_s_entry_group_reset(m->group);
    if (rc < 0) {
        log_debug("mdns: cannot announce: %s", avahi_strerror(rc));
        withdraw(m);
    }
}

static void on_retry(void *arg)
{
    struct mdns *m = arg;
    m->withdrawn = false;
    avahi_s_entry_group_reset(m->group);
    random_label(m->label);
    update(m);
}

static void on_group(AvahiServer *s, AvahiSEntryGroup *g, AvahiEntryGroupState state, void *arg)
{
    (void)s, (void)g;
    if (state == AVAHI_ENTRY_GROUP_COLLISION || state == AVAHI_ENTRY_GROUP_FAILURE)
        withdraw(arg);
}

/* Appends a string to @list, which stays as it is when memory runs out. */
static int add_string(AvahiStringList **list, const struct buf *string)
{
    AvahiStringList *more =
        string->failed ? NULL : avahi_string_list_add_arbitrary(*list, string->p, string->n);
    if (more == NULL)
        return -ENOMEM;
    *list = more;
    return 0;
}

/* What is to be said of the peer; NULL: nothing. */
static int make_strings(const struct mdns *m, struct bytes addrs, const char *plate,
                        AvahiStringList **ret)
{
    struct reader r = reader_of(addrs);
    struct buf string CLEANUP(buf_fini) = {0};
    size_t sent = 0;
    int rc = 0;
    while (rc == 0 && r.n > 0 && !r.failed) {
        struct bytes addr = reader_string(&r, P2P_ADDR_BYTES);
        buf_reset(&string);
        if (r.failed || !mdns_string_write(addr, m->id, &string) ||
            sent + string.n + 1 > P2P_MDNS_SENT)
            continue;
        sent += string.n + 1;
        rc = add_string(ret, &string);
    }
    if (rc == 0 && *ret != NULL && plate[0] != '\0') {
        buf_reset(&string);
        mdns_plate_write(plate, &string);
        rc = add_string(ret, &string);
    }
    return r.failed ? -EBADMSG : rc;
}

int mdns_announce(struct mdns *m, struct bytes addrs, const char *plate)
{
    AvahiStringList *list = NULL;
    int rc = make_strings(m, addrs, plate, &list);
    bool same = avahi_string_list_equal(list, m->strings);
    if (rc < 0 || same) {
        avahi_string_list_free(list);
        return rc;
    }
    avahi_string_list_free(m->strings);
    m->strings = list;
    update(m);
    return 0;
}

/* ---- its life ----------------------------------------------------------------------------------
 */

static void on_log(AvahiLogLevel level, const char *text)
{
    (void)level;
    log_debug("mdns: %s", text);
}

/* Its state is of no use: no addresses are published, which could be public ones, so that there is
 * nothing whose name another host could have. */
static void on_server(AvahiServer *s, AvahiServerState state, void *arg)
{
    (void)s, (void)state, (void)arg;
}

/* Asked before the library, which ends the program when it cannot. */
static bool can_watch_interfaces(void)
{
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int start_server(struct mdns *m, struct err *err)
{
    char host[MDNS_LABEL_SIZE];
    AvahiServerConfig c;
    int rc = 0;
    if (!can_watch_interfaces())
        return err_set(err, -ENOTSUP,
                       "local network: the network's interfaces cannot be watched (netlink): %s; "
                       "other devices are found without multicast DNS",
                       strerror(errno));
    random_label(host);
    avahi_set_log_function(on_log);
    avahi_server_config_init(&c);
    c.host_name = avahi_strdup(host);
    c.publish_hinfo = c.publish_addresses = c.publish_workstation = c.publish_domain = 0;
    c.enable_wide_area = 0;
    c.n_cache_entries_max = P2P_MDNS_CACHE;
    m->server = avahi_server_new(&m->poll, &c, on_server, m, &rc);
    avahi_server_config_free(&c);
    if (m->server != NULL)
        return 0;
    if (rc == AVAHI_ERR_NO_NETWORK)
        return err_set(
            err, -EADDRINUSE,
            "local network: no socket for multicast DNS at UDP port 5353: another program "
            "has it and does not share it, or there is no multicast; other devices are "
            "found without it");
    return err_set(err, -ENOMEM, "local network: multicast DNS cannot start: %s",
                   avahi_strerror(rc));
}

static int start(struct mdns *m, struct net_loop *l, struct err *err)
{
    int rc = net_timer_new(l, on_retry, m, &m->retry);
    if (rc == 0)
        rc = start_server(m, err);
    if (rc < 0)
        return rc;
    m->group = avahi_s_entry_group_new(m->server, on_group, m);
    if (m->group == NULL || mdns_browse_start(m, l) < 0)
        return err_set(err, -ENOMEM, "local network: multicast DNS cannot start: out of memory");
    return 0;
}

int mdns_new(struct net_loop *l, const struct mdns_config *cfg, struct mdns **ret, struct err *err)
{
    struct mdns *m = calloc(1, sizeof *m);
    if (m == NULL)
        return err_set(err, -ENOMEM, "local network: out of memory");
    memcpy(m->id, cfg->id, PEER_ID_BYTES);
    m->loopback = cfg->loopback;
    m->found = cfg->found;
    m->lost = cfg->lost;
    m->user = cfg->user;
    mdns_poll_init(&m->poll, l);
    random_label(m->label);
    int rc = start(m, l, err);
    if (rc < 0) {
        mdns_free(m);
        return rc;
    }
    *ret = m;
    return 0;
}

void mdns_free(struct mdns *m)
{
    if (m == NULL)
        return;
    mdns_browse_end(m);
    if (m->server != NULL)
        avahi_server_free(m->server); /* and with it the group: what was announced is taken back */
    avahi_string_list_free(m->strings);
    net_timer_free(m->retry);
    free(m);
}
