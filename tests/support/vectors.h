/*
 * tests/support/vectors - looks into tests/sync/libp2p_vectors.json: examples of libp2p's formats,
 * made by another implementation from fixed inputs. A place is as in json_read.h.
 */
#ifndef TESTS_SUPPORT_VECTORS_H
#define TESTS_SUPPORT_VECTORS_H

#include "proto/base/buf.h"

enum { VECTOR_TEXT_SIZE = 2048 };

/** Members of the list at a place; fails the test when there are none. */
size_t vector_count(const char *place);

/** The text at a place. Returns @to. */
const char *vector_text(char to[VECTOR_TEXT_SIZE], const char *fmt, ...) PRINTF_LIKE(2, 3);

/** The bytes at a place, where they stand in hex, replace what is in @ret. Returns a view. */
struct bytes vector_bytes(struct buf *ret, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
