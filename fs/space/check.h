/*
 * fs/space/check - what the parts of `check` share. Each part reads a kind of thing that is stored,
 * tells of what is wrong, and goes on.
 */
#ifndef FS_SPACE_CHECK_H
#define FS_SPACE_CHECK_H

#include "fs/space/out.h"
#include "fs/space/space_priv.h"

struct check {
    struct space *s;
    struct out *out;
    bool json, repair;
    uint64_t problems, repaired;
    uint64_t versions; /* rows that were counted */
    uint64_t done_bytes, total_bytes;
    const char *label; /* of what is being checked */
    struct buf list;   /* with json: the problems, without the brackets around them */
    bool broken;       /* the list or the output failed, or nobody listens any more */
};

/* What became of a problem. */
enum check_fate { CHECK_FOUND, CHECK_REPAIRED };

/**
 * Tells of a problem: what it is about (a path, or "": the database), and what is wrong, as a
 * sentence without its end.
 */
void check_problem(struct check *c, struct bytes about, enum check_fate fate, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/** The same, about a record or a file, by the path that it has or had. */
void check_problem_record(struct check *c, const struct rid *rid, enum check_fate fate,
                          const char *what);
void check_problem_file(struct check *c, uint64_t ino, enum check_fate fate, const char *what);

/** @bytes more were looked at. False: stop, nobody listens. */
bool check_step(struct check *c, uint64_t bytes);

/* The parts. 0, or a negative errno when it could not be done to its end: -ENOMEM, -ECANCELED. */

/** Every byte of the database's files. */
int check_files(struct check *c) MUST_CHECK;
/** Every row of every table, chunks left out. */
int check_tables(struct check *c) MUST_CHECK;
/** Every chunk, against its id. */
int check_chunks(struct check *c) MUST_CHECK;
/** Every block of the files that are not published. */
int check_staging(struct check *c) MUST_CHECK;
/** Names, link counts and bindings of the tree. */
int check_tree(struct check *c) MUST_CHECK;
/** That the tree shows what the records say. */
int check_records(struct check *c) MUST_CHECK;

#endif
