#include "tests/support/peer_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/sealed/entry.h"
#include "tests/support/sync_meet.h"

enum { STILL = 3 }; /* rounds without a frame, after which nothing moves */

/* ---- what an end is told -----------------------------------------------------------------------
 */

static bool can_send(void *arg)
{
    const struct peer_end *e = arg;
    return e->out_n < e->link->room;
}

static void on_send(void *arg, const Persist__Frame *f)
{
    struct peer_end *e = arg;
    struct buf b CLEANUP(buf_fini) = {0};
    assert_int_equal(frame_encode(f, &b), 0);
    buf_put_string(&e->out, buf_bytes(&b));
    assert_int_equal(buf_status(&e->out), 0);
    e->out_n++;
}

static void on_serve_send(void *arg, const Persist__Frame *f)
{
    assert_true(can_send(arg));
    on_send(arg, f);
}

static void on_room(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

static void on_failed(void *arg, uint64_t after_ms, const char *why)
{
    struct peer_end *e = arg;
    (void)after_ms;
    e->failed = true;
    snprintf(e->why, sizeof e->why, "%s", why != NULL ? why : "");
}

/* ---- life --------------------------------------------------------------------------------------
 */

static struct peer_end *other(const struct peer_end *e)
{
    return &e->link->end[e == &e->link->end[0]];
}

void peer_link_init(struct peer_link *l, struct device *a, struct device *b)
{
    *l = (struct peer_link){
        .room = PEER_ROOM, .now_ms = 1, .end = {{.link = l, .d = a}, {.link = l, .d = b}}};
}

void peer_link_fini(struct peer_link *l)
{
    peer_link_cut(l);
    for (size_t i = 0; i < 2; i++) {
        buf_fini(&l->end[i].out);
        buf_fini(&l->end[i].asked);
    }
    buf_fini(&l->given);
}

static void open_end(struct peer_end *e)
{
    char url[64];
    const uint8_t *peer = other(e)->d->member->pub.identity;
    snprintf(url, sizeof url, "/p2p/%02x%02x%02x%02x", peer[0], peer[1], peer[2], peer[3]);
    struct sync_session_config cfg = {.space = e->d->s,
                                      .sources = e->d->sources,
                                      .url = url,
                                      .peer = true,
                                      .send = on_send,
                                      .can_send = can_send,
                                      .room = on_room,
                                      .failed = on_failed,
                                      .arg = e};
    struct sync_serve_config serve = {.space = e->d->s,
                                      .remote = space_sync_remote_id(url),
                                      .send = on_serve_send,
                                      .can_send = can_send,
                                      .failed = on_failed,
                                      .arg = e};
    memcpy(serve.peer, peer, SIGN_KEY_SIZE);
    e->failed = false;
    assert_int_equal(sync_serve_new(&serve, &e->serve), 0);
    assert_int_equal(sync_session_new(&cfg, &e->session), 0);
    sync_session_start(e->session);
}

void peer_link_open(struct peer_link *l)
{
    l->up = true;
    open_end(&l->end[0]);
    open_end(&l->end[1]);
}

static void cut_end(struct peer_end *e)
{
    sync_session_free(e->session);
    sync_serve_free(e->serve);
    e->session = NULL;
    e->serve = NULL;
    buf_reset(&e->out);
    e->out_at = e->out_n = 0;
}

void peer_link_cut(struct peer_link *l)
{
    l->up = false;
    cut_end(&l->end[0]);
    cut_end(&l->end[1]);
}

/* ---- frames ------------------------------------------------------------------------------------
 */

static void note_change(struct peer_link *l, const struct dot *dot)
{
    uint8_t b[DOT_SIZE];
    dot_encode(dot, b);
    for (size_t at = 0; l->once && at < l->given.n; at += DOT_SIZE)
        if (memcmp(l->given.p + at, b, DOT_SIZE) == 0)
            fail_msg("change %016llx.%llu crossed the link twice", (unsigned long long)dot->replica,
                     (unsigned long long)dot->counter);
    buf_put(&l->given, b, DOT_SIZE);
}

static void note_item(struct peer_end *e, const Persist__Items__Item *it)
{
    struct entry entry;
    if (it->what_case == PERSIST__ITEMS__ITEM__WHAT_ACT) {
        e->acts++;
        return;
    }
    assert_int_equal(entry_parse_sealed(frame_bytes(it->entry), &entry), 0);
    if (entry.head.kind == ENTRY_STATE) {
        e->states++;
        return;
    }
    e->entries++;
    note_change(e->link, &entry.head.dot);
}

static void note(struct peer_end *e, const Persist__Frame *f)
{
    e->frames++;
    for (size_t i = 0; f->kind_case == PERSIST__FRAME__KIND_ITEMS && i < f->items->n_items; i++)
        note_item(e, f->items->items[i]);
    for (size_t i = 0; f->kind_case == PERSIST__FRAME__KIND_GET_CHUNKS && i < f->get_chunks->n_ids;
         i++) {
        e->nodes_asked += content_id_is_node(f->get_chunks->ids[i].data);
        buf_put_bytes(&e->asked, frame_bytes(f->get_chunks->ids[i]));
    }
    if (f->kind_case == PERSIST__FRAME__KIND_OFFER)
        e->offered += f->offer->dots.len / DOT_SIZE;
    if (f->kind_case == PERSIST__FRAME__KIND_CHUNK && f->chunk->sealed.len > 0)
        e->chunks++;
    else if (f->kind_case == PERSIST__FRAME__KIND_CHUNK)
        e->none++;
    e->passed += f->kind_case == PERSIST__FRAME__KIND_PASSING;
}

void peer_end_take(struct peer_end *e, const Persist__Frame *f)
{
    if (sync_serve_is_for(f))
        sync_serve_frame(e->serve, f);
    else
        (void)sync_session_frame(e->session, f, e->link->now_ms);
}

bool peer_end_deliver(struct peer_end *e)
{
    Persist__Frame *f;
    if (e->out_n == 0)
        return false;
    struct reader r = reader_of(bytes_of(e->out.p + e->out_at, e->out.n - e->out_at));
    assert_int_equal(frame_decode(reader_string(&r, FRAME_MAX), &f), 0);
    if (e->lies && f->kind_case == PERSIST__FRAME__KIND_CHUNK && f->chunk->sealed.len > 0)
        f->chunk->sealed.data[f->chunk->sealed.len / 2] ^= 1;
    e->out_at = e->out.n - r.n;
    if (--e->out_n == 0) {
        buf_reset(&e->out);
        e->out_at = 0;
    }
    note(e, f);
    peer_end_take(other(e), f);
    frame_free(f);
    return true;
}

bool peer_end_pump(struct peer_end *e)
{
    uint64_t next = sync_session_pump(e->session, e->link->now_ms, false);
    sync_serve_pump(e->serve);
    return next == e->link->now_ms;
}

/* ---- all together ------------------------------------------------------------------------------
 */

static bool run_end(struct peer_end *e)
{
    bool moved = false;
    sync_meet_sign(e->d);
    while (peer_end_deliver(e))
        moved = true;
    if (e->failed)
        fail_msg("a session failed: %s", e->why);
    return peer_end_pump(e) || moved;
}

void peer_links_run(struct peer_link *const *l, size_t n)
{
    for (int still = 0; still < STILL; still++)
        for (size_t i = 0; i < 2 * n; i++)
            if (l[i / 2]->up && run_end(&l[i / 2]->end[i % 2]))
                still = -1;
}
