/*
 * fs/tree/data - the bytes of files. Not for other folders: the operations are in tree.h.
 *
 * A file of up to TREE_SMALL_MAX bytes is in DB_DATA, a value for each 4 KiB. A larger one is a
 * staging file, staging/INO-NUMBER, of blocks of 4 KiB at their places: DB_MAP says which blocks
 * are valid, with a checksum of each; the others come from the base (what was last published), past
 * base_size they are zeros. A file that is as published has neither: its base has all bytes.
 *
 * A write goes to the staging file before the map says so. fsync of a few blocks copies them to
 * DB_REDO, in the log of the database, instead of waiting for the staging file; from then on each
 * write to such a block goes to both, so that DB_REDO has the newest bytes of its blocks at any
 * time.
 */
#ifndef FS_TREE_DATA_H
#define FS_TREE_DATA_H

#include "fs/store/content.h"
#include "fs/tree/tree_priv.h"

enum {
    BLOCK_BYTES = 4096,
    SEGMENT_BLOCKS = 64, /* blocks of one value in DB_MAP */
    SEGMENT_BYTES = BLOCK_BYTES * SEGMENT_BLOCKS,
    SEGMENT_BITS_BYTES = 16,
    SEGMENT_VALUE_MAX = SEGMENT_BITS_BYTES + 8 * SEGMENT_BLOCKS,
    RUN_BYTES = 8 << 20,      /* written in sequence: sent to the disk while more is written */
    MAP_CACHE_SEGMENTS = 256, /* of one file in memory, at most */
    STAGING_NAME_BYTES = 16 + 1 + 8 + 1,
    DIRTY_BLOCKS_MAX = 32,  /* blocks that fsync copies; more: it syncs the staging file */
    REDO_BLOCKS_MAX = 4096, /* of one file in DB_REDO; more: likewise */
    OFTEN_BLOCKS = 8,       /* fsync after so few: the next ones are copied as they are written */
};

/* @n bytes in whole blocks. */
static inline uint64_t block_round(uint64_t n)
{
    return (n + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

#define FILE_BYTES_MAX (UINT64_C(1) << 50)

/* An opened base, shared by the file and by readers under way. */
struct base {
    struct content *content;
    atomic_uint refs;
};

/* A staging file, likewise. */
struct staging {
    int fd;
    atomic_uint refs;
    uint64_t run_from,
        run_end; /* written in sequence, and not sent to the disk; by the node's lock */
};

struct segment {
    uint64_t index; /* number of the segment in the file */
    /* A bit for each block: the staging file (not the base) has its bytes; DB_REDO has them, too;
     * bytes of it are on disk, these or older ones. */
    uint64_t valid, redo, on_disk;
    uint64_t sums[SEGMENT_BLOCKS];
    bool loaded, changed;
};

struct file {
    unsigned opens, writers;
    struct buf small; /* all bytes of a small file, when small_loaded */
    bool small_loaded;
    size_t small_stored; /* the first so many of them are in DB_DATA */
    struct staging *staging;
    struct base *base;
    struct segment *segments[MAP_CACHE_SEGMENTS]; /* by index, direct-mapped; made when needed */
    uint64_t dirty[DIRTY_BLOCKS_MAX]; /* blocks written since the last fsync, not in DB_REDO */
    unsigned dirty_n;
    bool tell_closed; /* somebody waits for that */
    bool stale;       /* who opened it to write has not seen what is in it */
    bool cut;         /* emptied by who writes it, and neither closed nor fsynced since */
    bool dirty_many;  /* more than fit: the staging file has to be synced */
    bool name_synced; /* the staging folder's entry is on disk */
    unsigned syncing; /* calls of fsync that wait for the staging file */
    unsigned redo_n;
    unsigned since_sync; /* blocks written since the last fsync, those in DB_REDO left out */
    bool syncs_often;
    struct gone *gone; /* others deleted it: gone.c */
};

/* ---- data_file.c ---- */
/** The file of a locked node, made when needed. NULL: out of memory. */
struct file *file_of(struct node *n);
void file_free(struct file *f);
bool file_in_use(const struct file *f);
/** Lets go of the memory of a locked node's file when nobody has it open. */
void file_rest(struct node *n);
/** Forgets what is cached of the database, after a write failed. */
void file_reset(struct file *f);
/** Adds to the batch that all data of the file goes, and drops what is in memory. */
void file_drop(struct op *x, struct node *n, struct attr *a);
int file_open_base(struct tree *t, const struct attr *a, struct file *f) MUST_CHECK;
int file_open_staging(struct tree *t, const struct attr *a, struct file *f) MUST_CHECK;
void base_put(struct base *b);       /* accepts NULL */
void staging_put(struct staging *s); /* accepts NULL */
void file_staging_name(uint64_t ino, uint32_t number, char name[STAGING_NAME_BYTES]);

/* ---- data_small.c: files of up to TREE_SMALL_MAX bytes ---- */
int small_load(struct tree *t, const struct attr *a, struct file *f) MUST_CHECK;
/** Writes (or, with @p NULL, zeros); the file is small, and stays so. */
int small_write(struct op *x, struct attr *a, struct file *f, size_t offset, const uint8_t *p,
                size_t n) MUST_CHECK;
/** Cuts it, or makes it longer with zeros. */
int small_resize(struct op *x, struct attr *a, struct file *f, size_t size) MUST_CHECK;
/** Adds to the batch that all its rows go; a->size is what it was. */
void small_drop(struct op *x, const struct attr *a);
/** Forgets the bytes in memory. */
void small_forget(struct file *f);

/* ---- data_map.c ---- */
/** The segment of a block, read when needed. A changed segment that makes way is written to @x. */
int map_segment(struct op *x, const struct attr *a, struct file *f, uint64_t index,
                struct segment **ret) MUST_CHECK;
/** Writes all changed segments to the batch. */
int map_flush(struct op *x, const struct attr *a, struct file *f) MUST_CHECK;
/** Deletes the keys of the segments from @index on, and the redo of their blocks. */
void map_delete_from(struct op *x, const struct attr *a, struct file *f, uint64_t index);
/** The value of a segment; the result is a view of @room. */
struct bytes segment_encode(const struct segment *s, uint8_t room[SEGMENT_VALUE_MAX]);
int segment_decode(struct bytes v, uint64_t index, struct segment *ret) MUST_CHECK;
uint64_t block_sum(const uint8_t block[BLOCK_BYTES]);
/** Makes a block what it was when it had that sum, if it has one flipped byte. False: it has not.
 */
bool block_heal(uint8_t block[BLOCK_BYTES], uint64_t sum);
void redo_key(uint64_t ino, uint64_t block, uint8_t key[16]);
/** Deletes the redo of the blocks from @block on. */
void redo_delete_from(struct op *x, uint64_t ino, uint64_t block);

/* ---- data_read.c ---- */
/** Reads inside the size, in a transaction that has the node. Exactly @n bytes. */
int file_read(struct op *x, const struct attr *a, struct file *f, uint64_t offset, uint8_t *p,
              size_t n) MUST_CHECK;

/* ---- data_write.c ---- */
/** Writes (or, with @p NULL, zeros) in a transaction; size and times are the caller's. */
int file_write(struct op *x, struct attr *a, struct file *f, uint64_t offset, const uint8_t *p,
               size_t n) MUST_CHECK;
int file_to_staged(struct op *x, struct attr *a, struct file *f) MUST_CHECK;
/** Makes the data of a file that is as published (or nowhere) writable for a size of @size. */
int file_prepare(struct op *x, struct attr *a, struct file *f, uint64_t size) MUST_CHECK;
/** truncate(2), in a transaction: data, size and times. */
int file_truncate(struct op *x, struct node *n, struct attr *a, uint64_t size,
                  const struct timespec *now) MUST_CHECK;
/** The file is about to grow: what is in its last block past its end becomes zeros. */
int file_grow(struct op *x, struct attr *a, struct file *f) MUST_CHECK;
/** The content has changed: counts, marks, and notes it for the publisher. */
void file_changed(struct op *x, struct attr *a, const struct timespec *now);

/* ---- data_late.c ---- */
enum { LATE_ENTRY_BYTES = 12 }; /* inode, number of the staging file */
/** Staging files that a written batch has dropped. */
void late_add(struct tree *t, const struct buf *entries);
/** db_sync(), and then the removal, which may take long, of the staging files dropped before. */
int late_sync(struct tree *t) MUST_CHECK;
/** Does that when there are many of them. Called without any lock. */
void late_limit(struct tree *t);

/* ---- data_sync.c ---- */
/** Copies the blocks written since the last fsync (of which there are few) to DB_REDO. */
int file_redo_dirty(struct op *x, const struct attr *a, struct file *f) MUST_CHECK;
/** Puts the staging files of the tree on disk. */
int data_settle(struct tree *t) MUST_CHECK;
/** After a death of the process or the machine: makes staging files and map agree again. */
int data_recover(struct tree *t) MUST_CHECK;

/* ---- tree_attr.c ---- */
/** Takes setuid, setgid (where it means that) and file capabilities away. */
void op_kill_suid(struct op *x, struct attr *a);

/* ---- atime.c ---- */
/** A locked node was read. True: it is time for atime_flush(), once the lock is given back. */
bool atime_touch(struct tree *t, struct node *n);
/** The same for an inode of which no lock is held. */
void atime_touch_ino(struct tree *t, uint64_t ino);
/** Writes the times of reading that are in memory only. */
void atime_flush(struct tree *t);

#endif
