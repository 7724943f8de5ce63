/*
 * What is to be done with a name of the tree that changed.
 *
 * Identity follows the name: where a published name has a new file, its old one being gone or moved
 * away, that is an edit of the same record, whatever way the editor took. A file that left its name
 * and has another one was moved, unless the name got a new file, or it is a temporary file that
 * ended a save.
 */
#include <errno.h>

#include "fs/space/ignore.h"
#include "fs/space/publish_edit.h"
#include "fs/space/publish_view.h"

enum {
    HOPS_MAX = 64,
    KEEP_S = 10, /* how old a folder that is not published may be and still be about to be */
};

static int file_at(struct space *s, uint64_t dir, struct bytes name, struct attr *ret,
                   bool *ret_has)
{
    int rc = tree_lookup(s->tree, dir, name, ret);
    *ret_has = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

/* Where the file went that left this name: the last stop of its way, if it is still there. */
static int follow(struct space *s, uint64_t dir, struct bytes name, uint64_t ino, struct view *v,
                  bool *ret_found)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t key_n = pending_name_key(dir, name, key);
    *ret_found = false;
    for (int hop = 0; hop < HOPS_MAX; hop++) {
        struct db_value p;
        int rc = db_get(s->db, DB_PENDING, bytes_of(key, key_n), &p);
        if (rc < 0 || p.v.n <= 16 || get_u64(p.v.p) != ino) {
            db_value_fini(&p);
            return rc == -ENOENT ? 0 : rc;
        }
        v->to_dir = get_u64(p.v.p + 8);
        buf_reset(&v->to_name);
        buf_put(&v->to_name, p.v.p + 16, p.v.n - 16);
        db_value_fini(&p);
        if (buf_status(&v->to_name) < 0)
            return -ENOMEM;
        struct attr a;
        rc = file_at(s, v->to_dir, buf_bytes(&v->to_name), &a, ret_found);
        if (rc < 0)
            return rc == -ESTALE ? 0 : rc;
        *ret_found = *ret_found && a.ino == ino;
        if (*ret_found) {
            v->file = a;
            return 0;
        }
        key_n = pending_name_key(v->to_dir, buf_bytes(&v->to_name), key);
    }
    return 0;
}

static void wait_for(struct view *v, enum publish_result what)
{
    v->act = ACT_WAIT;
    v->wait = what;
}

/* Does the file that shows the record have a name, which the record does not know of yet? */
static bool has_name(struct space *s, const struct rid *rid, uint64_t ino)
{
    struct attr a;
    return tree_getattr(s->tree, ino, &a) == 0 && a.nlink > 0 && a.bound &&
           memcmp(a.record, rid->b, sizeof a.record) == 0 && publish_is_linked(s, rid) == 0;
}

/* The file that left the name is at view.to. To where it is ignored, it is a deletion. */
static int look_followed(struct space *s, struct view *v)
{
    struct attr to;
    int rc = tree_getattr(s->tree, v->to_dir, &to);
    if (rc < 0)
        return rc == -ESTALE ? 0 : rc;
    bool ignored = false;
    struct rid dir = bind_rid(&to);
    if (to.bound) {
        rc = ignore_name(s, &dir, buf_bytes(&v->to_name), attr_is_dir(&v->file), &ignored);
    } else {
        rc = ignore_folder(s, v->to_dir);
        ignored = rc > 0;
    }
    if (rc < 0 || ignored)
        return rc < 0 ? rc : 0;
    if (to.bound)
        v->act = ACT_FOLLOW;
    else /* into a folder that is not published yet */
        wait_for(v, PUBLISH_LATER);
    return 0;
}

/* The name is gone. */
static int look_gone(struct space *s, const struct publish_item *item, struct view *v)
{
    uint64_t ino;
    if (!item->settled && !item->forced) {
        wait_for(v, PUBLISH_SETTLE);
        return 0;
    }
    v->act = ACT_UNLINK;
    int rc = bind_ino(s, &v->record.rid, &ino);
    if (rc == -ENOENT) {
        rc = bind_waits(s, &v->record.rid);
        v->act = rc > 0 ? ACT_FORGET : ACT_UNLINK; /* it was never shown */
        return rc < 0 ? rc : 0;
    }
    if (rc < 0)
        return rc;
    bool found;
    rc = follow(s, item->ino, item->name, ino, v, &found);
    if (rc == 0 && !found && !item->quiet && has_name(s, &v->record.rid, ino))
        wait_for(v, PUBLISH_LATER); /* somewhere: that name is pending, and moves the record */
    return rc < 0 || !found ? rc : look_followed(s, v);
}

struct places {
    struct space *s;
    uint64_t ino;
    bool kept, moved, taken;
    struct replica_entry from;
};

/* Which of the record's names the file still has, and which have neither it nor a new file. */
static int look_place(void *arg, const struct replica_entry *e)
{
    struct places *p = arg;
    uint64_t dir;
    struct attr a;
    bool has = false;
    int rc = bind_ino(p->s, &e->parent, &dir);
    if (rc == 0)
        rc = file_at(p->s, dir, bytes_of(e->name, e->name_len), &a, &has);
    if (rc < 0 && rc != -ENOENT && rc != -ESTALE)
        return rc;
    if (has && a.ino == p->ino) {
        p->kept = true;
    } else if (has) {
        p->taken = true;
    } else {
        p->moved = true;
        p->from = *e;
    }
    return 0;
}

int publish_was_replaced(struct space *s, const struct attr *a)
{
    struct rid rid = bind_rid(a);
    struct places p = {.s = s, .ino = a->ino};
    int rc = replica_entries(s->replica, &rid, look_place, &p);
    return rc < 0 ? rc : p.taken && !p.kept && !p.moved;
}

/* A file that shows a record has a name that the record does not have. */
static int look_known(struct space *s, struct view *v)
{
    struct rid rid = bind_rid(&v->file);
    struct places p = {.s = s, .ino = v->file.ino};
    int rc = replica_entries(s->replica, &rid, look_place, &p);
    if (rc < 0)
        return rc;
    if (!p.moved && !p.kept) { /* its record stayed with the name it left */
        v->act = ACT_CREATE;
        return 0;
    }
    v->act = p.moved ? ACT_MOVE : ACT_LINK;
    v->from = p.from;
    return 0;
}

/*
 * Did a program save the record of this name by way of a temporary file, which lived so long that
 * it became a record of its own? The tree says which file may be one (attr.over). Not if its record
 * has had other devices' changes that are not in it.
 */
static int is_save(struct space *s, const struct view *v)
{
    struct rid rid = bind_rid(&v->file);
    struct dot base;
    struct replica_info own;
    if (v->file.nlink != 1 || !edit_base(&v->record.rid, &v->file, &base))
        return 0;
    int rc = replica_stat(s->replica, &rid, &own);
    if (rc < 0)
        return rc;
    struct base_ref shown = base_of(&rid, &own.content.dot);
    if (own.conflict || !v->file.has_base || memcmp(&shown, &v->file.base, sizeof shown) != 0)
        return 0;
    rc = publish_is_linked(s, &v->record.rid);
    return rc < 0 ? rc : rc == 0;
}

/* A file gets a further name of its record, or another one. */
static void look_elsewhere(const struct publish_item *item, struct view *v, enum kind kind)
{
    /* No program saves by moving folders: what a moved one means is clear at once. */
    bool clear = kind == KIND_DIR && v->act == ACT_MOVE;
    if (!clear && !item->settled && !item->forced)
        wait_for(v, PUBLISH_SETTLE);
    /* Another record's name is free for a file of its own kind that moves there, only. */
    else if (v->has_record && (v->act == ACT_LINK || rid_kind(&v->record.rid) != kind))
        v->act = ACT_CLEAR;
}

/* Is the file in a state that may be published? Links, directories: always. */
static bool is_whole(struct space *s, const struct publish_item *item, const struct attr *file)
{
    if (!attr_is_file(file))
        return true;
    struct op x;
    struct attr *a;
    if (op_begin(s->tree, false, &x) < 0)
        return false;
    bool whole = op_add(&x, file->ino, &a) == 0 &&
                 (!op_is_open(&x, a, true) || (item->quiet && !op_is_cut(&x, a)));
    (void)op_abort(&x, 0);
    return whole;
}

/* A name without a record: does it stay on this device? That is not known while rules change. */
static int look_ignored(struct space *s, struct publish_item *item, struct view *v)
{
    struct rid dir = bind_rid(&v->dir);
    int rc = ignore_name(s, &dir, item->name, attr_is_dir(&v->file), &item->local);
    if (rc == 0 && !item->quiet)
        rc = ignore_unsettled(s, item->ino, item->name);
    if (rc > 0)
        wait_for(v, PUBLISH_LATER);
    return rc < 0 ? rc : rc > 0 || item->local;
}

/*
 * Its folder is not published: when that happens, all in it is pending anew. So a note is of use
 * only while that is to be expected, and one in a folder that is ignored would never go.
 */
static enum action look_unpublished(const struct attr *dir)
{
    return dir->nlink == 0 || attr_now().tv_sec > dir->btime.tv_sec + KEEP_S ? ACT_FORGET
                                                                             : ACT_KEEP;
}

int publish_look(struct space *s, struct publish_item *item, struct view *v)
{
    v->act = ACT_FORGET;
    v->has_file = v->has_record = v->was_temporary = false;
    int rc = tree_getattr(s->tree, item->ino, &v->dir);
    if (rc < 0)
        return rc == -ESTALE ? 0 : rc;
    if (!v->dir.bound || v->dir.nlink == 0) {
        v->act = look_unpublished(&v->dir);
        return file_at(s, item->ino, item->name, &v->file, &v->has_file);
    }
    struct rid dir = bind_rid(&v->dir);
    rc = file_at(s, item->ino, item->name, &v->file, &v->has_file);
    if (rc < 0)
        return rc;
    rc = replica_lookup(s->replica, &dir, item->name, &v->record);
    v->has_record = rc == 0;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    enum kind kind;
    if (!v->has_file)
        return v->has_record ? look_gone(s, item, v) : 0;
    bool known = v->file.bound;
    struct rid rid = bind_rid(&v->file);
    if (v->has_record && known && rid_cmp(&rid, &v->record.rid) == 0)
        return 0;
    if (!capture_kind(&v->file, &kind) || !value_name_valid(&dir, item->name))
        return 0;
    rc = v->has_record ? 0 : look_ignored(s, item, v);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    v->act = ACT_CREATE;
    rc = known ? look_known(s, v) : 0;
    if (rc == 0 && v->act == ACT_MOVE && v->has_record)
        rc = is_save(s, v);
    if (rc < 0)
        return rc;
    v->was_temporary = rc > 0;
    if (v->act != ACT_CREATE && !v->was_temporary) {
        look_elsewhere(item, v, kind);
        return 0;
    }
    if (v->has_record)
        v->act = rid_kind(&v->record.rid) == kind && kind != KIND_DIR ? ACT_REPLACE : ACT_CLEAR;
    /* A hard link that was replaced: its record goes on under the other names. */
    if (v->act == ACT_REPLACE) {
        rc = publish_is_linked(s, &v->record.rid);
        if (rc < 0)
            return rc;
        v->act = rc > 0 ? ACT_CLEAR : ACT_REPLACE;
    }
    /* Made, and just about to be written to by who made it: not what the name stands for. */
    bool bare = v->act == ACT_REPLACE && v->file.size == 0 && !item->settled;
    if (!is_whole(s, item, &v->file)) {
        item->wait_ino = v->file.ino;
        wait_for(v, PUBLISH_OPEN);
    } else if (bare) {
        wait_for(v, PUBLISH_SETTLE);
    } else if (v->act != ACT_REPLACE && !item->settled && !item->forced) {
        wait_for(v, PUBLISH_SETTLE);
    }
    return 0;
}
