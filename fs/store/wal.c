#include "fs/store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/store/crc32c.h"
#include "fs/store/wal_priv.h"
#include "fs/store/xxh3.h"

enum {
    ALIGN_BYTES = 8,
    ZERO_BYTES = 64 << 10,
    /* More than the records that all segments can hold: none that a crash left behind has a number
     * that is given out after it. */
    SKIP = 1 << 24,
};

size_t wal_record_bytes(size_t batch_n)
{
    return (WAL_HEADER_BYTES + batch_n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

uint64_t wal_checksum(const uint8_t *header, struct bytes batch, uint64_t seed)
{
    return XXH3_64bits_withSeed(batch.p, batch.n,
                                XXH3_64bits_withSeed(header + 8, WAL_HEADER_BYTES - 8, seed));
}

int wal_record_read(struct bytes at, uint64_t seed, struct wal_record *ret)
{
    if (at.n < WAL_HEADER_BYTES)
        return -EBADMSG;
    size_t batch_n = get_u32(at.p + 24);
    if (get_u64(at.p + 8) == 0 || batch_n > at.n - WAL_HEADER_BYTES)
        return -EBADMSG;
    struct bytes batch = bytes_of(at.p + WAL_HEADER_BYTES, batch_n);
    if (get_u64(at.p) != wal_checksum(at.p, batch, seed))
        return -EBADMSG;
    *ret = (struct wal_record){.number = get_u64(at.p + 8),
                               .synced = get_u64(at.p + 16),
                               .batch = batch,
                               .n = wal_record_bytes(batch_n)};
    return 0;
}

static int write_all(int fd, const void *p, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        p = (const uint8_t *)p + done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return 0;
}

/* Zeros over all of it: blocks that were only reserved would be marked as written at each sync. */
static int fill(int fd)
{
    static const uint8_t zeros[ZERO_BYTES];
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < WAL_SEGMENT_BYTES; at += ZERO_BYTES)
        rc = write_all(fd, zeros, ZERO_BYTES, at);
    return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

int wal_segment_open(struct wal *w, size_t i, bool create)
{
    char name[24];
    snprintf(name, sizeof name, "%zu", i);
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_TRUNC : 0);
    int fd = openat(w->dir_fd, name, flags, 0600);
    if (fd < 0)
        return -errno;
    struct stat st;
    int rc = create ? fill(fd) : 0;
    if (rc == 0 && create && fsync(w->dir_fd) < 0)
        rc = -errno;
    if (rc == 0 && fstat(fd, &st) < 0)
        rc = -errno;
    struct segment *more = rc == 0 ? realloc(w->segments, (i + 1) * sizeof *more) : NULL;
    if (rc == 0 && more == NULL)
        rc = -ENOMEM;
    if (rc < 0) {
        close(fd);
        if (create)
            unlinkat(w->dir_fd, name, 0);
        return rc;
    }
    w->segments = more;
    w->segments[i] = (struct segment){.fd = fd, .size = (uint64_t)st.st_size};
    w->n = i + 1;
    return 0;
}

/* All that are there; a segment of the wrong size was being made when the power went. */
static int open_segments(struct wal *w)
{
    int rc = 0;
    while (rc == 0) {
        rc = wal_segment_open(w, w->n, false);
        if (rc == 0 && w->segments[w->n - 1].size < WAL_SEGMENT_BYTES) {
            close(w->segments[--w->n].fd);
            rc = wal_segment_open(w, w->n, true);
        }
    }
    return rc == -ENOENT ? 0 : rc;
}

static int open_dir(struct wal *w, const char *dir)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    w->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return w->dir_fd < 0 ? -errno : 0;
}

static int sync_all(struct wal *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (fdatasync(w->segments[i].fd) < 0)
            return -errno;
    return 0;
}

int wal_open(const char *dir, uint64_t seed, uint64_t after, wal_apply_fn *apply, void *arg,
             struct wal **ret, uint64_t *ret_next, struct err *err)
{
    struct wal *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    w->dir_fd = -1;
    w->seed = seed;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->sync_lock, NULL);
    int rc = open_dir(w, dir);
    if (rc == 0)
        rc = open_segments(w);
    if (rc == 0 && w->n == 0)
        rc = wal_segment_open(w, 0, true);
    if (rc == 0)
        rc = sync_all(w);
    if (rc < 0)
        err_set(err, rc, "the log: %s", strerror(-rc));
    uint64_t last = after;
    if (rc == 0)
        rc = wal_replay(w, after, apply, arg, &last, err);
    if (rc < 0) {
        wal_close(w, true);
        return rc;
    }
    *ret_next = last + SKIP + 1;
    atomic_store(&w->number, last + SKIP);
    atomic_store(&w->synced, last + SKIP);
    *ret = w;
    return 0;
}

void wal_close(struct wal *w, bool needed)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->n; i++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", i);
        close(w->segments[i].fd);
        if (!needed && i > 0)
            unlinkat(w->dir_fd, name, 0);
    }
    free(w->segments);
    if (w->dir_fd >= 0)
        close(w->dir_fd);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->sync_lock);
    free(w);
}

/* Goes to a segment that is not needed any more, or to a new one. */
static int next_segment(struct wal *w, uint64_t persisted)
{
    size_t i = 0;
    while (i < w->n && (i == w->current || w->segments[i].last > persisted))
        i++;
    int rc = i == w->n ? wal_segment_open(w, i, true) : 0;
    if (rc < 0)
        return rc;
    struct segment *s = &w->segments[i];
    if (s->size > WAL_SEGMENT_BYTES && ftruncate(s->fd, WAL_SEGMENT_BYTES) == 0)
        s->size = WAL_SEGMENT_BYTES;
    w->current = i;
    w->at = 0;
    return 0;
}

/* The current segment, with room for a record of @n bytes, which may make a new one longer. */
static int make_room(struct wal *w, size_t n, uint64_t (*persisted)(void *arg), void *arg)
{
    if (w->at + n <= WAL_SEGMENT_BYTES)
        return 0;
    uint64_t until = persisted(arg);
    pthread_mutex_lock(&w->lock);
    int rc = next_segment(w, until);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static void make_header(struct wal *w, uint8_t *header, struct bytes batch, uint64_t number)
{
    put_u64(header + 8, number);
    put_u64(header + 16, atomic_load(&w->synced));
    put_u32(header + 24, (uint32_t)batch.n);
    put_u32(header + 28, crc32c(0, batch));
    put_u64(header, wal_checksum(header, batch, w->seed));
}

int wal_append(struct wal *w, struct bytes batch, uint64_t (*persisted)(void *arg), void *arg,
               uint64_t *ret_number)
{
    if (batch.n > UINT32_MAX)
        return -EFBIG;
    size_t n = wal_record_bytes(batch.n);
    int rc = make_room(w, n, persisted, arg);
    if (rc < 0)
        return rc;
    struct segment *s = &w->segments[w->current];
    uint64_t number = atomic_load(&w->number) + 1;
    uint8_t header[WAL_HEADER_BYTES];
    make_header(w, header, batch, number);
    struct iovec v[2] = {{.iov_base = header, .iov_len = sizeof header},
                         {.iov_base = (void *)(uintptr_t)batch.p, .iov_len = batch.n}};
    ssize_t done = pwritev(s->fd, v, 2, (off_t)w->at);
    if (done < 0)
        return -errno;
    if ((size_t)done != sizeof header + batch.n)
        return -ENOSPC;
    pthread_mutex_lock(&w->lock);
    s->last = number;
    s->size = max_u64(s->size, w->at + n);
    w->before = w->at;
    w->at += n;
    atomic_store(&w->number, number);
    pthread_mutex_unlock(&w->lock);
    *ret_number = number;
    return 0;
}

int wal_undo(struct wal *w)
{
    static const uint8_t nothing[WAL_HEADER_BYTES];
    struct segment *s = &w->segments[w->current];
    int rc = write_all(s->fd, nothing, sizeof nothing, w->before);
    if (rc < 0)
        return rc;
    /* A sync may have been in between: the next record has this number again, and is not synced. */
    pthread_mutex_lock(&w->sync_lock);
    pthread_mutex_lock(&w->lock);
    s->last--;
    w->at = w->before;
    uint64_t number = atomic_fetch_sub(&w->number, 1) - 1;
    atomic_store(&w->synced, min_u64(atomic_load(&w->synced), number));
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_unlock(&w->sync_lock);
    return 0;
}

/* The descriptors of the segments that hold records after @after; -1: not this one. */
static int *to_sync(struct wal *w, uint64_t after, size_t *ret_n, uint64_t *ret_number)
{
    pthread_mutex_lock(&w->lock);
    int *fds = malloc(w->n * sizeof *fds);
    for (size_t i = 0; fds != NULL && i < w->n; i++)
        fds[i] = w->segments[i].last > after ? w->segments[i].fd : -1;
    *ret_n = w->n;
    *ret_number = atomic_load(&w->number);
    pthread_mutex_unlock(&w->lock);
    return fds;
}

int wal_sync(struct wal *w)
{
    uint64_t want = atomic_load(&w->number), number;
    pthread_mutex_lock(&w->sync_lock);
    int rc = w->failed;
    uint64_t synced = atomic_load(&w->synced);
    if (rc == 0 && synced < want) { /* else another thread's sync was in time for this one */
        size_t n;
        int *fds = to_sync(w, synced, &n, &number);
        rc = fds == NULL ? -ENOMEM : 0;
        for (size_t i = 0; rc == 0 && i < n; i++)
            if (fds[i] >= 0 && fdatasync(fds[i]) < 0)
                rc = -errno;
        free(fds);
        if (rc == 0)
            atomic_store(&w->synced, number);
        else
            w->failed = rc;
    }
    pthread_mutex_unlock(&w->sync_lock);
    return rc;
}
