#include "tests/support/hostile_member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/space/sync_priv.h"

enum { HEAD_DOT_AT = 20, INLINE_MAX = 2048 };

static uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];

struct act_ids hostile_heads(const struct device *m)
{
    return (struct act_ids){heads, members_heads(m->s->sync->members, heads)};
}

struct dot hostile_next_dot(const struct device *m)
{
    struct dot dot = {.replica = replica_id(m->s->replica)};
    dot.counter = vv_get(replica_knowledge(m->s->replica), dot.replica) + 1;
    return dot;
}

/* ---- entries -----------------------------------------------------------------------------------
 */

/* Seals what was signed, whatever it says: entry_seal() takes nothing that others would refuse. */
static void seal(const struct epoch_keys *k, const struct buf *stored, size_t body_n,
                 struct buf *ret)
{
    buf_reset(ret);
    buf_put(ret, k->id.b, EPOCH_ID_SIZE);
    buf_put(ret, stored->p, stored->n - body_n);
    struct buf ad CLEANUP(buf_fini) = {0};
    buf_put_bytes(&ad, buf_bytes(ret));
    seal_put(ret, k->body, buf_bytes(&ad), bytes_of(stored->p + stored->n - body_n, body_n));
    assert_int_equal(buf_status(ret), 0);
}

void hostile_entry_seal(const struct device *m, const struct hostile_entry *x, struct buf *ret)
{
    struct buf plain CLEANUP(buf_fini) = {0}, stored CLEANUP(buf_fini) = {0};
    struct entry_draft d;
    struct entry_head head = {.kind = x->kind == 0 ? ENTRY_VALUE : x->kind,
                              .space = m->s->sync->space,
                              .dot = {x->dot.replica, 1},
                              .stamp = x->stamp};
    struct entry_refs refs = {.acts = x->acts.n > 0 ? x->acts : hostile_heads(m),
                              .replaced = x->replaced};
    const struct epoch_keys *k = x->epoch;
    if (k == NULL)
        k = &m->s->keyring.epochs[m->s->keyring.epochs_n - 1];
    if (head.kind == ENTRY_VALUE)
        buf_put_u64(&plain, x->after);
    buf_put_bytes(&plain, x->plain);
    assert_int_equal(entry_draft_init(&d, &head, &refs, buf_bytes(&plain)), 0);
    dot_encode(&x->dot, d.head + HEAD_DOT_AT);
    assert_int_equal(entry_sign(x->keys != NULL ? x->keys : &m->member->keys, &d, 1, &stored), 0);
    seal(k, &stored, d.body.n, ret);
    entry_draft_fini(&d);
}

void hostile_state(const struct device *m, uint64_t number, const struct state *v, struct buf *ret)
{
    struct buf plain CLEANUP(buf_fini) = {0};
    state_encode(v, &plain);
    struct hostile_entry x = {.kind = ENTRY_STATE,
                              .dot = {replica_id(m->s->replica), number},
                              .plain = buf_bytes(&plain)};
    hostile_entry_seal(m, &x, ret);
}

/* ---- changes -----------------------------------------------------------------------------------
 */

static const char placeholder[] = "in place of a name";

static void put_part(struct buf *change, const struct value *v, struct bytes name)
{
    struct buf part CLEANUP(buf_fini) = {0}, out CLEANUP(buf_fini) = {0};
    const size_t n = sizeof placeholder - 1;
    value_encode(v, VALUE_WIRE, &part);
    if (v->facet == FACET_PLACE) {
        const uint8_t *at = memmem(part.p, part.n, placeholder, n);
        assert_non_null(at);
        size_t before = (size_t)(at - part.p) - 1; /* the length is one byte */
        buf_put(&out, part.p, before);
        buf_put_string(&out, name);
        buf_put(&out, at + n, part.n - before - 1 - n);
    } else {
        buf_put_bytes(&out, buf_bytes(&part));
    }
    buf_put_string(change, buf_bytes(&out));
}

static void put_content(const struct device *m, struct value *v, const struct hostile_file *f,
                        struct buf *change)
{
    struct buf body CLEANUP(buf_fini) = {0};
    v->facet = FACET_CONTENT;
    v->ctx = f->content_ctx;
    assert_true(f->content.n <= INLINE_MAX);
    assert_int_equal(content_inline(f->content, &body), 0);
    v->content = (struct value_content){
        .size = f->content.n, .mtime_ns = 1000000000, .body = buf_bytes(&body)};
    content_hash(&m->s->keys, v->content.body, v->content.hash);
    put_part(change, v, bytes_of(NULL, 0));
}

static void put_file(const struct device *m, const struct dot *dot, struct hostile_file *f,
                     struct buf *change)
{
    struct value v = {.dot = *dot, .stamp = {f->stamp, dot->replica}, .from_own = true};
    v.rid = f->rid;
    if (!f->content_only) {
        v.facet = FACET_PLACE;
        v.place = (struct value_place){
            .alive = true, .parent = f->parent, .name = bytes_str(placeholder)};
        put_part(change, &v, bytes_of(f->name, f->name_n));
        v.facet = FACET_META;
        v.meta = (struct value_meta){.mode = f->mode != 0          ? f->mode
                                             : f->kind == KIND_DIR ? 0755
                                                                   : 0644,
                                     .xattrs = f->xattrs};
        put_part(change, &v, bytes_of(NULL, 0));
    }
    if (f->kind != KIND_DIR)
        put_content(m, &v, f, change);
}

static int by_rid(const void *a, const void *b)
{
    const struct hostile_file *x = a;
    const struct hostile_file *y = b;
    return rid_cmp(&x->rid, &y->rid);
}

void hostile_change(const struct device *m, const struct dot *dot, struct hostile_file *files,
                    size_t n, struct buf *ret)
{
    size_t parts = 0;
    for (size_t i = 0; i < n; i++) {
        struct hostile_file *f = &files[i];
        if (rid_is_root(&f->rid)) {
            randombytes_buf(f->rid.b, RID_SIZE);
            f->rid.b[RID_SIZE - 1] = (uint8_t)((f->rid.b[RID_SIZE - 1] & ~3) | (int)f->kind);
        }
        parts += f->content_only ? 0 : 2;
        parts += f->kind != KIND_DIR;
    }
    qsort(files, n, sizeof *files, by_rid);
    buf_reset(ret);
    value_change_begin(ret, &(struct dot){dot->replica, 1}, parts);
    size_t counter_at = 1 + 8;
    for (size_t i = 0; i < n; i++) {
        size_t at = ret->n;
        put_file(m, dot, &files[i], ret);
        assert_true(ret->n > at);
    }
    assert_int_equal(buf_status(ret), 0);
    put_u64(ret->p + counter_at, dot->counter);
}

/* ---- acts --------------------------------------------------------------------------------------
 */

void hostile_act(const struct device *m, struct act *a, struct buf *ret)
{
    a->space = m->s->sync->space;
    a->author = m->s->sync->id;
    a->number = members_next_number(m->s->sync->members, &a->author);
    a->parents = hostile_heads(m);
    buf_reset(ret);
    assert_int_equal(act_sign(a, &m->member->keys, ret), 0);
}
