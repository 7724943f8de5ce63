#include "sync/links/link.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/handshake.h"
#include "sync/net/backoff.h"

enum { GOOD_MS = 30 * 1000 /* a connection that lasted so long was a good one */ };

struct link {
    struct line_env *env;
    uint32_t id;
    struct remote remote;
    const struct link_events *events;
    void *user;
    Persist__LinkState state;
    struct line *line; /* NULL: none */
    struct net_timer *timer;
    uint64_t due_ms; /* when the timer is set: the next try */
    bool hurries;    /* the wait ends when the network is another */
    struct backoff backoff;
    uint64_t generation, up_ms;
    bool retry; /* link_retry() ended the connection; after: */
    uint64_t retry_ms;
    char retry_why[LINE_TEXT_SIZE];
    char error[LINE_TEXT_SIZE];
    uint8_t member[HANDSHAKE_MEMBER_SIZE];
    size_t member_n;
};

static const char *name_of(Persist__LinkState state)
{
    static const char *const names[] = {"down", "connecting", "up", "refused", "removed"};
    return (size_t)state < ARRAY_N(names) ? names[state] : "?";
}

static void set_state(struct link *l, Persist__LinkState state, const char *error)
{
    snprintf(l->error, sizeof l->error, "%s", error);
    l->state = state;
    if (error[0] != '\0')
        log_info("link: %s url=%s id=%u why=%s", name_of(state), l->remote.url, l->id, error);
    else
        log_info("link: %s url=%s id=%u", name_of(state), l->remote.url, l->id);
    l->events->changed(l, l->user);
}

static void wait_for(struct link *l, uint64_t ms, bool hurries)
{
    l->hurries = hurries;
    l->due_ms = net_now_ms() + ms;
    net_timer_set(l->timer, ms);
}

/* No connection: what to do about it. */
static void fall(struct link *l, bool refused, const char *why)
{
    if (refused)
        wait_for(l, LINK_REFUSED_MS, false);
    else if (l->retry)
        wait_for(l, l->retry_ms, false);
    else
        wait_for(l, backoff_next(&l->backoff, randombytes_random()), true);
    set_state(l, refused ? PERSIST__LINK_STATE__LINK_REFUSED : PERSIST__LINK_STATE__LINK_DOWN,
              l->retry && !refused ? l->retry_why : why);
    l->retry = false;
}

static void on_welcomed(struct line *line, void *user)
{
    struct link *l = user;
    struct bytes member = line_member(line);
    l->member_n = min_u64(member.n, sizeof l->member);
    memcpy(l->member, member.p, l->member_n);
    l->up_ms = net_now_ms();
    set_state(l, PERSIST__LINK_STATE__LINK_UP, "");
}

static void on_message(struct line *line, struct bytes message, void *user)
{
    (void)line;
    struct link *l = user;
    l->events->frame(l, message, l->user);
}

static void on_writable(struct line *line, void *user)
{
    (void)line;
    struct link *l = user;
    l->events->writable(l, l->user);
}

static void on_closed(struct line *line, const struct line_end *end, void *user)
{
    (void)line;
    struct link *l = user;
    bool was_up = l->state == PERSIST__LINK_STATE__LINK_UP;
    l->line = NULL;
    if (was_up && net_now_ms() - l->up_ms >= GOOD_MS)
        backoff_reset(&l->backoff);
    char why[LINE_TEXT_SIZE];
    snprintf(why, sizeof why, end->token ? "%.200s; 'persist remote add' takes a new one" : "%s",
             end->text);
    fall(l, end->refused, why);
    if (was_up)
        l->events->writable(l, l->user); /* what waited for room is to be dropped */
}

static const struct line_events events = {on_welcomed, on_message, on_writable, on_closed};

static void try_now(void *arg)
{
    struct link *l = arg;
    struct err err = {0};
    net_timer_cancel(l->timer);
    l->due_ms = 0;
    l->hurries = false;
    if (l->remote.token[0] == '\0') {
        fall(l, true, "no token is stored for it; add the remote again");
        return;
    }
    l->generation++;
    if (line_open(l->env, &l->remote, &events, l, &l->line, &err) < 0)
        fall(l, false, err.msg);
    else
        set_state(l, PERSIST__LINK_STATE__LINK_CONNECTING, "");
}

int link_new(struct line_env *env, uint32_t id, const struct remote *remote,
             const struct link_events *link_events, void *user, struct link **ret)
{
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->env = env;
    l->id = id;
    l->remote = *remote;
    l->events = link_events;
    l->user = user;
    l->state = PERSIST__LINK_STATE__LINK_CONNECTING;
    int rc = net_timer_new(env->loop, try_now, l, &l->timer);
    if (rc < 0) {
        link_free(l);
        return rc;
    }
    net_timer_set(l->timer, 0);
    *ret = l;
    return 0;
}

void link_free(struct link *l)
{
    if (l == NULL)
        return;
    line_leave(l->line);
    net_timer_free(l->timer);
    remote_wipe(&l->remote);
    free(l);
}

void link_reset(struct link *l, const struct remote *remote)
{
    line_leave(l->line);
    l->line = NULL;
    l->remote = *remote;
    l->retry = false;
    l->state = PERSIST__LINK_STATE__LINK_CONNECTING;
    l->error[0] = '\0';
    backoff_reset(&l->backoff);
    wait_for(l, 0, false);
}

void link_hurry(struct link *l)
{
    if (l->hurries)
        wait_for(l, 0, false);
}

void link_retry(struct link *l, uint64_t generation, uint64_t after_ms, struct bytes why)
{
    if (l->line == NULL || l->retry || generation != l->generation)
        return;
    l->retry = true;
    l->retry_ms = min_u64(after_ms, LINK_RETRY_MAX_MS);
    escape_to(l->retry_why, sizeof l->retry_why, why);
    line_close(l->line, WS_NORMAL);
}

int link_send(struct link *l, uint64_t generation, struct bytes frame)
{
    if (generation > l->generation)
        return -EPROTO;
    if (generation < l->generation || l->state != PERSIST__LINK_STATE__LINK_UP || l->line == NULL)
        return -ENOTCONN;
    return line_send(l->line, frame);
}

void link_pause(struct link *l)
{
    if (l->line != NULL)
        line_pause(l->line);
}

void link_resume(struct link *l)
{
    if (l->line != NULL)
        line_resume(l->line);
}

uint64_t link_generation(const struct link *l)
{
    return l->generation;
}

const struct remote *link_remote(const struct link *l)
{
    return &l->remote;
}

void link_describe(struct link *l, Persist__Link *ret)
{
    uint64_t now = net_now_ms();
    persist__link__init(ret);
    ret->id = l->id;
    ret->generation = l->generation;
    ret->state = l->state;
    ret->url = l->remote.url;
    ret->error = l->error;
    ret->retry_ms = l->due_ms > now ? l->due_ms - now : 0;
    ret->interval_s = l->remote.interval_s;
    ret->managed = l->remote.managed;
    ret->member = frame_data(bytes_of(l->member, l->member_n));
}
