#include "tests/sim/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { WORDS_MAX = 4096 };

void text_put(struct buf *b, const char *fmt, ...)
{
    char text[WORDS_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < sizeof text);
    buf_put(b, text, (size_t)n);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void put_hex(struct buf *b, struct bytes v)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < v.n; i++) {
        buf_put_u8(b, (uint8_t)digits[v.p[i] >> 4]);
        buf_put_u8(b, (uint8_t)digits[v.p[i] & 15]);
    }
}

static void put_dot(struct buf *b, const struct dot *d)
{
    text_put(b, "%llu.%llu", (unsigned long long)d->replica, (unsigned long long)d->counter);
}

static void put_dots(struct buf *b, struct dots d)
{
    for (size_t i = 0; i < d.n; i++) {
        struct dot x = dots_at(d, i);
        text_put(b, i > 0 ? " " : "");
        put_dot(b, &x);
    }
}

static void put_origin(struct buf *b, const struct value *v)
{
    for (size_t i = 0; i < value_from_n(v); i++) {
        struct dot x = value_from_at(v, i);
        text_put(b, i > 0 ? " " : "");
        put_dot(b, &x);
    }
}

/* The hash that the value has, and the bytes that it ought to be of. */
static void put_content(struct world *w, int i, const struct value *v, struct buf *b)
{
    struct buf stored = {0};
    struct bytes body = v->content.body;
    if (body.n != v->content.size) {
        int rc = replica_version_get(w->d[i].r, &v->rid, &v->dot, &stored);
        assert(rc == 0);
        body = buf_bytes(&stored);
    }
    put_hex(b, bytes_of(v->content.hash, HASH_SIZE));
    text_put(b, "\t");
    put_hex(b, body);
    buf_fini(&stored);
}

static void put_place(struct buf *b, const struct value_place *p)
{
    text_put(b, "%s\t", p->alive ? "alive" : "deleted");
    put_hex(b, bytes_of(p->parent.b, RID_SIZE));
    text_put(b, "\t");
    put_hex(b, bytes_of(p->prev.b, RID_SIZE));
    text_put(b, "\t");
    put_dots(b, p->cseen);
    text_put(b, "\t");
    buf_put_bytes(b, p->name);
}

void text_value(struct world *w, int i, const struct value *v, struct buf *b)
{
    static const char *const facets[] = {"place", "meta", "content"};
    put_hex(b, bytes_of(v->rid.b, RID_SIZE));
    text_put(b, "\t%s\t", facets[v->facet]);
    put_dot(b, &v->slot);
    text_put(b, "\t");
    put_dot(b, &v->dot);
    text_put(b, "\t");
    put_dots(b, v->ctx);
    text_put(b, "\t%llu/%llu\t", (unsigned long long)v->stamp.hlc,
             (unsigned long long)v->stamp.replica);
    put_origin(b, v);
    text_put(b, "\t");
    if (v->facet == FACET_META)
        text_put(b, "%o", v->meta.mode);
    else if (v->facet == FACET_CONTENT)
        put_content(w, i, v, b);
    else
        put_place(b, &v->place);
    text_put(b, "\n");
}

static int add_held(void *ctx, const struct value *v)
{
    struct buf one = {0};
    value_encode(v, VALUE_STORED, &one);
    buf_put_string(ctx, buf_bytes(&one));
    buf_fini(&one);
    return 0;
}

size_t text_held(struct world *w, int i, struct buf *b)
{
    struct buf all = {0};
    size_t n = 0;
    int rc = replica_values(w->d[i].r, add_held, &all);
    assert(rc == 0);
    for (struct reader in = reader_of(buf_bytes(&all)); in.n > 0; n++) {
        struct value v;
        rc = value_decode(reader_string(&in, LIMIT_PART), VALUE_STORED, &v);
        assert(rc == 0);
        text_value(w, i, &v, b);
    }
    buf_fini(&all);
    return n;
}

void text_vector(struct buf *b, const struct vv *v)
{
    struct buf elements = {0};
    vv_put_elements(&elements, v);
    put_dots(b, (struct dots){elements.p, v->n});
    buf_fini(&elements);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static void put_record(struct world *w, int i, const struct rid *rid, struct buf *b)
{
    struct replica_info info;
    int rc = replica_stat(w->d[i].r, rid, &info);
    assert(rc == 0);
    put_hex(b, bytes_of(rid->b, RID_SIZE));
    if (info.has_meta)
        text_put(b, " %o", info.mode);
    if (!dot_is_none(&info.content.dot)) {
        text_put(b, " = ");
        put_hex(b, bytes_of(info.content.hash, HASH_SIZE));
    }
    text_put(b, "%s%s%s\n", info.alive ? "" : " deleted", info.suspended ? " suspended" : "",
             info.conflict ? " conflict" : "");
}

void text_shown(struct world *w, int i, struct buf *b)
{
    size_t n;
    char **paths = world_paths(w, i, &n);
    for (size_t k = 0; k < n; k++) {
        struct replica_entry e;
        int rc = world_find(w, i, paths[k], &e);
        assert(rc == 0);
        text_put(b, "%s ", paths[k]);
        put_record(w, i, &e.rid, b);
    }
    world_paths_free(paths, n);
}
