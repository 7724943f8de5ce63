/*
 * A member that signs what it likes, against the spaces of honest ones: attacks 10 to 14, 27, 28
 * and 33 of the list in proto/sealed/README.md.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "fs/space/versions.h"
#include "proto/base/log.h"
#include "tests/support/hostile_member.h"
#include "tests/support/sync_meet.h"

enum { ANNA, MALLORY, BERT, DEVICES, HOSTILE_REMOTE = 99 };

static const char *const labels[DEVICES] = {"anna", "mallory", "bert"};

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

static struct device *mallory(void)
{
    return &w.d[MALLORY];
}

static uint64_t replica_of(size_t i)
{
    return replica_id(w.d[i].s->replica);
}

/* Gives it to one device; and to all that are honest, who must agree. */
static int tell(size_t to, const struct buf *sealed)
{
    int rc = space_sync_take_entry(w.d[to].s, HOSTILE_REMOTE, buf_bytes(sealed));
    assert_int_equal(space_sync_settle(w.d[to].s), 0);
    return rc;
}

static int tell_all(const struct buf *sealed)
{
    int rc = tell(ANNA, sealed);
    assert_int_equal(tell(BERT, sealed), rc);
    return rc;
}

static int tell_act(size_t to, const struct buf *act)
{
    return space_sync_take_act(w.d[to].s, HOSTILE_REMOTE, buf_bytes(act));
}

/* A file by @dot, signed as @x says, its change filled in. */
static void seal_file(struct hostile_entry *x, struct hostile_file *f, struct buf *ret)
{
    struct buf change CLEANUP(buf_fini) = {0};
    hostile_change(mallory(), &x->dot, f, 1, &change);
    x->plain = buf_bytes(&change);
    hostile_entry_seal(mallory(), x, ret);
}

static struct hostile_file file_of(const char *name, const char *text)
{
    return (struct hostile_file){.kind = KIND_FILE,
                                 .name = name,
                                 .name_n = strlen(name),
                                 .content = bytes_str(text),
                                 .stamp = tidy_now_ms() << 16};
}

static void save(size_t i, const char *path, const char *text)
{
    device_save_text(&w.d[i], path, text);
    assert_int_equal(publisher_flush(w.d[i].s), 0);
}

/* ---- attack 10 ---------------------------------------------------------------------------------
 */

static void a_change_in_anothers_name_is_refused(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct hostile_file f = file_of("forged", "in anna's name");
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    uint64_t last = vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA));
    struct hostile_entry x = {.dot = {replica_of(ANNA), last + 1}};
    seal_file(&x, &f, &sealed);
    assert_int_equal(tell_all(&sealed), SYNC_REFUSED);
    /* It takes nobody's place: the true one of that number is taken. */
    save(ANNA, "b", "the true one");
    sync_meet_all(&w, DEVICES);
    sync_meet_expect(&w.d[BERT], "b", "the true one");
    sync_meet_expect(&w.d[BERT], "forged", NULL);
    sync_meet_expect_equal(&w, DEVICES);
}

static void anothers_replica_is_not_registered(void **state)
{
    (void)state;
    struct buf act CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct act a;
    memset(&a, 0, sizeof a);
    a.kind = ACT_OWN;
    a.replica = replica_of(ANNA);
    memcpy(a.random, w.d[ANNA].s->sync->random, REPLICA_RANDOM_SIZE);
    hostile_act(mallory(), &a, &act);
    assert_int_equal(tell_act(ANNA, &act), SYNC_REFUSED);
    assert_int_equal(tell_act(BERT, &act), SYNC_REFUSED);
    /* Nor one that nobody drew: the id has to be that of its key and its random. */
    a.replica = 7;
    hostile_act(mallory(), &a, &act);
    assert_int_equal(tell_act(BERT, &act), SYNC_REFUSED);
    struct hostile_file f = file_of("forged", "x");
    struct hostile_entry x = {.dot = {7, 1}};
    seal_file(&x, &f, &sealed);
    assert_int_equal(tell_all(&sealed), SYNC_REFUSED);
}

static void a_forged_change_that_waits_takes_nobodys_place(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    uint8_t unknown[ACT_ID_SIZE];
    memset(unknown, 0x5a, sizeof unknown);
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    struct dot next = hostile_next_dot(&w.d[ANNA]);
    /* Who names acts that nobody has is asked to wait, before there is a key to verify with. */
    for (unsigned i = 0; i < 3; i++) {
        struct hostile_file f = file_of("forged", "in anna's name");
        struct hostile_entry x = {.dot = {next.replica, next.counter + i}, .acts = {unknown, 1}};
        seal_file(&x, &f, &sealed);
        assert_int_equal(tell(BERT, &sealed), SYNC_WAITS);
    }
    device_reopen(&w.d[BERT]);
    save(ANNA, "b", "the true one");
    save(ANNA, "c", "the next true one");
    sync_meet_all(&w, DEVICES);
    sync_meet_expect(&w.d[BERT], "b", "the true one");
    sync_meet_expect(&w.d[BERT], "c", "the next true one");
    sync_meet_expect(&w.d[BERT], "forged", NULL);
    sync_meet_expect_equal(&w, DEVICES);
}

/* ---- attack 11 ---------------------------------------------------------------------------------
 */

/* Mallory's content of anna's file "a" that has seen @counter of anna's changes. */
static void seal_claim(uint64_t counter, struct buf *ret)
{
    struct attr a;
    uint8_t own[DOT_SIZE];
    uint64_t ino = device_ino(mallory(), "a");
    assert_int_equal(tree_getattr(mallory()->s->tree, ino, &a), 0);
    dot_encode(&(struct dot){replica_of(ANNA), counter}, own);
    struct hostile_file f = file_of("a", "mallory's");
    f.rid = bind_rid(&a);
    f.content_only = true;
    f.content_ctx = (struct dots){own, 1};
    struct hostile_entry x = {.dot = hostile_next_dot(mallory())};
    x.after = x.dot.counter - 1;
    seal_file(&x, &f, ret);
}

static void a_vector_of_anothers_future_waits_and_swallows_nothing(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    char text[32];
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    uint64_t last = vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA));
    seal_claim(last + 1000, &sealed);
    assert_int_equal(tell_all(&sealed), SYNC_WAITS);
    assert_int_equal(tell_all(&sealed), SYNC_KNOWN);
    for (unsigned i = 1; i < 1000; i++) {
        snprintf(text, sizeof text, "edit %u", i);
        save(ANNA, "a", text);
        if (i % 250 == 0) {
            device_reopen(&w.d[BERT]);
            sync_meet_give(&w, ANNA, BERT);
            sync_meet_expect(&w.d[BERT], "a", text);
            sync_meet_expect(&w.d[ANNA], "a", text);
        }
    }
    /* One is missing: it has waited all the time. */
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "a", "edit 999");
    assert_true(vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA)) >= last + 999);
    /* With the thousandth what it claims is true: then it counts, and for all alike. */
    save(ANNA, "a", "edit 1000");
    sync_meet_all(&w, DEVICES);
    sync_meet_expect_equal(&w, DEVICES);
    sync_meet_expect(&w.d[BERT], "a", "mallory's");
}

static void a_forged_counter_that_waits_backs_no_vector(void **state)
{
    (void)state;
    struct buf forged CLEANUP(buf_fini) = {0}, claim CLEANUP(buf_fini) = {0};
    uint8_t unknown[ACT_ID_SIZE];
    memset(unknown, 0x5a, sizeof unknown);
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    uint64_t last = vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA));
    struct hostile_file f = file_of("forged", "in anna's name");
    struct hostile_entry x = {.dot = {replica_of(ANNA), last + 1000}, .acts = {unknown, 1}};
    seal_file(&x, &f, &forged);
    seal_claim(last + 1000, &claim);
    assert_int_equal(tell(BERT, &forged), SYNC_WAITS);
    assert_int_equal(tell(BERT, &claim), SYNC_WAITS);
    device_reopen(&w.d[BERT]);
    assert_int_equal(space_sync_settle(w.d[BERT].s), 0);
    sync_meet_expect(&w.d[BERT], "a", "anna's");
    save(ANNA, "a", "anna's next");
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "a", "anna's next");
}

/* ---- what waits is bounded ---------------------------------------------------------------------
 */

enum { WAITING_MAX = 10000 };

/* A change that waits for acts which nobody has. */
static void seal_waiting(struct hostile_entry *x, struct buf *ret)
{
    static uint8_t unknown[ACT_ID_SIZE] = {0x5a};
    struct hostile_file f = file_of("waits", "x");
    x->acts = (struct act_ids){unknown, 1};
    seal_file(x, &f, ret);
}

static void a_flood_of_what_has_to_wait_is_bounded(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0}, claim CLEANUP(buf_fini) = {0};
    static const uint8_t key[EPOCH_KEY_SIZE] = {9};
    struct epoch_keys other;
    struct sync_counts c;
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    assert_int_equal(epoch_keys_init(&other, key), 0);
    struct hostile_entry x = {.dot = {replica_of(ANNA), 1000}};
    struct hostile_entry locked = {.dot = {replica_of(ANNA), 1000}, .epoch = &other};
    for (unsigned i = 0; i < WAITING_MAX + 5; i++) {
        int due = i < WAITING_MAX ? SYNC_WAITS : SYNC_REFUSED;
        x.dot.counter++;
        seal_waiting(&x, &sealed);
        assert_int_equal(space_sync_take_entry(w.d[BERT].s, HOSTILE_REMOTE, buf_bytes(&sealed)),
                         due);
        seal_waiting(&locked, &sealed);
        assert_int_equal(space_sync_take_entry(w.d[BERT].s, HOSTILE_REMOTE, buf_bytes(&sealed)),
                         due);
    }
    device_reopen(&w.d[BERT]);
    space_sync_counts(w.d[BERT].s, &c);
    assert_int_equal(c.waiting, 2 * WAITING_MAX);
    x.dot.counter++;
    seal_waiting(&x, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_REFUSED);
    /* What waits of a known author has its own room, and is found among all that. */
    uint64_t last = vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA));
    seal_claim(last + 1, &claim);
    assert_int_equal(tell(BERT, &claim), SYNC_WAITS);
    save(ANNA, "b", "anna's next");
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "b", "anna's next");
    sync_meet_expect(&w.d[BERT], "a", "mallory's");
    epoch_keys_fini(&other);
}

static void what_no_key_is_known_for_stops_no_state(void **state)
{
    (void)state;
    static const uint8_t key[EPOCH_KEY_SIZE] = {9};
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct epoch_keys other;
    struct arrival at;
    save(ANNA, "a", "one");
    sync_meet_all(&w, DEVICES);
    assert_int_equal(epoch_keys_init(&other, key), 0);
    struct hostile_entry x = {.dot = {replica_of(ANNA), 1000}, .epoch = &other};
    seal_waiting(&x, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_WAITS);
    epoch_keys_fini(&other);
    /* A change that was superseded never comes; the gap that it leaves, a STATE closes. */
    save(ANNA, "a", "two");
    sync_meet_sign(&w.d[ANNA]);
    save(ANNA, "a", "three");
    sync_meet_sign(&w.d[ANNA]);
    assert_int_equal(space_sync_next(w.d[ANNA].s, w.done[ANNA][BERT], BERT + 1, &at), 1);
    w.done[ANNA][BERT] = at.number;
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "a", "three");
    assert_false(vv_covers(replica_knowledge(w.d[BERT].s->replica),
                           replica_knowledge(w.d[ANNA].s->replica)));
    assert_int_equal(space_sync_state(w.d[ANNA].s), 1);
    sync_meet_give(&w, ANNA, BERT);
    assert_true(vv_covers(replica_knowledge(w.d[BERT].s->replica),
                          replica_knowledge(w.d[ANNA].s->replica)));
}

/* ---- attack 12 ---------------------------------------------------------------------------------
 */

/* Writes @to in place of each dot @from in @change. */
static void replace_dots(struct buf *change, const struct dot *from, const struct dot *to)
{
    uint8_t old[DOT_SIZE], *at = change->p;
    dot_encode(from, old);
    while ((at = memmem(at, change->n - (size_t)(at - change->p), old, DOT_SIZE)) != NULL)
        dot_encode(to, at);
}

static void counters_beyond_their_range_are_refused(void **state)
{
    (void)state;
    static const uint64_t counters[] = {0, LIMIT_COUNTER + 1, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_N(counters); i++) {
        struct buf sealed CLEANUP(buf_fini) = {0}, change CLEANUP(buf_fini) = {0};
        struct hostile_file f = file_of("forged", "x");
        struct hostile_entry x = {.dot = {replica_of(MALLORY), 1}};
        const struct dot bad = {x.dot.replica, counters[i]};
        hostile_change(mallory(), &x.dot, &f, 1, &change);
        replace_dots(&change, &x.dot, &bad);
        x.dot = bad;
        x.plain = buf_bytes(&change);
        hostile_entry_seal(mallory(), &x, &sealed);
        assert_int_equal(tell_all(&sealed), SYNC_REFUSED);
    }
    sync_meet_expect(&w.d[BERT], "forged", NULL);
}

static void a_stamp_in_the_year_9999_wins_ties_and_moves_no_clock(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    const uint64_t year_9999 = UINT64_C(253370764800000) << 16;
    struct replica_info info;
    struct attr a;
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    assert_int_equal(tree_getattr(mallory()->s->tree, device_ino(mallory(), "a"), &a), 0);
    struct rid rid = bind_rid(&a);
    /* Concurrent to what bert writes now. */
    struct hostile_file f = file_of("a", "mallory's, of the year 9999");
    f.rid = rid;
    f.content_only = true;
    f.stamp = year_9999;
    struct vv known = {0};
    assert_int_equal(vv_copy(&known, replica_knowledge(mallory()->s->replica)), 0);
    assert_int_equal(vv_set(&known, replica_of(MALLORY), 0), 0);
    struct buf ctx CLEANUP(buf_fini) = {0};
    vv_put_elements(&ctx, &known);
    vv_fini(&known);
    f.content_ctx = (struct dots){ctx.p, ctx.n / DOT_SIZE};
    struct hostile_entry x = {.dot = hostile_next_dot(mallory()), .stamp = year_9999};
    seal_file(&x, &f, &sealed);
    save(BERT, "a", "bert's");
    assert_int_equal(tell_all(&sealed), SYNC_TAKEN);
    assert_int_equal(tell(MALLORY, &sealed), SYNC_TAKEN);
    sync_meet_all(&w, DEVICES);
    sync_meet_expect_equal(&w, DEVICES);
    /* It is shown, being the later of the two; bert's is not lost. */
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(replica_stat(w.d[i].s->replica, &rid, &info), 0);
        assert_true(info.conflict);
        sync_meet_expect(&w.d[i], "a", "mallory's, of the year 9999");
    }
    /* Who writes over it is later still; everything else has stamps of today. */
    save(ANNA, "a", "anna's again");
    save(ANNA, "b", "of today");
    assert_int_equal(tree_getattr(w.d[ANNA].s->tree, device_ino(&w.d[ANNA], "b"), &a), 0);
    struct rid other = bind_rid(&a);
    assert_int_equal(replica_stat(w.d[ANNA].s->replica, &other, &info), 0);
    assert_true(hlc_ms(info.content.stamp.hlc) < tidy_now_ms() + 60000);
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++)
        sync_meet_expect(&w.d[i], "a", "anna's again");
    sync_meet_expect_equal(&w, DEVICES);
}

/* ---- attack 13, the devices' part --------------------------------------------------------------
 */

static void dots_that_a_member_says_it_replaces_are_replaced_nowhere(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0}, dots CLEANUP(buf_fini) = {0};
    save(ANNA, "a", "anna's");
    save(ANNA, "b", "anna's, too");
    sync_meet_all(&w, DEVICES);
    uint64_t last = vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA));
    for (uint64_t i = 1; i <= last && i <= LIMIT_REPLACED; i++)
        dot_put(&dots, &(struct dot){replica_of(ANNA), i});
    struct hostile_file f = file_of("mine", "mallory's");
    struct hostile_entry x = {.dot = hostile_next_dot(mallory()),
                              .replaced = {dots.p, dots.n / DOT_SIZE}};
    seal_file(&x, &f, &sealed);
    assert_int_equal(tell_all(&sealed), SYNC_TAKEN);
    for (size_t i = ANNA; i < DEVICES; i += BERT) {
        sync_meet_expect(&w.d[i], "a", "anna's");
        sync_meet_expect(&w.d[i], "b", "anna's, too");
        sync_meet_expect(&w.d[i], "mine", "mallory's");
    }
}

/* ---- attack 14, the part of malice -------------------------------------------------------------
 */

/* What it wrote later is refused, and not passed on. */
static void expect_no_more_of(size_t i, const struct dot *forked)
{
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct hostile_file f = file_of("later", "x");
    struct hostile_entry x = {.dot = {forked->replica, forked->counter + 1}};
    x.after = forked->counter;
    seal_file(&x, &f, &sealed);
    assert_int_equal(tell(i, &sealed), SYNC_REFUSED);
}

static int note_content(void *arg, const struct replica_content *c)
{
    struct buf *dots = arg;
    buf_put(dots, &c->dot, sizeof c->dot);
    return buf_status(dots);
}

static bool has_content(struct space *s, const struct rid *rid, const struct dot *dot,
                        const char *text)
{
    struct buf body CLEANUP(buf_fini) = {0};
    struct content_info info;
    assert_int_equal(replica_version_get(s->replica, rid, dot, &body), 0);
    assert_int_equal(content_parse(buf_bytes(&body), &info), 0);
    return bytes_equal(info.data, bytes_str(text));
}

/* Both contents are those of the file, everywhere: a conflict, as of two honest devices. */
static void expect_both(const struct hostile_file *f, const char *one, const char *other)
{
    for (size_t i = 0; i < DEVICES; i++) {
        struct buf dots CLEANUP(buf_fini) = {0};
        struct dot d[2];
        struct space *s = w.d[i].s;
        assert_int_equal(replica_contents(s->replica, &f->rid, note_content, &dots), 0);
        assert_int_equal(dots.n, sizeof d);
        memcpy(d, dots.p, sizeof d);
        bool first = has_content(s, &f->rid, &d[0], one);
        assert_true(has_content(s, &f->rid, &d[first], other));
        assert_true(has_content(s, &f->rid, &d[!first], one));
        assert_true(members_cut(s->sync->members, d[0].replica) == MEMBERS_NO_CUT);
        assert_true(members_cut(s->sync->members, d[1].replica) == MEMBERS_NO_CUT);
    }
}

static void two_changes_under_one_dot_end_its_replica(void **state)
{
    (void)state;
    struct buf one CLEANUP(buf_fini) = {0}, other CLEANUP(buf_fini) = {0};
    struct hostile_file f = file_of("x", "for anna"), g = file_of("x", "for bert");
    save(MALLORY, "a", "before");
    sync_meet_all(&w, DEVICES);
    struct hostile_entry x = {.dot = hostile_next_dot(mallory())};
    x.after = x.dot.counter - 1;
    seal_file(&x, &f, &one);
    g.rid = f.rid;
    seal_file(&x, &g, &other);
    assert_int_equal(tell(ANNA, &one), SYNC_TAKEN);
    assert_int_equal(tell(BERT, &other), SYNC_TAKEN);
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(members_cut(w.d[i].s->sync->members, x.dot.replica), x.dot.counter - 1);
        assert_int_equal(vv_get(replica_knowledge(w.d[i].s->replica), x.dot.replica),
                         x.dot.counter - 1);
        expect_no_more_of(i, &x.dot);
    }
    for (size_t i = 0; i < DEVICES; i++)
        assert_int_equal(space_sync_adopt(w.d[i].s, UINT64_MAX), 0);
    sync_meet_all(&w, DEVICES);
    sync_meet_expect_equal(&w, DEVICES);
    expect_both(&f, "for anna", "for bert");
}

/* ---- attack 33, and attack 4 by a member -------------------------------------------------------
 */

/* A STATE of mallory that holds what @like holds, but knows @counter of anna's changes. */
static void seal_state(size_t like, uint64_t number, uint64_t counter, struct buf *ret)
{
    struct buf known CLEANUP(buf_fini) = {0};
    struct vv v = {0};
    struct state st = {.heads = hostile_heads(&w.d[like]), .time_ms = tidy_now_ms()};
    assert_int_equal(vv_copy(&v, replica_knowledge(w.d[like].s->replica)), 0);
    assert_int_equal(vv_set(&v, replica_of(ANNA), counter), 0);
    vv_put_elements(&known, &v);
    vv_fini(&v);
    st.known = (struct dots){known.p, known.n / DOT_SIZE};
    replica_digest(w.d[like].s->replica, &st.digest);
    hostile_state(mallory(), number, &st, ret);
}

static void a_state_that_knows_anothers_future_hides_none_of_it(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    uint64_t last = vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA));
    seal_state(BERT, 1000, last + 1000, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_TAKEN);
    seal_state(BERT, 1001, LIMIT_COUNTER, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_TAKEN);
    assert_int_equal(vv_get(replica_knowledge(w.d[BERT].s->replica), replica_of(ANNA)), last);
    save(ANNA, "b", "anna's next");
    sync_meet_all(&w, DEVICES);
    sync_meet_expect(&w.d[BERT], "b", "anna's next");
}

static void a_state_that_knows_what_a_server_withholds_does_not_hide_it(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct arrival at;
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    save(ANNA, "b", "withheld");
    sync_meet_sign(&w.d[ANNA]);
    uint64_t withheld = w.done[ANNA][BERT];
    assert_int_equal(space_sync_next(w.d[ANNA].s, withheld, BERT + 1, &at), 1);
    assert_int_equal(at.kind, ARRIVAL_ENTRY);
    w.done[ANNA][BERT] = at.number;
    /* Anna's STATE backs that there is such a change; mallory says that bert, as it is, has it. */
    assert_int_equal(space_sync_state(w.d[ANNA].s), 1);
    assert_true(sync_meet_give(&w, ANNA, BERT) > 0);
    seal_state(BERT, 1000, at.dot.counter, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_TAKEN);
    w.done[ANNA][BERT] = withheld;
    sync_meet_give(&w, ANNA, BERT);
    sync_meet_expect(&w.d[BERT], "b", "withheld");
}

static void a_state_in_anothers_name_and_an_old_one_count_for_nothing(void **state)
{
    (void)state;
    struct buf plain CLEANUP(buf_fini) = {0}, sealed CLEANUP(buf_fini) = {0};
    struct buf old CLEANUP(buf_fini) = {0}, peers CLEANUP(buf_fini) = {0};
    struct state st = {.heads = hostile_heads(mallory()), .time_ms = 1};
    state_encode(&st, &plain);
    struct hostile_entry x = {
        .kind = ENTRY_STATE, .dot = {replica_of(ANNA), 1u << 20}, .plain = buf_bytes(&plain)};
    hostile_entry_seal(mallory(), &x, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_REFUSED);
    /* One that names a replica which nobody registered. */
    struct buf known CLEANUP(buf_fini) = {0};
    dot_put(&known, &(struct dot){7, 1});
    st.known = (struct dots){known.p, 1};
    hostile_state(mallory(), 900, &st, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_REFUSED);
    /* An older one does not replace a newer one. */
    seal_state(BERT, 1000, 1, &old);
    seal_state(BERT, 1001, 1, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_TAKEN);
    uint64_t last = space_sync_last(w.d[BERT].s);
    assert_int_equal(tell(BERT, &old), SYNC_KNOWN);
    assert_int_equal(space_sync_last(w.d[BERT].s), last);
    /* Who is revoked or never was a member says nothing: bert lists whom he heard. */
    assert_int_equal(space_sync_peers(w.d[BERT].s, &peers), 0);
    assert_int_equal(peers.n, sizeof(struct sync_peer));
}

static bool differs(size_t i)
{
    struct buf peers CLEANUP(buf_fini) = {0};
    bool any = false;
    assert_int_equal(space_sync_peers(w.d[i].s, &peers), 0);
    for (size_t at = 0; at < peers.n; at += sizeof(struct sync_peer)) {
        struct sync_peer p;
        memcpy(&p, peers.p + at, sizeof p);
        any = any || p.differs;
    }
    return any;
}

/* Who knows the same and holds something else is told of, when that stays so. */
static void a_state_of_equal_knowledge_and_other_values_is_told_of(void **state)
{
    (void)state;
    struct buf sealed CLEANUP(buf_fini) = {0}, known CLEANUP(buf_fini) = {0};
    save(ANNA, "a", "anna's");
    sync_meet_all(&w, DEVICES);
    for (size_t i = 0; i < DEVICES; i++)
        assert_true(space_sync_state(w.d[i].s) >= 0);
    sync_meet_all(&w, DEVICES);
    struct space *s = w.d[BERT].s;
    assert_int_equal(space_sync_watch(s, 1), 0);
    struct state st = {.heads = hostile_heads(&w.d[BERT]), .time_ms = tidy_now_ms()};
    vv_put_elements(&known, replica_knowledge(s->replica));
    st.known = (struct dots){known.p, known.n / DOT_SIZE};
    st.digest.b[0] = 1;
    hostile_state(mallory(), 1000, &st, &sealed);
    assert_int_equal(tell(BERT, &sealed), SYNC_TAKEN);
    uint64_t at = space_sync_watch(s, 1);
    assert_true(at > 1 && !differs(BERT));
    assert_int_equal(space_sync_watch(s, at), 0);
    assert_true(differs(BERT));
    /* Something new: they are not of equal knowledge any more. */
    save(ANNA, "b", "anna's");
    sync_meet_give(&w, ANNA, BERT);
    assert_int_equal(space_sync_watch(s, at), 0);
    assert_false(differs(BERT));
}

/* ---- attack 27 ---------------------------------------------------------------------------------
 */

static void names_that_leave_the_folder_are_refused(void **state)
{
    (void)state;
    char long_name[256];
    memset(long_name, 'n', sizeof long_name);
    const struct bytes names[] = {
        bytes_str(""),         bytes_str("."),
        bytes_str(".."),       bytes_str("a/b"),
        bytes_str("/"),        bytes_str("../../etc/passwd"),
        bytes_of("a\0b", 3),   bytes_of("\0", 1),
        bytes_str(".persist"), bytes_of(long_name, sizeof long_name),
    };
    for (size_t i = 0; i < ARRAY_N(names); i++) {
        struct buf sealed CLEANUP(buf_fini) = {0};
        struct hostile_file f = file_of("", "x");
        f.name = names[i].p;
        f.name_n = names[i].n;
        struct hostile_entry x = {.dot = hostile_next_dot(mallory())};
        seal_file(&x, &f, &sealed);
        assert_int_equal(tell_all(&sealed), SYNC_REFUSED);
    }
    assert_int_equal(device_ino(&w.d[BERT], "x"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_change_in_anothers_name_is_refused),
        TEST(anothers_replica_is_not_registered),
        TEST(a_forged_change_that_waits_takes_nobodys_place),
        TEST(a_vector_of_anothers_future_waits_and_swallows_nothing),
        TEST(a_forged_counter_that_waits_backs_no_vector),
        TEST(a_flood_of_what_has_to_wait_is_bounded),
        TEST(what_no_key_is_known_for_stops_no_state),
        TEST(counters_beyond_their_range_are_refused),
        TEST(a_stamp_in_the_year_9999_wins_ties_and_moves_no_clock),
        TEST(dots_that_a_member_says_it_replaces_are_replaced_nowhere),
        TEST(two_changes_under_one_dot_end_its_replica),
        TEST(a_state_that_knows_anothers_future_hides_none_of_it),
        TEST(a_state_that_knows_what_a_server_withholds_does_not_hide_it),
        TEST(a_state_in_anothers_name_and_an_old_one_count_for_nothing),
        TEST(a_state_of_equal_knowledge_and_other_values_is_told_of),
        TEST(names_that_leave_the_folder_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
