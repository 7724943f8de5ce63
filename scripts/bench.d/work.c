#include "work.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t stir(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

int open_or_die(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0)
        err(1, "open %s", path);
    return fd;
}

void write_or_die(int fd, const void *p, size_t n)
{
    if (write(fd, p, n) != (ssize_t)n)
        err(1, "write");
}

void close_or_die(int fd)
{
    if (close(fd) < 0)
        err(1, "close");
}

uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        errx(2, "%s: not a number", text);
    return n;
}
