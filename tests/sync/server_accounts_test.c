/* Users and tokens of a server: names, the life of a token, devices, wrong tokens, logins. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/server/limiter.h"
#include "tests/support/server_fixture.h"

static const uint8_t device_1[PEER_ID_BYTES] = {1};
static const uint8_t device_2[PEER_ID_BYTES] = {2};
static const uint8_t address[4] = {192, 0, 2, 1};

static struct bytes from_here(void)
{
    return bytes_of(address, sizeof address);
}

static void note_end(struct srv_login *l)
{
    ++*(int *)l->arg;
}

static int count_token(void *arg, const struct srv_token *t)
{
    (void)t;
    ++*(int *)arg;
    return 0;
}

static int tokens_of(struct server_fixture *f, const char *user)
{
    int n = 0;
    assert_int_equal(srv_token_list(f->accounts, user, count_token, &n, NULL), 0);
    return n;
}

static struct srv_token make(struct server_fixture *f, const char *user, char text[TOKEN_TEXT_SIZE])
{
    struct srv_token t;
    assert_int_equal(srv_token_create(f->accounts, user, "Laptop", f->now_ms, text, &t, NULL), 0);
    return t;
}

static int login(struct server_fixture *f, const char *text, const uint8_t *peer,
                 struct srv_login *l, int *ended)
{
    f->err = (struct err){.code = 0};
    *l = (struct srv_login){.ended = note_end, .arg = ended};
    return srv_login(f->accounts, bytes_str(text), peer, from_here(), f->now_ms, l, &f->err);
}

static void user_names(void **state)
{
    struct server_fixture *f = *state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    longest[64] = '\0';
    assert_true(srv_user_name_valid(longest));
    longest[64] = 'a';
    longest[65] = '\0';
    assert_false(srv_user_name_valid(longest));
    static const char *const bad[] = {"",     ".",   "..",       "...", "a/b",
                                      "Anna", "a b", "\xc3\xa4", "a\n"};
    struct srv_user u;
    for (size_t i = 0; i < ARRAY_N(bad); i++)
        assert_int_equal(srv_user_add(f->accounts, bad[i], 0, 0, 1, &u, NULL), -EINVAL);
    assert_int_equal(srv_user_add(f->accounts, "a.b_c-9", 0, 0, 1, &u, NULL), 0);
    assert_int_equal(srv_user_add(f->accounts, "anna", 0, 0, 1, &u, &f->err), -EEXIST);
    assert_string_equal(f->err.msg, "user anna: exists already; choose another name");
    assert_int_equal(srv_user_get(f->accounts, "an", &u, NULL), -ENOENT);
    assert_int_equal(srv_user_get(f->accounts, "anna", &u, NULL), 0);
    assert_true(u.account == f->anna.account && u.quota_bytes == UINT64_C(100) << 30);
}

static void quotas_of_a_user_are_changed_one_by_one(void **state)
{
    struct server_fixture *f = *state;
    struct srv_user u;
    assert_int_equal(srv_user_set_quota(f->accounts, "carl", 1, 1, &u, &f->err), -ENOENT);
    assert_int_equal(srv_user_set_quota(f->accounts, "anna", 5000, 0, &u, NULL), 0);
    assert_true(u.quota_bytes == 5000 && u.quota_entries == USER_QUOTA_ENTRIES);
    assert_int_equal(srv_user_set_quota(f->accounts, "anna", 0, 7, &u, NULL), 0);
    server_fixture_reopen(f);
    assert_int_equal(srv_user_get(f->accounts, "anna", &u, NULL), 0);
    assert_true(u.quota_bytes == 5000 && u.quota_entries == 7);
    assert_true(u.account == f->anna.account && u.created_ms == f->anna.created_ms);
    assert_int_equal(srv_user_get(f->accounts, "ben", &u, NULL), 0);
    assert_true(u.quota_bytes == USER_QUOTA_BYTES && u.quota_entries == USER_QUOTA_ENTRIES);
}

static void user_made_again_is_another_account(void **state)
{
    struct server_fixture *f = *state;
    struct srv_user u;
    char text[TOKEN_TEXT_SIZE];
    make(f, "anna", text);
    assert_int_equal(srv_user_remove(f->accounts, "anna", &u, NULL), 0);
    assert_int_equal(srv_user_remove(f->accounts, "anna", &u, NULL), -ENOENT);
    assert_int_equal(srv_user_add(f->accounts, "anna", 0, 0, 1, &u, NULL), 0);
    assert_true(u.account != f->anna.account && u.account != f->ben.account);
    server_fixture_reopen(f);
    assert_int_equal(srv_user_add(f->accounts, "carl", 0, 0, 1, &f->anna, NULL), 0);
    assert_true(f->anna.account > u.account);
    struct srv_token t;
    assert_int_equal(srv_token_check(f->accounts, bytes_str(text), from_here(), 1, &t, NULL),
                     -EACCES);
}

static void token_texts(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    char other[TOKEN_TEXT_SIZE + 1];
    struct token parsed;
    struct srv_token t = make(f, "anna", text);
    assert_int_equal(strlen(text), 58);
    assert_memory_equal(text, "ps1_", 4);
    assert_int_equal(token_parse(bytes_str(text), &parsed), 0);
    assert_memory_equal(parsed.b, t.id, TOKEN_ID_BYTES);
    /* One text for each token: the 2 bits that the last character has too many are zero. */
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    memcpy(other, text, sizeof text);
    other[57] = alphabet[(strchr(alphabet, text[57]) - alphabet) | 1];
    assert_int_equal(token_parse(bytes_str(other), &parsed), -EBADMSG);
    memcpy(other, text, sizeof text);
    other[0] = 'P';
    assert_int_equal(token_parse(bytes_str(other), &parsed), -EBADMSG);
    memcpy(other, text, sizeof text);
    other[20] = '+';
    assert_int_equal(token_parse(bytes_str(other), &parsed), -EBADMSG);
    snprintf(other, sizeof other, "%s=", text);
    assert_int_equal(token_parse(bytes_str(other), &parsed), -EBADMSG);
    assert_int_equal(token_parse(bytes_of(text, 57), &parsed), -EBADMSG);
    assert_int_equal(token_parse(bytes_of(text, 0), &parsed), -EBADMSG);
    uint8_t id[TOKEN_ID_BYTES];
    assert_int_equal(token_id_parse("00112233445566ff", id), 0);
    assert_int_equal(token_id_parse("00112233445566FF", id), -EBADMSG);
    assert_int_equal(token_id_parse("00112233445566", id), -EBADMSG);
    assert_int_equal(token_id_parse("00112233445566ff0", id), -EBADMSG);
    assert_int_equal(token_id_parse("", id), -EBADMSG);
}

/* What is on the disk has the id, and not the secret. */
static void token_secret_is_not_stored(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    struct token secret;
    make(f, "anna", text);
    assert_int_equal(token_parse(bytes_str(text), &secret), 0);
    struct srv_iter *it =
        srv_iter_new(f->store, SRV_ACCOUNTS, bytes_of(NULL, 0), bytes_of(NULL, 0));
    int ids = 0;
    while (srv_iter_next(it)) {
        struct bytes parts[] = {srv_iter_key(it), srv_iter_value(it)};
        for (size_t i = 0; i < 2; i++) {
            ids += memmem(parts[i].p, parts[i].n, secret.b, TOKEN_ID_BYTES) != NULL;
            assert_null(memmem(parts[i].p, parts[i].n, secret.b + TOKEN_ID_BYTES, 8));
        }
    }
    assert_int_equal(srv_iter_status(it), 0);
    srv_iter_free(it);
    assert_int_equal(ids, 2);
}

static void token_life(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    struct srv_token t;
    struct srv_login l;
    int ended = 0;
    struct srv_token made = make(f, "anna", text);
    assert_int_equal(srv_token_create(f->accounts, "nobody", "x", 1, text, &t, NULL), -ENOENT);
    assert_int_equal(srv_token_create(f->accounts, "anna", "a/b", 1, text, &t, NULL), -EINVAL);
    assert_int_equal(srv_token_create(f->accounts, "anna", "", 1, text, &t, NULL), -EINVAL);
    server_fixture_reopen(f);
    assert_int_equal(
        srv_token_check(f->accounts, bytes_str(text), from_here(), f->now_ms, &t, NULL), 0);
    assert_false(t.bound);
    assert_int_equal(t.seen_ms, 0);
    assert_string_equal(t.user, "anna");
    assert_string_equal(t.label, "Laptop");
    assert_true(t.account == f->anna.account && t.created_ms == f->now_ms);
    f->now_ms += 1000;
    assert_int_equal(login(f, text, device_1, &l, &ended), 0);
    assert_int_equal(srv_logins(f->accounts), 1);
    srv_logout(f->accounts, &l, f->now_ms);
    assert_int_equal(srv_logins(f->accounts), 0);
    server_fixture_reopen(f);
    assert_int_equal(
        srv_token_check(f->accounts, bytes_str(text), from_here(), f->now_ms, &t, NULL), 0);
    assert_true(t.bound && t.seen_ms == f->now_ms);
    assert_memory_equal(t.peer, device_1, PEER_ID_BYTES);
    assert_int_equal(login(f, text, device_2, &l, &ended), -EACCES);
    assert_non_null(strstr(f->err.msg, "another device"));
    assert_int_equal(srv_token_revoke(f->accounts, SRV_ANY_ACCOUNT, made.id, &t, NULL), 0);
    assert_int_equal(srv_token_revoke(f->accounts, SRV_ANY_ACCOUNT, made.id, &t, NULL), -ENOENT);
    assert_int_equal(login(f, text, device_1, &l, &ended), -EACCES);
    server_fixture_reopen(f);
    assert_int_equal(login(f, text, device_1, &l, &ended), -EACCES);
    assert_int_equal(tokens_of(f, NULL), 0);
}

struct seen {
    uint64_t seen_ms;
    bool online;
};

static int note_seen(void *arg, const struct srv_token *t)
{
    *(struct seen *)arg = (struct seen){t->seen_ms, t->online};
    return 0;
}

static struct seen seen_of(struct server_fixture *f)
{
    struct seen s = {.online = false};
    assert_int_equal(srv_token_list(f->accounts, "anna", note_seen, &s, NULL), 0);
    return s;
}

/* Not only when it came, and that without a write for each word of it. */
static void token_is_seen_as_long_as_it_is_connected(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    struct srv_login l;
    struct srv_token t;
    int ended = 0;
    struct srv_token made = make(f, "anna", text);
    uint64_t came = f->now_ms;
    assert_int_equal(login(f, text, device_1, &l, &ended), 0);
    assert_true(seen_of(f).online);
    assert_true(seen_of(f).seen_ms == came);
    f->now_ms += SEEN_STEP_MS;
    srv_logins_seen(f->accounts, f->now_ms);
    assert_true(seen_of(f).seen_ms == came + SEEN_STEP_MS);
    f->now_ms += SEEN_STEP_MS - 1;
    srv_logins_seen(f->accounts, f->now_ms);
    assert_true(seen_of(f).seen_ms == came + SEEN_STEP_MS);
    f->now_ms += 3600 * 1000;
    srv_logout(f->accounts, &l, f->now_ms);
    assert_false(seen_of(f).online);
    server_fixture_reopen(f);
    assert_true(seen_of(f).seen_ms == f->now_ms);
    /* One that was revoked meanwhile does not come back. */
    assert_int_equal(login(f, text, device_1, &l, &ended), 0);
    assert_int_equal(srv_token_revoke(f->accounts, SRV_ANY_ACCOUNT, made.id, &t, NULL), 0);
    f->now_ms += 3600 * 1000;
    srv_logins_seen(f->accounts, f->now_ms);
    srv_logout(f->accounts, &l, f->now_ms);
    assert_int_equal(tokens_of(f, "anna"), 0);
}

static void token_revoked_is_told_to_its_connections_only(void **state)
{
    struct server_fixture *f = *state;
    char text[3][TOKEN_TEXT_SIZE];
    struct srv_token t;
    struct srv_login l[4];
    int ended[4] = {0};
    struct srv_token first = make(f, "anna", text[0]);
    make(f, "anna", text[1]);
    make(f, "ben", text[2]);
    assert_int_equal(login(f, text[0], device_1, &l[0], &ended[0]), 0);
    assert_int_equal(login(f, text[0], device_1, &l[1], &ended[1]), 0);
    assert_int_equal(login(f, text[1], device_2, &l[2], &ended[2]), 0);
    assert_int_equal(login(f, text[2], device_1, &l[3], &ended[3]), 0);
    assert_int_equal(srv_token_revoke(f->accounts, f->anna.account, first.id, &t, NULL), 0);
    assert_true(ended[0] == 1 && ended[1] == 1 && ended[2] == 0 && ended[3] == 0);
    /* By device: the other user's token of the same device lives. */
    assert_int_equal(srv_token_revoke_peer(f->accounts, f->anna.account, device_1, NULL), 0);
    assert_int_equal(srv_token_revoke_peer(f->accounts, f->anna.account, device_2, NULL), 1);
    assert_true(ended[0] == 1 && ended[2] == 1 && ended[3] == 0);
    assert_int_equal(tokens_of(f, "anna"), 0);
    assert_int_equal(tokens_of(f, "ben"), 1);
    struct srv_user u;
    assert_int_equal(srv_user_remove(f->accounts, "ben", &u, NULL), 0);
    assert_int_equal(ended[3], 1);
    for (size_t i = 0; i < ARRAY_N(l); i++)
        srv_logout(f->accounts, &l[i], f->now_ms);
    assert_int_equal(srv_logins(f->accounts), 0);
}

static void token_of_another_account_cannot_be_revoked(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    struct srv_login l;
    struct srv_token t = {.created_ms = 0};
    int ended = 0;
    struct srv_token made = make(f, "anna", text);
    assert_int_equal(login(f, text, device_1, &l, &ended), 0);
    assert_int_equal(srv_token_revoke(f->accounts, f->ben.account, made.id, &t, &f->err), -ENOENT);
    assert_int_equal(t.created_ms, 0); /* nothing about it is told */
    assert_int_equal(srv_token_revoke_peer(f->accounts, f->ben.account, device_1, NULL), 0);
    assert_int_equal(ended, 0);
    assert_int_equal(tokens_of(f, "anna"), 1);
    assert_int_equal(tokens_of(f, "ben"), 0);
    srv_logout(f->accounts, &l, f->now_ms);
}

static void logins_of_an_account_are_limited(void **state)
{
    struct server_fixture *f = *state;
    static struct srv_login l[USER_LOGINS_MAX + 1];
    char text[2][TOKEN_TEXT_SIZE];
    int ended = 0;
    make(f, "anna", text[0]);
    make(f, "ben", text[1]);
    for (int i = 0; i < USER_LOGINS_MAX; i++)
        assert_int_equal(login(f, text[0], device_1, &l[i], &ended), 0);
    assert_int_equal(login(f, text[0], device_1, &l[USER_LOGINS_MAX], &ended), -EMFILE);
    assert_int_equal(login(f, text[1], device_1, &l[USER_LOGINS_MAX], &ended), 0);
    for (int i = 0; i <= USER_LOGINS_MAX; i++)
        srv_logout(f->accounts, &l[i], f->now_ms);
}

/* Wrong id, wrong secret and no token at all look alike, and count alike. */
static void wrong_tokens_are_limited_by_address(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    char wrong[3][TOKEN_TEXT_SIZE];
    struct srv_token t;
    make(f, "anna", text);
    for (int i = 0; i < 3; i++)
        memcpy(wrong[i], text, sizeof text);
    wrong[0][6] = wrong[0][6] == 'A' ? 'B' : 'A';
    wrong[1][40] = wrong[1][40] == 'A' ? 'B' : 'A';
    wrong[2][0] = 'x';
    char said[512] = "";
    for (int i = 0; i < LIMITER_FAILS; i++) {
        assert_int_equal(srv_token_check(f->accounts, bytes_str(wrong[i % 3]), from_here(),
                                         f->now_ms + (uint64_t)i, &t, &f->err),
                         -EACCES);
        if (i > 0)
            assert_string_equal(f->err.msg, said);
        snprintf(said, sizeof said, "%s", f->err.msg);
    }
    uint64_t now = f->now_ms + LIMITER_FAILS;
    struct bytes bad = bytes_str(wrong[0]);
    assert_int_equal(srv_token_check(f->accounts, bad, from_here(), now, &t, &f->err), -EAGAIN);
    assert_non_null(strstr(f->err.msg, "60 s"));
    static const uint8_t elsewhere[4] = {192, 0, 2, 2};
    struct bytes other = bytes_of(elsewhere, sizeof elsewhere);
    assert_int_equal(srv_token_check(f->accounts, bad, other, now, &t, NULL), -EACCES);
    now = f->now_ms + LIMITER_WINDOW_MS;
    assert_int_equal(srv_token_check(f->accounts, bad, from_here(), now - 1, &t, NULL), -EAGAIN);
    /* One of the five has passed: one more may fail. */
    assert_int_equal(srv_token_check(f->accounts, bad, from_here(), now, &t, NULL), -EACCES);
    assert_int_equal(srv_token_check(f->accounts, bad, from_here(), now, &t, NULL), -EAGAIN);
}

/* Devices behind one address do not depend on what another one there shows. */
static void right_token_passes_however_many_wrong_ones_came(void **state)
{
    struct server_fixture *f = *state;
    char text[TOKEN_TEXT_SIZE];
    struct srv_token t;
    struct srv_login l;
    int ended = 0;
    make(f, "anna", text);
    for (int i = 0; i < 3 * LIMITER_FAILS; i++)
        (void)!srv_token_check(f->accounts, bytes_str("wrong"), from_here(), f->now_ms, &t, NULL);
    assert_int_equal(
        srv_token_check(f->accounts, bytes_str("wrong"), from_here(), f->now_ms, &t, NULL),
        -EAGAIN);
    assert_int_equal(
        srv_token_check(f->accounts, bytes_str(text), from_here(), f->now_ms, &t, NULL), 0);
    assert_int_equal(login(f, text, device_1, &l, &ended), 0);
    srv_logout(f->accounts, &l, f->now_ms);
}

static void limiter_networks_and_clocks(void **state)
{
    (void)state;
    struct limiter *l = malloc(sizeof *l);
    assert_non_null(l);
    limiter_init(l, LIMITER_FAILS);
    uint8_t a[16] = {0x20, 1, 0xd, 0xb8};
    uint8_t b[16] = {0x20, 1, 0xd, 0xb8};
    b[15] = 1;
    for (int i = 0; i < LIMITER_FAILS; i++)
        limiter_fail(l, bytes_of(a, 16), 1000000);
    assert_true(limiter_wait(l, bytes_of(b, 16), 1000000) > 0); /* the same network */
    b[7] = 1;
    assert_int_equal(limiter_wait(l, bytes_of(b, 16), 1000000), 0);
    assert_int_equal(limiter_wait(l, bytes_of(a, 16), 1000), 0); /* set back by a quarter hour */
    for (int i = 0; i < 2 * LIMITER_FAILS; i++)
        limiter_fail(l, bytes_of(NULL, 0), 1000000);
    assert_int_equal(limiter_wait(l, bytes_of(NULL, 0), 1000000), 0);
    /* A flood of others, each older than it, does not push it out. */
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t other[4];
        put_u32(other, i);
        limiter_fail(l, bytes_of(other, 4), 999999);
    }
    assert_true(limiter_wait(l, bytes_of(a, 16), 1000000) > 0);
    free(l);
}

int main(void)
{
#define CASE(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(user_names),
        CASE(quotas_of_a_user_are_changed_one_by_one),
        CASE(user_made_again_is_another_account),
        CASE(token_texts),
        CASE(token_secret_is_not_stored),
        CASE(token_life),
        CASE(token_is_seen_as_long_as_it_is_connected),
        CASE(token_revoked_is_told_to_its_connections_only),
        CASE(token_of_another_account_cannot_be_revoked),
        CASE(logins_of_an_account_are_limited),
        CASE(wrong_tokens_are_limited_by_address),
        CASE(right_token_passes_however_many_wrong_ones_came),
        cmocka_unit_test(limiter_networks_and_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
