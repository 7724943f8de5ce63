/*
 * fs/replica/conflict_name - the names of what could not have its own.
 */
#ifndef FS_REPLICA_CONFLICT_NAME_H
#define FS_REPLICA_CONFLICT_NAME_H

#include "proto/hlc.h"
#include "proto/value.h"

enum {
    CONFLICT_PLUS_MAX = 15, /* '+' that may follow, so that equal conflict names differ */
    CONFLICT_NAME_MAX = LIMIT_NAME - CONFLICT_PLUS_MAX
};

/**
 * "stem (conflict from LABEL DATE #xxxxxxxx).ext" of @name; without the # part when @rid is NULL.
 * DATE is that of @hlc in UTC; the stem is cut, at a character, so that the name has at most
 * CONFLICT_NAME_MAX bytes. Returns its length. @label has at most LIMIT_LABEL bytes.
 */
size_t conflict_name(struct bytes name, const char *label, uint64_t hlc, const struct rid *rid,
                     char ret[static LIMIT_NAME + 1]);

#endif
