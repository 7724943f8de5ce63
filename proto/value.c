#include "proto/value.h"

#include <assert.h>
#include <errno.h>

enum { CHANGE_FORMAT = 1 };

bool value_name_valid(const struct rid *parent, struct bytes name)
{
    static const char reserved[] = ".persist";
    if (name.n == 0 || name.n > LIMIT_NAME || memchr(name.p, '/', name.n) != NULL ||
        memchr(name.p, '\0', name.n) != NULL)
        return false;
    if (name.p[0] == '.' && (name.n == 1 || (name.n == 2 && name.p[1] == '.')))
        return false;
    return !(rid_is_root(parent) && bytes_equal(name, bytes_str(reserved)));
}

/* ---- encoding ----------------------------------------------------------------------------------
 */

static void put_origin(const struct value *v, struct buf *b)
{
    if (v->from_own) {
        buf_put_varint(b, 0);
        return;
    }
    buf_put_varint(b, v->from.n + 1);
    buf_put(b, v->from.p, v->from.n * DOT_SIZE);
}

static void put_place(const struct value_place *p, struct buf *b)
{
    assert(p->name.n > 0 && p->name.n <= LIMIT_NAME);
    buf_put_u8(b, p->alive);
    rid_put(b, &p->parent);
    buf_put_string(b, p->name);
    rid_put(b, &p->prev);
    if (!p->alive)
        dots_put(b, p->cseen);
}

static void put_content(const struct value_content *c, enum value_form form, struct buf *b)
{
    buf_put_varint(b, c->size);
    buf_put_u64(b, (uint64_t)c->mtime_ns);
    buf_put(b, c->hash, HASH_SIZE);
    if (form == VALUE_WIRE)
        buf_put_string(b, c->body);
}

void value_encode(const struct value *v, enum value_form form, struct buf *b)
{
    assert(rid_valid(&v->rid) && dot_valid(&v->dot));
    buf_put_u8(b, (uint8_t)form);
    buf_put_u8(b, (uint8_t)v->facet);
    rid_put(b, &v->rid);
    dot_put(b, &v->dot);
    if (v->facet == FACET_PLACE)
        dot_put(b, &v->slot);
    dots_put(b, v->ctx);
    buf_put_u64(b, v->stamp.hlc);
    buf_put_u64(b, v->stamp.replica);
    put_origin(v, b);
    switch (v->facet) {
    case FACET_PLACE:
        put_place(&v->place, b);
        break;
    case FACET_META:
        buf_put_u32(b, v->meta.mode);
        buf_put_string(b, v->meta.xattrs);
        break;
    case FACET_CONTENT:
        put_content(&v->content, form, b);
        break;
    }
}

/* ---- decoding ----------------------------------------------------------------------------------
 */

static bool read_bool(struct reader *r)
{
    uint8_t b = reader_u8(r);
    if (b > 1)
        r->failed = true;
    return b == 1;
}

static struct rid read_dir(struct reader *r)
{
    struct rid rid = rid_read(r);
    if (!rid_is_dir(&rid))
        r->failed = true;
    return rid;
}

/* One origin has one encoding: the own dot is never written out. */
static void read_origin(struct reader *r, struct value *v)
{
    struct reader peek = *r;
    uint64_t n = reader_varint(&peek);
    v->from_own = n == 0;
    v->from = (struct dots){NULL, 0};
    if (n == 0 || peek.failed) {
        *r = peek;
        return;
    }
    *r = peek;
    if (n - 1 > LIMIT_FROM) {
        r->failed = true;
        return;
    }
    struct bytes raw = reader_bytes(r, (size_t)(n - 1) * DOT_SIZE);
    v->from = (struct dots){raw.p, raw.n / DOT_SIZE};
    for (size_t i = 0; i < v->from.n; i++) {
        struct dot now = dots_at(v->from, i);
        struct dot before = i > 0 ? dots_at(v->from, i - 1) : (struct dot){0, 0};
        if (!dot_valid(&now) || (i > 0 && dot_cmp(&before, &now) >= 0))
            r->failed = true;
    }
    if (v->from.n == 1) {
        struct dot only = dots_at(v->from, 0);
        if (dot_equal(&only, &v->dot))
            r->failed = true;
    }
}

static void read_place(struct reader *r, struct value *v)
{
    struct value_place *p = &v->place;
    p->alive = read_bool(r);
    p->parent = read_dir(r);
    p->name = reader_string(r, LIMIT_NAME);
    p->prev = read_dir(r);
    p->cseen = p->alive ? (struct dots){NULL, 0} : dots_read_vector(r, LIMIT_VECTOR);
    if (r->failed || !value_name_valid(&p->parent, p->name))
        r->failed = true;
    /* The root has no place, and a directory has only one. */
    if (rid_is_root(&v->rid) || (rid_is_dir(&v->rid) && !dot_is_none(&v->slot)))
        r->failed = true;
}

static bool xattr_name_valid(struct bytes name)
{
    return name.n > 0 && name.n <= LIMIT_XATTR_NAME && memchr(name.p, '\0', name.n) == NULL;
}

static void read_meta(struct reader *r, struct value_meta *m)
{
    m->mode = reader_u32(r);
    m->xattrs = reader_string(r, LIMIT_XATTR_BYTES);
    if (m->mode > 07777)
        r->failed = true;
    struct reader in = reader_of(m->xattrs);
    struct bytes name, value, before = {NULL, 0};
    size_t n = 0;
    while (!r->failed && value_xattr_next(&in, &name, &value)) {
        if (++n > LIMIT_XATTRS || (before.n > 0 && bytes_cmp(before, name) >= 0))
            r->failed = true;
        before = name;
    }
    if (in.failed)
        r->failed = true;
}

static void read_content(struct reader *r, enum value_form form, struct value *v)
{
    struct value_content *c = &v->content;
    enum kind kind = rid_kind(&v->rid);
    c->size = reader_varint(r);
    c->mtime_ns = (int64_t)reader_u64(r);
    struct bytes hash = reader_bytes(r, HASH_SIZE);
    if (hash.n == HASH_SIZE)
        memcpy(c->hash, hash.p, HASH_SIZE);
    c->body = form == VALUE_WIRE ? reader_string(r, LIMIT_BODY) : (struct bytes){NULL, 0};
    if (kind == KIND_DIR || c->size > (kind == KIND_SYMLINK ? LIMIT_SYMLINK : LIMIT_FILE))
        r->failed = true;
}

static void read_head(struct reader *r, enum value_form form, struct value *v)
{
    if (reader_u8(r) != (uint8_t)form)
        r->failed = true;
    uint8_t facet = reader_u8(r);
    if (facet > FACET_CONTENT)
        r->failed = true;
    v->facet = r->failed ? FACET_PLACE : (enum facet)facet;
    v->rid = rid_read(r);
    v->dot = dot_read(r);
    v->slot = v->facet == FACET_PLACE ? dot_read(r) : (struct dot){0, 0};
    if (!dot_valid(&v->dot) || !(dot_is_none(&v->slot) || dot_valid(&v->slot)))
        r->failed = true;
    v->ctx = dots_read_vector(r, LIMIT_VECTOR);
    /* A context that holds its own dot would make the value supersede itself. */
    if (dots_cover(v->ctx, &v->dot))
        r->failed = true;
    v->stamp.hlc = reader_u64(r);
    v->stamp.replica = reader_u64(r);
}

int value_decode(struct bytes in, enum value_form form, struct value *ret)
{
    if (in.n > LIMIT_PART)
        return -EBADMSG;
    struct reader r = reader_of(in);
    *ret = (struct value){0};
    read_head(&r, form, ret);
    if (r.failed)
        return -EBADMSG;
    read_origin(&r, ret);
    switch (ret->facet) {
    case FACET_PLACE:
        read_place(&r, ret);
        break;
    case FACET_META:
        read_meta(&r, &ret->meta);
        break;
    case FACET_CONTENT:
        read_content(&r, form, ret);
        break;
    }
    return reader_end(&r);
}

/* ---- what a value says -------------------------------------------------------------------------
 */

int value_cmp(const struct value *a, const struct value *b)
{
    if (a->facet != b->facet)
        return a->facet < b->facet ? -1 : 1;
    int c = dot_cmp(&a->slot, &b->slot);
    return c != 0 ? c : dot_cmp(&a->dot, &b->dot);
}

bool value_same_facet(const struct value *a, const struct value *b)
{
    return a->facet == b->facet && dot_equal(&a->slot, &b->slot) && rid_equal(&a->rid, &b->rid);
}

bool value_seen(const struct value *v, const struct dot *dot)
{
    return dot_equal(&v->dot, dot) || dots_cover(v->ctx, dot);
}

size_t value_from_n(const struct value *v)
{
    return v->from_own ? 1 : v->from.n;
}

struct dot value_from_at(const struct value *v, size_t i)
{
    assert(i < value_from_n(v));
    return v->from_own ? v->dot : dots_at(v->from, i);
}

bool value_from_within(const struct value *v, const struct vv *vv)
{
    return v->from_own ? vv_has(vv, &v->dot) : vv_covers_dots(vv, v->from);
}

void value_xattr_put(struct buf *b, struct bytes name, struct bytes value)
{
    assert(xattr_name_valid(name));
    buf_put_string(b, name);
    buf_put_string(b, value);
}

bool value_xattr_next(struct reader *r, struct bytes *ret_name, struct bytes *ret_value)
{
    if (r->failed || r->n == 0)
        return false;
    struct bytes name = reader_string(r, LIMIT_XATTR_NAME);
    struct bytes value = reader_string(r, LIMIT_XATTR_VALUE);
    if (r->failed || !xattr_name_valid(name)) {
        r->failed = true;
        return false;
    }
    *ret_name = name;
    *ret_value = value;
    return true;
}

/* ---- changes -----------------------------------------------------------------------------------
 */

void value_change_begin(struct buf *b, const struct dot *dot, size_t n)
{
    assert(n > 0 && n <= LIMIT_CHANGE_PARTS);
    buf_put_u8(b, CHANGE_FORMAT);
    dot_put(b, dot);
    buf_put_varint(b, n);
}

int value_change_open(struct bytes in, struct reader *ret_r, struct dot *ret_dot, size_t *ret_n)
{
    struct reader r = reader_of(in);
    uint8_t format = reader_u8(&r);
    struct dot dot = dot_read(&r);
    uint64_t n = reader_varint(&r);
    if (r.failed || format != CHANGE_FORMAT || !dot_valid(&dot) || n == 0 || n > LIMIT_CHANGE_PARTS)
        return -EBADMSG;
    *ret_r = r;
    *ret_dot = dot;
    *ret_n = (size_t)n;
    return 0;
}

int value_change_next(struct reader *r, const struct dot *dot, struct value *ret)
{
    struct bytes part = reader_string(r, LIMIT_PART);
    if (r->failed)
        return -EBADMSG;
    int rc = value_decode(part, VALUE_WIRE, ret);
    return rc == 0 && !dot_equal(&ret->dot, dot) ? -EBADMSG : rc;
}
