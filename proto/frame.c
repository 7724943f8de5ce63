#include "proto/frame.h"

#include <errno.h>
#include <stdio.h>

#include "proto/id.h"
#include "proto/peer_id.h"
#include "proto/sealed/chunk.h"
#include "proto/sealed/grant.h"
#include "proto/sealed/keys.h"

enum { WIRE_MEMBER_SIZE = 2 * SIGN_KEY_SIZE + BOX_KEY_SIZE, WIRE_VERSIONS_MAX = 16 };

const char *frame_versions_text(uint32_t device, uint32_t server, char ret[FRAME_VERSIONS_SIZE])
{
    const char *old = device < server ? "device" : "server";
    const char *new = device < server ? "server" : "device";
    snprintf(ret, FRAME_VERSIONS_SIZE,
             "the %s's persist is older than the %s's (protocol %u, not %u); update it on the %s",
             old, new, device < server ? device : server, device < server ? server : device, old);
    return ret;
}

ProtobufCBinaryData frame_data(struct bytes v)
{
    /* protobuf-c does not write to what it encodes, but its type has no const. */
    union {
        const uint8_t *in;
        uint8_t *out;
    } p = {.in = v.p};
    return (ProtobufCBinaryData){.len = v.n, .data = p.out};
}

static bool is_size(ProtobufCBinaryData v, size_t n)
{
    return v.len == n;
}

static bool is_size_or_empty(ProtobufCBinaryData v, size_t n)
{
    return v.len == 0 || v.len == n;
}

static bool is_text(const char *s)
{
    return s == NULL || strlen(s) <= FRAME_TEXT_MAX;
}

static bool spaces_valid(const Persist__Spaces *s)
{
    bool ok = s->n_spaces <= FRAME_SPACES_MAX;
    for (size_t i = 0; ok && i < s->n_spaces; i++)
        ok = is_size(s->spaces[i]->id, SPACE_ID_SIZE) && s->spaces[i]->door.len <= GRANT_BLOB_MAX;
    return ok;
}

static bool members_valid(const Persist__Members *m)
{
    bool ok = m->n_identities <= FRAME_ONLINE_MAX && m->n_names <= FRAME_NAMES_MAX;
    for (size_t i = 0; ok && i < m->n_identities; i++)
        ok = is_size(m->identities[i], SIGN_KEY_SIZE);
    for (size_t i = 0; ok && i < m->n_names; i++)
        ok = is_size(m->names[i], HASH_SIZE);
    return ok;
}

static bool chunk_valid(const Persist__SealedChunk *c)
{
    return is_size(c->id, CHUNK_ID_SIZE) && c->sealed.len > 0 && c->sealed.len <= CHUNK_SEALED_MAX;
}

static bool put_valid(const Persist__Put *p)
{
    switch (p->what_case) {
    case PERSIST__PUT__WHAT_ACT:
        return p->act.len > 0 && p->act.len <= LIMIT_ACT;
    case PERSIST__PUT__WHAT_ENTRY:
        return p->entry.len > 0 && p->entry.len <= LIMIT_ENTRY;
    case PERSIST__PUT__WHAT_CHUNK:
        return chunk_valid(p->chunk);
    case PERSIST__PUT__WHAT_DOOR:
        return p->door.len <= GRANT_BLOB_MAX; /* of either kind */
    case PERSIST__PUT__WHAT_REVOKED:
        return is_size(p->revoked, SIGN_KEY_SIZE);
    case PERSIST__PUT__WHAT__NOT_SET:
    case _PERSIST__PUT__WHAT__CASE_IS_INT_SIZE:
        break;
    }
    return false;
}

static bool items_valid(const Persist__Items *s)
{
    bool ok = s->n_items <= FRAME_ITEMS_MAX;
    for (size_t i = 0; ok && i < s->n_items; i++) {
        const Persist__Items__Item *it = s->items[i];
        ok = (it->what_case == PERSIST__ITEMS__ITEM__WHAT_ACT && it->act.len <= LIMIT_ACT) ||
             (it->what_case == PERSIST__ITEMS__ITEM__WHAT_ENTRY && it->entry.len <= LIMIT_ENTRY);
    }
    return ok;
}

static bool get_chunks_valid(const Persist__GetChunks *g)
{
    bool ok = g->n_ids > 0 && g->n_ids <= FRAME_CHUNKS_MAX;
    for (size_t i = 0; ok && i < g->n_ids; i++)
        ok = is_size(g->ids[i], CHUNK_ID_SIZE);
    return ok;
}

static bool ids_valid(ProtobufCBinaryData ids, size_t size, size_t max)
{
    return ids.len % size == 0 && ids.len / size <= max;
}

static bool online_valid(const Persist__Online *o)
{
    bool ok = ids_valid(o->identities, SIGN_KEY_SIZE, o->many ? 0 : FRAME_ONLINE_MAX);
    const uint8_t *at = o->identities.data;
    for (size_t i = SIGN_KEY_SIZE; ok && i < o->identities.len; i += SIGN_KEY_SIZE)
        ok = memcmp(at + i - SIGN_KEY_SIZE, at + i, SIGN_KEY_SIZE) < 0;
    return ok;
}

static bool offer_valid(const Persist__Offer *o)
{
    size_t n = o->dots.len / DOT_SIZE;
    return n > 0 && ids_valid(o->dots, DOT_SIZE, FRAME_OFFER_MAX) &&
           is_size(o->heads, n * FRAME_HEAD_SIZE) && is_size_or_empty(o->states, (n + 7) / 8);
}

static bool frame_valid(const Persist__Frame *f)
{
    switch (f->kind_case) {
    case PERSIST__FRAME__KIND_CHALLENGE:
        return is_size(f->challenge->nonce, FRAME_NONCE_SIZE) &&
               f->challenge->n_versions <= WIRE_VERSIONS_MAX;
    case PERSIST__FRAME__KIND_PROOF:
        return is_size(f->proof->identity, SIGN_KEY_SIZE) &&
               is_size(f->proof->signature, SIGNATURE_SIZE);
    case PERSIST__FRAME__KIND_WELCOME:
        return is_size_or_empty(f->welcome->member, WIRE_MEMBER_SIZE);
    case PERSIST__FRAME__KIND_SPACES:
        return spaces_valid(f->spaces);
    case PERSIST__FRAME__KIND_OPEN:
        return is_size(f->open->space, SPACE_ID_SIZE) &&
               is_size_or_empty(f->open->run, FRAME_RUN_SIZE);
    case PERSIST__FRAME__KIND_OPENED:
        return is_size_or_empty(f->opened->run, FRAME_RUN_SIZE);
    case PERSIST__FRAME__KIND_PUT:
        return put_valid(f->put);
    case PERSIST__FRAME__KIND_REFUSED:
        return is_text(f->refused->text);
    case PERSIST__FRAME__KIND_ITEMS:
        return items_valid(f->items);
    case PERSIST__FRAME__KIND_GET_CHUNKS:
        return get_chunks_valid(f->get_chunks);
    case PERSIST__FRAME__KIND_CHUNK:
        return is_size(f->chunk->id, CHUNK_ID_SIZE) && f->chunk->sealed.len <= CHUNK_SEALED_MAX;
    case PERSIST__FRAME__KIND_PASSING:
        return chunk_valid(f->passing);
    case PERSIST__FRAME__KIND_ASK_CHUNKS:
        return ids_valid(f->ask_chunks->ids, CHUNK_ID_SIZE, LIMIT_CHUNK_IDS);
    case PERSIST__FRAME__KIND_MISSING_CHUNKS:
        return f->missing_chunks->bits.len <= LIMIT_CHUNK_IDS / 8;
    case PERSIST__FRAME__KIND_LIST_DOTS:
        return is_size_or_empty(f->list_dots->after, DOT_SIZE);
    case PERSIST__FRAME__KIND_DOTS:
        return ids_valid(f->dots->dots, DOT_SIZE, FRAME_DOTS_MAX);
    case PERSIST__FRAME__KIND_ONLINE:
        return online_valid(f->online);
    case PERSIST__FRAME__KIND_OFFER:
        return offer_valid(f->offer);
    case PERSIST__FRAME__KIND_WANT:
        return f->want->bits.len > 0 && f->want->bits.len <= FRAME_OFFER_MAX / 8;
    case PERSIST__FRAME__KIND_END:
        return is_text(f->end->text);
    case PERSIST__FRAME__KIND_JOIN:
        return is_size(f->join->space, SPACE_ID_SIZE) &&
               is_size(f->join->member, WIRE_MEMBER_SIZE) && is_text(f->join->label);
    case PERSIST__FRAME__KIND_JOINED:
        return f->joined->grant.len > 0 && f->joined->grant.len <= GRANT_BLOB_MAX;
    case PERSIST__FRAME__KIND_LIST_SPACES:
    case PERSIST__FRAME__KIND_DONE:
    case PERSIST__FRAME__KIND_PASSED:
    case PERSIST__FRAME__KIND_TAKEN:
    case PERSIST__FRAME__KIND_CAUGHT_UP:
        return true;
    case PERSIST__FRAME__KIND__NOT_SET:
    case _PERSIST__FRAME__KIND__CASE_IS_INT_SIZE:
        break;
    }
    return false;
}

int frame_decode(struct bytes in, Persist__Frame **ret)
{
    if (in.n > FRAME_MAX)
        return -EBADMSG;
    Persist__Frame *f = persist__frame__unpack(NULL, in.n, in.p);
    if (f == NULL || !frame_valid(f)) {
        frame_free(f);
        return -EBADMSG;
    }
    *ret = f;
    return 0;
}

void frame_free(Persist__Frame *f)
{
    if (f != NULL)
        persist__frame__free_unpacked(f, NULL);
}

int frame_pack(const ProtobufCMessage *m, size_t max, struct buf *ret)
{
    size_t n = protobuf_c_message_get_packed_size(m), at = ret->n;
    if (n > max)
        return -EMSGSIZE;
    if (buf_reserve(ret, n) < 0)
        return -ENOMEM;
    ret->n = at + protobuf_c_message_pack(m, ret->p + at);
    return 0;
}

int frame_encode(const Persist__Frame *f, struct buf *ret)
{
    return frame_pack(&f->base, FRAME_MAX, ret);
}

/* ---- between processes ------------------------------------------------------------------------
 */

static bool remote_valid(const Persist__Remote *r)
{
    return r != NULL && is_size_or_empty(r->space, SPACE_ID_SIZE) && is_text(r->url) &&
           is_text(r->token);
}

static bool is_peer_id(ProtobufCBinaryData id)
{
    return is_size(id, PEER_ID_BYTES);
}

static bool local_valid(const Persist__Local *f)
{
    switch (f->kind_case) {
    case PERSIST__LOCAL__KIND_ATTACH:
        return is_size(f->attach->space, SPACE_ID_SIZE);
    case PERSIST__LOCAL__KIND_MEMBERS:
        return members_valid(f->members);
    case PERSIST__LOCAL__KIND_P2P:
        return f->p2p->n_listen <= FRAME_LISTEN_MAX && f->p2p->n_know <= FRAME_LISTEN_MAX &&
               f->p2p->n_bootstrap <= FRAME_LISTEN_MAX;
    case PERSIST__LOCAL__KIND_PAIR:
        return is_text(f->pair->nameplate) && is_text(f->pair->address);
    case PERSIST__LOCAL__KIND_PAIR_RUN:
        return f->pair_run->run != 0 && is_peer_id(f->pair_run->own_id) &&
               is_peer_id(f->pair_run->peer_id) &&
               is_size(f->pair_run->channel, FRAME_CHANNEL_SIZE);
    case PERSIST__LOCAL__KIND_PAIR_DATA:
        return f->pair_data->run != 0 && f->pair_data->data.len <= FRAME_PAIR_MAX;
    case PERSIST__LOCAL__KIND_PAIR_END:
        return is_text(f->pair_end->why);
    case PERSIST__LOCAL__KIND_LINK:
        return is_text(f->link->url) && is_text(f->link->error) &&
               is_size_or_empty(f->link->member, WIRE_MEMBER_SIZE) &&
               is_size_or_empty(f->link->peer, SIGN_KEY_SIZE);
    case PERSIST__LOCAL__KIND_DATA:
        return f->data->frame.len <= FRAME_MAX;
    case PERSIST__LOCAL__KIND_RETRY:
        return is_text(f->retry->why);
    case PERSIST__LOCAL__KIND_REMOTE_ADD:
        return remote_valid(f->remote_add->remote);
    case PERSIST__LOCAL__KIND_REMOTE_REMOVE:
        return is_size(f->remote_remove->space, SPACE_ID_SIZE) && is_text(f->remote_remove->url);
    case PERSIST__LOCAL__KIND_REMOTE_SPACES:
        return remote_valid(f->remote_spaces->remote);
    case PERSIST__LOCAL__KIND_REMOTE_JOIN:
        return remote_valid(f->remote_join->remote) &&
               is_size(f->remote_join->member, WIRE_MEMBER_SIZE) && is_text(f->remote_join->label);
    case PERSIST__LOCAL__KIND_REPLY:
        return is_text(f->reply->error) && f->reply->n_links == f->reply->n_link_spaces;
    case PERSIST__LOCAL__KIND_REMOTE_LIST:
    case PERSIST__LOCAL__KIND_STOP:
        return true;
    case PERSIST__LOCAL__KIND__NOT_SET:
    case _PERSIST__LOCAL__KIND__CASE_IS_INT_SIZE:
        break;
    }
    return false;
}

int frame_local_decode(struct bytes in, Persist__Local **ret)
{
    if (in.n > FRAME_LOCAL_MAX)
        return -EBADMSG;
    Persist__Local *f = persist__local__unpack(NULL, in.n, in.p);
    if (f == NULL || !local_valid(f)) {
        frame_local_free(f);
        return -EBADMSG;
    }
    *ret = f;
    return 0;
}

void frame_local_free(Persist__Local *f)
{
    if (f != NULL)
        persist__local__free_unpacked(f, NULL);
}

int frame_local_encode(const Persist__Local *f, struct buf *ret)
{
    return frame_pack(&f->base, FRAME_LOCAL_MAX, ret);
}
