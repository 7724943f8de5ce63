#include "tests/support/meet.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fs/space/exchange.h"

struct transfer {
    struct device *from, *to;
};

static int fetch(void *arg, const struct content_need *need)
{
    struct transfer *t = arg;
    struct db_value v;
    int rc = space_get_chunk(t->from->s, need->id, &v);
    if (rc == 0)
        rc = space_put_chunk(t->to->s, need->id, v.v);
    db_value_fini(&v);
    /* Below a list node more may be missing: look again. */
    return rc < 0 ? rc : need->level > 0;
}

void device_hear(struct device *to, struct device *from)
{
    struct transfer t = {from, to};
    struct vv have = {0};
    struct replica_stream *stream;
    CLEANUP(buf_fini) struct buf change = {0};
    struct dot dot;
    assert_int_equal(space_knowledge(to->s, &have), 0);
    assert_int_equal(space_stream(from->s, &have, &stream), 0);
    int more;
    while ((more = replica_stream_next(stream, &dot, &change)) == 1) {
        int rc = 1;
        while (rc == 1)
            rc = space_missing(to->s, buf_bytes(&change), fetch, &t);
        assert_int_equal(rc, 0);
        assert_true(space_apply(to->s, buf_bytes(&change)) >= 0);
    }
    assert_int_equal(more, 0);
    assert_int_equal(space_know(to->s, replica_stream_knowledge(stream)), 0);
    replica_stream_free(stream);
    vv_fini(&have);
}

void device_pull(struct device *to, struct device *from)
{
    assert_int_equal(publisher_flush(to->s), 0);
    device_hear(to, from);
}

void devices_meet(struct device *const *d, size_t n)
{
    for (size_t round = 0; round <= n; round++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                if (i != j)
                    device_pull(d[i], d[j]);
}
