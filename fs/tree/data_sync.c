/* fsync, and what follows the death of the process or the machine. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/tree/data.h"
#include "proto/base/log.h"

enum { PIECE_BYTES = 1 << 20 }; /* of a batch, where one could be large */

/* ---- fsync ---- */

int file_redo_dirty(struct op *x, const struct attr *a, struct file *f)
{
    int rc = file_open_staging(x->t, a, f);
    for (unsigned i = 0; i < f->dirty_n && rc == 0; i++) {
        uint64_t block = f->dirty[i];
        struct segment *s;
        rc = map_segment(x, a, f, block / SEGMENT_BLOCKS, &s);
        uint64_t bit = UINT64_C(1) << block % SEGMENT_BLOCKS;
        if (rc < 0 || (s->valid & bit) == 0 || (s->redo & bit) != 0)
            continue;
        uint8_t bytes[BLOCK_BYTES], key[16];
        rc = file_read(x, a, f, block * BLOCK_BYTES, bytes, BLOCK_BYTES);
        redo_key(a->ino, block, key);
        db_batch_put(x->batch, DB_REDO, bytes_of(key, sizeof key), bytes_of(bytes, BLOCK_BYTES));
        s->redo |= bit;
        s->on_disk |= bit;
        s->changed = true;
        f->redo_n++;
    }
    return rc < 0 ? rc : map_flush(x, a, f);
}

/*
 * A segment whose blocks are all on disk. Those in DB_REDO stop being there with @x; that others
 * are on disk is true in any case, and written piece by piece: a big file has many.
 */
static int settle_synced(struct op *x, const struct attr *a, struct db_batch *pieces,
                         struct bytes key, struct bytes value)
{
    struct segment g;
    if (key.n != 16 || segment_decode(value, get_u64(key.p + 8), &g) < 0)
        return -EUCLEAN;
    bool copied = g.redo != 0;
    /* Where there is no base nobody asks: see is_lost(). */
    bool based = a->has_base && g.index * SEGMENT_BYTES < a->base_size;
    if (!copied && (g.on_disk == g.valid || !based))
        return 0;
    g.redo = 0;
    g.on_disk = g.valid;
    uint8_t room[SEGMENT_VALUE_MAX];
    db_batch_put(copied ? x->batch : pieces, DB_MAP, key, segment_encode(&g, room));
    if (db_batch_bytes(pieces) < PIECE_BYTES)
        return 0;
    int rc = db_write(x->t->db, pieces, false);
    db_batch_clear(pieces);
    return rc;
}

/* All blocks are in the staging file for good: they need no copy in DB_REDO any more. */
static int redo_delete(struct op *x, const struct attr *a)
{
    uint8_t prefix[8];
    redo_delete_from(x, a->ino, 0);
    put_u64(prefix, a->ino);
    struct db_batch *pieces = db_batch_new(x->t->db);
    struct db_iter *it = db_iter_new(x->t->db, DB_MAP, bytes_of(prefix, sizeof prefix), NULL);
    int rc = it == NULL || pieces == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it))
        rc = settle_synced(x, a, pieces, db_iter_key(it), db_iter_value(it));
    if (rc == 0)
        rc = db_iter_status(it);
    if (rc == 0 && db_batch_n(pieces) > 0)
        rc = db_write(x->t->db, pieces, false);
    db_iter_free(it);
    db_batch_free(pieces);
    return rc;
}

/* The content is as its writer wants it to last. */
static bool mark_synced(struct op *x, struct attr *a)
{
    struct node *n = op_node_of(x, a);
    if (n->file != NULL) {
        n->file->cut = false;
        n->file->syncs_often = n->file->since_sync <= OFTEN_BLOCKS;
        n->file->since_sync = 0;
    }
    if (!a->half && !a->unsynced)
        return false;
    a->half = a->unsynced = false;
    op_put(x, a);
    return true;
}

/* Waits for a staging file, with no lock held; what was written meanwhile is for the next fsync. */
static int sync_staging(struct tree *t, uint64_t ino, struct staging *s, bool name_synced,
                        uint64_t changes)
{
    int rc = fdatasync(s->fd) < 0 ? -errno : 0;
    if (rc == 0 && !name_synced && fsync(t->staging_fd) < 0)
        rc = -errno;
    struct op x;
    int begun = op_begin(t, false, &x);
    if (begun < 0)
        return begun;
    struct attr *a;
    int found = op_add(&x, ino, &a);
    if (found < 0)
        return op_abort(&x, rc < 0 ? rc : found == -ESTALE ? 0 : found);
    struct node *n = op_node_of(&x, a);
    struct file *f = n->file; /* in use since: by this call */
    f->syncing--;
    f->dirty_many = f->dirty_many || rc < 0;
    f->name_synced = f->name_synced || rc == 0;
    bool all = rc == 0 && a->changes == changes && a->data == ATTR_DATA_STAGED;
    if (all) {
        rc = redo_delete(&x, a);
        mark_synced(&x, a);
        file_reset(f);
        f->redo_n = 0;
    }
    file_rest(n);
    return all && rc == 0 ? op_commit(&x) : op_abort(&x, rc);
}

/* Blocks of which fsync makes a copy in the log; anything else it has to wait for. */
static bool few_blocks(const struct file *f)
{
    return !f->dirty_many && f->syncing == 0 && f->redo_n + f->dirty_n <= REDO_BLOCKS_MAX;
}

static int sync_data(struct op *x, struct attr *a, struct file *f)
{
    struct tree *t = x->t;
    uint64_t ino = a->ino, changes = a->changes;
    if (few_blocks(f)) {
        int rc = file_redo_dirty(x, a, f);
        mark_synced(x, a);
        f->dirty_n = 0;
        return rc < 0 ? op_abort(x, rc) : op_commit(x);
    }
    int rc = file_open_staging(t, a, f);
    if (rc < 0)
        return op_abort(x, rc);
    struct staging *s = f->staging;
    atomic_fetch_add(&s->refs, 1);
    bool name_synced = f->name_synced;
    f->dirty_n = 0;
    f->dirty_many = false;
    f->syncing++;
    (void)op_abort(x, 0);
    rc = sync_staging(t, ino, s, name_synced, changes);
    staging_put(s);
    return rc;
}

int tree_sync_file(struct tree *t, uint64_t ino)
{
    struct op x;
    struct attr *a;
    int rc = op_begin_on(t, ino, &x, &a);
    if (rc < 0)
        return rc;
    if (a->data == ATTR_DATA_STAGED && a->unsynced) {
        struct file *f = file_of(op_node_of(&x, a));
        rc = f == NULL ? op_abort(&x, -ENOMEM) : sync_data(&x, a, f);
    } else {
        rc = mark_synced(&x, a) ? op_commit(&x) : op_abort(&x, 0);
    }
    if (rc == 0)
        rc = db_sync(t->db);
    if (rc == 0)
        tree_tell(t, TREE_SYNCED, ino);
    return rc;
}

int data_settle(struct tree *t)
{
    /* One call for all of them; the folder is on the same disk as the database. */
    return t->staging_fd < 0 || syncfs(t->staging_fd) == 0 ? 0 : -errno;
}

/* ---- recovery ---- */

static int open_staging(struct tree *t, const struct attr *a)
{
    char name[STAGING_NAME_BYTES];
    file_staging_name(a->ino, a->staging, name);
    int fd = openat(t->staging_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* The staging file of the inode that a key begins with, for a walk over keys in order. */
struct walk {
    uint64_t ino;
    int fd;               /* -1: it has none */
    uint64_t based_bytes; /* what its base has, of what shows */
};

static int walk_to(struct tree *t, struct walk *w, uint64_t ino)
{
    if (w->ino == ino)
        return 0;
    if (w->fd >= 0)
        close(w->fd);
    *w = (struct walk){.ino = ino, .fd = -1};
    struct attr a;
    int rc = node_peek(t, ino, &a);
    if (rc < 0 || a.data != ATTR_DATA_STAGED)
        return rc == -ESTALE ? 0 : rc;
    w->based_bytes = a.has_base ? a.base_size : 0;
    w->fd = open_staging(t, &a);
    return w->fd < 0 ? w->fd : 0;
}

static int redo_one(struct tree *t, struct walk *w, struct bytes key, struct bytes value)
{
    if (key.n != 16 || value.n != BLOCK_BYTES)
        return -EUCLEAN;
    int rc = walk_to(t, w, get_u64(key.p));
    if (rc < 0 || w->fd < 0)
        return rc;
    ssize_t n = pwrite(w->fd, value.p, value.n, (off_t)(get_u64(key.p + 8) * BLOCK_BYTES));
    return n < 0 ? -errno : (size_t)n < value.n ? -ENOSPC : 0;
}

static int redo_all(struct tree *t)
{
    struct db_iter *it = db_iter_new_scan(t->db, DB_REDO, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    struct walk w = {.fd = -1};
    int rc = 0;
    while (rc == 0 && db_iter_next(it))
        rc = redo_one(t, &w, db_iter_key(it), db_iter_value(it));
    if (rc == 0)
        rc = db_iter_status(it);
    if (w.fd >= 0)
        close(w.fd);
    db_iter_free(it);
    return rc;
}

/*
 * A block that never was on disk, and is not there now: the power was lost before it came there,
 * but after the database came to say so. Then the base still has what the block had before.
 */
static bool is_lost(const struct walk *w, const struct segment *s, unsigned i, const uint8_t *bytes)
{
    static const uint8_t zeros[BLOCK_BYTES];
    return (s->on_disk >> i & 1) == 0 &&
           s->index * SEGMENT_BYTES + i * BLOCK_BYTES < w->based_bytes &&
           memcmp(bytes, zeros, BLOCK_BYTES) == 0;
}

/*
 * Blocks that were being written when all stopped: what is there now is what they are. That goes
 * for any file, as a write reaches the staging file before the database says that it is unsynced.
 * One byte that is off is put right: it was flipped, or its write was not answered.
 */
static int settle_segment(struct tree *t, struct db_batch *b, const struct walk *w,
                          struct bytes key, struct bytes value)
{
    struct segment s;
    int rc = key.n == 16 ? segment_decode(value, get_u64(key.p + 8), &s) : -EUCLEAN;
    bool changed = false;
    for (unsigned i = 0; i < SEGMENT_BLOCKS && rc == 0; i++) {
        if ((s.valid >> i & 1) == 0)
            continue;
        uint8_t bytes[BLOCK_BYTES] = {0};
        off_t at = (off_t)(s.index * SEGMENT_BYTES + i * BLOCK_BYTES);
        if (pread(w->fd, bytes, sizeof bytes, at) < 0)
            return -errno;
        uint64_t sum = block_sum(bytes);
        if (sum == s.sums[i])
            continue;
        if (block_heal(bytes, s.sums[i])) {
            if (pwrite(w->fd, bytes, sizeof bytes, at) != (ssize_t)sizeof bytes)
                return -EIO;
            log_warn("staging: a byte was put right file=%llu block=%llu",
                     (unsigned long long)w->ino, (unsigned long long)at / BLOCK_BYTES);
            t->healed++;
            continue;
        }
        changed = true;
        if (is_lost(w, &s, i, bytes)) {
            s.valid &= ~(UINT64_C(1) << i);
            sum = 0;
        }
        s.sums[i] = sum;
    }
    if (rc < 0 || !changed)
        return rc;
    uint8_t room[SEGMENT_VALUE_MAX];
    db_batch_put(b, DB_MAP, key, segment_encode(&s, room));
    return 0;
}

static int settle_all(struct tree *t)
{
    struct db_batch *b = db_batch_new(t->db);
    struct db_iter *it = db_iter_new_scan(t->db, DB_MAP, bytes_of(NULL, 0), NULL);
    struct walk w = {.fd = -1};
    int rc = b == NULL || it == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        rc = key.n == 16 ? walk_to(t, &w, get_u64(key.p)) : -EUCLEAN;
        if (rc == 0 && w.fd >= 0)
            rc = settle_segment(t, b, &w, key, db_iter_value(it));
        if (rc == 0 && db_batch_bytes(b) > PIECE_BYTES) {
            rc = db_write(t->db, b, false);
            db_batch_clear(b);
        }
    }
    if (rc == 0)
        rc = db_iter_status(it);
    if (rc == 0)
        rc = db_write(t->db, b, false);
    if (w.fd >= 0)
        close(w.fd);
    db_iter_free(it);
    db_batch_free(b);
    return rc;
}

/* Staging files that nothing refers to: their file was published, or is gone. */
static int drop_strays(struct tree *t)
{
    int fd = openat(t->staging_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL)
        return -errno;
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        char *end, name[STAGING_NAME_BYTES] = "";
        uint64_t ino = strtoull(e->d_name, &end, 16);
        struct attr a;
        if (end != e->d_name + 16 || (*end != '\0' && *end != '-'))
            continue;
        int rc = node_peek(t, ino, &a);
        if (rc == 0 && a.data == ATTR_DATA_STAGED)
            file_staging_name(ino, a.staging, name);
        if (rc == -ESTALE || (rc == 0 && strcmp(e->d_name, name) != 0))
            unlinkat(t->staging_fd, e->d_name, 0);
    }
    closedir(d);
    return 0;
}

int data_recover(struct tree *t)
{
    if (t->staging_fd < 0)
        return 0;
    int rc = redo_all(t);
    if (rc == 0)
        rc = settle_all(t);
    if (rc == 0)
        rc = drop_strays(t);
    return rc;
}

unsigned tree_healed(const struct tree *t)
{
    return t->healed;
}
