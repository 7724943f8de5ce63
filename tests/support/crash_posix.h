/*
 * tests/support/crash_posix - the operations and the view of crash_model on a real folder.
 */
#ifndef TESTS_SUPPORT_CRASH_POSIX_H
#define TESTS_SUPPORT_CRASH_POSIX_H

#include "crash_log.h"
#include "crash_model.h"

/** Does an operation below the folder @root: 0 or a negative errno. */
int crash_posix_apply(const char *root, const struct crash_op *op) MUST_CHECK;

/** A view of the folder @root, which is borrowed. */
struct crash_view crash_posix_view(const char *root);

/**
 * Works below @root/@log->top until it is told to @stop, the log is full or the file system goes
 * away; keeps some files open while it does. In a process of its own; does not return.
 */
void crash_posix_work(const char *root, struct crash_log *log, struct crash_model *m, uint64_t seed,
                      const atomic_bool *stop) __attribute__((noreturn));

#endif
