/*
 * proto/base/json - writes one JSON document into a buffer.
 *
 * Strict RFC 8259 on one line: commas, quotes and nesting are kept by the writer. Strings are bytes
 * from anywhere: what is not UTF-8 becomes U+FFFD, one for each byte, so that the document is
 * always valid; control characters, U+007F, U+2028 and U+2029 are escaped. Numbers above 2^53 lose
 * digits in many readers: write ids as strings. Memory failures stay in the buffer: see
 * buf_status().
 */
#ifndef PROTO_BASE_JSON_H
#define PROTO_BASE_JSON_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum { JSON_DEPTH_MAX = 32 };

struct json {
    struct buf *b;
    unsigned depth;
    bool keyed;     /* a key was written: its value comes next */
    bool done;      /* the outermost value is complete */
    uint32_t lists; /* bit d: the value open at depth d is a list */
    uint32_t begun; /* bit d: it has a member already */
};

/** Starts a document at the end of @b. */
void json_init(struct json *j, struct buf *b);

void json_object(struct json *j);
void json_list(struct json *j);
/** Closes the innermost object or list. */
void json_end(struct json *j);

/** The name of the next member; only directly inside an object. */
void json_key(struct json *j, const char *key);

void json_bytes(struct json *j, struct bytes v); /* as a string, see above */
void json_str(struct json *j, const char *v);    /* NULL is written as null */
void json_hex(struct json *j, struct bytes v);   /* as a string of lower case hex digits */
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_bool(struct json *j, bool v);
void json_null(struct json *j);
/** Puts a value in that is JSON already. */
void json_raw(struct json *j, struct bytes v);

/* Key and value at once. */
void json_key_bytes(struct json *j, const char *key, struct bytes v);
void json_key_str(struct json *j, const char *key, const char *v);
void json_key_u64(struct json *j, const char *key, uint64_t v);
void json_key_bool(struct json *j, const char *key, bool v);
/** A time in ms since 1970 as "2026-11-22T14:03:05.123Z". */
void json_key_time(struct json *j, const char *key, uint64_t ms);

/** Ends the document with a newline; everything must be closed. 0 or -ENOMEM. */
int json_finish(struct json *j) MUST_CHECK;

#endif
