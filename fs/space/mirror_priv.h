/*
 * fs/space/mirror_priv - what mirror.c, mirror_file.c, mirror_seen.c and mirror_brake.c share. Not
 * for others.
 */
#ifndef FS_SPACE_MIRROR_PRIV_H
#define FS_SPACE_MIRROR_PRIV_H

#include "fs/space/export.h"
#include "fs/space/mirror.h"

enum { MIRROR_DEPTH_MAX = 512 /* one descriptor each */ };

/* A file as it was when it was last made equal, or seen to be. */
struct seen {
    uint64_t key;                 /* of its folder and name in the space */
    uint64_t ino, changes, ctime; /* in the space: the file; changes of its content; of all, ns */
    uint64_t host_ino, host_ctime;
};

struct mirror {
    struct mirror_config cfg;
    int dir_fd;                     /* where it is, in a run */
    char temp[GRANT_NAME_MAX + 16]; /* in there: no space has such a name */
    _Atomic bool cancelled;
    struct export copy;
    struct out out;
    struct buf path;      /* of what is at work, for messages */
    int failed;           /* of the first name in a run that failed; 0: none */
    struct buf failed_at; /* its path */
    struct buf seen, now; /* struct seen, sorted; the ones of this run */
    uint64_t written_ms;  /* when the state was */
    struct mirror_report *report;
};

/* ---- mirror_seen.c ---- */
void mirror_seen_load(struct mirror *m);
/** Writes it, at most once a minute unless @now. It can be done without: failing is no error. */
void mirror_seen_store(struct mirror *m, bool now);
uint64_t mirror_seen_key(uint64_t dir, struct bytes name);
const struct seen *mirror_seen_find(const struct mirror *m, uint64_t key);
/** Ends a run: what it noted is what was seen. */
void mirror_seen_turn(struct mirror *m);

/* ---- mirror_file.c ---- */
/** Makes @name in @fd what @a, the entry @name of folder @dir, is: a file or a symbolic link. */
int mirror_file(struct mirror *m, uint64_t dir, const struct attr *a, int fd,
                const char *name) MUST_CHECK;
/** Gives @fd mode, times and attributes of @a, where they differ. */
int mirror_attr(struct mirror *m, const struct attr *a, int fd) MUST_CHECK;

/* ---- mirror_brake.c ---- */
/** Whether the brake has to work, with the mirror's directory in @fd: 1 or 0. */
int mirror_brake(struct mirror *m, int fd) MUST_CHECK;

/* ---- mirror.c ---- */
/** Opens folder @name in @fd, and no link. -ENOTDIR, -ELOOP, -ENOENT. */
int mirror_open_dir(int fd, const char *name) MUST_CHECK;
/** The names in @fd but . and .., each as length 1 and bytes, appended. */
int mirror_host_names(int fd, struct buf *ret) MUST_CHECK;
/** Those of a folder of the space, likewise. */
int mirror_space_names(struct mirror *m, uint64_t dir, struct buf *ret) MUST_CHECK;

static inline uint64_t mirror_ns(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec;
}

#endif
