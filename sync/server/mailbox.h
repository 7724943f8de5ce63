/*
 * sync/server/mailbox - the mailboxes of a server: pipes of bytes for two devices that meet under a
 * nameplate (sync/net/ws_pair.h). Without sockets and clock.
 *
 * Who invites makes one, with a token; who joins finds it while who invites is there. When a run is
 * over both ends are closed, and who invites comes back for the next one. There is one mailbox of a
 * user at a time, so that nobody takes all nameplates: a new one takes the place of the old one.
 * Nothing is queued here: an end whose pipe is full is not sent to, as the other is not read.
 * Thread: one.
 */
#ifndef SYNC_SERVER_MAILBOX_H
#define SYNC_SERVER_MAILBOX_H

#include "sync/server/token.h"

enum {
    SRV_MAILBOX_MS = 300 * 1000,   /* a mailbox lives, from when it was made */
    SRV_MAILBOX_JOINS = 3,         /* it is joined, in all */
    SRV_MAILBOX_BYTES = 512 << 10, /* it carries, in all */
    SRV_MAILBOX_RATE = 10          /* joins a minute from an address, or of a user */
};

struct srv_mailboxes;

/* One device's end: from the answer to its request on, until srv_mailbox_closed(). */
struct srv_mailbox_end;

/* What carries the bytes of an end; @to is what srv_mailbox_opened() was given. */
struct srv_mailbox_wire {
    /** 0: taken; 1: taken, and nothing more until srv_mailbox_writable(); or negative.
     */
    int (*send)(void *to, struct bytes message);
    /** Reads on, or does not. */
    void (*read)(void *to, bool on);
    /** After what was sent; srv_mailbox_closed() follows, not from in here. */
    void (*close)(void *to, unsigned code, const char *text);
};

struct srv_mailbox_stats {
    uint64_t open;            /* now */
    uint64_t made;            /* ever, as the following */
    uint64_t joined, refused; /* joins */
};

/** @wire is borrowed. -ENOMEM. */
int srv_mailboxes_new(const struct srv_mailbox_wire *wire, struct srv_mailboxes **ret) MUST_CHECK;
/** After all ends are closed. Accepts NULL. */
void srv_mailboxes_free(struct srv_mailboxes *m);

struct srv_mailbox_stats srv_mailboxes_stats(const struct srv_mailboxes *m);

/**
 * Makes the mailbox of @nameplate for the token @id of @account, or comes back to it: then an end
 * that this token still has there is closed. @now_ms: of a clock that does not go back. 0 and *ret,
 * or an HTTP status: 409 another token has it, 429 it has served its joins or bytes, 503.
 */
unsigned srv_mailbox_invite(struct srv_mailboxes *m, unsigned nameplate, uint64_t account,
                            const uint8_t id[static TOKEN_ID_BYTES], uint64_t now_ms,
                            struct srv_mailbox_end **ret);

/**
 * Joins, from @address as limiter.h has it, with a token of @account, or 0 without. 0 and *ret, or
 * 404 nobody invites under the nameplate, or not at the moment; 409 somebody has joined, and is at
 * it; 429 too many joins of the mailbox or from there; 503.
 */
unsigned srv_mailbox_join(struct srv_mailboxes *m, unsigned nameplate, uint64_t account,
                          struct bytes address, uint64_t now_ms, struct srv_mailbox_end **ret);

/** What carries the end is open. */
void srv_mailbox_opened(struct srv_mailbox_end *e, void *to);
/** A message came from there; there is room again. */
void srv_mailbox_message(struct srv_mailbox_end *e, struct bytes message);
void srv_mailbox_writable(struct srv_mailbox_end *e);
/** It is gone, opened or not; frees @e. */
void srv_mailbox_closed(struct srv_mailbox_end *e);

/** Ends what is too old: milliseconds until this is to be called again; 0: there is none. */
uint64_t srv_mailboxes_tend(struct srv_mailboxes *m, uint64_t now_ms);

/** Ends the mailboxes of tokens that @is_live says are gone. */
void srv_mailboxes_check(struct srv_mailboxes *m,
                         bool (*is_live)(void *arg, const uint8_t id[TOKEN_ID_BYTES]), void *arg);

#endif
