/*
 * tests/support/scratch - folders that tests work in.
 */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Makes a new folder, and writes its path to @ret (@size bytes): below TMPDIR, or /tmp when that is
 * not set, or too long for the sockets that tests make in it. @name becomes a part of its name.
 * False, with errno.
 */
bool scratch_dir(char *ret, size_t size, const char *name);

#endif
