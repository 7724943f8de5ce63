/* The control protocol: frames, hostile ones too, and a server with clients over real sockets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/mount/control.h"
#include "tests/support/scratch.h"

/* An out that remembers. */
struct memory_out {
    struct out out;
    struct buf text;
    char error[256];
    uint64_t done, total;
    char label[64];
    size_t refuse_after; /* bytes; 0: never */
};

static struct memory_out *memory_of(struct out *o)
{
    return CONTAINER_OF(o, struct memory_out, out);
}

static int memory_write(struct out *o, struct bytes v)
{
    struct memory_out *m = memory_of(o);
    buf_put_bytes(&m->text, v);
    return m->refuse_after != 0 && m->text.n >= m->refuse_after ? -EIO : 0;
}

static void memory_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    struct memory_out *m = memory_of(o);
    m->done = done;
    m->total = total;
    snprintf(m->label, sizeof m->label, "%s", label);
}

static void memory_error(struct out *o, const char *line)
{
    snprintf(memory_of(o)->error, sizeof memory_of(o)->error, "%s", line);
}

static bool memory_cancelled(struct out *o, unsigned wait_ms)
{
    (void)o;
    (void)wait_ms;
    return false;
}

static struct memory_out memory_out(void)
{
    return (struct memory_out){.out = {.write = memory_write,
                                       .progress = memory_progress,
                                       .error = memory_error,
                                       .cancelled = memory_cancelled}};
}

static atomic_int running;
static atomic_int cancelled_n;

static int verb_echo(struct space *s, const struct verb_call *c, struct out *out)
{
    (void)s;
    out_progress(out, 5, 5, "echoing");
    if (out_printf(out, "%s %s %s %d%d%d%d%d %u %llu", c->folder, c->name, c->args[0], c->mounted,
                   c->json, c->watch, c->repair, c->colour, (unsigned)c->columns,
                   (unsigned long long)c->at_ms) < 0)
        return VERB_FAILED;
    return VERB_OK;
}

static int verb_refuse(struct space *s, const struct verb_call *c, struct out *out)
{
    (void)s;
    out_error(out, "%s: %s", c->verb, "not found; look elsewhere");
    return VERB_NOT_FOUND;
}

/* Until nobody listens: by asking, or by writing. */
static int verb_wait(struct space *s, const struct verb_call *c, struct out *out)
{
    (void)s;
    (void)c;
    atomic_fetch_add(&running, 1);
    while (!out_cancelled(out, 60000))
        ;
    atomic_fetch_add(&cancelled_n, 1);
    atomic_fetch_sub(&running, 1);
    return VERB_FAILED;
}

static int verb_flood(struct space *s, const struct verb_call *c, struct out *out)
{
    static const char block[100000];
    (void)s;
    (void)c;
    atomic_fetch_add(&running, 1);
    while (out_write(out, block, sizeof block) == 0)
        ;
    atomic_fetch_add(&cancelled_n, 1);
    atomic_fetch_sub(&running, 1);
    return VERB_FAILED;
}

static const struct verb *find(const char *name)
{
    static const struct verb table[] = {
        {.name = "echo", .run = verb_echo, .args_min = 1, .args_max = 2},
        {.name = "refuse", .run = verb_refuse},
        {.name = "wait", .run = verb_wait},
        {.name = "flood", .run = verb_flood}};
    for (size_t i = 0; i < ARRAY_N(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

struct fixture {
    char path[64];
    int dir_fd;
    struct control_server *server;
};

static struct control_server_config config_of(const struct fixture *f)
{
    return (struct control_server_config){.dir_fd = f->dir_fd,
                                          .name = "mount-test.sock",
                                          .folder = "/mnt/test",
                                          .space_name = "test",
                                          .find = find};
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    if (!scratch_dir(f->path, sizeof f->path, "control"))
        return -1;
    f->dir_fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct control_server_config config = config_of(f);
    atomic_store(&running, 0);
    atomic_store(&cancelled_n, 0);
    *state = f;
    return control_server_start(&config, &f->server, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    control_server_stop(f->server);
    close(f->dir_fd);
    int rc = rmdir(f->path); /* fails when the socket was left behind */
    free(f);
    return rc;
}

static int connect_to(const struct fixture *f)
{
    int fd = -1;
    pid_t pid = 0;
    assert_int_equal(control_connect(f->dir_fd, "mount-test.sock", &fd, &pid, NULL), 0);
    assert_int_equal(pid, getpid());
    return fd;
}

static void wait_until(atomic_int *value, int wanted)
{
    for (int i = 0; i < 5000 && atomic_load(value) != wanted; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(value), wanted);
}

static void control_call_carries_everything(void **state)
{
    struct fixture *f = *state;
    struct memory_out m = memory_out();
    struct verb_call call = {.verb = "echo",
                             .args = {"a path\xff"},
                             .args_n = 1,
                             .json = true,
                             .repair = true,
                             .columns = 65535,
                             .at_ms = UINT64_MAX};
    int status = -1;
    int fd = connect_to(f);
    assert_int_equal(control_call(fd, &call, &m.out, &status, NULL), 0);
    close(fd);
    assert_int_equal(status, VERB_OK);
    buf_put_u8(&m.text, 0);
    assert_string_equal(m.text.p, "/mnt/test test a path\xff 11010 65535 18446744073709551615");
    assert_int_equal(m.total, 5);
    assert_string_equal(m.label, "echoing");
    buf_fini(&m.text);
}

static void control_call_failing_verb_gives_line_and_status(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *verb;
        size_t args_n;
        int status;
        const char *part;
    } cases[] = {
        {"refuse", 0, VERB_NOT_FOUND, "refuse: not found; look elsewhere"},
        {"unknown", 0, VERB_USAGE, "does not know this request"},
        {"echo", 0, VERB_USAGE, "does not know this request"},
        {"echo", 3, VERB_USAGE, "does not know this request"},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct memory_out m = memory_out();
        struct verb_call call = {
            .verb = cases[i].verb, .args = {"", "", ""}, .args_n = cases[i].args_n};
        int status = -1;
        int fd = connect_to(f);
        assert_int_equal(control_call(fd, &call, &m.out, &status, NULL), 0);
        close(fd);
        assert_int_equal(status, cases[i].status);
        assert_non_null(strstr(m.error, cases[i].part));
        buf_fini(&m.text);
    }
}

static void control_client_that_leaves_cancels(void **state)
{
    struct fixture *f = *state;
    static const char *const verbs_to_cancel[] = {"wait", "flood"};
    for (size_t i = 0; i < ARRAY_N(verbs_to_cancel); i++) {
        struct buf b = {0};
        control_put_request(&b, &(struct verb_call){.verb = verbs_to_cancel[i]});
        int fd = connect_to(f);
        assert_int_equal(write(fd, b.p, b.n), b.n);
        buf_fini(&b);
        wait_until(&running, 1);
        close(fd);
        wait_until(&running, 0);
        assert_int_equal(atomic_load(&cancelled_n), i + 1);
    }
}

static void control_out_that_refuses_ends_the_call(void **state)
{
    struct fixture *f = *state;
    struct memory_out m = memory_out();
    m.refuse_after = 1;
    int status = -1;
    int fd = connect_to(f);
    struct verb_call call = {.verb = "flood"};
    assert_int_equal(control_call(fd, &call, &m.out, &status, NULL), -ECANCELED);
    assert_int_equal(status, -1);
    close(fd);
    wait_until(&cancelled_n, 1);
    buf_fini(&m.text);
}

static void control_server_stop_cancels_running_verbs(void **state)
{
    struct fixture *f = *state;
    int fds[3];
    struct buf b = {0};
    control_put_request(&b, &(struct verb_call){.verb = "wait"});
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        fds[i] = connect_to(f);
        assert_int_equal(write(fds[i], b.p, b.n), b.n);
    }
    buf_fini(&b);
    wait_until(&running, 3);
    control_server_stop(f->server);
    f->server = NULL;
    assert_int_equal(atomic_load(&cancelled_n), 3);
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        close(fds[i]);
    int fd = -1;
    assert_int_equal(control_connect(f->dir_fd, "mount-test.sock", &fd, NULL, NULL), -ENOENT);
}

static void control_server_too_many_connections_refuses_politely(void **state)
{
    struct fixture *f = *state;
    int fds[CONTROL_CONNECTIONS_MAX];
    struct buf b = {0};
    control_put_request(&b, &(struct verb_call){.verb = "wait"});
    for (size_t i = 0; i < ARRAY_N(fds); i++) {
        fds[i] = connect_to(f);
        assert_int_equal(write(fds[i], b.p, b.n), b.n);
    }
    buf_fini(&b);
    wait_until(&running, CONTROL_CONNECTIONS_MAX);
    struct memory_out m = memory_out();
    int status = -1;
    int fd = connect_to(f);
    struct verb_call call = {.verb = "echo", .args = {"x"}, .args_n = 1};
    assert_int_equal(control_call(fd, &call, &m.out, &status, NULL), 0);
    assert_int_equal(status, VERB_FAILED);
    assert_non_null(strstr(m.error, "too many commands"));
    close(fd);
    for (size_t i = 0; i < ARRAY_N(fds); i++)
        close(fds[i]);
    wait_until(&running, 0);
    buf_fini(&m.text);
    /* Its places are free again. */
    m = memory_out();
    for (int tries = 0; tries < 1000 && status != VERB_OK; tries++) {
        fd = connect_to(f);
        assert_int_equal(control_call(fd, &call, &m.out, &status, NULL), 0);
        close(fd);
    }
    assert_int_equal(status, VERB_OK);
    buf_fini(&m.text);
}

static void control_server_hostile_requests_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\xff\xff\xff\xff\x01", 5},                      /* 4 GiB announced */
        {"\x00\x10\x00\x01\x01", 5},                      /* one byte more than allowed */
        {"\x00\x00\x00\x00\x00", 5},                      /* type 0 */
        {"\x00\x00\x00\x00\x06", 5},                      /* type unknown */
        {"\x00\x00\x00\x01\x05\x00", 6},                  /* EXIT from a client */
        {"\x00\x00\x00\x00\x01", 5},                      /* empty request */
        {"\x00\x00\x00\x02\x01\x02\x00", 7},              /* newer version */
        {"\x00\x00\x00\x02\x01\x01\x7f", 7},              /* verb longer than the frame */
        {"\x00\x00\x00\x03\x01\x01\x01\x00", 8},          /* zero byte in the verb */
        {"\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01", 10}, /* two requests */
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        int fd = connect_to(f);
        assert_int_equal(write(fd, cases[i].bytes, cases[i].n), cases[i].n);
        char byte;
        assert_int_equal(recv(fd, &byte, 1, 0), 0); /* closed without a word */
        close(fd);
    }
    control_call_carries_everything(state);
}

static void control_server_socket_is_private(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(fstatat(f->dir_fd, "mount-test.sock", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    /* A second server takes the name over: the first one's file was stale. */
    struct control_server_config config = config_of(f);
    struct control_server *second = NULL;
    assert_int_equal(control_server_start(&config, &second, NULL), 0);
    control_call_carries_everything(state);
    control_server_stop(second);
}

static void control_relay_hostile_server_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int rc;
    } cases[] = {
        {"", 0, -ECONNRESET},
        {"\x00\x00\x00\x01\x05", 5, -ECONNRESET},          /* cut off */
        {"\x00\x00\x00\x01\x05\x06", 6, -EBADMSG},         /* no such status */
        {"\x00\x00\x00\x00\x05", 5, -EBADMSG},             /* no status */
        {"\x00\x00\x00\x02\x05\x00\x00", 7, -EBADMSG},     /* too long */
        {"\x00\x00\x00\x00\x01", 5, -EBADMSG},             /* a request */
        {"\xff\xff\xff\xff\x02", 5, -EBADMSG},             /* 4 GiB announced */
        {"\x00\x00\x00\x03\x03\x00\x00\x00", 8, -EBADMSG}, /* half a PROGRESS */
        {"\x00\x00\x00\x01\x02z\x00\x00\x00\x01\x05\x03", 12, 0},
    };
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct memory_out m = memory_out();
        int fds[2];
        int status = -1;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(write(fds[1], cases[i].bytes, cases[i].n), cases[i].n);
        close(fds[1]);
        assert_int_equal(control_relay(fds[0], &m.out, &status, NULL), cases[i].rc);
        assert_int_equal(status, cases[i].rc == 0 ? 3 : -1);
        close(fds[0]);
        buf_fini(&m.text);
    }
}

static void control_frames_arrive_in_any_pieces(void **state)
{
    (void)state;
    struct buf b = {0};
    struct buf p = {0};
    buf_put_u64(&p, 1);
    buf_put_u64(&p, 2);
    buf_put_string(&p, bytes_str("a label that is much longer than what is shown of it in the end"
                                 ", which is 63 bytes"));
    control_put(&b, CONTROL_PROGRESS, buf_bytes(&p));
    for (size_t n = 0; n <= b.n; n++) {
        struct control_frame frame;
        ssize_t whole = control_decode(bytes_of(b.p, n), &frame);
        assert_int_equal(whole, n < b.n ? 0 : (ssize_t)b.n);
    }
    uint64_t done;
    uint64_t total;
    char label[64];
    assert_int_equal(control_get_progress(buf_bytes(&p), &done, &total, label), 0);
    assert_int_equal(strlen(label), 63);
    assert_int_equal(total, 2);
    buf_fini(&p);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(control_call_carries_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(control_call_failing_verb_gives_line_and_status, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(control_client_that_leaves_cancels, setup, teardown),
        cmocka_unit_test_setup_teardown(control_out_that_refuses_ends_the_call, setup, teardown),
        cmocka_unit_test_setup_teardown(control_server_stop_cancels_running_verbs, setup, teardown),
        cmocka_unit_test_setup_teardown(control_server_too_many_connections_refuses_politely, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(control_server_hostile_requests_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(control_server_socket_is_private, setup, teardown),
        cmocka_unit_test(control_relay_hostile_server_is_refused),
        cmocka_unit_test(control_frames_arrive_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
