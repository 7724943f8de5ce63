#include "fs/store/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_BITS = 38, FILES_MAX = 1024, RUN_BYTES = 4 << 20 };
#define FILE_BYTES (UINT64_C(1) << FILE_BITS)

struct packs {
    int dir_fd;
    pthread_mutex_t lock; /* of what follows */
    uint64_t end;
    uint64_t run; /* from here on nothing is on its way to the disk yet */
    struct pack_writer *writers;
    _Atomic int fds[FILES_MAX]; /* -1: not open yet */
    pthread_mutex_t sync_lock;  /* of the next one; taken before lock */
    uint64_t lost_to;           /* of what was written up to here some did not reach the disk */
};

int packs_open(int dir_fd, uint64_t end, struct packs **ret)
{
    struct packs *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->dir_fd = dir_fd;
    p->end = p->run = end;
    for (size_t i = 0; i < FILES_MAX; i++)
        atomic_init(&p->fds[i], -1);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->sync_lock, NULL);
    *ret = p;
    return 0;
}

void packs_close(struct packs *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < FILES_MAX; i++)
        if (atomic_load(&p->fds[i]) >= 0)
            close(atomic_load(&p->fds[i]));
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->sync_lock);
    free(p);
}

static int open_file(const struct packs *p, uint64_t number)
{
    char name[32];
    snprintf(name, sizeof name, "chunks-%04u.pack", (unsigned)number);
    if (p->dir_fd < 0) {
        int fd = memfd_create(name, MFD_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    int fd = openat(p->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        fd = openat(p->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && fsync(p->dir_fd) < 0) {
            int rc = -errno;
            close(fd);
            return rc;
        }
    }
    return fd < 0 ? -errno : fd;
}

/* The file with an address, or a negative errno. */
static int file_at(struct packs *p, uint64_t place)
{
    uint64_t number = place >> FILE_BITS;
    if (number >= FILES_MAX)
        return -EFBIG;
    int fd = atomic_load(&p->fds[number]);
    if (fd >= 0)
        return fd;
    pthread_mutex_lock(&p->lock);
    fd = atomic_load(&p->fds[number]);
    if (fd < 0)
        fd = open_file(p, number);
    if (fd >= 0)
        atomic_store(&p->fds[number], fd);
    pthread_mutex_unlock(&p->lock);
    return fd;
}

static off_t offset_of(uint64_t place)
{
    return (off_t)(place & (FILE_BYTES - 1));
}

static uint64_t page_up(uint64_t at)
{
    return (at + PACK_PAGE - 1) / PACK_PAGE * PACK_PAGE;
}

/* Under the lock. Only its own writer goes on in a page; no chunk is in two files. */
static uint64_t take_place(struct packs *p, struct pack_writer *w, size_t phase, size_t n)
{
    uint64_t place = p->end;
    if (w->from == w->end || w->end != p->end || place % PACK_PAGE != phase)
        place = page_up(place) + phase;
    if (place >> FILE_BITS != (place + n - 1) >> FILE_BITS)
        place = ((place >> FILE_BITS) + 1) << FILE_BITS;
    if (w->from == w->end) {
        w->from = place;
        w->next = p->writers;
        p->writers = w;
    }
    p->end = w->end = place + n;
    return place;
}

/*
 * A long run goes to the disk while more is written. Else gigabytes are there at once when the
 * kernel begins, and a sync of something small waits for them.
 */
static void send_run(struct packs *p, int fd, uint64_t from, uint64_t end)
{
    if (p->dir_fd >= 0 && from < end && from >> FILE_BITS == end >> FILE_BITS)
        sync_file_range(fd, offset_of(from), (off_t)(end - from), SYNC_FILE_RANGE_WRITE);
}

int pack_append(struct packs *p, struct pack_writer *w, size_t phase, struct bytes data,
                uint64_t *ret_place)
{
    pthread_mutex_lock(&p->lock);
    uint64_t place = take_place(p, w, phase % PACK_PAGE, data.n), run = place;
    if (place - p->run >= RUN_BYTES) {
        run = p->run;
        p->run = place;
    }
    pthread_mutex_unlock(&p->lock);
    int fd = file_at(p, place);
    if (fd < 0)
        return fd;
    for (size_t done = 0; done < data.n;) {
        ssize_t k = pwrite(fd, data.p + done, data.n - done, offset_of(place) + (off_t)done);
        if (k < 0 && errno != EINTR)
            return -errno;
        done += k > 0 ? (size_t)k : 0;
    }
    send_run(p, fd, run, place);
    *ret_place = place;
    return 0;
}

static int sync_files(struct packs *p, const struct pack_writer *w)
{
    for (uint64_t n = w->from >> FILE_BITS; n <= (w->end - 1) >> FILE_BITS; n++) {
        int fd = file_at(p, n << FILE_BITS);
        if (fd < 0 || fdatasync(fd) < 0)
            return fd < 0 ? fd : -errno;
    }
    return 0;
}

/* What the disk does not take the kernel says once, to whoever syncs first, of whosever bytes. */
int pack_sync(struct packs *p, struct pack_writer *w)
{
    if (w->from == w->end || p->dir_fd < 0)
        return 0;
    pthread_mutex_lock(&p->sync_lock);
    int rc = sync_files(p, w);
    if (rc < 0) {
        pthread_mutex_lock(&p->lock);
        p->lost_to = p->end;
        pthread_mutex_unlock(&p->lock);
    } else if (w->from < p->lost_to) {
        rc = -EIO;
    }
    pthread_mutex_unlock(&p->sync_lock);
    return rc;
}

void pack_done(struct packs *p, struct pack_writer *w)
{
    if (w->from == w->end)
        return;
    pthread_mutex_lock(&p->lock);
    struct pack_writer **at = &p->writers;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    pthread_mutex_unlock(&p->lock);
    *w = (struct pack_writer){0};
}

int pack_read(struct packs *p, uint64_t place, void *to, size_t n)
{
    int fd = file_at(p, place);
    if (fd < 0)
        return fd == -EFBIG ? -EUCLEAN : fd;
    for (size_t done = 0; done < n;) {
        ssize_t k = pread(fd, (uint8_t *)to + done, n - done, offset_of(place) + (off_t)done);
        if (k == 0)
            return -EUCLEAN;
        if (k < 0 && errno != EINTR)
            return -errno;
        done += k > 0 ? (size_t)k : 0;
    }
    return 0;
}

void pack_will_read(struct packs *p, uint64_t place, size_t n)
{
    int fd = file_at(p, place);
    if (fd >= 0)
        (void)posix_fadvise(fd, offset_of(place), (off_t)n, POSIX_FADV_WILLNEED);
}

uint64_t pack_settled(struct packs *p)
{
    pthread_mutex_lock(&p->lock);
    uint64_t settled = p->end;
    for (const struct pack_writer *w = p->writers; w != NULL; w = w->next)
        settled = min_u64(settled, w->from);
    pthread_mutex_unlock(&p->lock);
    return settled;
}

/* One file's part. */
static int punch_file(struct packs *p, uint64_t from, uint64_t end)
{
    int fd = file_at(p, from);
    if (fd < 0)
        return fd;
    /* Most of what is free was given back before. */
    off_t at = offset_of(from), data = lseek(fd, at, SEEK_DATA);
    if (data < 0 || data >= at + (off_t)(end - from))
        return data < 0 && errno != ENXIO ? -errno : 0;
    int rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)(end - from));
    /* Without room for its own list of what is where, the file system does it the next time. */
    return rc == 0 || errno == ENOSPC ? 0 : -errno;
}

int pack_punch(struct packs *p, uint64_t from, uint64_t end)
{
    int rc = 0;
    from = page_up(from);
    end = end / PACK_PAGE * PACK_PAGE;
    while (rc == 0 && from < end) {
        uint64_t part = min_u64(end, ((from >> FILE_BITS) + 1) << FILE_BITS);
        rc = punch_file(p, from, part);
        from = part;
    }
    return rc;
}
