#include "fs/tree/attr.h"

#include <errno.h>

enum { FORMAT = 1, NSEC = 1000000000 };

enum {
    HAS_XATTR = 1,
    HAS_BASE = 2,
    BOUND = 4,
    DIRTY = 8,
    HALF = 16,
    UNSYNCED = 32,
    STAGING = 64,
    HAS_OVER = 128,
};

static void put_time(struct buf *out, const struct timespec *t)
{
    buf_put_u64(out, (uint64_t)t->tv_sec);
    buf_put_u32(out, (uint32_t)t->tv_nsec);
}

static struct timespec read_time(struct reader *r)
{
    struct timespec t = {.tv_sec = (time_t)reader_u64(r), .tv_nsec = (long)reader_u32(r)};
    if (t.tv_nsec >= NSEC)
        r->failed = true;
    return t;
}

void attr_encode(const struct attr *a, struct buf *out)
{
    unsigned flags = (a->has_xattr ? HAS_XATTR : 0U) | (a->has_base ? HAS_BASE : 0U) |
                     (a->bound ? BOUND : 0U) | (a->dirty ? DIRTY : 0U) | (a->half ? HALF : 0U) |
                     (a->unsynced ? UNSYNCED : 0U) | (a->staging != 0 ? STAGING : 0U) |
                     (a->has_over ? HAS_OVER : 0U);
    buf_put_u8(out, FORMAT);
    buf_put_u8(out, (uint8_t)flags);
    buf_put_u8(out, (uint8_t)a->data);
    buf_put_varint(out, a->mode);
    buf_put_varint(out, a->uid);
    buf_put_varint(out, a->gid);
    buf_put_varint(out, a->nlink);
    buf_put_varint(out, a->rdev);
    buf_put_varint(out, a->size);
    buf_put_varint(out, a->allocated);
    put_time(out, &a->atime);
    put_time(out, &a->mtime);
    put_time(out, &a->ctime);
    put_time(out, &a->btime);
    buf_put_varint(out, a->parent);
    buf_put_varint(out, a->changes);
    if (a->bound)
        buf_put(out, a->record, sizeof a->record);
    if (a->has_base) {
        buf_put(out, a->base.b, sizeof a->base.b);
        buf_put_varint(out, a->base_size);
    }
    if (a->staging != 0)
        buf_put_varint(out, a->staging);
    if (a->has_over)
        buf_put(out, a->over.b, sizeof a->over.b);
}

static uint32_t read_varint32(struct reader *r)
{
    uint64_t v = reader_varint(r);
    if (v > UINT32_MAX)
        r->failed = true;
    return (uint32_t)v;
}

static void read_fixed(struct reader *r, uint8_t *to, size_t n)
{
    struct bytes v = reader_bytes(r, n);
    if (v.n == n)
        memcpy(to, v.p, n);
}

int attr_decode(struct bytes v, uint64_t ino, struct attr *ret)
{
    struct reader r = reader_of(v);
    struct attr a = {.ino = ino};
    uint8_t format = reader_u8(&r);
    uint8_t flags = reader_u8(&r);
    uint8_t data = reader_u8(&r);
    a.mode = read_varint32(&r);
    a.uid = read_varint32(&r);
    a.gid = read_varint32(&r);
    a.nlink = read_varint32(&r);
    a.rdev = reader_varint(&r);
    a.size = reader_varint(&r);
    a.allocated = reader_varint(&r);
    a.atime = read_time(&r);
    a.mtime = read_time(&r);
    a.ctime = read_time(&r);
    a.btime = read_time(&r);
    a.parent = reader_varint(&r);
    a.changes = reader_varint(&r);
    a.has_xattr = (flags & HAS_XATTR) != 0;
    a.has_base = (flags & HAS_BASE) != 0;
    a.bound = (flags & BOUND) != 0;
    a.dirty = (flags & DIRTY) != 0;
    a.half = (flags & HALF) != 0;
    a.unsynced = (flags & UNSYNCED) != 0;
    a.has_over = (flags & HAS_OVER) != 0;
    if (a.bound)
        read_fixed(&r, a.record, sizeof a.record);
    if (a.has_base) {
        read_fixed(&r, a.base.b, sizeof a.base.b);
        a.base_size = reader_varint(&r);
    }
    if ((flags & STAGING) != 0)
        a.staging = read_varint32(&r);
    if (a.has_over)
        read_fixed(&r, a.over.b, sizeof a.over.b);
    if (reader_end(&r) < 0 || format != FORMAT || data > ATTR_DATA_VERSION)
        return -EBADMSG;
    a.data = (enum attr_data)data;
    *ret = a;
    return 0;
}

void attr_stat(const struct attr *a, struct stat *ret)
{
    *ret = (struct stat){
        .st_ino = a->ino,
        .st_mode = a->mode,
        .st_uid = a->uid,
        .st_gid = a->gid,
        .st_nlink = a->nlink,
        .st_rdev = a->rdev,
        .st_size = (off_t)a->size,
        .st_blksize = 4096,
        .st_blocks = (blkcnt_t)(a->allocated / 512),
        .st_atim = a->atime,
        .st_mtim = a->mtime,
        .st_ctim = a->ctime,
    };
}

struct timespec attr_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t;
}

int attr_time_cmp(const struct timespec *a, const struct timespec *b)
{
    if (a->tv_sec != b->tv_sec)
        return a->tv_sec < b->tv_sec ? -1 : 1;
    return (a->tv_nsec > b->tv_nsec) - (a->tv_nsec < b->tv_nsec);
}
