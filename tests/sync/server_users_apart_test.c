/*
 * No access across users: every function with another user's ids; what a removed user leaves; the
 * operations of `persist user` and `persist token`.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/server/admin.h"
#include "tests/support/json_read.h"
#include "tests/support/server_fixture.h"

static int never_item(void *arg, const struct srv_item *item)
{
    (void)arg;
    (void)item;
    fail_msg("something of another user was shown");
    return 0;
}

static int never_chunk(void *arg, const struct srv_chunk *c)
{
    (void)arg;
    (void)c;
    fail_msg("a chunk of another user was shown");
    return 0;
}

static int never_dot(void *arg, const struct dot *dot)
{
    (void)arg;
    (void)dot;
    fail_msg("a dot of another user was shown");
    return 0;
}

static int count_space(void *arg, const struct srv_space_info *i)
{
    (void)i;
    ++*(int *)arg;
    return 0;
}

/* A space with something of each kind. */
static struct srv_at fill(struct server_fixture *f, uint64_t account, unsigned n, uint8_t with)
{
    struct srv_at at = server_make_space(f, account, n);
    uint8_t id[CHUNK_ID_SIZE];
    server_chunk_id(1, id);
    struct server_entry value = {.dot = {5, 1}, .fill = with, .chunks = id, .chunks_n = 1};
    struct server_entry state = {.kind = ENTRY_STATE, .dot = {5, 1}, .fill = with};
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("act"), f->now_ms, NULL, NULL), 1);
    assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, with, 5000), 1);
    assert_int_equal(server_push(f, &at, &value), 1);
    assert_int_equal(server_push(f, &at, &state), 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    return at;
}

/* Everything that can be asked of or pushed into a space, with -ENOENT for an answer. */
static void try_all(struct server_fixture *f, const struct srv_at *at)
{
    struct srv_space_info info;
    struct srv_cursor c = {0};
    struct dot dot = {5, 1};
    uint8_t id[CHUNK_ID_SIZE];
    uint8_t bits = 0;
    struct srv_spaces *s = f->spaces;
    server_chunk_id(1, id);
    struct act_id act = act_id_of(bytes_str("act"));
    assert_int_equal(srv_space_info(s, at, &info), -ENOENT);
    assert_int_equal(srv_log_read(s, at, SRV_LOG_ALL, 1000, never_item, NULL, &c), -ENOENT);
    assert_int_equal(srv_log_read(s, at, SRV_LOG_ACTS, 1000, never_item, NULL, &c), -ENOENT);
    assert_int_equal(srv_entry_get(s, at, &dot, never_item, NULL), -ENOENT);
    assert_int_equal(srv_act_get(s, at, act.b, never_item, NULL), -ENOENT);
    assert_int_equal(srv_chunk_get(s, at, id, never_chunk, NULL), -ENOENT);
    assert_int_equal(srv_chunks_missing(s, at, id, 1, f->now_ms, &bits), -ENOENT);
    assert_int_equal(srv_space_vector(s, at, 0, never_dot, NULL), -ENOENT);
    assert_int_equal(srv_space_dots(s, at, &(struct dot){0, 0}, never_dot, NULL), -ENOENT);
    struct server_entry state = {.kind = ENTRY_STATE, .dot = {5, 9}};
    assert_int_equal(srv_push_act(s, at, bytes_str("act"), f->now_ms, NULL, &f->err), -ENOENT);
    assert_int_equal(server_push_value(f, at, 5, 1, 66), -ENOENT);
    assert_int_equal(server_push(f, at, &state), -ENOENT);
    assert_int_equal(server_push_chunk(f, at, 1, NULL, 0, 66, 5000), -ENOENT);
}

static void space_of_another_user_is_not_there(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at annas = fill(f, f->anna.account, 1, 7);
    struct srv_space_info before = {.log_id = 0};
    assert_int_equal(srv_space_info(f->spaces, &annas, &before), 0);
    struct srv_at at = annas;
    at.account = f->ben.account;
    try_all(f, &at);
    at.account = 0;
    try_all(f, &at);
    at.account = UINT64_MAX;
    try_all(f, &at);
    int n = 0;
    assert_int_equal(srv_space_list(f->spaces, f->ben.account, count_space, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(srv_space_list(f->spaces, 99, count_space, &n), -ENOENT);
    assert_int_equal(srv_spaces_usage(f->spaces, 99, &(struct srv_usage){0}), -ENOENT);
    struct srv_space_info after = {.log_id = 0};
    assert_int_equal(srv_space_info(f->spaces, &annas, &after), 0);
    assert_memory_equal(&before, &after, sizeof before);
}

/* With the genesis act of another's space he gets a space of his own, empty, and learns nothing. */
static void space_of_the_same_id_is_another(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at annas = fill(f, f->anna.account, 1, 7);
    struct srv_at bens = server_make_space(f, f->ben.account, 1);
    assert_memory_equal(annas.space, bens.space, SPACE_ID_SIZE);
    struct server_seen seen = server_read_log(f, &bens);
    assert_true(seen.n == 1 && seen.acts == 1);
    assert_int_equal(srv_entry_get(f->spaces, &bens, &(struct dot){5, 1}, never_item, NULL), 0);
    uint8_t id[CHUNK_ID_SIZE];
    uint8_t bits = 0;
    server_chunk_id(1, id);
    assert_int_equal(srv_chunk_get(f->spaces, &bens, id, never_chunk, NULL), 0);
    assert_int_equal(srv_chunks_missing(f->spaces, &bens, id, 1, f->now_ms, &bits), 0);
    assert_int_equal(bits, 1);
    /* Nor does he take a place among the variants, or replace anything. */
    static const struct dot replaced[] = {{5, 1}};
    struct server_entry e = {.dot = {6, 1}, .replaced = replaced, .replaced_n = 1};
    assert_int_equal(server_push(f, &bens, &e), 1);
    for (uint8_t i = 0; i < SPACES_VARIANTS_MAX; i++) {
        assert_int_equal(server_push_value(f, &bens, 5, 1, i), 1);
        assert_int_equal(server_push_chunk(f, &bens, 1, NULL, 0, i, 5000), 1);
    }
    struct srv_swept swept = {0};
    f->now_ms += SPACES_REPLACED_MS;
    assert_int_equal(srv_spaces_sweep(f->spaces, f->now_ms, 1000, &swept), 0);
    assert_true(swept.entries == 4 && swept.chunks == 4);
    seen = server_read_log(f, &annas);
    assert_true(seen.values == 1 && seen.states == 1 && seen.acts == 2);
    memset(&seen, 0, sizeof seen);
    assert_int_equal(srv_chunk_get(f->spaces, &annas, id, server_see_chunk, &seen), 1);
    assert_int_equal(seen.fills, 7);
    server_check_usage(f, f->anna.account);
    server_check_usage(f, f->ben.account);
}

static unsigned rows(struct server_fixture *f, enum srv_family family)
{
    struct srv_iter *it = srv_iter_new(f->store, family, bytes_of(NULL, 0), bytes_of(NULL, 0));
    unsigned n = 0;
    while (srv_iter_next(it))
        n++;
    assert_int_equal(srv_iter_status(it), 0);
    srv_iter_free(it);
    return n;
}

static void user_removed_leaves_nothing(void **state)
{
    struct server_fixture *f = *state;
    struct srv_user u;
    struct srv_at annas = fill(f, f->anna.account, 1, 7);
    struct srv_at bens = fill(f, f->ben.account, 1, 8);
    fill(f, f->ben.account, 2, 8);
    /* A crash between the two steps: opening does the second one. */
    assert_int_equal(srv_user_remove(f->accounts, "ben", &u, NULL), 0);
    server_fixture_reopen(f);
    try_all(f, &bens);
    assert_true(rows(f, SRV_LOG) == 4 + 2 && rows(f, SRV_CHUNKS) == 2);
    assert_int_equal(rows(f, SRV_ENTRIES), 4 + 1 + 1);
    assert_int_equal(rows(f, SRV_ACCOUNTS), 3);
    struct server_seen seen = server_read_log(f, &annas);
    assert_true(seen.n == 4 && seen.values == 1);
    /* In the running server, with pushes that are not synced yet. */
    assert_int_equal(server_push_value(f, &annas, 5, 2, 1), 1);
    assert_int_equal(srv_user_remove(f->accounts, "anna", &u, NULL), 0);
    assert_int_equal(srv_spaces_drop(f->spaces, u.account), 0);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    try_all(f, &annas);
    assert_true(rows(f, SRV_LOG) + rows(f, SRV_CHUNKS) + rows(f, SRV_ENTRIES) == 0);
    struct srv_swept swept = {0};
    f->now_ms += SPACES_REPLACED_MS;
    assert_int_equal(srv_spaces_sweep(f->spaces, f->now_ms, 1000, &swept), 0);
    assert_int_equal(swept.chunks, 0);
    /* The format, how far packs are on the disk, and what is next of two. */
    assert_int_equal(rows(f, SRV_META), 4);
}

/* ---- admin ---- */

struct admin_run {
    struct srv_admin admin;
    struct buf out;
    struct err err;
};

static struct admin_run run_of(struct server_fixture *f, bool json)
{
    return (struct admin_run){
        .admin = {.accounts = f->accounts, .spaces = f->spaces, .json = json, .now_ms = f->now_ms}};
}

static const char *text(struct admin_run *r)
{
    buf_put_u8(&r->out, 0);
    assert_int_equal(buf_status(&r->out), 0);
    r->out.n--;
    return (const char *)r->out.p;
}

static void expect(struct admin_run *r, const char *place, const char *want)
{
    char is[256];
    assert_string_equal(json_read_at(text(r), place, is, sizeof is), want);
}

static void admin_json(void **state)
{
    struct server_fixture *f = *state;
    static const uint8_t peer[PEER_ID_BYTES] = {0x00, 0x24, 0x08, 0x01, 0x12, 0x20, 1, 2, 3};
    struct admin_run r = run_of(f, true);
    char id[64];
    char token[64];
    fill(f, f->anna.account, 1, 7);
    assert_int_equal(srv_admin_user_add(&r.admin, "carl", 0, 0, &r.out, &r.err), 0);
    expect(&r, "user", "carl");
    expect(&r, "quota_bytes", "107374182400");
    buf_reset(&r.out);
    assert_int_equal(srv_admin_user_quota(&r.admin, "carl", 5000, 0, &r.out, &r.err), 0);
    expect(&r, "user", "carl");
    expect(&r, "quota_bytes", "5000");
    expect(&r, "quota_entries", "20000000");
    buf_reset(&r.out);
    assert_int_equal(srv_admin_user_quota(&r.admin, "dora", 5000, 0, &r.out, &r.err), -ENOENT);
    assert_int_equal(srv_admin_user_add(&r.admin, "carl", 0, 0, &r.out, &r.err), -EEXIST);
    assert_int_equal(srv_admin_user_add(&r.admin, "Carl", 0, 0, &r.out, &r.err), -EINVAL);
    assert_int_equal(r.out.n, 0);
    assert_int_equal(srv_admin_user_list(&r.admin, &r.out, &r.err), 0);
    assert_int_equal(json_read_count(text(&r), "users"), 3);
    expect(&r, "users.0.user", "anna");
    expect(&r, "users.0.spaces", "1");
    expect(&r, "users.0.entries", "4");
    expect(&r, "users.2.bytes", "0");
    buf_reset(&r.out);
    assert_int_equal(srv_admin_token_create(&r.admin, "anna", "a \"b\"", &r.out, &r.err), 0);
    expect(&r, "label", "a \"b\"");
    json_read_at(text(&r), "token", token, sizeof token);
    json_read_at(text(&r), "id", id, sizeof id);
    buf_reset(&r.out);
    assert_int_equal(srv_admin_token_create(&r.admin, "dora", "x", &r.out, &r.err), -ENOENT);
    assert_int_equal(srv_admin_token_list(&r.admin, "dora", &r.out, &r.err), -ENOENT);
    assert_string_equal(r.err.msg,
                        "user dora: there is no user of that name; see persist user list");
    assert_int_equal(r.out.n, 0);
    assert_int_equal(srv_admin_token_list(&r.admin, NULL, &r.out, &r.err), 0);
    expect(&r, "tokens.0.id", id);
    expect(&r, "tokens.0.peer_id", "null");
    expect(&r, "tokens.0.last_seen", "null");
    expect(&r, "tokens.0.created", "2026-09-21T14:13:20.000Z");
    struct srv_login l = {0};
    assert_int_equal(
        srv_login(f->accounts, bytes_str(token), peer, bytes_of(NULL, 0), f->now_ms, &l, &r.err),
        0);
    srv_logout(f->accounts, &l, f->now_ms);
    buf_reset(&r.out);
    assert_int_equal(srv_admin_token_list(&r.admin, "anna", &r.out, &r.err), 0);
    expect(&r, "tokens.0.last_seen", "2026-09-21T14:13:20.000Z");
    assert_memory_equal(json_read_at(text(&r), "tokens.0.peer_id", token, sizeof token), "12D3KooW",
                        8);
    buf_reset(&r.out);
    assert_int_equal(srv_admin_token_revoke(&r.admin, "0", &r.out, &r.err), -ENOENT);
    assert_int_equal(srv_admin_token_revoke(&r.admin, id, &r.out, &r.err), 0);
    expect(&r, "revoked", "true");
    buf_reset(&r.out);
    assert_int_equal(srv_admin_user_remove(&r.admin, "anna", &r.out, &r.err), 0);
    expect(&r, "removed", "true");
    buf_reset(&r.out);
    assert_int_equal(srv_admin_user_remove(&r.admin, "anna", &r.out, &r.err), -ENOENT);
    assert_int_equal(srv_admin_user_list(&r.admin, &r.out, &r.err), 0);
    assert_int_equal(json_read_count(text(&r), "users"), 2);
    buf_fini(&r.out);
}

static void admin_text(void **state)
{
    struct server_fixture *f = *state;
    struct admin_run r = run_of(f, false);
    assert_int_equal(srv_admin_user_add(&r.admin, "carl", 0, 0, &r.out, &r.err), 0);
    assert_int_equal(r.out.n, 0);
    assert_int_equal(srv_admin_token_create(&r.admin, "carl", "Laptop", &r.out, &r.err), 0);
    assert_int_equal(r.out.n, TOKEN_TEXT_SIZE); /* with the end of the line */
    struct token t;
    assert_int_equal(token_parse(bytes_of(r.out.p, r.out.n - 1), &t), 0);
    buf_reset(&r.out);
    assert_int_equal(srv_admin_token_list(&r.admin, NULL, &r.out, &r.err), 0);
    assert_non_null(strstr(text(&r), "LAST SEEN"));
    assert_non_null(strstr(text(&r), "never"));
    buf_reset(&r.out);
    assert_int_equal(srv_admin_user_list(&r.admin, &r.out, &r.err), 0);
    assert_non_null(strstr(text(&r), "\ncarl"));
    assert_non_null(strstr(text(&r), "100 GiB"));
    buf_fini(&r.out);
}

int main(void)
{
#define CASE(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(space_of_another_user_is_not_there),
        CASE(space_of_the_same_id_is_another),
        CASE(user_removed_leaves_nothing),
        CASE(admin_json),
        CASE(admin_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
