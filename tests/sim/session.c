#include "tests/sim/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/sim/compare.h"
#include "tests/sim/mirror.h"
#include "tests/support/crash_rand.h"

static bool is_log(const struct sim *s, int i)
{
    return s->setup.server == SERVER_LOG && i == s->setup.devices;
}

static const struct vv *knowledge(const struct sim *s, int i)
{
    return is_log(s, i) ? &s->log_known : replica_knowledge(s->w->d[i].r);
}

/*
 * A device takes from nobody what it would have to compare first. A server takes from all who may
 * give: what was cleaned up and it still has is known to whoever may take from it.
 */
static bool may(const struct sim *s, int to, int from)
{
    bool server = to >= s->setup.devices;
    return sim_may_give(s, from) && (server || sim_may_give(s, to));
}

/* ---- opening --------------------------------------------------------------------------------- */

struct found {
    struct sim_change *v;
    size_t n;
};

static void find(struct found *f, const struct dot *dot, struct bytes blob)
{
    f->v = reallocarray(f->v, f->n + 1, sizeof *f->v);
    assert(f->v != NULL);
    f->v[f->n] = (struct sim_change){.dot = *dot};
    buf_put_bytes(&f->v[f->n++].blob, blob);
}

static void read_log(const struct sim *s, const struct vv *have, struct found *f)
{
    for (size_t k = 0; k < s->log_n; k++)
        if (!vv_has(have, &s->log[k].dot))
            find(f, &s->log[k].dot, buf_bytes(&s->log[k].blob));
}

static void read_replica(struct sim *s, int from, const struct vv *have, struct found *f)
{
    struct replica_stream *stream;
    struct buf change = {0};
    struct dot dot;
    world_sign(s->w, from);
    int rc = replica_stream_new(s->w->d[from].r, have, &stream);
    assert(rc == 0);
    while ((rc = replica_stream_next(stream, &dot, &change)) == 1)
        find(f, &dot, buf_bytes(&change));
    assert(rc == 0);
    buf_fini(&change);
    replica_stream_free(stream);
}

static void put(struct sim_session *in, const struct sim_change *c, bool fresh)
{
    if (fresh) {
        in->batch = reallocarray(in->batch, in->n + 1, sizeof *in->batch);
        assert(in->batch != NULL);
        in->batch[in->n++] = (struct buf){0};
    }
    buf_put_string(&in->batch[in->n - 1], buf_bytes(&c->blob));
}

static void arrange(struct sim_session *in, struct found *f, uint64_t seed)
{
    struct crash_rand r = {seed};
    unsigned join = seed == 0 ? 0 : (unsigned)crash_below(&r, 3) * 30,
             again = seed % 4 == 1 ? 20 : 0;
    for (size_t k = f->n; seed != 0 && k > 1; k--) {
        size_t j = crash_below(&r, k);
        struct sim_change t = f->v[j];
        f->v[j] = f->v[k - 1];
        f->v[k - 1] = t;
    }
    for (size_t k = 0; k < f->n; k++) {
        put(in, &f->v[k], k == 0 || !crash_chance(&r, join));
        if (crash_chance(&r, again))
            put(in, &f->v[crash_below(&r, k + 1)], crash_chance(&r, 50));
    }
}

/* @acks: what @from says that everybody knows. */
static int say_acks(const struct sim *s, int from, struct vv acks[SIM_DEVICES_MAX])
{
    int rc = 0;
    for (int m = 0; m < s->setup.devices && rc == 0; m++)
        rc = vv_join(&acks[m], &s->acks[from][m]);
    if (rc == 0 && from < s->setup.devices)
        rc = vv_join(&acks[from], knowledge(s, from));
    return rc;
}

int session_acks(struct sim *s, int to, int from)
{
    int rc = say_acks(s, from, s->acks[to]);
    assert(rc == 0);
    return 0;
}

int session_open(struct sim *s, struct sim_session *in, int to, int from, uint64_t seed)
{
    struct found f = {NULL, 0};
    int compared = sim_compare(s, to, from < s->setup.devices ? from : sim_giver(s, to));
    if (compared < 0 && compared != -EXDEV)
        return compared;
    if (!may(s, to, from))
        return -EXDEV;
    if (!is_log(s, from) && s->w->d[from].joined != NULL)
        return -EBUSY;
    const struct vv *have = knowledge(s, to);
    if (is_log(s, from))
        read_log(s, have, &f);
    else
        read_replica(s, from, have, &f);
    in->mirrored = mirror_open(s->mirror, to, from, f.v, f.n);
    int rc = vv_copy(&in->known, knowledge(s, from));
    if (rc == 0)
        rc = say_acks(s, from, in->acks);
    assert(rc == 0);
    in->open = true;
    arrange(in, &f, seed);
    for (size_t k = 0; k < f.n; k++)
        buf_fini(&f.v[k].blob);
    free(f.v);
    return 0;
}

void session_end(struct sim_session *in)
{
    for (size_t k = 0; k < in->n; k++)
        buf_fini(&in->batch[k]);
    free(in->batch);
    vv_fini(&in->known);
    for (int m = 0; m < SIM_DEVICES_MAX; m++)
        vv_fini(&in->acks[m]);
    *in = (struct sim_session){0};
}

/* ---- taking ---------------------------------------------------------------------------------- */

static struct dot dot_of(struct bytes change)
{
    struct reader in;
    struct dot dot;
    size_t n;
    int rc = value_change_open(change, &in, &dot, &n);
    assert(rc == 0);
    return dot;
}

/* The log keeps all that ever came; what one of its changes superseded is in it too. */
static void log_append(struct sim *s, struct bytes change)
{
    struct dot dot = dot_of(change);
    if (vv_has(&s->log_known, &dot))
        return;
    struct found f = {s->log, s->log_n};
    find(&f, &dot, change);
    s->log = f.v;
    s->log_n = f.n;
}

void session_log_fini(struct sim *s)
{
    for (size_t k = 0; k < s->log_n; k++)
        buf_fini(&s->log[k].blob);
    free(s->log);
    vv_fini(&s->log_known);
}

static int apply(struct sim *s, struct sim_session *in, int to)
{
    struct device *d = &s->w->d[to];
    struct reader batch = reader_of(buf_bytes(&in->batch[in->at]));
    bool taken = false;
    while (batch.n > 0) {
        struct bytes change = reader_string(&batch, batch.n);
        if (is_log(s, to)) {
            log_append(s, change);
            continue;
        }
        struct dot dot = dot_of(change);
        int rc = replica_apply(d->r, d->batch, change, world_head(s->w, &dot));
        SIM_NEED(rc >= 0, "device %d does not take a change: %s", to, strerror(-rc));
        SIM_NEED(vv_has(replica_applied(d->r), &dot), "device %d applied a change unnoted", to);
        taken = taken || rc == 1;
        mirror_take(s->mirror, s->w, in->mirrored, to, &dot);
    }
    in->at++;
    int rc = taken ? world_write(s->w, to) : 0;
    if (!is_log(s, to))
        mirror_step(s->mirror, s->w, to);
    return rc;
}

static int know(struct sim *s, struct sim_session *in, int to)
{
    struct device *d = &s->w->d[to];
    int rc = is_log(s, to) ? vv_join(&s->log_known, &in->known)
                           : replica_know(d->r, d->batch, &in->known);
    SIM_NEED(rc == 0, "device %d does not take over knowledge: %s", to, strerror(-rc));
    if (!is_log(s, to))
        rc = world_write(s->w, to);
    for (int m = 0; m < s->setup.devices && rc == 0; m++)
        rc = vv_join(&s->acks[to][m], &in->acks[m]);
    if (rc == 0)
        mirror_know(s->mirror, s->w, in->mirrored, to);
    return rc;
}

int session_take(struct sim *s, struct sim_session *in, int to)
{
    uint64_t crashes = s->w->crashes;
    if (!is_log(s, to) && s->w->d[to].joined != NULL)
        return -EBUSY;
    bool last = in->at == in->n;
    int rc = last ? know(s, in, to) : apply(s, in, to);
    if (last || rc < 0 || s->w->crashes != crashes)
        session_end(in); /* a session does not survive the process */
    return rc;
}

void sim_pull(struct sim *s, int to, int from)
{
    struct sim_session one = {0};
    int rc = session_open(s, &one, to, from, 0);
    while (rc == 0 && one.open)
        rc = session_take(s, &one, to);
    SIM_NEED(rc == 0 || rc == -EXDEV, "a session fails: %s", strerror(-rc));
    session_end(&one);
}
