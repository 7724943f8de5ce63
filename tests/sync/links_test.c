/* Links, with real sockets: connections, frames both ways, tries; and the handshake alone. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/links/handshake.h"
#include "sync/links/remotes.h"
#include "tests/support/links_fixture.h"

enum { MIB = 1 << 20, FRAMES_100_MIB = 200 };

/* ---- conditions ---- */

static bool has_all_frames(void)
{
    return lf.mounts[0].frames == FRAMES_100_MIB;
}

static bool server_has_all(void)
{
    return atomic_load(&lf.a.control->frames) == FRAMES_100_MIB;
}

static bool server_has_one(void)
{
    return atomic_load(&lf.a.control->frames) == 1;
}

static bool has_one_frame(void)
{
    return lf.mounts[0].frames >= 1;
}

static bool none_is_open(void)
{
    return atomic_load(&lf.a.control->open) == 0;
}

/* ---- links ---- */

static void a_link_comes_up_when_its_mount_attaches(void **state)
{
    (void)state;
    links_add('a', &lf.a);
    links_run_ms(100);
    assert_int_equal(atomic_load(&lf.a.control->open), 0); /* nothing is attached */
    struct links_mount *m = links_attach(0, 'a');
    links_until(links_is_up);
    assert_int_equal(m->links_n, 1);
    assert_string_equal(links_first()->url, lf.a.url);
    assert_string_equal(links_first()->error, "");
    assert_int_equal(links_first()->member_n, LINK_SERVER_MEMBER);
    assert_true(links_first()->generation > 0);
    assert_true(links_first()->told >= 2); /* connecting before */
    assert_int_equal(atomic_load(&lf.a.control->wrong), 0);
    assert_memory_equal(lf.a.control->identity, lf.identity.sign_public, SIGN_KEY_SIZE);
    unix_close(m->conn);
    links_until(links_is_closed);
    links_until(none_is_open);
}

static void frames_go_both_ways_in_bounded_memory(void **state)
{
    (void)state;
    atomic_store(&lf.a.control->echo, 1);
    struct links_mount *m = links_attach_up();
    lf.heap_max = 0;
    m->want = FRAMES_100_MIB;
    links_push(m);
    links_until(has_all_frames);
    assert_int_equal(atomic_load(&lf.a.control->frames), FRAMES_100_MIB);
    assert_int_equal(m->wrong, 0);
    assert_int_equal(m->late, 0);
    assert_int_equal(atomic_load(&lf.a.control->wrong), 0);
    print_message("heap at most %zu KiB\n", lf.heap_max / 1024);
    assert_true(lf.heap_max < 16 * MIB);
}

static void a_slow_server_slows_the_mount_down(void **state)
{
    (void)state;
    atomic_store(&lf.a.control->slow_ms, 10);
    struct links_mount *m = links_attach_up();
    lf.heap_max = 0;
    m->want = FRAMES_100_MIB;
    links_push(m);
    links_run_ms(300);
    /* What the queues and sockets of the way hold is all that is ahead of the server. */
    assert_true(m->sent < atomic_load(&lf.a.control->frames) + 40);
    links_until(server_has_all);
    assert_int_equal(atomic_load(&lf.a.control->wrong), 0);
    assert_true(lf.heap_max < 16 * MIB);
}

static void a_slow_mount_slows_the_server_down(void **state)
{
    (void)state;
    links_add('a', &lf.a);
    struct links_mount *m = links_attach(0, 'a');
    m->slow = true;
    lf.heap_max = 0;
    links_until(links_is_up);
    atomic_store(&lf.a.control->pour, FRAMES_100_MIB);
    assert_int_equal(
        links_send_data(m, links_first()->id, links_first()->generation, bytes_str("go")), 0);
    links_until(has_one_frame);
    links_run_ms(300);
    assert_true(atomic_load(&lf.a.control->poured) < 40);
    for (int i = 0; i < 20; i++) {
        unix_resume(m->conn);
        links_run_ms(5);
    }
    m->slow = false;
    unix_resume(m->conn);
    links_until(has_all_frames);
    assert_int_equal(m->wrong, 0);
    assert_true(lf.heap_max < 16 * MIB);
}

static void what_the_server_said_last_comes_before_the_link_is_down(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct links_mount *m = slow == 0 ? links_attach_up() : &lf.mounts[0];
        m->frames = 0;
        if (slow == 1)
            unix_pause(m->conn);
        atomic_store(&lf.a.control->close_code, PERSIST__CODE__CODE_INTERNAL);
        if (slow == 1) {
            links_run_ms(300);
            unix_resume(m->conn);
        }
        links_until(has_one_frame);
        links_until(links_is_down);
        Persist__Frame *end;
        assert_int_equal(m->state_at_last, PERSIST__LINK_STATE__LINK_UP);
        assert_int_equal(frame_decode(buf_bytes(&m->last), &end), 0);
        assert_int_equal(end->kind_case, PERSIST__FRAME__KIND_END);
        assert_int_equal(end->end->code, PERSIST__CODE__CODE_INTERNAL);
        frame_free(end);
        assert_string_equal(links_first()->error, "as the test wants it");
        links_until(links_is_up);
    }
}

static void what_came_comes_before_the_link_is_down(void **state)
{
    (void)state;
    for (int ends_itself = 0; ends_itself < 2; ends_itself++) {
        struct links_mount *m = ends_itself == 0 ? links_attach_up() : links_attach(0, 'a');
        links_until(links_is_up);
        atomic_store(&lf.a.control->pour, FRAMES_100_MIB);
        assert_int_equal(
            links_send_data(m, links_first()->id, links_first()->generation, bytes_str("go")), 0);
        links_until(has_one_frame);
        unix_pause(m->conn);
        links_run_ms(300); /* all queues are full: the link holds a frame */
        unsigned before = m->frames;
        if (ends_itself == 0)
            links_retry(m, 60000);
        else
            link_server_kill(&lf.a);
        links_run_ms(300);
        unix_resume(m->conn);
        links_until(links_is_down);
        links_run_ms(200);
        assert_true(m->frames > before);
        assert_int_equal(m->wrong, 0);
        assert_int_equal(m->late, 0);
        unix_close(m->conn);
        links_until(links_is_closed);
    }
}

static void a_lost_connection_is_made_again(void **state)
{
    (void)state;
    struct links_mount *m = links_attach_up();
    uint64_t first = links_first()->generation;
    atomic_store(&lf.a.control->close_code, PERSIST__CODE__CODE_STOPPING);
    links_until(links_is_down);
    assert_in_range(links_first()->retry_ms, 900, 2000);
    uint64_t began = net_now_ms();
    links_until(links_is_up);
    assert_in_range(net_now_ms() - began, 800, 4000);
    assert_true(links_first()->generation > first);
    /* What was meant for the old connection is not sent on the new one. */
    atomic_store(&lf.a.control->frames, 0);
    assert_int_equal(links_send_data(m, links_first()->id, first, bytes_str("late")), 0);
    links_run_ms(200);
    assert_int_equal(atomic_load(&lf.a.control->frames), 0);
    assert_int_equal(
        links_send_data(m, links_first()->id, links_first()->generation, bytes_str("new")), 0);
    links_until(server_has_one);
    assert_non_null(m->conn);
}

static void waits_grow(void **state)
{
    (void)state;
    links_attach_up();
    link_server_kill(&lf.a);
    links_until(links_is_down);
    assert_in_range(links_first()->retry_ms, 900, 2000);
    unsigned told = links_first()->told;
    while (links_first()->told < told + 2) /* connecting, down */
        links_run_ms(50);
    links_until(links_is_down);
    assert_in_range(links_first()->retry_ms, 1900, 4000);
}

static void a_server_that_is_back_is_found(void **state)
{
    (void)state;
    links_attach_up();
    link_server_kill(&lf.a);
    links_until(links_is_down);
    link_server_start(&lf.a);
    links_until(links_is_up);
}

static bool is_open_at_server(void)
{
    return atomic_load(&lf.a.control->opened) >= 2;
}

static void a_server_that_does_not_greet_is_left(void **state)
{
    (void)state;
    links_add('a', &lf.a);
    atomic_store(&lf.a.control->mute, 1);
    links_attach(0, 'a');
    links_until(is_open_at_server);
    links_until(links_is_down);
    assert_string_equal(links_first()->error, "the server did not greet in time");
}

static void a_retry_waits_as_long_as_was_asked(void **state)
{
    (void)state;
    struct links_mount *m = links_attach_up();
    uint64_t began = net_now_ms(), first = links_first()->generation;
    links_retry(m, 400);
    links_until(links_is_down);
    assert_string_equal(links_first()->error, "the session failed");
    assert_in_range(links_first()->retry_ms, 300, 400);
    links_until(links_is_up);
    assert_in_range(net_now_ms() - began, 400, 900);
    /* One of an older generation is of no consequence. */
    links_first()->generation = first;
    unsigned told = links_first()->told;
    links_retry(m, 0);
    links_run_ms(200);
    assert_int_equal(links_first()->told, told);
    assert_int_equal(links_first()->state, PERSIST__LINK_STATE__LINK_UP);
}

static void a_revoked_token_is_not_tried_again(void **state)
{
    (void)state;
    static const unsigned codes[] = {PERSIST__CODE__CODE_TOKEN, PERSIST__CODE__CODE_PROOF,
                                     PERSIST__CODE__CODE_VERSION};
    links_attach_up();
    for (size_t i = 0; i < ARRAY_N(codes); i++) {
        atomic_store(&lf.a.control->close_code, codes[i]);
        links_until(links_is_refused);
        assert_in_range(links_first()->retry_ms, 59000, 60000);
        unsigned opened = atomic_load(&lf.a.control->opened);
        links_run_ms(2500);
        assert_int_equal(atomic_load(&lf.a.control->opened), opened);
        links_add('a', &lf.a); /* adding it again is a new try */
        links_until(links_is_up);
    }
}

static void a_server_of_other_versions_is_refused(void **state)
{
    (void)state;
    links_add('a', &lf.a);
    atomic_store(&lf.a.control->version, 2);
    links_attach(0, 'a');
    links_until(links_is_refused);
    assert_string_equal(
        links_first()->error,
        "the device's persist is older than the server's (protocol 1, not 2); update "
        "it on the device");
}

/* ---- the network ---- */

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
    links_set_up(NULL);
    /* Stored without a network: as if it had been added before. */
    struct remotes *r;
    struct remote remote = {.token = "good-token"};
    struct err err = {0};
    links_space('a', remote.space);
    snprintf(remote.url, sizeof remote.url, "%s", lf.a.url);
    assert_int_equal(remotes_open(lf.dir_fd, &r, &err), 0);
    assert_int_equal(remotes_put(r, &remote, &err), 0);
    remotes_free(r);
    links_restart();
    links_attach(0, 'a');
    links_until(links_is_down);
    /* The third wait is 4 s at least. */
    while (links_first()->retry_ms < 3900)
        links_run_ms(20);
    uint64_t began = net_now_ms();
    assert_true(set_loopback_up());
    links_until(links_is_up);
    int status = net_now_ms() - began < 3000 ? 0 : 1;
    links_tear_down(NULL);
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

/* ---- the handshake alone ---- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, links_set_up, links_tear_down)

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
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
