/*
 * sync/server/token - what a device shows to a server: "ps1_" and, as base64url without padding, 8
 * bytes that name the token and 32 random bytes, of which the server keeps only a hash.
 */
#ifndef SYNC_SERVER_TOKEN_H
#define SYNC_SERVER_TOKEN_H

#include "proto/base/buf.h"

enum {
    TOKEN_ID_BYTES = 8,
    TOKEN_BYTES = TOKEN_ID_BYTES + 32,
    TOKEN_HASH_BYTES = 32,
    TOKEN_TEXT_SIZE = 4 + 54 + 1, /* with its NUL */
    TOKEN_ID_TEXT_SIZE = 2 * TOKEN_ID_BYTES + 1
};

struct token {
    uint8_t b[TOKEN_BYTES]; /* wipe it with sodium_memzero() */
};

/** A new one, from the random source of libsodium. */
void token_make(struct token *ret);

/** Its text; secret like the token. Returns @ret. */
const char *token_text(const struct token *t, char ret[TOKEN_TEXT_SIZE]);

/** Takes exactly one text for each token. -EBADMSG. */
int token_parse(struct bytes text, struct token *ret) MUST_CHECK;

void token_hash(const struct token *t, uint8_t ret[TOKEN_HASH_BYTES]);

/** The id that people see: 16 hex digits. Returns @ret. */
const char *token_id_text(const uint8_t id[TOKEN_ID_BYTES], char ret[TOKEN_ID_TEXT_SIZE]);
/** -EBADMSG when @text is anything but 16 lower case hex digits. */
int token_id_parse(const char *text, uint8_t ret[TOKEN_ID_BYTES]) MUST_CHECK;

#endif
