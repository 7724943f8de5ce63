/*
 * fs/space/ignore - which names stay on this device: those of a built-in list, and what files named
 * .persistignore say of what is below their folder.
 *
 * Thread: any; space.lock is held, unless said otherwise.
 */
#ifndef FS_SPACE_IGNORE_H
#define FS_SPACE_IGNORE_H

#include "fs/space/space_priv.h"

/* The name of a file of rules. */
#define IGNORE_RULES ".persistignore"

/** Before and after everything else here; no lock is needed. -ENOMEM. */
int ignore_open(struct space *s) MUST_CHECK;
void ignore_close(struct space *s);

/** Whether a file of this name holds rules. No lock is needed. */
bool ignore_is_rules(struct bytes name);

/** Whether a name in folder @dir stays on this device, for itself or for a folder above it. */
int ignore_name(struct space *s, const struct rid *dir, struct bytes name, bool is_dir,
                bool *ret) MUST_CHECK;

/**
 * 1: rules that this name in folder @dir is under have been changed and are not in force yet. To be
 * asked after ignore_name() of it.
 */
int ignore_unsettled(struct space *s, uint64_t dir, struct bytes name) MUST_CHECK;

/** 1: folder @dir has no record because it, or one that it is in, is ignored. 0: it will have. */
int ignore_folder(struct space *s, uint64_t dir) MUST_CHECK;

/**
 * Notes in @x, for one effect of a change, what has to be looked at again because of it: the names
 * below a folder whose rules changed, or that was moved to other ones.
 */
int ignore_effect(struct space *s, struct op *x, const struct replica_effect *e) MUST_CHECK;

/**
 * Looks again, if that was noted for folder @dir, and makes pending what has no record and is not
 * ignored. 1: rules changed meanwhile, come again. No lock may be held.
 */
int ignore_relook(struct space *s, uint64_t dir) MUST_CHECK;

#endif
