/*
 * Files that others deleted while programs have them open. Who writes into one had not seen that:
 * its first write puts the file back, in the same batch, with the folders that went with it. Where
 * it was is known in memory alone, for as long as it is open: after a death nobody can write to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "fs/tree/data.h"
#include "fs/tree/names.h"

/* A name on the way to the file: its own, or that of a folder. */
struct part {
    uint64_t dir;
    uint32_t mode, uid, gid; /* of a folder */
    uint8_t name_n;
    uint8_t name[TREE_NAME_MAX];
};

struct gone {
    struct tree *t;
    struct gone *next, **at; /* in tree.gone; guarded by tree.gone_lock, as is what follows */
    struct buf parts;        /* of struct part: the file first, then each folder that is gone */
};

static struct part part_of(const struct attr *a, uint64_t dir, struct bytes name)
{
    struct part p = {
        .dir = dir, .mode = a->mode, .uid = a->uid, .gid = a->gid, .name_n = (uint8_t)name.n};
    memcpy(p.name, name.p, name.n);
    return p;
}

static struct part part_at(const struct gone *g, size_t i)
{
    struct part p;
    memcpy(&p, g->parts.p + i * sizeof p, sizeof p);
    return p;
}

static size_t parts_n(const struct gone *g)
{
    return g->parts.n / sizeof(struct part);
}

void gone_free(struct gone *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->t->gone_lock);
    *g->at = g->next;
    if (g->next != NULL)
        g->next->at = g->at;
    pthread_mutex_unlock(&g->t->gone_lock);
    buf_fini(&g->parts);
    free(g);
}

void gone_forget(struct node *n)
{
    n->lost = false;
    if (n->file != NULL)
        gone_free(TAKE_PTR(n->file->gone));
}

/* ---- by others ---- */

void op_lost(struct op *x, const struct attr *a)
{
    op_node_of(x, a)->lost = true;
}

int op_gone(struct op *x, const struct attr *a, uint64_t dir, struct bytes name)
{
    struct tree *t = x->t;
    struct gone *g = op_is_open(x, a, false) ? calloc(1, sizeof *g) : NULL;
    struct part p = part_of(a, dir, name);
    if (g == NULL)
        return op_is_open(x, a, false) ? -ENOMEM : 0;
    buf_put(&g->parts, &p, sizeof p);
    g->t = t;
    pthread_mutex_lock(&t->gone_lock);
    g->at = &t->gone;
    g->next = t->gone;
    if (g->next != NULL)
        g->next->at = &g->next;
    t->gone = g;
    pthread_mutex_unlock(&t->gone_lock);
    op_node_of(x, a)->file->gone = g;
    return buf_status(&g->parts);
}

int op_gone_folder(struct op *x, const struct attr *a, uint64_t dir, struct bytes name)
{
    struct part p = part_of(a, dir, name);
    int rc = 0;
    pthread_mutex_lock(&x->t->gone_lock);
    for (struct gone *g = x->t->gone; g != NULL && rc >= 0; g = g->next)
        if (part_at(g, parts_n(g) - 1).dir == a->ino) {
            buf_put(&g->parts, &p, sizeof p);
            rc = buf_status(&g->parts) < 0 ? -ENOMEM : 1;
        }
    pthread_mutex_unlock(&x->t->gone_lock);
    return rc;
}

/* ---- and back ---- */

/* Gives @a a name, or one beside it, in the directory @d. */
static int give_name(struct op *x, struct attr *d, struct attr *a, struct bytes name,
                     const struct timespec *now)
{
    char room[NAMES_BESIDE_ROOM];
    struct dirent_value v;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < NAMES_BESIDE_MAX; i++) {
        struct bytes beside = names_beside(name, i, room);
        rc = dirent_get(x->t, d->ino, beside, &v);
        if (rc != -ENOENT)
            continue;
        a->parent = d->ino;
        a->ctime = *now;
        op_put(x, a);
        dirent_put(x, d->ino, beside, (struct dirent_value){a->ino, a->mode & S_IFMT});
        names_touch(x, d, now);
        op_pending_name(x, d->ino, beside, NULL);
        buf_put_u64(&x->back, d->ino);
        buf_put_u8(&x->back, (uint8_t)beside.n);
        buf_put_bytes(&x->back, beside);
        return buf_status(&x->back);
    }
    return rc < 0 ? rc : -EEXIST;
}

/* A folder of that name: the one that is there by now, or a new one. */
static int folder_again(struct op *x, struct attr **d, const struct part *p,
                        const struct timespec *now)
{
    struct bytes name = bytes_of(p->name, p->name_n);
    struct dirent_value v;
    struct attr *a;
    int rc = dirent_get(x->t, (*d)->ino, name, &v);
    if (rc == 0 && v.type == S_IFDIR)
        return names_add_dir(x, v.ino, d);
    rc = rc == -ENOENT ? 0 : rc;
    if (rc == 0)
        rc = op_make(x, &a);
    if (rc < 0)
        return rc;
    a->mode = p->mode;
    a->uid = p->uid;
    a->gid = p->gid;
    a->nlink = 2;
    a->atime = a->mtime = a->btime = *now;
    (*d)->nlink++;
    rc = give_name(x, *d, a, name, now);
    *d = a;
    return rc;
}

static int put_back(struct op *x, struct attr *a, const struct gone *g)
{
    struct timespec now = attr_now();
    size_t i = parts_n(g) - 1;
    struct part p = part_at(g, i);
    struct attr *d;
    int rc = names_add_dir(x, p.dir, &d);
    if (rc == -ENOENT) /* deleted here, in sight of who did it */
        return 0;
    for (; i > 0 && rc == 0; i--) {
        p = part_at(g, i);
        rc = folder_again(x, &d, &p, &now);
    }
    p = part_at(g, 0);
    a->nlink = 1;
    if (rc == 0)
        rc = give_name(x, d, a, bytes_of(p.name, p.name_n), &now);
    if (rc == 0)
        orphan_take(x, a->ino);
    return rc;
}

static bool is_gone(struct op *x, const struct attr *a)
{
    const struct node *n = op_node_of(x, a);
    return a->nlink == 0 && n->file != NULL && n->file->gone != NULL;
}

int gone_back(struct op *x, struct attr *a)
{
    return is_gone(x, a) ? put_back(x, a, op_node_of(x, a)->file->gone) : 0;
}

bool gone_is_lost(struct op *x, const struct attr *a)
{
    return a->nlink == 0 && op_node_of(x, a)->lost && !is_gone(x, a);
}

int op_begin_write(struct tree *t, uint64_t ino, struct op *x, struct attr **ret)
{
    int rc = op_begin_on(t, ino, x, ret);
    if (rc == 0 && gone_is_lost(x, *ret))
        return op_abort(x, -ESTALE);
    if (rc < 0 || !is_gone(x, *ret))
        return rc;
    (void)op_abort(x, 0);
    rc = op_begin(t, true, x);
    if (rc < 0)
        return rc;
    rc = op_add(x, ino, ret);
    if (rc == 0)
        rc = gone_back(x, *ret);
    return rc < 0 ? op_abort(x, rc) : 0;
}
