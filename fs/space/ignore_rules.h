/*
 * fs/space/ignore_rules - the lines of a `.persistignore`, in gitignore's syntax.
 *
 * Pure: bytes in, a verdict out. The patterns are those of proto/glob. Source: gitignore(5).
 */
#ifndef FS_SPACE_IGNORE_RULES_H
#define FS_SPACE_IGNORE_RULES_H

#include "proto/base/buf.h"

enum {
    IGNORE_FILE_MAX = 64 << 10, /* bytes */
    IGNORE_LINES_MAX = 512,
    IGNORE_LINE_MAX = 1024, /* bytes, without the newline */
};

/* All zero is valid, and has no rules. */
struct ignore_rules {
    struct buf text;  /* what the patterns are views of */
    struct buf rules; /* of struct ignore_rule */
};

enum ignore_verdict { IGNORE_SILENT /* no rule matches */, IGNORE_YES, IGNORE_NO };

/** Takes the rules of a file. -E2BIG: it is too long, in whole or in a line; -ENOMEM. */
int ignore_rules_parse(struct bytes text, struct ignore_rules *ret) MUST_CHECK;
void ignore_rules_fini(struct ignore_rules *r);

/**
 * What the rules say of a name: that of the last one that matches. @path is relative to the folder
 * that the rules are in, without '/' at its ends; what they say of the folders above the name is to
 * be asked for each of them.
 */
enum ignore_verdict ignore_rules_match(const struct ignore_rules *r, struct bytes path,
                                       bool is_dir);

#endif
