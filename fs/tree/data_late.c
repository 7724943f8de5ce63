/*
 * Staging files that nothing refers to any more. Each is removed once the batch that dropped it is
 * on disk: else the loss of power could bring back the file that refers to it, and not its bytes.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/tree/data.h"

enum { ENTRIES_MAX = 64, BYTES_MAX = 64 << 20 };

static void name_of(const uint8_t *entry, char name[STAGING_NAME_BYTES])
{
    file_staging_name(get_u64(entry), get_u32(entry + 8), name);
}

void late_add(struct tree *t, const struct buf *entries)
{
    if (entries->n == 0)
        return;
    uint64_t bytes = 0;
    for (size_t at = 0; at < entries->n; at += LATE_ENTRY_BYTES) {
        char name[STAGING_NAME_BYTES];
        struct stat st;
        name_of(entries->p + at, name);
        if (fstatat(t->staging_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    }
    pthread_mutex_lock(&t->late_lock);
    buf_put(&t->late, entries->p, entries->n); /* failing, the files wait for a recovery */
    t->late_bytes += bytes;
    pthread_mutex_unlock(&t->late_lock);
}

int late_sync(struct tree *t)
{
    pthread_mutex_lock(&t->late_lock);
    struct buf mine = t->late;
    uint64_t bytes = t->late_bytes;
    t->late = (struct buf){0};
    t->late_bytes = 0;
    pthread_mutex_unlock(&t->late_lock);
    int rc = db_sync(t->db);
    for (size_t at = 0; rc == 0 && at + LATE_ENTRY_BYTES <= mine.n; at += LATE_ENTRY_BYTES) {
        char name[STAGING_NAME_BYTES];
        name_of(mine.p + at, name);
        unlinkat(t->staging_fd, name, 0);
    }
    if (rc < 0 && mine.n > 0) {
        pthread_mutex_lock(&t->late_lock);
        buf_put(&t->late, mine.p, mine.n);
        t->late_bytes += bytes;
        pthread_mutex_unlock(&t->late_lock);
    }
    buf_fini(&mine);
    return rc;
}

/* When there is more than that. */
static void remove_more_than(struct tree *t, size_t entries, uint64_t bytes)
{
    pthread_mutex_lock(&t->late_lock);
    bool more = t->late.n > entries * LATE_ENTRY_BYTES || t->late_bytes > bytes;
    pthread_mutex_unlock(&t->late_lock);
    if (!more)
        return;
    int rc = late_sync(t);
    (void)rc; /* they stay noted */
}

void late_limit(struct tree *t)
{
    remove_more_than(t, ENTRIES_MAX, BYTES_MAX);
}

void tree_tidy(struct tree *t)
{
    remove_more_than(t, 0, 0);
}
