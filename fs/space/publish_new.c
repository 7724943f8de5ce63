/*
 * New small files that are due together, published with one write: it is wholly there or not at
 * all, as each of them would be by itself, and others are told of all at once.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/ignore.h"
#include "fs/space/publish_deed.h"

enum {
    FILES_MAX = 32,         /* names are locked while so many are written */
    BYTES_MAX = 256 << 10,  /* of their contents, but for the last one */
    ROOM_BYTES = 128 << 10, /* what publishing a small file takes, at most */
};

struct new_file {
    struct publish_item item;
    struct view v;
    struct edit edit;
    struct deed deed;
};

struct many {
    struct space *s;
    struct op x;
    struct inval_list *invals;
    size_t n;
    uint64_t bytes;
    struct new_file *file[FILES_MAX];
};

bool publish_is_new(const struct publish_item *item, const struct view *v)
{
    return v->act == ACT_CREATE && !v->has_record && !attr_is_dir(&v->file) && !v->file.bound &&
           v->file.nlink == 1 && v->file.size <= CONTENT_INLINE_MAX && !ignore_is_rules(item->name);
}

/* Takes the content, and authors the change. On failure nothing of it is left. */
static int add(struct many *m, const struct publish_item *item, const struct view *v)
{
    struct space *s = m->s;
    struct new_file *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->item = *item;
    f->v = *v;
    f->deed = (struct deed){
        .s = s, .x = &m->x, .item = &f->item, .v = &f->v, .edit = &f->edit, .invals = m->invals};
    int rc = edit_take(s, NULL, &f->v.file, false, &f->edit);
    if (rc == 0) {
        f->deed.c = replica_begin(s->replica, NULL);
        rc = f->deed.c == NULL ? -ENOMEM : deed_create(&f->deed);
        if (rc == 0)
            rc = replica_commit(f->deed.c, NULL);
        else
            replica_cancel(f->deed.c);
    }
    if (rc < 0) {
        edit_fini(&f->edit);
        free(f);
        return rc;
    }
    m->bytes += f->v.file.size;
    m->file[m->n++] = f;
    return 0;
}

/* Adds those that are due, up to one that is something else. */
static void add_more(struct many *m)
{
    struct publish_item item;
    while (m->n < FILES_MAX && m->bytes < BYTES_MAX && publisher_more(m->s, &item)) {
        struct view v = {0};
        int rc = publish_look(m->s, &item, &v);
        bool fits = rc == 0 && publish_is_new(&item, &v) && add(m, &item, &v) == 0;
        buf_fini(&v.to_name);
        if (!fits) {
            publisher_not_more(m->s);
            return;
        }
    }
}

static int show_all(struct many *m)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m->n; i++)
        rc = deed_show(&m->file[i]->deed);
    return rc < 0 ? rc : show_effects(m->s, &m->x, m->invals, NULL);
}

static int commit(struct many *m)
{
    struct space *s = m->s;
    int rc = replica_put(s->replica, m->x.batch);
    op_lock_names(&m->x);
    if (rc == 0)
        rc = show_all(m);
    rc = rc < 0 ? op_abort(&m->x, rc) : op_commit(&m->x);
    if (rc < 0)
        replica_abort(s->replica);
    else
        replica_committed(s->replica);
    return rc;
}

int publish_new(struct space *s, struct publish_item *item, struct view *v,
                struct inval_list *invals)
{
    struct many m = {.s = s, .invals = invals};
    int rc = op_begin(s->tree, false, &m.x);
    if (rc < 0)
        return rc;
    rc = add(&m, item, v);
    if (rc < 0) {
        replica_abort(s->replica);
        return op_abort(&m.x, rc);
    }
    if (tree_room(s->tree, FILES_MAX * ROOM_BYTES) == 0)
        add_more(&m);
    rc = commit(&m);
    publisher_more_done(s, rc == 0);
    for (size_t i = 0; i < m.n; i++) {
        edit_fini(&m.file[i]->edit);
        free(m.file[i]);
    }
    return rc;
}
