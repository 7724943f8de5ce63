/*
 * A blob file is a header, records, and a footer. A record is a header with a CRC of itself and one
 * of what follows: key and value.
 */
#include <errno.h>
#include <unistd.h>

#include "fs/store/crc32c.h"
#include "fs/store/rocks.h"

enum {
    HEADER = 30, /* magic, version, family, flags, compression, two times */
    RECORD = 32, /* lengths of key and value, a time, two CRCs */
    FOOTER = 32, /* magic, number of records, two times, CRC */
    MAGIC = 2395959,
    VERSION = 1,
    PIECE = 256 << 10,
};

struct blobs {
    int fd;
    uint64_t at, end; /* end: where the footer begins */
    uint64_t n;
    struct rocks_fault *fault;
    uint8_t piece[PIECE];
};

static int fault(struct blobs *b, const char *what)
{
    *b->fault = (struct rocks_fault){.at = b->at, .what = what};
    return -EUCLEAN;
}

static int read_at(int fd, uint8_t *p, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t k = pread(fd, p, n, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -EIO;
        p += k;
        n -= (size_t)k;
        at += (uint64_t)k;
    }
    return 0;
}

/* The CRC of a part of the file. */
static int crc_of(struct blobs *b, uint64_t at, uint64_t n, uint32_t *ret)
{
    int rc = 0;
    for (*ret = 0; rc == 0 && n > 0;) {
        size_t k = (size_t)min_u64(n, PIECE);
        rc = read_at(b->fd, b->piece, k, at);
        *ret = crc32c(*ret, bytes_of(b->piece, k));
        at += k;
        n -= k;
    }
    return rc;
}

static int verify_header(struct blobs *b, uint32_t cf)
{
    uint8_t h[HEADER], want[HEADER] = {MAGIC & 0xff, MAGIC >> 8 & 0xff, MAGIC >> 16, 0, VERSION};
    for (unsigned i = 0; i < 4; i++)
        want[8 + i] = (uint8_t)(cf >> 8 * i);
    int rc = read_at(b->fd, h, sizeof h, 0);
    return rc < 0 || memcmp(h, want, sizeof h) == 0 ? rc : fault(b, "the header");
}

static int verify_record(struct blobs *b)
{
    uint8_t h[RECORD];
    uint32_t crc;
    if (b->end - b->at < RECORD)
        return fault(b, "a record");
    int rc = read_at(b->fd, h, sizeof h, b->at);
    if (rc < 0)
        return rc;
    uint64_t left = b->end - b->at - RECORD, key_n = rocks_u64(h), value_n = rocks_u64(h + 8);
    if (rocks_mask(crc32c(0, bytes_of(h, 24))) != rocks_u32(h + 24) || key_n > left ||
        value_n > left - key_n)
        return fault(b, "the header of a record");
    rc = crc_of(b, b->at + RECORD, key_n + value_n, &crc);
    if (rc == 0 && rocks_mask(crc) != rocks_u32(h + 28))
        return fault(b, "a record");
    b->at += RECORD + key_n + value_n;
    b->n++;
    return rc;
}

static int verify_footer(struct blobs *b)
{
    uint8_t f[FOOTER];
    int rc = read_at(b->fd, f, sizeof f, b->end);
    if (rc == 0 && (rocks_u32(f) != MAGIC || rocks_u64(f + 4) != b->n ||
                    rocks_mask(crc32c(0, bytes_of(f, FOOTER - 4))) != rocks_u32(f + FOOTER - 4)))
        return fault(b, "the footer");
    return rc;
}

int rocks_blobs(int fd, uint64_t size, uint32_t cf, struct rocks_fault *ret)
{
    struct blobs b = {.fd = fd, .fault = ret};
    if (size < HEADER + FOOTER)
        return fault(&b, "the header");
    b.end = size - FOOTER;
    int rc = verify_header(&b, cf);
    b.at = HEADER;
    while (rc == 0 && b.at < b.end)
        rc = verify_record(&b);
    return rc == 0 ? verify_footer(&b) : rc;
}
