/*
 * What cannot work: every refusal is one clear line and the right exit status, and changes nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/store/db.h"
#include "tests/support/manifest.h"
#include "tests/support/posix.h"

static const char *path_in(const char *dir, const char *name)
{
    static char path[4][E2E_PATH_MAX + 300];
    static unsigned next;
    char *to = path[next++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", dir, name);
    return to;
}

/* ---- nothing changed ---- */

/* Lines that a command may change though it is refused: logs, locks, what RocksDB notes of it. */
static bool is_incidental(const char *line)
{
    static const char *const parts[] = {"home/log", "home/run", "home/lock", "/db/LOG",
                                        "/db/OPTIONS-"};
    size_t n = strcspn(line, " ");
    for (size_t i = 0; i < ARRAY_N(parts); i++)
        if (memmem(line, n, parts[i], strlen(parts[i])) != NULL)
            return true;
    return false;
}

/*
 * The fixture's tree without what is incidental; and, when not @strict, without the files of the
 * databases, which opening one may rewrite. Free: free().
 */
static char *snapshot(const struct e2e *f, bool strict)
{
    char *all = manifest_of(f->top, MANIFEST_OWNER), *to = all;
    for (const char *line = all; *line != '\0';) {
        size_t n = strcspn(line, "\n") + 1;
        bool database = memmem(line, strcspn(line, " "), "/db/", 4) != NULL;
        if (!is_incidental(line) && (strict || !database)) {
            memmove(to, line, n);
            to += n;
        }
        line += n;
    }
    *to = '\0';
    return all;
}

/* As e2e_refused(), and the state and the folder are as before. */
#define refused(f, status, part, ...) refused_with(true, f, status, part, __VA_ARGS__)
#define refused_with(strict, f, status, part, ...)                                                 \
    do {                                                                                           \
        char *before_ = snapshot((f), (strict));                                                   \
        e2e_refused((f), (status), (part), __VA_ARGS__);                                           \
        char *after_ = snapshot((f), (strict));                                                    \
        same_tree(after_, before_);                                                                \
        free(before_);                                                                             \
        free(after_);                                                                              \
    } while (0)

/* ---- words ---- */

static void wrong_words_are_wrong_usage(struct e2e *f)
{
    static const char *const lines[] = {
        "persist mount",
        "persist mount a b",
        "persist mount --strange notes",
        "persist mount -z notes",
        "persist mount notes --name",
        "persist mount notes -o",
        "persist mount notes -o strange",
        "persist mount notes -o allow_other,strange=1",
        "persist mount notes --import=yes",
        "persist mount notes --name a/b",
        "persist mount notes --name ''",
        "persist mount notes --name -x",
        "persist mount notes --name .x",
        "persist mount notes --name a --name b",
        "persist mount notes --name \"$(printf 'a\\nb')\"",
        "persist serve --rate 0",
        "persist serve --rate -1",
        "persist serve --rate 5x",
        "persist serve --rate 1000000",
        "persist unmount",
        "persist unmount a b",
        "persist unmount --force notes",
        "persist status a b",
        "persist status --jsn",
        "persist log",
        "persist log a b",
        "persist show",
        "persist show notes/a",
        "persist show notes/a@",
        "persist show @1",
        "persist restore",
        "persist restore notes/a",
        "persist restore notes --at",
        "persist restore notes --at yesterday-ish",
        "persist restore notes --at 2026-13-01",
        "persist export notes",
        "persist export",
        "persist check --repair=1 notes",
        "persist forget",
        "persist id extra",
        "persist strange",
        "persist mout notes",
        "persist ''",
        "persist --strange",
        "persist -x",
    };
    e2e_mount(f, NULL);
    e2e_unmount(f);
    char *before = snapshot(f, true);
    for (size_t i = 0; i < ARRAY_N(lines); i++)
        e2e_refused(f, 2, "", "%s", lines[i]);
    e2e_refused(f, 2, "mount", "persist mout notes"); /* what was meant */
    char *after = snapshot(f, true);
    same_tree(after, before);
    free(before);
    free(after);
    same(e2e_sh(f, "persist")->status, 2);
}

static void hostile_words_do_not_reach_the_terminal(struct e2e *f)
{
    static const char *const lines[] = {
        "persist mount \"$(printf 'a\\033]0;x\\007b')\"",
        "persist log \"$(printf '\\033[2J/x\\n\\ny')\"",
        "persist \"$(printf '\\033[31m')\"",
        "persist mount --\"$(printf '\\033[31m')\" x",
        "persist mount notes -o \"$(printf 'x\\033[31m\\n')\"",
        "persist show \"$(printf 'x\\033\\ny@1')\"",
        "persist mount \"$(head -c 100000 /dev/zero | tr '\\0' a)\"",
        "persist \"$(head -c 100000 /dev/zero | tr '\\0' b)\"",
    };
    for (size_t i = 0; i < ARRAY_N(lines); i++) {
        check_about("%s", lines[i]);
        const struct e2e_result *r = e2e_sh(f, "%s", lines[i]);
        holds(r->status >= 1 && r->status <= 3);
        const char *newline = strchr(r->err, '\n');
        holds(newline != NULL && newline[1] == '\0');
        holds(strchr(r->err, '\033') == NULL && strchr(r->err, '\007') == NULL);
        holds(r->err_n < 3000);
    }
}

/* ---- folders ---- */

static void folders_that_cannot_be_mounted(struct e2e *f)
{
    e2e_ok(f, "echo text > file && mkdir full && echo text > full/file && ln -s file link && "
              "ln -s missing dangling && mkdir hidden && touch hidden/.x");
    for (int round = 0; round < 2; round++) {
        check_about(round == 0 ? "without a state" : "with one");
        refused(f, 3, "missing", "persist mount missing");
        refused(f, 3, "dangling", "persist mount dangling");
        refused(f, 1, "not a directory", "persist mount file");
        refused(f, 1, "not a directory", "persist mount link");
        refused(f, 1, "not a directory", "persist mount file --import");
        refused(f, 1, "--import", "persist mount full");
        refused(f, 1, "--import", "persist mount full/");
        refused(f, 1, "--import", "persist mount hidden");
        refused(f, 1, "", "persist mount file/x");
        refused(f, 1, "empty", "persist mount ''");
        if (round == 0)
            holds(!exists(f->home));
        if (round == 0) {
            e2e_mount(f, NULL);
            put_file(path_in(f->folder, "note"), "text");
            e2e_unmount(f);
        }
    }
    check_about_nothing();
    e2e_mount(f, NULL);
    make_dir(path_in(f->folder, "inside"), 0755);
    /* What is mounted goes on writing to its database. */
    refused_with(false, f, 1, "already", "persist mount notes");
    refused_with(false, f, 1, "already", "persist mount notes/");
    refused_with(false, f, 1, "already", "persist mount notes --import");
    refused_with(false, f, 1, "", "persist mount notes/inside");
    e2e_unmount(f);
    refused(f, 1, "not mounted", "persist unmount notes");
    refused(f, 3, "", "persist unmount full");
    refused(f, 3, "", "persist unmount missing");
    refused(f, 3, "", "persist log full/file");
    refused(f, 3, "", "persist show full/file@1-0000");
    refused(f, 3, "", "persist status full");
    refused(f, 3, "", "persist export full out");
    refused(f, 3, "", "persist check full");
    refused(f, 3, "", "persist forget full --yes");
    refused(f, 1, "state",
            "mkdir home/inside && persist mount home/inside; "
            "rc=$?; rmdir home/inside; exit $rc");
    refused(f, 1, "state",
            "mkdir around && PERSIST_HOME=$PWD/around/home persist mount around; "
            "rc=$?; rm -rf around; exit $rc");
}

static void two_mounts_at_once_are_one(struct e2e *f)
{
    for (int round = 0; round < 4; round++) {
        e2e_sh(f,
               "for i in 1 2 3 4; do (persist mount notes 2>>err; echo $? >>status) & done; wait; "
               "grep -c '^0$' status; rm status err");
        same_text(f->last.out, "1\n");
        holds(e2e_is_mounted(f->folder));
        e2e_ok(f, "[ $(ls -d home/spaces/*/ | wc -l) = 1 ]");
        e2e_unmount(f);
        holds(!e2e_is_mounted(f->folder));
    }
}

/* ---- state ---- */

static void a_state_that_is_not_ours(struct e2e *f)
{
    e2e_mount(f, NULL);
    e2e_unmount(f);
    ok(chmod(f->home, 0770));
    refused(f, 4, "770", "persist mount notes");
    refused(f, 4, "", "persist status");
    ok(chmod(f->home, 0700));
    ok(chown(f->home, E2E_USER, E2E_USER));
    refused(f, 4, "belongs to", "persist mount notes");
    ok(chown(f->home, 0, 0));
    ok(chmod(path_in(f->home, "sync/identity"), 0644));
    refused(f, 4, "identity", "persist mount notes");
    ok(chmod(path_in(f->home, "sync/identity"), 0600));
    e2e_ok(f, "mv home/sync/identity id && ln -s ../../id home/sync/identity");
    e2e_refused(f, 1, "identity", "persist mount notes");
    e2e_ok(f, "rm home/sync/identity && truncate -s 31 id && mv id home/sync/identity");
    refused(f, 1, "identity", "persist mount notes");
    e2e_ok(f, "rm home/sync/identity");
    /* Another user cannot read it, and says so. */
    AS(E2E_USER, E2E_USER)
    {
        e2e_refused(f, 4, "home", "persist status");
        e2e_refused(f, 4, "home", "persist log notes/x");
    }
    e2e_ok(f, "mv home away && echo text > home");
    refused(f, 1, "home", "persist mount notes");
    refused(f, 1, "home", "persist status");
    e2e_ok(f, "rm home && mv away home");
    e2e_ok(f, "printf 'label = me\\nstrange line\\n' > home/config && chmod 600 home/config");
    refused(f, 1, "config", "persist mount notes");
    e2e_ok(f, "rm home/config");
    e2e_ok(f, "mv home/spaces/*/folder folder && mkdir home/spaces/junk");
    refused(f, 1, "spaces", "persist mount notes");
    e2e_ok(f, "rmdir home/spaces/junk && mv folder home/spaces/*/");
    e2e_mount(f, NULL);
}

static const char *database(struct e2e *f)
{
    static char path[E2E_PATH_MAX + 200];
    e2e_ok(f, "echo home/spaces/*/db");
    snprintf(path, sizeof path, "%s/%.*s", f->top, (int)strcspn(f->last.out, "\n"), f->last.out);
    return path;
}

/* A database with that in place of its format number is refused, and not a byte of it changed. */
static void format_is_left_alone(struct e2e *f, const char *number, const char *part)
{
    const char *sums = "find home/spaces/*/db -type f -exec sha256sum {} + | sort -k 2";
    e2e_mount(f, NULL);
    put_file(path_in(f->folder, "note"), "text");
    e2e_unmount(f);
    put_file(path_in(database(f), "FORMAT"), number);
    e2e_ok(f, "%s > before", sums);
    for (int i = 0; i < 2; i++) {
        refused(f, 1, part, "persist mount notes");
        refused(f, 1, part, "persist log notes/note");
        refused(f, 1, part, "persist export notes out");
        refused(f, 1, part, "persist check notes");
    }
    e2e_ok(f, "persist status --json; [ $? = 1 ]");
    e2e_ok(f, "%s | cmp - before", sums);
    holds(!e2e_is_mounted(f->folder));
}

static void a_newer_format_is_left_alone(struct e2e *f)
{
    format_is_left_alone(f, "99\n", "has format 99, this program knows up to");
}

/* What it says to do is done. */
static void an_older_format_is_left_alone(struct e2e *f)
{
    format_is_left_alone(f, "1\n", "was made by a test version of persist, and cannot be read");
    e2e_ok(f, "persist forget notes --yes");
    e2e_mount(f, NULL);
    put_file(path_in(f->folder, "note"), "text");
}

/* Opens the database and keeps it until it is ended. */
static pid_t hold_database(const char *path)
{
    int ready[2];
    char c = 0;
    ok(pipe(ready));
    pid_t pid = fork();
    if (pid == 0) {
        struct db *db = NULL;
        struct db_config config = {0};
        c = db_open(path, &config, &db, NULL) == 0;
        _exit(write(ready[1], &c, 1) != 1 || pause());
    }
    holds(read(ready[0], &c, 1) == 1 && c == 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void a_locked_database_says_by_whom(struct e2e *f)
{
    char text[32];
    e2e_mount(f, NULL);
    put_file(path_in(f->folder, "note"), "text");
    e2e_unmount(f);
    pid_t pid = hold_database(database(f));
    snprintf(text, sizeof text, "%d", (int)pid);
    refused(f, 1, text, "persist mount notes");
    refused(f, 1, text, "persist log notes/note");
    refused(f, 1, text, "persist forget notes --yes");
    e2e_stop(pid);
    e2e_mount(f, NULL);
    check_file(path_in(f->folder, "note"), "text");
}

/* ---- damage ---- */

/* Turns over bits of a file of the database, every @step bytes. */
static bool damage(const char *path, size_t step)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = (off_t)step / 2; at < size; at += (off_t)step) {
        uint8_t c = 0;
        if (pread(fd, &c, 1, at) == 1) {
            c ^= 0x55;
            holds(pwrite(fd, &c, 1, at) == 1);
        }
    }
    close(fd);
    return size > 0;
}

/* A command ended as it should: with a status of ours, and a line when it failed. */
static void ended_well(struct e2e *f, const char *line)
{
    const struct e2e_result *r = e2e_sh(f, "%s", line);
    const char *newline = strchr(r->err, '\n');
    bool on_stdout = strcmp(line, "persist status") == 0 && r->err_n == 0;
    if (r->status < 0 || r->status > 5 ||
        (r->status != 0 && !on_stdout &&
         (strncmp(r->err, "persist: ", 9) != 0 || newline == NULL || newline[1] != '\0')))
        check_fail("'%s' gave %d: %.800s", line, r->status, r->err);
}

/* A space with files in table files and in packs, not mounted, and a copy of it in "good". */
static void make_good(struct e2e *f)
{
    e2e_mount(f, NULL);
    e2e_ok(f, "cd notes && for i in 1 2 3 4 5 6 7 8; do seq $i 2000 > note$i; done && "
              "head -c 300000 /dev/urandom > large");
    e2e_unmount(f);
    e2e_ok(f, "persist gc notes");
    e2e_ok(f, "cp -a home good");
}

static void damage_is_told_and_nothing_is_made_anew(struct e2e *f)
{
    static const struct {
        const char *name, *do_it;
    } cases[] = {
        {"CURRENT is empty", ": > CURRENT"},
        {"CURRENT is nonsense", "echo nonsense > CURRENT"},
        {"CURRENT names nothing", "echo MANIFEST-999999 > CURRENT"},
        {"CURRENT is gone", "rm CURRENT"},
        {"MANIFEST is gone", "rm MANIFEST-*"},
        {"MANIFEST is empty", "for m in MANIFEST-*; do : > $m; done"},
        {"MANIFEST is cut", "for m in MANIFEST-*; do truncate -s 20 $m; done"},
        {"tables are gone", "rm *.sst"},
        {"tables are cut", "for t in *.sst; do truncate -s 100 $t; done"},
        {"all is gone", "rm -rf ../db"},
        {"it is a file", "rm -rf ../db && echo x > ../db"},
    };
    f->errors_expected = true;
    make_good(f);
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        check_about("%s", cases[i].name);
        e2e_ok(f, "cd home/spaces/*/db && ls *.sst >/dev/null && %s", cases[i].do_it);
        char *before = snapshot(f, true);
        ended_well(f, "persist mount notes");
        if (f->last.status == 0) {
            check_fail("it was mounted");
            e2e_unmount(f);
        }
        ended_well(f, "persist log notes/note1");
        holds(f->last.status != 0);
        ended_well(f, "persist check notes");
        holds(f->last.status != 0);
        ended_well(f, "persist status");
        char *after = snapshot(f, true);
        same_tree(after, before);
        free(before);
        free(after);
        e2e_ok(f, "rm -rf home && cp -a good home");
    }
    check_about_nothing();
    e2e_mount(f, NULL);
    e2e_ok(f, "cd notes && seq 3 2000 | cmp - note3");
}

static void turned_bits_are_never_believed(struct e2e *f)
{
    static const struct {
        const char *files;
        size_t step;
    } cases[] = {{"MANIFEST-*", 200}, {"MANIFEST-*", 7}, {"CURRENT", 4}, {"*.sst", 64},
                 {"*.sst", 1000},     {"*.pack", 500},   {"*.log", 100}};
    f->errors_expected = true;
    make_good(f);
    e2e_ok(f, "persist mount notes && (cd notes && sha256sum * > ../sums); persist unmount notes");
    e2e_end_sync(f);
    e2e_ok(f, "rm -rf good && cp -a home good");
    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        check_about("%s every %zu bytes", cases[i].files, cases[i].step);
        e2e_sh(f, "ls $PWD/home/spaces/*/db/%s 2>/dev/null", cases[i].files);
        char *names = strdup(f->last.out), *rest = names;
        unsigned damaged = 0;
        for (char *name; (name = strsep(&rest, "\n")) != NULL;)
            damaged += *name != '\0' && damage(name, cases[i].step);
        free(names);
        if (damaged == 0)
            continue;
        /* Refused, or served: but then no file has other bytes than it had. */
        ended_well(f, "persist mount notes");
        if (f->last.status == 0) {
            e2e_sh(f,
                   "cd notes && while read -r sum name; do [ -e $name ] || continue; "
                   "got=$(cat $name 2>/dev/null | sha256sum | cut -c1-64); "
                   "[ $got = $sum ] || ! cat $name >/dev/null 2>&1 || echo $name; done < ../sums");
            if (f->last.out_n > 0)
                check_fail("wrong bytes were served of %s", f->last.out);
            e2e_sh(f, "persist unmount notes");
        }
        if (strcmp(cases[i].files, "*.log") != 0) {
            ended_well(f, "persist check notes");
            holds(f->last.status != 0);
        }
        e2e_end_sync(f);
        e2e_ok(f, "rm -rf home && cp -a good home");
    }
}

/* ---- processes and devices ---- */

struct waiting {
    pid_t pid;
    const char *in; /* of the kernel */
};

static bool is_waiting(void *arg)
{
    const struct waiting *w = arg;
    char path[64], where[64] = "";
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)w->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, where, sizeof where - 1);
    close(fd);
    return n > 0 && strstr(where, w->in) != NULL;
}

/* The process dies with a question of the new mount command unanswered. */
static void a_mount_that_dies_meanwhile_is_recovered(struct e2e *f)
{
    int status = -1;
    if (!e2e_mount(f, NULL))
        return;
    e2e_ok(f, "echo text > notes/file");
    pid_t pid = e2e_mount_pid(f);
    ok(kill(pid, SIGSTOP));
    pid_t command = e2e_start(f, "exec persist mount notes");
    struct waiting w = {command, "request_wait_answer"};
    bool waits = e2e_wait(is_waiting, &w, E2E_LONG_MS, "the command asks the mount");
    ok(kill(pid, SIGKILL));
    if (waits && holds(waitpid(command, &status, 0) == command))
        same(status, 0);
    else
        e2e_stop(command);
    e2e_ok(f, "grep -q text notes/file");
}

/* ... or with a command that it does not answer any more, as when the folder is unmounted. */
static void a_mount_that_ends_before_its_answer_is_told_of(struct e2e *f)
{
    if (!e2e_mount(f, NULL))
        return;
    pid_t pid = e2e_mount_pid(f);
    ok(kill(pid, SIGSTOP));
    pid_t command = e2e_start(f, "exec persist check notes 2> error");
    struct waiting w = {command, "unix_stream"};
    bool waits = e2e_wait(is_waiting, &w, E2E_LONG_MS, "the command asks the process");
    ok(kill(pid, SIGKILL));
    if (!waits || !holds(waitpid(command, NULL, 0) == command))
        e2e_stop(command);
    e2e_ok(f, "[ $(wc -l < error) = 1 ] && grep -q 'if the folder was not unmounted' error");
    e2e_mount(f, NULL);
}

static void a_dead_mount_is_recovered(struct e2e *f)
{
    static const char *const recoveries[] = {
        "persist mount notes",
        "persist unmount notes && persist mount notes",
        "persist status && persist log notes/note && persist mount notes",
    };
    for (size_t i = 0; i < ARRAY_N(recoveries); i++) {
        check_about("%s", recoveries[i]);
        e2e_mount(f, NULL);
        put_file(path_in(f->folder, "note"), recoveries[i]);
        pid_t pid = e2e_mount_pid(f);
        if (!holds(pid > 0))
            return;
        ok(kill(pid, SIGKILL));
        e2e_wait_gone(pid, E2E_LONG_MS);
        e2e_ok(f, "%s", recoveries[i]);
        holds(e2e_mount_pid(f) != pid);
        check_file(path_in(f->folder, "note"), recoveries[i]);
        e2e_unmount(f);
        holds(!e2e_is_mounted(f->folder));
    }
}

static void without_fuse_nothing_is_mounted(struct e2e *f)
{
    static const char *const ways[] = {
        "mount --bind /dev/null /dev/fuse",
        "mount -t tmpfs none /dev && mknod /dev/null c 1 3",
        "mount --bind $HOME/empty /dev/fuse",
    };
    for (size_t i = 0; i < ARRAY_N(ways); i++) {
        check_about("without a state, %s", ways[i]);
        e2e_ok(f, "touch empty");
        e2e_refused(f, 1, "fuse", "unshare -m sh -c '%s && persist mount notes'", ways[i]);
        holds(!e2e_is_mounted(f->folder));
        e2e_ok(f, "[ -z \"$(ls -A home/spaces 2>/dev/null | grep -v ^member$)\" ]");
    }
    e2e_mount(f, NULL);
    put_file(path_in(f->folder, "note"), "text");
    e2e_unmount(f);
    for (size_t i = 0; i < ARRAY_N(ways); i++) {
        check_about("with one, %s", ways[i]);
        refused_with(false, f, 1, "fuse", "unshare -m sh -c '%s && persist mount notes'", ways[i]);
        holds(!e2e_is_mounted(f->folder));
    }
    check_about_nothing();
    e2e_mount(f, NULL);
    check_file(path_in(f->folder, "note"), "text");
}

static void a_full_disk_says_so(struct e2e *f)
{
    enum { PIECE = 1 << 20 };
    static uint8_t piece[PIECE];
    ok(mkdir(f->home, 0700));
    ok(mount("none", f->home, "tmpfs", 0, "size=100m,mode=0700"));
    if (e2e_mount(f, NULL)) {
        put_file(path_in(f->folder, "note"), "before");
        int fd = (int)ok(open(path_in(f->folder, "big"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        off_t at = 0;
        while (at < (off_t)200 * PIECE) {
            pattern_fill(piece, PIECE, 1, (uint64_t)at);
            if (pwrite(fd, piece, PIECE, at) != PIECE)
                break;
            at += PIECE;
        }
        same(errno, ENOSPC);
        close(fd);
        check_file(path_in(f->folder, "note"), "before");
        ok(unlink(path_in(f->folder, "big")));
        put_file(path_in(f->folder, "note"), "after");
        check_file(path_in(f->folder, "note"), "after");
        e2e_unmount(f);
        e2e_mount(f, NULL);
        check_file(path_in(f->folder, "note"), "after");
        e2e_unmount(f);
    }
    /* What the log says of it is no defect. */
    f->errors_expected = true;
    e2e_end_sync(f);
    ok(umount2(f->home, MNT_DETACH));
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(wrong_words_are_wrong_usage),
        E2E_TEST(hostile_words_do_not_reach_the_terminal),
        E2E_TEST(folders_that_cannot_be_mounted),
        E2E_TEST(two_mounts_at_once_are_one),
        E2E_TEST(a_state_that_is_not_ours),
        E2E_TEST(a_newer_format_is_left_alone),
        E2E_TEST(an_older_format_is_left_alone),
        E2E_TEST(a_locked_database_says_by_whom),
        E2E_TEST(damage_is_told_and_nothing_is_made_anew),
        E2E_TEST(turned_bits_are_never_believed),
        E2E_TEST(a_dead_mount_is_recovered),
        E2E_TEST(a_mount_that_dies_meanwhile_is_recovered),
        E2E_TEST(a_mount_that_ends_before_its_answer_is_told_of),
        E2E_TEST(without_fuse_nothing_is_mounted),
        E2E_TEST(a_full_disk_says_so),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
