/* persist pair, where the code is made: shows it, and lets in who knows it. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/base/utf8.h"
#include "proto/frame.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/pair_line.h"
#include "sync/cli/pair_qr.h"
#include "sync/cli/pair_sides.h"
#include "sync/cli/session.h"
#include "sync/cli/term.h"
#include "sync/pair/payload.h"

enum { RUNS_MAX = 4, EXPIRES_MIN_S = 10, EXPIRES_MAX_S = 3600, QR_TEXT = 300 };

/* A device that is at it. */
struct run {
    uint32_t id; /* 0: none */
    struct pair *machine;
    uint8_t peer_id[PEER_ID_BYTES];
    char label[PAIR_LABEL_SIZE];
    uint32_t new_in; /* a bit for each space that it was let into: it was in none of these before */
};

struct invite {
    struct session session;
    const struct space_entry *spaces[PAIR_SPACES_MAX];
    size_t spaces_n;
    char label[PAIR_LABEL_SIZE];
    unsigned expires_s;
    struct pair_code code;
    struct pair_tries tries;
    int fd;
    struct run runs[RUNS_MAX];
    int status; /* of the command; -1: it waits still */
};

/* ---- which folders -----------------------------------------------------------------------------
 */

static int add_space(struct invite *v, const struct space_entry *e, struct err *err)
{
    pid_t pid;
    int rc = session_owner(&v->session, e, &pid, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, -EIO, "pair: %s is not mounted; 'persist mount' it first", e->folder);
    for (size_t i = 0; i < v->spaces_n; i++)
        if (v->spaces[i] == e)
            return 0;
    if (v->spaces_n == PAIR_SPACES_MAX)
        return err_set(err, -EINVAL, "pair: at most %d folders at once", PAIR_SPACES_MAX);
    v->spaces[v->spaces_n++] = e;
    return 0;
}

static int find_spaces(struct invite *v, const struct args *a, struct err *err)
{
    size_t n = args_plain_n(a);
    int rc = session_open(&v->session, false, err);
    for (size_t i = 0; rc == 0 && i < (n == 0 ? 1 : n); i++) {
        struct target t = {.space = NULL};
        rc = n == 0 ? target_default(&v->session.spaces, &t, err)
                    : target_find(&v->session.spaces, args_plain(a, i), true, &t, err);
        if (rc == 0)
            rc = add_space(v, t.space, err);
        target_fini(&t);
    }
    return rc;
}

static int take_expires(struct invite *v, const struct args *a, struct err *err)
{
    const char *text = args_value(a, PAIR_OPT_EXPIRES, 0);
    char *end = NULL;
    v->expires_s = PAIR_CODE_MS / 1000;
    if (text == NULL)
        return 0;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < EXPIRES_MIN_S || n > EXPIRES_MAX_S)
        return err_set(err, -EINVAL, "pair: --expires takes seconds, from %d to %d", EXPIRES_MIN_S,
                       EXPIRES_MAX_S);
    v->expires_s = (unsigned)n;
    return 0;
}

static int take_label(struct invite *v, const struct args *a, struct err *err)
{
    struct identity id;
    const char *label = args_value(a, PAIR_OPT_LABEL, 0);
    int rc = identity_load(&v->session.home, &id, err);
    if (rc == 0)
        snprintf(v->label, sizeof v->label, "%s", label != NULL ? label : id.label);
    return rc;
}

/* ---- showing the code --------------------------------------------------------------------------
 */

static void show_qr(const char *code, const Persist__Reply *r, struct buf *b)
{
    char text[QR_TEXT];
    int n =
        snprintf(text, sizeof text, "persist pair %s%s%s", code,
                 r->n_addresses > 0 ? " --peer " : "", r->n_addresses > 0 ? r->addresses[0] : "");
    if (n > 0 && (size_t)n < sizeof text && pair_qr(text, b) < 0)
        buf_reset(b);
    sodium_memzero(text, sizeof text);
}

static int show(const struct invite *v, const Persist__Reply *r)
{
    char code[PAIR_CODE_TEXT_SIZE];
    struct buf qr CLEANUP(buf_fini) = {0};
    (void)pair_code_text(&v->code, code);
    printf("code     %s\n", code);
    for (size_t i = 0; i < r->n_addresses; i++)
        printf("address  %s\n", r->addresses[i]);
    if (isatty(STDOUT_FILENO)) {
        show_qr(code, r, &qr);
        if (buf_status(&qr) == 0)
            (void)!fwrite(qr.p, 1, qr.n, stdout);
        printf("On the other device, within %u seconds:  persist pair %s\n"
               "If it does not find this one, with an address of above:  --peer ADDRESS\n",
               v->expires_s, code);
    }
    sodium_memzero(code, sizeof code);
    if (qr.p != NULL)
        sodium_memzero(qr.p, qr.cap);
    return fflush(stdout) == 0 ? 0 : -EIO;
}

/* ---- letting in --------------------------------------------------------------------------------
 */

/* Where a verb writes a blob to; what it says goes to stderr, or nowhere. */
struct sink {
    struct out out; /* first */
    struct buf bytes;
    bool quiet;
};

static int sink_write(struct out *o, struct bytes v)
{
    struct sink *k = (struct sink *)o;
    buf_put_bytes(&k->bytes, v);
    return buf_status(&k->bytes) < 0 ? -EIO : 0;
}

static void sink_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    (void)o, (void)done, (void)total, (void)label;
}

static void sink_error(struct out *o, const char *line)
{
    if (!((struct sink *)o)->quiet)
        fprintf(stderr, "persist: %s\n", line);
}

static bool sink_cancelled(struct out *o, unsigned wait_ms)
{
    (void)o;
    usleep(wait_ms * 1000);
    return false;
}

static struct sink sink_of(bool quiet)
{
    return (struct sink){.out = {sink_write, sink_progress, sink_error, sink_cancelled},
                         .quiet = quiet};
}

/* Runs a verb on a space; its exit status. */
static int run_verb(const struct invite *v, size_t space, const char *verb, const char *first,
                    const char *second, struct sink *sink)
{
    struct err err = {0};
    int status = VERB_FAILED;
    struct verb_call call = {.verb = verb, .args = {first, second}};
    call.args_n = second != NULL ? 2 : 1;
    int rc = session_run(&v->session, v->spaces[space], &call, &sink->out, &status, &err);
    if (rc < 0 && !sink->quiet)
        fprintf(stderr, "persist: pair: %s\n", err.msg);
    return rc < 0 ? verb_status_of(rc) : status;
}

/* Has a space handed over; the grant in @ret. */
static int grant(const struct invite *v, size_t space, struct run *run,
                 const struct pair_joiner *who, struct buf *ret)
{
    char member[2 * ACT_MEMBER_SIZE + 1], id[PEER_ID_TEXT_SIZE];
    struct sink look = sink_of(true), blob = sink_of(false);
    sodium_bin2hex(member, sizeof member, who->member, sizeof who->member);
    if (run_verb(v, space, "peer", peer_id_text(run->peer_id, id), NULL, &look) != VERB_OK)
        run->new_in |= UINT32_C(1) << space;
    buf_fini(&look.bytes);
    int status = run_verb(v, space, "grant", member, who->label, &blob);
    if (status != VERB_OK)
        run->new_in &= ~(UINT32_C(1) << space);
    *ret = blob.bytes;
    return status;
}

/* Nothing is left behind of a device that did not say that it has what it was given. */
static void put_out(const struct invite *v, struct run *run)
{
    char id[PEER_ID_TEXT_SIZE];
    (void)peer_id_text(run->peer_id, id);
    for (size_t i = 0; i < v->spaces_n; i++) {
        struct sink sink = sink_of(false);
        if ((run->new_in >> i & 1) != 0 && run_verb(v, i, "revoke", id, NULL, &sink) != VERB_OK)
            fprintf(stderr, "persist: pair: %s may be a device of %s now; 'persist revoke %s'\n",
                    run->label, v->spaces[i]->folder, id);
        buf_fini(&sink.bytes);
    }
    run->new_in = 0;
}

/* The other device has shown that it knows the code, and who it is: it is let in. */
static int let_in(struct invite *v, struct run *run)
{
    struct pair_joiner who;
    struct pair_inviter gives = {.grants_n = 0};
    struct buf blobs[PAIR_SPACES_MAX] = {{0}}, payload = {0};
    uint8_t identity[SIGN_KEY_SIZE];
    int status = VERB_OK;
    if (pair_joiner_get(pair_payload(run->machine), &who) < 0)
        return fail(VERB_NOT_ALLOWED, "pair: what the other device says of itself makes no sense");
    if (peer_id_key(bytes_of(run->peer_id, sizeof run->peer_id), identity) < 0 ||
        memcmp(identity, who.member, SIGN_KEY_SIZE) != 0)
        return fail(VERB_NOT_ALLOWED, "pair: the other device says that it is another one");
    memcpy(run->label, who.label, sizeof run->label);
    snprintf(gives.label, sizeof gives.label, "%s", v->label);
    for (; status == VERB_OK && gives.grants_n < v->spaces_n; gives.grants_n++) {
        status = grant(v, gives.grants_n, run, &who, &blobs[gives.grants_n]);
        gives.grants[gives.grants_n] = buf_bytes(&blobs[gives.grants_n]);
    }
    pair_inviter_put(&gives, &payload);
    if (status == VERB_OK &&
        (buf_status(&payload) < 0 || pair_answer(run->machine, buf_bytes(&payload)) < 0))
        status = fail(VERB_FAILED, "pair: what is to be given is too much; choose fewer folders");
    for (size_t i = 0; i < PAIR_SPACES_MAX; i++)
        buf_fini(&blobs[i]);
    buf_fini(&payload);
    return status;
}

/* ---- runs --------------------------------------------------------------------------------------
 */

static struct run *run_of(struct invite *v, uint32_t id)
{
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (v->runs[i].id == id)
            return &v->runs[i];
    return NULL;
}

static void run_end(struct invite *v, struct run *run)
{
    struct err ignored = {0};
    (void)!pair_line_flush(v->fd, run->id, run->machine, &ignored);
    (void)!pair_line_end(v->fd, run->id, &ignored);
    pair_free(run->machine);
    *run = (struct run){.id = 0};
}

static void done(struct invite *v, struct run *run)
{
    char shown[4 * PAIR_LABEL_SIZE], last[9];
    uint32_t id = run->id;
    escape_to(shown, sizeof shown, bytes_str(run->label));
    pair_line_short(bytes_of(run->peer_id, sizeof run->peer_id), last);
    run_end(v, run);
    (void)pair_line_ends(v->fd, id); /* it may go only when the other side has heard the end */
    printf("paired with %s (...%s)\n", shown, last);
    v->status = fflush(stdout) == 0 ? VERB_OK : VERB_FAILED;
}

static bool is_busy(const struct invite *v)
{
    return v->tries.busy;
}

/* Whether the code is worth waiting with after a run that ended so; else the exit status is set. */
static void failed(struct invite *v, struct run *run)
{
    enum pair_end end = pair_end(run->machine);
    bool used = v->tries.used || v->tries.tries >= PAIR_TRIES_MAX;
    uint32_t id = run->id;
    put_out(v, run);
    run_end(v, run);
    if (is_busy(v)) { /* another device, which goes on */
        fprintf(stderr, "persist: pair: %s\n", pair_end_text(end, false));
        return;
    }
    if (end == PAIR_WRONG_CODE && v->tries.tries >= PAIR_TRIES_MAX)
        v->status = fail(VERB_NOT_ALLOWED,
                         "pair: the code was tried %d times and was wrong each "
                         "time; make a new one, and mind who may listen",
                         PAIR_TRIES_MAX);
    else if (end == PAIR_NOT_CONFIRMED)
        v->status = fail(VERB_FAILED, "pair: the other device did not confirm that it has the keys "
                                      "and was put out again; make a new code");
    else if (used || end == PAIR_EXPIRED || end == PAIR_NO_MEMORY)
        v->status = fail(end == PAIR_EXPIRED ? VERB_UNREACHABLE : VERB_NOT_ALLOWED, "pair: %s%s",
                         pair_end_text(end, false),
                         end == PAIR_GONE || end == PAIR_FAULT ? "; make a new code" : "");
    else
        fprintf(stderr, "persist: pair: %s; the code can still be used\n",
                pair_end_text(end, false));
    if (v->status >= 0)
        (void)pair_line_ends(v->fd, id); /* the other side is to hear why */
}

/* What follows from the state that a run is in now. */
static void follow(struct invite *v, struct run *run)
{
    struct err err = {0};
    if (pair_line_flush(v->fd, run->id, run->machine, &err) < 0) {
        v->status = fail_err(&err);
        return;
    }
    switch (pair_state(run->machine)) {
    case PAIR_TALKS:
        break;
    case PAIR_ASKS: {
        int status = let_in(v, run);
        if (status != VERB_OK) {
            put_out(v, run);
            v->status = status;
            run_end(v, run);
            break;
        }
        follow(v, run);
        break;
    }
    case PAIR_DONE:
        done(v, run);
        break;
    case PAIR_FAILED:
    default:
        failed(v, run);
        break;
    }
}

static void on_run(struct invite *v, const Persist__PairRun *r)
{
    struct run *run = run_of(v, 0);
    struct err ignored = {0};
    struct pair_config cfg = {.own_id = frame_bytes(r->own_id),
                              .peer_id = frame_bytes(r->peer_id),
                              .channel = frame_bytes(r->channel),
                              .code = v->code,
                              .tries = &v->tries};
    if (run == NULL || pair_new(&cfg, pair_line_now_ms(), &run->machine) < 0) {
        (void)!pair_line_end(v->fd, r->run, &ignored);
    } else {
        run->id = r->run;
        memcpy(run->peer_id, r->peer_id.data, sizeof run->peer_id);
        follow(v, run);
    }
    sodium_memzero(&cfg.code, sizeof cfg.code);
}

static void on_frame(struct invite *v, const Persist__Local *f)
{
    struct run *run = NULL;
    if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_RUN)
        on_run(v, f->pair_run);
    else if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_DATA &&
             (run = run_of(v, f->pair_data->run)) != NULL)
        (void)pair_feed(run->machine, frame_bytes(f->pair_data->data), pair_line_now_ms());
    else if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_END && f->pair_end->run == 0)
        v->status = fail(VERB_UNREACHABLE, "pair: %s", f->pair_end->why);
    else if (f->kind_case == PERSIST__LOCAL__KIND_PAIR_END &&
             (run = run_of(v, f->pair_end->run)) != NULL)
        (void)pair_gone(run->machine);
    if (run != NULL)
        follow(v, run);
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

static void tick(struct invite *v)
{
    uint64_t now = pair_line_now_ms();
    for (size_t i = 0; i < RUNS_MAX && v->status < 0; i++)
        if (v->runs[i].id != 0 && pair_tick(v->runs[i].machine, now) == PAIR_FAILED)
            follow(v, &v->runs[i]);
    if (v->status < 0 && pair_line_cancelled())
        v->status = fail(VERB_FAILED, "pair: cancelled; the code is worth nothing any more");
    else if (v->status < 0 && now >= v->tries.expires_ms && !is_busy(v))
        v->status = fail(VERB_UNREACHABLE,
                         "pair: nobody came with the code in %u seconds; it has "
                         "expired",
                         v->expires_s);
}

static void wait_for_devices(struct invite *v)
{
    while (v->status < 0) {
        struct err err = {0};
        Persist__Local *f;
        int rc = pair_line_next(v->fd, &f, &err);
        if (rc < 0)
            v->status = fail_err(&err);
        if (rc == 1) {
            on_frame(v, f);
            frame_local_free(f);
        }
        if (v->status < 0)
            tick(v);
    }
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (v->runs[i].id != 0) {
            put_out(v, &v->runs[i]);
            run_end(v, &v->runs[i]);
        }
}

static int begin(struct invite *v, const struct args *a, struct err *err)
{
    const char *label = args_value(a, PAIR_OPT_LABEL, 0);
    char plate[PAIR_NAMEPLATE_SIZE];
    Persist__Local *reply;
    int rc = args_count(a, PAIR_OPT_PEER) + args_count(a, PAIR_OPT_NAME) > 0
                 ? err_set(err, -EINVAL,
                           "pair: --peer and --name go with a code, on the device "
                           "where it is typed")
                 : take_expires(v, a, err);
    if (rc == 0 && label != NULL && !utf8_is_label(bytes_str(label)))
        rc = err_set(err, -EINVAL, "pair: a label is 1 to 64 bytes of plain text without '/'");
    if (rc == 0)
        rc = find_spaces(v, a, err);
    if (rc == 0)
        rc = take_label(v, a, err);
    if (rc < 0)
        return rc;
    pair_code_make(&v->code);
    v->tries.expires_ms = pair_line_now_ms() + (uint64_t)v->expires_s * 1000;
    rc = pair_line_open(&v->session, false, pair_code_nameplate(&v->code, plate), NULL, &v->fd,
                        &reply, err);
    if (rc < 0)
        return rc;
    if (show(v, reply->reply) < 0)
        v->status = fail(VERB_FAILED, "pair: the code cannot be shown");
    frame_local_free(reply);
    return 0;
}

int pair_invite(const struct args *a)
{
    struct err err = {0};
    struct invite *v = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *v);
    if (v == NULL)
        return fail(VERB_FAILED, "pair: out of memory");
    memset(v, 0, sizeof *v);
    v->session = (struct session)SESSION_INIT;
    v->fd = v->status = -1;
    pair_line_catch();
    int rc = begin(v, a, &err);
    if (rc < 0)
        v->status = rc == -EINVAL ? fail(VERB_USAGE, "%s", err.msg) : fail_err(&err);
    else
        wait_for_devices(v);
    int status = v->status;
    if (v->fd >= 0)
        close(v->fd);
    session_fini(&v->session);
    sodium_free(v);
    return status;
}
