#include "tests/support/server_process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sync/server/control.h"
#include "sync/server/service.h"
#include "sync/server/session.h"
#include "sync/state/statefile.h"
#include "tests/support/scratch.h"

enum { PIPE_FD = 3 };

void server_process_init(struct server_process *p)
{
    memset(p, 0, sizeof *p);
    assert_true(scratch_dir(p->top, sizeof p->top, "service"));
    snprintf(p->dir, sizeof p->dir, "%s/data", p->top);
}

void server_process_fini(struct server_process *p)
{
    if (p->pid != 0)
        server_process_stop(p, SIGKILL);
    assert_int_equal(statefile_remove_tree(AT_FDCWD, p->top, NULL), 0);
}

/* ---- the server ---- */

/* In the child, with none of the test's descriptors but the pipe: tells the port, and serves. */
static void be_server(const char *dir)
{
    struct srv_service_config cfg = {.dir = dir, .listen = "127.0.0.1:0"};
    struct srv_service *s;
    struct err err = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (srv_service_open(&cfg, &s, &err) < 0) {
        fprintf(stderr, "server: %s\n", err.msg);
        _exit(1);
    }
    unsigned port = srv_service_port(s);
    if (write(PIPE_FD, &port, sizeof port) != sizeof port)
        _exit(1);
    int rc = srv_service_run(s);
    srv_service_close(s);
    _exit(rc < 0);
}

void server_process_start(struct server_process *p)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        if (dup2(fds[1], PIPE_FD) < 0)
            _exit(1);
        close_range(PIPE_FD + 1, ~0U, 0);
        be_server(p->dir);
    }
    close(fds[1]);
    ssize_t n = read(fds[0], &p->port, sizeof p->port);
    close(fds[0]);
    assert_int_equal(n, sizeof p->port);
    snprintf(p->url, sizeof p->url, "ws://127.0.0.1:%u", p->port);
}

int server_process_stop(struct server_process *p, int signal)
{
    int status = -1;
    kill(p->pid, signal);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    p->pid = 0;
    return status;
}

/* ---- the store, while it is stopped ---- */

struct change {
    char user[USER_NAME_MAX + 1], tokens[SERVER_TOKENS_MAX][TOKEN_TEXT_SIZE];
    uint64_t quota_bytes, quota_entries;
    size_t tokens_n;
    bool done;
};

static void make_change(const char *dir, struct change *c)
{
    struct srv_store *store = NULL;
    struct srv_accounts *accounts = NULL;
    struct srv_user u;
    struct srv_token t;
    int rc = srv_store_open(dir, true, &store, NULL);
    if (rc == 0)
        rc = srv_accounts_open(store, &accounts, NULL);
    if (rc == 0)
        rc = srv_user_add(accounts, c->user, c->quota_bytes, c->quota_entries, srv_now_ms(), &u,
                          NULL);
    for (size_t i = 0; rc == 0 && i < c->tokens_n; i++)
        rc = srv_token_create(accounts, c->user, "test", srv_now_ms(), c->tokens[i], &t, NULL);
    c->done = rc == 0;
    srv_accounts_close(accounts);
    srv_store_close(store);
}

/* In a child, which shares @c. */
static void change(struct server_process *p, struct change *c)
{
    struct change *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p->pid == 0 && shared != MAP_FAILED);
    *shared = *c;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        make_change(p->dir, shared);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    *c = *shared;
    munmap(shared, sizeof *shared);
    assert_true(c->done);
}

void server_process_user(struct server_process *p, const char *user, uint64_t quota_bytes,
                         uint64_t quota_entries, size_t tokens_n,
                         char (*ret_tokens)[TOKEN_TEXT_SIZE])
{
    struct change c = {
        .quota_bytes = quota_bytes, .quota_entries = quota_entries, .tokens_n = tokens_n};
    assert_true(tokens_n <= SERVER_TOKENS_MAX);
    snprintf(c.user, sizeof c.user, "%s", user);
    change(p, &c);
    for (size_t i = 0; i < tokens_n; i++)
        memcpy(ret_tokens[i], c.tokens[i], TOKEN_TEXT_SIZE);
}

/* ---- while it runs ---- */

int server_process_ask(struct server_process *p, Persist__AdminVerb verb, const char *name)
{
    Persist__AdminRequest r;
    persist__admin_request__init(&r);
    struct buf out = {0};
    struct err err = {0};
    char text[128];
    bool served;
    snprintf(text, sizeof text, "%s", name);
    r.verb = verb;
    r.name = text;
    int rc = srv_control_ask(p->dir, &r, &served, &out, &err);
    assert_true(served);
    buf_fini(&out);
    return rc;
}

static void read_metrics(const struct server_process *p, char *to, size_t size)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)p->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    size_t n = 0;
    for (ssize_t k; n < size - 1 && (k = read(fd, to + n, size - 1 - n)) > 0;)
        n += (size_t)k;
    to[n] = '\0';
    close(fd);
}

uint64_t server_process_metric(struct server_process *p, const char *name)
{
    char text[16384];
    char line[128];
    read_metrics(p, text, sizeof text);
    snprintf(line, sizeof line, "\npersist_%s ", name);
    const char *at = strstr(text, line);
    assert_non_null(at);
    return strtoull(at + strlen(line), NULL, 10);
}

size_t server_process_memory(const struct server_process *p)
{
    char path[64];
    unsigned long all;
    unsigned long resident = 0;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)p->pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &all, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}
