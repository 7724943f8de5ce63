/*
 * tests/support/crash_log - what workers were about to do and had done when they were ended, in
 * memory that outlives them; and what became of it, told to the process that keeps the model.
 */
#ifndef TESTS_SUPPORT_CRASH_LOG_H
#define TESTS_SUPPORT_CRASH_LOG_H

#include <stdatomic.h>

#include "crash_model.h"

enum { CRASH_LOG_MAX = 4096 };

struct crash_log {
    char top[16]; /* the worker's own directory */
    atomic_uint begun, answered;
    bool stop; /* an answer was an error of the file system itself: nothing more was done */
    struct {
        struct crash_op op;
        int rc;
    } at[CRASH_LOG_MAX];
};

/** Memory that is shared with the processes that are started from now on. */
void *crash_shared(size_t n);

/** Notes an operation before it is done; false: the log is full. */
bool crash_log_begin(struct crash_log *l, const struct crash_op *op);
/** Notes its result: the newest that began. */
void crash_log_answer(struct crash_log *l, int rc);

/**
 * Repeats all answered operations on the model. False, and why, when an answer was another than the
 * model's. The operation that was under way goes to @ret_open: NULL when there is none.
 */
bool crash_log_replay(struct crash_log *l, struct crash_model *m, const struct crash_op **ret_open,
                      char why[256]);

/** Whether an error says nothing of the operation: the file system went away under it. */
bool crash_log_is_cut_off(int rc);

#endif
