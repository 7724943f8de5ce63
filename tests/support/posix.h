/*
 * tests/support/posix - small files, patterns and times for tests of the file system. Paths are
 * relative to the test's directory.
 */
#ifndef TESTS_SUPPORT_POSIX_H
#define TESTS_SUPPORT_POSIX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "tests/support/e2e.h"

/** Makes (or replaces the content of) a file. */
void put_file(const char *path, const char *text);
void put_file_mode(const char *path, const char *text, mode_t mode);
/** Checks that a file holds exactly this. */
void check_file(const char *path, const char *text);
void make_dir(const char *path, mode_t mode);
/** Opens and closes again: 0, or -1 with errno. */
int try_open(const char *path, int flags);

/** The test pattern @seed from byte @offset on: no two blocks are alike. */
void pattern_fill(uint8_t *p, size_t n, uint64_t seed, uint64_t offset);

/** stat(2) and lstat(2) that are checked; all zero when they fail. */
struct stat stat_of(const char *path);
struct stat lstat_of(const char *path);
struct stat fstat_of(int fd);
ino_t ino_of(const char *path);
nlink_t links_of(const char *path);
bool exists(const char *path);
mode_t mode_of(const char *path); /* the permission bits */

/* Types of files to set up and compare. */
enum kind {
    KIND_NONE,
    KIND_FILE,
    KIND_DIR,
    KIND_FULL_DIR, /* with a file in it */
    KIND_LINK,     /* a symlink to nothing */
    KIND_LINK_FILE,
    KIND_LINK_DIR,
    KIND_LOOP,
    KIND_FIFO,
    KIND_SOCKET,
    KIND_N
};

const char *kind_name(enum kind kind);
/** Makes a file of that kind; those that links point to are PATH.to. */
void kind_make(enum kind kind, const char *path);
/** Removes what kind_make() made, and anything else there. */
void kind_remove(const char *path);

/** <0, 0, >0. */
int time_cmp(struct timespec a, struct timespec b);
/** Waits until the clock of file systems has moved on. */
void next_tick(void);
/** The time that a file gets now: not before, and not after what the next call returns. */
struct timespec coarse_now(void);

/* A small random generator; equal seeds give equal numbers. */
struct rng {
    uint64_t s;
};
uint64_t rng_next(struct rng *r);
/** A number from 0 to @n - 1. */
uint64_t rng_below(struct rng *r, uint64_t n);

/** Writes all, at @offset. */
bool write_all(int fd, const void *p, size_t n, off_t offset);
/** Reads up to @n bytes; how many there were. */
size_t read_all(int fd, void *p, size_t n, off_t offset);
/** Makes the kernel forget the cached pages of a file, so that the next read asks for them. */
void drop_cache(int fd);

#endif
