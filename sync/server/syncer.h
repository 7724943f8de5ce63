/*
 * sync/server/syncer - puts on disk what was pushed, in a thread of its own, many pushes at once.
 *
 * A sync begins as soon as one is asked for, but not within SYNCER_GAP_MS of the beginning of the
 * one before: a lone push waits for nothing, and a thousand in a second share some hundred syncs.
 * Thread: the loop's; the function of the configuration is called from the loop.
 */
#ifndef SYNC_SERVER_SYNCER_H
#define SYNC_SERVER_SYNCER_H

#include "sync/net/loop.h"
#include "sync/server/spaces.h"

enum { SYNCER_GAP_MS = 4 };

struct srv_syncer;

struct srv_syncer_config {
    struct net_loop *loop;
    struct srv_spaces *spaces;
    /** Syncs up to number @sync have ended; @error: what failed of those since the last call. */
    void (*synced)(void *arg, uint64_t sync, int error);
    void *arg;
};

/** Errors: -ENOMEM, -EMFILE, -EAGAIN no thread. */
int srv_syncer_start(const struct srv_syncer_config *cfg, struct srv_syncer **ret) MUST_CHECK;

/** Asks for a sync of all that was pushed so far: its number, from 1 on. */
uint64_t srv_syncer_ask(struct srv_syncer *y);

/** Ends it after the sync that was asked for. Nothing is called any more. Accepts NULL. */
void srv_syncer_free(struct srv_syncer *y);

#endif
