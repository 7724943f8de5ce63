/* What must hold when everybody has met. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/derived.h"
#include "tests/sim/ghost.h"
#include "tests/sim/mirror.h"
#include "tests/sim/session.h"
#include "tests/support/crash_rand.h"

enum { ROUNDS_MAX = 12, VALUES_MAX = 8192 };

/* ---- what a replica holds -------------------------------------------------------------------- */

struct held {
    struct value v[VALUES_MAX];
    size_t n;
    struct buf bytes[VALUES_MAX];
};

static int hold(void *ctx, const struct value *v)
{
    struct held *h = ctx;
    assert(h->n < VALUES_MAX);
    h->bytes[h->n] = (struct buf){0};
    value_encode(v, VALUE_STORED, &h->bytes[h->n]);
    int rc = value_decode(buf_bytes(&h->bytes[h->n]), VALUE_STORED, &h->v[h->n]);
    h->n++;
    return rc;
}

static struct held *held_by(struct sim *s, int i)
{
    struct held *h = malloc(sizeof *h); /* large, and mostly unused: not cleared */
    assert(h != NULL);
    h->n = 0;
    int rc = replica_values(s->w->d[i].r, hold, h);
    assert(rc == 0);
    return h;
}

static void held_free(struct held *h)
{
    for (size_t k = 0; k < h->n; k++)
        buf_fini(&h->bytes[k]);
    free(h);
}

static bool supersedes(const struct value *a, const struct value *v)
{
    return value_same_facet(a, v) && value_seen(a, &v->dot);
}

static bool is_held(const struct held *h, const struct value *v, bool *ret_any)
{
    for (size_t k = 0; k < h->n; k++) {
        *ret_any = *ret_any || rid_equal(&h->v[k].rid, &v->rid);
        if (supersedes(&h->v[k], v))
            return true;
    }
    return false;
}

/*
 * All have acknowledged @v or what superseded it, and it went with its record. If something of that
 * is held, the record was made again since: then only a name that was deleted may be missing.
 */
static bool is_cleaned(const struct sim *s, const struct value *v, const struct vv *floor,
                       bool again)
{
    for (size_t k = 0; k < s->parts; k++) {
        const struct value *p = &s->part[k];
        if (vv_has(floor, &p->dot) && supersedes(p, v) &&
            (!again || (p->facet == FACET_PLACE && !p->place.alive)))
            return true;
    }
    return false;
}

void sim_check_held(struct sim *s, int i)
{
    struct replica *r = s->w->d[i].r;
    struct held *h = held_by(s, i);
    for (size_t k = 0; k < s->parts && !s->restored && !s->compared; k++) {
        const struct value *v = &s->part[k];
        bool any = false;
        if (vv_has(replica_knowledge(r), &v->dot) && !is_held(h, v, &any))
            SIM_NEED(is_cleaned(s, v, replica_floor(r), any),
                     "device %d knows %llu:%llu, but does not hold it", i,
                     (unsigned long long)v->dot.replica, (unsigned long long)v->dot.counter);
    }
    held_free(h);
}

/* ---- meeting --------------------------------------------------------------------------------- */

static void exchange(struct sim *s)
{
    int n = sim_nodes(s);
    for (int round = 0; round < 2; round++)
        for (int a = 0; a < n; a++)
            for (int b = 0; b < n; b++)
                if (a != b && (!s->setup.relay || a == s->setup.devices || b == s->setup.devices))
                    sim_pull(s, a, b);
    /* Through a server what the last one gave reaches the first in the third round. */
    for (int a = 0; a < s->setup.devices && s->setup.relay; a++)
        sim_pull(s, a, s->setup.devices);
}

static void same(struct sim *s, const char *when)
{
    struct buf first = {0}, other = {0};
    world_show(s->w, 0, &first);
    for (int i = 1; i < s->setup.devices; i++) {
        world_show(s->w, i, &other);
        SIM_NEED(bytes_equal(buf_bytes(&first), buf_bytes(&other)),
                 "devices differ %s\ndevice 0:\n%.*sdevice %d:\n%.*s", when, (int)first.n,
                 (char *)first.p, i, (int)other.n, (char *)other.p);
    }
    buf_fini(&first);
    buf_fini(&other);
    for (int i = 0; i < s->setup.devices; i++) {
        const struct replica *r = s->w->d[i].r;
        world_check_digest(s->w, i);
        SIM_NEED(world_same_digest(s->w, 0, i), "devices 0 and %d have two digests %s", i, when);
        SIM_NEED(vv_covers(replica_applied(r), replica_knowledge(r)),
                 "device %d knows more than it applied", i);
        SIM_NEED(s->restored || vv_equal(replica_applied(r), replica_applied(s->w->d[0].r)),
                 "devices 0 and %d applied different changes %s", i, when);
        mirror_compare(s->mirror, s->w, i);
    }
}

static void quiesce(struct sim *s)
{
    for (int round = 0;; round++) {
        int n = 0;
        SIM_NEED(round < ROUNDS_MAX, "resolutions do not end");
        exchange(s);
        same(s, round == 0 ? "after they met" : "after they resolved");
        for (int i = 0; i < s->setup.devices; i++) {
            int rc = sim_resolve(s, i);
            SIM_NEED(rc >= 0, "resolving: %s", strerror(-rc));
            n += rc;
            if (!s->setup.together)
                exchange(s);
        }
        if (n == 0)
            return;
    }
}

/* ---- saves ----------------------------------------------------------------------------------- */

struct open_contents {
    struct rid rid[256];
    struct dot dot[256];
    int n;
    const struct rid *now;
};

static int add_conflict(void *ctx, const struct rid *rid)
{
    struct open_contents *o = ctx;
    assert(o->n < 256);
    o->rid[o->n++] = *rid;
    return 0;
}

static int add_content(void *ctx, const struct replica_content *c)
{
    struct open_contents *o = ctx;
    assert(o->n < 256);
    o->rid[o->n] = *o->now;
    o->dot[o->n++] = c->dot;
    return 0;
}

/*
 * The saves in conflicts that stay open: what only a device had that went back in time, and broke a
 * session off, nobody ever knows, and so nobody resolves it.
 */
static void mark_open(struct sim *s, int i, bool shown[SIM_SAVES_MAX])
{
    struct replica *r = s->w->d[i].r;
    struct open_contents records = {.n = 0}, contents = {.n = 0};
    struct buf body = {0};
    int rc = replica_conflicts(r, add_conflict, &records);
    for (int k = 0; k < records.n && rc == 0; k++) {
        contents.now = &records.rid[k];
        rc = replica_contents(r, contents.now, add_content, &contents);
    }
    for (int k = 0; k < contents.n && rc == 0; k++) {
        rc = replica_version_get(r, &contents.rid[k], &contents.dot[k], &body);
        buf_put_u8(&body, 0);
        const char *at = (const char *)body.p;
        for (int save; (save = ghost_next_save(&at)) != 0;)
            shown[save] = true;
    }
    assert(rc == 0);
    buf_fini(&body);
}

/* Every save is shown on this device, or a user to whom it was shown replaced or deleted it. */
static void check_kept(struct sim *s, int i)
{
    static bool shown[SIM_SAVES_MAX];
    size_t n;
    char **paths = world_paths(s->w, i, &n);
    memset(shown, 0, sizeof shown);
    for (size_t k = 0; k < n; k++) {
        char text[SIM_LINE_MAX];
        const char *at = text;
        if (!sim_text(s, i, paths[k], text))
            continue;
        for (int save; (save = ghost_next_save(&at)) != 0;)
            shown[save] = true;
    }
    world_paths_free(paths, n);
    if (s->restored)
        mark_open(s, i, shown);
    for (int k = 1; k < SIM_SAVES_MAX; k++)
        SIM_NEED(!s->save[k].made || s->save[k].known || s->lost[k] || shown[k],
                 "save %d is lost on device %d", k, i);
}

/* ---- deletions ------------------------------------------------------------------------------- */

static bool had_received(const struct sim_deletion *d, const struct value *v)
{
    for (size_t k = 0; k < d->seen_n; k++)
        if (value_same_facet(&d->seen[k], v) && value_seen(&d->seen[k], &v->dot))
            return true;
    return false;
}

/* What was deleted and is there has a change of a user that whoever deleted it had not received. */
static void check_deleted(struct sim *s)
{
    struct replica *r = s->w->d[0].r;
    for (size_t k = 0; k < s->deletions; k++) {
        const struct sim_deletion *d = &s->deletion[k];
        struct replica_info info;
        bool unseen = false;
        int rc = replica_stat(r, &d->rid, &info);
        assert(rc == 0);
        for (size_t p = 0; p < s->parts; p++) {
            const struct value *v = &s->part[p];
            unseen = unseen || (rid_equal(&v->rid, &d->rid) && v->from_own &&
                                v->facet != FACET_META && !had_received(d, v));
        }
        SIM_NEED(!d->whole || unseen || !info.alive, "a deleted record came back: %llu:%llu",
                 (unsigned long long)d->dot.replica, (unsigned long long)d->dot.counter);
    }
}

/* ---- siblings -------------------------------------------------------------------------------- */

static const struct value *content_of(struct sim *s, const struct value *place)
{
    for (size_t k = 0; k < s->parts; k++)
        if (s->part[k].facet == FACET_CONTENT && rid_equal(&s->part[k].rid, &place->rid) &&
            dot_equal(&s->part[k].dot, &place->dot))
            return &s->part[k];
    return NULL;
}

static bool is_sibling_place(const struct value *v)
{
    return v->facet == FACET_PLACE && v->place.alive && !v->from_own && v->from.n == 0;
}

static bool seen_before(const struct sim *s, size_t k)
{
    for (size_t j = 0; j < k; j++)
        if (is_sibling_place(&s->part[j]) && rid_equal(&s->part[j].rid, &s->part[k].rid))
            return true;
    return false;
}

/* Of a record with N saves at most N - 1 siblings were made. */
static void check_siblings(struct sim *s)
{
    const struct space_keys *keys = replica_keys(s->w->d[0].r);
    for (size_t k = 0; k < s->parts; k++) {
        const struct value *of = &s->part[k];
        size_t saves = 0, siblings = 0;
        if (of->facet != FACET_CONTENT || !of->from_own)
            continue;
        for (size_t j = 0; j < s->parts; j++) {
            const struct value *v = &s->part[j];
            saves += v->facet == FACET_CONTENT && v->from_own && rid_equal(&v->rid, &of->rid);
            const struct value *c = is_sibling_place(v) ? content_of(s, v) : NULL;
            if (c == NULL || seen_before(s, j))
                continue;
            struct rid rid = hash_sibling(keys, &of->rid, c->from);
            siblings += rid_equal(&rid, &v->rid);
        }
        SIM_NEED(siblings < saves, "%zu siblings of a record with %zu saves", siblings, saves);
    }
}

/* ---- order, shape ---------------------------------------------------------------------------- */

static int apply(struct sim *s, const struct sim_change *c)
{
    struct device *d = &s->w->d[s->spare];
    return replica_apply(d->r, d->batch, buf_bytes(&c->blob), world_head(s->w, &c->dot));
}

/* All changes in another order, some twice, into an empty replica: the same tree. */
static void check_order(struct sim *s)
{
    struct crash_rand r = {s->hash};
    size_t n = s->changes;
    size_t *order = calloc(2 * n + 1, sizeof *order);
    assert(order != NULL);
    for (size_t k = 0; k < 2 * n; k++)
        order[k] = k % n;
    for (size_t k = 2 * n; k > 1; k--) {
        size_t j = crash_below(&r, k), t = order[j];
        order[j] = order[k - 1];
        order[k - 1] = t;
    }
    for (size_t k = 0; k < 2 * n - n / 2; k++) {
        int rc = apply(s, &s->change[order[k]]);
        assert(rc >= 0);
        if (crash_chance(&r, 30))
            (void)world_write(s->w, s->spare);
    }
    for (size_t k = 0; k < n; k++) {
        int rc = apply(s, &s->change[k]);
        assert(rc >= 0);
    }
    (void)world_write(s->w, s->spare);
    free(order);
    struct buf here = {0}, there = {0};
    world_show(s->w, 0, &here);
    world_show(s->w, s->spare, &there);
    SIM_NEED(bytes_equal(buf_bytes(&here), buf_bytes(&there)),
             "another order, another tree\ndevice 0:\n%.*sin the other order:\n%.*s", (int)here.n,
             (char *)here.p, (int)there.n, (char *)there.p);
    SIM_NEED(world_same_digest(s->w, 0, s->spare), "another order, another digest");
    world_check_digest(s->w, s->spare);
    buf_fini(&here);
    buf_fini(&there);
}

/* A change that is thought better of leaves the digest as it was. The clock goes on. */
static void check_undone(struct sim *s, int i)
{
    struct device *d = &s->w->d[i];
    size_t n;
    char **paths = world_paths(s->w, i, &n);
    for (size_t k = 0; k < n && s->mirror == NULL; k++) {
        struct replica_entry e;
        struct state_digest before, after;
        int rc = world_find(s->w, i, paths[k], &e);
        assert(rc == 0);
        replica_digest(d->r, &before);
        struct change *c = replica_begin(d->r, d->batch);
        assert(c != NULL);
        if (change_unlink(c, &e.rid, &e.slot) < 0)
            (void)!change_meta(c, &e.rid, &(struct value_meta){.mode = 0});
        replica_cancel(c);
        replica_digest(d->r, &after);
        SIM_NEED(memcmp(&before, &after, sizeof before) == 0,
                 "device %d: what was not done to %s is in the digest", i, paths[k]);
    }
    world_paths_free(paths, n);
}

/* Every living record is in the tree, and every deleted one that is still held is needed there. */
static void check_shape(struct sim *s, int i, bool cleaned)
{
    struct held *h = held_by(s, i);
    world_check(s->w, i);
    for (size_t k = 0; k < h->n; k++) {
        struct replica_info info;
        bool used = false;
        int rc = replica_stat(s->w->d[i].r, &h->v[k].rid, &info);
        assert(rc == 0);
        SIM_NEED(!info.alive || info.shown, "a living record is not in the tree");
        for (size_t j = 0; j < h->n; j++)
            used = used ||
                   (h->v[j].facet == FACET_PLACE && rid_equal(&h->v[j].place.parent, &h->v[k].rid));
        SIM_NEED(!cleaned || info.shown || used, "a deleted record was not cleaned up");
    }
    held_free(h);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void clean_up(struct sim *s)
{
    for (int round = 0; round < 3; round++) {
        exchange(s);
        for (int i = 0; i < s->setup.devices; i++)
            (void)sim_clean(s, i);
    }
    same(s, "after clean-up");
    for (int i = 0; i < s->setup.devices; i++) {
        check_shape(s, i, true);
        sim_check_held(s, i);
    }
}

/* And life goes on after it. */
static void go_on(struct sim *s)
{
    long long at = (long long)s->steps * 10 + 100000;
    for (int i = 0; i < s->setup.devices; i++) {
        char line[SIM_LINE_MAX];
        size_t n;
        char **paths = world_paths(s->w, i, &n);
        snprintf(line, sizeof line, "%lld %d create|/a|%d", ++at, i, SIM_SAVES_MAX - 1 - i);
        (void)sim_step(s, line);
        snprintf(line, sizeof line, "%lld %d mv|%s|/later", ++at, i, n > 0 ? paths[n / 2] : "/a");
        (void)sim_step(s, line);
        snprintf(line, sizeof line, "%lld %d rm|%s", ++at, i, n > 0 ? paths[n - 1] : "/a");
        (void)sim_step(s, line);
        world_paths_free(paths, n);
    }
    quiesce(s);
}

/* Every byte on every disk. */
static void sum_up(struct sim *s)
{
    struct buf disk = {0};
    for (int i = 0; i < s->w->n; i++) {
        world_copy(s->w, i, &disk);
        sim_fold(s, disk.p, disk.n);
    }
    buf_fini(&disk);
}

static void check_all(struct sim *s)
{
    bool kept = s->setup.policy != POLICY_LATER;
    for (int i = 0; i < s->setup.devices; i++) {
        sim_check_held(s, i);
        check_shape(s, i, false);
        check_undone(s, i);
        if (kept)
            check_kept(s, i);
    }
    if (s->restored || s->compared) {
        derived_held(s, 0); /* changes exist twice, under two names */
        return;
    }
    derived_all(s);
    check_deleted(s);
    if (kept)
        check_siblings(s);
    bool cleaned = false;
    for (int i = 0; i < s->setup.devices; i++)
        cleaned = cleaned || replica_floor(s->w->d[i].r)->n > 0;
    if (!cleaned)
        check_order(s);
}

void sim_finish(struct sim *s)
{
    for (int i = 0; i < s->setup.devices; i++) {
        char line[SIM_LINE_MAX];
        s->w->d[i].crash = CRASH_NOT;
        session_end(&s->in[i]);
        snprintf(line, sizeof line, "0 %d joined", i);
        (void)sim_step(s, line);
    }
    memset(s->away, 0, sizeof s->away);
    session_end(&s->in[s->setup.devices]);
    if (s->setup.server == SERVER_REPLICA)
        s->w->d[s->setup.devices].crash = CRASH_NOT;
    s->at_end = true;
    derived_held(s, (int)(s->steps % (size_t)s->setup.devices));
    quiesce(s);
    check_all(s);
    for (int i = 0; i < s->w->n; i++)
        world_restart(s->w, i);
    if (s->setup.cleaning) {
        clean_up(s);
        go_on(s);
        derived_held(s, 0);
    }
    sum_up(s);
}
