#include "tests/support/greet.h"

#include <sodium.h>
#include <stdlib.h>

void greet_frame(const Persist__Frame *f, struct buf *ret)
{
    if (frame_encode(f, ret) < 0)
        abort();
}

void greet_init(struct greet *g, struct bytes token)
{
    crypto_generichash(g->token_hash, HASH_SIZE, token.p, token.n, NULL, 0);
}

void greet_challenge(struct greet *g, unsigned version, struct buf *ret)
{
    uint32_t versions[] = {version};
    Persist__Challenge c = PERSIST__CHALLENGE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    randombytes_buf(g->nonce, sizeof g->nonce);
    c.n_versions = 1;
    c.versions = versions;
    c.nonce = frame_data(bytes_of(g->nonce, sizeof g->nonce));
    f.kind_case = PERSIST__FRAME__KIND_CHALLENGE;
    f.challenge = &c;
    greet_frame(&f, ret);
}

bool greet_is_proved(const struct greet *g, const Persist__Proof *proof)
{
    uint8_t data[FRAME_NONCE_SIZE + HASH_SIZE];
    memcpy(data, g->nonce, FRAME_NONCE_SIZE);
    memcpy(data + FRAME_NONCE_SIZE, g->token_hash, HASH_SIZE);
    return label_verify(proof->identity.data, "persist.link.1", bytes_of(data, sizeof data),
                        proof->signature.data) == 0;
}

const char *greet_end(unsigned code, struct buf *ret)
{
    static char text[] = "as the test wants it";
    Persist__End e;
    Persist__Frame f = PERSIST__FRAME__INIT;
    persist__end__init(&e);
    e.code = (Persist__Code)code;
    e.text = text;
    f.kind_case = PERSIST__FRAME__KIND_END;
    f.end = &e;
    greet_frame(&f, ret);
    return text;
}
