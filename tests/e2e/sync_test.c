/*
 * One folder on several devices, through a server: what is saved on one is on the others, whatever
 * was done to it, and whatever two of them did at once.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/crash_log.h"
#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/manifest.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* ---- saves -------------------------------------------------------------------------------------
 */

static void saves_go_both_ways(struct e2e *f)
{
    if (world_begin(&world, f, 3)) {
        char text[64];
        for (unsigned i = 0; i < 20; i++) {
            const struct e2e *from = at(i % 3);
            snprintf(text, sizeof text, "save %u\n", i);
            world_save(from, "note.md", text);
            for (size_t k = 0; k < 3; k++)
                world_wait_text(at(k), "note.md", text);
        }
        world_even(&world);
        same(world_named(at(0), "conflict"), 0);
    }
    world_end(&world);
}

enum { EDITOR_SAVES = 100, EDITOR_LINES = 40 };

/* The text of a save: each line says which one it is. */
static void editor_text(unsigned n, char *to, size_t size)
{
    size_t at_n = 0;
    for (unsigned i = 0; i < EDITOR_LINES + n % 7; i++)
        at_n += (size_t)snprintf(to + at_n, size - at_n, "save %u of many\n", n);
}

/* Reads the file again and again: it is there, and one save. */
static void read_on(const struct e2e *d, const atomic_bool *stop)
{
    char text[8192], ought[8192];
    unsigned n = 0, seen = 0, last = 0;
    while (!atomic_load(stop)) {
        int fd = open(world_path(d, "note.md"), O_RDONLY | O_CLOEXEC);
        if (ok(fd) < 0)
            return;
        size_t got = read_all(fd, text, sizeof text - 1, 0);
        close(fd);
        text[got] = '\0';
        if (!holds(sscanf(text, "save %u of", &n) == 1))
            return;
        editor_text(n, ought, sizeof ought);
        if (!same_text(text, ought) || !holds(n >= last))
            return;
        seen += n != last;
        last = n;
    }
    printf("    the reader saw %u of %d saves\n", seen, EDITOR_SAVES);
}

static void editor_saves_are_seen_whole(struct e2e *f)
{
    char text[8192];
    atomic_bool *stop = crash_shared(sizeof *stop);
    if (world_begin(&world, f, 2)) {
        editor_text(0, text, sizeof text);
        world_save(at(0), "note.md", text);
        world_wait_text(at(1), "note.md", text);
        pid_t reader = check_fork();
        if (reader == 0) {
            read_on(at(1), stop);
            check_child_end();
        }
        for (unsigned i = 1; i <= EDITOR_SAVES; i++) {
            editor_text(i, text, sizeof text);
            world_save(at(0), "note.md.tmp", text);
            ok(rename(world_path(at(0), "note.md.tmp"), world_path(at(0), "note.md")));
            usleep(20000); /* as fast as nobody saves; that the reader sees some */
        }
        world_wait_text(at(1), "note.md", text);
        atomic_store(stop, true);
        check_join(reader);
        world_even(&world);
        same(world_named(at(1), "note"), 1);
    }
    world_end(&world);
}

/* ---- every kind of change ----------------------------------------------------------------------
 */

static void make_one_of_each(const struct e2e *d)
{
    ok(mkdir(world_path(d, "folder"), 0755));
    ok(mkdir(world_path(d, "folder/deep"), 0700));
    world_save(d, "folder/deep/a", "a\n");
    world_save(d, "folder/b", "b\n");
    world_save(d, "gone", "gone\n");
    world_save(d, "many names", "one file\n");
    ok(link(world_path(d, "many names"), world_path(d, "folder/another name")));
    ok(symlink("folder/b", world_path(d, "a link")));
    ok(symlink("nowhere", world_path(d, "a dead link")));
    world_save(d, "script", "#!/bin/sh\n");
    ok(chmod(world_path(d, "script"), 0750));
    ok(setxattr(world_path(d, "script"), "user.kind", "tool", 4, 0));
    world_save(d, "empty", "");
    ok(mkdir(world_path(d, "empty folder"), 0755));
    world_save(d, "\xc3\xa4\xff\n odd", "a name of any bytes\n");
}

static void change_each(const struct e2e *d)
{
    ok(rename(world_path(d, "folder"), world_path(d, "moved")));
    ok(rename(world_path(d, "moved/deep/a"), world_path(d, "top a")));
    ok(unlink(world_path(d, "gone")));
    ok(chmod(world_path(d, "script"), 0644));
    ok(setxattr(world_path(d, "script"), "user.kind", "text", 4, 0));
    ok(setxattr(world_path(d, "moved"), "user.colour", "red", 3, 0));
    world_save(d, "many names", "one file, changed\n");
    ok(unlink(world_path(d, "a dead link")));
    ok(unlink(world_path(d, "a link")));
    ok(symlink("moved/b", world_path(d, "a link")));
    ok(rmdir(world_path(d, "empty folder")));
    ok(chmod(world_path(d, "moved/deep"), 0755));
    ok(truncate(world_path(d, "moved/b"), 1));
}

static void end_each(const struct e2e *d)
{
    ok(removexattr(world_path(d, "script"), "user.kind"));
    ok(unlink(world_path(d, "many names")));
    ok(rename(world_path(d, "top a"), world_path(d, "script"))); /* over another */
    ok(rmdir(world_path(d, "moved/deep")));
    world_save(d, "gone", "here again\n");
    world_save(d, "a", "this is a\n");
    world_save(d, "b", "this is b\n");
    ok(renameat2(AT_FDCWD, world_path(d, "a"), AT_FDCWD, world_path(d, "b"), RENAME_EXCHANGE));
}

static void every_kind_of_change_arrives(struct e2e *f)
{
    char target[64] = "";
    if (world_begin(&world, f, 2)) {
        make_one_of_each(at(0));
        world_wait_text(at(1), "\xc3\xa4\xff\n odd", "a name of any bytes\n");
        world_even(&world);
        same(links_of(world_path(at(1), "many names")), 2);
        change_each(at(1)); /* by the other one */
        world_wait_text(at(0), "moved/b", "b");
        world_even(&world);
        same_text(world_text(at(0), "moved/another name"), "one file, changed\n");
        ok(readlink(world_path(at(0), "a link"), target, sizeof target - 1));
        same_text(target, "moved/b");
        same(mode_of(world_path(at(0), "script")), 0644);
        end_each(at(0));
        world_wait_text(at(1), "a", "this is b\n");
        world_even(&world);
        same_text(world_text(at(1), "script"), "a\n");
        same(links_of(world_path(at(1), "moved/another name")), 1);
        same(world_named(at(1), "conflict"), 0);
    }
    world_end(&world);
}

/* ---- both at once ------------------------------------------------------------------------------
 */

static const char three_paragraphs[] = "# title\n\nthe first paragraph\n\nthe second paragraph\n\n"
                                       "the third paragraph\n";

/* Two devices (or three) that hold @text as note.md, without a connection. */
static bool begin_apart(struct e2e *f, size_t n, const char *text)
{
    if (!world_begin(&world, f, n))
        return false;
    world_save(at(0), "note.md", text);
    for (size_t i = 1; i < n; i++)
        world_wait_text(at(i), "note.md", text);
    bool even = world_even(&world);
    for (size_t i = 0; i < n; i++)
        world_offline(at(i));
    return even;
}

static void meet_again(void)
{
    for (size_t i = 0; i < world.n; i++)
        world_online(at(i));
}

/* What `persist conflicts --json` lists. */
static long conflicts(struct e2e *d)
{
    return e2e_ok(d, "persist conflicts %s --json", d->folder)
               ? json_read_count(d->last.out, "conflicts")
               : -1;
}

static void edits_of_different_paragraphs_merge(struct e2e *f)
{
    static const char both[] = "# title\n\nthe first paragraph, by one\n\nthe second paragraph\n\n"
                               "the third paragraph, by the other\n";
    if (begin_apart(f, 2, three_paragraphs)) {
        world_save(at(0), "note.md",
                   "# title\n\nthe first paragraph, by one\n\nthe second paragraph\n\n"
                   "the third paragraph\n");
        world_save(at(1), "note.md",
                   "# title\n\nthe first paragraph\n\nthe second paragraph\n\n"
                   "the third paragraph, by the other\n");
        meet_again();
        world_wait_text(at(0), "note.md", both);
        world_wait_text(at(1), "note.md", both);
        world_even(&world);
        same(world_named(at(0), "conflict"), 0);
        same(conflicts(at(0)), 0);
        same(conflicts(at(1)), 0);
    }
    world_end(&world);
}

static bool has_sibling(void *arg)
{
    return world_named(arg, "(conflict from ") > 0;
}

/* The text of the one sibling of a device's top directory. */
static const char *sibling_text(const struct e2e *d)
{
    char name[300] = "";
    DIR *dir = opendir(d->folder);
    const struct dirent *e;
    while (dir != NULL && (e = readdir(dir)) != NULL)
        if (strstr(e->d_name, "(conflict from ") != NULL)
            snprintf(name, sizeof name, "%s", e->d_name);
    if (dir != NULL)
        closedir(dir);
    return world_text(d, name);
}

static void edits_of_one_line_make_a_sibling(struct e2e *f)
{
    static const char *const texts[] = {"one line, by one\n", "one line, by the other\n"};
    if (begin_apart(f, 3, "one line\n")) {
        world_save(at(0), "note.md", texts[0]);
        e2e_wait_published(at(0)); /* the later one is known */
        world_save(at(1), "note.md", texts[1]);
        meet_again();
        for (size_t i = 0; i < 3; i++)
            e2e_wait(has_sibling, at(i), WORLD_EVEN_MS, "a sibling");
        world_even(&world);
        for (size_t i = 0; i < 3; i++) {
            same(world_named(at(i), "(conflict from "), 1);
            same_text(world_text(at(i), "note.md"), texts[1]);
            same_text(sibling_text(at(i)), texts[0]);
            same(conflicts(at(i)), 1);
            contains(at(i)->last.out, "note");
        }
        /* It is a file like any other: who has looked at it takes it away. */
        e2e_ok(at(2), "rm notes/*conflict*");
        world_even(&world);
        for (size_t i = 0; i < 3; i++)
            same(conflicts(at(i)), 0);
    }
    world_end(&world);
}

static void a_rename_meets_an_edit(struct e2e *f)
{
    if (begin_apart(f, 2, "a line\n")) {
        ok(rename(world_path(at(0), "note.md"), world_path(at(0), "renamed.md")));
        world_save(at(1), "note.md", "an edited line\n");
        meet_again();
        world_wait_text(at(0), "renamed.md", "an edited line\n");
        world_wait_text(at(1), "renamed.md", "an edited line\n");
        world_even(&world);
        holds(!exists(world_path(at(0), "note.md")));
        same(conflicts(at(1)), 0);
    }
    world_end(&world);
}

static void a_deletion_meets_an_edit(struct e2e *f)
{
    if (begin_apart(f, 2, "a line\n")) {
        ok(unlink(world_path(at(0), "note.md")));
        world_save(at(1), "note.md", "what was not seen stays\n");
        meet_again();
        world_wait_text(at(0), "note.md", "what was not seen stays\n");
        world_even(&world);
        same(world_named(at(0), "note"), 1);
        same(world_named(at(1), "note"), 1);
    }
    world_end(&world);
}

static void two_folders_of_one_name_are_one(struct e2e *f)
{
    if (begin_apart(f, 2, "a line\n")) {
        for (size_t i = 0; i < 2; i++) {
            char name[32];
            ok(mkdir(world_path(at(i), "folder"), 0755));
            snprintf(name, sizeof name, "folder/from %zu", i);
            world_save(at(i), name, name);
        }
        meet_again();
        world_wait_text(at(0), "folder/from 1", "folder/from 1");
        world_wait_text(at(1), "folder/from 0", "folder/from 0");
        world_even(&world);
        same(world_named(at(0), "folder"), 1);
    }
    world_end(&world);
}

static void a_device_away_for_long_comes_back(struct e2e *f)
{
    enum { CHANGES = 150 };
    if (begin_apart(f, 2, three_paragraphs)) {
        world_online(at(0));
        for (unsigned i = 0; i < CHANGES; i++) {
            char name[32], text[64];
            for (size_t k = 0; k < 2; k++) {
                snprintf(name, sizeof name, "%zu-%u.md", k, i % 40);
                snprintf(text, sizeof text, "change %u of %zu\n", i, k);
                world_save(at(k), name, text);
                if (i % 10 == 9) {
                    char to[40];
                    snprintf(to, sizeof to, "%s.old", name);
                    ok(rename(world_path(at(k), "%s", name), world_path(at(k), "%s", to)));
                }
            }
        }
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        world_online(at(1));
        world_wait_text(at(0), "1-25.md", "change 145 of 1\n");
        world_wait_text(at(1), "0-25.md", "change 145 of 0\n");
        world_even(&world);
        same(world_named(at(0), "conflict"), 0);
    }
    world_end(&world);
}

/* ---- amounts -----------------------------------------------------------------------------------
 */

static void small_saves_pass_a_big_file(struct e2e *f)
{
    enum { MIB = 200, SAVES = 10 };
    if (world_begin(&world, f, 2)) {
        unsigned before = 0;
        e2e_ok(at(0), "head -c %dM /dev/urandom >notes/big", MIB);
        for (unsigned i = 0; i < SAVES; i++) {
            char text[64];
            snprintf(text, sizeof text, "small save %u\n", i);
            world_save(at(0), "small.md", text);
            world_wait_text(at(1), "small.md", text);
            before += !exists(world_path(at(1), "big"));
        }
        printf("    %u of %d saves came before the big file\n", before, SAVES);
        holds(before > 0);
        world_even_within(&world, 5 * 60 * 1000);
        e2e_ok(f, "cmp %s %s", world_path(at(0), "big"), world_path(at(1), "big"));
        /* A byte in the middle of it is no second transfer. */
        uint64_t chunks = world_metric(&world, "pushed_chunks_total");
        int fd = open(world_path(at(1), "big"), O_WRONLY | O_CLOEXEC);
        same(pwrite(fd, "x", 1, MIB << 19), 1);
        ok(close(fd));
        world_even_within(&world, 5 * 60 * 1000);
        e2e_ok(f, "cmp %s %s", world_path(at(0), "big"), world_path(at(1), "big"));
        uint64_t more = world_metric(&world, "pushed_chunks_total") - chunks;
        printf("    %ju of %ju chunks for a byte in the middle\n", (uintmax_t)more,
               (uintmax_t)chunks);
        holds(more > 0 && more < 20);
    }
    world_end(&world);
}

/* What is there of a first sync is what is small, whenever one looks. */
static void the_smallest_come_first(struct e2e *f)
{
    static const unsigned mib[] = {64, 24, 8, 1};
    enum { N = ARRAY_N(mib) };
    if (begin_apart(f, 2, "a line\n")) {
        world_online(at(0));
        for (size_t i = 0; i < N; i++)
            e2e_ok(at(0), "head -c %uM /dev/urandom >notes/%u", mib[i], mib[i]);
        e2e_ok(at(0), "persist sync --wait %s", at(0)->folder);
        world_online(at(1));
        bool seen[N + 1] = {[N] = true};
        for (uint64_t end = e2e_now_ms() + E2E_LONG_MS; !seen[0] && e2e_now_ms() < end;
             usleep(1000)) {
            for (size_t i = 0; i < N; i++)
                seen[i] = exists(world_path(at(1), "%u", mib[i]));
            for (size_t i = 0; i < N; i++)
                holds(!seen[i] || seen[i + 1]);
        }
        holds(seen[0]);
        world_even(&world);
    }
    world_end(&world);
}

static void thousands_of_files_arrive(struct e2e *f)
{
    enum { FOLDERS = 30, EACH = 100 };
    if (world_begin(&world, f, 2)) {
        for (unsigned i = 0; i < FOLDERS; i++) {
            ok(mkdir(world_path(at(0), "f%u", i), 0755));
            for (unsigned k = 0; k < EACH; k++) {
                char name[32], text[64];
                snprintf(name, sizeof name, "f%u/%u.md", i, k);
                snprintf(text, sizeof text, "file %u of folder %u\n", k, i);
                world_save(at(0), name, text);
            }
        }
        world_even_within(&world, 3 * 60 * 1000);
        e2e_ok(at(1), "find notes -type f | wc -l");
        same(strtol(at(1)->last.out, NULL, 10), FOLDERS * EACH);
        e2e_ok(at(1), "rm -r notes/*");
        world_even_within(&world, 3 * 60 * 1000);
        e2e_ok(at(0), "find notes -mindepth 1 | wc -l");
        same(strtol(at(0)->last.out, NULL, 10), 0);
    }
    world_end(&world);
}

/* ---- a full account ----------------------------------------------------------------------------
 */

static bool says_quota(void *device)
{
    struct e2e *d = device;
    return e2e_sh(d, "persist status %s", d->folder)->status == 0 &&
           strstr(d->last.out, "the quota of ") != NULL;
}

/* A device of an account that has these quotas. */
static struct e2e *device_of(const char *user, const char *quotas)
{
    struct e2e *d = world_add(&world);
    bool made = d != NULL &&
                e2e_ok(world.server,
                       "persist user add %s %s --data %s && persist token create --user %s "
                       "--label d --data %s >%s/token",
                       user, quotas, world.data, user, world.data, d->top) &&
                world_found(&world, d);
    return made ? d : NULL;
}

/* The device says which limit it is, goes on saving, and small files still go through. */
static void a_full_account_is_told(struct e2e *f)
{
    if (world_begin(&world, f, 0)) {
        struct e2e *d = device_of("bob", "--quota 2M");
        if (d != NULL) {
            e2e_ok(d, "head -c 4000000 /dev/urandom >%s/big", d->folder);
            if (e2e_wait(says_quota, d, WORLD_EVEN_MS, "the device says that the quota is used up"))
                contains(d->last.out, "the quota of 2.0 MiB on the server is used up");
            world_save(d, "note", "still saved\n");
            same_text(world_text(d, "note"), "still saved\n");
        }
        d = device_of("carl", "--quota-entries 20");
        if (d != NULL) {
            e2e_ok(d, "cd %s && for i in $(seq 30); do echo $i >$i; done", d->folder);
            if (e2e_wait(says_quota, d, WORLD_EVEN_MS, "the device says that no entries are left"))
                contains(d->last.out, "the quota of 20 entries on the server is used up");
        }
        e2e_ok(world.server, "persist user list --data %s", world.data);
        contains(world.server->last.out, " 2.0 MiB ");
        e2e_ok(world.server, "persist user list --json --data %s", world.data);
        same_text(e2e_value(world.server, "users.1.user"), "bob");
        same_text(e2e_value(world.server, "users.1.quota_bytes"), "2097152");
        same_text(e2e_value(world.server, "users.1.quota_entries"), "20000000");
        same_text(e2e_value(world.server, "users.2.quota_entries"), "20");
        same_text(e2e_value(world.server, "users.2.entries"), "20");
    }
    world_end(&world);
}

static bool is_away(void *arg)
{
    (void)arg;
    e2e_sh(world.server, "persist token list --data %s --json", world.data);
    return strcmp(e2e_value(world.server, "tokens.0.connected"), "false") == 0;
}

/* Who runs the server sees which devices are connected. */
static void a_device_is_seen_while_it_is_there(struct e2e *f)
{
    if (world_begin(&world, f, 1) && world_wait_link(at(0), "connected")) {
        e2e_ok(world.server, "persist token list --data %s", world.data);
        contains(world.server->last.out, "connected");
        holds(!is_away(NULL));
        world_offline(at(0));
        e2e_wait(is_away, NULL, WORLD_EVEN_MS, "the device is away");
        holds(strcmp(e2e_value(world.server, "tokens.0.last_seen"), "null") != 0);
        world_online(at(0));
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(saves_go_both_ways),
        E2E_TEST(editor_saves_are_seen_whole),
        E2E_TEST(every_kind_of_change_arrives),
        E2E_TEST(edits_of_different_paragraphs_merge),
        E2E_TEST(edits_of_one_line_make_a_sibling),
        E2E_TEST(a_rename_meets_an_edit),
        E2E_TEST(a_deletion_meets_an_edit),
        E2E_TEST(two_folders_of_one_name_are_one),
        E2E_TEST(a_device_away_for_long_comes_back),
        E2E_TEST(small_saves_pass_a_big_file),
        E2E_TEST(the_smallest_come_first),
        E2E_TEST(thousands_of_files_arrive),
        E2E_TEST(a_full_account_is_told),
        E2E_TEST(a_device_is_seen_while_it_is_there),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
