/*
 * Kills its process (LD_PRELOAD) before it changes a directory or waits for the disk for the n-th
 * time; n is in PERSIST_TEST_DIE. What the process then runs in its place lives.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long left = 0; /* 0: it is not counted */

__attribute__((constructor)) static void begin(void)
{
    const char *n = getenv("PERSIST_TEST_DIE");
    if (n == NULL)
        abort();
    atomic_store(&left, strtol(n, NULL, 10));
    unsetenv("PERSIST_TEST_DIE");
    unsetenv("LD_PRELOAD");
}

static void step(void)
{
    if (atomic_fetch_sub(&left, 1) == 1)
        kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to)
{
    step();
    return (int)syscall(SYS_rename, from, to);
}

int renameat(int a, const char *from, int b, const char *to)
{
    step();
    return (int)syscall(SYS_renameat, a, from, b, to);
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    step();
    return (int)syscall(SYS_renameat2, a, from, b, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    step();
    return (int)syscall(SYS_mkdir, path, mode);
}

int mkdirat(int a, const char *path, mode_t mode)
{
    step();
    return (int)syscall(SYS_mkdirat, a, path, mode);
}

int unlink(const char *path)
{
    step();
    return (int)syscall(SYS_unlink, path);
}

int unlinkat(int a, const char *path, int flags)
{
    step();
    return (int)syscall(SYS_unlinkat, a, path, flags);
}

int fsync(int fd)
{
    step();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    step();
    return (int)syscall(SYS_fdatasync, fd);
}
