/*
 * How much may still be written. The database needs room to go on (logs, merging of tables), so a
 * full disk is told to the writer before the database meets it; deleting is possible all the time.
 */
#include <errno.h>
#include <sys/statvfs.h>

#include "fs/tree/data.h"

enum {
    RESERVE_BYTES = 96 << 20, /* kept free; on a small disk a quarter of it */
    RESERVE_SHARE = 4,
    PLENTY_BYTES = 512 << 20, /* with so much, the database needs not be asked what it wants */
    WAITS = 1000,             /* for the end of merges of the database's tables: 10 s at most */
    CHECK_MS = 1000,          /* the disk is asked at least this often, */
    CHECK_BYTES = 8 << 20,    /* and before so much is written on one answer */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int ask(struct tree *t)
{
    struct statvfs v;
    if (fstatvfs(t->cfg.dir_fd, &v) < 0)
        return -errno;
    uint64_t total = (uint64_t)v.f_blocks * v.f_frsize, left = (uint64_t)v.f_bavail * v.f_frsize;
    uint64_t reserve = max_u64(min_u64(RESERVE_BYTES, total / RESERVE_SHARE),
                               left < PLENTY_BYTES ? db_room_kept(t->db, total) : 0);
    atomic_store(&t->room_left, left > reserve ? min_u64(left - reserve, CHECK_BYTES) : 0);
    atomic_store(&t->room_checked_ms, now_ms());
    return 0;
}

int tree_room(struct tree *t, uint64_t bytes)
{
    if (t->cfg.dir_fd < 0)
        return 0;
    uint64_t left = atomic_load(&t->room_left);
    if (left < bytes || now_ms() - atomic_load(&t->room_checked_ms) > CHECK_MS) {
        int rc = ask(t);
        if (rc < 0)
            return rc;
        left = atomic_load(&t->room_left);
        if (left < bytes && left < CHECK_BYTES && late_sync(t) == 0 && ask(t) == 0)
            left = atomic_load(&t->room_left);
        for (int i = 0; i < WAITS && left < bytes && left < CHECK_BYTES && db_room_wait(t->db); i++)
            if (ask(t) == 0)
                left = atomic_load(&t->room_left);
        /* One write larger than what is counted at a time: it is enough that there is any room. */
        if (left < bytes && left < CHECK_BYTES)
            return -ENOSPC;
    }
    while (!atomic_compare_exchange_weak(&t->room_left, &left, left > bytes ? left - bytes : 0))
        ;
    return 0;
}

int tree_usage(struct tree *t, struct tree_usage *ret)
{
    *ret = (struct tree_usage){.files = atomic_load(&t->files), .block_bytes = 4096};
    struct statvfs v;
    if (t->cfg.dir_fd < 0)
        return 0;
    if (fstatvfs(t->cfg.dir_fd, &v) < 0)
        return -errno;
    ret->block_bytes = v.f_frsize;
    ret->blocks = v.f_blocks;
    ret->free_blocks = v.f_bfree;
    ret->avail_blocks = v.f_bavail;
    ret->bytes = (uint64_t)v.f_blocks * v.f_frsize;
    ret->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}
