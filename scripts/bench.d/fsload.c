/*
 * fsload - the workloads of scripts/bench: does one thing many times and prints its seconds.
 *
 * Small files are at dNNNN/fNNNNNN below the folder, FILES_PER_DIR in each. What is written is
 * pseudo-random and never the same twice, so that no candidate gains from compressing or sharing
 * it. The clock runs for the work alone, not for getting ready.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

enum {
    FILES_PER_DIR = 100,
    BLOCK_BYTES = 4096,
    IO_BYTES = 1 << 20,
    POOL_BYTES = 8 << 20, /* what is written is cut from here, stamped once per block */
    NAME_SIZE = 32
};

static unsigned char pool[POOL_BYTES];
static unsigned char io[IO_BYTES];
static uint64_t random_state = 0x9e3779b97f4a7c15u;
static uint64_t stamp;

static uint64_t random_next(void)
{
    return random_state = stir(random_state);
}

static void random_start(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    random_state ^= (uint64_t)t.tv_nsec << 20 ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid() << 50;
    for (size_t i = 0; i < POOL_BYTES; i += sizeof(uint64_t)) {
        uint64_t x = random_next();
        memcpy(pool + i, &x, sizeof x);
    }
    stamp = random_next();
}

/* @n bytes that were not written before, good until the next call. At most IO_BYTES. */
static const unsigned char *fresh(size_t n)
{
    unsigned char *p = pool + random_next() % ((POOL_BYTES - IO_BYTES) / 64) * 64;
    for (size_t i = 0; i + sizeof stamp <= n; i += BLOCK_BYTES) {
        memcpy(p + i, &stamp, sizeof stamp);
        stamp++;
    }
    return p;
}

static void fsync_or_die(int fd)
{
    if (fsync(fd) < 0)
        err(1, "fsync");
}

static void chdir_or_die(const char *path)
{
    if (chdir(path) < 0)
        err(1, "chdir %s", path);
}

static uint64_t blocks_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        err(1, "fstat");
    if (st.st_size < BLOCK_BYTES)
        errx(1, "the file is too small");
    return (uint64_t)st.st_size / BLOCK_BYTES;
}

static char *small_name(uint64_t i, char prefix, char to[NAME_SIZE])
{
    snprintf(to, NAME_SIZE, "d%04u/%c%06u", (unsigned)(i / FILES_PER_DIR), prefix, (unsigned)i);
    return to;
}

static void small_write(uint64_t i, size_t n)
{
    char name[NAME_SIZE];
    int fd = open_or_die(small_name(i, 'f', name), O_WRONLY | O_CREAT | O_EXCL);
    write_or_die(fd, fresh(n), n);
    close_or_die(fd);
}

/* save DIR N BYTES: what an editor does, on 50 notes in turn. */
static double do_save(char **arg)
{
    uint64_t n = number(arg[1]);
    size_t bytes = number(arg[2]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = 0; i < n; i++) {
        char temporary[NAME_SIZE];
        char note[NAME_SIZE];
        snprintf(temporary, sizeof temporary, ".note%02u.md.tmp", (unsigned)(i % 50));
        snprintf(note, sizeof note, "note%02u.md", (unsigned)(i % 50));
        int fd = open_or_die(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        write_or_die(fd, fresh(bytes), bytes);
        fsync_or_die(fd);
        close_or_die(fd);
        if (rename(temporary, note) < 0)
            err(1, "rename %s", temporary);
    }
    return now() - start;
}

/* create DIR FROM TO BYTES: the small files [FROM, TO), with their folders. */
static double do_create(char **arg)
{
    uint64_t from = number(arg[1]);
    uint64_t to = number(arg[2]);
    size_t bytes = number(arg[3]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = from; i < to; i++) {
        char dir[NAME_SIZE];
        snprintf(dir, sizeof dir, "d%04u", (unsigned)(i / FILES_PER_DIR));
        if ((i % FILES_PER_DIR == 0 || i == from) && mkdir(dir, 0755) < 0 && errno != EEXIST)
            err(1, "mkdir %s", dir);
        small_write(i, bytes);
    }
    return now() - start;
}

/* unlink DIR N: the small files [0, N) and their folders. */
static double do_unlink(char **arg)
{
    uint64_t n = number(arg[1]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = 0; i < n; i++) {
        char name[NAME_SIZE];
        if (unlink(small_name(i, 'f', name)) < 0)
            err(1, "unlink %s", name);
        if ((i + 1) % FILES_PER_DIR == 0 || i + 1 == n) {
            *strchr(name, '/') = '\0';
            if (rmdir(name) < 0)
                err(1, "rmdir %s", name);
        }
    }
    return now() - start;
}

/* stat DIR N ROUNDS: each of the small files [0, N), ROUNDS times. */
static double do_stat(char **arg)
{
    uint64_t n = number(arg[1]);
    uint64_t rounds = number(arg[2]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = 0; i < n * rounds; i++) {
        struct stat st;
        char name[NAME_SIZE];
        if (stat(small_name(i % n, 'f', name), &st) < 0)
            err(1, "stat %s", name);
    }
    return now() - start;
}

/*
 * lookup DIR N DIRS: stat of all small files in DIRS folders, spread evenly over the small files
 * [0, N): as many files and folders are looked up whatever N is.
 */
static double do_lookup(char **arg)
{
    uint64_t all = number(arg[1]) / FILES_PER_DIR;
    uint64_t dirs = number(arg[2]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = 0; i < dirs * FILES_PER_DIR; i++) {
        struct stat st;
        char name[NAME_SIZE];
        uint64_t dir = i / FILES_PER_DIR * all / dirs;
        small_name(dir * FILES_PER_DIR + i % FILES_PER_DIR, 'f', name);
        if (stat(name, &st) < 0)
            err(1, "stat %s", name);
    }
    return now() - start;
}

/* rename DIR N ROUNDS: each of the small files to another name and back, ROUNDS times. */
static double do_rename(char **arg)
{
    uint64_t n = number(arg[1]);
    uint64_t rounds = number(arg[2]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = 0; i < n * rounds * 2; i++) {
        char a[NAME_SIZE];
        char b[NAME_SIZE];
        bool back = i / n % 2 == 1;
        small_name(i % n, back ? 'g' : 'f', a);
        small_name(i % n, back ? 'f' : 'g', b);
        if (rename(a, b) < 0)
            err(1, "rename %s", a);
    }
    return now() - start;
}

/* read DIR N ROUNDS: each of the small files, wholly. */
static double do_read(char **arg)
{
    uint64_t n = number(arg[1]);
    uint64_t rounds = number(arg[2]);
    chdir_or_die(arg[0]);
    double start = now();
    for (uint64_t i = 0; i < n * rounds; i++) {
        char name[NAME_SIZE];
        int fd = open_or_die(small_name(i % n, 'f', name), O_RDONLY);
        ssize_t got;
        while ((got = read(fd, io, sizeof io)) > 0)
            continue;
        if (got < 0)
            err(1, "read %s", name);
        close_or_die(fd);
    }
    return now() - start;
}

/* seqwrite FILE MIB: a new file in pieces of 1 MiB, then fsync. */
static double do_seqwrite(char **arg)
{
    uint64_t n = number(arg[1]);
    double start = now();
    int fd = open_or_die(arg[0], O_WRONLY | O_CREAT | O_TRUNC);
    for (uint64_t i = 0; i < n; i++)
        write_or_die(fd, fresh(IO_BYTES), IO_BYTES);
    fsync_or_die(fd);
    close_or_die(fd);
    return now() - start;
}

/* seqread FILE ROUNDS: the whole file in pieces of 128 KiB, as cat and cp do. */
static double do_seqread(char **arg)
{
    uint64_t rounds = number(arg[1]);
    double start = now();
    for (uint64_t i = 0; i < rounds; i++) {
        int fd = open_or_die(arg[0], O_RDONLY);
        ssize_t got;
        while ((got = read(fd, io, 128 << 10)) > 0)
            continue;
        if (got < 0)
            err(1, "read %s", arg[0]);
        close_or_die(fd);
    }
    return now() - start;
}

/* randread FILE N: blocks at random places. */
static double do_randread(char **arg)
{
    uint64_t n = number(arg[1]);
    int fd = open_or_die(arg[0], O_RDONLY);
    uint64_t blocks = blocks_of(fd);
    double start = now();
    for (uint64_t i = 0; i < n; i++) {
        off_t at = (off_t)(random_next() % blocks * BLOCK_BYTES);
        if (pread(fd, io, BLOCK_BYTES, at) != BLOCK_BYTES)
            err(1, "pread");
    }
    double took = now() - start;
    close_or_die(fd);
    return took;
}

/* N blocks at random places or at the end, with an fsync after each EVERY, and after the last. */
static double write_blocks(char **arg, bool append)
{
    uint64_t n = number(arg[1]);
    uint64_t every = number(arg[2]);
    int fd = open_or_die(arg[0], append ? O_WRONLY | O_APPEND : O_WRONLY);
    uint64_t blocks = blocks_of(fd);
    double start = now();
    for (uint64_t i = 0; i < n; i++) {
        off_t at = (off_t)(random_next() % blocks * BLOCK_BYTES);
        const unsigned char *p = fresh(BLOCK_BYTES);
        ssize_t put = append ? write(fd, p, BLOCK_BYTES) : pwrite(fd, p, BLOCK_BYTES, at);
        if (put != BLOCK_BYTES)
            err(1, "write %s", arg[0]);
        if (every > 0 && (i + 1) % every == 0)
            fsync_or_die(fd);
    }
    if (every == 0 || n % every != 0)
        fsync_or_die(fd);
    double took = now() - start;
    close_or_die(fd);
    return took;
}

/* randwrite FILE N EVERY: EVERY 0 is one fsync at the end. */
static double do_randwrite(char **arg)
{
    return write_blocks(arg, false);
}

/* append FILE N EVERY: the same at the end of the file. */
static double do_append(char **arg)
{
    return write_blocks(arg, true);
}

/* overwrite FILE N: blocks of the file in turn, an fdatasync after each. */
static double do_overwrite(char **arg)
{
    uint64_t n = number(arg[1]);
    int fd = open_or_die(arg[0], O_WRONLY);
    uint64_t blocks = blocks_of(fd);
    double start = now();
    for (uint64_t i = 0; i < n; i++) {
        off_t at = (off_t)(i % blocks * BLOCK_BYTES);
        if (pwrite(fd, fresh(BLOCK_BYTES), BLOCK_BYTES, at) != BLOCK_BYTES)
            err(1, "write %s", arg[0]);
        if (fdatasync(fd) < 0)
            err(1, "fdatasync");
    }
    double took = now() - start;
    close_or_die(fd);
    return took;
}

/* ask PATH N: for an extended attribute that is not there, which no kernel remembers. */
static double do_ask(char **arg)
{
    uint64_t n = number(arg[1]);
    double start = now();
    for (uint64_t i = 0; i < n; i++)
        if (getxattr(arg[0], "user.none", io, sizeof io) >= 0 || errno != ENODATA)
            err(1, "getxattr %s", arg[0]);
    return now() - start;
}

/* Puts this process on the processor of that number among those that it may use. */
static void run_on(unsigned which)
{
    cpu_set_t all;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof all, &all) < 0)
        err(1, "sched_getaffinity");
    unsigned cpu = 0;
    for (which %= (unsigned)CPU_COUNT(&all); !CPU_ISSET(cpu, &all) || which > 0; cpu++)
        which -= CPU_ISSET(cpu, &all) != 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        err(1, "sched_setaffinity");
}

static void pass_on(int from, int to)
{
    char c;
    if (read(from, &c, 1) == 1)
        write_or_die(to, &c, 1);
}

/* pingpong PROCESSORS N: a byte to another process and back, both on 1 processor, or on 2. */
static double do_pingpong(char **arg)
{
    unsigned other = number(arg[0]) > 1 ? 1 : 0;
    uint64_t n = number(arg[1]);
    int there[2];
    int back[2];
    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0)
        err(1, "pipe");
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    run_on(pid == 0 ? other : 0);
    if (pid == 0) {
        for (uint64_t i = 0; i < n; i++)
            pass_on(there[0], back[1]);
        _exit(0);
    }
    double start = now();
    for (uint64_t i = 0; i < n; i++) {
        write_or_die(there[1], "", 1);
        if (read(back[0], io, 1) != 1)
            err(1, "read");
    }
    double took = now() - start;
    waitpid(pid, NULL, 0);
    return took;
}

/* run DIR COMMAND...: another program, its output thrown away. */
static double do_run(char **arg)
{
    chdir_or_die(arg[0]);
    double start = now();
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (pid == 0) {
        int fd = open("/dev/null", O_WRONLY);
        if (fd >= 0)
            dup2(fd, STDOUT_FILENO);
        execvp(arg[1], arg + 1);
        err(127, "%s", arg[1]);
    }
    int status;
    if (waitpid(pid, &status, 0) < 0)
        err(1, "waitpid");
    double took = now() - start;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        errx(1, "%s failed", arg[1]);
    return took;
}

/* requests DIR: not a workload; prints what the ramfs mounted there has counted. */
static void print_requests(const char *dir)
{
    ssize_t n = getxattr(dir, "user.requests", io, sizeof io);
    if (n < 0)
        err(1, "%s: no count of requests", dir);
    fwrite(io, 1, (size_t)n, stdout);
}

static const struct workload {
    const char *name;
    const char *arguments;
    int arguments_n;
    double (*run)(char **arg);
} workloads[] = {
    {"save", "DIR N BYTES", 3, do_save},
    {"create", "DIR FROM TO BYTES", 4, do_create},
    {"unlink", "DIR N", 2, do_unlink},
    {"stat", "DIR N ROUNDS", 3, do_stat},
    {"lookup", "DIR N DIRS", 3, do_lookup},
    {"rename", "DIR N ROUNDS", 3, do_rename},
    {"read", "DIR N ROUNDS", 3, do_read},
    {"seqwrite", "FILE MIB", 2, do_seqwrite},
    {"seqread", "FILE ROUNDS", 2, do_seqread},
    {"randread", "FILE N", 2, do_randread},
    {"randwrite", "FILE N EVERY", 3, do_randwrite},
    {"append", "FILE N EVERY", 3, do_append},
    {"overwrite", "FILE N", 2, do_overwrite},
    {"ask", "PATH N", 2, do_ask},
    {"pingpong", "PROCESSORS N", 2, do_pingpong},
    {"run", "DIR COMMAND...", 2, do_run},
};

int main(int argc, char **argv)
{
    size_t n = sizeof workloads / sizeof workloads[0];
    if (argc == 3 && strcmp(argv[1], "requests") == 0) {
        print_requests(argv[2]);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < n; i++) {
        const struct workload *w = &workloads[i];
        if (strcmp(argv[1], w->name) != 0)
            continue;
        if (argc - 2 < w->arguments_n)
            break;
        random_start();
        printf("%.6f\n", w->run(argv + 2));
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "fsload %s %s\n", workloads[i].name, workloads[i].arguments);
    return 2;
}
