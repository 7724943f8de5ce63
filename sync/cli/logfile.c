#include "sync/cli/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_BYTES_MAX = 4 << 20 };

int logfile_open(const struct home *h, const char *name, int *ret_fd, struct err *err)
{
    char old[300];
    int dir_fd;
    struct stat st;
    int rc = home_dir(h, "log", true, &dir_fd, err);
    if (rc < 0)
        return rc;
    snprintf(old, sizeof old, "%.255s.1", name);
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > LOG_BYTES_MAX)
        (void)!renameat(dir_fd, name, dir_fd, old);
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        rc = err_set(err, -errno, "%s/log/%s: %s", h->path, name, strerror(errno));
    else
        *ret_fd = fd;
    close(dir_fd);
    return rc;
}
