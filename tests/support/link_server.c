#include "tests/support/link_server.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/greet.h"

enum { PEERS_MAX = 64, SPACES_MAX = 8, TICK_MS = 5, READY_MS = 180000 };

/* ---- numbered frames ---- */

void link_server_fill(uint8_t frame[LINK_SERVER_FRAME], uint32_t number)
{
    memset(frame, (int)(number * 7 + 1) & 0xff, LINK_SERVER_FRAME);
    put_u32(frame, number);
}

int64_t link_server_number(const uint8_t *frame, size_t n)
{
    if (n != LINK_SERVER_FRAME)
        return -1;
    uint32_t number = get_u32(frame);
    /* All bytes are as their neighbours: quick under sanitizers, too. */
    bool good = frame[4] == (uint8_t)(number * 7 + 1) && memcmp(frame + 4, frame + 5, n - 5) == 0;
    return good ? (int64_t)number : -1;
}

/* ---- the process ---- */

struct peer {
    bool taken;
    struct ws *ws; /* NULL: not open */
    struct greet greet;
    bool welcomed, stuck; /* stuck: an entry came, with no_entries */
    uint8_t space[SPACE_ID_SIZE];
    struct buf pending; /* of echo */
    uint32_t poured;
    uint64_t read_ms; /* when it may be read again; 0: it is not paused for slowness */
};

static struct link_server_control *control;
static struct peer peers[PEERS_MAX];
static struct net_timer *tick;
static uint8_t big[LINK_SERVER_FRAME];

static void send(struct peer *p, struct buf *b)
{
    if (ws_send(p->ws, buf_bytes(b)) < 0)
        abort();
    buf_fini(b);
}

static void send_frame(struct peer *p, Persist__Frame *f)
{
    struct buf b = {0};
    greet_frame(f, &b);
    send(p, &b);
}

static void challenge(struct peer *p)
{
    struct buf b = {0};
    greet_challenge(&p->greet, atomic_load(&control->version), &b);
    send(p, &b);
}

static void end(struct peer *p, unsigned code)
{
    struct buf b = {0};
    const char *text = greet_end(code, &b);
    send(p, &b);
    ws_close(p->ws, code, text);
}

static void welcome(struct peer *p)
{
    static const uint8_t seed[SEED_SIZE] = "one that a folder can be opened";
    struct member_keys keys;
    uint8_t member[LINK_SERVER_MEMBER];
    if (member_keys_init(&keys, seed) < 0)
        abort();
    memcpy(member, keys.sign_public, SIGN_KEY_SIZE);
    memcpy(member + SIGN_KEY_SIZE, keys.sign_public, SIGN_KEY_SIZE);
    memcpy(member + 2 * SIGN_KEY_SIZE, keys.box_public, BOX_KEY_SIZE);
    Persist__Welcome w = PERSIST__WELCOME__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    w.now_ms = 1;
    w.member = frame_data(bytes_of(member, sizeof member));
    f.kind_case = PERSIST__FRAME__KIND_WELCOME;
    f.welcome = &w;
    send_frame(p, &f);
    p->welcomed = true;
    atomic_fetch_add(&control->welcomed, 1);
}

static void on_proof(struct peer *p, const Persist__Proof *proof)
{
    if (!greet_is_proved(&p->greet, proof)) {
        atomic_fetch_add(&control->wrong, 1);
        end(p, PERSIST__CODE__CODE_PROOF);
        return;
    }
    memcpy(control->identity, proof->identity.data, SIGN_KEY_SIZE);
    unsigned code = atomic_load(&control->end_code);
    if (code != 0)
        end(p, code);
    else
        welcome(p);
}

static void list_spaces(struct peer *p)
{
    uint8_t id[] = "a space of 16 by";
    Persist__Spaces__Space space = PERSIST__SPACES__SPACE__INIT, *all[] = {&space};
    Persist__Spaces list = PERSIST__SPACES__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    space.id = frame_data(bytes_of(id, 16));
    list.n_spaces = 1;
    list.spaces = all;
    f.kind_case = PERSIST__FRAME__KIND_SPACES;
    f.spaces = &list;
    send_frame(p, &f);
}

/* Spaces that something was put into; what it was is not kept. */
static uint8_t spaces[SPACES_MAX][SPACE_ID_SIZE];
static size_t spaces_n;

static bool has_space(const uint8_t space[SPACE_ID_SIZE])
{
    for (size_t i = 0; i < spaces_n; i++)
        if (memcmp(spaces[i], space, SPACE_ID_SIZE) == 0)
            return true;
    return false;
}

static void answer_open(struct peer *p, const Persist__Open *o)
{
    uint8_t run[FRAME_RUN_SIZE] = "run";
    Persist__Opened opened = PERSIST__OPENED__INIT;
    Persist__CaughtUp caught_up = PERSIST__CAUGHT_UP__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    memcpy(p->space, o->space.data, SPACE_ID_SIZE);
    opened.exists = has_space(p->space);
    opened.run = frame_data(bytes_of(run, sizeof run));
    opened.quota_bytes = UINT64_C(1) << 40;
    f.kind_case = PERSIST__FRAME__KIND_OPENED;
    f.opened = &opened;
    send_frame(p, &f);
    f.kind_case = PERSIST__FRAME__KIND_CAUGHT_UP;
    f.caught_up = &caught_up;
    send_frame(p, &f);
}

static void answer_put(struct peer *p, const Persist__Put *put)
{
    Persist__Done done = PERSIST__DONE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    p->stuck = p->stuck || (atomic_load(&control->no_entries) != 0 &&
                            put->what_case == PERSIST__PUT__WHAT_ENTRY);
    if (p->stuck)
        return;
    if (put->what_case == PERSIST__PUT__WHAT_DOOR)
        atomic_fetch_add(&control->doors, 1);
    if (!has_space(p->space) && spaces_n < SPACES_MAX)
        memcpy(spaces[spaces_n++], p->space, SPACE_ID_SIZE);
    done.id = put->id;
    f.kind_case = PERSIST__FRAME__KIND_DONE;
    f.done = &done;
    send_frame(p, &f);
}

static void pour(struct peer *p)
{
    while (p->welcomed && p->poured < atomic_load(&control->pour)) {
        link_server_fill(big, p->poured);
        if (ws_send(p->ws, bytes_of(big, sizeof big)) < 0)
            return;
        p->poured++;
        atomic_fetch_add(&control->poured, 1);
    }
}

static void on_session(struct peer *p, struct bytes m)
{
    unsigned n = atomic_fetch_add(&control->frames, 1);
    int64_t number = link_server_number(m.p, m.n);
    if (m.n == LINK_SERVER_FRAME && number != n)
        atomic_fetch_add(&control->wrong, 1);
    unsigned slow_ms = atomic_load(&control->slow_ms);
    if (slow_ms > 0) {
        p->read_ms = net_now_ms() + slow_ms;
        ws_pause(p->ws);
    }
    if (atomic_load(&control->echo) != 0 && ws_send(p->ws, m) < 0) {
        buf_put_bytes(&p->pending, m);
        ws_pause(p->ws);
    }
}

static void on_message(struct ws *w, struct bytes m, void *user)
{
    (void)w;
    struct peer *p = user;
    Persist__Frame *f = NULL;
    if (m.n == LINK_SERVER_FRAME || frame_decode(m, &f) < 0)
        on_session(p, m);
    else if (f->kind_case == PERSIST__FRAME__KIND_PROOF)
        on_proof(p, f->proof);
    else if (f->kind_case == PERSIST__FRAME__KIND_LIST_SPACES)
        list_spaces(p);
    else if (f->kind_case == PERSIST__FRAME__KIND_OPEN)
        answer_open(p, f->open);
    else if (f->kind_case == PERSIST__FRAME__KIND_PUT)
        answer_put(p, f->put);
    else if (p->welcomed)
        on_session(p, m);
    frame_free(f);
    pour(p);
}

static void on_writable(struct ws *w, void *user)
{
    struct peer *p = user;
    if (p->pending.n > 0 && ws_send(w, buf_bytes(&p->pending)) == 0) {
        buf_fini(&p->pending);
        ws_resume(w);
    }
    pour(p);
}

static void on_opened(struct ws *w, void *user)
{
    struct peer *p = user;
    p->ws = w;
    atomic_fetch_add(&control->opened, 1);
    atomic_fetch_add(&control->open, 1);
    if (atomic_load(&control->mute) == 0)
        challenge(p);
}

static void on_closed(struct ws *w, const struct ws_end *e, void *user)
{
    (void)w;
    (void)e;
    struct peer *p = user;
    if (p->ws != NULL)
        atomic_fetch_sub(&control->open, 1);
    buf_fini(&p->pending);
    *p = (struct peer){0};
}

static const struct ws_events events = {on_opened, on_message, on_writable, on_closed};

static unsigned authorise(const struct ws_request *r, void *user, void **ret_user)
{
    (void)user;
    if (r->token.n < 4 || memcmp(r->token.p, "good", 4) != 0) {
        atomic_fetch_add(&control->refused, 1);
        return 401;
    }
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (!peers[i].taken) {
            peers[i].taken = true;
            greet_init(&peers[i].greet, r->token);
            *ret_user = &peers[i];
            return 0;
        }
    return 503;
}

static void on_tick(void *arg)
{
    (void)arg;
    unsigned code = atomic_exchange(&control->close_code, 0);
    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &peers[i];
        if (p->ws != NULL && p->read_ms != 0 && net_now_ms() >= p->read_ms) {
            p->read_ms = 0;
            if (p->pending.n == 0)
                ws_resume(p->ws);
        }
        if (p->ws != NULL && code != 0)
            end(p, code);
    }
    net_timer_set(tick, TICK_MS);
}

static _Noreturn void serve(pid_t parent)
{
    struct net_loop *loop;
    struct ws_server *server;
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", atomic_load(&control->port));
    struct ws_server_config cfg = {
        .listen = listen, .connections_max = PEERS_MAX, .events = &events, .authorise = authorise};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || net_loop_new(1024, &loop, NULL) < 0)
        _exit(1);
    struct err err = {0};
    if (ws_server_start(loop, &cfg, &server, &err) < 0 ||
        net_timer_new(loop, on_tick, NULL, &tick) < 0) {
        fprintf(stderr, "link_server: %s\n", err.msg);
        _exit(1);
    }
    net_timer_set(tick, 0);
    atomic_store(&control->port, ws_server_port(server));
    _exit(net_loop_run(loop) < 0);
}

/* ---- the test's side ---- */

static bool is_listening(const struct link_server *s, unsigned had_port)
{
    /* A port that was chosen before is there before the process listens: give it a moment. */
    if (waitpid(s->pid, NULL, WNOHANG) != 0)
        fail_msg("the server of the test did not start");
    return had_port != 0 || atomic_load(&s->control->port) != 0;
}

void link_server_start(struct link_server *s)
{
    if (s->control == NULL) {
        s->control = mmap(NULL, sizeof *s->control, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(s->control != MAP_FAILED);
        atomic_store(&s->control->version, 1);
    }
    unsigned had_port = atomic_load(&s->control->port);
    fflush(NULL);
    pid_t parent = getpid();
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        control = s->control;
        serve(parent);
    }
    for (unsigned i = 0; !is_listening(s, had_port); i++) {
        assert_true(i < READY_MS);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    snprintf(s->url, sizeof s->url, "ws://127.0.0.1:%u", atomic_load(&s->control->port));
}

void link_server_kill(struct link_server *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
    atomic_store(&s->control->open, 0);
}

void link_server_free(struct link_server *s)
{
    link_server_kill(s);
    if (s->control != NULL)
        munmap(s->control, sizeof *s->control);
    *s = (struct link_server){0};
}
