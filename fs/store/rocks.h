/*
 * fs/store/rocks - the files that RocksDB writes, verified to the last byte. RocksDB itself
 * verifies what it happens to read; filters and what is deleted it may not read for long.
 *
 * The files are taken as they are with the options of db.c: tables of format 5 with XXH3. They are
 * input from outside: nothing in them is trusted.
 */
#ifndef FS_STORE_ROCKS_H
#define FS_STORE_ROCKS_H

#include "proto/base/buf.h"

/* Where a file is damaged, and what is there. */
struct rocks_fault {
    uint64_t at;
    const char *what;
    bool rows_hold; /* of a table: a filter alone is damaged, all else was verified */
};

/** Verifies a whole table file. 0, -EUCLEAN and the fault, or -ENOMEM. */
int rocks_table(struct bytes file, struct rocks_fault *ret) MUST_CHECK;

/**
 * Whether RocksDB would abort the process when it opens a table file: it looks into the properties
 * before it verifies them, and takes a bit there for an index that has to follow. Only the end of
 * the file needs to be there, the rest may be zeros.
 */
bool rocks_table_aborts(struct bytes file) MUST_CHECK;

/**
 * The same for the list of files (MANIFEST). @ret_torn: it ends in something that is no entry and
 * behind which none comes, as when the power went while one was written: that is no fault.
 */
int rocks_list(struct bytes file, bool *ret_torn, struct rocks_fault *ret) MUST_CHECK;

/* ---- for both ---- */

static inline uint32_t rocks_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t rocks_u64(const uint8_t *p)
{
    return (uint64_t)rocks_u32(p) | (uint64_t)rocks_u32(p + 4) << 32;
}

/* A CRC as it is written: of text that has CRCs in it, it would say little. */
static inline uint32_t rocks_mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

#endif
