/*
 * tests/support/greet - what the servers of tests say before a session: the Challenge, what becomes
 * of the Proof, the End.
 */
#ifndef TESTS_SUPPORT_GREET_H
#define TESTS_SUPPORT_GREET_H

#include "proto/frame.h"
#include "proto/sealed/keys.h"
#include "sync/net/ws_server.h"

/* Of one connection. */
struct greet {
    uint8_t nonce[FRAME_NONCE_SIZE], token_hash[HASH_SIZE];
};

/** Takes the token of the connection. */
void greet_init(struct greet *g, struct bytes token);
/** Appends a Challenge for @version of the protocol. */
void greet_challenge(struct greet *g, unsigned version, struct buf *ret);
/** Whether the identity in it is proved. */
bool greet_is_proved(const struct greet *g, const Persist__Proof *proof);
/** Appends an End, and what it says, which is good for a close, too. */
const char *greet_end(unsigned code, struct buf *ret);
/** Appends any frame. */
void greet_frame(const Persist__Frame *f, struct buf *ret);

#endif
