/* Brings a space up to date with its servers, and opens it to other devices. */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/exchange.h"
#include "fs/space/space_priv.h"
#include "fs/space/sync.h"
#include "fs/space/unsent.h"
#include "fs/space/verb.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"

enum {
    TOLD_MS = 3000, /* until the sync process has told of the links, and they are up */
    UP_MS = 10000,  /* until a link is up */
    DOOR_MS = 30000,
    STEP_MS = 50,
};

/* ---- sync --------------------------------------------------------------------------------------
 */

/* Of all links: how many are up, and of these how many have taken what their servers had. */
struct tally {
    size_t links, up, caught_up, settled;
    size_t coming, refused; /* are connecting, or will when there is a sync process; were refused */
    uint64_t cursor, last, down_bytes;
    char error[SYNC_TEXT_MAX];
    char full[SYNC_TEXT_MAX]; /* in this round, a server had no room */
};

static int count(struct space *s, struct tally *ret)
{
    struct buf links CLEANUP(buf_fini) = {0};
    int rc = space_sync_links(s, &links);
    *ret = (struct tally){.links = links.n / sizeof(struct sync_link)};
    for (size_t i = 0; i < ret->links && rc == 0; i++) {
        struct sync_link l;
        memcpy(&l, links.p + i * sizeof l, sizeof l);
        ret->up += l.state == SYNC_LINK_UP;
        ret->coming += l.state == SYNC_LINK_CONNECTING || l.state == SYNC_LINK_ABSENT;
        ret->refused += l.state == SYNC_LINK_REFUSED;
        ret->cursor += l.cursor;
        ret->last += l.last;
        ret->down_bytes += l.down_bytes;
        ret->caught_up += l.state == SYNC_LINK_UP && l.caught_up;
        ret->settled += l.state == SYNC_LINK_UP && l.settled;
        if (l.error[0] != '\0' && (ret->refused == 0 || l.state == SYNC_LINK_REFUSED))
            memcpy(ret->error, l.error, sizeof ret->error);
        if (l.full[0] != '\0' && l.heard >= space_sync_round(s))
            memcpy(ret->full, l.full, sizeof ret->full);
    }
    return rc;
}

/* None is up: says why. A refusal is not over by itself. */
static int unreachable(struct space *s, struct out *out, const struct tally *t)
{
    char trouble[SYNC_TROUBLE_MAX];
    if (space_sync_trouble(s, trouble))
        out_error(out, "sync: no server is reached: %s", trouble);
    else if (t->links == 0)
        out_error(out, "sync: this folder has no server, and no other device is reached; 'persist "
                       "remote add' links it with a server, 'persist pair' with a device");
    else
        out_error(out, "sync: no server is reached: %s; 'persist status' shows more",
                  t->error[0] != '\0' ? t->error : "not connected");
    return t->refused > 0 ? VERB_NOT_ALLOWED : VERB_UNREACHABLE;
}

/* What is received of the content that is waited for. */
struct received {
    uint64_t most;  /* the most that was waited for */
    uint64_t begun; /* what had come when it began to be */
};

/* Content counts when it is whole; before that, what came says how far it is. */
static void show_progress(struct space *s, const struct tally *t, struct out *out,
                          struct received *r)
{
    struct sync_counts c;
    space_sync_counts(s, &c);
    if (r->most == 0)
        r->begun = t->down_bytes;
    r->most = max_u64(r->most, c.content_bytes);
    uint64_t came = t->down_bytes > r->begun ? t->down_bytes - r->begun : 0;
    if (r->most > 0)
        out_progress(out, max_u64(r->most - c.content_bytes, min_u64(came, r->most)), r->most,
                     "receiving");
}

/* What a new device got may be old, if the server withholds: from when it is, and from whom. */
static int say_newest(struct space *s, struct out *out)
{
    struct buf peers CLEANUP(buf_fini) = {0};
    struct sync_peer newest = {.time_ms = 0};
    char when[HUMAN_MAX], label[140];
    if (space_sync_peers(s, &peers) < 0)
        return VERB_OK;
    for (size_t i = 0; i < peers.n; i += sizeof(struct sync_peer)) {
        struct sync_peer p;
        memcpy(&p, peers.p + i, sizeof p);
        if (p.time_ms >= newest.time_ms)
            newest = p;
    }
    if (newest.time_ms > 0 &&
        out_printf(out, "as of %s, from %s\n", human_time(newest.time_ms, when),
                   escape_to(label, sizeof label, bytes_str(newest.label))) < 0)
        return VERB_FAILED;
    return VERB_OK;
}

/* All else is even: whether something cannot be. */
static int say_unsent(struct space *s, struct out *out)
{
    struct unsent u;
    char n[HUMAN_MAX];
    int rc = unsent_get(s, &u);
    unsent_fini(&u);
    if (rc < 0 || u.n == 0)
        return verb_status_of(rc);
    out_error(out, "sync: %s cannot be sent; 'persist status' says which, and why",
              human_count(u.n, n));
    return VERB_FAILED;
}

/* What is waited for. */
struct goal {
    bool first;     /* the servers' lists of changes are taken, no more */
    struct vv held; /* what this device had, which others are to have, too */
    uint64_t end_ms;
};

static int timed_out(struct out *out, const char *silent)
{
    char shown[4 * LIMIT_LABEL + 1];
    if (silent[0] == '\0')
        out_error(out, "sync: timed out; 'persist status' shows what is left");
    else
        out_error(
            out,
            "sync: timed out: the servers have all of it, but the device %s, which is online, "
            "has not acknowledged it; look at 'persist status' there",
            escape_to(shown, sizeof shown, bytes_str(silent)));
    return VERB_UNREACHABLE;
}

/* All that are up are even: whether devices that are online have it, too; @silent: one has not. */
static int is_everywhere(struct space *s, const struct goal *g, struct out *out,
                         char silent[static LIMIT_LABEL + 1])
{
    int rc = space_sync_wait(s, 1000, out);
    return rc < 0 ? 0 : space_sync_acknowledged(s, &g->held, silent);
}

/* Waits until a link is up, and then until all that are up are even, and who is online. */
static int wait_for(struct space *s, const struct goal *g, struct out *out)
{
    bool first = g->first;
    char silent[LIMIT_LABEL + 1] = "";
    uint64_t up_by = space_now_ms() + UP_MS;
    uint64_t told_by = first ? up_by : space_now_ms() + TOLD_MS; /* a clone has a link for sure */
    struct received received = {0};
    struct tally t;
    for (;;) {
        int rc = count(s, &t);
        silent[0] = '\0';
        if (rc == 0 && t.up > 0 && !first && t.settled == t.up)
            rc = is_everywhere(s, g, out, silent);
        if (rc == 1)
            return say_unsent(s, out);
        if (rc < 0)
            return verb_status_of(rc);
        bool refused = t.links > 0 && t.refused == t.links; /* not for the next minute either */
        if (t.up == 0 && (refused || space_now_ms() >= (t.links == 0 ? told_by : up_by)))
            return unreachable(s, out, &t);
        if (t.up > 0 && first && t.caught_up == t.up)
            return say_newest(s, out);
        if (t.up > 0 && t.caught_up < t.up && t.last > 0)
            out_progress(out, t.cursor, t.last, OUT_COUNTED);
        if (!first && t.full[0] != '\0') {
            out_error(out, "sync: %s; 'persist status' shows what is left", t.full);
            return VERB_FAILED;
        }
        show_progress(s, &t, out, &received);
        if (out_cancelled(out, STEP_MS))
            return VERB_FAILED;
        if (space_now_ms() >= g->end_ms)
            return timed_out(out, silent);
    }
}

static int wait_as_told(struct space *s, const struct verb_call *call, struct out *out)
{
    struct goal g = {.first = strcmp(call->args[0], "first") == 0};
    uint64_t seconds = call->args_n > 1 ? strtoull(call->args[1], NULL, 10) : VERB_SYNC_SECONDS;
    g.end_ms = space_now_ms() + min_u64(seconds, VERB_SYNC_SECONDS_MAX) * 1000;
    int rc = space_knowledge(s, &g.held);
    int status = rc < 0 ? verb_status_of(rc) : wait_for(s, &g, out);
    vv_fini(&g.held);
    return status;
}

int verb_sync(struct space *s, const struct verb_call *call, struct out *out)
{
    if (!call->mounted) {
        out_error(out, "sync: the folder is not mounted; 'persist mount' it");
        return VERB_FAILED;
    }
    int rc = space_sync_now(s);
    if (rc < 0) {
        out_error(out, "sync: %s", strerror(-rc));
        return verb_status_of(rc);
    }
    if (call->args_n > 0)
        return wait_as_told(s, call, out);
    struct tally t;
    uint64_t end = space_now_ms() + TOLD_MS;
    while ((rc = count(s, &t)) == 0 && t.up == 0 && t.coming > 0 && space_now_ms() < end)
        if (out_cancelled(out, STEP_MS))
            return VERB_FAILED;
    return rc < 0 ? verb_status_of(rc) : t.up == 0 ? unreachable(s, out, &t) : VERB_OK;
}

/* ---- door --------------------------------------------------------------------------------------
 */

static bool read_hex(const char *text, uint8_t *ret, size_t n)
{
    size_t got = 0;
    return sodium_hex2bin(ret, n, text, strlen(text), NULL, &got, NULL) == 0 && got == n;
}

static int make_door(struct space *s, const struct verb_call *call, uint64_t remote)
{
    struct door_key key;
    uint8_t salt[DOOR_SALT_SIZE], bytes[2 * HASH_SIZE];
    struct buf blob CLEANUP(buf_fini) = {0};
    int rc = -EINVAL;
    if (read_hex(call->args[1], salt, sizeof salt) &&
        read_hex(call->args[2], bytes, sizeof bytes)) {
        memcpy(key.wrap, bytes, HASH_SIZE);
        memcpy(key.commitment, bytes + HASH_SIZE, HASH_SIZE);
        rc = space_sync_door(s, &key, salt, &blob);
    }
    if (rc == 0)
        rc = space_sync_set_blob(s, remote, buf_bytes(&blob));
    door_key_fini(&key);
    sodium_memzero(bytes, sizeof bytes);
    return rc;
}

static int made(int rc, struct out *out)
{
    if (rc == -ENOTCONN)
        out_error(out, "remote: this device is no member of the folder; it cannot let others in");
    else if (rc < 0)
        out_error(out, "remote: opening the folder to others: %s", strerror(-rc));
    return verb_status_of(rc);
}

int verb_door(struct space *s, const struct verb_call *call, struct out *out)
{
    uint64_t remote = space_sync_remote_id(call->args[0]);
    struct buf blob CLEANUP(buf_fini) = {0};
    if (call->args_n < 3) /* whether there is one to be sent */
        return space_sync_get_blob(s, remote, &blob) == 0 ? VERB_OK : VERB_NOT_FOUND;
    return made(make_door(s, call, remote), out);
}

/* ---- manage ------------------------------------------------------------------------------------
 */

static int make_manager(struct space *s, const struct verb_call *call)
{
    uint8_t keys[ACT_MEMBER_SIZE];
    struct buf blob CLEANUP(buf_fini) = {0};
    struct act_add who = {.role = ACT_ROLE_SERVER};
    if (!read_hex(call->args[1], keys, sizeof keys))
        return -EINVAL;
    memcpy(who.member.identity, keys, SIGN_KEY_SIZE);
    memcpy(who.member.sign, keys + SIGN_KEY_SIZE, SIGN_KEY_SIZE);
    memcpy(who.member.box, keys + 2 * SIGN_KEY_SIZE, BOX_KEY_SIZE);
    int rc = space_sync_grant(s, &who, "server", call->name, &blob);
    if (rc < 0)
        return rc;
    return space_sync_set_blob(s, space_sync_remote_id(call->args[0]), buf_bytes(&blob));
}

int verb_manage(struct space *s, const struct verb_call *call, struct out *out)
{
    return made(make_manager(s, call), out);
}

/* ---- opened, shut ------------------------------------------------------------------------------
 */

int verb_opened(struct space *s, const struct verb_call *call, struct out *out)
{
    struct buf blob CLEANUP(buf_fini) = {0};
    uint64_t remote = space_sync_remote_id(call->args[0]);
    uint64_t end = space_now_ms() + (call->mounted ? DOOR_MS : 0);
    bool waits = true;
    while (waits && space_now_ms() < end && space_sync_get_blob(s, remote, &blob) == 0)
        waits = !out_cancelled(out, STEP_MS);
    if (!call->mounted || space_sync_get_blob(s, remote, &blob) < 0)
        return VERB_OK;
    /* Who is told that it failed finds nothing changed, later either. */
    if (verb_shut(s, call, out) != VERB_OK)
        return VERB_FAILED;
    out_error(out, "remote: the server did not take in time what opens the folder to others; try "
                   "again when it is reached");
    return VERB_UNREACHABLE;
}

int verb_shut(struct space *s, const struct verb_call *call, struct out *out)
{
    (void)out;
    return verb_status_of(
        space_sync_set_blob(s, space_sync_remote_id(call->args[0]), bytes_of(NULL, 0)));
}
