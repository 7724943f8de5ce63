/* What a server stores: the log, variants, STATEs, chunks, quota, rates, retention. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/server/admin.h"
#include "tests/support/server_fixture.h"

static struct srv_space_info info_of(struct server_fixture *f, const struct srv_at *at)
{
    struct srv_space_info i = {.log_id = 0};
    assert_int_equal(srv_space_info(f->spaces, at, &i), 0);
    return i;
}

static void sweep(struct server_fixture *f, uint64_t later_ms, struct srv_swept *ret)
{
    *ret = (struct srv_swept){0};
    f->now_ms += later_ms;
    int rc;
    while ((rc = srv_spaces_sweep(f->spaces, f->now_ms, 3, ret)) == 1)
        ;
    assert_int_equal(rc, 0);
}

static unsigned variants(struct server_fixture *f, const struct srv_at *at, struct dot dot,
                         struct server_seen *seen)
{
    *seen = (struct server_seen){0};
    int rc = srv_entry_get(f->spaces, at, &dot, server_see_item, seen);
    assert_int_equal(rc, seen->n);
    return seen->n;
}

static unsigned chunk_variants(struct server_fixture *f, const struct srv_at *at, unsigned n,
                               struct server_seen *seen)
{
    uint8_t id[CHUNK_ID_SIZE];
    *seen = (struct server_seen){0};
    server_chunk_id(n, id);
    int rc = srv_chunk_get(f->spaces, at, id, server_see_chunk, seen);
    assert_int_equal(rc, seen->n);
    return seen->n;
}

/* ---- acts, spaces ---- */

static void space_begins_with_its_genesis(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_at(f->anna.account, 1, 1);
    struct srv_at other = server_at(f->anna.account, 2, 1);
    struct buf act = {0};
    assert_int_equal(server_push_value(f, &at, 1, 1, 0), -ENOENT);
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("an act"), 1, NULL, &f->err), -ENOENT);
    assert_string_equal(f->err.msg, "there is no such space here");
    server_genesis(2, &act);
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), 1, NULL, NULL), -ENOENT);
    server_make_space(f, f->anna.account, 1);
    /* Acts may come in any order: the server does not ask for their parents. */
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("act 3"), f->now_ms, NULL, NULL), 1);
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("act 2"), f->now_ms, NULL, NULL), 1);
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("act 3"), f->now_ms, NULL, NULL), 0);
    server_genesis(1, &act);
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), f->now_ms, NULL, NULL), 0);
    assert_int_equal(srv_space_info(f->spaces, &other, &(struct srv_space_info){0}), -ENOENT);
    struct server_seen seen = server_read_log(f, &at);
    assert_true(seen.n == 3 && seen.acts == 3 && seen.last_seq == 3);
    struct act_id id = act_id_of(bytes_str("act 2"));
    assert_int_equal(srv_act_get(f->spaces, &at, id.b, server_see_item, &seen), 1);
    assert_int_equal(seen.acts, 4);
    id.b[0] ^= 1;
    assert_int_equal(srv_act_get(f->spaces, &at, id.b, server_see_item, &seen), 0);
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_of(NULL, 0), 1, NULL, NULL), -EBADMSG);
    assert_int_equal(buf_resize(&act, LIMIT_ACT + 1), 0);
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), 1, NULL, NULL), -EBADMSG);
    act.n--;
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), f->now_ms, NULL, NULL), 1);
    buf_fini(&act);
    server_check_usage(f, f->anna.account);
}

static int count_space(void *arg, const struct srv_space_info *i)
{
    (void)i;
    ++*(int *)arg;
    return 0;
}

static void spaces_of_an_account_are_limited(void **state)
{
    struct server_fixture *f = *state;
    struct buf act = {0};
    int n = 0;
    for (unsigned i = 0; i < SPACES_MAX_OF_ACCOUNT; i++)
        server_make_space(f, f->anna.account, i);
    server_genesis(1000, &act);
    struct srv_at at = server_at(f->anna.account, 1000, 1);
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), 1, NULL, &f->err), -EMFILE);
    assert_string_equal(f->err.msg, "the account has 100 spaces already");
    assert_int_equal(srv_space_list(f->spaces, f->anna.account, count_space, &n), 0);
    assert_int_equal(n, SPACES_MAX_OF_ACCOUNT);
    server_make_space(f, f->ben.account, 1000);
    server_fixture_reopen(f);
    assert_int_equal(srv_push_act(f->spaces, &at, buf_bytes(&act), 1, NULL, &f->err), -EMFILE);
    server_check_usage(f, f->anna.account);
    buf_fini(&act);
}

/* ---- the log ---- */

static void log_is_read_by_cursor_and_survives(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    enum { N = 100 };
    for (unsigned i = 1; i <= N; i++)
        assert_int_equal(server_push_value(f, &at, 5, i, (uint8_t)i), 1);
    /* It is shown before it is on disk. */
    struct server_seen seen = {0};
    struct srv_cursor c = {0};
    assert_int_equal(srv_log_read(f->spaces, &at, SRV_LOG_ALL, 1 << 20, server_see_item, &seen, &c),
                     0);
    assert_true(seen.n == N + 1 && c.after == N + 1 && !c.more);
    seen = server_read_log(f, &at);
    assert_true(seen.n == N + 1 && seen.values == N && seen.last_seq == N + 1);
    assert_true(seen.last_dot.replica == 5 && seen.last_dot.counter == N);
    struct srv_space_info before = info_of(f, &at);
    server_fixture_reopen(f);
    struct srv_space_info after = info_of(f, &at);
    assert_memory_equal(&before, &after, sizeof before);
    assert_true(after.last_seq == N + 1 && after.entries == N + 1);
    /* At least one, however small the room is. */
    seen = (struct server_seen){0};
    c = (struct srv_cursor){.after = 50};
    assert_int_equal(srv_log_read(f->spaces, &at, SRV_LOG_ALL, 1, server_see_item, &seen, &c), 0);
    assert_true(seen.n == 1 && c.after == 51 && c.more && seen.last_dot.counter == 50);
    c.after = N + 1;
    assert_int_equal(srv_log_read(f->spaces, &at, SRV_LOG_ALL, 1, server_see_item, &seen, &c), 0);
    assert_true(seen.n == 1 && c.after == N + 1 && !c.more);
    c.after = N + 2;
    assert_int_equal(srv_log_read(f->spaces, &at, SRV_LOG_ALL, 1, server_see_item, &seen, &c),
                     -ESTALE);
    /* Acts alone. */
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("act"), f->now_ms, NULL, NULL), 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    seen = (struct server_seen){0};
    c = (struct srv_cursor){0};
    assert_int_equal(
        srv_log_read(f->spaces, &at, SRV_LOG_ACTS, 1 << 20, server_see_item, &seen, &c), 0);
    assert_true(seen.n == 2 && seen.acts == 2 && seen.last_seq == N + 2 && c.after == N + 2);
}

static int stop_at_third(void *arg, const struct srv_item *item)
{
    (void)item;
    return ++*(int *)arg == 3 ? -ECANCELED : 0;
}

static void log_reader_that_stops_goes_on_there(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    for (unsigned i = 1; i <= 9; i++)
        assert_int_equal(server_push_value(f, &at, 5, i, 0), 1);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    int n = 0;
    struct srv_cursor c = {0};
    assert_int_equal(srv_log_read(f->spaces, &at, SRV_LOG_ALL, 1 << 20, stop_at_third, &n, &c),
                     -ECANCELED);
    assert_int_equal(c.after, 2);
    struct server_seen seen = {0};
    assert_int_equal(srv_log_read(f->spaces, &at, SRV_LOG_ALL, 1 << 20, server_see_item, &seen, &c),
                     0);
    assert_int_equal(seen.n, 8);
}

static void note_grown(void *arg, uint64_t account, const uint8_t space[SPACE_ID_SIZE])
{
    struct srv_at *seen = arg;
    seen->account += account;
    seen->space[0] ^= space[0];
    seen->token[0]++;
}

static void push_tells_that_a_space_has_grown(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at a = server_make_space(f, f->anna.account, 1);
    struct srv_at b = server_make_space(f, f->ben.account, 2);
    struct srv_at seen = {.account = 0};
    srv_spaces_on_grown(f->spaces, note_grown, &seen);
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    assert_int_equal(seen.token[0], 0);
    assert_int_equal(server_push_value(f, &a, 1, 1, 0), 1);
    assert_true(seen.token[0] == 1 && seen.account == a.account && seen.space[0] == a.space[0]);
    assert_int_equal(server_push_value(f, &a, 1, 1, 0), 0); /* it was there */
    assert_int_equal(srv_spaces_sync(f->spaces), 0);
    assert_int_equal(seen.token[0], 1);
    assert_int_equal(server_push_value(f, &b, 1, 1, 0), 1);
    assert_true(seen.token[0] == 2 && seen.account == a.account + b.account);
}

/* ---- entries ---- */

static void entry_of_another_space_or_form_is_refused(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_at other = server_make_space(f, f->anna.account, 2);
    struct buf b = {0};
    struct server_entry e = {.dot = {5, 1}};
    struct entry parsed;
    server_entry(&at, &e, &b);
    assert_int_equal(srv_push_entry(f->spaces, &other, buf_bytes(&b), 1, NULL, &f->err), -EBADMSG);
    /* A bit of the public part that a server looks at, and the last byte missing. */
    static const size_t where[] = {16, 17, 18, 19, 60, 125, 126};
    for (size_t i = 0; i < ARRAY_N(where); i++) {
        b.p[where[i]] ^= 0x40;
        int rc = srv_push_entry(f->spaces, &at, buf_bytes(&b), f->now_ms, NULL, NULL);
        assert_true(rc == -EBADMSG || rc == -ENOTSUP);
        b.p[where[i]] ^= 0x40;
    }
    assert_int_equal(entry_parse_sealed(bytes_of(b.p, b.n - 1), &parsed), -EBADMSG);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(entry_parse_sealed(bytes_of(b.p, n), &parsed), -EBADMSG);
    const struct dot bad[] = {{5, 0}, {5, UINT64_C(1) << 48}, {5, UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_N(bad); i++) {
        e.dot = bad[i];
        assert_int_equal(server_push(f, &at, &e), -EBADMSG);
    }
    e.dot.counter = (UINT64_C(1) << 48) - 1;
    assert_int_equal(server_push(f, &at, &e), 1);
    server_entry(&at, &e, &b);
    e.sealed_n = LIMIT_ENTRY - b.n + 24 + 256 + 16;
    assert_int_equal(server_push(f, &at, &e), 1);
    e.sealed_n++;
    assert_int_equal(server_push(f, &at, &e), -EBADMSG);
    buf_fini(&b);
    assert_int_equal(server_read_log(f, &at).values, 2);
    struct srv_stats stats = {0};
    assert_int_equal(srv_spaces_stats(f->spaces, &stats), 0);
    assert_int_equal(stats.refused, 1 + ARRAY_N(where) + ARRAY_N(bad) + 1);
}

/* A squatter's garbage first, the good one after it: both are served, to whoever asks. */
static void variants_of_a_dot(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct server_seen seen;
    struct server_entry e = {.dot = {5, 1}, .fill = 1};
    assert_int_equal(server_push(f, &at, &e), 1);
    assert_int_equal(server_push(f, &at, &e), 0);
    e.fill = 2;
    assert_int_equal(server_push(f, &at, &e), 1);
    e.epoch = 1; /* the same under another epoch */
    assert_int_equal(server_push(f, &at, &e), 1);
    e.fill = 3;
    assert_int_equal(server_push(f, &at, &e), 1);
    struct srv_space_info before = info_of(f, &at);
    e.fill = 4;
    assert_int_equal(server_push(f, &at, &e), -EEXIST);
    assert_string_equal(f->err.msg, "the server has 4 other forms of it already");
    struct srv_space_info after = info_of(f, &at);
    assert_memory_equal(&before, &after, sizeof before);
    e.fill = 3;
    assert_int_equal(server_push(f, &at, &e), 0);
    assert_int_equal(variants(f, &at, e.dot, &seen), 4);
    assert_int_equal(seen.fills, 1 + 2 + 2 + 3);
    seen = server_read_log(f, &at);
    assert_true(seen.values == 4 && seen.last_seq == 5);
    server_fixture_reopen(f);
    assert_int_equal(variants(f, &at, e.dot, &seen), 4);
    assert_int_equal(variants(f, &at, (struct dot){5, 2}, &seen), 0);
    server_check_usage(f, f->anna.account);
}

static void state_newest_of_a_replica_and_device_is_kept(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_at squatter = at;
    squatter.token[0] = 9;
    struct server_entry e = {.kind = ENTRY_STATE, .dot = {5, 3}, .fill = 3};
    assert_int_equal(server_push(f, &at, &e), 1);
    e = (struct server_entry){.kind = ENTRY_STATE, .dot = {5, 4}, .fill = 4, .sealed_n = 1000};
    assert_int_equal(server_push(f, &at, &e), 1);
    assert_int_equal(server_push(f, &at, &e), 0);
    struct server_seen seen = server_read_log(f, &at);
    assert_true(seen.states == 1 && seen.last_seq == 3 && seen.last_dot.counter == 4);
    e = (struct server_entry){.kind = ENTRY_STATE, .dot = {5, 2}, .fill = 2};
    assert_int_equal(server_push(f, &at, &e), 0); /* older */
    /* One that claims to be the last there can be does not keep out what the device sends. */
    e = (struct server_entry){.kind = ENTRY_STATE, .dot = {5, LIMIT_COUNTER}, .fill = 100};
    assert_int_equal(server_push(f, &squatter, &e), 1);
    e = (struct server_entry){.kind = ENTRY_STATE, .dot = {5, 5}, .fill = 5};
    assert_int_equal(server_push(f, &at, &e), 1);
    e.dot.replica = 6;
    assert_int_equal(server_push(f, &at, &e), 1);
    seen = server_read_log(f, &at);
    assert_true(seen.states == 3 && seen.fills == 0 + 1 + 5 + 5 + 100);
    server_fixture_reopen(f);
    assert_int_equal(server_read_log(f, &at).states, 3);
    server_check_usage(f, f->anna.account);
    /* STATEs are no changes: no dot is known by them. */
    assert_int_equal(srv_entry_get(f->spaces, &at, &(struct dot){5, 5}, server_see_item, &seen), 0);
}

static int note_dot(void *arg, const struct dot *dot)
{
    struct buf *b = arg;
    char text[64];
    snprintf(text, sizeof text, "%d:%d ", (int)dot->replica, (int)dot->counter);
    buf_put_bytes(b, bytes_str(text));
    return 0;
}

static void vector_and_dots(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    static const struct dot dots[] = {{2, 7}, {1, 3}, {2, 5}, {1, 300}, {3, 1},
                                      {2, 5}, {3, 9}, {3, 4}, {3, 5}};
    for (size_t i = 0; i < ARRAY_N(dots); i++)
        assert_int_equal(server_push_value(f, &at, dots[i].replica, dots[i].counter, (uint8_t)i),
                         1);
    struct buf b = {0};
    assert_int_equal(srv_space_vector(f->spaces, &at, 0, note_dot, &b), 0);
    buf_put_bytes(&b, bytes_str("from 2 "));
    assert_int_equal(srv_space_vector(f->spaces, &at, 2, note_dot, &b), 0);
    buf_put_bytes(&b, bytes_str("all "));
    assert_int_equal(srv_space_dots(f->spaces, &at, &(struct dot){0, 0}, note_dot, &b), 0);
    buf_put_bytes(&b, bytes_str("from 2:6 "));
    assert_int_equal(srv_space_dots(f->spaces, &at, &(struct dot){2, 6}, note_dot, &b), 0);
    buf_put_u8(&b, 0);
    assert_string_equal((const char *)b.p, "1:300 2:7 3:9 from 2 2:7 3:9 "
                                           "all 1:3 1:300 2:5 2:7 3:1 3:4 3:5 3:9 "
                                           "from 2:6 2:7 3:1 3:4 3:5 3:9 ");
    buf_fini(&b);
}

/* ---- chunks ---- */

static void variants_of_a_chunk(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct server_seen seen;
    for (uint8_t i = 1; i <= 4; i++)
        assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, i, 70000), 1);
    assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, 5, 70000), -EEXIST);
    assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, 2, 70000), 0);
    server_fixture_reopen(f);
    assert_int_equal(chunk_variants(f, &at, 1, &seen), 4);
    assert_true(seen.fills == 10 && seen.bytes == 280000);
    assert_int_equal(chunk_variants(f, &at, 2, &seen), 0);
    assert_int_equal(server_push_chunk(f, &at, 2, NULL, 0, 5, CHUNK_SEALED_MAX), 1);
    assert_int_equal(server_push_chunk(f, &at, 3, NULL, 0, 5, CHUNK_SEALED_MAX + 1), -EBADMSG);
    enum { LEAST = 1 + 24 + 4096 + 16 };
    assert_int_equal(server_push_chunk(f, &at, 3, NULL, 0, 5, LEAST - 1), -EBADMSG);
    assert_int_equal(server_push_chunk(f, &at, 3, NULL, 0, 5, LEAST), 1);
    static uint8_t names[(LIMIT_CHUNK_IDS + 1) * CHUNK_ID_SIZE];
    const size_t size = sizeof names + LEAST;
    assert_int_equal(server_push_chunk(f, &at, 4, names, LIMIT_CHUNK_IDS + 1, 5, size), -EBADMSG);
    assert_int_equal(server_push_chunk(f, &at, 4, names, LIMIT_CHUNK_IDS, 5, size), 1);
    assert_int_equal(chunk_variants(f, &at, 4, &seen), 1);
    assert_int_equal(seen.bytes, size);
    server_check_usage(f, f->anna.account);
}

static unsigned missing(struct server_fixture *f, const struct srv_at *at)
{
    uint8_t ids[10][CHUNK_ID_SIZE];
    uint8_t ret[2] = {0xff, 0xff};
    for (unsigned i = 0; i < 10; i++)
        server_chunk_id(i, ids[i]);
    assert_int_equal(srv_chunks_missing(f->spaces, at, ids[0], 10, f->now_ms, ret), 0);
    return ret[0] | (unsigned)ret[1] << 8;
}

/* 0 is named by an entry, 1 by the list 2, that by an entry; 8 and 9 by nothing. */
static void chunks_that_nothing_names_are_dropped(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_swept swept;
    struct server_seen seen;
    uint8_t ids[3][CHUNK_ID_SIZE];
    for (unsigned i = 0; i < 3; i++)
        server_chunk_id(i, ids[i]);
    assert_int_equal(missing(f, &at), 0x3ff);
    assert_int_equal(server_push_chunk(f, &at, 0, NULL, 0, 1, 5000), 1);
    assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, 1, 5000), 1);
    assert_int_equal(server_push_chunk(f, &at, 2, ids[1], 1, 1, 5000), 1);
    assert_int_equal(server_push_chunk(f, &at, 8, NULL, 0, 1, 5000), 1);
    assert_int_equal(server_push_chunk(f, &at, 9, NULL, 0, 1, 5000), 1);
    assert_int_equal(missing(f, &at), 0xf8);
    struct server_entry e = {.dot = {5, 1}, .chunks = ids[0], .chunks_n = 1};
    assert_int_equal(server_push(f, &at, &e), 1);
    e = (struct server_entry){.dot = {5, 2}, .chunks = ids[2], .chunks_n = 1};
    assert_int_equal(server_push(f, &at, &e), 1);
    sweep(f, SPACES_UNREFERENCED_MS - 1, &swept);
    assert_int_equal(swept.chunks, 0);
    /* Who asks now must push them again, and has its days with them then. */
    assert_int_equal(missing(f, &at), 0x3f8);
    assert_int_equal(server_push_chunk(f, &at, 9, NULL, 0, 2, 5000), 1);
    assert_int_equal(missing(f, &at), 0x1f8);
    sweep(f, 1, &swept);
    assert_true(swept.chunks == 1 && swept.entries == 0 && swept.bytes == 5000);
    assert_int_equal(chunk_variants(f, &at, 8, &seen), 0);
    assert_int_equal(chunk_variants(f, &at, 9, &seen), 2);
    server_check_usage(f, f->anna.account);
    sweep(f, SPACES_UNREFERENCED_MS, &swept);
    assert_int_equal(swept.chunks, 2);
    assert_int_equal(missing(f, &at), 0x3f8);
    /* The entries are replaced; their chunks go when nothing has named them for their days. */
    static const struct dot replaced[] = {{5, 1}, {5, 2}};
    e = (struct server_entry){.dot = {6, 1}, .replaced = replaced, .replaced_n = 2};
    assert_int_equal(server_push(f, &at, &e), 1);
    sweep(f, SPACES_REPLACED_MS, &swept);
    assert_true(swept.entries == 2 && swept.chunks == 0);
    server_fixture_reopen(f);
    sweep(f, SPACES_UNREFERENCED_MS, &swept);
    assert_int_equal(swept.chunks, 2);
    sweep(f, SPACES_UNREFERENCED_MS, &swept);
    assert_int_equal(swept.chunks, 1); /* below the list */
    assert_int_equal(info_of(f, &at).chunks, 0);
    server_check_usage(f, f->anna.account);
    /* Nothing is left of them but the entry and the genesis. */
    uint8_t prefix[8] = {0};
    struct srv_iter *it =
        srv_iter_new(f->store, SRV_CHUNKS, bytes_of(NULL, 0), bytes_of(prefix, 8));
    assert_false(srv_iter_next(it));
    srv_iter_free(it);
}

/* ---- retention ---- */

static void entries_replaced_are_dropped_after_their_days(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_swept swept;
    struct server_seen seen;
    for (uint64_t i = 1; i <= 9; i++)
        assert_int_equal(server_push_value(f, &at, 5, i, 1), 1);
    assert_int_equal(server_push_value(f, &at, 5, 2, 2), 1); /* a variant of it goes, too */
    /* 5:10 is not here yet: its days begin now, all the same. */
    static const struct dot replaced[] = {{5, 1}, {5, 2}, {5, 10}};
    struct server_entry e = {.dot = {6, 1}, .replaced = replaced, .replaced_n = 3};
    assert_int_equal(server_push(f, &at, &e), 1);
    f->now_ms += 10 * SPACES_DAY_MS;
    e.dot.counter = 2; /* named again: nothing begins anew */
    assert_int_equal(server_push(f, &at, &e), 1);
    assert_int_equal(server_push_value(f, &at, 5, 10, 1), 1);
    sweep(f, 20 * SPACES_DAY_MS - 1, &swept);
    assert_int_equal(swept.entries, 0);
    server_fixture_reopen(f);
    sweep(f, 1, &swept);
    assert_int_equal(swept.entries, 4);
    assert_int_equal(variants(f, &at, (struct dot){5, 1}, &seen), 0);
    assert_int_equal(variants(f, &at, (struct dot){5, 2}, &seen), 0);
    assert_int_equal(variants(f, &at, (struct dot){5, 10}, &seen), 0);
    assert_int_equal(variants(f, &at, (struct dot){5, 3}, &seen), 1);
    seen = server_read_log(f, &at);
    assert_true(seen.values == 7 + 2 && seen.acts == 1);
    server_check_usage(f, f->anna.account);
    /* A lie about it is put right by pushing it again: that one stays. */
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), 1);
    sweep(f, 10 * SPACES_REPLACED_MS, &swept);
    assert_int_equal(swept.entries, 0);
    assert_int_equal(variants(f, &at, (struct dot){5, 1}, &seen), 1);
    struct srv_stats stats = {0};
    assert_int_equal(srv_spaces_stats(f->spaces, &stats), 0);
    assert_true(stats.stored.entries == 11 && stats.stored.spaces == 1);
}

/* ---- quota and rate ---- */

static void quota_of_bytes_at_and_above(void **state)
{
    struct server_fixture *f = *state;
    struct srv_user u;
    struct buf b = {0};
    struct srv_at probe = server_at(1, 1, 1);
    struct server_entry e = {.dot = {5, 1}};
    server_entry(&probe, &e, &b);
    uint64_t entry = b.n;
    server_genesis(1, &b);
    uint64_t quota = b.n + entry + 5000 + 40;
    assert_int_equal(srv_user_add(f->accounts, "carl", quota, 4, 1, &u, NULL), 0);
    struct srv_at at = server_make_space(f, u.account, 1);
    assert_int_equal(server_push(f, &at, &e), 1);
    assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, 1, 5001 + 40), -EDQUOT);
    assert_non_null(strstr(f->err.msg, "quota of"));
    assert_int_equal(server_push_chunk(f, &at, 1, NULL, 0, 1, 5000 + 40), 1);
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("x"), f->now_ms, NULL, &f->err),
                     -EDQUOT);
    assert_int_equal(server_push_value(f, &at, 5, 2, 1), -EDQUOT);
    assert_int_equal(server_push_chunk(f, &at, 2, NULL, 0, 1, 5000), -EDQUOT);
    assert_int_equal(server_push(f, &at, &e), 0); /* what is there costs nothing */
    server_fixture_reopen(f);
    assert_int_equal(server_push_chunk(f, &at, 2, NULL, 0, 1, 5000), -EDQUOT);
    struct srv_usage use = {0};
    assert_int_equal(srv_spaces_usage(f->spaces, u.account, &use), 0);
    assert_true(use.bytes == quota && use.entries == 2 && use.chunks == 1 && use.spaces == 1);
    server_check_usage(f, u.account);
    /* Room again, when the chunk that nothing names is gone; nobody else was in the way. */
    struct srv_swept swept;
    sweep(f, SPACES_UNREFERENCED_MS, &swept);
    assert_int_equal(server_push_chunk(f, &at, 2, NULL, 0, 1, 5000 + 40), 1);
    server_make_space(f, f->anna.account, 1);
    buf_fini(&b);
}

static void quota_of_bytes_keeps_some_for_what_is_small(void **state)
{
    struct server_fixture *f = *state;
    struct srv_user u;
    struct srv_usage use = {0};
    unsigned n = 0;
    assert_int_equal(srv_user_add(f->accounts, "carl", SPACES_KEPT_FROM, 0, 1, &u, NULL), 0);
    struct srv_at at = server_make_space(f, u.account, 1);
    while (server_push_chunk(f, &at, n, NULL, 0, 1, 100000) == 1)
        n++;
    assert_non_null(strstr(f->err.msg, "quota of"));
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), 1);
    assert_int_equal(srv_spaces_usage(f->spaces, u.account, &use), 0);
    assert_true(use.bytes <= SPACES_KEPT_FROM - SPACES_KEPT_FROM / 64 + 1000 &&
                use.bytes > SPACES_KEPT_FROM - SPACES_KEPT_FROM / 64 - 200000);
}

static void quota_of_entries_at_and_above(void **state)
{
    struct server_fixture *f = *state;
    struct srv_user u;
    assert_int_equal(srv_user_add(f->accounts, "carl", 0, 4, 1, &u, NULL), 0);
    struct srv_at at = server_make_space(f, u.account, 1);
    struct server_entry e = {.kind = ENTRY_STATE, .dot = {5, 1}};
    assert_int_equal(server_push(f, &at, &e), 1);
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), 1);
    assert_int_equal(server_push_value(f, &at, 5, 2, 1), 1);
    assert_int_equal(server_push_value(f, &at, 5, 3, 1), -EDQUOT);
    assert_string_equal(f->err.msg, "the quota of 4 entries on the server is used up");
    assert_int_equal(server_push_value(f, &at, 5, 2, 2), -EDQUOT); /* variants count */
    e.dot.counter = 2;
    assert_int_equal(server_push(f, &at, &e), 1); /* in the place of the older one */
    struct buf act = {0};
    server_genesis(2, &act);
    struct srv_at next = server_at(u.account, 2, 1);
    assert_int_equal(srv_push_act(f->spaces, &next, buf_bytes(&act), f->now_ms, NULL, NULL),
                     -EDQUOT);
    assert_int_equal(srv_space_info(f->spaces, &next, &(struct srv_space_info){0}), -ENOENT);
    buf_fini(&act);
    server_fixture_reopen(f);
    assert_int_equal(server_push_value(f, &at, 5, 3, 1), -EDQUOT);
    server_check_usage(f, u.account);
}

static void rate_burst_then_mean(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    struct srv_at other = server_make_space(f, f->ben.account, 1);
    /* What is there already counts, too: it costs the server the same. */
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), 1);
    for (int i = 2; i < SPACES_BURST; i++)
        assert_int_equal(server_push_value(f, &at, 5, 1, 1), 0);
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), -EAGAIN);
    assert_non_null(strstr(f->err.msg, "in 5 ms"));
    assert_int_equal(srv_push_act(f->spaces, &at, bytes_str("x"), f->now_ms, NULL, NULL), -EAGAIN);
    assert_int_equal(srv_spaces_wait_ms(f->spaces, at.account, f->now_ms), 5);
    assert_int_equal(srv_spaces_wait_ms(f->spaces, other.account, f->now_ms), 0);
    assert_int_equal(server_push_value(f, &other, 5, 1, 1), 1);
    f->now_ms += 1000;
    for (int i = 0; i < SPACES_RATE_S; i++)
        assert_int_equal(server_push_value(f, &at, 5, 1, 1), 0);
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), -EAGAIN);
    f->now_ms -= 500000; /* the clock is set back */
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), -EAGAIN);
    f->now_ms += 5;
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), 0);
    f->now_ms += UINT64_C(1000000000); /* no more than a burst is saved up */
    for (int i = 0; i < SPACES_BURST; i++)
        assert_int_equal(server_push_value(f, &at, 5, 1, 1), 0);
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), -EAGAIN);
}

static void rate_that_was_set(void **state)
{
    struct server_fixture *f = *state;
    struct srv_at at = server_make_space(f, f->anna.account, 1);
    f->rate_s = 1500;
    server_fixture_reopen(f);
    while (server_push_value(f, &at, 5, 1, 1) >= 0)
        ;
    f->now_ms += 1000;
    for (int i = 0; i < 1500; i++)
        assert_true(server_push_value(f, &at, 5, 1, 1) >= 0);
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), -EAGAIN);
    assert_int_equal(srv_spaces_wait_ms(f->spaces, at.account, f->now_ms), 1);
}

/* Of an account that pushes meanwhile, up and down. */
static void quotas_that_change_hold_at_once(void **state)
{
    struct server_fixture *f = *state;
    struct srv_admin admin = {.accounts = f->accounts, .spaces = f->spaces};
    struct srv_user u;
    struct buf out = {0};
    assert_int_equal(srv_user_add(f->accounts, "carl", 0, 2, 1, &u, NULL), 0);
    struct srv_at at = server_make_space(f, u.account, 1);
    assert_int_equal(server_push_value(f, &at, 5, 1, 1), 1);
    assert_int_equal(server_push_value(f, &at, 5, 2, 1), -EDQUOT);
    assert_int_equal(srv_admin_user_quota(&admin, "carl", 0, 4, &out, &f->err), 0);
    assert_int_equal(out.n, 0);
    assert_int_equal(server_push_value(f, &at, 5, 2, 1), 1);
    assert_int_equal(srv_admin_user_quota(&admin, "carl", 1, 0, &out, &f->err), 0);
    assert_int_equal(server_push_value(f, &at, 5, 3, 1), -EDQUOT); /* it stores more already */
    server_fixture_reopen(f);
    assert_int_equal(server_push_value(f, &at, 5, 3, 1), -EDQUOT);
    admin = (struct srv_admin){.accounts = f->accounts, .spaces = f->spaces};
    assert_int_equal(srv_admin_user_quota(&admin, "carl", 1 << 20, 0, &out, &f->err), 0);
    assert_int_equal(server_push_value(f, &at, 5, 3, 1), 1);
    assert_int_equal(server_push_value(f, &at, 5, 4, 1), -EDQUOT); /* of entries: 4 */
    server_check_usage(f, u.account);
    buf_fini(&out);
}

int main(void)
{
#define CASE(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(space_begins_with_its_genesis),
        CASE(spaces_of_an_account_are_limited),
        CASE(log_is_read_by_cursor_and_survives),
        CASE(log_reader_that_stops_goes_on_there),
        CASE(push_tells_that_a_space_has_grown),
        CASE(entry_of_another_space_or_form_is_refused),
        CASE(variants_of_a_dot),
        CASE(state_newest_of_a_replica_and_device_is_kept),
        CASE(vector_and_dots),
        CASE(variants_of_a_chunk),
        CASE(chunks_that_nothing_names_are_dropped),
        CASE(entries_replaced_are_dropped_after_their_days),
        CASE(quota_of_bytes_at_and_above),
        CASE(quota_of_bytes_keeps_some_for_what_is_small),
        CASE(quota_of_entries_at_and_above),
        CASE(quotas_that_change_hold_at_once),
        CASE(rate_burst_then_mean),
        CASE(rate_that_was_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
