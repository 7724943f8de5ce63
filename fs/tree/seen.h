/*
 * fs/tree/seen - which version of each file every process saw last: so that what it saves later is
 * known to be an edit of that one, though another device's version is there by then.
 *
 * In memory, and bounded: a process keeps its newest SEEN_OF_ONE_MAX views, all of them together
 * SEEN_MAX. What is forgotten, or is of an earlier mount, makes a save an edit of what is there.
 *
 * A process is known by its number, and that it began before it opened the file: else another one
 * has got the number since. Requests bear the number of a thread; which process that is of is
 * looked up by a thread of this, some ms later, or when it matters: no open waits for /proc.
 *
 * Thread: any. A leaf: no lock is taken while its own is held, and /proc is not read under it.
 */
#ifndef FS_TREE_SEEN_H
#define FS_TREE_SEEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/tree/attr.h"

enum {
    SEEN_MAX = 8192,
    SEEN_OF_ONE_MAX = 512,
    SEEN_SETTLE_MS = 50, /* what is gone after that has nothing to save */
};

struct seen;

/* Where processes are looked up: process.h, but in a test of the numbers that are used again. */
struct seen_source {
    int (*process_of)(pid_t thread, pid_t *ret);
    int (*process_began)(pid_t process, uint64_t *ret_ms);
    uint64_t (*now_ms)(void);
};

/** NULL: out of memory, or no thread. @source NULL: this machine's. */
struct seen *seen_new(const struct seen_source *source) MUST_CHECK;
void seen_free(struct seen *s); /* accepts NULL */

/** From now on this thread works for that one of a program; 0: for none. */
void seen_caller(pid_t thread);
/** Looks up now what is still to be. */
void seen_settle(struct seen *s);

/** The caller sees what is in the file: its base, or (when it is dirty) what is not published. */
void seen_read(struct seen *s, const struct attr *a);
/** The caller opens the file to write; what it saw of it before stays its view. */
void seen_write(struct seen *s, const struct attr *a);
/**
 * The version that the caller saw last of a record, if another one has come from elsewhere since
 * then that it did not see. False: it is to be taken as having seen what is there.
 */
bool seen_behind(struct seen *s, const uint8_t record[16], struct base_ref *ret);
/**
 * What was in file @ino is version @ref now: who wrote it has seen that. @merged: what is shown is
 * another one, made of it and of what had come meanwhile.
 */
void seen_published(struct seen *s, uint64_t ino, const struct base_ref *ref, bool merged);
/**
 * File @a, as it still is, becomes that of @record instead of its own: who saw what is in it has
 * seen that of this record, once seen_published() says which version it is.
 */
void seen_moved(struct seen *s, const struct attr *a, const uint8_t record[16]);
/** What is shown of a record came from elsewhere: nobody has seen it yet. */
void seen_replaced(struct seen *s, const uint8_t record[16]);

#endif
