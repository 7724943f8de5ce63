/*
 * The outgoing half of a session. Acts, and what opens the space to others, are put before all
 * else; then arrivals in their order; an entry with chunks waits in a job until the remote has
 * these. What the remote has for sure (`pushed`) is all before the first arrival that is not Done.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/peers.h"
#include "sync/engine/session_priv.h"

enum {
    FAILED_MS = 10000,
    ARRIVALS_N = 64, /* that are looked at with one reading */
    STORE_N = 64,    /* that are Done before that is written down, while more are under way */
};

#define UNREADABLE "a piece of content that is to be sent cannot be read"

int push_init(struct sync_session *x)
{
    x->push.puts = calloc(PUTS_MAX, sizeof *x->push.puts);
    x->push.next_id = 1;
    window_init(&x->push.window);
    x->push.hold_until_ms = x->cfg.bulk_at_ms;
    return x->push.puts == NULL ? -ENOMEM : space_sync_fresh(x->cfg.space, &x->push.fresh, NULL);
}

static void job_fini(struct job *j)
{
    buf_fini(&j->todo);
    buf_fini(&j->send);
    buf_fini(&j->nodes);
    *j = (struct job){.used = false};
}

void push_fini(struct sync_session *x)
{
    for (size_t i = 0; i < JOBS_MAX; i++)
        job_fini(&x->push.jobs[i]);
    buf_fini(&x->push.blob);
    free(x->push.puts);
}

/* ---- Puts --------------------------------------------------------------------------------------
 */

static bool has_room(const struct sync_session *x, size_t window)
{
    return x->push.puts_n < PUTS_MAX && x->push.bytes < window && sync_session_can_send(x);
}

static void put_for(struct sync_session *x, Persist__Put *p, size_t bytes, uint64_t of)
{
    struct push *u = &x->push;
    Persist__Frame f = PERSIST__FRAME__INIT;
    p->id = u->next_id++;
    f.kind_case = PERSIST__FRAME__KIND_PUT;
    f.put = p;
    u->puts[(u->puts_at + u->puts_n++) % PUTS_MAX] =
        (struct put){.id = p->id, .of = of, .at_ms = u->now_ms, .bytes = bytes};
    u->bytes += bytes;
    sync_session_send(x, &f);
}

/* The last one of an arrival: the entry or act itself. */
static void put_last(struct sync_session *x, Persist__Put *p, size_t bytes, uint64_t arrival,
                     struct job *j)
{
    struct push *u = &x->push;
    struct put *last = &u->puts[(u->puts_at + u->puts_n) % PUTS_MAX];
    put_for(x, p, bytes, arrival);
    last->arrival = arrival;
    last->job = j;
}

/* Seals an arrival: 1; 0: it was superseded, or the session failed. */
static int seal_arrival(struct sync_session *x, const struct arrival *a, struct buf *ret,
                        struct buf *ret_chunks)
{
    int rc = space_sync_seal(x->cfg.space, a, ret, ret_chunks);
    if (rc < 0 && rc != -ENOENT)
        sync_session_fail(x, FAILED_MS, "what is to be sent cannot be read");
    return rc == 0;
}

static void put_sealed(struct sync_session *x, const struct arrival *a, const struct buf *bytes,
                       struct job *j)
{
    Persist__Put p = PERSIST__PUT__INIT;
    if (a->kind == ARRIVAL_ACT) {
        x->push.acts_id = x->push.next_id;
        p.what_case = PERSIST__PUT__WHAT_ACT;
        p.act = frame_data(buf_bytes(bytes));
    } else {
        p.what_case = PERSIST__PUT__WHAT_ENTRY;
        p.entry = frame_data(buf_bytes(bytes));
    }
    put_last(x, &p, bytes->n, a->number, j);
}

/* The first arrival that the remote may not have yet. */
static uint64_t first_open(const struct sync_session *x)
{
    const struct push *u = &x->push;
    uint64_t first = u->scan + 1;
    for (size_t i = 0; i < u->puts_n; i++) {
        const struct put *p = &u->puts[(u->puts_at + i) % PUTS_MAX];
        if (p->arrival != 0) {
            first = min_u64(first, p->arrival);
            if (p->job == NULL && !p->ahead)
                break; /* those that follow are later, or of jobs */
        }
    }
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (u->jobs[i].used)
            first = min_u64(first, u->jobs[i].at.number);
    if (u->kept_back != 0)
        first = min_u64(first, u->kept_back);
    return u->held == 0 ? first : min_u64(first, u->held);
}

static bool is_chunk(const struct push *u, const struct put *p)
{
    return p->arrival == 0 && p->id != u->blob_id && p->id != u->untold_id;
}

bool push_is_chunk(const struct sync_session *x, uint64_t id)
{
    const struct push *u = &x->push;
    for (size_t i = 0; i < u->puts_n; i++) {
        const struct put *p = &u->puts[(u->puts_at + i) % PUTS_MAX];
        if (p->id == id)
            return is_chunk(u, p);
    }
    return false;
}

void push_done(struct sync_session *x, uint64_t id, uint64_t now_ms)
{
    struct push *u = &x->push;
    if (id >= u->next_id) {
        sync_session_fail(x, FAILED_MS, "the server confirmed what it was not sent");
        return;
    }
    while (u->puts_n > 0 && u->puts[u->puts_at].id <= id) {
        struct put *p = &u->puts[u->puts_at];
        u->bytes -= p->bytes;
        if (p->job != NULL)
            job_fini(p->job);
        if (is_chunk(u, p)) {
            window_answered(&u->window, p->bytes, now_ms - p->at_ms, now_ms);
            x->cfg.room(x->cfg.arg, NULL);
        }
        u->puts_at = (u->puts_at + 1) % PUTS_MAX;
        u->puts_n--;
    }
    u->done_id = max_u64(u->done_id, id);
    if (u->untold_id != 0 && id >= u->untold_id) {
        u->untold_id = 0;
        int rc = peers_told(x->cfg.space, x->remote, u->untold);
        if (rc < 0)
            sync_session_unwritten(x, rc, "the database does not take what was sent");
    }
    if (u->blob_id != 0 && id >= u->blob_id) {
        u->blob_id = 0;
        int rc = space_sync_blob_given(x->cfg.space, x->remote, buf_bytes(&u->blob));
        if (rc < 0)
            sync_session_unwritten(x, rc, "the database does not take what was sent");
    }
    /* What is not written down is put again by the next session, and known there. */
    uint64_t pushed = first_open(x) - 1;
    if (pushed >= x->row.pushed + STORE_N || (pushed > x->row.pushed && u->puts_n == 0)) {
        x->row.pushed = pushed;
        x->unstored = true;
    }
}

bool push_left_out(struct sync_session *x, uint64_t id)
{
    const struct push *u = &x->push;
    for (size_t i = 0; i < u->puts_n; i++) {
        const struct put *p = &u->puts[(u->puts_at + i) % PUTS_MAX];
        if (p->id == id && p->of != 0)
            return space_sync_leave_out(x->cfg.space, x->remote, p->of) == 0;
    }
    return false;
}

/* ---- jobs --------------------------------------------------------------------------------------
 */

static struct job *free_job(struct sync_session *x)
{
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (!x->push.jobs[i].used)
            return &x->push.jobs[i];
    return NULL;
}

/* Asks which of the chunks that are to do the remote misses. */
static void ask(struct sync_session *x, struct job *j)
{
    struct buf ids CLEANUP(buf_fini) = {0};
    Persist__AskChunks a = PERSIST__ASK_CHUNKS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    const size_t size = sizeof(struct sync_chunk);
    size_t n = min_u64((j->todo.n - j->todo_at) / size, LIMIT_CHUNK_IDS);
    for (size_t i = 0; i < n; i++) {
        struct sync_chunk c;
        memcpy(&c, j->todo.p + j->todo_at + i * size, size);
        buf_put(&ids, c.id.b, CHUNK_ID_SIZE);
    }
    if (buf_status(&ids) < 0) {
        sync_session_fail(x, FAILED_MS, "out of memory");
        return;
    }
    j->asked = n;
    x->push.asking = j;
    a.ids = frame_data(buf_bytes(&ids));
    f.kind_case = PERSIST__FRAME__KIND_ASK_CHUNKS;
    f.ask_chunks = &a;
    sync_session_send(x, &f);
}

void push_missing(struct sync_session *x, ProtobufCBinaryData bits)
{
    struct job *j = x->push.asking;
    const size_t size = sizeof(struct sync_chunk);
    if (j == NULL || bits.len != (j->asked + 7) / 8) {
        sync_session_fail(x, FAILED_MS, "the server answered what it was not asked");
        return;
    }
    for (size_t i = 0; i < j->asked; i++) {
        struct sync_chunk c;
        if ((bits.data[i / 8] >> (i % 8) & 1) == 0)
            continue;
        memcpy(&c, j->todo.p + j->todo_at + i * size, size);
        buf_put(&j->send, &c, size);
    }
    j->todo_at += j->asked * size;
    if (j->todo_at == j->todo.n) {
        buf_reset(&j->todo);
        j->todo_at = 0;
    }
    j->asked = 0;
    x->push.asking = NULL;
    if (buf_status(&j->send) < 0)
        sync_session_fail(x, FAILED_MS, "out of memory");
}

/* Seals a chunk; of a list node @below gets what is below it. False: the session failed. */
static bool seal(struct sync_session *x, const struct sync_chunk *c, struct buf *sealed,
                 struct buf *below)
{
    int rc = space_sync_chunk_seal(x->cfg.space, c, sealed, below);
    if (rc < 0)
        sync_session_fail(x, FAILED_MS, UNREADABLE);
    return rc == 0;
}

/* Of arrival @of; 0: of none yet. */
static void put_chunk(struct sync_session *x, uint64_t of, const struct sync_chunk *c,
                      const struct buf *sealed)
{
    Persist__SealedChunk chunk = PERSIST__SEALED_CHUNK__INIT;
    Persist__Put p = PERSIST__PUT__INIT;
    chunk.id = frame_data(bytes_of(c->id.b, CHUNK_ID_SIZE));
    chunk.sealed = frame_data(buf_bytes(sealed));
    p.what_case = PERSIST__PUT__WHAT_CHUNK;
    p.chunk = &chunk;
    put_for(x, &p, sealed->n, of);
}

/* One chunk that the remote misses. A list node is put after all below it: where a node is, there
 * is what it names, also when a session ends in the middle. */
static void send_one(struct sync_session *x, struct job *j)
{
    struct sync_chunk c;
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    memcpy(&c, j->send.p + j->send_at, sizeof c);
    j->send_at += sizeof c;
    if (j->send_at == j->send.n) {
        buf_reset(&j->send);
        j->send_at = 0;
    }
    if (!seal(x, &c, &sealed, &below))
        return;
    if (!content_id_is_node(c.name)) {
        put_chunk(x, j->at.number, &c, &sealed);
        return;
    }
    buf_put(&j->nodes, &c, sizeof c);
    buf_put_bytes(&j->todo, buf_bytes(&below));
    if (buf_status(&j->nodes) < 0 || buf_status(&j->todo) < 0)
        sync_session_fail(x, FAILED_MS, "out of memory");
}

static void send_node(struct sync_session *x, struct job *j)
{
    struct sync_chunk c;
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    j->nodes.n -= sizeof c;
    memcpy(&c, j->nodes.p + j->nodes.n, sizeof c);
    if (seal(x, &c, &sealed, &below))
        put_chunk(x, j->at.number, &c, &sealed);
}

/* All chunks are put: the entry follows. */
static void end_job(struct sync_session *x, struct job *j)
{
    struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
    j->ended = true;
    if (seal_arrival(x, &j->at, &bytes, &chunks) == 1)
        put_sealed(x, &j->at, &bytes, j);
    else
        job_fini(j);
}

static void pump_job(struct sync_session *x, struct job *j)
{
    while (j->used && !j->ended && has_room(x, x->push.window.bytes)) {
        if (!space_sync_is_to_send(x->cfg.space, &j->at)) {
            if (j->asked == 0)
                job_fini(j);
            return;
        }
        if (j->todo.n > j->todo_at && j->asked == 0 && x->push.asking == NULL &&
            x->hear != HEAR_DOTS && j->send.n - j->send_at < 64 * sizeof(struct sync_chunk))
            ask(x, j);
        if (j->send.n > j->send_at) {
            send_one(x, j);
        } else if (j->asked > 0 || j->todo.n > j->todo_at) {
            return;
        } else if (j->nodes.n > 0) {
            send_node(x, j);
        } else {
            end_job(x, j);
        }
    }
}

/* ---- chunks of a file that is being cut --------------------------------------------------------
 */

/* The remote is not asked whether it has them: they are new here. */
static void pump_fresh(struct sync_session *x)
{
    struct sync_chunk c;
    while (x->push.hold_until_ms == 0 && has_room(x, x->push.window.bytes) &&
           space_sync_fresh(x->cfg.space, &x->push.fresh, &c) == 1) {
        struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
        int rc = space_sync_chunk_seal(x->cfg.space, &c, &sealed, &below);
        if (rc == 0)
            put_chunk(x, 0, &c, &sealed);
        else if (rc != -ENODATA) /* the version was given up, and swept */
            sync_session_fail(x, FAILED_MS, UNREADABLE);
    }
}

/* ---- what opens the space ----------------------------------------------------------------------
 */

static void put_act(struct sync_session *x, const struct arrival *a)
{
    struct buf bytes CLEANUP(buf_fini) = {0}, unused CLEANUP(buf_fini) = {0};
    struct push *u = &x->push;
    if (seal_arrival(x, a, &bytes, &unused) == 0)
        return;
    struct put *p = &u->puts[(u->puts_at + u->puts_n) % PUTS_MAX];
    put_sealed(x, a, &bytes, NULL);
    p->ahead = true;
}

/* Puts the acts that no entry before them may keep waiting. True: all that there are. */
static bool pump_acts(struct sync_session *x)
{
    struct arrival a[ARRIVALS_N];
    struct push *u = &x->push;
    int n = ARRIVALS_N;
    while (n > 0 && u->acts < space_sync_last(x->cfg.space)) {
        n = space_sync_list_acts(x->cfg.space, u->acts, x->remote, a, ARRIVALS_N);
        if (n < 0)
            sync_session_fail(x, FAILED_MS, "what is to be sent cannot be read");
        if (n == 0)
            u->acts = a[0].number;
        for (int i = 0; i < n; i++) {
            if (!has_room(x, FRAME_PUT_WINDOW - LIMIT_ENTRY))
                return false;
            put_act(x, &a[i]);
            u->acts = a[i].number;
        }
    }
    return !x->failed;
}

/* The blob that is still to be given: what was not there is looked for again when one was set. */
static bool find_blob(struct sync_session *x, struct buf *ret)
{
    struct push *u = &x->push;
    uint64_t blobs = space_sync_blobs(x->cfg.space);
    if (u->no_blob && u->blobs == blobs)
        return false;
    int rc = space_sync_get_blob(x->cfg.space, x->remote, ret);
    u->no_blob = rc == -ENOENT;
    u->blobs = blobs;
    return rc == 0;
}

/* Acts, and the passphrase's blob, if the remote is still to be given one: after the act of its
 * door. */
static void pump_door(struct sync_session *x)
{
    struct buf blob CLEANUP(buf_fini) = {0};
    struct push *u = &x->push;
    Persist__Put p = PERSIST__PUT__INIT;
    bool waits = u->blob_id == 0 && find_blob(x, &blob);
    if (!pump_acts(x) || !waits || !has_room(x, FRAME_PUT_WINDOW))
        return;
    u->blob_id = u->next_id;
    p.what_case = PERSIST__PUT__WHAT_DOOR;
    p.door = frame_data(buf_bytes(&blob));
    put_for(x, &p, blob.n, 0);
    buf_fini(&u->blob);
    u->blob = blob;
    blob = (struct buf){0};
}

/* ---- who is out --------------------------------------------------------------------------------
 */

static bool find_untold(struct sync_session *x)
{
    struct push *u = &x->push;
    uint64_t blobs = space_sync_blobs(x->cfg.space);
    if (u->no_untold && u->untold_blobs == blobs)
        return false;
    int rc = peers_untold(x->cfg.space, x->remote, u->untold);
    u->no_untold = rc == 0;
    u->untold_blobs = blobs;
    return rc == 1;
}

/* When the remote has the act, and has passed it on: who is out is to hear of it, too. */
static void pump_untold(struct sync_session *x)
{
    struct push *u = &x->push;
    Persist__Put p = PERSIST__PUT__INIT;
    if (u->untold_id != 0 || !find_untold(x) || !pump_acts(x) || u->acts_id > u->done_id ||
        !has_room(x, FRAME_PUT_WINDOW))
        return;
    u->untold_id = u->next_id;
    p.what_case = PERSIST__PUT__WHAT_REVOKED;
    p.revoked = frame_data(bytes_of(u->untold, SIGN_KEY_SIZE));
    put_for(x, &p, SIGN_KEY_SIZE, 0);
}

/* ---- arrivals ----------------------------------------------------------------------------------
 */

/* Puts one arrival, or makes a job of it. False: not now. */
static bool take(struct sync_session *x, const struct arrival *a)
{
    struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
    struct push *u = &x->push;
    struct job *j = free_job(x);
    if (a->kind == ARRIVAL_ENTRY && !space_sync_may_give(x->cfg.space)) {
        u->kept_back = u->kept_back == 0 ? a->number : u->kept_back;
        return true;
    }
    if (a->kind == ARRIVAL_ACT && a->number <= u->acts)
        return true; /* it went ahead */
    if (seal_arrival(x, a, &bytes, &chunks) == 0)
        return !x->failed;
    if (a->kind == ARRIVAL_ACT)
        u->acts = a->number;
    if (chunks.n == 0) {
        if (a->number > u->small_to)
            put_sealed(x, a, &bytes, NULL);
        return true;
    }
    if (u->hold_until_ms != 0) {
        u->held = u->held == 0 ? a->number : u->held;
        return true;
    }
    if (j == NULL)
        return false;
    *j = (struct job){.used = true, .at = *a, .todo = chunks};
    chunks = (struct buf){0};
    /* What is not put yet goes with the job: put twice, it would be there in two forms. */
    return space_sync_fresh(x->cfg.space, &x->push.fresh, NULL) == 0;
}

static void pump_arrivals(struct sync_session *x)
{
    struct arrival a[ARRIVALS_N];
    int n = ARRIVALS_N;
    while (n == ARRIVALS_N && x->push.scan < space_sync_last(x->cfg.space) &&
           has_room(x, FRAME_PUT_WINDOW - LIMIT_ENTRY)) {
        n = space_sync_list(x->cfg.space, x->push.scan, x->remote, a, ARRIVALS_N);
        if (n < 0)
            sync_session_fail(x, FAILED_MS, "what is to be sent cannot be read");
        if (n == 0)
            x->push.scan = a[0].number;
        for (int i = 0; i < n; i++) {
            if (!has_room(x, FRAME_PUT_WINDOW - LIMIT_ENTRY) || !take(x, &a[i]))
                return;
            x->push.scan = a[i].number;
        }
    }
}

/* Nothing is under way. */
static bool is_idle(const struct sync_session *x)
{
    bool idle = x->push.puts_n == 0;
    for (size_t i = 0; i < JOBS_MAX; i++)
        idle = idle && !x->push.jobs[i].used;
    return idle;
}

/* What was passed over is looked at again. */
static void end_hold(struct push *u)
{
    u->hold_until_ms = 0;
    if (u->held == 0)
        return;
    u->small_to = u->scan;
    u->scan = u->held - 1;
    u->held = 0;
}

/* It has compared: from the first change on that it did not give all is put, or known there. */
static void end_keeping_back(struct sync_session *x)
{
    struct push *u = &x->push;
    if (u->kept_back == 0 || !space_sync_may_give(x->cfg.space))
        return;
    u->scan = u->kept_back - 1;
    u->kept_back = 0;
}

uint64_t push_pump(struct sync_session *x, uint64_t now_ms, bool now)
{
    struct push *u = &x->push;
    u->now_ms = now_ms;
    end_keeping_back(x);
    if (u->hold_until_ms != 0 && (now || now_ms >= u->hold_until_ms)) {
        x->cfg.room(x->cfg.arg, NULL);
        end_hold(u);
    }
    pump_door(x);
    pump_untold(x);
    if (!now && now_ms < u->not_before_ms)
        return u->not_before_ms;
    uint64_t before = u->scan;
    pump_arrivals(x);
    for (size_t i = 0; i < JOBS_MAX; i++)
        pump_job(x, &u->jobs[i]);
    pump_fresh(x);
    if (u->scan > before && x->cfg.interval_ms > 0)
        u->not_before_ms = now_ms + x->cfg.interval_ms;
    uint64_t pushed = first_open(x) - 1;
    if (is_idle(x) && pushed > x->row.pushed) { /* what follows came from the remote itself */
        x->row.pushed = pushed;
        x->unstored = true;
    }
    return u->hold_until_ms;
}

bool push_is_settled(const struct sync_session *x)
{
    struct arrival a;
    return is_idle(x) && x->push.held == 0 && x->push.kept_back == 0 &&
           (x->push.scan >= space_sync_last(x->cfg.space) ||
            space_sync_next(x->cfg.space, x->push.scan, x->remote, &a) == 0);
}
