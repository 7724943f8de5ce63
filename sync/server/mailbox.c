#include "sync/server/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/base/ring.h"
#include "sync/net/ws_pair.h"
#include "sync/server/limiter.h"

enum side { INVITING, JOINING, SIDES };

static enum side other_of(enum side side)
{
    return side == INVITING ? JOINING : INVITING;
}

struct srv_mailbox_end {
    struct srv_mailboxes *all;
    struct mailbox *box; /* NULL: it is being closed */
    enum side side;
    void *to;      /* NULL: not open yet */
    bool full;     /* the other end is not read until there is room */
    unsigned code; /* closed with, before it was open */
    const char *text;
};

struct mailbox {
    struct ring all; /* the oldest first */
    unsigned nameplate;
    uint64_t account;
    uint8_t token[TOKEN_ID_BYTES]; /* the id of that which made it */
    uint64_t expires_ms;
    unsigned joins;
    size_t bytes;
    bool spent; /* serves nobody any more; it is kept so that who comes is told so */
    bool met;   /* both ends are there */
    struct srv_mailbox_end *ends[SIDES];
};

struct srv_mailboxes {
    const struct srv_mailbox_wire *wire;
    struct mailbox *at[WS_PAIR_NAMEPLATES];
    struct ring boxes;
    struct limiter joins;
    struct srv_mailbox_stats stats;
};

int srv_mailboxes_new(const struct srv_mailbox_wire *wire, struct srv_mailboxes **ret)
{
    struct srv_mailboxes *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->wire = wire;
    ring_init(&m->boxes);
    limiter_init(&m->joins, SRV_MAILBOX_RATE);
    *ret = m;
    return 0;
}

struct srv_mailbox_stats srv_mailboxes_stats(const struct srv_mailboxes *m)
{
    return m->stats;
}

/* ---- ends ---- */

static void dismiss(struct mailbox *b, enum side side, unsigned code, const char *text)
{
    struct srv_mailbox_end *e = TAKE_PTR(b->ends[side]);
    if (e == NULL)
        return;
    e->box = NULL;
    e->code = code;
    e->text = text;
    if (e->to != NULL)
        e->all->wire->close(e->to, code, text);
}

/* The run is over. */
static void part(struct mailbox *b, unsigned code, const char *text)
{
    dismiss(b, JOINING, code, text);
    dismiss(b, INVITING, code, text);
    b->met = false;
    b->spent = b->spent || b->joins >= SRV_MAILBOX_JOINS;
}

static unsigned end_new(struct srv_mailboxes *m, struct mailbox *b, enum side side,
                        struct srv_mailbox_end **ret)
{
    struct srv_mailbox_end *e = calloc(1, sizeof *e);
    if (e == NULL)
        return 503;
    *e = (struct srv_mailbox_end){.all = m, .box = b, .side = side};
    b->ends[side] = *ret = e;
    return 0;
}

/* ---- mailboxes ---- */

static void drop(struct srv_mailboxes *m, struct mailbox *b, unsigned code, const char *text)
{
    part(b, code, text);
    ring_remove(&b->all);
    m->at[b->nameplate] = NULL;
    m->stats.open--;
    free(b);
}

void srv_mailboxes_free(struct srv_mailboxes *m)
{
    if (m == NULL)
        return;
    while (!ring_is_empty(&m->boxes))
        drop(m, CONTAINER_OF(m->boxes.next, struct mailbox, all), WS_GOING_AWAY,
             "the server stops");
    free(m);
}

uint64_t srv_mailboxes_tend(struct srv_mailboxes *m, uint64_t now_ms)
{
    while (!ring_is_empty(&m->boxes)) {
        struct mailbox *b = CONTAINER_OF(m->boxes.next, struct mailbox, all);
        if (now_ms < b->expires_ms)
            return b->expires_ms - now_ms;
        drop(m, b, WS_PAIR_EXPIRED, "the time of the code is over");
    }
    return 0;
}

void srv_mailboxes_check(struct srv_mailboxes *m,
                         bool (*is_live)(void *arg, const uint8_t id[TOKEN_ID_BYTES]), void *arg)
{
    struct ring *next;
    for (struct ring *r = m->boxes.next; r != &m->boxes; r = next) {
        struct mailbox *b = CONTAINER_OF(r, struct mailbox, all);
        next = r->next;
        if (!is_live(arg, b->token))
            drop(m, b, WS_PAIR_TOKEN, "the token is revoked");
    }
}

static struct mailbox *find_of(struct srv_mailboxes *m, uint64_t account)
{
    for (struct ring *r = m->boxes.next; r != &m->boxes; r = r->next) {
        struct mailbox *b = CONTAINER_OF(r, struct mailbox, all);
        if (b->account == account)
            return b;
    }
    return NULL;
}

static struct mailbox *make(struct srv_mailboxes *m, unsigned nameplate, uint64_t account,
                            const uint8_t id[static TOKEN_ID_BYTES], uint64_t now_ms)
{
    struct mailbox *old = find_of(m, account);
    struct mailbox *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    if (old != NULL)
        drop(m, old, WS_PAIR_REPLACED, "the user has made another code");
    *b = (struct mailbox){
        .nameplate = nameplate, .account = account, .expires_ms = now_ms + SRV_MAILBOX_MS};
    memcpy(b->token, id, sizeof b->token);
    ring_init(&b->all);
    ring_add(&m->boxes, &b->all);
    m->at[nameplate] = b;
    m->stats.open++;
    m->stats.made++;
    return b;
}

unsigned srv_mailbox_invite(struct srv_mailboxes *m, unsigned nameplate, uint64_t account,
                            const uint8_t id[static TOKEN_ID_BYTES], uint64_t now_ms,
                            struct srv_mailbox_end **ret)
{
    assert(nameplate < WS_PAIR_NAMEPLATES);
    (void)srv_mailboxes_tend(m, now_ms);
    struct mailbox *b = m->at[nameplate];
    if (b != NULL && memcmp(b->token, id, sizeof b->token) != 0)
        return 409;
    if (b != NULL)
        part(b, WS_PAIR_LEFT, "the device that invites has connected again");
    if (b != NULL && b->spent)
        return 429;
    if (b == NULL)
        b = make(m, nameplate, account, id, now_ms);
    return b == NULL ? 503 : end_new(m, b, INVITING, ret);
}

/* Whether one more join is too many from there. A token makes nobody free to join what others
 * make, so those with one count as their user. */
static bool is_too_often(struct srv_mailboxes *m, uint64_t account, struct bytes address,
                         uint64_t now_ms)
{
    uint8_t user[16];
    put_u64(user, account);
    put_u64(user + 8, 0);
    user[0] = 0xff; /* no network of IPv6 that anything comes from */
    struct bytes who = account != 0 ? bytes_of(user, sizeof user) : address;
    if (limiter_wait(&m->joins, who, now_ms) > 0)
        return true;
    limiter_fail(&m->joins, who, now_ms);
    return false;
}

static unsigned join(struct srv_mailboxes *m, struct mailbox *b, struct srv_mailbox_end **ret)
{
    if (b == NULL)
        return 404;
    if (b->ends[JOINING] != NULL)
        return 409;
    if (b->spent || b->joins >= SRV_MAILBOX_JOINS)
        return 429;
    if (b->ends[INVITING] == NULL)
        return 404;
    unsigned status = end_new(m, b, JOINING, ret);
    b->joins += status == 0;
    m->stats.joined += status == 0;
    return status;
}

unsigned srv_mailbox_join(struct srv_mailboxes *m, unsigned nameplate, uint64_t account,
                          struct bytes address, uint64_t now_ms, struct srv_mailbox_end **ret)
{
    assert(nameplate < WS_PAIR_NAMEPLATES);
    (void)srv_mailboxes_tend(m, now_ms);
    unsigned status =
        is_too_often(m, account, address, now_ms) ? 429 : join(m, m->at[nameplate], ret);
    m->stats.refused += status != 0;
    return status;
}

/* ---- what the pipes say ---- */

/* An end that cannot be sent to is lost. */
static bool send_to(struct mailbox *b, enum side side, struct bytes message)
{
    struct srv_mailbox_end *e = b->ends[side], *other = b->ends[other_of(side)];
    int rc = e->all->wire->send(e->to, message);
    if (rc < 0) {
        part(b, WS_INTERNAL, "the server failed");
        return false;
    }
    if (rc == 1 && !e->full)
        e->all->wire->read(other->to, false);
    e->full = e->full || rc == 1;
    return true;
}

void srv_mailbox_opened(struct srv_mailbox_end *e, void *to)
{
    static const uint8_t hello[] = {WS_PAIR_HELLO};
    struct mailbox *b = e->box;
    e->to = to;
    if (b == NULL) {
        e->all->wire->close(to, e->code, e->text);
        return;
    }
    const struct srv_mailbox_end *other = b->ends[other_of(e->side)];
    if (other == NULL || other->to == NULL)
        return;
    b->met = true;
    if (send_to(b, JOINING, bytes_of(hello, sizeof hello)))
        (void)send_to(b, INVITING, bytes_of(hello, sizeof hello));
}

void srv_mailbox_message(struct srv_mailbox_end *e, struct bytes message)
{
    struct mailbox *b = e->box;
    if (b == NULL)
        return;
    if (!b->met) {
        part(b, WS_PAIR_EARLY, "something was sent before the other device was there");
    } else if (message.n > SRV_MAILBOX_BYTES - b->bytes) {
        b->spent = true;
        part(b, WS_PAIR_FULL, "more was sent than two devices have to say to meet");
    } else {
        b->bytes += message.n;
        (void)send_to(b, other_of(e->side), message);
    }
}

void srv_mailbox_writable(struct srv_mailbox_end *e)
{
    if (e->box == NULL || !e->full)
        return;
    e->full = false;
    e->all->wire->read(e->box->ends[other_of(e->side)]->to, true);
}

void srv_mailbox_closed(struct srv_mailbox_end *e)
{
    struct mailbox *b = e->box;
    if (b != NULL) {
        b->ends[e->side] = NULL;
        part(b, WS_PAIR_LEFT, "the other device is gone");
    }
    free(e);
}
