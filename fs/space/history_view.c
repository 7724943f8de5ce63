#include "fs/space/history_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/versions.h"
#include "proto/base/human.h"

enum { EXTENSION_MAX = 32 };

struct timespec history_view_time(struct space *s)
{
    int64_t ns = atomic_load(&s->past_ns);
    return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* A name of the list, to be sorted. */
struct named {
    bool is_version;
    uint8_t n;
    char name[LIMIT_NAME];
};

/* ---- versions ---- */

/* The part of a file's name from its last '.' on, as programs look at it. */
static struct bytes extension_of(const char *path)
{
    const char *base = path + path_parent_len(path);
    base += *base == '/';
    const char *dot = strrchr(base, '.');
    size_t n = dot != NULL && dot != base ? strlen(dot) : 0;
    return n <= EXTENSION_MAX ? bytes_of(dot, n) : bytes_of(NULL, 0);
}

static struct named version_named(struct space *s, const char *path, const struct version *v)
{
    char time[HUMAN_MAX], label[LIMIT_LABEL + 1], name[VERSION_NAME_SIZE];
    const struct replica_content *c = &v->h.content;
    struct bytes extension = extension_of(path);
    struct named ret = {.is_version = true};
    human_time_utc(hlc_ms(c->stamp.hlc), time);
    time[strcspn(time, "Z")] = '\0';
    version_device(s, &c->dot, label);
    int n = snprintf(ret.name, sizeof ret.name, "%s %s (%s)%.*s", time, label,
                     version_name(&c->dot, name), (int)extension.n,
                     extension.n > 0 ? (const char *)extension.p : "");
    ret.n = (uint8_t)min_u64((uint64_t)n, sizeof ret.name - 1);
    for (size_t i = 0; i < ret.n; i++) {
        char *p = &ret.name[i];
        bool in_time = i < strlen(time);
        if (in_time && (*p == 'T' || *p == ':'))
            *p = *p == 'T' ? ' ' : '.';
        else if (*p == '/')
            *p = '_';
    }
    return ret;
}

static int put_versions(struct space *s, const char *path, const struct path *p, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf list = {0};
    int rc = versions_of_path(s, p, &list);
    for (size_t i = 0; rc == 0 && i < versions_n(&list); i++) {
        struct version v = versions_at(&list, i);
        struct named n = version_named(s, path, &v);
        buf_put(ret, &n, sizeof n);
    }
    return rc < 0 ? rc : buf_status(ret);
}

/* ---- what is and was in a folder ---- */

struct places {
    const struct rid *dir;
    struct buf *ret;
};

static int add_place(void *ctx, const struct history_place *p)
{
    struct places *w = ctx;
    if (!rid_equal(&p->parent, w->dir) || p->name_len == 0)
        return 0;
    struct named n = {.n = p->name_len};
    memcpy(n.name, p->name, p->name_len);
    buf_put(w->ret, &n, sizeof n);
    return buf_status(w->ret);
}

static int add_entry(void *ctx, const struct replica_entry *e)
{
    struct buf *b = ctx;
    struct named n = {.n = e->name_len};
    memcpy(n.name, e->name, e->name_len);
    buf_put(b, &n, sizeof n);
    return buf_status(b);
}

static int add_rid(void *ctx, const struct rid *rid)
{
    struct buf *b = ctx;
    buf_put(b, rid, sizeof *rid);
    return buf_status(b);
}

/* The names of what is shown nowhere any more; what was moved has its history where it is now. */
static int put_deleted(struct space *s, const struct rid *rid, struct places *w)
{
    struct replica_info info;
    int rc = replica_stat(s->replica, rid, &info);
    return rc < 0 || info.shown ? rc : replica_places(s->replica, rid, add_place, w);
}

/* The lock is held for one record at a time. */
static int put_entries(struct space *s, const struct rid *dir, struct buf *ret)
{
    CLEANUP(buf_fini) struct buf rids = {0};
    struct places w = {dir, ret};
    pthread_mutex_lock(&s->lock);
    int rc = replica_list(s->replica, dir, add_entry, ret); /* with conflict names */
    if (rc == 0)
        rc = replica_find_in(s->replica, dir, add_rid, &rids);
    pthread_mutex_unlock(&s->lock);
    for (size_t at = 0; rc == 0 && at < rids.n; at += sizeof(struct rid)) {
        struct rid rid;
        memcpy(&rid, rids.p + at, sizeof rid);
        pthread_mutex_lock(&s->lock);
        rc = put_deleted(s, &rid, &w);
        pthread_mutex_unlock(&s->lock);
    }
    return rc;
}

static int by_name(const void *ap, const void *bp)
{
    const struct named *a = ap, *b = bp;
    int c = bytes_cmp(bytes_of(a->name, a->n), bytes_of(b->name, b->n));
    return c != 0 ? c : (int)a->is_version - (int)b->is_version;
}

static int put_sorted(struct buf *all, struct buf *ret)
{
    struct named last = {.n = 0};
    size_t n = all->n / sizeof last;
    if (n > 1)
        qsort(all->p, n, sizeof last, by_name);
    for (size_t i = 0; i < n; i++) {
        struct named e;
        memcpy(&e, all->p + i * sizeof e, sizeof e);
        if (last.n > 0 && bytes_equal(bytes_of(e.name, e.n), bytes_of(last.name, last.n)))
            continue;
        buf_put_u8(ret, e.is_version);
        buf_put_u8(ret, e.n);
        buf_put(ret, e.name, e.n);
        last = e;
    }
    return buf_status(ret);
}

int history_view_list(struct space *s, const char *path, struct buf *ret)
{
    struct path p;
    CLEANUP(buf_fini) struct buf all = {0};
    int rc = path_find(s, path, &p);
    if (rc < 0)
        return rc;
    rc = path_rids_n(&p) == 0 ? -ENOENT : put_versions(s, path, &p, &all);
    for (size_t i = 0; rc == 0 && i < path_rids_n(&p); i++) {
        struct rid rid = path_rid(&p, i);
        if (rid_is_dir(&rid))
            rc = put_entries(s, &rid, &all);
    }
    path_fini(&p);
    return rc < 0 ? rc : put_sorted(&all, ret);
}

/* ---- one name ---- */

static int find_version(struct space *s, const char *path, struct bytes name,
                        struct history_view *ret)
{
    struct path p;
    CLEANUP(buf_fini) struct buf list = {0};
    int rc = path_find(s, path, &p);
    if (rc < 0)
        return rc;
    rc = versions_of_path(s, &p, &list);
    path_fini(&p);
    for (size_t i = 0; rc == 0 && i < versions_n(&list); i++) {
        struct version v = versions_at(&list, i);
        char id[VERSION_NAME_SIZE];
        version_name(&v.h.content.dot, id);
        if (memmem(name.p, name.n, id, strlen(id)) == NULL)
            continue; /* opens no label in vain */
        struct named n = version_named(s, path, &v);
        if (!bytes_equal(bytes_of(n.name, n.n), name))
            continue;
        *ret = (struct history_view){.is_version = true,
                                     .rid = v.rid,
                                     .dot = v.h.content.dot,
                                     .size = v.h.content.size,
                                     .mtime_ns = v.h.content.mtime_ns};
        return 0;
    }
    return rc < 0 ? rc : -ENOENT;
}

int history_view_find(struct space *s, const char *path, struct bytes name,
                      struct history_view *ret)
{
    CLEANUP(buf_fini) struct buf below = {0};
    struct path p;
    *ret = (struct history_view){.is_version = false};
    buf_put_bytes(&below, bytes_str(path));
    if (below.n > 0)
        buf_put_u8(&below, '/');
    buf_put_bytes(&below, name);
    buf_put_u8(&below, 0);
    int rc = buf_status(&below);
    if (rc == 0)
        rc = path_find(s, (const char *)below.p, &p);
    if (rc == 0) {
        rc = path_rids_n(&p) == 0 ? -ENOENT : 0;
        path_fini(&p);
    }
    return rc == -ENOENT ? find_version(s, path, name, ret) : rc;
}

int history_view_open(struct space *s, const struct history_view *v, struct content **ret)
{
    int rc = version_ask(s, &v->rid, &v->dot);
    return rc < 0 ? rc : version_open(s, &v->rid, &v->dot, ret);
}
