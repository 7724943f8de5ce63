/* Checks what staging files hold against the sums in the map of their blocks. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/tree/data.h"

struct check {
    struct tree *t;
    uint8_t *bytes; /* SEGMENT_BYTES */
    bool (*step)(void *arg, uint64_t bytes);
    void (*fault)(void *arg, const struct tree_fault *f);
    void *arg;
};

/* Of one segment; told of when its file is no longer locked. */
struct faults {
    struct tree_fault v[SEGMENT_BLOCKS];
    unsigned n;
};

/* Reads a segment's part of the staging file; past its end are zeros. */
static int read_segment(int fd, uint64_t index, uint8_t *p)
{
    size_t n = 0;
    while (n < SEGMENT_BYTES) {
        ssize_t k = pread(fd, p + n, SEGMENT_BYTES - n, (off_t)(index * SEGMENT_BYTES + n));
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k == 0)
            break;
        n += k > 0 ? (size_t)k : 0;
    }
    memset(p + n, 0, SEGMENT_BYTES - n);
    return 0;
}

static void note(struct faults *l, uint64_t ino, uint64_t from, uint64_t end, int error)
{
    if (end > from)
        l->v[l->n++] =
            (struct tree_fault){.ino = ino, .offset = from, .bytes = end - from, .error = error};
}

/* Compares the valid blocks of one segment; runs of wrong ones are told as one. */
static void compare(const struct check *c, uint64_t ino, const struct segment *s,
                    struct faults *ret)
{
    uint64_t at = s->index * SEGMENT_BYTES, from = at, end = at;
    for (unsigned i = 0; i < SEGMENT_BLOCKS; i++, at += BLOCK_BYTES) {
        bool bad =
            (s->valid >> i & 1) != 0 && block_sum(c->bytes + (size_t)i * BLOCK_BYTES) != s->sums[i];
        if (!bad)
            continue;
        if (end != at) {
            note(ret, ino, from, end, -EUCLEAN);
            from = at;
        }
        end = at + BLOCK_BYTES;
    }
    note(ret, ino, from, end, -EUCLEAN);
}

/* One segment, with the lock of its file: no write is under way. */
static int read_and_compare(const struct check *c, uint64_t ino, uint64_t index, struct faults *ret)
{
    struct op x;
    struct attr *a;
    int rc = op_begin(c->t, false, &x);
    if (rc < 0)
        return rc;
    rc = op_add(&x, ino, &a);
    if (rc < 0 || a->data != ATTR_DATA_STAGED) /* gone or published meanwhile */
        return op_abort(&x, rc == -ESTALE ? 0 : rc);
    struct node *n = op_node_of(&x, a);
    struct file *f = file_of(n);
    struct segment *s;
    uint64_t at = index * SEGMENT_BYTES;
    rc = f == NULL ? -ENOMEM : map_segment(&x, a, f, index, &s);
    if (rc == 0)
        rc = file_open_staging(c->t, a, f);
    if (rc == 0)
        rc = read_segment(f->staging->fd, index, c->bytes);
    if (rc == 0)
        compare(c, ino, s, ret);
    else if (rc != -ENOMEM)
        note(ret, ino, at, at + SEGMENT_BYTES, rc);
    if (f != NULL)
        file_rest(n);
    /* A segment that made way in the cache may be in the batch. */
    return rc == -ENOMEM ? op_abort(&x, rc) : op_commit(&x);
}

static int check_segment(const struct check *c, uint64_t ino, uint64_t index)
{
    struct faults faults = {.n = 0};
    int rc = read_and_compare(c, ino, index, &faults);
    for (unsigned i = 0; i < faults.n; i++)
        c->fault(c->arg, &faults.v[i]);
    return rc;
}

static int check_all(const struct check *c, struct db_iter *it)
{
    while (db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        if (key.n != 16)
            continue; /* told of by who checks the tables */
        int rc = check_segment(c, get_u64(key.p), get_u64(key.p + 8));
        if (rc < 0)
            return rc;
        if (!c->step(c->arg, SEGMENT_BYTES))
            return -ECANCELED;
    }
    return db_iter_status(it);
}

int tree_check_staging(struct tree *t, bool (*step)(void *arg, uint64_t bytes),
                       void (*fault)(void *arg, const struct tree_fault *f), void *arg)
{
    struct check c = {
        .t = t, .bytes = malloc(SEGMENT_BYTES), .step = step, .fault = fault, .arg = arg};
    struct db_iter *it = db_iter_new_scan(t->db, DB_MAP, bytes_of(NULL, 0), NULL);
    int rc = c.bytes == NULL || it == NULL ? -ENOMEM : check_all(&c, it);
    db_iter_free(it);
    free(c.bytes);
    return rc;
}
