#include "tests/sim/mirror.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/text.h"

struct mirror {
    struct model *model;
    bool every;
    int sessions;
};

struct mirror *mirror_new(struct model *model, bool every)
{
    struct mirror *m = calloc(1, sizeof *m);
    assert(m != NULL);
    m->model = model;
    m->every = every;
    return m;
}

void mirror_free(struct mirror *m)
{
    free(m);
}

void mirror_begin(struct mirror *m, int members, bool server)
{
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "new\t%d\t%d\n", members, server);
    model_agree(m->model, "new");
}

/* ---- steps ----------------------------------------------------------------------------------- */

static uint64_t own(struct world *w, int i)
{
    return vv_get(replica_knowledge(w->d[i].r), w->d[i].id);
}

static uint64_t clock_of(struct world *w, int i)
{
    return (uint64_t)((int64_t)w->now_ms + w->d[i].ahead_ms);
}

struct mirror_op mirror_before(struct mirror *m, struct world *w, int i)
{
    if (m == NULL)
        return (struct mirror_op){0, 0};
    return (struct mirror_op){w->now_ms, own(w, i)};
}

static void put_moved(struct mirror *m, const char *what, struct world *w, int i,
                      const struct mirror_op *before)
{
    fprintf(model_to(m->model), "%s\t%d\t%llu\t%d\t%d", what, i, (unsigned long long)clock_of(w, i),
            w->now_ms != before->now_ms, own(w, i) != before->own);
}

void mirror_user(struct mirror *m, struct world *w, int i, const struct mirror_op *before,
                 const char *op, char *const *arg)
{
    if (m == NULL)
        return;
    put_moved(m, "op", w, i, before);
    fprintf(model_to(m->model), "\t%s\t%s\t%s\n", op, arg[0] != NULL ? arg[0] : "",
            arg[1] != NULL ? arg[1] : "");
    model_agree(m->model, op);
    mirror_step(m, w, i);
}

void mirror_resolve(struct mirror *m, struct world *w, int i, const struct mirror_op *before,
                    const struct rid *rid, const char *policy)
{
    if (m == NULL)
        return;
    char hex[RID_HEX_SIZE];
    rid_hex(rid, hex);
    put_moved(m, "resolve", w, i, before);
    fprintf(model_to(m->model), "\t%s\t%s\n", hex, policy);
    model_agree(m->model, "resolve");
    mirror_step(m, w, i);
}

void mirror_clean(struct mirror *m, struct world *w, int i)
{
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "clean\t%d\n", i);
    model_agree(m->model, "clean");
    mirror_step(m, w, i);
}

int mirror_open(struct mirror *m, int to, int from, const struct sim_change *v, size_t n)
{
    if (m == NULL)
        return 0;
    fprintf(model_to(m->model), "open\t%d\t%d\t%d\t", ++m->sessions, to, from);
    for (size_t k = 0; k < n; k++)
        fprintf(model_to(m->model), "%s%llu.%llu", k > 0 ? " " : "",
                (unsigned long long)v[k].dot.replica, (unsigned long long)v[k].dot.counter);
    fputc('\n', model_to(m->model));
    model_agree(m->model, "the changes of a session");
    return m->sessions;
}

void mirror_take(struct mirror *m, struct world *w, int session, int to, const struct dot *dot)
{
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "take\t%d\t%llu.%llu\t%llu\n", session,
            (unsigned long long)dot->replica, (unsigned long long)dot->counter,
            (unsigned long long)clock_of(w, to));
    model_agree(m->model, "taking a change");
}

void mirror_know(struct mirror *m, struct world *w, int session, int to)
{
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "know\t%d\n", session);
    model_agree(m->model, "knowledge");
    mirror_step(m, w, to);
}

void mirror_copy(struct mirror *m, int i)
{
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "copy\t%d\n", i);
    model_agree(m->model, "copy");
}

void mirror_restore(struct mirror *m, struct world *w, int i, uint64_t id, uint64_t confirmed)
{
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "restore\t%d\t%llu\t%llu\n", i, (unsigned long long)id,
            (unsigned long long)confirmed);
    model_agree(m->model, "restore");
    mirror_step(m, w, i);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void state(struct world *w, int i, struct buf *ret)
{
    struct replica *r = w->d[i].r;
    text_shown(w, i, ret);
    text_put(ret, "knows ");
    text_vector(ret, replica_knowledge(r));
    text_put(ret, " floor ");
    text_vector(ret, replica_floor(r));
    text_put(ret, "\n");
    (void)text_held(w, i, ret);
}

void mirror_compare(struct mirror *m, struct world *w, int i)
{
    struct buf is = {0}, ought = {0};
    if (m == NULL)
        return;
    fprintf(model_to(m->model), "state\t%d\n", i);
    model_text(m->model, &ought);
    state(w, i, &is);
    SIM_NEED(bytes_equal(buf_bytes(&is), buf_bytes(&ought)),
             "device %d is not as the model\nit is:\n%.*sthe model:\n%.*s", i, (int)is.n,
             (char *)is.p, (int)ought.n, (char *)ought.p);
    buf_fini(&is);
    buf_fini(&ought);
}

void mirror_step(struct mirror *m, struct world *w, int i)
{
    if (m != NULL && m->every)
        mirror_compare(m, w, i);
}
