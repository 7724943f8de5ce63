/*
 * proto/base/escape - makes names, labels and texts of others fit for a terminal or a log.
 *
 * What could move the cursor, turn the text, hide itself or break a line is written as \n \t \r,
 * \xHH (a byte: controls, and what is not UTF-8) or \u{HEX} (a character); a backslash is doubled,
 * so that nothing can imitate an escape. All other characters stay as they are. Thread: any.
 */
#ifndef PROTO_BASE_ESCAPE_H
#define PROTO_BASE_ESCAPE_H

#include "proto/base/buf.h"

/** Appends @v, escaped, to @b. */
void escape_put(struct buf *b, struct bytes v);

/**
 * Writes @v, escaped, into @to of @size bytes (at least 4), terminated; what does not fit is cut
 * and ends in "...". Returns @to. For messages.
 */
char *escape_to(char *to, size_t size, struct bytes v);

/** Columns that @v, which is escaped already, takes on a terminal. */
size_t escape_columns(struct bytes v);

#endif
