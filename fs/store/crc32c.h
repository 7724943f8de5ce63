/*
 * fs/store/crc32c - CRC-32C (Castagnoli). It is linear: from how much it is off follows which byte
 * was changed.
 */
#ifndef FS_STORE_CRC32C_H
#define FS_STORE_CRC32C_H

#include <stdbool.h>

#include "proto/base/buf.h"

/** Goes on from @crc (at first 0) with @b. */
uint32_t crc32c(uint32_t crc, struct bytes b);

/* The search for one changed byte. */
struct crc32c_flip {
    uint32_t off; /* what was noted, xor what is */
    size_t n;     /* bytes that are left to look at, from the end */
};

/**
 * The next place where one byte, changed by @ret_xor, makes the CRC differ by so much. There may be
 * more than one in long texts. False: no more.
 */
bool crc32c_find(struct crc32c_flip *f, size_t *ret_at, uint8_t *ret_xor);

#endif
