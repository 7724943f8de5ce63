/* TLS with an authority of the test's own, and what a client refuses to connect to. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/net/libp2p/wire.h"
#include "tests/support/net.h"

static char folder[] = "/tmp/net_tls.XXXXXX";
static struct net net;
static struct net_end end; /* of the client */

static void run(const char *command)
{
    if (system(command) != 0) /* NOLINT: of this file only */
        fail_msg("%s", command);
}

static const char *in_folder(const char *name)
{
    static char paths[8][64];
    static unsigned n;
    char *p = paths[n++ % ARRAY_N(paths)];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

/* Keys and certificates: an authority, a server that is "localhost" and 127.0.0.1, one that is
 * somebody else, one that has expired; and another authority. */
static int make_certificates(void **state)
{
    (void)state;
    char command[2048];
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command,
             "cd %s && exec 2>log && k='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes' && "
             "for a in ca other; do openssl req -x509 $k -keyout $a.key -out $a.pem -days 2 "
             "-subj /CN=$a || exit 1; done && "
             "sign() { openssl req $k -keyout $1.key -subj /CN=$1 -out $1.csr && "
             "echo subjectAltName=$2 >$1.ext && openssl x509 -req -in $1.csr -CA ca.pem -CAkey "
             "ca.key -CAcreateserial -extfile $1.ext -days $3 -out $1.pem; } && "
             "sign good DNS:localhost,IP:127.0.0.1 2 && sign stranger DNS:stranger.example 2 && "
             "sign old DNS:localhost -1",
             folder);
    run(command);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    run(command);
    return 0;
}

static void start(const char *name, const char *ca)
{
    char cert[64];
    char key[64];
    snprintf(cert, sizeof cert, "%s/%s.pem", folder, name);
    snprintf(key, sizeof key, "%s/%s.key", folder, name);
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){.cert_file = cert, .key_file = key});
    net_client(&net, (struct ws_client_config){.ca_file = ca != NULL ? in_folder(ca) : NULL});
}

/* Tries to connect to a server with certificate @name, and returns why that failed. */
static const char *refusal(const char *name, const char *ca)
{
    start(name, ca);
    net_connect(&net, &end);
    net_until_closed(&net, &end);
    assert_int_equal(end.opened, 0);
    assert_int_equal(end.end.code, WS_BROKEN);
    assert_int_equal(net.server_ends_n, 0); /* no token was sent */
    net_end(&net);
    return end.end.reason;
}

static void messages_go_through_tls(void **state)
{
    (void)state;
    static uint8_t message[WS_MESSAGE_MAX] = {1, 2, 3};
    start("good", "ca.pem");
    net.echo = true;
    (void)net_open(&net, &end);
    for (int i = 0; i < 20; i++) {
        message[sizeof message - 1] = (uint8_t)i;
        assert_int_equal(ws_send(end.ws, bytes_of(message, sizeof message)), 0);
        net_until_messages(&net, &end, (unsigned)i + 1);
        assert_memory_equal(end.last.p, message, sizeof message);
    }
    ws_close(end.ws, 4000, "bye");
    net_until_closed(&net, &net.server_ends[0]);
    assert_int_equal(net.server_ends[0].end.code, 4000);
    net_until_closed(&net, &end);
    net_end(&net);
}

static void an_address_in_the_certificate_is_good(void **state)
{
    (void)state;
    start("good", "ca.pem");
    snprintf(net.url, sizeof net.url, "wss://127.0.0.1:%u", ws_server_port(net.server));
    (void)net_open(&net, &end);
    net_end(&net);
}

static void pause_and_resume_work_through_tls(void **state)
{
    (void)state;
    start("good", "ca.pem");
    struct net_end *far = net_open(&net, &end);
    far->pause_each = true;
    for (int i = 0; i < 10; i++)
        assert_int_equal(ws_send(end.ws, bytes_str("message")), 0);
    for (unsigned i = 1; i <= 10; i++) {
        net_until_messages(&net, far, i);
        net_run_ms(&net, 10);
        assert_int_equal(far->messages, i);
        ws_resume(far->ws);
    }
    net_end(&net);
}

static void certificates_that_prove_nothing_are_refused(void **state)
{
    (void)state;
    assert_non_null(strstr(refusal("stranger", "ca.pem"), "hostname mismatch"));
    assert_non_null(strstr(refusal("old", "ca.pem"), "expired"));
    assert_non_null(strstr(refusal("good", "other.pem"), "unable to get local issuer"));
    assert_non_null(strstr(refusal("good", NULL), "unable to get local issuer"));
    assert_non_null(strstr(refusal("ca", "other.pem"), "self-signed"));
}

static void a_folder_of_roots_beside_the_working_directory_counts_for_nothing(void **state)
{
    (void)state;
    char command[256];
    char before[256];
    assert_non_null(getcwd(before, sizeof before));
    snprintf(command, sizeof command,
             "mkdir -p %s/here %s/share && cp %s/ca.pem %s/share && openssl rehash %s/share",
             folder, folder, folder, folder, folder);
    run(command);
    assert_int_equal(chdir(in_folder("here")), 0);
    const char *why = refusal("good", NULL);
    assert_int_equal(chdir(before), 0);
    assert_non_null(strstr(why, "unable to get local issuer"));
}

static void two_servers_of_a_loop_keep_their_certificates(void **state)
{
    (void)state;
    start("stranger", "ca.pem");
    struct ws_server *second;
    struct ws_server_config cfg = {.listen = "127.0.0.1:0",
                                   .cert_file = in_folder("good.pem"),
                                   .key_file = in_folder("good.key"),
                                   .connections_max = 5,
                                   .events = &net_events,
                                   .authorise = net_authorise,
                                   .user = &net};
    assert_int_equal(ws_server_start(net.loop, &cfg, &second, NULL), 0);
    snprintf(net.url, sizeof net.url, "wss://localhost:%u", ws_server_port(second));
    (void)net_open(&net, &end);
    ws_server_free(second);
    net_until_closed(&net, &end);
    net_end(&net);
}

static void without_tls_nothing_is_served_on_a_tls_port(void **state)
{
    (void)state;
    start("good", "ca.pem");
    snprintf(net.url, sizeof net.url, "ws://127.0.0.1:%u", ws_server_port(net.server));
    net_connect(&net, &end);
    net_until_closed(&net, &end);
    assert_int_equal(end.opened, 0);
    assert_int_equal(net.server_ends_n, 0);
    net_end(&net);
}

static void a_tls_client_gets_nowhere_on_a_plain_port(void **state)
{
    (void)state;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){0});
    net_client(&net, (struct ws_client_config){.ca_file = in_folder("ca.pem"), .connect_ms = 1000});
    snprintf(net.url, sizeof net.url, "wss://127.0.0.1:%u", ws_server_port(net.server));
    net_connect(&net, &end);
    net_until_closed(&net, &end);
    assert_int_equal(end.opened, 0);
    assert_non_null(strstr(end.end.reason, "does not speak TLS there"));
    net_end(&net);
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    struct err err;
    struct ws_server *s;
    struct ws_client *c;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){0});
    struct ws_server_config cfg = {.listen = "127.0.0.1:0",
                                   .cert_file = in_folder("none.pem"),
                                   .key_file = in_folder("good.key")};
    assert_int_equal(ws_server_start(net.loop, &cfg, &s, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "none.pem"));
    cfg.cert_file = in_folder("good.pem");
    cfg.key_file = in_folder("stranger.key");
    assert_int_equal(ws_server_start(net.loop, &cfg, &s, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "stranger.key"));
    struct ws_client_config client = {.ca_file = in_folder("none.pem")};
    assert_int_equal(ws_client_new(net.loop, &client, &c, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "none.pem"));
    client.ca_file = in_folder("good.key");
    assert_int_equal(ws_client_new(net.loop, &client, &c, &err), -ENOENT);
    net_end(&net);
}

static void the_proxy_of_the_environment_is_not_used(void **state)
{
    (void)state;
    assert_int_equal(setenv("http_proxy", "127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("https_proxy", "127.0.0.1:1", 1), 0);
    start("good", "ca.pem");
    (void)net_open(&net, &end);
    net_end(&net);
    assert_int_equal(unsetenv("http_proxy") | unsetenv("https_proxy"), 0);
}

static void the_token_and_the_url_are_checked_before_anything_is_sent(void **state)
{
    (void)state;
    struct err err;
    struct ws *w;
    start("good", "ca.pem");
    static const char *const tokens[] = {"", "two words", "line\r\nX: y", "umlaut\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_N(tokens); i++)
        assert_int_equal(
            ws_connect(net.client, net.url, bytes_str(tokens[i]), &net_events, &end, &w, &err),
            -EINVAL);
    char longest[WS_TOKEN_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[WS_TOKEN_MAX + 1] = '\0';
    assert_int_equal(
        ws_connect(net.client, net.url, bytes_str(longest), &net_events, &end, &w, &err), -EINVAL);
    assert_int_equal(ws_connect(net.client, "ws://sync.example.org", bytes_str("good"), &net_events,
                                &end, &w, &err),
                     -EACCES);
    assert_int_equal(end.closed, 0);
    net_end(&net);
}

static void nobody_there_is_told_soon(void **state)
{
    (void)state;
    start("good", "ca.pem");
    ws_server_stop(net.server, 0, NULL);
    net_connect(&net, &end);
    uint64_t from = net_now_ms();
    net_until_closed(&net, &end);
    assert_true(net_now_ms() - from < 3000);
    assert_int_equal(end.end.code, WS_BROKEN);
    end = (struct net_end){0};
    snprintf(net.url, sizeof net.url, "wss://name.invalid");
    net_connect(&net, &end);
    net_until_closed(&net, &end);
    assert_int_equal(end.end.code, WS_BROKEN);
    net_end(&net);
}

/* A listening socket that nobody accepts from: TCP connects, and then nothing comes. */
static void a_silent_server_is_given_up_in_time(void **state)
{
    (void)state;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){0});
    net_client(&net, (struct ws_client_config){.connect_ms = 300});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    static const char *const schemes[] = {"ws", "wss"};
    for (size_t i = 0; i < ARRAY_N(schemes); i++) {
        end = (struct net_end){0};
        snprintf(net.url, sizeof net.url, "%s://127.0.0.1:%u", schemes[i], ntohs(at.sin_port));
        uint64_t from = net_now_ms();
        net_connect(&net, &end);
        net_until_closed(&net, &end);
        assert_true(net_now_ms() - from >= 290 && net_now_ms() - from < 3000);
        assert_string_equal(end.end.reason, "no connection in time");
    }
    close(fd);
    net_end(&net);
}

/* A server that answers with a redirect to one that would take the token. */
static void redirects_are_not_followed(void **state)
{
    (void)state;
    end = (struct net_end){0};
    net_start(&net, (struct ws_server_config){0});
    net_client(&net, (struct ws_client_config){0});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    char answer[256];
    snprintf(answer, sizeof answer,
             "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/v1/sync\r\nContent-Length: "
             "0\r\n\r\n",
             ws_server_port(net.server));
    snprintf(net.url, sizeof net.url, "ws://127.0.0.1:%u", ntohs(at.sin_port));
    net_connect(&net, &end);
    net_run_ms(&net, 50);
    int conn = accept(fd, NULL, NULL);
    assert_int_equal(send(conn, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
    net_until_closed(&net, &end);
    assert_int_equal(end.end.http_status, 302);
    assert_int_equal(net.server_ends_n, 0);
    close(conn);
    close(fd);
    net_end(&net);
}

/* ---- wires of libp2p ---- */

/* What became of one that was dialed. */
struct dialed {
    struct wire *w; /* NULL: closed */
    unsigned opened;
    char why[160];
};

static void wire_opened(struct wire *w, void *user)
{
    struct dialed *d = user;
    d->opened++;
    assert_int_equal(wire_write(w, bytes_str("hello")), 5);
}

static void wire_data(struct wire *w, struct bytes data, void *user)
{
    (void)w, (void)data, (void)user;
}

static void wire_closed(struct wire *w, const char *why, void *user)
{
    struct dialed *d = user;
    (void)w;
    d->w = NULL;
    snprintf(d->why, sizeof d->why, "%s", why);
}

/* @form: an address with * for the port. */
static void dial_wire(struct dialed *d, const char *form, unsigned port)
{
    static const struct wire_events events = {
        .opened = wire_opened, .data = wire_data, .closed = wire_closed};
    char text[128];
    struct buf b CLEANUP(buf_fini) = {0};
    struct maddr_dial to;
    const char *gap = strchr(form, '*');
    snprintf(text, sizeof text, "%.*s%u%s", (int)(gap - form), form, port, gap + 1);
    assert_int_equal(maddr_parse(bytes_str(text), &b, NULL), 0);
    assert_int_equal(maddr_dial(buf_bytes(&b), &to), 0);
    *d = (struct dialed){0};
    assert_int_equal(wire_dial(net.loop, net.client, &to, &events, d, &d->w, NULL), 0);
}

static unsigned accept_plain(const struct ws_request *request, void *user, void **ret_user)
{
    (void)user;
    assert_string_equal(request->path, "/");
    assert_int_equal(request->token.n, 0);
    *ret_user = &net.server_ends[net.server_ends_n++];
    return 0;
}

static bool came_or_closed(void *arg)
{
    struct dialed *d = arg;
    return d->w == NULL || (net.server_ends_n > 0 && net.server_ends[0].bytes == 5);
}

static void a_wire_checks_whom_it_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *at, *why; /* NULL: it is good */
    } rows[] = {
        {"good", "/ip4/127.0.0.1/tcp/*/tls/ws", NULL},
        {"good", "/ip4/127.0.0.1/tcp/*/wss", NULL},
        {"good", "/dns4/localhost/tcp/*/wss", NULL},
        {"stranger", "/ip4/127.0.0.1/tcp/*/tls/sni/stranger.example/ws", NULL},
        {"stranger", "/dns/localhost/tcp/*/tls/sni/stranger.example/ws", NULL},
        {"stranger", "/ip4/127.0.0.1/tcp/*/tls/ws", "mismatch"},
        {"stranger", "/dns/localhost/tcp/*/wss", "hostname mismatch"},
        {"good", "/ip4/127.0.0.1/tcp/*/tls/sni/stranger.example/ws", "hostname mismatch"},
        {"good", "/dns/localhost/tcp/*/tls/sni/stranger.example/ws", "hostname mismatch"},
        {"old", "/dns/localhost/tcp/*/wss", "expired"},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        char cert[64];
        char key[64];
        struct dialed d;
        snprintf(cert, sizeof cert, "%s/%s.pem", folder, rows[i].cert);
        snprintf(key, sizeof key, "%s/%s.key", folder, rows[i].cert);
        net_start(&net, (struct ws_server_config){.cert_file = cert,
                                                  .key_file = key,
                                                  .plain = true,
                                                  .authorise = accept_plain});
        net_client(&net, (struct ws_client_config){.ca_file = in_folder("ca.pem")});
        dial_wire(&d, rows[i].at, ws_server_port(net.server));
        net_until(&net, came_or_closed, &d);
        assert_int_equal(d.opened, rows[i].why == NULL);
        if (rows[i].why == NULL)
            assert_non_null(d.w);
        else
            assert_non_null(strstr(d.why, rows[i].why));
        wire_free(d.w);
        net_end(&net);
    }
}

/* The name is asked for, too: a server may have several. */
static void a_wire_asks_for_the_name(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    uint8_t hello[4096];
    struct dialed d;
    net_start(&net, (struct ws_server_config){0});
    net_client(&net, (struct ws_client_config){0});
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    dial_wire(&d, "/ip4/127.0.0.1/tcp/*/tls/sni/stranger.example/ws", ntohs(at.sin_port));
    net_run_ms(&net, 50);
    int conn = accept(fd, NULL, NULL);
    ssize_t got = recv(conn, hello, sizeof hello, MSG_DONTWAIT);
    assert_true(got > 0);
    assert_non_null(memmem(hello, (size_t)got, "stranger.example", 16));
    wire_free(d.w);
    close(conn);
    close(fd);
    net_end(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_go_through_tls),
        cmocka_unit_test(an_address_in_the_certificate_is_good),
        cmocka_unit_test(pause_and_resume_work_through_tls),
        cmocka_unit_test(certificates_that_prove_nothing_are_refused),
        cmocka_unit_test(a_folder_of_roots_beside_the_working_directory_counts_for_nothing),
        cmocka_unit_test(two_servers_of_a_loop_keep_their_certificates),
        cmocka_unit_test(without_tls_nothing_is_served_on_a_tls_port),
        cmocka_unit_test(a_tls_client_gets_nowhere_on_a_plain_port),
        cmocka_unit_test(wrong_files_are_named),
        cmocka_unit_test(the_proxy_of_the_environment_is_not_used),
        cmocka_unit_test(the_token_and_the_url_are_checked_before_anything_is_sent),
        cmocka_unit_test(nobody_there_is_told_soon),
        cmocka_unit_test(a_silent_server_is_given_up_in_time),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(a_wire_checks_whom_it_asked_for),
        cmocka_unit_test(a_wire_asks_for_the_name),
    };
    return cmocka_run_group_tests_name("net_tls", tests, make_certificates, remove_certificates);
}
