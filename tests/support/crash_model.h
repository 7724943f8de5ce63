/*
 * tests/support/crash_model - a file tree in memory that says what a real one must look like.
 *
 * Operations are plain values: they can be logged in shared memory before and after they are done,
 * and be repeated here. Each is one system call on paths, so that it is there wholly or not at all.
 */
#ifndef TESTS_SUPPORT_CRASH_MODEL_H
#define TESTS_SUPPORT_CRASH_MODEL_H

#include <stdbool.h>
#include <sys/stat.h>

#include "crash_rand.h"
#include "proto/base/buf.h"

enum {
    CRASH_PATH_MAX = 256,
    CRASH_FILE_MAX = 1 << 20,    /* bytes of a file */
    CRASH_WRITE_MAX = 256 << 10, /* bytes of one write */
    CRASH_BLOCK = 4096,
    CRASH_BLOCKS_MAX = CRASH_WRITE_MAX / CRASH_BLOCK + 2,
};

enum crash_kind {
    CRASH_CREATE,
    CRASH_WRITE,
    CRASH_APPEND,
    CRASH_TRUNCATE,
    CRASH_PUNCH,
    CRASH_ALLOCATE,
    CRASH_UNLINK,
    CRASH_MKDIR,
    CRASH_RMDIR,
    CRASH_RENAME,
    CRASH_NOREPLACE,
    CRASH_EXCHANGE,
    CRASH_LINK,
    CRASH_SYMLINK,
    CRASH_CHMOD,
    CRASH_XATTR,
    CRASH_FSYNC,
    CRASH_KIND_N
};

struct crash_op {
    unsigned kind; /* enum crash_kind */
    char path[CRASH_PATH_MAX];
    char to[CRASH_PATH_MAX]; /* of renames and links; a symlink's target */
    uint64_t offset, length; /* of writes; TRUNCATE: length is the new size */
    uint64_t fill;           /* names the bytes that are written; XATTR: the value */
    uint32_t mode;
};

/** The operation in words, in a static buffer. */
const char *crash_op_text(const struct crash_op *op);

struct crash_model;

/** An empty tree. Ends the program when memory runs out. */
struct crash_model *crash_model_new(void);
void crash_model_free(struct crash_model *m); /* accepts NULL */
/** A tree with the same contents. */
struct crash_model *crash_model_copy(const struct crash_model *m);

/** Does an operation: 0, or the negative errno that the real call must give. */
int crash_model_apply(struct crash_model *m, const struct crash_op *op);

/** A further operation below the directory @top ("" for the root), most often one that succeeds. */
void crash_model_choose(const struct crash_model *m, struct crash_rand *r, const char *top,
                        struct crash_op *ret);

/* How a real tree is looked at; paths are relative to its root, "" is the root. */
struct crash_view {
    void *arg;
    int (*stat)(void *arg, const char *path, struct stat *ret);
    int (*read)(void *arg, const char *path, struct buf *ret); /* replaces what is in @ret */
    int (*readlink)(void *arg, const char *path, struct buf *ret);
    /* Calls @emit with each name but . and .. */
    int (*list)(void *arg, const char *path, void (*emit)(void *arg, const char *name),
                void *emit_arg);
    int (*xattr)(void *arg, const char *path, struct buf *ret); /* user.crash; -ENODATA */
    bool splits; /* one write may arrive as several, each ending where a page does */
    bool saves; /* a file that is emptied has what it had in an earlier save, until that is ended */
};

/** Whether all below the directory @top is as in the model; else @why says what is not. */
bool crash_model_same(const struct crash_model *m, const struct crash_view *v, const char *top,
                      char why[256]);

enum crash_settled {
    CRASH_WITHOUT, /* as if it had not begun */
    CRASH_WITH,    /* done */
    CRASH_MIXED, /* a write or hole inside a file: some of its blocks are done; or its first part */
    CRASH_WRONG, /* none of these */
};

/**
 * For a real tree in which operation @op was under way when all stopped: finds what became of it,
 * and brings the model to that; says why when it is wrong.
 */
enum crash_settled crash_model_settle(struct crash_model *m, const struct crash_view *v,
                                      const char *top, const struct crash_op *op, char why[256]);

/** Number of names in the model. */
size_t crash_model_names(const struct crash_model *m);
/** Gives a file these bytes. */
void crash_model_put(struct crash_model *m, const char *path, struct bytes bytes);
/** The bytes of a file. False: there is no such file. */
bool crash_model_read(const struct crash_model *m, const char *path, struct bytes *ret);

#endif
