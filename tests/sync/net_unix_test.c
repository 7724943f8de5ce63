/* Frames on Unix sockets, over socket pairs and a real listening socket. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/sendq.h"
#include "sync/net/unix_frames.h"
#include "tests/support/scratch.h"

enum { CLOSED_NOT = 1, WAIT_MS = 20000 };

/* One end of a connection. */
struct side {
    struct unix_conn *conn;
    unsigned frames, writables;
    size_t bytes;
    struct buf last;
    bool echo, pause_each;
    int closed; /* the error, or CLOSED_NOT */
    unsigned sent;
};

static struct net_loop *loop;
static struct net_timer *tick;
static struct side a, b;
static bool (*until)(void);
static uint64_t until_ms;

static void on_frame(struct unix_conn *c, struct bytes f, void *user)
{
    struct side *s = user;
    s->frames++;
    s->bytes += f.n;
    buf_reset(&s->last);
    buf_put_bytes(&s->last, f);
    if (s->echo)
        assert_int_equal(unix_send(c, f), 0);
    if (s->pause_each)
        unix_pause(c);
}

static void flood(struct side *s);

static void on_writable(struct unix_conn *c, void *user)
{
    (void)c;
    struct side *s = user;
    s->writables++;
    flood(s);
}

static void on_closed(struct unix_conn *c, int error, void *user)
{
    (void)c;
    struct side *s = user;
    s->conn = NULL;
    s->closed = error;
    buf_fini(&s->last);
}

static const struct unix_events events = {on_frame, on_writable, on_closed};

static void on_tick(void *arg)
{
    (void)arg;
    if (until() || net_now_ms() > until_ms)
        net_loop_stop(loop);
    else
        net_timer_set(tick, 1);
}

static void run_until(bool (*done)(void))
{
    until = done;
    until_ms = net_now_ms() + WAIT_MS;
    net_timer_set(tick, 0);
    assert_int_equal(net_loop_run(loop), 0);
    if (!done())
        fail_msg("what was waited for did not happen");
}

static unsigned turns;

static bool some_turns(void)
{
    return turns-- == 0;
}

static void run_turns(void)
{
    turns = 50;
    until = some_turns;
    until_ms = net_now_ms() + WAIT_MS;
    net_timer_set(tick, 0);
    assert_int_equal(net_loop_run(loop), 0);
}

static bool a_closed(void)
{
    return a.closed != CLOSED_NOT;
}

static bool b_closed(void)
{
    return b.closed != CLOSED_NOT;
}

static int start(void **state)
{
    (void)state;
    a = (struct side){.closed = CLOSED_NOT};
    b = (struct side){.closed = CLOSED_NOT};
    assert_int_equal(net_loop_new(4 * UNIX_CONNECTIONS_MAX, &loop, NULL), 0);
    return net_timer_new(loop, on_tick, NULL, &tick);
}

static int stop(void **state)
{
    (void)state;
    if (a.conn != NULL)
        unix_close(a.conn);
    if (a.conn != NULL)
        run_until(a_closed);
    if (b.conn != NULL)
        unix_close(b.conn);
    if (b.conn != NULL)
        run_until(b_closed);
    net_timer_free(tick);
    net_loop_free(loop);
    return 0;
}

static void join_sides(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(unix_adopt(loop, fds[0], &events, &a, &a.conn), 0);
    assert_int_equal(unix_adopt(loop, fds[1], &events, &b, &b.conn), 0);
}

/* One side, and the bare other end of its socket. */
static int join_bare(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(unix_adopt(loop, fds[0], &events, &a, &a.conn), 0);
    return fds[1];
}

static bool a_has_three(void)
{
    return a.frames == 3;
}

static void frames_of_all_sizes_come_back(void **state)
{
    (void)state;
    static uint8_t frame[UNIX_FRAME_MAX];
    frame[UNIX_FRAME_MAX - 1] = 7;
    join_sides();
    b.echo = true;
    assert_int_equal(unix_send(a.conn, bytes_of(frame, 0)), 0);
    assert_int_equal(unix_send(a.conn, bytes_str("hello")), 0);
    run_turns();
    assert_int_equal(unix_send(a.conn, bytes_of(frame, sizeof frame)), 0);
    run_until(a_has_three);
    assert_int_equal(a.bytes, 5 + sizeof frame);
    assert_memory_equal(a.last.p, frame, sizeof frame);
    assert_int_equal(unix_send(a.conn, bytes_of(frame, sizeof frame + 1)), -EMSGSIZE);
}

enum { CHUNK = 100000, FLOOD = 200 };

static void flood(struct side *s)
{
    static const uint8_t chunk[CHUNK];
    while (s->sent < FLOOD && unix_send(s->conn, bytes_of(chunk, sizeof chunk)) == 0)
        s->sent++;
}

static bool b_has_all(void)
{
    return b.frames == FLOOD;
}

static void a_paused_reader_stops_the_sender(void **state)
{
    (void)state;
    join_sides();
    unix_pause(b.conn);
    flood(&a);
    run_turns();
    assert_int_equal(b.frames, 0);
    assert_true(a.sent * (size_t)CHUNK < 2 * (size_t)SENDQ_MAX);
    unix_resume(b.conn);
    run_until(b_has_all);
    assert_int_equal(b.bytes, (size_t)FLOOD * CHUNK);
    assert_true(a.writables > 0);
}

static bool b_has_more(void)
{
    return b.frames == b.sent;
}

static void a_pause_in_a_frame_holds_the_next_one_back(void **state)
{
    (void)state;
    join_sides();
    b.pause_each = true;
    for (int i = 0; i < 10; i++)
        assert_int_equal(unix_send(a.conn, bytes_str("frame")), 0);
    for (b.sent = 1; b.sent <= 10; b.sent++) {
        run_until(b_has_more);
        run_turns();
        assert_int_equal(b.frames, b.sent);
        unix_resume(b.conn);
    }
}

static void what_is_queued_is_sent_before_the_close(void **state)
{
    (void)state;
    join_sides();
    static const uint8_t frame[UNIX_FRAME_MAX];
    assert_int_equal(unix_send(a.conn, bytes_of(frame, sizeof frame)), 0);
    unix_close(a.conn);
    assert_int_equal(unix_send(a.conn, bytes_str("later")), -ENOTCONN);
    run_until(b_closed);
    assert_int_equal(b.frames, 1);
    assert_int_equal(b.bytes, sizeof frame);
    assert_int_equal(b.closed, 0);
    assert_int_equal(a.closed, 0);
}

static void a_close_to_a_peer_that_does_not_read_ends_in_time(void **state)
{
    (void)state;
    join_sides();
    unix_pause(b.conn);
    flood(&a);
    unix_close(a.conn);
    run_until(a_closed);
    assert_int_equal(a.closed, -ETIMEDOUT);
}

static void a_frame_too_long_ends_it_before_it_is_read(void **state)
{
    (void)state;
    int fd = join_bare();
    uint8_t head[4];
    put_u32(head, UNIX_FRAME_MAX + 1);
    assert_int_equal(write(fd, head, sizeof head), 4);
    run_until(a_closed);
    assert_int_equal(a.closed, -EBADMSG);
    close(fd);
}

static void an_end_inside_a_frame_is_an_error(void **state)
{
    (void)state;
    int fd = join_bare();
    assert_int_equal(write(fd, "\0\0\0\5hel", 7), 7);
    run_turns();
    assert_int_equal(a.closed, CLOSED_NOT);
    close(fd);
    run_until(a_closed);
    assert_int_equal(a.closed, -ECONNRESET);
    assert_int_equal(a.frames, 0);
}

static bool a_has_one(void)
{
    return a.frames == 1;
}

static void a_frame_may_come_byte_by_byte(void **state)
{
    (void)state;
    static const char frame[] = "\0\0\0\5hello";
    int fd = join_bare();
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(write(fd, frame + i, 1), 1);
        run_turns();
    }
    run_until(a_has_one);
    assert_memory_equal(a.last.p, "hello", 5);
    close(fd);
}

/* A listening socket in a folder of its own. */
struct listening {
    char folder[64], path[80];
    int fd;
    struct unix_server *server;
    struct side sides[UNIX_CONNECTIONS_MAX + 4];
    unsigned n;
};

static struct listening listening;

static void *on_opened(struct unix_conn *c, void *user)
{
    struct listening *l = user;
    struct side *s = &l->sides[l->n++];
    *s = (struct side){.conn = c, .closed = CLOSED_NOT, .echo = true};
    return s;
}

static void start_listening(struct listening *l)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(l, 0, sizeof *l);
    assert_true(scratch_dir(l->folder, sizeof l->folder, "unix"));
    snprintf(l->path, sizeof l->path, "%s/sock", l->folder);
    memcpy(at.sun_path, l->path, strlen(l->path));
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(l->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(chmod(l->folder, 0755) | chmod(l->path, 0666), 0);
    assert_int_equal(listen(l->fd, 64), 0);
    struct unix_server_config cfg = {
        .fd = l->fd, .events = &events, .opened = on_opened, .user = l};
    assert_int_equal(unix_server_start(loop, &cfg, &l->server), 0);
}

static void stop_listening(struct listening *l)
{
    unix_server_free(l->server);
    close(l->fd);
    unlink(l->path);
    rmdir(l->folder);
}

static int dial(const struct listening *l)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(at.sun_path, l->path, strlen(l->path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
        return -1;
    return fd;
}

/* Whether the other end has closed. */
static bool is_cut(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void a_server_takes_so_many_connections(void **state)
{
    (void)state;
    int fds[UNIX_CONNECTIONS_MAX + 2];
    start_listening(&listening);
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        assert_true((fds[i] = dial(&listening)) >= 0);
        if (i % 32 == 31) /* one is taken a turn */
            run_turns();
    }
    run_turns();
    assert_int_equal(listening.n, UNIX_CONNECTIONS_MAX);
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        assert_int_equal(is_cut(fds[i]), i >= UNIX_CONNECTIONS_MAX);
    close(fds[3]);
    run_turns();
    int again = dial(&listening);
    run_turns();
    assert_int_equal(listening.n, UNIX_CONNECTIONS_MAX + 1);
    assert_false(is_cut(again));
    stop_listening(&listening);
    assert_int_equal(listening.sides[0].closed, -ECANCELED);
    assert_true(is_cut(again));
    close(again);
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        if (i != 3)
            close(fds[i]);
}

/* Runs as root: a child of another user connects. */
static void another_user_is_refused(void **state)
{
    (void)state;
    assert_int_equal(geteuid(), 0);
    start_listening(&listening);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        if (setresuid(65534, 65534, 65534) < 0)
            _exit(2);
        int fd = dial(&listening);
        _exit(fd >= 0 && recv(fd, &c, 1, 0) == 0 ? 0 : 1);
    }
    int status;
    pid_t done = 0;
    while ((done = waitpid(pid, &status, WNOHANG)) == 0)
        run_turns();
    assert_int_equal(done, pid);
    assert_int_equal(status, 0);
    assert_int_equal(listening.n, 0);
    stop_listening(&listening);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(frames_of_all_sizes_come_back),
        CASE(a_paused_reader_stops_the_sender),
        CASE(a_pause_in_a_frame_holds_the_next_one_back),
        CASE(what_is_queued_is_sent_before_the_close),
        CASE(a_close_to_a_peer_that_does_not_read_ends_in_time),
        CASE(a_frame_too_long_ends_it_before_it_is_read),
        CASE(an_end_inside_a_frame_is_an_error),
        CASE(a_frame_may_come_byte_by_byte),
        CASE(a_server_takes_so_many_connections),
        CASE(another_user_is_refused),
    };
    return cmocka_run_group_tests_name("net_unix", tests, NULL, NULL);
}
