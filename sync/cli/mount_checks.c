#include "sync/cli/mount_checks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/cli/mounts.h"
#include "sync/cli/process.h"

/* A mount that answers "not connected" has lost its process. */
static int detach_dead(const char *folder, const char *shown, struct err *err)
{
    int rc = mounts_at(folder, err);
    if (rc < 0)
        return rc;
    if (rc != 2)
        return err_set(err, -EBUSY, "%s: is a dead mount of another program; unmount it first",
                       shown);
    rc = mounts_unmount(folder, true, err);
    return rc < 0 ? err_wrap(err, rc, "%s: the mount of a dead process cannot be removed", shown)
                  : 0;
}

static int check_directory(const char *folder, const char *shown, struct err *err)
{
    struct stat st;
    int rc = mounts_stat(folder, &st);
    /* Dead mounts can lie on each other. */
    for (int i = 0; rc == -ENOTCONN && i < 8; i++) {
        rc = detach_dead(folder, shown, err);
        if (rc < 0)
            return rc;
        rc = mounts_stat(folder, &st);
    }
    if (rc == -ENOENT)
        return err_set(err, rc, "%s: does not exist; make the directory first", shown);
    if (rc < 0)
        return err_set(err, rc, "%s: %s", shown, strerror(-rc));
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "%s: is not a directory; give one to mount on", shown);
    return 0;
}

int mount_checks_folder(const char *path, struct buf *ret_folder, struct err *err)
{
    char shown[200];
    int rc = resolve_path(path, true, ret_folder, err);
    if (rc < 0)
        return rc;
    const char *folder = (const char *)ret_folder->p;
    escape_to(shown, sizeof shown, bytes_str(folder));
    rc = check_directory(folder, shown, err);
    if (rc < 0)
        return rc;
    rc = mounts_at(folder, err);
    if (rc < 0)
        return rc;
    if (rc == 2)
        return err_set(err, -EBUSY, "%s: is mounted already; 'persist status' shows it", shown);
    struct buf around = {0};
    rc = mounts_around(folder, &around, err);
    if (rc == 1) {
        char outer[200];
        rc = err_set(err, -EBUSY, "%s: lies in the persist folder %s; choose a place outside",
                     shown, escape_to(outer, sizeof outer, bytes_str((const char *)around.p)));
    }
    buf_fini(&around);
    return rc;
}

int mount_checks_home(const struct home *h, const char *folder, struct err *err)
{
    struct buf home = {0};
    char shown[200];
    int rc = resolve_path(h->path, true, &home, err);
    escape_to(shown, sizeof shown, bytes_str(folder));
    if (rc == 0 && mounts_is_below((const char *)home.p, folder))
        rc = err_set(err, -EINVAL,
                     "%s: contains persist's own state (%s); choose another folder or PERSIST_HOME",
                     shown, h->path);
    if (rc == 0 && mounts_is_below(folder, (const char *)home.p))
        rc = err_set(err, -EINVAL, "%s: lies in persist's own state; choose another folder", shown);
    buf_fini(&home);
    return rc;
}

int mount_checks_has_files(const char *folder, struct err *err)
{
    char shown[200];
    escape_to(shown, sizeof shown, bytes_str(folder));
    DIR *d = opendir(folder);
    if (d == NULL)
        return err_set(err, -errno, "%s: %s", shown, strerror(errno));
    bool found = false;
    struct dirent *e;
    errno = 0;
    while (!found && (e = readdir(d)) != NULL)
        found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    int rc = !found && errno != 0 ? err_set(err, -errno, "%s: %s", shown, strerror(errno)) : found;
    closedir(d);
    return rc;
}

int mount_checks_fuse(struct err *err)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return err_set(err, -EACCES,
                       "FUSE: this user may not open /dev/fuse; ask the administrator for access");
    if (fd < 0)
        return err_set(err, -ENODEV, "FUSE: /dev/fuse: %s; load the kernel module (modprobe fuse)",
                       strerror(errno));
    close(fd);
    if (geteuid() != 0 && !process_find("fusermount3"))
        return err_set(err, -ENODEV,
                       "FUSE: fusermount3 is not installed; install the package fuse3");
    return 0;
}
