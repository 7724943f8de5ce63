#include "tests/support/hostile_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/sealed/chunk.h"
#include "proto/sealed/entry.h"
#include "tests/support/greet.h"

enum { TICK_MS = 5, FRAME_BYTES = 128 * 1024, ITEMS_IN_FRAME = 256, FD_MAX = 256 };

struct hostile_peer {
    struct ws *ws; /* NULL: not open */
    struct greet greet;
    uint8_t identity[SIGN_KEY_SIZE];
    bool welcomed, opened, caught_up, refused;
    size_t at;      /* items before it were shown */
    struct buf out; /* frames that had no room, each with its length */
};

static void *resized(void *p, size_t n, size_t size)
{
    void *v = reallocarray(p, n, size);
    if (v == NULL)
        abort();
    return v;
}

/* ---- what it holds -----------------------------------------------------------------------------
 */

struct hostile_item *hostile_server_add(struct hostile_server *s, bool is_act, struct bytes bytes)
{
    s->items = resized(s->items, s->items_n + 1, sizeof *s->items);
    struct hostile_item *it = &s->items[s->items_n++];
    memset(it, 0, sizeof *it);
    it->is_act = is_act;
    buf_put_bytes(&it->bytes, bytes);
    return it;
}

struct hostile_chunk *hostile_server_chunk(struct hostile_server *s, const struct chunk_id *id)
{
    for (size_t i = 0; i < s->chunks_n; i++)
        if (memcmp(s->chunks[i].id.b, id->b, CHUNK_ID_SIZE) == 0)
            return &s->chunks[i];
    return NULL;
}

void hostile_chunk_add(struct hostile_chunk *c, struct bytes sealed)
{
    if (c->n == HOSTILE_FORMS_MAX)
        abort();
    c->forms = resized(c->forms, c->n + 1, sizeof *c->forms);
    memset(&c->forms[c->n], 0, sizeof *c->forms);
    buf_put_bytes(&c->forms[c->n++], sealed);
}

static struct hostile_chunk *need_chunk(struct hostile_server *s, const struct chunk_id *id)
{
    struct hostile_chunk *c = hostile_server_chunk(s, id);
    if (c != NULL)
        return c;
    s->chunks = resized(s->chunks, s->chunks_n + 1, sizeof *s->chunks);
    c = &s->chunks[s->chunks_n++];
    *c = (struct hostile_chunk){.id = *id};
    return c;
}

void hostile_server_copy(struct hostile_server *s, const struct hostile_server *from)
{
    for (size_t i = 0; i < from->items_n; i++)
        (void)hostile_server_add(s, from->items[i].is_act, buf_bytes(&from->items[i].bytes));
    for (size_t i = 0; i < from->chunks_n; i++) {
        struct hostile_chunk *c = need_chunk(s, &from->chunks[i].id);
        for (size_t k = 0; k < from->chunks[i].n; k++)
            hostile_chunk_add(c, buf_bytes(&from->chunks[i].forms[k]));
    }
}

void hostile_server_cut(struct hostile_server *s, size_t n, size_t chunks_n)
{
    while (s->items_n > n)
        buf_fini(&s->items[--s->items_n].bytes);
    while (s->chunks_n > chunks_n) {
        struct hostile_chunk *c = &s->chunks[--s->chunks_n];
        while (c->n > 0)
            buf_fini(&c->forms[--c->n]);
        free(c->forms);
    }
    for (size_t i = 0; i < HOSTILE_PEERS_MAX; i++)
        if (s->peers[i] != NULL && s->peers[i]->at > n)
            s->peers[i]->at = n;
}

/* ---- sending -----------------------------------------------------------------------------------
 */

static void say(struct hostile_peer *p, struct bytes frame)
{
    if (p->ws == NULL)
        return;
    if (p->out.n > 0 || ws_send(p->ws, frame) < 0)
        buf_put_string(&p->out, frame);
}

static void flush(struct hostile_peer *p)
{
    struct reader r = reader_of(buf_bytes(&p->out));
    while (r.n > 0) {
        struct reader at = r;
        if (ws_send(p->ws, reader_string(&r, WS_MESSAGE_MAX)) < 0) {
            r = at;
            break;
        }
    }
    size_t left = r.n;
    if (left > 0)
        memmove(p->out.p, p->out.p + p->out.n - left, left);
    p->out.n = left;
}

static void send_frame(struct hostile_peer *p, const Persist__Frame *f)
{
    struct buf b CLEANUP(buf_fini) = {0};
    greet_frame(f, &b);
    say(p, buf_bytes(&b));
}

static void challenge(struct hostile_peer *p)
{
    struct buf b CLEANUP(buf_fini) = {0};
    greet_challenge(&p->greet, FRAME_VERSION, &b);
    say(p, buf_bytes(&b));
}

static void end(struct hostile_peer *p, unsigned code)
{
    struct buf b CLEANUP(buf_fini) = {0};
    const char *text = greet_end(code, &b);
    say(p, buf_bytes(&b));
    ws_close(p->ws, code, text);
}

static bool shows(const struct hostile_server *s, const struct hostile_peer *p,
                  const struct hostile_item *it)
{
    if (it->left_out || memcmp(it->from, p->identity, SIGN_KEY_SIZE) == 0)
        return false;
    return s->ways.hides_from == NULL ||
           memcmp(p->identity, s->ways.hides_from, SIGN_KEY_SIZE) != 0;
}

/* One Items of what comes next. */
static void send_items(struct hostile_server *s, struct hostile_peer *p)
{
    static Persist__Items__Item in[ITEMS_IN_FRAME];
    Persist__Items__Item *list[ITEMS_IN_FRAME];
    Persist__Items items = PERSIST__ITEMS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    size_t n = 0, bytes = 0;
    for (; p->at < s->items_n && n < ITEMS_IN_FRAME && bytes < FRAME_BYTES; p->at++) {
        const struct hostile_item *it = &s->items[p->at];
        if (!shows(s, p, it))
            continue;
        persist__items__item__init(&in[n]);
        in[n].seq = it->seq != 0 ? it->seq : p->at + 1;
        in[n].what_case =
            it->is_act ? PERSIST__ITEMS__ITEM__WHAT_ACT : PERSIST__ITEMS__ITEM__WHAT_ENTRY;
        if (it->is_act)
            in[n].act = frame_data(buf_bytes(&it->bytes));
        else
            in[n].entry = frame_data(buf_bytes(&it->bytes));
        bytes += it->bytes.n;
        list[n] = &in[n];
        n++;
    }
    if (n == 0)
        return;
    items.n_items = n;
    items.items = list;
    f.kind_case = PERSIST__FRAME__KIND_ITEMS;
    f.items = &items;
    send_frame(p, &f);
}

static void send_caught_up(struct hostile_server *s, struct hostile_peer *p)
{
    Persist__CaughtUp c = PERSIST__CAUGHT_UP__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    c.seq = s->ways.caught_up != 0 ? s->ways.caught_up : s->items_n;
    f.kind_case = PERSIST__FRAME__KIND_CAUGHT_UP;
    f.caught_up = &c;
    send_frame(p, &f);
    p->caught_up = true;
}

static void pump(struct hostile_server *s, struct hostile_peer *p)
{
    if (p->ws == NULL)
        return;
    flush(p);
    while (p->opened && p->out.n == 0 && p->at < s->items_n)
        send_items(s, p);
    if (p->opened && !p->caught_up && p->at == s->items_n && !s->ways.goes_on)
        send_caught_up(s, p);
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void on_proof(struct hostile_server *s, struct hostile_peer *p, const Persist__Proof *proof)
{
    Persist__Welcome w = PERSIST__WELCOME__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (!greet_is_proved(&p->greet, proof)) {
        end(p, PERSIST__CODE__CODE_PROOF);
        return;
    }
    memcpy(p->identity, proof->identity.data, SIGN_KEY_SIZE);
    if (s->ways.token_not != NULL && memcmp(s->ways.token_not, p->identity, SIGN_KEY_SIZE) == 0) {
        end(p, PERSIST__CODE__CODE_TOKEN);
        return;
    }
    w.now_ms = 1;
    f.kind_case = PERSIST__FRAME__KIND_WELCOME;
    f.welcome = &w;
    p->welcomed = true;
    send_frame(p, &f);
}

static void on_open(struct hostile_server *s, struct hostile_peer *p, const Persist__Open *o)
{
    Persist__Opened r = PERSIST__OPENED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    bool other_run = o->run.len == FRAME_RUN_SIZE && memcmp(o->run.data, s->run, o->run.len) != 0;
    r.exists = s->items_n > 0 && !s->ways.forgets;
    r.run = frame_data(bytes_of(s->run, sizeof s->run));
    r.stale = r.exists && (s->ways.stale || other_run);
    r.last = s->ways.hides_last ? 0 : s->items_n;
    p->at = r.stale || o->cursor > s->items_n ? 0 : (size_t)o->cursor;
    p->opened = true;
    s->sessions++;
    f.kind_case = PERSIST__FRAME__KIND_OPENED;
    f.opened = &r;
    send_frame(p, &f);
}

/* What names an item, whenever it was sealed: of an entry its epoch and head. */
static struct bytes name_of(bool is_act, struct bytes bytes)
{
    const size_t n = EPOCH_ID_SIZE + ENTRY_HEAD_SIZE;
    return is_act || bytes.n < n ? bytes : bytes_of(bytes.p, n);
}

static bool holds(const struct hostile_server *s, bool is_act, struct bytes bytes)
{
    struct bytes name = name_of(is_act, bytes);
    for (size_t i = 0; i < s->items_n; i++) {
        const struct hostile_item *it = &s->items[i];
        if (it->is_act == is_act && bytes_equal(name_of(is_act, buf_bytes(&it->bytes)), name))
            return true;
    }
    return false;
}

static void hold(struct hostile_server *s, const struct hostile_peer *p, const Persist__Put *put)
{
    bool is_act = put->what_case == PERSIST__PUT__WHAT_ACT;
    if (put->what_case == PERSIST__PUT__WHAT_CHUNK) {
        struct chunk_id id;
        memcpy(id.b, put->chunk->id.data, CHUNK_ID_SIZE);
        hostile_chunk_add(need_chunk(s, &id), frame_bytes(put->chunk->sealed));
    } else if (put->what_case == PERSIST__PUT__WHAT_DOOR) {
        buf_reset(&s->door);
        buf_put_bytes(&s->door, frame_bytes(put->door));
    } else {
        struct bytes bytes = frame_bytes(is_act ? put->act : put->entry);
        if (!holds(s, is_act, bytes))
            memcpy(hostile_server_add(s, is_act, bytes)->from, p->identity, SIGN_KEY_SIZE);
    }
}

static bool is_full(const struct hostile_server *s, const Persist__Put *put)
{
    struct entry e;
    return put->what_case == PERSIST__PUT__WHAT_ENTRY &&
           entry_parse_sealed(frame_bytes(put->entry), &e) == 0 && e.head.kind == ENTRY_VALUE &&
           dot_equal(&e.head.dot, &s->ways.refuses);
}

static void refuse(struct hostile_peer *p, uint64_t id)
{
    Persist__Refused r;
    Persist__Frame f = PERSIST__FRAME__INIT;
    persist__refused__init(&r);
    r.id = id;
    r.code = PERSIST__CODE__CODE_VARIANTS;
    f.kind_case = PERSIST__FRAME__KIND_REFUSED;
    f.refused = &r;
    p->refused = true;
    send_frame(p, &f);
}

static void on_put(struct hostile_server *s, struct hostile_peer *p, const Persist__Put *put)
{
    Persist__Done d = PERSIST__DONE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (!p->refused && is_full(s, put))
        refuse(p, put->id);
    if (p->refused)
        return;
    if (!s->ways.drops)
        hold(s, p, put);
    d.id = put->id + s->ways.done;
    f.kind_case = PERSIST__FRAME__KIND_DONE;
    f.done = &d;
    send_frame(p, &f);
}

static void on_ask(struct hostile_server *s, struct hostile_peer *p, const Persist__AskChunks *a)
{
    uint8_t bits[LIMIT_CHUNK_IDS / 8] = {0};
    Persist__MissingChunks m = PERSIST__MISSING_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    size_t n = a->ids.len / CHUNK_ID_SIZE;
    for (size_t i = 0; i < n; i++) {
        struct chunk_id id;
        memcpy(id.b, a->ids.data + i * CHUNK_ID_SIZE, CHUNK_ID_SIZE);
        if (hostile_server_chunk(s, &id) == NULL)
            bits[i / 8] |= (uint8_t)(1 << i % 8);
    }
    m.bits = frame_data(bytes_of(bits, (n + 7) / 8));
    f.kind_case = PERSIST__FRAME__KIND_MISSING_CHUNKS;
    f.missing_chunks = &m;
    send_frame(p, &f);
}

static void send_chunk(struct hostile_peer *p, const uint8_t *id, struct bytes sealed, bool more)
{
    Persist__Chunk c = PERSIST__CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    c.id = frame_data(bytes_of(id, CHUNK_ID_SIZE));
    c.sealed = frame_data(sealed);
    c.more = more;
    f.kind_case = PERSIST__FRAME__KIND_CHUNK;
    f.chunk = &c;
    send_frame(p, &f);
}

static void on_get(struct hostile_server *s, struct hostile_peer *p, const Persist__GetChunks *g)
{
    s->early += !p->caught_up;
    for (size_t i = 0; i < g->n_ids; i++) {
        struct chunk_id id;
        size_t other = s->ways.swaps_answers ? (i + 1) % g->n_ids : i;
        memcpy(id.b, g->ids[other].data, CHUNK_ID_SIZE);
        const struct hostile_chunk *c = hostile_server_chunk(s, &id);
        if (c == NULL || c->n == 0)
            send_chunk(p, g->ids[i].data, bytes_of(NULL, 0), false);
        for (size_t k = 0; c != NULL && k < c->n; k++)
            send_chunk(p, g->ids[i].data, buf_bytes(&c->forms[k]), k + 1 < c->n);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, DOT_SIZE);
}

/* The dots behind @after that it holds, ascending. */
static void put_dots(const struct hostile_server *s, struct dot after, struct buf *ret)
{
    for (size_t i = 0; i < s->items_n; i++) {
        struct entry e;
        if (!s->items[i].is_act && !s->items[i].left_out &&
            entry_parse_sealed(buf_bytes(&s->items[i].bytes), &e) == 0 &&
            e.head.kind == ENTRY_VALUE && dot_cmp(&e.head.dot, &after) > 0)
            dot_put(ret, &e.head.dot);
    }
    if (ret->n > 0)
        qsort(ret->p, ret->n / DOT_SIZE, DOT_SIZE, by_bytes);
}

static void on_list(struct hostile_server *s, struct hostile_peer *p, const Persist__ListDots *list)
{
    struct dot after = {0, 0};
    struct buf dots CLEANUP(buf_fini) = {0};
    Persist__Dots d = PERSIST__DOTS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    d.last = !s->ways.lists_for_ever;
    if (list->after.len == DOT_SIZE)
        after = dot_decode(list->after.data);
    if (d.last)
        put_dots(s, after, &dots);
    for (size_t i = 0; !d.last && i < FRAME_DOTS_MAX; i++)
        dot_put(&dots, &(struct dot){1, ++s->listed});
    d.dots = frame_data(buf_bytes(&dots));
    f.kind_case = PERSIST__FRAME__KIND_DOTS;
    f.dots = &d;
    send_frame(p, &f);
    p->caught_up = p->caught_up && !d.last;
}

static void on_frame(struct hostile_server *s, struct hostile_peer *p, const Persist__Frame *f)
{
    if (f->kind_case == PERSIST__FRAME__KIND_PROOF)
        on_proof(s, p, f->proof);
    else if (!p->welcomed)
        ws_close(p->ws, WS_INTERNAL, "not yet");
    else if (f->kind_case == PERSIST__FRAME__KIND_OPEN)
        on_open(s, p, f->open);
    else if (f->kind_case == PERSIST__FRAME__KIND_PUT)
        on_put(s, p, f->put);
    else if (f->kind_case == PERSIST__FRAME__KIND_ASK_CHUNKS)
        on_ask(s, p, f->ask_chunks);
    else if (f->kind_case == PERSIST__FRAME__KIND_GET_CHUNKS)
        on_get(s, p, f->get_chunks);
    else if (f->kind_case == PERSIST__FRAME__KIND_LIST_DOTS)
        on_list(s, p, f->list_dots);
}

/* ---- events ------------------------------------------------------------------------------------
 */

/* What the events of a connection are given. */
struct place {
    struct hostile_server *s;
    size_t i;
};

static void on_opened(struct ws *w, void *user)
{
    struct place *at = user;
    hostile_server_lock(at->s);
    at->s->peers[at->i]->ws = w;
    challenge(at->s->peers[at->i]);
    hostile_server_unlock(at->s);
}

static void on_message(struct ws *w, struct bytes m, void *user)
{
    struct place *at = user;
    Persist__Frame *f = NULL;
    (void)w;
    hostile_server_lock(at->s);
    if (frame_decode(m, &f) == 0)
        on_frame(at->s, at->s->peers[at->i], f);
    pump(at->s, at->s->peers[at->i]);
    hostile_server_unlock(at->s);
    frame_free(f);
}

static void on_writable(struct ws *w, void *user)
{
    struct place *at = user;
    (void)w;
    hostile_server_lock(at->s);
    pump(at->s, at->s->peers[at->i]);
    hostile_server_unlock(at->s);
}

static void on_closed(struct ws *w, const struct ws_end *e, void *user)
{
    struct place *at = user;
    (void)w;
    (void)e;
    hostile_server_lock(at->s);
    struct hostile_peer *p = at->s->peers[at->i];
    at->s->ended += p->opened;
    at->s->peers[at->i] = NULL;
    hostile_server_unlock(at->s);
    buf_fini(&p->out);
    free(p);
    free(at);
}

static const struct ws_events events = {on_opened, on_message, on_writable, on_closed};

static unsigned authorise(const struct ws_request *r, void *user, void **ret_user)
{
    struct hostile_server *s = user;
    unsigned rc = 503;
    hostile_server_lock(s);
    for (size_t i = 0; i < HOSTILE_PEERS_MAX && rc != 0; i++)
        if (s->peers[i] == NULL) {
            struct place *at = malloc(sizeof *at);
            struct hostile_peer *p = calloc(1, sizeof *p);
            if (at == NULL || p == NULL)
                abort();
            *at = (struct place){s, i};
            greet_init(&p->greet, r->token);
            s->peers[i] = p;
            *ret_user = at;
            rc = 0;
        }
    hostile_server_unlock(s);
    return rc;
}

static void on_tick(void *arg)
{
    struct hostile_server *s = arg;
    hostile_server_lock(s);
    for (size_t i = 0; i < HOSTILE_PEERS_MAX; i++)
        if (s->peers[i] != NULL)
            pump(s, s->peers[i]);
    hostile_server_unlock(s);
    net_timer_set(s->tick, TICK_MS);
}

/* ---- the test's side ---------------------------------------------------------------------------
 */

void hostile_server_lock(struct hostile_server *s)
{
    pthread_mutex_lock(&s->lock);
}

void hostile_server_unlock(struct hostile_server *s)
{
    pthread_mutex_unlock(&s->lock);
}

void hostile_server_say(struct hostile_server *s, struct bytes frame)
{
    hostile_server_lock(s);
    /* ws_send() is for the server's thread: it takes this up with its next tick. */
    for (size_t i = 0; i < HOSTILE_PEERS_MAX; i++)
        if (s->peers[i] != NULL && s->peers[i]->opened)
            buf_put_string(&s->peers[i]->out, frame);
    hostile_server_unlock(s);
}

void hostile_server_say_chunk(struct hostile_server *s, const struct chunk_id *id,
                              struct bytes sealed)
{
    struct buf b CLEANUP(buf_fini) = {0};
    Persist__Chunk c = PERSIST__CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    c.id = frame_data(bytes_of(id->b, CHUNK_ID_SIZE));
    c.sealed = frame_data(sealed);
    f.kind_case = PERSIST__FRAME__KIND_CHUNK;
    f.chunk = &c;
    assert_int_equal(frame_encode(&f, &b), 0);
    hostile_server_say(s, buf_bytes(&b));
}

static void *run(void *arg)
{
    struct hostile_server *s = arg;
    net_timer_set(s->tick, 0);
    if (net_loop_run(s->loop) < 0)
        abort();
    return NULL;
}

void hostile_server_start(struct hostile_server *s)
{
    struct err err = {0};
    struct ws_server_config cfg = {.listen = "127.0.0.1:0",
                                   .connections_max = HOSTILE_PEERS_MAX,
                                   .events = &events,
                                   .authorise = authorise,
                                   .user = s};
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    randombytes_buf(s->run, sizeof s->run);
    assert_int_equal(net_loop_new(FD_MAX, &s->loop, &err), 0);
    assert_int_equal(net_timer_new(s->loop, on_tick, s, &s->tick), 0);
    if (ws_server_start(s->loop, &cfg, &s->ws, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(s->url, sizeof s->url, "ws://127.0.0.1:%u", ws_server_port(s->ws));
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

void hostile_server_stop(struct hostile_server *s)
{
    if (s->loop == NULL)
        return;
    net_loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    ws_server_free(s->ws);
    net_timer_free(s->tick);
    net_loop_free(s->loop);
    hostile_server_cut(s, 0, 0);
    free(s->items);
    free(s->chunks);
    buf_fini(&s->door);
    pthread_mutex_destroy(&s->lock);
    memset(s, 0, sizeof *s);
}
