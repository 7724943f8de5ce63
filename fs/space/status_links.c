#include "fs/space/status_links.h"

#include <stdio.h>

#include "fs/space/peers.h"
#include "fs/space/space_priv.h"
#include "fs/space/sync.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"

/* A link with another device, not with a server. */
static bool is_direct(const struct sync_link *l)
{
    return strncmp(l->url, SYNC_DIRECT_URL, sizeof SYNC_DIRECT_URL - 1) == 0;
}

/* @n: what is to go to it. */
static const char *state_word(const struct sync_link *l, uint64_t n)
{
    switch (l->state) {
    case SYNC_LINK_UP:
        return l->settled && n == 0 ? "up to date" : l->caught_up ? "syncing" : "connected";
    case SYNC_LINK_CONNECTING:
        return "connecting";
    case SYNC_LINK_REFUSED:
        return "refused";
    case SYNC_LINK_UNMOUNTED:
        return "not mounted";
    case SYNC_LINK_DOWN:
    case SYNC_LINK_ABSENT:
        break;
    }
    return "offline";
}

/* What is wrong with a remote; empty: nothing. */
static const char *trouble(const struct sync_link *l)
{
    return l->full[0] != '\0' ? l->full : l->error;
}

/*
 * What is to go to a remote: saves that are not published yet, and changes that are not signed,
 * too. Counted in the order that a save takes, so that one that moves on meanwhile is not missed.
 */
static uint64_t to_push(struct space *s, const struct sync_link *l)
{
    if (is_direct(l)) /* it fetches what it does not have, and says when it has all */
        return 0;
    uint64_t n = publisher_pending(s);
    n += space_sync_unsigned(s);
    return n + space_sync_to_push(s, l->remote);
}

/* Who holds what this device has published holds less than this device, while a save is not. */
static int get_peers(struct space *s, struct buf *ret)
{
    bool pending = publisher_pending(s) > 0;
    int rc = space_sync_peers(s, ret);
    for (size_t at = 0; rc == 0 && pending && at < ret->n; at += sizeof(struct sync_peer)) {
        struct sync_peer p;
        memcpy(&p, ret->p + at, sizeof p);
        p.equal = false;
        memcpy(ret->p + at, &p, sizeof p);
    }
    return rc;
}

static void put_line(struct buf *out, const char *label, const char *text)
{
    char line[640];
    int n = snprintf(line, sizeof line, "  %-10s  %s\n", label, text);
    buf_put(out, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* How long what it has put is: nothing for no bytes of late. */
static int put_rate(const struct rate *r, const char *what, char *to, size_t size)
{
    char bytes[HUMAN_MAX];
    uint64_t n = rate_of(r, space_now_ms());
    return n == 0 ? 0 : snprintf(to, size, ", %s/s %s", human_bytes(n, bytes), what);
}

/* What people call the other side of a link. */
static const char *name_of(struct space *s, const struct sync_link *l, char ret[SYNC_URL_MAX])
{
    CLEANUP(buf_fini) struct buf peers = {0};
    snprintf(ret, SYNC_URL_MAX, "%s", l->url);
    if (!is_direct(l) || peers_list(s, &peers) < 0)
        return ret;
    for (size_t i = 0; i < peers.n; i += sizeof(struct peer)) {
        struct peer p;
        memcpy(&p, peers.p + i, sizeof p);
        if (strcmp(p.peer_id, l->url + sizeof SYNC_DIRECT_URL - 1) == 0)
            snprintf(ret, SYNC_URL_MAX, "%s", p.label);
    }
    return ret;
}

static void put_link(struct space *s, const struct sync_link *l, struct buf *out)
{
    char text[600], shown[300], name[SYNC_URL_MAX], count[HUMAN_MAX], last[HUMAN_MAX], error[220];
    uint64_t n = to_push(s, l);
    int at =
        snprintf(text, sizeof text, "%s  %s",
                 escape_to(shown, sizeof shown, bytes_str(name_of(s, l, name))), state_word(l, n));
    if (l->state == SYNC_LINK_UP && !l->caught_up && l->last > 0)
        at += snprintf(text + at, sizeof text - (size_t)at, ", %s of %s received",
                       human_count(l->cursor, count), human_count(l->last, last));
    if (n > 0)
        at += snprintf(text + at, sizeof text - (size_t)at, ", %s to send", human_count(n, count));
    at += put_rate(&l->up, "sent", text + at, sizeof text - (size_t)at);
    at += put_rate(&l->down, "received", text + at, sizeof text - (size_t)at);
    if (l->interval_s > 0)
        at += snprintf(text + at, sizeof text - (size_t)at, ", every %u s", l->interval_s);
    if (l->managed)
        at += snprintf(text + at, sizeof text - (size_t)at, ", managed");
    if (trouble(l)[0] != '\0' && (l->state != SYNC_LINK_UP || l->full[0] != '\0'))
        snprintf(text + at, sizeof text - (size_t)at, ": %s",
                 escape_to(error, sizeof error, bytes_str(trouble(l))));
    put_line(out, is_direct(l) ? "direct" : "server", text);
}

static void put_counts(const struct sync_counts *c, struct buf *out)
{
    char text[300], a[HUMAN_MAX], b[HUMAN_MAX];
    if (c->content_waiting > 0) {
        snprintf(text, sizeof text, "%s, %s", human_count(c->content_waiting, a),
                 human_bytes(c->content_bytes, b));
        put_line(out, "receiving", text);
    }
    if (c->waiting > 0) {
        snprintf(text, sizeof text, "%s wait for others that they build on",
                 human_count(c->waiting, a));
        put_line(out, "held", text);
    }
    if (c->refused > 0) {
        snprintf(text, sizeof text, "%s that came were false: %s", human_count(c->refused, a),
                 c->last_refused);
        put_line(out, "refused", text);
    }
    if (c->left_out > 0) {
        snprintf(text, sizeof text, "%s, of which a server has too many other forms",
                 human_count(c->left_out, a));
        put_line(out, "not sent", text);
    }
    if (c->last_fork[0] != '\0') {
        char shown[300];
        put_line(out, "forked", escape_to(shown, sizeof shown, bytes_str(c->last_fork)));
    }
    if (c->behind)
        put_line(out, "kept back",
                 "changes of this device are given when it has been compared with another one, as "
                 "others have cleaned up what is older than it knew");
    if (c->taking_over)
        put_line(out, "forked",
                 "changes of a device that do not count any more are taken over "
                 "within a minute");
}

static void put_peer(const struct sync_peer *p, struct buf *out)
{
    char text[800], shown[140], about[400], when[HUMAN_MAX];
    snprintf(text, sizeof text, "%s  %s%s%s, heard of %s",
             escape_to(shown, sizeof shown, bytes_str(p->label)),
             p->equal     ? "equal to this one"
             : p->differs ? "holds something else, though it knows the same: withheld or damaged"
                          : "different when last heard of",
             p->about[0] != '\0' ? ": " : "", escape_to(about, sizeof about, bytes_str(p->about)),
             human_time(p->time_ms, when));
    put_line(out, "device", text);
}

/* This device was put out. */
static void put_out(struct space *s, struct buf *out)
{
    char by[LIMIT_LABEL + 1], shown[4 * LIMIT_LABEL + 1], when[HUMAN_MAX], text[600];
    uint64_t ms;
    if (!peers_is_out(s, by, &ms))
        return;
    snprintf(
        text, sizeof text,
        "by %s%s%s; it works on, alone; 'persist mount FOLDER --new-space' makes a new space of it",
        escape_to(shown, sizeof shown, bytes_str(by)), ms > 0 ? ", heard of " : "",
        ms > 0 ? human_time(ms, when) : "");
    put_line(out, "put out", text);
}

int status_links_text(struct space *s, struct buf *out)
{
    CLEANUP(buf_fini) struct buf links = {0}, peers = {0};
    struct sync_counts c;
    char trouble[SYNC_TROUBLE_MAX], shown[SYNC_TROUBLE_MAX];
    int rc = space_sync_links(s, &links);
    put_out(s, out);
    if (space_sync_trouble(s, trouble))
        put_line(out, "sync", escape_to(shown, sizeof shown, bytes_str(trouble)));
    for (size_t i = 0; rc == 0 && i < links.n; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        put_link(s, &l, out);
    }
    space_sync_counts(s, &c);
    put_counts(&c, out);
    if (rc == 0 && get_peers(s, &peers) == 0)
        for (size_t i = 0; i < peers.n; i += sizeof(struct sync_peer)) {
            struct sync_peer p;
            memcpy(&p, peers.p + i, sizeof p);
            put_peer(&p, out);
        }
    return rc;
}

static void json_link(struct space *s, const struct sync_link *l, struct json *j)
{
    uint64_t n = to_push(s, l), now_ms = space_now_ms();
    json_object(j);
    json_key_str(j, "url", l->url);
    json_key_str(j, "state", state_word(l, n));
    json_key_u64(j, "to_push", n);
    json_key_bool(j, "caught_up", l->caught_up);
    json_key_u64(j, "up_bytes", l->up_bytes);
    json_key_u64(j, "down_bytes", l->down_bytes);
    json_key_u64(j, "up_bytes_s", rate_of(&l->up, now_ms));
    json_key_u64(j, "down_bytes_s", rate_of(&l->down, now_ms));
    json_key_u64(j, "interval_s", l->interval_s);
    json_key_bool(j, "managed", l->managed);
    json_key_str(j, "error", trouble(l)[0] != '\0' ? trouble(l) : NULL);
    if (l->retry_at_ms > 0)
        json_key_time(j, "retry", l->retry_at_ms);
    json_end(j);
}

static void json_peers(struct space *s, struct json *j)
{
    CLEANUP(buf_fini) struct buf peers = {0};
    json_key(j, "devices");
    json_list(j);
    if (get_peers(s, &peers) == 0)
        for (size_t i = 0; i < peers.n; i += sizeof(struct sync_peer)) {
            struct sync_peer p;
            memcpy(&p, peers.p + i, sizeof p);
            json_object(j);
            json_key_str(j, "label", p.label);
            json_key_time(j, "heard", p.time_ms);
            json_key_bool(j, "equal", p.equal);
            json_key_bool(j, "online", p.online);
            json_key_bool(j, "differs", p.differs);
            json_key_str(j, "about", p.about[0] != '\0' ? p.about : NULL);
            json_end(j);
        }
    json_end(j);
}

int status_links_json(struct space *s, struct json *j)
{
    CLEANUP(buf_fini) struct buf links = {0};
    struct sync_counts c;
    char trouble[SYNC_TROUBLE_MAX];
    int rc = space_sync_links(s, &links);
    char by[LIMIT_LABEL + 1];
    uint64_t ms;
    json_key_str(j, "revoked_by", peers_is_out(s, by, &ms) ? by : NULL);
    json_key_str(j, "sync_error", space_sync_trouble(s, trouble) ? trouble : NULL);
    json_key(j, "remotes");
    json_list(j);
    for (size_t i = 0; rc == 0 && i < links.n; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        json_link(s, &l, j);
    }
    json_end(j);
    space_sync_counts(s, &c);
    json_key_u64(j, "receiving", c.content_waiting);
    json_key_u64(j, "receiving_bytes", c.content_bytes);
    json_key_u64(j, "held", c.waiting);
    json_key_u64(j, "refused", c.refused);
    json_key_u64(j, "left_out", c.left_out);
    json_key_u64(j, "forks", c.forks);
    json_key_bool(j, "taking_over", c.taking_over);
    json_key_bool(j, "behind", c.behind);
    json_key_str(j, "last_fork", c.last_fork[0] != '\0' ? c.last_fork : NULL);
    json_peers(s, j);
    return rc;
}

uint64_t status_links_rates(struct space *s)
{
    CLEANUP(buf_fini) struct buf links = {0};
    uint64_t sum = 0, now_ms = space_now_ms();
    if (space_sync_links(s, &links) < 0)
        return 0;
    for (size_t i = 0; i < links.n; i += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + i, sizeof l);
        sum += rate_of(&l.up, now_ms) + rate_of(&l.down, now_ms);
    }
    return sum;
}
