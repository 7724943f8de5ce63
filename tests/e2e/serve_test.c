/* A server, as who runs it meets it: persist serve, user, token. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/posix.h"

/* What serve.pid of a data directory says; 0: there is none. */
static pid_t server_pid(const struct e2e *f, const char *data)
{
    char path[E2E_PATH_MAX + 64];
    char text[32] = "";
    snprintf(path, sizeof path, "%s/%s/serve.pid", f->top, data);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    bool has = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    return has ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Starts one in the background on a free port; its address, for curl, or "" after a failure. */
static const char *serve(struct e2e *f, const char *options)
{
    static char address[128];
    static const char said[] = "persist: listening on ws://";
    address[0] = '\0';
    if (!e2e_ok(f, "persist serve --listen 127.0.0.1:0 %s", options) ||
        !contains(f->last.out, said))
        return address;
    snprintf(address, sizeof address, "http://%s", strstr(f->last.out, "ws://") + 5);
    address[strcspn(address, "\n")] = '\0';
    holds(strstr(address, ":0") == NULL);
    return address;
}

static void stop(const struct e2e *f, const char *data)
{
    pid_t pid = server_pid(f, data);
    if (holds(pid > 1) && ok(kill(pid, SIGTERM)) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
    same(server_pid(f, data), 0);
}

static void copy_value(const struct e2e *f, const char *place, char *to, size_t size)
{
    const char *v = e2e_value(f, place);
    snprintf(to, size, "%s", v != NULL ? v : "");
}

/* ---- users and tokens ---- */

/* The same commands, whether a server runs or not. */
static void manage(struct e2e *f)
{
    char token[128];
    char id[64];
    e2e_ok(f, "persist user add anna");
    same_text(f->last.out, "");
    e2e_ok(f, "persist user add ben --json");
    same_text(e2e_value(f, "user"), "ben");
    e2e_refused(f, 1, "anna", "persist user add anna");
    e2e_refused(f, 2, "", "persist user add Not/A/Name");
    e2e_ok(f, "persist user list --json");
    same(json_read_count(f->last.out, "users"), 2);
    e2e_ok(f, "persist user quota anna --quota 5M");
    same_text(f->last.out, "");
    e2e_ok(f, "persist user quota anna --quota-entries 70 --json");
    same_text(e2e_value(f, "quota_bytes"), "5242880");
    same_text(e2e_value(f, "quota_entries"), "70");
    e2e_refused(f, 3, "no user", "persist user quota nobody --quota 5M");
    e2e_ok(f, "persist user list --json");
    same_text(e2e_value(f, "users.0.quota_bytes"), "5242880");
    same_text(e2e_value(f, "users.0.quota_entries"), "70");
    same_text(e2e_value(f, "users.1.quota_entries"), "20000000");
    e2e_ok(f, "persist user list");
    contains(f->last.out, "anna");
    e2e_ok(f, "persist token create --user anna --label laptop");
    snprintf(token, sizeof token, "%s", f->last.out);
    same(strlen(token), 59);
    holds(strncmp(token, "ps1_", 4) == 0);
    e2e_ok(f, "persist token create --user anna --label phone --json");
    copy_value(f, "id", id, sizeof id);
    same(strlen(id), 16);
    e2e_refused(f, 3, "no user", "persist token create --user nobody --label x");
    e2e_ok(f, "persist token list --json");
    same(json_read_count(f->last.out, "tokens"), 2);
    token[10] = '\0'; /* what is left of it is in no list */
    holds(strstr(f->last.out, token) == NULL);
    e2e_ok(f, "persist token revoke %s --json", id);
    same_text(e2e_value(f, "label"), "phone");
    e2e_refused(f, 3, "no token", "persist token revoke %s", id);
    e2e_ok(f, "persist token list --user anna --json");
    same(json_read_count(f->last.out, "tokens"), 1);
    e2e_refused(f, 3, "no user", "persist token list --user nobody");
    e2e_ok(f, "persist user remove ben");
    e2e_refused(f, 3, "no user", "persist user remove ben");
    e2e_ok(f, "persist user remove anna");
    e2e_ok(f, "persist token list --json");
    same(json_read_count(f->last.out, "tokens"), 0);
}

/* Each error says of what it is, why, and what to do. */
static void errors_have_three_parts(struct e2e *f)
{
    static const struct {
        int status;
        const char *line, *said;
    } rows[] = {
        {3, "user list --data other", "/other: is no server's data; give its --data"},
        {3, "user list --data none", "/none: is no server's data; give its --data"},
        {3, "token revoke x --data other", "/other: is no server's data; give its --data"},
        {1, "user list --data other/file", "/other/file: Not a directory; give the --data"},
        {2, "user add Bad/Name --data none", "user: a name is 1 to 64 of "},
        {1, "user add anna", "user anna: exists already; choose another name"},
        {3, "user remove ben", "user ben: there is no user of that name; see persist user list"},
        {3, "user quota ben --quota 5", "user ben: there is no user of that name; see persist "},
        {3, "user quota ben --quota 5 --data none", "/none: is no server's data; give its --data"},
        {3, "token list --user ben", "user ben: there is no user of that name; see "},
        {3, "token create --user ben --label x", "user ben: there is no user of that name; see "},
        {2, "token create --user anna --label a/b", "label: is to be 1 to 64 bytes "},
        {3, "token revoke 0011223344556677", "token 0011223344556677: there is no token of that "},
        {3, "token revoke x", "token x: there is no token of that id; see persist token list"},
    };
    e2e_ok(f, "mkdir other && echo >other/file && persist user add anna");
    for (unsigned running = 0; running < 2; running++) {
        for (size_t i = 0; i < ARRAY_N(rows); i++) {
            check_about("%s", rows[i].line);
            e2e_refused(f, rows[i].status, rows[i].said, "persist %s", rows[i].line);
        }
        check_about_nothing();
        if (running == 0)
            serve(f, "");
    }
    stop(f, "home/server");
    e2e_ok(f, "ls other && test ! -e none");
    same_text(f->last.out, "file\n");
}

static void users_and_tokens_are_managed_while_it_runs_and_while_not(struct e2e *f)
{
    e2e_refused(f, 3, "", "persist user list");
    e2e_refused(f, 3, "", "persist token list --data %s/none", f->top);
    check_about("stopped");
    manage(f);
    check_about("running");
    serve(f, "");
    manage(f);
    stop(f, "home/server");
    check_about_nothing();
}

static void wrong_words_are_wrong_usage(struct e2e *f)
{
    static const char *const lines[] = {
        "serve --listen nonsense",
        "serve --listen localhost:8440",
        "serve --listen 127.0.0.1:99999",
        "serve --tls-cert x",
        "serve --tls-key x",
        "serve more",
        "user",
        "user frobnicate",
        "user add",
        "user remove",
        "user list anna",
        "user quota",
        "user quota anna",
        "user quota --quota 5",
        "user quota anna --quota 0",
        "user list --quota 5",
        "user remove anna --quota-entries 5",
        "user add anna --quota 0",
        "user add anna --quota 5X",
        "user add anna --quota 5GG",
        "user add anna --quota -5",
        "user add anna --quota 18446744073709551616",
        "user add anna --quota 99999999999T",
        "user add anna --quota-entries 5K",
        "user add anna --quota-entries ''",
        "token",
        "token create --user anna",
        "token create --label x",
        "token create anna --user anna --label x",
        "token revoke",
        "token revoke x --user anna",
        "token list anna",
        "token list --label x",
        "token frobnicate",
    };
    for (size_t i = 0; i < ARRAY_N(lines); i++) {
        check_about("%s", lines[i]);
        e2e_refused(f, 2, "", "persist %s", lines[i]);
    }
    check_about_nothing();
    e2e_refused(f, 3, "no: does not exist; ",
                "persist serve --listen 127.0.0.1:0 --tls-cert no --tls-key no");
    e2e_ok(f, "echo no PEM >text");
    e2e_refused(f, 3, "cannot load the certificate: ",
                "persist serve --listen 127.0.0.1:0 --tls-cert text --tls-key text");
    same(server_pid(f, "home/server"), 0);
    e2e_ok(f, "persist serve --help");
    contains(f->last.out, "--listen");
    contains(f->last.out, "--mirror");
}

static void a_mirror_is_apart(struct e2e *f)
{
    e2e_mount(f, NULL);
    e2e_ok(f, "mkdir -p data/in around notes/in apart && ln -s ../data/in around/link");
    static const char *const lines[] = {
        "--data data --mirror data",
        "--data data --mirror data/in",
        "--data data --mirror data/none/yet",
        "--data data --mirror around/link",
        "--data around/none/yet --mirror around",
        "--mirror home",
        "--mirror notes",
        "--mirror notes/in",
        "--mirror notes/none/yet",
    };
    for (size_t i = 0; i < ARRAY_N(lines); i++) {
        check_about("%s", lines[i]);
        e2e_refused(f, 2, "choose another --mirror", "persist serve --listen 127.0.0.1:0 %s",
                    lines[i]);
        same(server_pid(f, "data"), 0);
        same(server_pid(f, "home/server"), 0);
    }
    check_about_nothing();
    e2e_ok(f, "[ -z \"$(find data/in notes/in -mindepth 1)\" ]");
    serve(f, "--data data --mirror apart");
    stop(f, "data");
    e2e_unmount(f);
}

/* Other things than a mirror of this data are neither taken over nor mixed with it. */
static void a_mirror_takes_nothing_over(struct e2e *f)
{
    e2e_ok(f, "mkdir full one two && echo mine >full/mine && mkdir two/lost+found");
    e2e_refused(f, 2, "full is not empty, and was no mirror of this server; give an empty ",
                "persist serve --listen 127.0.0.1:0 --data data --mirror full");
    same(server_pid(f, "data"), 0);
    serve(f, "--data data --mirror one");
    stop(f, "data");
    /* One that was, also when it was not the last one; none of other data. */
    e2e_ok(f, "mkdir one/anna && echo 1 >one/anna/1");
    serve(f, "--data data --mirror two");
    stop(f, "data");
    e2e_refused(f, 2, "full is not empty, ",
                "persist serve --listen 127.0.0.1:0 --data data --mirror full");
    serve(f, "--data data --mirror one");
    stop(f, "data");
    e2e_refused(f, 2, "one is not empty, and was no mirror of this server; give an empty ",
                "persist serve --listen 127.0.0.1:0 --data other --mirror one");
    e2e_ok(f, "cat full/mine one/anna/1 && ls -A full one two");
    same_text(f->last.out, "mine\n1\nfull:\nmine\n\none:\nanna\n\ntwo:\nlost+found\n");
}

/* ---- the life of a server ---- */

static void it_answers_and_stops(struct e2e *f)
{
    const char *address = serve(f, "");
    pid_t pid = server_pid(f, "home/server");
    e2e_ok(f, "curl -s -w %%{http_code} %s/healthz", address);
    same_text(f->last.out, "ok\n200");
    e2e_ok(f, "curl -s %s/metrics", address);
    contains(f->last.out, "\npersist_stored_bytes 0\n");
    e2e_ok(f, "curl -s -o /dev/null -w %%{http_code} %s/v1/sync", address);
    same_text(f->last.out, "404");
    e2e_ok(f, "curl -s -o /dev/null -w %%{http_code} %s/other", address);
    same_text(f->last.out, "404");
    char said[64];
    snprintf(said, sizeof said, "process %ld", (long)pid);
    e2e_refused(f, 1, said, "persist serve --listen 127.0.0.1:0");
    e2e_refused(f, 1, said, "persist serve --listen 127.0.0.1:0 -f");
    e2e_refused(f, 1, "cannot listen", "persist serve --data %s/other --listen %s", f->top,
                address + strlen("http://"));
    struct stat st;
    char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/server/control.sock", f->home);
    ok(stat(path, &st));
    same(st.st_mode & 0777, 0600);
    stop(f, "home/server");
    fails(stat(path, &st), ENOENT);
    snprintf(path, sizeof path, "%s/log/serve.log", f->home);
    e2e_ok(f, "cat %s", path);
    contains(f->last.out, "listens on");
    contains(f->last.out, "has stopped");
}

/* The status of a GET of /metrics with some headers. */
static void metrics_are(struct e2e *f, const char *address, const char *headers, const char *status)
{
    check_about("%s", headers);
    e2e_ok(f, "curl -s -o /dev/null -w %%{http_code} %s %s/metrics", headers, address);
    same_text(f->last.out, status);
    check_about_nothing();
}

static void wrong_tokens_lock_nobody_else_out(struct e2e *f)
{
    char token[128];
    char right[192];
    const char *address = serve(f, "");
    e2e_ok(f, "persist user add anna && persist token create --user anna --label laptop");
    snprintf(token, sizeof token, "%s", f->last.out);
    token[strcspn(token, "\n")] = '\0';
    static const char wrong[] = "-H 'Authorization: Bearer x' -H 'X-Forwarded-For: 192.0.2.7'";
    for (int i = 0; i < 5; i++)
        metrics_are(f, address, wrong, "401");
    metrics_are(f, address, wrong, "429");
    snprintf(right, sizeof right, "-H 'Authorization: Bearer %s' -H 'X-Forwarded-For: 192.0.2.7'",
             token);
    metrics_are(f, address, right, "200");
    /* Another client of the same proxy may err, too. */
    metrics_are(f, address, "-H 'Authorization: Bearer x' -H 'X-Forwarded-For: 192.0.2.8'", "401");
    stop(f, "home/server");
}

/* The numbers are for this machine, and for who has a token. */
static void numbers_are_not_for_other_machines(struct e2e *f)
{
    char token[128];
    const char *address = serve(f, "");
    metrics_are(f, address, "", "200");
    metrics_are(f, address, "-H 'X-Forwarded-For: 127.0.0.1'", "401");
    metrics_are(f, address, "-H 'Forwarded: for=127.0.0.1'", "401");
    metrics_are(f, address, "-H 'Host: sync.example.org'", "401");
    e2e_ok(f, "persist user add anna && persist token create --user anna --label laptop");
    snprintf(token, sizeof token, "%s", f->last.out);
    token[strcspn(token, "\n")] = '\0';
    stop(f, "home/server");
    /* A network of its own, in which this machine has another address. */
    e2e_ok(f,
           "unshare -n sh -ec 'ip link set lo up; ip address add 192.0.2.1/32 dev lo; "
           "persist serve --listen 0.0.0.0:8440 >&2; "
           "for from in 127.0.0.1 192.0.2.1; do "
           "curl -s -o /dev/null -w \"%%{http_code} \" http://$from:8440/metrics; done; "
           "curl -s -o /dev/null -w \"%%{http_code}\" -H \"Authorization: Bearer %s\" "
           "http://192.0.2.1:8440/metrics'",
           token);
    same_text(f->last.out, "200 401 200");
    stop(f, "home/server");
}

static void a_killed_one_is_followed_by_another(struct e2e *f)
{
    serve(f, "--data data");
    e2e_ok(f, "persist user add anna --data data");
    pid_t pid = server_pid(f, "data");
    kill(pid, SIGKILL);
    e2e_wait_gone(pid, E2E_LONG_MS);
    /* Its socket is still there, and nobody listens: that is not a server. */
    e2e_ok(f, "persist user list --data data --json");
    same(json_read_count(f->last.out, "users"), 1);
    serve(f, "--data data");
    holds(server_pid(f, "data") != pid);
    e2e_ok(f, "persist user list --data data --json");
    same(json_read_count(f->last.out, "users"), 1);
    stop(f, "data");
}

/* Who has its data by the lock alone is one that was killed, and whose files are not closed yet. */
static void it_waits_for_one_that_is_ending(struct e2e *f)
{
    char path[E2E_PATH_MAX + 64], pid_text[64];
    serve(f, "");
    stop(f, "home/server");
    snprintf(path, sizeof path, "%s/home/server/pid", f->top);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    holds(fd >= 0);
    ok(fcntl(fd, F_OFD_SETLK, &lock));
    snprintf(pid_text, sizeof pid_text, "/home/server: is served by process %ld already; end",
             (long)getpid());
    ok(ftruncate(fd, 0));
    holds(dprintf(fd, "%ld\n", (long)getpid()) > 0);
    e2e_refused(f, 1, pid_text, "persist serve --listen 127.0.0.1:0");
    pid_t pid = e2e_start(f, "exec persist serve -f --listen 127.0.0.1:0 2>>f.log");
    usleep(1000 * 1000);
    holds(kill(pid, 0) == 0 && waitpid(pid, NULL, WNOHANG) == 0);
    ok(close(fd));
    for (uint64_t end = e2e_now_ms() + E2E_LONG_MS; server_pid(f, "home/server") != pid;) {
        next_tick();
        if (!holds(e2e_now_ms() < end))
            break;
    }
    e2e_stop(pid);
}

static void in_the_foreground_it_says_where_and_ends_with_a_signal(struct e2e *f)
{
    static const int signals[] = {SIGTERM, SIGINT};
    char path[E2E_PATH_MAX + 64];
    for (size_t i = 0; i < ARRAY_N(signals); i++) {
        check_about("signal %d", signals[i]);
        pid_t pid = e2e_start(f, "exec persist serve -f --listen 127.0.0.1:0 >out 2>>f.log");
        uint64_t end = e2e_now_ms() + E2E_LONG_MS;
        while (server_pid(f, "home/server") != pid && e2e_now_ms() < end)
            next_tick();
        same(server_pid(f, "home/server"), pid);
        kill(pid, signals[i]);
        int status = -1;
        if (e2e_wait_gone(pid, E2E_LONG_MS))
            waitpid(pid, &status, 0);
        same(status, 0);
        snprintf(path, sizeof path, "%s/out", f->top);
        e2e_ok(f, "cat %s", path);
        contains(f->last.out, "persist: listening on ws://127.0.0.1:");
        same(strchr(f->last.out, '\n') - f->last.out, (intmax_t)f->last.out_n - 1);
    }
}

/* A certificate NAME for a name or address, signed by itself, and its key NAME.key. */
static bool make_certificate(struct e2e *f, const char *name, const char *for_whom)
{
    return e2e_ok(f,
                  "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                  "-subj /CN=%s -addext subjectAltName=%s -keyout %s.key -out %s 2>/dev/null",
                  name, for_whom, name, name);
}

/* Starts a server with a certificate: its address. NULL: it failed. */
static const char *serve_tls(struct e2e *f, const char *name)
{
    static char address[64];
    e2e_ok(f, "persist serve --listen 127.0.0.1:0 --tls-cert %s --tls-key %s.key", name, name);
    const char *at = strstr(f->last.out, "wss://");
    if (!holds(at != NULL))
        return NULL;
    snprintf(address, sizeof address, "%s", at + strlen("wss://"));
    address[strcspn(address, "\n")] = '\0';
    return address;
}

/* A device says what is wrong with a certificate, whatever it is. */
static void refuse_others(struct e2e *f, const char *address)
{
    e2e_refused(f, 5, "certificate: self-signed certificate",
                "persist remote add wss://%s notes --token-file token", address);
    e2e_refused(f, 5, "certificate: self-signed certificate",
                "persist remote add wss://%s notes --token-file token --ca other", address);
    e2e_refused(f, 5, "cannot connect: ", "persist remote add ws://%s notes --token-file token",
                address);
    e2e_refused(f, 3, "token: cannot load certificates of authorities: ",
                "persist remote add wss://%s notes --token-file token --ca token", address);
    e2e_refused(f, 3, "none: No such file or directory",
                "persist remote add wss://%s notes --token-file token --ca none", address);
    e2e_ok(f, "persist remote list --json");
    same(json_read_count(f->last.out, "remotes"), 0);
}

static void with_a_certificate_it_speaks_tls(struct e2e *f)
{
    const char *address;
    if (!make_certificate(f, "cert", "IP:127.0.0.1") ||
        !make_certificate(f, "other", "IP:127.0.0.2") || !(address = serve_tls(f, "cert")))
        return;
    e2e_ok(f, "curl -s --cacert cert https://%s/healthz", address);
    same_text(f->last.out, "ok\n");
    e2e_mount(f, "");
    e2e_ok(f, "persist user add anna && persist token create --user anna --label a >token");
    refuse_others(f, address);
    e2e_ok(f, "persist remote add wss://%s notes --token-file token --ca cert", address);
    /* It was copied: a process that starts anew does without the file. */
    e2e_ok(f, "mv cert away");
    e2e_end_sync(f);
    e2e_ok(f, "echo text >notes/file && persist sync --wait notes && mv away cert");
    e2e_ok(f, "persist remote remove wss://%s notes", address);
    stop(f, "home/server");
    /* One that is trusted, and of somebody else. */
    if ((address = serve_tls(f, "other")) != NULL)
        e2e_refused(f, 5, "certificate: IP address mismatch",
                    "persist remote add wss://%s notes --token-file token --ca other", address);
    stop(f, "home/server");
    e2e_unmount(f);
}

int main(int argc, char **argv)
{
    const struct e2e_test tests[] = {
        E2E_TEST(users_and_tokens_are_managed_while_it_runs_and_while_not),
        E2E_TEST(errors_have_three_parts),
        E2E_TEST(wrong_words_are_wrong_usage),
        E2E_TEST(a_mirror_is_apart),
        E2E_TEST(a_mirror_takes_nothing_over),
        E2E_TEST(it_answers_and_stops),
        E2E_TEST(wrong_tokens_lock_nobody_else_out),
        E2E_TEST(numbers_are_not_for_other_machines),
        E2E_TEST(a_killed_one_is_followed_by_another),
        E2E_TEST(it_waits_for_one_that_is_ending),
        E2E_TEST(in_the_foreground_it_says_where_and_ends_with_a_signal),
        E2E_TEST(with_a_certificate_it_speaks_tls),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
