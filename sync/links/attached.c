#include "sync/links/attached.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/frame.h"

/* One link, as the mount knows it. */
struct side {
    struct attached *of;
    struct link *link; /* NULL: the remote is gone, which the mount is to be told */
    uint32_t id;
    uint64_t generation; /* of what is gone */
    char url[WS_URL_SIZE];
    struct buf pending; /* a whole Data that the mount does not take yet; then the link is paused */
    bool untold;        /* the mount does not know its state; neither is the link read then */
};

struct attached {
    struct line_env *env;
    struct unix_conn *conn;
    uint8_t space[SPACE_ID_SIZE];
    uint32_t *last_id;
    struct side **v;
    size_t n, turn; /* who comes first when there is room */
    /* What a link does not take yet: a frame, and then the mount is paused. */
    struct side *held_for; /* NULL: nothing is held */
    uint64_t held_generation;
    struct buf held;
};

/* ---- to the mount ---- */

/* 0, or -EAGAIN. A mount that cannot be told is closed: it attaches again. */
static int send_bytes(struct attached *a, struct bytes frame)
{
    int rc = unix_send(a->conn, frame);
    if (rc == -EAGAIN)
        return rc;
    if (rc < 0)
        unix_close(a->conn);
    return 0;
}

static int tell(struct side *s)
{
    CLEANUP(buf_fini) struct buf b = {0};
    Persist__Link link;
    persist__link__init(&link);
    Persist__Local f = PERSIST__LOCAL__INIT;
    if (s->link != NULL) {
        link_describe(s->link, &link);
    } else {
        link.id = s->id;
        link.generation = s->generation;
        link.state = PERSIST__LINK_STATE__LINK_REMOVED;
        link.url = s->url;
    }
    f.kind_case = PERSIST__LOCAL__KIND_LINK;
    f.link = &link;
    if (frame_local_encode(&f, &b) < 0) {
        unix_close(s->of->conn);
        return 0;
    }
    return send_bytes(s->of, buf_bytes(&b));
}

/* Sends what waits for the mount, in its order. Whether nothing waits any more. */
static bool flush(struct side *s)
{
    if (s->pending.n > 0 && send_bytes(s->of, buf_bytes(&s->pending)) < 0)
        return false;
    buf_fini(&s->pending);
    if (s->untold && tell(s) < 0)
        return false;
    s->untold = false;
    if (s->link != NULL)
        link_resume(s->link);
    return true;
}

static void on_changed(struct link *l, void *user)
{
    struct side *s = user;
    s->untold = true;
    if (!flush(s))
        link_pause(l);
}

static void on_frame(struct link *l, struct bytes frame, void *user)
{
    struct side *s = user;
    struct buf b = {0};
    Persist__Data data = PERSIST__DATA__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    data.link = s->id;
    data.generation = link_generation(l);
    data.frame = frame_data(frame);
    f.kind_case = PERSIST__LOCAL__KIND_DATA;
    f.data = &data;
    if (frame_local_encode(&f, &b) < 0) {
        /* A session without one of its frames is none. */
        link_retry(l, data.generation, 0, bytes_str("out of memory"));
    } else if (send_bytes(s->of, buf_bytes(&b)) < 0) {
        s->pending = b;
        link_pause(l);
        return;
    }
    buf_fini(&b);
}

/* ---- to the links ---- */

static void let_go(struct attached *a)
{
    buf_fini(&a->held);
    a->held_for = NULL;
    unix_resume(a->conn);
}

static void on_writable(struct link *l, void *user)
{
    struct side *s = user;
    struct attached *a = s->of;
    if (a->held_for == s && link_send(l, a->held_generation, buf_bytes(&a->held)) != -EAGAIN)
        let_go(a);
}

static const struct link_events events = {on_changed, on_frame, on_writable};

static void hold(struct side *s, uint64_t generation, struct bytes frame)
{
    struct attached *a = s->of;
    buf_put_bytes(&a->held, frame);
    if (buf_status(&a->held) < 0) {
        buf_fini(&a->held);
        link_retry(s->link, generation, 0, bytes_str("out of memory"));
        return;
    }
    a->held_for = s;
    a->held_generation = generation;
    unix_pause(a->conn);
}

static struct side *side_of(const struct attached *a, uint32_t id)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i]->id == id)
            return a->v[i];
    return NULL;
}

static int on_data(struct attached *a, const Persist__Data *d)
{
    if (d->link == 0 || d->link > *a->last_id || d->frame.len == 0)
        return -EPROTO;
    struct side *s = side_of(a, d->link);
    if (s == NULL || s->link == NULL)
        return 0; /* is gone, what the mount did not know yet */
    int rc = link_send(s->link, d->generation, frame_bytes(d->frame));
    if (rc == -EAGAIN)
        hold(s, d->generation, frame_bytes(d->frame));
    else if (rc == -ENOMEM)
        link_retry(s->link, d->generation, 0, bytes_str("out of memory"));
    return rc == -EPROTO ? rc : 0;
}

int attached_frame(struct attached *a, const Persist__Local *f)
{
    if (f->kind_case == PERSIST__LOCAL__KIND_DATA)
        return on_data(a, f->data);
    if (f->kind_case != PERSIST__LOCAL__KIND_RETRY)
        return -EPROTO;
    struct side *s = side_of(a, f->retry->link);
    if (s != NULL && s->link != NULL)
        link_retry(s->link, f->retry->generation, f->retry->after_ms, bytes_str(f->retry->why));
    return 0;
}

/* ---- remotes that come and go ---- */

static void side_free(struct side *s)
{
    if (s == NULL)
        return;
    link_free(s->link);
    buf_fini(&s->pending);
    free(s);
}

static int add(struct attached *a, const struct remote *remote)
{
    struct side **v = reallocarray(a->v, a->n + 1, sizeof(struct side *));
    if (v == NULL)
        return -ENOMEM;
    a->v = v;
    struct side *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->of = a;
    s->id = ++*a->last_id;
    snprintf(s->url, sizeof s->url, "%s", remote->url);
    int rc = link_new(a->env, s->id, remote, &events, s, &s->link);
    if (rc < 0) {
        side_free(s);
        return rc;
    }
    a->v[a->n++] = s;
    return 0;
}

static struct side *side_with(const struct attached *a, const char *url)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i]->link != NULL && strcmp(a->v[i]->url, url) == 0)
            return a->v[i];
    return NULL;
}

int attached_put(struct attached *a, const struct remote *remote)
{
    struct side *s = side_with(a, remote->url);
    if (s == NULL)
        return add(a, remote);
    link_reset(s->link, remote);
    if (a->held_for == s)
        let_go(a);
    return 0;
}

/* The sides whose end the mount knows. */
static void sweep(struct attached *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (a->v[i]->link == NULL && !a->v[i]->untold)
            side_free(a->v[i]);
        else
            a->v[n++] = a->v[i];
    }
    a->n = n;
}

void attached_remove(struct attached *a, const char *url)
{
    struct side *s = side_with(a, url);
    if (s == NULL)
        return;
    s->generation = link_generation(s->link);
    link_free(s->link);
    s->link = NULL;
    s->untold = true;
    if (a->held_for == s)
        let_go(a);
    if (flush(s))
        sweep(a);
}

void attached_writable(struct attached *a)
{
    bool more = a->n > 0;
    for (size_t i = 0; more && i < a->n; i++)
        more = flush(a->v[(a->turn + i) % a->n]);
    a->turn++;
    sweep(a);
}

struct link *attached_link(const struct attached *a, const char *url)
{
    const struct side *s = side_with(a, url);
    return s != NULL ? s->link : NULL;
}

bool attached_is_of(const struct attached *a, const uint8_t space[SPACE_ID_SIZE])
{
    return memcmp(a->space, space, SPACE_ID_SIZE) == 0;
}

void attached_hurry(struct attached *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i]->link != NULL)
            link_hurry(a->v[i]->link);
}

int attached_new(struct line_env *env, struct unix_conn *conn, const uint8_t space[SPACE_ID_SIZE],
                 const struct remotes *remotes, uint32_t *last_id, struct attached **ret)
{
    struct attached *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->env = env;
    a->conn = conn;
    a->last_id = last_id;
    memcpy(a->space, space, SPACE_ID_SIZE);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < remotes_n(remotes); i++)
        if (attached_is_of(a, remotes_at(remotes, i)->space))
            rc = add(a, remotes_at(remotes, i));
    if (rc < 0) {
        attached_free(a);
        return rc;
    }
    *ret = a;
    return 0;
}

void attached_free(struct attached *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n; i++)
        side_free(a->v[i]);
    free(a->v);
    buf_fini(&a->held);
    free(a);
}
