/* Frames from others: what is accepted keeps to the limits, and has an encoding that is accepted.
 */
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/sealed/door.h"
#include "sync/server/admin_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* What a session relies on, and does not look at again. */
static void check_limits(const Persist__Frame *f)
{
    if (f->kind_case == PERSIST__FRAME__KIND_PUT) {
        must(f->put->what_case != PERSIST__PUT__WHAT__NOT_SET);
        must(f->put->what_case != PERSIST__PUT__WHAT_CHUNK || f->put->chunk->id.len == 32);
        must(f->put->what_case != PERSIST__PUT__WHAT_REVOKED || f->put->revoked.len == 32);
        must(f->put->what_case != PERSIST__PUT__WHAT_DOOR || f->put->door.len <= DOOR_BLOB_MAX);
    } else if (f->kind_case == PERSIST__FRAME__KIND_PASSING) {
        must(f->passing->id.len == 32 && f->passing->sealed.len > 0);
    } else if (f->kind_case == PERSIST__FRAME__KIND_OPEN) {
        must(f->open->space.len == SPACE_ID_SIZE);
    } else if (f->kind_case == PERSIST__FRAME__KIND_PROOF) {
        must(f->proof->identity.len == SIGN_KEY_SIZE && f->proof->signature.len == SIGNATURE_SIZE);
    } else if (f->kind_case == PERSIST__FRAME__KIND_GET_CHUNKS) {
        must(f->get_chunks->n_ids > 0 && f->get_chunks->n_ids <= FRAME_CHUNKS_MAX);
        for (size_t i = 0; i < f->get_chunks->n_ids; i++)
            must(f->get_chunks->ids[i].len == 32);
    } else if (f->kind_case == PERSIST__FRAME__KIND_ASK_CHUNKS) {
        must(f->ask_chunks->ids.len <= LIMIT_CHUNK_IDS * 32 && f->ask_chunks->ids.len % 32 == 0);
    } else if (f->kind_case == PERSIST__FRAME__KIND_LIST_DOTS) {
        must(f->list_dots->after.len == 0 || f->list_dots->after.len == 16);
    } else if (f->kind_case == PERSIST__FRAME__KIND_ONLINE) {
        must(f->online->identities.len % 32 == 0);
        must(f->online->identities.len <= (f->online->many ? 0 : FRAME_ONLINE_MAX * 32));
    } else if (f->kind_case == PERSIST__FRAME__KIND_OFFER) {
        size_t n = f->offer->dots.len / DOT_SIZE;
        must(n > 0 && n <= FRAME_OFFER_MAX && f->offer->dots.len % DOT_SIZE == 0);
        must(f->offer->heads.len == n * FRAME_HEAD_SIZE);
        must(f->offer->states.len == 0 || f->offer->states.len == (n + 7) / 8);
    } else if (f->kind_case == PERSIST__FRAME__KIND_WANT) {
        must(f->want->bits.len > 0 && f->want->bits.len <= FRAME_OFFER_MAX / 8);
    } else if (f->kind_case == PERSIST__FRAME__KIND_ITEMS) {
        must(f->items->n_items <= FRAME_ITEMS_MAX);
    } else {
        must(f->kind_case != PERSIST__FRAME__KIND__NOT_SET);
    }
}

static void check_session(struct bytes in)
{
    Persist__Frame *f;
    Persist__Frame *again;
    struct buf b = {0};
    if (frame_decode(in, &f) < 0)
        return;
    check_limits(f);
    /* protobuf-c keeps unknown fields, of which it writes some that it does not read. */
    if (frame_encode(f, &b) == 0 && frame_decode(buf_bytes(&b), &again) == 0) {
        must(again->kind_case == f->kind_case);
        frame_free(again);
    }
    buf_fini(&b);
    frame_free(f);
}

static void check_local_limits(const Persist__Local *f)
{
    if (f->kind_case == PERSIST__LOCAL__KIND_MEMBERS) {
        must(f->members->n_identities <= FRAME_ONLINE_MAX);
        must(f->members->n_names <= FRAME_NAMES_MAX);
        for (size_t i = 0; i < f->members->n_names; i++)
            must(f->members->names[i].len == 32);
    } else if (f->kind_case == PERSIST__LOCAL__KIND_P2P) {
        must(f->p2p->n_bootstrap <= FRAME_LISTEN_MAX);
    }
}

static void check_local(struct bytes in)
{
    Persist__Local *f;
    Persist__Local *again;
    struct buf b = {0};
    if (frame_local_decode(in, &f) < 0)
        return;
    check_local_limits(f);
    if (frame_local_encode(f, &b) == 0 && frame_local_decode(buf_bytes(&b), &again) == 0) {
        must(again->kind_case == f->kind_case);
        frame_local_free(again);
    }
    buf_fini(&b);
    frame_local_free(f);
}

static void check_admin(struct bytes in)
{
    Persist__AdminRequest *r;
    if (srv_admin_decode(in, &r) < 0)
        return;
    must(r->name != NULL && r->label != NULL);
    persist__admin_request__free_unpacked(r, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    check_session(in);
    check_local(in);
    check_admin(in);
    return 0;
}
