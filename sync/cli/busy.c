#include "sync/cli/busy.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/cli/mounts.h"

enum { NAMED_MAX = 8 };

/* Links below /proc are read as text: the mount itself is not touched, it might not answer. */
static bool link_is_below(int dir_fd, const char *name, const char *folder)
{
    char to[PATH_MAX + 16];
    ssize_t n = readlinkat(dir_fd, name, to, sizeof to - 1);
    if (n <= 0)
        return false;
    to[n] = '\0';
    char *gone = strstr(to, " (deleted)");
    if (gone != NULL && gone[10] == '\0')
        *gone = '\0';
    return mounts_is_below(to, folder);
}

static bool has_open(int proc_fd, const char *folder)
{
    int fd = openat(proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool found = false;
    struct dirent *e;
    while (!found && (e = readdir(d)) != NULL)
        found = e->d_name[0] != '.' && link_is_below(fd, e->d_name, folder);
    closedir(d);
    return found;
}

static bool has_mapped(int proc_fd, const char *folder)
{
    int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    ssize_t n;
    while (!found && (n = getline(&line, &cap, f)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        const char *path = strchr(line, '/');
        found = path != NULL && mounts_is_below(path, folder);
    }
    free(line);
    fclose(f);
    return found;
}

static bool holds(int proc_fd, const char *folder)
{
    return link_is_below(proc_fd, "cwd", folder) || link_is_below(proc_fd, "root", folder) ||
           link_is_below(proc_fd, "exe", folder) || has_open(proc_fd, folder) ||
           has_mapped(proc_fd, folder);
}

static void put_name(int proc_fd, const char *pid, bool first, struct buf *ret)
{
    char name[64];
    ssize_t n = 0;
    int fd = openat(proc_fd, "comm", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, name, sizeof name);
        close(fd);
    }
    if (n > 0 && name[n - 1] == '\n')
        n--;
    buf_put_bytes(ret, bytes_str(first ? "" : ", "));
    escape_put(ret, n > 0 ? bytes_of(name, (size_t)n) : bytes_str("?"));
    buf_put_bytes(ret, bytes_str(" (pid "));
    buf_put_bytes(ret, bytes_str(pid));
    buf_put_bytes(ret, bytes_str(")"));
}

size_t busy_list(const char *folder, struct buf *ret)
{
    DIR *d = opendir("/proc");
    if (d == NULL)
        return 0;
    size_t n = 0;
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || atol(e->d_name) == (long)getpid())
            continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (holds(fd, folder)) {
            if (n < NAMED_MAX)
                put_name(fd, e->d_name, n == 0, ret);
            n++;
        }
        close(fd);
    }
    closedir(d);
    if (n > NAMED_MAX) {
        char more[48];
        snprintf(more, sizeof more, " and %zu more", n - NAMED_MAX);
        buf_put_bytes(ret, bytes_str(more));
    }
    return n;
}
