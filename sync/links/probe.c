#include "sync/links/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/frame.h"

struct probe {
    struct line *line;
    struct net_timer *timer;
    struct buf question; /* empty: none */
    probe_fn done;
    void *user;
};

/* The end: tells, unless it was cancelled, and frees. */
static void finish(struct probe *p, const struct probe_result *result)
{
    line_leave(p->line);
    net_timer_free(p->timer);
    buf_fini(&p->question);
    probe_fn done = result != NULL ? p->done : NULL;
    void *user = p->user;
    free(p);
    if (done != NULL)
        done(result, user);
}

void probe_cancel(struct probe *p)
{
    if (p != NULL)
        finish(p, NULL);
}

static void fail(struct probe *p, const char *text)
{
    struct probe_result r = {.welcomed = false};
    snprintf(r.text, sizeof r.text, "%s", text);
    finish(p, &r);
}

/* @r: the answer. */
static void succeed(struct probe *p, struct probe_result r)
{
    uint8_t member[256];
    struct bytes m = line_member(p->line);
    r.welcomed = true;
    r.member = bytes_of(member, min_u64(m.n, sizeof member)); /* the line is left before the call */
    memcpy(member, m.p, r.member.n);
    finish(p, &r);
}

static void on_welcomed(struct line *l, void *user)
{
    (void)l;
    struct probe *p = user;
    if (p->question.n == 0)
        succeed(p, (struct probe_result){.welcomed = true});
    else if (line_send(p->line, buf_bytes(&p->question)) < 0)
        fail(p, "out of memory");
}

/* The spaces as they are passed on: encoded anew, as only they are known to be in order. */
static void on_spaces(struct probe *p, const Persist__Spaces *s)
{
    CLEANUP(buf_fini) struct buf b = {0};
    if (buf_resize(&b, persist__spaces__get_packed_size(s)) < 0) {
        fail(p, "out of memory");
        return;
    }
    if (b.n > 0)
        persist__spaces__pack(s, b.p);
    succeed(p, (struct probe_result){.spaces = buf_bytes(&b)});
}

static void on_message(struct line *l, struct bytes message, void *user)
{
    (void)l;
    struct probe *p = user;
    Persist__Frame *f = NULL;
    /* An End is followed by the close, which tells all there is to tell. */
    if (frame_decode(message, &f) < 0)
        fail(p, "the server sends what is not of this protocol");
    else if (f->kind_case == PERSIST__FRAME__KIND_SPACES)
        on_spaces(p, f->spaces);
    else if (f->kind_case == PERSIST__FRAME__KIND_JOINED)
        succeed(p, (struct probe_result){.grant = frame_bytes(f->joined->grant)});
    frame_free(f);
}

static void on_closed(struct line *l, const struct line_end *end, void *user)
{
    (void)l;
    struct probe *p = user;
    struct probe_result r = {.refused = end->refused};
    snprintf(r.text, sizeof r.text, "%s", end->text);
    p->line = NULL;
    finish(p, &r);
}

static void on_timeout(void *arg)
{
    fail(arg, "no answer in time");
}

static const struct line_events events = {
    .welcomed = on_welcomed, .message = on_message, .closed = on_closed};

int probe_start(struct line_env *env, const struct remote *remote, const Persist__Frame *question,
                probe_fn done, void *user, struct probe **ret, struct err *err)
{
    struct probe *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    *p = (struct probe){.done = done, .user = user};
    int rc = question != NULL ? frame_encode(question, &p->question) : 0;
    if (rc == 0)
        rc = net_timer_new(env->loop, on_timeout, p, &p->timer);
    if (rc < 0)
        rc = err_set(err, rc, "out of memory");
    else
        rc = line_open(env, remote, &events, p, &p->line, err);
    if (rc < 0) {
        net_timer_free(p->timer);
        buf_fini(&p->question);
        free(p);
        return rc;
    }
    net_timer_set(p->timer, PROBE_MS);
    *ret = p;
    return 0;
}
