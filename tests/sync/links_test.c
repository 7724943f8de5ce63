/*
 * Links, with real sockets: a service of sync/links and mounts in one loop, servers in processes of
 * their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/log.h"
#include "proto/frame.h"
#include "sync/links/handshake.h"
#include "sync/links/links.h"
#include "sync/links/remotes.h"
#include "sync/net/unix_frames.h"
#include "sync/state/statefile.h"
#include "tests/support/link_server.h"

enum { WAIT_MS = 30000, MOUNTS = 4, LINKS = 8, MIB = 1 << 20, FRAMES_100_MIB = 200 };

/* What a mount knows of one of its links. */
struct seen {
    uint32_t id;
    uint64_t generation, retry_ms;
    Persist__LinkState state;
    char url[128], error[256];
    size_t member_n;
    uint32_t interval_s;
    unsigned told; /* how often */
};

/* A mount, or a command. */
struct mount {
    struct unix_conn *conn; /* NULL: closed, with */
    int error;
    struct seen links[LINKS];
    size_t links_n;
    unsigned frames, wrong; /* Data that came; not in order */
    uint64_t late;          /* Data of a link that was not up, or of another generation */
    unsigned sent, want;    /* numbered frames that went out, of so many, on */
    size_t link;
    bool slow;       /* pauses after each frame */
    struct buf last; /* of the last Data */
    Persist__LinkState state_at_last;
    Persist__Local *reply;
};

static struct fixture {
    char top[64];
    int dir_fd, listen_fd;
    struct member_keys identity;
    struct net_loop *loop;
    struct net_timer *tick;
    struct links *links;
    bool stopped;
    struct link_server a, b;
    struct mount mounts[MOUNTS];
    size_t heap_max;
} f;

static uint8_t frame_bytes_buf[LINK_SERVER_FRAME];

/* ---- the loop ---- */

static bool (*until_done)(void);
static uint64_t until_ms;

static void on_tick(void *arg)
{
    (void)arg;
    struct mallinfo2 m = mallinfo2();
    size_t heap = m.uordblks + m.hblkhd;
    f.heap_max = heap > f.heap_max ? heap : f.heap_max;
    if (until_done() || net_now_ms() > until_ms)
        net_loop_stop(f.loop);
    else
        net_timer_set(f.tick, 1);
}

static bool run_for(bool (*done)(void), unsigned ms)
{
    until_done = done;
    until_ms = net_now_ms() + ms;
    net_timer_set(f.tick, 0);
    assert_int_equal(net_loop_run(f.loop), 0);
    return done();
}

#define run_until(done)                                                                            \
    do {                                                                                           \
        if (!run_for(done, WAIT_MS))                                                               \
            fail_msg("%s:%d: %s did not happen", __FILE__, __LINE__, #done);                       \
    } while (0)

static bool never(void)
{
    return false;
}

static void run_ms(unsigned ms)
{
    (void)run_for(never, ms);
}

/* ---- mounts ---- */

static void send_local(struct mount *m, Persist__Local *local)
{
    struct buf b = {0};
    assert_int_equal(frame_local_encode(local, &b), 0);
    assert_int_equal(unix_send(m->conn, buf_bytes(&b)), 0);
    buf_fini(&b);
}

static int send_data(struct mount *m, uint32_t link, uint64_t generation, struct bytes v)
{
    struct buf b = {0};
    Persist__Data data = PERSIST__DATA__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    data.link = link;
    data.generation = generation;
    data.frame = frame_data(v);
    local.kind_case = PERSIST__LOCAL__KIND_DATA;
    local.data = &data;
    assert_int_equal(frame_local_encode(&local, &b), 0);
    int rc = unix_send(m->conn, buf_bytes(&b));
    buf_fini(&b);
    return rc;
}

static void push(struct mount *m)
{
    const struct seen *s = &m->links[m->link];
    while (m->sent < m->want && m->conn != NULL) {
        link_server_fill(frame_bytes_buf, m->sent);
        if (send_data(m, s->id, s->generation, bytes_of(frame_bytes_buf, LINK_SERVER_FRAME)) < 0)
            return;
        m->sent++;
    }
}

static struct seen *seen_of(struct mount *m, uint32_t id)
{
    for (size_t i = 0; i < m->links_n; i++)
        if (m->links[i].id == id)
            return &m->links[i];
    assert_true(m->links_n < LINKS);
    m->links[m->links_n].id = id;
    return &m->links[m->links_n++];
}

static void on_link(struct mount *m, const Persist__Link *l)
{
    struct seen *s = seen_of(m, l->id);
    assert_true(l->generation >= s->generation);
    s->generation = l->generation;
    s->retry_ms = l->retry_ms;
    s->state = l->state;
    s->member_n = l->member.len;
    s->interval_s = l->interval_s;
    s->told++;
    snprintf(s->url, sizeof s->url, "%s", l->url);
    snprintf(s->error, sizeof s->error, "%s", l->error);
}

static void on_data(struct mount *m, const Persist__Data *d)
{
    const struct seen *s = seen_of(m, d->link);
    int64_t number = link_server_number(d->frame.data, d->frame.len);
    if (number >= 0 && number != m->frames)
        m->wrong++;
    if (d->generation != s->generation || s->state != PERSIST__LINK_STATE__LINK_UP)
        m->late++;
    m->frames++;
    m->state_at_last = s->state;
    buf_reset(&m->last);
    if (number < 0)
        buf_put_bytes(&m->last, frame_bytes(d->frame));
    if (m->slow)
        unix_pause(m->conn);
}

static void on_frame(struct unix_conn *c, struct bytes v, void *user)
{
    (void)c;
    struct mount *m = user;
    Persist__Local *local;
    assert_int_equal(frame_local_decode(v, &local), 0);
    if (local->kind_case == PERSIST__LOCAL__KIND_LINK) {
        on_link(m, local->link);
    } else if (local->kind_case == PERSIST__LOCAL__KIND_DATA) {
        on_data(m, local->data);
    } else {
        assert_int_equal(local->kind_case, PERSIST__LOCAL__KIND_REPLY);
        assert_null(m->reply);
        m->reply = local;
        return;
    }
    frame_local_free(local);
}

static void on_writable(struct unix_conn *c, void *user)
{
    (void)c;
    push(user);
}

static void on_closed(struct unix_conn *c, int error, void *user)
{
    (void)c;
    struct mount *m = user;
    m->conn = NULL;
    m->error = error;
    buf_fini(&m->last);
}

static const struct unix_events mount_events = {on_frame, on_writable, on_closed};

static int connect_socket(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/sock", f.top);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static struct mount *mount_open(size_t i)
{
    struct mount *m = &f.mounts[i];
    assert_null(m->conn);
    frame_local_free(m->reply);
    *m = (struct mount){0};
    assert_int_equal(unix_adopt(f.loop, connect_socket(), &mount_events, m, &m->conn), 0);
    return m;
}

static void space_of(char c, uint8_t ret[SPACE_ID_SIZE])
{
    memset(ret, c, SPACE_ID_SIZE);
}

static struct mount *attach(size_t i, char space)
{
    struct mount *m = mount_open(i);
    uint8_t id[SPACE_ID_SIZE];
    space_of(space, id);
    Persist__Attach attach = PERSIST__ATTACH__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    attach.space = frame_data(bytes_of(id, sizeof id));
    local.kind_case = PERSIST__LOCAL__KIND_ATTACH;
    local.attach = &attach;
    send_local(m, &local);
    return m;
}

static void retry(struct mount *m, uint64_t after_ms)
{
    char why[] = "the session failed";
    Persist__Retry r;
    persist__retry__init(&r);
    Persist__Local local = PERSIST__LOCAL__INIT;
    r.link = m->links[0].id;
    r.generation = m->links[0].generation;
    r.after_ms = after_ms;
    r.why = why;
    local.kind_case = PERSIST__LOCAL__KIND_RETRY;
    local.retry = &r;
    send_local(m, &local);
}

/* ---- requests ---- */

static bool has_reply(void)
{
    return f.mounts[MOUNTS - 1].reply != NULL || f.mounts[MOUNTS - 1].conn == NULL;
}

static bool is_hung_up(void)
{
    return f.mounts[MOUNTS - 1].conn == NULL;
}

/* Asks as a command does; the reply is good until the next one. */
static const Persist__Reply *ask(Persist__Local *local)
{
    struct mount *m = mount_open(MOUNTS - 1);
    send_local(m, local);
    run_until(has_reply);
    assert_non_null(m->reply);
    run_until(is_hung_up);
    return m->reply->reply;
}

static const Persist__Reply *ask_add(char space, const char *url, const char *token,
                                     uint32_t interval_s)
{
    uint8_t id[SPACE_ID_SIZE];
    char url_copy[200], token_copy[64];
    space_of(space, id);
    snprintf(url_copy, sizeof url_copy, "%s", url);
    snprintf(token_copy, sizeof token_copy, "%s", token);
    Persist__Remote remote;
    persist__remote__init(&remote);
    Persist__RemoteAdd add = PERSIST__REMOTE_ADD__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    remote.url = url_copy;
    remote.token = token_copy;
    remote.space = frame_data(bytes_of(id, sizeof id));
    remote.interval_s = interval_s;
    add.remote = &remote;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_ADD;
    local.remote_add = &add;
    return ask(&local);
}

static const Persist__Reply *ask_spaces(const char *url, const char *token)
{
    char url_copy[200], token_copy[64];
    snprintf(url_copy, sizeof url_copy, "%s", url);
    snprintf(token_copy, sizeof token_copy, "%s", token);
    Persist__Remote remote;
    persist__remote__init(&remote);
    Persist__RemoteSpaces spaces = PERSIST__REMOTE_SPACES__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    remote.url = url_copy;
    remote.token = token_copy;
    spaces.remote = &remote;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_SPACES;
    local.remote_spaces = &spaces;
    return ask(&local);
}

static const Persist__Reply *ask_remove(char space, const char *url)
{
    uint8_t id[SPACE_ID_SIZE];
    char url_copy[200];
    space_of(space, id);
    snprintf(url_copy, sizeof url_copy, "%s", url);
    Persist__RemoteRemove r;
    persist__remote_remove__init(&r);
    Persist__Local local = PERSIST__LOCAL__INIT;
    r.space = frame_data(bytes_of(id, sizeof id));
    r.url = url_copy;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_REMOVE;
    local.remote_remove = &r;
    return ask(&local);
}

static const Persist__Reply *ask_list(void)
{
    Persist__RemoteList r = PERSIST__REMOTE_LIST__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_LIST;
    local.remote_list = &r;
    return ask(&local);
}

static void add(char space, const struct link_server *s)
{
    const Persist__Reply *r = ask_add(space, s->url, "good-token", 0);
    if (r->status != 0)
        fail_msg("%s", r->error);
}

/* ---- fixture ---- */

static void on_stopped(void *arg)
{
    (void)arg;
    f.stopped = true;
}

static void start_links(void)
{
    struct err err = {0};
    struct links_config cfg = {.listen_fd = f.listen_fd,
                               .dir_fd = f.dir_fd,
                               .identity = &f.identity,
                               .stopped = on_stopped};
    f.stopped = false;
    if (links_new(f.loop, &cfg, &f.links, &err) < 0)
        fail_msg("%s", err.msg);
}

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memset(&f, 0, sizeof f);
    log_set_level(LOG_LEVEL_NONE);
    assert_true(sodium_init() >= 0);
    link_server_start(&f.a);
    snprintf(f.top, sizeof f.top, "/tmp/persist-links-XXXXXX");
    assert_non_null(mkdtemp(f.top));
    f.dir_fd = open(f.top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f.dir_fd >= 0);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/sock", f.top);
    f.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f.listen_fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(f.listen_fd, 16), 0);
    crypto_sign_keypair(f.identity.sign_public, f.identity.sign_secret);
    assert_int_equal(net_loop_new(1024, &f.loop, NULL), 0);
    assert_int_equal(net_timer_new(f.loop, on_tick, NULL, &f.tick), 0);
    start_links();
    return 0;
}

static bool is_all_closed(void)
{
    for (size_t i = 0; i < MOUNTS; i++)
        if (f.mounts[i].conn != NULL)
            return false;
    return true;
}

static int tear_down(void **state)
{
    (void)state;
    links_free(f.links);
    for (size_t i = 0; i < MOUNTS; i++) {
        if (f.mounts[i].conn != NULL) {
            unix_resume(f.mounts[i].conn);
            unix_close(f.mounts[i].conn);
        }
        frame_local_free(f.mounts[i].reply);
    }
    (void)run_for(is_all_closed, 1000);
    net_timer_free(f.tick);
    net_loop_free(f.loop);
    close(f.listen_fd);
    close(f.dir_fd);
    (void)!statefile_remove_tree(AT_FDCWD, f.top, NULL);
    link_server_free(&f.a);
    link_server_free(&f.b);
    return 0;
}

/* ---- conditions, of the first mount ---- */

static struct seen *link0(void)
{
    return &f.mounts[0].links[0];
}

static bool is_up(void)
{
    return f.mounts[0].links_n > 0 && link0()->state == PERSIST__LINK_STATE__LINK_UP;
}

static bool is_down(void)
{
    return f.mounts[0].links_n > 0 && link0()->state == PERSIST__LINK_STATE__LINK_DOWN;
}

static bool is_refused(void)
{
    return f.mounts[0].links_n > 0 && link0()->state == PERSIST__LINK_STATE__LINK_REFUSED;
}

static bool is_removed(void)
{
    return f.mounts[0].links_n > 0 && link0()->state == PERSIST__LINK_STATE__LINK_REMOVED;
}

static bool is_closed(void)
{
    return f.mounts[0].conn == NULL;
}

static bool has_all_frames(void)
{
    return f.mounts[0].frames == FRAMES_100_MIB;
}

static bool server_has_all(void)
{
    return atomic_load(&f.a.control->frames) == FRAMES_100_MIB;
}

static bool server_has_one(void)
{
    return atomic_load(&f.a.control->frames) == 1;
}

static bool has_one_frame(void)
{
    return f.mounts[0].frames == 1;
}

static bool is_stopped(void)
{
    return f.stopped;
}

static struct mount *attach_up(void)
{
    add('a', &f.a);
    struct mount *m = attach(0, 'a');
    run_until(is_up);
    return m;
}

/* ---- tests: links ---- */

static void a_link_comes_up_when_its_mount_attaches(void **state)
{
    (void)state;
    add('a', &f.a);
    run_ms(100);
    assert_int_equal(atomic_load(&f.a.control->open), 0); /* nothing is attached */
    struct mount *m = attach(0, 'a');
    run_until(is_up);
    assert_int_equal(m->links_n, 1);
    assert_string_equal(link0()->url, f.a.url);
    assert_string_equal(link0()->error, "");
    assert_int_equal(link0()->member_n, LINK_SERVER_MEMBER);
    assert_true(link0()->generation > 0);
    assert_true(link0()->told >= 2); /* connecting before */
    assert_int_equal(atomic_load(&f.a.control->wrong), 0);
    assert_memory_equal(f.a.control->identity, f.identity.sign_public, SIGN_KEY_SIZE);
    unix_close(m->conn);
    run_until(is_closed);
    run_ms(200);
    assert_int_equal(atomic_load(&f.a.control->open), 0);
}

static void frames_go_both_ways_in_bounded_memory(void **state)
{
    (void)state;
    atomic_store(&f.a.control->echo, 1);
    struct mount *m = attach_up();
    f.heap_max = 0;
    m->want = FRAMES_100_MIB;
    push(m);
    run_until(has_all_frames);
    assert_int_equal(atomic_load(&f.a.control->frames), FRAMES_100_MIB);
    assert_int_equal(m->wrong, 0);
    assert_int_equal(m->late, 0);
    assert_int_equal(atomic_load(&f.a.control->wrong), 0);
    print_message("heap at most %zu KiB\n", f.heap_max / 1024);
    assert_true(f.heap_max < 16 * MIB);
}

static void a_slow_server_slows_the_mount_down(void **state)
{
    (void)state;
    atomic_store(&f.a.control->slow_ms, 10);
    struct mount *m = attach_up();
    f.heap_max = 0;
    m->want = FRAMES_100_MIB;
    push(m);
    run_ms(300);
    /* What the queues and sockets of the way hold is all that is ahead of the server. */
    assert_true(m->sent < atomic_load(&f.a.control->frames) + 40);
    run_until(server_has_all);
    assert_int_equal(atomic_load(&f.a.control->wrong), 0);
    assert_true(f.heap_max < 16 * MIB);
}

static void a_slow_mount_slows_the_server_down(void **state)
{
    (void)state;
    add('a', &f.a);
    struct mount *m = attach(0, 'a');
    m->slow = true;
    f.heap_max = 0;
    run_until(is_up);
    atomic_store(&f.a.control->pour, FRAMES_100_MIB);
    assert_int_equal(send_data(m, link0()->id, link0()->generation, bytes_str("go")), 0);
    run_until(has_one_frame);
    run_ms(300);
    assert_true(atomic_load(&f.a.control->poured) < 40);
    for (int i = 0; i < 20; i++) {
        unix_resume(m->conn);
        run_ms(5);
    }
    m->slow = false;
    unix_resume(m->conn);
    run_until(has_all_frames);
    assert_int_equal(m->wrong, 0);
    assert_true(f.heap_max < 16 * MIB);
}

static void what_the_server_said_last_comes_before_the_link_is_down(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct mount *m = slow == 0 ? attach_up() : &f.mounts[0];
        m->frames = 0;
        if (slow == 1)
            unix_pause(m->conn);
        atomic_store(&f.a.control->close_code, PERSIST__CODE__CODE_INTERNAL);
        if (slow == 1) {
            run_ms(300);
            unix_resume(m->conn);
        }
        run_until(has_one_frame);
        run_until(is_down);
        Persist__Frame *end;
        assert_int_equal(m->state_at_last, PERSIST__LINK_STATE__LINK_UP);
        assert_int_equal(frame_decode(buf_bytes(&m->last), &end), 0);
        assert_int_equal(end->kind_case, PERSIST__FRAME__KIND_END);
        assert_int_equal(end->end->code, PERSIST__CODE__CODE_INTERNAL);
        frame_free(end);
        assert_string_equal(link0()->error, "as the test wants it");
        run_until(is_up);
    }
}

static void what_came_comes_before_the_link_is_down(void **state)
{
    (void)state;
    for (int ends_itself = 0; ends_itself < 2; ends_itself++) {
        struct mount *m = ends_itself == 0 ? attach_up() : attach(0, 'a');
        run_until(is_up);
        atomic_store(&f.a.control->pour, FRAMES_100_MIB);
        assert_int_equal(send_data(m, link0()->id, link0()->generation, bytes_str("go")), 0);
        run_until(has_one_frame);
        unix_pause(m->conn);
        run_ms(300); /* all queues are full: the link holds a frame */
        unsigned before = m->frames;
        if (ends_itself == 0)
            retry(m, 60000);
        else
            link_server_kill(&f.a);
        run_ms(300);
        unix_resume(m->conn);
        run_until(is_down);
        run_ms(200);
        assert_true(m->frames > before);
        assert_int_equal(m->wrong, 0);
        assert_int_equal(m->late, 0);
        unix_close(m->conn);
        run_until(is_closed);
    }
}

static void a_lost_connection_is_made_again(void **state)
{
    (void)state;
    struct mount *m = attach_up();
    uint64_t first = link0()->generation;
    atomic_store(&f.a.control->close_code, PERSIST__CODE__CODE_STOPPING);
    run_until(is_down);
    assert_in_range(link0()->retry_ms, 900, 2000);
    uint64_t began = net_now_ms();
    run_until(is_up);
    assert_in_range(net_now_ms() - began, 800, 4000);
    assert_true(link0()->generation > first);
    /* What was meant for the old connection is not sent on the new one. */
    atomic_store(&f.a.control->frames, 0);
    assert_int_equal(send_data(m, link0()->id, first, bytes_str("late")), 0);
    run_ms(200);
    assert_int_equal(atomic_load(&f.a.control->frames), 0);
    assert_int_equal(send_data(m, link0()->id, link0()->generation, bytes_str("new")), 0);
    run_until(server_has_one);
    assert_non_null(m->conn);
}

static void waits_grow(void **state)
{
    (void)state;
    attach_up();
    link_server_kill(&f.a);
    run_until(is_down);
    assert_in_range(link0()->retry_ms, 900, 2000);
    unsigned told = link0()->told;
    while (link0()->told < told + 2) /* connecting, down */
        run_ms(50);
    run_until(is_down);
    assert_in_range(link0()->retry_ms, 1900, 4000);
}

static void a_server_that_is_back_is_found(void **state)
{
    (void)state;
    attach_up();
    link_server_kill(&f.a);
    run_until(is_down);
    link_server_start(&f.a);
    run_until(is_up);
}

static bool is_open_at_server(void)
{
    return atomic_load(&f.a.control->opened) >= 2;
}

static void a_server_that_does_not_greet_is_left(void **state)
{
    (void)state;
    add('a', &f.a);
    atomic_store(&f.a.control->mute, 1);
    attach(0, 'a');
    run_until(is_open_at_server);
    run_until(is_down);
    assert_string_equal(link0()->error, "the server did not greet in time");
}

static void a_retry_waits_as_long_as_was_asked(void **state)
{
    (void)state;
    struct mount *m = attach_up();
    uint64_t began = net_now_ms(), first = link0()->generation;
    retry(m, 400);
    run_until(is_down);
    assert_string_equal(link0()->error, "the session failed");
    assert_in_range(link0()->retry_ms, 300, 400);
    run_until(is_up);
    assert_in_range(net_now_ms() - began, 400, 900);
    /* One of an older generation is of no consequence. */
    link0()->generation = first;
    unsigned told = link0()->told;
    retry(m, 0);
    run_ms(200);
    assert_int_equal(link0()->told, told);
    assert_int_equal(link0()->state, PERSIST__LINK_STATE__LINK_UP);
}

static void a_revoked_token_is_not_tried_again(void **state)
{
    (void)state;
    static const unsigned codes[] = {PERSIST__CODE__CODE_TOKEN, PERSIST__CODE__CODE_PROOF,
                                     PERSIST__CODE__CODE_VERSION};
    attach_up();
    for (size_t i = 0; i < ARRAY_N(codes); i++) {
        atomic_store(&f.a.control->close_code, codes[i]);
        run_until(is_refused);
        assert_in_range(link0()->retry_ms, 59000, 60000);
        unsigned opened = atomic_load(&f.a.control->opened);
        run_ms(2500);
        assert_int_equal(atomic_load(&f.a.control->opened), opened);
        add('a', &f.a); /* adding it again is a new try */
        run_until(is_up);
    }
}

static void a_server_of_other_versions_is_refused(void **state)
{
    (void)state;
    add('a', &f.a);
    atomic_store(&f.a.control->version, 2);
    attach(0, 'a');
    run_until(is_refused);
    assert_string_equal(link0()->error, "the server speaks other versions of the protocol");
}

/* ---- tests: remotes ---- */

static void two_spaces_have_two_remotes_each(void **state)
{
    (void)state;
    link_server_start(&f.b);
    for (char c = 'a'; c <= 'b'; c++) {
        add(c, &f.a);
        add(c, &f.b);
    }
    attach(0, 'a');
    attach(1, 'b');
    for (size_t i = 0; i < 2; i++) {
        uint64_t by = net_now_ms() + WAIT_MS;
        struct mount *m = &f.mounts[i];
        while (m->links_n < 2 || m->links[0].state != PERSIST__LINK_STATE__LINK_UP ||
               m->links[1].state != PERSIST__LINK_STATE__LINK_UP) {
            assert_true(net_now_ms() < by);
            run_ms(10);
        }
        assert_string_not_equal(m->links[0].url, m->links[1].url);
    }
    assert_int_equal(atomic_load(&f.a.control->open), 2);
    assert_int_equal(atomic_load(&f.b.control->open), 2);
    /* One server that is gone concerns nobody else. */
    link_server_kill(&f.b);
    run_ms(300);
    assert_int_equal(atomic_load(&f.a.control->open), 2);
    const Persist__Reply *r = ask_list();
    assert_int_equal(r->n_links, 4);
    size_t up = 0;
    for (size_t i = 0; i < r->n_links; i++)
        up += r->links[i]->state == PERSIST__LINK_STATE__LINK_UP;
    assert_int_equal(up, 2);
}

static void a_remote_that_is_added_and_removed_reaches_the_mount(void **state)
{
    (void)state;
    attach(0, 'a');
    run_ms(50);
    assert_int_equal(f.mounts[0].links_n, 0);
    const Persist__Reply *r = ask_add('a', f.a.url, "good-token", 30);
    assert_int_equal(r->status, 0);
    assert_int_equal(r->member.len, LINK_SERVER_MEMBER);
    run_until(is_up);
    assert_int_equal(link0()->interval_s, 30);
    r = ask_add('a', f.a.url, "good-other", 7);
    assert_int_equal(r->status, 0);
    run_until(is_up);
    run_ms(200);
    assert_int_equal(link0()->interval_s, 7);
    assert_int_equal(f.mounts[0].links_n, 1);
    assert_int_equal(ask_remove('a', "ws://127.0.0.1:1")->status, 3);
    assert_int_equal(ask_remove('b', f.a.url)->status, 3);
    assert_int_equal(ask_remove('a', f.a.url)->status, 0);
    run_until(is_removed);
    assert_int_equal(ask_list()->n_links, 0);
    assert_int_equal(ask_remove('a', f.a.url)->status, 3);
    run_ms(200);
    assert_int_equal(atomic_load(&f.a.control->open), 0);
}

static void only_a_welcomed_remote_is_stored(void **state)
{
    (void)state;
    const Persist__Reply *r = ask_add('a', f.a.url, "bad-token", 0);
    assert_int_equal(r->status, 4);
    assert_non_null(strstr(r->error, "refuses the token"));
    assert_null(strstr(r->error, "bad-token"));
    atomic_store(&f.a.control->end_code, PERSIST__CODE__CODE_TOKEN);
    assert_int_equal(ask_add('a', f.a.url, "good-token", 0)->status, 4);
    atomic_store(&f.a.control->end_code, PERSIST__CODE__CODE_INTERNAL);
    assert_int_equal(ask_add('a', f.a.url, "good-token", 0)->status, 5);
    assert_int_equal(ask_add('a', "ws://127.0.0.1:1", "good-token", 0)->status, 5);
    assert_int_equal(ask_add('a', "ws://server.example.org", "good-token", 0)->status, 4);
    assert_int_equal(ask_add('a', "http://localhost", "good-token", 0)->status, 2);
    assert_int_equal(ask_add('a', f.a.url, "", 0)->status, 2);
    assert_int_equal(ask_add('a', f.a.url, "good-token", 8 * 24 * 3600)->status, 2);
    assert_int_equal(ask_list()->n_links, 0);
    assert_int_equal(faccessat(f.dir_fd, "remotes", F_OK, 0), -1);
    assert_int_equal(faccessat(f.dir_fd, "tokens", F_OK, 0), -1);
}

static void a_command_learns_what_a_server_has(void **state)
{
    (void)state;
    const Persist__Reply *r = ask_spaces(f.a.url, "good-token");
    assert_int_equal(r->status, 0);
    Persist__Spaces *s = persist__spaces__unpack(NULL, r->spaces.len, r->spaces.data);
    assert_non_null(s);
    assert_int_equal(s->n_spaces, 1);
    assert_memory_equal(s->spaces[0]->id.data, "a space of 16 by", 16);
    persist__spaces__free_unpacked(s, NULL);
    assert_int_equal(ask_spaces(f.a.url, "bad-token")->status, 4);
    assert_int_equal(ask_list()->n_links, 0);
}

static void one_spelling_of_a_url_is_one_remote(void **state)
{
    (void)state;
    char url[128];
    add('a', &f.a);
    snprintf(url, sizeof url, "WS://127.0.0.1:%u/v1/sync", atomic_load(&f.a.control->port));
    assert_int_equal(ask_add('a', url, "good-token", 0)->status, 0);
    assert_int_equal(ask_list()->n_links, 1);
    assert_int_equal(ask_remove('a', url)->status, 0);
}

static void restart_links(void)
{
    links_free(f.links);
    f.links = NULL;
    start_links();
}

static void remotes_are_there_after_a_restart(void **state)
{
    (void)state;
    link_server_start(&f.b);
    assert_int_equal(ask_add('a', f.a.url, "good-token", 5)->status, 0);
    add('b', &f.b);
    add('c', &f.a);
    assert_int_equal(ask_remove('b', f.b.url)->status, 0);
    restart_links();
    const Persist__Reply *r = ask_list();
    assert_int_equal(r->n_links, 2);
    assert_string_equal(r->links[0]->url, f.a.url);
    assert_int_equal(r->links[0]->interval_s, 5);
    assert_int_equal(r->link_spaces[0].data[0], 'a');
    assert_int_equal(r->link_spaces[1].data[0], 'c');
    attach(0, 'a');
    run_until(is_up); /* with the stored token */
}

static size_t slurp(const char *name, uint8_t *to, size_t size)
{
    int fd = openat(f.dir_fd, name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, to, size);
    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static void files_are_looked_at_before_they_are_believed(void **state)
{
    (void)state;
    static const char *const names[] = {"remotes", "tokens"};
    uint8_t bytes[4096];
    struct stat st;
    struct remotes *r;
    add('a', &f.a);
    size_t n = slurp("remotes", bytes, sizeof bytes);
    assert_null(memmem(bytes, n, "good-token", 10));
    n = slurp("tokens", bytes, sizeof bytes);
    assert_non_null(memmem(bytes, n, "good-token", 10));
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        assert_int_equal(fstatat(f.dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(fchmodat(f.dir_fd, names[i], 0640, 0), 0);
        assert_int_equal(remotes_open(f.dir_fd, &r, NULL), -EPERM);
        assert_int_equal(fchmodat(f.dir_fd, names[i], 0600, 0), 0);
        if (geteuid() == 0) {
            assert_int_equal(fchownat(f.dir_fd, names[i], 65534, 65534, 0), 0);
            assert_int_equal(remotes_open(f.dir_fd, &r, NULL), -EPERM);
            assert_int_equal(fchownat(f.dir_fd, names[i], 0, 0, 0), 0);
        }
        /* Each byte that is another is noticed. */
        n = slurp(names[i], bytes, sizeof bytes);
        for (size_t k = 0; k <= n; k++) {
            size_t k_or_last = k < n ? k : n - 1;
            bytes[k_or_last] ^= 0x40;
            size_t written = k < n ? n : n - 1; /* and one that is missing */
            assert_int_equal(
                statefile_write(f.dir_fd, names[i], bytes_of(bytes, written), false, NULL), 0);
            assert_int_equal(remotes_open(f.dir_fd, &r, NULL), -EUCLEAN);
            bytes[k_or_last] ^= 0x40;
        }
        assert_int_equal(statefile_write(f.dir_fd, names[i], bytes_of(bytes, n), false, NULL), 0);
    }
    assert_int_equal(remotes_open(f.dir_fd, &r, NULL), 0);
    assert_int_equal(remotes_n(r), 1);
    assert_string_equal(remotes_at(r, 0)->token, "good-token");
    remotes_free(r);
}

static void a_remote_without_a_token_is_refused(void **state)
{
    (void)state;
    add('a', &f.a);
    assert_int_equal(unlinkat(f.dir_fd, "tokens", 0), 0);
    restart_links();
    attach(0, 'a');
    run_until(is_refused);
    assert_non_null(strstr(link0()->error, "no token"));
}

/* ---- tests: who is connected ---- */

static void send_raw(struct mount *m, const char *bytes)
{
    assert_int_equal(unix_send(m->conn, bytes_str(bytes)), 0);
}

static void a_mount_that_breaks_the_rules_is_let_go(void **state)
{
    (void)state;
    attach_up();
    attach(1, 'b');
    run_ms(50);
    for (int i = 0; i < 6; i++) {
        struct mount *m = &f.mounts[0];
        if (m->conn == NULL) {
            attach(0, 'a');
            run_until(is_up);
        }
        Persist__Local local = PERSIST__LOCAL__INIT;
        Persist__RemoteList list = PERSIST__REMOTE_LIST__INIT;
        Persist__Reply reply;
        persist__reply__init(&reply);
        switch (i) {
        case 0:
            send_raw(m, "\xff\xff no frame");
            break;
        case 1: /* no kind */
            send_raw(m, "");
            break;
        case 2:
            assert_int_equal(send_data(m, 1000, 1, bytes_str("to nobody")), 0);
            break;
        case 3:
            assert_int_equal(send_data(m, link0()->id, link0()->generation + 1, bytes_str("x")), 0);
            break;
        case 4:
            local.kind_case = PERSIST__LOCAL__KIND_REPLY;
            local.reply = &reply;
            send_local(m, &local);
            break;
        default: /* a command's, of a mount */
            local.kind_case = PERSIST__LOCAL__KIND_REMOTE_LIST;
            local.remote_list = &list;
            send_local(m, &local);
            break;
        }
        run_until(is_closed);
    }
    assert_non_null(f.mounts[1].conn);
    assert_int_equal(ask_list()->status, 0);
}

static void the_newest_mount_of_a_space_counts(void **state)
{
    (void)state;
    attach_up();
    attach(1, 'a');
    run_until(is_closed);
    uint64_t by = net_now_ms() + WAIT_MS;
    while (f.mounts[1].links_n == 0 || f.mounts[1].links[0].state != PERSIST__LINK_STATE__LINK_UP) {
        assert_true(net_now_ms() < by);
        run_ms(10);
    }
    run_ms(200);
    assert_int_equal(atomic_load(&f.a.control->open), 1);
}

static void a_command_that_goes_away_leaves_nothing(void **state)
{
    (void)state;
    uint8_t id[SPACE_ID_SIZE];
    char token[] = "good-token";
    atomic_store(&f.a.control->mute, 1);
    space_of('a', id);
    Persist__Remote remote;
    persist__remote__init(&remote);
    Persist__RemoteAdd request = PERSIST__REMOTE_ADD__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    remote.url = f.a.url;
    remote.token = token;
    remote.space = frame_data(bytes_of(id, sizeof id));
    request.remote = &remote;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_ADD;
    local.remote_add = &request;
    struct mount *m = mount_open(0);
    send_local(m, &local);
    run_ms(200);
    assert_int_equal(atomic_load(&f.a.control->open), 1);
    unix_close(m->conn);
    run_until(is_closed);
    run_ms(200);
    assert_int_equal(atomic_load(&f.a.control->open), 0);
    assert_int_equal(ask_list()->n_links, 0);
}

static void another_user_is_not_served(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char path[80];
    snprintf(path, sizeof path, "%s/sock", f.top);
    assert_int_equal(chmod(f.top, 0711), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(2);
        int fd = connect_socket();
        _exit(read(fd, &byte, 1) == 0 ? 0 : 1);
    }
    int status = -1;
    for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        run_ms(5);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_stop_closes_what_is_open(void **state)
{
    (void)state;
    attach_up();
    Persist__Stop stop = PERSIST__STOP__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    local.kind_case = PERSIST__LOCAL__KIND_STOP;
    local.stop = &stop;
    assert_int_equal(ask(&local)->status, 0);
    run_until(is_stopped);
    run_until(is_closed);
    for (int i = 0; i < 100 && atomic_load(&f.a.control->open) > 0; i++)
        run_ms(10);
    assert_int_equal(atomic_load(&f.a.control->open), 0);
}

/* ---- tests: the network ---- */

static bool set_loopback_up(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
    close(fd);
    return good;
}

/* In a child with a network of its own, which is down at first: its exit status, 77 to skip. */
static int live_in_own_network(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        return 77;
    set_up(NULL);
    /* Stored without a network: as if it had been added before. */
    struct remotes *r;
    struct remote remote = {.token = "good-token"};
    struct err err = {0};
    space_of('a', remote.space);
    snprintf(remote.url, sizeof remote.url, "%s", f.a.url);
    assert_int_equal(remotes_open(f.dir_fd, &r, &err), 0);
    assert_int_equal(remotes_put(r, &remote, &err), 0);
    remotes_free(r);
    restart_links();
    attach(0, 'a');
    run_until(is_down);
    /* The second wait is 2 s at least, the third 4 s. */
    while (link0()->retry_ms < 1900)
        run_ms(20);
    uint64_t began = net_now_ms();
    assert_true(set_loopback_up());
    run_until(is_up);
    int status = net_now_ms() - began < 1500 ? 0 : 1;
    tear_down(NULL);
    return status;
}

static void a_network_that_returns_is_used_at_once(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(live_in_own_network());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- tests: the handshake alone ---- */

static void the_handshake_takes_nothing_out_of_order(void **state)
{
    (void)state;
    struct member_keys keys = {0};
    struct handshake h;
    struct buf answer = {0}, b = {0};
    assert_true(sodium_init() >= 0);
    crypto_sign_keypair(keys.sign_public, keys.sign_secret);
    Persist__Welcome w = PERSIST__WELCOME__INIT;
    Persist__Frame frame = PERSIST__FRAME__INIT;
    frame.kind_case = PERSIST__FRAME__KIND_WELCOME;
    frame.welcome = &w;
    assert_int_equal(frame_encode(&frame, &b), 0);
    handshake_init(&h, &keys, bytes_str("token"));
    assert_int_equal(handshake_step(&h, buf_bytes(&b), &answer), -EPROTO); /* before a Challenge */
    assert_int_equal(h.code, PERSIST__CODE__CODE_PROTOCOL);
    Persist__Frame *said;
    assert_int_equal(frame_decode(buf_bytes(&answer), &said), 0);
    assert_int_equal(said->kind_case, PERSIST__FRAME__KIND_END);
    frame_free(said);
    buf_reset(&answer);
    handshake_init(&h, &keys, bytes_str("token"));
    assert_int_equal(handshake_step(&h, bytes_str("\xff"), &answer), -EPROTO);
    /* A text of the server is escaped. */
    char text[] = "stop\n\x1b[2J";
    Persist__End e;
    persist__end__init(&e);
    e.code = PERSIST__CODE__CODE_TOKEN;
    e.text = text;
    frame.kind_case = PERSIST__FRAME__KIND_END;
    frame.end = &e;
    buf_reset(&b);
    buf_reset(&answer);
    assert_int_equal(frame_encode(&frame, &b), 0);
    handshake_init(&h, &keys, bytes_str("token"));
    assert_int_equal(handshake_step(&h, buf_bytes(&b), &answer), -ECONNREFUSED);
    assert_int_equal(h.code, PERSIST__CODE__CODE_TOKEN);
    assert_string_equal(h.text, "stop\\n\\x1b[2J");
    assert_int_equal(answer.n, 0);
    buf_fini(&answer);
    buf_fini(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handshake_takes_nothing_out_of_order),
        cmocka_unit_test(a_network_that_returns_is_used_at_once),
        TEST(a_link_comes_up_when_its_mount_attaches),
        TEST(frames_go_both_ways_in_bounded_memory),
        TEST(a_slow_server_slows_the_mount_down),
        TEST(a_slow_mount_slows_the_server_down),
        TEST(what_the_server_said_last_comes_before_the_link_is_down),
        TEST(what_came_comes_before_the_link_is_down),
        TEST(a_lost_connection_is_made_again),
        TEST(waits_grow),
        TEST(a_server_that_is_back_is_found),
        TEST(a_server_that_does_not_greet_is_left),
        TEST(a_retry_waits_as_long_as_was_asked),
        TEST(a_revoked_token_is_not_tried_again),
        TEST(a_server_of_other_versions_is_refused),
        TEST(two_spaces_have_two_remotes_each),
        TEST(a_remote_that_is_added_and_removed_reaches_the_mount),
        TEST(only_a_welcomed_remote_is_stored),
        TEST(a_command_learns_what_a_server_has),
        TEST(one_spelling_of_a_url_is_one_remote),
        TEST(remotes_are_there_after_a_restart),
        TEST(files_are_looked_at_before_they_are_believed),
        TEST(a_remote_without_a_token_is_refused),
        TEST(a_mount_that_breaks_the_rules_is_let_go),
        TEST(the_newest_mount_of_a_space_counts),
        TEST(a_command_that_goes_away_leaves_nothing),
        TEST(another_user_is_not_served),
        TEST(a_stop_closes_what_is_open),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
