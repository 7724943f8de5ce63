/*
 * sync/links/handshake - how a device makes itself known to a server: Challenge, Proof, Welcome.
 *
 * A state machine without I/O: messages in, messages out. Thread: any.
 * Source: proto/session.proto, "Link".
 */
#ifndef SYNC_LINKS_HANDSHAKE_H
#define SYNC_LINKS_HANDSHAKE_H

#include "proto/frame.h"
#include "proto/sealed/keys.h"

enum {
    HANDSHAKE_WELCOMED = 1, /* what handshake_step() returns */
    HANDSHAKE_TEXT_SIZE = 256,
    HANDSHAKE_MEMBER_SIZE = 2 * SIGN_KEY_SIZE + BOX_KEY_SIZE
};

/* The label of the signature in a Proof. */
#define HANDSHAKE_LABEL "persist.link.1"

struct handshake {
    const struct member_keys *identity;
    uint8_t token_hash[HASH_SIZE];
    bool proved;
    /* Of a Welcome: the server's member keys, when it has some. */
    uint8_t member[HANDSHAKE_MEMBER_SIZE];
    size_t member_n;
    /* Of a failure: the code to close with, or which the server named, and why; escaped. */
    unsigned code;
    char text[HANDSHAKE_TEXT_SIZE];
};

/** Begins one. @identity (its sign keys alone are used) is borrowed until it is over. */
void handshake_init(struct handshake *h, const struct member_keys *identity, struct bytes token);

/**
 * Takes a message of the server. Appends what has to be sent to @ret_answer. Returns 0 to go on, or
 * HANDSHAKE_WELCOMED. Errors, with code and text: -EPROTO what came is not allowed here, -ENOTSUP
 * no common version (both: send the answer, an End, and close), -ECONNREFUSED the server ended it,
 * -ENOMEM.
 */
int handshake_step(struct handshake *h, struct bytes message, struct buf *ret_answer) MUST_CHECK;

#endif
