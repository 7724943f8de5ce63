#include "sync/links/attached.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/frame.h"

/* One link, as the mount knows it. Both are NULL: it is gone, which the mount is to be told. */
struct side {
    struct attached *of;
    struct link *link;      /* with a server */
    struct peer_link *peer; /* with another device */
    uint32_t id;
    uint64_t generation; /* of what is gone */
    char url[WS_URL_SIZE];
    struct buf pending; /* a whole Data that the mount does not take yet; then the link is paused */
    bool untold;        /* the mount does not know its state; neither is the link read then */
};

struct attached {
    struct line_env *env;
    struct peers *peers;
    struct unix_conn *conn;
    uint8_t space[SPACE_ID_SIZE];
    uint32_t *last_id;
    struct buf members; /* the other devices of the space, SIGN_KEY_SIZE each */
    struct side **v;
    size_t n, turn; /* who comes first when there is room */
    /* What a link does not take yet: a frame, and then the mount is paused. */
    struct side *held_for; /* NULL: nothing is held */
    uint64_t held_generation;
    struct buf held;
};

/* ---- a link of either kind ---- */

static bool is_gone(const struct side *s)
{
    return s->link == NULL && s->peer == NULL;
}

static uint64_t generation_of(const struct side *s)
{
    return s->link != NULL   ? link_generation(s->link)
           : s->peer != NULL ? peer_link_generation(s->peer)
                             : s->generation;
}

static void pause_side(struct side *s)
{
    if (s->link != NULL)
        link_pause(s->link);
    if (s->peer != NULL)
        peer_link_pause(s->peer);
}

static void resume_side(struct side *s)
{
    if (s->link != NULL)
        link_resume(s->link);
    if (s->peer != NULL)
        peer_link_resume(s->peer);
}

static void retry_side(struct side *s, uint64_t generation, uint64_t after_ms, const char *why)
{
    if (s->link != NULL)
        link_retry(s->link, generation, after_ms, bytes_str(why));
    if (s->peer != NULL)
        peer_link_retry(s->peer, generation, after_ms, bytes_str(why));
}

static int send_side(struct side *s, uint64_t generation, struct bytes frame)
{
    return s->link != NULL ? link_send(s->link, generation, frame)
                           : peer_link_send(s->peer, generation, frame);
}

/* Ends it, as the mount is still to be told. */
static void end_side(struct side *s)
{
    s->generation = generation_of(s);
    link_free(s->link);
    peer_link_free(s->peer);
    s->link = NULL;
    s->peer = NULL;
    s->untold = true;
}

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
    } else if (s->peer != NULL) {
        peer_link_describe(s->peer, &link);
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
    resume_side(s);
    return true;
}

static void side_changed(struct side *s)
{
    s->untold = true;
    if (!flush(s))
        pause_side(s);
}

static void side_frame(struct side *s, struct bytes frame)
{
    struct buf b = {0};
    Persist__Data data = PERSIST__DATA__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    data.link = s->id;
    data.generation = generation_of(s);
    data.frame = frame_data(frame);
    f.kind_case = PERSIST__LOCAL__KIND_DATA;
    f.data = &data;
    if (frame_local_encode(&f, &b) < 0) {
        /* A session without one of its frames is none. */
        retry_side(s, data.generation, 0, "out of memory");
    } else if (send_bytes(s->of, buf_bytes(&b)) < 0) {
        s->pending = b;
        pause_side(s);
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

static void side_writable(struct side *s)
{
    struct attached *a = s->of;
    if (a->held_for == s && send_side(s, a->held_generation, buf_bytes(&a->held)) != -EAGAIN)
        let_go(a);
}

static void on_changed(struct link *l, void *user)
{
    (void)l;
    side_changed(user);
}

static void on_frame(struct link *l, struct bytes frame, void *user)
{
    (void)l;
    side_frame(user, frame);
}

static void on_writable(struct link *l, void *user)
{
    (void)l;
    side_writable(user);
}

static const struct link_events events = {on_changed, on_frame, on_writable};

static void on_peer_changed(struct peer_link *l, void *user)
{
    (void)l;
    side_changed(user);
}

static void on_peer_frame(struct peer_link *l, struct bytes frame, void *user)
{
    (void)l;
    side_frame(user, frame);
}

static void on_peer_writable(struct peer_link *l, void *user)
{
    (void)l;
    side_writable(user);
}

static const struct peer_link_events peer_events = {on_peer_changed, on_peer_frame,
                                                    on_peer_writable};

static void hold(struct side *s, uint64_t generation, struct bytes frame)
{
    struct attached *a = s->of;
    buf_put_bytes(&a->held, frame);
    if (buf_status(&a->held) < 0) {
        buf_fini(&a->held);
        retry_side(s, generation, 0, "out of memory");
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
    if (s == NULL || is_gone(s))
        return 0; /* what the mount did not know yet */
    int rc = send_side(s, d->generation, frame_bytes(d->frame));
    if (rc == -EAGAIN)
        hold(s, d->generation, frame_bytes(d->frame));
    else if (rc == -ENOMEM)
        retry_side(s, d->generation, 0, "out of memory");
    return rc == -EPROTO ? rc : 0;
}

/* ---- remotes that come and go ---- */

static void side_free(struct side *s)
{
    if (s == NULL)
        return;
    link_free(s->link);
    peer_link_free(s->peer);
    buf_fini(&s->pending);
    free(s);
}

/* A side without a link yet. NULL: out of memory. */
static struct side *side_new(struct attached *a, const char *url)
{
    struct side **v = reallocarray(a->v, a->n + 1, sizeof(struct side *));
    if (v == NULL)
        return NULL;
    a->v = v;
    struct side *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->of = a;
    s->id = ++*a->last_id;
    snprintf(s->url, sizeof s->url, "%s", url);
    return s;
}

static int keep(struct attached *a, struct side *s, int rc)
{
    if (rc < 0)
        side_free(s);
    else
        a->v[a->n++] = s;
    return rc;
}

static int add(struct attached *a, const struct remote *remote)
{
    struct side *s = side_new(a, remote->url);
    return s == NULL ? -ENOMEM : keep(a, s, link_new(a->env, s->id, remote, &events, s, &s->link));
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
        if (is_gone(a->v[i]) && !a->v[i]->untold)
            side_free(a->v[i]);
        else
            a->v[n++] = a->v[i];
    }
    a->n = n;
}

/* Ends a link, and tells the mount, now or when it can. */
static void drop(struct side *s)
{
    end_side(s);
    if (s->of->held_for == s)
        let_go(s->of);
    (void)flush(s);
}

void attached_remove(struct attached *a, const char *url)
{
    struct side *s = side_with(a, url);
    if (s == NULL)
        return;
    drop(s);
    sweep(a);
}

/* ---- other devices that come and go ---- */

static bool is_member(const struct attached *a, const uint8_t *identity)
{
    for (size_t at = 0; at < a->members.n; at += SIGN_KEY_SIZE)
        if (memcmp(a->members.p + at, identity, SIGN_KEY_SIZE) == 0)
            return true;
    return false;
}

static bool has_peer(const struct attached *a, const uint8_t *identity)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i]->peer != NULL &&
            memcmp(peer_link_identity(a->v[i]->peer), identity, SIGN_KEY_SIZE) == 0)
            return true;
    return false;
}

static int add_peer(struct attached *a, const uint8_t *identity)
{
    struct side *s = side_new(a, "");
    if (s == NULL)
        return -ENOMEM;
    int rc = peer_link_new(a->peers, a->space, identity, s->id, &peer_events, s, &s->peer);
    if (rc == 0)
        snprintf(s->url, sizeof s->url, "%s", peer_link_url(s->peer));
    return keep(a, s, rc);
}

/* Who is no member any more has no link when this returns. */
int attached_look_at_peers(struct attached *a)
{
    bool on = peers_is_on(a->peers);
    int rc = 0;
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i]->peer != NULL && (!on || !is_member(a, peer_link_identity(a->v[i]->peer))))
            drop(a->v[i]);
    sweep(a);
    for (size_t at = 0; rc == 0 && on && at < a->members.n; at += SIGN_KEY_SIZE)
        if (!has_peer(a, a->members.p + at))
            rc = add_peer(a, a->members.p + at);
    return rc;
}

static int on_members(struct attached *a, const Persist__Members *m)
{
    struct buf names CLEANUP(buf_fini) = {0};
    buf_reset(&a->members);
    for (size_t i = 0; i < m->n_identities; i++)
        buf_put(&a->members, m->identities[i].data, SIGN_KEY_SIZE);
    for (size_t i = 0; i < m->n_names; i++)
        buf_put(&names, m->names[i].data, HASH_SIZE);
    if (buf_status(&a->members) < 0 || buf_status(&names) < 0)
        return -ENOMEM;
    int rc = peers_seek(a->peers, a->space, buf_bytes(&names));
    return rc < 0 ? rc : attached_look_at_peers(a);
}

int attached_frame(struct attached *a, const Persist__Local *f)
{
    if (f->kind_case == PERSIST__LOCAL__KIND_DATA)
        return on_data(a, f->data);
    if (f->kind_case == PERSIST__LOCAL__KIND_MEMBERS)
        return on_members(a, f->members);
    if (f->kind_case != PERSIST__LOCAL__KIND_RETRY)
        return -EPROTO;
    struct side *s = side_of(a, f->retry->link);
    if (s != NULL)
        retry_side(s, f->retry->generation, f->retry->after_ms, f->retry->why);
    return 0;
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

int attached_new(struct line_env *env, struct peers *peers, struct unix_conn *conn,
                 const uint8_t space[SPACE_ID_SIZE], const struct remotes *remotes,
                 uint32_t *last_id, struct attached **ret)
{
    struct attached *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->env = env;
    a->peers = peers;
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
    (void)!peers_seek(a->peers, a->space, bytes_of(NULL, 0)); /* which needs no memory */
    for (size_t i = 0; i < a->n; i++)
        side_free(a->v[i]);
    free(a->v);
    buf_fini(&a->members);
    buf_fini(&a->held);
    free(a);
}
