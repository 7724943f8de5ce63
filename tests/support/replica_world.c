#include "tests/support/replica_world.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/replica_device.h"

enum { ROUNDS_MAX = 12 };

/* ---- devices --------------------------------------------------------------------------------- */

struct world *world_new(int n)
{
    assert(n <= WORLD_MAX);
    struct world *w = calloc(1, sizeof *w);
    assert(w != NULL);
    w->n = n;
    w->now_ms = UINT64_C(1795356245000); /* 2026-11-22 14:04:05 */
    for (int i = 0; i < n; i++) {
        w->d[i].w = w;
        w->d[i].id = (uint64_t)i + 1;
        replica_device_open(&w->d[i], i);
    }
    return w;
}

void world_free(struct world *w)
{
    if (w == NULL)
        return;
    for (int i = 0; i < w->n; i++)
        replica_device_close(&w->d[i], i);
    free(w->heads);
    free(w);
}

/* ---- effects --------------------------------------------------------------------------------- */

static struct replica_entry *entry_of(struct device *d, const struct rid *rid,
                                      const struct dot *slot)
{
    for (size_t i = 0; i < d->entries_n; i++)
        if (rid_equal(&d->entries[i].rid, rid) && dot_equal(&d->entries[i].slot, slot))
            return &d->entries[i];
    return NULL;
}

static bool same_entry(const struct replica_entry *a, const struct replica_entry *b)
{
    return rid_equal(&a->rid, &b->rid) && dot_equal(&a->slot, &b->slot) &&
           rid_equal(&a->parent, &b->parent) && strcmp(a->name, b->name) == 0;
}

static void add_entry(struct device *d, const struct replica_entry *e)
{
    if (d->entries_n == d->entries_cap) {
        d->entries_cap = d->entries_cap * 2 + 16;
        d->entries = reallocarray(d->entries, d->entries_cap, sizeof *d->entries);
        assert(d->entries != NULL);
    }
    d->entries[d->entries_n++] = *e;
}

static int follow_effect(void *ctx, const struct replica_effect *effect)
{
    struct device *d = ctx;
    for (size_t i = 0; i < effect->places_n; i++) {
        const struct replica_place *p = &effect->places[i];
        struct replica_entry *e = entry_of(d, &effect->rid, &p->slot);
        assert(p->was == (e != NULL));
        if (p->was) {
            assert(same_entry(e, &p->from));
            *e = d->entries[--d->entries_n];
        }
        if (p->is)
            add_entry(d, &p->to);
    }
    return 0;
}

static int count_in_effects(void *ctx, const struct replica_entry *e)
{
    struct device *d = ctx;
    const struct replica_entry *told = entry_of(d, &e->rid, &e->slot);
    if (told == NULL || !same_entry(told, e))
        fprintf(stderr, "%s is not what the effects told: %s\n", e->name, told ? told->name : "-");
    assert(told != NULL && same_entry(told, e));
    return 0;
}

static int follow_dir(void *ctx, const struct replica_entry *e)
{
    add_entry(ctx, e);
    return 0;
}

/* What the effects would have told of all that is shown. */
static void follow_anew(struct device *d)
{
    const struct rid root = RID_ROOT;
    d->entries_n = 0;
    int rc = replica_list(d->r, &root, follow_dir, d);
    for (size_t k = 0; rc == 0 && k < d->entries_n; k++) {
        struct rid rid = d->entries[k].rid;
        if (rid_is_dir(&rid))
            rc = replica_list(d->r, &rid, follow_dir, d);
    }
    assert(rc == 0);
}

void world_restart(struct world *w, int i)
{
    struct device *d = &w->d[i];
    struct vv known = {0}, floor = {0}, applied = {0};
    struct state_digest was, is;
    int rc = vv_copy(&known, replica_knowledge(d->r));
    if (rc == 0)
        rc = vv_copy(&floor, replica_floor(d->r));
    if (rc == 0)
        rc = vv_copy(&applied, replica_applied(d->r));
    assert(rc == 0);
    replica_digest(d->r, &was);
    world_reopen(w, i);
    replica_digest(d->r, &is);
    assert(vv_equal(&known, replica_knowledge(d->r)) && "knows what it knew before it restarted");
    assert(vv_equal(&floor, replica_floor(d->r)) && "has the floor of before it restarted");
    assert(vv_equal(&applied, replica_applied(d->r)) && "applied what it had before it restarted");
    assert(memcmp(&was, &is, sizeof was) == 0 && "has the digest of before it restarted");
    vv_fini(&known);
    vv_fini(&floor);
    vv_fini(&applied);
}

/* Dies: @written, what was pending is on disk. */
static void crash(struct world *w, int i, bool written)
{
    struct device *d = &w->d[i];
    d->crash = CRASH_NOT;
    w->crashes++;
    if (written) {
        replica_committed(d->r);
        world_restart(w, i);
    } else {
        world_reopen(w, i);
    }
}

int world_write(struct world *w, int i)
{
    struct device *d = &w->d[i];
    if (d->crash == CRASH_BEFORE) {
        crash(w, i, false);
        return -EINTR;
    }
    int rc = w->unchecked ? 0 : replica_effects(d->r, follow_effect, d);
    assert(rc == 0);
    rc = db_write(d->db, d->batch, false);
    assert(rc == 0);
    if (d->crash == CRASH_AFTER)
        crash(w, i, true);
    else
        replica_committed(d->r);
    db_batch_clear(d->batch);
    if (!w->unchecked)
        world_check(w, i);
    return 0;
}

void world_restore(struct world *w, int i, struct bytes copy)
{
    replica_device_fill(&w->d[i], copy);
    if (!w->unchecked)
        follow_anew(&w->d[i]);
}

/* ---- paths ----------------------------------------------------------------------------------- */

int world_find(struct world *w, int i, const char *path, struct replica_entry *ret)
{
    struct rid dir = RID_ROOT;
    *ret = (struct replica_entry){.rid = RID_ROOT};
    while (*path == '/')
        path++;
    while (*path != '\0') {
        size_t n = strcspn(path, "/");
        int rc = replica_lookup(w->d[i].r, &dir, bytes_of(path, n), ret);
        if (rc < 0)
            return rc;
        dir = ret->rid;
        path += n;
        while (*path == '/')
            path++;
    }
    return 0;
}

/* The directory of a path, and the name in it. */
static int find_parent(struct world *w, int i, const char *path, struct rid *ret_dir,
                       struct bytes *ret_name)
{
    const char *slash = strrchr(path, '/');
    assert(slash != NULL);
    char up[4096];
    snprintf(up, sizeof up, "%.*s", (int)(slash - path), path);
    struct replica_entry e;
    int rc = world_find(w, i, up, &e);
    if (rc < 0)
        return rc;
    *ret_dir = e.rid;
    *ret_name = bytes_str(slash + 1);
    return 0;
}

void world_content(struct world *w, int i, const char *text, struct value_content *ret)
{
    *ret = (struct value_content){.size = strlen(text), .mtime_ns = 7, .body = bytes_str(text)};
    hash_equal_of(replica_keys(w->d[i].r), bytes_str(text), ret->hash);
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct change *begin(struct world *w, int i)
{
    if (w->d[i].joined != NULL)
        return w->d[i].joined;
    w->now_ms += 1000;
    struct change *c = replica_begin(w->d[i].r, w->d[i].batch);
    assert(c != NULL);
    return c;
}

static int finish(struct world *w, int i, struct change *c, int rc)
{
    if (w->d[i].joined != NULL)
        return rc;
    if (rc < 0) {
        replica_cancel(c);
        return rc;
    }
    rc = replica_commit(c, NULL);
    assert(rc == 0);
    return world_write(w, i);
}

void world_join(struct world *w, int i)
{
    assert(w->d[i].joined == NULL);
    w->d[i].joined = begin(w, i);
}

int world_joined(struct world *w, int i)
{
    struct change *c = w->d[i].joined;
    assert(c != NULL);
    w->d[i].joined = NULL;
    return finish(w, i, c, 0);
}

void world_dropped(struct world *w, int i)
{
    struct change *c = w->d[i].joined;
    assert(c != NULL);
    w->d[i].joined = NULL;
    replica_cancel(c);
    world_check_digest(w, i);
}

static int make(struct world *w, int i, const char *path, enum kind kind, const char *text)
{
    struct rid dir, rid;
    struct bytes name;
    int rc = find_parent(w, i, path, &dir, &name);
    if (rc < 0)
        return rc;
    struct value_meta meta = {.mode = 0644};
    struct value_content content;
    if (text != NULL)
        world_content(w, i, text, &content);
    struct change *c = begin(w, i);
    rc = change_create(c, kind, &dir, name, &meta, text != NULL ? &content : NULL, &rid);
    return finish(w, i, c, rc);
}

int world_mkdir(struct world *w, int i, const char *path)
{
    return make(w, i, path, KIND_DIR, NULL);
}

int world_create(struct world *w, int i, const char *path, const char *content)
{
    return make(w, i, path, KIND_FILE, content);
}

int world_edit(struct world *w, int i, const char *path, const char *text)
{
    return world_edit_from(w, i, path, text, NULL);
}

int world_edit_from(struct world *w, int i, const char *path, const char *text,
                    const struct dot *base)
{
    struct replica_entry e;
    struct value_content content;
    int rc = world_find(w, i, path, &e);
    if (rc < 0)
        return rc;
    world_content(w, i, text, &content);
    struct change *c = begin(w, i);
    return finish(w, i, c, change_edit(c, &e.rid, &content, base));
}

int world_chmod(struct world *w, int i, const char *path, uint32_t mode)
{
    struct replica_entry e;
    int rc = world_find(w, i, path, &e);
    if (rc < 0)
        return rc;
    struct value_meta meta = {.mode = mode};
    struct change *c = begin(w, i);
    return finish(w, i, c, change_meta(c, &e.rid, &meta));
}

int world_rm(struct world *w, int i, const char *path)
{
    struct replica_entry e;
    int rc = world_find(w, i, path, &e);
    if (rc < 0)
        return rc;
    struct change *c = begin(w, i);
    return finish(w, i, c, change_unlink(c, &e.rid, &e.slot));
}

int world_rmtree(struct world *w, int i, const char *path)
{
    for (;;) {
        size_t n;
        char **paths = world_paths(w, i, &n);
        char *deepest = NULL; /* the last in order below @path has nothing below it */
        for (size_t k = 0; k < n; k++)
            if (strncmp(paths[k], path, strlen(path)) == 0 && paths[k][strlen(path)] == '/')
                if (deepest == NULL || strlen(paths[k]) > strlen(deepest))
                    deepest = paths[k];
        int rc = deepest == NULL ? 1 : world_rm(w, i, deepest);
        world_paths_free(paths, n);
        if (rc != 0)
            return rc < 0 ? rc : world_rm(w, i, path);
    }
}

int world_mv(struct world *w, int i, const char *from, const char *to)
{
    struct replica_entry e;
    struct rid dir;
    struct bytes name;
    int rc = world_find(w, i, from, &e);
    if (rc == 0)
        rc = find_parent(w, i, to, &dir, &name);
    if (rc < 0)
        return rc;
    struct change *c = begin(w, i);
    return finish(w, i, c, change_move(c, &e.rid, &e.slot, &dir, name));
}

int world_swap(struct world *w, int i, const char *a, const char *b)
{
    struct replica_entry x, y;
    int rc = world_find(w, i, a, &x);
    if (rc == 0)
        rc = world_find(w, i, b, &y);
    if (rc < 0)
        return rc;
    struct change *c = begin(w, i);
    return finish(w, i, c, change_exchange(c, &x.rid, &x.slot, &y.rid, &y.slot));
}

int world_ln(struct world *w, int i, const char *from, const char *to)
{
    struct replica_entry e;
    struct rid dir;
    struct bytes name;
    struct dot slot;
    int rc = world_find(w, i, from, &e);
    if (rc == 0)
        rc = find_parent(w, i, to, &dir, &name);
    if (rc < 0)
        return rc;
    struct change *c = begin(w, i);
    return finish(w, i, c, change_link(c, &e.rid, &dir, name, &slot));
}

/* ---- conflicts ------------------------------------------------------------------------------- */

struct rid_list {
    struct rid v[256];
    int n;
};

static int add_rid(void *ctx, const struct rid *rid)
{
    struct rid_list *l = ctx;
    assert(l->n < 256);
    l->v[l->n++] = *rid;
    return 0;
}

int world_resolve_one(struct world *w, int i, const struct rid *rid, enum resolve how,
                      const char *merged, const struct dot *beside, size_t beside_n)
{
    struct value_content content;
    world_content(w, i, merged, &content);
    struct change *c = begin(w, i);
    return finish(w, i, c,
                  how == RESOLVE_MERGED ? change_resolve(c, rid, how, &content, beside, beside_n)
                                        : change_resolve(c, rid, how, NULL, NULL, 0));
}

int world_each_conflict(struct world *w, int i, int (*resolve)(void *ctx, const struct rid *rid),
                        void *ctx)
{
    struct rid_list l = {.n = 0};
    int done = 0, rc = replica_conflicts(w->d[i].r, add_rid, &l);
    for (int k = 0; rc == 0 && k < l.n; k++) {
        rc = resolve(ctx, &l.v[k]);
        done += rc == 0;
        if (rc == -ENOENT || rc == -EAGAIN || rc == -EALREADY)
            rc = 0;
    }
    return rc < 0 ? rc : done;
}

struct resolver {
    struct world *w;
    int i;
    enum resolve how;
};

static int resolve_so(void *ctx, const struct rid *rid)
{
    const struct resolver *r = ctx;
    return world_resolve_one(r->w, r->i, rid, r->how, "merged", NULL, 0);
}

int world_resolve(struct world *w, int i, enum resolve how)
{
    return world_each_conflict(w, i, resolve_so, &(struct resolver){w, i, how});
}

bool world_has(struct world *w, int i, const char *path, const char *content)
{
    struct replica_entry e;
    struct replica_info info;
    if (world_find(w, i, path, &e) < 0 || replica_stat(w->d[i].r, &e.rid, &info) < 0 ||
        dot_is_none(&info.content.dot))
        return false;
    struct buf body = {0};
    int rc = replica_version_get(w->d[i].r, &e.rid, &info.content.dot, &body);
    bool same = rc == 0 && bytes_equal(buf_bytes(&body), bytes_str(content));
    buf_fini(&body);
    return same;
}

/* ---- exchange -------------------------------------------------------------------------------- */

bool world_may_exchange(const struct world *w, int i, int with)
{
    const struct vv *known = replica_knowledge(w->d[i].r);
    return known->n == 0 || vv_covers(known, replica_floor(w->d[with].r));
}

void world_pull(struct world *w, int to, int from, int cut)
{
    struct device *d = &w->d[to];
    struct replica_stream *s;
    struct buf change = {0};
    struct dot dot;
    world_sign(w, from);
    int rc = replica_stream_new(w->d[from].r, replica_knowledge(d->r), &s);
    assert(rc == 0);
    while (cut != 0 && (rc = replica_stream_next(s, &dot, &change)) == 1) {
        int taken = replica_apply(d->r, d->batch, buf_bytes(&change), world_head(w, &dot));
        assert(taken >= 0);
        if (taken == 1) {
            rc = world_write(w, to);
            assert(rc == 0);
        }
        cut -= cut > 0;
    }
    assert(rc >= 0);
    if (cut != 0) {
        rc = replica_know(d->r, d->batch, replica_stream_knowledge(s));
        assert(rc == 0);
        rc = world_write(w, to);
        assert(rc == 0);
    }
    buf_fini(&change);
    replica_stream_free(s);
}

void world_exchange(struct world *w)
{
    for (int round = 0; round < 2; round++)
        for (int a = 0; a < w->n; a++)
            for (int b = 0; b < w->n; b++)
                if (a != b)
                    world_pull(w, a, b, -1);
}

static void assert_same(struct world *w)
{
    struct buf first = {0}, other = {0};
    world_show(w, 0, &first);
    for (int i = 1; i < w->n; i++) {
        world_show(w, i, &other);
        if (!bytes_equal(buf_bytes(&first), buf_bytes(&other)))
            fprintf(stderr, "dev1:\n%.*sdev%d:\n%.*s", (int)first.n, (char *)first.p, i + 1,
                    (int)other.n, (char *)other.p);
        assert(bytes_equal(buf_bytes(&first), buf_bytes(&other)));
        assert(world_same_digest(w, 0, i));
    }
    buf_fini(&first);
    buf_fini(&other);
}

void world_meet(struct world *w)
{
    world_exchange(w);
    assert_same(w);
}

void world_quiesce(struct world *w, enum resolve how)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int n = 0;
        world_meet(w);
        for (int i = 0; i < w->n; i++) {
            int rc = world_resolve(w, i, how);
            assert(rc >= 0);
            n += rc;
        }
        if (n == 0)
            return;
    }
    fprintf(stderr, "resolution does not end\n");
    abort();
}

/* ---- what is shown --------------------------------------------------------------------------- */

struct listing {
    struct replica_entry *v;
    size_t n;
};

static int list_one(void *ctx, const struct replica_entry *e)
{
    struct listing *l = ctx;
    l->v = reallocarray(l->v, l->n + 1, sizeof *l->v);
    assert(l->v != NULL);
    l->v[l->n++] = *e;
    return 0;
}

static int cmp_names(const void *a, const void *b)
{
    return strcmp(((const struct replica_entry *)a)->name, ((const struct replica_entry *)b)->name);
}

static void put_content(struct device *d, const struct rid *rid, struct buf *ret)
{
    struct replica_info info;
    int rc = replica_stat(d->r, rid, &info);
    assert(rc == 0 && info.shown && info.held);
    for (int k = 0; k < 8 && !dot_is_none(&info.content.dot); k++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", info.content.hash[k]);
        buf_put(ret, hex, 2);
    }
}

static void show_dir(struct world *w, int i, const struct rid *dir, const char *path,
                     struct buf *ret)
{
    struct listing l = {0};
    int rc = replica_list(w->d[i].r, dir, list_one, &l);
    assert(rc == 0);
    if (l.n > 1)
        qsort(l.v, l.n, sizeof *l.v, cmp_names);
    for (size_t k = 0; k < l.n; k++) {
        struct replica_entry found;
        rc = replica_lookup(w->d[i].r, dir, bytes_str(l.v[k].name), &found);
        assert(rc == 0 && same_entry(&found, &l.v[k]));
        char *at = NULL;
        int len = asprintf(&at, "%s/%s", path, l.v[k].name);
        assert(len > 0);
        buf_put(ret, at, (size_t)len);
        if (rid_is_dir(&l.v[k].rid)) {
            buf_put(ret, "/\n", 2);
            show_dir(w, i, &l.v[k].rid, at, ret);
        } else {
            buf_put(ret, " = ", 3);
            put_content(&w->d[i], &l.v[k].rid, ret);
            buf_put(ret, "\n", 1);
        }
        free(at);
    }
    free(l.v);
}

void world_show(struct world *w, int i, struct buf *ret)
{
    const struct rid root = RID_ROOT;
    buf_reset(ret);
    show_dir(w, i, &root, "", ret);
}

char **world_paths(struct world *w, int i, size_t *ret_n)
{
    struct buf b = {0};
    world_show(w, i, &b);
    buf_put_u8(&b, 0);
    char **paths = NULL;
    *ret_n = 0;
    char *save = NULL;
    for (char *line = strtok_r((char *)b.p, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *end = strstr(line, " = ");
        if (end == NULL)
            end = line + strlen(line) - 1;
        paths = reallocarray(paths, *ret_n + 1, sizeof(*paths));
        assert(paths != NULL);
        paths[(*ret_n)++] = strndup(line, (size_t)(end - line));
    }
    buf_fini(&b);
    return paths;
}

void world_paths_free(char **paths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    free(paths);
}

int world_count(struct world *w, int i, int *ret_conflicts)
{
    size_t n;
    char **paths = world_paths(w, i, &n);
    int conflicts = 0;
    for (size_t k = 0; k < n; k++)
        conflicts += strstr(paths[k], "(conflict") != NULL;
    world_paths_free(paths, n);
    if (ret_conflicts != NULL)
        *ret_conflicts = conflicts;
    return (int)n;
}

/* ---- checks ---------------------------------------------------------------------------------- */

struct values {
    struct full *full;
    struct rid *rids;
    size_t rids_n;
};

static int add_value(void *ctx, const struct value *v)
{
    struct values *all = ctx;
    full_add(all->full, v);
    if (all->rids_n > 0 && rid_equal(&all->rids[all->rids_n - 1], &v->rid))
        return 0;
    all->rids = reallocarray(all->rids, all->rids_n + 1, sizeof *all->rids);
    assert(all->rids != NULL);
    all->rids[all->rids_n++] = v->rid;
    return 0;
}

static void print_dots(const char *what, struct dots d)
{
    fprintf(stderr, " %s{", what);
    for (size_t i = 0; i < d.n; i++) {
        struct dot x = dots_at(d, i);
        fprintf(stderr, "%s%llu:%llu", i > 0 ? " " : "", (unsigned long long)x.replica,
                (unsigned long long)x.counter);
    }
    fprintf(stderr, "}");
}

/* For whoever has to find out why: what the tree comes from. */
static int print_value(void *ctx, const struct value *v)
{
    static const char *const facets[] = {"place", "meta", "content"};
    (void)ctx;
    char hex[RID_HEX_SIZE];
    rid_hex(&v->rid, hex);
    fprintf(stderr, "%.8s %s:%llu.%llu dot %llu:%llu at %llx/%llu", hex, facets[v->facet],
            (unsigned long long)v->slot.replica, (unsigned long long)v->slot.counter,
            (unsigned long long)v->dot.replica, (unsigned long long)v->dot.counter,
            (unsigned long long)v->stamp.hlc, (unsigned long long)v->stamp.replica);
    print_dots("ctx", v->ctx);
    if (!v->from_own)
        print_dots("from", v->from);
    if (v->facet == FACET_PLACE) {
        rid_hex(&v->place.parent, hex);
        fprintf(stderr, " %s %.8s/%.*s", v->place.alive ? "alive" : "deleted", hex,
                (int)v->place.name.n, (const char *)v->place.name.p);
        print_dots("cseen", v->place.cseen);
    }
    fprintf(stderr, "\n");
    return 0;
}

static int count_one(void *ctx, const struct replica_entry *e)
{
    (void)e;
    ++*(size_t *)ctx;
    return 0;
}

void world_check(struct world *w, int i)
{
    struct device *d = &w->d[i];
    world_check_digest(w, i);
    struct values all = {.full = full_new(world_label)};
    struct buf is = {0}, ought = {0};
    int rc = replica_values(d->r, add_value, &all);
    assert(rc == 0);
    full_show(all.full, &ought);
    world_show(w, i, &is);
    if (!bytes_equal(buf_bytes(&is), buf_bytes(&ought)))
        fprintf(stderr, "dev%d shows:\n%.*sbut ought to:\n%.*s", i + 1, (int)is.n, (char *)is.p,
                (int)ought.n, (char *)ought.p);
    if (!bytes_equal(buf_bytes(&is), buf_bytes(&ought)))
        (void)!replica_values(d->r, print_value, NULL);
    assert(bytes_equal(buf_bytes(&is), buf_bytes(&ought)));
    size_t n = 0;
    for (size_t k = 0; k < all.rids_n && !w->unchecked; k++) {
        rc = replica_entries(d->r, &all.rids[k], count_in_effects, d);
        assert(rc == 0);
        rc = replica_entries(d->r, &all.rids[k], count_one, &n);
        assert(rc == 0);
    }
    assert(n == d->entries_n || w->unchecked);
    full_free(all.full);
    free(all.rids);
    buf_fini(&is);
    buf_fini(&ought);
}
