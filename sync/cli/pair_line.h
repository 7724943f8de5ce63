/*
 * sync/cli/pair_line - the connection of `persist pair` to the sync process, which meets the other
 * device for it (Pair of proto/local.proto). Thread: one.
 */
#ifndef SYNC_CLI_PAIR_LINE_H
#define SYNC_CLI_PAIR_LINE_H

#include "proto/local.pb-c.h"
#include "sync/cli/session.h"
#include "sync/pair/pair.h"

enum {
    PAIR_LINE_TICK_MS = 200, /* how long pair_line_next() waits at most */
    PAIR_LINE_END_MS = 5000  /* until the other device has ended a run, too */
};

/**
 * Has the process wait, or look, for a device; it is started when it does not run. @address: where,
 * or NULL. @ret_reply says where this device is (addresses); free it with frame_local_free(). Close
 * the descriptor: that ends it all. Errors, with a message: as sync_ensure(), local_ask().
 */
int pair_line_open(const struct session *s, bool joins, const char *nameplate, const char *address,
                   int *ret_fd, Persist__Local **ret_reply, struct err *err) MUST_CHECK;

/** The next frame, PairRun, PairData or PairEnd: 1; 0: none came so far. Errors as local_fail(). */
int pair_line_next(int fd, Persist__Local **ret, struct err *err) MUST_CHECK;

/** Sends what the machine of run @id has to say. Errors as local_fail(). */
int pair_line_flush(int fd, uint32_t id, struct pair *p, struct err *err) MUST_CHECK;

/** Ends run @id after what was sent. */
int pair_line_end(int fd, uint32_t id, struct err *err) MUST_CHECK;

/** Waits until run @id has ended: whether both sides ended it, in PAIR_LINE_END_MS. */
bool pair_line_ends(int fd, uint32_t id);

/** ^C and the like end no command of pairing before it has cleaned up: pair_line_cancelled(). */
void pair_line_catch(void);
bool pair_line_cancelled(void);

/** Milliseconds of a clock that never goes back, for the machine. */
uint64_t pair_line_now_ms(void);

/** The last 8 characters of a binary PeerId: what people compare. */
const char *pair_line_short(struct bytes peer_id, char ret[static 9]);

#endif
