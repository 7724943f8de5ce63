/* Puts a device out. */
#include <errno.h>
#include <stdio.h>

#include "fs/space/peer_find.h"
#include "fs/space/space_priv.h"
#include "fs/space/verb.h"
#include "proto/base/escape.h"
#include "proto/base/json.h"

enum {
    TELL_MS = 10000, /* until a server that is reached knows it, */
    COME_MS = 3000,  /* or one that is connecting is */
    STEP_MS = 20,
};

/* A server, and whether it knows. */
struct told {
    struct sync_link link;
    bool knows;
};

static int get_servers(struct space *s, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf links = {0};
    uint8_t identity[SIGN_KEY_SIZE];
    int rc = space_sync_links(s, &links);
    buf_reset(ret);
    for (size_t at = 0; rc == 0 && at < links.n; at += sizeof(struct sync_link)) {
        struct told t;
        memset(&t, 0, sizeof t);
        memcpy(&t.link, links.p + at, sizeof t.link);
        rc = peers_untold(s, t.link.remote, identity);
        t.knows = rc == 0;
        rc = rc < 0 ? rc : 0;
        buf_put(ret, &t, sizeof t);
    }
    return rc < 0 ? rc : buf_status(ret);
}

/* Whether some server may know it soon. */
static bool may_wait(const struct buf *servers, uint64_t ms)
{
    bool may = false;
    for (size_t at = 0; at < servers->n; at += sizeof(struct told)) {
        struct told t;
        memcpy(&t, servers->p + at, sizeof t);
        may = may || (!t.knows && t.link.state == SYNC_LINK_UP && ms < TELL_MS) ||
              (!t.knows && t.link.state == SYNC_LINK_CONNECTING && ms < COME_MS);
    }
    return may;
}

static int tell(struct space *s, struct buf *servers, struct out *out)
{
    uint64_t begun = space_now_ms();
    int rc = get_servers(s, servers);
    while (rc == 0 && may_wait(servers, space_now_ms() - begun) && !out_cancelled(out, STEP_MS))
        rc = get_servers(s, servers);
    return rc;
}

/* ---- what is said ------------------------------------------------------------------------------
 */

static bool has_door(const struct buf *servers)
{
    bool has = false;
    for (size_t at = 0; at < servers->n; at += sizeof(struct told)) {
        struct told t;
        memcpy(&t, servers->p + at, sizeof t);
        has = has || !t.link.managed;
    }
    return has;
}

static int put_text(const struct peer *p, const struct verb_call *call, const struct buf *servers,
                    struct buf *out)
{
    char shown[4 * SYNC_URL_MAX], all[4 * SYNC_URL_MAX + 100];
    escape_put(out, bytes_str(p->label));
    buf_put_bytes(out, bytes_str(" is out: nothing that it writes from now on is taken, and it "
                                 "reads nothing that is written\n"));
    for (size_t at = 0; at < servers->n; at += sizeof(struct told)) {
        struct told t;
        memcpy(&t, servers->p + at, sizeof t);
        escape_to(shown, sizeof shown, bytes_str(t.link.url));
        snprintf(all, sizeof all, "  %s %s\n", shown,
                 t.knows         ? "knows it; its token there is dead"
                 : call->mounted ? "is not reached: it is told when it is"
                                 : "is told when the folder is mounted, and it is reached");
        buf_put_bytes(out, bytes_str(all));
    }
    if (has_door(servers))
        buf_put_bytes(out, bytes_str("The passphrase lets nobody in any more; 'persist remote add' "
                                     "of the same server makes a new one.\n"));
    return buf_status(out);
}

static int put_json(const struct peer *p, const struct buf *servers, struct buf *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_key_str(&j, "revoked", p->peer_id);
    json_key_str(&j, "label", p->label);
    json_key(&j, "servers");
    json_list(&j);
    for (size_t at = 0; at < servers->n; at += sizeof(struct told)) {
        struct told t;
        memcpy(&t, servers->p + at, sizeof t);
        json_object(&j);
        json_key_str(&j, "url", t.link.url);
        json_key_bool(&j, "told", t.knows);
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
    return json_finish(&j);
}

static int failed(const struct peer *p, int rc, struct out *out)
{
    char shown[4 * LIMIT_LABEL + 1];
    escape_to(shown, sizeof shown, bytes_str(p->label));
    if (rc == -EALREADY)
        out_error(out, "revoke: %s is out already", shown);
    else if (rc == -EINVAL)
        out_error(out, "revoke: %s is this device; 'persist forget' leaves the folder", shown);
    else if (rc == -ENOTCONN)
        out_error(out, "revoke: this device is no member of the folder; it can put nobody out");
    else
        out_error(out, "revoke: %s: %s", shown, strerror(-rc));
    return rc == -EALREADY   ? VERB_FAILED
           : rc == -EINVAL   ? VERB_USAGE
           : rc == -ENOTCONN ? VERB_NOT_ALLOWED
                             : verb_status_of(rc);
}

/* ---- the verb ----------------------------------------------------------------------------------
 */

/* Says which one it is, if it can be put out. */
static int look(const struct peer *p, struct out *out)
{
    char shown[4 * LIMIT_LABEL + 1];
    if (!p->is_member || p->is_this)
        return failed(p, p->is_this ? -EINVAL : -EALREADY, out);
    int rc = out_printf(out, "%s  %s  %s\n", escape_to(shown, sizeof shown, bytes_str(p->label)),
                        p->role == ACT_ROLE_SERVER ? "server" : "device", p->peer_id);
    return verb_status_of(rc);
}

int verb_revoke(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf servers = {0}, text = {0};
    struct peer p;
    int status = peer_find(s, "revoke", call->args[0], out, &p);
    if (status != VERB_OK)
        return status;
    if (call->args_n > 1)
        return look(&p, out);
    int rc = peers_revoke(s, p.keys.identity, ACT_REASON_NONE);
    if (rc < 0)
        return failed(&p, rc, out);
    rc = tell(s, &servers, out);
    if (rc == 0)
        rc = call->json ? put_json(&p, &servers, &text) : put_text(&p, call, &servers, &text);
    if (rc == 0)
        rc = out_buf(out, &text);
    return verb_status_of(rc);
}
