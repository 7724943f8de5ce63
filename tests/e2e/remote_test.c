/*
 * The sync process and its commands, as people use them: the real program, and a server that can be
 * told how to fail.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/session.pb-c.h"
#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/link_server.h"
#include "tests/support/posix.h"

/* A test's own servers: ended before the fixture, which takes children that stay for a fault. */
static struct link_server server, other;

static bool is_sync_running(const struct e2e *f)
{
    pid_t pid = e2e_sync_pid(f);
    return pid > 0 && kill(pid, 0) == 0;
}

static const char *state_path(const struct e2e *f, const char *name)
{
    static char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", f->home, name);
    return path;
}

static void begin(struct e2e *f)
{
    link_server_start(&server);
    e2e_mount(f, NULL);
    e2e_ok(f, "printf 'good-secret-one\\n' >token && printf 'bad-secret\\n' >bad && "
              "echo 'a passphrase of mine' >pass");
}

static void finish(void)
{
    link_server_free(&server);
    link_server_free(&other);
}

/* How many remotes there are, of all folders. */
static long remotes(struct e2e *f)
{
    return e2e_ok(f, "persist remote list --json") ? (long)json_read_count(f->last.out, "remotes")
                                                   : -1;
}

/* ---- the process ---- */

static void the_daemon_starts_once(struct e2e *f)
{
    struct stat st;
    e2e_ok(f, "persist daemon");
    same_text(f->last.out, "");
    pid_t pid = e2e_sync_pid(f);
    holds(is_sync_running(f));
    ok(stat(state_path(f, "run/sync.sock"), &st));
    same(st.st_mode & 07777, 0600);
    e2e_ok(f, "persist daemon");
    contains(f->last.out, "runs already");
    same(e2e_sync_pid(f), pid);
    e2e_refused(f, 2, "too many arguments", "persist daemon now");
    /* Ten at once are one, too. */
    kill(pid, SIGTERM);
    e2e_wait_gone(pid, E2E_LONG_MS);
    holds(!exists(state_path(f, "run/sync.pid")));
    holds(!exists(state_path(f, "run/sync.sock")));
    e2e_ok(f, "for i in 1 2 3 4 5 6 7 8 9 10; do persist daemon & p=\"$p $!\"; done; "
              "for i in $p; do wait $i || exit 1; done");
    holds(is_sync_running(f));
}

static void the_foreground_ends_with_a_signal(struct e2e *f)
{
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_N(signals); i++) {
        pid_t pid = e2e_start(f, "exec persist daemon -f 2>>%s/f.log", f->top);
        uint64_t by = e2e_now_ms() + E2E_LONG_MS;
        while (!exists(state_path(f, "run/sync.sock")) && e2e_now_ms() < by)
            next_tick();
        same(e2e_sync_pid(f), pid);
        kill(pid, signals[i]);
        int status = -1;
        if (e2e_wait_gone(pid, E2E_LONG_MS))
            waitpid(pid, &status, 0);
        same(status, 0);
        holds(!exists(state_path(f, "run/sync.sock")));
    }
}

static void a_killed_process_is_replaced(struct e2e *f)
{
    e2e_ok(f, "persist daemon");
    pid_t pid = e2e_sync_pid(f);
    kill(pid, SIGKILL);
    e2e_wait_gone(pid, E2E_LONG_MS);
    holds(exists(state_path(f, "run/sync.sock"))); /* stale */
    e2e_ok(f, "persist remote list");              /* a command needs it: it is there */
    same_text(f->last.out, "");
    contains(f->last.err, "remotes: there are none; 'persist remote add URL' links a folder");
    holds(is_sync_running(f));
    holds(e2e_sync_pid(f) != pid);
}

static void one_whose_state_is_gone_ends(struct e2e *f)
{
    e2e_ok(f, "persist daemon");
    pid_t pid = e2e_sync_pid(f);
    e2e_ok(f, "rm -rf home && persist daemon");
    e2e_wait_gone(pid, E2E_LONG_MS);
    holds(is_sync_running(f));
    holds(exists(state_path(f, "run/sync.sock")));
    e2e_ok(f, "persist remote list");
}

static void mounting_starts_it(struct e2e *f)
{
    e2e_mount(f, NULL);
    same_text(f->last.err, "");
    pid_t pid = e2e_sync_pid(f);
    holds(is_sync_running(f));
    e2e_ok(f, "mkdir second && persist mount second && persist unmount second");
    same(e2e_sync_pid(f), pid);
    e2e_unmount(f);
    holds(is_sync_running(f));
    /* Its environment is not a place where the token stays. */
    kill(pid, SIGTERM);
    e2e_wait_gone(pid, E2E_LONG_MS);
    e2e_ok(f, "PERSIST_DEVICE_TOKEN=good-in-the-environment persist mount %s", f->folder);
    e2e_ok(f, "tr '\\0' '\\n' </proc/%ld/environ", (long)e2e_sync_pid(f));
    contains(f->last.out, "PERSIST_HOME=");
    holds(strstr(f->last.out, "good-in-the-environment") == NULL);
}

static void a_mount_does_without_it(struct e2e *f)
{
    f->errors_expected = true; /* the mount's, which goes without */
    e2e_ok(f, "persist daemon");
    kill(e2e_sync_pid(f), SIGTERM);
    e2e_wait_gone(e2e_sync_pid(f), E2E_LONG_MS);
    put_file(state_path(f, "sync/remotes"), "not a list of remotes");
    ok(chmod(state_path(f, "sync/remotes"), 0600));
    e2e_mount(f, NULL);
    contains(f->last.err, "sync/remotes: is damaged");
    holds(e2e_is_mounted(f->folder));
    e2e_ok(f, "persist status %s", f->folder); /* at once */
    contains(f->last.out, "cannot be started: ");
    contains(f->last.out, "sync/remotes: is damaged");
    e2e_refused(f, 1, "sync/remotes: is damaged", "persist sync %s", f->folder);
    e2e_refused(f, 1, "sync/remotes: is damaged", "persist remote list");
    ok(chmod(state_path(f, "sync/remotes"), 0644));
    e2e_refused(f, 4, "mode 644", "persist remote list");
    e2e_refused(f, 4, "mode 644", "persist daemon");
    ok(unlink(state_path(f, "sync/remotes")));
    e2e_ok(f, "persist remote list");
}

/* ---- remotes ---- */

static void a_remote_is_added_listed_and_removed(struct e2e *f)
{
    begin(f);
    e2e_ok(f, "persist remote add %s %s --token-file token --interval 60", server.url, f->folder);
    const char *at = strstr(f->last.out, "passphrase: ");
    holds(at == f->last.out && strspn(at + 12, "0123456789ABCDEFGHJKMNPQRSTVWXYZ-") == 19);
    contains(f->last.out, "kept nowhere");
    e2e_ok(f, "persist remote list --json");
    same_text(e2e_value(f, "remotes.0.url"), server.url);
    same_text(e2e_value(f, "remotes.0.folder"), f->folder);
    same_text(e2e_value(f, "remotes.0.interval_s"), "60");
    same_text(e2e_value(f, "remotes.0.managed"), "false");
    e2e_ok(f, "persist remote list");
    contains(f->last.out, server.url);
    contains(f->last.out, f->folder);
    /* Again, in another spelling: it is the same one. */
    e2e_ok(f, "cd %s && persist remote add WS%s/ --token-file ../token --passphrase-file ../pass",
           f->folder, server.url + 2);
    same_text(f->last.out, "");
    same(remotes(f), 1);
    e2e_ok(f, "persist remote list --json");
    same_text(e2e_value(f, "remotes.0.interval_s"), "0");
    /* It is there after a restart of the process, however that ended. */
    static const int signals[] = {SIGTERM, SIGKILL};
    for (size_t i = 0; i < ARRAY_N(signals); i++) {
        pid_t pid = e2e_sync_pid(f);
        kill(pid, signals[i]);
        e2e_wait_gone(pid, E2E_LONG_MS);
        same(remotes(f), 1);
    }
    e2e_refused(f, 3, "no remote of this folder", "persist remote remove ws://localhost:1 %s",
                f->folder);
    e2e_ok(f, "persist remote remove %s %s", server.url, f->folder);
    same(remotes(f), 0);
    e2e_refused(f, 3, "no remote of this folder", "persist remote remove %s %s", server.url,
                f->folder);
    finish();
}

static void a_remote_that_cannot_be_is_not_stored(struct e2e *f)
{
    begin(f);
    const char *folder = f->folder;
    e2e_refused(f, 4, "refuses the token", "persist remote add %s %s --token-file bad", server.url,
                folder);
    holds(strstr(f->last.err, "bad-secret") == NULL);
    e2e_refused(f, 5, "ws://127.0.0.1:1",
                "persist remote add ws://127.0.0.1:1 %s --token-file token", folder);
    atomic_store(&server.control->mute, 1);
    e2e_refused(f, 5, "in time", "persist remote add %s %s --token-file token", server.url, folder);
    atomic_store(&server.control->mute, 0);
    e2e_refused(f, 4, "--insecure",
                "persist remote add ws://server.example.org %s --token-file token", folder);
    e2e_refused(f, 2, "not the address",
                "persist remote add https://localhost %s --token-file token", folder);
    e2e_refused(f, 2, "no token", "persist remote add %s %s", server.url, folder);
    e2e_refused(f, 3, "missing", "persist remote add %s %s --token-file missing", server.url,
                folder);
    e2e_refused(f, 3, "ca.pem", "persist remote add %s %s --token-file token --ca ca.pem",
                server.url, folder);
    e2e_refused(f, 2, "--interval", "persist remote add %s %s --token-file token --interval 1h",
                server.url, folder);
    e2e_refused(f, 2, "shorter",
                "echo short >pass && "
                "persist remote add %s %s --token-file token --passphrase-file pass",
                server.url, folder);
    e2e_refused(f, 2, "exclude",
                "persist remote add %s %s --token-file token --passphrase-file pass "
                "--managed",
                server.url, folder);
    e2e_refused(f, 2, "which server", "persist remote add");
    e2e_refused(f, 2, "none of", "persist remote show");
    e2e_refused(f, 2, "--json", "persist remote add %s --json", server.url);
    e2e_refused(f, 3, "elsewhere", "persist remote add %s elsewhere --token-file token",
                server.url);
    same(remotes(f), 0);
    holds(!exists(state_path(f, "sync/remotes")));
    holds(!exists(state_path(f, "sync/tokens")));
    finish();
}

/* A server that takes no entry at all, as one that takes a heap of them slowly. */
static void what_opens_a_folder_goes_before_all_that_is_in_it(struct e2e *f)
{
    static const char *const ways[] = {"--passphrase-file pass", "--managed"};
    begin(f);
    atomic_store(&server.control->no_entries, 1);
    e2e_ok(f, "for i in 1 2 3; do echo $i >%s/$i; done && persist log %s/3", f->folder, f->folder);
    for (unsigned i = 0; i < ARRAY_N(ways); i++) {
        e2e_ok(f, "persist remote add %s %s --token-file token %s", server.url, f->folder, ways[i]);
        same(atomic_load(&server.control->doors), i + 1);
        e2e_ok(f, "persist status %s --json", f->folder);
        const char *to_push = e2e_value(f, "remotes.0.to_push");
        holds(to_push[0] >= '1' && to_push[0] <= '9');
        e2e_ok(f, "persist remote remove %s %s", server.url, f->folder);
    }
    finish();
}

static void folders_have_their_own_remotes(struct e2e *f)
{
    begin(f);
    link_server_start(&other);
    e2e_ok(f, "mkdir second && persist mount second");
    e2e_ok(f,
           "for u in %s %s; do for d in %s second; do "
           "persist remote add $u $d --token-file token --passphrase-file pass || exit; done; done",
           server.url, other.url, f->folder);
    same(remotes(f), 4);
    e2e_ok(f, "persist remote list second --json");
    same(json_read_count(f->last.out, "remotes"), 2);
    e2e_refused(f, 2, "say which", "cd / && persist remote remove %s", server.url);
    e2e_ok(f, "persist remote remove %s second", server.url);
    same(remotes(f), 3);
    e2e_ok(f, "persist remote list second --json");
    same_text(e2e_value(f, "remotes.0.url"), other.url);
    /* A folder that is forgotten has none. */
    e2e_ok(f, "persist unmount second && persist forget second --yes");
    same(remotes(f), 2);
    e2e_ok(f, "persist remote list --json");
    same_text(e2e_value(f, "remotes.0.folder"), f->folder);
    same_text(e2e_value(f, "remotes.1.folder"), f->folder);
    finish();
}

static void secrets_stay_where_they_belong(struct e2e *f)
{
    static const char *const secrets[] = {"good-secret-one", "good-secret-two",
                                          "a passphrase of mine", "bad-secret"};
    begin(f);
    e2e_ok(f, "persist remote add %s %s --token-file token --passphrase-file pass", server.url,
           f->folder);
    same_text(f->last.out, ""); /* one that was given is not shown */
    e2e_ok(f,
           "PERSIST_DEVICE_TOKEN=good-secret-two persist remote add ws://localhost:%u %s "
           "--passphrase-file pass",
           atomic_load(&server.control->port), f->folder);
    same(remotes(f), 2);
    e2e_sh(f, "persist remote add %s %s --token-file bad", server.url, f->folder);
    e2e_ok(f, "persist remote list; persist remote list --json; "
              "for p in home/run/*.pid; do tr '\\0' ' ' </proc/$(cat $p)/cmdline; done");
    contains(f->last.out, "persist");
    for (size_t i = 0; i < ARRAY_N(secrets); i++)
        holds(strstr(f->last.out, secrets[i]) == NULL);
    /* Of the state directory, sync/tokens alone has them. */
    for (size_t i = 0; i < ARRAY_N(secrets); i++) {
        bool stored = i < 2;
        e2e_sh(f, "cd %s && grep -rlF '%s' . | grep -v '^./spaces/'", f->home, secrets[i]);
        same_text(f->last.out, stored ? "./sync/tokens\n" : "");
    }
    e2e_ok(f, "tr '\\0' '\\n' </proc/%ld/environ", (long)e2e_sync_pid(f));
    holds(strstr(f->last.out, "good-secret-two") == NULL);
    finish();
}

/* ---- links ---- */

static struct e2e *waiting;

static bool is_connected(void *arg)
{
    (void)arg;
    e2e_sh(waiting, "persist remote list --json");
    return waiting->last.status == 0 && strstr(waiting->last.out, "\"connected\"") != NULL;
}

static bool is_refused(void *arg)
{
    (void)arg;
    e2e_sh(waiting, "persist remote list");
    return waiting->last.status == 0 && strstr(waiting->last.out, "refused") != NULL;
}

static void a_link_lives_through_kills(struct e2e *f)
{
    waiting = f;
    begin(f);
    e2e_ok(f, "persist remote add %s %s --token-file token --passphrase-file pass", server.url,
           f->folder);
    e2e_wait(is_connected, NULL, E2E_LONG_MS, "the link");
    /* The server dies and comes back. */
    link_server_kill(&server);
    link_server_start(&server);
    e2e_wait(is_connected, NULL, E2E_LONG_MS, "the link, after the server");
    /* The process dies and comes back. */
    pid_t pid = e2e_sync_pid(f);
    kill(pid, SIGKILL);
    e2e_wait_gone(pid, E2E_LONG_MS);
    e2e_ok(f, "persist daemon");
    e2e_wait(is_connected, NULL, E2E_LONG_MS, "the link, after the process");
    atomic_store(&server.control->close_code, PERSIST__CODE__CODE_TOKEN);
    e2e_wait(is_refused, NULL, E2E_LONG_MS, "the refusal");
    e2e_ok(f, "persist remote add %s %s --token-file token --passphrase-file pass", server.url,
           f->folder);
    e2e_wait(is_connected, NULL, E2E_LONG_MS, "the link, added again");
    e2e_unmount(f);
    e2e_ok(f, "persist remote list --json");
    contains(f->last.out, "the folder is not mounted");
    e2e_mount(f, NULL);
    e2e_wait(is_connected, NULL, E2E_LONG_MS, "the link, mounted again");
    /* Who is told to stop says good-bye. */
    kill(e2e_sync_pid(f), SIGTERM);
    e2e_wait_gone(e2e_sync_pid(f), E2E_LONG_MS);
    uint64_t by = e2e_now_ms() + E2E_LONG_MS;
    while (atomic_load(&server.control->open) > 0 && e2e_now_ms() < by)
        next_tick();
    same(atomic_load(&server.control->open), 0);
    finish();
}

/* The server is another program now, which speaks only @version of the protocol. */
static void replace_server(unsigned version)
{
    link_server_kill(&server);
    atomic_store(&server.control->version, version);
    link_server_start(&server);
}

static void a_server_of_another_version_is_told_in_words(struct e2e *f)
{
    static const struct {
        unsigned version;
        const char *text;
    } rows[] = {
        {2, "the device's persist is older than the server's (protocol 1, not 2); update it on the "
            "device"},
        {0, "the server's persist is older than the device's (protocol 0, not 1); update it on the "
            "server"},
    };
    waiting = f;
    begin(f);
    replace_server(2);
    e2e_refused(f, 4, rows[0].text,
                "persist remote add %s %s --token-file token --passphrase-file pass", server.url,
                f->folder);
    same(remotes(f), 0);
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        replace_server(1);
        e2e_ok(f, "persist remote add %s %s --token-file token --passphrase-file pass", server.url,
               f->folder);
        e2e_wait(is_connected, NULL, E2E_LONG_MS, "the link");
        replace_server(rows[i].version);
        e2e_wait(is_refused, NULL, E2E_LONG_MS, "the refusal");
        e2e_ok(f, "persist status %s", f->folder);
        contains(f->last.out, "  refused");
        contains(f->last.out, rows[i].text);
        e2e_ok(f, "persist status %s --json", f->folder);
        same_text(e2e_value(f, "remotes.0.error"), rows[i].text);
    }
    finish();
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(the_daemon_starts_once),
        E2E_TEST(the_foreground_ends_with_a_signal),
        E2E_TEST(a_killed_process_is_replaced),
        E2E_TEST(one_whose_state_is_gone_ends),
        E2E_TEST(mounting_starts_it),
        E2E_TEST(a_mount_does_without_it),
        E2E_TEST(a_remote_is_added_listed_and_removed),
        E2E_TEST(a_remote_that_cannot_be_is_not_stored),
        E2E_TEST(what_opens_a_folder_goes_before_all_that_is_in_it),
        E2E_TEST(folders_have_their_own_remotes),
        E2E_TEST(secrets_stay_where_they_belong),
        E2E_TEST(a_link_lives_through_kills),
        E2E_TEST(a_server_of_another_version_is_told_in_words),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
