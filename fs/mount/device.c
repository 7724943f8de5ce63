#include "fs/mount/device.h"

#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mount/pass_fd.h"
#include "proto/base/buf.h"

extern char **environ;

/* ---- the connection ---- */

static _Atomic uint64_t init_unique; /* of the FUSE_INIT that was read; 0: answered, or none yet */
static _Atomic uint32_t offered;     /* of the flags below, by the kernel */
static _Thread_local bool kills_suid, kills_sgid;

/* What libfuse does not know of. */
static const uint32_t our_flags = FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT;

/* With FUSE_SETXATTR_EXT a request has a longer head than libfuse expects: it is cut. */
static ssize_t shorten_setxattr(uint8_t *p, ssize_t n)
{
    struct fuse_in_header h;
    struct fuse_setxattr_in in;
    size_t at = sizeof h + FUSE_COMPAT_SETXATTR_IN_SIZE, end = sizeof h + sizeof in;
    memcpy(&h, p, sizeof h);
    kills_sgid = h.uid != 0; /* where the kernel does not say */
    if ((atomic_load(&offered) & FUSE_SETXATTR_EXT) == 0 || (size_t)n < end)
        return n;
    memcpy(&in, p + sizeof h, sizeof in);
    kills_sgid = (in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
    memmove(p + at, p + end, (size_t)n - end);
    n -= (ssize_t)(end - at);
    h.len = (uint32_t)n;
    memcpy(p, &h, sizeof h);
    return n;
}

static ssize_t device_read(int fd, void *p, size_t n, void *userdata)
{
    (void)userdata;
    ssize_t got = read(fd, p, n);
    struct fuse_in_header h;
    if (got < (ssize_t)(sizeof h + 16)) /* up to and with the flags of FUSE_INIT */
        return got;
    memcpy(&h, p, sizeof h);
    if (h.opcode == FUSE_INIT) {
        uint32_t flags;
        memcpy(&flags, (const uint8_t *)p + sizeof h + offsetof(struct fuse_init_in, flags),
               sizeof flags);
        atomic_store(&offered, flags & our_flags);
        atomic_store(&init_unique, h.unique);
    }
    return h.opcode == FUSE_SETXATTR ? shorten_setxattr(p, got) : got;
}

static ssize_t device_writev(int fd, struct iovec *iov, int n, void *userdata)
{
    (void)userdata;
    struct fuse_out_header h;
    uint64_t unique = atomic_load(&init_unique);
    if (unique != 0 && n >= 2 && iov[0].iov_len == sizeof h) {
        memcpy(&h, iov[0].iov_base, sizeof h);
        if (h.unique == unique && h.error == 0 &&
            iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
            struct fuse_init_out *out = iov[1].iov_base;
            out->flags |= atomic_load(&offered);
            atomic_store(&init_unique, 0);
        }
    }
    return writev(fd, iov, n);
}

static void want(struct fuse_conn_info *conn, unsigned caps, bool on)
{
    conn->want = on ? conn->want | (conn->capable & caps) : conn->want & ~caps;
}

void device_configure(struct fuse_conn_info *conn)
{
    want(conn,
         FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_EXPORT_SUPPORT |
             FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS |
             FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
             FUSE_CAP_ASYNC_DIO | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK,
         true);
    /*
     * Not the writeback cache: under it the kernel keeps sizes and times of its own, and would lose
     * what was written with this process. Locks are the kernel's own, within this machine. Requests
     * are read, not spliced: their bytes are looked at.
     */
    want(conn,
         FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
             FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_HANDLE_KILLPRIV |
             FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_POSIX_LOCKS,
         false);
    conn->max_write = DEVICE_WRITE_MAX;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = 1;
}

void device_look(const void *request, size_t n)
{
    struct fuse_in_header h;
    kills_suid = false;
    if (n < sizeof h)
        return;
    memcpy(&h, request, sizeof h);
    const uint8_t *body = (const uint8_t *)request + sizeof h;
    uint32_t flags = 0;
    size_t at;
    switch (h.opcode) {
    case FUSE_WRITE:
        at = offsetof(struct fuse_write_in, write_flags);
        break;
    case FUSE_SETATTR:
        at = offsetof(struct fuse_setattr_in, valid);
        break;
    case FUSE_OPEN:
        at = offsetof(struct fuse_open_in, open_flags);
        break;
    default:
        return;
    }
    if (n < sizeof h + at + sizeof flags)
        return;
    memcpy(&flags, body + at, sizeof flags);
    kills_suid = (h.opcode == FUSE_WRITE && (flags & FUSE_WRITE_KILL_SUIDGID) != 0) ||
                 (h.opcode == FUSE_SETATTR && (flags & FATTR_KILL_SUIDGID) != 0) ||
                 (h.opcode == FUSE_OPEN && (flags & FUSE_OPEN_KILL_SUIDGID) != 0);
}

bool device_kills_sgid(void)
{
    return kills_sgid;
}

bool device_kills_suid(void)
{
    return kills_suid;
}

/* ---- mounting ---- */

static int check_device(struct err *err)
{
    static const char advice[] = "load the module with 'modprobe fuse', or ask for access to it";
    struct stat st;
    if (stat("/dev/fuse", &st) < 0)
        return err_set(err, -ENODEV, "FUSE is not available: /dev/fuse: %s; %s", strerror(errno),
                       advice);
    if (!S_ISCHR(st.st_mode) || major(st.st_rdev) != 10 || minor(st.st_rdev) != 229)
        return err_set(err, -ENODEV, "FUSE is not available: /dev/fuse is not the FUSE device; %s",
                       advice);
    return 0;
}

static int mount_as_root(const char *folder, const char *options, int *ret_fd, struct err *err)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -ENODEV, "FUSE is not available: /dev/fuse: %s", strerror(errno));
    struct stat st;
    unsigned long flags = MS_NOSUID | MS_NODEV;
    CLEANUP(buf_fini) struct buf data = {0};
    char text[128];
    if (stat(folder, &st) < 0)
        st.st_mode = S_IFDIR;
    int n =
        snprintf(text, sizeof text, "fd=%d,rootmode=%o,user_id=%u,group_id=%u,default_permissions",
                 fd, st.st_mode & S_IFMT, getuid(), getgid());
    buf_put(&data, text, (size_t)n);
    char copy[512], *save = NULL;
    snprintf(copy, sizeof copy, "%s", options);
    for (char *o = strtok_r(copy, ",", &save); o != NULL; o = strtok_r(NULL, ",", &save)) {
        if (strcmp(o, "ro") == 0)
            flags |= MS_RDONLY;
        else if (strcmp(o, "noexec") == 0)
            flags |= MS_NOEXEC;
        else if (strcmp(o, "noatime") == 0)
            flags |= MS_NOATIME;
        else if (strcmp(o, "allow_other") == 0 || strcmp(o, "allow_root") == 0)
            buf_put(&data, ",allow_other", strlen(",allow_other"));
    }
    buf_put_u8(&data, 0);
    int rc = buf_status(&data);
    if (rc == 0 && mount("persist", folder, "fuse.persist", flags, data.p) < 0)
        rc = -errno;
    if (rc < 0) {
        close(fd);
        return err_set(err, rc, "mounting %s: %s", folder, strerror(-rc));
    }
    *ret_fd = fd;
    return 0;
}

static int mount_as_user(const char *folder, const char *options, int *ret_fd, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(err, -errno, "mounting %s: %s", folder, strerror(errno));
    char number[16], all[640];
    snprintf(number, sizeof number, "%d", pair[1]);
    snprintf(all, sizeof all, "default_permissions,nosuid,nodev,subtype=persist,fsname=persist%s%s",
             options[0] != '\0' ? "," : "", options);
    char program[] = "fusermount3", o[] = "-o", end[] = "--", where[4096];
    snprintf(where, sizeof where, "%s", folder);
    char *argv[] = {program, o, all, end, where, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    /* To itself: it stays open over the exec. */
    posix_spawn_file_actions_adddup2(&actions, pair[1], pair[1]);
    setenv("_FUSE_COMMFD", number, 1);
    pid_t pid;
    int rc = -posix_spawnp(&pid, program, &actions, NULL, argv, environ);
    unsetenv("_FUSE_COMMFD");
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    int fd = rc == 0 ? pass_fd_receive(pair[0]) : -1, status;
    close(pair[0]);
    if (rc < 0)
        return err_set(err, -ENODEV, "FUSE is not available: fusermount3: %s; install fuse3",
                       strerror(-rc));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (fd < 0)
        return err_set(err, -EPERM, "mounting %s: fusermount3 refused; the log says why", folder);
    *ret_fd = fd;
    return 0;
}

int device_mount(struct fuse_session *se, const char *folder, const char *options, struct err *err)
{
    static const struct fuse_custom_io io = {.writev = device_writev, .read = device_read};
    int fd = -1;
    int rc = check_device(err);
    if (rc == 0)
        rc = geteuid() == 0 ? mount_as_root(folder, options, &fd, err)
                            : mount_as_user(folder, options, &fd, err);
    if (rc < 0)
        return rc;
    rc = fuse_session_custom_io(se, &io, fd);
    if (rc != 0) {
        device_unmount(folder);
        close(fd);
        return err_set(err, -EIO, "handing the FUSE device to libfuse failed");
    }
    return 0;
}

void device_unmount(const char *folder)
{
    if (geteuid() == 0) {
        umount2(folder, MNT_DETACH);
        return;
    }
    char program[] = "fusermount3", u[] = "-uqz", end[] = "--", where[4096];
    snprintf(where, sizeof where, "%s", folder);
    char *argv[] = {program, u, end, where, NULL};
    pid_t pid;
    int status;
    if (posix_spawnp(&pid, program, NULL, NULL, argv, environ) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
}

void device_read_ahead(const char *folder)
{
    struct statx st;
    char path[64];
    if (statx(AT_FDCWD, folder, AT_STATX_DONT_SYNC, 0, &st) < 0)
        return;
    snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major,
             st.stx_dev_minor);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "4096", 4);
    (void)n; /* slower reading of big files, no more */
    close(fd);
}
