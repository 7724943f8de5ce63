/*
 * Room on the disk. RocksDB comes badly through a full one: when a table cannot be written to a
 * file, it takes no write any more. So a batch that might meet the end of the disk is refused.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sync/server/store_priv.h"

/* Kept free, or that part of a small disk. */
static const struct {
    uint64_t bytes, share;
} kept[] = {
    [SRV_BULK] = {256 << 20, 5}, [SRV_ORDINARY] = {128 << 20, 10}, [SRV_URGENT] = {16 << 20, 20}};

enum {
    ALL_IN_MEMORY = 128 << 20, /* more than tables in memory and merges of them ever take */
    LISTS_BYTES = 1 << 20,     /* what opening writes beside tables */
};

/* What the tables in memory need, too, to become files. */
static uint64_t in_memory(struct srv_store *s)
{
    uint64_t sum = 0, v = 0;
    for (int i = 0; i < SRV_FAMILY_N; i++)
        if (rocksdb_property_int_cf(s->rocks, s->family[i], "rocksdb.cur-size-all-mem-tables",
                                    &v) == 0)
            sum += v;
    return sum;
}

int srv_store_room(struct srv_store *s, size_t bytes, enum srv_urgency urgency)
{
    struct statvfs v;
    if (fstatvfs(s->dir_fd, &v) < 0)
        return -errno;
    uint64_t total = (uint64_t)v.f_blocks * v.f_frsize;
    uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
    uint64_t keep = min_u64(kept[urgency].bytes, total / kept[urgency].share) + bytes;
    if (room >= keep + ALL_IN_MEMORY)
        return 0;
    return room < keep + in_memory(s) ? -ENOSPC : 0;
}

/* The bytes of the logs in the directory @fd, which is closed. */
static int64_t log_bytes(int fd)
{
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    int64_t sum = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        const char *end = strrchr(e->d_name, '.');
        struct stat st;
        if (end != NULL && strcmp(end, ".log") == 0 && fstatat(fd, e->d_name, &st, 0) == 0)
            sum += st.st_size;
    }
    closedir(d);
    return sum;
}

int srv_store_room_to_open(struct srv_store *s)
{
    struct statvfs v;
    int fd = openat(s->dir_fd, "db", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t logs = fd < 0 ? (errno == ENOENT ? 0 : -errno) : log_bytes(fd);
    if (logs < 0)
        return (int)logs;
    if (fstatvfs(s->dir_fd, &v) < 0)
        return -errno;
    return (uint64_t)v.f_bavail * v.f_frsize < (uint64_t)logs + LISTS_BYTES ? -ENOSPC : 0;
}
