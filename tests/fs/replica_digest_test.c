/*
 * What a replica says of itself: the digest of what it holds, the highest counters that it applied,
 * the head hashes of what was signed, and what it learns of others' gaps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "fs/replica/check.h"
#include "tests/support/replica_world.h"

#define DO(call) assert_int_equal(call, 0)

static int setup(void **state)
{
    *state = world_new(3);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static struct state_digest digest(struct world *w, int i)
{
    struct state_digest d;
    world_check_digest(w, i);
    replica_digest(w->d[i].r, &d);
    return d;
}

static bool same(struct state_digest a, struct state_digest b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static const struct state_digest none;

static void digest_is_of_what_is_signed_and_alive(void **state)
{
    struct world *w = *state;
    DO(world_create(w, 0, "/f", "x"));
    assert_true(same(digest(w, 0), none));
    world_sign(w, 0);
    struct state_digest one = digest(w, 0);
    assert_false(same(one, none));
    DO(world_edit(w, 0, "/f", "y")); /* not signed: what it replaced is out */
    struct state_digest two = digest(w, 0);
    assert_false(same(two, one));
    world_sign(w, 0);
    assert_false(same(digest(w, 0), two));
    struct state_digest three = digest(w, 0);
    DO(world_create(w, 0, "/g", "x"));
    world_sign(w, 0);
    assert_false(same(digest(w, 0), three));
    DO(world_rm(w, 0, "/g"));
    world_sign(w, 0);
    assert_true(same(digest(w, 0), three));
    DO(world_rm(w, 0, "/f"));
    assert_true(same(digest(w, 0), none));
}

static void what_was_withheld_shows_in_the_digest(void **state)
{
    struct world *w = *state;
    DO(world_create(w, 0, "/f", "x"));
    DO(world_create(w, 0, "/g", "x"));
    world_pull(w, 1, 0, 1);
    assert_false(world_same_digest(w, 0, 1));
    world_pull(w, 1, 0, -1);
    assert_true(world_same_digest(w, 0, 1));
    DO(world_edit(w, 0, "/f", "y"));
    DO(world_rm(w, 0, "/g"));
    world_pull(w, 1, 0, 1); /* the edit */
    assert_false(world_same_digest(w, 0, 1));
    world_pull(w, 1, 0, -1);
    assert_true(world_same_digest(w, 0, 1));
}

static void what_is_undone_leaves_the_digest(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct replica_entry e;
    struct value_content c;
    struct dot first = {0, 0};
    DO(world_create(w, 0, "/f", "x"));
    DO(world_create(w, 0, "/g", "x"));
    world_sign(w, 0);
    struct state_digest before = digest(w, 0), now;
    DO(world_find(w, 0, "/f", &e));
    world_content(w, 0, "y", &c);
    struct change *ch = replica_begin(d->r, d->batch);
    DO(change_edit(ch, &e.rid, &c, NULL));
    replica_digest(d->r, &now);
    assert_false(same(now, before));
    replica_cancel(ch);
    assert_true(same(digest(w, 0), before));
    /* Of two in a batch only the second; then the whole batch. */
    ch = replica_begin(d->r, d->batch);
    DO(change_edit(ch, &e.rid, &c, NULL));
    DO(replica_commit(ch, NULL));
    struct state_digest edited;
    replica_digest(d->r, &edited);
    ch = replica_begin(d->r, d->batch);
    DO(change_unlink(ch, &e.rid, &first));
    replica_cancel(ch);
    replica_digest(d->r, &now);
    assert_true(same(now, edited));
    replica_abort(d->r);
    db_batch_clear(d->batch);
    assert_true(same(digest(w, 0), before));
    assert_int_equal(vv_get(replica_applied(d->r), 1), 2);
}

static void clean_up_on_one_device_leaves_the_digests_equal(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    DO(world_create(w, 0, "/f", "x"));
    DO(world_ln(w, 0, "/f", "/g"));
    DO(world_create(w, 0, "/h", "x"));
    world_meet(w);
    DO(world_rm(w, 0, "/g"));
    DO(world_rm(w, 0, "/f"));
    world_meet(w);
    struct state_digest before = digest(w, 0);
    struct replica_ack acks[] = {{2, replica_knowledge(w->d[1].r)},
                                 {3, replica_knowledge(w->d[2].r)}};
    DO(replica_raise_floor(d->r, d->batch, acks, 2));
    assert_int_equal(replica_clean(d->r, d->batch, 100), 1);
    world_write(w, 0);
    assert_true(same(digest(w, 0), before));
    /* The same record anew: of its second name the others still hold that it was deleted. */
    DO(world_create(w, 0, "/f", "y"));
    world_meet(w);
    assert_false(same(digest(w, 0), before));
    DO(world_ln(w, 1, "/f", "/i"));
    world_meet(w);
}

static void head_hash_may_come_after_the_change(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[1];
    struct dot dot = {1, 1};
    CLEANUP(buf_fini) struct buf b = {0};
    DO(world_create(w, 0, "/f", "x"));
    DO(replica_change_get(w->d[0].r, &dot, &b));
    world_sign(w, 0);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), 1);
    world_write(w, 1);
    assert_true(same(digest(w, 1), none));
    const uint8_t *head = world_head(w, &dot);
    assert_non_null(head);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), head), 1);
    world_write(w, 1);
    assert_true(world_same_digest(w, 0, 1));
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), head), 0);
    /* Known, and without one: so it is with own changes on a disk that went back in time. */
    DO(replica_know(w->d[2].r, w->d[2].batch, replica_knowledge(w->d[0].r)));
    world_write(w, 2);
    assert_int_equal(replica_apply(w->d[2].r, w->d[2].batch, buf_bytes(&b), head), 0);
}

static void log_rows_tell_the_head_hash(void **state)
{
    struct world *w = *state;
    struct replica_entry e;
    struct dot dot = {1, 1};
    uint8_t key[DOT_SIZE + RID_SIZE];
    DO(world_create(w, 0, "/f", "x"));
    DO(world_find(w, 0, "/f", &e));
    dot_encode(&dot, key);
    memcpy(key + DOT_SIZE, e.rid.b, RID_SIZE);
    struct db_value v = {0};
    DO(db_get(w->d[0].db, DB_LOG, bytes_of(key, sizeof key), &v));
    assert_int_equal(v.v.n, 0);
    db_value_fini(&v);
    world_pull(w, 1, 0, -1);
    for (int i = 0; i < 2; i++) {
        DO(db_get(w->d[i].db, DB_LOG, bytes_of(key, sizeof key), &v));
        assert_true(bytes_equal(v.v, bytes_of(world_head(w, &dot), HASH_SIZE)));
        db_value_fini(&v);
    }
    DO(world_edit(w, 0, "/f", "y"));
    DO(world_chmod(w, 0, "/f", 0600));
    DO(world_mv(w, 0, "/f", "/g"));
    assert_int_equal(db_get(w->d[0].db, DB_LOG, bytes_of(key, sizeof key), &v), -ENOENT);
    struct replica_head head = {.dot = dot};
    const uint8_t *hash = world_head(w, &dot);
    assert_non_null(hash);
    memcpy(head.hash, hash, HASH_SIZE);
    DO(replica_signed(w->d[0].r, w->d[0].batch, &head, 1));
    assert_int_equal(db_batch_n(w->d[0].batch), 0);
}

static void applied_counts_what_was_superseded_before_it_came(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[1];
    CLEANUP(buf_fini) struct buf old = {0};
    CLEANUP(buf_fini) struct buf new = {0};
    DO(world_create(w, 0, "/f", "x"));
    DO(world_edit(w, 0, "/f", "y"));
    DO(replica_change_get(w->d[0].r, &(struct dot){1, 2}, &old));
    world_meet(w);
    DO(world_edit(w, 2, "/f", "z"));
    DO(replica_change_get(w->d[2].r, &(struct dot){3, 1}, &new));
    world_free(w);
    *state = w = world_new(3);
    d = &w->d[1];
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&new), NULL), 1);
    world_write(w, 1);
    assert_int_equal(vv_get(replica_applied(d->r), 3), 1);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&old), NULL), 1);
    replica_abort(d->r);
    db_batch_clear(d->batch);
    assert_int_equal(vv_get(replica_applied(d->r), 1), 0);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&old), NULL), 1);
    world_write(w, 1);
    assert_int_equal(vv_get(replica_applied(d->r), 1), 2);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&old), NULL), 0);
    world_reopen(w, 1);
    assert_int_equal(vv_get(replica_applied(d->r), 1), 2);
    assert_int_equal(vv_get(replica_knowledge(d->r), 1), 0);
}

/* Makes a file of its own. */
static void change_of(struct world *w, uint64_t id, struct buf *ret)
{
    struct rid root = RID_ROOT;
    struct value v = {
        .facet = FACET_CONTENT, .dot = {id, 1}, .stamp = {UINT64_C(5) << 40, id}, .from_own = true};
    CLEANUP(buf_fini) struct buf one = {0};
    v.rid = hash_rid(replica_keys(w->d[0].r), KIND_FILE, &root, bytes_str("f"), id);
    world_content(w, 0, "text", &v.content);
    buf_reset(ret);
    value_change_begin(ret, &v.dot, 1);
    value_encode(&v, VALUE_WIRE, &one);
    buf_put_string(ret, buf_bytes(&one));
}

static void applied_has_a_bound(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    CLEANUP(buf_fini) struct buf b = {0};
    w->unchecked = true;
    for (uint64_t id = 100; id < 100 + LIMIT_VECTOR; id++) {
        change_of(w, id, &b);
        assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), 1);
    }
    change_of(w, 9999, &b);
    assert_int_equal(replica_apply(d->r, d->batch, buf_bytes(&b), NULL), -E2BIG);
    assert_int_equal(replica_applied(d->r)->n, LIMIT_VECTOR);
    world_write(w, 0);
    world_reopen(w, 0);
    assert_int_equal(replica_applied(d->r)->n, LIMIT_VECTOR);
}

static void knowledge_advances_over_a_gap_that_its_author_tells(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[1];
    struct dot dot = {1, 9};
    DO(world_create(w, 0, "/f", "x"));
    DO(world_edit(w, 0, "/f", "y"));
    world_pull(w, 1, 0, -1);
    assert_int_equal(replica_know_dot(d->r, d->batch, &dot, 3), 0); /* 3 is not known */
    assert_int_equal(replica_know_dot(d->r, d->batch, &(struct dot){1, 2}, 1), 0);
    assert_int_equal(db_batch_n(d->batch), 0);
    assert_int_equal(replica_know_dot(d->r, d->batch, &dot, 2), 1);
    world_write(w, 1);
    assert_int_equal(vv_get(replica_knowledge(d->r), 1), 9);
    assert_int_equal(vv_get(replica_applied(d->r), 1), 9);
    assert_int_equal(replica_know_dot(d->r, d->batch, &(struct dot){7, 3}, 0), 1);
    replica_abort(d->r);
    db_batch_clear(d->batch);
    assert_int_equal(vv_get(replica_knowledge(d->r), 7), 0);
    assert_int_equal(vv_get(replica_applied(d->r), 7), 0);
}

static void state_survives_reopening_and_a_new_id(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    DO(world_create(w, 0, "/f", "one"));
    world_meet(w);
    DO(world_edit(w, 0, "/f", "two"));
    DO(world_create(w, 0, "/g", "three"));
    world_sign(w, 0);
    struct state_digest before = digest(w, 0);
    world_reopen(w, 0);
    assert_true(same(digest(w, 0), before));
    assert_int_equal(vv_get(replica_applied(d->r), 1), 3);
    DO(replica_renew(d->r, d->batch, 11, 1));
    world_write(w, 0);
    assert_false(same(digest(w, 0), before)); /* what was written anew is not signed */
    assert_int_equal(vv_get(replica_applied(d->r), 1), 1);
    assert_int_equal(vv_get(replica_applied(d->r), 11), 2);
    d->id = 11;
    d->signed_to = 0;
    world_meet(w);
    assert_true(vv_equal(replica_applied(d->r), replica_applied(w->d[2].r)));
}

static void wrong_digest_is_counted_anew(void **state)
{
    struct world *w = *state;
    struct device *d = &w->d[0];
    struct db_value row = {0};
    uint8_t wrong[512];
    DO(world_create(w, 0, "/f", "x"));
    world_sign(w, 0);
    struct state_digest right = digest(w, 0), now, anew;
    DO(db_get(d->db, DB_META, bytes_str("replica"), &row));
    assert_true(row.v.n < sizeof wrong);
    memcpy(wrong, row.v.p, row.v.n);
    wrong[row.v.n - 1] ^= 1;
    db_batch_put(d->batch, DB_META, bytes_str("replica"), bytes_of(wrong, row.v.n));
    DO(db_write(d->db, d->batch, false));
    db_value_fini(&row);
    world_reopen(w, 0);
    replica_digest(d->r, &now);
    assert_false(same(now, right));
    DO(replica_digest_recount(d->r, &anew));
    assert_true(same(anew, right));
    DO(replica_digest_repair(d->r, d->batch));
    DO(world_write(w, 0));
    world_reopen(w, 0);
    assert_true(same(digest(w, 0), right));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(digest_is_of_what_is_signed_and_alive),
        TEST(what_was_withheld_shows_in_the_digest),
        TEST(what_is_undone_leaves_the_digest),
        TEST(clean_up_on_one_device_leaves_the_digests_equal),
        TEST(head_hash_may_come_after_the_change),
        TEST(log_rows_tell_the_head_hash),
        TEST(applied_counts_what_was_superseded_before_it_came),
        TEST(applied_has_a_bound),
        TEST(knowledge_advances_over_a_gap_that_its_author_tells),
        TEST(state_survives_reopening_and_a_new_id),
        TEST(wrong_digest_is_counted_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
