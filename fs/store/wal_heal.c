/*
 * One flipped byte in a record of the log is found and put right: the CRC says where it may be, the
 * checksum proves that it was there. A record that was torn, by a loss of power, is not taken for
 * one: its checksum would not match.
 */
#include "fs/store/crc32c.h"
#include "fs/store/wal_priv.h"

enum { SUM = 0, NUMBER = 8, SYNCED = 16, LENGTH = 24, CRC = 28, BATCH = WAL_HEADER_BYTES };

static unsigned bytes_off(uint64_t a, uint64_t b)
{
    unsigned n = 0;
    for (uint64_t x = a ^ b; x != 0; x >>= 8)
        n += (x & 0xff) != 0;
    return n;
}

static struct bytes batch_of(const uint8_t *p)
{
    return bytes_of(p + BATCH, get_u32(p + LENGTH));
}

static bool holds(const uint8_t *p, uint64_t seed)
{
    return get_u64(p + SUM) == wal_checksum(p, batch_of(p), seed);
}

/* Tries every other value of each byte that is not found out in a quicker way. */
static bool heal_synced(uint8_t *p, uint64_t seed)
{
    for (unsigned i = SYNCED; i < LENGTH; i++) {
        uint8_t was = p[i];
        for (unsigned x = 1; x < 256; x++) {
            p[i] = (uint8_t)(was ^ x);
            if (holds(p, seed))
                return true;
        }
        p[i] = was;
    }
    return false;
}

static bool heal_crc(uint8_t *p, uint64_t seed)
{
    uint32_t was = get_u32(p + CRC);
    put_u32(p + CRC, crc32c(0, batch_of(p)));
    if (holds(p, seed))
        return true;
    put_u32(p + CRC, was);
    return false;
}

static bool heal_length(uint8_t *p, size_t n, uint64_t seed)
{
    uint32_t was = get_u32(p + LENGTH);
    for (unsigned shift = 0; shift < 32; shift += 8)
        for (uint32_t x = 1; x < 256; x++) {
            put_u32(p + LENGTH, was ^ x << shift);
            if (get_u32(p + LENGTH) <= n - BATCH && crc32c(0, batch_of(p)) == get_u32(p + CRC) &&
                holds(p, seed))
                return true;
        }
    put_u32(p + LENGTH, was);
    return false;
}

static bool heal_batch(uint8_t *p, uint32_t off, uint64_t seed)
{
    struct crc32c_flip f = {.off = off, .n = get_u32(p + LENGTH)};
    size_t at;
    uint8_t x;
    while (crc32c_find(&f, &at, &x)) {
        p[BATCH + at] ^= x;
        if (holds(p, seed))
            return true;
        p[BATCH + at] ^= x;
    }
    return false;
}

bool wal_heal(uint8_t *p, size_t n, uint64_t seed, uint64_t number)
{
    if (n < BATCH || bytes_off(get_u64(p + NUMBER), number) > 1)
        return false;
    put_u64(p + NUMBER, number);
    if (get_u32(p + LENGTH) > n - BATCH)
        return heal_length(p, n, seed);
    uint64_t sum = wal_checksum(p, batch_of(p), seed);
    if (bytes_off(sum, get_u64(p + SUM)) <= 1) {
        put_u64(p + SUM, sum);
        return true;
    }
    uint32_t off = crc32c(0, batch_of(p)) ^ get_u32(p + CRC);
    if (off == 0)
        return heal_synced(p, seed);
    return heal_crc(p, seed) || heal_batch(p, off, seed) || heal_length(p, n, seed);
}
