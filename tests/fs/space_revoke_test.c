/* Devices that are put out: whose changes count, who reads what, and under which key. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/peers.h"
#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "proto/sealed/chunk.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, CARL, DORA, EMIL, DEVICES };

static const char *const labels[] = {"anna", "bert", "carl", "dora", "emil"};

static struct sync_meet w;

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_NONE);
    sync_meet_open(&w, labels, DEVICES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sync_meet_close(&w);
    return 0;
}

static void save(size_t i, const char *path, const char *text)
{
    device_save_text(&w.d[i], path, text);
    assert_int_equal(publisher_flush(w.d[i].s), 0);
}

static void revoke(size_t by, size_t whom)
{
    assert_int_equal(peers_revoke(w.d[by].s, w.d[whom].member->pub.identity, ACT_REASON_LOST), 0);
    assert_int_equal(space_sync_settle(w.d[by].s), 0);
}

static const struct sync *sync_of(size_t i)
{
    return w.d[i].s->sync;
}

static bool is_member(size_t at, size_t who)
{
    return members_find(sync_of(at)->members, &sync_of(who)->id) != NULL;
}

static struct epoch_id epoch_of(size_t i)
{
    const struct epoch_keys *k = sync_epoch(w.d[i].s);
    assert_non_null(k);
    return k->id;
}

static void expect_same_epoch(size_t a, size_t b)
{
    struct epoch_id x = epoch_of(a), y = epoch_of(b);
    assert_int_equal(epoch_id_cmp(&x, &y), 0);
}

static bool has_key(size_t i, const struct epoch_id *id)
{
    return keyring_find(&w.d[i].s->keyring, id) != NULL;
}

static size_t offer(size_t a, size_t b)
{
    return sync_meet_offer(&w, a, b);
}

/* @n of them in @who give each other all, until nothing is new. */
static void meet(const size_t *who, size_t n)
{
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                if (i != j)
                    sync_meet_give(&w, who[i], who[j]);
}

static void adopt(size_t i)
{
    assert_int_equal(space_sync_adopt(w.d[i].s, UINT64_MAX), 0);
}

static void expect_equal(size_t a, size_t b)
{
    struct state_digest x, y;
    replica_digest(w.d[a].s->replica, &x);
    replica_digest(w.d[b].s->replica, &y);
    assert_memory_equal(&x, &y, sizeof x);
}

/* ---- one who is out ----------------------------------------------------------------------------
 */

static void who_is_out_gets_nothing_more_and_gives_nothing_more(void **state)
{
    (void)state;
    struct epoch_id before = epoch_of(ANNA);
    save(CARL, "early", "of carl\n");
    sync_meet_all(&w, DEVICES);
    revoke(ANNA, CARL);
    struct epoch_id now = epoch_of(ANNA);
    assert_int_not_equal(epoch_id_cmp(&before, &now), 0);
    sync_meet_give(&w, ANNA, BERT);
    expect_same_epoch(ANNA, BERT);
    assert_false(is_member(ANNA, CARL) || is_member(BERT, CARL));
    /* It has not heard of it: what it writes is void everywhere, by every way. */
    save(CARL, "late", "of carl\n");
    assert_true(offer(CARL, ANNA) > 0);
    assert_true(offer(CARL, BERT) > 0);
    save(ANNA, "after", "of anna\n");
    offer(ANNA, CARL);
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "after", "of anna\n");
    sync_meet_expect(&w.d[CARL], "after", NULL);
    sync_meet_expect(&w.d[CARL], "late", "of carl\n");
    assert_false(has_key(CARL, &now));
    for (size_t i = ANNA; i <= BERT; i++) {
        sync_meet_expect(&w.d[i], "early", "of carl\n");
        sync_meet_expect(&w.d[i], "late", NULL);
        assert_int_equal(replica_has_void(w.d[i].s->replica), 0);
    }
    expect_equal(ANNA, BERT);
}

static void who_is_out_knows_by_whom_and_signs_nothing(void **state)
{
    (void)state;
    char by[LIMIT_LABEL + 1];
    uint64_t ms = 0;
    assert_false(peers_is_out(w.d[CARL].s, by, &ms));
    revoke(ANNA, CARL);
    offer(ANNA, CARL);
    assert_true(peers_is_out(w.d[CARL].s, by, &ms));
    assert_string_equal(by, "anna");
    assert_true(ms > 0);
    save(CARL, "mine", "stays here\n");
    uint64_t last = space_sync_last(w.d[CARL].s);
    assert_int_equal(space_sync_collect(w.d[CARL].s), -ENOTCONN);
    assert_int_equal(space_sync_state(w.d[CARL].s), -ENOTCONN);
    assert_int_equal(space_sync_last(w.d[CARL].s), last);
    assert_false(space_sync_may_give(w.d[CARL].s));
    device_reopen(&w.d[CARL]);
    assert_true(peers_is_out(w.d[CARL].s, by, &ms));
    sync_meet_expect(&w.d[CARL], "mine", "stays here\n");
}

static void each_outcome_has_its_error(void **state)
{
    (void)state;
    const uint8_t nobody[SIGN_KEY_SIZE] = {7};
    const uint8_t *anna = w.d[ANNA].member->pub.identity, *carl = w.d[CARL].member->pub.identity;
    size_t acts = members_acts_n(sync_of(ANNA)->members);
    assert_int_equal(peers_revoke(w.d[ANNA].s, nobody, ACT_REASON_NONE), -ENOENT);
    assert_int_equal(peers_revoke(w.d[ANNA].s, anna, ACT_REASON_NONE), -EINVAL);
    assert_int_equal(members_acts_n(sync_of(ANNA)->members), acts);
    revoke(ANNA, CARL);
    acts = members_acts_n(sync_of(ANNA)->members);
    assert_int_equal(peers_revoke(w.d[ANNA].s, carl, ACT_REASON_NONE), -EALREADY);
    assert_int_equal(members_acts_n(sync_of(ANNA)->members), acts);
    offer(ANNA, CARL);
    assert_int_equal(peers_revoke(w.d[CARL].s, anna, ACT_REASON_NONE), -ENOTCONN);
    /* All others: it is alone then, and goes on. */
    revoke(ANNA, BERT);
    revoke(ANNA, DORA);
    revoke(ANNA, EMIL);
    assert_int_equal(members_n(sync_of(ANNA)->members), 1);
    save(ANNA, "alone", "x\n");
    assert_int_equal(space_sync_collect(w.d[ANNA].s), 0);
}

static void doors_close(void **state)
{
    (void)state;
    size_t doors = 0;
    revoke(ANNA, CARL);
    const struct members *m = sync_of(ANNA)->members;
    for (size_t i = 0; i < members_acts_n(m); i++) {
        const struct act *a = members_act(m, i);
        if (a->kind != ACT_DOOR)
            continue;
        doors++;
        assert_false(members_door_open(m, a->door));
    }
    assert_int_equal(doors, DEVICES - 1);
}

static void a_passphrase_that_waits_to_be_given_is_dropped_and_servers_are_to_be_told(void **state)
{
    (void)state;
    uint8_t identity[SIGN_KEY_SIZE];
    struct buf blob CLEANUP(buf_fini) = {0};
    struct sync_link links[] = {{.remote = 5, .url = "ws://a"}, {.remote = 6, .url = "ws://b"}};
    struct space *s = w.d[ANNA].s;
    for (size_t i = 0; i < ARRAY_N(links); i++)
        assert_int_equal(space_sync_set_link(s, &links[i]), 0);
    assert_int_equal(space_sync_set_blob(s, 5, bytes_of("\1door", 5)), 0);
    assert_int_equal(space_sync_set_blob(s, 6, bytes_of("\2grant", 6)), 0);
    uint64_t blobs = space_sync_blobs(s);
    assert_int_equal(peers_untold(s, 5, identity), 0);
    revoke(ANNA, CARL);
    assert_true(space_sync_blobs(s) > blobs);
    assert_int_equal(space_sync_get_blob(s, 5, &blob), -ENOENT);
    assert_int_equal(space_sync_get_blob(s, 6, &blob), 0);
    device_reopen(&w.d[ANNA]);
    s = w.d[ANNA].s;
    for (uint64_t remote = 5; remote <= 6; remote++) {
        assert_int_equal(peers_untold(s, remote, identity), 1);
        assert_memory_equal(identity, w.d[CARL].member->pub.identity, sizeof identity);
        assert_int_equal(peers_told(s, remote, identity), 0);
        assert_int_equal(peers_untold(s, remote, identity), 0);
    }
    assert_int_equal(peers_untold(s, 7, identity), 0);
}

/* ---- what it gave to those who had not heard ---------------------------------------------------
 */

static void what_others_had_taken_in_is_kept_and_a_delete_undone(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT, DORA, EMIL};
    save(ANNA, "victim", "is to stay\n");
    sync_meet_all(&w, DEVICES);
    save(CARL, "work", "two days of it\n");
    device_unlink(&w.d[CARL], "victim");
    sync_meet_give(&w, CARL, BERT);
    sync_meet_expect(&w.d[BERT], "victim", NULL);
    revoke(ANNA, CARL);
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++)
        adopt(rest[i]);
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        sync_meet_expect(&w.d[rest[i]], "work", "two days of it\n");
        sync_meet_expect(&w.d[rest[i]], "victim", "is to stay\n");
        assert_int_equal(replica_has_void(w.d[rest[i]].s->replica), 0);
        expect_equal(ANNA, rest[i]);
    }
}

static void what_came_to_who_had_not_heard_is_void_for_those_who_had(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT};
    revoke(ANNA, CARL);
    save(CARL, "late", "given to bert alone\n");
    sync_meet_give(&w, CARL, BERT);
    sync_meet_expect(&w.d[BERT], "late", "given to bert alone\n");
    assert_true(offer(BERT, ANNA) > 0); /* it is carl's */
    sync_meet_expect(&w.d[ANNA], "late", NULL);
    meet(rest, ARRAY_N(rest));
    adopt(BERT);
    meet(rest, ARRAY_N(rest));
    sync_meet_expect(&w.d[ANNA], "late", "given to bert alone\n"); /* it is bert's now */
    expect_equal(ANNA, BERT);
    assert_false(is_member(BERT, CARL));
}

/* A server that keeps the acts of a device to itself, and passes on its changes. */
static void offer_changes(size_t a, size_t b)
{
    struct arrival at = {.number = 0};
    sync_meet_sign(&w.d[a]);
    while (space_sync_next(w.d[a].s, at.number, b + 1, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        if (at.kind == ARRIVAL_ENTRY && space_sync_seal(w.d[a].s, &at, &bytes, &chunks) == 0)
            assert_true(space_sync_take_entry(w.d[b].s, a + 1, buf_bytes(&bytes)) >= 0);
    }
    assert_int_equal(space_sync_settle(w.d[b].s), 0);
}

static void a_revocation_that_is_hidden_is_heard_with_the_first_act(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT};
    revoke(ANNA, CARL);
    struct epoch_id now = epoch_of(ANNA);
    save(ANNA, "after", "under the new key\n");
    offer_changes(ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "after", NULL);
    assert_true(is_member(BERT, CARL) && !has_key(BERT, &now));
    meet(rest, ARRAY_N(rest));
    sync_meet_expect(&w.d[BERT], "after", "under the new key\n");
    assert_false(is_member(BERT, CARL));
    expect_same_epoch(ANNA, BERT);
    save(BERT, "then", "under it, too\n");
    offer(BERT, CARL);
    sync_meet_expect(&w.d[CARL], "then", NULL);
}

/* A member that says that nothing of an honest one counts. */
static void a_cut_of_nothing_loses_nothing(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT, DORA};
    struct buf raw CLEANUP(buf_fini) = {0};
    struct act a;
    save(CARL, "c", "of carl\n");
    sync_meet_all(&w, DEVICES);
    memset(&a, 0, sizeof a);
    a.kind = ACT_REVOKE;
    a.revoke.members = sync_of(CARL)->id.b;
    a.revoke.members_n = 1;
    hostile_act(&w.d[BERT], &a, &raw);
    assert_int_equal(space_sync_take_act(w.d[BERT].s, 9, buf_bytes(&raw)), SYNC_TAKEN);
    assert_int_equal(space_sync_settle(w.d[BERT].s), 0);
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++)
        adopt(rest[i]);
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        sync_meet_expect(&w.d[rest[i]], "c", "of carl\n");
        expect_equal(ANNA, rest[i]);
        expect_same_epoch(ANNA, rest[i]); /* the act brought none: one was made */
    }
    struct epoch_id now = epoch_of(ANNA);
    offer(BERT, CARL);
    offer(ANNA, CARL);
    assert_false(has_key(CARL, &now));
}

/* ---- several at once ---------------------------------------------------------------------------
 */

/* Who hears of whom first makes no difference. */
static void two_put_each_other_out(const size_t *first, const size_t *second)
{
    static const size_t rest[] = {CARL, DORA, EMIL};
    save(ANNA, "a", "of anna\n");
    sync_meet_all(&w, DEVICES);
    revoke(ANNA, BERT);
    revoke(BERT, ANNA);
    save(ANNA, "a2", "after it\n");
    offer(first[0], CARL);
    offer(first[1], CARL);
    offer(second[0], DORA);
    offer(second[1], DORA);
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        assert_false(is_member(rest[i], ANNA) || is_member(rest[i], BERT));
        assert_int_equal(members_n(sync_of(rest[i])->members), 3);
        expect_same_epoch(CARL, rest[i]);
        sync_meet_expect(&w.d[rest[i]], "a", "of anna\n");
    }
    struct epoch_id now = epoch_of(CARL);
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        offer(rest[i], ANNA);
        offer(rest[i], BERT);
    }
    assert_false(is_member(ANNA, ANNA) || is_member(BERT, BERT));
    assert_false(has_key(ANNA, &now) || has_key(BERT, &now));
    save(CARL, "c", "goes on\n");
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++)
        adopt(rest[i]);
    meet(rest, ARRAY_N(rest));
    sync_meet_expect(&w.d[EMIL], "c", "goes on\n");
    sync_meet_expect(&w.d[EMIL], "a2", "after it\n"); /* carl or dora had taken it in */
    expect_equal(CARL, EMIL);
    expect_equal(CARL, DORA);
}

static void who_put_each_other_out_are_both_out_the_same_way_round(void **state)
{
    (void)state;
    two_put_each_other_out((const size_t[]){ANNA, BERT}, (const size_t[]){ANNA, BERT});
}

static void who_put_each_other_out_are_both_out_either_way_round(void **state)
{
    (void)state;
    two_put_each_other_out((const size_t[]){ANNA, BERT}, (const size_t[]){BERT, ANNA});
}

static void a_ring_of_three_is_out(void **state)
{
    (void)state;
    static const size_t orders[][3] = {{ANNA, BERT, CARL}, {CARL, BERT, ANNA}};
    static const size_t rest[] = {DORA, EMIL};
    revoke(ANNA, BERT);
    revoke(BERT, CARL);
    revoke(CARL, ANNA);
    for (size_t i = 0; i < 3; i++) {
        offer(orders[0][i], DORA);
        offer(orders[1][i], EMIL);
    }
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++)
        assert_int_equal(members_n(sync_of(rest[i])->members), 2);
    expect_same_epoch(DORA, EMIL);
    struct epoch_id now = epoch_of(DORA);
    for (size_t i = ANNA; i <= CARL; i++) {
        offer(DORA, i);
        offer(EMIL, i);
        assert_false(has_key(i, &now));
    }
    save(DORA, "d", "goes on\n");
    meet(rest, ARRAY_N(rest));
    sync_meet_expect(&w.d[EMIL], "d", "goes on\n");
}

/* The key of each of two revocations at once is known to whom the other one puts out. */
static void two_that_are_put_out_at_once_read_nothing_together(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT, EMIL};
    save(ANNA, "queued", "before both\n");
    sync_meet_sign(&w.d[ANNA]);
    revoke(ANNA, CARL);
    revoke(BERT, DORA);
    struct epoch_id x = epoch_of(ANNA), y = epoch_of(BERT);
    offer(ANNA, DORA);
    offer(BERT, CARL);
    assert_true(has_key(DORA, &x) && has_key(CARL, &y));
    /* Only acts first: nobody has a key to seal with, before it is made. */
    sync_meet_give(&w, BERT, ANNA);
    struct epoch_id now = epoch_of(ANNA);
    assert_true(epoch_id_cmp(&now, &x) != 0 && epoch_id_cmp(&now, &y) != 0);
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        expect_same_epoch(ANNA, rest[i]);
        offer(rest[i], CARL);
        offer(rest[i], DORA);
    }
    now = epoch_of(ANNA);
    assert_false(has_key(CARL, &now) || has_key(DORA, &now));
    sync_meet_expect(&w.d[EMIL], "queued", "before both\n");
    save(ANNA, "new", "after both\n");
    meet(rest, ARRAY_N(rest));
    offer(ANNA, CARL);
    offer(ANNA, DORA);
    sync_meet_expect(&w.d[EMIL], "new", "after both\n");
    sync_meet_expect(&w.d[CARL], "new", NULL);
    sync_meet_expect(&w.d[DORA], "new", NULL);
}

static size_t count_epochs(size_t at)
{
    size_t n = 0;
    for (size_t i = 0; i < members_acts_n(sync_of(at)->members); i++)
        n += members_act(sync_of(at)->members, i)->kind == ACT_EPOCH;
    return n;
}

static void several_that_make_a_key_at_once_agree_and_stop(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT, EMIL};
    size_t before = count_epochs(ANNA);
    revoke(ANNA, CARL);
    revoke(BERT, DORA);
    /* Each hears the other's before it hears of any new key. */
    sync_meet_give(&w, ANNA, EMIL);
    sync_meet_give(&w, BERT, EMIL);
    sync_meet_give_entries(&w, BERT, ANNA);
    sync_meet_give_entries(&w, ANNA, BERT);
    for (int i = 0; i < 3; i++)
        meet(rest, ARRAY_N(rest));
    size_t made = count_epochs(ANNA) - before;
    assert_in_range(made, 1, ARRAY_N(rest));
    for (int i = 0; i < 3; i++)
        meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        assert_int_equal(count_epochs(rest[i]) - before, made);
        expect_same_epoch(ANNA, rest[i]);
    }
}

/* ---- keys that are not given -------------------------------------------------------------------
 */

/* A member gives a new key to all but one, or another key to one. */
static void give_false_key(size_t by, size_t victim, bool wrong)
{
    struct buf raw CLEANUP(buf_fini) = {0}, boxes CLEANUP(buf_fini) = {0};
    struct epoch_keys k, other;
    struct act a;
    uint8_t key[EPOCH_KEY_SIZE] = {9}, other_key[EPOCH_KEY_SIZE] = {8};
    assert_int_equal(epoch_keys_init(&k, key), 0);
    assert_int_equal(epoch_keys_init(&other, other_key), 0);
    other.id = k.id;
    const struct members *m = sync_of(by)->members;
    for (size_t i = 0; i < members_n(m); i++) {
        const struct member_now *to = members_at(m, i);
        bool is_victim = member_id_cmp(&to->id, &sync_of(victim)->id) == 0;
        uint8_t box[ACT_BOX_SIZE];
        if (is_victim && !wrong)
            continue;
        assert_int_equal(act_box_seal(is_victim ? &other : &k, members_space(m), &to->keys, box),
                         0);
        buf_put(&boxes, box, sizeof box);
    }
    memset(&a, 0, sizeof a);
    a.kind = ACT_EPOCH;
    a.epoch = (struct act_epoch){.id = k.id,
                                 .generation = members_next_generation(m),
                                 .boxes = boxes.p,
                                 .boxes_n = boxes.n / ACT_BOX_SIZE};
    hostile_act(&w.d[by], &a, &raw);
    assert_int_equal(space_sync_take_act(w.d[by].s, 9, buf_bytes(&raw)), SYNC_TAKEN);
}

static void expect_new_key_after_false_one(bool wrong)
{
    give_false_key(BERT, ANNA, wrong);
    struct epoch_id false_one = epoch_of(BERT);
    sync_meet_give(&w, BERT, ANNA);
    struct epoch_id now = epoch_of(ANNA);
    assert_int_not_equal(epoch_id_cmp(&now, &false_one), 0);
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++)
        expect_same_epoch(ANNA, i);
    save(BERT, "b", "read by all\n");
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++)
        sync_meet_expect(&w.d[i], "b", "read by all\n");
}

static void who_is_left_out_makes_a_new_key(void **state)
{
    (void)state;
    expect_new_key_after_false_one(false);
}

static void who_is_given_another_key_makes_a_new_one(void **state)
{
    (void)state;
    expect_new_key_after_false_one(true);
}

static void a_key_that_was_kept_and_never_given_out_is_not_used(void **state)
{
    (void)state;
    const uint8_t key[EPOCH_KEY_SIZE] = {5};
    const uint8_t name[CONTENT_ID_BYTES] = {1};
    struct err err = {0};
    struct chunk_id id, expected;
    struct space *s = w.d[ANNA].s;
    struct epoch_id before = epoch_of(ANNA);
    /* As after death between the file of keys and the database. */
    assert_int_equal(keyring_add(&s->keyring, key), 0);
    assert_int_equal(keyring_write(&s->keyring, s->dir_fd, &err), 0);
    device_reopen(&w.d[ANNA]);
    s = w.d[ANNA].s;
    assert_int_equal(s->keyring.epochs_n, 2);
    struct epoch_id now = epoch_of(ANNA);
    assert_int_equal(epoch_id_cmp(&before, &now), 0);
    assert_int_equal(space_sync_chunk_id(s, name, 0, &id), 0);
    expected = chunk_id_of(sync_epoch(s), name);
    assert_memory_equal(&id, &expected, sizeof id);
    assert_int_equal(space_sync_chunk_id(s, name, 1, &id), 0);
    assert_memory_not_equal(&id, &expected, sizeof id);
    assert_int_equal(space_sync_chunk_id(s, name, 2, &id), -ENOENT);
}

/* ---- what waited to be sent --------------------------------------------------------------------
 */

enum { BIG = 300 * 1024 };

static void save_big(size_t i, const char *path)
{
    uint8_t *p = malloc(BIG);
    assert_non_null(p);
    randombytes_buf(p, BIG);
    device_save(&w.d[i], path, p, BIG);
    free(p);
    sync_meet_sign(&w.d[i]);
}

/* All chunks of all own entries that are to be sent have ids of the epoch of now: how many. */
static size_t expect_chunks_of_now(size_t i, uint64_t after)
{
    struct arrival at;
    size_t n = 0;
    struct space *s = w.d[i].s;
    while (space_sync_next(s, after, 99, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        struct entry e;
        after = at.number;
        if (at.kind != ARRIVAL_ENTRY || at.dot.replica != replica_id(s->replica) ||
            space_sync_seal(s, &at, &bytes, &chunks) < 0)
            continue;
        struct epoch_id now = epoch_of(i);
        assert_int_equal(entry_parse_sealed(buf_bytes(&bytes), &e), 0);
        assert_int_equal(epoch_id_cmp(&e.epoch, &now), 0);
        for (size_t c = 0; c < chunks.n; c += sizeof(struct sync_chunk)) {
            struct sync_chunk one;
            memcpy(&one, chunks.p + c, sizeof one);
            assert_ptr_equal(sync_epoch_of_chunk(s, &one), sync_epoch(s));
            n++;
        }
    }
    return n;
}

static void content_that_waited_goes_out_under_the_new_key(void **state)
{
    (void)state;
    static const size_t rest[] = {ANNA, BERT};
    struct sync_remote at = {.pushed = 0};
    struct space *s = w.d[ANNA].s;
    save_big(ANNA, "sent");
    sync_meet_all(&w, DEVICES);
    at.pushed = space_sync_last(s);
    assert_int_equal(space_sync_put_remote(s, 5, &at), 0);
    save_big(ANNA, "waits");
    save(ANNA, "small", "waits, too\n");
    sync_meet_sign(&w.d[ANNA]);
    uint64_t counter = vv_get(replica_knowledge(s->replica), replica_id(s->replica));
    revoke(ANNA, CARL);
    sync_meet_sign(&w.d[ANNA]);
    /* Of two changes that waited, the one with chunks is another one now. */
    assert_int_equal(vv_get(replica_knowledge(s->replica), replica_id(s->replica)), counter + 1);
    assert_true(expect_chunks_of_now(ANNA, at.pushed) > 0);
    assert_int_equal(space_sync_settle(s), 0);
    assert_int_equal(vv_get(replica_knowledge(s->replica), replica_id(s->replica)), counter + 1);
    meet(rest, ARRAY_N(rest));
    sync_meet_expect(&w.d[BERT], "small", "waits, too\n");
    assert_int_not_equal(device_ino(&w.d[BERT], "waits"), 0);
    expect_equal(ANNA, BERT);
}

static void content_that_waited_is_published_anew_after_a_crash_too(void **state)
{
    (void)state;
    struct sync_remote at = {.pushed = space_sync_last(w.d[ANNA].s)};
    assert_int_equal(space_sync_put_remote(w.d[ANNA].s, 5, &at), 0);
    save_big(ANNA, "waits");
    assert_int_equal(peers_revoke(w.d[ANNA].s, w.d[CARL].member->pub.identity, ACT_REASON_NONE), 0);
    device_reopen(&w.d[ANNA]); /* before anything followed from the act */
    adopt(ANNA);
    sync_meet_sign(&w.d[ANNA]);
    assert_true(expect_chunks_of_now(ANNA, at.pushed) > 0);
}

/* ---- joining meanwhile -------------------------------------------------------------------------
 */

static void who_joins_with_a_passphrase_older_than_the_key_is_a_member_with_its_label(void **state)
{
    (void)state;
    char label[LIMIT_LABEL + 1];
    enum { FRED = DEVICES };
    static const size_t rest[] = {ANNA, BERT, FRED};
    device_join(&w.d[FRED], "fred", FRED + 1, &w.d[ANNA]);
    revoke(BERT, CARL); /* unseen: the door stays open */
    sync_meet_give(&w, ANNA, FRED);
    sync_meet_give(&w, BERT, FRED);
    assert_int_equal(space_sync_join(w.d[FRED].s), 1);
    assert_int_equal(space_sync_settle(w.d[FRED].s), 0);
    meet(rest, ARRAY_N(rest));
    expect_same_epoch(ANNA, FRED);
    save(ANNA, "a", "for all\n");
    save(FRED, "f", "for all\n");
    meet(rest, ARRAY_N(rest));
    for (size_t i = 0; i < ARRAY_N(rest); i++) {
        sync_meet_expect(&w.d[rest[i]], "a", "for all\n");
        sync_meet_expect(&w.d[rest[i]], "f", "for all\n");
        assert_true(sync_label_of_id(w.d[rest[i]].s, &sync_of(FRED)->id, label));
        assert_string_equal(label, "fred");
    }
}

static void who_is_let_in_again_is_a_member_again(void **state)
{
    (void)state;
    enum { AGAIN = DEVICES };
    static const size_t rest[] = {ANNA, BERT, AGAIN};
    save(CARL, "early", "of carl\n");
    sync_meet_all(&w, DEVICES);
    revoke(ANNA, CARL);
    save(CARL, "late", "never counts\n");
    device_join(&w.d[AGAIN], "carl", CARL + 1, &w.d[ANNA]); /* with the same keys */
    sync_meet_give(&w, ANNA, AGAIN);
    assert_int_equal(space_sync_join(w.d[AGAIN].s), 1);
    meet(rest, ARRAY_N(rest));
    assert_true(is_member(BERT, CARL));
    offer(CARL, BERT);
    save(AGAIN, "new", "of carl again\n");
    meet(rest, ARRAY_N(rest));
    sync_meet_expect(&w.d[BERT], "new", "of carl again\n");
    sync_meet_expect(&w.d[AGAIN], "early", "of carl\n");
    sync_meet_expect(&w.d[BERT], "late", NULL);
    expect_equal(ANNA, AGAIN);
    expect_equal(ANNA, BERT);
}

/* ---- the list ----------------------------------------------------------------------------------
 */

static struct peer peer_at(size_t at, size_t who)
{
    struct buf all CLEANUP(buf_fini) = {0};
    struct peer p;
    assert_int_equal(peers_list(w.d[at].s, &all), 0);
    assert_int_equal(all.n, DEVICES * sizeof p);
    for (size_t i = 0; i < DEVICES; i++) {
        memcpy(&p, all.p + i * sizeof p, sizeof p);
        if (member_id_cmp(&p.id, &sync_of(who)->id) == 0)
            return p;
    }
    fail_msg("device %zu is not listed", who);
    return p;
}

static void the_list_says_who_is_who(void **state)
{
    (void)state;
    struct peer p = peer_at(ANNA, ANNA);
    assert_true(p.is_this && p.is_member && p.is_first && p.since_ms > 0);
    assert_string_equal(p.label, "anna");
    p = peer_at(ANNA, BERT);
    assert_true(p.is_member && p.by_door && !p.is_first && p.seen_ms == 0);
    assert_string_equal(p.by, "anna");
    assert_int_equal(space_sync_state(w.d[BERT].s), 1);
    sync_meet_give(&w, BERT, ANNA);
    p = peer_at(ANNA, BERT);
    assert_true(p.seen_ms > 0 && p.is_equal && p.behind == 0);
    save(ANNA, "1", "x");
    save(ANNA, "2", "x");
    p = peer_at(ANNA, BERT);
    assert_false(p.is_equal);
    assert_int_equal(p.behind, 2);
    revoke(ANNA, CARL);
    p = peer_at(ANNA, CARL);
    assert_false(p.is_member);
    assert_string_equal(p.label, "carl");
    assert_string_equal(p.out_by, "anna");
    assert_true(p.out_ms > 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(who_is_out_gets_nothing_more_and_gives_nothing_more),
        TEST(who_is_out_knows_by_whom_and_signs_nothing),
        TEST(each_outcome_has_its_error),
        TEST(doors_close),
        TEST(a_passphrase_that_waits_to_be_given_is_dropped_and_servers_are_to_be_told),
        TEST(what_others_had_taken_in_is_kept_and_a_delete_undone),
        TEST(what_came_to_who_had_not_heard_is_void_for_those_who_had),
        TEST(a_revocation_that_is_hidden_is_heard_with_the_first_act),
        TEST(a_cut_of_nothing_loses_nothing),
        TEST(who_put_each_other_out_are_both_out_the_same_way_round),
        TEST(who_put_each_other_out_are_both_out_either_way_round),
        TEST(a_ring_of_three_is_out),
        TEST(two_that_are_put_out_at_once_read_nothing_together),
        TEST(several_that_make_a_key_at_once_agree_and_stop),
        TEST(who_is_left_out_makes_a_new_key),
        TEST(who_is_given_another_key_makes_a_new_one),
        TEST(a_key_that_was_kept_and_never_given_out_is_not_used),
        TEST(content_that_waited_goes_out_under_the_new_key),
        TEST(content_that_waited_is_published_anew_after_a_crash_too),
        TEST(who_joins_with_a_passphrase_older_than_the_key_is_a_member_with_its_label),
        TEST(who_is_let_in_again_is_a_member_again),
        TEST(the_list_says_who_is_who),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
