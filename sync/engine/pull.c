/*
 * The incoming half of a session: Items are taken into the space, and content is fetched.
 */
#include <errno.h>
#include <stdlib.h>

#include "sync/engine/session_priv.h"

enum { FAILED_MS = 10000, NO_ROOM_MS = 10000 };

void pull_fini(struct sync_session *x)
{
    for (size_t i = 0; i < FETCHES_MAX; i++)
        buf_fini(&x->pull.fetch[i].needs);
    buf_fini(&x->pull.waiting);
    buf_fini(&x->pull.came);
}

/* ---- Items -------------------------------------------------------------------------------------
 */

static bool is_act(const Persist__Items__Item *it)
{
    return it->what_case == PERSIST__ITEMS__ITEM__WHAT_ACT;
}

/* The cursor goes on to @seq: what is before it was taken. */
static void taken(struct sync_session *x, uint64_t seq, int rc)
{
    if (rc == 0)
        rc = space_sync_settle(x->cfg.space);
    if (rc < 0) {
        sync_session_unwritten(x, rc, "what came cannot be stored");
        return;
    }
    x->row.cursor = max_u64(x->row.cursor, seq);
    x->unstored = true;
}

void pull_take(struct sync_session *x)
{
    struct pull *l = &x->pull;
    struct bytes entry[CAME_MAX];
    int fate[CAME_MAX];
    size_t n = 0;
    struct reader r = reader_of(buf_bytes(&l->came));
    while (n < l->came_n)
        entry[n++] = reader_string(&r, LIMIT_ENTRY);
    if (n == 0 || x->failed)
        return;
    int rc = space_sync_take_entries(x->cfg.space, x->remote, entry, n, fate);
    /* What another device sends it has whole, and it may wait here since it came from elsewhere. */
    for (size_t i = 0; rc == 0 && i < n; i++)
        l->more_waiting =
            l->more_waiting || fate[i] == SYNC_CONTENT || (x->cfg.peer && fate[i] == SYNC_KNOWN);
    buf_reset(&l->came);
    l->came_n = 0;
    taken(x, l->came_seq, rc);
}

/* An entry waits for those that came with it, and is taken with them. */
static void keep(struct sync_session *x, const Persist__Items__Item *it, uint64_t seq)
{
    struct pull *l = &x->pull;
    buf_put_string(&l->came, frame_bytes(it->entry));
    l->came_n++;
    l->came_seq = max_u64(l->came_seq, seq);
    if (buf_status(&l->came) < 0)
        sync_session_fail(x, FAILED_MS, "out of memory");
}

/* Where the cursor goes when an item is taken. Another device says that of all of them. */
static uint64_t seq_at(const struct sync_session *x, const Persist__Items *items, size_t i)
{
    if (!x->cfg.peer)
        return items->items[i]->seq;
    return i + 1 == items->n_items ? items->all : 0;
}

bool pull_items(struct sync_session *x, const Persist__Items *items)
{
    struct pull *l = &x->pull;
    bool any = false;
    for (size_t i = 0; i < items->n_items && !x->failed; i++) {
        const Persist__Items__Item *it = items->items[i];
        if (!is_act(it))
            keep(x, it, seq_at(x, items, i));
        if (!is_act(it) && l->came_n < CAME_MAX && l->came.n < CAME_BYTES)
            continue;
        any = true;
        pull_take(x);
        if (is_act(it) && !x->failed)
            taken(x, seq_at(x, items, i),
                  space_sync_take_act(x->cfg.space, x->remote, frame_bytes(it->act)));
    }
    return any;
}

/* ---- Offers ------------------------------------------------------------------------------------
 */

/* What waits here for its content is whole there: perhaps it can be had now. */
static bool is_wanted(struct sync_session *x, const struct sync_offered *o)
{
    int rc = space_sync_foresee(x->cfg.space, o);
    if (rc < 0)
        sync_session_fail(x, FAILED_MS, "what is offered cannot be compared with what is here");
    x->pull.more_waiting = x->pull.more_waiting || rc == SYNC_CONTENT;
    return rc == SYNC_TAKEN;
}

void pull_offer(struct sync_session *x, const Persist__Offer *o)
{
    struct pull *l = &x->pull;
    struct want *w = &l->want[(l->want_at + l->want_n) % FRAME_OFFERS_MAX];
    size_t n = o->dots.len / DOT_SIZE;
    if (l->want_n == FRAME_OFFERS_MAX) {
        sync_session_fail(x, FAILED_MS, "the other device does not wait for answers");
        return;
    }
    *w = (struct want){.n = (n + 7) / 8};
    for (size_t i = 0; i < n && !x->failed; i++) {
        struct sync_offered what = {.dot = dot_decode(o->dots.data + i * DOT_SIZE)};
        what.state = o->states.len > 0 && (o->states.data[i / 8] >> i % 8 & 1) != 0;
        memcpy(what.head, o->heads.data + i * FRAME_HEAD_SIZE, sizeof what.head);
        w->bits[i / 8] = (uint8_t)(w->bits[i / 8] | (is_wanted(x, &what) ? 1 << i % 8 : 0));
    }
    l->want_n++;
}

static void send_want(struct sync_session *x)
{
    struct pull *l = &x->pull;
    const struct want *first = &l->want[l->want_at];
    Persist__Want w = PERSIST__WANT__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    w.bits = frame_data(bytes_of(first->bits, first->n));
    l->want_at = (l->want_at + 1) % FRAME_OFFERS_MAX;
    l->want_n--;
    f.kind_case = PERSIST__FRAME__KIND_WANT;
    f.want = &w;
    sync_session_send(x, &f);
}

/* All that came is here: the other device hears so. */
static void tell_taken(struct sync_session *x)
{
    struct pull *l = &x->pull;
    Persist__Taken t = PERSIST__TAKEN__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (!x->cfg.peer || !x->caught_up || l->taken >= x->row.cursor || !pull_is_settled(x) ||
        !sync_session_can_send(x))
        return;
    t.seq = l->taken = x->row.cursor;
    f.kind_case = PERSIST__FRAME__KIND_TAKEN;
    f.taken = &t;
    sync_session_send(x, &f);
}

/* ---- content -----------------------------------------------------------------------------------
 */

static size_t needs_n(const struct fetch *f)
{
    return f->needs.n / sizeof(struct need);
}

static struct need need_at(const struct fetch *f, size_t i)
{
    struct need ret;
    memcpy(&ret, f->needs.p + i * sizeof ret, sizeof ret);
    return ret;
}

static int note_need(void *arg, const struct content_need *need)
{
    struct fetch *f = arg;
    struct need n = {.len = need->level > 0 ? CONTENT_CHUNK_MAX : need->len};
    memcpy(n.name, need->id, sizeof n.name);
    for (size_t i = 0; i < needs_n(f) && need->level > 0; i++)
        if (memcmp(f->needs.p + i * sizeof n, n.name, sizeof n.name) == 0)
            return 0;
    buf_put(&f->needs, &n, sizeof n);
    if (buf_status(&f->needs) < 0)
        return -ENOMEM;
    return needs_n(f) >= FETCH_NEEDS_MAX;
}

/* Nothing more is asked for; it is there until what was asked for came. */
static void fetch_end(struct fetch *f)
{
    buf_fini(&f->needs);
    f->at = f->held = 0;
    f->more = false;
    f->used = f->open > 0;
}

/* Whether the remote can bring something of it now; else others are to, who were asked. */
static bool is_busy(const struct fetch *f)
{
    return f->used && (f->open > 0 || f->at < needs_n(f));
}

/* Whether all that was to be had of what was found missing came. */
static bool is_done(const struct fetch *f)
{
    return f->open == 0 && f->held == 0 && f->at == needs_n(f);
}

/* A disk that is full of content keeps some room for what is small: that goes on coming. What is
 * needed is looked at anew when there may be room: it may have been superseded. */
static void no_room(struct sync_session *x, uint64_t now_ms)
{
    for (size_t i = 0; i < FETCHES_MAX; i++)
        fetch_end(&x->pull.fetch[i]);
    x->pull.room_ms = now_ms + NO_ROOM_MS;
    x->pull.full = true;
    x->cfg.room(x->cfg.arg, "the disk is full");
}

/* Looks what is missing, or, when nothing is, has the entry applied, if no other session had. What
 * this remote has not others may have brought meanwhile, each something else. */
static void fetch_look(struct sync_session *x, struct fetch *f, uint64_t now_ms)
{
    fetch_end(f);
    f->used = true;
    int rc = space_sync_needs(x->cfg.space, &f->dot, note_need, f);
    f->more = rc > 0;
    if (rc >= 0 && needs_n(f) == 0) {
        rc = space_sync_retry(x->cfg.space, &f->dot);
        if (rc >= 0 && rc != SYNC_CONTENT)
            rc = space_sync_settle(x->cfg.space);
        fetch_end(f);
    } else if (rc >= 0 && f->missing) {
        x->pull.retry_ms = now_ms + RETRY_MS;
        fetch_end(f);
    }
    if (rc == -ENOENT || rc == -EBADMSG) /* not waited for any more; or never to be had */
        fetch_end(f);
    else if (rc < 0 && rc != -ENOSPC)
        sync_session_fail(x, FAILED_MS, "content that came cannot be stored");
    if (rc == -ENOSPC)
        no_room(x, now_ms);
}

static struct fetch *fetch_of(struct sync_session *x, const struct dot *dot)
{
    struct fetch *free_one = NULL;
    for (size_t i = 0; i < FETCHES_MAX; i++) {
        struct fetch *f = &x->pull.fetch[i];
        if (f->used && dot_equal(&f->dot, dot))
            return NULL;
        if (!f->used)
            free_one = f;
    }
    return free_one;
}

static bool is_used(const struct fetch *f)
{
    return f->used;
}

static size_t count(const struct pull *l, bool (*is)(const struct fetch *))
{
    size_t n = 0;
    for (size_t i = 0; i < FETCHES_MAX; i++)
        n += is(&l->fetch[i]);
    return n;
}

/* Whether there is room for many more. */
static bool may_begin(const struct pull *l)
{
    return count(l, is_busy) < FETCHES_BUSY / 2 && count(l, is_used) < FETCHES_MAX;
}

/* Whether another content of @rank may be begun: it waits for none that is larger. */
static bool is_next(const struct pull *l, uint64_t rank)
{
    size_t before = 0;
    for (size_t i = 0; i < FETCHES_MAX; i++)
        before += is_busy(&l->fetch[i]) && l->fetch[i].rank <= rank;
    return before < FETCHES_BUSY;
}

/* Begins to fetch what waits, the smallest first. */
static void begin_fetches(struct sync_session *x, uint64_t now_ms)
{
    struct pull *l = &x->pull;
    if (l->more_waiting &&
        (l->waiting_at == l->waiting.n || may_begin(l) || now_ms >= l->look_ms)) {
        buf_reset(&l->waiting);
        l->waiting_at = 0;
        l->more_waiting = false;
        l->look_ms = now_ms + LOOK_MS;
        if (space_sync_waiting(x->cfg.space, &l->waiting) < 0)
            sync_session_fail(x, FAILED_MS, "what is waited for cannot be read");
    }
    size_t used = count(l, is_used);
    for (; used < FETCHES_MAX && l->waiting_at < l->waiting.n;
         l->waiting_at += sizeof(struct sync_wait)) {
        struct sync_wait w;
        memcpy(&w, l->waiting.p + l->waiting_at, sizeof w);
        if (!is_next(l, w.rank))
            break;
        struct fetch *f = fetch_of(x, &w.dot);
        if (f == NULL)
            continue;
        *f = (struct fetch){.dot = w.dot, .rank = w.rank, .used = true};
        fetch_look(x, f, now_ms);
        used += f->used;
    }
}

/* The smallest content of which something is still to be asked for; NULL: none. */
static struct fetch *smallest(struct pull *l)
{
    struct fetch *least = NULL;
    for (size_t i = 0; i < FETCHES_MAX; i++) {
        struct fetch *f = &l->fetch[i];
        if (f->at < needs_n(f) && (least == NULL || f->rank < least->rank))
            least = f;
    }
    return least;
}

/*
 * What others had been asked for is looked at again. Of a large content there is more behind it,
 * and nobody waits for the last ones of the others before going on.
 */
static void look_again(struct sync_session *x, uint64_t now_ms)
{
    for (size_t i = 0; i < FETCHES_MAX; i++) {
        struct fetch *f = &x->pull.fetch[i];
        if (f->at < needs_n(f))
            continue;
        f->needs.n = f->held * sizeof(struct need);
        f->at = f->held = 0;
        if (f->more && !f->missing && needs_n(f) < FETCH_NEEDS_MAX / 2)
            fetch_look(x, f, now_ms);
    }
}

/* Looks at the next chunk that @f needs: whether it is to be asked for here. It is not when it came
 * by now, nor while another session, or another content, has it asked for. */
static bool claim(struct sync_session *x, struct fetch *f, uint64_t now_ms, struct need *ret)
{
    *ret = need_at(f, f->at++);
    uint64_t at = sources_claim(x->cfg.sources, x->source, ret->name, now_ms);
    if (at != 0) {
        memcpy(f->needs.p + f->held++ * sizeof *ret, ret, sizeof *ret);
        x->pull.held_ms = sooner(x->pull.held_ms, at == SOURCES_NEVER ? 0 : at);
        return false;
    }
    int here = space_sync_chunk_has(x->cfg.space, ret->name);
    if (here == 0)
        return true;
    sources_answered(x->cfg.sources, x->source, ret->name, true);
    if (here < 0)
        sync_session_fail(x, FAILED_MS, "what is here cannot be read");
    else if (is_done(f))
        fetch_look(x, f, now_ms);
    return false;
}

/* Adds a chunk to the ring of what is asked for. */
static bool ask_next(struct sync_session *x, uint64_t now_ms, struct sync_chunk *ret)
{
    struct pull *l = &x->pull;
    struct fetch *f = NULL;
    struct need need;
    do {
        f = smallest(l);
        if (f == NULL || x->failed || l->asked_n == FRAME_CHUNKS_MAX ||
            l->asked_bytes >= l->window.bytes)
            return false;
    } while (!claim(x, f, now_ms, &need));
    struct asked a = {.fetch = f, .at_ms = now_ms, .len = need.len};
    memcpy(a.chunk.name, need.name, sizeof need.name);
    if (!x->cfg.peer && space_sync_chunk_id(x->cfg.space, a.chunk.name, 0, &a.chunk.id) < 0) {
        sources_answered(x->cfg.sources, x->source, a.chunk.name, false);
        return false;
    }
    f->open++;
    l->asked[(l->asked_at + l->asked_n++) % FRAME_CHUNKS_MAX] = a;
    l->asked_bytes += a.len;
    *ret = a.chunk;
    return true;
}

static void send_get(struct sync_session *x, const struct sync_chunk *chunks, size_t n)
{
    ProtobufCBinaryData ids[FRAME_CHUNKS_MAX];
    Persist__GetChunks g = PERSIST__GET_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        ids[i] = frame_data(bytes_of(x->cfg.peer ? chunks[i].name : chunks[i].id.b, CHUNK_ID_SIZE));
    g.n_ids = n;
    g.ids = ids;
    f.kind_case = PERSIST__FRAME__KIND_GET_CHUNKS;
    f.get_chunks = &g;
    sync_session_send(x, &f);
}

/* Another device puts this one now: it is kept for the entry that will name it. If it is not what
 * it should be, or there is no room, it is asked for when that entry is here. */
void pull_passing(struct sync_session *x, const Persist__SealedChunk *c)
{
    struct chunk_id id;
    memcpy(id.b, c->id.data, CHUNK_ID_SIZE);
    int rc = space_sync_chunk_ahead(x->cfg.space, &id, frame_bytes(c->sealed));
    if (rc < 0 && rc != -EBADMSG && rc != -ENOSPC)
        sync_session_fail(x, FAILED_MS, "content that came cannot be stored");
    x->pull.passed_bytes += c->sealed.len;
}

static void tell_passed(struct sync_session *x)
{
    Persist__Passed p = PERSIST__PASSED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    p.bytes = x->pull.passed_bytes;
    x->pull.passed_bytes = 0;
    f.kind_case = PERSIST__FRAME__KIND_PASSED;
    f.passed = &p;
    sync_session_send(x, &f);
}

/* When to go on: at once, when what was looked at needed nothing and more is to be looked at. */
static uint64_t next_pump(const struct pull *l, uint64_t now_ms)
{
    if (l->room_ms != 0)
        return l->room_ms;
    if (may_begin(l) && l->waiting_at < l->waiting.n)
        return now_ms;
    return sooner(l->more_waiting ? l->look_ms : 0, sooner(l->retry_ms, l->held_ms));
}

uint64_t pull_pump(struct sync_session *x, uint64_t now_ms)
{
    struct pull *l = &x->pull;
    struct sync_chunk chunks[FRAME_CHUNKS_MAX];
    size_t n = 0;
    l->held_ms = 0;
    if (l->room_ms != 0 && now_ms >= l->room_ms) {
        l->room_ms = 0;
        l->retry_ms = now_ms;
    }
    if (l->retry_ms != 0 && now_ms >= l->retry_ms) {
        l->retry_ms = 0;
        l->more_waiting = true;
    }
    l->more_waiting = space_sync_wants(x->cfg.space, &l->wants) || l->more_waiting;
    if (x->caught_up && l->room_ms == 0) /* the tree and small files first */
        begin_fetches(x, now_ms);
    if (!sync_session_can_send(x))
        return l->room_ms != 0 ? l->room_ms : l->retry_ms;
    while (l->want_n > 0 && sync_session_can_send(x))
        send_want(x);
    if (!sync_session_can_send(x))
        return next_pump(l, now_ms);
    if (l->room_ms == 0)
        look_again(x, now_ms);
    while (l->room_ms == 0 && n < FRAME_CHUNKS_MAX && ask_next(x, now_ms, &chunks[n]))
        n++;
    send_get(x, chunks, n);
    if (l->passed_bytes >= PASSED_BYTES && sync_session_can_send(x))
        tell_passed(x);
    tell_taken(x);
    return next_pump(l, now_ms);
}

/* The last form of a chunk came, and it was not it: perhaps it has its id in an older epoch. */
static bool ask_older(struct sync_session *x, struct asked *a, uint64_t now_ms)
{
    struct pull *l = &x->pull;
    a->at_ms = now_ms;
    if (x->cfg.peer ||
        space_sync_chunk_id(x->cfg.space, a->chunk.name, ++a->epoch, &a->chunk.id) < 0)
        return false;
    l->asked[(l->asked_at + l->asked_n++) % FRAME_CHUNKS_MAX] = *a;
    l->asked_bytes += a->len;
    send_get(x, &a->chunk, 1);
    return true;
}

/* Whether this is what was asked for next. A device has it under the id of an epoch of its own
 * choice, which is looked at when it is opened. */
static bool answers(struct sync_session *x, const Persist__Chunk *c)
{
    struct asked *head = &x->pull.asked[x->pull.asked_at];
    if (x->pull.asked_n == 0 || (x->cfg.peer && c->more))
        return false;
    if (x->cfg.peer && c->sealed.len > 0)
        memcpy(head->chunk.id.b, c->id.data, CHUNK_ID_SIZE);
    else if (x->cfg.peer)
        return memcmp(c->id.data, head->chunk.name, CHUNK_ID_SIZE) == 0;
    return memcmp(c->id.data, head->chunk.id.b, CHUNK_ID_SIZE) == 0;
}

void pull_chunk(struct sync_session *x, const Persist__Chunk *c, uint64_t now_ms)
{
    struct pull *l = &x->pull;
    struct asked *head = &l->asked[l->asked_at];
    if (!answers(x, c)) {
        sync_session_fail(x, FAILED_MS, "the remote sent a piece of content that nobody asked for");
        return;
    }
    sources_heard(x->cfg.sources, x->source, now_ms);
    /* Another source may have brought it meanwhile, or another form that came was the right one. */
    int rc = space_sync_chunk_has(x->cfg.space, head->chunk.name) == 1 ? 0 : -EBADMSG;
    if (rc < 0 && c->sealed.len > 0)
        rc = space_sync_chunk_take(x->cfg.space, &head->chunk, frame_bytes(c->sealed));
    if (rc < 0 && rc != -EBADMSG && rc != -ENOSPC) {
        sync_session_fail(x, FAILED_MS, "content that came cannot be stored");
        return;
    }
    if (rc == -ENOSPC)
        no_room(x, now_ms);
    if (rc == 0 && l->full) {
        l->full = false;
        x->cfg.room(x->cfg.arg, NULL);
    }
    if (c->more)
        return;
    struct asked a = *head;
    l->asked_at = (l->asked_at + 1) % FRAME_CHUNKS_MAX;
    l->asked_n--;
    l->asked_bytes -= a.len;
    window_answered(&l->window, a.len, now_ms - a.at_ms, now_ms);
    if (rc == -EBADMSG && ask_older(x, &a, now_ms))
        return;
    sources_answered(x->cfg.sources, x->source, a.chunk.name, rc == 0);
    a.fetch->missing = a.fetch->missing || rc < 0;
    a.fetch->open--;
    if (is_done(a.fetch))
        fetch_look(x, a.fetch, now_ms);
}

bool pull_is_settled(const struct sync_session *x)
{
    const struct pull *l = &x->pull;
    bool busy = l->came_n > 0 || l->more_waiting || l->waiting_at < l->waiting.n;
    busy = busy || l->room_ms != 0; /* what there was no room for is missing */
    for (size_t i = 0; i < FETCHES_MAX; i++)
        busy = busy || l->fetch[i].used;
    return !busy;
}
