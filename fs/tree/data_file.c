/* The state in memory of a file whose data is in use. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/tree/data.h"
#include "fs/tree/seen.h"

struct file *file_of(struct node *n)
{
    if (n->file == NULL) {
        n->file = calloc(1, sizeof *n->file);
        /* Which blocks were written before is not known any more. */
        if (n->file != NULL)
            n->file->dirty_many = n->attr.unsynced;
    }
    return n->file;
}

bool file_in_use(const struct file *f)
{
    return f->opens > 0 || f->syncing > 0;
}

void base_put(struct base *b)
{
    if (b == NULL || atomic_fetch_sub(&b->refs, 1) > 1)
        return;
    content_free(b->content);
    free(b);
}

void staging_put(struct staging *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    close(s->fd);
    free(s);
}

void file_reset(struct file *f)
{
    small_forget(f);
    for (int i = 0; i < MAP_CACHE_SEGMENTS; i++) {
        free(f->segments[i]);
        f->segments[i] = NULL;
    }
}

void file_free(struct file *f)
{
    if (f == NULL)
        return;
    file_reset(f);
    base_put(f->base);
    staging_put(f->staging);
    gone_free(f->gone);
    free(f);
}

void file_rest(struct node *n)
{
    if (n->file != NULL && !file_in_use(n->file))
        file_free(TAKE_PTR(n->file));
}

void file_staging_name(uint64_t ino, uint32_t number, char name[STAGING_NAME_BYTES])
{
    int n = snprintf(name, STAGING_NAME_BYTES, "%016llx", (unsigned long long)ino);
    if (number != 0)
        snprintf(name + n, (size_t)(STAGING_NAME_BYTES - n), "-%x", number);
}

void file_drop(struct op *x, struct node *n, struct attr *a)
{
    if (a->data == ATTR_DATA_SMALL) {
        small_drop(x, a);
    } else if (a->data == ATTR_DATA_STAGED) {
        map_delete_from(x, a, n->file, 0);
        buf_put_u64(&x->unlink, a->ino);
        buf_put_u32(&x->unlink, a->staging);
        a->staging++;
    }
    if (n->file != NULL) {
        struct file *f = n->file;
        file_reset(f);
        staging_put(TAKE_PTR(f->staging));
        base_put(TAKE_PTR(f->base));
        f->dirty_n = f->redo_n = 0;
        f->dirty_many = f->name_synced = false;
    }
    a->data = ATTR_DATA_NONE;
    a->unsynced = false;
}

int file_open_base(struct tree *t, const struct attr *a, struct file *f)
{
    if (f->base != NULL)
        return 0;
    struct base *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    int rc =
        t->cfg.base_open != NULL ? t->cfg.base_open(t->cfg.arg, &a->base, &b->content) : -EUCLEAN;
    if (rc < 0) {
        free(b);
        return rc;
    }
    atomic_init(&b->refs, 1);
    f->base = b;
    return 0;
}

int file_open_staging(struct tree *t, const struct attr *a, struct file *f)
{
    if (f->staging != NULL)
        return 0;
    struct staging *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    char name[STAGING_NAME_BYTES];
    file_staging_name(a->ino, a->staging, name);
    s->fd = t->staging_fd < 0
                ? -1
                : openat(t->staging_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        int rc = t->staging_fd < 0 ? -EFBIG : -errno;
        free(s);
        return rc;
    }
    atomic_init(&s->refs, 1);
    f->staging = s;
    return 0;
}

static void note_open(struct tree *t, const struct attr *a, bool writing)
{
    if (writing)
        seen_write(t->seen, a);
    else
        seen_read(t->seen, a);
}

int tree_open_file(struct tree *t, uint64_t ino, bool writing, bool truncate, struct attr *ret)
{
    struct op x;
    struct attr *a, now = {0};
    int rc = truncate ? tree_room(t, 4096) : 0;
    if (rc == 0)
        rc = truncate ? op_begin_write(t, ino, &x, &a) : op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    if (writing && gone_is_lost(&x, a)) /* the kernel, told of that by now, finds what is there */
        return op_abort(&x, -ESTALE);
    struct node *n = op_node_of(&x, a);
    struct file *f = file_of(n);
    if (f == NULL)
        return op_abort(&x, -ENOMEM);
    f->opens++;
    f->writers += writing;
    bool cut = truncate && a->size > 0;
    struct base_ref seen;
    bool stale = writing && !truncate && stale_is(t, a, &seen);
    f->stale = f->stale || stale;
    if (truncate) {
        struct timespec t0 = attr_now();
        rc = stale_truncate(&x, n, a, 0, &t0);
        op_put(&x, a);
    } else if (!stale) {
        note_open(t, a, writing);
    }
    now = *a;
    bool old = stale || atomic_load(&t->untold) > 0;
    rc = rc < 0 ? op_abort(&x, rc) : op_commit(&x);
    if (rc < 0) {
        tree_close_file(t, ino, writing);
        return rc;
    }
    *ret = now;
    if (cut)
        tree_tell(t, TREE_INODE, ino);
    return old;
}

void tree_untold(struct tree *t, bool more)
{
    if (more)
        atomic_fetch_add(&t->untold, 1);
    else
        atomic_fetch_sub(&t->untold, 1);
}

/* The last writer has closed a published file: its content is whole. */
static int end_of_save(struct op *x, struct attr *a)
{
    a->half = false;
    op_put(x, a);
    op_pending_inode(x, a);
    return op_commit(x);
}

void tree_close_file(struct tree *t, uint64_t ino, bool writing)
{
    struct op x;
    struct attr *a;
    if (op_begin(t, false, &x) < 0)
        return;
    if (op_add(&x, ino, &a) < 0) {
        (void)op_abort(&x, 0);
        return;
    }
    struct node *n = op_node_of(&x, a);
    struct file *f = n->file;
    bool waited = f != NULL && f->tell_closed;
    /* After the process was replaced under an open mount, closes come for opens it never saw. */
    if (f != NULL) {
        f->opens -= f->opens > 0;
        f->writers -= writing && f->writers > 0;
        f->cut = f->cut && f->writers > 0;
        f->stale = f->stale && f->writers > 0;
        f->tell_closed = f->tell_closed && f->writers > 0;
    }
    bool told = writing && (f == NULL || f->writers == 0) && (a->dirty || waited);
    bool whole = told && a->half;
    enum tree_event event = a->bound ? TREE_CLOSED : TREE_CLOSED_NEW;
    file_rest(n);
    /* On failure the file stays marked, and is published after its next save. */
    if (whole ? end_of_save(&x, a) == 0 : op_abort(&x, 0) == 0)
        if (told)
            tree_tell(t, event, ino);
}

void op_set_version(struct op *x, struct attr *a, const struct base_ref *ref, uint64_t size)
{
    struct node *n = op_node_of(x, a);
    if (n != NULL) {
        file_drop(x, n, a);
        file_rest(n);
    }
    a->data = size == 0 ? ATTR_DATA_NONE : ATTR_DATA_VERSION;
    a->has_base = true;
    a->base = *ref;
    /* Published as it was: what takes room is known; else all of it, until it is written to. */
    if (a->size != size)
        a->allocated = block_round(size);
    a->base_size = a->size = size;
    a->dirty = a->half = false;
}

bool op_is_cut(struct op *x, const struct attr *a)
{
    const struct node *n = op_node_of(x, a);
    return n != NULL && n->file != NULL && n->file->cut;
}

void op_tell_closed(struct op *x, const struct attr *a)
{
    op_node_of(x, a)->file->tell_closed = true;
}

bool op_is_open(struct op *x, const struct attr *a, bool writing)
{
    const struct node *n = op_node_of(x, a);
    if (n == NULL || n->file == NULL)
        return false;
    return writing ? n->file->writers > 0 : n->file->opens > 0;
}
