#include "sync/links/pairing_mail.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "sync/links/mailbox.h"
#include "sync/links/peers_priv.h"

enum {
    AGAIN_MS = 200,
    EMPTY_MS = 6000, /* until one that is empty is looked into again: two codes in a minute are no
                        more joins than a server takes of one address (SRV_MAILBOX_RATE) */
};

/* The mailbox of one server. */
struct box {
    struct pairing_mail *of;
    struct ring all; /* in its boxes */
    struct remote remote;
    struct mailbox *mailbox; /* NULL: not open */
    struct net_timer *timer; /* until it is opened again */
    struct backoff backoff;
    uint8_t met[PEER_ID_BYTES]; /* whom it is connected to, if @has_met */
    bool has_met;
};

struct pairing_mail {
    struct pairing_mail_config cfg;
    struct ring boxes;
    bool over; /* joining: somebody was met */
};

/* ---- one server --------------------------------------------------------------------------------
 */

static void on_waits(void *user)
{
    const struct box *b = user;
    log_info("pairing: a mailbox waits url=%s", b->remote.url);
}

static void came(struct box *b, struct p2p_peer *p)
{
    struct pairing_mail *m = b->of;
    backoff_reset(&b->backoff);
    memcpy(b->met, p2p_peer_id(p), sizeof b->met);
    b->has_met = true;
    if (m->over)
        return;
    m->over = !m->cfg.inviting;
    m->cfg.met(p, m->cfg.user);
}

static void on_done(enum mailbox_end end, struct p2p_peer *p, const char *why, void *user)
{
    struct box *b = user;
    b->mailbox = NULL;
    if (end == MAILBOX_MET)
        came(b, p);
    else if (end == MAILBOX_LOST)
        net_timer_set(b->timer, backoff_next(&b->backoff, randombytes_random()));
    else if (end == MAILBOX_NOBODY && !b->of->cfg.inviting)
        net_timer_set(b->timer, EMPTY_MS);
    else
        log_info("pairing: no mailbox url=%s: %s", b->remote.url, why);
}

static void open_it(struct box *b)
{
    const struct pairing_mail *m = b->of;
    struct peers *p = m->cfg.peers;
    struct err err = {0};
    struct mailbox_config cfg = {.host = p->host,
                                 .remote = &b->remote,
                                 .nameplate = m->cfg.plate,
                                 .inviting = m->cfg.inviting,
                                 .waits = on_waits,
                                 .done = on_done,
                                 .user = b};
    if (m->over || p->host == NULL || b->mailbox != NULL)
        return;
    if (mailbox_open(p->loop, p->cfg.clients, &cfg, &b->mailbox, &err) < 0) {
        b->mailbox = NULL;
        log_info("pairing: no mailbox url=%s: %s", b->remote.url, err.msg);
    }
}

static void on_timer(void *arg)
{
    open_it(arg);
}

static void box_free(struct box *b)
{
    struct p2p_host *host = b->of->cfg.peers->host;
    struct p2p_peer *p = b->has_met && host != NULL ? p2p_find(host, b->met) : NULL;
    b->has_met = false;
    mailbox_cancel(b->mailbox);
    if (p != NULL && p2p_peer_is_piped(p))
        p2p_disconnect(p);
    ring_remove(&b->all);
    net_timer_free(b->timer);
    remote_wipe(&b->remote);
    free(b);
}

static int box_new(struct pairing_mail *m, const struct remote *r)
{
    struct box *b = calloc(1, sizeof *b);
    if (b == NULL || net_timer_new(m->cfg.peers->loop, on_timer, b, &b->timer) < 0) {
        free(b);
        return -ENOMEM;
    }
    b->of = m;
    b->remote = *r;
    ring_init(&b->all);
    ring_add(&m->boxes, &b->all);
    net_timer_set(b->timer, 0);
    return 0;
}

/* ---- all servers -------------------------------------------------------------------------------
 */

/* A server that several spaces are linked with has one. */
static bool has_box(const struct pairing_mail *m, const char *url)
{
    for (struct ring *r = m->boxes.next; r != &m->boxes; r = r->next)
        if (strcmp(CONTAINER_OF(r, struct box, all)->remote.url, url) == 0)
            return true;
    return false;
}

int pairing_mail_new(const struct pairing_mail_config *cfg, struct pairing_mail **ret)
{
    struct pairing_mail *m = calloc(1, sizeof *m);
    int rc = m == NULL ? -ENOMEM : 0;
    if (rc < 0)
        return rc;
    m->cfg = *cfg;
    ring_init(&m->boxes);
    for (size_t i = 0; rc == 0 && i < remotes_n(cfg->remotes); i++) {
        const struct remote *r = remotes_at(cfg->remotes, i);
        if (r->token[0] != '\0' && !has_box(m, r->url))
            rc = box_new(m, r);
    }
    if (rc < 0)
        pairing_mail_free(m);
    else
        *ret = m;
    return rc;
}

void pairing_mail_free(struct pairing_mail *m)
{
    if (m == NULL)
        return;
    m->over = true;
    while (!ring_is_empty(&m->boxes))
        box_free(CONTAINER_OF(m->boxes.next, struct box, all));
    free(m);
}

void pairing_mail_left(struct pairing_mail *m, const uint8_t *peer_id)
{
    for (struct ring *r = m == NULL ? NULL : m->boxes.next; r != NULL && r != &m->boxes;
         r = r->next) {
        struct box *b = CONTAINER_OF(r, struct box, all);
        if (!b->has_met || memcmp(b->met, peer_id, PEER_ID_BYTES) != 0)
            continue;
        b->has_met = false;
        net_timer_set(b->timer, AGAIN_MS);
    }
}
