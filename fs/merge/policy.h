/*
 * fs/merge/policy - a `.persistpolicy`: which names are merged how.
 *
 * Each line is `PATTERN  STRATEGY`, as in .gitattributes: the patterns are those of proto/glob, the
 * last line that matches a path holds, '#' begins a comment, a backslash keeps a blank in a
 * pattern. A pattern is of files, not of all that is in a folder: that is `folder/` followed by two
 * stars. Pure; thread: any.
 */
#ifndef FS_MERGE_POLICY_H
#define FS_MERGE_POLICY_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

enum {
    POLICY_FILE_MAX = 64 << 10, /* bytes */
    POLICY_LINES_MAX = 512,
    POLICY_LINE_MAX = 1024, /* bytes, without the newline */
    POLICY_DRIVER_MAX = 64, /* bytes of the NAME in exec:NAME: of A-Z a-z 0-9 . _ - */
};

enum strategy_kind {
    STRATEGY_DEFAULT, /* no line matches: as the bytes are */
    STRATEGY_TEXT,
    STRATEGY_UNION,
    STRATEGY_JSON,
    STRATEGY_LWW,
    STRATEGY_KEEP_BOTH,
    STRATEGY_EXEC,
};

struct strategy {
    enum strategy_kind kind;
    struct bytes driver; /* of STRATEGY_EXEC; a view of the policy */
};

/* All zero is valid, and has no lines. */
struct policy {
    struct buf text;  /* what the rules are views of */
    struct buf rules; /* of struct policy_rule */
};

/**
 * Takes the lines of a file. -EBADMSG or -E2BIG: no line of it holds, and @e says which is wrong
 * and why; -ENOMEM. @ret is valid, whatever the result.
 */
int policy_parse(struct bytes text, struct policy *ret, struct err *e) MUST_CHECK;
void policy_fini(struct policy *p);

/** What is said of a path, relative to the folder that the policy is in, without '/' at its ends.
 */
struct strategy policy_find(const struct policy *p, struct bytes path);

/** Calls @fn with each line's number and strategy; not 0 ends the walk and is returned. */
int policy_each(const struct policy *p,
                int (*fn)(void *ctx, unsigned line, const struct strategy *strategy),
                void *ctx) MUST_CHECK;

#endif
