/* The directory .persist of a mount, and what a .persistignore does there. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

static bool mounted_with(struct e2e *f, const char *options)
{
    return e2e_mount(f, options) && ok(chdir(f->folder)) == 0;
}

static bool mounted(struct e2e *f)
{
    return mounted_with(f, NULL);
}

static void leave(struct e2e *f)
{
    ok(chdir("/"));
    e2e_unmount(f);
}

/* The files (-type f) or folders below a folder of the history, sorted, each on a line. */
static const char *found(struct e2e *f, const char *below, const char *type)
{
    e2e_ok(f, "cd notes/.persist/history/%s && find . -type %s | LC_ALL=C sort", below, type);
    return f->last.out;
}

static void it_is_in_no_listing_and_can_be_listed(struct e2e *f)
{
    if (!mounted(f))
        return;
    put_file("note", "one");
    e2e_ok(f, "ls -A notes");
    same_text(f->last.out, "note\n");
    e2e_ok(f, "find notes -mindepth 1; tar c -C notes . | tar t; cd notes; echo .*");
    holds(strstr(f->last.out, "persist") == NULL);
    e2e_ok(f, "ls -A notes/.persist");
    same_text(f->last.out, "conflicts\nhistory\nstatus\nstatus.json\n");
    e2e_ok(f, "cd notes/.persist && ls -A history/.. && cat ../note");
    same_text(f->last.out, "conflicts\nhistory\nstatus\nstatus.json\none");
    /* Once more with all of it in the kernel's cache, and after it has forgotten. */
    e2e_ok(f, "ls -A notes; echo 2 > /proc/sys/vm/drop_caches; ls -A notes notes/.persist");
    same_text(f->last.out, "note\nnotes:\nnote\n\nnotes/.persist:\nconflicts\nhistory\nstatus\n"
                           "status.json\n");
    e2e_ok(f, "cd notes && rm -rf * && ls .persist/history");
    leave(f);
}

static void status_and_conflicts_are_what_the_commands_print(struct e2e *f)
{
    if (!mounted(f))
        return;
    put_file("note", "one");
    put_file("note (conflict from anna 2026-11-22 14.03.05)", "two");
    e2e_wait_published(f);
    e2e_ok(f, "cat notes/.persist/status");
    contains(f->last.out, "2 files in 0 folders");
    contains(f->last.out, "conflicts   1;");
    e2e_ok(f, "cat notes/.persist/status.json");
    contains(f->last.out, "\"name\":\"notes\"");
    contains(f->last.out, "\"files\":2");
    e2e_ok(f, "cat notes/.persist/conflicts > a; persist conflicts notes > b; cmp a b");
    /* A handle holds what was when it was opened; a new one does not. */
    int fd = (int)ok(open(".persist/status.json", O_RDONLY));
    put_file("third", "x");
    e2e_wait_published(f);
    char text[4096] = "";
    ok(pread(fd, text, sizeof text - 1, 0));
    contains(text, "\"files\":2");
    same(lseek(fd, 0, SEEK_HOLE), (off_t)strlen(text));
    ok(close(fd));
    e2e_ok(f, "cat notes/.persist/status.json");
    contains(f->last.out, "\"files\":3");
    leave(f);
}

static void history_has_each_version_and_what_was_deleted(struct e2e *f)
{
    if (!mounted(f))
        return;
    e2e_ok(f, "cd notes; mkdir -p a/sub; seq 1 30000 > big; cp big first");
    static const char *const texts[] = {"one", "two", "three"};
    for (size_t i = 0; i < ARRAY_N(texts); i++) {
        put_file("a/b.md", texts[i]);
        e2e_wait_versions(f, "notes/a/b.md", (long)i + 1);
    }
    e2e_ok(f, "cd notes/.persist/history/a/b.md && cat *");
    same_text(f->last.out, "onetwothree");
    e2e_ok(f, "cd notes/.persist/history/a/b.md && ls | "
              "grep -cE '^2[0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}[.][0-9]{2}[.][0-9]{2}[.][0-9]{3} "
              ".+ [(][0-9]+-[0-9a-f]{4}[)][.]md$'");
    same_text(f->last.out, "3\n");
    put_file("a/b.md", "four");
    e2e_wait_versions(f, "notes/a/b.md", 4);
    e2e_ok(f, "cat notes/.persist/history/a/b.md/*");
    same_text(f->last.out, "onetwothreefour");
    put_file("big", "small now");
    e2e_ok(f, "rm -r notes/a; mv notes/first notes/second");
    e2e_wait_published(f);
    e2e_wait_published(f);
    e2e_ok(f, "cat notes/.persist/history/a/b.md/*");
    same_text(f->last.out, "onetwothreefour");
    same_text(found(f, ".", "d"), ".\n./a\n./a/b.md\n./a/sub\n./big\n./second\n");
    /* A large version, its size beforehand, and by mmap and in pieces, too. */
    e2e_ok(f, "cd notes/.persist/history/big; set -- *; seq 1 30000 | cmp - \"$1\"; "
              "[ $(stat -c %%s \"$1\") = $(seq 1 30000 | wc -c) ]; grep -c 29999 \"$1\"; "
              "cp \"$1\" ../../../back; cmp \"$1\" ../../../back");
    leave(f);
}

/* What makes copies compares times before and after. */
static void history_can_be_archived(struct e2e *f)
{
    const char *times = "cd notes/.persist; stat -c '%y %z' . history history/a history/a/*";
    if (!mounted(f))
        return;
    e2e_ok(f, "cd notes; mkdir a; for i in $(seq 300); do echo $i > a/$i; done");
    e2e_wait_published(f);
    e2e_ok(f, "tar c -C notes/.persist history | tar t | grep -c '[)]$'");
    same_text(f->last.out, "300\n");
    e2e_ok(f, "tar cf archive -C notes/.persist history");
    same_text(f->last.err, "");
    e2e_ok(f, "(%s) > before; (%s) | cmp - before", times, times);
    /* Nor does a save meanwhile get in the way, and it is seen. */
    e2e_ok(f, "stat -c %%z notes/.persist/history/a > before; ls notes/.persist/history/a | wc -l; "
              "echo x > notes/a/new");
    same_text(f->last.out, "300\n");
    e2e_wait_versions(f, "notes/a/new", 1);
    e2e_ok(f, "stat -c %%z notes/.persist/history/a | cmp - before");
    e2e_ok(f, "ls notes/.persist/history/a | wc -l");
    same_text(f->last.out, "301\n");
    leave(f);
}

static void much_history_is_listed_whole(struct e2e *f)
{
    if (!mounted(f))
        return;
    e2e_ok(f, "cd notes; mkdir d; cd d; "
              "for i in $(seq 1000); do : > a-rather-long-name-of-a-file-$i; done");
    e2e_wait_published(f);
    e2e_ok(f, "rm -r notes/d");
    e2e_wait_published(f);
    e2e_ok(f, "ls notes/.persist/history/d | sort -u | wc -l");
    same_text(f->last.out, "1000\n");
    e2e_ok(f, "find notes/.persist/history/d -type f | wc -l");
    same_text(f->last.out, "1000\n");
    leave(f);
}

/* Reading works, everything else is as on a read-only file system. */
static void nothing_in_it_can_be_changed(struct e2e *f)
{
    if (!mounted_with(f, "-o allow_other"))
        return;
    put_file("note", "one");
    e2e_wait_versions(f, "notes/note", 1);
    DIR *d = opendir(".persist/history/note");
    struct dirent *e = NULL;
    char version[400] = "";
    while (d != NULL && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            snprintf(version, sizeof version, ".persist/history/note/%s", e->d_name);
    if (d != NULL)
        closedir(d);
    check_file(version, "one");
    const char *const files[] = {".persist/status", version};
    for (size_t i = 0; i < ARRAY_N(files); i++) {
        check_about("%s", files[i]);
        fails(open(files[i], O_WRONLY), EROFS);
        fails(open(files[i], O_RDWR), EROFS);
        fails(open(files[i], O_RDONLY | O_TRUNC), EROFS);
        fails(truncate(files[i], 0), EROFS);
        fails(chmod(files[i], 0777), EROFS);
        fails(chown(files[i], 1, 1), EROFS);
        fails(utimensat(AT_FDCWD, files[i], NULL, 0), EROFS);
        fails(setxattr(files[i], "user.a", "b", 1, 0), EROFS);
        fails(removexattr(files[i], "user.a"), EROFS);
        fails(getxattr(files[i], "user.a", NULL, 0), ENODATA);
        same(listxattr(files[i], NULL, 0), 0);
        fails(unlink(files[i]), EROFS);
        fails(link(files[i], "linked"), EROFS);
        fails(rename(files[i], "moved"), EROFS);
        fails(rename("note", files[i]), EROFS);
    }
    static const char *const dirs[] = {".persist", ".persist/history", ".persist/history/note"};
    for (size_t i = 0; i < ARRAY_N(dirs); i++) {
        char inside[300];
        check_about("%s", dirs[i]);
        snprintf(inside, sizeof inside, "%s/new", dirs[i]);
        fails(open(inside, O_CREAT | O_WRONLY, 0600), EROFS);
        fails(mkdir(inside, 0700), EROFS);
        fails(symlink("a", inside), EROFS);
        fails(mkfifo(inside, 0600), EROFS);
        fails(link("note", inside), EROFS);
        fails(rename("note", inside), EROFS);
        fails(rmdir(dirs[i]), EROFS);
        fails(rename(dirs[i], "moved"), EROFS);
        fails(chmod(dirs[i], 0777), EROFS);
        same(exists(inside), false);
    }
    check_about_nothing();
    fails(mkdir(".persist", 0700), EEXIST);
    make_dir("dir", 0755);
    fails(rename("dir", ".persist"), EROFS);
    make_dir("dir/.persist", 0755); /* elsewhere it is a name like any other */
    ok(rmdir("dir/.persist"));
    check_file("note", "one");
    /* Others see as little of old versions as the owner of the folder lets them: nothing. */
    ok(chmod(".", 0755));
    AS(E2E_USER, E2E_USER)
    {
        check_file("note", "one");
        holds(open(".persist/history", O_RDONLY) == -1);
    }
    leave(f);
}

static void requests_go_on_while_many_read_it(struct e2e *f)
{
    if (!mounted(f))
        return;
    e2e_ok(f, "cd notes; for i in $(seq 200); do mkdir d$i; echo $i > d$i/f; done");
    e2e_wait_published(f);
    e2e_ok(f, "cd notes; for i in 1 2 3 4 5 6 7 8; do "
              "(find .persist -type f -exec cat {} + > /dev/null) & done; "
              "for i in $(seq 200); do echo x > d$i/f; mv d$i e$i; done; wait; "
              "[ $(cat e*/f | wc -l) = 200 ]");
    leave(f);
}

/* ---- .persistignore ---- */

static void ignored_names_stay_here_and_come_after_a_kill(struct e2e *f)
{
    if (!mounted(f))
        return;
    e2e_ok(f, "cd notes; printf '*.o\\n/out/\\n' > .persistignore; mkdir -p out/deep src; "
              "echo x > out/deep/a; echo x > src/b.o; echo x > src/b.c");
    e2e_wait_published(f);
    same(e2e_versions(f, "notes/src/b.c"), 1);
    e2e_refused(f, 3, "stays on this device alone", "persist log notes/src/b.o");
    e2e_refused(f, 3, "stays on this device alone", "persist log notes/out/deep/a");
    e2e_ok(f, "mkdir copy && persist export notes copy && cat copy/src/b.o copy/out/deep/a");
    e2e_ok(f, "persist check notes");
    e2e_ok(f, "echo '/out/' > notes/.persistignore; kill -9 $(cat home/run/mount-notes.pid); "
              "umount -l notes");
    ok(chdir("/"));
    if (!mounted(f))
        return;
    e2e_wait_versions(f, "notes/src/b.o", 1);
    e2e_refused(f, 3, "stays on this device alone", "persist log notes/out/deep/a");
    leave(f);
}

static void too_many_rules_are_refused_and_status_says_so(struct e2e *f)
{
    if (!mounted(f))
        return;
    e2e_ok(f, "seq 600 > notes/.persistignore");
    e2e_wait_versions(f, "notes/.persistignore", 1);
    e2e_ok(f, "echo x > notes/7");
    e2e_wait_versions(f, "notes/7", 1);
    e2e_ok(f, "persist status notes");
    contains(f->last.out, "./.persistignore: more than 64 KiB, 512 lines");
    leave(f);
}

/* A device that came later has of what was deleted before the names alone. */
static void bytes_that_are_elsewhere_are_fetched_when_they_are_read(struct e2e *f)
{
    static struct sync_world world;
    struct e2e *d = NULL;
    if (world_begin(&world, f, 1)) {
        struct e2e *first = world_at(&world, 0);
        e2e_ok(first,
               "for i in 1 2 3; do head -c 3000000 /dev/urandom >big$i; cp big$i notes; done");
        e2e_wait_published(first);
        e2e_ok(first, "rm notes/big? && persist sync --wait notes");
        d = world_add(&world);
    }
    if (d != NULL && world_clone(&world, d)) {
        const char *top = world_at(&world, 0)->top;
        e2e_ok(d, "persist sync --wait notes && ls notes/.persist/history");
        same_text(d->last.out, "big1\nbig2\nbig3\n");
        e2e_ok(d, "cmp notes/.persist/history/big1/* %s/big1", top);
        e2e_ok(d, "cmp notes/.persist/history/big1/* %s/big1", top);
        world_offline(d);
        holds(e2e_sh(d, "cat notes/.persist/history/big2/* 2>&1")->status == 1);
        contains(d->last.out, ": Host is down\n");
        world_online(d);
        /* Who gives up is let go, with the server stopped: it is reached, and gives nothing. */
        world_wait_link(d, "connected");
        ok(kill(world.server_pid, SIGSTOP));
        holds(e2e_sh(d, "timeout 1 cat notes/.persist/history/big3/*")->status == 124);
        holds(e2e_sh(d, "cat notes/.persist/history/big3/* 2>&1")->status == 1);
        contains(d->last.out, ": Connection timed out\n");
        ok(kill(world.server_pid, SIGCONT));
        e2e_ok(d, "cmp notes/.persist/history/big3/* %s/big3", top);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(it_is_in_no_listing_and_can_be_listed),
        E2E_TEST(status_and_conflicts_are_what_the_commands_print),
        E2E_TEST(history_has_each_version_and_what_was_deleted),
        E2E_TEST(history_can_be_archived),
        E2E_TEST(much_history_is_listed_whole),
        E2E_TEST(nothing_in_it_can_be_changed),
        E2E_TEST(requests_go_on_while_many_read_it),
        E2E_TEST(ignored_names_stay_here_and_come_after_a_kill),
        E2E_TEST(too_many_rules_are_refused_and_status_says_so),
        E2E_TEST(bytes_that_are_elsewhere_are_fetched_when_they_are_read),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
