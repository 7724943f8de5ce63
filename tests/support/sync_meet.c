#include "tests/support/sync_meet.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"

enum { NOBODY = 99 }; /* a remote that brought nothing */

/* ---- transfers ---------------------------------------------------------------------------------
 */

struct want {
    struct device *from, *to;
};

static int fetch(void *arg, const struct content_need *need)
{
    const struct want *w = arg;
    struct sync_chunk c;
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    memcpy(c.name, need->id, sizeof c.name);
    assert_int_equal(space_sync_chunk_id(w->to->s, c.name, 0, &c.id), 0);
    assert_int_equal(space_sync_chunk_seal(w->from->s, &c, &sealed, &below), 0);
    assert_int_equal(space_sync_chunk_take(w->to->s, &c, buf_bytes(&sealed)), 0);
    return need->level > 0; /* below a list node more may be missing: look again */
}

static void fetch_content(struct want *w)
{
    struct buf waiting CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_waiting(w->to->s, &waiting), 0);
    for (size_t i = 0; i < waiting.n; i += sizeof(struct sync_wait)) {
        struct sync_wait one;
        memcpy(&one, waiting.p + i, sizeof one);
        if (one.dot.counter == SYNC_LIST_COUNTER &&
            one.dot.replica != replica_id(w->from->s->replica))
            continue; /* a list is of one device, which alone has it here */
        while (space_sync_needs(w->to->s, &one.dot, fetch, w) > 0)
            ;
        assert_in_range(space_sync_retry(w->to->s, &one.dot), SYNC_KNOWN, SYNC_TAKEN);
    }
}

void sync_meet_sign(struct device *d)
{
    assert_int_equal(publisher_flush(d->s), 0);
    int more = space_sync_collect(d->s);
    while (more == 1)
        more = space_sync_collect(d->s);
    assert_true(more == 0 || more == -ENOTCONN);
}

size_t sync_meet_give_entries(struct sync_meet *w, size_t a, size_t b)
{
    struct device *from = &w->d[a], *to = &w->d[b];
    struct arrival at;
    size_t n = 0;
    sync_meet_sign(from);
    while (space_sync_next(from->s, w->done[a][b], w->back ? NOBODY : b + 1, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        w->done[a][b] = at.number;
        if (at.kind == ARRIVAL_ENTRY && b == w->victim && dot_equal(&at.dot, &w->withheld))
            continue;
        int rc = space_sync_seal(from->s, &at, &bytes, &chunks);
        if (rc == -ENOENT)
            continue;
        assert_int_equal(rc, 0);
        n++;
        rc = at.kind == ARRIVAL_ACT ? space_sync_take_act(to->s, a + 1, buf_bytes(&bytes))
                                    : space_sync_take_entry(to->s, a + 1, buf_bytes(&bytes));
        assert_in_range(rc, SYNC_KNOWN, SYNC_CONTENT);
    }
    assert_int_equal(space_sync_settle(to->s), 0);
    return n;
}

size_t sync_meet_give(struct sync_meet *w, size_t a, size_t b)
{
    struct want want = {&w->d[a], &w->d[b]};
    size_t n = sync_meet_give_entries(w, a, b);
    fetch_content(&want);
    assert_int_equal(space_sync_settle(w->d[b].s), 0);
    return n;
}

size_t sync_meet_offer(struct sync_meet *w, size_t a, size_t b)
{
    struct arrival at;
    size_t refused = 0;
    sync_meet_sign(&w->d[a]);
    while (space_sync_next(w->d[a].s, w->done[a][b], b + 1, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        w->done[a][b] = at.number;
        if (space_sync_seal(w->d[a].s, &at, &bytes, &chunks) < 0)
            continue;
        int rc = at.kind == ARRIVAL_ACT
                     ? space_sync_take_act(w->d[b].s, a + 1, buf_bytes(&bytes))
                     : space_sync_take_entry(w->d[b].s, a + 1, buf_bytes(&bytes));
        assert_true(rc >= 0);
        refused += rc == SYNC_REFUSED;
    }
    assert_int_equal(space_sync_settle(w->d[b].s), 0);
    return refused;
}

void sync_meet_all(struct sync_meet *w, size_t n)
{
    for (int round = 0; round < 3; round++)
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < n; b++)
                if (a != b)
                    sync_meet_give(w, a, b);
}

/* ---- setting up --------------------------------------------------------------------------------
 */

void sync_meet_found(struct sync_meet *w, const char *label)
{
    memset(w, 0, sizeof *w);
    device_found(&w->d[0], label, 1);
}

void sync_meet_join(struct sync_meet *w, size_t i, const char *label, size_t of)
{
    device_join(&w->d[i], label, (unsigned)i + 1, &w->d[of]);
    sync_meet_give(w, of, i);
    assert_int_equal(space_sync_join(w->d[i].s), 1);
    sync_meet_give(w, i, of);
}

void sync_meet_open(struct sync_meet *w, const char *const *labels, size_t n)
{
    sync_meet_found(w, labels[0]);
    for (size_t i = 1; i < n; i++)
        sync_meet_join(w, i, labels[i], 0);
    sync_meet_all(w, n);
}

void sync_meet_close(struct sync_meet *w)
{
    for (size_t i = 0; i < SYNC_MEET_MAX; i++)
        if (w->d[i].s != NULL)
            device_close(&w->d[i]);
}

/* ---- what is looked at -------------------------------------------------------------------------
 */

void sync_meet_expect(struct device *d, const char *path, const char *text)
{
    char got[256] = "";
    uint64_t ino = device_ino(d, path);
    if (text == NULL) {
        assert_int_equal(ino, 0);
        return;
    }
    if (ino == 0)
        fail_msg("%s is not there", path);
    int64_t n = tree_read(d->s->tree, ino, 0, got, sizeof got - 1);
    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, text);
}

void sync_meet_expect_equal(struct sync_meet *w, size_t n)
{
    struct state_digest first, other;
    replica_digest(w->d[0].s->replica, &first);
    for (size_t i = 1; i < n; i++) {
        replica_digest(w->d[i].s->replica, &other);
        assert_memory_equal(&first, &other, sizeof first);
        assert_true(
            vv_equal(replica_knowledge(w->d[0].s->replica), replica_knowledge(w->d[i].s->replica)));
    }
}
