/* What the sessions of a server share. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sync/server/session_priv.h"

uint64_t srv_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct srv_hub_stats srv_hub_stats(const struct srv_hub *h)
{
    return h->stats;
}

/* ---- places ---- */

static int by_place(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    int by_account = (x->account > y->account) - (x->account < y->account);
    return by_account != 0 ? by_account : memcmp(x->space, y->space, SPACE_ID_SIZE);
}

static struct place *find_place(struct srv_hub *h, const struct place *key)
{
    struct place **found = tfind(key, &h->places, by_place);
    return found == NULL ? NULL : *found;
}

int hub_enter(struct srv_session *s)
{
    struct place key = {.account = s->at.account};
    memcpy(key.space, s->at.space, SPACE_ID_SIZE);
    struct place *p = find_place(s->hub, &key);
    if (p == NULL) {
        p = malloc(sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        *p = key;
        ring_init(&p->sessions);
        ring_init(&p->in_grown);
        ring_init(&p->in_moved);
        if (tsearch(p, &s->hub->places, by_place) == NULL) {
            free(p);
            return -ENOMEM;
        }
    }
    s->place = p;
    ring_add(&p->sessions, &s->in_place);
    return 0;
}

void hub_leave(struct srv_session *s)
{
    if (s->place != NULL)
        hub_set_online(s, false);
    ring_remove(&s->in_all);
    ring_remove(&s->in_waiting);
    ring_remove(&s->in_place);
    if (s->place != NULL && ring_is_empty(&s->place->sessions)) {
        tdelete(s->place, &s->hub->places, by_place);
        ring_remove(&s->place->in_grown);
        ring_remove(&s->place->in_moved);
        buf_fini(&s->place->online);
        free(s->place);
    }
    s->place = NULL;
}

/* ---- what sessions are told ---- */

static void pump_place(struct place *p)
{
    for (struct ring *r = p->sessions.next; r != &p->sessions; r = r->next) {
        struct srv_session *s = CONTAINER_OF(r, struct srv_session, in_place);
        s->has_grown = true;
        session_pump(s);
    }
}

/* What came in one turn of the loop goes out together. */
static void pump_grown(void *arg)
{
    struct srv_hub *h = arg;
    while (!ring_is_empty(&h->grown)) {
        struct place *p = CONTAINER_OF(h->grown.next, struct place, in_grown);
        ring_remove(&p->in_grown);
        pump_place(p);
    }
}

static void on_grown(void *arg, uint64_t account, const uint8_t space[SPACE_ID_SIZE])
{
    struct srv_hub *h = arg;
    struct place key = {.account = account};
    memcpy(key.space, space, SPACE_ID_SIZE);
    struct place *p = find_place(h, &key);
    if (p == NULL || !ring_is_empty(&p->in_grown))
        return;
    if (ring_is_empty(&h->grown))
        net_timer_set(h->grown_timer, 0);
    ring_add(&h->grown, &p->in_grown);
}

uint64_t hub_wait_sync(struct srv_session *s)
{
    ring_remove(&s->in_waiting);
    ring_add(&s->hub->waiting, &s->in_waiting);
    return srv_syncer_ask(s->hub->syncer);
}

void srv_hub_sync(struct srv_hub *h)
{
    (void)srv_syncer_ask(h->syncer);
}

static void on_synced(void *arg, uint64_t sync, int error)
{
    struct srv_hub *h = arg;
    struct ring *next;
    for (struct ring *r = h->waiting.next; r != &h->waiting; r = next) {
        struct srv_session *s = CONTAINER_OF(r, struct srv_session, in_waiting);
        next = r->next;
        session_synced(s, sync, error);
        if (s->pending[0].sync == 0 && s->pending[1].sync == 0 && s->open_sync == 0)
            ring_remove(&s->in_waiting);
    }
}

void hub_cut(struct srv_hub *h)
{
    uint64_t one = 1;
    /* Fails only when the counter is full, that is, when it was written already. */
    ssize_t n = write(h->cut_fd, &one, sizeof one);
    (void)n;
}

static void on_cut(uint32_t events, void *arg)
{
    (void)events;
    struct srv_hub *h = arg;
    uint64_t n;
    if (read(h->cut_fd, &n, sizeof n) < 0)
        return;
    for (struct ring *r = h->sessions.next; r != &h->sessions; r = r->next) {
        struct srv_session *s = CONTAINER_OF(r, struct srv_session, in_all);
        if (atomic_load(&s->cut))
            session_end(s, PERSIST__CODE__CODE_TOKEN, "the token is revoked");
    }
}

/* ---- beginning and end ---- */

static int start(struct srv_hub *h)
{
    h->items = items_new();
    if (h->items == NULL)
        return -ENOMEM;
    h->cut_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->cut_fd < 0)
        return -errno;
    int rc = net_watch_new(h->cfg.loop, h->cut_fd, EPOLLIN, on_cut, h, &h->cut_watch);
    struct srv_syncer_config syncer = {
        .loop = h->cfg.loop,
        .spaces = h->cfg.spaces,
        .synced = on_synced,
        .arg = h,
    };
    if (rc == 0)
        rc = net_timer_new(h->cfg.loop, pump_grown, h, &h->grown_timer);
    if (rc == 0)
        rc = net_timer_new(h->cfg.loop, hub_say_online, h, &h->online_timer);
    if (rc == 0)
        srv_spaces_on_grown(h->cfg.spaces, on_grown, h);
    return rc < 0 ? rc : srv_syncer_start(&syncer, &h->syncer);
}

int srv_hub_new(const struct srv_hub_config *cfg, struct srv_hub **ret, struct err *err)
{
    struct srv_hub *h = calloc(1, sizeof *h);
    if (h == NULL)
        return err_set(err, -ENOMEM, "server: out of memory");
    h->cfg = *cfg;
    h->cut_fd = -1;
    ring_init(&h->sessions);
    ring_init(&h->waiting);
    ring_init(&h->grown);
    ring_init(&h->moved);
    int rc = start(h);
    if (rc < 0) {
        srv_hub_free(h);
        return err_set(err, rc, "server: %s", strerror(-rc));
    }
    *ret = h;
    return 0;
}

void srv_hub_free(struct srv_hub *h)
{
    if (h == NULL)
        return;
    srv_syncer_free(h->syncer);
    srv_spaces_on_grown(h->cfg.spaces, NULL, NULL);
    net_timer_free(h->grown_timer);
    net_timer_free(h->online_timer);
    net_watch_free(h->cut_watch);
    if (h->cut_fd >= 0)
        close(h->cut_fd);
    items_free(h->items);
    buf_fini(&h->scratch);
    free(h);
}
