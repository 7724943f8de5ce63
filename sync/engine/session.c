#include "sync/engine/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/space/exchange.h"
#include "fs/space/peers.h"
#include "proto/base/log.h"
#include "sync/engine/session_priv.h"

enum { FAILED_MS = 10000, REFUSED_MS = 30000, FULL_MS = 5000, GO_ON_MS = 1000, AGAIN_MS = 100 };

#define SENSELESS "the remote said what makes no sense here"

/* ---- sending -----------------------------------------------------------------------------------
 */

void sync_session_give_up(struct sync_session *x)
{
    x->failed = true;
    sources_let_go(x->cfg.sources, x->source);
}

void sync_session_fail(struct sync_session *x, uint64_t after_ms, const char *why)
{
    if (x->failed)
        return;
    sync_session_give_up(x);
    x->cfg.failed(x->cfg.arg, after_ms, why);
}

void sync_session_unwritten(struct sync_session *x, int rc, const char *why)
{
    sync_session_fail(x, FAILED_MS, rc == -ENOSPC ? "the disk is full" : why);
}

bool sync_session_can_send(const struct sync_session *x)
{
    return !x->failed && x->cfg.can_send(x->cfg.arg);
}

void sync_session_send(struct sync_session *x, const Persist__Frame *f)
{
    x->cfg.send(x->cfg.arg, f);
}

void sync_session_store(struct sync_session *x)
{
    x->unstored = false;
    if (x->comparing)
        return; /* what is written down says that it went back: the next session would not compare
                 */
    int rc = space_sync_put_remote(x->cfg.space, x->remote, &x->row);
    if (rc < 0)
        sync_session_unwritten(x, rc, "the database does not take the place of the session");
}

/* ---- life --------------------------------------------------------------------------------------
 */

int sync_session_new(const struct sync_session_config *cfg, struct sync_session **ret)
{
    struct sync_session *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    x->cfg = *cfg;
    x->url = strdup(cfg->url);
    x->cfg.url = x->url;
    x->source = sources_join(cfg->sources);
    int rc = x->url == NULL ? -ENOMEM : x->source < 0 ? x->source : cfg->peer ? 0 : push_init(x);
    if (rc == 0) {
        x->remote = space_sync_remote_id(x->url);
        rc = space_sync_get_remote(cfg->space, x->remote, &x->row);
    }
    if (rc < 0) {
        sync_session_free(x);
        return rc;
    }
    *ret = x;
    return 0;
}

void sync_session_free(struct sync_session *x)
{
    if (x == NULL)
        return;
    sources_leave(x->cfg.sources, x->source);
    push_fini(x);
    pull_fini(x);
    buf_fini(&x->theirs);
    free(x->url);
    free(x);
}

void sync_session_start(struct sync_session *x)
{
    struct space_id id;
    Persist__Open open = PERSIST__OPEN__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (space_sync_id(x->cfg.space, &id) < 0) {
        sync_session_fail(x, REFUSED_MS, "this folder was made without keys, and cannot be synced");
        return;
    }
    open.space = frame_data(bytes_of(id.b, SPACE_ID_SIZE));
    open.cursor = x->row.cursor;
    open.passing = true;
    open.online = !x->cfg.peer;
    x->asked_round = space_sync_round(x->cfg.space);
    if (!sodium_is_zero(x->row.run, SYNC_RUN_SIZE))
        open.run = frame_data(bytes_of(x->row.run, SYNC_RUN_SIZE));
    f.kind_case = PERSIST__FRAME__KIND_OPEN;
    f.open = &open;
    sync_session_send(x, &f);
}

/* ---- a remote that went back in time -----------------------------------------------------------
 */

static void ask_dots(struct sync_session *x)
{
    uint8_t after[DOT_SIZE];
    Persist__ListDots list = PERSIST__LIST_DOTS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    if (x->compared.counter > 0) {
        dot_encode(&x->compared, after);
        list.after = frame_data(bytes_of(after, sizeof after));
    }
    f.kind_case = PERSIST__FRAME__KIND_LIST_DOTS;
    f.list_dots = &list;
    sync_session_send(x, &f);
}

/* Keeps of a list what may be here, too: no more than this device has itself. */
static int keep_dots(struct sync_session *x, ProtobufCBinaryData dots)
{
    CLEANUP(vv_fini) struct vv known = {0};
    int rc = space_knowledge(x->cfg.space, &known);
    for (size_t i = 0; rc == 0 && i < dots.len; i += DOT_SIZE) {
        struct dot dot = dot_decode(dots.data + i);
        if (dot_cmp(&dot, &x->compared) <= 0)
            rc = -EBADMSG;
        x->compared = dot;
        if (vv_has(&known, &dot))
            buf_put(&x->theirs, dots.data + i, DOT_SIZE);
    }
    return rc < 0 ? rc : buf_status(&x->theirs);
}

/* What is here and not there is put again. */
static void take_dots(struct sync_session *x, const Persist__Dots *d)
{
    if (keep_dots(x, d->dots) < 0 || (!d->last && d->dots.len == 0)) {
        sync_session_fail(x, FAILED_MS, "the list of what the server has makes no sense");
        return;
    }
    if (!d->last) {
        ask_dots(x);
        return;
    }
    x->comparing = false;
    int n = space_sync_push_again(x->cfg.space, buf_bytes(&x->theirs));
    buf_fini(&x->theirs);
    if (n < 0) {
        sync_session_unwritten(x, n, "comparing with the server failed");
        return;
    }
    sync_session_store(x);
    if (n > 0)
        log_warn("sync: %s had lost %d changes; they are sent again", x->url, n);
}

/* ---- what is new -------------------------------------------------------------------------------
 */

/*
 * A new round. CaughtUp follows on the answer to ListDots when all was sent that was there by then,
 * so the list of dots after the last that can be is asked for.
 */
static void hear(struct sync_session *x)
{
    uint8_t last[DOT_SIZE];
    Persist__ListDots list = PERSIST__LIST_DOTS__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    uint64_t round = space_sync_round(x->cfg.space);
    if (round == x->heard_round || x->hear != HEAR_NOTHING || x->comparing || !x->caught_up ||
        x->push.asking != NULL || !sync_session_can_send(x))
        return;
    memset(last, 0xff, sizeof last);
    list.after = frame_data(bytes_of(last, sizeof last));
    f.kind_case = PERSIST__FRAME__KIND_LIST_DOTS;
    f.list_dots = &list;
    x->hear = HEAR_DOTS;
    x->asked_round = round;
    sync_session_send(x, &f);
}

static void heard(struct sync_session *x)
{
    x->hear = HEAR_NOTHING;
    x->heard_round = x->asked_round;
}

/* ---- frames ------------------------------------------------------------------------------------
 */

static void opened(struct sync_session *x, const Persist__Opened *o)
{
    bool same = o->run.len == SYNC_RUN_SIZE && memcmp(o->run.data, x->row.run, SYNC_RUN_SIZE) == 0;
    if (x->opened) {
        sync_session_fail(x, FAILED_MS, "the remote answered twice");
        return;
    }
    x->opened = true;
    x->last = o->last;
    /* A log that ends before the cursor is another one, whatever the remote says. */
    if (o->stale || !o->exists || o->last < x->row.cursor) {
        x->row.cursor = 0;
        x->comparing = o->exists && !x->cfg.peer; /* a device offers all, then */
    }
    if (!o->exists) {
        x->row.pushed = 0;
        int rc = space_sync_leave_none_out(x->cfg.space, x->remote);
        if (rc < 0)
            sync_session_unwritten(x, rc, "the database cannot be written to");
    }
    if (o->run.len == SYNC_RUN_SIZE && !same)
        memcpy(x->row.run, o->run.data, SYNC_RUN_SIZE);
    x->push.scan = x->push.acts = x->row.pushed;
    window_init(&x->pull.window);
    x->pull.more_waiting = true; /* of an earlier session, or of another remote */
    x->caught_up = !o->exists;
    if (x->caught_up)
        heard(x);
    sync_session_store(x);
    if (x->comparing)
        ask_dots(x);
}

static void no_member(struct sync_session *x)
{
    char by[LIMIT_LABEL + 1], why[SYNC_TEXT_MAX];
    uint64_t ms;
    if (peers_is_out(x->cfg.space, by, &ms))
        snprintf(why, sizeof why, "this device was put out by %s", by);
    else
        snprintf(why, sizeof why,
                 "this device is no member of the folder, and its passphrase is no longer valid; "
                 "clone it again with a new one");
    sync_session_fail(x, REFUSED_MS, why);
}

static void caught_up(struct sync_session *x, const Persist__CaughtUp *c)
{
    int rc = space_sync_join(x->cfg.space);
    if (rc == -EKEYREVOKED) {
        no_member(x);
        return;
    }
    x->row.cursor = max_u64(x->row.cursor, c->seq);
    sync_session_store(x);
    if (!x->caught_up || x->hear == HEAR_CAUGHT_UP)
        heard(x);
    x->caught_up = true;
}

/* A remote that has no room for content may have room for what is small. */
static void refused(struct sync_session *x, const Persist__Refused *r)
{
    char why[FRAME_TEXT_MAX + 64];
    bool is_full = r->code == PERSIST__CODE__CODE_FULL || r->code == PERSIST__CODE__CODE_QUOTA;
    bool left_out = r->code == PERSIST__CODE__CODE_VARIANTS && push_left_out(x, r->id);
    snprintf(why, sizeof why, "the server refused: %s", r->text != NULL ? r->text : "");
    bool has_some = is_full && push_is_chunk(x, r->id);
    if (is_full)
        x->cfg.room(x->cfg.arg, why);
    sync_session_fail(x,
                      has_some   ? AGAIN_MS
                      : is_full  ? FULL_MS
                      : left_out ? GO_ON_MS
                                 : REFUSED_MS,
                      why);
}

_Static_assert((int)FRAME_ONLINE_MAX <= (int)SYNC_ONLINE_MAX, "those that are online have room");

static void online(struct sync_session *x, const Persist__Online *o)
{
    x->online.known = !o->many;
    x->online.n = o->identities.len / SIGN_KEY_SIZE;
    if (x->online.n > 0)
        memcpy(x->online.identity, o->identities.data, o->identities.len);
}

/* What only a server says, or only a device: whether it was that. */
static bool dispatch_one_sided(struct sync_session *x, const Persist__Frame *f)
{
    if (f->kind_case == PERSIST__FRAME__KIND_OFFER && x->cfg.peer)
        pull_offer(x, f->offer);
    else if (x->cfg.peer)
        return false;
    else if (f->kind_case == PERSIST__FRAME__KIND_ONLINE)
        online(x, f->online);
    else if (f->kind_case == PERSIST__FRAME__KIND_MISSING_CHUNKS)
        push_missing(x, f->missing_chunks->bits);
    else if (f->kind_case == PERSIST__FRAME__KIND_REFUSED)
        refused(x, f->refused);
    else if (f->kind_case == PERSIST__FRAME__KIND_DOTS && x->comparing)
        take_dots(x, f->dots);
    else
        return false;
    return true;
}

static void dispatch(struct sync_session *x, const Persist__Frame *f, uint64_t now_ms)
{
    if (dispatch_one_sided(x, f))
        return;
    if (f->kind_case == PERSIST__FRAME__KIND_CHUNK)
        pull_chunk(x, f->chunk, now_ms);
    else if (f->kind_case == PERSIST__FRAME__KIND_PASSING)
        pull_passing(x, f->passing);
    else if (f->kind_case == PERSIST__FRAME__KIND_CAUGHT_UP)
        caught_up(x, f->caught_up);
    else if (f->kind_case == PERSIST__FRAME__KIND_DOTS && x->hear == HEAR_DOTS)
        x->hear = HEAR_CAUGHT_UP;
    else
        sync_session_fail(x, FAILED_MS, SENSELESS);
}

/* A server that does not want this device closes with the same code, and the link goes by that. */
static void ended(struct sync_session *x, const Persist__End *e)
{
    if (e->code == PERSIST__CODE__CODE_TOKEN || e->code == PERSIST__CODE__CODE_PROOF ||
        e->code == PERSIST__CODE__CODE_VERSION)
        sync_session_give_up(x);
    else
        sync_session_fail(x, FAILED_MS, e->text);
}

bool sync_session_frame(struct sync_session *x, const Persist__Frame *f, uint64_t now_ms)
{
    if (x->failed)
        return false;
    if (x->opened && f->kind_case == PERSIST__FRAME__KIND_ITEMS)
        return pull_items(x, f->items);
    if (x->opened && !x->cfg.peer && f->kind_case == PERSIST__FRAME__KIND_DONE) {
        push_done(x, f->done->id, now_ms);
        return false;
    }
    pull_take(x);
    if (x->failed)
        return false;
    if (f->kind_case == PERSIST__FRAME__KIND_END)
        ended(x, f->end);
    else if (f->kind_case == PERSIST__FRAME__KIND_OPENED)
        opened(x, f->opened);
    else if (!x->opened)
        sync_session_fail(x, FAILED_MS, SENSELESS);
    else
        dispatch(x, f, now_ms);
    return true;
}

uint64_t sync_session_pump(struct sync_session *x, uint64_t now_ms, bool now)
{
    if (!x->opened || x->failed)
        return 0;
    pull_take(x);
    /* Not before all is heard: another copy of this device may have written under its id. */
    bool puts = !x->cfg.peer && x->caught_up && !x->comparing;
    uint64_t push = puts ? push_pump(x, now_ms, now) : 0;
    uint64_t pull = pull_pump(x, now_ms);
    hear(x);
    if (x->unstored && !x->failed)
        sync_session_store(x);
    return sooner(push, pull);
}

uint64_t sync_session_heard(const struct sync_session *x)
{
    return x->heard_round;
}

const struct sync_online *sync_session_online(const struct sync_session *x)
{
    return &x->online;
}

void sync_session_progress(const struct sync_session *x, uint64_t *ret_cursor, uint64_t *ret_last)
{
    *ret_cursor = x->row.cursor;
    *ret_last = max_u64(x->last, x->row.cursor);
}

bool sync_session_is_caught_up(const struct sync_session *x)
{
    return x->opened && x->caught_up && !x->failed;
}

bool sync_session_is_settled(const struct sync_session *x)
{
    return sync_session_is_caught_up(x) && !x->comparing && (x->cfg.peer || push_is_settled(x)) &&
           pull_is_settled(x);
}
