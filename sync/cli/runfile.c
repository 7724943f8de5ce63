#include "sync/cli/runfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *runfile_name(const struct space_entry *e, const char *suffix,
                         char to[RUNFILE_NAME_SIZE])
{
    snprintf(to, RUNFILE_NAME_SIZE, "mount-%s%s", e->name, suffix);
    return to;
}

static pid_t read_pid(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    long pid = strtol(text, NULL, 10);
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int open_file(int run_fd, const char *name, int flags)
{
    return openat(run_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

/* Whether the locked file is still the one of that name: the last owner may have removed it. */
bool runfile_is_current(int run_fd, const char *name, int fd)
{
    struct stat here;
    struct stat there;
    return fstat(fd, &here) == 0 && fstatat(run_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           here.st_ino == there.st_ino && here.st_dev == there.st_dev;
}

static int write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return errno != 0 ? -errno : -EIO;
    return 0;
}

int runfile_take_named(int run_fd, const char *name, const char *what, int *ret_fd, struct err *err)
{
    for (;;) {
        int fd = open_file(run_fd, name, O_RDWR | O_CREAT);
        if (fd < 0)
            return err_set(err, -errno, "%s: %s", name, strerror(errno));
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
            bool held = errno == EAGAIN || errno == EACCES;
            int rc = held ? err_set(err, -EBUSY,
                                    "%s: is served by process %ld already; wait until it has ended",
                                    what, (long)read_pid(fd))
                          : err_set(err, -errno, "%s: %s", name, strerror(errno));
            close(fd);
            return rc;
        }
        if (runfile_is_current(run_fd, name, fd)) {
            int rc = write_pid(fd);
            if (rc < 0) {
                close(fd);
                return err_set(err, rc, "%s: %s", name, strerror(-rc));
            }
            *ret_fd = fd;
            return 0;
        }
        close(fd);
    }
}

void runfile_release_named(int run_fd, const char *name, int fd)
{
    if (runfile_is_current(run_fd, name, fd))
        unlinkat(run_fd, name, 0);
    close(fd);
}

int runfile_owner_named(int run_fd, const char *name, pid_t *ret_pid, struct err *err)
{
    int fd = open_file(run_fd, name, O_RDWR);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", name, strerror(errno));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = fcntl(fd, F_OFD_GETLK, &lock) < 0
                 ? err_set(err, -errno, "%s: %s", name, strerror(errno))
                 : lock.l_type != F_UNLCK;
    if (rc == 1)
        *ret_pid = read_pid(fd);
    close(fd);
    return rc;
}

int runfile_take(int run_fd, const struct space_entry *e, int *ret_fd, struct err *err)
{
    char name[RUNFILE_NAME_SIZE];
    return runfile_take_named(run_fd, runfile_name(e, ".pid", name), e->folder, ret_fd, err);
}

void runfile_release(int run_fd, const struct space_entry *e, int fd)
{
    char name[RUNFILE_NAME_SIZE];
    runfile_release_named(run_fd, runfile_name(e, ".pid", name), fd);
}

int runfile_owner(int run_fd, const struct space_entry *e, pid_t *ret_pid, struct err *err)
{
    char name[RUNFILE_NAME_SIZE];
    return runfile_owner_named(run_fd, runfile_name(e, ".pid", name), ret_pid, err);
}
