#include "tests/support/sync_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/e2e_process.h"
#include "tests/support/manifest.h"

enum {
    STEP_MS = 50,
    TEXTS = 8,
    TEXT_SIZE = 16384,
    PORT_FIRST = 20000, /* below those that the kernel gives to clients: one could meet itself */
    PORTS = 10000,
};

struct e2e *world_at(const struct sync_world *w, size_t device)
{
    return w->device[device];
}

/* ---- the server --------------------------------------------------------------------------------
 */

static bool is_free(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

static unsigned choose_port(void)
{
    for (unsigned i = 0; i < PORTS; i++) {
        unsigned port = PORT_FIRST + ((unsigned)getpid() * 7 + i) % PORTS;
        if (is_free(port))
            return port;
    }
    return 0;
}

void world_server_stop(struct sync_world *w, int signal)
{
    int status;
    if (w->server_pid <= 0)
        return;
    kill(w->server_pid, signal);
    if (!e2e_wait_gone(w->server_pid, E2E_LONG_MS))
        kill(w->server_pid, SIGKILL);
    waitpid(w->server_pid, &status, 0);
    w->server_pid = 0;
}

static bool is_listening(void *arg)
{
    struct sync_world *w = arg;
    return access(world_path(w->server, "../listens"), F_OK) == 0 &&
           e2e_sh(w->server, "grep -q listening listens")->status == 0;
}

bool world_server_start(struct sync_world *w)
{
    unlink(world_path(w->server, "../listens"));
    w->server_pid = e2e_start(w->server,
                              "exec persist serve -f --listen %s:%u --data %s %s "
                              ">listens 2>>home/log/serve.log",
                              w->address, w->port, w->data, w->options);
    return holds(w->server_pid > 0) && e2e_wait(is_listening, w, E2E_LONG_MS, "the server listens");
}

uint64_t world_metric(struct sync_world *w, const char *name)
{
    e2e_sh(w->server,
           "bash -c 'exec 3<>/dev/tcp/%s/%u && printf \"GET /metrics HTTP/1.0\\r\\nHost: "
           "localhost\\r\\nConnection: close\\r\\n\\r\\n\" >&3 && cat <&3' | "
           "sed -n 's/^persist_%s //p'",
           w->address, w->port, name);
    if (w->server->last.out_n == 0)
        check_fail("no metric %s: %s", name, w->server->last.err);
    return strtoull(w->server->last.out, NULL, 10);
}

/* ---- devices -----------------------------------------------------------------------------------
 */

/* A part of the fixture with a home of its own. */
static struct e2e *part(const struct sync_world *w, const char *name)
{
    struct e2e *d = calloc(1, sizeof *d);
    if (d == NULL)
        abort();
    snprintf(d->top, sizeof d->top, "%.90s/%s", w->f->top, name);
    snprintf(d->home, sizeof d->home, "%.100s/home", d->top);
    snprintf(d->folder, sizeof d->folder, "%.100s/notes", d->top);
    ok(mkdir(d->top, 0755));
    ok(mkdir(d->folder, 0755));
    return d;
}

struct e2e *world_add(struct sync_world *w)
{
    char name[16];
    if (w->n == WORLD_DEVICES_MAX)
        return NULL;
    snprintf(name, sizeof name, "d%zu", w->n);
    struct e2e *d = part(w, name);
    if (w->lan != NULL) {
        d->net = w->lan->host[w->n];
        e2e_ok(d, "persist p2p --mdns off >/dev/null");
    }
    w->device[w->n++] = d;
    return e2e_ok(w->server, "persist token create --user alice --label %s --data %s >%s/token",
                  name, w->data, d->top)
               ? d
               : NULL;
}

/* Without TLS to another machine. */
static const char *trust(const struct sync_world *w)
{
    return w->lan != NULL ? "--insecure" : "";
}

bool world_found(struct sync_world *w, struct e2e *d)
{
    return e2e_mount(d, "--name notes") &&
           e2e_ok(d, "persist remote add %s %s --token-file token %s >added", w->url, d->folder,
                  trust(w)) &&
           e2e_ok(d, "sed -n 's/^passphrase: //p' added >../passphrase && test -s ../passphrase");
}

bool world_clone(struct sync_world *w, struct e2e *d)
{
    return e2e_ok(d,
                  "persist clone %s %s --name notes --token-file token "
                  "--passphrase-file ../passphrase %s",
                  w->url, d->folder, trust(w));
}

const char *world_listen(struct e2e *d)
{
    static char text[8][200];
    static size_t n;
    char *ret = text[n++ % ARRAY_N(text)];
    e2e_ok(d, "persist p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off --json >p2p");
    e2e_sh(d, "cat p2p");
    snprintf(ret, sizeof text[0], "%s", e2e_value(d, "addresses.0"));
    return ret;
}

void world_without_server(struct sync_world *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const char *address = world_listen(world_at(w, i));
        for (size_t j = 0; j < i; j++)
            e2e_ok(world_at(w, j), "persist p2p --peer %s", address);
    }
    world_server_stop(w, SIGTERM);
}

void world_offline(struct e2e *d)
{
    pid_t pid = e2e_sync_pid(d);
    if (holds(pid > 0) && ok(kill(pid, SIGTERM)) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
}

void world_online(struct e2e *d)
{
    e2e_ok(d, "persist daemon");
}

/* ---- the world ---------------------------------------------------------------------------------
 */

static bool begin_server(struct sync_world *w)
{
    w->server = part(w, "server");
    if (w->lan != NULL)
        w->server->net = w->lan->host[w->lan->n - 1];
    snprintf(w->data, sizeof w->data, "%.100s/data", w->server->top);
    w->port = choose_port();
    snprintf(w->url, sizeof w->url, "ws://%s:%u", w->address, w->port);
    return holds(w->port > 0) && e2e_ok(w->server, "mkdir -p -m 700 home home/log") &&
           world_server_start(w) && e2e_ok(w->server, "persist user add alice --data %s", w->data);
}

static bool begin(struct sync_world *w, size_t n)
{
    if (!begin_server(w))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct e2e *d = world_add(w);
        if (d == NULL || !(i == 0 ? world_found(w, d) : world_clone(w, d)))
            return false;
    }
    return true;
}

bool world_begin(struct sync_world *w, struct e2e *f, size_t n)
{
    *w = (struct sync_world){.f = f, .address = "127.0.0.1"};
    return begin(w, n);
}

bool world_begin_apart(struct sync_world *w, struct e2e *f, size_t n, const struct lan *lan)
{
    static char address[24];
    snprintf(address, sizeof address, "10.77.0.%zu", n + 1);
    *w = (struct sync_world){.f = f, .address = address, .lan = lan};
    return begin(w, n);
}

static void end_part(struct e2e *d)
{
    if (d == NULL)
        return;
    e2e_leave(d);
    e2e_result_free(&d->last);
    free(d);
}

void world_end(struct sync_world *w)
{
    for (size_t i = 0; i < w->n; i++)
        end_part(w->device[i]);
    world_server_stop(w, SIGTERM);
    end_part(w->server);
    *w = (struct sync_world){.f = w->f};
}

/* ---- files -------------------------------------------------------------------------------------
 */

const char *world_path(const struct e2e *d, const char *fmt, ...)
{
    static char paths[TEXTS][512];
    static unsigned next;
    char *path = paths[next++ % TEXTS];
    va_list ap;
    int n = snprintf(path, sizeof paths[0], "%s/", d->folder);
    va_start(ap, fmt);
    vsnprintf(path + n, sizeof paths[0] - (size_t)n, fmt, ap);
    va_end(ap);
    return path;
}

void world_save(const struct e2e *d, const char *name, const char *text)
{
    int fd = open(world_path(d, "%s", name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t n = strlen(text);
    if (ok(fd) >= 0)
        same(write(fd, text, n), (intmax_t)n);
    if (fd >= 0)
        ok(close(fd));
}

const char *world_text(const struct e2e *d, const char *name)
{
    static char texts[TEXTS][TEXT_SIZE];
    static unsigned next;
    char *text = texts[next++ % TEXTS];
    int fd = open(world_path(d, "%s", name), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, TEXT_SIZE - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

unsigned world_named(const struct e2e *d, const char *wanted)
{
    unsigned n = 0;
    DIR *dir = opendir(d->folder);
    const struct dirent *e;
    while (dir != NULL && (e = readdir(dir)) != NULL)
        n += strstr(e->d_name, wanted) != NULL;
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

struct wanted {
    const struct e2e *d;
    struct e2e *asked;
    const char *name, *text;
};

static bool has_text(void *arg)
{
    const struct wanted *w = arg;
    return access(world_path(w->d, "%s", w->name), F_OK) == 0 &&
           strcmp(world_text(w->d, w->name), w->text) == 0;
}

bool world_wait_text_within(const struct e2e *d, unsigned ms, const char *name, const char *text)
{
    struct wanted w = {.d = d, .name = name, .text = text};
    char what[300];
    snprintf(what, sizeof what, "%s of %s holds \"%.100s\"", name, d->folder, text);
    if (e2e_wait(has_text, &w, ms, what))
        return true;
    fprintf(stderr, "    it holds: \"%.400s\"\n", world_text(d, name));
    return false;
}

bool world_wait_text(const struct e2e *d, const char *name, const char *text)
{
    return world_wait_text_within(d, WORLD_EVEN_MS, name, text);
}

static bool is_linked_so(void *arg)
{
    const struct wanted *w = arg;
    e2e_sh(w->asked, "persist remote list --json");
    return strcmp(e2e_value(w->asked, "remotes.0.state"), w->text) == 0;
}

bool world_wait_link(struct e2e *d, const char *state)
{
    struct wanted w = {.asked = d, .text = state};
    char what[64];
    snprintf(what, sizeof what, "the link is %.20s", state);
    return e2e_wait(is_linked_so, &w, E2E_LONG_MS, what);
}

/* What a device shows, or NULL while it has something to publish. */
static char *tree_of(struct e2e *d)
{
    e2e_sh(d, "persist status %s --json", d->folder);
    if (d->last.status != 0 || strcmp(e2e_value(d, "pending"), "0") != 0)
        return NULL;
    return manifest_of(d->folder, MANIFEST_LINKS | MANIFEST_XATTR);
}

/* Whether all are the same; else *@ret_one and *@ret_other differ, where they could be had. */
static bool is_even(struct sync_world *w, char **ret_one, char **ret_other)
{
    *ret_one = tree_of(w->device[0]);
    *ret_other = NULL;
    bool even = *ret_one != NULL;
    for (size_t i = 1; i < w->n && even; i++) {
        free(*ret_other);
        *ret_other = tree_of(w->device[i]);
        even = *ret_other != NULL && strcmp(*ret_one, *ret_other) == 0;
    }
    return even;
}

bool world_even_within(struct sync_world *w, unsigned ms)
{
    uint64_t by = e2e_now_ms() + ms;
    unsigned step = STEP_MS;
    for (;;) {
        char *one, *other;
        bool even = is_even(w, &one, &other), late = e2e_now_ms() >= by;
        if (!even && late) {
            check_fail("the devices are not even after %u ms", ms);
            if (one != NULL && other != NULL)
                check_same_tree(other, one, CHECK_AT("a device's tree"));
            for (size_t i = 0; i < w->n; i++)
                fprintf(stderr, "%s", e2e_sh(w->device[i], "persist status")->out);
        }
        free(one);
        free(other);
        if (even || late)
            return even;
        usleep(step * 1000);
        step = step < 1000 ? 2 * step : step;
    }
}

bool world_even(struct sync_world *w)
{
    return world_even_within(w, WORLD_EVEN_MS);
}
