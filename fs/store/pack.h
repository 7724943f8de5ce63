/*
 * fs/store/pack - the bytes of chunks, in files beside those of RocksDB: written once, at their
 * end, and read by page.
 *
 * All pack files together are one row of addresses: a *place* is where in it a chunk begins. What
 * lies where is in the database (chunk.h); here are bytes without names or checksums. The rule that
 * makes that safe: bytes are on disk (pack_sync()) before a row that names their place is written,
 * and a row is gone from the disk before its place is given back (pack_punch()). An address is used
 * once in the life of a process; a page that was synced is never written again.
 *
 * Errors: -ENOSPC, -EIO, -EFBIG (256 TiB were written in all). Thread: any, unless said otherwise.
 */
#ifndef FS_STORE_PACK_H
#define FS_STORE_PACK_H

#include "proto/base/buf.h"

enum { PACK_PAGE = 4096 };

struct packs;

/* Who is writing chunks that no row names yet. All zero at first. Thread: one. */
struct pack_writer {
    struct pack_writer *next; /* of those that write now */
    uint64_t from, end;       /* its places; from == end: none */
};

/** Opens the packs in the directory @dir_fd (-1: in memory), to go on at @end. -ENOMEM. */
int packs_open(int dir_fd, uint64_t end, struct packs **ret) MUST_CHECK;
void packs_close(struct packs *p); /* accepts NULL */

/**
 * Writes the bytes of a chunk. Its place is @phase more than a multiple of PACK_PAGE when that
 * costs no more than a page; so pages of a file are pages here.
 */
int pack_append(struct packs *p, struct pack_writer *w, size_t phase, struct bytes data,
                uint64_t *ret_place) MUST_CHECK;

/** Returns when all that @w has written is on disk. -EIO also when another writer was told, since
 * @w began, that something was not taken. */
int pack_sync(struct packs *p, struct pack_writer *w) MUST_CHECK;

/** @w is done: its places are named by rows, or never will be. */
void pack_done(struct packs *p, struct pack_writer *w);

/** Reads @n bytes. -EUCLEAN when they are not there. */
int pack_read(struct packs *p, uint64_t place, void *to, size_t n) MUST_CHECK;

/** Has the disk read what will be asked for. */
void pack_will_read(struct packs *p, uint64_t place, size_t n);

/** Below this address, nothing is there but what rows name. */
uint64_t pack_settled(struct packs *p);

/** Gives the room of the whole pages in @from <= address < @end back. */
int pack_punch(struct packs *p, uint64_t from, uint64_t end) MUST_CHECK;

#endif
