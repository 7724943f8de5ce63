/* What was seen of the files of a mirror, in memory and in a file of the state directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "fs/space/mirror_priv.h"
#include "proto/base/log.h"

enum { FORMAT = 1, HEAD = 16 /* format, and the sum of the rest */, STORE_MS = 60000 };

static const char file_name[] = "mirror", new_name[] = "mirror.new";

static int read_all(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = read(fd, p, n);
        if (k <= 0)
            return -EIO;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static int load(struct mirror *m, int fd)
{
    struct stat st;
    uint8_t head[HEAD];
    if (fstat(fd, &st) < 0 || st.st_size < HEAD ||
        (st.st_size - HEAD) % (off_t)sizeof(struct seen) || read_all(fd, head, sizeof head) < 0 ||
        get_u64(head) != FORMAT)
        return -EBADMSG;
    int rc = buf_resize(&m->seen, (size_t)st.st_size - HEAD);
    if (rc == 0)
        rc = read_all(fd, m->seen.p, m->seen.n);
    if (rc == 0 && XXH3_64bits(m->seen.p, m->seen.n) != get_u64(head + 8))
        rc = -EBADMSG;
    return rc;
}

void mirror_seen_load(struct mirror *m)
{
    int fd = openat(m->cfg.state_fd, file_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (load(m, fd) < 0)
        buf_reset(&m->seen);
    close(fd);
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0)
            return -errno;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static int store(const struct mirror *m)
{
    uint8_t head[HEAD];
    int dir = m->cfg.state_fd;
    put_u64(head, FORMAT);
    put_u64(head + 8, XXH3_64bits(m->seen.p, m->seen.n));
    int fd = openat(dir, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = write_all(fd, head, sizeof head);
    if (rc == 0)
        rc = write_all(fd, m->seen.p, m->seen.n);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    close(fd);
    if (rc == 0 && renameat(dir, new_name, dir, file_name) < 0)
        rc = -errno;
    return rc;
}

void mirror_seen_store(struct mirror *m, bool now)
{
    uint64_t ms = space_now_ms();
    if (!now && ms < m->written_ms + STORE_MS)
        return;
    m->written_ms = ms;
    int rc = store(m);
    if (rc < 0)
        log_warn("mirror: what was seen is not kept: %s", strerror(-rc));
}

uint64_t mirror_seen_key(uint64_t dir, struct bytes name)
{
    return XXH3_64bits_withSeed(name.p, name.n, dir);
}

static int by_key(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

const struct seen *mirror_seen_find(const struct mirror *m, uint64_t key)
{
    const struct seen want = {.key = key};
    size_t n = m->seen.n / sizeof want;
    return n == 0 ? NULL : bsearch(&want, m->seen.p, n, sizeof want, by_key);
}

void mirror_seen_turn(struct mirror *m)
{
    struct buf old = m->seen;
    m->seen = m->now;
    m->now = old;
    buf_reset(&m->now);
    if (buf_status(&m->seen) < 0)
        buf_reset(&m->seen);
    else if (m->seen.n > 0)
        qsort(m->seen.p, m->seen.n / sizeof(struct seen), sizeof(struct seen), by_key);
}
