/* Sessions with a server that runs: what devices push, read and ask for. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/sealed/door.h"
#include "tests/support/sealed_fixture.h"
#include "tests/support/session_world.h"

/* ---- the link ---- */

static void wrong_token_is_401(void **state)
{
    struct session_world *w = *state;
    char token[TOKEN_TEXT_SIZE];
    memcpy(token, w->token[ANNA_1], sizeof token);
    token[20] = token[20] == 'A' ? 'B' : 'A';
    struct wire_end *e = wire_connect(w->wire, w->server.url, token);
    assert_non_null(e);
    assert_true(wire_wait_closed(e, WIRE_WAIT_MS));
    assert_int_equal(e->end.http_status, 401);
}

/* A Proof of which one thing is wrong. */
struct proof {
    uint32_t version;
    uint8_t identity[32], signature[SIGNATURE_SIZE];
};

static struct wire_end *answer_wrongly(struct session_world *w, void (*spoil)(struct proof *p),
                                       Persist__Code code)
{
    struct caller d = {.end = wire_connect(w->wire, w->server.url, w->token[ANNA_1])};
    assert_non_null(d.end);
    Persist__Frame *challenge = wire_wait(d.end, PERSIST__FRAME__KIND_CHALLENGE, WIRE_WAIT_MS);
    assert_non_null(challenge);
    assert_int_equal(challenge->challenge->n_versions, 1);
    struct proof p = {.version = 1};
    wire_prove(1, frame_bytes(challenge->challenge->nonce), w->token[ANNA_1], p.identity,
               p.signature);
    frame_free(challenge);
    spoil(&p);
    Persist__Proof proof = PERSIST__PROOF__INIT;
    Persist__Frame f = PERSIST__FRAME__INIT;
    proof.version = p.version;
    proof.identity = frame_data(bytes_of(p.identity, sizeof p.identity));
    proof.signature = frame_data(bytes_of(p.signature, sizeof p.signature));
    f.kind_case = PERSIST__FRAME__KIND_PROOF;
    f.proof = &proof;
    assert_true(wire_send(d.end, &f));
    caller_expect_end(&d, code);
    return d.end;
}

static void spoil_signature(struct proof *p)
{
    p->signature[5] ^= 1;
}

static void spoil_identity(struct proof *p)
{
    struct member_keys k = sealed_member(2);
    memcpy(p->identity, k.sign_public, sizeof p->identity);
    member_keys_fini(&k);
}

/* The neutral point: every signature is one of it. */
static void weak_identity(struct proof *p)
{
    memset(p->identity, 0, sizeof p->identity);
    memset(p->signature, 0, sizeof p->signature);
    p->identity[0] = p->signature[0] = 1;
}

static void later_version(struct proof *p)
{
    p->version = FRAME_VERSION + 1;
}

static void earlier_version(struct proof *p)
{
    p->version = FRAME_VERSION - 1;
}

static void wrong_proofs_are_refused(void **state)
{
    struct session_world *w = *state;
    (void)answer_wrongly(w, spoil_signature, PERSIST__CODE__CODE_PROOF);
    (void)answer_wrongly(w, spoil_identity, PERSIST__CODE__CODE_PROOF);
    (void)answer_wrongly(w, weak_identity, PERSIST__CODE__CODE_PROOF);
    struct caller d = caller_join(w, ANNA_1);
    caller_end(&d);
}

static void a_device_of_another_version_is_told_which_side_is_older(void **state)
{
    struct session_world *w = *state;
    struct wire_end *e = answer_wrongly(w, later_version, PERSIST__CODE__CODE_VERSION);
    assert_string_equal(e->end.reason, "the server's persist is older than the device's (protocol "
                                       "1, not 2); update it on the server");
    e = answer_wrongly(w, earlier_version, PERSIST__CODE__CODE_VERSION);
    assert_string_equal(e->end.reason, "the device's persist is older than the server's (protocol "
                                       "0, not 1); update it on the device");
}

static void token_of_another_device_is_refused(void **state)
{
    struct session_world *w = *state;
    struct caller d = caller_join(w, ANNA_1);
    caller_end(&d);
    struct caller other = {.end = wire_connect(w->wire, w->server.url, w->token[ANNA_1])};
    assert_false(wire_link(other.end, w->token[ANNA_1], 20));
    caller_expect_end(&other, PERSIST__CODE__CODE_TOKEN);
    d = caller_join(w, ANNA_1);
    caller_end(&d);
}

static void what_is_not_allowed_ends_the_session(void **state)
{
    struct session_world *w = *state;
    struct caller d = {.end = wire_connect(w->wire, w->server.url, w->token[ANNA_1])};
    frame_free(wire_wait(d.end, PERSIST__FRAME__KIND_CHALLENGE, WIRE_WAIT_MS));
    assert_true(wire_list_spaces(d.end)); /* before the proof */
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    d = caller_join(w, ANNA_1);
    assert_true(wire_send_bytes(d.end, bytes_str("\x0fgarbage")));
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    d = caller_join(w, ANNA_1);
    assert_true(wire_send_bytes(d.end, bytes_of(NULL, 0)));
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    d = caller_join(w, ANNA_1);
    caller_put_genesis(&d); /* before an Open */
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    d = caller_start(w, ANNA_1, NULL);
    assert_true(wire_open(d.end, w->at.space, bytes_of(NULL, 0), 0)); /* a second one */
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    buf_fini(&d.run);
    d = caller_start(w, ANNA_1, NULL);
    d.puts = 1; /* ids begin with 1 */
    caller_put_genesis(&d);
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    buf_fini(&d.run);
}

/* ---- pushing and reading ---- */

static void a_push_is_on_the_other_device(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    assert_false(a.exists);
    assert_int_equal(a.quota, USER_QUOTA_BYTES);
    caller_catch_up(&a);
    caller_fill(w, &a, 2);
    struct caller b = caller_start(w, ANNA_2, NULL);
    assert_true(b.exists && !b.stale && b.last == 3 && b.used > 500);
    caller_catch_up(&b);
    assert_true(b.entries == 2 && b.acts == 1 && b.seq == 3);
    caller_put_value(w, &a, 7, 3, 0);
    caller_wait_items(&b, 3, 1);
    caller_put_value(w, &b, 8, 1, 0);
    caller_wait_items(&a, 1, 0);
    assert_int_equal(a.seq, 5);
    /* Nobody got anything of its own. */
    caller_put_value(w, &a, 7, 4, 0);
    caller_put_value(w, &b, 8, 2, 0);
    caller_wait_items(&a, 2, 0);
    caller_wait_items(&b, 4, 1);
    caller_end(&a);
    caller_end(&b);
}

static void a_session_goes_on_at_its_cursor(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 10);
    struct caller b = caller_start(w, ANNA_2, NULL);
    caller_catch_up(&b);
    caller_leave(&b);
    caller_put_value(w, &a, 7, 11, 0);
    caller_put_value(w, &a, 7, 12, 0);
    caller_wait_done(&a);
    struct caller again = caller_start(w, ANNA_2, &b);
    assert_false(again.stale);
    caller_catch_up(&again);
    assert_true(again.entries == 2 && again.acts == 0 && again.seq == 13);
    /* Also from the middle, and across another process of the server. */
    caller_leave(&again);
    again.seq = 5;
    caller_end(&a);
    assert_int_equal(server_process_stop(&w->server, SIGTERM), 0);
    server_process_start(&w->server);
    struct caller third = caller_start(w, ANNA_2, &again);
    assert_false(third.stale);
    caller_catch_up(&third);
    assert_true(third.entries == 8 && third.seq == 13);
    /* A session that began before the first push of a process, and one after. */
    a = caller_start(w, ANNA_1, NULL);
    caller_catch_up(&a);
    caller_put_value(w, &a, 7, 13, 0);
    caller_wait_items(&third, 9, 0);
    caller_leave(&third);
    struct caller fourth = caller_start(w, ANNA_2, &third);
    assert_false(fourth.stale);
    caller_catch_up(&fourth);
    assert_int_equal(fourth.entries, 0);
    struct caller *const all[] = {&a, &b, &again, &third, &fourth};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        caller_end(all[i]);
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 50);
    server_process_stop(&w->server, SIGKILL);
    server_process_start(&w->server);
    struct caller b = caller_start(w, ANNA_2, NULL);
    caller_catch_up(&b);
    assert_true(b.entries == 50 && b.acts == 1);
    caller_end(&a);
    caller_end(&b);
}

/* Chunks and a blob leave no place in the log, and are acknowledged as well. */
static void every_put_is_done_after_a_sync(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    uint8_t id[CHUNK_ID_SIZE];
    uint8_t sealed[8000] = {0};
    server_chunk_id(1, id);
    caller_fill(w, &a, 0);
    uint64_t before = server_process_metric(&w->server, "syncs_total");
    assert_true(before > 0);
    assert_true(wire_put_chunk(a.end, ++a.puts, id, bytes_of(sealed, sizeof sealed)));
    caller_wait_done(&a);
    uint64_t after = server_process_metric(&w->server, "syncs_total");
    assert_true(after > before);
    assert_true(wire_put_door(a.end, ++a.puts, bytes_str("blob")));
    caller_wait_done(&a);
    assert_true(server_process_metric(&w->server, "syncs_total") > after);
    caller_end(&a);
}

/* Writes of the server to files; sockets are not counted. */
static uint64_t file_writes(const struct server_process *p)
{
    char path[64];
    uint64_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/io", (int)p->pid);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    for (char line[128]; fgets(line, sizeof line, f) != NULL;)
        if (strncmp(line, "syscw:", 6) == 0)
            n = strtoull(line + 6, NULL, 10);
    assert_int_equal(fclose(f), 0);
    return n;
}

static void many_pushes_share_syncs_and_writes(void **state)
{
    enum { PUSHES = 3000 };
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    uint64_t writes = file_writes(&w->server);
    caller_fill(w, &a, PUSHES);
    uint64_t syncs = server_process_metric(&w->server, "syncs_total");
    assert_true(syncs < PUSHES / 4);
    assert_true(file_writes(&w->server) - writes < PUSHES / 2);
    caller_end(&a);
}

static void an_older_copy_of_the_data_is_noticed(void **state)
{
    struct session_world *w = *state;
    char command[300];
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 5);
    struct caller b = caller_start(w, ANNA_2, NULL);
    caller_catch_up(&b);
    caller_end(&a);
    server_process_stop(&w->server, SIGTERM);
    snprintf(command, sizeof command, "cp -a %s %s/copy", w->server.dir, w->server.top);
    assert_int_equal(system(command), 0);
    server_process_start(&w->server);
    /* b reads to 6 in the copied run; c to 9 in the next; d was at 3. */
    a = caller_start(w, ANNA_1, NULL);
    struct caller c = caller_start(w, ANNA_3, &b);
    caller_catch_up(&c);
    for (unsigned i = 6; i <= 8; i++)
        caller_put_value(w, &a, 7, i, 0);
    caller_wait_items(&c, 3, 0);
    caller_leave(&c);
    caller_end(&a);
    server_process_stop(&w->server, SIGTERM);
    snprintf(command, sizeof command, "rm -r %s && mv %s/copy %s", w->server.dir, w->server.top,
             w->server.dir);
    assert_int_equal(system(command), 0);
    server_process_start(&w->server);
    struct caller e = caller_start(w, ANNA_3, &c);
    assert_true(e.stale && e.last == 6);
    caller_catch_up(&e);
    assert_true(e.entries == 5 && e.acts == 1); /* from the beginning */
    /* Its numbers are used again; the cursor of the lost ones is still not of this log. */
    for (unsigned i = 1; i <= 3; i++)
        caller_put_value(w, &e, 9, i, 0);
    caller_wait_done(&e);
    struct caller late = caller_start(w, ANNA_1, &c);
    assert_true(late.stale && late.last == 9);
    caller_end(&late);
    /* What was read before the copy is of this log, too. */
    late = caller_start(w, ANNA_2, &b);
    assert_false(late.stale);
    caller_catch_up(&late);
    assert_int_equal(late.entries, 3);
    /* In the copied run, but behind its end. */
    struct caller ahead = {.seq = 7};
    buf_put_bytes(&ahead.run, buf_bytes(&b.run));
    struct caller f = caller_start(w, ANNA_1, &ahead);
    assert_true(f.stale);
    buf_fini(&ahead.run);
    struct caller *const all[] = {&b, &c, &e, &late, &f};
    for (size_t i = 0; i < ARRAY_N(all); i++)
        caller_end(all[i]);
}

static void another_account_meets_nothing(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    uint8_t id[1][CHUNK_ID_SIZE];
    uint8_t sealed[8000] = {0};
    server_chunk_id(1, id[0]);
    caller_fill(w, &a, 3);
    assert_true(wire_put_chunk(a.end, ++a.puts, id[0], bytes_of(sealed, sizeof sealed)));
    caller_wait_done(&a);
    struct caller b = caller_join(w, BEN);
    assert_true(wire_list_spaces(b.end));
    Persist__Frame *f = wire_next(b.end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_SPACES);
    assert_int_equal(f->spaces->n_spaces, 0);
    frame_free(f);
    caller_open(w, &b, &a);
    assert_true(!b.exists && b.last == 0 && b.used == 0);
    b.seq = 0;
    caller_catch_up(&b);
    assert_true(b.entries == 0 && b.acts == 0);
    assert_true(wire_get_chunks(b.end, bytes_of(id, sizeof id)));
    f = wire_next(b.end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_CHUNK);
    assert_true(f->chunk->sealed.len == 0 && !f->chunk->more);
    frame_free(f);
    caller_put_value(w, &a, 7, 4, 0);
    caller_wait_done(&a);
    assert_null(wire_next(b.end, 200));
    caller_put_value(w, &b, 7, 9, 0); /* there is no space to put it in */
    f = wire_next(b.end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_REFUSED);
    assert_int_equal(f->refused->code, PERSIST__CODE__CODE_NO_SPACE);
    frame_free(f);
    caller_end(&a);
    caller_end(&b);
}

/* ---- questions ---- */

static Persist__Frame *expect_chunk(struct caller *d, const uint8_t *id, uint8_t fill, bool more)
{
    Persist__Frame *f = wire_wait(d->end, PERSIST__FRAME__KIND_CHUNK, WIRE_WAIT_MS);
    assert_non_null(f);
    assert_memory_equal(f->chunk->id.data, id, CHUNK_ID_SIZE);
    assert_int_equal(f->chunk->more, more);
    if (fill == 0)
        assert_int_equal(f->chunk->sealed.len, 0);
    else
        assert_int_equal(f->chunk->sealed.data[f->chunk->sealed.len - 1], fill);
    return f;
}

static void chunks_come_in_all_their_forms(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    uint8_t id[3][CHUNK_ID_SIZE];
    uint8_t sealed[100000] = {0};
    caller_fill(w, &a, 0);
    for (unsigned i = 0; i < 3; i++)
        server_chunk_id(i, id[i]);
    for (uint8_t fill = 1; fill <= 3; fill++) {
        sealed[sizeof sealed - 1] = fill;
        assert_true(
            wire_put_chunk(a.end, ++a.puts, id[fill == 3], bytes_of(sealed, sizeof sealed)));
    }
    caller_wait_done(&a);
    struct caller b = caller_start(w, ANNA_2, NULL);
    assert_true(wire_get_chunks(b.end, bytes_of(id, sizeof id)));
    frame_free(expect_chunk(&b, id[0], 1, true));
    frame_free(expect_chunk(&b, id[0], 2, false));
    frame_free(expect_chunk(&b, id[1], 3, false));
    frame_free(expect_chunk(&b, id[2], 0, false));
    /* What has to be put: none of these but the third. */
    assert_true(wire_ask_chunks(b.end, bytes_of(id, sizeof id)));
    Persist__Frame *f = wire_wait(b.end, PERSIST__FRAME__KIND_MISSING_CHUNKS, WIRE_WAIT_MS);
    assert_true(f != NULL && f->missing_chunks->bits.len == 1);
    assert_int_equal(f->missing_chunks->bits.data[0], 4);
    frame_free(f);
    caller_end(&a);
    caller_end(&b);
}

/* The next frame; what tells of the device's own Puts may come at any time. */
static Persist__Frame *next_answer(struct caller *c)
{
    Persist__Frame *f = wire_next(c->end, WIRE_WAIT_MS);
    while (f != NULL && f->kind_case == PERSIST__FRAME__KIND_CAUGHT_UP) {
        frame_free(f);
        f = wire_next(c->end, WIRE_WAIT_MS);
    }
    return f;
}

static void questions_wait_while_no_answer_is_taken(void **state)
{
    struct session_world *w = *state;
    enum { N = 64, TIMES = 4 };
    uint8_t id[N][CHUNK_ID_SIZE];
    uint8_t sealed[200000] = {0};
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_catch_up(&a);
    caller_fill(w, &a, 0);
    for (unsigned i = 0; i < N; i++)
        server_chunk_id(1, id[i]);
    sealed[sizeof sealed - 1] = 9;
    assert_true(wire_put_chunk(a.end, ++a.puts, id[0], bytes_of(sealed, sizeof sealed)));
    caller_wait_done(&a);
    size_t before = server_process_memory(&w->server);
    wire_end_pause(a.end, true);
    for (unsigned i = 0; i < TIMES; i++) {
        assert_true(wire_get_chunks(a.end, bytes_of(id, sizeof id)));
        assert_true(wire_ask_chunks(a.end, bytes_of(id, sizeof id)));
    }
    wire_run(w->wire, 300, NULL, NULL);
    assert_true(server_process_memory(&w->server) < before + (TIMES * N * sizeof sealed) / 2);
    wire_end_pause(a.end, false);
    for (unsigned i = 0; i < TIMES; i++) {
        for (unsigned k = 0; k < N; k++)
            frame_free(expect_chunk(&a, id[0], 9, false));
        Persist__Frame *f = next_answer(&a); /* in the order asked */
        assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_MISSING_CHUNKS);
        frame_free(f);
    }
    caller_end(&a);
}

static void dots_are_listed_page_by_page(void **state)
{
    struct session_world *w = *state;
    enum { N = FRAME_DOTS_MAX + 10 };
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, N);
    struct caller b = caller_start(w, ANNA_2, NULL);
    caller_catch_up(&b);
    uint8_t after[DOT_SIZE];
    size_t n = 0;
    for (bool last = false; !last;) {
        assert_true(wire_list_dots(b.end, bytes_of(after, n > 0 ? sizeof after : 0)));
        Persist__Frame *f = wire_next(b.end, WIRE_WAIT_MS);
        assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_DOTS);
        for (size_t i = 0; i < f->dots->dots.len / DOT_SIZE; i++) {
            struct dot dot = dot_decode(f->dots->dots.data + i * DOT_SIZE);
            assert_true(dot.replica == 7 && dot.counter == ++n);
        }
        memcpy(after, f->dots->dots.data + f->dots->dots.len - DOT_SIZE, DOT_SIZE);
        last = f->dots->last;
        frame_free(f);
        f = wire_next(b.end, WIRE_WAIT_MS);
        assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_CAUGHT_UP);
        assert_int_equal(f->caught_up->seq, N + 1);
        frame_free(f);
    }
    assert_int_equal(n, N);
    caller_end(&a);
    caller_end(&b);
}

static void expect_door_of(struct session_world *w, struct bytes door, unsigned entries)
{
    struct caller d = caller_join(w, ANNA_3);
    assert_true(wire_list_spaces(d.end));
    Persist__Frame *f = wire_next(d.end, WIRE_WAIT_MS);
    assert_true(f != NULL && f->kind_case == PERSIST__FRAME__KIND_SPACES);
    assert_int_equal(f->spaces->n_spaces, 1);
    assert_memory_equal(f->spaces->spaces[0]->id.data, w->at.space, SPACE_ID_SIZE);
    assert_int_equal(f->spaces->spaces[0]->entries, entries);
    assert_true(bytes_equal(frame_bytes(f->spaces->spaces[0]->door), door));
    frame_free(f);
    caller_end(&d);
}

static void expect_door(struct session_world *w, struct bytes door)
{
    expect_door_of(w, door, 3);
}

static void a_passphrase_blob_is_kept_and_replaced(void **state)
{
    struct session_world *w = *state;
    static const uint8_t large[DOOR_BLOB_MAX] = {7};
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 2);
    expect_door(w, bytes_of(NULL, 0));
    const struct bytes blobs[] = {bytes_str("one"), bytes_of(large, sizeof large),
                                  bytes_of(NULL, 0)};
    for (size_t i = 0; i < ARRAY_N(blobs); i++) {
        assert_true(wire_put_door(a.end, ++a.puts, blobs[i]));
        caller_wait_done(&a);
        expect_door(w, blobs[i]);
    }
    caller_end(&a);
}

/* Any device of the account may say so: its session ends, its token is dead, the blob goes. */
static void a_device_that_is_put_out_is_cut(void **state)
{
    struct session_world *w = *state;
    uint8_t identity[32], unused[SIGNATURE_SIZE], nonce[FRAME_NONCE_SIZE] = {0};
    wire_prove(1 + ANNA_2, bytes_of(nonce, sizeof nonce), w->token[ANNA_2], identity, unused);
    struct caller a = caller_start(w, ANNA_1, NULL), ben = caller_start(w, BEN, NULL);
    caller_fill(w, &a, 2);
    struct caller b = caller_start(w, ANNA_2, NULL);
    caller_catch_up(&b);
    assert_true(wire_put_door(a.end, ++a.puts, bytes_str("blob")));
    caller_put_value(w, &a, 7, 3, 0); /* what is in the log before it comes still */
    caller_wait_done(&a);
    caller_wait_items(&b, 3, 1);
    caller_put_genesis(&ben);
    assert_true(wire_put_revoked(ben.end, ++ben.puts, identity)); /* not of that account */
    caller_wait_done(&ben);
    assert_false(wire_wait_closed(b.end, 300));
    assert_true(wire_put_revoked(a.end, ++a.puts, identity));
    caller_wait_done(&a);
    caller_expect_end(&b, PERSIST__CODE__CODE_TOKEN);
    expect_door_of(w, bytes_of(NULL, 0), 4);
    struct wire_end *e = wire_connect(w->wire, w->server.url, w->token[ANNA_2]);
    assert_non_null(e);
    assert_true(wire_wait_closed(e, WIRE_WAIT_MS));
    assert_int_equal(e->end.http_status, 401);
    caller_put_value(w, &a, 7, 4, 0);
    caller_wait_done(&a);
    assert_true(wire_put_revoked(a.end, ++a.puts, identity)); /* once more does nothing */
    caller_wait_done(&a);
    caller_end(&a);
    caller_end(&b);
    caller_end(&ben);
}

/* ---- refusing ---- */

static void after_a_refused_put_nothing_is_stored(void **state)
{
    struct session_world *w = *state;
    enum { ENTRY = 100000 };
    server_process_stop(&w->server, SIGTERM);
    server_process_user(&w->server, "carla", 2 * ENTRY + ENTRY / 2, 0, 1, &w->token[BEN]);
    server_process_start(&w->server);
    struct caller c = caller_start(w, BEN, NULL);
    caller_put_genesis(&c);
    for (unsigned i = 1; i <= 3; i++)
        caller_put_value(w, &c, 7, i, ENTRY);
    caller_put_value(w, &c, 7, 4, 0); /* this one would have had room */
    Persist__Frame *f = wire_wait(c.end, PERSIST__FRAME__KIND_REFUSED, WIRE_WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->refused->id, 4);
    assert_int_equal(f->refused->code, PERSIST__CODE__CODE_QUOTA);
    assert_true(strlen(f->refused->text) > 10);
    frame_free(f);
    f = wire_wait(c.end, PERSIST__FRAME__KIND_DONE, WIRE_WAIT_MS);
    assert_non_null(f); /* those before it are acknowledged */
    frame_free(f);
    caller_put_value(w, &c, 7, 5, 0);
    caller_end(&c);
    c = caller_start(w, BEN, NULL);
    caller_catch_up(&c);
    assert_true(c.entries == 2 && c.acts == 1 && c.last == 3);
    caller_end(&c);
}

static void a_fifth_form_is_refused(void **state)
{
    struct session_world *w = *state;
    struct caller a = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &a, 0);
    for (uint8_t fill = 1; fill <= 5; fill++) {
        struct server_entry e = {.dot = {7, 1}, .fill = fill};
        struct buf b = {0};
        server_entry(&w->at, &e, &b);
        assert_true(wire_put_entry(a.end, ++a.puts, buf_bytes(&b)));
        buf_fini(&b);
    }
    Persist__Frame *f = wire_wait(a.end, PERSIST__FRAME__KIND_REFUSED, WIRE_WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->refused->id, 6);
    assert_int_equal(f->refused->code, PERSIST__CODE__CODE_VARIANTS);
    frame_free(f);
    caller_end(&a);
    a = caller_start(w, ANNA_1, NULL);
    assert_true(wire_put_entry(a.end, ++a.puts, bytes_str("no entry")));
    f = wire_wait(a.end, PERSIST__FRAME__KIND_REFUSED, WIRE_WAIT_MS);
    assert_true(f != NULL && f->refused->code == PERSIST__CODE__CODE_MALFORMED);
    frame_free(f);
    caller_end(&a);
}

#define IN_WORLD(test)                                                                             \
    cmocka_unit_test_setup_teardown(test, session_world_setup, session_world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(wrong_token_is_401),
        IN_WORLD(wrong_proofs_are_refused),
        IN_WORLD(a_device_of_another_version_is_told_which_side_is_older),
        IN_WORLD(token_of_another_device_is_refused),
        IN_WORLD(what_is_not_allowed_ends_the_session),
        IN_WORLD(a_push_is_on_the_other_device),
        IN_WORLD(a_session_goes_on_at_its_cursor),
        IN_WORLD(what_was_acknowledged_survives_a_kill),
        IN_WORLD(every_put_is_done_after_a_sync),
        IN_WORLD(many_pushes_share_syncs_and_writes),
        IN_WORLD(an_older_copy_of_the_data_is_noticed),
        IN_WORLD(another_account_meets_nothing),
        IN_WORLD(chunks_come_in_all_their_forms),
        IN_WORLD(questions_wait_while_no_answer_is_taken),
        IN_WORLD(dots_are_listed_page_by_page),
        IN_WORLD(a_passphrase_blob_is_kept_and_replaced),
        IN_WORLD(a_device_that_is_put_out_is_cut),
        IN_WORLD(after_a_refused_put_nothing_is_stored),
        IN_WORLD(a_fifth_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
