#include "sync/cli/mount_import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/escape.h"

enum { SIBLINGS_MAX = 1000 };

int mount_import_check(const char *folder, struct err *err)
{
    char shown[200];
    escape_to(shown, sizeof shown, bytes_str(folder));
    char *copy = strdup(folder);
    if (copy == NULL)
        return err_set(err, -ENOMEM, "import: out of memory");
    const char *parent = dirname(copy);
    struct stat here;
    struct stat above;
    int rc = 0;
    if (stat(folder, &here) < 0 || stat(parent, &above) < 0)
        rc = err_set(err, -errno, "%s: %s", shown, strerror(errno));
    else if (here.st_dev != above.st_dev)
        rc = err_set(err, -EXDEV,
                     "%s: is the root of a file system; move its files to a directory in it first",
                     shown);
    else if (access(parent, W_OK | X_OK) < 0 || access(folder, W_OK | X_OK) < 0)
        rc = err_set(err, -EACCES, "%s: the originals cannot be moved beside it: %s", shown,
                     strerror(errno));
    free(copy);
    return rc;
}

/* Makes FOLDER.before-persist, or the first free name with a number. */
static int make_sibling(const char *folder, struct buf *ret, struct err *err)
{
    struct stat st;
    if (stat(folder, &st) < 0)
        return err_set(err, -errno, "import: %s", strerror(errno));
    for (unsigned i = 1; i <= SIBLINGS_MAX; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, "-%u", i);
        buf_reset(ret);
        buf_put_bytes(ret, bytes_str(folder));
        buf_put_bytes(ret, bytes_str(".before-persist"));
        buf_put_bytes(ret, bytes_str(number));
        buf_put_u8(ret, 0);
        if (buf_status(ret) < 0)
            return err_set(err, -ENOMEM, "import: out of memory");
        if (mkdir((const char *)ret->p, 0700) == 0)
            return chmod((const char *)ret->p, st.st_mode & 07777) < 0
                       ? err_set(err, -errno, "import: %s", strerror(errno))
                       : 0;
        if (errno != EEXIST)
            break;
    }
    return err_set(err, -errno, "import: no directory for the originals: %s", strerror(errno));
}

/* Moves all entries; returns at the first that does not move. */
static int move_entries(int from_fd, int to_fd, struct err *err)
{
    int copy = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (d == NULL) {
        int rc = err_set(err, -errno, "import: %s", strerror(errno));
        if (copy >= 0)
            close(copy);
        return rc;
    }
    int rc = 0;
    bool more = true;
    /* A directory that shrinks while it is read may hide entries: until a walk finds none. */
    while (rc == 0 && more) {
        struct dirent *e;
        more = false;
        rewinddir(d);
        while (rc == 0 && (e = readdir(d)) != NULL) {
            char shown[100];
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                continue;
            more = true;
            if (renameat2(from_fd, e->d_name, to_fd, e->d_name, RENAME_NOREPLACE) < 0)
                rc = err_set(err, -errno, "import: '%s' cannot be moved: %s",
                             escape_to(shown, sizeof shown, bytes_str(e->d_name)), strerror(errno));
        }
    }
    closedir(d);
    return rc;
}

int mount_import_move(const char *folder, struct buf *ret, struct err *err)
{
    int rc = make_sibling(folder, ret, err);
    if (rc < 0)
        return rc;
    const char *sibling = (const char *)ret->p;
    int from_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int to_fd = open(sibling, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (from_fd < 0 || to_fd < 0)
        rc = err_set(err, -errno, "import: %s", strerror(errno));
    if (rc == 0)
        rc = move_entries(from_fd, to_fd, err);
    if (rc == 0 && (fsync(to_fd) < 0 || fsync(from_fd) < 0))
        rc = err_set(err, -errno, "import: %s", strerror(errno));
    if (rc < 0 && from_fd >= 0 && to_fd >= 0) {
        struct err back = {0};
        if (move_entries(to_fd, from_fd, &back) < 0)
            (void)err_wrap(err, rc, "a part of the originals is in %s", sibling);
        else
            rmdir(sibling);
    }
    if (from_fd >= 0)
        close(from_fd);
    if (to_fd >= 0)
        close(to_fd);
    return rc;
}
