#include "fs/space/versions.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/replica/version.h"
#include "fs/space/out.h"
#include "fs/space/sync_priv.h"
#include "proto/base/escape.h"

struct collect {
    struct buf *list;
    struct rid rid;
    struct replica_info info;
};

static int add(void *ctx, const struct history_version *h)
{
    struct collect *c = ctx;
    struct version v = {.rid = c->rid, .h = *h};
    v.shown = c->info.shown && dot_equal(&h->content.dot, &c->info.content.dot);
    buf_put(c->list, &v, sizeof v);
    return buf_status(c->list);
}

static int newest_first(const void *ap, const void *bp)
{
    const struct version *a = ap, *b = bp;
    if (a->shown != b->shown)
        return a->shown ? -1 : 1;
    int c = stamp_cmp(&b->h.content.stamp, &a->h.content.stamp);
    return c != 0 ? c : dot_cmp(&b->h.content.dot, &a->h.content.dot);
}

int versions_of_path(struct space *s, const struct path *p, struct buf *ret)
{
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; rc == 0 && i < path_rids_n(p); i++) {
        struct collect c = {.list = ret, .rid = path_rid(p, i)};
        rc = replica_stat(s->replica, &c.rid, &c.info);
        if (rc == 0)
            rc = replica_versions(s->replica, &c.rid, add, &c);
    }
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 && versions_n(ret) > 1)
        qsort(ret->p, versions_n(ret), sizeof(struct version), newest_first);
    return rc;
}

const char *version_name(const struct dot *dot, char to[VERSION_NAME_SIZE])
{
    snprintf(to, VERSION_NAME_SIZE, "%" PRIu64 "-%04x", dot->counter,
             (unsigned)(dot->replica >> 48));
    return to;
}

int versions_find(const struct buf *list, const char *name, struct version *ret)
{
    uint64_t counter = 0;
    const char *p = name;
    for (; isdigit((unsigned char)*p) && counter < LIMIT_COUNTER; p++)
        counter = counter * 10 + (uint64_t)(*p - '0');
    if (p == name || (*p != '-' && *p != '\0'))
        return -EINVAL;
    const char *digits = p + (*p == '-');
    size_t n = strlen(digits), found = 0;
    if (n > 16 || strspn(digits, "0123456789abcdef") != n)
        return -EINVAL;
    for (size_t i = 0; i < versions_n(list); i++) {
        struct version v = versions_at(list, i);
        char replica[17];
        snprintf(replica, sizeof replica, "%016" PRIx64, v.h.content.dot.replica);
        if (v.h.content.dot.counter != counter || strncmp(replica, digits, n) != 0)
            continue;
        /* One change may have made several files of one path's history: they are equal to it. */
        if (found > 0 && !dot_equal(&v.h.content.dot, &ret->h.content.dot))
            return -ENOTUNIQ;
        if (found++ == 0)
            *ret = v;
    }
    return found > 0 ? 0 : -ENOENT;
}

const char *version_device(struct space *s, const struct dot *dot, char to[LIMIT_LABEL + 1])
{
    pthread_mutex_lock(&s->lock);
    replica_label(s->replica, dot->replica, to);
    pthread_mutex_unlock(&s->lock);
    return to;
}

int version_open(struct space *s, const struct rid *rid, const struct dot *dot,
                 struct content **ret)
{
    CLEANUP(buf_fini) struct buf body = {0};
    int rc = version_read(s->db, rid, dot, &body);
    return rc < 0 ? rc : content_open(s->db, buf_bytes(&body), ret);
}

int version_ask(struct space *s, const struct rid *rid, const struct dot *dot)
{
    pthread_mutex_lock(&s->lock);
    int rc = sync_ask_bare(s, rid, dot);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int version_bytes(struct space *s, const struct rid *rid, const struct replica_content *which,
                  struct buf *ret)
{
    struct content *c;
    int rc = version_open(s, rid, &which->dot, &c);
    if (rc < 0)
        return rc;
    buf_reset(ret);
    rc = buf_resize(ret, which->size);
    ssize_t n = rc == 0 && ret->n > 0 ? content_read(c, 0, ret->p, ret->n) : 0;
    content_free(c);
    return rc < 0 ? rc : n < 0 ? (int)n : (size_t)n < ret->n ? -EUCLEAN : 0;
}

static int find(struct space *s, const char *path, const char *name, struct version *ret,
                bool *ret_known)
{
    struct path p;
    CLEANUP(buf_fini) struct buf list = {0};
    int rc = publisher_catch_up(s);
    if (rc == 0)
        rc = path_find(s, path, &p);
    *ret_known = rc == 0;
    if (rc < 0)
        return rc;
    rc = versions_of_path(s, &p, &list);
    path_fini(&p);
    return rc < 0 ? rc : versions_find(&list, name, ret);
}

int version_wanted(struct space *s, const char *path, const char *name, struct out *out,
                   struct version *ret)
{
    char shown[200], wanted[64];
    bool known = false;
    escape_to(shown, sizeof shown, bytes_str(path));
    escape_to(wanted, sizeof wanted, bytes_str(name));
    int rc = find(s, path, name, ret, &known);
    if (rc == -ENOENT && !known)
        out_error(out, "%s: no such file, now or before; check the path", shown);
    else if (rc == -ENOENT || rc == -EINVAL)
        out_error(out, "%s: has no version '%s'; 'persist log' lists them", shown, wanted);
    else if (rc == -ENOTUNIQ)
        out_error(out, "%s: '%s' names several versions; give it as 'persist log' does", shown,
                  wanted);
    else if (rc < 0)
        out_error(out, "%s: %s", shown, strerror(-rc));
    return rc == -EINVAL || rc == -ENOTUNIQ ? -ENOENT : rc;
}
