#include "tests/sim/mirror.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPLY_MAX = 4096 };

struct mirror {
    FILE *to, *from;
    pid_t pid;
    bool every;
    int sessions;
};

/* ---- the process ----------------------------------------------------------------------------- */

struct mirror *mirror_new(const char *dir, bool every)
{
    int in[2], out[2], rc;
    struct mirror *m = calloc(1, sizeof *m);
    char *path = NULL;
    rc = asprintf(&path, "%s/model_driver.py", dir);
    assert(m != NULL && rc > 0);
    m->every = every;
    if (pipe(in) < 0 || pipe(out) < 0 || (m->pid = fork()) < 0)
        abort();
    if (m->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
        execlp("python3", "python3", "-B", path, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    m->to = fdopen(in[1], "w");
    m->from = fdopen(out[0], "r");
    assert(m->to != NULL && m->from != NULL);
    free(path);
    return m;
}

void mirror_free(struct mirror *m)
{
    int status;
    fclose(m->to);
    fclose(m->from);
    if (waitpid(m->pid, &status, 0) < 0)
        abort();
    free(m);
}

static void reply(struct mirror *m, char ret[REPLY_MAX])
{
    fflush(m->to);
    if (fgets(ret, REPLY_MAX, m->from) == NULL)
        sim_fail("model_driver.py ended");
    ret[strcspn(ret, "\n")] = '\0';
}

static void agree(struct mirror *m, const char *what)
{
    char text[REPLY_MAX];
    reply(m, text);
    SIM_NEED(strcmp(text, "ok") == 0, "%s: %s", what, text);
}

static void put_hex(FILE *f, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%02x", p[i]);
}

void mirror_begin(struct mirror *m, struct world *w, int members, bool server)
{
    if (m == NULL)
        return;
    const struct space_keys *k = replica_keys(w->d[0].r);
    fprintf(m->to, "new\t%d\t%d\t", members, server);
    put_hex(m->to, k->rid, sizeof k->rid);
    fputc('\t', m->to);
    put_hex(m->to, k->equal, sizeof k->equal);
    fputc('\n', m->to);
    agree(m, "new");
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
    fprintf(m->to, "%s\t%d\t%llu\t%d\t%d", what, i, (unsigned long long)clock_of(w, i),
            w->now_ms != before->now_ms, own(w, i) != before->own);
}

void mirror_user(struct mirror *m, struct world *w, int i, const struct mirror_op *before,
                 const char *op, char *const *arg)
{
    if (m == NULL)
        return;
    put_moved(m, "op", w, i, before);
    fprintf(m->to, "\t%s\t%s\t%s\n", op, arg[0] != NULL ? arg[0] : "",
            arg[1] != NULL ? arg[1] : "");
    agree(m, op);
    mirror_step(m, w, i);
}

void mirror_resolve(struct mirror *m, struct world *w, int i, const struct mirror_op *before,
                    const struct rid *rid, const char *policy)
{
    if (m == NULL)
        return;
    put_moved(m, "resolve", w, i, before);
    fputc('\t', m->to);
    put_hex(m->to, rid->b, RID_SIZE);
    fprintf(m->to, "\t%s\n", policy);
    agree(m, "resolve");
    mirror_step(m, w, i);
}

void mirror_clean(struct mirror *m, struct world *w, int i)
{
    if (m == NULL)
        return;
    fprintf(m->to, "clean\t%d\n", i);
    agree(m, "clean");
    mirror_step(m, w, i);
}

int mirror_open(struct mirror *m, int to, int from, const struct sim_change *v, size_t n)
{
    if (m == NULL)
        return 0;
    fprintf(m->to, "open\t%d\t%d\t%d\t", ++m->sessions, to, from);
    for (size_t k = 0; k < n; k++)
        fprintf(m->to, "%s%llu.%llu", k > 0 ? " " : "", (unsigned long long)v[k].dot.replica,
                (unsigned long long)v[k].dot.counter);
    fputc('\n', m->to);
    agree(m, "the changes of a session");
    return m->sessions;
}

void mirror_take(struct mirror *m, struct world *w, int session, int to, const struct dot *dot)
{
    if (m == NULL)
        return;
    fprintf(m->to, "take\t%d\t%llu.%llu\t%llu\n", session, (unsigned long long)dot->replica,
            (unsigned long long)dot->counter, (unsigned long long)clock_of(w, to));
    agree(m, "taking a change");
}

void mirror_know(struct mirror *m, struct world *w, int session, int to)
{
    if (m == NULL)
        return;
    fprintf(m->to, "know\t%d\n", session);
    agree(m, "knowledge");
    mirror_step(m, w, to);
}

void mirror_copy(struct mirror *m, int i)
{
    if (m == NULL)
        return;
    fprintf(m->to, "copy\t%d\n", i);
    agree(m, "copy");
}

void mirror_restore(struct mirror *m, struct world *w, int i, uint64_t id, uint64_t confirmed)
{
    if (m == NULL)
        return;
    fprintf(m->to, "restore\t%d\t%llu\t%llu\n", i, (unsigned long long)id,
            (unsigned long long)confirmed);
    agree(m, "restore");
    mirror_step(m, w, i);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put_text(struct buf *b, const char *fmt, ...)
{
    char text[REPLY_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < sizeof text);
    buf_put(b, text, (size_t)n);
}

static void put_dot(struct buf *b, const struct dot *d)
{
    put_text(b, "%llu.%llu", (unsigned long long)d->replica, (unsigned long long)d->counter);
}

static void put_dots(struct buf *b, struct dots d)
{
    put_text(b, "{");
    for (size_t i = 0; i < d.n; i++) {
        struct dot x = dots_at(d, i);
        put_text(b, i > 0 ? " " : "");
        put_dot(b, &x);
    }
    put_text(b, "}");
}

static void put_origin(struct buf *b, const struct value *v)
{
    put_text(b, " {");
    for (size_t i = 0; i < value_from_n(v); i++) {
        struct dot x = value_from_at(v, i);
        put_text(b, i > 0 ? " " : "");
        put_dot(b, &x);
    }
    put_text(b, "}");
}

static void put_data(struct buf *b, const struct value *v)
{
    char parent[RID_HEX_SIZE], prev[RID_HEX_SIZE];
    if (v->facet == FACET_META) {
        put_text(b, " %o", v->meta.mode);
    } else if (v->facet == FACET_CONTENT) {
        put_text(b, " ");
        for (size_t i = 0; i < HASH_SIZE; i++)
            put_text(b, "%02x", v->content.hash[i]);
    } else {
        rid_hex(&v->place.parent, parent);
        rid_hex(&v->place.prev, prev);
        put_text(b, " %s %s %s ", v->place.alive ? "alive" : "deleted", parent, prev);
        put_dots(b, v->place.cseen);
        put_text(b, " %.*s", (int)v->place.name.n, (const char *)v->place.name.p);
    }
}

static int put_value(void *ctx, const struct value *v)
{
    static const char *const facets[] = {"place", "meta", "content"};
    struct buf *b = ctx;
    char hex[RID_HEX_SIZE];
    rid_hex(&v->rid, hex);
    put_text(b, "%s %s ", hex, facets[v->facet]);
    put_dot(b, &v->slot);
    put_text(b, " ");
    put_dot(b, &v->dot);
    put_text(b, " ");
    put_dots(b, v->ctx);
    put_text(b, " %llu/%llu", (unsigned long long)v->stamp.hlc,
             (unsigned long long)v->stamp.replica);
    put_origin(b, v);
    put_data(b, v);
    put_text(b, "\n");
    return 0;
}

static void put_vector(struct buf *b, const struct vv *v)
{
    struct buf elements = {0};
    vv_put_elements(&elements, v);
    put_dots(b, (struct dots){elements.p, v->n});
    buf_fini(&elements);
}

static void state(struct world *w, int i, struct buf *ret)
{
    struct replica *r = w->d[i].r;
    world_show(w, i, ret);
    put_text(ret, "knows ");
    put_vector(ret, replica_knowledge(r));
    put_text(ret, " floor ");
    put_vector(ret, replica_floor(r));
    put_text(ret, "\n");
    int rc = replica_values(r, put_value, ret);
    assert(rc == 0);
}

void mirror_compare(struct mirror *m, struct world *w, int i)
{
    struct buf is = {0}, ought = {0};
    char text[REPLY_MAX];
    if (m == NULL)
        return;
    fprintf(m->to, "state\t%d\n", i);
    reply(m, text);
    int rc = buf_resize(&ought, strtoul(text, NULL, 10));
    assert(rc == 0);
    if (fread(ought.p, 1, ought.n, m->from) != ought.n)
        sim_fail("model_driver.py ended");
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
