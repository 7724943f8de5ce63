/*
 * How a folder is linked with a server: joining, waiting, what is refused, what goes on after an
 * interruption of any of the processes.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/manifest.h"
#include "tests/support/posix.h"
#include "tests/support/pty.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* ---- joining -----------------------------------------------------------------------------------
 */

/* A folder with some history, linked with a server. */
static bool begin_with_files(struct e2e *f, unsigned files)
{
    if (!world_begin(&world, f, 1))
        return false;
    ok(mkdir(world_path(at(0), "folder"), 0755));
    for (unsigned i = 0; i < files; i++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "%s%u.md", i % 2 == 0 ? "folder/" : "", i);
        snprintf(text, sizeof text, "file %u\n", i);
        world_save(at(0), name, text);
    }
    e2e_ok(at(0), "head -c 3000000 /dev/urandom >notes/large");
    return true;
}

static void an_existing_folder_is_cloned(struct e2e *f)
{
    if (begin_with_files(f, 200)) {
        ok(unlink(world_path(at(0), "1.md")));
        ok(rename(world_path(at(0), "folder"), world_path(at(0), "moved")));
        struct e2e *other = world_add(&world), *d = world_add(&world);
        /* It says what it has when nothing has changed for two seconds: the other has heard it. */
        if (other != NULL && world_clone(&world, other))
            e2e_until(other, "persist status notes | grep -q 'equal to this one'");
        if (d != NULL && world_clone(&world, d)) {
            /* It says of when that is, and by whom. */
            contains(d->last.out, "as of 20");
            contains(d->last.out, ", from ");
            /* The tree is there when it returns; what is large may follow. */
            check_file(world_path(d, "moved/0.md"), "file 0\n");
            check_file(world_path(d, "199.md"), "file 199\n");
            holds(!exists(world_path(d, "1.md")));
            world_even(&world);
            /* It is a device like the others. */
            world_save(d, "199.md", "by the new one\n");
            world_wait_text(at(0), "199.md", "by the new one\n");
        }
        world_even(&world);
    }
    world_end(&world);
}

static unsigned names_in(const char *folder)
{
    unsigned n = 0;
    const struct dirent *e;
    DIR *d = opendir(folder);
    while (d != NULL && (e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

/* It shows how many of the changes have come, and returns when the whole tree is there. */
static void a_clone_shows_how_far_it_is(struct e2e *f)
{
    enum { FILES = 4000, MS = 2 * E2E_LONG_MS };
    if (world_begin(&world, f, 1)) {
        e2e_ok(at(0), "cd notes && for i in $(seq %d); do echo $i >$i.md; done", FILES);
        e2e_ok(at(0), "persist sync --wait notes");
        struct e2e *d = world_add(&world);
        if (d != NULL) {
            struct pty *p = pty_start(d,
                                      "persist clone %s notes --token-file token "
                                      "--passphrase-file ../passphrase; echo status $?",
                                      world.url);
            pty_wait_text(p, "status 0", MS);
            same(names_in(d->folder), FILES);
            contains(p->shown, "changes [");
            contains(p->shown, " of 4,0");
            pty_end(p);
            world_even_within(&world, MS);
        }
    }
    world_end(&world);
}

static void a_clone_while_others_save(struct e2e *f)
{
    if (begin_with_files(f, 50)) {
        pid_t saver =
            e2e_start(at(0), "cd notes; i=0; while test ! -e ../stop; do i=$((i+1)); "
                             "echo \"save $i\" >busy.md; echo \"new $i\" >new$((i %% 50)).md; "
                             "sleep 0.02; done; echo end >busy.md");
        struct e2e *d = world_add(&world);
        bool joined = d != NULL && world_clone(&world, d);
        e2e_ok(at(0), "touch stop");
        e2e_wait_gone(saver, E2E_LONG_MS);
        e2e_stop(saver);
        if (joined) {
            world_wait_text(d, "busy.md", "end\n");
            world_even(&world);
            same(world_named(d, "conflict"), 0);
        }
    }
    world_end(&world);
}

/* However far it has come: the same command, once more, brings it to its end. */
static void an_interrupted_clone_goes_on(struct e2e *f)
{
    static const unsigned after_ms[] = {5, 20, 50, 100, 200, 300, 450, 600, 800, 1200};
    if (begin_with_files(f, 1000)) {
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        struct e2e *d = world_add(&world);
        if (d != NULL) {
            e2e_ok(d, "mkdir own && persist mount own && persist unmount own");
            e2e_refused(d, 1, "belongs to another space",
                        "persist clone %s own --token-file token --passphrase-file ../passphrase",
                        world.url);
            e2e_ok(d, "persist forget --yes own");
        }
        for (size_t i = 0; d != NULL && i < ARRAY_N(after_ms); i++) {
            pid_t pid = e2e_start(d,
                                  "exec persist clone %s %s --name notes --token-file token "
                                  "--passphrase-file ../passphrase 2>>interrupted",
                                  world.url, d->folder);
            usleep(after_ms[i] * 1000);
            kill(pid, i % 2 == 0 ? SIGINT : SIGKILL);
            e2e_wait_gone(pid, WORLD_EVEN_MS);
            e2e_stop(pid);
            e2e_ok(d, "test ! -s interrupted || cat interrupted >&2");
            same_text(d->last.err, "");
        }
        if (d != NULL && world_clone(&world, d)) {
            check_file(world_path(d, "folder/0.md"), "file 0\n");
            check_file(world_path(d, "999.md"), "file 999\n");
            e2e_ok(d, "persist remote list --json");
            same(json_read_count(d->last.out, "remotes"), 1);
            world_even(&world);
            world_save(d, "199.md", "by the new one\n");
            world_wait_text(at(0), "199.md", "by the new one\n");
            /* Once more changes nothing. */
            world_clone(&world, d);
            e2e_ok(d, "mkdir other");
            e2e_refused(d, 1, "this device has it already",
                        "persist clone %s other --token-file token --passphrase-file ../passphrase",
                        world.url);
        }
        world_even(&world);
    }
    world_end(&world);
}

/* A device that could not join has nothing of the space. */
static void check_nothing_left(struct e2e *d)
{
    struct stat st;
    e2e_ok(d, "persist status");
    contains(d->last.out, "no folders yet");
    e2e_ok(d, "persist remote list --json");
    same(json_read_count(d->last.out, "remotes"), 0);
    e2e_ok(d, "ls -A notes; ls -A home/spaces 2>/dev/null; cat home/sync/tokens 2>/dev/null; true");
    same_text(d->last.out, "");
    holds(!e2e_is_mounted(d->folder));
    ok(stat(d->folder, &st));
}

static void a_clone_that_cannot_be_leaves_nothing(struct e2e *f)
{
    if (begin_with_files(f, 5)) {
        struct e2e *d = world_add(&world);
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        e2e_ok(d, "echo 'none of the passphrases' >wrong; echo psd_AAAAAAAAAAAAAAAAAAAAA >bad");
        e2e_refused(d, 4, "the passphrase is wrong",
                    "persist clone %s notes --token-file token --passphrase-file wrong", world.url);
        check_nothing_left(d);
        e2e_refused(d, 4, "token",
                    "persist clone %s notes --token-file bad --passphrase-file ../passphrase",
                    world.url);
        check_nothing_left(d);
        e2e_refused(d, 3, "no such space",
                    "persist clone %s notes --space ffffffff --token-file token "
                    "--passphrase-file ../passphrase",
                    world.url);
        check_nothing_left(d);
        /* Nothing is asked for when it could not be used; what there is is said. */
        e2e_refused(d, 3, "the account has ",
                    "persist clone %s notes --space zzzz --token-file token", world.url);
        check_nothing_left(d);
        /* What cannot be stored: the space goes again. */
        e2e_ok(d, "persist daemon; mv home/sync/tokens kept 2>/dev/null; mkdir -p "
                  "home/sync/tokens/in");
        e2e_refused(d, 1, "",
                    "persist clone %s notes --token-file token --passphrase-file "
                    "../passphrase",
                    world.url);
        e2e_ok(d, "rm -r home/sync/tokens; test -z \"$(ls -A home/spaces)\"");
        check_nothing_left(d);
        /* A token belongs to the first device that uses it. */
        e2e_refused(d, 4, "token",
                    "persist clone %s notes --token-file ../d0/token "
                    "--passphrase-file ../passphrase",
                    world.url);
        check_nothing_left(d);
        world_server_stop(&world, SIGTERM);
        e2e_refused(d, 5, world.url,
                    "persist clone %s notes --token-file token --passphrase-file ../passphrase",
                    world.url);
        check_nothing_left(d);
        holds(world_server_start(&world));
        world_clone(&world, d);
        world_even(&world);
    }
    world_end(&world);
}

/* Two at once on one directory: of one device for two spaces, and of two devices. */
static void one_directory_is_cloned_to_once(struct e2e *f)
{
    if (world_begin(&world, f, 1) && world_add(&world) != NULL && world_add(&world) != NULL) {
        struct e2e *a = at(0), *d = at(1);
        world_save(a, "which", "the first\n");
        e2e_ok(a,
               "mkdir second && persist mount second && echo second >second/which && "
               "persist remote add %s second --token-file token >added && "
               "sed -n 's/^passphrase: //p' added >../passphrase2 && persist sync --wait second "
               "&& persist sync --wait notes",
               world.url);
        for (unsigned i = 0; i < 2 && check_failures() == 0; i++) {
            e2e_sh(d,
                   "for n in '' 2; do { persist clone %s notes --token-file token "
                   "--passphrase-file ../passphrase$n >out$n 2>&1; echo $? >>results; } & done; "
                   "wait; sort results; rm results; cat out out2",
                   world.url);
            holds(strncmp(d->last.out, "0\n1\n", 4) == 0);
            contains(d->last.out, "notes");
            e2e_ok(d, "persist status notes && test $(ls -d home/spaces/*/ | wc -l) = 1");
            e2e_ok(d, "persist unmount notes && persist forget --yes notes && ls -A notes");
        }
        const char *other = at(2)->home;
        for (unsigned i = 0; i < 2 && check_failures() == 0; i++) {
            e2e_sh(d,
                   "for h in %s %s; do { PERSIST_HOME=$h persist clone %s notes --token-file "
                   "${h%%%%/home}/token --passphrase-file ../passphrase >out 2>&1; echo $? "
                   ">>results; } & "
                   "done; wait; sort results; rm results",
                   d->home, other, world.url);
            same_text(d->last.out, "0\n1\n");
            e2e_ok(d, "test $(grep -c ' %s ' /proc/self/mountinfo) = 1", d->folder);
            e2e_sh(d, "persist unmount notes; PERSIST_HOME=%s persist unmount notes", other);
            e2e_ok(d, "persist forget --yes notes && PERSIST_HOME=%s persist forget --yes notes",
                   other);
        }
        e2e_ok(a, "persist unmount second");
    }
    world_end(&world);
}

static bool shows_typed(const struct pty *p)
{
    struct termios t;
    return ok(tcgetattr(p->fd, &t)) == 0 && (t.c_lflag & ECHO) != 0;
}

static void a_passphrase_is_typed_unseen(struct e2e *f)
{
    static const int with[] = {SIGINT, SIGTERM, SIGHUP};
    if (world_begin(&world, f, 1) && world_add(&world) != NULL) {
        struct e2e *d = at(1);
        for (size_t i = 0; i < ARRAY_N(with); i++) {
            char ended[32];
            snprintf(ended, sizeof ended, "status %d", 128 + with[i]);
            struct pty *p = pty_start(d,
                                      "trap : INT; sh -c 'echo $$ >pid; exec persist clone %s "
                                      "notes --token-file token'; echo status $?; read line",
                                      world.url);
            pty_wait_text(p, "passphrase: ", WORLD_EVEN_MS);
            pty_wait_quiet(p, 100);
            holds(!shows_typed(p));
            if (with[i] == SIGINT)
                pty_type(p, "\003");
            else
                e2e_ok(d, "kill -%d $(cat pid)", with[i]);
            pty_wait_text(p, ended, WORLD_EVEN_MS);
            holds(shows_typed(p));
            pty_end(p);
        }
        struct pty *p =
            pty_start(d, "persist clone %s notes --token-file token; echo status $?", world.url);
        e2e_ok(d, "cat ../passphrase");
        pty_wait_text(p, "passphrase: ", WORLD_EVEN_MS);
        pty_wait_quiet(p, 100);
        pty_type(p, d->last.out);
        pty_wait_text(p, "status 0", WORLD_EVEN_MS);
        holds(strstr(p->shown, d->last.out) == NULL);
        holds(shows_typed(p));
        pty_end(p);
        world_even(&world);
    }
    world_end(&world);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

static void sync_waits_until_all_is_there(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        for (unsigned i = 0; i < 15; i++) {
            char name[32], text[64];
            struct e2e *from = at(i % 2), *to = at(1 - i % 2);
            snprintf(name, sizeof name, "file %u", i % 5);
            snprintf(text, sizeof text, "round %u\n", i);
            world_save(from, name, text);
            if (i % 5 == 4)
                e2e_ok(from, "head -c 2000000 /dev/urandom >notes/large");
            e2e_ok(from, "persist sync --wait %s", from->folder);
            e2e_ok(to, "persist sync --wait %s", to->folder);
            char *one = manifest_of(from->folder, MANIFEST_LINKS | MANIFEST_XATTR);
            char *other = manifest_of(to->folder, MANIFEST_LINKS | MANIFEST_XATTR);
            same_tree(other, one);
            free(one);
            free(other);
        }
        /* Who reaches nobody says so. */
        world_server_stop(&world, SIGTERM);
        world_save(at(0), "later", "later\n");
        e2e_refused(at(0), 5, "no server is reached", "persist sync --wait %s", at(0)->folder);
        e2e_refused(at(0), 5, "no server is reached", "persist sync %s", at(0)->folder);
        holds(world_server_start(&world));
        world_wait_text(at(1), "later", "later\n");
        e2e_ok(at(0), "mkdir alone && persist mount alone");
        e2e_refused(at(0), 5, "has no server", "persist sync --wait alone");
        e2e_ok(at(0), "persist unmount alone");
    }
    world_end(&world);
}

static void an_interval_holds_saves_back(struct e2e *f)
{
    enum { INTERVAL_MS = 5000 };
    if (world_begin(&world, f, 2)) {
        e2e_ok(at(0),
               "persist remote add %s %s --token-file token --passphrase-file ../passphrase "
               "--interval %d",
               world.url, at(0)->folder, INTERVAL_MS / 1000);
        world_wait_link(at(0), "connected");
        world_save(at(0), "note.md", "first\n");
        world_wait_text(at(1), "note.md", "first\n");
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        world_save(at(0), "note.md", "second\n");
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        same_text(world_text(at(1), "note.md"), "second\n");
        uint64_t began = e2e_now_ms(); /* before the third is sent, at the earliest */
        world_save(at(0), "note.md", "third\n");
        world_wait_text(at(1), "note.md", "third\n");
        printf("    a save took %ju ms\n", (uintmax_t)(e2e_now_ms() - began));
        world_save(at(0), "note.md", "fourth\n");
        world_wait_text(at(1), "note.md", "fourth\n");
        printf("    both took %ju ms\n", (uintmax_t)(e2e_now_ms() - began));
        holds(e2e_now_ms() - began >= INTERVAL_MS);
        /* The other direction does not wait. */
        world_save(at(1), "note.md", "fifth\n");
        world_wait_text(at(0), "note.md", "fifth\n");
        world_even(&world);
    }
    world_end(&world);
}

/* ---- interruptions -----------------------------------------------------------------------------
 */

static void a_server_that_restarts_is_found_again(struct e2e *f)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    if (world_begin(&world, f, 2)) {
        for (size_t i = 0; i < ARRAY_N(signals); i++) {
            char text[64];
            world_server_stop(&world, signals[i]);
            world_wait_link(at(0), "down");
            for (size_t k = 0; k < 2; k++) {
                snprintf(text, sizeof text, "without a server, %zu\n", i);
                world_save(at(k), k == 0 ? "one" : "other", text);
            }
            holds(world_server_start(&world));
            world_wait_text(at(0), "other", text);
            world_wait_text(at(1), "one", text);
            world_even(&world);
        }
    }
    world_end(&world);
}

/* What the server has been sent and has sent, of changes and content. */
struct traffic {
    uint64_t entries, acts, chunks, again, sent_items, sent_chunks;
};

static struct traffic traffic(void)
{
    return (struct traffic){
        .entries = world_metric(&world, "pushed_entries_total"),
        .acts = world_metric(&world, "pushed_acts_total"),
        .chunks = world_metric(&world, "pushed_chunks_total"),
        .again = world_metric(&world, "pushed_again_total"),
        .sent_items = world_metric(&world, "sent_items_total"),
        .sent_chunks = world_metric(&world, "sent_chunks_total"),
    };
}

static void a_new_mount_goes_on_where_it_was(struct e2e *f)
{
    enum { FEW = 6 /* STATEs */ };
    if (begin_with_files(f, 100)) {
        struct e2e *d = world_add(&world);
        if (d != NULL && world_clone(&world, d) && world_even(&world)) {
            for (size_t i = 0; i < 2; i++)
                e2e_ok(at(i), "persist sync --wait %s", at(i)->folder);
            struct traffic before = traffic();
            for (size_t i = 0; i < 2; i++) {
                e2e_unmount(at(i));
                e2e_ok(at(i), "persist mount notes");
                e2e_ok(at(i), "persist sync --wait %s", at(i)->folder);
            }
            struct traffic after = traffic();
            holds(after.entries - before.entries <= FEW);
            holds(after.sent_items - before.sent_items <= FEW);
            same(after.acts, before.acts);
            same(after.chunks, before.chunks);
            same(after.sent_chunks, before.sent_chunks);
            same(after.again, before.again);
            /* What was made while the folder was not mounted elsewhere is there at once. */
            e2e_unmount(at(1));
            world_save(at(0), "meanwhile", "meanwhile\n");
            e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
            e2e_ok(at(1), "persist mount notes");
            world_wait_text(at(1), "meanwhile", "meanwhile\n");
            world_even(&world);
        }
    }
    world_end(&world);
}

/* ---- what is cut -------------------------------------------------------------------------------
 */

static bool is_cut(void *arg)
{
    struct e2e *d = arg;
    e2e_sh(d, "persist remote list --json");
    return strcmp(e2e_value(d, "remotes.0.state"), "refused") == 0;
}

static void a_revoked_token_cuts_its_device(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_wait_link(at(1), "connected");
        e2e_ok(world.server,
               "persist token list --user alice --data %s --json | tr '{' '\\n' | grep '\"d1\"'",
               world.data);
        char id[64] = "";
        const char *p = strstr(world.server->last.out, "\"id\":\"");
        if (holds(p != NULL))
            sscanf(p + 6, "%63[^\"]", id);
        uint64_t began = e2e_now_ms();
        e2e_ok(world.server, "persist token revoke %s --data %s", id, world.data);
        e2e_wait(is_cut, at(1), E2E_LONG_MS, "the link is refused");
        printf("    it was cut and said so after %ju ms\n", (uintmax_t)(e2e_now_ms() - began));
        e2e_ok(at(1), "persist remote list");
        contains(at(1)->last.out, "token");
        e2e_ok(at(1), "persist status %s", at(1)->folder);
        contains(at(1)->last.out, "token");
        world_save(at(0), "secret", "not for it\n");
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        e2e_refused(at(1), 4, "token", "persist sync --wait %s", at(1)->folder);
        e2e_refused(at(1), 4, "token", "persist sync %s", at(1)->folder);
        holds(!exists(world_path(at(1), "secret")));
        /* With a new one it goes on. */
        e2e_ok(world.server, "persist token create --user alice --label again --data %s >%s/token",
               world.data, at(1)->top);
        e2e_ok(at(1), "persist remote add %s %s --token-file token --passphrase-file ../passphrase",
               world.url, at(1)->folder);
        world_wait_text(at(1), "secret", "not for it\n");
        world_even(&world);
    }
    world_end(&world);
}

static void a_removed_remote_is_asked_no_more(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        e2e_ok(at(1), "persist remote remove %s %s", world.url, at(1)->folder);
        world_save(at(0), "note", "after the removal\n");
        world_save(at(1), "own", "of its own\n");
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        e2e_refused(at(1), 5, "has no server", "persist sync --wait %s", at(1)->folder);
        holds(!exists(world_path(at(1), "note")));
        holds(!exists(world_path(at(0), "own")));
        e2e_ok(at(1), "persist remote add %s %s --token-file token --passphrase-file ../passphrase",
               world.url, at(1)->folder);
        world_wait_text(at(1), "note", "after the removal\n");
        world_wait_text(at(0), "own", "of its own\n");
        world_even(&world);
    }
    world_end(&world);
}

static void two_spaces_of_one_device_stay_apart(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        struct e2e *a = at(0), *b = at(1);
        e2e_ok(a,
               "mkdir second && persist mount second && "
               "persist remote add %s second --token-file token >second.out && "
               "sed -n 's/^passphrase: //p' second.out >second.pass",
               world.url);
        e2e_ok(b,
               "mkdir second && persist clone %s second --token-file token "
               "--passphrase-file ../d0/second.pass",
               world.url);
        world_save(a, "in the first", "1\n");
        e2e_ok(a, "echo 2 >'second/in the second' && persist sync --wait second");
        world_wait_text(b, "in the first", "1\n");
        e2e_ok(b, "persist sync --wait second && cat 'second/in the second'");
        same_text(b->last.out, "2\n");
        holds(!exists(world_path(b, "in the second")));
        e2e_ok(b, "ls second");
        same_text(b->last.out, "in the second\n");
        e2e_ok(a, "persist remote list --json");
        same(json_read_count(a->last.out, "remotes"), 2);
        e2e_ok(a, "persist unmount second");
        e2e_ok(b, "persist unmount second");
        world_save(b, "in the first", "still\n");
        world_wait_text(a, "in the first", "still\n");
    }
    world_end(&world);
}

/* The servers of a folder that nobody serves, and what they are still to be sent. */
static void a_folder_that_is_not_mounted_tells_of_its_servers(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        char n[32];
        world_save(at(0), "sent.md", "sent\n");
        world_wait_text(at(1), "sent.md", "sent\n");
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        e2e_unmount(at(0));
        e2e_ok(at(0), "persist status %s --json", at(0)->folder);
        same_text(e2e_value(at(0), "remotes.0.url"), world.url);
        same_text(e2e_value(at(0), "remotes.0.state"), "not mounted");
        same_text(e2e_value(at(0), "remotes.0.to_push"), "0");
        e2e_mount(at(0), "");
        world_offline(at(0));
        world_save(at(0), "unsent.md", "unsent\n");
        e2e_unmount(at(0));
        e2e_ok(at(0), "persist status --json");
        same_text(e2e_value(at(0), "spaces.0.remotes.0.state"), "not mounted");
        holds(strtol(json_read_at(at(0)->last.out, "spaces.0.remotes.0.to_push", n, sizeof n), NULL,
                     10) > 0);
        e2e_ok(at(0), "persist status %s", at(0)->folder);
        contains(at(0)->last.out, "not mounted, ");
        contains(at(0)->last.out, " to send");
        e2e_mount(at(0), "");
        world_wait_text(at(1), "unsent.md", "unsent\n");
        world_even(&world);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_folder_that_is_not_mounted_tells_of_its_servers),
        E2E_TEST(an_existing_folder_is_cloned),
        E2E_TEST(a_clone_shows_how_far_it_is),
        E2E_TEST(a_clone_while_others_save),
        E2E_TEST(an_interrupted_clone_goes_on),
        E2E_TEST(one_directory_is_cloned_to_once),
        E2E_TEST(a_passphrase_is_typed_unseen),
        E2E_TEST(a_clone_that_cannot_be_leaves_nothing),
        E2E_TEST(sync_waits_until_all_is_there),
        E2E_TEST(an_interval_holds_saves_back),
        E2E_TEST(a_server_that_restarts_is_found_again),
        E2E_TEST(a_new_mount_goes_on_where_it_was),
        E2E_TEST(a_revoked_token_cuts_its_device),
        E2E_TEST(a_removed_remote_is_asked_no_more),
        E2E_TEST(two_spaces_of_one_device_stay_apart),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
