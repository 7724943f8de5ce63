#include "tests/support/members.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fs/space/sync.h"

struct want {
    struct device *from, *to;
    uint64_t chunks;
};

static int fetch(void *arg, const struct content_need *need)
{
    struct want *w = arg;
    struct sync_chunk c;
    struct buf sealed CLEANUP(buf_fini) = {0}, below CLEANUP(buf_fini) = {0};
    memcpy(c.name, need->id, sizeof c.name);
    assert_int_equal(space_sync_chunk_id(w->to->s, c.name, 0, &c.id), 0);
    assert_int_equal(space_sync_chunk_seal(w->from->s, &c, &sealed, &below), 0);
    assert_int_equal(space_sync_chunk_take(w->to->s, &c, buf_bytes(&sealed)), 0);
    w->chunks++;
    return need->level > 0; /* below a list node more may be missing: look again */
}

static void fetch_content(struct want *w)
{
    struct buf waiting CLEANUP(buf_fini) = {0};
    assert_int_equal(space_sync_waiting(w->to->s, &waiting), 0);
    for (size_t i = 0; i < waiting.n; i += sizeof(struct sync_wait)) {
        struct sync_wait one;
        memcpy(&one, waiting.p + i, sizeof one);
        while (space_sync_needs(w->to->s, &one.dot, fetch, w) > 0)
            ;
        assert_int_equal(space_sync_retry(w->to->s, &one.dot), SYNC_TAKEN);
    }
}

size_t members_give(struct members *m, size_t a, size_t b)
{
    struct device *from = &m->d[a], *to = &m->d[b];
    struct arrival at;
    size_t n = 0;
    assert_int_equal(publisher_flush(from->s), 0);
    int more = space_sync_collect(from->s);
    while (more == 1)
        more = space_sync_collect(from->s);
    assert_true(more == 0 || more == -ENOTCONN);
    while (space_sync_next(from->s, m->done[a][b], b + 1, &at) == 1) {
        struct buf bytes CLEANUP(buf_fini) = {0}, chunks CLEANUP(buf_fini) = {0};
        m->done[a][b] = at.number;
        int rc = space_sync_seal(from->s, &at, &bytes, &chunks);
        if (rc == -ENOENT)
            continue;
        assert_int_equal(rc, 0);
        n++;
        rc = at.kind == ARRIVAL_ACT ? space_sync_take_act(to->s, a + 1, buf_bytes(&bytes))
                                    : space_sync_take_entry(to->s, a + 1, buf_bytes(&bytes));
        assert_in_range(rc, SYNC_KNOWN, SYNC_CONTENT);
    }
    struct want want = {from, to, 0};
    assert_int_equal(space_sync_settle(to->s), 0);
    fetch_content(&want);
    assert_int_equal(space_sync_settle(to->s), 0);
    return n;
}

void members_meet(struct members *m, size_t n)
{
    for (int round = 0; round < 3; round++)
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < n; b++)
                if (a != b)
                    members_give(m, a, b);
}

void members_expect_equal(struct members *m, size_t n)
{
    struct state_digest first, other;
    replica_digest(m->d[0].s->replica, &first);
    for (size_t i = 1; i < n; i++) {
        replica_digest(m->d[i].s->replica, &other);
        assert_memory_equal(&first, &other, sizeof first);
        assert_true(
            vv_equal(replica_knowledge(m->d[0].s->replica), replica_knowledge(m->d[i].s->replica)));
    }
}

/* ---- members -----------------------------------------------------------------------------------
 */

static const char *const labels[MEMBERS_MAX] = {"anna", "bert", "carl"};

void members_found(struct members *m)
{
    memset(m, 0, sizeof *m);
    device_found(&m->d[0], labels[0], 1);
}

void members_join(struct members *m, size_t i, size_t of)
{
    device_join(&m->d[i], labels[i], (unsigned)i + 1, &m->d[of]);
    members_give(m, of, i);
    assert_int_equal(space_sync_join(m->d[i].s), 1);
    members_give(m, i, of);
}

void members_close(struct members *m)
{
    for (size_t i = 0; i < MEMBERS_MAX; i++)
        if (m->d[i].s != NULL)
            device_close(&m->d[i]);
}
