/* What a session sends: made when there is room for it, one frame after the other. */
#include <errno.h>
#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/limits.h"
#include "sync/server/session_priv.h"

enum {
    ITEMS_BYTES = 256 * 1024, /* of one Items, unless a single one is larger */
    KEEP_BUFFER = 16 * 1024   /* a larger one is freed when it is sent */
};

/* 1: the next frame is in s->out; 0: there is none; or a negative errno. */
typedef int producer(struct srv_session *s);

static int encode(struct srv_session *s, const Persist__Frame *f)
{
    buf_reset(&s->out);
    int rc = frame_encode(f, &s->out);
    return rc < 0 ? rc : 1;
}

/* ---- Items ---- */

struct items {
    struct srv_session *s;
    struct buf bytes;
    size_t n;
    struct {
        size_t at, n; /* in @bytes, which moves while it grows */
    } part[FRAME_ITEMS_MAX];
    Persist__Items__Item item[FRAME_ITEMS_MAX], *p[FRAME_ITEMS_MAX];
};

struct items *items_new(void)
{
    return calloc(1, sizeof(struct items));
}

void items_free(struct items *i)
{
    if (i != NULL)
        buf_fini(&i->bytes);
    free(i);
}

static int see_item(void *arg, const struct srv_item *item)
{
    struct items *i = arg;
    if (session_is_own(i->s, item->seq))
        return 0;
    if (i->n == FRAME_ITEMS_MAX)
        return 1;
    Persist__Items__Item *to = i->p[i->n] = &i->item[i->n];
    persist__items__item__init(to);
    to->seq = item->seq;
    to->what_case =
        item->kind == SRV_ACT ? PERSIST__ITEMS__ITEM__WHAT_ACT : PERSIST__ITEMS__ITEM__WHAT_ENTRY;
    i->part[i->n].at = i->bytes.n;
    i->part[i->n].n = item->bytes.n;
    i->n++;
    buf_put_bytes(&i->bytes, item->bytes);
    return buf_status(&i->bytes);
}

static int encode_items(struct srv_session *s, struct items *i)
{
    for (size_t k = 0; k < i->n; k++) {
        ProtobufCBinaryData v = frame_data(bytes_of(i->bytes.p + i->part[k].at, i->part[k].n));
        if (i->item[k].what_case == PERSIST__ITEMS__ITEM__WHAT_ACT)
            i->item[k].act = v;
        else
            i->item[k].entry = v;
    }
    Persist__Items items = PERSIST__ITEMS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    items.items = i->p;
    items.n_items = i->n;
    s->hub->stats.items += i->n;
    f.kind_case = PERSIST__FRAME__KIND_ITEMS;
    f.items = &items;
    return encode(s, &f);
}

/* Reads on in the log until there is something to send. */
static int read_items(struct srv_session *s, struct items *i)
{
    i->s = s;
    while (s->has_grown && i->n == 0) {
        struct srv_space_info info;
        int rc = srv_space_info(s->hub->cfg.spaces, &s->at, &info);
        if (rc < 0)
            return rc;
        s->cursor = min_u64(session_own_end(s), max_u64(info.last_seq, s->cursor));
        struct srv_cursor c = {.after = s->cursor};
        rc = srv_log_read(s->hub->cfg.spaces, &s->at, SRV_LOG_ALL, ITEMS_BYTES, see_item, i, &c);
        if (rc < 0)
            return rc;
        s->cursor = c.after;
        s->has_grown = c.more || rc == 1;
    }
    return 0;
}

static int produce_caught_up(struct srv_session *s)
{
    Persist__CaughtUp up = PERSIST__CAUGHT_UP__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    s->owes_caught_up = false;
    up.seq = s->told = s->cursor;
    f.kind_case = PERSIST__FRAME__KIND_CAUGHT_UP;
    f.caught_up = &up;
    return encode(s, &f);
}

static int produce_items(struct srv_session *s)
{
    struct items *i = s->hub->items;
    i->n = 0;
    buf_reset(&i->bytes);
    int rc = s->exists || s->has_grown ? read_items(s, i) : 0;
    if (rc == -ENOENT && !s->exists) {
        rc = 0; /* nobody has made it yet */
        s->has_grown = false;
    }
    if (rc == 0 && i->n > 0) {
        s->exists = true;
        s->told = i->item[i->n - 1].seq;
        rc = encode_items(s, i);
    } else if (rc == 0 && !s->has_grown && (s->owes_caught_up || s->cursor > s->told)) {
        rc = produce_caught_up(s);
    }
    if (i->bytes.cap > FRAME_MAX)
        buf_fini(&i->bytes);
    return rc;
}

/* ---- answers ---- */

struct pick {
    unsigned variant, seen;
    struct buf *to;
};

static int pick_variant(void *arg, const struct srv_chunk *c)
{
    struct pick *p = arg;
    if (p->seen++ == p->variant)
        buf_put_bytes(p->to, c->sealed);
    return buf_status(p->to);
}

/* The next form of the next chunk; @ret_last: it is the last one that was asked for. */
static int answer_get_chunks(struct srv_session *s, const Persist__GetChunks *get, bool *ret_last)
{
    const uint8_t *id = get->ids[s->chunk].data;
    struct pick p = {.variant = s->variant, .to = &s->hub->scratch};
    buf_reset(p.to);
    int n = srv_chunk_get(s->hub->cfg.spaces, &s->at, id, pick_variant, &p);
    if (n < 0 && n != -ENOENT)
        return n;
    Persist__Chunk chunk = PERSIST__CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    chunk.id = frame_data(bytes_of(id, CHUNK_ID_SIZE));
    chunk.sealed = frame_data(buf_bytes(p.to));
    chunk.more = n > 0 && s->variant + 1 < (unsigned)n;
    f.kind_case = PERSIST__FRAME__KIND_CHUNK;
    f.chunk = &chunk;
    int rc = encode(s, &f);
    s->hub->stats.chunks++;
    s->variant = chunk.more ? s->variant + 1 : 0;
    s->chunk += !chunk.more;
    *ret_last = s->chunk == get->n_ids;
    return rc;
}

static int answer_ask_chunks(struct srv_session *s, const Persist__AskChunks *ask)
{
    uint8_t bits[LIMIT_CHUNK_IDS / 8] = {0};
    size_t n = ask->ids.len / CHUNK_ID_SIZE;
    int rc = srv_chunks_missing(s->hub->cfg.spaces, &s->at, ask->ids.data, n, srv_now_ms(), bits);
    if (rc == -ENOENT) { /* nothing is here: all are missing */
        for (size_t i = 0; i < n; i++)
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1 << i % 8);
        rc = 0;
    }
    if (rc < 0)
        return rc;
    Persist__MissingChunks missing = PERSIST__MISSING_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    missing.bits = frame_data(bytes_of(bits, (n + 7) / 8));
    f.kind_case = PERSIST__FRAME__KIND_MISSING_CHUNKS;
    f.missing_chunks = &missing;
    return encode(s, &f);
}

static int see_dot(void *arg, const struct dot *dot)
{
    struct buf *b = arg;
    if (b->n == (size_t)FRAME_DOTS_MAX * DOT_SIZE)
        return 1;
    dot_put(b, dot);
    return buf_status(b);
}

static int answer_list_dots(struct srv_session *s, const Persist__ListDots *list)
{
    struct dot from = {0, 0};
    struct buf *b = &s->hub->scratch;
    buf_reset(b);
    if (list->after.len > 0) {
        from = dot_decode(list->after.data);
        from.replica += from.counter == UINT64_MAX;
        from.counter++;
    }
    bool is_end = list->after.len > 0 && from.replica == 0 && from.counter == 0;
    int rc = is_end ? 0 : srv_space_dots(s->hub->cfg.spaces, &s->at, &from, see_dot, b);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    Persist__Dots dots = PERSIST__DOTS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    dots.dots = frame_data(buf_bytes(b));
    dots.last = rc != 1;
    f.kind_case = PERSIST__FRAME__KIND_DOTS;
    f.dots = &dots;
    s->owes_caught_up = true;
    return encode(s, &f);
}

static int produce_answer(struct srv_session *s)
{
    const Persist__Frame *q = s->question;
    bool last = true;
    int rc;
    if (q == NULL)
        return 0;
    if (q->kind_case == PERSIST__FRAME__KIND_GET_CHUNKS)
        rc = answer_get_chunks(s, q->get_chunks, &last);
    else if (q->kind_case == PERSIST__FRAME__KIND_ASK_CHUNKS)
        rc = answer_ask_chunks(s, q->ask_chunks);
    else
        rc = answer_list_dots(s, q->list_dots);
    if (last)
        frame_free(TAKE_PTR(s->question));
    return rc;
}

/* ---- what becomes of Puts ---- */

static int produce_done(struct srv_session *s)
{
    Persist__Done done = PERSIST__DONE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    s->done_id = s->synced_id;
    done.id = s->done_id;
    f.kind_case = PERSIST__FRAME__KIND_DONE;
    f.done = &done;
    return encode(s, &f);
}

static int produce_refused(struct srv_session *s)
{
    Persist__Refused refused;
    persist__refused__init(&refused);
    Persist__Frame f = PERSIST__FRAME__INIT;
    s->puts = PUTS_REFUSED_SAID;
    refused.id = s->put_id + 1;
    refused.code = s->refused_code;
    if (s->refused_text != NULL)
        refused.text = s->refused_text;
    f.kind_case = PERSIST__FRAME__KIND_REFUSED;
    f.refused = &refused;
    return encode(s, &f);
}

static int produce_online(struct srv_session *s)
{
    Persist__Online online = PERSIST__ONLINE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    s->online_told = s->place->online_number;
    online.identities = frame_data(buf_bytes(&s->place->online));
    online.many = s->place->online_many;
    f.kind_case = PERSIST__FRAME__KIND_ONLINE;
    f.online = &online;
    return encode(s, &f);
}

static bool owes_online(const struct srv_session *s)
{
    const struct place *p = s->place;
    return s->wants_online && s->online_told != p->online_number &&
           (s->owes_caught_up || p->online_due == p->online_number);
}

/* ---- sending ---- */

static int next_frame(struct srv_session *s)
{
    static producer *const producers[] = {produce_answer, produce_items};
    if (s->synced_id > s->done_id)
        return produce_done(s);
    if (s->puts == PUTS_REFUSED && s->done_id == s->put_id)
        return produce_refused(s);
    if (owes_online(s))
        return produce_online(s);
    /* In turn, so that none waits for the end of another. */
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_N(producers); i++)
        rc = producers[s->turn++ % ARRAY_N(producers)](s);
    return rc;
}

static int send_out(struct srv_session *s)
{
    int rc = s->wire->send(s->to, buf_bytes(&s->out));
    s->blocked = rc == -EAGAIN;
    s->hub->stats.sent_bytes += s->out.n;
    if (rc == 0 && s->out.cap > KEEP_BUFFER)
        buf_fini(&s->out);
    return s->blocked ? 0 : rc;
}

static void give_up(struct srv_session *s, int error)
{
    if (error == -ENOTCONN)
        return; /* closed() comes */
    if (error == -ENOENT) {
        session_end(s, PERSIST__CODE__CODE_NO_SPACE, "the space is gone");
        return;
    }
    log_error("server: a session ended: %s", strerror(-error));
    session_end(s, PERSIST__CODE__CODE_INTERNAL, "the server failed");
}

void session_send(struct srv_session *s, const Persist__Frame *f)
{
    int rc = encode(s, f);
    if (rc == 1)
        rc = send_out(s);
    if (rc < 0)
        give_up(s, rc);
}

void session_pump(struct srv_session *s)
{
    while (s->state == SESSION_OPEN && !s->blocked) {
        int rc = next_frame(s);
        if (rc == 0)
            break;
        if (rc == 1)
            rc = send_out(s);
        if (rc < 0) {
            give_up(s, rc);
            break;
        }
    }
    session_steer(s);
}

/* ---- passing on ---- */

/* What a device asked for, and the log, come first. */
static bool takes_passing(const struct srv_session *s, size_t bytes)
{
    return s->wants_passing && s->state == SESSION_OPEN && !s->blocked && s->question == NULL &&
           !s->has_grown && !s->owes_caught_up && bytes <= FRAME_PASSING_WINDOW - s->passing;
}

bool session_passed(struct srv_session *s, uint64_t bytes)
{
    if (bytes > s->passing)
        return false;
    s->passing -= bytes;
    return true;
}

void session_pass(struct srv_session *s, const Persist__SealedChunk *c)
{
    Persist__SealedChunk chunk = PERSIST__SEALED_CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    chunk.id = c->id;
    chunk.sealed = c->sealed;
    f.kind_case = PERSIST__FRAME__KIND_PASSING;
    f.passing = &chunk;
    for (struct ring *r = s->place->sessions.next; r != &s->place->sessions; r = r->next) {
        struct srv_session *to = CONTAINER_OF(r, struct srv_session, in_place);
        if (to == s || !takes_passing(to, c->sealed.len))
            continue;
        to->passing += c->sealed.len;
        s->hub->stats.passed++;
        session_send(to, &f);
        session_steer(to);
    }
}
