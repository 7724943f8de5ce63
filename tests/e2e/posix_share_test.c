/* Several processes and mappings on one file: mmap(2), O_APPEND, locks; and a larger file. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/posix.h"

enum { PAGE = 4096, MIB = 1 << 20 };

/* ---- mappings ---- */

static void what_is_mapped_is_the_file(struct e2e *f)
{
    (void)f;
    enum { SIZE = 20 * PAGE };
    static uint8_t want[SIZE], found[SIZE];
    int fd = (int)ok(open("x", O_CREAT | O_RDWR, 0600)), other = (int)ok(open("x", O_RDWR));
    pattern_fill(want, SIZE, 1, 0);
    holds(write_all(fd, want, SIZE, 0));
    uint8_t *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    uint8_t *second = mmap(NULL, SIZE - PAGE, PROT_READ, MAP_SHARED, other, PAGE);
    if (!holds(p != MAP_FAILED && private != MAP_FAILED && second != MAP_FAILED))
        return;
    same_bytes(p, want, SIZE);
    /* write(2) shows in the mapping, the mapping in read(2), also before msync(). */
    pattern_fill(want + 5000, 10000, 2, 0);
    holds(write_all(other, want + 5000, 10000, 5000));
    same_bytes(p, want, SIZE);
    pattern_fill(want + 30000, 20000, 3, 0);
    memcpy(p + 30000, want + 30000, 20000);
    same(read_all(other, found, SIZE, 0), SIZE);
    same_bytes(found, want, SIZE);
    same_bytes(second, want + PAGE, SIZE - PAGE);
    ok(msync(p, SIZE, MS_SYNC));
    drop_cache(fd);
    same(read_all(fd, found, SIZE, 0), SIZE);
    same_bytes(found, want, SIZE);
    memset(private, 0, SIZE);
    same(read_all(fd, found, SIZE, 0), SIZE);
    same_bytes(found, want, SIZE);
    /* The mapping needs no descriptor. */
    close(fd);
    memcpy(p, "closed", 6);
    memcpy(want, "closed", 6);
    ok(munmap(p, SIZE));
    munmap(private, SIZE);
    munmap(second, SIZE - PAGE);
    drop_cache(other);
    same(read_all(other, found, SIZE, 0), SIZE);
    same_bytes(found, want, SIZE);
    close(other);
}

static void mappings_keep_to_the_rules(struct e2e *f)
{
    (void)f;
    put_file("x", "text");
    int r = (int)ok(open("x", O_RDONLY)), w = (int)ok(open("x", O_WRONLY));
    holds(mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, r, 0) == MAP_FAILED && errno == EACCES);
    holds(mmap(NULL, 4, PROT_READ, MAP_SHARED, w, 0) == MAP_FAILED && errno == EACCES);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, r, 0);
    if (!holds(p != MAP_FAILED))
        return;
    same_bytes(p, "text\0\0\0\0", 8);
    /* Past the last page there is nothing. */
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL);
        _exit(((volatile char *)p)[PAGE] == 0 ? 1 : 2);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    same(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGBUS);
    /* What is written there with the file's growth is. */
    ok(ftruncate(w, 2 * PAGE));
    same(pwrite(w, "more", 4, PAGE), 4);
    same_bytes(p + PAGE, "more", 4);
    munmap(p, 2 * PAGE);
    close(r);
    close(w);
}

static void processes_share_a_mapping(struct e2e *f)
{
    (void)f;
    enum { ROUNDS = 200 };
    int fd = (int)ok(open("x", O_CREAT | O_RDWR, 0600));
    ok(ftruncate(fd, 2 * PAGE));
    void *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    volatile unsigned *p = map;
    if (!holds(map != MAP_FAILED))
        return;
    pid_t pid = check_fork();
    if (pid == 0) {
        int mine = (int)ok(open("x", O_RDWR));
        volatile unsigned *q = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mine, 0);
        uint64_t end = e2e_now_ms() + E2E_LONG_MS;
        for (unsigned i = 1; i <= ROUNDS && e2e_now_ms() < end;)
            if (q[0] == i)
                q[PAGE / sizeof *q] = i++;
        check_child_end();
    }
    uint64_t end = e2e_now_ms() + E2E_LONG_MS;
    unsigned i = 1;
    for (; i <= ROUNDS && e2e_now_ms() < end; i++) {
        p[0] = i;
        while (p[PAGE / sizeof *p] != i && e2e_now_ms() < end)
            ;
    }
    same(i, ROUNDS + 1);
    check_join(pid);
    munmap(map, 2 * PAGE);
    close(fd);
}

/* ---- several writers ---- */

static void appended_records_stay_whole(struct e2e *f)
{
    (void)f;
    enum { PROCESSES = 4, RECORDS = 400, RECORD = 100 };
    pid_t pids[PROCESSES];
    put_file("log", "");
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = check_fork();
        if (pids[p] != 0)
            continue;
        char record[2 * RECORD];
        int fd = (int)ok(open("log", O_WRONLY | O_APPEND));
        for (int i = 0; i < RECORDS; i++) {
            snprintf(record, sizeof record, "%d %06d %*s", p, i, RECORD - 9, ".");
            record[RECORD - 1] = '\n';
            same(write(fd, record, RECORD), RECORD);
        }
        check_child_end();
    }
    for (int p = 0; p < PROCESSES; p++)
        check_join(pids[p]);
    FILE *log = fopen("log", "re");
    char line[2 * RECORD];
    int next[PROCESSES] = {0}, lines = 0;
    for (; log != NULL && fgets(line, sizeof line, log) != NULL; lines++) {
        int p = -1, i = -1;
        if (strlen(line) != RECORD || sscanf(line, "%d %d", &p, &i) != 2 || p < 0 ||
            p >= PROCESSES || i != next[p]++) {
            check_fail("line %d is %.40s", lines, line);
            break;
        }
    }
    if (log != NULL)
        fclose(log);
    same(lines, PROCESSES * RECORDS);
}

static void writers_of_regions_do_not_meet(struct e2e *f)
{
    (void)f;
    /* Regions that share blocks and pages. */
    enum { PROCESSES = 4, REGION = 10007, ROUNDS = 60 };
    static uint8_t want[REGION], found[PROCESSES * REGION];
    pid_t pids[PROCESSES];
    put_file("x", "");
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = check_fork();
        if (pids[p] != 0)
            continue;
        int fd = (int)ok(open("x", O_RDWR));
        struct rng r = {(uint64_t)p};
        pattern_fill(want, REGION, (uint64_t)p, 0);
        for (size_t at = 0; at < REGION;) {
            size_t n = 1 + rng_below(&r, REGION / ROUNDS * 2);
            n = n < REGION - at ? n : REGION - at;
            holds(write_all(fd, want + at, n, (off_t)at + (off_t)p * REGION));
            at += n;
        }
        check_child_end();
    }
    for (int p = 0; p < PROCESSES; p++)
        check_join(pids[p]);
    int fd = (int)ok(open("x", O_RDONLY));
    drop_cache(fd);
    same(read_all(fd, found, sizeof found, 0), sizeof found);
    for (int p = 0; p < PROCESSES; p++) {
        pattern_fill(want, REGION, (uint64_t)p, 0);
        same_bytes(found + p * REGION, want, REGION);
    }
    close(fd);
}

static void many_hands_in_one_directory(struct e2e *f)
{
    (void)f;
    enum { PROCESSES = 4, ROUNDS = 150 };
    pid_t pids[PROCESSES];
    make_dir("d", 0755);
    for (int p = 0; p < PROCESSES; p++) {
        pids[p] = check_fork();
        if (pids[p] != 0)
            continue;
        char a[40], b[40], text[40];
        for (int i = 0; i < ROUNDS; i++) {
            snprintf(a, sizeof a, "d/tmp%d.%d", p, i);
            snprintf(b, sizeof b, "d/f%d.%d", p, i % 10);
            snprintf(text, sizeof text, "%d %d", p, i);
            put_file(a, text);
            ok(rename(a, b));
            check_file(b, text);
            if (i % 7 == 0)
                ok(unlink(b));
            snprintf(a, sizeof a, "d/dir%d", p);
            ok(i % 2 == 0 ? mkdir(a, 0700) : rmdir(a));
        }
        check_child_end();
    }
    for (int p = 0; p < PROCESSES; p++)
        check_join(pids[p]);
    same(links_of("d"), 2 + (ROUNDS % 2) * PROCESSES);
    char name[40];
    for (int p = 0; p < PROCESSES; p++)
        for (int i = 0; i < 10; i++) {
            int last = ROUNDS - 10 + i;
            snprintf(name, sizeof name, "d/f%d.%d", p, i);
            same(exists(name), last % 7 != 0);
        }
}

/* ---- locks ---- */

/* In a child: tries the lock and ends with 1 when it is had. */
static int try_flock(int how)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("x", O_RDWR);
        _exit(fd >= 0 && flock(fd, how | LOCK_NB) == 0 ? 1 : errno == EWOULDBLOCK ? 0 : 9);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void flock_between_processes(struct e2e *f)
{
    (void)f;
    put_file("x", "text");
    int fd = (int)ok(open("x", O_RDWR)), other = (int)ok(open("x", O_RDWR));
    same(try_flock(LOCK_EX), 1);
    ok(flock(fd, LOCK_SH));
    same(try_flock(LOCK_SH), 1);
    same(try_flock(LOCK_EX), 0);
    ok(flock(fd, LOCK_EX));
    same(try_flock(LOCK_SH), 0);
    fails(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    int copy = dup(fd);
    ok(flock(copy, LOCK_EX | LOCK_NB));
    close(fd);
    same(try_flock(LOCK_EX), 0); /* the duplicate holds it */
    close(copy);
    same(try_flock(LOCK_EX), 1);
    ok(flock(other, LOCK_EX | LOCK_NB));
    ok(flock(other, LOCK_UN));
    same(try_flock(LOCK_EX), 1);
    close(other);
}

static int try_range(short type, off_t start, off_t n)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("x", O_RDWR);
        struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = n};
        _exit(fd >= 0 && fcntl(fd, F_SETLK, &l) == 0 ? 1
              : errno == EAGAIN || errno == EACCES   ? 0
                                                     : 9);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void ranges_between_processes(struct e2e *f)
{
    (void)f;
    put_file("x", "0123456789");
    int fd = (int)ok(open("x", O_RDWR));
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 4};
    ok(fcntl(fd, F_SETLK, &l));
    same(try_range(F_WRLCK, 0, 2), 1);
    same(try_range(F_WRLCK, 6, 0), 1);
    same(try_range(F_RDLCK, 5, 1), 0);
    same(try_range(F_RDLCK, 0, 0), 0);
    AS(0, 0)
    {
        struct flock q = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int mine = (int)ok(open("x", O_RDWR));
        ok(fcntl(mine, F_GETLK, &q));
        same(q.l_type, F_WRLCK);
        same(q.l_start, 2);
        same(q.l_len, 4);
        same(q.l_pid, getppid());
    }
    l.l_start = 3;
    l.l_len = 1;
    l.l_type = F_UNLCK;
    ok(fcntl(fd, F_SETLK, &l));
    same(try_range(F_WRLCK, 3, 1), 1);
    same(try_range(F_WRLCK, 2, 1), 0);
    same(try_range(F_WRLCK, 4, 2), 0);
    l = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET};
    ok(fcntl(fd, F_SETLK, &l));
    same(try_range(F_RDLCK, 0, 0), 1);
    same(try_range(F_WRLCK, 0, 0), 0);
    /* Closing any descriptor of the file gives the process's locks back. */
    int other = (int)ok(open("x", O_RDONLY));
    close(other);
    same(try_range(F_WRLCK, 0, 0), 1);
    /* Not so those of open file descriptions. */
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ok(fcntl(fd, F_OFD_SETLK, &l));
    other = (int)ok(open("x", O_RDWR));
    fails(fcntl(other, F_OFD_SETLK, &l), EAGAIN);
    close(other);
    same(try_range(F_WRLCK, 0, 0), 0);
    close(fd);
    same(try_range(F_WRLCK, 0, 0), 1);
}

static void a_waiting_lock_is_given(struct e2e *f)
{
    (void)f;
    put_file("x", "");
    int ready[2];
    ok(pipe(ready));
    /* The first holds the lock until it is ended: that gives it back. */
    pid_t holder = fork();
    if (holder == 0) {
        int fd = open("x", O_RDWR);
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        _exit(fcntl(fd, F_SETLK, &l) < 0 || write(ready[1], "x", 1) != 1 || pause());
    }
    char c;
    same(read(ready[0], &c, 1), 1);
    pid_t waiter = check_fork();
    if (waiter == 0) {
        int fd = (int)ok(open("x", O_RDWR));
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        fails(fcntl(fd, F_SETLK, &l), EAGAIN);
        same(write(ready[1], "y", 1), 1);
        ok(fcntl(fd, F_SETLKW, &l));
        check_child_end();
    }
    same(read(ready[0], &c, 1), 1);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    check_join(waiter);
    close(ready[0]);
    close(ready[1]);
}

/* ---- a larger file ---- */

static void a_large_file_keeps_every_byte(struct e2e *f)
{
    (void)f;
    enum { SIZE = 64 * MIB, PIECE = 3 * MIB };
    static uint8_t piece[PIECE], found[PIECE];
    struct rng r = {64};
    int fd = (int)ok(open("big", O_CREAT | O_RDWR, 0600));
    for (size_t at = 0; at < SIZE;) {
        size_t n = 1 + rng_below(&r, PIECE);
        n = n < SIZE - at ? n : SIZE - at;
        pattern_fill(piece, n, 99, at);
        if (!holds(write_all(fd, piece, n, (off_t)at)))
            return;
        at += n;
    }
    ok(fsync(fd));
    same(fstat_of(fd).st_size, SIZE);
    for (int pass = 0; pass < 2; pass++) {
        drop_cache(fd);
        close(fd);
        fd = (int)ok(open("big", O_RDWR));
        for (size_t at = 0; at < SIZE;) {
            size_t n = 1 + rng_below(&r, PIECE);
            n = n < SIZE - at ? n : SIZE - at;
            pattern_fill(piece, n, 99, at);
            same(read_all(fd, found, n, (off_t)at), n);
            if (!same_bytes(found, piece, n)) {
                check_fail("at %zu of the file", at);
                break;
            }
            at += n;
        }
        /* Once more, now that what is stored may have been moved. */
        ok(syncfs(fd));
    }
    for (int i = 0; i < 500; i++) {
        size_t at = rng_below(&r, SIZE - 5000), n = 1 + rng_below(&r, 5000);
        pattern_fill(piece, n, 99, at);
        same(pread(fd, found, n, (off_t)at), n);
        same_bytes(found, piece, n);
    }
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(what_is_mapped_is_the_file),     E2E_TEST(mappings_keep_to_the_rules),
        E2E_TEST(processes_share_a_mapping),      E2E_TEST(appended_records_stay_whole),
        E2E_TEST(writers_of_regions_do_not_meet), E2E_TEST(many_hands_in_one_directory),
        E2E_TEST(flock_between_processes),        E2E_TEST(ranges_between_processes),
        E2E_TEST(a_waiting_lock_is_given),        E2E_TEST(a_large_file_keeps_every_byte),
    };
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
