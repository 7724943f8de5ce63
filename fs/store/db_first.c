/* What is looked at before RocksDB opens a database, and what is said when it cannot be opened. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/store/db_priv.h"
#include "fs/store/rocks.h"

/* The process that holds RocksDB's lock file, or 0. */
static long lock_holder(const char *dir)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/LOCK", dir) >= (int)sizeof path)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    long pid = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? (long)lock.l_pid : 0;
    close(fd);
    return pid;
}

int db_open_error(int code, const char *dir, struct err *err)
{
    char why[120];
    snprintf(why, sizeof why, "%.*s", (int)sizeof why - 1, err != NULL ? err->msg : "");
    switch (code) {
    case -EBUSY:
        return err_set(err, code,
                       "database %s is in use by process %ld; unmount the folder, or wait until "
                       "that command has ended",
                       dir, lock_holder(dir));
    case -EUCLEAN:
        return err_set(err, code,
                       "database %s is damaged: %s; restore it from a copy, or clone the "
                       "folder again",
                       dir, why);
    case -EACCES:
        return err_set(err, code, "database %s: permission denied; check its owner and mode", dir);
    case -ENOSPC:
        return err_set(err, code, "database %s: no space left; free some space on that disk", dir);
    case -ENOENT:
        return err_set(err, code, "no database in %s", dir);
    default:
        return err_set(err, code, "opening database %s: %s", dir, why);
    }
}

/*
 * The format is in a file of its own, so that a database of another one is refused before RocksDB,
 * in opening it, writes to it.
 */
static int write_format(const char *dir)
{
    char path[PATH_MAX], text[16];
    if (snprintf(path, sizeof path, "%s/FORMAT", dir) >= (int)sizeof path)
        return -ENAMETOOLONG;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    int n = snprintf(text, sizeof text, "%d\n", DB_FORMAT);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = fd >= 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0 ? 0 : -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int check_format(const char *dir, struct err *err)
{
    char path[PATH_MAX], text[16] = "";
    if (snprintf(path, sizeof path, "%s/FORMAT", dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "path of the database is too long: %s", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (fd < 0 && e != ENOENT)
        return db_open_error(-e, dir, err);
    char *end;
    unsigned long format = strtoul(text, &end, 10);
    if (n <= 0 || format == 0 || *end != '\n')
        return err_set(err, -EUCLEAN,
                       "database %s has no valid format number: it is damaged; restore it from a "
                       "copy, or clone the folder again",
                       dir);
    if (format > DB_FORMAT)
        return err_set(
            err, -ENOTSUP,
            "database %s has format %lu, this program knows up to %d; use a newer persist", dir,
            format, DB_FORMAT);
    if (format < DB_FORMAT) /* no release had it */
        return err_set(err, -ENOTSUP,
                       "database %s was made by a test version of persist, and cannot be read: "
                       "export the folder with that version, or 'persist forget' it",
                       dir);
    return 0;
}

/* An entry that is damaged in a way that RocksDB takes for the end of the list. */
static int check_list(const char *dir, struct err *err)
{
    struct stat st;
    struct rocks_fault fault;
    bool torn;
    CLEANUP(buf_fini) struct buf list = {0};
    int fd = db_list_open(dir);
    if (fd < 0)
        return 0; /* RocksDB will say why */
    int rc = fstat(fd, &st) < 0 ? -errno : buf_resize(&list, (size_t)st.st_size);
    if (rc == 0 && pread(fd, list.p, list.n, 0) != (ssize_t)list.n)
        rc = -EIO;
    close(fd);
    if (rc == 0)
        rc = rocks_list(buf_bytes(&list), &torn, &fault);
    if (rc == -EUCLEAN)
        err_set(err, rc, "the list of its files has a damaged entry at %llu",
                (unsigned long long)fault.at);
    return rc < 0 ? db_open_error(rc, dir, err) : 0;
}

static int check_table(int dir_fd, const char *name, const char *dir, struct err *err)
{
    enum { END = 64 << 10 }; /* the properties are the last block but one */
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0; /* RocksDB will say why */
    bool fine = fstat(fd, &st) == 0 && st.st_size > 0;
    size_t size = fine ? (size_t)st.st_size : 0, from = size > END ? size - END : 0;
    uint8_t *p = fine ? calloc(1, size) : NULL; /* what is not read takes no memory */
    bool aborts = p != NULL &&
                  pread(fd, p + from, size - from, (off_t)from) == (ssize_t)(size - from) &&
                  rocks_table_aborts(bytes_of(p, size));
    free(p);
    close(fd);
    if (!aborts)
        return 0;
    err_set(err, -EUCLEAN, "the properties of its file %s do not hold", name);
    return db_open_error(-EUCLEAN, dir, err);
}

static int check_tables(const char *dir, struct err *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int rc = 0;
    while (rc == 0 && d != NULL && (e = readdir(d)) != NULL) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot != NULL && strcmp(dot, ".sst") == 0)
            rc = check_table(dirfd(d), e->d_name, dir, err);
    }
    if (d != NULL)
        closedir(d);
    return rc;
}

/* For RocksDB's new files of each opening: without room for them it ends the process. */
static int check_room(const char *dir, struct err *err)
{
    enum { OPEN_BYTES = 4 << 20 };
    struct statvfs v;
    int rc = statvfs(dir, &v) < 0 ? -errno : 0;
    if (rc == 0 && (uint64_t)v.f_bavail * v.f_frsize < OPEN_BYTES)
        rc = -ENOSPC;
    return rc < 0 ? db_open_error(rc, dir, err) : 0;
}

int db_look_first(const char *dir, const struct db_config *cfg, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (lstat(dir, &st) == 0 && !S_ISDIR(st.st_mode)) /* RocksDB would follow a link */
        return err_set(err, -ENOTDIR, "database %s: is not a directory; put it back there", dir);
    if (snprintf(path, sizeof path, "%s/CURRENT", dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "path of the database is too long: %s", dir);
    if (access(path, R_OK) == 0) {
        int rc = check_format(dir, err);
        if (rc == 0)
            rc = check_list(dir, err);
        if (rc == 0)
            rc = check_tables(dir, err);
        return rc == 0 ? check_room(dir, err) : rc;
    }
    if (errno != ENOENT)
        return db_open_error(-errno, dir, err);
    int rc = cfg->create ? write_format(dir) : -ENOENT;
    return rc < 0 ? db_open_error(rc, dir, err) : 0;
}
