/*
 * tests/support/manifest - a directory tree as text, one line for each file, to compare trees with.
 */
#ifndef TESTS_SUPPORT_MANIFEST_H
#define TESTS_SUPPORT_MANIFEST_H

#include "tests/support/check.h"

enum {
    MANIFEST_OWNER = 1,  /* owner and group */
    MANIFEST_NUMBER = 2, /* inode numbers and change times: the very same files */
    MANIFEST_LINKS = 4,  /* which names are one file */
    MANIFEST_SPARSE = 8, /* whether much of it is holes */
    MANIFEST_DIR_TIMES = 16,
    MANIFEST_XATTR = 32,
};

/**
 * Lines "path type mode [owner] mtime size hash-or-target xattrs ..." sorted by path; of @dir
 * itself none. Names with spaces or control characters are escaped. Free: free().
 */
char *manifest_of(const char *dir, unsigned what);

/** Checks that two manifests are the same; shows the first lines that are not. */
#define same_tree(is, ought) check_same_tree((is), (ought), CHECK_AT(#is))
bool check_same_tree(const char *is, const char *ought, const struct check_at *at);

#endif
