#include "sync/server/token.h"

#include <errno.h>
#include <sodium.h>

#include "proto/hash.h"

static const char head[] = "ps1_";
enum { HEAD_BYTES = sizeof head - 1, FORM = sodium_base64_VARIANT_URLSAFE_NO_PADDING };

_Static_assert(TOKEN_TEXT_SIZE == HEAD_BYTES + sodium_base64_ENCODED_LEN(TOKEN_BYTES, FORM),
               "a token's text has one length");

void token_make(struct token *ret)
{
    randombytes_buf(ret->b, sizeof ret->b);
}

const char *token_text(const struct token *t, char ret[TOKEN_TEXT_SIZE])
{
    memcpy(ret, head, HEAD_BYTES);
    sodium_bin2base64(ret + HEAD_BYTES, TOKEN_TEXT_SIZE - HEAD_BYTES, t->b, sizeof t->b, FORM);
    return ret;
}

int token_parse(struct bytes text, struct token *ret)
{
    if (text.n != TOKEN_TEXT_SIZE - 1 || memcmp(text.p, head, HEAD_BYTES) != 0)
        return -EBADMSG;
    size_t n = 0;
    if (sodium_base642bin(ret->b, sizeof ret->b, (const char *)text.p + HEAD_BYTES,
                          text.n - HEAD_BYTES, NULL, &n, NULL, FORM) != 0 ||
        n != sizeof ret->b)
        return -EBADMSG;
    /* The decoder takes some bytes for letters that are none. */
    char again[TOKEN_TEXT_SIZE];
    int differs = sodium_memcmp(token_text(ret, again), text.p, text.n);
    sodium_memzero(again, sizeof again);
    return differs == 0 ? 0 : -EBADMSG;
}

void token_hash(const struct token *t, uint8_t ret[TOKEN_HASH_BYTES])
{
    _Static_assert((int)TOKEN_HASH_BYTES == (int)HASH_SIZE, "the hash is BLAKE2b-256");
    struct bytes all = bytes_of(t->b, sizeof t->b);
    hash_parts(NULL, "persist.token.1", &all, 1, ret);
}

const char *token_id_text(const uint8_t id[TOKEN_ID_BYTES], char ret[TOKEN_ID_TEXT_SIZE])
{
    return sodium_bin2hex(ret, TOKEN_ID_TEXT_SIZE, id, TOKEN_ID_BYTES);
}

int token_id_parse(const char *text, uint8_t ret[TOKEN_ID_BYTES])
{
    char again[TOKEN_ID_TEXT_SIZE];
    size_t n = 0;
    if (sodium_hex2bin(ret, TOKEN_ID_BYTES, text, strlen(text), NULL, &n, NULL) != 0 ||
        n != TOKEN_ID_BYTES || strcmp(token_id_text(ret, again), text) != 0)
        return -EBADMSG;
    return 0;
}
