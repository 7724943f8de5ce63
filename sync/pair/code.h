/*
 * sync/pair/code - the code that one person reads and another types: KXNR-7842.
 *
 * Four letters of 24 (no I, no O) are the secret, 18.3 bits; four digits name the meeting and may
 * be known to everybody. A code is never logged, stored or shown in an error. Thread: any.
 */
#ifndef SYNC_PAIR_CODE_H
#define SYNC_PAIR_CODE_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum {
    PAIR_CODE_LETTERS = 4,
    PAIR_CODE_DIGITS = 4,
    PAIR_CODE_SIZE = PAIR_CODE_LETTERS + PAIR_CODE_DIGITS,
    PAIR_CODE_TEXT_SIZE = PAIR_CODE_SIZE + 2, /* with a hyphen and NUL */
    PAIR_NAMEPLATE_SIZE = PAIR_CODE_DIGITS + 1
};

/* Normalised: capitals, digits, no hyphen. Wipe it. */
struct pair_code {
    char c[PAIR_CODE_SIZE];
};

/** Draws one; all are equally likely. */
void pair_code_make(struct pair_code *ret);

/** As a person reads it; secret like the code. Returns @ret. */
const char *pair_code_text(const struct pair_code *c, char ret[static PAIR_CODE_TEXT_SIZE]);

/** The part that may be told to everybody. Returns @ret. */
const char *pair_code_nameplate(const struct pair_code *c, char ret[static PAIR_NAMEPLATE_SIZE]);

/** Takes what a person typed: letters of either case, with blanks and hyphens anywhere, and O for 0
 * and I for 1 among the digits. -EINVAL, and @e says what is wrong with it. */
int pair_code_parse(struct bytes typed, struct pair_code *ret, struct err *e) MUST_CHECK;

#endif
