/*
 * fs/replica/derive - what the values of one record say, by themselves.
 *
 * Source: README.md, Reading. Results point into the record and the arena.
 */
#ifndef FS_REPLICA_DERIVE_H
#define FS_REPLICA_DERIVE_H

#include "fs/replica/record.h"

/* One of the record's places. */
struct slot {
    struct dot slot;
    const struct value *win; /* where it is, or was */
    bool live;               /* not deleted */
    bool shown;              /* the record is at it: live, or revived by an unseen save */
};

struct slots {
    struct slot *v; /* ascending by slot */
    size_t n;
    bool own; /* the record is alive by itself: one slot or more is shown */
};

/** Reads all places and whether the record lives. n == 0: it has no place yet. */
int derive_slots(struct replica *r, const struct record *rec, struct slots *ret) MUST_CHECK;

const struct slot *derive_slot(const struct slots *s, const struct dot *slot);

/** Order of place and meta values: stamp, dot. */
int derive_cmp(const struct value *a, const struct value *b);
/** Order of content values: stamp, number of saves in it, hash, dot. */
int derive_content_cmp(const struct value *a, const struct value *b);

/** The meta or the content value that shows; NULL: none. */
const struct value *derive_meta(const struct record *rec);
const struct value *derive_content(const struct record *rec);

/** Content values that no greater one accounts for, the greatest first; two or more: a conflict. */
int derive_unsettled(struct replica *r, const struct record *rec, const struct value ***ret,
                     size_t *ret_n) MUST_CHECK;

/** Whether two content values have the same bytes. */
bool derive_same_bytes(const struct value *a, const struct value *b);

#endif
