#include "tests/support/posix.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void put_file_mode(const char *path, const char *text, mode_t mode)
{
    int fd = (int)ok(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (fd < 0)
        return;
    same(write(fd, text, strlen(text)), strlen(text));
    ok(fchmod(fd, mode));
    ok(close(fd));
}

void put_file(const char *path, const char *text)
{
    put_file_mode(path, text, 0644);
}

void check_file(const char *path, const char *text)
{
    char found[4096];
    int fd = (int)ok(open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return;
    size_t n = read_all(fd, found, sizeof found - 1, 0);
    found[n] = '\0';
    close(fd);
    same_text(found, text);
}

void make_dir(const char *path, mode_t mode)
{
    ok(mkdir(path, 0700));
    ok(chmod(path, mode));
}

int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

static uint64_t pattern_word(uint64_t seed, uint64_t index)
{
    uint64_t x = (index + seed * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 31;
    return x * UINT64_C(0x94d049bb133111eb);
}

void pattern_fill(uint8_t *p, size_t n, uint64_t seed, uint64_t offset)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++, word >>= 8) {
        unsigned in_word = (unsigned)((offset + i) % 8);
        if (in_word == 0 || i == 0)
            word = pattern_word(seed, (offset + i) / 8) >> (8 * in_word);
        p[i] = (uint8_t)word;
    }
}

struct stat stat_of(const char *path)
{
    struct stat st = {0};
    ok(stat(path, &st));
    return st;
}

struct stat lstat_of(const char *path)
{
    struct stat st = {0};
    ok(lstat(path, &st));
    return st;
}

struct stat fstat_of(int fd)
{
    struct stat st = {0};
    ok(fstat(fd, &st));
    return st;
}

ino_t ino_of(const char *path)
{
    return lstat_of(path).st_ino;
}

nlink_t links_of(const char *path)
{
    return lstat_of(path).st_nlink;
}

mode_t mode_of(const char *path)
{
    return lstat_of(path).st_mode & 07777;
}

bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

const char *kind_name(enum kind kind)
{
    static const char *const names[KIND_N] = {
        "nothing",       "file",         "directory",         "full directory",
        "dangling link", "link to file", "link to directory", "link to itself",
        "fifo",          "socket",
    };
    return names[kind];
}

void kind_make(enum kind kind, const char *path)
{
    char to[300], full[300];
    const char *name = strrchr(path, '/');
    name = name != NULL ? name + 1 : path;
    snprintf(to, sizeof to, "%s.to", path);
    snprintf(full, sizeof full, "%s/inside", path);
    switch (kind) {
    case KIND_NONE:
    case KIND_N:
        break;
    case KIND_FILE:
        put_file(path, "a file");
        break;
    case KIND_DIR:
        make_dir(path, 0755);
        break;
    case KIND_FULL_DIR:
        make_dir(path, 0755);
        put_file(full, "inside");
        break;
    case KIND_LINK_FILE:
        put_file(to, "a target");
        ok(symlink(strrchr(to, '/') != NULL ? strrchr(to, '/') + 1 : to, path));
        break;
    case KIND_LINK_DIR:
        make_dir(to, 0755);
        ok(symlink(strrchr(to, '/') != NULL ? strrchr(to, '/') + 1 : to, path));
        break;
    case KIND_LINK:
        ok(symlink(strrchr(to, '/') != NULL ? strrchr(to, '/') + 1 : to, path));
        break;
    case KIND_LOOP:
        ok(symlink(name, path));
        break;
    case KIND_FIFO:
        ok(mkfifo(path, 0644));
        break;
    case KIND_SOCKET:
        ok(mknod(path, S_IFSOCK | 0644, 0));
        break;
    }
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    ok(remove(path));
    return 0;
}

void kind_remove(const char *path)
{
    char to[300];
    snprintf(to, sizeof to, "%s.to", path);
    if (exists(path))
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (exists(to))
        nftw(to, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int time_cmp(struct timespec a, struct timespec b)
{
    if (a.tv_sec != b.tv_sec)
        return a.tv_sec < b.tv_sec ? -1 : 1;
    return (a.tv_nsec > b.tv_nsec) - (a.tv_nsec < b.tv_nsec);
}

struct timespec coarse_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now;
}

void next_tick(void)
{
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    while (time_cmp(coarse_now(), fine) <= 0)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

uint64_t rng_next(struct rng *r)
{
    r->s += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = r->s;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    return rng_next(r) % n;
}

bool write_all(int fd, const void *p, size_t n, off_t offset)
{
    const char *from = p;
    while (n > 0) {
        ssize_t k = pwrite(fd, from, n, offset);
        if (k <= 0)
            return false;
        from += k;
        n -= (size_t)k;
        offset += k;
    }
    return true;
}

size_t read_all(int fd, void *p, size_t n, off_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t k = pread(fd, (char *)p + done, n - done, offset + (off_t)done);
        if (k <= 0)
            break;
        done += (size_t)k;
    }
    return done;
}

void drop_cache(int fd)
{
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}
