/*
 * The list of files is blocks of 32 KiB that hold pieces of entries: CRC, length, and which piece
 * it is; less than that is zeros at the end of a block. RocksDB takes a length that leads behind
 * the end of the file for an entry that was not written whole, and forgets the entry and all behind
 * it.
 */
#include <errno.h>

#include "fs/store/crc32c.h"
#include "fs/store/rocks.h"

enum { BLOCK = 32 << 10, HEADER = 7, TYPE = 6, FULL = 1, FIRST, MIDDLE, LAST };

/* The bytes from @at to the end of its block, or of the file. */
static size_t left_in_block(struct bytes file, size_t at)
{
    return (size_t)min_u64(file.n - at, BLOCK - at % BLOCK);
}

/* Whether a piece begins at @at, if it had @n bytes. */
static bool holds(struct bytes file, size_t at, size_t n)
{
    const uint8_t *p = file.p + at;
    return p[TYPE] >= FULL && p[TYPE] <= LAST &&
           rocks_mask(crc32c(0, bytes_of(p + TYPE, 1 + n))) == rocks_u32(p);
}

/* The length of the piece at @at with its header, or 0. */
static size_t piece_at(struct bytes file, size_t at)
{
    size_t left = left_in_block(file, at);
    if (left < HEADER)
        return 0;
    size_t n = (size_t)(file.p[at + 4] | file.p[at + 5] << 8);
    return n <= left - HEADER && holds(file, at, n) ? HEADER + n : 0;
}

/*
 * Whether what is at @at, and is no piece, was one: others come behind it, or it is whole but for
 * its length.
 */
static bool was_one(struct bytes file, size_t at)
{
    size_t left = left_in_block(file, at);
    if (left >= HEADER && holds(file, at, left - HEADER))
        return true;
    for (size_t i = at + 1; i < file.n; i++)
        if (piece_at(file, i) > 0)
            return true;
    return false;
}

int rocks_list(struct bytes file, bool *ret_torn, struct rocks_fault *ret)
{
    bool open = false; /* an entry began that has not ended */
    size_t at = 0, n;
    *ret_torn = false;
    for (; at < file.n; at += n) {
        size_t left = left_in_block(file, at);
        bool fine = true;
        n = left;
        if (BLOCK - at % BLOCK >= HEADER) {
            n = piece_at(file, at);
            uint8_t type = n > 0 ? file.p[at + TYPE] : 0;
            fine = n > 0 && open == (type == MIDDLE || type == LAST);
            *ret_torn = n == 0 && !was_one(file, at);
            open = type == FIRST || type == MIDDLE;
        } else {
            for (size_t i = 0; i < left; i++)
                fine = fine && file.p[at + i] == 0;
        }
        if (*ret_torn)
            return 0;
        if (!fine) {
            *ret = (struct rocks_fault){.at = at, .what = "an entry"};
            return -EUCLEAN;
        }
    }
    *ret_torn = open;
    return 0;
}
