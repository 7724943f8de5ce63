/*
 * fs/space/sync_list - the lists of a full comparison, as content: made of what is held here, and
 * read when another's has come. Not for others than sync_compare.c.
 */
#ifndef FS_SPACE_SYNC_LIST_H
#define FS_SPACE_SYNC_LIST_H

#include "fs/space/sync_priv.h"

/**
 * Goes on with the own list, or begins one, when all own changes are signed: 1, it is to be called
 * again; 0: it is made, and said by a STATE; or an error, and nothing is left of it. Lock not held.
 */
int sync_list_make(struct space *s) MUST_CHECK;
/** A list is not said any more. */
int sync_list_unref(struct db_batch *batch, struct bytes body) MUST_CHECK;
/**
 * Compares with the list that came. 0; -ENODATA: it is not here as a whole; -EBADMSG: it makes no
 * sense. Lock not held; @ret is to be freed with it.
 */
int sync_list_compare(struct space *s, struct comparison **ret) MUST_CHECK;

#endif
