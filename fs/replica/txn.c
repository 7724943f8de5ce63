#include "fs/replica/txn.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>

enum { HEIGHT_MAX = 16, BLOCK_SIZE = 64 * 1024 };

enum state {
    STATE_UNKNOWN, /* nothing is known of the key: as if the node were not there */
    STATE_ABSENT,
    STATE_PRESENT
};

/* A skip list ordered by space and key. The head has no key. */
struct txn_node {
    struct bytes key; /* space in one byte, then the key */
    struct bytes value;
    enum state state;
    bool dirty; /* differs from the database and the batches flushed to */
    bool fresh; /* known not to be in the database or in a batch: deleting it writes nothing */
    int height;
    struct txn_node *next[];
};

struct txn_undo {
    struct txn_node *node;
    struct bytes value;
    enum state state;
    bool dirty, fresh;
};

struct txn_block {
    struct txn_block *next;
    size_t used, size;
    alignas(max_align_t) uint8_t data[];
};

/* ---- memory ------------------------------------------------------------------------------------
 */

static struct txn_block *block_new(struct txn *t, size_t n)
{
    size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;
    struct txn_block *b = malloc(sizeof *b + size);
    if (b == NULL)
        return NULL;
    *b = (struct txn_block){.size = size};
    /* A block for one large value goes second, so that the first keeps its room; the oldest stays
     * last. */
    if (n > BLOCK_SIZE / 4 && t->blocks != NULL && t->blocks->next != NULL) {
        b->next = t->blocks->next;
        t->blocks->next = b;
    } else {
        b->next = t->blocks;
        t->blocks = b;
    }
    return b;
}

void *txn_alloc(struct txn *t, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct txn_block *b = t->blocks;
    if (b == NULL || b->size - b->used < n)
        b = block_new(t, n);
    if (b == NULL)
        return NULL;
    void *p = b->data + b->used;
    b->used += n;
    return p;
}

int txn_copy(struct txn *t, struct bytes v, struct bytes *ret)
{
    uint8_t *p = txn_alloc(t, v.n);
    if (p == NULL)
        return -ENOMEM;
    if (v.n > 0)
        memcpy(p, v.p, v.n);
    *ret = bytes_of(p, v.n);
    return 0;
}

static struct txn_node *node_new(struct txn *t, int height)
{
    struct txn_node *node = txn_alloc(t, sizeof *node + (size_t)height * sizeof node->next[0]);
    if (node == NULL)
        return NULL;
    *node = (struct txn_node){.height = height};
    for (int i = 0; i < height; i++)
        node->next[i] = NULL;
    return node;
}

int txn_init(struct txn *t, struct db *db)
{
    *t = (struct txn){.db = db, .random = UINT64_C(0x9e3779b97f4a7c15)};
    t->head = node_new(t, HEIGHT_MAX);
    return t->head == NULL ? -ENOMEM : 0;
}

void txn_fini(struct txn *t)
{
    while (t->blocks != NULL) {
        struct txn_block *next = t->blocks->next;
        free(t->blocks);
        t->blocks = next;
    }
    free(t->undo);
    *t = (struct txn){0};
}

void txn_reset(struct txn *t)
{
    /* The oldest block holds the head; it is the last of the list and stays. */
    while (t->blocks->next != NULL) {
        struct txn_block *next = t->blocks->next;
        free(t->blocks);
        t->blocks = next;
    }
    t->blocks->used = 0;
    t->undo_n = 0;
    t->head = node_new(t, HEIGHT_MAX);
    assert(t->head != NULL);
}

/* ---- the list ----------------------------------------------------------------------------------
 */

static int node_cmp(const struct txn_node *node, int space, struct bytes key)
{
    if (node->key.p[0] != space)
        return node->key.p[0] < space ? -1 : 1;
    return bytes_cmp(bytes_of(node->key.p + 1, node->key.n - 1), key);
}

/* The first node at or after the key; @prev: the last before it on each level. */
static struct txn_node *seek(struct txn *t, int space, struct bytes key,
                             struct txn_node *prev[HEIGHT_MAX])
{
    struct txn_node *at = t->head;
    for (int level = HEIGHT_MAX - 1; level >= 0; level--) {
        while (at->next[level] != NULL && node_cmp(at->next[level], space, key) < 0)
            at = at->next[level];
        if (prev != NULL)
            prev[level] = at;
    }
    return at->next[0];
}

static int random_height(struct txn *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    int height = 1 + __builtin_ctzll(t->random | UINT64_C(1) << 62) / 2;
    return height > HEIGHT_MAX ? HEIGHT_MAX : height;
}

/* The node of a key, made if need be. NULL when memory ran out. */
static struct txn_node *node_of(struct txn *t, int space, struct bytes key)
{
    struct txn_node *prev[HEIGHT_MAX];
    struct txn_node *at = seek(t, space, key, prev);
    if (at != NULL && node_cmp(at, space, key) == 0)
        return at;
    struct txn_node *node = node_new(t, random_height(t));
    uint8_t *k = txn_alloc(t, key.n + 1);
    if (node == NULL || k == NULL)
        return NULL;
    k[0] = (uint8_t)space;
    if (key.n > 0)
        memcpy(k + 1, key.p, key.n);
    node->key = bytes_of(k, key.n + 1);
    for (int i = 0; i < node->height; i++) {
        node->next[i] = prev[i]->next[i];
        prev[i]->next[i] = node;
    }
    return node;
}

static int node_fill(struct txn *t, struct txn_node *node, int space, struct bytes key)
{
    if (space >= DB_CF_N) {
        node->state = STATE_ABSENT;
        return 0;
    }
    struct db_value found = {0};
    int rc = db_get(t->db, (enum db_cf)space, key, &found);
    if (rc == -ENOENT) {
        node->state = STATE_ABSENT;
        node->fresh = true;
        return 0;
    }
    if (rc == 0)
        rc = txn_copy(t, found.v, &node->value);
    db_value_fini(&found);
    if (rc == 0)
        node->state = STATE_PRESENT;
    return rc;
}

int txn_get(struct txn *t, int space, struct bytes key, struct bytes *ret)
{
    struct txn_node *node = node_of(t, space, key);
    if (node == NULL)
        return -ENOMEM;
    if (node->state == STATE_UNKNOWN) {
        int rc = node_fill(t, node, space, key);
        if (rc < 0)
            return rc;
    }
    if (node->state == STATE_ABSENT)
        return 0;
    *ret = node->value;
    return 1;
}

int txn_fresh(struct txn *t, int space, struct bytes key)
{
    struct txn_node *node = node_of(t, space, key);
    if (node != NULL && node->state == STATE_UNKNOWN) {
        node->state = STATE_ABSENT;
        node->fresh = true;
    }
    return node == NULL ? -ENOMEM : 0;
}

static int change(struct txn *t, int space, struct bytes key, enum state state, struct bytes value)
{
    struct bytes copy = {NULL, 0};
    struct txn_node *node = node_of(t, space, key);
    if (node == NULL || (state == STATE_PRESENT && txn_copy(t, value, &copy) < 0))
        return -ENOMEM;
    if (t->undo_n == t->undo_cap) {
        size_t cap = t->undo_cap == 0 ? 64 : t->undo_cap * 2;
        struct txn_undo *p = reallocarray(t->undo, cap, sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        t->undo = p;
        t->undo_cap = cap;
    }
    t->undo[t->undo_n++] =
        (struct txn_undo){node, node->value, node->state, node->dirty, node->fresh};
    node->value = copy;
    node->state = state;
    node->dirty = true;
    return 0;
}

int txn_put(struct txn *t, int space, struct bytes key, struct bytes value)
{
    return change(t, space, key, STATE_PRESENT, value);
}

int txn_delete(struct txn *t, int space, struct bytes key)
{
    return change(t, space, key, STATE_ABSENT, (struct bytes){NULL, 0});
}

void txn_rollback(struct txn *t, size_t mark)
{
    assert(mark <= t->undo_n);
    while (t->undo_n > mark) {
        const struct txn_undo *u = &t->undo[--t->undo_n];
        u->node->value = u->value;
        u->node->state = u->state;
        u->node->dirty = u->dirty;
        u->node->fresh = u->fresh;
    }
}

/* ---- out, and over all ----------------------------------------------------------------------- */

static int flush_one(const struct txn_undo *u, struct db_batch *batch, txn_flush_fn fn, void *ctx)
{
    struct txn_node *node = u->node;
    enum db_cf cf = (enum db_cf)node->key.p[0];
    struct bytes key = bytes_of(node->key.p + 1, node->key.n - 1);
    bool put = node->state == STATE_PRESENT;
    node->dirty = false;
    if (!put && node->fresh)
        return 0; /* made and deleted since */
    if (put)
        db_batch_put(batch, cf, key, node->value);
    else
        db_batch_delete(batch, cf, key);
    node->fresh = !put;
    if (cf == DB_VERSION && fn != NULL)
        return fn(ctx, key, put, put ? node->value : u->value);
    return 0;
}

int txn_flush(struct txn *t, size_t mark, struct db_batch *batch, txn_flush_fn fn, void *ctx)
{
    db_batch_save(batch);
    for (size_t i = mark; i < t->undo_n; i++) {
        struct txn_node *node = t->undo[i].node;
        if (!node->dirty || node->key.p[0] >= DB_CF_N)
            continue;
        int rc = flush_one(&t->undo[i], batch, fn, ctx);
        if (rc < 0) {
            db_batch_rollback(batch);
            return rc;
        }
    }
    db_batch_keep(batch);
    return 0;
}

/* A walk over the database and over what is pending, in step. */
struct merge {
    struct db_iter *it; /* NULL for spaces of the overlay alone */
    struct txn_node *node;
    bool more; /* the iterator is on a key */
    int space;
    struct bytes prefix;
};

static bool node_in(const struct merge *m)
{
    const struct txn_node *node = m->node;
    return node != NULL && node->key.p[0] == m->space && node->key.n - 1 >= m->prefix.n &&
           (m->prefix.n == 0 || memcmp(node->key.p + 1, m->prefix.p, m->prefix.n) == 0);
}

/* Hands out the next pair, or steps over one that is not to be seen: *ret_skip. */
static bool merge_next(struct merge *m, struct bytes *ret_key, struct bytes *ret_value,
                       bool *ret_skip)
{
    bool node = node_in(m);
    if (!node && !m->more)
        return false;
    struct bytes nkey = node ? bytes_of(m->node->key.p + 1, m->node->key.n - 1) : (struct bytes){0};
    struct bytes ikey = m->more ? db_iter_key(m->it) : (struct bytes){0};
    int c = !node ? 1 : !m->more ? -1 : bytes_cmp(nkey, ikey);
    bool known = node && m->node->state != STATE_UNKNOWN;
    if (c > 0 || (c == 0 && !known)) {
        *ret_key = ikey;
        *ret_value = db_iter_value(m->it);
        *ret_skip = false;
    } else {
        *ret_key = nkey;
        *ret_value = m->node->value;
        *ret_skip = !known || m->node->state == STATE_ABSENT;
    }
    return true;
}

static void merge_step(struct merge *m, struct bytes key)
{
    /* The node goes first: @key may be borrowed from the iterator. */
    if (node_in(m) && bytes_equal(bytes_of(m->node->key.p + 1, m->node->key.n - 1), key))
        m->node = m->node->next[0];
    if (m->more && bytes_equal(db_iter_key(m->it), key))
        m->more = db_iter_next(m->it);
}

int txn_scan(struct txn *t, int space, struct bytes prefix, struct bytes from, txn_scan_fn fn,
             void *ctx)
{
    struct merge m = {.space = space, .prefix = prefix};
    struct bytes start = from.n > 0 ? from : prefix;
    m.node = seek(t, space, start, NULL);
    if (space < DB_CF_N) {
        m.it = db_iter_new(t->db, (enum db_cf)space, prefix, NULL);
        if (m.it == NULL)
            return -ENOMEM;
        if (from.n > 0)
            db_iter_seek(m.it, from);
        m.more = db_iter_next(m.it);
    }
    int rc = 0;
    struct bytes key, value;
    bool skip;
    while (rc == 0 && merge_next(&m, &key, &value, &skip)) {
        if (!skip)
            rc = fn(ctx, key, value);
        if (rc == 0)
            merge_step(&m, key);
    }
    if (m.it != NULL) {
        if (rc == 0)
            rc = db_iter_status(m.it);
        db_iter_free(m.it);
    }
    return rc;
}
