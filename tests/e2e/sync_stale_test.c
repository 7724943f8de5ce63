/*
 * A save by a program that has an older version open, or had, than what came meanwhile replaces
 * nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/posix.h"
#include "tests/support/pty.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

static const char before[] = "# title\n\nthe first paragraph\n\nthe second paragraph\n\n"
                             "the third paragraph\n";
static const char remote[] = "# title\n\nthe first paragraph, by the other\n\n"
                             "the second paragraph\n\nthe third paragraph\n";
static const char local[] = "# title\n\nthe first paragraph\n\nthe second paragraph\n\n"
                            "the third paragraph, by this one\n";
static const char both[] = "# title\n\nthe first paragraph, by the other\n\n"
                           "the second paragraph\n\nthe third paragraph, by this one\n";

/* A file that is open for writing is not changed under its program, which does not miss anything.
 */
static void while_it_is_open(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_save(at(1), "note.md", before);
        world_wait_text(at(0), "note.md", before);
        int fd = open(world_path(at(0), "note.md"), O_RDWR | O_CLOEXEC);
        ok(fd);
        same(pwrite(fd, local, strlen(local), 0), (intmax_t)strlen(local));
        world_save(at(1), "note.md", remote);
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        e2e_ok(at(0), "persist sync %s", at(0)->folder);
        ok(close(fd));
        world_wait_text(at(1), "note.md", both);
        world_wait_text(at(0), "note.md", both);
        world_even(&world);
        same(world_named(at(1), "note"), 1);
    }
    world_end(&world);
}

/* Nor is one that its program only might write: it sees the change once that has closed it. */
static void while_it_is_open_and_not_written(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_save(at(1), "note.md", before);
        world_save(at(1), "other.md", before);
        world_even(&world);
        int fd = open(world_path(at(0), "note.md"), O_RDWR | O_CLOEXEC);
        int other = open(world_path(at(0), "other.md"), O_RDWR | O_CLOEXEC);
        world_save(at(1), "note.md", remote);
        world_save(at(1), "other.md", remote);
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        e2e_ok(at(0), "persist sync %s", at(0)->folder);
        usleep(100000);
        same_text(world_text(at(0), "note.md"), before);
        ok(close(fd));
        world_wait_text(at(0), "note.md", remote);
        pid_t pid = e2e_mount_pid(at(0));
        ok(kill(pid, SIGKILL));
        e2e_wait_gone(pid, WORLD_EVEN_MS);
        close(other);
        e2e_mount(at(0), NULL);
        world_wait_text(at(0), "other.md", remote);
        world_even(&world);
    }
    world_end(&world);
}

static int begin_append(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    ok(fd);
    same(write(fd, "one\n", 4), 4);
    return fd;
}

static void end_append(int fd)
{
    same(write(fd, "two\n", 4), 4);
    ok(close(fd));
}

/* Who deleted the files had not seen what this program has written so far, nor what it will write.
 */
static void while_others_delete_it(struct e2e *f)
{
    static const char *const names[] = {"deleted", "replaced", "folder/below/with it"};
    int fd[ARRAY_N(names)];
    if (world_begin(&world, f, 2)) {
        ok(mkdir(world_path(at(1), "folder"), 0755));
        ok(mkdir(world_path(at(1), "folder/below"), 0755));
        world_save(at(1), "folder/other", "goes\n");
        for (size_t i = 0; i < ARRAY_N(names); i++)
            world_save(at(1), names[i], "old\n");
        world_even(&world);
        for (size_t i = 0; i < ARRAY_N(names); i++)
            fd[i] = begin_append(world_path(at(0), "%s", names[i]));
        ok(unlink(world_path(at(1), "deleted")));
        ok(unlink(world_path(at(1), "replaced")));
        ok(mkdir(world_path(at(1), "replaced"), 0755));
        world_save(at(1), "replaced/by", "the other\n");
        e2e_ok(at(1), "rm -r %s/folder", at(1)->folder);
        world_wait_text(at(0), "replaced/by", "the other\n");
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        e2e_ok(at(0), "persist sync %s", at(0)->folder);
        for (size_t i = 0; i < ARRAY_N(names); i++)
            end_append(fd[i]);
        world_wait_text(at(1), "deleted", "old\none\ntwo\n");
        world_wait_text(at(1), "replaced (local 1)", "old\none\ntwo\n");
        world_wait_text(at(1), "folder/below/with it", "old\none\ntwo\n");
        world_even(&world);
        holds(access(world_path(at(0), "folder/other"), F_OK) != 0);
    }
    world_end(&world);
}

/* ---- programs ----------------------------------------------------------------------------------
 *
 * A process of its own, as an editor is: it reads a file when it is told to, and later saves it.
 */

typedef bool (*way)(const char *path, const char *text);

struct order {
    way how;
    char path[E2E_PATH_MAX + 32], text[1024];
};

struct program {
    pid_t pid;
    int fd;
};

static void obey(int fd)
{
    struct order o;
    while (recv(fd, &o, sizeof o, 0) == (ssize_t)sizeof o) {
        holds(o.how(o.path, o.text));
        (void)!send(fd, "", 1, 0);
    }
}

static struct program program_start(void)
{
    int fds[2] = {-1, -1};
    ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
    struct program p = {.pid = check_fork(), .fd = fds[0]};
    if (p.pid == 0) {
        close(fds[0]);
        obey(fds[1]);
        check_child_end();
    }
    close(fds[1]);
    return p;
}

/* It does this with a file of the first device, before the call returns. */
static void does(const struct program *p, way how, const char *name, const char *text)
{
    char done;
    struct order o = {.how = how};
    snprintf(o.path, sizeof o.path, "%s", world_path(at(0), "%s", name));
    snprintf(o.text, sizeof o.text, "%s", text);
    same(send(p->fd, &o, sizeof o, 0), (intmax_t)sizeof o);
    same(recv(p->fd, &done, 1, 0), 1);
}

static void program_end(const struct program *p)
{
    close(p->fd);
    check_join(p->pid);
}

static bool reads(const char *path, const char *text)
{
    char found[1024] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = fd < 0 ? 0 : read_all(fd, found, sizeof found - 1, 0);
    return fd >= 0 && close(fd) == 0 && n == strlen(text) && memcmp(found, text, n) == 0;
}

static bool write_with(const char *path, int flags, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
    bool good = fd >= 0 && write_all(fd, text, strlen(text), 0);
    return fd >= 0 && close(fd) == 0 && good;
}

static bool in_place(const char *path, const char *text)
{
    return write_with(path, O_TRUNC, text);
}

static bool emptied_when_open(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    bool good = fd >= 0 && ftruncate(fd, 0) == 0 && write_all(fd, text, strlen(text), 0);
    return fd >= 0 && close(fd) == 0 && good;
}

static bool by_rename(const char *path, const char *text)
{
    char tmp[E2E_PATH_MAX + 40];
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    return write_with(tmp, O_CREAT | O_EXCL, text) && rename(tmp, path) == 0;
}

static const char *new_of(const char *path)
{
    static char name[E2E_PATH_MAX + 40];
    snprintf(name, sizeof name, "%s.new", path);
    return name;
}

/* Slower than the publisher: others have the new file before it takes the place. */
static bool makes_new(const char *path, const char *text)
{
    enum { SLOW_US = 150000 };
    size_t half = strlen(text) / 2;
    int fd = open(new_of(path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || close(fd) < 0 || usleep(SLOW_US) < 0)
        return false;
    fd = open(new_of(path), O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write_all(fd, text, half, 0) && fsync(fd) == 0 && usleep(SLOW_US) == 0 &&
                write_all(fd, text + half, strlen(text) - half, (off_t)half);
    return fd >= 0 && close(fd) == 0 && good && usleep(SLOW_US) == 0;
}

static bool renames_new(const char *path, const char *text)
{
    (void)text;
    return rename(new_of(path), path) == 0;
}

static bool exchanges_new(const char *path, const char *text)
{
    (void)text;
    return renameat2(AT_FDCWD, new_of(path), AT_FDCWD, path, RENAME_EXCHANGE) == 0 &&
           unlink(new_of(path)) == 0;
}

static bool by_slow_rename(const char *path, const char *text)
{
    return makes_new(path, text) && renames_new(path, text);
}

static bool by_slow_rename_with_backup(const char *path, const char *text)
{
    char backup[E2E_PATH_MAX + 40];
    snprintf(backup, sizeof backup, "%s~", path);
    return makes_new(path, text) && rename(path, backup) == 0 && renames_new(path, text) &&
           unlink(backup) == 0;
}

static bool by_exchange(const char *path, const char *text)
{
    return write_with(new_of(path), O_CREAT | O_EXCL, text) && exchanges_new(path, text);
}

static bool by_slow_exchange(const char *path, const char *text)
{
    return makes_new(path, text) && exchanges_new(path, text);
}

static bool with_backup(const char *path, const char *text)
{
    char backup[E2E_PATH_MAX + 40];
    snprintf(backup, sizeof backup, "%s~", path);
    return rename(path, backup) == 0 && write_with(path, O_CREAT | O_EXCL, text) &&
           unlink(backup) == 0;
}

static bool deleted_and_made_anew(const char *path, const char *text)
{
    return unlink(path) == 0 && write_with(path, O_CREAT | O_EXCL, text);
}

static bool without_truncation(const char *path, const char *text)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good =
        fd >= 0 && write_all(fd, text, strlen(text), 0) && ftruncate(fd, (off_t)strlen(text)) == 0;
    return fd >= 0 && close(fd) == 0 && good;
}

/* Only the bytes that differ: they lie elsewhere in what came meanwhile. */
static bool some_bytes(const char *path, const char *text)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    const char *from = strstr(text, "the third");
    bool good = fd >= 0 && from != NULL && write_all(fd, from, strlen(from), from - text);
    return fd >= 0 && close(fd) == 0 && good;
}

static bool reads_and_writes_some(const char *path, const char *text)
{
    char found[1024] = "";
    int fd = open(path, O_RDWR | O_CLOEXEC);
    const char *at =
        fd >= 0 && read_all(fd, found, sizeof found - 1, 0) > 0 ? strstr(found, "third") : NULL;
    bool good = at != NULL && write_all(fd, text, strlen(text), at - found);
    return fd >= 0 && close(fd) == 0 && good;
}

static bool appends(const char *path, const char *text)
{
    return write_with(path, O_APPEND, text);
}

/* ---- */

/* A file of both devices, and what @p reads of it. */
static void begin_file(const struct program *p, const char *name, const char *text)
{
    world_save(at(1), name, text);
    world_wait_text(at(0), name, text);
    does(p, reads, name, text);
}

static void comes(const char *name, const char *text)
{
    world_save(at(1), name, text);
    world_wait_text(at(0), name, text);
}

static void both_have(const char *name, const char *text)
{
    world_wait_text(at(0), name, text);
    world_wait_text(at(1), name, text);
}

/* Whichever way the program saves, its edit and the one that came are both in the file. */
static void by_who_saw_an_older_version(struct e2e *f)
{
    static const struct {
        const char *name;
        way how;
    } ways[] = {
        {"in-place.md", in_place},
        {"emptied.md", emptied_when_open},
        {"by-rename.md", by_rename},
        {"by-slow-rename.md", by_slow_rename},
        {"by-slow-rename-with-backup.md", by_slow_rename_with_backup},
        {"by-exchange.md", by_exchange},
        {"by-slow-exchange.md", by_slow_exchange},
        {"with-backup.md", with_backup},
        {"deleted.md", deleted_and_made_anew},
        {"without-truncation.md", without_truncation},
        {"some-bytes.md", some_bytes},
    };
    char last[512], all[512];
    snprintf(last, sizeof last, "%sthe fourth paragraph\n", local);
    snprintf(all, sizeof all, "%sthe fourth paragraph\n", both);
    struct program p = program_start();
    if (world_begin(&world, f, 2)) {
        for (size_t i = 0; i < ARRAY_N(ways); i++)
            begin_file(&p, ways[i].name, before);
        for (size_t i = 0; i < ARRAY_N(ways); i++)
            comes(ways[i].name, remote);
        for (size_t i = 0; i < ARRAY_N(ways); i++)
            does(&p, ways[i].how, ways[i].name, local);
        for (size_t i = 0; i < ARRAY_N(ways); i++)
            both_have(ways[i].name, both);
        /* It goes on with what it has, which is not what was made of both. */
        for (size_t i = 0; i < ARRAY_N(ways); i++)
            does(&p, ways[i].how == some_bytes ? in_place : ways[i].how, ways[i].name, last);
        for (size_t i = 0; i < ARRAY_N(ways); i++)
            both_have(ways[i].name, all);
        world_even(&world);
        same(world_named(at(1), "conflict"), 0);
    }
    program_end(&p);
    world_end(&world);
}

/* What cannot be merged is beside it. */
static void what_cannot_be_merged(struct e2e *f)
{
    struct program p = program_start();
    if (world_begin(&world, f, 2)) {
        begin_file(&p, "picture.bin", "\x89\x01 the first");
        begin_file(&p, "line.md", "one line\n");
        comes("picture.bin", "\x89\x01 by the other");
        comes("line.md", "one line, by the other\n");
        does(&p, by_rename, "picture.bin", "\x89\x01 by this one");
        does(&p, in_place, "line.md", "one line, by this one\n");
        both_have("picture.bin", "\x89\x01 by this one");
        both_have("line.md", "one line, by this one\n");
        world_even(&world);
        same(world_named(at(1), "picture (conflict"), 1);
        same(world_named(at(1), "line (conflict"), 1);
        e2e_ok(at(1), "grep -q 'by the other' notes/picture*conflict*");
        e2e_ok(at(1), "grep -q 'by the other' notes/line*conflict*");
    }
    program_end(&p);
    world_end(&world);
}

/* Who has seen what came, or never saw anything else, edits just that. */
static void plain_edits(struct e2e *f)
{
    struct program p = program_start(), other = program_start();
    if (world_begin(&world, f, 2)) {
        static const char *const names[] = {"seen.md", "never.md", "added.md", "part.md", "own.md"};
        for (size_t i = 0; i < ARRAY_N(names); i++)
            begin_file(&p, names[i], before);
        /* What another program of this device saves is replaced, as on any disk. */
        does(&other, in_place, "own.md", "by another program\n");
        both_have("own.md", "by another program\n");
        does(&p, in_place, "own.md", local);
        for (size_t i = 0; i < 4; i++)
            comes(names[i], remote);
        does(&p, reads, "seen.md", remote);
        does(&p, in_place, "seen.md", "what it makes of it\n");
        does(&other, by_rename, "never.md", "by a program that never read it\n");
        does(&p, appends, "added.md", "added\n");
        does(&p, reads_and_writes_some, "part.md", "3rd  ");
        both_have("seen.md", "what it makes of it\n");
        both_have("never.md", "by a program that never read it\n");
        both_have("own.md", local);
        world_even(&world);
        e2e_ok(at(1), "tail -n 1 notes/added.md | grep -qx added");
        e2e_ok(at(1), "grep -q 'by the other' notes/added.md && grep -q 3rd notes/part.md");
        same(world_named(at(1), "conflict"), 0);
    }
    program_end(&other); /* it has the other's socket open, too */
    program_end(&p);
    world_end(&world);
}

/* The mount dies between the saves and their publication: each file knows what it is an edit of. */
static void over_the_death_of_the_mount(struct e2e *f)
{
    static const way ways[] = {in_place,    by_rename,    with_backup, deleted_and_made_anew,
                               renames_new, exchanges_new};
    enum { FILES = 4 * ARRAY_N(ways) };
    char names[FILES][16];
    struct program p = program_start();
    if (world_begin(&world, f, 2)) {
        for (size_t i = 0; i < FILES; i++) {
            snprintf(names[i], sizeof names[i], "note%zu.md", i);
            begin_file(&p, names[i], before);
        }
        for (size_t i = 0; i < FILES; i++)
            comes(names[i], remote);
        for (size_t i = 0; i < FILES; i++)
            if (i % ARRAY_N(ways) >= ARRAY_N(ways) - 2)
                does(&p, makes_new, names[i], local);
        pid_t pid = e2e_mount_pid(at(0));
        for (size_t i = 0; i < FILES; i++)
            does(&p, ways[i % ARRAY_N(ways)], names[i], local);
        ok(kill(pid, SIGKILL));
        e2e_wait_gone(pid, WORLD_EVEN_MS);
        e2e_mount(at(0), NULL);
        for (size_t i = 0; i < FILES; i++)
            both_have(names[i], both);
        world_even(&world);
        same(world_named(at(1), "conflict"), 0);
    }
    program_end(&p);
    world_end(&world);
}

/* A slow save on one device, an edit of another paragraph on the other: both are in the note. */
static void slow_save_and_an_edit_elsewhere(struct e2e *f)
{
    struct program p = program_start();
    if (world_begin(&world, f, 2)) {
        begin_file(&p, "note.md", before);
        does(&p, makes_new, "note.md", local);
        world_wait_text(at(1), "note.md.new", local);
        world_offline(at(0));
        does(&p, renames_new, "note.md", local);
        world_save(at(1), "note.md", remote);
        world_online(at(0));
        both_have("note.md", both);
        world_even(&world);
        same(world_named(at(1), "note"), 1);
        /* Its history: as it was made, both saves, and what was made of them. */
        e2e_ok(at(0), "test $(persist log notes/note.md | grep -c :) -ge 4");
    }
    program_end(&p);
    world_end(&world);
}

enum { BIG_BYTES = 4 << 20, BIG_TEXTS = 3 };

static uint8_t big[BIG_TEXTS][BIG_BYTES], big_found[BIG_BYTES + 1];

static void save_big(const char *path, int flags, int text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
    holds(fd >= 0 && write_all(fd, big[text], BIG_BYTES, 0) && close(fd) == 0);
}

/* Which of the texts a file has; -1: another one. */
static int read_big(const char *path)
{
    int text = BIG_TEXTS - 1, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (ok(fd) < 0)
        return -1;
    size_t n = read_all(fd, big_found, sizeof big_found, 0);
    close(fd);
    while (text >= 0 && (n != BIG_BYTES || memcmp(big_found, big[text], BIG_BYTES) != 0))
        text--;
    return text;
}

/* Reads the note until it has the last text: it never has less than one, or an older one again. */
static void read_on(const char *path)
{
    int last = 0;
    while (last < BIG_TEXTS - 1) {
        int now = read_big(path);
        if (!holds(now >= last))
            return;
        last = now;
    }
}

/* Others have the new file while it is empty; what is in it comes late, with the next save. */
static void slow_save_is_seen_whole(struct e2e *f)
{
    for (int i = 0; i < BIG_TEXTS; i++)
        randombytes_buf(big[i], BIG_BYTES);
    if (world_begin(&world, f, 2)) {
        char path[E2E_PATH_MAX + 32];
        snprintf(path, sizeof path, "%s", world_path(at(0), "note"));
        save_big(path, O_CREAT, 0);
        world_even(&world);
        world_save(at(0), "note.new", "");
        world_even(&world);
        same(world_named(at(1), "new"), 1);
        pid_t reader = check_fork();
        if (reader == 0) {
            alarm(2 * WORLD_EVEN_MS / 1000);
            read_on(world_path(at(1), "note"));
            check_child_end();
        }
        world_offline(at(0));
        save_big(new_of(path), 0, 1);
        ok(rename(new_of(path), path));
        usleep(500000); /* published, each by itself */
        save_big(path, 0, 2);
        world_online(at(0));
        world_even(&world);
        same(read_big(world_path(at(1), "note")), 2);
        check_join(reader);
        same(world_named(at(1), "note"), 1);
    }
    world_end(&world);
}

/* ---- editors -----------------------------------------------------------------------------------
 */

static const char with_line[] = "# title\n\nthe first paragraph, by the other\n\n"
                                "the second paragraph\n\nthe third paragraph\nmy line\n";

/*
 * An editor has the note open, and saves it, whatever it says of the newer one. Not Emacs: that
 * reads the newer one to compare, asks twice, and so has seen it.
 */
struct editor {
    const char *open, *edit, *save, *quit;
};

static bool is_saved(void *arg)
{
    return strstr(world_text(at(0), arg), "my line") != NULL;
}

static void edits(const struct editor *e, const char *name)
{
    struct pty *p = pty_start(at(0), "unset TMPDIR; cd notes && exec %s %s", e->open, name);
    if (pty_wait_text(p, "third", E2E_LONG_MS)) {
        pty_wait_quiet(p, 100);
        comes(name, remote);
        pty_type(p, e->edit);
        pty_wait_quiet(p, 100);
        pty_type(p, e->save);
        if (pty_wait(p, is_saved, (void *)(uintptr_t)name, E2E_LONG_MS, "the note was not saved")) {
            both_have(name, with_line);
            pty_type(p, e->quit);
            pty_wait_end(p, E2E_LONG_MS);
        }
    }
    pty_end(p);
}

static void in_real_editors(struct e2e *f)
{
    static const struct editor editors[] = {
        {"vim -i NONE", "Gomy line\033", ":w!\r" PTY_PAUSE "y", ":q\r"},
        {"nvim -i NONE", "Gomy line\033", ":w!\r" PTY_PAUSE "y", ":q\r"},
        {"kak -n -e 'set-option global autoreload no'", "geomy line\033" PTY_PAUSE, ":w!\r",
         ":q\r"},
        {"nano -I", "\033/my line", "\x13" PTY_PAUSE "y", "\x18"},
    };
    if (world_begin(&world, f, 2)) {
        for (size_t i = 0; i < ARRAY_N(editors); i++) {
            char name[32];
            snprintf(name, sizeof name, "note%zu.md", i);
            check_about("%s", editors[i].open);
            world_save(at(1), name, before);
            world_wait_text(at(0), name, before);
            edits(&editors[i], name);
        }
        check_about_nothing();
        world_even(&world);
        same(world_named(at(1), "conflict"), 0);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(while_it_is_open),
        E2E_TEST(while_it_is_open_and_not_written),
        E2E_TEST(while_others_delete_it),
        E2E_TEST(by_who_saw_an_older_version),
        E2E_TEST(what_cannot_be_merged),
        E2E_TEST(plain_edits),
        E2E_TEST(over_the_death_of_the_mount),
        E2E_TEST(slow_save_and_an_edit_elsewhere),
        E2E_TEST(slow_save_is_seen_whole),
        E2E_TEST(in_real_editors),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
