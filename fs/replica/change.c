/*
 * fs/replica/change - local operations: create, edit, meta, unlink, link. Source: README.md, Local
 * operations.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/author.h"

enum { GENERATIONS_TRIED = 16 };

/* ---- arguments ------------------------------------------------------------------------------- */

static bool meta_valid(const struct value_meta *m)
{
    struct reader in = reader_of(m->xattrs);
    struct bytes name, value, before = {NULL, 0};
    size_t n = 0;
    while (value_xattr_next(&in, &name, &value)) {
        if (++n > LIMIT_XATTRS || (before.n > 0 && bytes_cmp(before, name) >= 0))
            return false;
        before = name;
    }
    return !in.failed && m->mode <= 07777 && m->xattrs.n <= LIMIT_XATTR_BYTES;
}

static bool content_valid(enum kind kind, const struct value_content *c)
{
    uint64_t max = kind == KIND_SYMLINK ? LIMIT_SYMLINK : LIMIT_FILE;
    return kind != KIND_DIR && c->size <= max && c->body.n <= LIMIT_BODY;
}

/* A directory in which something is to be made. */
static int open_dir(struct replica *r, const struct rid *dir)
{
    struct node n;
    if (!rid_valid(dir))
        return -EINVAL;
    if (!rid_is_dir(dir))
        return -ENOTDIR;
    int rc = node_load(r, dir, &n);
    return rc < 0 ? rc : node_is_open(&n) ? 0 : -ENOENT;
}

static int free_name(struct replica *r, const struct rid *dir, struct bytes name)
{
    struct rid rid;
    struct dot slot;
    if (!value_name_valid(dir, name))
        return -EINVAL;
    int rc = author_lookup(r, dir, name, &rid, &slot);
    return rc < 0 ? rc : rc == 1 ? -EEXIST : 0;
}

/* ---- create ---------------------------------------------------------------------------------- */

/* Whether a record id may be used for @name in @parent: not held, or deleted at this very path. */
static int is_free(struct replica *r, const struct rid *rid, const struct rid *parent,
                   struct bytes name)
{
    const struct dot none = {0, 0};
    struct record rec;
    struct slots s;
    struct node n;
    int rc = record_load(r, rid, &rec);
    if (rc < 0 || rec.n == 0)
        return rc < 0 ? rc : 1;
    rc = derive_slots(r, &rec, &s);
    if (rc == 0)
        rc = node_load(r, rid, &n);
    if (rc < 0)
        return rc;
    const struct slot *first = derive_slot(&s, &none);
    return first != NULL && !s.own && n.claims_n == 0 &&
           rid_equal(&first->win->place.parent, parent) &&
           bytes_equal(first->win->place.name, name);
}

/* The lowest generation that is free. Where many are taken, a number that nobody has. */
static int free_rid(struct change *c, enum kind kind, const struct rid *parent, struct bytes name,
                    struct rid *ret)
{
    for (uint64_t g = 0; g < GENERATIONS_TRIED; g++) {
        *ret = hash_rid(&c->r->keys, kind, parent, name, g);
        int rc = is_free(c->r, ret, parent, name);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    for (uint64_t salt = 0;; salt++) {
        uint64_t g = (c->dot.replica ^ c->dot.counter * UINT64_C(0x9e3779b97f4a7c15)) + salt;
        *ret = hash_rid(&c->r->keys, kind, parent, name, g | UINT64_C(1) << 63);
        int rc = is_free(c->r, ret, parent, name);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
}

int change_create(struct change *c, enum kind kind, const struct rid *parent, struct bytes name,
                  const struct value_meta *meta, const struct value_content *content,
                  struct rid *ret_rid)
{
    struct replica *r = c->r;
    const struct dot none = {0, 0};
    struct parts ps = {0};
    struct rid rid;
    if ((kind == KIND_DIR) != (content == NULL) || !meta_valid(meta) ||
        (content != NULL && !content_valid(kind, content)))
        return -EINVAL;
    size_t mark = txn_mark(&r->txn);
    int rc = open_dir(r, parent);
    if (rc == 0)
        rc = free_name(r, parent, name);
    if (rc == 0)
        rc = free_rid(c, kind, parent, name, &rid);
    if (rc == 0)
        rc = parts_affirm(r, &ps, parent, NULL);
    if (rc == 0)
        rc = parts_place(r, &ps, &rid, &none,
                         &(struct value_place){.alive = true, .parent = *parent, .name = name});
    if (rc == 0)
        rc = parts_meta(r, &ps, &rid, meta);
    if (rc == 0 && content != NULL)
        rc = parts_content(r, &ps, &rid, content);
    rc = author_write(c, &ps, mark, rc);
    if (rc == 0)
        *ret_rid = rid;
    return rc;
}

/* ---- edit, meta ------------------------------------------------------------------------------ */

/* A record that is shown, for what concerns it as a whole. */
static int shown_record(struct replica *r, const struct rid *rid, struct record *rec,
                        struct slots *s)
{
    struct node n;
    if (!rid_valid(rid))
        return -EINVAL;
    int rc = node_load(r, rid, &n);
    if (rc == 0 && !node_is_open(&n))
        rc = -ENOENT;
    if (rc == 0)
        rc = record_load(r, rid, rec);
    return rc < 0 ? rc : derive_slots(r, rec, s);
}

/* Whether version @base has the bytes that are shown. A version that is gone has not. */
static int is_current(struct replica *r, const struct record *rec, const struct dot *base)
{
    const struct value *now = derive_content(rec);
    if (now == NULL || base == NULL || dot_equal(base, &now->dot))
        return 1;
    uint8_t k[KEY_MAX];
    struct bytes key = past_version_key(k, &rec->rid, base), row, body;
    struct replica_content old;
    int rc = txn_get(&r->txn, DB_VERSION, key, &row);
    if (rc == 1) {
        rc = past_version(key, row, &old, &body);
        return rc < 0 ? rc : memcmp(old.hash, now->content.hash, HASH_SIZE) == 0;
    }
    return rc;
}

int change_edit(struct change *c, const struct rid *rid, const struct value_content *content,
                const struct dot *base)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct record rec;
    struct slots s;
    const struct value **unsettled;
    size_t n, keep = 1;
    if (!rid_valid(rid) || !content_valid(rid_kind(rid), content))
        return -EINVAL;
    size_t mark = txn_mark(&r->txn);
    int rc = shown_record(r, rid, &rec, &s);
    if (rc == 0)
        rc = is_current(r, &rec, base);
    if (rc == 0)
        keep = 0; /* what is shown was not seen by the editor: it stays too, as a sibling */
    if (rc >= 0)
        rc = derive_unsettled(r, &rec, &unsettled, &n);
    if (rc == 0 && n > keep)
        rc = parts_siblings(r, &ps, &rec, &s, unsettled + keep, n - keep);
    if (rc == 0)
        rc = parts_content(r, &ps, rid, content);
    return author_write(c, &ps, mark, rc);
}

int change_meta(struct change *c, const struct rid *rid, const struct value_meta *meta)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct record rec;
    struct slots s;
    if (!meta_valid(meta))
        return -EINVAL;
    size_t mark = txn_mark(&r->txn);
    int rc = shown_record(r, rid, &rec, &s);
    if (rc == 0)
        rc = parts_meta(r, &ps, rid, meta);
    return author_write(c, &ps, mark, rc);
}

/* ---- unlink, link ---------------------------------------------------------------------------- */

int change_unlink(struct change *c, const struct rid *rid, const struct dot *slot)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct at e;
    size_t mark = txn_mark(&r->txn);
    int rc = author_at(r, rid, slot, &e);
    if (rc == 0 && e.node.live_n > 0)
        rc = -ENOTEMPTY;
    if (rc == 0 && rid_is_dir(rid))
        rc = parts_hold(r, &ps);
    if (rc == 0)
        rc = parts_pin(r, &ps, &e);
    if (rc == 0)
        rc = parts_affirm(r, &ps, &e.claim.parent, NULL);
    if (rc == 0)
        rc = parts_bury(r, &ps, &e, NULL);
    return author_write(c, &ps, mark, rc);
}

int change_link(struct change *c, const struct rid *rid, const struct rid *parent,
                struct bytes name, struct dot *ret_slot)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct record rec;
    struct slots s = {0};
    if (rid_valid(rid) && rid_is_dir(rid))
        return -EPERM;
    size_t mark = txn_mark(&r->txn);
    int rc = shown_record(r, rid, &rec, &s);
    if (rc == 0)
        rc = open_dir(r, parent);
    if (rc == 0)
        rc = free_name(r, parent, name);
    if (rc == 0 && s.n >= LIMIT_LINKS)
        rc = -EMLINK;
    if (rc == 0 && derive_slot(&s, &c->dot) != NULL)
        rc = -EAGAIN;
    if (rc == 0)
        rc = parts_affirm(r, &ps, parent, NULL);
    if (rc == 0)
        rc = parts_place(r, &ps, rid, &c->dot,
                         &(struct value_place){.alive = true, .parent = *parent, .name = name});
    rc = author_write(c, &ps, mark, rc);
    if (rc == 0)
        *ret_slot = c->dot;
    return rc;
}
