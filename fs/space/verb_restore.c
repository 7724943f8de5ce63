/* Brings an old version of a file, or a folder as it was, back. */
#include <errno.h>

#include "fs/space/restore.h"
#include "fs/space/verb.h"
#include "fs/space/versions.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

/* The folder of a path, and its last name; folders that are gone are made anew when @make. */
static int find_dir(struct restore *r, const char *path, bool make, uint64_t *ret_dir,
                    struct bytes *ret_name)
{
    uint64_t dir = TREE_ROOT;
    struct bytes name, next;
    if (!path_next(&path, &name))
        return -EISDIR;
    while (path_next(&path, &next)) {
        struct attr a;
        struct rid none = RID_ROOT;
        int rc = tree_lookup(r->s->tree, dir, name, &a);
        if (rc == -ENOENT && make)
            rc = restore_folder(r, dir, name, &none, &a);
        if (rc < 0)
            return rc;
        if (!attr_is_dir(&a))
            return -ENOTDIR;
        dir = a.ino;
        name = next;
    }
    *ret_dir = dir;
    *ret_name = name;
    return 0;
}

static int put_json(const struct restore *r, const struct verb_call *call, const char *to,
                    struct buf *text)
{
    struct json j;
    json_init(&j, text);
    json_object(&j);
    json_key_str(&j, "path", call->args[0]);
    if (call->args_n > 1) {
        json_key_str(&j, "version", call->args[1]);
        json_key_str(&j, "to", to);
    } else {
        json_key_time(&j, "at", call->at_ms);
    }
    json_key_u64(&j, "restored", r->restored);
    json_key_u64(&j, "removed", r->removed);
    json_key_u64(&j, "unchanged", r->unchanged);
    json_key_u64(&j, "kept", r->kept);
    json_key_u64(&j, "missing", r->missing);
    json_end(&j);
    return json_finish(&j);
}

static int report_version(const struct restore *r, const struct verb_call *call, const char *to,
                          struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    if (call->json) {
        int rc = put_json(r, call, to, &text);
        return rc < 0 ? rc : out_buf(out, &text);
    }
    escape_put(&text, bytes_str(to));
    buf_put_bytes(&text, bytes_str(r->restored > 0 ? ": restored version " : ": is version "));
    escape_put(&text, bytes_str(call->args[1]));
    buf_put_bytes(&text, bytes_str(r->restored > 0 ? "\n" : " already\n"));
    return out_buf(out, &text);
}

static int restore_version(struct restore *r, const struct verb_call *call, const char *to)
{
    struct version v;
    struct bytes name;
    struct attr there;
    uint64_t dir;
    char shown[200];
    bool other = call->args_n > 2;
    escape_to(shown, sizeof shown, bytes_str(to));
    int rc = version_wanted(r->s, call->args[0], call->args[1], r->out, &v);
    if (rc < 0)
        return verb_status_of(rc);
    rc = find_dir(r, to, !other, &dir, &name);
    if (rc == 0 && other && tree_lookup(r->s->tree, dir, name, &there) == 0)
        rc = -EEXIST;
    struct restore_from from = {v.rid, v.h.content};
    if (rc == 0)
        rc = restore_file(r, dir, name, &from);
    if (rc == 0)
        rc = publisher_flush(r->s);
    if (rc == -EEXIST)
        out_error(r->out, "%s: exists already; choose another path or remove it", shown);
    else if (rc == -EISDIR)
        out_error(r->out, "%s: a folder is there now; restore with --to another path", shown);
    else if (rc == -ENOENT || rc == -ENOTDIR)
        out_error(r->out, "%s: there is no such folder; make it first", shown);
    else if (rc == -EBUSY)
        out_error(r->out, "%s: a program is writing the file; close it there and try again", shown);
    else if (rc == -ENODATA)
        out_error(r->out,
                  "%s: the bytes of this version are not on this device; they are fetched now, if "
                  "another one has them: try again in a moment",
                  shown);
    else if (rc < 0)
        out_error(r->out, "%s: %s", shown, strerror(-rc));
    if (rc == -ENODATA)
        return VERB_FAILED;
    return rc < 0 ? verb_status_of(rc) : verb_status_of(report_version(r, call, to, r->out));
}

static int report_at(const struct restore *r, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    char a[HUMAN_MAX], b[HUMAN_MAX], c[HUMAN_MAX];
    if (call->json) {
        int rc = put_json(r, call, call->args[0], &text);
        return rc < 0 ? rc : out_buf(out, &text);
    }
    int rc = out_printf(out, "%s restored, %s removed, %s unchanged\n", human_count(r->restored, a),
                        human_count(r->removed, b), human_count(r->unchanged, c));
    if (rc == 0 && r->kept > 0)
        rc = out_printf(out, "%s left as they are: of this device alone, or in use\n",
                        human_count(r->kept, a));
    if (rc == 0 && r->missing > 0)
        rc = out_printf(out, "%s could not be restored: the version of then is no longer kept\n",
                        human_count(r->missing, a));
    return rc;
}

static int restore_time(struct restore *r, const struct verb_call *call)
{
    char shown[200], when[HUMAN_MAX];
    escape_to(shown, sizeof shown, bytes_str(call->args[0]));
    int rc = publisher_flush(r->s);
    if (rc == 0)
        rc = restore_at(r, call->args[0], call->at_ms);
    if (rc == 0)
        rc = publisher_flush(r->s);
    if (rc == 0)
        rc = report_at(r, call, r->out);
    if (rc == -ENOENT)
        out_error(r->out, "%s: was not there at %s; 'persist log' shows when it was", shown,
                  human_time(call->at_ms, when));
    else if (rc < 0 && rc != -ECANCELED)
        out_error(r->out, "%s: %s", shown, strerror(-rc));
    if (rc == 0 && r->missing > 0) {
        out_error(r->out, "%s: not all could be restored", shown);
        return VERB_FAILED;
    }
    return verb_status_of(rc);
}

int verb_restore(struct space *s, const struct verb_call *call, struct out *out)
{
    struct restore r = {.s = s, .invals.s = s, .out = out, .mounted = call->mounted};
    if (call->args_n == 1 && call->at_ms == 0) {
        out_error(out, "restore: needs a version or a time; give PATH@VERSION or --at TIME");
        return VERB_USAGE;
    }
    int status = call->args_n == 1
                     ? restore_time(&r, call)
                     : restore_version(&r, call, call->args[call->args_n > 2 ? 2 : 0]);
    restore_tell(&r);
    return status;
}
