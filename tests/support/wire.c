#include "tests/support/wire.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/sealed_fixture.h"

enum { DESCRIPTORS_MAX = 16384 };

struct wire {
    struct net_loop *loop;
    struct ws_client *client;
    struct net_timer *timer;
    struct wire_end *ends;
    bool (*done)(void *arg); /* of wire_run() */
    void *arg;
    bool is_late;
};

struct wire_frame {
    struct wire_frame *next;
    Persist__Frame *frame;
};

/* ---- the loop ---- */

static void on_late(void *arg)
{
    struct wire *w = arg;
    w->is_late = true;
    net_loop_stop(w->loop);
}

/* Something happened: it may be what is waited for. */
static void look(const struct wire *w)
{
    if (w->done != NULL && w->done(w->arg))
        net_loop_stop(w->loop);
}

struct wire *wire_new(const struct ws_client_config *cfg)
{
    struct err err = {0};
    struct ws_client_config none = {.ca_file = NULL};
    struct wire *w = calloc(1, sizeof *w);
    if (w != NULL && net_loop_new(DESCRIPTORS_MAX, &w->loop, &err) == 0 &&
        ws_client_new(w->loop, cfg != NULL ? cfg : &none, &w->client, &err) == 0 &&
        net_timer_new(w->loop, on_late, w, &w->timer) == 0)
        return w;
    fprintf(stderr, "wire: %s\n", err.msg);
    wire_free_all(w);
    return NULL;
}

static void drop_frames(struct wire_end *e)
{
    while (e->first != NULL) {
        struct wire_frame *f = e->first;
        e->first = f->next;
        frame_free(f->frame);
        free(f);
    }
    e->last = &e->first;
}

void wire_free_all(struct wire *w)
{
    if (w == NULL)
        return;
    ws_client_free(w->client);
    net_timer_free(w->timer);
    net_loop_free(w->loop);
    while (w->ends != NULL) {
        struct wire_end *e = w->ends;
        w->ends = e->next;
        drop_frames(e);
        free(e);
    }
    free(w);
}

bool wire_run(struct wire *w, unsigned ms, bool (*done)(void *arg), void *arg)
{
    if (done != NULL && done(arg))
        return true;
    w->done = done;
    w->arg = arg;
    w->is_late = false;
    net_timer_set(w->timer, ms);
    bool is_done = false;
    /* A stop may be one that was asked for twice, the last time. */
    while (!is_done && !w->is_late && net_loop_run(w->loop) == 0)
        is_done = done != NULL && done(arg);
    net_timer_cancel(w->timer);
    w->done = NULL;
    return is_done;
}

/* ---- what the connection says ---- */

static void on_opened(struct ws *ws, void *user)
{
    struct wire_end *e = user;
    e->ws = ws;
    e->is_open = e->is_roomy = true;
    look(e->wire);
}

static void on_message(struct ws *ws, struct bytes message, void *user)
{
    (void)ws;
    struct wire_end *e = user;
    struct wire_frame *f = calloc(1, sizeof *f);
    if (f == NULL || frame_decode(message, &f->frame) < 0) {
        fprintf(stderr, "wire: a frame of %zu bytes is not understood\n", message.n);
        abort();
    }
    e->frames_n++;
    e->bytes += message.n;
    if (e->on_frame != NULL) {
        e->on_frame(e, f->frame);
        frame_free(f->frame);
        free(f);
    } else {
        *e->last = f;
        e->last = &f->next;
    }
    look(e->wire);
}

static void on_writable(struct ws *ws, void *user)
{
    (void)ws;
    struct wire_end *e = user;
    e->is_roomy = true;
    look(e->wire);
}

static void on_closed(struct ws *ws, const struct ws_end *end, void *user)
{
    (void)ws;
    struct wire_end *e = user;
    e->ws = NULL;
    e->is_open = false;
    e->end = *end;
    look(e->wire);
}

static const struct ws_events events = {on_opened, on_message, on_writable, on_closed};

/* ---- connecting ---- */

struct wire_end *wire_connect(struct wire *w, const char *url, const char *token)
{
    struct err err = {0};
    struct wire_end *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->wire = w;
    e->last = &e->first;
    if (ws_connect(w->client, url, bytes_str(token), &events, e, &e->ws, &err) < 0) {
        fprintf(stderr, "wire: %s\n", err.msg);
        free(e);
        return NULL;
    }
    e->next = w->ends;
    w->ends = e;
    return e;
}

void wire_prove(unsigned identity, struct bytes nonce, const char *token, uint8_t ret_identity[32],
                uint8_t ret_signature[SIGNATURE_SIZE])
{
    struct member_keys k = sealed_member(identity);
    uint8_t proved[FRAME_NONCE_SIZE + 32];
    memcpy(proved, nonce.p, FRAME_NONCE_SIZE);
    crypto_generichash(proved + FRAME_NONCE_SIZE, 32, (const uint8_t *)token, strlen(token), NULL,
                       0);
    label_sign(&k, "persist.link.1", bytes_of(proved, sizeof proved), ret_signature);
    memcpy(ret_identity, k.sign_public, 32);
    member_keys_fini(&k);
}

bool wire_link(struct wire_end *e, const char *token, unsigned identity)
{
    Persist__Frame *challenge = wire_wait(e, PERSIST__FRAME__KIND_CHALLENGE, WIRE_WAIT_MS);
    if (challenge == NULL)
        return false;
    uint8_t key[32];
    uint8_t signature[SIGNATURE_SIZE];
    wire_prove(identity, frame_bytes(challenge->challenge->nonce), token, key, signature);
    frame_free(challenge);
    Persist__Proof proof = PERSIST__PROOF__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    proof.version = 1;
    proof.identity = frame_data(bytes_of(key, sizeof key));
    proof.signature = frame_data(bytes_of(signature, sizeof signature));
    f.kind_case = PERSIST__FRAME__KIND_PROOF;
    f.proof = &proof;
    if (!wire_send(e, &f))
        return false;
    Persist__Frame *welcome = wire_wait(e, PERSIST__FRAME__KIND_WELCOME, WIRE_WAIT_MS);
    frame_free(welcome);
    return welcome != NULL;
}

struct wire_end *wire_join(struct wire *w, const char *url, const char *token, unsigned identity)
{
    struct wire_end *e = wire_connect(w, url, token);
    return e != NULL && wire_link(e, token, identity) ? e : NULL;
}

static bool is_closed(void *arg)
{
    return ((struct wire_end *)arg)->ws == NULL;
}

bool wire_wait_closed(struct wire_end *e, unsigned ms)
{
    return wire_run(e->wire, ms, is_closed, e);
}

void wire_end_close(struct wire_end *e)
{
    if (e->ws != NULL)
        ws_close(e->ws, WS_NORMAL, NULL);
    (void)wire_wait_closed(e, WIRE_WAIT_MS);
}

void wire_end_pause(struct wire_end *e, bool paused)
{
    e->paused = paused;
    if (e->ws != NULL && paused)
        ws_pause(e->ws);
    else if (e->ws != NULL)
        ws_resume(e->ws);
}

/* ---- sending ---- */

static bool may_send(void *arg)
{
    const struct wire_end *e = arg;
    return e->ws == NULL || (e->is_open && e->is_roomy);
}

bool wire_send_bytes(struct wire_end *e, struct bytes message)
{
    for (;;) {
        if (!may_send(e) && !wire_run(e->wire, WIRE_WAIT_MS, may_send, e))
            return false;
        if (e->ws == NULL)
            return false;
        int rc = ws_send(e->ws, message);
        if (rc != -EAGAIN)
            return rc == 0;
        e->is_roomy = false;
    }
}

bool wire_send(struct wire_end *e, const Persist__Frame *f)
{
    struct buf b = {0};
    bool sent = frame_encode(f, &b) == 0 && wire_send_bytes(e, buf_bytes(&b));
    buf_fini(&b);
    return sent;
}

/* ---- receiving ---- */

struct waiting {
    struct wire_end *e;
    bool any;
    Persist__Frame__KindCase kind;
};

static struct wire_frame **find(const struct waiting *w)
{
    struct wire_frame **f = &w->e->first;
    while (*f != NULL && !w->any && (*f)->frame->kind_case != w->kind)
        f = &(*f)->next;
    return f;
}

static bool has_come(void *arg)
{
    const struct waiting *w = arg;
    return w->e->ws == NULL || *find(w) != NULL;
}

static Persist__Frame *take(const struct waiting *w)
{
    struct wire_frame **at = find(w);
    struct wire_frame *f = *at;
    if (f == NULL)
        return NULL;
    Persist__Frame *frame = f->frame;
    *at = f->next;
    if (f->next == NULL)
        w->e->last = at;
    free(f);
    return frame;
}

static Persist__Frame *wait_for(struct waiting w, unsigned ms)
{
    if (!has_come(&w))
        (void)wire_run(w.e->wire, ms, has_come, &w);
    return take(&w);
}

Persist__Frame *wire_next(struct wire_end *e, unsigned ms)
{
    return wait_for((struct waiting){.e = e, .any = true}, ms);
}

Persist__Frame *wire_wait(struct wire_end *e, Persist__Frame__KindCase kind, unsigned ms)
{
    return wait_for((struct waiting){.e = e, .kind = kind}, ms);
}

/* ---- frames of a device ---- */

bool wire_open(struct wire_end *e, const uint8_t space[16], struct bytes run, uint64_t cursor)
{
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    open.space = frame_data(bytes_of(space, 16));
    open.run = frame_data(run);
    open.cursor = cursor;
    f.kind_case = PERSIST__FRAME__KIND_OPEN;
    f.open = &open;
    return wire_send(e, &f);
}

static bool send_put(struct wire_end *e, Persist__Put *p)
{
    Persist__Frame f = PERSIST__FRAME__INIT;
    f.kind_case = PERSIST__FRAME__KIND_PUT;
    f.put = p;
    return wire_send(e, &f);
}

bool wire_put_act(struct wire_end *e, uint64_t id, struct bytes act)
{
    Persist__Put p = PERSIST__PUT__INIT;
    p.id = id;
    p.what_case = PERSIST__PUT__WHAT_ACT;
    p.act = frame_data(act);
    return send_put(e, &p);
}

bool wire_put_entry(struct wire_end *e, uint64_t id, struct bytes entry)
{
    Persist__Put p = PERSIST__PUT__INIT;
    p.id = id;
    p.what_case = PERSIST__PUT__WHAT_ENTRY;
    p.entry = frame_data(entry);
    return send_put(e, &p);
}

bool wire_put_chunk(struct wire_end *e, uint64_t id, const uint8_t chunk[32], struct bytes sealed)
{
    Persist__Put p = PERSIST__PUT__INIT;
    Persist__SealedChunk c = PERSIST__SEALED_CHUNK__INIT;
    p.id = id;
    p.what_case = PERSIST__PUT__WHAT_CHUNK;
    p.chunk = &c;
    c.id = frame_data(bytes_of(chunk, 32));
    c.sealed = frame_data(sealed);
    return send_put(e, &p);
}

bool wire_put_door(struct wire_end *e, uint64_t id, struct bytes blob)
{
    Persist__Put p = PERSIST__PUT__INIT;
    p.id = id;
    p.what_case = PERSIST__PUT__WHAT_DOOR;
    p.door = frame_data(blob);
    return send_put(e, &p);
}

bool wire_put_revoked(struct wire_end *e, uint64_t id, const uint8_t identity[32])
{
    Persist__Put p = PERSIST__PUT__INIT;
    p.id = id;
    p.what_case = PERSIST__PUT__WHAT_REVOKED;
    p.revoked = frame_data(bytes_of(identity, 32));
    return send_put(e, &p);
}

bool wire_get_chunks(struct wire_end *e, struct bytes ids)
{
    size_t n = ids.n / 32;
    Persist__GetChunks g = PERSIST__GET_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    ProtobufCBinaryData *v = calloc(n, sizeof *v);
    if (v == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        v[i] = frame_data(bytes_of(ids.p + i * 32, 32));
    g.n_ids = n;
    g.ids = v;
    f.kind_case = PERSIST__FRAME__KIND_GET_CHUNKS;
    f.get_chunks = &g;
    bool sent = wire_send(e, &f);
    free(v);
    return sent;
}

bool wire_ask_chunks(struct wire_end *e, struct bytes ids)
{
    Persist__AskChunks a = PERSIST__ASK_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    a.ids = frame_data(ids);
    f.kind_case = PERSIST__FRAME__KIND_ASK_CHUNKS;
    f.ask_chunks = &a;
    return wire_send(e, &f);
}

bool wire_list_dots(struct wire_end *e, struct bytes after)
{
    Persist__ListDots l = PERSIST__LIST_DOTS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    l.after = frame_data(after);
    f.kind_case = PERSIST__FRAME__KIND_LIST_DOTS;
    f.list_dots = &l;
    return wire_send(e, &f);
}

bool wire_list_spaces(struct wire_end *e)
{
    Persist__ListSpaces l = PERSIST__LIST_SPACES__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    f.kind_case = PERSIST__FRAME__KIND_LIST_SPACES;
    f.list_spaces = &l;
    return wire_send(e, &f);
}
