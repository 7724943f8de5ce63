#include "tests/sim/compare.h"

#include <assert.h>
#include <errno.h>

#include "fs/replica/compare.h"

enum { LIST_SLICE = 3, STEP_SLICE = 2, ROUNDS_MAX = 20 };

bool sim_may_give(const struct sim *s, int i)
{
    if (i >= s->setup.devices)
        return true; /* what a server has is known to whoever may take it */
    bool may = !s->went_back[i] && !s->away[i];
    for (int m = 0; m < s->setup.devices; m++)
        may = may && world_may_exchange(s->w, i, m);
    return may;
}

int sim_giver(const struct sim *s, int to)
{
    for (int m = 0; m < s->setup.devices; m++)
        if (m != to && sim_may_give(s, m))
            return m;
    return -1;
}

static void list(struct sim *s, int from, struct buf *ret)
{
    struct replica *r = s->w->d[from].r;
    struct rid at = RID_ROOT;
    world_sign(s->w, from);
    int rc = replica_list_head(r, vv_get(replica_knowledge(r), s->w->d[from].id), ret);
    for (int more = 1, first = 1; rc == 0 && more == 1; first = 0) {
        more = replica_list_put(r, &at, first == 1, LIST_SLICE, ret);
        rc = more < 0 ? more : 0;
    }
    SIM_NEED(rc == 0, "a list: %s", strerror(-rc));
}

static struct comparison *look(struct sim *s, int to, struct bytes in)
{
    struct reader r = reader_of(in);
    struct holdings_head head;
    struct holdings_record rec;
    struct comparison *c = NULL;
    struct rid before;
    int rc = holdings_read_head(&r, &head);
    if (rc == 0)
        rc = comparison_new(s->w->d[to].r, &head, s->went_back[to], &c);
    for (bool first = true; rc == 0 && r.n > 0; first = false) {
        rc = holdings_read_record(&r, first ? NULL : &before, &rec);
        if (rc == 0)
            rc = comparison_record(c, &rec);
        before = rec.rid;
    }
    if (rc == 0)
        rc = comparison_end(c);
    SIM_NEED(rc == 0, "a comparison: %s", strerror(-rc));
    return c;
}

/* What is missing comes from the one that has it. */
static int fetch(struct sim *s, int to, int from, struct bytes dots)
{
    struct device *d = &s->w->d[to];
    int rc = 0;
    for (size_t i = 0; i < dots.n && rc >= 0; i += DOT_SIZE) {
        struct dot dot = dot_decode(dots.p + i);
        struct buf change = {0};
        rc = replica_change_get(s->w->d[from].r, &dot, &change);
        if (rc == 0)
            rc = replica_apply(d->r, d->batch, buf_bytes(&change), world_head(s->w, &dot));
        SIM_NEED(rc == 1, "what is missing on device %d does not come: %d", to, rc);
        buf_fini(&change);
    }
    return world_write(s->w, to);
}

static int carry_out(struct sim *s, int to, struct comparison *c)
{
    struct device *d = &s->w->d[to];
    struct comparison_at at = {0};
    int more = 1, rc = 0;
    while (rc == 0 && (more = comparison_step(c, &at, d->batch, STEP_SLICE)) == 1)
        rc = world_write(s->w, to);
    SIM_NEED(more >= 0, "a step of a comparison: %s", strerror(-more));
    if (rc == 0)
        rc = comparison_know(c, d->batch);
    SIM_NEED(rc == 0 || rc == -EINTR, "after a comparison: %s", strerror(-rc));
    return rc < 0 ? rc : world_write(s->w, to);
}

int sim_compare(struct sim *s, int to, int from)
{
    struct buf bytes = {0};
    int rc = -EAGAIN;
    if (to >= s->setup.devices || from < 0 || from >= s->setup.devices || sim_may_give(s, to) ||
        !sim_may_give(s, from) || s->away[to])
        return -EXDEV;
    if (s->w->d[to].joined != NULL || s->w->d[from].joined != NULL)
        return -EBUSY;
    s->compared = true;
    list(s, from, &bytes);
    for (int round = 0; rc == -EAGAIN; round++) {
        struct comparison *c = look(s, to, buf_bytes(&bytes));
        SIM_NEED(round < ROUNDS_MAX, "a comparison does not end");
        if (comparison_ask(c).n > 0)
            rc = fetch(s, to, from, comparison_ask(c)) < 0 ? -EINTR : -EAGAIN;
        else
            rc = carry_out(s, to, c);
        comparison_free(c);
    }
    if (rc == 0)
        s->went_back[to] = false;
    buf_fini(&bytes);
    return rc;
}
