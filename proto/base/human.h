/*
 * proto/base/human - sizes, times and tables as people read them.
 *
 * The functions fill a caller's HUMAN_MAX bytes and return them. Thread: any.
 */
#ifndef PROTO_BASE_HUMAN_H
#define PROTO_BASE_HUMAN_H

#include "proto/base/buf.h"

enum { HUMAN_MAX = 48 };

/** "0 B", "999 B", "1.4 KiB", "12 MiB". */
const char *human_bytes(uint64_t n, char to[HUMAN_MAX]);

/** "1,234,567". */
const char *human_count(uint64_t n, char to[HUMAN_MAX]);

/** Local time, "2026-11-22 14:03:05". */
const char *human_time(uint64_t ms, char to[HUMAN_MAX]);

/** "2026-11-22T14:03:05.123Z". */
const char *human_time_utc(uint64_t ms, char to[HUMAN_MAX]);

/** "0s", "42s", "3m 05s", "2h 10m", "4d 3h". */
const char *human_duration(uint64_t ms, char to[HUMAN_MAX]);

enum { TABLE_COLUMNS_MAX = 8 };

/* Rows of text with aligned columns. All zero is valid; set columns_n and align first. */
struct table {
    size_t columns_n;
    bool right[TABLE_COLUMNS_MAX]; /* align this column to the right */
    struct buf text;               /* the cells, each u32 length and bytes */
    size_t cells_n;
    size_t width[TABLE_COLUMNS_MAX];
};

/** Adds the next cell, row by row; @v comes from anywhere and is escaped. */
void table_cell(struct table *t, struct bytes v);
void table_cell_str(struct table *t, const char *v);

/**
 * Appends the table to @out: two blanks between columns, none at the end of a line, the first row
 * bold when @colour. 0 or -ENOMEM. Leaves @t usable.
 */
int table_put(const struct table *t, bool colour, struct buf *out) MUST_CHECK;

void table_fini(struct table *t);

#endif
