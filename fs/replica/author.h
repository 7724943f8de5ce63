/*
 * fs/replica/author - the parts of an own change: collected from the state before an operation,
 * then written together. The last part of a facet counts.
 */
#ifndef FS_REPLICA_AUTHOR_H
#define FS_REPLICA_AUTHOR_H

#include "fs/replica/derive.h"
#include "fs/replica/names.h"
#include "fs/replica/past.h"

/* A part to write. Dot and context are filled in when it is. */
struct part {
    struct value v;
    bool keep_stamp;   /* else the stamp is a new one */
    struct dots extra; /* to be joined with the context */
};

/* The parts of one operation; all zero is empty. Memory is the arena's. */
struct parts {
    struct part *v;
    size_t n, cap;
};

/* A shown entry that an operation is about. */
struct at {
    struct record rec;
    struct slots slots;
    struct node node;
    struct claim claim;            /* where it is shown, and the name it wants */
    const struct slot *slot;       /* the place */
    struct group group;            /* all that want this name */
    const struct claimant *holder; /* what of the record is shown for it */
    struct bytes shown;            /* the name it is shown under */
};

/** Loads the entry @slot of @rid. -ENOENT when it is not shown. */
int author_at(struct replica *r, const struct rid *rid, const struct dot *slot,
              struct at *ret) MUST_CHECK;

/** The entry shown at @name in @dir: 1, or 0. */
int author_lookup(struct replica *r, const struct rid *dir, struct bytes name, struct rid *ret_rid,
                  struct dot *ret_slot) MUST_CHECK;

/** Adds a part, or replaces that of the same facet. */
int parts_add(struct replica *r, struct parts *ps, const struct part *p) MUST_CHECK;

/** A user's own place, meta, content. The values' bytes are borrowed until the change is written.
 */
int parts_place(struct replica *r, struct parts *ps, const struct rid *rid, const struct dot *slot,
                const struct value_place *place) MUST_CHECK;
int parts_meta(struct replica *r, struct parts *ps, const struct rid *rid,
               const struct value_meta *meta) MUST_CHECK;
int parts_content(struct replica *r, struct parts *ps, const struct rid *rid,
                  const struct value_content *content) MUST_CHECK;

/** Deleted directories from @dir up are made alive again. -EINVAL when @not_below is on the way. */
int parts_affirm(struct replica *r, struct parts *ps, const struct rid *dir,
                 const struct rid *not_below) MUST_CHECK;
/** Entry @e is about to leave its name: others that want it keep what they are shown under. */
int parts_pin(struct replica *r, struct parts *ps, const struct at *e) MUST_CHECK;
/** Directories that a cycle keeps elsewhere get the place that they are shown at. */
int parts_hold(struct replica *r, struct parts *ps) MUST_CHECK;
/** Siblings for the values @losers of a record. */
int parts_siblings(struct replica *r, struct parts *ps, const struct record *rec,
                   const struct slots *slots, const struct value *const *losers,
                   size_t n) MUST_CHECK;
/** Siblings for what an open conflict of a record would lose; none when there is no conflict. */
int parts_settle(struct replica *r, struct parts *ps, const struct record *rec,
                 const struct slots *slots) MUST_CHECK;
/**
 * Deletes the place of @e and every other place of the record at the same path, but for @but (may
 * be NULL). If those are all it has, the content goes too.
 */
int parts_bury(struct replica *r, struct parts *ps, const struct at *e,
               const struct dot *but) MUST_CHECK;

/** The content value @v with its body. */
int author_body(struct replica *r, const struct value *v, struct value_content *ret) MUST_CHECK;
/** Explicit origin of a value: what it embodies, as a set. */
int author_from(struct replica *r, const struct value *v, struct dots *ret) MUST_CHECK;

/** Writes the parts and brings the derived state up to date; on error the change is as at @mark. */
int author_write(struct change *c, const struct parts *ps, size_t mark, int rc) MUST_CHECK;

#endif
