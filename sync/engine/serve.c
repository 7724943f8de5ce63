#include "sync/engine/serve.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/sealed/chunk.h"

enum {
    FAILED_MS = 10000,
    REFUSED_MS = 30000,
    LIST_N = 64,             /* arrivals that are looked at with one reading */
    ITEMS_N = 256,           /* of one Items, */
    ITEMS_BYTES = 256 << 10, /* and so much, unless a single one is larger */
    GIVEN_MAX = FRAME_OFFER_MAX * FRAME_OFFERS_MAX,
    TELL_N = 64, /* arrivals that the other one brought, until it hears where the log ends */
};

#define NOBODY (UINT64_MAX - 1) /* no remote has an even number */

#define UNREADABLE "what is to be sent cannot be read"

/* An arrival that is to be offered, was, or is wanted. */
struct given {
    struct arrival at;
    struct sync_offered what;
    bool wanted;
};

/* An Items that is being put together. */
struct items {
    struct buf bytes;
    size_t n, begin[ITEMS_N];
    Persist__Items__Item item[ITEMS_N], *p[ITEMS_N];
};

struct sync_serve {
    struct sync_serve_config cfg;
    enum { SERVE_NEW, SERVE_ASKED, SERVE_OPEN, SERVE_FAILED } state;
    uint8_t run[SYNC_RUN_SIZE]; /* as Open said, until it is answered */
    uint64_t cursor;
    bool wants_passing;

    uint64_t scan;      /* arrivals up to here are given, or sent, or are not to be */
    bool at_end;        /* and there are no more */
    uint64_t acts;      /* acts up to here are sent, ahead of all else */
    uint64_t began;     /* the last arrival when the session began, */
    struct dot own;     /* and the last own change that was sent unasked since */
    uint64_t kept_back; /* the first change that is not given yet: space_sync_may_give(); 0: none */

    /* A ring: first those that were answered, then those that were offered. */
    struct given given[GIVEN_MAX];
    size_t given_at, given_n, answered, offered;
    size_t offer[FRAME_OFFERS_MAX]; /* how many each open Offer has: a ring */
    size_t offer_at, offer_n;

    uint8_t names[FRAME_CHUNKS_MAX][CONTENT_ID_BYTES]; /* of chunks that are asked for: a ring */
    size_t names_at, names_n;
    uint64_t fresh;  /* of a file that is being cut: space_sync_fresh() */
    uint64_t passed; /* bytes in Passing that are not Passed */

    bool owes_dots, owes_caught_up;
    uint64_t told, taken; /* what the other one was told to have, and says to have */
    struct items items;
};

/* ---- life --------------------------------------------------------------------------------------
 */

/* Who is no member itself yet cannot tell: it has to hear the acts first. */
static bool is_stranger(const struct sync_serve_config *cfg)
{
    return space_sync_has_device(cfg->space, cfg->peer) == 0 && space_sync_is_member(cfg->space);
}

int sync_serve_new(const struct sync_serve_config *cfg, struct sync_serve **ret)
{
    if (is_stranger(cfg))
        return -EACCES;
    struct sync_serve *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    x->cfg = *cfg;
    *ret = x;
    return 0;
}

void sync_serve_free(struct sync_serve *x)
{
    if (x != NULL)
        buf_fini(&x->items.bytes);
    free(x);
}

static void fail(struct sync_serve *x, uint64_t after_ms, const char *why)
{
    if (x->state == SERVE_FAILED)
        return;
    x->state = SERVE_FAILED;
    x->cfg.failed(x->cfg.arg, after_ms, why);
}

static bool can_send(const struct sync_serve *x)
{
    return x->state != SERVE_FAILED && x->cfg.can_send(x->cfg.arg);
}

static void send(struct sync_serve *x, const Persist__Frame *f)
{
    x->cfg.send(x->cfg.arg, f);
}

/* Ends the link, for a reason that the other one may hear. */
static void end(struct sync_serve *x, Persist__Code code, uint64_t after_ms, const char *why)
{
    union {
        const char *in;
        char *out;
    } said = {.in = why}; /* protobuf-c does not write to it */
    Persist__End e;
    persist__end__init(&e);
    Persist__Frame f = PERSIST__FRAME__INIT;
    e.code = code;
    e.text = said.out;
    f.kind_case = PERSIST__FRAME__KIND_END;
    f.end = &e;
    if (can_send(x))
        send(x, &f);
    fail(x, after_ms, why);
}

static void not_allowed(struct sync_serve *x)
{
    end(x, PERSIST__CODE__CODE_PROTOCOL, FAILED_MS, "the other device asked what makes no sense");
}

/* Whether the other one is to be served. If it is no member, the link ends. */
static bool is_member(struct sync_serve *x)
{
    if (is_stranger(&x->cfg))
        end(x, PERSIST__CODE__CODE_NO_SPACE, REFUSED_MS, SERVE_STRANGER);
    return space_sync_has_device(x->cfg.space, x->cfg.peer) == 1;
}

/* ---- Open --------------------------------------------------------------------------------------
 */

static void ask_open(struct sync_serve *x, const Persist__Open *o)
{
    struct space_id id;
    if (x->state != SERVE_NEW) {
        not_allowed(x);
        return;
    }
    if (space_sync_id(x->cfg.space, &id) < 0 || memcmp(o->space.data, id.b, SPACE_ID_SIZE) != 0) {
        end(x, PERSIST__CODE__CODE_NO_SPACE, REFUSED_MS, "the other device asked for another one");
        return;
    }
    x->state = SERVE_ASKED;
    x->cursor = o->cursor;
    x->wants_passing = o->passing;
    if (o->run.len == SYNC_RUN_SIZE)
        memcpy(x->run, o->run.data, SYNC_RUN_SIZE);
}

/* Whether the cursor is of the log that is here now; else all is offered. */
static bool is_of_log(const struct sync_serve *x, const uint8_t run[static SYNC_RUN_SIZE])
{
    return x->cursor == 0 || (memcmp(x->run, run, SYNC_RUN_SIZE) == 0 && x->cursor <= x->began);
}

static void open_now(struct sync_serve *x)
{
    uint8_t run[SYNC_RUN_SIZE];
    Persist__Opened o = PERSIST__OPENED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (space_sync_run(x->cfg.space, run) < 0 ||
        space_sync_fresh(x->cfg.space, &x->fresh, NULL) < 0) {
        fail(x, FAILED_MS, UNREADABLE);
        return;
    }
    x->state = SERVE_OPEN;
    x->own = space_sync_signed(x->cfg.space);
    x->began = space_sync_last(x->cfg.space);
    bool stale = !is_of_log(x, run);
    x->scan = x->acts = x->told = x->taken = stale ? 0 : x->cursor;
    x->owes_caught_up = true;
    o.exists = true;
    o.run = frame_data(bytes_of(run, sizeof run));
    o.stale = stale;
    o.last = x->began;
    f.kind_case = PERSIST__FRAME__KIND_OPENED;
    f.opened = &o;
    send(x, &f);
}

/* ---- Items -------------------------------------------------------------------------------------
 */

/* All up to this arrival was sent, or is not wanted. */
static uint64_t all_sent(const struct sync_serve *x)
{
    uint64_t all = x->scan;
    if (x->given_n > 0)
        all = min_u64(all, x->given[x->given_at].at.number - 1);
    return x->kept_back == 0 ? all : min_u64(all, x->kept_back - 1);
}

/* Adds an arrival, unless it was superseded. False: it has to wait for the next Items. */
static bool add_item(struct sync_serve *x, const struct arrival *a)
{
    struct items *i = &x->items;
    struct buf chunks CLEANUP(buf_fini) = {0};
    size_t begin = i->bytes.n;
    if (i->n == ITEMS_N || begin >= ITEMS_BYTES)
        return false;
    int rc = space_sync_seal(x->cfg.space, a, &i->bytes, &chunks);
    if (rc < 0 && rc != -ENOENT)
        fail(x, FAILED_MS, UNREADABLE);
    bool fits = begin == 0 || i->bytes.n <= ITEMS_BYTES;
    if (rc < 0 || !fits) {
        i->bytes.n = begin;
        return fits && rc == -ENOENT;
    }
    if (chunks.n > 0) /* what was not passed on yet is asked for */
        rc = space_sync_fresh(x->cfg.space, &x->fresh, NULL);
    if (rc < 0)
        fail(x, FAILED_MS, UNREADABLE);
    Persist__Items__Item *it = i->p[i->n] = &i->item[i->n];
    persist__items__item__init(it);
    it->seq = a->number;
    it->what_case =
        a->kind == ARRIVAL_ACT ? PERSIST__ITEMS__ITEM__WHAT_ACT : PERSIST__ITEMS__ITEM__WHAT_ENTRY;
    i->begin[i->n++] = begin;
    return true;
}

/* Sends what was added. */
static void send_items(struct sync_serve *x)
{
    struct items *i = &x->items;
    Persist__Items items = PERSIST__ITEMS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    size_t past = i->bytes.n;
    for (size_t k = i->n; k > 0; past = i->begin[--k]) {
        size_t at = i->begin[k - 1];
        ProtobufCBinaryData v = frame_data(bytes_of(i->bytes.p + at, past - at));
        if (i->p[k - 1]->what_case == PERSIST__ITEMS__ITEM__WHAT_ACT)
            i->p[k - 1]->act = v;
        else
            i->p[k - 1]->entry = v;
    }
    items.n_items = i->n;
    items.items = i->p;
    items.all = all_sent(x);
    f.kind_case = PERSIST__FRAME__KIND_ITEMS;
    f.items = &items;
    if (i->n > 0 && x->state == SERVE_OPEN) {
        x->told = max_u64(x->told, items.all);
        send(x, &f);
    }
    buf_reset(&i->bytes);
    i->n = 0;
}

/*
 * Whether the other one brought it in this session. What it brought in another one is offered if
 * its cursor is before that: it may have been restored from an older copy.
 */
static bool came_from_there(const struct sync_serve *x, const struct arrival *a)
{
    return a->source == x->cfg.remote && a->number > x->began;
}

/* Acts that wait for nothing before them. Whether something was done; so below. */
static bool give_acts(struct sync_serve *x)
{
    struct arrival a[LIST_N];
    if (x->acts >= space_sync_last(x->cfg.space))
        return false;
    int n = space_sync_list_acts(x->cfg.space, x->acts, NOBODY, a, LIST_N);
    if (n < 0)
        fail(x, FAILED_MS, UNREADABLE);
    if (n == 0)
        x->acts = a[0].number;
    for (int i = 0; i < n && (came_from_there(x, &a[i]) || add_item(x, &a[i])); i++)
        x->acts = a[i].number;
    send_items(x);
    return n > 0;
}

/* Those of the front that were answered. */
static bool give_wanted(struct sync_serve *x)
{
    bool any = x->answered > 0;
    while (x->answered > 0) {
        const struct given *g = &x->given[x->given_at];
        if (g->wanted && !add_item(x, &g->at))
            break;
        x->given_at = (x->given_at + 1) % GIVEN_MAX;
        x->given_n--;
        x->answered--;
    }
    send_items(x);
    return any;
}

/* ---- arrivals ----------------------------------------------------------------------------------
 */

/* Whether it changed on this device since the session began: nobody else can have it yet. */
static bool is_new(struct sync_serve *x, const struct arrival *a)
{
    bool own = a->source == 0 && a->number > x->began && a->dot.replica == x->own.replica;
    if (!own || a->kind == ARRIVAL_STATE)
        return own;
    own = a->dot.counter > x->own.counter; /* else it arrives anew */
    x->own.counter = max_u64(x->own.counter, a->dot.counter);
    return own;
}

/* Keeps it to be offered. */
static void keep(struct sync_serve *x, const struct arrival *a)
{
    struct given *g = &x->given[(x->given_at + x->given_n) % GIVEN_MAX];
    *g = (struct given){.at = *a};
    int rc = space_sync_offer(x->cfg.space, a, &g->what);
    if (rc < 0 && rc != -ENOENT)
        fail(x, FAILED_MS, UNREADABLE);
    x->given_n += rc == 0;
}

/* False: it does not fit this Items. */
static bool look_at(struct sync_serve *x, const struct arrival *a)
{
    if (came_from_there(x, a))
        return true;
    if (a->kind == ARRIVAL_ACT)
        return a->number <= x->acts || add_item(x, a);
    if (a->kind == ARRIVAL_ENTRY && !space_sync_may_give(x->cfg.space)) {
        x->kept_back = x->kept_back == 0 ? a->number : x->kept_back;
        return true;
    }
    if (is_new(x, a))
        return add_item(x, a);
    keep(x, a);
    return true;
}

static bool give_arrivals(struct sync_serve *x)
{
    struct arrival a[LIST_N];
    x->at_end = x->scan >= space_sync_last(x->cfg.space);
    if (x->at_end || GIVEN_MAX - x->given_n < LIST_N)
        return false;
    int n = space_sync_list(x->cfg.space, x->scan, NOBODY, a, LIST_N);
    if (n < 0)
        fail(x, FAILED_MS, UNREADABLE);
    if (n == 0) {
        x->scan = a[0].number;
        x->at_end = true;
    }
    for (int i = 0; i < n && look_at(x, &a[i]); i++)
        x->scan = a[i].number;
    send_items(x);
    return n > 0;
}

static bool send_offer(struct sync_serve *x)
{
    uint8_t dots[FRAME_OFFER_MAX * DOT_SIZE], heads[FRAME_OFFER_MAX * FRAME_HEAD_SIZE];
    uint8_t states[FRAME_OFFER_MAX / 8] = {0};
    Persist__Offer o = PERSIST__OFFER__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    size_t from = x->answered + x->offered, n = min_u64(x->given_n - from, FRAME_OFFER_MAX);
    if (n == 0 || x->offer_n == FRAME_OFFERS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct sync_offered *w = &x->given[(x->given_at + from + i) % GIVEN_MAX].what;
        dot_encode(&w->dot, dots + i * DOT_SIZE);
        memcpy(heads + i * FRAME_HEAD_SIZE, w->head, FRAME_HEAD_SIZE);
        states[i / 8] = (uint8_t)(states[i / 8] | (w->state ? 1 << i % 8 : 0));
    }
    x->offer[(x->offer_at + x->offer_n++) % FRAME_OFFERS_MAX] = n;
    x->offered += n;
    o.dots = frame_data(bytes_of(dots, n * DOT_SIZE));
    o.heads = frame_data(bytes_of(heads, n * FRAME_HEAD_SIZE));
    o.states = frame_data(bytes_of(states, (n + 7) / 8));
    f.kind_case = PERSIST__FRAME__KIND_OFFER;
    f.offer = &o;
    send(x, &f);
    return true;
}

_Static_assert((int)FRAME_HEAD_SIZE == (int)SYNC_OFFERED_HEAD, "heads are as they are offered");

static void take_want(struct sync_serve *x, const Persist__Want *w)
{
    size_t n = x->offer_n == 0 ? 0 : x->offer[x->offer_at];
    if (n == 0 || w->bits.len != (n + 7) / 8) {
        not_allowed(x);
        return;
    }
    for (size_t i = 0; i < n; i++)
        x->given[(x->given_at + x->answered + i) % GIVEN_MAX].wanted =
            w->bits.data[i / 8] >> i % 8 & 1;
    x->answered += n;
    x->offered -= n;
    x->offer_at = (x->offer_at + 1) % FRAME_OFFERS_MAX;
    x->offer_n--;
}

/* It has compared: from the first change on that it did not give all is offered. */
static void end_keeping_back(struct sync_serve *x)
{
    if (x->kept_back == 0 || x->given_n > 0 || !space_sync_may_give(x->cfg.space))
        return;
    x->scan = x->kept_back - 1;
    x->kept_back = 0;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static bool send_dots(struct sync_serve *x)
{
    Persist__Dots d = PERSIST__DOTS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (!x->owes_dots)
        return false;
    x->owes_dots = false;
    x->owes_caught_up = true;
    d.last = true;
    f.kind_case = PERSIST__FRAME__KIND_DOTS;
    f.dots = &d;
    send(x, &f);
    return true;
}

static bool send_caught_up(struct sync_serve *x)
{
    Persist__CaughtUp c = PERSIST__CAUGHT_UP__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    bool due = x->owes_caught_up || all_sent(x) >= x->told + TELL_N;
    if (!due || !x->at_end || x->given_n > 0)
        return false;
    x->owes_caught_up = false;
    c.seq = all_sent(x);
    x->told = max_u64(x->told, c.seq);
    f.kind_case = PERSIST__FRAME__KIND_CAUGHT_UP;
    f.caught_up = &c;
    send(x, &f);
    return true;
}

static void ask_chunks(struct sync_serve *x, const Persist__GetChunks *g)
{
    if (g->n_ids > FRAME_CHUNKS_MAX - x->names_n) {
        not_allowed(x);
        return;
    }
    for (size_t i = 0; i < g->n_ids; i++)
        memcpy(x->names[(x->names_at + x->names_n++) % FRAME_CHUNKS_MAX], g->ids[i].data,
               CONTENT_ID_BYTES);
}

/* What cannot be read is not here: others may have it. */
static bool send_chunk(struct sync_serve *x)
{
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct chunk_id id;
    Persist__Chunk c = PERSIST__CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (x->names_n == 0)
        return false;
    const uint8_t *name = x->names[x->names_at];
    if (space_sync_chunk_give(x->cfg.space, name, &id, &sealed) < 0) {
        memcpy(id.b, name, CHUNK_ID_SIZE);
        buf_reset(&sealed);
    }
    x->names_at = (x->names_at + 1) % FRAME_CHUNKS_MAX;
    x->names_n--;
    c.id = frame_data(bytes_of(id.b, CHUNK_ID_SIZE));
    c.sealed = frame_data(buf_bytes(&sealed));
    f.kind_case = PERSIST__FRAME__KIND_CHUNK;
    f.chunk = &c;
    send(x, &f);
    return true;
}

/* A chunk of a file that is being cut. */
static bool pass_on(struct sync_serve *x)
{
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    struct sync_chunk c;
    Persist__SealedChunk p = PERSIST__SEALED_CHUNK__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (!x->wants_passing || x->passed + CHUNK_SEALED_MAX > FRAME_PASSING_WINDOW ||
        !space_sync_may_give(x->cfg.space) || space_sync_fresh(x->cfg.space, &x->fresh, &c) != 1)
        return false;
    if (space_sync_chunk_seal(x->cfg.space, &c, &sealed, &below) < 0)
        return true; /* the version was given up, and swept */
    x->passed += sealed.n;
    p.id = frame_data(bytes_of(c.id.b, CHUNK_ID_SIZE));
    p.sealed = frame_data(buf_bytes(&sealed));
    f.kind_case = PERSIST__FRAME__KIND_PASSING;
    f.passing = &p;
    send(x, &f);
    return true;
}

/* ---- frames ------------------------------------------------------------------------------------
 */

bool sync_serve_is_for(const Persist__Frame *f)
{
    static const Persist__Frame__KindCase kinds[] = {
        PERSIST__FRAME__KIND_OPEN,       PERSIST__FRAME__KIND_WANT,
        PERSIST__FRAME__KIND_GET_CHUNKS, PERSIST__FRAME__KIND_LIST_DOTS,
        PERSIST__FRAME__KIND_PASSED,     PERSIST__FRAME__KIND_TAKEN};
    bool is = false;
    for (size_t i = 0; i < ARRAY_N(kinds); i++)
        is = is || f->kind_case == kinds[i];
    return is;
}

static void take_passed(struct sync_serve *x, uint64_t bytes)
{
    if (bytes > x->passed)
        not_allowed(x);
    else
        x->passed -= bytes;
}

static void take_taken(struct sync_serve *x, uint64_t seq)
{
    if (seq > x->told)
        not_allowed(x);
    else
        x->taken = max_u64(x->taken, seq);
}

void sync_serve_frame(struct sync_serve *x, const Persist__Frame *f)
{
    if (x->state == SERVE_FAILED)
        return;
    if (f->kind_case == PERSIST__FRAME__KIND_OPEN)
        ask_open(x, f->open);
    else if (x->state != SERVE_OPEN)
        not_allowed(x);
    else if (f->kind_case == PERSIST__FRAME__KIND_WANT)
        take_want(x, f->want);
    else if (f->kind_case == PERSIST__FRAME__KIND_GET_CHUNKS)
        ask_chunks(x, f->get_chunks);
    else if (f->kind_case == PERSIST__FRAME__KIND_PASSED)
        take_passed(x, f->passed->bytes);
    else if (f->kind_case == PERSIST__FRAME__KIND_TAKEN)
        take_taken(x, f->taken->seq);
    else if (f->kind_case == PERSIST__FRAME__KIND_LIST_DOTS && !x->owes_dots)
        x->owes_dots = true;
    else
        not_allowed(x);
}

void sync_serve_pump(struct sync_serve *x)
{
    static bool (*const steps[])(struct sync_serve *) = {send_dots,     give_acts,  give_wanted,
                                                         give_arrivals, send_offer, send_caught_up,
                                                         send_chunk,    pass_on};
    bool more = x->state != SERVE_FAILED;
    while (more && is_member(x) && x->state != SERVE_NEW && can_send(x)) {
        if (x->state == SERVE_ASKED) {
            open_now(x);
            continue;
        }
        end_keeping_back(x);
        more = false;
        for (size_t i = 0; !more && i < ARRAY_N(steps); i++)
            more = steps[i](x);
    }
}

bool sync_serve_is_settled(const struct sync_serve *x)
{
    return x->state == SERVE_OPEN && !x->owes_caught_up && x->given_n == 0 && x->names_n == 0 &&
           x->kept_back == 0 && x->taken >= x->told && x->scan >= space_sync_last(x->cfg.space);
}
