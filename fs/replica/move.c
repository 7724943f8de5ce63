/*
 * fs/replica/move - local operations that take an entry elsewhere. Source: README.md, Local
 * operations.
 */
#include <assert.h>
#include <errno.h>

#include "fs/replica/author.h"
#include "fs/replica/mutant.h"

/* Whether what is shown at the new name may be replaced, as rename(2) has it. */
static int may_replace(const struct at *e, const struct at *old)
{
    bool dir = rid_is_dir(&e->rec.rid), old_dir = rid_is_dir(&old->rec.rid);
    if (rid_equal(&e->rec.rid, &old->rec.rid))
        return -EEXIST;
    if (dir != old_dir)
        return dir ? -ENOTDIR : -EISDIR;
    return old->node.live_n > 0 ? -ENOTEMPTY : 0;
}

static int place_at(struct replica *r, struct parts *ps, const struct at *e,
                    const struct rid *parent, struct bytes name)
{
    return parts_place(r, ps, &e->rec.rid, &e->slot->slot,
                       &(struct value_place){.alive = true,
                                             .parent = *parent,
                                             .name = name,
                                             .prev = MUTANT(no_prev) ? RID_ROOT : e->claim.parent});
}

/* What is shown at the new name, if anything: 1, or 0. */
static int load_target(struct replica *r, const struct rid *parent, struct bytes name,
                       struct at *ret)
{
    struct rid rid;
    struct dot slot;
    int rc = author_lookup(r, parent, name, &rid, &slot);
    if (rc <= 0)
        return rc;
    rc = author_at(r, &rid, &slot, ret);
    return rc < 0 ? rc : 1;
}

static int move_parts(struct replica *r, struct parts *ps, const struct at *e,
                      const struct rid *parent, struct bytes name)
{
    bool dir = rid_is_dir(&e->rec.rid);
    struct at old;
    int found = load_target(r, parent, name, &old);
    int rc = found < 0 ? found : found == 1 ? may_replace(e, &old) : 0;
    if (rc == 0 && dir)
        rc = parts_hold(r, ps);
    /* All pins before what affirms: a folder that is pinned as it was may be one to be revived. */
    if (rc == 0)
        rc = parts_pin(r, ps, e);
    if (rc == 0 && found == 1)
        rc = parts_pin(r, ps, &old);
    if (rc == 0)
        rc = parts_affirm(r, ps, &e->claim.parent, NULL);
    if (rc == 0)
        rc = parts_affirm(r, ps, parent, dir ? &e->rec.rid : NULL);
    if (rc == 0 && found == 1)
        rc = parts_bury(r, ps, &old, NULL);
    if (rc == 0)
        rc = parts_bury(r, ps, e, &e->slot->slot);
    return rc < 0 ? rc : place_at(r, ps, e, parent, name);
}

int change_move(struct change *c, const struct rid *rid, const struct dot *slot,
                const struct rid *new_parent, struct bytes new_name)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct node dir;
    struct at e;
    if (!rid_valid(new_parent) || !value_name_valid(new_parent, new_name))
        return -EINVAL;
    if (!rid_is_dir(new_parent))
        return -ENOTDIR;
    size_t mark = txn_mark(&r->txn);
    int rc = author_at(r, rid, slot, &e);
    if (rc == 0)
        rc = node_load(r, new_parent, &dir);
    if (rc == 0 && !node_is_open(&dir))
        rc = -ENOENT;
    if (rc == 0 && rid_equal(&e.claim.parent, new_parent) && bytes_equal(e.shown, new_name))
        return 0;
    if (rc == 0)
        rc = move_parts(r, &ps, &e, new_parent, new_name);
    return author_write(c, &ps, mark, rc);
}

int change_exchange(struct change *c, const struct rid *a, const struct dot *a_slot,
                    const struct rid *b, const struct dot *b_slot)
{
    struct replica *r = c->r;
    struct parts ps = {0};
    struct at x, y;
    size_t mark = txn_mark(&r->txn);
    int rc = author_at(r, a, a_slot, &x);
    if (rc == 0)
        rc = author_at(r, b, b_slot, &y);
    if (rc == 0 && rid_equal(a, b))
        return 0;
    if (rc == 0 && (!value_name_valid(&y.claim.parent, y.shown) ||
                    !value_name_valid(&x.claim.parent, x.shown)))
        rc = -EINVAL;
    if (rc == 0 && (rid_is_dir(a) || rid_is_dir(b)))
        rc = parts_hold(r, &ps);
    if (rc == 0)
        rc = parts_pin(r, &ps, &x);
    if (rc == 0)
        rc = parts_pin(r, &ps, &y);
    if (rc == 0)
        rc = parts_affirm(r, &ps, &y.claim.parent, rid_is_dir(a) ? a : NULL);
    if (rc == 0)
        rc = parts_affirm(r, &ps, &x.claim.parent, rid_is_dir(b) ? b : NULL);
    if (rc == 0)
        rc = parts_bury(r, &ps, &x, &x.slot->slot);
    if (rc == 0)
        rc = parts_bury(r, &ps, &y, &y.slot->slot);
    if (rc == 0)
        rc = place_at(r, &ps, &x, &y.claim.parent, y.shown);
    if (rc == 0)
        rc = place_at(r, &ps, &y, &x.claim.parent, x.shown);
    return author_write(c, &ps, mark, rc);
}
