/* Which devices have a session of a space open, for each other. */
#include <stdlib.h>

#include "sync/server/session_priv.h"

enum { ONLINE_MS = 500 }; /* so often at most it is said by itself */

static int by_identity(const void *a, const void *b)
{
    return memcmp(a, b, SIGN_KEY_SIZE);
}

/* Writes down who is online: how many bytes. Two sessions of one device name it once. */
static size_t list(const struct place *p, uint8_t to[FRAME_ONLINE_MAX * SIGN_KEY_SIZE])
{
    size_t n = 0, kept = 0;
    for (struct ring *r = p->sessions.next; r != &p->sessions; r = r->next) {
        const struct srv_session *s = CONTAINER_OF(r, struct srv_session, in_place);
        if (s->is_online)
            memcpy(to + SIGN_KEY_SIZE * n++, s->identity, SIGN_KEY_SIZE);
    }
    qsort(to, n, SIGN_KEY_SIZE, by_identity);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *next = to + SIGN_KEY_SIZE * i;
        if (kept == 0 || by_identity(to + SIGN_KEY_SIZE * (kept - 1), next) != 0)
            memmove(to + SIGN_KEY_SIZE * kept++, next, SIGN_KEY_SIZE);
    }
    return kept * SIGN_KEY_SIZE;
}

void hub_look_online(struct place *p)
{
    uint8_t now[FRAME_ONLINE_MAX * SIGN_KEY_SIZE];
    bool many = p->online_n > FRAME_ONLINE_MAX;
    size_t n = many ? 0 : list(p, now);
    if (many == p->online_many && bytes_equal(buf_bytes(&p->online), bytes_of(now, n)))
        return;
    buf_reset(&p->online);
    buf_put(&p->online, now, n);
    if (buf_status(&p->online) < 0) { /* it is looked again with the next one */
        buf_fini(&p->online);
        return;
    }
    p->online_many = many;
    p->online_number++;
}

static void say(struct place *p)
{
    hub_look_online(p);
    p->online_due = p->online_number;
    for (struct ring *r = p->sessions.next; r != &p->sessions; r = r->next) {
        struct srv_session *s = CONTAINER_OF(r, struct srv_session, in_place);
        if (s->wants_online && s->online_told != p->online_due)
            session_pump(s);
    }
}

void hub_say_online(void *hub)
{
    struct srv_hub *h = hub;
    while (!ring_is_empty(&h->moved)) {
        struct place *p = CONTAINER_OF(h->moved.next, struct place, in_moved);
        ring_remove(&p->in_moved);
        say(p);
    }
}

void hub_set_online(struct srv_session *s, bool online)
{
    struct place *p = s->place;
    struct srv_hub *h = s->hub;
    if (s->is_online == online)
        return;
    s->is_online = online;
    if (online)
        p->online_n++;
    else
        p->online_n--;
    if (!ring_is_empty(&p->in_moved))
        return;
    if (ring_is_empty(&h->moved))
        net_timer_set(h->online_timer, ONLINE_MS);
    ring_add(&h->moved, &p->in_moved);
}
