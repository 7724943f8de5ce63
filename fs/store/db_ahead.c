/* Reading a family's tables before rows here and there of them are. */
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/db_priv.h"

enum {
    AHEAD_BYTES_MAX = 16 << 20, /* at a time; more would push out what is in use */
    AHEAD_AGAIN_S = 5,
};

/* Once in some seconds, whoever asks. */
static bool is_due(struct db *db, enum db_cf cf)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t s = (uint64_t)now.tv_sec,
             last = atomic_load_explicit(&db->ahead_s[cf], memory_order_relaxed);
    return (last == 0 || s - last >= AHEAD_AGAIN_S) &&
           atomic_compare_exchange_strong(&db->ahead_s[cf], &last, s);
}

void db_read_ahead(struct db *db, enum db_cf cf)
{
    if (db->dir_fd < 0 || !is_due(db, cf))
        return;
    const rocksdb_livefiles_t *l = rocksdb_livefiles(db->rocks);
    size_t left = AHEAD_BYTES_MAX;
    for (int i = 0; i < rocksdb_livefiles_count(l) && left > 0; i++) {
        if (db_family(rocksdb_livefiles_column_family_name(l, i)) != cf)
            continue;
        size_t n = min_u64(rocksdb_livefiles_size(l, i), left);
        int fd =
            openat(db->dir_fd, rocksdb_livefiles_name(l, i) + 1, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue; /* merged into another one meanwhile */
        (void)posix_fadvise(fd, 0, (off_t)n, POSIX_FADV_WILLNEED);
        close(fd);
        left -= n;
    }
    rocksdb_livefiles_destroy(l);
}
