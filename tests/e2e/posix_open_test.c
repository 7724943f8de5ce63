/* open(2), creat(2), and what a descriptor allows. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/posix.h"

enum { PROCESSES = 6, MANY = 200 };

static void flags_on_each_kind(struct e2e *f)
{
    (void)f;
    static const struct {
        enum kind kind;
        int flags, error;
    } rows[] = {
        {KIND_NONE, O_RDONLY, ENOENT},
        {KIND_NONE, O_RDWR, ENOENT},
        {KIND_NONE, O_RDONLY | O_DIRECTORY, ENOENT},
        {KIND_NONE, O_RDWR | O_CREAT, 0},
        {KIND_NONE, O_RDONLY | O_CREAT, 0},
        {KIND_NONE, O_WRONLY | O_CREAT | O_EXCL, 0},
        {KIND_NONE, O_WRONLY | O_CREAT | O_TRUNC, 0},
        {KIND_NONE, O_WRONLY | O_CREAT | O_NOFOLLOW, 0},
        {KIND_FILE, O_RDONLY, 0},
        {KIND_FILE, O_RDWR | O_APPEND, 0},
        {KIND_FILE, O_WRONLY | O_CREAT | O_EXCL, EEXIST},
        {KIND_FILE, O_RDONLY | O_DIRECTORY, ENOTDIR},
        {KIND_FILE, O_RDONLY | O_NOFOLLOW, 0},
        {KIND_FILE, O_RDWR | O_TRUNC, 0},
        {KIND_FILE, O_RDWR | O_CREAT, 0},
        {KIND_FILE, O_PATH, 0},
        {KIND_FILE, O_RDWR | O_SYNC, 0},
        {KIND_FILE, O_RDWR | O_DSYNC, 0},
        {KIND_FILE, O_RDONLY | O_NOATIME, 0},
        {KIND_DIR, O_RDONLY, 0},
        {KIND_DIR, O_RDONLY | O_DIRECTORY, 0},
        {KIND_DIR, O_WRONLY, EISDIR},
        {KIND_DIR, O_RDWR, EISDIR},
        {KIND_DIR, O_RDONLY | O_TRUNC, EISDIR},
        {KIND_DIR, O_RDWR | O_CREAT, EISDIR},
        {KIND_DIR, O_RDWR | O_CREAT | O_EXCL, EEXIST},
        {KIND_LINK_FILE, O_RDONLY, 0},
        {KIND_LINK_FILE, O_RDWR | O_CREAT, 0},
        {KIND_LINK_FILE, O_RDONLY | O_NOFOLLOW, ELOOP},
        {KIND_LINK_FILE, O_RDWR | O_CREAT | O_EXCL, EEXIST},
        {KIND_LINK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW, ELOOP},
        {KIND_LINK_FILE, O_PATH | O_NOFOLLOW, 0},
        {KIND_LINK_FILE, O_RDONLY | O_DIRECTORY, ENOTDIR},
        {KIND_LINK_DIR, O_RDONLY | O_DIRECTORY, 0},
        {KIND_LINK_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, ENOTDIR},
        {KIND_LINK_DIR, O_RDWR, EISDIR},
        {KIND_LINK, O_RDONLY, ENOENT},
        {KIND_LINK, O_RDWR | O_CREAT, 0},
        {KIND_LINK, O_RDWR | O_CREAT | O_EXCL, EEXIST},
        {KIND_LINK, O_RDONLY | O_NOFOLLOW, ELOOP},
        {KIND_LOOP, O_RDONLY, ELOOP},
        {KIND_LOOP, O_RDWR | O_CREAT, ELOOP},
        {KIND_LOOP, O_RDWR | O_CREAT | O_EXCL, EEXIST},
        {KIND_FIFO, O_WRONLY | O_NONBLOCK, ENXIO},
        {KIND_FIFO, O_RDONLY | O_NONBLOCK, 0},
        {KIND_FIFO, O_RDWR | O_NONBLOCK, 0},
        {KIND_FIFO, O_RDWR | O_CREAT | O_EXCL, EEXIST},
        {KIND_FIFO, O_RDONLY | O_DIRECTORY | O_NONBLOCK, ENOTDIR},
        {KIND_SOCKET, O_RDONLY, ENXIO},
        {KIND_SOCKET, O_PATH, 0},
    };
    for (size_t i = 0; i < ARRAY_N(rows); i++) {
        check_about("%s, flags %#o", kind_name(rows[i].kind), (unsigned)rows[i].flags);
        kind_make(rows[i].kind, "x");
        int fd;
        gives(fd = open("x", rows[i].flags | O_CLOEXEC, 0600), rows[i].error);
        if (fd >= 0) {
            struct stat st = fstat_of(fd);
            bool content = S_ISREG(st.st_mode) && (rows[i].flags & O_TRUNC) == 0 &&
                           (rows[i].kind == KIND_FILE || rows[i].kind == KIND_LINK_FILE);
            if (S_ISREG(st.st_mode))
                same(st.st_size > 0, content);
            if ((rows[i].flags & O_CREAT) != 0 && rows[i].kind == KIND_LINK)
                holds(exists("x.to"));
            close(fd);
        }
        kind_remove("x");
    }
}

static void new_files_are_empty_and_ours(struct e2e *f)
{
    (void)f;
    umask(027);
    int fd = (int)ok(creat("a", 06777));
    umask(0);
    struct stat st = fstat_of(fd);
    same(st.st_mode, S_IFREG | 06750);
    same(st.st_size, 0);
    same(st.st_nlink, 1);
    same(st.st_uid, 0);
    same(st.st_blocks, 0);
    close(fd);
    holds(mode_of("a") == 06750);
    make_dir("open", 0777);
    AS(E2E_USER, E2E_OTHER)
    {
        fd = (int)ok(open("open/b", O_RDWR | O_CREAT, 0));
        /* The mode counts from the next open on. */
        same(write(fd, "x", 1), 1);
        st = fstat_of(fd);
        same(st.st_uid, E2E_USER);
        same(st.st_gid, E2E_OTHER);
        same(st.st_mode & 07777, 0);
        fails(try_open("open/b", O_RDONLY), EACCES);
        fails(try_open("open/b", O_WRONLY), EACCES);
    }
    same(ino_of("open/b") != ino_of("a"), true);
}

static void permissions_of_each_class(struct e2e *f)
{
    (void)f;
    static const struct {
        const char *who;
        uid_t uid;
        gid_t gid;
        int shift;
    } classes[] = {
        {"owner", E2E_USER, E2E_OTHER, 6},
        {"group", E2E_OTHER, E2E_USER, 3},
        {"others", E2E_OTHER, E2E_OTHER, 0},
    };
    static const struct {
        int flags;
        mode_t needs;
    } accesses[] = {{O_RDONLY, 4}, {O_WRONLY, 2}, {O_RDWR, 6}, {O_WRONLY | O_TRUNC, 2}};
    put_file("x", "x");
    for (size_t c = 0; c < ARRAY_N(classes); c++) {
        for (mode_t bits = 0; bits < 8; bits++) {
            /* All that the class has not, the others have. */
            mode_t mode = (0777 & ~(mode_t)(7 << classes[c].shift)) | bits << classes[c].shift;
            ok(chown("x", E2E_USER, E2E_USER));
            ok(chmod("x", mode));
            AS(classes[c].uid, classes[c].gid)
            {
                for (size_t a = 0; a < ARRAY_N(accesses); a++) {
                    bool may = (bits & accesses[a].needs) == accesses[a].needs;
                    check_about("%s, mode %03o, flags %#o", classes[c].who, (unsigned)mode,
                                (unsigned)accesses[a].flags);
                    gives(try_open("x", accesses[a].flags), may ? 0 : EACCES);
                }
                check_about("%s, mode %03o, access()", classes[c].who, (unsigned)mode);
                for (int want = 1; want < 8; want++)
                    gives(access("x", want), ((int)bits & want) == want ? 0 : EACCES);
            }
        }
    }
}

static void only_one_makes_an_exclusive_file(struct e2e *f)
{
    (void)f;
    enum { ROUNDS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", round);
        pid_t pids[PROCESSES];
        int gate[2];
        ok(pipe(gate));
        for (int i = 0; i < PROCESSES; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                char c;
                close(gate[1]);
                if (read(gate[0], &c, 1) != 0)
                    _exit(9);
                int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
                _exit(fd >= 0 ? 1 : errno == EEXIST ? 0 : 8);
            }
        }
        close(gate[0]);
        close(gate[1]);
        int made = 0;
        for (int i = 0; i < PROCESSES; i++) {
            int status;
            waitpid(pids[i], &status, 0);
            made += WEXITSTATUS(status);
        }
        same(made, 1);
    }
}

static void appending_ignores_the_offset(struct e2e *f)
{
    (void)f;
    put_file("x", "0123");
    int fd = (int)ok(open("x", O_RDWR | O_APPEND));
    same(lseek(fd, 0, SEEK_SET), 0);
    same(write(fd, "45", 2), 2);
    same(lseek(fd, 0, SEEK_CUR), 6);
    same(lseek(fd, 1, SEEK_SET), 1);
    same(pwrite(fd, "67", 2, 0), 2); /* on Linux, appends as well */
    same(lseek(fd, 0, SEEK_CUR), 1);
    check_file("x", "01234567");
    int other = (int)ok(open("x", O_WRONLY | O_APPEND));
    same(write(other, "8", 1), 1);
    same(write(fd, "9", 1), 1);
    check_file("x", "0123456789");
    ok(ftruncate(fd, 2));
    same(write(other, "A", 1), 1);
    check_file("x", "01A");
    close(other);
    close(fd);
}

static void descriptors_keep_to_their_mode(struct e2e *f)
{
    (void)f;
    char c;
    put_file("x", "text");
    int r = (int)ok(open("x", O_RDONLY)), w = (int)ok(open("x", O_WRONLY));
    int path = (int)ok(open("x", O_PATH)), dir = (int)ok(open(".", O_RDONLY));
    fails(write(r, "x", 1), EBADF);
    fails(pwrite(r, "x", 1, 0), EBADF);
    fails(ftruncate(r, 0), EINVAL);
    fails(fallocate(r, 0, 0, 1), EBADF);
    fails(read(w, &c, 1), EBADF);
    fails(pread(w, &c, 1, 0), EBADF);
    fails(read(path, &c, 1), EBADF);
    fails(fchmod(path, 0), EBADF);
    fails(read(dir, &c, 1), EISDIR);
    fails(pread(dir, &c, 1, 0), EISDIR);
    fails(write(dir, &c, 1), EBADF);
    fails(ftruncate(dir, 0), EINVAL);
    ok(fsync(r));
    ok(fdatasync(w));
    ok(fsync(dir));
    ok(fstat(path, &(struct stat){0}));
    int again = (int)ok(openat(dir, "x", O_RDONLY));
    same(read(again, &c, 1), 1);
    fails(openat(r, "x", O_RDONLY), ENOTDIR);
    fails(openat(-1, "x", O_RDONLY), EBADF);
    close(again);
    close(dir);
    close(path);
    close(w);
    close(r);
}

static void offsets_follow_the_rules(struct e2e *f)
{
    (void)f;
    char text[16];
    put_file("x", "0123456789");
    int fd = (int)ok(open("x", O_RDWR));
    same(lseek(fd, -3, SEEK_END), 7);
    same(read(fd, text, sizeof text), 3);
    same_bytes(text, "789", 3);
    same(read(fd, text, sizeof text), 0);
    same(lseek(fd, 100, SEEK_SET), 100);
    same(read(fd, text, sizeof text), 0);
    fails(lseek(fd, -1, SEEK_SET), EINVAL);
    fails(lseek(fd, -11, SEEK_END), EINVAL);
    fails(lseek(fd, 0, 99), EINVAL);
    same(lseek(fd, 0, SEEK_CUR), 100);
    fails(pread(fd, text, 1, -1), EINVAL);
    fails(pwrite(fd, text, 1, -1), EINVAL);
    same(fstat_of(fd).st_size, 10);
    same(write(fd, "x", 1), 1);
    same(fstat_of(fd).st_size, 101);
    same(pread(fd, text, 4, 9), 4);
    same_bytes(text, "9\0\0\0", 4);
    struct iovec to[2] = {{text, 2}, {text + 2, 3}},
                 from[2] = {{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}};
    same(pwritev(fd, from, 2, 1), 5);
    same(preadv(fd, to, 2, 0), 5);
    same_bytes(text, "0abcd", 5);
    int copy = dup(fd);
    same(lseek(copy, 3, SEEK_SET), 3);
    same(lseek(fd, 0, SEEK_CUR), 3);
    close(copy);
    close(fd);
}

static void direct_and_synchronous_writes_arrive(struct e2e *f)
{
    (void)f;
    enum { BLOCK = 4096 };
    void *p = NULL;
    same(posix_memalign(&p, BLOCK, BLOCK), 0);
    if (p == NULL)
        return;
    pattern_fill(p, BLOCK, 3, 0);
    int fd = (int)ok(open("direct", O_RDWR | O_CREAT | O_DIRECT, 0600));
    same(pwrite(fd, p, BLOCK, 0), BLOCK);
    same(pwrite(fd, p, BLOCK, BLOCK), BLOCK);
    memset(p, 0, BLOCK);
    same(pread(fd, p, BLOCK, BLOCK), BLOCK);
    uint8_t want[BLOCK];
    pattern_fill(want, BLOCK, 3, 0);
    same_bytes(p, want, BLOCK);
    close(fd);
    int cached = (int)ok(open("direct", O_RDONLY));
    memset(p, 0, BLOCK);
    same(read_all(cached, p, BLOCK, 0), BLOCK);
    same_bytes(p, want, BLOCK);
    /* A direct write is seen through the cache. */
    fd = (int)ok(open("direct", O_WRONLY | O_DIRECT));
    pattern_fill(p, BLOCK, 4, 0);
    same(pwrite(fd, p, BLOCK, 0), BLOCK);
    close(fd);
    uint8_t found[BLOCK];
    same(read_all(cached, found, BLOCK, 0), BLOCK);
    same_bytes(found, p, BLOCK);
    close(cached);
    free(p);
    for (int i = 0; i < 2; i++) {
        fd = (int)ok(open("sync", O_RDWR | O_CREAT | O_TRUNC | (i == 0 ? O_SYNC : O_DSYNC), 0600));
        same(write(fd, "durable", 7), 7);
        close(fd);
        check_file("sync", "durable");
    }
}

static void many_files_stay_apart(struct e2e *f)
{
    (void)f;
    int fds[MANY];
    char name[16], text[16], found[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "f%d", i);
        fds[i] = (int)ok(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    }
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(text, sizeof text, "text %d", i);
        same(write(fds[i], text, (size_t)n), n);
    }
    for (int i = 0; i < MANY; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "text %d", i);
        same(read_all(fds[i], found, sizeof found, 0), n);
        same_bytes(found, text, n);
        close(fds[i]);
    }
}

static void programs_run_from_it(struct e2e *f)
{
    const struct e2e_result *r =
        e2e_sh(f,
               "cp /bin/sleep %s/programs_run_from_it/prog && cd %s/programs_run_from_it && "
               "./prog 0 && printf '#!/bin/sh\\necho ran\\n' > script && chmod 755 script && "
               "./script",
               f->folder, f->folder);
    same(r->status, 0);
    same_text(r->out, "ran\n");
    pid_t pid = fork();
    if (pid == 0) {
        execl("./prog", "prog", "60", (char *)NULL);
        _exit(9);
    }
    char exe[64], target[300] = "";
    snprintf(exe, sizeof exe, "/proc/%d/exe", (int)pid);
    for (uint64_t end = e2e_now_ms() + E2E_LONG_MS; e2e_now_ms() < end;)
        if (readlink(exe, target, sizeof target - 1) > 0 && strstr(target, "/prog") != NULL)
            break;
    fails(try_open("prog", O_WRONLY), ETXTBSY);
    fails(truncate("prog", 0), ETXTBSY);
    e2e_stop(pid);
    ok(chmod("script", 0644));
    AS(E2E_USER, E2E_USER)
    {
        fails(execl("./script", "script", (char *)NULL), EACCES);
        fails(access("script", X_OK), EACCES);
    }
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(flags_on_each_kind),           E2E_TEST(new_files_are_empty_and_ours),
        E2E_TEST(permissions_of_each_class),    E2E_TEST(only_one_makes_an_exclusive_file),
        E2E_TEST(appending_ignores_the_offset), E2E_TEST(descriptors_keep_to_their_mode),
        E2E_TEST(offsets_follow_the_rules),     E2E_TEST(direct_and_synchronous_writes_arrive),
        E2E_TEST(many_files_stay_apart),        E2E_TEST(programs_run_from_it),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
