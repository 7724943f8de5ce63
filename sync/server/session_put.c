/* What a session pushes: storing it, acknowledging it, refusing it. */
#include <errno.h>
#include <stdlib.h>

#include "proto/sealed/grant.h"
#include "sync/server/managed.h"
#include "sync/server/session_priv.h"

/* ---- what the session pushed itself ---- */

static void forget_oldest(struct srv_session *s)
{
    s->own_n--;
    memmove(s->own, s->own + 1, s->own_n * sizeof *s->own);
}

/* Without memory it is forgotten: the device gets back what it sent. */
static void note_own(struct srv_session *s, uint64_t seq)
{
    if (s->own_n > 0 && s->own[s->own_n - 1].last + 1 == seq) {
        s->own[s->own_n - 1].last = seq;
        return;
    }
    if (s->own_n == OWN_RANGES_MAX)
        forget_oldest(s);
    if (s->own_n == s->own_cap) {
        size_t cap = s->own_cap == 0 ? 8 : 2 * s->own_cap;
        struct own_range *own = reallocarray(s->own, cap, sizeof *own);
        if (own == NULL)
            return;
        s->own = own;
        s->own_cap = cap;
    }
    s->own[s->own_n++] = (struct own_range){seq, seq};
}

bool session_is_own(struct srv_session *s, uint64_t seq)
{
    while (s->own_n > 0 && s->own[0].last < seq)
        forget_oldest(s);
    return s->own_n > 0 && s->own[0].first <= seq;
}

uint64_t session_own_end(struct srv_session *s)
{
    return session_is_own(s, s->cursor + 1) ? s->own[0].last : s->cursor;
}

/* ---- storing ---- */

/* Its act is in the log already, and was passed on to it. */
static int put_out(struct srv_session *s, const uint8_t identity[static SIGN_KEY_SIZE],
                   struct err *err)
{
    uint8_t peer[PEER_ID_BYTES];
    peer_id_of_key(identity, peer);
    int rc = srv_push_door(s->hub->cfg.spaces, &s->at, bytes_of(NULL, 0), srv_now_ms(), err);
    if (rc >= 0)
        rc = srv_token_revoke_peer(s->hub->cfg.accounts, s->at.account, peer, err);
    return rc < 0 ? rc : 0;
}

static int store(struct srv_session *s, const Persist__Put *p, struct err *err)
{
    struct srv_spaces *spaces = s->hub->cfg.spaces;
    uint64_t now = srv_now_ms();
    uint64_t seq = 0;
    int rc;
    if (p->what_case == PERSIST__PUT__WHAT_ACT) {
        rc = srv_push_act(spaces, &s->at, frame_bytes(p->act), now, &seq, err);
    } else if (p->what_case == PERSIST__PUT__WHAT_ENTRY) {
        rc = srv_push_entry(spaces, &s->at, frame_bytes(p->entry), now, &seq, err);
    } else if (p->what_case == PERSIST__PUT__WHAT_CHUNK) {
        struct srv_chunk c = {p->chunk->id.data, frame_bytes(p->chunk->sealed)};
        rc = srv_push_chunk(spaces, &s->at, &c, now, err);
    } else if (p->what_case == PERSIST__PUT__WHAT_REVOKED) {
        rc = put_out(s, p->revoked.data, err);
    } else if (grant_is(frame_bytes(p->door))) {
        rc = srv_managed_grant(s->hub->cfg.managed, &s->at, frame_bytes(p->door), err);
    } else {
        rc = srv_push_door(spaces, &s->at, frame_bytes(p->door), now, err);
    }
    if (seq != 0)
        note_own(s, seq);
    if (rc == 1 && p->what_case == PERSIST__PUT__WHAT_CHUNK)
        session_pass(s, p->chunk);
    return rc;
}

static Persist__Code code_of(int error)
{
    switch (error) {
    case -EBADMSG:
    case -ENOTSUP:
        return PERSIST__CODE__CODE_MALFORMED;
    case -ENOENT:
        return PERSIST__CODE__CODE_NO_SPACE;
    case -EEXIST:
        return PERSIST__CODE__CODE_VARIANTS;
    case -EDQUOT:
        return PERSIST__CODE__CODE_QUOTA;
    case -ENOSPC:
        return PERSIST__CODE__CODE_FULL;
    case -EMFILE:
        return PERSIST__CODE__CODE_LIMIT;
    default:
        return PERSIST__CODE__CODE_INTERNAL;
    }
}

static void taken(struct srv_session *s, uint64_t id)
{
    s->exists = true;
    s->put_id = id;
    uint64_t sync = hub_wait_sync(s);
    s->pending[sync % 2].sync = sync;
    s->pending[sync % 2].id = id;
}

/* Stores, and takes the frame over when it comes too fast. */
static void put(struct srv_session *s, Persist__Frame **f)
{
    struct err err = {0};
    const Persist__Put *p = (*f)->put;
    int rc = store(s, p, &err);
    if (rc >= 0) {
        taken(s, p->id);
    } else if (rc == -EAGAIN) {
        uint64_t wait = srv_spaces_wait_ms(s->hub->cfg.spaces, s->at.account, srv_now_ms());
        s->stalled = TAKE_PTR(*f);
        net_timer_set(s->timer, max_u64(wait, 1));
    } else {
        s->puts = PUTS_REFUSED;
        s->refused_code = code_of(rc);
        s->refused_text = strdup(err.msg);
        session_pump(s);
    }
}

void session_put(struct srv_session *s, Persist__Frame **f)
{
    if (s->puts != PUTS_TAKEN)
        return; /* sent before the device knew */
    if ((*f)->put->id != s->put_id + 1)
        session_end(s, PERSIST__CODE__CODE_PROTOCOL, "the ids of Puts are not in order");
    else
        put(s, f);
}

void session_put_again(struct srv_session *s)
{
    Persist__Frame *f = TAKE_PTR(s->stalled);
    if (s->state == SESSION_OPEN && f != NULL)
        put(s, &f);
    frame_free(f);
    session_steer(s);
}

void session_puts_synced(struct srv_session *s, uint64_t sync)
{
    for (size_t i = 0; i < ARRAY_N(s->pending); i++)
        if (s->pending[i].sync != 0 && s->pending[i].sync <= sync) {
            s->synced_id = max_u64(s->synced_id, s->pending[i].id);
            s->pending[i].sync = 0;
        }
}
