/*
 * A folder that is gone went with all that was in it: the names below it cannot be looked at one by
 * one any more, so its record tells what to delete.
 */
#include <errno.h>

#include "fs/space/space_priv.h"

enum { UNLINKS_MAX = 40 /* of one change: it keeps names and their files locked */ };

struct gone {
    struct space *s;
    struct change *c;
    const struct publish_item *item;
    unsigned unlinks;
};

static int add_entry(void *ctx, const struct replica_entry *e)
{
    struct buf *b = ctx;
    buf_put(b, e, sizeof *e);
    return buf_status(b);
}

struct other {
    struct space *s;
    uint64_t ino;
    bool kept; /* the file still has another name of its record */
};

static int look_other(void *arg, const struct replica_entry *e)
{
    struct other *o = arg;
    uint64_t dir;
    struct attr a;
    int rc = bind_ino(o->s, &e->parent, &dir);
    if (rc == 0)
        rc = tree_lookup(o->s->tree, dir, bytes_of(e->name, e->name_len), &a);
    o->kept = o->kept || (rc == 0 && a.ino == o->ino);
    return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
}

/* Whether the file lives on under a name that has not been published yet: then it was moved. */
static int is_moving(struct gone *g, const struct rid *rid)
{
    struct other o = {.s = g->s};
    struct attr a;
    int rc = g->item->quiet ? -ENOENT : bind_ino(g->s, rid, &o.ino);
    if (rc == 0)
        rc = tree_getattr(g->s->tree, o.ino, &a);
    if (rc < 0 || a.nlink == 0)
        return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
    rc = replica_entries(g->s->replica, rid, look_other, &o);
    return rc < 0 ? rc : !o.kept;
}

int publish_is_linked(struct space *s, const struct rid *rid)
{
    struct other o = {.s = s};
    int rc = bind_ino(s, rid, &o.ino);
    if (rc == 0)
        rc = replica_entries(s->replica, rid, look_other, &o);
    return rc == -ENOENT ? 0 : rc < 0 ? rc : o.kept;
}

static int unlink_below(struct gone *g, const struct rid *dir)
{
    CLEANUP(buf_fini) struct buf list = {0};
    int rc = replica_list(g->s->replica, dir, add_entry, &list);
    for (size_t at = 0; rc == 0 && at < list.n; at += sizeof(struct replica_entry)) {
        struct replica_entry e;
        memcpy(&e, list.p + at, sizeof e);
        rc = is_moving(g, &e.rid);
        if (rc > 0)
            return -EAGAIN;
        if (rc == 0 && rid_is_dir(&e.rid))
            rc = unlink_below(g, &e.rid);
        if (rc == 0 && g->unlinks++ >= UNLINKS_MAX)
            return 1;
        if (rc == 0)
            rc = change_unlink(g->c, &e.rid, &e.slot);
    }
    return rc;
}

int publish_gone(struct space *s, struct change *c, const struct publish_item *item,
                 const struct replica_entry *e)
{
    struct gone g = {s, c, item, 0};
    int rc = rid_is_dir(&e->rid) ? unlink_below(&g, &e->rid) : 0;
    return rc != 0 ? rc : change_unlink(c, &e->rid, &e->slot);
}
