/* The devices of a space, for people. */
#include <errno.h>
#include <stdio.h>

#include "fs/space/peer_find.h"
#include "fs/space/verb.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

enum { FINGER_BYTES = 8 };

static const char *role_of(const struct peer *p)
{
    return p->role == ACT_ROLE_SERVER ? "server" : "device";
}

static const char *state_of(const struct peer *p)
{
    return !p->is_member ? "out" : p->is_this ? "this device" : p->is_online ? "online" : "offline";
}

/* How far it is, in words. */
static const char *held(const struct peer *p, char to[static HUMAN_MAX + 16])
{
    char n[HUMAN_MAX];
    if (p->is_this || !p->is_member)
        return "";
    if (p->is_equal)
        return "equal";
    if (p->seen_ms == 0)
        return "not heard of";
    if (p->behind == 0)
        return "different";
    snprintf(to, HUMAN_MAX + 16, "%s behind", human_count(p->behind, n));
    return to;
}

/* ---- peers -------------------------------------------------------------------------------------
 */

static int put_table(const struct buf *all, bool out_too, bool colour, struct buf *text)
{
    static const char *const titles[] = {"label", "role", "state", "holds", "last seen", "peer id"};
    struct table t = {.columns_n = ARRAY_N(titles)};
    for (size_t i = 0; i < ARRAY_N(titles); i++)
        table_cell_str(&t, titles[i]);
    for (size_t at = 0; at < all->n; at += sizeof(struct peer)) {
        struct peer p;
        char seen[HUMAN_MAX], far[HUMAN_MAX + 16];
        memcpy(&p, all->p + at, sizeof p);
        if (!p.is_member && !out_too)
            continue;
        table_cell_str(&t, p.label);
        table_cell_str(&t, role_of(&p));
        table_cell_str(&t, state_of(&p));
        table_cell_str(&t, held(&p, far));
        table_cell_str(&t, p.is_this ? "" : p.seen_ms == 0 ? "never" : human_time(p.seen_ms, seen));
        table_cell_str(&t, p.peer_id);
    }
    int rc = table_put(&t, colour, text);
    table_fini(&t);
    return rc;
}

static void json_peer(const struct peer *p, struct json *j)
{
    json_key_str(j, "label", p->label);
    json_key_str(j, "peer_id", p->peer_id);
    json_key_str(j, "role", role_of(p));
    json_key_bool(j, "member", p->is_member);
    json_key_bool(j, "this", p->is_this);
    json_key_bool(j, "online", p->is_online || p->is_this);
    json_key(j, "addresses");
    json_list(j);
    json_end(j);
    if (p->seen_ms > 0)
        json_key_time(j, "seen", p->seen_ms);
    json_key_bool(j, "equal", p->is_equal || p->is_this);
    json_key_u64(j, "behind", p->behind);
}

static int put_json(const struct buf *all, bool out_too, struct buf *text)
{
    struct json j;
    json_init(&j, text);
    json_object(&j);
    json_key(&j, "peers");
    json_list(&j);
    for (size_t at = 0; at < all->n; at += sizeof(struct peer)) {
        struct peer p;
        memcpy(&p, all->p + at, sizeof p);
        if (!p.is_member && !out_too)
            continue;
        json_object(&j);
        json_peer(&p, &j);
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
    return json_finish(&j);
}

int verb_peers(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf all = {0}, text = {0};
    bool out_too = call->args_n > 0;
    int rc = peers_list(s, &all);
    if (rc < 0)
        return peer_list_failed("peers", rc, out);
    rc =
        call->json ? put_json(&all, out_too, &text) : put_table(&all, out_too, call->colour, &text);
    if (rc == 0)
        rc = out_buf(out, &text);
    return verb_status_of(rc);
}

/* ---- peer --------------------------------------------------------------------------------------
 */

/* Enough of a key for two people to compare it. */
static const char *finger(const uint8_t *key, char to[static 3 * FINGER_BYTES])
{
    for (size_t i = 0; i < FINGER_BYTES; i++)
        snprintf(to + 3 * i, 4 - (i + 1 == FINGER_BYTES), "%02x%s", key[i],
                 i + 1 < FINGER_BYTES ? ":" : "");
    return to;
}

static void line(struct buf *out, const char *label, const char *text)
{
    char shown[400], all[440];
    snprintf(all, sizeof all, "  %-10s  %s\n", label,
             escape_to(shown, sizeof shown, bytes_str(text)));
    buf_put_bytes(out, bytes_str(all));
}

static void put_trust(const struct peer *p, struct buf *out)
{
    char text[300], when[HUMAN_MAX];
    int n = snprintf(text, sizeof text, "%s%s",
                     p->is_first  ? "made the folder"
                     : p->by_door ? "joined with the passphrase that was made by "
                                  : "let in by ",
                     p->is_first ? "" : p->by);
    if (p->since_ms > 0)
        snprintf(text + n, sizeof text - (size_t)n, ", heard of %s", human_time(p->since_ms, when));
    line(out, "trusted", text);
    if (p->is_member)
        return;
    n = snprintf(text, sizeof text, p->out_by[0] != '\0' ? "by %s" : "with who let it in",
                 p->out_by);
    if (p->out_ms > 0)
        snprintf(text + n, sizeof text - (size_t)n, ", heard of %s", human_time(p->out_ms, when));
    line(out, "put out", text);
}

static int put_text(const struct peer *p, const struct verb_call *call, struct buf *out)
{
    char text[3 * FINGER_BYTES], when[HUMAN_MAX], far[HUMAN_MAX + 16];
    buf_put_bytes(out, bytes_str(call->colour ? "\033[1m" : ""));
    escape_put(out, bytes_str(p->label));
    buf_put_bytes(out, bytes_str(call->colour ? "\033[0m\n" : "\n"));
    line(out, "peer id", p->peer_id);
    line(out, "role", role_of(p));
    line(out, "state", state_of(p));
    if (!p->is_this) {
        line(out, "last seen", p->seen_ms == 0 ? "never" : human_time(p->seen_ms, when));
        if (p->is_member)
            line(out, "holds", held(p, far));
    }
    line(out, "sign key", finger(p->keys.sign, text));
    line(out, "box key", finger(p->keys.box, text));
    put_trust(p, out);
    line(out, "addresses", "none");
    line(out, "space", call->name);
    return buf_status(out);
}

static int put_one_json(const struct peer *p, const struct verb_call *call, struct buf *out)
{
    char text[3 * FINGER_BYTES];
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_peer(p, &j);
    json_key_str(&j, "sign_key", finger(p->keys.sign, text));
    json_key_str(&j, "box_key", finger(p->keys.box, text));
    json_key_str(&j, "trusted_by", p->is_first ? NULL : p->by);
    json_key_bool(&j, "by_passphrase", p->by_door);
    if (p->since_ms > 0)
        json_key_time(&j, "trusted", p->since_ms);
    json_key_str(&j, "revoked_by", p->out_by[0] != '\0' ? p->out_by : NULL);
    if (p->out_ms > 0)
        json_key_time(&j, "revoked", p->out_ms);
    json_key(&j, "spaces");
    json_list(&j);
    json_bytes(&j, bytes_str(call->name));
    json_end(&j);
    json_end(&j);
    return json_finish(&j);
}

int verb_peer(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    struct peer p;
    int status = peer_find(s, "peer", call->args[0], out, &p);
    if (status != VERB_OK)
        return status;
    int rc = call->json ? put_one_json(&p, call, &text) : put_text(&p, call, &text);
    if (rc == 0)
        rc = out_buf(out, &text);
    return verb_status_of(rc);
}
