/*
 * tests/support/space_fixture - a space on a temporary directory, without a mount: files are
 * changed through fs/tree, commands are run as verbs and what they write is kept.
 */
#ifndef TESTS_SUPPORT_SPACE_FIXTURE_H
#define TESTS_SUPPORT_SPACE_FIXTURE_H

#include "fs/space/space.h"
#include "fs/space/verb.h"
#include "fs/tree/tree.h"

struct space_fixture {
    struct out out;           /* first */
    char root[256], dir[300]; /* for the test's own files; of the space, below it */
    uint64_t tidy_ms;         /* see struct space_config; from the next opening on */
    struct space *space;
    struct tree *tree;
    struct buf text;  /* what the last verb wrote, NUL-terminated */
    char error[1024]; /* its error line; empty: none */
    unsigned errors_n;
    unsigned polls_max; /* cancelled() says so after so many calls; 0: never */
    unsigned polls_n;
};

/** Opens a new space in a new directory. For cmocka's setup. 0 or -1. */
int space_fixture_setup(void **state);
int space_fixture_teardown(void **state);
/** Closes the space, and opens it again. 0 or a negative errno. */
void space_fixture_close(struct space_fixture *f);
int space_fixture_open(struct space_fixture *f);

/** Runs a verb with up to three arguments (NULL: none). Its exit status. */
int space_run(struct space_fixture *f, const char *verb, const char *a, const char *b,
              const char *c);
/** The same with a call that is filled but for verb and arguments. */
int space_run_call(struct space_fixture *f, struct verb_call *call, const char *a, const char *b,
                   const char *c);

/** The inode of a path; asserts that it is there. */
uint64_t space_ino(struct space_fixture *f, const char *path);
bool space_has(struct space_fixture *f, const char *path);
/** Makes or overwrites a file, as one save: open, truncate, write, close. */
void space_write(struct space_fixture *f, const char *path, const void *p, size_t n);
void space_write_text(struct space_fixture *f, const char *path, const char *text);
void space_mkdir(struct space_fixture *f, const char *path);
void space_remove(struct space_fixture *f, const char *path);
void space_rename(struct space_fixture *f, const char *from, const char *to);
/** Reads a file whole. Free: buf_fini(). */
void space_read(struct space_fixture *f, const char *path, struct buf *ret);
void space_expect_text(struct space_fixture *f, const char *path, const char *text);

/** The string value of the @i-th (from 0) member @key in the JSON that was written. */
bool space_json(const struct space_fixture *f, const char *key, unsigned i, char *ret, size_t size);

#endif
