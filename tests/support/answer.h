/*
 * tests/support/answer - runs a verb on the space of a device (tests/support/device), and keeps
 * what it says.
 */
#ifndef TESTS_SUPPORT_ANSWER_H
#define TESTS_SUPPORT_ANSWER_H

#include "fs/space/verb.h"
#include "tests/support/device.h"

struct answer {
    struct out out;
    char text[2048], error[1024];
};

/** Runs @verb with up to two arguments (NULL: none). It fails exactly when it says why. */
struct answer answer_of(struct device *d, const char *verb, const char *path, const char *keep);

#endif
