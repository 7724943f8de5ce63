#include "fs/space/log_folder.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/space/path.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

/* A record that is or was in the folder. */
struct member {
    struct rid rid;
    bool here, shown; /* in the folder now; anywhere now */
    bool place_last;  /* its name changed after its content did */
    bool first;       /* it has had one name and one content so far */
    struct stamp last;
    uint64_t size;
    size_t name_n;
    char name[LIMIT_NAME];
};

static int add_rid(void *ctx, const struct rid *rid)
{
    struct buf *b = ctx;
    buf_put(b, rid, sizeof *rid);
    return buf_status(b);
}

static int cmp_rids(const void *a, const void *b)
{
    return rid_cmp(a, b);
}

struct look {
    const struct rid *dir;
    struct member *m;
    unsigned places_n, versions_n;
};

static void take_name(struct member *m, const char *name, size_t n)
{
    m->name_n = n;
    memcpy(m->name, name, n);
}

static int look_place(void *ctx, const struct history_place *p)
{
    struct look *l = ctx;
    l->places_n++;
    if (rid_equal(&p->parent, l->dir))
        take_name(l->m, p->name, p->name_len);
    if (stamp_cmp(&p->stamp, &l->m->last) >= 0) {
        l->m->last = p->stamp;
        l->m->place_last = true;
    }
    return 0;
}

static int look_version(void *ctx, const struct history_version *v)
{
    struct look *l = ctx;
    l->versions_n++;
    if (stamp_cmp(&v->content.stamp, &l->m->last) > 0) {
        l->m->last = v->content.stamp;
        l->m->place_last = false;
    }
    return 0;
}

static int look_entry(void *ctx, const struct replica_entry *e)
{
    struct look *l = ctx;
    if (rid_equal(&e->parent, l->dir)) {
        l->m->here = true;
        take_name(l->m, e->name, e->name_len);
    }
    return 0;
}

static int look_member(struct space *s, const struct rid *dir, struct member *m)
{
    struct replica_info info;
    struct look l = {.dir = dir, .m = m};
    int rc = replica_stat(s->replica, &m->rid, &info);
    if (rc == 0)
        rc = replica_places(s->replica, &m->rid, look_place, &l);
    if (rc == 0)
        rc = replica_versions(s->replica, &m->rid, look_version, &l);
    if (rc == 0)
        rc = replica_entries(s->replica, &m->rid, look_entry, &l);
    m->shown = rc == 0 && info.shown;
    m->size = rc == 0 ? info.content.size : 0;
    m->first = l.places_n == 1 && l.versions_n <= 1;
    return rc;
}

static int latest_first(const void *ap, const void *bp)
{
    const struct member *a = ap, *b = bp;
    int c = stamp_cmp(&b->last, &a->last);
    return c != 0 ? c : rid_cmp(&a->rid, &b->rid);
}

static int members_of(struct space *s, const struct rid *dir, struct out *out, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf rids = {0};
    pthread_mutex_lock(&s->lock);
    int rc = replica_find_in(s->replica, dir, add_rid, &rids);
    pthread_mutex_unlock(&s->lock);
    size_t n = rids.n / sizeof(struct rid);
    if (n > 1)
        qsort(rids.p, n, sizeof(struct rid), cmp_rids);
    struct member last = {0};
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct member m = {0};
        memcpy(&m.rid, rids.p + i * sizeof m.rid, sizeof m.rid);
        if (i > 0 && rid_equal(&m.rid, &last.rid))
            continue;
        last = m;
        pthread_mutex_lock(&s->lock);
        rc = look_member(s, dir, &m);
        pthread_mutex_unlock(&s->lock);
        buf_put(ret, &m, sizeof m);
        if (rc == 0 && out_cancelled(out, 0))
            rc = -ECANCELED;
    }
    if (rc == 0)
        rc = buf_status(ret);
    if (rc == 0 && ret->n > sizeof(struct member))
        qsort(ret->p, ret->n / sizeof(struct member), sizeof(struct member), latest_first);
    return rc;
}

static const char *change_of(const struct member *m)
{
    if (!m->shown)
        return "deleted";
    if (!m->here)
        return "moved away";
    if (m->first)
        return "created";
    return m->place_last ? "moved or restored" : "changed";
}

static const char *kind_of(const struct member *m)
{
    static const char *const kinds[] = {
        [KIND_DIR] = "folder", [KIND_FILE] = "file", [KIND_SYMLINK] = "symlink"};
    return kinds[rid_kind(&m->rid)];
}

static int put_text(const struct verb_call *call, const struct buf *members, struct buf *out)
{
    struct table t = {.columns_n = 4};
    static const char *const heads[] = {"TIME", "CHANGE", "KIND", "NAME"};
    for (size_t i = 0; i < ARRAY_N(heads); i++)
        table_cell_str(&t, heads[i]);
    for (size_t at = 0; at < members->n; at += sizeof(struct member)) {
        struct member m;
        char text[HUMAN_MAX];
        memcpy(&m, members->p + at, sizeof m);
        table_cell_str(&t, human_time(hlc_ms(m.last.hlc), text));
        table_cell_str(&t, change_of(&m));
        table_cell_str(&t, kind_of(&m));
        table_cell(&t, bytes_of(m.name, m.name_n));
    }
    int rc = table_put(&t, call->colour, out);
    table_fini(&t);
    return rc;
}

static int put_json(const char *path, const struct buf *members, struct buf *out)
{
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_key_str(&j, "path", path);
    json_key_str(&j, "kind", "folder");
    json_key(&j, "entries");
    json_list(&j);
    for (size_t at = 0; at < members->n; at += sizeof(struct member)) {
        struct member m;
        memcpy(&m, members->p + at, sizeof m);
        json_object(&j);
        json_key_bytes(&j, "name", bytes_of(m.name, m.name_n));
        json_key_str(&j, "kind", kind_of(&m));
        json_key_str(&j, "change", change_of(&m));
        json_key_time(&j, "time", hlc_ms(m.last.hlc));
        json_key_bool(&j, "current", m.here);
        json_key_bool(&j, "deleted", !m.shown);
        json_key_u64(&j, "size", m.size);
        json_end(&j);
    }
    json_end(&j);
    json_end(&j);
    return json_finish(&j);
}

int log_folder(struct space *s, const struct verb_call *call, const struct rid *dir,
               struct out *out)
{
    CLEANUP(buf_fini) struct buf members = {0}, text = {0};
    int rc = members_of(s, dir, out, &members);
    if (rc == 0)
        rc =
            call->json ? put_json(call->args[0], &members, &text) : put_text(call, &members, &text);
    return rc < 0 ? rc : out_buf(out, &text);
}
