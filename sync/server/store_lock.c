/* The file `pid` of a data directory: says, by a lock and not by its number, which process lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sync/server/store_priv.h"

static long read_pid(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static int write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    errno = EIO; /* of a short write */
    return ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n ? -errno : 0;
}

int srv_store_lock(int dir_fd, const char *dir, int *ret_fd, struct err *err)
{
    int fd = openat(dir_fd, "pid", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, -errno, "%s/pid: %s", dir, strerror(errno));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = 0;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        rc = errno == EAGAIN || errno == EACCES
                 ? err_set(err, -EBUSY,
                           "%s: is served by process %ld already; end that one first, or give "
                           "another --data",
                           dir, read_pid(fd))
                 : err_set(err, -errno, "%s/pid: %s", dir, strerror(errno));
    /* The number is for people; a full disk must not keep a server from its data. */
    if (rc == 0 && write_pid(fd) < 0 && errno != ENOSPC)
        rc = err_set(err, -errno, "%s/pid: %s", dir, strerror(errno));
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
