/* The files of which two versions survive. */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/path.h"
#include "fs/space/sibling.h"
#include "fs/space/verb.h"
#include "fs/space/versions.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

struct listing {
    struct space *s;
    const char *below; /* only what is there */
    struct out *out;
    struct json *json;   /* NULL: text */
    struct table *table; /* with it */
    struct buf rids;     /* of open conflicts */
};

static void put(struct listing *l, struct bytes path, const struct replica_content *c, bool open)
{
    char label[LIMIT_LABEL + 1], name[VERSION_NAME_SIZE], text[HUMAN_MAX];
    const char *device = dot_is_none(&c->dot) ? "" : version_device(l->s, &c->dot, label);
    const char *kind = open ? "open" : "kept beside";
    uint64_t ms = hlc_ms(c->stamp.hlc);
    if (l->json == NULL) {
        table_cell_str(l->table, human_time(ms, text));
        table_cell_str(l->table, kind);
        table_cell_str(l->table, device);
        table_cell(l->table, path);
        return;
    }
    json_object(l->json);
    json_key_bytes(l->json, "path", path);
    json_key_str(l->json, "state", open ? "open" : "sibling");
    json_key_str(l->json, "device", device);
    json_key_time(l->json, "time", ms);
    if (!dot_is_none(&c->dot))
        json_key_str(l->json, "version", version_name(&c->dot, name));
    json_end(l->json);
}

/* ---- open ones ---- */

static int add_rid(void *ctx, const struct rid *rid)
{
    struct buf *b = ctx;
    buf_put(b, rid, sizeof *rid);
    return buf_status(b);
}

static int add_content(void *ctx, const struct replica_content *c)
{
    struct buf *b = ctx;
    buf_put(b, c, sizeof *c);
    return buf_status(b);
}

static int list_open(struct listing *l, const struct rid *rid)
{
    CLEANUP(buf_fini) struct buf path = {0}, contents = {0};
    struct space *s = l->s;
    pthread_mutex_lock(&s->lock);
    int rc = path_of_record(s, rid, &path);
    if (rc == 0)
        rc = replica_contents(s->replica, rid, add_content, &contents);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (!path_covers(l->below, buf_bytes(&path)))
        return 0;
    for (size_t at = 0; at < contents.n; at += sizeof(struct replica_content)) {
        struct replica_content c;
        memcpy(&c, contents.p + at, sizeof c);
        put(l, buf_bytes(&path), &c, true);
    }
    return 0;
}

/* ---- siblings ---- */

static bool is_sibling(struct bytes key)
{
    enum { NAME_AT = 16 };
    return key.n > NAME_AT && sibling_is(bytes_of(key.p + NAME_AT, key.n - NAME_AT));
}

static int list_sibling(struct listing *l, uint64_t dir, struct bytes name)
{
    CLEANUP(buf_fini) struct buf path = {0};
    struct space *s = l->s;
    struct attr a;
    int rc = path_of_file(s, dir, &path);
    if (rc == 0)
        rc = tree_lookup(s->tree, dir, name, &a);
    if (rc < 0)
        return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
    if (path.n > 0)
        buf_put_u8(&path, '/');
    buf_put_bytes(&path, name);
    if (buf_status(&path) < 0)
        return -ENOMEM;
    if (!path_covers(l->below, buf_bytes(&path)))
        return 0;
    struct replica_info info = {.held = false};
    struct rid rid = bind_rid(&a);
    pthread_mutex_lock(&s->lock);
    rc = a.bound ? replica_stat(s->replica, &rid, &info) : 0;
    pthread_mutex_unlock(&s->lock);
    if (info.content.stamp.hlc == 0)
        info.content.stamp.hlc = (uint64_t)a.ctime.tv_sec * 1000 << 16;
    if (rc == 0)
        put(l, buf_bytes(&path), &info.content, false);
    return rc;
}

static int list_siblings(struct listing *l)
{
    struct db_iter *it = db_iter_new_scan(l->s->db, DB_DIRENT, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (!is_sibling(key))
            continue;
        rc = list_sibling(l, get_u64(key.p), bytes_of(key.p + 16, key.n - 16));
        if (rc == 0 && out_cancelled(l->out, 0))
            rc = -ECANCELED;
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

static int list_all(struct listing *l)
{
    pthread_mutex_lock(&l->s->lock);
    int rc = replica_conflicts(l->s->replica, add_rid, &l->rids);
    pthread_mutex_unlock(&l->s->lock);
    for (size_t at = 0; rc == 0 && at < l->rids.n; at += sizeof(struct rid)) {
        struct rid rid;
        memcpy(&rid, l->rids.p + at, sizeof rid);
        rc = list_open(l, &rid);
    }
    return rc < 0 ? rc : list_siblings(l);
}

static int put_text(struct listing *l, const struct verb_call *call, struct buf *text)
{
    struct table t = {.columns_n = 4};
    static const char *const heads[] = {"TIME", "STATE", "DEVICE", "PATH"};
    for (size_t i = 0; i < ARRAY_N(heads); i++)
        table_cell_str(&t, heads[i]);
    l->table = &t;
    int rc = list_all(l);
    if (rc == 0 && t.cells_n == t.columns_n)
        buf_put_bytes(text, bytes_str("no conflicts\n"));
    else if (rc == 0)
        rc = table_put(&t, call->colour, text);
    table_fini(&t);
    return rc;
}

static int put_json(struct listing *l, struct buf *text)
{
    struct json j;
    json_init(&j, text);
    l->json = &j;
    json_object(&j);
    json_key(&j, "conflicts");
    json_list(&j);
    int rc = list_all(l);
    json_end(&j);
    json_end(&j);
    return rc < 0 ? rc : json_finish(&j);
}

int verb_conflicts(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    struct listing l = {.s = s, .below = call->args[0], .out = out};
    struct attr a;
    int rc = call->as_published ? 0 : publisher_catch_up(s);
    if (rc == 0)
        rc = path_file(s, l.below, &a);
    if (rc == 0)
        rc = call->json ? put_json(&l, &text) : put_text(&l, call, &text);
    if (rc == 0)
        rc = out_buf(out, &text);
    buf_fini(&l.rids);
    char shown[200];
    escape_to(shown, sizeof shown, bytes_str(l.below));
    if (rc == -ENOENT)
        out_error(out, "%s: no such file; check the path", shown);
    else if (rc < 0 && rc != -ECANCELED)
        out_error(out, "conflicts: %s", strerror(-rc));
    return verb_status_of(rc);
}
