/*
 * fs/merge/front - the block of keys and values that a Markdown file can begin with.
 *
 * Of YAML just what people write there: between two lines `---`, lines `key: value`, where the
 * value is plain, in quotes, a list `[a, b]`, or a list of lines `- a` below the key; lines of
 * comment and empty lines. Anything else is not understood, and so is a key that is there twice.
 * Pure; thread: any.
 */
#ifndef FS_MERGE_FRONT_H
#define FS_MERGE_FRONT_H

#include "proto/base/buf.h"

enum {
    FRONT_KEYS_MAX = 1000, /* more is not understood */
    FRONT_ITEMS_MAX = 1000,
};

enum front_kind { FRONT_VALUE, FRONT_FLOW /* [a, b] */, FRONT_BLOCK /* - a */ };

/* Views of the file. */
struct front_item {
    struct bytes text;  /* as it is there */
    struct bytes plain; /* without quotes, if these enclose no escape */
};

struct front_entry {
    enum front_kind kind;
    struct bytes lines;  /* all of it, with the comments and empty lines above */
    struct bytes above;  /* these alone */
    struct bytes key;    /* with what is before it: nothing */
    struct bytes value;  /* of FRONT_VALUE; not of a list */
    struct bytes indent; /* of FRONT_BLOCK: blanks before each '-' */
    size_t items, n;     /* of a list: the first one, how many */
};

struct front {
    struct bytes opening; /* the line `---`, without the byte order mark of the file */
    struct buf entries;   /* of struct front_entry */
    struct buf items;     /* of struct front_item */
    struct bytes below;   /* comments and empty lines behind the last entry */
    struct bytes closing; /* the line `---` or `...` */
    struct bytes body;    /* what is behind it; without a block, the file without its mark */
};

/**
 * Reads the block. 1: it is there; 0: the file has none; -EBADMSG: it is not understood; -ENOMEM.
 * Whatever the result, @ret is to be given to front_fini().
 */
int front_init(struct front *ret, struct bytes file) MUST_CHECK;
void front_fini(struct front *f);

/** Whether a file begins as one with a block does. */
bool front_begins(struct bytes file);

static inline size_t front_count(const struct front *f)
{
    return f->entries.n / sizeof(struct front_entry);
}

static inline const struct front_entry *front_entry(const struct front *f, size_t i)
{
    return (const struct front_entry *)(const void *)f->entries.p + i;
}

static inline const struct front_item *front_item(const struct front *f, size_t i)
{
    return (const struct front_item *)(const void *)f->items.p + i;
}

#endif
