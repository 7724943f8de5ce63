#include "fs/space/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that its owner may not read or write is opened up: it goes. */
static int unlock(int dir_fd, const char *name)
{
    char by_fd[40];
    int fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d", fd);
    int rc = chmod(by_fd, 0700) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int open_dir(int dir_fd, const char *name)
{
    int rc = unlock(dir_fd, name);
    if (rc < 0)
        return rc;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* A folder in @from goes up into @top, under a name that is free there. */
static int lift(int from_fd, const char *name, int top_fd, uint64_t *number)
{
    for (;;) {
        char to[32];
        snprintf(to, sizeof to, "%llu", (unsigned long long)++*number);
        if (renameat2(from_fd, name, top_fd, to, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno == EACCES && unlock(from_fd, name) == 0 &&
            renameat2(from_fd, name, top_fd, to, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return -errno;
    }
}

/* Reads a directory from its beginning; the descriptor stays the caller's. */
static int list_dir(int fd, DIR **ret)
{
    int copy = dup(fd);
    *ret = copy < 0 ? NULL : fdopendir(copy);
    if (*ret == NULL) {
        int rc = -errno;
        if (copy >= 0)
            close(copy);
        return rc;
    }
    rewinddir(*ret);
    return 0;
}

/* Empties a folder: what is no folder goes, folders go up. 1: there were some. */
static int empty(int fd, int top_fd, uint64_t *number)
{
    DIR *d;
    int rc = list_dir(fd, &d);
    if (rc < 0)
        return rc;
    struct dirent *e;
    while (rc >= 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            unlinkat(fd, e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        rc = errno != EISDIR && errno != EPERM ? -errno : 1;
        if (rc == 1 && fd != top_fd && lift(fd, e->d_name, top_fd, number) < 0)
            rc = -errno;
    }
    closedir(d);
    return rc;
}

/* One pass over the folders right below @top_fd. 1: there were some. */
static int pass(int top_fd, uint64_t *number)
{
    DIR *d;
    int rc = list_dir(top_fd, &d);
    if (rc < 0)
        return rc;
    struct dirent *e;
    while (rc >= 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int fd = open_dir(top_fd, e->d_name);
        rc = fd < 0 ? fd : empty(fd, top_fd, number);
        if (fd >= 0)
            close(fd);
        if (rc >= 0 && unlinkat(top_fd, e->d_name, AT_REMOVEDIR) < 0)
            rc = -errno;
        else if (rc >= 0)
            rc = 1;
    }
    closedir(d);
    return rc;
}

int remove_tree(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    uint64_t number = 0;
    int fd = open_dir(dir_fd, name);
    int rc = fd < 0 ? fd : 1;
    while (rc > 0) {
        rc = empty(fd, fd, &number);
        if (rc > 0)
            rc = pass(fd, &number);
    }
    if (fd >= 0)
        close(fd);
    return rc < 0 ? rc : unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
