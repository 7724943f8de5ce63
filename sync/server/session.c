/* The life of a session: the link, what comes in, the end. */
#include "sync/server/session.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "proto/sealed/keys.h"
#include "sync/server/managed.h"
#include "sync/server/request.h"
#include "sync/server/session_priv.h"

#define LINK_LABEL "persist.link.1"

enum {
    TOKEN_DIGEST_SIZE = 32,
    JOIN_TRIES = 50, /* 5 s: who asks waits for 10 */
    JOIN_AGAIN_MS = 100,
    SPACES_BYTES_MAX = FRAME_MAX - 64 * 1024 /* of all blobs in one Spaces */
};

/* ---- end ---- */

static void become_ending(struct srv_session *s)
{
    s->state = SESSION_ENDING;
    if (s->place != NULL)
        hub_set_online(s, false);
}

void session_end(struct srv_session *s, Persist__Code code, const char *text)
{
    if (s->state == SESSION_ENDING)
        return;
    become_ending(s);
    s->hub->stats.ended++;
    net_timer_cancel(s->timer);
    if (!s->blocked && s->to != NULL) {
        union {
            const char *in;
            char *out;
        } said = {.in = text}; /* protobuf-c does not write to it */
        Persist__End end;
        persist__end__init(&end);
        Persist__Frame f = PERSIST__FRAME__INIT;
        end.code = code;
        end.text = said.out;
        f.kind_case = PERSIST__FRAME__KIND_END;
        f.end = &end;
        session_send(s, &f);
    }
    if (s->to != NULL)
        s->wire->close(s->to, (unsigned)code, text);
}

static void fail(struct srv_session *s, int error)
{
    log_error("server: a session ended: %s", strerror(-error));
    session_end(s, PERSIST__CODE__CODE_INTERNAL, "the server failed");
}

void session_steer(struct srv_session *s)
{
    if (s->state == SESSION_ENDING)
        return;
    s->wire->read(s->to, !s->blocked && s->stalled == NULL && s->state != SESSION_OPENING);
}

/* ---- link ---- */

static void send_challenge(struct srv_session *s)
{
    uint32_t versions[] = {FRAME_VERSION};
    Persist__Challenge challenge = PERSIST__CHALLENGE__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    randombytes_buf(s->nonce, sizeof s->nonce);
    challenge.versions = versions;
    challenge.n_versions = ARRAY_N(versions);
    challenge.nonce = frame_data(bytes_of(s->nonce, sizeof s->nonce));
    f.kind_case = PERSIST__FRAME__KIND_CHALLENGE;
    f.challenge = &challenge;
    session_send(s, &f);
}

static bool is_proved(const struct srv_session *s, const Persist__Proof *p)
{
    uint8_t proved[FRAME_NONCE_SIZE + TOKEN_DIGEST_SIZE];
    memcpy(proved, s->nonce, FRAME_NONCE_SIZE);
    struct bytes token = bytes_str(s->token);
    crypto_generichash(proved + FRAME_NONCE_SIZE, TOKEN_DIGEST_SIZE, token.p, token.n, NULL, 0);
    int rc = sign_key_valid(p->identity.data)
                 ? label_verify(p->identity.data, LINK_LABEL, bytes_of(proved, sizeof proved),
                                p->signature.data)
                 : -EBADMSG;
    sodium_memzero(proved, sizeof proved);
    return rc == 0;
}

static void token_ended(struct srv_login *l)
{
    struct srv_session *s = l->arg;
    atomic_store(&s->cut, true);
    hub_cut(s->hub);
}

/* The token is one: authorise() has seen to that, and to how often an address may try. */
static void log_in(struct srv_session *s, const Persist__Proof *p)
{
    uint8_t peer[PEER_ID_BYTES];
    struct err err = {0};
    peer_id_of_key(p->identity.data, peer);
    s->login.ended = token_ended;
    s->login.arg = s;
    int rc = srv_login(s->hub->cfg.accounts, bytes_str(s->token), peer, bytes_of(NULL, 0),
                       srv_now_ms(), &s->login, &err);
    sodium_memzero(s->token, sizeof s->token);
    s->is_logged_in = rc == 0;
    if (rc == -EACCES || rc == -EMFILE)
        session_end(s, rc == -EACCES ? PERSIST__CODE__CODE_TOKEN : PERSIST__CODE__CODE_LIMIT,
                    err.msg);
    else if (rc < 0)
        fail(s, rc);
}

static void on_proof(struct srv_session *s, const Persist__Proof *p)
{
    if (p->version != FRAME_VERSION) {
        char text[FRAME_VERSIONS_SIZE];
        log_warn("server: a device is refused: %s",
                 frame_versions_text(p->version, FRAME_VERSION, text));
        session_end(s, PERSIST__CODE__CODE_VERSION, text);
        return;
    }
    if (!is_proved(s, p)) {
        session_end(s, PERSIST__CODE__CODE_PROOF, "the device's identity is not proved");
        return;
    }
    log_in(s, p);
    if (s->state != SESSION_NEW)
        return;
    net_timer_cancel(s->timer);
    s->state = SESSION_LINKED;
    s->at.account = s->login.token.account;
    memcpy(s->at.token, s->login.token.id, TOKEN_ID_BYTES);
    memcpy(s->identity, p->identity.data, SIGN_KEY_SIZE);
    Persist__Welcome welcome = PERSIST__WELCOME__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    welcome.now_ms = srv_now_ms();
    welcome.member = frame_data(srv_managed_member(s->hub->cfg.managed));
    f.kind_case = PERSIST__FRAME__KIND_WELCOME;
    f.welcome = &welcome;
    session_send(s, &f);
}

/* ---- spaces ---- */

struct listing {
    struct srv_session *s;
    Persist__Spaces__Space space[SPACES_MAX_OF_ACCOUNT], *p[SPACES_MAX_OF_ACCOUNT];
    uint8_t id[SPACES_MAX_OF_ACCOUNT][SPACE_ID_SIZE];
    struct buf door[SPACES_MAX_OF_ACCOUNT];
    size_t n, bytes;
};

/* Blobs are some hundred bytes, but for spaces with hundreds of epochs: those come as far as a
 * frame has room. */
static int list_space(void *arg, const struct srv_space_info *info)
{
    struct listing *l = arg;
    struct srv_at at = l->s->at;
    memcpy(at.space, info->id, SPACE_ID_SIZE);
    memcpy(l->id[l->n], info->id, SPACE_ID_SIZE);
    struct buf *door = &l->door[l->n];
    int rc = srv_door_get(l->s->hub->cfg.spaces, &at, door);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (l->bytes + door->n > SPACES_BYTES_MAX)
        buf_reset(door);
    l->bytes += door->n;
    Persist__Spaces__Space *sp = l->p[l->n] = &l->space[l->n];
    persist__spaces__space__init(sp);
    sp->id = frame_data(bytes_of(l->id[l->n], SPACE_ID_SIZE));
    sp->created_ms = info->created_ms;
    sp->entries = info->entries;
    sp->bytes = info->bytes;
    sp->door = frame_data(buf_bytes(door));
    sp->managed = srv_managed_has(l->s->hub->cfg.managed, &at);
    l->n++;
    return 0;
}

static void on_list_spaces(struct srv_session *s)
{
    struct listing *l = calloc(1, sizeof *l);
    if (l == NULL) {
        fail(s, -ENOMEM);
        return;
    }
    l->s = s;
    int rc = srv_space_list(s->hub->cfg.spaces, s->at.account, list_space, l);
    if (rc < 0) {
        fail(s, rc);
    } else {
        Persist__Spaces spaces = PERSIST__SPACES__INIT;
        Persist__Frame f = PERSIST__FRAME__INIT;
        spaces.spaces = l->p;
        spaces.n_spaces = l->n;
        f.kind_case = PERSIST__FRAME__KIND_SPACES;
        f.spaces = &spaces;
        session_send(s, &f);
    }
    for (size_t i = 0; i < SPACES_MAX_OF_ACCOUNT; i++)
        buf_fini(&l->door[i]);
    free(l);
}

/* ---- joining ---- */

/* The acts of the server itself go into the log here: who joins is to find its add there at once.
 */
static int push_acts(struct srv_session *s, const struct srv_at *at, struct bytes acts)
{
    struct reader r = reader_of(acts);
    struct err err = {0};
    int rc = 0;
    while (rc >= 0 && r.n > 0 && !r.failed)
        rc = srv_push_act(s->hub->cfg.spaces, at, reader_string(&r, LIMIT_ACT), srv_now_ms(), NULL,
                          &err);
    (void)srv_syncer_ask(s->hub->syncer);
    return rc < 0 ? rc : 0;
}

static void send_joined(struct srv_session *s, struct bytes grant)
{
    Persist__Joined joined = PERSIST__JOINED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    joined.grant = frame_data(grant);
    f.kind_case = PERSIST__FRAME__KIND_JOINED;
    f.joined = &joined;
    session_send(s, &f);
}

/* Lets the device in, or ends the session. -EAGAIN: not yet. */
static int join(struct srv_session *s, const Persist__Join *j)
{
    struct srv_at at = s->at;
    struct srv_joining joining = {.member = j->member.data, .label = j->label};
    struct buf acts CLEANUP(buf_fini) = {0}, grant CLEANUP(buf_fini) = {0};
    memcpy(at.space, j->space.data, SPACE_ID_SIZE);
    if (memcmp(j->member.data, s->identity, SIGN_KEY_SIZE) != 0) {
        session_end(s, PERSIST__CODE__CODE_PROOF, "the member is not the device that asks");
        return 0;
    }
    int rc = srv_managed_join(s->hub->cfg.managed, &at, &joining, &acts, &grant);
    if (rc == 0)
        rc = push_acts(s, &at, buf_bytes(&acts));
    if (rc == 0)
        send_joined(s, buf_bytes(&grant));
    else if (rc == -ENOENT || rc == -ENOTCONN || (rc == -EAGAIN && s->join_tries == JOIN_TRIES))
        session_end(s, PERSIST__CODE__CODE_NO_SPACE, "the server is no member of such a space");
    else if (rc == -EKEYREVOKED)
        session_end(s, PERSIST__CODE__CODE_TOKEN,
                    "this device was revoked; it is let in again by another device only");
    else if (rc == -ENOBUFS)
        session_end(s, PERSIST__CODE__CODE_LIMIT, "the space has as many members as it can have");
    else if (rc != -EAGAIN)
        fail(s, rc);
    return s->state == SESSION_LINKED ? rc : 0;
}

/* A server that was made a member a moment ago has the space to open first. */
static void on_join(struct srv_session *s, Persist__Frame **f)
{
    if (join(s, (*f)->join) != -EAGAIN) {
        s->join_tries = 0;
        return;
    }
    s->join_tries++;
    s->stalled = TAKE_PTR(*f);
    net_timer_set(s->timer, JOIN_AGAIN_MS);
}

static void join_again(struct srv_session *s)
{
    Persist__Frame *f = TAKE_PTR(s->stalled);
    on_join(s, &f);
    frame_free(f);
    session_steer(s);
}

/* ---- opening ---- */

static void send_opened(struct srv_session *s, const struct srv_opened *o)
{
    Persist__Opened opened = PERSIST__OPENED__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    opened.exists = o->exists;
    opened.run = frame_data(bytes_of(o->run, sizeof o->run));
    opened.stale = o->stale;
    opened.last = o->last_seq;
    opened.quota_bytes = o->quota_bytes;
    opened.used_bytes = o->used_bytes;
    f.kind_case = PERSIST__FRAME__KIND_OPENED;
    f.opened = &opened;
    session_send(s, &f);
}

/* Answers the Open, unless what is to be said is not on disk yet. */
static void open_now(struct srv_session *s)
{
    struct srv_opened o;
    const Persist__Open *open = s->open->open;
    int rc = srv_space_open(s->hub->cfg.spaces, &s->at, frame_bytes(open->run), open->cursor, &o);
    if (rc < 0) {
        fail(s, rc);
        return;
    }
    if (!o.on_disk) {
        s->open_sync = hub_wait_sync(s);
        return;
    }
    s->state = SESSION_OPEN;
    s->hub->stats.opened++;
    s->exists = o.exists;
    s->cursor = o.stale ? 0 : open->cursor;
    s->wants_passing = open->passing;
    s->wants_online = open->online;
    s->has_grown = s->owes_caught_up = true;
    frame_free(s->open);
    s->open = NULL;
    hub_set_online(s, true);
    hub_look_online(s->place);
    send_opened(s, &o);
    session_pump(s);
}

static void on_open(struct srv_session *s, Persist__Frame **f)
{
    memcpy(s->at.space, (*f)->open->space.data, SPACE_ID_SIZE);
    s->open = TAKE_PTR(*f);
    s->state = SESSION_OPENING;
    int rc = hub_enter(s);
    if (rc < 0)
        fail(s, rc);
    else
        open_now(s);
}

void session_synced(struct srv_session *s, uint64_t sync, int error)
{
    if (s->state == SESSION_ENDING)
        return;
    if (error < 0) {
        fail(s, error);
        return;
    }
    session_puts_synced(s, sync);
    if (s->open_sync != 0 && s->open_sync <= sync) {
        s->open_sync = 0;
        open_now(s);
    }
    session_pump(s);
}

/* ---- what comes in ---- */

static void on_question(struct srv_session *s, Persist__Frame **f)
{
    assert(s->question == NULL); /* nothing is read before the answer has gone */
    s->question = TAKE_PTR(*f);
    s->chunk = s->variant = 0;
    session_pump(s);
}

/* A device of another version ends it when it has seen the Challenge. */
static void on_end(struct srv_session *s, const Persist__End *e)
{
    char text[FRAME_VERSIONS_SIZE];
    if (s->state == SESSION_NEW && e->code == PERSIST__CODE__CODE_VERSION)
        log_warn("server: a device does not go on: %s",
                 escape_to(text, sizeof text, bytes_str(e->text)));
    become_ending(s);
    s->wire->close(s->to, WS_NORMAL, NULL);
}

/* True when that kind of frame may come now. */
static bool handle(struct srv_session *s, Persist__Frame **f)
{
    Persist__Frame__KindCase kind = (*f)->kind_case;
    if (kind == PERSIST__FRAME__KIND_END) {
        on_end(s, (*f)->end);
    } else if (s->state == SESSION_NEW && kind == PERSIST__FRAME__KIND_PROOF) {
        on_proof(s, (*f)->proof);
    } else if (s->state == SESSION_LINKED && kind == PERSIST__FRAME__KIND_LIST_SPACES) {
        on_list_spaces(s);
    } else if (s->state == SESSION_LINKED && kind == PERSIST__FRAME__KIND_JOIN) {
        on_join(s, f);
    } else if (s->state == SESSION_LINKED && kind == PERSIST__FRAME__KIND_OPEN) {
        on_open(s, f);
    } else if (s->state == SESSION_OPEN && kind == PERSIST__FRAME__KIND_PUT) {
        session_put(s, f);
    } else if (s->state == SESSION_OPEN && (kind == PERSIST__FRAME__KIND_GET_CHUNKS ||
                                            kind == PERSIST__FRAME__KIND_ASK_CHUNKS ||
                                            kind == PERSIST__FRAME__KIND_LIST_DOTS)) {
        on_question(s, f);
    } else if (s->state == SESSION_OPEN && kind == PERSIST__FRAME__KIND_PASSED) {
        return session_passed(s, (*f)->passed->bytes);
    } else {
        return false;
    }
    return true;
}

void session_message(struct srv_session *s, struct bytes message)
{
    Persist__Frame *f = NULL;
    if (s->state == SESSION_ENDING)
        return;
    int rc = frame_decode(message, &f);
    if (rc < 0)
        session_end(s, PERSIST__CODE__CODE_PROTOCOL, "not a frame of this protocol");
    else if (!handle(s, &f))
        session_end(s, PERSIST__CODE__CODE_PROTOCOL, "a frame that is not allowed here");
    frame_free(f);
    session_steer(s);
}

/* ---- beginning, and what the connection says ---- */

static void on_timer(void *arg)
{
    struct srv_session *s = arg;
    if (s->state == SESSION_NEW)
        session_end(s, PERSIST__CODE__CODE_PROOF, "the proof took too long");
    else if (s->state == SESSION_LINKED && s->stalled != NULL)
        join_again(s);
    else
        session_put_again(s);
}

unsigned srv_session_check(struct srv_hub *h, const struct ws_request *request)
{
    struct srv_token token;
    return srv_request_token(h->cfg.accounts, request, &token);
}

unsigned srv_session_accept(struct srv_hub *h, const struct ws_request *request, void **ret_user)
{
    unsigned status = srv_session_check(h, request);
    if (status != 0)
        return status;
    struct srv_session *s = session_new(h);
    if (s == NULL)
        return 503;
    snprintf(s->token, sizeof s->token, "%.*s", (int)request->token.n,
             (const char *)request->token.p);
    h->stats.sessions++;
    *ret_user = s;
    return 0;
}

struct srv_session *session_new(struct srv_hub *h)
{
    struct srv_session *s = calloc(1, sizeof *s);
    if (s == NULL || net_timer_new(h->cfg.loop, on_timer, s, &s->timer) < 0) {
        free(s);
        return NULL;
    }
    s->hub = h;
    ring_add(&h->sessions, &s->in_all);
    ring_init(&s->in_waiting);
    ring_init(&s->in_place);
    return s;
}

struct srv_session *session_new_own(struct srv_hub *h, uint64_t account,
                                    const struct srv_wire *wire, void *to)
{
    struct srv_session *s = session_new(h);
    if (s == NULL)
        return NULL;
    s->wire = wire;
    s->to = to;
    s->at.account = account;
    memcpy(s->identity, srv_managed_member(h->cfg.managed).p, SIGN_KEY_SIZE);
    s->state = SESSION_LINKED;
    return s;
}

/* ---- WebSockets ---- */

static int send_ws(void *to, struct bytes frame)
{
    return ws_send(to, frame);
}

static void read_ws(void *to, bool on)
{
    if (on)
        ws_resume(to);
    else
        ws_pause(to);
}

static void close_ws(void *to, unsigned code, const char *text)
{
    ws_close(to, code, text);
}

static const struct srv_wire ws_wire = {send_ws, read_ws, close_ws};

static void on_message(struct ws *w, struct bytes message, void *user)
{
    (void)w;
    session_message(user, message);
}

static void on_opened(struct ws *w, void *user)
{
    struct srv_session *s = user;
    s->wire = &ws_wire;
    s->to = w;
    net_timer_set(s->timer, SESSION_PROOF_MS);
    send_challenge(s);
}

static void on_writable(struct ws *w, void *user)
{
    (void)w;
    session_writable(user);
}

void session_writable(struct srv_session *s)
{
    if (s->state == SESSION_ENDING || !s->blocked)
        return;
    int rc = s->wire->send(s->to, buf_bytes(&s->out));
    if (rc < 0) {
        fail(s, rc);
        return;
    }
    s->blocked = false;
    session_pump(s);
    session_steer(s);
}

static void on_closed(struct ws *w, const struct ws_end *end, void *user)
{
    (void)w;
    (void)end;
    struct srv_session *s = user;
    s->hub->stats.sessions--;
    session_free(s);
}

void session_free(struct srv_session *s)
{
    if (s == NULL)
        return;
    if (s->is_logged_in)
        srv_logout(s->hub->cfg.accounts, &s->login, srv_now_ms());
    hub_leave(s);
    net_timer_free(s->timer);
    sodium_memzero(s->token, sizeof s->token);
    frame_free(s->open);
    frame_free(s->stalled);
    frame_free(s->question);
    buf_fini(&s->out);
    free(s->own);
    free(s->refused_text);
    free(s);
}

const struct ws_events srv_session_events = {on_opened, on_message, on_writable, on_closed};
