/*
 * fs/space/merger - the thread that looks at open conflicts and ends them as the merge policy says:
 * what can be merged becomes one content, what cannot becomes a sibling file.
 *
 * Any device may end a conflict whose contents it has seen whole; that all end it alike, and that
 * ends, is the records' business (fs/replica). What this device could only do worse than another
 * one, for it lacks the version that both come from or the driver, it leaves to others for a while.
 */
#ifndef FS_SPACE_MERGER_H
#define FS_SPACE_MERGER_H

#include "fs/space/space_priv.h"

int merger_start(struct space *s) MUST_CHECK;
/** Ends the thread, and a driver that is running. */
void merger_stop(struct space *s);
/** Conflicts may have come, or can be ended now. Cheap; thread: any, no lock needed. */
void merger_wake(struct space *s);
/** Looks at all conflicts before it returns; @impatient: nothing is left to others. No lock. */
int merger_flush(struct space *s, bool impatient) MUST_CHECK;
/** Keeps the thread from working (flushing still does) until merger_release(). Counts. */
void merger_hold(struct space *s);
void merger_release(struct space *s);

/* ---- merge_record.c ---- */
enum merge_result {
    MERGE_ENDED,   /* there is no conflict any more */
    MERGE_LEFT,    /* to another device, that can do it better */
    MERGE_NOT_NOW, /* not all of it is here; what comes wakes the thread */
};

/** Ends the conflict of one record, if it can be: enum merge_result, or a negative errno. */
int merge_record(struct space *s, const struct rid *rid, bool impatient) MUST_CHECK;
/* What a person wants of a conflict. */
enum keep {
    KEEP_THIS,  /* what is shown; the rest is in the history */
    KEEP_OTHER, /* the other one; what is shown is in the history */
    KEEP_BOTH,
};

/**
 * Ends the open conflict of a record as a person says. -EALREADY: there is none, -ENOTUNIQ: there
 * are several others, -EAGAIN: not all of it has come.
 */
int merge_keep(struct space *s, const struct rid *rid, enum keep keep) MUST_CHECK;
/**
 * What a file became that was saved on top of an older version than the one that is shown: merges
 * @saved, an edit of @base, with it. 1: @ret (its body in @body) has both, and takes the place of
 * version @ret_over alone. 0: it cannot be. The builds lock is held, no other.
 */
int merge_stale(struct space *s, const struct rid *rid, const struct dot *base,
                const struct value_content *saved, struct buf *body, struct value_content *ret,
                struct dot *ret_over) MUST_CHECK;

#endif
