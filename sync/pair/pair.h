/*
 * sync/pair/pair - two devices meet over a connection, and a short code tells each that the other
 * one is that of the person who reads or types the code.
 *
 * A machine without sockets and clock: bytes go in by pair_feed() and come out of pair_out(). A
 * joins: it dialed, and its person types the code; B invites, and made the code. Each message is
 *
 *   uvarint length · number 1 · content
 *
 *   1 A→B, B→A   version 1 (1) · 16 random bytes              together the run's id, A's first
 *   2 A→B, B→A   share 32 · role 1 (A 1, B 2) · version 1 · features 4 (0)
 *   3 A→B        tag 64
 *   4 B→A        tag 64
 *   5 A→B        box of PeerId, uvarint length before it · what A gives B
 *   6 B→A        box of PeerId, the same                 · what B gives A
 *   7 A→B        box of nothing: A has it
 *
 * and a length of 0 says that this side ends it, whatever the reason: it tells nothing. A box is
 * nonce 24 · XChaCha20-Poly1305 under the sender's key, associated data = SHA-512(transcript) ·
 * number. The channel of CPace is "persist/pair/1", both PeerIds, A's first, and the hash of the
 * handshake below: who sits between two connections has two of these. B counts a try when message 2
 * comes, before its own share goes out, and has shown nothing of itself before A's tag is right.
 *
 * Errors of calls: -ENOMEM. How the run ended is in pair_end(). Thread: one.
 */
#ifndef SYNC_PAIR_PAIR_H
#define SYNC_PAIR_PAIR_H

#include "sync/pair/code.h"

#define PAIR_PROTOCOL "/persist/pair/1.0.0"

enum {
    PAIR_VERSION = 1,
    PAIR_MESSAGE_MAX = 64 * 1024, /* of one, without its length: a whole run has under 256 KiB */
    PAIR_PAYLOAD_MAX = 48 * 1024, /* of what one side gives the other */
    PAIR_ID_MAX = 64,             /* of a PeerId */
    PAIR_PROOF_BYTES = 125,       /* of A, messages 1 to 3: then B knows whether it has the code */
    PAIR_TRIES_MAX = 3,
    PAIR_CODE_MS = 300 * 1000, /* a code lives */
    PAIR_RUN_MS = 60 * 1000    /* of one run */
};

/* What is known of a code on the side that made it, over all runs on all routes. */
struct pair_tries {
    uint64_t expires_ms;
    unsigned tries; /* counted */
    bool used;      /* somebody knew it */
    bool busy;      /* a run goes on */
};

enum pair_state {
    PAIR_TALKS,
    PAIR_ASKS, /* what the peer gives is in pair_payload(): pair_answer() is awaited */
    PAIR_DONE,
    PAIR_FAILED
};

/* Why a run failed. */
enum pair_end {
    PAIR_OK, /* it did not */
    PAIR_WRONG_CODE,
    PAIR_EXPIRED,
    PAIR_USED,
    PAIR_TOO_MANY,      /* tries */
    PAIR_BUSY,          /* another device is at it */
    PAIR_REFUSED,       /* of A: B did not begin; it knows why */
    PAIR_GONE,          /* the peer, or it gave up, or took too long */
    PAIR_NOT_CONFIRMED, /* of B: A was given all, and did not say that it has it */
    PAIR_OTHER_VERSION,
    PAIR_FAULT, /* not the protocol, or changed on the way */
    PAIR_NO_MEMORY
};

struct pair_config {
    bool joins;          /* A */
    struct bytes own_id; /* PeerIds, binary; those of the connection */
    struct bytes peer_id;
    struct bytes channel;     /* the hash of the connection's handshake */
    struct pair_code code;    /* wiped in the machine as soon as it is used */
    struct bytes payload;     /* of A: what it gives B, at most PAIR_PAYLOAD_MAX */
    struct pair_tries *tries; /* of B: stays where it is as long as the run */
};

struct pair;

/** Begins a run; of B it may have failed at once. Nothing of @cfg but tries is borrowed. -EINVAL: a
 * PeerId or payload is too long; -ENOMEM; -EIO the library cannot start. */
int pair_new(const struct pair_config *cfg, uint64_t now_ms, struct pair **ret) MUST_CHECK;
/** Wipes and frees. Accepts NULL. */
void pair_free(struct pair *p);

/** Takes what the peer sent. */
enum pair_state pair_feed(struct pair *p, struct bytes in, uint64_t now_ms);
/** The connection has ended. */
enum pair_state pair_gone(struct pair *p);
/** To be called each second or so: a run that takes too long ends. */
enum pair_state pair_tick(struct pair *p, uint64_t now_ms);

/** What is to be sent, borrowed until the next call but pair_state() and pair_end(); after a
 * failure, too. */
struct bytes pair_out(const struct pair *p);
/** @n bytes of it were sent. */
void pair_sent(struct pair *p, size_t n);

enum pair_state pair_state(const struct pair *p);
enum pair_end pair_end(const struct pair *p);

/** What the peer gave; secret of B's. Borrowed until pair_answer(). */
struct bytes pair_payload(const struct pair *p);
/** In PAIR_ASKS. B: what it gives A, secret. A: @payload is empty, what B gave is stored. -EINVAL:
 * too long, or at another time. */
int pair_answer(struct pair *p, struct bytes payload) MUST_CHECK;

/** For the person at this side; NULL for PAIR_OK. */
const char *pair_end_text(enum pair_end end, bool joins);

#endif
