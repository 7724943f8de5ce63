/*
 * proto/base/utf8 - reads UTF-8 that others wrote, one character at a time, and knows which
 * characters must not reach a terminal. Thread: any.
 */
#ifndef PROTO_BASE_UTF8_H
#define PROTO_BASE_UTF8_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum { LABEL_BYTES_MAX = 64 };

/**
 * Decodes the character that @v begins with (not empty). Returns its length in bytes; 0 when it is
 * not UTF-8: overlong, a surrogate, above U+10FFFF, cut off.
 */
size_t utf8_decode(struct bytes v, uint32_t *ret_char);

/** Whether all of @v is UTF-8. */
bool utf8_valid(struct bytes v);

/** The longest beginning of @v of at most @max bytes that does not cut a character. */
struct bytes utf8_cut(struct bytes v, size_t max);

/** Whether a character is a control, a line or paragraph separator, invisible, or turns the text.
 */
bool utf8_is_hidden(uint32_t c);

/** Columns that a character takes on a terminal: 0, 1 or 2. */
unsigned utf8_columns(uint32_t c);

/** Whether @v may be the label of a device: 1 to 64 bytes of UTF-8, none hidden, no '/' or '\'. */
bool utf8_is_label(struct bytes v);

#endif
