#include "sync/engine/engine.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fs/space/exchange.h"
#include "fs/tree/tree.h"
#include "proto/base/log.h"
#include "proto/sealed/discovery.h"
#include "sync/engine/serve.h"
#include "sync/engine/session.h"
#include "sync/engine/sources.h"
#include "sync/net/loop.h"
#include "sync/net/unix_frames.h"

enum {
    LINKS_MAX = 32,
    CONNECT_MS = 200, /* until the sync process is looked for again, the first time */
    CONNECT_MS_MAX = 5000,
    TOLD_MS = 2000,       /* until the sync process has told of every link, once there is one */
    STATE_MS = 2000,      /* a STATE is made when nothing has changed for so long, */
    STATE_MS_MAX = 10000, /* and at most so late; */
    ANSWER_MS = 50,       /* so long after another device's came */
    FULL_MS = 30000,      /* until a server that had no room is tried again, */
    STRANGER_MS = 30000,  /* and a device that is no member */
    FD_MAX = 1024,
    DAY_S = 86400,
    DAY_LOOK_MS = 1800000, /* so often it is looked at least whether it is another day */
};

_Static_assert((int)LINKS_MAX <= (int)SOURCES_MAX, "each session is a source");

/* A link that the sync process told of, or one before it. */
struct link {
    struct engine *engine;
    bool used;
    bool told; /* by this sync process, which has given it @id; else its URL says which it is */
    uint32_t id;
    uint64_t generation;
    struct sync_session *session;
    bool is_peer; /* with another device, which has proved to be @peer, and is served */
    uint8_t peer[SIGN_KEY_SIZE];
    struct sync_serve *serve;
    struct sync_link shown;
    uint64_t bulk_at_ms; /* the server had no room: when to try again; 0: it has */
};

struct engine {
    struct engine_config cfg;
    pthread_t thread;
    struct net_loop *loop;
    struct net_watch *watch;
    struct net_timer *connect_timer, *pump_timer, *state_timer;
    int event_fd;
    atomic_bool stop, changed, kicked;
    struct unix_conn *conn; /* NULL: no sync process */
    unsigned connect_ms;
    struct buf late; /* frames that had no room, each with its length */
    struct sources *sources;
    struct link links[LINKS_MAX];
    uint64_t state_due_ms, state_latest_ms; /* 0: nothing has changed */
    uint64_t stated_ms;                     /* when the last STATE was made */
    uint64_t states_heard;                  /* of others, that were seen here */
    size_t acts_told;  /* the sync process knows the members of so many acts; SIZE_MAX: nothing */
    uint64_t day_told; /* and the names of this day, */
    bool names_told;   /* if there were any */
};

/* ---- frames to the sync process ----------------------------------------------------------------
 */

static void flush_late(struct engine *e)
{
    struct reader r = reader_of(buf_bytes(&e->late));
    while (r.n > 0 && e->conn != NULL) {
        struct reader at = r;
        struct bytes frame = reader_string(&r, FRAME_LOCAL_MAX);
        if (unix_send(e->conn, frame) < 0) {
            r = at;
            break;
        }
    }
    size_t left = r.n;
    if (left > 0)
        memmove(e->late.p, e->late.p + e->late.n - left, left);
    e->late.n = left;
}

static void send_local(struct engine *e, const Persist__Local *f)
{
    struct buf b CLEANUP(buf_fini) = {0};
    if (e->conn == NULL || frame_local_encode(f, &b) < 0)
        return;
    if (e->late.n > 0 || unix_send(e->conn, buf_bytes(&b)) < 0)
        buf_put_string(&e->late, buf_bytes(&b));
}

static void send_data(void *arg, const Persist__Frame *frame)
{
    struct link *l = arg;
    struct buf b CLEANUP(buf_fini) = {0};
    Persist__Data d = PERSIST__DATA__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    if (frame_encode(frame, &b) < 0)
        return;
    d.link = l->id;
    d.generation = l->generation;
    d.frame = frame_data(buf_bytes(&b));
    f.kind_case = PERSIST__LOCAL__KIND_DATA;
    f.data = &d;
    l->shown.up_bytes += b.n;
    rate_add(&l->shown.up, net_now_ms(), b.n);
    send_local(l->engine, &f);
}

static bool can_send(void *arg)
{
    const struct link *l = arg;
    return l->engine->conn != NULL && l->engine->late.n == 0;
}

/* ---- when a STATE is made ----------------------------------------------------------------------
 */

static void changed(struct engine *e)
{
    uint64_t now = net_now_ms();
    if (e->state_latest_ms == 0)
        e->state_latest_ms = now + STATE_MS_MAX;
    e->state_due_ms = min_u64(now + STATE_MS, e->state_latest_ms);
    net_timer_set(e->state_timer, e->state_due_ms > now ? e->state_due_ms - now : 0);
}

/* ---- links -------------------------------------------------------------------------------------
 */

static uint64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void session_room(void *arg, const char *why)
{
    struct link *l = arg;
    l->bulk_at_ms = why == NULL ? 0 : net_now_ms() + FULL_MS;
    snprintf(l->shown.full, sizeof l->shown.full, "%s", why != NULL ? why : "");
}

static void show(struct link *l)
{
    bool caught_up = l->session != NULL && sync_session_is_caught_up(l->session);
    bool settled = l->session != NULL && sync_session_is_settled(l->session) &&
                   (l->serve == NULL || sync_serve_is_settled(l->serve));
    if (l->session != NULL)
        sync_session_progress(l->session, &l->shown.cursor, &l->shown.last);
    if (caught_up && !l->shown.caught_up) /* one that holds nothing new has said nothing, perhaps */
        changed(l->engine);
    l->shown.caught_up = caught_up;
    l->shown.settled = settled;
    if (settled)
        session_room(l, NULL); /* what there was no room for is gone, perhaps */
    l->shown.online =
        l->session != NULL ? *sync_session_online(l->session) : (struct sync_online){0};
    if (l->session != NULL) /* what one that has ended had heard says how new its last words are */
        l->shown.heard = sync_session_heard(l->session);
    if (l->is_peer && l->generation == 0) /* never reached: the list of devices has who is there */
        return;
    if (space_sync_set_link(l->engine->cfg.space, &l->shown) < 0)
        log_warn("sync: out of memory");
}

/* The others go on with what it was to bring. */
static void end_session(struct link *l)
{
    if (l->session != NULL)
        net_timer_set(l->engine->pump_timer, 0);
    sync_session_free(l->session);
    sync_serve_free(l->serve);
    l->session = NULL;
    l->serve = NULL;
}

static void drop_link(struct link *l)
{
    end_session(l);
    l->shown.url[0] = '\0';
    if (space_sync_set_link(l->engine->cfg.space, &l->shown) < 0)
        log_warn("sync: out of memory");
    *l = (struct link){.engine = l->engine};
}

/* Told from within a call of the session: it is freed later, when the link goes. */
static void session_failed(void *arg, uint64_t after_ms, const char *why)
{
    struct link *l = arg;
    Persist__Retry r;
    Persist__Local f = PERSIST__LOCAL__INIT;
    char text[SYNC_TEXT_MAX];
    snprintf(text, sizeof text, "%s", why != NULL ? why : "");
    if (text[0] != '\0')
        log_warn("sync: %s: %s", l->shown.url, text);
    persist__retry__init(&r);
    r.link = l->id;
    r.generation = l->generation;
    r.after_ms = after_ms;
    r.why = text;
    f.kind_case = PERSIST__LOCAL__KIND_RETRY;
    f.retry = &r;
    send_local(l->engine, &f);
}

static struct link *link_of(struct engine *e, uint32_t id)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (e->links[i].told && e->links[i].id == id)
            return &e->links[i];
    return NULL;
}

/* The link that has this URL and is not told of yet, else a new one; NULL: there are too many. */
static struct link *need_link(struct engine *e, const char *url)
{
    struct link *free_one = NULL;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        struct link *l = &e->links[i];
        if (l->used && !l->told && strcmp(l->shown.url, url) == 0)
            return l;
        if (!l->used && free_one == NULL)
            free_one = l;
    }
    if (free_one != NULL) {
        *free_one = (struct link){.engine = e, .used = true};
        snprintf(free_one->shown.url, sizeof free_one->shown.url, "%s", url);
    }
    return free_one;
}

/* There is no sync process that would know of the link. */
static void lose_link(struct link *l)
{
    end_session(l);
    l->told = false;
    l->shown.state = SYNC_LINK_ABSENT;
    l->shown.retry_at_ms = 0;
    snprintf(l->shown.error, sizeof l->shown.error, "the sync process is not running");
    show(l);
}

/* What is stored, before the sync process has told of it. */
static void know_links(struct engine *e, struct bytes links)
{
    for (size_t at = 0; at < links.n; at += sizeof(struct sync_link)) {
        struct sync_link stored;
        memcpy(&stored, links.p + at, sizeof stored);
        struct link *l = need_link(e, stored.url);
        if (l == NULL)
            return;
        l->shown = stored;
        lose_link(l);
    }
}

/* Those that the sync process does not know are no remotes any more. */
static void drop_untold(struct engine *e)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (e->links[i].used && !e->links[i].told)
            drop_link(&e->links[i]);
}

/* Another device is served, too, if it is a member. */
static bool start_serving(struct link *l)
{
    struct sync_serve_config cfg = {.space = l->engine->cfg.space,
                                    .remote = l->shown.remote,
                                    .send = send_data,
                                    .can_send = can_send,
                                    .failed = session_failed,
                                    .arg = l};
    if (!l->is_peer)
        return true;
    memcpy(cfg.peer, l->peer, SIGN_KEY_SIZE);
    int rc = sync_serve_new(&cfg, &l->serve);
    if (rc < 0)
        session_failed(l, STRANGER_MS, rc == -EACCES ? SERVE_STRANGER : strerror(-rc));
    return rc == 0;
}

static void start_session(struct link *l)
{
    struct sync_session_config cfg = {.space = l->engine->cfg.space,
                                      .sources = l->engine->sources,
                                      .url = l->shown.url,
                                      .peer = l->is_peer,
                                      .interval_ms = l->shown.interval_s * 1000,
                                      .bulk_at_ms = l->bulk_at_ms,
                                      .send = send_data,
                                      .can_send = can_send,
                                      .room = session_room,
                                      .failed = session_failed,
                                      .arg = l};
    if (!start_serving(l))
        return;
    if (sync_session_new(&cfg, &l->session) < 0) {
        session_failed(l, 1000, "the database cannot be read");
        end_session(l);
        return;
    }
    sync_session_start(l->session);
}

static enum sync_link_state state_of(Persist__LinkState s)
{
    return s == PERSIST__LINK_STATE__LINK_UP           ? SYNC_LINK_UP
           : s == PERSIST__LINK_STATE__LINK_CONNECTING ? SYNC_LINK_CONNECTING
           : s == PERSIST__LINK_STATE__LINK_REFUSED    ? SYNC_LINK_REFUSED
                                                       : SYNC_LINK_DOWN;
}

static void on_link(struct engine *e, const Persist__Link *in)
{
    struct link *l = link_of(e, in->id);
    if (l == NULL)
        l = need_link(e, in->url);
    if (l == NULL)
        return;
    l->told = true;
    l->id = in->id;
    bool up = in->state == PERSIST__LINK_STATE__LINK_UP;
    snprintf(l->shown.url, sizeof l->shown.url, "%s", in->url);
    if (in->state == PERSIST__LINK_STATE__LINK_REMOVED) {
        drop_link(l);
        return;
    }
    if (l->session != NULL && (!up || l->generation != in->generation))
        end_session(l);
    l->generation = in->generation;
    l->is_peer = in->peer.len == SIGN_KEY_SIZE;
    if (l->is_peer)
        memcpy(l->peer, in->peer.data, SIGN_KEY_SIZE);
    l->shown.remote = space_sync_remote_id(l->shown.url);
    l->shown.state = state_of(in->state);
    l->shown.interval_s = in->interval_s;
    l->shown.managed = in->managed;
    snprintf(l->shown.error, sizeof l->shown.error, "%s", in->error);
    l->shown.retry_at_ms = in->retry_ms > 0 ? wall_ms() + in->retry_ms : 0;
    if (up && l->session == NULL)
        start_session(l);
    show(l);
}

/* ---- going on ----------------------------------------------------------------------------------
 */

/* What has changed is told at @at_ms, if not before. */
static void tell_by(struct engine *e, uint64_t at_ms)
{
    uint64_t now = net_now_ms();
    if (e->state_latest_ms == 0)
        return;
    e->state_latest_ms = min_u64(e->state_latest_ms, at_ms);
    e->state_due_ms = min_u64(e->state_due_ms, e->state_latest_ms);
    net_timer_set(e->state_timer, e->state_due_ms > now ? e->state_due_ms - now : 0);
}

/*
 * Notes what has changed. When another device has told its STATE, this one may know more by it, and
 * the other may wait for what this one says; not more often than it is told by itself, or two that
 * go on changing would have each other tell without end. @now: somebody waits here for what others
 * say.
 */
static void note_changes(struct engine *e, bool now)
{
    uint64_t heard = space_sync_states_heard(e->cfg.space);
    bool told = heard != e->states_heard;
    if (atomic_exchange(&e->changed, false) || (told && e->state_latest_ms == 0))
        changed(e);
    if (now)
        tell_by(e, net_now_ms());
    else if (told)
        tell_by(e, max_u64(net_now_ms() + ANSWER_MS, e->stated_ms + STATE_MS));
    e->states_heard = heard;
}

/* Whether a session is on, so that signing serves somebody. */
static bool has_session(const struct engine *e)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (e->links[i].session != NULL && sync_session_is_caught_up(e->links[i].session))
            return true;
    return false;
}

/* What is due in the space by itself: when to come again, 0: when something happens. */
static uint64_t look_after(struct engine *e, uint64_t now_ms)
{
    uint64_t adopt = space_sync_adopt(e->cfg.space, now_ms);
    uint64_t watch = space_sync_watch(e->cfg.space, now_ms);
    bool tell = false;
    uint64_t compare = has_session(e) ? space_sync_compare(e->cfg.space, now_ms, &tell) : 0;
    if (tell)
        changed(e);
    return sooner(adopt, sooner(watch, compare));
}

/* Views of what stands side by side in @list, @size each, at most @max. How many. */
static size_t view(const struct buf *list, size_t size, size_t max, ProtobufCBinaryData *ret)
{
    size_t n = 0;
    for (; n < max && (n + 1) * size <= list->n; n++)
        ret[n] = frame_data(bytes_of(list->p + n * size, size));
    return n;
}

/* Says who the other devices are, and under which names they look for each other, when that may
 * have changed. When to look again: the day ends, by a clock that may be set, or go on while this
 * computer sleeps. */
static uint64_t tell_members(struct engine *e, uint64_t now_ms)
{
    struct buf ids CLEANUP(buf_fini) = {0};
    struct buf names CLEANUP(buf_fini) = {0};
    ProtobufCBinaryData id_views[FRAME_ONLINE_MAX], name_views[FRAME_NAMES_MAX];
    Persist__Members m = PERSIST__MEMBERS__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    size_t acts = space_sync_acts(e->cfg.space);
    uint64_t wall_s = wall_ms() / 1000, day = discovery_day(wall_s);
    uint64_t next = now_ms + min_u64(DAY_LOOK_MS, ((day + 1) * DAY_S - wall_s) * 1000);
    bool news = acts != e->acts_told || day != e->day_told;
    if (e->conn == NULL || (!news && e->names_told) ||
        space_sync_names(e->cfg.space, wall_s, &names) < 0 || (!news && names.n == 0) ||
        space_sync_devices(e->cfg.space, &ids) < 0)
        return next;
    m.n_identities = view(&ids, SIGN_KEY_SIZE, FRAME_ONLINE_MAX, id_views);
    m.identities = id_views;
    m.n_names = view(&names, HASH_SIZE, FRAME_NAMES_MAX, name_views);
    m.names = name_views;
    f.kind_case = PERSIST__LOCAL__KIND_MEMBERS;
    f.members = &m;
    send_local(e, &f);
    e->acts_told = acts;
    e->day_told = day;
    e->names_told = names.n > 0;
    return next;
}

static void pump(struct engine *e, bool now)
{
    uint64_t now_ms = net_now_ms(), members = tell_members(e, now_ms);
    uint64_t next = sooner(members, look_after(e, now_ms));
    int more = has_session(e) ? space_sync_collect(e->cfg.space) : 0;
    if (more < 0 && more != -ENOTCONN)
        log_warn("sync: signing changes: %s", strerror(-more));
    (void)sources_freed(e->sources);
    for (size_t i = 0; i < LINKS_MAX; i++) {
        struct link *l = &e->links[i];
        if (l->session == NULL)
            continue;
        uint64_t at = sync_session_pump(l->session, now_ms, now);
        next = sooner(next, at);
        if (l->serve != NULL)
            sync_serve_pump(l->serve);
        show(l);
    }
    note_changes(e, now); /* what the sessions took in now, too: nothing else may come for long */
    if (more == 1) /* the rest when there is room: what came is read between, answers above all */
        atomic_store(&e->changed, true);
    /* What a session has let go is for those, too, that went on before it. */
    if ((more == 1 && e->late.n == 0) || sources_freed(e->sources))
        next = now_ms;
    if (next != 0)
        net_timer_set(e->pump_timer, next > now_ms ? next - now_ms : 0);
}

static void on_pump_timer(void *arg)
{
    pump(arg, false);
}

static void on_state_timer(void *arg)
{
    struct engine *e = arg;
    e->state_latest_ms = 0;
    if (!has_session(e))
        return;
    int rc = space_sync_collect(e->cfg.space);
    if (rc == 1) { /* there is more to be signed: first that */
        changed(e);
        pump(e, false);
        return;
    }
    if (rc == 0)
        rc = space_sync_state(e->cfg.space);
    if (rc == 1)
        e->stated_ms = net_now_ms();
    if (rc < 0 && rc != -ENOTCONN)
        log_warn("sync: the state of the folder cannot be told: %s", strerror(-rc));
    pump(e, false);
}

static void on_event(uint32_t events, void *arg)
{
    struct engine *e = arg;
    uint64_t n;
    (void)events;
    if (read(e->event_fd, &n, sizeof n) < 0)
        n = 0;
    if (atomic_load(&e->stop)) {
        if (e->conn != NULL)
            unix_close(e->conn); /* on_closed() ends the loop */
        else
            net_loop_stop(e->loop);
        return;
    }
    bool kicked = atomic_exchange(&e->kicked, false);
    if (kicked && e->conn == NULL)
        net_timer_set(e->connect_timer, 0);
    pump(e, kicked);
}

static void wake(struct engine *e)
{
    const uint64_t one = 1;
    (void)!write(e->event_fd, &one, sizeof one);
}

static void on_own_change(void *arg, const struct dot *dot, bool own)
{
    struct engine *e = arg;
    (void)dot;
    (void)own;
    if (!atomic_exchange(&e->changed, true))
        wake(e);
}

static void on_kick(void *arg, bool now)
{
    struct engine *e = arg;
    if (now)
        atomic_store(&e->kicked, true);
    wake(e);
}

/* ---- the sync process --------------------------------------------------------------------------
 */

static void on_data(struct engine *e, const Persist__Data *d)
{
    struct link *l = link_of(e, d->link);
    Persist__Frame *f;
    if (l == NULL || l->session == NULL || l->generation != d->generation)
        return;
    if (frame_decode(frame_bytes(d->frame), &f) < 0) {
        session_failed(l, CONNECT_MS_MAX, "the remote sent what is no frame");
        end_session(l);
        return;
    }
    l->shown.down_bytes += d->frame.len;
    rate_add(&l->shown.down, net_now_ms(), d->frame.len);
    bool now = true;
    if (l->serve != NULL && sync_serve_is_for(f))
        sync_serve_frame(l->serve, f);
    else
        now = sync_session_frame(l->session, f, net_now_ms());
    frame_free(f);
    if (now)
        pump(e, false);
    else
        net_timer_set(e->pump_timer, 0); /* in the next turn */
}

static void on_frame(struct unix_conn *c, struct bytes frame, void *user)
{
    struct engine *e = user;
    Persist__Local *f;
    if (frame_local_decode(frame, &f) < 0) {
        unix_close(c);
        return;
    }
    if (f->kind_case == PERSIST__LOCAL__KIND_LINK)
        on_link(e, f->link);
    else if (f->kind_case == PERSIST__LOCAL__KIND_DATA)
        on_data(e, f->data);
    frame_local_free(f);
}

static void on_writable(struct unix_conn *c, void *user)
{
    struct engine *e = user;
    (void)c;
    flush_late(e);
    pump(e, false);
}

static void tell_attached(const struct engine *e, bool is)
{
    if (e->cfg.attached != NULL)
        e->cfg.attached(e->cfg.arg, is);
}

static void on_closed(struct unix_conn *c, int error, void *user)
{
    struct engine *e = user;
    (void)c;
    (void)error;
    e->conn = NULL;
    buf_reset(&e->late);
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (e->links[i].used)
            lose_link(&e->links[i]);
    if (atomic_load(&e->stop))
        net_loop_stop(e->loop);
    else
        tell_attached(e, false);
    net_timer_set(e->connect_timer, e->connect_ms);
}

static const struct unix_events unix_events = {
    .frame = on_frame, .writable = on_writable, .closed = on_closed};

static int connect_socket(const struct engine *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    /* By the descriptor: the path of the directory may be longer than an address can be. */
    snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/sync.sock", e->cfg.run_fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void attach(struct engine *e)
{
    struct space_id id;
    Persist__Attach a = PERSIST__ATTACH__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    if (space_sync_id(e->cfg.space, &id) < 0)
        return;
    a.space = frame_data(bytes_of(id.b, SPACE_ID_SIZE));
    f.kind_case = PERSIST__LOCAL__KIND_ATTACH;
    f.attach = &a;
    send_local(e, &f);
}

static void on_connect_timer(void *arg)
{
    struct engine *e = arg;
    if (atomic_load(&e->stop)) /* the loop ends, perhaps in this very turn */
        return;
    if (e->conn != NULL) { /* since some time */
        drop_untold(e);
        return;
    }
    int fd = connect_socket(e);
    if (fd >= 0 && unix_adopt(e->loop, fd, &unix_events, e, &e->conn) == 0) {
        e->connect_ms = CONNECT_MS;
        tell_attached(e, true);
        attach(e);
        e->acts_told = SIZE_MAX;
        net_timer_set(e->pump_timer, 0); /* which tells of the members */
        net_timer_set(e->connect_timer, TOLD_MS);
        return;
    }
    tell_attached(e, false);
    net_timer_set(e->connect_timer, e->connect_ms);
    e->connect_ms = (unsigned)min_u64(2 * e->connect_ms, CONNECT_MS_MAX);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static void *run(void *arg)
{
    struct engine *e = arg;
    net_timer_set(e->connect_timer, 0);
    if (net_loop_run(e->loop) < 0)
        log_error("sync: the loop of sessions broke; mount the folder again");
    tree_thread_done();
    return NULL;
}

static int make(struct engine *e, struct err *err)
{
    e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->event_fd < 0)
        return err_set(err, -errno, "sync: %s", strerror(errno));
    int rc = sources_new(&e->sources);
    if (rc < 0)
        return err_set(err, rc, "sync: out of memory");
    rc = net_loop_new(e->cfg.fd_max > 0 ? e->cfg.fd_max : FD_MAX, &e->loop, err);
    if (rc == 0)
        rc = net_timer_new(e->loop, on_connect_timer, e, &e->connect_timer);
    if (rc == 0)
        rc = net_timer_new(e->loop, on_pump_timer, e, &e->pump_timer);
    if (rc == 0)
        rc = net_timer_new(e->loop, on_state_timer, e, &e->state_timer);
    if (rc == 0)
        rc = net_watch_new(e->loop, e->event_fd, EPOLLIN, on_event, e, &e->watch);
    return rc;
}

static void engine_free(struct engine *e)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        end_session(&e->links[i]);
    sources_free(e->sources);
    net_watch_free(e->watch);
    net_timer_free(e->connect_timer);
    net_timer_free(e->pump_timer);
    net_timer_free(e->state_timer);
    net_loop_free(e->loop);
    if (e->event_fd >= 0)
        close(e->event_fd);
    buf_fini(&e->late);
    free(e);
}

/* Signals are for the main thread. */
static int start_thread(struct engine *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&e->thread, NULL, run, e);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -rc;
}

int engine_start(const struct engine_config *cfg, struct engine **ret, struct err *err)
{
    struct space_id id;
    if (space_sync_id(cfg->space, &id) < 0)
        return -ENOTCONN;
    struct engine *e = calloc(1, sizeof *e);
    if (e == NULL)
        return err_set(err, -ENOMEM, "sync: out of memory");
    e->cfg = *cfg;
    e->connect_ms = CONNECT_MS;
    for (size_t i = 0; i < LINKS_MAX; i++)
        e->links[i].engine = e;
    int rc = make(e, err);
    if (rc == 0)
        know_links(e, cfg->links);
    if (rc == 0)
        rc = start_thread(e);
    if (rc < 0) {
        engine_free(e);
        return err_set(err, rc, "sync: starting the sessions: %s", strerror(-rc));
    }
    space_subscribe(cfg->space, on_own_change, e);
    space_sync_on_kick(cfg->space, on_kick, e);
    *ret = e;
    return 0;
}

void engine_stop(struct engine *e)
{
    if (e == NULL)
        return;
    space_subscribe(e->cfg.space, NULL, NULL);
    space_sync_on_kick(e->cfg.space, NULL, NULL);
    atomic_store(&e->stop, true);
    wake(e);
    pthread_join(e->thread, NULL);
    engine_free(e);
}
