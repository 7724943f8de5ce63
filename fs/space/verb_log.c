/* The versions of a file; of a folder, what has become of each that is or was in it. */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/log_folder.h"
#include "fs/space/verb.h"
#include "fs/space/versions.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

/* Versions of one record with the same bytes, of which only the time was set anew, show as one. */
static bool is_repeated(const struct buf *list, size_t i)
{
    if (i == 0)
        return false;
    struct version newer = versions_at(list, i - 1), v = versions_at(list, i);
    return rid_equal(&newer.rid, &v.rid) && !v.shown && !v.h.deleted && !v.h.current &&
           newer.h.content.size == v.h.content.size &&
           memcmp(newer.h.content.hash, v.h.content.hash, HASH_SIZE) == 0;
}

/* What became of a version, in a word. */
static const char *state_of(const struct version *v)
{
    if (v->shown)
        return "current";
    if (v->h.deleted)
        return "deleted";
    return v->h.current ? "in conflict" : "";
}

static int put_text(struct space *s, const struct verb_call *call, const struct buf *list,
                    struct buf *out)
{
    struct table t = {.columns_n = 5, .right = {[2] = true}};
    static const char *const heads[] = {"VERSION", "TIME", "SIZE", "DEVICE", "STATE"};
    for (size_t i = 0; i < ARRAY_N(heads); i++)
        table_cell_str(&t, heads[i]);
    for (size_t i = 0; i < versions_n(list); i++) {
        char name[VERSION_NAME_SIZE], text[HUMAN_MAX], label[LIMIT_LABEL + 1];
        struct version v = versions_at(list, i);
        const struct replica_content *c = &v.h.content;
        if (is_repeated(list, i))
            continue;
        table_cell_str(&t, version_name(&c->dot, name));
        table_cell_str(&t, human_time(hlc_ms(c->stamp.hlc), text));
        table_cell_str(&t, human_bytes(c->size, text));
        table_cell_str(&t, version_device(s, &c->dot, label));
        table_cell_str(&t, state_of(&v));
    }
    int rc = table_put(&t, call->colour, out);
    table_fini(&t);
    return rc;
}

static void json_version(struct json *j, struct space *s, const struct version *v)
{
    char name[VERSION_NAME_SIZE], label[LIMIT_LABEL + 1];
    const struct replica_content *c = &v->h.content;
    json_object(j);
    json_key_str(j, "version", version_name(&c->dot, name));
    json_key_time(j, "time", hlc_ms(c->stamp.hlc));
    json_key_u64(j, "size", c->size);
    if (c->mtime_ns >= 0)
        json_key_time(j, "mtime", (uint64_t)c->mtime_ns / 1000000);
    json_key_str(j, "device", version_device(s, &c->dot, label));
    json_key_bool(j, "current", v->shown);
    json_key_bool(j, "conflict", v->h.current && !v->shown && !v->h.deleted);
    json_key_bool(j, "deleted", v->h.deleted);
    if (v->h.until_ms != UINT64_MAX)
        json_key_time(j, "until", v->h.until_ms);
    json_key(j, "hash");
    json_hex(j, bytes_of(c->hash, HASH_SIZE));
    json_end(j);
}

static int put_json(struct space *s, const char *path, const struct path *p, const struct buf *list,
                    struct buf *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_key_str(&j, "path", path);
    struct rid rid = path_rid(p, 0);
    json_key_str(&j, "kind", rid_kind(&rid) == KIND_SYMLINK ? "symlink" : "file");
    json_key_bool(&j, "exists", p->has_file);
    json_key(&j, "versions");
    json_list(&j);
    for (size_t i = 0; i < versions_n(list); i++) {
        struct version v = versions_at(list, i);
        if (!is_repeated(list, i))
            json_version(&j, s, &v);
    }
    json_end(&j);
    json_end(&j);
    return json_finish(&j);
}

static int log_file(struct space *s, const struct verb_call *call, const struct path *p,
                    struct out *out)
{
    CLEANUP(buf_fini) struct buf list = {0}, text = {0};
    int rc = versions_of_path(s, p, &list);
    if (rc == 0)
        rc = call->json ? put_json(s, call->args[0], p, &list, &text)
                        : put_text(s, call, &list, &text);
    return rc < 0 ? rc : out_buf(out, &text);
}

/* A file that no version is of. */
static void put_none(struct space *s, const char *path, const char *shown, struct out *out)
{
    if (path_is_pending(s, path) > 0)
        out_error(out, "%s: has no version yet: it is being published, or still written to", shown);
    else
        out_error(out, "%s: stays on this device alone, and has no history", shown);
}

int verb_log(struct space *s, const struct verb_call *call, struct out *out)
{
    char shown[200];
    struct path p;
    const char *path = call->args[0];
    escape_to(shown, sizeof shown, bytes_str(path));
    int rc = publisher_catch_up(s);
    if (rc == 0)
        rc = path_find(s, path, &p);
    if (rc < 0) {
        if (rc == -ENOENT)
            out_error(out, "%s: no such file, now or before; check the path", shown);
        else
            out_error(out, "%s: %s", shown, strerror(-rc));
        return verb_status_of(rc);
    }
    if (path_rids_n(&p) == 0) {
        put_none(s, path, shown, out);
        path_fini(&p);
        return VERB_NOT_FOUND;
    }
    struct rid rid = path_rid(&p, 0);
    rc = rid_is_dir(&rid) ? log_folder(s, call, &rid, out) : log_file(s, call, &p, out);
    path_fini(&p);
    if (rc < 0 && rc != -ECANCELED)
        out_error(out, "%s: %s", shown, strerror(-rc));
    return verb_status_of(rc);
}
