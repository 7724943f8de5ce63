/*
 * proto/multibase - bytes as text, in the bases that libp2p's ids are written in. Thread: any.
 *
 * Source: multiformats, multibase; base58 with bitcoin's alphabet.
 */
#ifndef PROTO_MULTIBASE_H
#define PROTO_MULTIBASE_H

#include "proto/base/buf.h"

enum {
    MULTIBASE_TEXT_MAX = 128, /* characters that are decoded: the work grows with their square */
    BASE58_BYTES_MAX = 64     /* bytes that are written as base58, for the same reason */
};

/**
 * Decodes @text, which stands without its prefix, into @ret of @size bytes. @prefix names the base:
 * 'f' 'F' 16, 'b' 'B' 32, 'k' 'K' 36, 'z' 58, 'm' 'u' 64 (none padded). Returns the length.
 * Errors: -EBADMSG too long, another base, a character that is not in it, bits left over, or no
 * room in @ret.
 */
int multibase_decode(char prefix, struct bytes text, uint8_t *ret, size_t size) MUST_CHECK;

/** Writes at most BASE58_BYTES_MAX bytes as base58, terminated, into @ret of @size bytes; both are
 * asserted. Returns @ret. */
const char *base58_text(struct bytes v, char *ret, size_t size);

#endif
