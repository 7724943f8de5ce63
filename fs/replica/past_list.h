/*
 * fs/replica/past_list - the history of one record in memory, for the files of history.
 */
#ifndef FS_REPLICA_PAST_LIST_H
#define FS_REPLICA_PAST_LIST_H

#include "fs/replica/node.h"
#include "fs/replica/past.h"

/* Owned; all zero is empty. The oldest first. */
struct versions {
    struct history_version *v;
    size_t n, cap;
};

struct places {
    struct history_place *v;
    size_t n, cap;
};

int past_places(struct replica *r, const struct rid *rid, struct places *ret) MUST_CHECK;
void past_places_fini(struct places *l);

/** Every version, with what ended it according to @places. */
int past_versions(struct replica *r, const struct rid *rid, const struct places *places,
                  struct versions *ret) MUST_CHECK;
void past_versions_fini(struct versions *l);

#endif
