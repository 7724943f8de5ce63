/*
 * A server that keeps to no rule, against devices with real sessions over real sockets: attacks 1
 * to 6, 9 and 13 of the list in proto/sealed/README.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"
#include "proto/base/log.h"
#include "proto/sealed/chunk.h"
#include "sync/net/ws.h"
#include "tests/support/answer.h"
#include "tests/support/harmless.h"
#include "tests/support/hostile_world.h"

enum { BIG = 300000 };

static struct sync_meet w;
static struct online on[DEVICES];
static struct hostile_server bad, good;

static struct hostile_world world = {&w, on, &bad, &good};

/* ---- what devices do ---------------------------------------------------------------------------
 */

static void start(size_t i, const struct hostile_server *a, const struct hostile_server *b)
{
    const char *urls[2] = {a->url, b == NULL ? NULL : b->url};
    online_start(&on[i], &w.d[i], (unsigned)i + 1, urls, b == NULL ? 1 : 2);
}

static void again(size_t i, const struct hostile_server *a, const struct hostile_server *b)
{
    online_stop(&on[i]);
    start(i, a, b);
}

static void save(size_t i, const char *path, const char *text)
{
    device_save_text(&w.d[i], path, text);
    assert_int_equal(publisher_flush(w.d[i].s), 0);
}

/* Content that needs chunks. */
static void save_big(size_t i, const char *path, uint32_t seed)
{
    static uint8_t big[BIG];
    uint8_t key[randombytes_SEEDBYTES] = {0};
    put_u32(key, seed);
    randombytes_buf_deterministic(big, sizeof big, key);
    device_save(&w.d[i], path, big, sizeof big);
    assert_int_equal(publisher_flush(w.d[i].s), 0);
}

static bool has_big(size_t i, const char *path, uint32_t seed)
{
    static uint8_t big[BIG], got[BIG + 1];
    uint8_t key[randombytes_SEEDBYTES] = {0};
    uint64_t ino = device_ino(&w.d[i], path);
    put_u32(key, seed);
    randombytes_buf_deterministic(big, sizeof big, key);
    return ino != 0 && tree_read_unseen(w.d[i].s->tree, ino, 0, got, sizeof got) == BIG &&
           memcmp(got, big, BIG) == 0;
}

static bool has_text(size_t i, const char *path, const char *text)
{
    char got[256] = "";
    uint64_t ino = device_ino(&w.d[i], path);
    return ino != 0 && tree_read_unseen(w.d[i].s->tree, ino, 0, got, sizeof got - 1) >= 0 &&
           strcmp(got, text) == 0;
}

static void digest(size_t i, struct state_digest *ret)
{
    pthread_mutex_lock(&w.d[i].s->lock);
    replica_digest(w.d[i].s->replica, ret);
    pthread_mutex_unlock(&w.d[i].s->lock);
}

static bool are_equal(void *arg)
{
    struct state_digest a, b;
    (void)arg;
    digest(ANNA, &a);
    digest(BERT, &b);
    return memcmp(&a, &b, sizeof a) == 0;
}

static uint64_t refused(size_t i)
{
    struct sync_counts c;
    space_sync_counts(w.d[i].s, &c);
    return c.refused;
}

/* What is waited for: a file of a device. */
struct hope {
    size_t i;
    const char *path, *text; /* text NULL: of save_big(), with seed */
    uint32_t seed;
};

static bool came(void *arg)
{
    const struct hope *h = arg;
    return h->text != NULL ? has_text(h->i, h->path, h->text) : has_big(h->i, h->path, h->seed);
}

static void expect_text(size_t i, const char *path, const char *text)
{
    struct hope h = {i, path, text, 0};
    online_wait(came, &h, path);
}

static void expect_big(size_t i, const char *path, uint32_t seed)
{
    struct hope h = {i, path, NULL, seed};
    online_wait(came, &h, path);
}

static void wait_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* Whether a device saw the end of its session with the bad server. */
struct ending {
    size_t i;
    const char *word;
};

static bool has_error(void *arg)
{
    const struct ending *e = arg;
    char text[SYNC_TEXT_MAX];
    online_error(&on[e->i], bad.url, text, sizeof text);
    return strstr(text, e->word) != NULL;
}

static void expect_error(size_t i, const char *word)
{
    struct ending e = {i, word};
    online_wait(has_error, &e, word);
}

/* ---- what is held ------------------------------------------------------------------------------
 */

/* The item at the bad server, the last of those that are acts, or VALUEs, or STATEs. */
enum what { AN_ACT, A_VALUE, A_STATE };

static bool is_what(const struct hostile_item *it, enum what what)
{
    struct entry e;
    if (it->is_act || what == AN_ACT)
        return it->is_act && what == AN_ACT;
    return entry_parse_sealed(buf_bytes(&it->bytes), &e) == 0 &&
           e.head.kind == (what == A_VALUE ? ENTRY_VALUE : ENTRY_STATE);
}

static struct hostile_item *last_of(struct hostile_server *s, enum what what)
{
    for (size_t i = s->items_n; i > 0; i--)
        if (is_what(&s->items[i - 1], what))
            return &s->items[i - 1];
    fail_msg("the server holds no such thing");
    return NULL;
}

static bool holds_state(void *arg)
{
    struct hostile_server *s = arg;
    bool yes = false;
    hostile_server_lock(s);
    for (size_t i = 0; i < s->items_n; i++)
        yes = yes || (is_what(&s->items[i], A_STATE) &&
                      memcmp(s->items[i].from, on[ANNA].identity.sign_public, SIGN_KEY_SIZE) == 0);
    hostile_server_unlock(s);
    return yes;
}

/* ---- attack 1 ----------------------------------------------------------------------------------
 */

/* In place of the item each of its forms with one bit flipped. */
static void flip_item(struct hostile_server *s, enum what what)
{
    struct hostile_item *it = last_of(s, what);
    struct buf bytes CLEANUP(buf_fini) = {0};
    bool is_act = it->is_act;
    buf_put_bytes(&bytes, buf_bytes(&it->bytes));
    for (size_t i = 0; i < s->items_n; i++)
        s->items[i].left_out = what != AN_ACT && is_what(&s->items[i], what);
    for (size_t bit = 0; bit < 8 * bytes.n; bit++) {
        bytes.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        (void)hostile_server_add(s, is_act, buf_bytes(&bytes));
        bytes.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* What bert holds of others' STATEs. */
static size_t peers_of_bert(void)
{
    struct buf peers CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_peers(w.d[BERT].s, &peers), 0);
    return peers.n / sizeof(struct sync_peer);
}

static void expect_nothing_taken(enum what what, size_t acts)
{
    struct sync_counts c;
    space_sync_counts(w.d[BERT].s, &c);
    assert_true(c.refused > 1000);
    assert_int_equal(members_acts_n(w.d[BERT].s->sync->members), acts);
    assert_true(has_text(BERT, "a", "the text") == (what != A_VALUE));
    if (what == A_STATE)
        assert_int_equal(peers_of_bert(), 0);
    if (what == A_VALUE) /* it is not known what an entry of an unknown epoch is: it waits */
        assert_int_equal(c.waiting, 8 * EPOCH_ID_SIZE);
}

static void each_flipped_bit_is_refused_and_the_good_copy_taken(enum what what)
{
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "the text");
    online_sync(&on[ANNA]);
    online_wait(holds_state, &bad, "a STATE");
    online_stop(&on[ANNA]);
    hostile_server_lock(&bad);
    hostile_server_copy(&good, &bad);
    flip_item(&bad, what);
    hostile_server_unlock(&bad);
    size_t acts = members_acts_n(w.d[BERT].s->sync->members);
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    expect_nothing_taken(what, acts);
    again(BERT, &bad, &good);
    expect_text(BERT, "a", "the text");
    online_wait(are_equal, NULL, "that both hold the same");
    assert_int_equal(space_sync_settle(w.d[BERT].s), 0);
    pthread_mutex_lock(&w.d[BERT].s->lock);
    assert_true(vv_covers(replica_knowledge(w.d[BERT].s->replica),
                          replica_knowledge(w.d[ANNA].s->replica)));
    pthread_mutex_unlock(&w.d[BERT].s->lock);
}

static void a_flipped_bit_of_an_entry_is_refused(void **state)
{
    (void)state;
    each_flipped_bit_is_refused_and_the_good_copy_taken(A_VALUE);
}

static void a_flipped_bit_of_an_act_is_refused(void **state)
{
    (void)state;
    each_flipped_bit_is_refused_and_the_good_copy_taken(AN_ACT);
}

static void a_flipped_bit_of_a_state_is_refused(void **state)
{
    (void)state;
    each_flipped_bit_is_refused_and_the_good_copy_taken(A_STATE);
}

/* Anna's big file is at the bad server, and she is off. */
static void put_big(void)
{
    start(ANNA, &bad, NULL);
    save_big(ANNA, "big", 1);
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    hostile_server_lock(&bad);
    assert_true(bad.chunks_n > 2);
    hostile_server_copy(&good, &bad);
    hostile_server_unlock(&bad);
}

static void a_flipped_bit_of_a_chunk_is_refused(void **state)
{
    (void)state;
    put_big();
    hostile_server_lock(&bad);
    struct hostile_chunk *c = &bad.chunks[0];
    for (size_t i = 1; i < bad.chunks_n; i++)
        if (bad.chunks[i].forms[0].n < c->forms[0].n)
            c = &bad.chunks[i];
    struct buf bytes CLEANUP(buf_fini) = {0};
    buf_put_bytes(&bytes, buf_bytes(&c->forms[0]));
    buf_fini(&c->forms[--c->n]);
    for (size_t i = 0; i < 600; i++) {
        size_t bit = i < 300 ? i : 8 * bytes.n - 1 - (i - 300) * 7;
        bytes.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        hostile_chunk_add(c, buf_bytes(&bytes));
        bytes.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    hostile_server_unlock(&bad);
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    assert_false(has_big(BERT, "big", 1));
    assert_int_equal(device_ino(&w.d[BERT], "big"), 0);
    again(BERT, &bad, &good);
    expect_big(BERT, "big", 1);
}

/* ---- attack 2 ----------------------------------------------------------------------------------
 */

enum { KIND_AT = 17, SPACE_AT = 20, REPLICA_AT = 36, COUNTER_AT = 44 };

static void an_old_value_that_is_replayed_changes_nothing(void **state)
{
    (void)state;
    struct state_digest before, after;
    start(ANNA, &bad, NULL);
    start(BERT, &bad, NULL);
    save(ANNA, "a", "old");
    online_sync(&on[ANNA]);
    hostile_server_lock(&bad);
    struct buf old CLEANUP(buf_fini) = {0};
    buf_put_bytes(&old, buf_bytes(&last_of(&bad, A_VALUE)->bytes));
    hostile_server_unlock(&bad);
    save(ANNA, "a", "new");
    online_sync(&on[ANNA]);
    expect_text(BERT, "a", "new");
    digest(BERT, &before);
    uint64_t was = refused(BERT);
    hostile_server_lock(&bad);
    for (int i = 0; i < 10; i++)
        (void)hostile_server_add(&bad, false, buf_bytes(&old));
    hostile_server_unlock(&bad);
    online_sync(&on[BERT]);
    digest(BERT, &after);
    assert_memory_equal(&before, &after, sizeof before);
    expect_text(BERT, "a", "new");
    assert_int_equal(refused(BERT), was);
}

static void a_value_under_another_name_is_refused(void **state)
{
    (void)state;
    static const size_t moved[] = {KIND_AT, SPACE_AT, REPLICA_AT, COUNTER_AT};
    static const uint8_t key[EPOCH_KEY_SIZE] = {1};
    struct state_digest before, after;
    struct buf bytes CLEANUP(buf_fini) = {0};
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "the text");
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    hostile_server_lock(&bad);
    struct hostile_item *it = last_of(&bad, A_VALUE);
    it->left_out = true;
    buf_put_bytes(&bytes, buf_bytes(&it->bytes));
    for (size_t i = 0; i < ARRAY_N(moved); i++) {
        bytes.p[moved[i]] ^= 3;
        (void)hostile_server_add(&bad, false, buf_bytes(&bytes));
        bytes.p[moved[i]] ^= 3;
    }
    /* And under an epoch whose key bert has. */
    struct epoch_id other = epoch_id_of(key);
    memcpy(bytes.p, other.b, EPOCH_ID_SIZE);
    (void)hostile_server_add(&bad, false, buf_bytes(&bytes));
    hostile_server_unlock(&bad);
    assert_int_equal(keyring_add(&w.d[BERT].s->keyring, key), 0);
    digest(BERT, &before);
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    assert_int_equal(refused(BERT), ARRAY_N(moved) + 1);
    digest(BERT, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_false(has_text(BERT, "a", "the text"));
}

/* ---- attack 3 ----------------------------------------------------------------------------------
 */

static void one_entry_left_out_stays_unknown_and_comes_by_another_way(void **state)
{
    (void)state;
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "before");
    online_sync(&on[ANNA]);
    save(ANNA, "hidden", "left out");
    online_sync(&on[ANNA]);
    hostile_server_lock(&bad);
    hostile_server_copy(&good, &bad);
    last_of(&bad, A_VALUE)->left_out = true;
    hostile_server_unlock(&bad);
    save(ANNA, "b", "after");
    online_sync(&on[ANNA]);
    uint64_t last =
        vv_get(replica_knowledge(w.d[ANNA].s->replica), replica_id(w.d[ANNA].s->replica));
    start(BERT, &bad, NULL);
    expect_text(BERT, "b", "after");
    online_sync(&on[BERT]);
    /* A STATE of anna says that something is missing: it does not say which. */
    online_wait(holds_state, &bad, "a STATE");
    wait_ms(300);
    assert_false(has_text(BERT, "hidden", "left out"));
    assert_false(are_equal(NULL));
    pthread_mutex_lock(&w.d[BERT].s->lock);
    assert_true(vv_get(replica_knowledge(w.d[BERT].s->replica), replica_id(w.d[ANNA].s->replica)) <
                last);
    pthread_mutex_unlock(&w.d[BERT].s->lock);
    again(BERT, &bad, &good);
    expect_text(BERT, "hidden", "left out");
    online_wait(are_equal, NULL, "that both hold the same");
}

/* ---- attack 4 ----------------------------------------------------------------------------------
 */

static void numbers_of_the_far_future_hide_nothing(void **state)
{
    (void)state;
    uint64_t replica = replica_id(w.d[BERT].s->replica);
    hostile_server_lock(&bad);
    bad.ways.caught_up = UINT64_MAX;
    hostile_server_unlock(&bad);
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "one");
    online_sync(&on[ANNA]);
    hostile_server_lock(&bad);
    for (size_t i = 0; i < bad.items_n; i++)
        bad.items[i].seq = UINT64_MAX - bad.items_n + i;
    hostile_server_unlock(&bad);
    start(BERT, &bad, NULL);
    expect_text(BERT, "a", "one");
    save(ANNA, "b", "two");
    online_sync(&on[ANNA]);
    expect_text(BERT, "b", "two");
    online_stop(&on[BERT]);
    /* Later, when the server counts as it should, nothing was lost by it. */
    hostile_server_lock(&bad);
    bad.ways.caught_up = 0;
    for (size_t i = 0; i < bad.items_n; i++)
        bad.items[i].seq = 0;
    hostile_server_unlock(&bad);
    save(ANNA, "c", "three");
    online_sync(&on[ANNA]);
    start(BERT, &bad, NULL);
    expect_text(BERT, "c", "three");
    assert_int_equal(replica_id(w.d[BERT].s->replica), replica);
}

static void a_done_that_nobody_earned_ends_the_session(void **state)
{
    (void)state;
    hostile_server_lock(&bad);
    bad.ways.done = 1000;
    hostile_server_unlock(&bad);
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "one");
    expect_error(ANNA, "confirmed what it was not sent");
    assert_true(space_sync_to_push(w.d[ANNA].s, space_sync_remote_id(bad.url)) > 0);
}

/* ---- attack 5 ----------------------------------------------------------------------------------
 */

static void roll_back(bool says_so)
{
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "yesterday");
    online_sync(&on[ANNA]);
    hostile_server_lock(&bad);
    size_t items = bad.items_n, chunks = bad.chunks_n;
    hostile_server_unlock(&bad);
    save(ANNA, "a", "today");
    save_big(ANNA, "big", 1);
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    hostile_server_lock(&bad);
    hostile_server_cut(&bad, items, chunks);
    if (says_so)
        randombytes_buf(bad.run, sizeof bad.run);
    hostile_server_unlock(&bad);
    start(ANNA, &bad, NULL);
    online_sync(&on[ANNA]);
    expect_text(ANNA, "a", "today");
    start(BERT, &bad, NULL);
    expect_text(BERT, "a", "today");
    expect_big(BERT, "big", 1);
    online_wait(are_equal, NULL, "that both hold the same");
}

static void a_server_of_yesterday_is_given_today_again(void **state)
{
    (void)state;
    roll_back(true);
}

static void a_server_that_hides_its_return_to_yesterday_is_found_out(void **state)
{
    (void)state;
    roll_back(false);
}

static void two_devices_that_a_server_keeps_apart_meet_elsewhere(void **state)
{
    (void)state;
    hostile_server_lock(&bad);
    bad.ways.hides_from = on[BERT].identity.sign_public;
    hostile_server_unlock(&bad);
    start(ANNA, &bad, NULL);
    start(BERT, &bad, NULL);
    save(ANNA, "a", "anna's past");
    save(BERT, "b", "bert's past");
    save(ANNA, "both", "anna's");
    save(BERT, "both", "bert's");
    online_sync(&on[ANNA]);
    online_sync(&on[BERT]);
    assert_false(has_text(BERT, "a", "anna's past"));
    again(ANNA, &bad, &good);
    again(BERT, &bad, &good);
    expect_text(BERT, "a", "anna's past");
    expect_text(ANNA, "b", "bert's past");
    online_wait(are_equal, NULL, "that both hold the same");
}

/* ---- attack 6 ----------------------------------------------------------------------------------
 */

static void expect_content_from_elsewhere(void)
{
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    assert_int_equal(device_ino(&w.d[BERT], "big"), 0);
    again(BERT, &bad, &good);
    expect_big(BERT, "big", 1);
}

static void swapped_chunks_are_refused(void **state)
{
    (void)state;
    put_big();
    hostile_server_lock(&bad);
    struct buf *forms = bad.chunks[0].forms;
    bad.chunks[0].forms = bad.chunks[1].forms;
    bad.chunks[1].forms = forms;
    hostile_server_unlock(&bad);
    expect_content_from_elsewhere();
}

static void a_truncated_chunk_is_refused(void **state)
{
    (void)state;
    put_big();
    hostile_server_lock(&bad);
    bad.chunks[0].forms[0].n--;
    bad.chunks[1].forms[0].n = 0;
    bad.chunks[2].forms[0].n /= 2;
    hostile_server_unlock(&bad);
    expect_content_from_elsewhere();
}

static void answers_in_the_wrong_order_are_refused(void **state)
{
    (void)state;
    put_big();
    hostile_server_lock(&bad);
    bad.ways.swaps_answers = true;
    hostile_server_unlock(&bad);
    expect_content_from_elsewhere();
}

/* A chunk of one epoch under the id that its name has in another. */
static void a_chunk_of_an_older_epoch_under_a_new_id_is_refused(void **state)
{
    (void)state;
    struct epoch_keys old, now;
    uint8_t key[EPOCH_KEY_SIZE] = {1};
    struct buf sealed CLEANUP(buf_fini) = {0};
    struct space *s = w.d[BERT].s;
    struct space_id space;
    struct sync_chunk c = {.name = {9}};
    now = s->keyring.epochs[s->keyring.epochs_n - 1];
    assert_int_equal(space_sync_id(s, &space), 0);
    assert_int_equal(keyring_add(&s->keyring, key), 0);
    assert_int_equal(epoch_keys_init(&old, key), 0);
    struct chunk_id old_id = chunk_id_of(&old, c.name);
    c.id = chunk_id_of(&now, c.name);
    assert_int_equal(
        chunk_seal(&old, &space, &old_id, (struct chunk_ids){NULL, 0}, bytes_str("bytes"), &sealed),
        0);
    assert_int_equal(space_sync_chunk_take(s, &c, buf_bytes(&sealed)), -EBADMSG);
    epoch_keys_fini(&old);
}

/* ---- attack 9 ----------------------------------------------------------------------------------
 */

static void garbage_that_came_first_hides_nothing(void **state)
{
    (void)state;
    put_big();
    hostile_server_lock(&bad);
    /* In the log each true item behind three that look like it, in chunks likewise. */
    size_t n = bad.items_n;
    for (size_t i = 0; i < n; i++) {
        struct hostile_item it = bad.items[i];
        struct buf bytes CLEANUP(buf_fini) = {0};
        buf_put_bytes(&bytes, buf_bytes(&it.bytes));
        for (int k = 0; k < 3; k++) {
            bytes.p[bytes.n - 1 - (size_t)k] ^= 1;
            (void)hostile_server_add(&bad, it.is_act, buf_bytes(&bytes));
        }
        bad.items[i].left_out = true;
        (void)hostile_server_add(&bad, it.is_act, buf_bytes(&it.bytes));
    }
    for (size_t i = 0; i < bad.chunks_n; i++) {
        struct hostile_chunk *c = &bad.chunks[i];
        for (int k = 0; k < 3; k++) {
            struct buf bytes CLEANUP(buf_fini) = {0};
            buf_put_bytes(&bytes, buf_bytes(&c->forms[0]));
            bytes.p[bytes.n / 2 + (size_t)k] ^= 1;
            hostile_chunk_add(c, buf_bytes(&bytes));
        }
        struct buf truth = c->forms[0];
        c->forms[0] = c->forms[3];
        c->forms[3] = truth;
    }
    hostile_server_unlock(&bad);
    start(BERT, &bad, NULL);
    expect_big(BERT, "big", 1);
    assert_true(refused(BERT) > 0);
}

/* ---- a server that says what was not asked -----------------------------------------------------
 */

static void unasked_chunks_end_the_session_and_are_not_stored(void **state)
{
    (void)state;
    struct chunk_id id;
    memset(&id, 7, sizeof id);
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    hostile_server_say_chunk(&bad, &id, bytes_str("unasked"));
    expect_error(BERT, "nobody asked for");
}

static void frames_that_are_none_end_the_session(void **state)
{
    (void)state;
    static uint8_t big[WS_MESSAGE_MAX];
    memset(big, 0xff, sizeof big);
    struct mallinfo2 before = mallinfo2();
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    hostile_server_say(&bad, bytes_of(big, sizeof big));
    expect_error(BERT, "no frame");
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + (16u << 20));
    save(BERT, "a", "goes on");
    again(BERT, &good, NULL);
    online_sync(&on[BERT]);
}

/* All that a session logs and that is shown of it, when the server ends it with @words. */
static void hear_end(const char *words, struct buf *ret)
{
    struct buf b CLEANUP(buf_fini) = {0};
    char text[200], log[] = "/tmp/persist-attack-XXXXXX";
    Persist__End e;
    Persist__Frame f = PERSIST__FRAME__INIT;
    persist__end__init(&e);
    snprintf(text, sizeof text, "%s mark", words);
    e.code = PERSIST__CODE__CODE_INTERNAL;
    e.text = text;
    f.kind_case = PERSIST__FRAME__KIND_END;
    f.end = &e;
    assert_int_equal(frame_encode(&f, &b), 0);
    int fd = mkostemp(log, O_CLOEXEC), stderr_fd = dup(STDERR_FILENO);
    assert_true(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    unlink(log);
    log_set_level(LOG_LEVEL_DEBUG);
    start(BERT, &bad, NULL);
    online_sync(&on[BERT]);
    hostile_server_say(&bad, buf_bytes(&b));
    expect_error(BERT, "mark");
    log_set_level(LOG_LEVEL_NONE);
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    off_t n = lseek(fd, 0, SEEK_END);
    assert_int_equal(buf_resize(ret, (size_t)n), 0);
    assert_int_equal(pread(fd, ret->p, ret->n, 0), n);
    close(fd);
}

static void what_a_server_says_does_nothing_to_a_terminal(void **state)
{
    (void)state;
    struct buf log CLEANUP(buf_fini) = {0};
    hear_end("\x1b]0;owned\x07\x1b[2J \xc2\x9b"
             "2J \r\b\x7f",
             &log);
    assert_non_null(memmem(log.p, log.n, "mark", 4));
    expect_harmless(buf_bytes(&log));
    struct answer status = answer_of(&w.d[BERT], "status", NULL, NULL);
    assert_non_null(strstr(status.text, "mark"));
    expect_harmless(bytes_str(status.text));
}

/* More dots than there can be: the list is bounded, and has to ascend. */
static void a_list_of_dots_without_end_costs_no_memory(void **state)
{
    (void)state;
    start(ANNA, &bad, NULL);
    save(ANNA, "a", "one");
    online_sync(&on[ANNA]);
    online_stop(&on[ANNA]);
    hostile_server_lock(&bad);
    bad.ways.stale = true;
    bad.ways.lists_for_ever = true;
    bad.listed = 0;
    hostile_server_unlock(&bad);
    struct mallinfo2 before = mallinfo2();
    start(ANNA, &bad, NULL);
    uint64_t listed = 0;
    for (int i = 0; i < 30 && listed <= 100 * FRAME_DOTS_MAX; i++) {
        wait_ms(1000);
        hostile_server_lock(&bad);
        listed = bad.listed;
        hostile_server_unlock(&bad);
    }
    struct mallinfo2 after = mallinfo2();
    assert_true(listed > 100 * FRAME_DOTS_MAX);
    assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + (4u << 20));
}

int main(void)
{
#define TEST(name) HOSTILE_WORLD_TEST(name, &world)
    const struct CMUnitTest tests[] = {
        TEST(a_flipped_bit_of_an_entry_is_refused),
        TEST(a_flipped_bit_of_an_act_is_refused),
        TEST(a_flipped_bit_of_a_state_is_refused),
        TEST(a_flipped_bit_of_a_chunk_is_refused),
        TEST(an_old_value_that_is_replayed_changes_nothing),
        TEST(a_value_under_another_name_is_refused),
        TEST(one_entry_left_out_stays_unknown_and_comes_by_another_way),
        TEST(numbers_of_the_far_future_hide_nothing),
        TEST(a_done_that_nobody_earned_ends_the_session),
        TEST(a_server_of_yesterday_is_given_today_again),
        TEST(a_server_that_hides_its_return_to_yesterday_is_found_out),
        TEST(two_devices_that_a_server_keeps_apart_meet_elsewhere),
        TEST(swapped_chunks_are_refused),
        TEST(a_truncated_chunk_is_refused),
        TEST(answers_in_the_wrong_order_are_refused),
        TEST(a_chunk_of_an_older_epoch_under_a_new_id_is_refused),
        TEST(garbage_that_came_first_hides_nothing),
        TEST(unasked_chunks_end_the_session_and_are_not_stored),
        TEST(frames_that_are_none_end_the_session),
        TEST(what_a_server_says_does_nothing_to_a_terminal),
        TEST(a_list_of_dots_without_end_costs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
