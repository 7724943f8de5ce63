/*
 * fs/merge/split - texts as lines: what is in a line, apart from how it ends.
 *
 * Line ends (LF, CRLF), the byte order mark of UTF-8 and whether the last line is ended are facts
 * of their own, so that a side that changed only these does not touch any line. A CR elsewhere is a
 * byte like any other. Pure; thread: any.
 */
#ifndef FS_MERGE_SPLIT_H
#define FS_MERGE_SPLIT_H

#include "fs/merge/diff.h"

enum {
    TEXT_BYTES_MAX = 4 << 20, /* of each text */
    TEXT_LINES_MAX = 100000,
    TEXTS = 3, /* of a three-way merge: base, a, b */
};

struct text_line {
    struct bytes text; /* borrowed; without its end */
    bool crlf;         /* a last line without an end: that of the line before */
};

/* Of each fact the first value says nothing; among others that contradict the smaller one wins. */
enum text_mark { MARK_UNKNOWN, MARK_NONE, MARK_UTF8 };
enum text_ends { ENDS_UNKNOWN, ENDS_LF, ENDS_CRLF, ENDS_MIXED };
enum text_last { LAST_UNKNOWN, LAST_ENDED, LAST_OPEN };

struct text_facts {
    enum text_mark mark;
    enum text_ends ends;
    enum text_last last;
};

struct split {
    struct text_line *lines;
    uint32_t *ids; /* of the lines: those of several texts are in the order of their bytes */
    size_t n;
    struct text_facts facts;
};

/**
 * Splits texts and numbers their lines together. All of @ret is valid for splits_fini(), whatever
 * the result. -E2BIG: one is too long; -ENOMEM.
 */
int splits_init(struct split ret[static TEXTS], const struct bytes texts[static TEXTS]) MUST_CHECK;
void splits_fini(struct split s[static TEXTS]);

/** How the lines of a text end. */
enum text_ends text_ends(struct bytes text);

/** The byte order mark that a text begins with: 3 bytes, or none. */
size_t text_mark_bytes(struct bytes text);
void text_put_mark(struct buf *b);

/** All but the first @n bytes. */
static inline struct bytes bytes_behind(struct bytes v, size_t n)
{
    return n > 0 ? bytes_of(v.p + n, v.n - n) : v;
}

static inline struct lines split_lines(const struct split *s)
{
    return (struct lines){s->ids, s->n};
}

#endif
