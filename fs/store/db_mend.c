/*
 * The tail of RocksDB's list of files after a loss of power: a file system may have kept the new
 * length of the list, but zeros instead of the last bytes. RocksDB passes over an entry that ends
 * too early, as it was never synced, but takes one that ends in zeros for damage. So the zeros are
 * cut off.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/db_priv.h"
#include "proto/base/log.h"

int db_list_open(const char *dir)
{
    char path[PATH_MAX], name[64] = "";
    if (snprintf(path, sizeof path, "%s/CURRENT", dir) >= (int)sizeof path)
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0 || strncmp(name, "MANIFEST-", 9) != 0 || strchr(name, '/') != NULL)
        return -1;
    name[strcspn(name, "\n")] = '\0';
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return -1;
    return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

/* Where the zeros begin that a file ends with. */
static off_t end_of_data(int fd, off_t size)
{
    uint8_t bytes[4096];
    while (size > 0) {
        off_t from = size > (off_t)sizeof bytes ? size - (off_t)sizeof bytes : 0;
        ssize_t n = pread(fd, bytes, (size_t)(size - from), from);
        if (n != size - from)
            return -1;
        for (; n > 0; n--, size--)
            if (bytes[n - 1] != 0)
                return size;
    }
    return 0;
}

bool db_mend(const char *dir)
{
    struct stat st;
    int fd = db_list_open(dir);
    if (fd < 0)
        return false;
    off_t end = fstat(fd, &st) < 0 ? -1 : end_of_data(fd, st.st_size);
    bool cut = end > 0 && end < st.st_size && ftruncate(fd, end) == 0 && fsync(fd) == 0;
    close(fd);
    if (cut)
        log_info("database: the list of files ended in zeros after a loss of power; cut dir=%s "
                 "bytes=%lld",
                 dir, (long long)(st.st_size - end));
    return cut;
}
