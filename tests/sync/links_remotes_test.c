/* What the sync process stores, what commands ask it, and who may be connected to it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/links/remotes.h"
#include "sync/state/statefile.h"
#include "tests/support/links_fixture.h"

static bool one_is_open(void)
{
    return atomic_load(&lf.a.control->open) == 1;
}

static bool none_is_open(void)
{
    return atomic_load(&lf.a.control->open) == 0;
}

static bool is_stopped(void)
{
    return lf.stopped;
}

/* ---- remotes ---- */

static void two_spaces_have_two_remotes_each(void **state)
{
    (void)state;
    link_server_start(&lf.b);
    for (char c = 'a'; c <= 'b'; c++) {
        links_add(c, &lf.a);
        links_add(c, &lf.b);
    }
    links_attach(0, 'a');
    links_attach(1, 'b');
    for (size_t i = 0; i < 2; i++) {
        uint64_t by = net_now_ms() + LINKS_WAIT_MS;
        struct links_mount *m = &lf.mounts[i];
        while (m->links_n < 2 || m->links[0].state != PERSIST__LINK_STATE__LINK_UP ||
               m->links[1].state != PERSIST__LINK_STATE__LINK_UP) {
            assert_true(net_now_ms() < by);
            links_run_ms(10);
        }
        assert_string_not_equal(m->links[0].url, m->links[1].url);
    }
    assert_int_equal(atomic_load(&lf.a.control->open), 2);
    assert_int_equal(atomic_load(&lf.b.control->open), 2);
    /* One server that is gone concerns nobody else. */
    link_server_kill(&lf.b);
    links_run_ms(300);
    assert_int_equal(atomic_load(&lf.a.control->open), 2);
    const Persist__Reply *r = links_ask_list();
    assert_int_equal(r->n_links, 4);
    size_t up = 0;
    for (size_t i = 0; i < r->n_links; i++)
        up += r->links[i]->state == PERSIST__LINK_STATE__LINK_UP;
    assert_int_equal(up, 2);
}

static void a_remote_that_is_added_and_removed_reaches_the_mount(void **state)
{
    (void)state;
    links_attach(0, 'a');
    links_run_ms(50);
    assert_int_equal(lf.mounts[0].links_n, 0);
    const Persist__Reply *r = links_ask_add('a', lf.a.url, "good-token", 30);
    assert_int_equal(r->status, 0);
    assert_int_equal(r->member.len, LINK_SERVER_MEMBER);
    links_until(links_is_up);
    assert_int_equal(links_first()->interval_s, 30);
    r = links_ask_add('a', lf.a.url, "good-other", 7);
    assert_int_equal(r->status, 0);
    links_until(links_is_up);
    links_run_ms(200);
    assert_int_equal(links_first()->interval_s, 7);
    assert_int_equal(lf.mounts[0].links_n, 1);
    assert_int_equal(links_ask_remove('a', "ws://127.0.0.1:1")->status, 3);
    assert_int_equal(links_ask_remove('b', lf.a.url)->status, 3);
    assert_int_equal(links_ask_remove('a', lf.a.url)->status, 0);
    links_until(links_is_removed);
    assert_int_equal(links_ask_list()->n_links, 0);
    assert_int_equal(links_ask_remove('a', lf.a.url)->status, 3);
    links_until(none_is_open);
}

static void only_a_welcomed_remote_is_stored(void **state)
{
    (void)state;
    const Persist__Reply *r = links_ask_add('a', lf.a.url, "bad-token", 0);
    assert_int_equal(r->status, 4);
    assert_non_null(strstr(r->error, "refuses the token"));
    assert_null(strstr(r->error, "bad-token"));
    atomic_store(&lf.a.control->end_code, PERSIST__CODE__CODE_TOKEN);
    assert_int_equal(links_ask_add('a', lf.a.url, "good-token", 0)->status, 4);
    atomic_store(&lf.a.control->end_code, PERSIST__CODE__CODE_INTERNAL);
    assert_int_equal(links_ask_add('a', lf.a.url, "good-token", 0)->status, 5);
    assert_int_equal(links_ask_add('a', "ws://127.0.0.1:1", "good-token", 0)->status, 5);
    assert_int_equal(links_ask_add('a', "ws://server.example.org", "good-token", 0)->status, 4);
    assert_int_equal(links_ask_add('a', "http://localhost", "good-token", 0)->status, 2);
    assert_int_equal(links_ask_add('a', lf.a.url, "", 0)->status, 2);
    assert_int_equal(links_ask_add('a', lf.a.url, "good-token", 8 * 24 * 3600)->status, 2);
    assert_int_equal(links_ask_list()->n_links, 0);
    assert_int_equal(faccessat(lf.dir_fd, "remotes", F_OK, 0), -1);
    assert_int_equal(faccessat(lf.dir_fd, "tokens", F_OK, 0), -1);
}

static void a_command_learns_what_a_server_has(void **state)
{
    (void)state;
    const Persist__Reply *r = links_ask_spaces(lf.a.url, "good-token");
    assert_int_equal(r->status, 0);
    Persist__Spaces *s = persist__spaces__unpack(NULL, r->spaces.len, r->spaces.data);
    assert_non_null(s);
    assert_int_equal(s->n_spaces, 1);
    assert_memory_equal(s->spaces[0]->id.data, "a space of 16 by", 16);
    persist__spaces__free_unpacked(s, NULL);
    assert_int_equal(links_ask_spaces(lf.a.url, "bad-token")->status, 4);
    assert_int_equal(links_ask_list()->n_links, 0);
}

static void one_spelling_of_a_url_is_one_remote(void **state)
{
    (void)state;
    char url[128];
    links_add('a', &lf.a);
    snprintf(url, sizeof url, "WS://127.0.0.1:%u/v1/sync", atomic_load(&lf.a.control->port));
    assert_int_equal(links_ask_add('a', url, "good-token", 0)->status, 0);
    assert_int_equal(links_ask_list()->n_links, 1);
    assert_int_equal(links_ask_remove('a', url)->status, 0);
}

static void remotes_are_there_after_a_restart(void **state)
{
    (void)state;
    link_server_start(&lf.b);
    assert_int_equal(links_ask_add('a', lf.a.url, "good-token", 5)->status, 0);
    links_add('b', &lf.b);
    links_add('c', &lf.a);
    assert_int_equal(links_ask_remove('b', lf.b.url)->status, 0);
    links_restart();
    const Persist__Reply *r = links_ask_list();
    assert_int_equal(r->n_links, 2);
    assert_string_equal(r->links[0]->url, lf.a.url);
    assert_int_equal(r->links[0]->interval_s, 5);
    assert_int_equal(r->link_spaces[0].data[0], 'a');
    assert_int_equal(r->link_spaces[1].data[0], 'c');
    links_attach(0, 'a');
    links_until(links_is_up); /* with the stored token */
}

static size_t slurp(const char *name, uint8_t *to, size_t size)
{
    int fd = openat(lf.dir_fd, name, O_RDONLY | O_CLOEXEC);
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
    links_add('a', &lf.a);
    size_t n = slurp("remotes", bytes, sizeof bytes);
    assert_null(memmem(bytes, n, "good-token", 10));
    n = slurp("tokens", bytes, sizeof bytes);
    assert_non_null(memmem(bytes, n, "good-token", 10));
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        assert_int_equal(fstatat(lf.dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(fchmodat(lf.dir_fd, names[i], 0640, 0), 0);
        assert_int_equal(remotes_open(lf.dir_fd, &r, NULL), -EPERM);
        assert_int_equal(fchmodat(lf.dir_fd, names[i], 0600, 0), 0);
        if (geteuid() == 0) {
            assert_int_equal(fchownat(lf.dir_fd, names[i], 65534, 65534, 0), 0);
            assert_int_equal(remotes_open(lf.dir_fd, &r, NULL), -EPERM);
            assert_int_equal(fchownat(lf.dir_fd, names[i], 0, 0, 0), 0);
        }
        /* Each byte that is another is noticed. */
        n = slurp(names[i], bytes, sizeof bytes);
        for (size_t k = 0; k <= n; k++) {
            size_t k_or_last = k < n ? k : n - 1;
            bytes[k_or_last] ^= 0x40;
            size_t written = k < n ? n : n - 1; /* and one that is missing */
            assert_int_equal(
                statefile_write(lf.dir_fd, names[i], bytes_of(bytes, written), false, NULL), 0);
            assert_int_equal(remotes_open(lf.dir_fd, &r, NULL), -EUCLEAN);
            bytes[k_or_last] ^= 0x40;
        }
        assert_int_equal(statefile_write(lf.dir_fd, names[i], bytes_of(bytes, n), false, NULL), 0);
    }
    assert_int_equal(remotes_open(lf.dir_fd, &r, NULL), 0);
    assert_int_equal(remotes_n(r), 1);
    assert_string_equal(remotes_at(r, 0)->token, "good-token");
    remotes_free(r);
}

static void put_file(const char *name, time_t age_s)
{
    const struct timespec times[] = {{.tv_sec = time(NULL) - age_s},
                                     {.tv_sec = time(NULL) - age_s}};
    assert_int_equal(statefile_write(lf.dir_fd, name, bytes_str("x"), false, NULL), 0);
    assert_int_equal(utimensat(lf.dir_fd, name, times, 0), 0);
}

static void copies_of_certificates_go_when_no_remote_has_them(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        time_t age_s;
        bool stays;
    } files[] = {
        {"ca-used.pem", 90000, true},
        {"ca-old.pem", 90000, false},
        {"ca-young.pem", 80000, true}, /* a command may be about to add it */
        {"other.pem", 90000, true},
    };
    struct remotes *r;
    links_add('a', &lf.a);
    assert_int_equal(remotes_open(lf.dir_fd, &r, NULL), 0);
    struct remote used = *remotes_at(r, 0);
    snprintf(used.ca_file, sizeof used.ca_file, "/any/ca-used.pem");
    assert_int_equal(remotes_put(r, &used, NULL), 0);
    remotes_free(r);
    for (size_t i = 0; i < ARRAY_N(files); i++)
        put_file(files[i].name, files[i].age_s);
    links_restart();
    for (size_t i = 0; i < ARRAY_N(files); i++)
        assert_int_equal(faccessat(lf.dir_fd, files[i].name, F_OK, 0) == 0, files[i].stays);
}

static void a_remote_without_a_token_is_refused(void **state)
{
    (void)state;
    links_add('a', &lf.a);
    assert_int_equal(unlinkat(lf.dir_fd, "tokens", 0), 0);
    links_restart();
    links_attach(0, 'a');
    links_until(links_is_refused);
    assert_non_null(strstr(links_first()->error, "no token"));
}

/* ---- who is connected ---- */

static void send_raw(struct links_mount *m, const char *bytes)
{
    assert_int_equal(unix_send(m->conn, bytes_str(bytes)), 0);
}

static void a_mount_that_breaks_the_rules_is_let_go(void **state)
{
    (void)state;
    links_attach_up();
    links_attach(1, 'b');
    links_run_ms(50);
    for (int i = 0; i < 6; i++) {
        struct links_mount *m = &lf.mounts[0];
        if (m->conn == NULL) {
            links_attach(0, 'a');
            links_until(links_is_up);
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
            assert_int_equal(links_send_data(m, 1000, 1, bytes_str("to nobody")), 0);
            break;
        case 3:
            assert_int_equal(links_send_data(m, links_first()->id, links_first()->generation + 1,
                                             bytes_str("x")),
                             0);
            break;
        case 4:
            local.kind_case = PERSIST__LOCAL__KIND_REPLY;
            local.reply = &reply;
            links_send(m, &local);
            break;
        default: /* a command's, of a mount */
            local.kind_case = PERSIST__LOCAL__KIND_REMOTE_LIST;
            local.remote_list = &list;
            links_send(m, &local);
            break;
        }
        links_until(links_is_closed);
    }
    assert_non_null(lf.mounts[1].conn);
    assert_int_equal(links_ask_list()->status, 0);
}

static void the_newest_mount_of_a_space_counts(void **state)
{
    (void)state;
    links_attach_up();
    links_attach(1, 'a');
    links_until(links_is_closed);
    uint64_t by = net_now_ms() + LINKS_WAIT_MS;
    while (lf.mounts[1].links_n == 0 ||
           lf.mounts[1].links[0].state != PERSIST__LINK_STATE__LINK_UP) {
        assert_true(net_now_ms() < by);
        links_run_ms(10);
    }
    links_until(one_is_open);
}

static void a_command_that_goes_away_leaves_nothing(void **state)
{
    (void)state;
    uint8_t id[SPACE_ID_SIZE];
    char token[] = "good-token";
    atomic_store(&lf.a.control->mute, 1);
    links_space('a', id);
    Persist__Remote remote;
    persist__remote__init(&remote);
    Persist__RemoteAdd request = PERSIST__REMOTE_ADD__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    remote.url = lf.a.url;
    remote.token = token;
    remote.space = frame_data(bytes_of(id, sizeof id));
    request.remote = &remote;
    local.kind_case = PERSIST__LOCAL__KIND_REMOTE_ADD;
    local.remote_add = &request;
    struct links_mount *m = links_mount_open(0);
    links_send(m, &local);
    links_until(one_is_open);
    unix_close(m->conn);
    links_until(links_is_closed);
    links_until(none_is_open);
    assert_int_equal(links_ask_list()->n_links, 0);
}

static void another_user_is_not_served(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    char path[80];
    snprintf(path, sizeof path, "%s/sock", lf.top);
    assert_int_equal(chmod(lf.top, 0711), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(2);
        int fd = links_connect_socket();
        _exit(read(fd, &byte, 1) == 0 ? 0 : 1);
    }
    int status = -1;
    for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++)
        links_run_ms(5);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_stop_closes_what_is_open(void **state)
{
    (void)state;
    links_attach_up();
    Persist__Stop stop = PERSIST__STOP__INIT;
    Persist__Local local = PERSIST__LOCAL__INIT;
    local.kind_case = PERSIST__LOCAL__KIND_STOP;
    local.stop = &stop;
    assert_int_equal(links_ask(&local)->status, 0);
    links_until(is_stopped);
    links_until(links_is_closed);
    links_until(none_is_open);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, links_set_up, links_tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(two_spaces_have_two_remotes_each),
        TEST(a_remote_that_is_added_and_removed_reaches_the_mount),
        TEST(only_a_welcomed_remote_is_stored),
        TEST(a_command_learns_what_a_server_has),
        TEST(one_spelling_of_a_url_is_one_remote),
        TEST(remotes_are_there_after_a_restart),
        TEST(files_are_looked_at_before_they_are_believed),
        TEST(copies_of_certificates_go_when_no_remote_has_them),
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
