/*
 * A server that is a member: the folder is there as plain files, whatever devices do to it, and a
 * device joins without a passphrase.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/manifest.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

enum { STEP_US = 100000, PATH_SIZE = 2 * E2E_PATH_MAX };

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* The mirror of the folder "notes", or of another one. */
static const char *mirror(const char *name)
{
    static char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/mirrors/alice/%s", world.server->top, name);
    return path;
}

static void use_mirror(bool use)
{
    world.options[0] = '\0';
    if (use)
        snprintf(world.options, sizeof world.options, "--mirror %.120s/mirrors", world.server->top);
}

/* A device whose folder is managed. */
static bool found(struct e2e *d)
{
    return e2e_mount(d, "--name notes") &&
           e2e_ok(d, "persist remote add %s %s --token-file token --managed", world.url, d->folder);
}

static bool clone_it(struct e2e *d)
{
    return e2e_ok(d, "persist clone %s %s --name notes --token-file token", world.url, d->folder);
}

/* A server with mirrors, and @n devices of a managed folder. */
static bool begin(struct e2e *f, size_t n)
{
    if (!world_begin(&world, f, 0) || !e2e_ok(world.server, "mkdir mirrors"))
        return false;
    world_server_stop(&world, SIGTERM);
    use_mirror(true);
    if (!world_server_start(&world))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct e2e *d = world_add(&world);
        if (d == NULL || !(i == 0 ? found(d) : clone_it(d)))
            return false;
    }
    return true;
}

/* Waits until the mirror is what the folder of a device is, and checks that it is. */
static bool follows(const struct e2e *d, const char *name)
{
    const unsigned what = MANIFEST_XATTR;
    uint64_t by = e2e_now_ms() + E2E_LONG_MS;
    bool equal = false;
    while (!equal && e2e_now_ms() < by) {
        usleep(STEP_US);
        char *ought = manifest_of(d->folder, what);
        char *is = exists(mirror(name)) ? manifest_of(mirror(name), what) : NULL;
        equal = is != NULL && strcmp(is, ought) == 0;
        free(ought);
        free(is);
    }
    char *ought = manifest_of(d->folder, what), *is = manifest_of(mirror(name), what);
    equal = same_tree(is, ought);
    free(ought);
    free(is);
    return equal;
}

static const char *in_mirror(const char *name)
{
    static char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", mirror("notes"), name);
    return path;
}

/* ---- the mirror --------------------------------------------------------------------------------
 */

static void make_one_of_each(const struct e2e *d)
{
    ok(mkdir(world_path(d, "folder"), 0755));
    ok(mkdir(world_path(d, "folder/deep"), 0700));
    world_save(d, "folder/deep/a", "a\n");
    world_save(d, "folder/b", "b\n");
    world_save(d, "gone", "gone\n");
    ok(symlink("folder/b", world_path(d, "a link")));
    ok(symlink("/etc/passwd", world_path(d, "a link out")));
    world_save(d, "script", "#!/bin/sh\n");
    ok(chmod(world_path(d, "script"), 0750));
    ok(setxattr(world_path(d, "script"), "user.kind", "tool", 4, 0));
    world_save(d, "empty", "");
    ok(mkdir(world_path(d, "empty folder"), 0755));
    world_save(d, "\xc3\xa4\xff\n odd", "a name of any bytes\n");
    world_save(d, "-rf", "an option\n");
    world_save(d, "\x1b[31mred", "an escape sequence\n");
}

static void put_big(const struct e2e *d, const char *name, uint64_t seed)
{
    enum { BIG = 5 << 20 };
    uint8_t *p = malloc(BIG);
    if (p == NULL)
        abort();
    pattern_fill(p, BIG, seed, 0);
    int fd = open(world_path(d, "%s", name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (ok(fd) >= 0)
        holds(write_all(fd, p, BIG, 0));
    close(fd);
    free(p);
}

static void the_mirror_follows(struct e2e *f)
{
    if (begin(f, 1)) {
        const struct e2e *d = at(0);
        make_one_of_each(d);
        put_big(d, "big", 1);
        follows(d, "notes");
        ino_t script = ino_of(in_mirror("script"));
        ok(rename(world_path(d, "folder"), world_path(d, "moved")));
        ok(rename(world_path(d, "moved/deep/a"), world_path(d, "top a")));
        ok(unlink(world_path(d, "gone")));
        put_big(d, "big", 2);
        world_save(d, "moved/b", "B\n");
        follows(d, "notes");
        same(ino_of(in_mirror("script")), script);
        ok(chmod(world_path(d, "script"), 0604));
        ok(setxattr(world_path(d, "script"), "user.kind", "text", 4, 0));
        ok(removexattr(world_path(d, "script"), "user.kind"));
        ok(rmdir(world_path(d, "empty folder")));
        world_save(d, "empty folder", "a file now\n");
        follows(d, "notes");
        same(ino_of(in_mirror("script")), script);
    }
    world_end(&world);
}

/* A link out of the folder, and then a folder in its place: nothing is written through it. */
static void nothing_leaves_the_directory(struct e2e *f)
{
    if (begin(f, 1)) {
        struct e2e *d = at(0);
        char outside[PATH_SIZE];
        snprintf(outside, sizeof outside, "%s/outside", world.server->top);
        ok(mkdir(outside, 0755));
        ok(symlink(outside, world_path(d, "way")));
        ok(symlink("../../..", world_path(d, "up")));
        follows(d, "notes");
        ok(unlink(world_path(d, "way")));
        ok(mkdir(world_path(d, "way"), 0755));
        world_save(d, "way/in", "not outside\n");
        ok(unlink(world_path(d, "up")));
        ok(mkdir(world_path(d, "up"), 0755));
        world_save(d, "up/in", "not outside\n");
        world_save(d, "set", "");
        ok(chmod(world_path(d, "set"), 04755));
        e2e_ok(d, "persist sync %s --wait", d->folder);
        e2e_until(world.server,
                  "cd %s && test $(stat -c %%a set) = 755 && for i in way up; do "
                  "test -f $i/in && test \"$(cat $i/in)\" = 'not outside' || exit 1; done",
                  mirror("notes"));
        e2e_ok(world.server, "test ! -L %s && test ! -L %s", in_mirror("way"), in_mirror("up"));
        ok(rmdir(outside)); /* empty */
        e2e_ok(world.server, "ls -A mirrors");
        same_text(world.server->last.out, "alice\n");
    }
    world_end(&world);
}

/* What "persist user list" says of states that are kept. */
static void list_users(size_t kept)
{
    e2e_ok(world.server, "persist user list --data %s --json", world.data);
    same(json_read_count(world.server->last.out, "users.0.kept"), kept);
    e2e_ok(world.server, "persist user list --data %s", world.data);
    char line[PATH_SIZE + 64];
    snprintf(line, sizeof line, "which is kept as %s.before-2", mirror("notes"));
    same(strstr(world.server->last.out, line) != NULL, kept > 0);
}

static void the_brake_keeps_the_old_state(struct e2e *f)
{
    if (begin(f, 1)) {
        struct e2e *d = at(0);
        e2e_ok(d, "cd %s && mkdir many && for i in $(seq 40); do echo $i >many/$i; done",
               d->folder);
        follows(d, "notes");
        same(world_metric(&world, "mirror_kept_total"), 0);
        e2e_ok(d, "cd %s && rm -r many && echo left >left", d->folder);
        follows(d, "notes");
        same(world_metric(&world, "mirror_kept_total"), 1);
        e2e_ok(world.server, "cd mirrors/alice && cat notes.before-*/many/* | wc -l");
        same(strtol(world.server->last.out, NULL, 10), 40);
        e2e_ok(world.server, "grep 'old state is kept as notes.before-' home/log/serve.log");
        /* Who runs the server is told until it is away, and while none runs. */
        list_users(1);
        world_server_stop(&world, SIGTERM);
        list_users(1);
        if (world_server_start(&world)) {
            e2e_ok(world.server, "rm -r mirrors/alice/notes.before-*");
            list_users(0);
        }
    }
    world_end(&world);
}

/* ---- the server as a member --------------------------------------------------------------------
 */

static void devices_join_without_a_passphrase(struct e2e *f)
{
    if (begin(f, 1)) {
        world_save(at(0), "a", "of the first\n");
        put_big(at(0), "big", 3);
        follows(at(0), "notes");
        struct e2e *b = world_add(&world);
        if (b != NULL && clone_it(b)) {
            world_wait_text(b, "a", "of the first\n");
            world_save(b, "b", "of the second\n");
            world_wait_text(at(0), "b", "of the second\n");
            world_save(at(0), "a", "changed by the first\n");
            world_wait_text(b, "a", "changed by the first\n");
            world_even(&world);
            follows(b, "notes");
            e2e_ok(b, "persist status %s", b->folder);
            contains(b->last.out, "server");
            /* The first one is gone for good: the server has it all. */
            world_offline(at(0));
            struct e2e *c = world_add(&world);
            if (c != NULL && clone_it(c)) {
                world_wait_text(c, "b", "of the second\n");
                e2e_ok(c, "persist sync %s --wait", c->folder);
                same(stat_of(world_path(c, "big")).st_size, 5 << 20);
            }
            world_online(at(0));
            world_even(&world);
        }
    }
    world_end(&world);
}

static void a_killed_server_goes_on(struct e2e *f)
{
    if (begin(f, 2)) {
        char text[64];
        /* Not more often: links then wait longer and longer before they try again. */
        for (unsigned i = 0; i < 3; i++) {
            put_big(at(0), "big", 4 + i);
            snprintf(text, sizeof text, "save %u\n", i);
            world_save(at(i % 2), "note", text);
            world_server_stop(&world, SIGKILL);
            world_save(at(i % 2), world_path(at(i % 2), "n%u", i) + strlen(at(i % 2)->folder) + 1,
                       "while it was away\n");
            if (!world_server_start(&world))
                break;
            world_wait_text(at((i + 1) % 2), "note", text);
        }
        world_even(&world);
        follows(at(0), "notes");
        same(world_named(at(0), "conflict"), 0);
    }
    world_end(&world);
}

static void mirrors_can_be_switched_off_and_on(struct e2e *f)
{
    if (begin(f, 1)) {
        const struct e2e *d = at(0);
        world_save(d, "stays", "as it is\n");
        world_save(d, "changes", "before\n");
        follows(d, "notes");
        ino_t stays = ino_of(in_mirror("stays"));
        world_server_stop(&world, SIGTERM);
        use_mirror(false);
        if (world_server_start(&world)) {
            world_save(d, "changes", "meanwhile\n");
            world_wait_link(at(0), "connected");
            e2e_ok(at(0), "persist sync %s --wait", d->folder);
            usleep(3000000); /* longer than a change needs to settle */
            check_file(in_mirror("changes"), "before\n");
        }
        world_server_stop(&world, SIGTERM);
        use_mirror(true);
        if (world_server_start(&world)) {
            follows(d, "notes");
            same(ino_of(in_mirror("stays")), stays);
        }
        /* A mirror that is gone is made again. */
        e2e_ok(world.server, "rm -r mirrors/alice");
        world_save(d, "changes", "once more\n");
        follows(d, "notes");
    }
    world_end(&world);
}

/* Where another mirror was before, what has the name in a new place is somebody's. */
static void a_mirror_begins_anew_in_another_place(struct e2e *f)
{
    if (begin(f, 1)) {
        const struct e2e *d = at(0);
        world_save(d, "note", "a note\n");
        follows(d, "notes");
        world_server_stop(&world, SIGTERM);
        e2e_ok(world.server, "mkdir full && mv mirrors old && mkdir mirrors && echo x >full/x");
        snprintf(world.options, sizeof world.options, "--mirror %.120s/full", world.server->top);
        e2e_refused(world.server, 2, "is not empty",
                    "persist serve --listen 127.0.0.1:0 --data %s %s", world.data, world.options);
        use_mirror(true);
        if (world_server_start(&world))
            follows(d, "notes");
        e2e_ok(world.server, "cat old/alice/notes/note full/x && ls -A full");
        same_text(world.server->last.out, "a note\nx\nx\n");
    }
    world_end(&world);
}

/* Waits until the server has let go of what it could read. */
static bool is_dropped(void *arg)
{
    (void)arg;
    return e2e_sh(world.server, "test -z \"$(ls -A %s/managed)\"", world.data)->status == 0;
}

static void folders_of_one_name_and_their_end(struct e2e *f)
{
    if (begin(f, 2)) {
        /* The second device has a folder of its own, of the same name as seen from there. */
        struct e2e *c = world_add(&world);
        if (c != NULL && found(c)) {
            world_save(at(0), "which", "the first\n");
            world_save(c, "which", "the second\n");
            follows(at(0), "notes");
            follows(c, "notes-2");
            struct e2e *d = world_add(&world);
            e2e_ok(c, "persist remote list --json | grep -o '\"space\":\"[0-9a-f]*' | cut -c10- | "
                      "tr a-f A-F | tr -d '\n'");
            char id[64];
            snprintf(id, sizeof id, "%s", c->last.out);
            e2e_refused(d, 2, "--space", "persist clone %s %s --token-file token", world.url,
                        d->folder);
            /* The error lists them, as --space takes them, in small letters or large ones. */
            e2e_sh(d, "persist clone %s %s --token-file token 2>&1 | tr a-f A-F | grep -c %.8s",
                   world.url, d->folder, id);
            same_text(d->last.out, "1\n");
            e2e_ok(d, "persist clone %s %s --name notes --token-file token --space %s", world.url,
                   d->folder, id);
            world_wait_text(d, "which", "the second\n");
            e2e_ok(world.server, "persist user remove alice --data %s", world.data);
            e2e_wait(is_dropped, NULL, E2E_LONG_MS, "the server dropped the removed user's spaces");
        }
    }
    world_end(&world);
}

/* Another user of that name does not write over the mirror of a removed one. */
static void the_mirror_of_a_removed_user_stays(struct e2e *f)
{
    if (begin(f, 1)) {
        world_save(at(0), "which", "the first\n");
        follows(at(0), "notes");
        e2e_ok(world.server, "persist user remove alice --data %s", world.data);
        contains(world.server->last.out, "the mirror stays as it is: ");
        contains(world.server->last.out, "/mirrors/alice; remove it");
        e2e_wait(is_dropped, NULL, E2E_LONG_MS, "the server dropped the removed user's spaces");
        check_file(in_mirror("which"), "the first\n");
        e2e_ok(world.server, "persist user add alice --data %s", world.data);
        struct e2e *d = world_add(&world);
        if (d != NULL && found(d)) {
            world_save(d, "which", "the second\n");
            follows(d, "notes");
            e2e_ok(world.server, "cat mirrors/alice/notes.before-*/which");
            same_text(world.server->last.out, "the first\n");
            list_users(1);
        }
        e2e_ok(world.server, "persist user remove alice --json --data %s", world.data);
        contains(world.server->last.out, "/mirrors/alice\"");
    }
    world_end(&world);
}

/* One folder, by both ways. */
static void a_passphrase_beside_it(struct e2e *f)
{
    if (begin(f, 1)) {
        struct e2e *a = at(0), *b = world_add(&world), *c = world_add(&world);
        world_save(a, "a", "a\n");
        e2e_ok(a,
               "echo 'a passphrase of mine' >pass && persist remote add %s %s --token-file token "
               "--passphrase-file pass",
               world.url, a->folder);
        e2e_ok(b,
               "persist clone %s %s --name notes --token-file token --passphrase-file "
               "../d0/pass",
               world.url, b->folder);
        clone_it(c);
        world_wait_text(b, "a", "a\n");
        world_wait_text(c, "a", "a\n");
        world_even(&world);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(the_mirror_follows),
        E2E_TEST(nothing_leaves_the_directory),
        E2E_TEST(the_brake_keeps_the_old_state),
        E2E_TEST(devices_join_without_a_passphrase),
        E2E_TEST(a_killed_server_goes_on),
        E2E_TEST(mirrors_can_be_switched_off_and_on),
        E2E_TEST(a_mirror_begins_anew_in_another_place),
        E2E_TEST(folders_of_one_name_and_their_end),
        E2E_TEST(the_mirror_of_a_removed_user_stays),
        E2E_TEST(a_passphrase_beside_it),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
