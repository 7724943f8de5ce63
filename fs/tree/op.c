/* Operations: inodes locked, changed on copies, written as one batch, then shown. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/tree/data.h"
#include "fs/tree/tree_priv.h"

enum { CUT_BYTES_MIN = 1 << 20 };

/* A batch of this thread, kept from one operation to the next. */
static _Thread_local struct db_batch *spare_batch;
static _Thread_local struct db *spare_db;

static struct db_batch *batch_take(struct db *db)
{
    struct db_batch *b = TAKE_PTR(spare_batch);
    if (b != NULL && spare_db == db)
        return b;
    db_batch_free(b);
    return db_batch_new(db);
}

static void batch_give(struct db *db, struct db_batch *b)
{
    db_batch_clear(b);
    if (spare_batch != NULL) {
        db_batch_free(b);
        return;
    }
    spare_batch = b;
    spare_db = db;
}

void tree_thread_done(void)
{
    db_batch_free(TAKE_PTR(spare_batch));
}

int op_begin(struct tree *t, bool names, struct op *x)
{
    x->batch = batch_take(t->db);
    if (x->batch == NULL)
        return -ENOMEM;
    x->t = t;
    x->names = names;
    x->files = 0;
    x->named = 0;
    x->n = 0;
    x->more = NULL;
    x->more_cap = 0;
    x->unlink = x->back = (struct buf){0};
    x->reserve_ino = 0;
    x->staging = NULL;
    x->cut_from = UINT64_MAX;
    x->punch_from = x->punch_end = 0;
    if (names)
        pthread_mutex_lock(&t->lock);
    return 0;
}

static struct op_node *node_at(struct op *x, unsigned i)
{
    return i < OP_NODES_INLINE ? &x->nodes[i] : x->more[i - OP_NODES_INLINE];
}

void op_lock_names(struct op *x)
{
    assert(!x->names && x->n == 0);
    pthread_mutex_lock(&x->t->lock);
    x->names = true;
}

const struct attr *op_attr(struct op *x, unsigned i)
{
    return &node_at(x, i)->attr;
}

static struct op_node *slot_of(const struct attr *a)
{
    return (struct op_node *)((uintptr_t)a - offsetof(struct op_node, attr));
}

/* A place for one more inode. NULL: out of memory. */
static struct op_node *node_more(struct op *x)
{
    if (x->n >= OP_NODES_INLINE) {
        unsigned i = x->n - OP_NODES_INLINE;
        if (i == x->more_cap) {
            unsigned cap = x->more_cap == 0 ? 16 : 2 * x->more_cap;
            struct op_node **more = realloc(x->more, cap * sizeof(struct op_node *));
            if (more == NULL)
                return NULL;
            x->more = more;
            x->more_cap = cap;
        }
        x->more[i] = malloc(sizeof(struct op_node));
        if (x->more[i] == NULL)
            return NULL;
    }
    return node_at(x, x->n++);
}

int op_add(struct op *x, uint64_t ino, struct attr **ret)
{
    for (unsigned i = 0; i < x->n; i++)
        if (node_at(x, i)->attr.ino == ino) {
            *ret = &node_at(x, i)->attr;
            return 0;
        }
    assert(x->names || x->n == 0);
    struct node *n;
    int rc = node_get(x->t, ino, &n);
    if (rc < 0)
        return rc;
    node_lock(n);
    if (n->gone) {
        pthread_mutex_unlock(&n->lock);
        node_put(x->t, n);
        return -ESTALE;
    }
    struct op_node *e = node_more(x);
    if (e == NULL) {
        pthread_mutex_unlock(&n->lock);
        node_put(x->t, n);
        return -ENOMEM;
    }
    *e = (struct op_node){.node = n, .attr = n->attr};
    *ret = &e->attr;
    return 0;
}

int op_begin_on(struct tree *t, uint64_t ino, struct op *x, struct attr **ret)
{
    int rc = op_begin(t, false, x);
    if (rc < 0)
        return rc;
    rc = op_add(x, ino, ret);
    return rc < 0 ? op_abort(x, rc) : 0;
}

void op_put(struct op *x, const struct attr *a)
{
    assert(x->n > 0);
    slot_of(a)->put = true;
}

void op_remove(struct op *x, const struct attr *a)
{
    assert(x->n > 0);
    slot_of(a)->remove = true;
}

struct node *op_node_of(struct op *x, const struct attr *a)
{
    assert(x->n > 0);
    return slot_of(a)->node;
}

/* Numbers are never used twice: a block of them is reserved in the batch that uses its first. */
static uint64_t ino_new(struct op *x)
{
    struct tree *t = x->t;
    if (t->next_ino >= max_u64(t->reserved_ino, x->reserve_ino)) {
        x->reserve_ino = t->next_ino + INO_BLOCK;
        uint8_t v[8];
        put_u64(v, x->reserve_ino);
        db_batch_put(x->batch, DB_META, bytes_str(TREE_NEXT_INO_KEY), bytes_of(v, sizeof v));
    }
    return t->next_ino++;
}

int op_make(struct op *x, struct attr **ret)
{
    assert(x->names);
    struct op_node *e = node_more(x);
    if (e == NULL)
        return -ENOMEM;
    *e = (struct op_node){.put = true};
    e->attr.ino = ino_new(x);
    x->files++;
    *ret = &e->attr;
    return 0;
}

static void write_inode(struct op *x, const struct op_node *e, struct buf *value)
{
    uint8_t key[8];
    node_key(e->attr.ino, key);
    if (e->remove) {
        db_batch_delete(x->batch, DB_INODE, bytes_of(key, sizeof key));
    } else if (e->put) {
        buf_reset(value);
        attr_encode(&e->attr, value);
        db_batch_put(x->batch, DB_INODE, bytes_of(key, sizeof key), buf_bytes(value));
    }
}

/*
 * What a cut leaves of a staging file is not referred to, and can stay. A large piece is freed,
 * once the loss of power cannot undo the cut any more.
 */
static void free_cut(struct op *x)
{
    struct stat st;
    if (fstat(x->staging->fd, &st) < 0 || (uint64_t)st.st_size < x->cut_from + CUT_BYTES_MIN ||
        db_sync(x->t->db) < 0)
        return;
    int rc = ftruncate(x->staging->fd, (off_t)x->cut_from);
    (void)rc;
}

/* Space of a staging file that the written batch no longer refers to; failing, it is just kept. */
static void free_staging(struct op *x)
{
    late_add(x->t, &x->unlink);
    if (x->staging != NULL && x->punch_end > x->punch_from)
        fallocate(x->staging->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)x->punch_from,
                  (off_t)(x->punch_end - x->punch_from));
    if (x->staging != NULL && x->cut_from != UINT64_MAX)
        free_cut(x);
}

static void let_go(struct op *x)
{
    staging_put(TAKE_PTR(x->staging));
    for (unsigned i = 0; i < x->n; i++)
        if (node_at(x, i)->node != NULL)
            pthread_mutex_unlock(&node_at(x, i)->node->lock);
    if (x->names)
        pthread_mutex_unlock(&x->t->lock);
    for (unsigned i = 0; i < x->n; i++)
        node_put(x->t, node_at(x, i)->node);
    for (unsigned i = OP_NODES_INLINE; i < x->n; i++)
        free(node_at(x, i));
    free(x->more);
    x->more = NULL;
    x->n = 0;
    buf_fini(&x->unlink);
    buf_fini(&x->back);
    batch_give(x->t->db, TAKE_PTR(x->batch));
}

static void tell_back(struct tree *t, const struct buf *names)
{
    struct reader r = reader_of(buf_bytes(names));
    while (t->cfg.changed != NULL && r.n > 0) {
        struct tree_change c = {.kind = TREE_BACK, .ino = reader_u64(&r)};
        size_t n = reader_u8(&r);
        c.name = reader_bytes(&r, n);
        t->cfg.changed(t->cfg.arg, &c);
    }
}

int op_commit(struct op *x)
{
    CLEANUP(buf_fini) struct buf value = {0};
    for (unsigned i = 0; i < x->n; i++)
        write_inode(x, node_at(x, i), &value);
    int rc = buf_status(&value);
    if (rc == 0 && db_batch_n(x->batch) > 0)
        rc = db_write(x->t->db, x->batch, false);
    if (rc < 0)
        return op_abort(x, rc);
    atomic_fetch_add(&x->t->files, (uint64_t)x->files);
    atomic_fetch_sub(&x->t->orphans, x->named);
    if (x->reserve_ino != 0)
        x->t->reserved_ino = x->reserve_ino;
    for (unsigned i = 0; i < x->n; i++) {
        struct op_node *e = node_at(x, i);
        if (e->node == NULL)
            continue;
        if (e->remove)
            e->node->gone = true;
        else if (e->put)
            e->node->attr = e->attr;
    }
    free_staging(x);
    struct tree *t = x->t;
    CLEANUP(buf_fini) struct buf back = x->back;
    x->back = (struct buf){0};
    let_go(x);
    late_limit(t);
    tell_back(t, &back);
    return 0;
}

int op_abort(struct op *x, int code)
{
    /* What is cached of the data may be ahead of the database. */
    for (unsigned i = 0; i < x->n && code < 0; i++)
        if (node_at(x, i)->node != NULL && node_at(x, i)->node->file != NULL) {
            file_reset(node_at(x, i)->node->file);
            node_at(x, i)->node->file->dirty_many = true;
        }
    let_go(x);
    return code;
}

size_t pending_name_key(uint64_t dir, struct bytes name, uint8_t key[PENDING_KEY_MAX])
{
    assert(name.n <= TREE_NAME_MAX);
    key[0] = 'n';
    put_u64(key + 1, dir);
    memcpy(key + 9, name.p, name.n);
    return 9 + name.n;
}

size_t pending_inode_key(uint64_t ino, uint8_t key[PENDING_KEY_MAX])
{
    key[0] = 'i';
    put_u64(key + 1, ino);
    return 9;
}

void op_pending_name(struct op *x, uint64_t dir, struct bytes name, const struct tree_moved *to)
{
    uint8_t key[PENDING_KEY_MAX], value[16 + TREE_NAME_MAX];
    size_t key_n = pending_name_key(dir, name, key), n = 0;
    if (to != NULL) {
        put_u64(value, to->ino);
        put_u64(value + 8, to->dir);
        memcpy(value + 16, to->name.p, to->name.n);
        n = 16 + to->name.n;
    }
    db_batch_put(x->batch, DB_PENDING, bytes_of(key, key_n), bytes_of(value, n));
}

void op_pending_inode(struct op *x, const struct attr *a)
{
    uint8_t key[PENDING_KEY_MAX];
    size_t key_n = pending_inode_key(a->ino, key);
    if (a->bound)
        db_batch_put(x->batch, DB_PENDING, bytes_of(key, key_n), bytes_of(NULL, 0));
}

void tree_tell(struct tree *t, enum tree_event kind, uint64_t ino)
{
    if (t->cfg.changed == NULL)
        return;
    struct tree_change c = {.kind = kind, .ino = ino};
    t->cfg.changed(t->cfg.arg, &c);
}

void tree_tell_name(struct tree *t, uint64_t dir, struct bytes name)
{
    if (t->cfg.changed == NULL)
        return;
    struct tree_change c = {.kind = TREE_NAME, .ino = dir, .name = name};
    t->cfg.changed(t->cfg.arg, &c);
}
