#include "sync/links/handshake.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "proto/base/escape.h"

void handshake_init(struct handshake *h, const struct member_keys *identity, struct bytes token)
{
    *h = (struct handshake){.identity = identity};
    crypto_generichash(h->token_hash, sizeof h->token_hash, token.p, token.n, NULL, 0);
}

/* Ends it from this side: says so to the server. */
static int refuse(struct handshake *h, int rc, unsigned code, const char *text, struct buf *answer)
{
    Persist__End end;
    persist__end__init(&end);
    Persist__Frame f = PERSIST__FRAME__INIT;
    h->code = code;
    snprintf(h->text, sizeof h->text, "%s", text);
    end.code = (Persist__Code)code;
    end.text = h->text;
    f.kind_case = PERSIST__FRAME__KIND_END;
    f.end = &end;
    return frame_encode(&f, answer) < 0 ? -ENOMEM : rc;
}

static bool offers_ours(const Persist__Challenge *c)
{
    for (size_t i = 0; i < c->n_versions; i++)
        if (c->versions[i] == FRAME_VERSION)
            return true;
    return false;
}

static int prove(struct handshake *h, const Persist__Challenge *c, struct buf *answer)
{
    uint8_t data[FRAME_NONCE_SIZE + HASH_SIZE], signature[SIGNATURE_SIZE];
    Persist__Proof proof = PERSIST__PROOF__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    memcpy(data, c->nonce.data, FRAME_NONCE_SIZE);
    memcpy(data + FRAME_NONCE_SIZE, h->token_hash, HASH_SIZE);
    label_sign(h->identity, HANDSHAKE_LABEL, bytes_of(data, sizeof data), signature);
    proof.version = FRAME_VERSION;
    proof.identity = frame_data(bytes_of(h->identity->sign_public, SIGN_KEY_SIZE));
    proof.signature = frame_data(bytes_of(signature, sizeof signature));
    f.kind_case = PERSIST__FRAME__KIND_PROOF;
    f.proof = &proof;
    h->proved = true;
    return frame_encode(&f, answer) < 0 ? -ENOMEM : 0;
}

static int on_challenge(struct handshake *h, const Persist__Challenge *c, struct buf *answer)
{
    if (!offers_ours(c)) {
        char text[FRAME_VERSIONS_SIZE];
        uint32_t newest = c->n_versions > 0 ? c->versions[c->n_versions - 1] : 0;
        return refuse(h, -ENOTSUP, PERSIST__CODE__CODE_VERSION,
                      frame_versions_text(FRAME_VERSION, newest, text), answer);
    }
    return prove(h, c, answer);
}

static int on_welcome(struct handshake *h, const Persist__Welcome *w)
{
    h->member_n = w->member.len; /* 0 or the whole: frame_decode() has looked */
    if (h->member_n > 0)
        memcpy(h->member, w->member.data, h->member_n);
    return HANDSHAKE_WELCOMED;
}

static int on_end(struct handshake *h, const Persist__End *e)
{
    h->code = (unsigned)e->code;
    escape_to(h->text, sizeof h->text, bytes_str(e->text));
    return -ECONNREFUSED;
}

static int on_frame(struct handshake *h, const Persist__Frame *f, struct buf *answer)
{
    if (f->kind_case == PERSIST__FRAME__KIND_END)
        return on_end(h, f->end);
    if (!h->proved && f->kind_case == PERSIST__FRAME__KIND_CHALLENGE)
        return on_challenge(h, f->challenge, answer);
    if (h->proved && f->kind_case == PERSIST__FRAME__KIND_WELCOME)
        return on_welcome(h, f->welcome);
    return refuse(h, -EPROTO, PERSIST__CODE__CODE_PROTOCOL, "not allowed before the Welcome",
                  answer);
}

int handshake_step(struct handshake *h, struct bytes message, struct buf *ret_answer)
{
    Persist__Frame *f;
    if (frame_decode(message, &f) < 0)
        return refuse(h, -EPROTO, PERSIST__CODE__CODE_PROTOCOL, "not a frame of this protocol",
                      ret_answer);
    int rc = on_frame(h, f, ret_answer);
    frame_free(f);
    return rc;
}
