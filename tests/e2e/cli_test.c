/* The command line, as people and scripts use it, when all is well. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/e2e_log.h"
#include "tests/support/json_read.h"
#include "tests/support/manifest.h"
#include "tests/support/posix.h"

static const char *path_in(const struct e2e *f, const char *name)
{
    static char path[4][E2E_PATH_MAX + 64];
    static unsigned next;
    char *to = path[next++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", f->folder, name);
    return to;
}

/* ---- mounting ---- */

static void a_mount_is_usable_when_the_command_returns(struct e2e *f)
{
    for (int round = 0; round < 3; round++) {
        check_about("round %d", round);
        if (!e2e_mount(f, NULL))
            return;
        same_text(f->last.out, "");
        holds(e2e_is_mounted(f->folder));
        pid_t pid = e2e_mount_pid(f);
        holds(pid > 0 && kill(pid, 0) == 0);
        if (round == 0)
            put_file(path_in(f, "note"), "text");
        check_file(path_in(f, "note"), "text");
        e2e_unmount(f);
        holds(!e2e_is_mounted(f->folder));
        same(e2e_mount_pid(f), 0);
        e2e_wait_gone(pid, 0);
        holds(!exists(path_in(f, "note")));
    }
}

/* Looked at when the command returns: what was waited for is nobody's any more. */
static void nothing_outlives_an_unmount(struct e2e *f)
{
    char children[256] = "", path[64];
    e2e_mount(f, NULL);
    pid_t pid = e2e_mount_pid(f);
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    holds(fd >= 0 && read(fd, children, sizeof children - 1) > 0);
    close(fd);
    e2e_unmount(f);
    unsigned n = 0;
    char *end;
    for (char *p = children; (pid = (pid_t)strtol(p, &end, 10)) > 0; p = end) {
        n++;
        same(kill(pid, 0), -1);
        same(errno, ESRCH);
    }
    same(n, 2); /* the watch, the starter */
}

/* Who took the mount away by other means has a process that ends: what comes next waits for it. */
static void unmounting_waits_for_a_process_that_ends(struct e2e *f)
{
    for (int i = 0; i < 8; i++) {
        e2e_mount(f, NULL);
        e2e_ok(f, "for n in $(seq 200); do echo $n >%s/f$n; done", f->folder);
        e2e_sh(f, "umount -l %s; sleep 0.0%d; persist unmount %s", f->folder, i, f->folder);
        if (f->last.status != 0)
            contains(f->last.err, "is not mounted");
        e2e_ok(f, "persist forget --yes %s", f->folder);
    }
}

static void the_foreground_ends_with_a_signal(struct e2e *f)
{
    static const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < ARRAY_N(signals); i++) {
        check_about("signal %d", signals[i]);
        pid_t pid = e2e_start(f, "exec persist mount %s -f 2>>%s/f.log", f->folder, f->top);
        struct e2e *arg = f;
        uint64_t end = e2e_now_ms() + E2E_LONG_MS;
        while (!e2e_is_mounted(arg->folder) && e2e_now_ms() < end)
            next_tick();
        holds(e2e_is_mounted(f->folder));
        put_file(path_in(f, "note"), "from the foreground");
        same(e2e_mount_pid(f), pid);
        kill(pid, signals[i]);
        int status = -1;
        if (e2e_wait_gone(pid, E2E_LONG_MS))
            waitpid(pid, &status, 0);
        same(status, 0);
        holds(!e2e_is_mounted(f->folder));
    }
    e2e_mount(f, NULL);
    check_file(path_in(f, "note"), "from the foreground");
}

static void several_folders_stay_apart(struct e2e *f)
{
    char path[E2E_PATH_MAX + 64];
    e2e_mount(f, NULL);
    e2e_ok(f, "mkdir second other && persist mount second && persist mount other --name third");
    put_file(path_in(f, "note"), "first");
    e2e_ok(f, "echo second > second/note && echo third > other/note");
    check_file(path_in(f, "note"), "first");
    e2e_ok(f, "persist status --json");
    same(json_read_count(f->last.out, "spaces"), 3);
    e2e_ok(f,
           "cd second && persist status --json | grep -q '\"spaces\"' && persist log note --json");
    same_text(e2e_value(f, "path"), "note");
    e2e_ok(f, "persist status second --json");
    snprintf(path, sizeof path, "%s/second", f->top);
    same_text(e2e_value(f, "folder"), path);
    same_text(e2e_value(f, "name"), "second");
    same_text(e2e_value(f, "mounted"), "true");
    e2e_ok(f, "persist status other/note --json");
    same_text(e2e_value(f, "name"), "third");
    e2e_refused(f, 1, "mounted already", "persist mount second");
    e2e_ok(f, "persist unmount second");
    check_file(path_in(f, "note"), "first");
    e2e_ok(f, "persist status second --json");
    same_text(e2e_value(f, "mounted"), "false");
    e2e_ok(f, "persist log second/note --json");
    holds(json_read_count(f->last.out, "versions") == 1);
    e2e_refused(f, 2, "say which", "cd / && persist conflicts");
    e2e_refused(f, 1, "second", "persist mount second --name notes");
    e2e_refused(f, 1, "notes", "mkdir fourth && persist mount fourth --name notes");
    e2e_ok(f, "persist unmount other");
}

static void a_busy_folder_says_who_holds_it(struct e2e *f)
{
    char pid_text[32];
    e2e_mount(f, NULL);
    put_file(path_in(f, "note"), "text");
    int ready[2];
    ok(pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path_in(f, "note"), O_RDONLY);
        _exit(fd < 0 || write(ready[1], "x", 1) != 1 || pause());
    }
    char c;
    same(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
    e2e_refused(f, 1, pid_text, "persist unmount %s", f->folder);
    holds(e2e_is_mounted(f->folder));
    check_file(path_in(f, "note"), "text");
    e2e_stop(pid);
    /* A shell that stands in it holds it too, unless it is the one that asks. */
    pid = e2e_start(f, "cd %s && exec sleep 60", f->folder);
    snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
    char cwd[64], target[300] = "";
    snprintf(cwd, sizeof cwd, "/proc/%d/cwd", (int)pid);
    for (uint64_t end = e2e_now_ms() + E2E_LONG_MS; e2e_now_ms() < end; next_tick())
        if (readlink(cwd, target, sizeof target - 1) > 0 && strcmp(target, f->folder) == 0)
            break;
    e2e_refused(f, 1, pid_text, "persist unmount %s", f->folder);
    e2e_stop(pid);
    e2e_unmount(f);
}

static void fstab_can_mount_it(struct e2e *f)
{
    char script[PATH_MAX];
    snprintf(script, sizeof script, "%s", __FILE__);
    for (int i = 0; i < 3; i++)
        *strrchr(script, '/') = '\0';
    e2e_ok(f,
           "mkdir bin sbin && ln -s $(command -v persist) bin/persist && "
           "cp %s/scripts/mount.persist sbin/",
           script);
    e2e_ok(f, "sbin/mount.persist persist %s -o home=%s,rw,name=notes,noatime,nofail,_netdev",
           f->folder, f->home);
    holds(e2e_is_mounted(f->folder));
    put_file(path_in(f, "note"), "text");
    e2e_ok(f, "persist status %s --json", f->folder);
    same_text(e2e_value(f, "name"), "notes");
    e2e_unmount(f);
    e2e_ok(f, "sbin/mount.persist persist %s -f -o home=%s,name=notes", f->folder, f->home);
    holds(!e2e_is_mounted(f->folder));
    same(e2e_sh(f, "sbin/mount.persist persist %s/missing -o home=%s", f->top, f->home)->status,
         32);
    same(e2e_sh(f, "sbin/mount.persist persist")->status, 1);
    same(e2e_sh(f, "sbin/mount.persist persist %s -o home=%s,strange", f->folder, f->home)->status,
         1);
    e2e_ok(f, "sbin/mount.persist persist %s -s -o home=%s,strange", f->folder, f->home);
    check_file(path_in(f, "note"), "text");
    /* umount(8) is enough; the process goes away with the mount. */
    pid_t pid = e2e_mount_pid(f);
    e2e_ok(f, "umount %s", f->folder);
    e2e_wait_gone(pid, E2E_LONG_MS);
}

static void options_reach_the_kernel(struct e2e *f)
{
    e2e_mount(f, "-o ro");
    fails(try_open(path_in(f, "x"), O_CREAT | O_WRONLY), EROFS);
    e2e_unmount(f);
    e2e_mount(f, "-o noexec,nosuid -o nodev");
    put_file_mode(path_in(f, "x"), "#!/bin/sh\n", 0755);
    fails(execl(path_in(f, "x"), "x", (char *)NULL), EACCES);
    e2e_unmount(f);
    e2e_mount(f, NULL);
    AS(E2E_USER, E2E_USER)
    {
        fails(try_open(path_in(f, "x"), O_RDONLY), EACCES);
    }
}

/* ---- help and words ---- */

static void every_command_explains_itself(struct e2e *f)
{
    static const char *const commands[] = {"mount",   "unmount", "status", "log",    "show",
                                           "restore", "export",  "check",  "gc",     "conflicts",
                                           "forget",  "id",      "driver", "resolve"};
    e2e_ok(f, "persist --version");
    contains(f->last.out, "0.");
    e2e_ok(f, "persist --help");
    for (size_t i = 0; i < ARRAY_N(commands); i++) {
        check_about("%s", commands[i]);
        e2e_ok(f, "persist --help");
        contains(f->last.out, commands[i]);
        e2e_ok(f, "persist %s --help", commands[i]);
        contains(f->last.out, "xample");
        contains(f->last.out, commands[i]);
        same_text(f->last.err, "");
        holds(strchr(f->last.out, '\033') == NULL);
    }
    holds(!exists(f->home));
}

static void json_is_always_one_document(struct e2e *f)
{
    e2e_ok(f, "persist status --json");
    holds(json_read_valid(f->last.out));
    e2e_mount(f, NULL);
    e2e_ok(
        f,
        "cd %s && mkdir d && echo 1 > 'd/a \"b\" \\c' && printf x > \"$(printf 'd/\\377\\n')\" && "
        "ln -s x link && mkfifo p",
        f->folder);
    e2e_wait_published(f);
    static const char *const lines[] = {
        "persist status --json",
        "persist status notes --json",
        "persist id --json",
        "persist log notes --json",
        "persist log notes/d --json",
        "persist log \"notes/d/$(printf '\\377\\n')\" --json",
        "persist log 'notes/d/a \"b\" \\c' --json",
        "persist log notes/link --json",
        "persist conflicts notes --json",
        "persist driver list --json",
        "persist check notes --json",
        "persist gc notes --json",
        "persist export notes out --json",
    };
    for (size_t i = 0; i < ARRAY_N(lines); i++) {
        e2e_ok(f, "%s", lines[i]);
        if (!json_read_valid(f->last.out))
            check_fail("%s: not JSON: %.300s", lines[i], f->last.out);
        const char *newline = strchr(f->last.out, '\n');
        holds(newline != NULL && newline[1] == '\0');
        holds(strchr(f->last.out, '\033') == NULL);
        same_text(f->last.err, "");
    }
    e2e_ok(f, "persist id --json");
    holds(strlen(e2e_value(f, "peer_id")) > 40);
    char id[128];
    snprintf(id, sizeof id, "%s", e2e_value(f, "peer_id"));
    e2e_ok(f, "persist id --json");
    same_text(e2e_value(f, "peer_id"), id);
}

static void a_watched_status_tells_of_changes(struct e2e *f)
{
    e2e_mount(f, NULL);
    pid_t pid = e2e_start(f, "exec persist status %s --json --watch > watch", f->folder);
    struct stat st = {0};
    char path[E2E_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/watch", f->top);
    for (int i = 0; i < 3; i++) {
        off_t before = st.st_size;
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        if (i > 0)
            put_file(path_in(f, name), "x");
        for (uint64_t end = e2e_now_ms() + E2E_LONG_MS; e2e_now_ms() < end; next_tick())
            if (stat(path, &st) == 0 && st.st_size > before)
                break;
        holds(st.st_size > before);
    }
    kill(pid, SIGINT);
    e2e_wait_gone(pid, E2E_LONG_MS);
    waitpid(pid, NULL, 0);
    e2e_ok(f, "n=0; while read -r line; do echo \"$line\" | grep -q '\"files\"' || exit 1; "
              "n=$((n+1)); done < watch; [ $n -ge 3 ]");
}

/* ---- history ---- */

static void saves_become_versions(struct e2e *f)
{
    static const char *const texts[] = {"one", "two, longer", "three\n"};
    char version[3][64];
    e2e_mount(f, NULL);
    const char *note = path_in(f, "note.md");
    for (int i = 0; i < 3; i++) {
        put_file(note, texts[i]);
        e2e_wait_versions(f, note, i + 1);
    }
    e2e_ok(f, "persist log %s --json", note);
    for (int i = 0; i < 3; i++) {
        /* Newest first. */
        char place[32], number[32];
        snprintf(place, sizeof place, "versions.%d.version", 2 - i);
        snprintf(version[i], sizeof version[i], "%s", e2e_value(f, place));
        snprintf(place, sizeof place, "versions.%d.size", 2 - i);
        snprintf(number, sizeof number, "%zu", strlen(texts[i]));
        same_text(e2e_value(f, place), number);
        snprintf(place, sizeof place, "versions.%d.current", 2 - i);
        same_text(e2e_value(f, place), i == 2 ? "true" : "false");
    }
    for (int i = 0; i < 3; i++) {
        e2e_ok(f, "persist show %s@%s", note, version[i]);
        same_text(f->last.out, texts[i]);
    }
    e2e_ok(f, "persist restore %s@%s", note, version[0]);
    check_file(note, "one");
    e2e_wait_versions(f, note, 4);
    e2e_ok(f, "persist restore %s@%s --to %s", note, version[1], path_in(f, "copy.md"));
    check_file(path_in(f, "copy.md"), "two, longer");
    check_file(note, "one");
    e2e_refused(f, 3, "", "persist show %s@9-ffff", note);
    e2e_refused(f, 3, "", "persist log %s", path_in(f, "never"));
    e2e_refused(f, 3, "", "persist restore %s@9-ffff", note);
    /* The same content again, and a change of times or modes, are no versions of content. */
    long n = e2e_versions(f, note);
    ok(utimensat(AT_FDCWD, note, NULL, 0));
    put_file(note, "one");
    ok(chmod(note, 0600));
    e2e_wait_published(f);
    same(e2e_versions(f, note), n);
}

static void a_deleted_file_comes_back(struct e2e *f)
{
    char version[64];
    e2e_mount(f, NULL);
    const char *note = path_in(f, "note");
    put_file_mode(note, "kept", 0640);
    e2e_wait_versions(f, note, 1);
    e2e_ok(f, "persist log %s --json", note);
    snprintf(version, sizeof version, "%s", e2e_value(f, "versions.0.version"));
    ok(unlink(note));
    e2e_wait_published(f);
    e2e_ok(f, "persist log %s --json", note);
    same_text(e2e_value(f, "exists"), "false");
    e2e_ok(f, "persist show %s@%s", note, version);
    same_text(f->last.out, "kept");
    e2e_ok(f, "persist restore %s@%s", note, version);
    check_file(note, "kept");
    same(mode_of(note), 0640);
    e2e_unmount(f);
    /* And all that while the folder is not mounted. */
    e2e_ok(f, "persist show %s@%s", note, version);
    same_text(f->last.out, "kept");
}

static void a_folder_goes_back_to_a_moment(struct e2e *f)
{
    char when[64];
    e2e_mount(f, NULL);
    make_dir(path_in(f, "d"), 0755);
    put_file(path_in(f, "d/a"), "old");
    put_file(path_in(f, "d/gone"), "to be deleted");
    e2e_wait_versions(f, path_in(f, "d/a"), 1);
    e2e_wait_versions(f, path_in(f, "d/gone"), 1);
    struct timespec now;
    next_tick();
    clock_gettime(CLOCK_REALTIME, &now);
    e2e_ok(f, "date -u -d @%jd.%03ld +%%Y-%%m-%%dT%%H:%%M:%%S.%%3NZ", (intmax_t)now.tv_sec,
           now.tv_nsec / 1000000 + (now.tv_nsec < 999000000));
    snprintf(when, sizeof when, "%.*s", (int)strcspn(f->last.out, "\n"), f->last.out);
    /* The next changes are later by more than what the clock's text shows. */
    for (int i = 0; i < 4; i++)
        next_tick();
    put_file(path_in(f, "d/a"), "new text");
    ok(unlink(path_in(f, "d/gone")));
    e2e_wait_versions(f, path_in(f, "d/a"), 2);
    e2e_wait_published(f);
    e2e_ok(f, "persist restore %s/d --at %s", f->folder, when);
    check_file(path_in(f, "d/a"), "old");
    check_file(path_in(f, "d/gone"), "to be deleted");
}

/* ---- import and export ---- */

static void put_pattern(const char *path, size_t n, off_t at)
{
    static uint8_t bytes[1 << 20];
    int fd = (int)ok(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    pattern_fill(bytes, n, n, 0);
    holds(write_all(fd, bytes, n, at));
    close(fd);
}

/* A folder as people have them, in the current directory. */
static void make_folder(void)
{
    make_dir("photos", 0750);
    make_dir("photos/2026", 0700);
    make_dir("empty", 0711);
    put_pattern("photos/2026/large", 900000, 0);
    put_pattern("photos/2026/sparse", 4096, 6000000);
    put_pattern("photos/edge", 32768, 0);
    put_pattern("photos/edge1", 32769, 0);
    put_file_mode("script", "#!/bin/sh\n", 0755);
    put_file_mode("secret", "s", 0600);
    put_file("nothing", "");
    put_file("odd \xff\n name", "odd");
    put_file("two names", "linked");
    ok(link("two names", "photos/second name"));
    ok(symlink("photos/2026", "link"));
    ok(symlink("/nowhere/at all", "dangling"));
    ok(setxattr("script", "user.note", "value\0x", 7, 0));
    ok(setxattr("photos", "user.on", "dir", 3, 0));
    struct timespec times[2] = {{1000000000, 1}, {1234567890, 987654321}};
    ok(utimensat(AT_FDCWD, "script", times, 0));
    ok(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW));
    ok(utimensat(AT_FDCWD, "photos/2026", times, 0));
    ok(utimensat(AT_FDCWD, "empty", times, 0));
}

enum { PLAIN = MANIFEST_LINKS | MANIFEST_SPARSE | MANIFEST_DIR_TIMES | MANIFEST_XATTR };

static void an_import_takes_everything_in(struct e2e *f)
{
    char kept[E2E_PATH_MAX + 32];
    snprintf(kept, sizeof kept, "%s.before-persist", f->folder);
    ok(chdir(f->folder));
    make_folder();
    ok(mkfifo("pipe", 0600));
    ok(chdir("/"));
    char *before = manifest_of(f->folder, PLAIN);
    e2e_refused(f, 1, "--import", "persist mount %s", f->folder);
    char *after = manifest_of(f->folder, PLAIN);
    same_tree(after, before);
    free(after);
    if (e2e_mount(f, "--import")) {
        after = manifest_of(f->folder, PLAIN);
        same_tree(after, before);
        free(after);
        /* Nothing is lost but by the user's own hand. */
        after = manifest_of(kept, PLAIN);
        same_tree(after, before);
        free(after);
        e2e_wait_published(f);
        same(e2e_versions(f, path_in(f, "script")), 1);
        e2e_unmount(f);
        e2e_mount(f, NULL);
        after = manifest_of(f->folder, PLAIN);
        same_tree(after, before);
        free(after);
        ok(try_open(path_in(f, "photos/new"), O_CREAT | O_WRONLY));
    }
    free(before);
}

static void an_export_is_a_plain_copy(struct e2e *f)
{
    char out[E2E_PATH_MAX + 32];
    snprintf(out, sizeof out, "%s/out", f->top);
    e2e_mount(f, NULL);
    ok(chdir(f->folder));
    make_folder();
    ok(chdir("/"));
    char *before = manifest_of(f->folder, PLAIN);
    if (e2e_ok(f, "persist export %s %s", f->folder, out)) {
        e2e_ok(f, "diff -r --no-dereference %s %s", f->folder, out);
        char *after = manifest_of(out, PLAIN);
        same_tree(after, before);
        free(after);
        e2e_refused(f, 1, "empty", "persist export %s %s", f->folder, out);
        e2e_refused(f, 2, "", "persist export %s %s/inside", f->folder, f->folder);
        holds(!exists(path_in(f, "inside")));
        e2e_unmount(f);
        /* Not mounted, and a part of it. */
        e2e_ok(f, "persist export %s/photos part && diff -r out/photos part", f->folder);
        e2e_ok(f, "persist export %s again && diff -r --no-dereference out again", f->folder);
        e2e_refused(f, 3, "", "persist export %s/none none", f->folder);
        holds(!exists("none"));
        /* And back in. */
        e2e_ok(f, "persist mount out --import --name back");
        after = manifest_of(out, PLAIN);
        same_tree(after, before);
        free(after);
        e2e_ok(f, "persist unmount out");
    }
    free(before);
}

/* ---- the rest ---- */

static void a_healthy_folder_passes_its_check(struct e2e *f)
{
    e2e_mount(f, NULL);
    ok(chdir(f->folder));
    make_folder();
    ok(chdir("/"));
    e2e_ok(f, "persist check %s", f->folder);
    e2e_ok(f, "persist gc %s", f->folder);
    char *before = manifest_of(f->folder, PLAIN);
    e2e_ok(f, "cd %s && for i in 1 2 3 4; do cp photos/2026/large big$i && rm big$i; done",
           f->folder);
    e2e_ok(f, "persist gc %s && persist check %s", f->folder, f->folder);
    char *after = manifest_of(f->folder, PLAIN & ~MANIFEST_DIR_TIMES);
    free(before);
    before = manifest_of(f->folder, PLAIN & ~MANIFEST_DIR_TIMES);
    same_tree(after, before);
    free(after);
    free(before);
    e2e_unmount(f);
    e2e_ok(f, "persist check %s && persist gc %s", f->folder, f->folder);
}

static void forgetting_leaves_nothing(struct e2e *f)
{
    e2e_mount(f, NULL);
    put_file(path_in(f, "note"), "text");
    holds(e2e_sh(f, "persist forget %s", f->folder)->status != 0);
    e2e_refused(f, 1, "", "persist forget %s --yes", f->folder);
    check_file(path_in(f, "note"), "text");
    e2e_unmount(f);
    e2e_ok(f, "persist forget %s --yes", f->folder);
    e2e_ok(f, "[ -z \"$(ls -A home/spaces | grep -v ^member$)\" ]");
    e2e_ok(f, "persist status --json");
    same(json_read_count(f->last.out, "spaces"), 0);
    e2e_mount(f, NULL);
    holds(!exists(path_in(f, "note")));
}

/* Both have found the folder before either deletes it. */
static void of_two_who_forget_one_is_told_that_it_is_gone(struct e2e *f)
{
    e2e_mount(f, NULL);
    e2e_unmount(f);
    e2e_ok(f,
           "lock=$(stat -c %%i home/lock); exec 9<home/lock; flock 9; "
           "for i in 1 2; do (persist forget --yes %s 2>said$i; echo $? >status$i) 9<&- & done; "
           "until [ $(grep -c -- \"-> FLOCK .*:$lock \" /proc/locks) = 2 ]; do sleep 0.02; done; "
           "exec 9<&-; wait; sort status1 status2; cat said1 said2",
           f->folder);
    contains(f->last.out, "0\n3\npersist: ");
    contains(f->last.out, "/notes: another command has forgotten it meanwhile; nothing is left");
    same(strchr(strstr(f->last.out, "persist: "), '\n') - f->last.out, f->last.out_n - 1);
}

/* A folder of two state directories, mounted by one of them. */
static void only_who_mounted_a_folder_unmounts_it(struct e2e *f)
{
    static const char who[] = "is mounted by a process of another state directory; unmount it as";
    e2e_ok(f,
           "export PERSIST_HOME=$PWD/other && persist mount %s && persist unmount %s && "
           "kill $(cat other/run/sync.pid)",
           f->folder, f->folder);
    e2e_mount(f, NULL);
    pid_t pid = e2e_mount_pid(f);
    put_file(path_in(f, "note"), "text");
    for (int known = 1; known >= 0; known--) {
        e2e_refused(f, 4, who, "PERSIST_HOME=$PWD/%s persist unmount %s", known ? "other" : "third",
                    f->folder);
        check_file(path_in(f, "note"), "text");
        same(e2e_mount_pid(f), pid);
    }
    /* One without a process is anybody's to take away. */
    for (int known = 1; known >= 0; known--) {
        pid = e2e_mount_pid(f);
        kill(pid, SIGKILL);
        e2e_wait_gone(pid, E2E_LONG_MS);
        holds(e2e_is_mounted(f->folder));
        e2e_ok(f, "PERSIST_HOME=$PWD/%s persist unmount %s", known ? "other" : "third", f->folder);
        holds(!e2e_is_mounted(f->folder));
        e2e_mount(f, NULL);
        check_file(path_in(f, "note"), "text");
    }
    e2e_unmount(f);
}

static void a_conflict_ends_as_one_says(struct e2e *f)
{
    static const char sibling[] = "note (conflict from laptop 2026-11-22 14.03.05).md";
    for (int mounted = 1; mounted >= 0; mounted--) {
        e2e_mount(f, NULL);
        put_file(path_in(f, "note.md"), "mine");
        put_file(path_in(f, sibling), "theirs");
        e2e_ok(f, "persist conflicts notes | grep -F '%s'", sibling);
        e2e_refused(f, 2, "--keep", "persist resolve notes/note.md");
        e2e_refused(f, 2, "'this'", "persist resolve notes/note.md --keep mine");
        e2e_refused(f, 1, "has no conflict",
                    "touch notes/x && persist resolve notes/x --keep this");
        e2e_refused(f, 3, "no such file", "persist resolve notes/y --keep this");
        if (!mounted)
            e2e_unmount(f);
        e2e_ok(f, "persist resolve notes/note.md --keep other --json");
        same_text(e2e_value(f, "kept"), "other");
        e2e_ok(f, "persist conflicts notes | grep 'no conflicts'");
        if (!mounted)
            e2e_mount(f, NULL);
        check_file(path_in(f, "note.md"), "theirs");
        holds(!exists(path_in(f, sibling)));
        e2e_ok(f, "persist log notes/note.md --json");
        holds(json_read_count(f->last.out, "versions") >= 2);
        put_file(path_in(f, sibling), "third");
        e2e_ok(f, "persist resolve 'notes/%s' --keep both", sibling);
        check_file(path_in(f, "note (from laptop 2026-11-22 14.03.05).md"), "third");
        e2e_ok(f, "rm notes/*.md");
        e2e_unmount(f);
    }
}

static void drivers_are_set_listed_and_removed(struct e2e *f)
{
    e2e_refused(f, 3, "none yet", "persist driver set join -- /bin/cat %%A %%B");
    e2e_mount(f, NULL);
    e2e_ok(f, "persist driver list | grep 'no drivers'");
    e2e_ok(
        f,
        "persist driver set join --folder notes -- cat -A '%%A' '%%B' \"$(printf 'a\\tb\\nc')\"");
    e2e_ok(f, "persist driver list --json | grep '{\"name\":\"join\",\"folder\":\"%s\"'",
           f->folder);
    e2e_ok(f, "persist driver list | grep '/cat -A %%A %%B'");
    e2e_ok(f, "[ \"$(stat -c %%a home/spaces/*/drivers)\" = 600 ]");
    e2e_ok(f, "printf '*.md exec:join\\n*.txt exec:other\\n' > notes/.persistpolicy");
    e2e_wait_published(f);
    e2e_ok(f, "persist status notes | grep \"line 2: this device has no driver 'other'\"");
    e2e_ok(f, "! persist status notes | grep \"'join'\"");
    e2e_ok(f, "persist driver set join -- /bin/true %%A %%B && persist driver list --folder notes");
    holds(strstr(f->last.out, "/bin/cat") == NULL && strstr(f->last.out, "true") != NULL);
    e2e_ok(f, "persist driver set in -- /bin/true --a=%%A --b=%%B && persist driver remove in");
    e2e_refused(f, 3, "no such program",
                "persist driver set x -- no-such-program-anywhere %%A %%B");
    e2e_refused(f, 2, "a name is", "persist driver set 'a b' -- /bin/true %%A %%B");
    e2e_refused(f, 2, "the command", "persist driver set a");
    e2e_refused(f, 2, "no %A and %B", "persist driver set x -- /bin/true");
    e2e_refused(f, 2, "no %A and %B", "persist driver set x -- /bin/true %%O %%A");
    e2e_refused(f, 2, "no %A and %B", "persist driver set x -- /bin/true %%O %%%%A %%B");
    e2e_refused(f, 2, "set, list or remove", "persist driver show");
    e2e_refused(f, 3, "no such driver", "persist driver remove other");
    put_file(path_in(f, "script"), "#!/bin/sh\n");
    e2e_refused(f, 1, "in a persist folder",
                "chmod +x notes/script && persist driver set x -- notes/script %%A %%B");
    e2e_refused(f, 1, "in a persist folder",
                "persist driver set x -- /bin/sh \"$PWD/notes/script\" %%A %%B");
    e2e_ok(f, "persist driver remove join && persist driver list | grep 'no drivers'");
}

static void state_is_closed_to_others(struct e2e *f)
{
    e2e_mount(f, NULL);
    put_file(path_in(f, "note"), "text");
    e2e_ok(f, "[ -z \"$(find home \\( -type f -o -type s \\) -perm /077)\" ]");
    e2e_ok(f, "[ -z \"$(find home -type d -perm /077)\" ]");
    e2e_ok(f, "[ \"$(stat -c %%a home/sync/identity)\" = 600 ]");
    e2e_unmount(f);
    e2e_ok(f, "[ -z \"$(find home \\( -type f -o -type s -o -type d \\) -perm /077)\" ]");
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(a_mount_is_usable_when_the_command_returns),
        E2E_TEST(nothing_outlives_an_unmount),
        E2E_TEST(unmounting_waits_for_a_process_that_ends),
        E2E_TEST(the_foreground_ends_with_a_signal),
        E2E_TEST(several_folders_stay_apart),
        E2E_TEST(a_busy_folder_says_who_holds_it),
        E2E_TEST(fstab_can_mount_it),
        E2E_TEST(options_reach_the_kernel),
        E2E_TEST(every_command_explains_itself),
        E2E_TEST(json_is_always_one_document),
        E2E_TEST(a_watched_status_tells_of_changes),
        E2E_TEST(saves_become_versions),
        E2E_TEST(a_deleted_file_comes_back),
        E2E_TEST(a_folder_goes_back_to_a_moment),
        E2E_TEST(an_import_takes_everything_in),
        E2E_TEST(an_export_is_a_plain_copy),
        E2E_TEST(a_healthy_folder_passes_its_check),
        E2E_TEST(a_conflict_ends_as_one_says),
        E2E_TEST(drivers_are_set_listed_and_removed),
        E2E_TEST(forgetting_leaves_nothing),
        E2E_TEST(of_two_who_forget_one_is_told_that_it_is_gone),
        E2E_TEST(only_who_mounted_a_folder_unmounts_it),
        E2E_TEST(state_is_closed_to_others),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
