/* WebSockets between a server and clients in one loop: messages, backpressure, keepalive, closes.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/sendq.h"
#include "sync/net/tcp_alive.h"
#include "tests/support/net.h"

static struct net net;
static struct net_end end; /* of the client */

static int start(void **state)
{
    (void)state;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){0});
    net_client(&net, (struct ws_client_config){0});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    net_end(&net);
    return 0;
}

/* A message whose size and bytes follow from its number. */
static void numbered(struct buf *b, uint32_t number)
{
    static const size_t sizes[] = {4,     5,     125,   126,    127,    4096,          65535,
                                   65536, 16384, 16385, 300000, 100000, WS_MESSAGE_MAX};
    buf_reset(b);
    assert_int_equal(buf_resize(b, sizes[number % ARRAY_N(sizes)]), 0);
    put_u32(b->p, number);
    for (size_t i = 4; i < b->n; i++)
        b->p[i] = (uint8_t)(number * 31 + i * 7);
}

static void check_numbered(struct net_end *e, struct bytes m)
{
    struct buf ought = {0};
    numbered(&ought, e->next++);
    if (!bytes_equal(m, buf_bytes(&ought)))
        e->wrong = true;
    buf_fini(&ought);
}

enum { NUMBERED = 260 };

/* Sends numbered messages while there is room. */
static void send_numbered(struct net_end *e)
{
    struct buf m = {0};
    int rc = 0;
    while (rc == 0 && e->sent < NUMBERED) {
        numbered(&m, e->sent);
        rc = ws_send(e->ws, buf_bytes(&m));
        e->sent += rc == 0 ? 1 : 0;
    }
    assert_true(rc == 0 || rc == -EAGAIN);
    assert_true(ws_queued(e->ws) <= SENDQ_MAX);
    buf_fini(&m);
}

static void messages_of_all_sizes_come_back_whole_and_in_order(void **state)
{
    (void)state;
    net.echo = true;
    end.on_message = check_numbered;
    end.on_writable = send_numbered;
    (void)net_open(&net, &end);
    send_numbered(&end);
    assert_true(end.sent < NUMBERED);
    net_until_messages(&net, &end, NUMBERED);
    assert_false(end.wrong);
    assert_true(end.writables > 0);
}

static void both_sides_send_at_once(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    end.on_message = far->on_message = check_numbered;
    end.on_writable = far->on_writable = send_numbered;
    send_numbered(&end);
    send_numbered(far);
    net_until_messages(&net, &end, NUMBERED);
    net_until_messages(&net, far, NUMBERED);
    assert_false(end.wrong || far->wrong);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    assert_int_equal(ws_send(end.ws, bytes_of(NULL, 0)), 0);
    net_until_messages(&net, far, 1);
    assert_int_equal(far->bytes, 0);
}

static void a_message_too_long_to_send_is_refused(void **state)
{
    (void)state;
    (void)net_open(&net, &end);
    struct buf m = {0};
    assert_int_equal(buf_resize(&m, WS_MESSAGE_MAX + 1), 0);
    assert_int_equal(ws_send(end.ws, buf_bytes(&m)), -EMSGSIZE);
    buf_fini(&m);
}

static void before_it_is_open_nothing_is_sent(void **state)
{
    (void)state;
    net_connect(&net, &end);
    assert_int_equal(ws_send(end.ws, bytes_str("x")), -ENOTCONN);
    ws_close(end.ws, WS_NORMAL, "given up");
    net_until_closed(&net, &end);
    assert_int_equal(end.opened, 0);
    assert_int_equal(end.end.code, WS_NORMAL);
    assert_int_equal(net.server_ends_n, 0);
}

/* Resident memory of this process. */
static size_t rss(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long size = 0;
    unsigned long pages = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* More than fits into the buffers of the two sockets, which may grow to some tens of MiB. */
enum { CHUNK = 256 * 1024, FLOOD = 800 };

static void flood(struct net_end *e)
{
    static const uint8_t chunk[CHUNK];
    while (e->sent < FLOOD && ws_send(e->ws, bytes_of(chunk, sizeof chunk)) == 0)
        e->sent++;
}

static void a_reader_that_pauses_stops_the_sender_and_costs_no_memory(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    end.on_writable = flood;
    ws_pause(far->ws);
    size_t before = rss();
    flood(&end);
    net_run_ms(&net, 1000);
    assert_int_equal(far->messages, 0);
    assert_true(ws_queued(end.ws) <= SENDQ_MAX);
    assert_true(ws_queued(end.ws) > 0);
    assert_int_equal(ws_received(far->ws), 0);
    assert_true(end.sent < FLOOD / 2);
#ifdef __SANITIZE_ADDRESS__ /* it keeps what was freed */
    (void)before;
#else
    assert_true(rss() - before < 8 * (size_t)SENDQ_MAX);
#endif
    ws_resume(far->ws);
    net_until_messages(&net, far, FLOOD);
    assert_int_equal(far->bytes, (size_t)FLOOD * CHUNK);
}

/* What reads nothing, and acknowledges that it reads nothing, is a computer that is there. */
static void a_reader_that_pauses_long_is_not_taken_for_gone(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    end.on_writable = far->on_writable = flood;
    ws_pause(far->ws);
    ws_pause(end.ws);
    flood(&end);
    flood(far);
    net_run_ms(&net, 3 * TCP_ALIVE_MS);
    assert_int_equal(end.closed + far->closed, 0);
    ws_resume(far->ws);
    ws_resume(end.ws);
    net_until_messages(&net, far, FLOOD);
    net_until_messages(&net, &end, FLOOD);
}

/* Then the kernel asks only whether there is room again, and ever more seldom. */
static void a_reader_that_had_no_room_is_noticed_when_it_is_gone(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    ws_pause(far->ws);
    flood(&end);
    net_run_ms(&net, 500);
    uint64_t since = net_now_ms();
    net_pull_out();
    net_until_closed(&net, &end);
    assert_true(net_now_ms() - since < 25000); /* pings take 30 s and more */
    assert_string_equal(end.end.reason, "the other side does not answer");
}

/* A radio that looks for another station, at any moment of a connection that rests. */
static void an_outage_of_a_second_is_no_end(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    for (unsigned done = 0; done < 5;) {
        net_run_ms(&net, 2500 + 400 * done);
        net_pull_out();
        uint64_t since = net_now_ms();
        net_run_ms(&net, 1600);
        net_plug_in();
        bool longer = net_now_ms() - since > 1900; /* this machine had no time: another one */
        net_run_ms(&net, 500);
        if (longer && end.closed + far->closed > 0) {
            end = (struct net_end){0};
            far = net_open(&net, &end);
        }
        assert_int_equal(end.closed + far->closed, 0);
        done += !longer;
    }
}

static void many_small_messages_are_bounded_too(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    ws_pause(far->ws);
    size_t n = 0;
    while (ws_send(end.ws, bytes_str("x")) == 0)
        n++;
    assert_true(n * (sizeof(struct sendq_item) + 1) <= SENDQ_MAX);
    ws_resume(far->ws);
    net_until_messages(&net, far, (unsigned)n);
}

static void a_pause_in_a_message_holds_the_next_one_back(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    far->pause_each = true;
    for (int i = 0; i < 20; i++)
        assert_int_equal(ws_send(end.ws, bytes_str("message")), 0);
    for (unsigned i = 1; i <= 20; i++) {
        net_until_messages(&net, far, i);
        net_run_ms(&net, 20);
        assert_int_equal(far->messages, i);
        ws_resume(far->ws);
    }
}

static void closes_carry_code_and_reason_both_ways(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    ws_close(end.ws, 4123, "as you like");
    net_until_closed(&net, far);
    net_until_closed(&net, &end);
    assert_int_equal(far->end.code, 4123);
    assert_true(far->end.by_peer);
    assert_string_equal(far->end.reason, "as you like");
    assert_int_equal(end.end.code, 4123);
    assert_false(end.end.by_peer);

    struct net_end again = {0};
    far = net_open(&net, &again);
    ws_close(far->ws, 4999, NULL);
    net_until_closed(&net, &again);
    net_until_closed(&net, far);
    assert_int_equal(again.end.code, 4999);
    assert_true(again.end.by_peer);
    assert_string_equal(again.end.reason, "");
    assert_int_equal(again.closed, 1);
}

static void what_is_queued_is_sent_before_the_close(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    end.on_message = NULL;
    struct buf m = {0};
    numbered(&m, 12);
    assert_int_equal(ws_send(end.ws, buf_bytes(&m)), 0);
    assert_int_equal(ws_send(end.ws, bytes_str("last")), 0);
    ws_close(end.ws, WS_NORMAL, "done");
    assert_int_equal(ws_send(end.ws, bytes_str("later")), -ENOTCONN);
    net_until_closed(&net, far);
    assert_int_equal(far->messages, 2);
    assert_int_equal(far->bytes, WS_MESSAGE_MAX + 4);
    buf_fini(&m);
}

/* The close of a peer that is being sent to at full speed. */
static void a_close_while_sending_keeps_its_code(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    end.on_writable = flood;
    flood(&end);
    net_until_messages(&net, far, 3);
    ws_close(far->ws, 4001, "enough");
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, 4001);
    net_until_closed(&net, far);
}

static void a_close_to_a_peer_that_does_not_read_ends_in_time(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    end.on_writable = flood;
    ws_pause(far->ws);
    flood(&end);
    net_run_ms(&net, 200);
    uint64_t from = net_now_ms();
    ws_close(end.ws, WS_NORMAL, NULL);
    net_until_closed(&net, &end);
    assert_true(net_now_ms() - from >= 4000);
    ws_resume(far->ws);
    net_until_closed(&net, far);
    assert_int_equal(far->end.code, WS_BROKEN);
}

static bool all_open(void *arg)
{
    (void)arg;
    return ws_server_count(net.server) == 1000;
}

static void a_thousand_connections_work(void **state)
{
    (void)state;
    struct net_end *ends = calloc(1000, sizeof *ends);
    assert_non_null(ends);
    net.echo = true;
    for (int i = 0; i < 1000; i++)
        net_connect(&net, &ends[i]);
    net_until(&net, all_open, NULL);
    for (int i = 0; i < 1000; i++) {
        while (ends[i].opened == 0)
            net_run_ms(&net, 1);
        assert_int_equal(ws_send(ends[i].ws, bytes_str("hello")), 0);
    }
    for (int i = 0; i < 1000; i++) {
        net_until_messages(&net, &ends[i], 1);
        ws_close(ends[i].ws, WS_NORMAL, NULL);
    }
    for (int i = 0; i < 1000; i++)
        net_until_closed(&net, &ends[i]);
    free(ends);
}

/* The ends of a freed loop are told, too. */
static void freeing_client_and_server_closes_what_is_open(void **state)
{
    (void)state;
    struct net_end *far = net_open(&net, &end);
    struct net_end half = {0};
    net_connect(&net, &half);
    ws_client_free(net.client);
    net.client = NULL;
    assert_int_equal(end.closed, 1);
    assert_int_equal(half.closed, 1);
    ws_server_free(net.server);
    net.server = NULL;
    assert_int_equal(far->closed, 1);
}

static const struct ws_keepalive quick = {.ping_ms = 100, .answer_ms = 200};

/* A client of its own process. Reads the URL from @in, and answers pings until it is killed. */
static pid_t fork_client(int *ret_url_fd)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        close(pipe_fds[0]);
        *ret_url_fd = pipe_fds[1];
        return pid;
    }
    close(pipe_fds[1]);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
    char url[64] = "";
    struct net_loop *l;
    struct ws_client *c;
    struct ws *w;
    static struct net_end e;
    if (read(pipe_fds[0], url, sizeof url - 1) <= 0 || net_loop_new(64, &l, NULL) < 0 ||
        ws_client_new(l, &(struct ws_client_config){0}, &c, NULL) < 0 ||
        ws_connect(c, url, bytes_str("good"), &net_events, &e, &w, NULL) < 0)
        _exit(1);
    _exit(net_loop_run(l) < 0 ? 1 : 0);
}

static bool first_is_open(void *arg)
{
    (void)arg;
    return net.server_ends[0].opened > 0;
}

static void a_stopped_peer_is_given_up_and_a_silent_one_is_not(void **state)
{
    (void)state;
    int url_fd;
    pid_t pid = fork_client(&url_fd);
    net_start(&net, (struct ws_server_config){.keep = quick});
    assert_true(write(url_fd, net.url, strlen(net.url)) > 0);
    close(url_fd);
    net_until(&net, first_is_open, NULL);
    struct net_end *far = &net.server_ends[0];
    net_run_ms(&net, 1000); /* it answers pings */
    assert_int_equal(far->closed, 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    uint64_t from = net_now_ms();
    net_until_closed(&net, far);
    assert_true(net_now_ms() - from < 5000);
    assert_int_equal(far->end.code, WS_BROKEN);
    assert_string_equal(far->end.reason, "the other side does not answer");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    net_end(&net);
}

/* Neither side takes the other for dead while one of them does not read. */
static void a_pause_is_not_taken_for_death(void **state)
{
    (void)state;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){.keep = quick});
    net_client(&net, (struct ws_client_config){.keep = quick});
    struct net_end *far = net_open(&net, &end);
    ws_pause(far->ws);
    net_run_ms(&net, 1500);
    assert_int_equal(end.closed + far->closed, 0);
    ws_resume(far->ws);
    net_run_ms(&net, 1000);
    assert_int_equal(end.closed + far->closed, 0);
    net_end(&net);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_peer_is_given_up_and_a_silent_one_is_not),
        cmocka_unit_test(a_pause_is_not_taken_for_death),
        CASE(messages_of_all_sizes_come_back_whole_and_in_order),
        CASE(both_sides_send_at_once),
        CASE(an_empty_message_is_a_message),
        CASE(a_message_too_long_to_send_is_refused),
        CASE(before_it_is_open_nothing_is_sent),
        CASE(a_reader_that_pauses_stops_the_sender_and_costs_no_memory),
        CASE(a_reader_that_pauses_long_is_not_taken_for_gone),
        CASE(a_reader_that_had_no_room_is_noticed_when_it_is_gone),
        CASE(an_outage_of_a_second_is_no_end),
        CASE(many_small_messages_are_bounded_too),
        CASE(a_pause_in_a_message_holds_the_next_one_back),
        CASE(closes_carry_code_and_reason_both_ways),
        CASE(what_is_queued_is_sent_before_the_close),
        CASE(a_close_while_sending_keeps_its_code),
        CASE(a_close_to_a_peer_that_does_not_read_ends_in_time),
        CASE(a_thousand_connections_work),
        CASE(freeing_client_and_server_closes_what_is_open),
    };
    return cmocka_run_group_tests_name("net_ws", tests, NULL, NULL);
}
