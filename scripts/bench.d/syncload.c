/*
 * syncload - the workloads of "scripts/bench sync": changes something in the folder FROM and looks
 * at the folder TO, which something keeps the same, until it is there. One clock sees both.
 *
 * What is written is pseudo-random and follows from a seed, so that the other side is compared with
 * what it must be, and nothing is gained by compressing it. Small files are at dNNNN/fNNNNNN.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

enum {
    FILES_PER_DIR = 1000,
    IO_BYTES = 1 << 20,
    PATH_SIZE = 4096,
    LINE_BYTES = 32, /* of a note: each line has the number of the save */
    NOTE_MAX = 64 << 10,
    SAVES_MAX = 100000,
    LOOK_US = 250,       /* between two looks at a note, */
    LOOK_FILE_US = 2000, /* at a file of many, */
    SAMPLE = 16,         /* of so many small files one is looked at */
    LOOK_BIG_US = 5000,  /* at a big one */
    WAIT_S = 900,        /* until something that does not come is given up */
};

static unsigned char io[IO_BYTES], other[IO_BYTES];

/* Waits a little; gives up when @since is too long ago. */
static void rest(double since, long us, const char *path)
{
    if (now() > since + WAIT_S)
        errx(1, "%s: not there after %d s", path, WAIT_S);
    struct timespec t = {.tv_nsec = us * 1000};
    nanosleep(&t, NULL);
}

static void rename_or_die(const char *from, const char *to)
{
    if (rename(from, to) < 0)
        err(1, "rename %s", from);
}

static void join(char ret[PATH_SIZE], const char *dir, const char *name)
{
    if (snprintf(ret, PATH_SIZE, "%s/%s", dir, name) >= PATH_SIZE)
        errx(1, "%s: too long", dir);
}

/* @n bytes that follow from @seed. */
static void fill(unsigned char *p, size_t n, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    for (size_t i = 0; i < n; i += sizeof x) {
        x = stir(x);
        memcpy(p + i, &x, n - i < sizeof x ? n - i : sizeof x);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* ---- one note, saved again and again -----------------------------------------------------------
 */

struct looks {
    uint64_t missing, empty, mixed;
};

static size_t note(unsigned char *p, size_t n, uint64_t save)
{
    char line[LINE_BYTES + 1];
    snprintf(line, sizeof line, "save %020llu ....\n", (unsigned long long)save);
    line[LINE_BYTES - 1] = '\n';
    for (size_t i = 0; i < n; i += LINE_BYTES)
        memcpy(p + i, line, n - i < LINE_BYTES ? n - i : LINE_BYTES);
    return n;
}

/* As editors save: a new file, on disk, in place of the old one. Returns when the last step began.
 */
static double save_note(const char *path, size_t n, uint64_t save)
{
    char tmp[PATH_SIZE];
    if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= PATH_SIZE)
        errx(1, "%s: too long", path);
    int fd = open_or_die(tmp, O_CREAT | O_EXCL | O_WRONLY);
    write_or_die(fd, io, note(io, n, save));
    if (fsync(fd) < 0)
        err(1, "fsync");
    close_or_die(fd);
    double start = now();
    rename_or_die(tmp, path);
    return start;
}

/* Which save is at @path, 0: none that is whole. */
static uint64_t look_at_note(const char *path, size_t n, struct looks *looks)
{
    char first[LINE_BYTES + 1] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        err(1, "open %s", path);
    if (fd < 0) {
        looks->missing++;
        return 0;
    }
    ssize_t got = read(fd, other, NOTE_MAX + 1);
    close(fd);
    if (got < 0)
        err(1, "read %s", path);
    memcpy(first, other, got < LINE_BYTES ? (size_t)got : LINE_BYTES);
    uint64_t save = got >= LINE_BYTES ? strtoull(first + 5, NULL, 10) : 0;
    if (got == 0)
        looks->empty++;
    else if ((size_t)got != n || memcmp(other, io, note(io, n, save)) != 0)
        looks->mixed++;
    else
        return save;
    return 0;
}

/* saves FROM TO NAME COUNT BYTES GAP_MS */
static void do_saves(char **arg)
{
    static double took[SAVES_MAX];
    char from[PATH_SIZE], to[PATH_SIZE];
    uint64_t count = number(arg[3]), n = number(arg[4]), gap_ms = number(arg[5]);
    struct looks looks = {0}, before = {0};
    if (count < 1 || count > SAVES_MAX || n < LINE_BYTES || n > NOTE_MAX)
        errx(2, "saves: out of range");
    join(from, arg[0], arg[2]);
    join(to, arg[1], arg[2]);
    uint64_t base = (uint64_t)time(NULL) * 1000000;
    for (uint64_t i = 0; i <= count; i++) {
        double start = save_note(from, n, base + i), seen = 0;
        bool there = false;
        while (!there || now() < seen + (double)gap_ms / 1000) {
            if (look_at_note(to, n, &looks) == base + i && !there) {
                there = true;
                seen = now();
            }
            rest(start, LOOK_US, to);
        }
        if (i == 0) /* it made the file: that is not what is measured */
            before = looks;
        else
            took[i - 1] = (seen - start) * 1000;
    }
    qsort(took, count, sizeof *took, by_value);
    printf("%.3f %.3f %.3f %llu\n", took[count / 2], took[count * 95 / 100], took[count - 1],
           (unsigned long long)(looks.missing - before.missing + looks.empty - before.empty +
                                looks.mixed - before.mixed));
}

/* ---- many small files --------------------------------------------------------------------------
 */

static void small_path(char ret[PATH_SIZE], const char *dir, uint64_t i)
{
    if (snprintf(ret, PATH_SIZE, "%s/d%04llu/f%06llu", dir, (unsigned long long)i / FILES_PER_DIR,
                 (unsigned long long)i) >= PATH_SIZE)
        errx(1, "%s: too long", dir);
}

static void make_small(const char *dir, uint64_t count, size_t n, uint64_t seed)
{
    char path[PATH_SIZE];
    for (uint64_t i = 0; i < count; i++) {
        if (i % FILES_PER_DIR == 0) {
            snprintf(path, sizeof path, "%s/d%04llu", dir, (unsigned long long)i / FILES_PER_DIR);
            if (mkdir(path, 0755) < 0)
                err(1, "mkdir %s", path);
        }
        small_path(path, dir, i);
        int fd = open_or_die(path, O_CREAT | O_EXCL | O_WRONLY);
        fill(io, n, seed + i);
        write_or_die(fd, io, n);
        close_or_die(fd);
    }
}

static bool is_small(const char *path, size_t n, uint64_t seed)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, other, n + 1);
    close(fd);
    fill(io, n, seed);
    return got == (ssize_t)n && memcmp(io, other, n) == 0;
}

/* Waits until some of them, evenly chosen, and the last one were seen with their content. To read
 * all through a mount is work of its own: check_small() does, when the time has been taken. */
static void await_small(const char *dir, uint64_t count, size_t n, uint64_t seed)
{
    char path[PATH_SIZE];
    double start = now();
    for (uint64_t i = 0; i < count; i += SAMPLE) {
        uint64_t last = i + SAMPLE < count ? i + SAMPLE - 1 : count - 1;
        small_path(path, dir, last);
        while (!is_small(path, n, seed + last))
            rest(start, LOOK_FILE_US, path);
    }
}

static void check_small(const char *dir, uint64_t count, size_t n, uint64_t seed)
{
    char path[PATH_SIZE];
    for (uint64_t i = 0; i < count; i++) {
        small_path(path, dir, i);
        if (!is_small(path, n, seed + i))
            errx(1, "%s: not as it was written", path);
    }
}

static size_t small_bytes(const char *text)
{
    uint64_t n = number(text);
    if (n >= IO_BYTES)
        errx(2, "%s: too many bytes", text);
    return n;
}

/* files FROM TO COUNT BYTES SEED: seconds until they are there, and until all were written */
static void do_files(char **arg)
{
    uint64_t count = number(arg[2]), seed = number(arg[4]);
    size_t n = small_bytes(arg[3]);
    double start = now();
    int status;
    int made[2];
    double wrote;
    if (pipe(made) < 0)
        err(1, "pipe");
    pid_t pid = fork();
    if (pid < 0)
        err(1, "fork");
    if (pid == 0) {
        make_small(arg[0], count, n, seed);
        wrote = now() - start;
        write_or_die(made[1], &wrote, sizeof wrote);
        _exit(0);
    }
    await_small(arg[1], count, n, seed);
    double took = now() - start;
    if (waitpid(pid, &status, 0) < 0 || status != 0 ||
        read(made[0], &wrote, sizeof wrote) != (ssize_t)sizeof wrote)
        errx(1, "writing failed");
    printf("%.3f %.3f\n", took, wrote);
}

/* make DIR COUNT BYTES SEED */
static void do_make(char **arg)
{
    make_small(arg[0], number(arg[1]), small_bytes(arg[2]), number(arg[3]));
}

/* await DIR COUNT BYTES SEED: seconds until they are there */
static void do_await(char **arg)
{
    double start = now();
    await_small(arg[0], number(arg[1]), small_bytes(arg[2]), number(arg[3]));
    printf("%.3f\n", now() - start);
}

/* check DIR COUNT BYTES SEED: that all are there */
static void do_check(char **arg)
{
    check_small(arg[0], number(arg[1]), small_bytes(arg[2]), number(arg[3]));
}

/* All that is below a folder; what vanishes meanwhile is not counted. */
static uint64_t count_entries(const char *path)
{
    uint64_t n = 0;
    char below[PATH_SIZE];
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        if (e->d_type != DT_REG) {
            join(below, path, e->d_name);
            n += count_entries(below);
        }
    }
    closedir(d);
    return n;
}

/* move FROM TO OLD NEW: milliseconds until the folder has its new name, with all that was in it */
static void do_move(char **arg)
{
    char from[2][PATH_SIZE], to[2][PATH_SIZE];
    for (int i = 0; i < 2; i++) {
        join(from[i], arg[0], arg[2 + i]);
        join(to[i], arg[1], arg[2 + i]);
    }
    uint64_t n = count_entries(from[0]);
    double start = now(), seen;
    rename_or_die(from[0], from[1]);
    for (;;) {
        seen = now(); /* the counting is not what is measured */
        if (access(to[1], F_OK) == 0 && access(to[0], F_OK) < 0 && count_entries(to[1]) == n)
            break;
        rest(start, LOOK_FILE_US, to[1]);
    }
    printf("%.3f\n", (seen - start) * 1000);
}

/* ---- big files ---------------------------------------------------------------------------------
 */

static void write_big(const char *path, uint64_t mib, uint64_t seed)
{
    int fd = open_or_die(path, O_CREAT | O_EXCL | O_WRONLY);
    for (uint64_t i = 0; i < mib; i++) {
        fill(io, IO_BYTES, seed + i);
        write_or_die(fd, io, IO_BYTES);
    }
    close_or_die(fd);
}

static void await_size(const char *path, off_t size)
{
    struct stat st;
    double start = now();
    while (stat(path, &st) < 0 || st.st_size != size)
        rest(start, LOOK_BIG_US, path);
}

static void compare(const char *from, const char *to)
{
    int a = open_or_die(from, O_RDONLY), b = open_or_die(to, O_RDONLY);
    ssize_t n;
    while ((n = read(a, io, IO_BYTES)) > 0)
        if (read(b, other, (size_t)n) != n || memcmp(io, other, (size_t)n) != 0)
            errx(1, "%s: differs from %s", to, from);
    close(a);
    close(b);
}

/* big FROM TO NAME MIB SEED: seconds from the first write, and from the close */
static void do_big(char **arg)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    uint64_t mib = number(arg[3]);
    join(from, arg[0], arg[2]);
    join(to, arg[1], arg[2]);
    double start = now();
    write_big(from, mib, number(arg[4]));
    double closed = now();
    await_size(to, (off_t)mib * IO_BYTES);
    double seen = now();
    printf("%.3f %.3f\n", seen - start, seen - closed);
}

/* same FROM TO NAME: that both have the same content */
static void do_same(char **arg)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    join(from, arg[0], arg[2]);
    join(to, arg[1], arg[2]);
    compare(from, to);
}

/* overwrite FROM TO NAME OFFSET: milliseconds from the close until the one byte is there */
static void do_overwrite(char **arg)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    unsigned char byte, seen;
    off_t at = (off_t)number(arg[3]);
    join(from, arg[0], arg[2]);
    join(to, arg[1], arg[2]);
    int fd = open_or_die(from, O_RDWR);
    if (pread(fd, &byte, 1, at) != 1)
        err(1, "%s", from);
    byte ^= 0x55;
    if (pwrite(fd, &byte, 1, at) != 1)
        err(1, "%s", from);
    close_or_die(fd);
    double start = now();
    for (bool there = false; !there;) {
        fd = open(to, O_RDONLY | O_CLOEXEC); /* it may be away for a moment */
        there = fd >= 0 && pread(fd, &seen, 1, at) == 1 && seen == byte;
        if (fd >= 0)
            close(fd);
        if (!there)
            rest(start, LOOK_BIG_US, to);
    }
    printf("%.3f\n", (now() - start) * 1000);
    compare(from, to);
}

/* insert FROM TO NAME: one byte before all others, saved as a new file in place of the old one;
 * milliseconds from that on */
static void do_insert(char **arg)
{
    char from[PATH_SIZE], to[PATH_SIZE], tmp[PATH_SIZE];
    off_t size = 1;
    ssize_t n;
    join(from, arg[0], arg[2]);
    join(to, arg[1], arg[2]);
    if (snprintf(tmp, sizeof tmp, "%s.tmp", from) >= PATH_SIZE)
        errx(1, "%s: too long", from);
    int in = open_or_die(from, O_RDONLY), out = open_or_die(tmp, O_CREAT | O_EXCL | O_WRONLY);
    write_or_die(out, "+", 1);
    for (; (n = read(in, io, IO_BYTES)) > 0; size += n)
        write_or_die(out, io, (size_t)n);
    close(in);
    close_or_die(out);
    double start = now();
    rename_or_die(tmp, from);
    await_size(to, size);
    printf("%.3f\n", (now() - start) * 1000);
    compare(from, to);
}

static const struct workload {
    const char *name;
    const char *arguments;
    int arguments_n;
    void (*run)(char **arg);
} workloads[] = {
    {"saves", "FROM TO NAME COUNT BYTES GAP_MS", 6, do_saves},
    {"files", "FROM TO COUNT BYTES SEED", 5, do_files},
    {"make", "DIR COUNT BYTES SEED", 4, do_make},
    {"await", "DIR COUNT BYTES SEED", 4, do_await},
    {"check", "DIR COUNT BYTES SEED", 4, do_check},
    {"move", "FROM TO OLD NEW", 4, do_move},
    {"big", "FROM TO NAME MIB SEED", 5, do_big},
    {"same", "FROM TO NAME", 3, do_same},
    {"overwrite", "FROM TO NAME OFFSET", 4, do_overwrite},
    {"insert", "FROM TO NAME", 3, do_insert},
};

int main(int argc, char **argv)
{
    size_t n = sizeof workloads / sizeof workloads[0];
    for (size_t i = 0; argc >= 2 && i < n; i++) {
        const struct workload *w = &workloads[i];
        if (strcmp(argv[1], w->name) != 0 || argc - 2 != w->arguments_n)
            continue;
        w->run(argv + 2);
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "syncload %s %s\n", workloads[i].name, workloads[i].arguments);
    return 2;
}
