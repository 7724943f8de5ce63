#include "sync/server/admin.h"

#include <errno.h>
#include <sodium.h>

#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"
#include "sync/server/mirrors.h"

static void put(struct buf *out, const char *s)
{
    buf_put_bytes(out, bytes_str(s));
}

static int finished(const struct buf *out, struct err *err)
{
    return buf_status(out) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- users ---- */

static int tell_quotas(const struct srv_user *u, struct buf *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_key_str(&j, "user", u->name);
    json_key_u64(&j, "quota_bytes", u->quota_bytes);
    json_key_u64(&j, "quota_entries", u->quota_entries);
    json_end(&j);
    return json_finish(&j);
}

int srv_admin_user_add(const struct srv_admin *a, const char *user, uint64_t quota_bytes,
                       uint64_t quota_entries, struct buf *out, struct err *err)
{
    struct srv_user u;
    int rc = srv_user_add(a->accounts, user, quota_bytes, quota_entries, a->now_ms, &u, err);
    return rc < 0 || !a->json ? rc : tell_quotas(&u, out);
}

int srv_admin_user_quota(const struct srv_admin *a, const char *user, uint64_t quota_bytes,
                         uint64_t quota_entries, struct buf *out, struct err *err)
{
    struct srv_user u;
    int rc = srv_user_set_quota(a->accounts, user, quota_bytes, quota_entries, &u, err);
    if (rc == 0)
        srv_spaces_set_quota(a->spaces, u.account, u.quota_bytes, u.quota_entries);
    return rc < 0 || !a->json ? rc : tell_quotas(&u, out);
}

struct listing {
    const struct srv_admin *a;
    struct json j;
    struct table t;
    struct buf below; /* what is to be said under the table */
};

/* ---- mirrors ---- */

struct keeping {
    struct listing *l;
    const char *user;
};

static int list_kept(void *arg, const char *path)
{
    struct keeping *k = arg;
    if (k->l->a->json) {
        json_bytes(&k->l->j, bytes_str(path));
        return 0;
    }
    struct buf *b = &k->l->below;
    put(b, "\n");
    put(b, k->user);
    put(b, ": a mirror was to lose what it had, which is kept as ");
    escape_put(b, bytes_str(path));
    put(b, "; look why, and remove that\n");
    return 0;
}

/* What cannot be looked at is no reason to show no users. */
static int list_mirrors(struct listing *l, const char *user)
{
    struct keeping k = {l, user};
    int rc = srv_mirrors_kept(l->a->dir, user, list_kept, &k);
    if (rc < 0 && !l->a->json) {
        put(&l->below, "\n");
        put(&l->below, user);
        put(&l->below, ": the mirrors cannot be looked at: ");
        put(&l->below, strerror(-rc));
        put(&l->below, "\n");
    }
    return buf_status(&l->below);
}

/* ---- users, again ---- */

static int list_user(void *arg, const struct srv_user *u)
{
    struct listing *l = arg;
    struct srv_usage use;
    int rc = srv_spaces_usage(l->a->spaces, u->account, &use);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc; /* removed since */
    if (l->a->json) {
        json_object(&l->j);
        json_key_str(&l->j, "user", u->name);
        json_key_time(&l->j, "created", u->created_ms);
        json_key_u64(&l->j, "spaces", use.spaces);
        json_key_u64(&l->j, "bytes", use.bytes);
        json_key_u64(&l->j, "quota_bytes", u->quota_bytes);
        json_key_u64(&l->j, "entries", use.entries);
        json_key_u64(&l->j, "quota_entries", u->quota_entries);
        json_key(&l->j, "kept");
        json_list(&l->j);
        rc = list_mirrors(l, u->name);
        json_end(&l->j);
        json_end(&l->j);
        return rc;
    }
    char text[HUMAN_MAX];
    table_cell_str(&l->t, u->name);
    table_cell_str(&l->t, human_count(use.spaces, text));
    table_cell_str(&l->t, human_bytes(use.bytes, text));
    table_cell_str(&l->t, human_bytes(u->quota_bytes, text));
    table_cell_str(&l->t, human_count(use.entries, text));
    table_cell_str(&l->t, human_count(u->quota_entries, text));
    table_cell_str(&l->t, human_time(u->created_ms, text));
    return list_mirrors(l, u->name);
}

/* The frame of a list: one member of an object, or a table with a head. */
static void begin(struct listing *l, const char *key, const char *const *heads, size_t n,
                  struct buf *out)
{
    if (l->a->json) {
        json_init(&l->j, out);
        json_object(&l->j);
        json_key(&l->j, key);
        json_list(&l->j);
        return;
    }
    l->t.columns_n = n;
    for (size_t i = 0; i < n; i++)
        table_cell_str(&l->t, heads[i]);
}

static int end(struct listing *l, int rc, struct buf *out, struct err *err)
{
    if (rc < 0) {
        rc =
            err != NULL && err->code == rc
                ? rc
                : err_set(err, rc, "accounts: cannot be read: %s; look at the disk", strerror(-rc));
    } else if (l->a->json) {
        json_end(&l->j);
        json_end(&l->j);
        rc = json_finish(&l->j);
    } else {
        rc = table_put(&l->t, false, out);
        if (rc == 0 && l->below.n > 0)
            buf_put_bytes(out, buf_bytes(&l->below));
    }
    buf_fini(&l->below);
    table_fini(&l->t);
    return rc;
}

int srv_admin_user_list(const struct srv_admin *a, struct buf *out, struct err *err)
{
    static const char *const heads[] = {"USER",    "SPACES", "STORED", "QUOTA",
                                        "ENTRIES", "LIMIT",  "CREATED"};
    struct listing l = {
        .a = a, .t = {.right = {[1] = true, [2] = true, [3] = true, [4] = true, [5] = true}}};
    begin(&l, "users", heads, ARRAY_N(heads), out);
    return end(&l, srv_user_list(a->accounts, list_user, &l), out, err);
}

static int tell_removed(const struct srv_admin *a, const struct srv_user *u, struct buf *out,
                        struct err *err)
{
    CLEANUP(buf_fini) struct buf path = {0};
    bool mirror = srv_mirrors_of(a->dir, u->name, &path) == 1;
    if (a->json) {
        struct json j;
        json_init(&j, out);
        json_object(&j);
        json_key_str(&j, "user", u->name);
        json_key_bool(&j, "removed", true);
        json_key_str(&j, "mirror", mirror ? (const char *)path.p : NULL);
        json_end(&j);
        return json_finish(&j);
    }
    if (mirror) {
        put(out, "the mirror stays as it is: ");
        escape_put(out, bytes_str((const char *)path.p));
        put(out, "; remove it when nobody needs it\n");
    }
    return finished(out, err);
}

int srv_admin_user_remove(const struct srv_admin *a, const char *user, struct buf *out,
                          struct err *err)
{
    struct srv_user u;
    int rc = srv_user_remove(a->accounts, user, &u, err);
    if (rc < 0)
        return rc;
    rc = srv_spaces_drop(a->spaces, u.account);
    if (rc < 0)
        return err_set(err, rc, "user %s: is removed, the data not yet; start the server again",
                       u.name);
    return tell_removed(a, &u, out, err);
}

/* ---- tokens ---- */

static void put_names(struct json *j, const struct srv_token *t)
{
    char id[TOKEN_ID_TEXT_SIZE];
    json_key_str(j, "id", token_id_text(t->id, id));
    json_key_str(j, "user", t->user);
    json_key_str(j, "label", t->label);
}

int srv_admin_token_create(const struct srv_admin *a, const char *user, const char *label,
                           struct buf *out, struct err *err)
{
    char text[TOKEN_TEXT_SIZE];
    struct srv_token t;
    int rc = srv_token_create(a->accounts, user, label, a->now_ms, text, &t, err);
    if (rc < 0)
        return rc;
    if (a->json) {
        struct json j;
        json_init(&j, out);
        json_object(&j);
        json_key_str(&j, "token", text);
        put_names(&j, &t);
        json_end(&j);
        rc = json_finish(&j);
    } else {
        put(out, text);
        put(out, "\n");
        rc = finished(out, err);
    }
    sodium_memzero(text, sizeof text);
    return rc;
}

static int list_token(void *arg, const struct srv_token *t)
{
    struct listing *l = arg;
    char id[TOKEN_ID_TEXT_SIZE];
    char peer[PEER_ID_TEXT_SIZE] = "";
    char text[HUMAN_MAX];
    if (t->bound)
        peer_id_text(t->peer, peer);
    if (l->a->json) {
        json_object(&l->j);
        put_names(&l->j, t);
        json_key_time(&l->j, "created", t->created_ms);
        if (t->online || t->seen_ms != 0)
            json_key_time(&l->j, "last_seen", t->online ? l->a->now_ms : t->seen_ms);
        else
            json_key_str(&l->j, "last_seen", NULL);
        json_key_str(&l->j, "peer_id", t->bound ? peer : NULL);
        json_key_bool(&l->j, "connected", t->online);
        json_end(&l->j);
        return 0;
    }
    table_cell_str(&l->t, token_id_text(t->id, id));
    table_cell_str(&l->t, t->user);
    table_cell_str(&l->t, t->label);
    table_cell_str(&l->t, human_time(t->created_ms, text));
    table_cell_str(&l->t, t->online         ? "connected"
                          : t->seen_ms == 0 ? "never"
                                            : human_time(t->seen_ms, text));
    table_cell_str(&l->t, peer);
    return 0;
}

int srv_admin_token_list(const struct srv_admin *a, const char *user, struct buf *out,
                         struct err *err)
{
    static const char *const heads[] = {"ID", "USER", "LABEL", "CREATED", "LAST SEEN", "DEVICE"};
    struct err own = {.code = 0};
    struct listing l = {.a = a};
    if (err == NULL)
        err = &own;
    size_t before = out->n;
    begin(&l, "tokens", heads, ARRAY_N(heads), out);
    int rc = end(&l, srv_token_list(a->accounts, user, list_token, &l, err), out, err);
    if (rc < 0 && out->n > before)
        out->n = before;
    return rc;
}

int srv_admin_token_revoke(const struct srv_admin *a, const char *id, struct buf *out,
                           struct err *err)
{
    uint8_t raw[TOKEN_ID_BYTES];
    struct srv_token t;
    char shown[100];
    if (token_id_parse(id, raw) < 0)
        return err_set(err, -ENOENT,
                       "token %s: there is no token of that id; see persist token list",
                       escape_to(shown, sizeof shown, bytes_str(id)));
    int rc = srv_token_revoke(a->accounts, SRV_ANY_ACCOUNT, raw, &t, err);
    if (rc < 0 || !a->json)
        return rc;
    struct json j;
    json_init(&j, out);
    json_object(&j);
    put_names(&j, &t);
    json_key_bool(&j, "revoked", true);
    json_end(&j);
    return json_finish(&j);
}
