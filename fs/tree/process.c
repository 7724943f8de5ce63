#include "fs/tree/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The beginning of /proc/@pid/@file, terminated. */
static int read_file(pid_t pid, const char *file, char *to, size_t n)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ESRCH;
    ssize_t got = read(fd, to, n - 1);
    close(fd);
    to[got > 0 ? got : 0] = '\0';
    return got > 0 ? 0 : -ESRCH;
}

int process_of(pid_t thread, pid_t *ret)
{
    static const char field[] = "\nTgid:";
    char text[512];
    int rc = read_file(thread, "status", text, sizeof text);
    const char *at = rc == 0 ? strstr(text, field) : NULL;
    if (at == NULL)
        return -ESRCH;
    long n = strtol(at + sizeof field - 1, NULL, 10);
    *ret = (pid_t)n;
    return n > 0 ? 0 : -ESRCH;
}

int process_began(pid_t process, uint64_t *ret_ms)
{
    enum { FIELD = 22, FIRST_AFTER_NAME = 3 };
    char text[1024];
    int rc = read_file(process, "stat", text, sizeof text);
    /* The name, in brackets, may have any characters in it. */
    const char *at = rc == 0 ? strrchr(text, ')') : NULL;
    for (int i = FIRST_AFTER_NAME; at != NULL && i <= FIELD; i++)
        at = strchr(at + 1, ' ');
    long hz = sysconf(_SC_CLK_TCK);
    if (at == NULL || hz <= 0)
        return -ESRCH;
    *ret_ms = strtoull(at, NULL, 10) * 1000 / (unsigned long)hz;
    return 0;
}

uint64_t process_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
