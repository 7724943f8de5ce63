/* What a server that can be a member says yes and no to, and what it makes of a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/sealed/act.h"
#include "proto/sealed/grant.h"
#include "tests/support/sealed_fixture.h"
#include "tests/support/session_world.h"

/* ---- the server's keys ---- */

/* Links device number @who, as caller_join(), but looks at the Welcome. */
static struct member_public see_member(struct session_world *w, unsigned who)
{
    struct member_public p;
    struct wire_end *e = wire_connect(w->wire, w->server.url, w->token[who]);
    assert_non_null(e);
    Persist__Frame *f = wire_wait(e, PERSIST__FRAME__KIND_CHALLENGE, WIRE_WAIT_MS);
    assert_non_null(f);
    Persist__Proof proof = PERSIST__PROOF__INIT;
    Persist__Frame answer = PERSIST__FRAME__INIT;
    uint8_t identity[32], signature[SIGNATURE_SIZE];
    wire_prove(1 + who, frame_bytes(f->challenge->nonce), w->token[who], identity, signature);
    frame_free(f);
    proof.version = 1;
    proof.identity = frame_data(bytes_of(identity, sizeof identity));
    proof.signature = frame_data(bytes_of(signature, sizeof signature));
    answer.kind_case = PERSIST__FRAME__KIND_PROOF;
    answer.proof = &proof;
    assert_true(wire_send(e, &answer));
    f = wire_wait(e, PERSIST__FRAME__KIND_WELCOME, WIRE_WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->welcome->member.len, ACT_MEMBER_SIZE);
    memcpy(p.identity, f->welcome->member.data, SIGN_KEY_SIZE);
    memcpy(p.sign, f->welcome->member.data + SIGN_KEY_SIZE, SIGN_KEY_SIZE);
    memcpy(p.box, f->welcome->member.data + 2 * SIGN_KEY_SIZE, BOX_KEY_SIZE);
    frame_free(f);
    wire_end_close(e);
    return p;
}

static void it_stays_who_it_is(void **state)
{
    struct session_world *w = *state;
    struct member_public a = see_member(w, ANNA_1);
    assert_true(sign_key_valid(a.identity) && sign_key_valid(a.sign) && box_key_valid(a.box));
    server_process_stop(&w->server, SIGKILL);
    server_process_start(&w->server);
    struct member_public b = see_member(w, BEN);
    assert_memory_equal(&a, &b, sizeof a);
}

/* ---- grants ---- */

static void seal(const struct session_world *w, const struct member_public *to, uint8_t secret,
                 const char *name, struct buf *ret)
{
    static struct grant g;
    g = (struct grant){.epochs_n = 1};
    memcpy(g.space.b, w->at.space, SPACE_ID_SIZE);
    memset(g.secret, secret, sizeof g.secret);
    memset(g.epochs[0], 7, EPOCH_KEY_SIZE);
    memcpy(g.name, name, strlen(name) + 1);
    assert_int_equal(grant_seal(&g, to->box, ret), 0);
}

static void put_blob(struct caller *d, const struct buf *blob)
{
    assert_true(wire_put_door(d->end, ++d->puts, buf_bytes(blob)));
}

static void expect_refused(struct caller *d, Persist__Code code)
{
    Persist__Frame *f = wire_wait(d->end, PERSIST__FRAME__KIND_REFUSED, WIRE_WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->refused->code, code);
    frame_free(f);
}

static void what_is_not_for_it_is_refused(void **state)
{
    struct session_world *w = *state;
    struct member_public server = see_member(w, ANNA_1), other = sealed_public(3);
    struct buf blob CLEANUP(buf_fini) = {0};
    struct caller d = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &d, 1);
    seal(w, &other, 1, "notes", &blob);
    put_blob(&d, &blob);
    expect_refused(&d, PERSIST__CODE__CODE_MALFORMED);
    caller_end(&d);
    /* Of another space than the one that it is put in. */
    d = caller_start(w, ANNA_1, NULL);
    w->at.space[0] ^= 1;
    buf_reset(&blob);
    seal(w, &server, 1, "notes", &blob);
    w->at.space[0] ^= 1;
    put_blob(&d, &blob);
    expect_refused(&d, PERSIST__CODE__CODE_MALFORMED);
    caller_end(&d);
    /* Of one that the account does not have. */
    d = caller_start(w, BEN, NULL);
    buf_reset(&blob);
    seal(w, &server, 1, "notes", &blob);
    put_blob(&d, &blob);
    expect_refused(&d, PERSIST__CODE__CODE_NO_SPACE);
    caller_end(&d);
}

/* What the file "name" of the only space of anna's has; "": there is none. */
static void read_name(const struct session_world *w, char ret[128])
{
    char path[512], hex[2 * SPACE_ID_SIZE + 1];
    sodium_bin2hex(hex, sizeof hex, w->at.space, SPACE_ID_SIZE);
    snprintf(path, sizeof path, "%s/managed/1/%s/name", w->server.dir, hex);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, 127);
    ret[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static void grant_named(struct session_world *w, const char *name, char ret[128])
{
    struct buf blob CLEANUP(buf_fini) = {0};
    struct member_public server = see_member(w, ANNA_1);
    struct caller d = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &d, 1);
    seal(w, &server, 1, name, &blob);
    put_blob(&d, &blob);
    caller_wait_done(&d);
    caller_end(&d);
    read_name(w, ret);
}

static void a_plain_name_is_taken(void **state)
{
    char name[128];
    grant_named(*state, "My notes (old)", name);
    assert_string_equal(name, "My notes (old)");
}

static void expect_no_name(struct session_world *w, const char *granted)
{
    char name[128], hex[2 * SPACE_ID_SIZE + 1];
    sodium_bin2hex(hex, sizeof hex, w->at.space, SPACE_ID_SIZE);
    grant_named(w, granted, name);
    assert_string_equal(name, hex);
}

static void a_name_that_leads_up_is_not(void **state)
{
    expect_no_name(*state, "../../../etc");
}

static void dots_are_not(void **state)
{
    expect_no_name(*state, "..");
}

static void hidden_is_not(void **state)
{
    expect_no_name(*state, ".notes.new");
}

static void none_is_not(void **state)
{
    expect_no_name(*state, "");
}

static void a_line_end_is_not(void **state)
{
    expect_no_name(*state, "two\nlines");
}

/* Who was first with false keys is not followed by true ones unseen. */
static void other_keys_are_refused(void **state)
{
    struct session_world *w = *state;
    char name[128];
    struct buf blob CLEANUP(buf_fini) = {0};
    struct member_public server = see_member(w, ANNA_1);
    grant_named(w, "notes", name);
    struct caller d = caller_start(w, ANNA_2, NULL);
    seal(w, &server, 1, "the same again", &blob);
    put_blob(&d, &blob);
    caller_wait_done(&d);
    buf_reset(&blob);
    seal(w, &server, 2, "notes", &blob);
    put_blob(&d, &blob);
    expect_refused(&d, PERSIST__CODE__CODE_VARIANTS);
    caller_end(&d);
    /* And after a restart it is what it was. */
    server_process_stop(&w->server, SIGKILL);
    server_process_start(&w->server);
    d = caller_start(w, ANNA_2, NULL);
    put_blob(&d, &blob);
    expect_refused(&d, PERSIST__CODE__CODE_VARIANTS);
    caller_end(&d);
    read_name(w, name);
    assert_string_equal(name, "notes");
}

/* ---- joining ---- */

static void ask_to_join(struct session_world *w, struct caller *d, const uint8_t *identity)
{
    uint8_t member[ACT_MEMBER_SIZE];
    char label[] = "a device";
    struct member_public p = sealed_public(5);
    Persist__Join j;
    Persist__Frame f = PERSIST__FRAME__INIT;
    persist__join__init(&j);
    memcpy(member, identity, SIGN_KEY_SIZE);
    memcpy(member + SIGN_KEY_SIZE, p.sign, SIGN_KEY_SIZE);
    memcpy(member + 2 * SIGN_KEY_SIZE, p.box, BOX_KEY_SIZE);
    j.space = frame_data(bytes_of(w->at.space, SPACE_ID_SIZE));
    j.member = frame_data(bytes_of(member, sizeof member));
    j.label = label;
    f.kind_case = PERSIST__FRAME__KIND_JOIN;
    f.join = &j;
    assert_true(wire_send(d->end, &f));
}

static void who_may_not_join_does_not(void **state)
{
    struct session_world *w = *state;
    char name[128];
    uint8_t identity[32], other[32], signature[SIGNATURE_SIZE];
    static const uint8_t nonce[FRAME_NONCE_SIZE];
    wire_prove(1 + ANNA_2, bytes_of(nonce, sizeof nonce), "x", identity, signature);
    wire_prove(1 + ANNA_3, bytes_of(nonce, sizeof nonce), "x", other, signature);
    /* There is no such space. */
    struct caller d = caller_join(w, ANNA_2);
    ask_to_join(w, &d, identity);
    caller_expect_end(&d, PERSIST__CODE__CODE_NO_SPACE);
    caller_end(&d);
    /* There is, but nobody made the server a member of it. */
    d = caller_start(w, ANNA_1, NULL);
    caller_fill(w, &d, 1);
    caller_end(&d);
    d = caller_join(w, ANNA_2);
    ask_to_join(w, &d, identity);
    caller_expect_end(&d, PERSIST__CODE__CODE_NO_SPACE);
    caller_end(&d);
    /* It has keys of it, but is no member. */
    grant_named(w, "notes", name);
    d = caller_join(w, ANNA_2);
    ask_to_join(w, &d, identity);
    caller_expect_end(&d, PERSIST__CODE__CODE_NO_SPACE);
    caller_end(&d);
    /* In another's name. */
    d = caller_join(w, ANNA_2);
    ask_to_join(w, &d, other);
    caller_expect_end(&d, PERSIST__CODE__CODE_PROOF);
    caller_end(&d);
    /* Of another account. */
    wire_prove(1 + BEN, bytes_of(nonce, sizeof nonce), "x", identity, signature);
    d = caller_join(w, BEN);
    ask_to_join(w, &d, identity);
    caller_expect_end(&d, PERSIST__CODE__CODE_NO_SPACE);
    caller_end(&d);
    /* In the middle of a session. */
    d = caller_start(w, ANNA_2, NULL);
    ask_to_join(w, &d, identity);
    caller_expect_end(&d, PERSIST__CODE__CODE_PROTOCOL);
    caller_end(&d);
}

int main(void)
{
#define WORLD_TEST(f)                                                                              \
    cmocka_unit_test_setup_teardown(f, session_world_setup, session_world_teardown)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(it_stays_who_it_is),
        WORLD_TEST(what_is_not_for_it_is_refused),
        WORLD_TEST(a_plain_name_is_taken),
        WORLD_TEST(a_name_that_leads_up_is_not),
        WORLD_TEST(dots_are_not),
        WORLD_TEST(hidden_is_not),
        WORLD_TEST(none_is_not),
        WORLD_TEST(a_line_end_is_not),
        WORLD_TEST(other_keys_are_refused),
        WORLD_TEST(who_may_not_join_does_not),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests_name("server managed", tests, NULL, NULL);
}
