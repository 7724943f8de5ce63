/*
 * fs/space/out - where a command's output goes: a terminal, a pipe, or the control socket.
 *
 * An interface that whoever runs a verb implements. A verb writes through the helpers below and
 * looks at what they return: when nobody listens any more it stops soon. Thread: that of the verb.
 */
#ifndef FS_SPACE_OUT_H
#define FS_SPACE_OUT_H

#include <stdbool.h>

#include "proto/base/buf.h"

struct out {
    /* Bytes for stdout. 0, or -ECANCELED when nobody listens any more, -EIO, -ENOSPC. */
    int (*write)(struct out *o, struct bytes v);
    /* How far long work is, in bytes; @total 0: not known. Cheap: may be called often. */
    void (*progress)(struct out *o, uint64_t done, uint64_t total, const char *label);
    /* One line for stderr: "what: why; what to do", without "persist: " and newline. */
    void (*error)(struct out *o, const char *line);
    /* Waits up to @wait_ms (0: only looks) and says whether nobody listens any more. */
    bool (*cancelled)(struct out *o, unsigned wait_ms);
};

/** Writes @n bytes to stdout. 0, -ECANCELED, -EIO, -ENOSPC. */
int out_write(struct out *o, const void *p, size_t n) MUST_CHECK;

/** Writes a whole buffer. As out_write(), and -ENOMEM when the buffer had failed. */
int out_buf(struct out *o, const struct buf *b) MUST_CHECK;

/** Formats and writes. As out_write(), and -ENOMEM. */
int out_printf(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/** Formats an error line ("what: why; what to do") of at most 1023 bytes. */
void out_error(struct out *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The label of progress that counts these. */
#define OUT_COUNTED "changes"

/** Reports progress; @done and @total in bytes but for OUT_COUNTED, @total 0 when it is not known.
 */
void out_progress(struct out *o, uint64_t done, uint64_t total, const char *label);

/** Whether nobody listens any more; sleeps until then, or @wait_ms. For --watch and long loops. */
bool out_cancelled(struct out *o, unsigned wait_ms);

#endif
