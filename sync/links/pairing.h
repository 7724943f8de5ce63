/*
 * sync/links/pairing - what the sync process does for a command that pairs (sync/pair): it has
 * another device found (on the local network, in a mailbox of a server, or where its person says
 * it is), and carries bytes between a stream with that device and the command.
 *
 *   /persist/pair/1.0.0   who joins opens it; who waits for nobody resets it without a word
 *
 * The process sees nameplate and sealed bytes, never the code. One command waits at a time, another
 * one may join. Thread: the loop's; no callback runs inside a call of this file.
 */
#ifndef SYNC_LINKS_PAIRING_H
#define SYNC_LINKS_PAIRING_H

#include "proto/local.pb-c.h"
#include "sync/links/peers.h"
#include "sync/links/remotes.h"
#include "sync/net/unix_frames.h"

enum {
    /* Devices at a time. One that has not shown in 5 s whether it has the code makes room. */
    PAIRING_RUNS_MAX = 4,
    PAIRING_CODES_HOUR = 20, /* codes that are waited with in an hour: each is three guesses */
};

struct pairing;

/**
 * Begins for the command at @conn, which is told of runs from then on; the servers of @remotes have
 * mailboxes in which it may meet. Errors, with a message:
 * -EINVAL nameplate or address; -ENOTCONN there are no direct links; -EBUSY another one waits;
 * -EACCES too many codes in an hour; -ENOMEM.
 */
int pairing_new(struct peers *p, const struct remotes *remotes, struct unix_conn *conn,
                const Persist__Pair *in, struct pairing **ret, struct err *err) MUST_CHECK;
/** Ends it with all of its runs. Accepts NULL. */
void pairing_free(struct pairing *g);

/** A frame of the command: PairData or PairEnd. -EPROTO: another one. */
int pairing_frame(struct pairing *g, const Persist__Local *f) MUST_CHECK;

#endif
