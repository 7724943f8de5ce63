/*
 * proto/glob - the patterns of a .gitignore and of a .gitattributes, against paths.
 *
 * Pure. Names are bytes, compared as they are. `*`, `?`, `[a-z]`, `[!a]`, `[[:digit:]]` and `\`
 * are of one name; `**` between slashes stands for any folders. A match takes time in proportion to
 * the length of the pattern times that of the path, whatever the two are. Source: gitignore(5). As
 * there, a pattern whose bracket or backslash is not closed matches nothing.
 */
#ifndef PROTO_GLOB_H
#define PROTO_GLOB_H

#include "proto/base/buf.h"

struct glob {
    struct bytes pattern; /* borrowed; without a '/' at its beginning */
    bool anchored; /* it had one there or has one inside: of the whole path, not of the last name */
};

/** Takes a pattern that does not end in '/'. */
struct glob glob_of(struct bytes pattern);

/** Whether a path, relative to where the pattern stands and without '/' at its ends, matches. */
bool glob_match(const struct glob *g, struct bytes path);

#endif
