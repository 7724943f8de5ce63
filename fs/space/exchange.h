/*
 * fs/space/exchange - what a session with another replica needs of a space: its changes, and a way
 * to take in theirs. Own changes come from the tree alone.
 *
 *   sender    space_stream() -> replica_stream_next() each, then replica_stream_knowledge()
 *   receiver  content first: space_missing() says which chunks a change needs, space_put_chunk()
 *             stores them; then space_apply(); after the last, space_know()
 *
 * Thread: any. What is applied shows in the tree, and the kernel hears of it, when the call
 * returns.
 */
#ifndef FS_SPACE_EXCHANGE_H
#define FS_SPACE_EXCHANGE_H

#include "fs/replica/exchange.h"
#include "fs/space/space.h"
#include "fs/store/content.h"

/** What this replica knows, into @ret (which is initialised; the caller frees it). */
int space_knowledge(struct space *s, struct vv *ret) MUST_CHECK;

/** Begins to stream what @have does not cover; what is pending in the tree is published first. */
int space_stream(struct space *s, const struct vv *have, struct replica_stream **ret) MUST_CHECK;

/* Called with a content value of a change; anything but 0 ends the walk and is returned by it. */
typedef int (*exchange_content_fn)(void *arg, const struct value *content);

/** Calls @fn for each content in an encoded change. -EBADMSG. */
int exchange_each_content(struct bytes change, exchange_content_fn fn, void *arg) MUST_CHECK;

/**
 * Calls @fn for each chunk that an encoded change needs and that is not here: those of its
 * contents, and of contents that were deleted here and that it would show. What is superseded by
 * what is here needs none, as it would be dropped when it is applied; nor does what is deleted with
 * it.
 */
int space_missing(struct space *s, struct bytes change, content_need_fn fn, void *arg) MUST_CHECK;

/** A chunk, to be sent. -ENODATA. */
int space_get_chunk(struct space *s, const uint8_t id[static CONTENT_ID_BYTES],
                    struct db_value *ret) MUST_CHECK;

/** Stores a chunk that came. -EBADMSG: it is not what @id names. */
int space_put_chunk(struct space *s, const uint8_t id[static CONTENT_ID_BYTES],
                    struct bytes data) MUST_CHECK;

/**
 * Applies a change and shows it in the tree. 1: something was new, 0: nothing.
 * A file of this device that has the name of a new record and is not published yet is published
 * first, so that both meet as records. Errors as replica_apply(), and -ENODATA: chunks are missing
 * (again): space_missing() tells which.
 */
int space_apply(struct space *s, struct bytes change) MUST_CHECK;

/** All that @knowledge covers was applied. */
int space_know(struct space *s, const struct vv *knowledge) MUST_CHECK;

/** Sets who hears of each change that was published or applied; called with the space locked. */
void space_subscribe(struct space *s, void (*fn)(void *arg, const struct dot *dot, bool own),
                     void *arg);

#endif
