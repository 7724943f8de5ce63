#include "crash_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/content.h"
#include "fs/tree/data.h"
#include "fs/tree/op.h"
#include "tests/support/scratch.h"

static const struct content_keys keys = {.id = {1}, .gear = {2}, .equal = {3}};

/* ---- opening ---- */

/* Bodies of published files are in DB_VERSION under the base itself. */
static int base_open(void *arg, const struct base_ref *ref, struct content **ret)
{
    struct crash_tree *c = arg;
    struct db_value v;
    int rc = db_get(c->db, DB_VERSION, bytes_of(ref->b, sizeof ref->b), &v);
    if (rc == 0)
        rc = content_open(c->db, v.v, ret);
    db_value_fini(&v);
    return rc;
}

static int look_stat(void *arg, const char *path, struct stat *ret);
static int look_read(void *arg, const char *path, struct buf *ret);
static int look_readlink(void *arg, const char *path, struct buf *ret);
static int look_list(void *arg, const char *path, void (*emit)(void *arg, const char *name),
                     void *emit_arg);
static int look_xattr(void *arg, const char *path, struct buf *ret);

static int open_with(struct crash_tree *c, const char *dir, const struct db_config *how)
{
    struct err err = {0};
    int rc = db_open(dir, how, &c->db, &err);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", dir, err.msg);
        return rc;
    }
    struct tree_config cfg = {.db = c->db, .dir_fd = c->dir_fd, .base_open = base_open, .arg = c};
    rc = tree_open(&cfg, &c->tree, &err);
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", dir, err.msg);
        db_close(c->db);
        c->db = NULL;
        return rc;
    }
    c->view = (struct crash_view){c,         look_stat,  look_read, look_readlink,
                                  look_list, look_xattr, false,     false};
    return 0;
}

int crash_tree_open(struct crash_tree *c, const char *dir)
{
    char db_dir[512];
    *c = (struct crash_tree){.dir_fd = -1};
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return -errno;
    c->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir_fd < 0)
        return -errno;
    snprintf(db_dir, sizeof db_dir, "%s/db", dir);
    struct db_config how = {.create = true};
    int rc = open_with(c, db_dir, &how);
    if (rc < 0)
        close(c->dir_fd);
    return rc;
}

int crash_tree_open_memory(struct crash_tree *c)
{
    *c = (struct crash_tree){.dir_fd = -1};
    struct db_config how = {.create = true, .in_memory = true};
    return open_with(c, "/memory", &how);
}

void crash_tree_close(struct crash_tree *c)
{
    for (unsigned i = 0; i < CRASH_HELD_MAX; i++)
        crash_tree_hold(c, i, NULL);
    tree_close(c->tree);
    db_close(c->db);
    if (c->dir_fd >= 0)
        close(c->dir_fd);
    *c = (struct crash_tree){.dir_fd = -1};
}

/* ---- operations ---- */

/* The directory of a path, and the last name in it. */
static int find_dir(struct crash_tree *c, const char *path, struct attr *ret,
                    struct bytes *ret_name)
{
    int rc = tree_getattr(c->tree, TREE_ROOT, ret);
    const char *slash;
    while (rc == 0 && (slash = strchr(path, '/')) != NULL) {
        rc = S_ISDIR(ret->mode)
                 ? tree_lookup(c->tree, ret->ino, bytes_of(path, (size_t)(slash - path)), ret)
                 : -ENOTDIR;
        path = slash + 1;
    }
    *ret_name = bytes_str(path);
    return rc < 0 ? rc : S_ISDIR(ret->mode) ? 0 : -ENOTDIR;
}

int crash_tree_find(struct crash_tree *c, const char *path, struct attr *ret)
{
    struct bytes name;
    int rc = find_dir(c, path, ret, &name);
    return rc < 0 || name.n == 0 ? rc : tree_lookup(c->tree, ret->ino, name, ret);
}

static int do_make(struct crash_tree *c, const struct crash_op *op, mode_t type)
{
    struct attr dir, a;
    struct bytes name;
    int rc = find_dir(c, op->path, &dir, &name);
    if (rc < 0)
        return rc;
    struct tree_new what = {.mode = type | (type == S_IFLNK ? 0777 : op->mode)};
    if (type == S_IFLNK)
        what.target = bytes_str(op->to);
    return tree_make(c->tree, dir.ino, name, &what, &a);
}

static int do_rename(struct crash_tree *c, const struct crash_op *op)
{
    struct attr dir, to_dir;
    struct bytes name, to_name;
    int rc = find_dir(c, op->path, &dir, &name);
    if (rc == 0)
        rc = find_dir(c, op->to, &to_dir, &to_name);
    if (rc < 0)
        return rc;
    unsigned flags = op->kind == CRASH_EXCHANGE    ? RENAME_EXCHANGE
                     : op->kind == CRASH_NOREPLACE ? RENAME_NOREPLACE
                                                   : 0;
    return tree_rename(c->tree, dir.ino, name, to_dir.ino, to_name, flags);
}

static int do_remove(struct crash_tree *c, const struct crash_op *op)
{
    struct attr dir, a;
    struct bytes name;
    int rc = find_dir(c, op->path, &dir, &name);
    if (rc == 0)
        rc = tree_lookup(c->tree, dir.ino, name, &a);
    if (rc == 0)
        rc = op->kind == CRASH_RMDIR ? tree_rmdir(c->tree, dir.ino, name)
                                     : tree_unlink(c->tree, dir.ino, name);
    if (rc == 0)
        tree_forget(c->tree, a.ino);
    return rc;
}

/* What happens to a file that is open. */
static int do_opened(struct crash_tree *c, uint64_t ino, const struct crash_op *op)
{
    struct tree_write how = {.offset = op->offset, .append = op->kind == CRASH_APPEND};
    struct tree_set set = {.what = TREE_SET_SIZE, .size = op->length};
    struct attr a;
    switch (op->kind) {
    case CRASH_FSYNC:
        return tree_sync_file(c->tree, ino);
    case CRASH_TRUNCATE:
        return tree_setattr(c->tree, ino, &set, &a);
    case CRASH_PUNCH:
        return tree_fallocate(c->tree, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, op->offset,
                              op->length);
    case CRASH_ALLOCATE:
        return tree_fallocate(c->tree, ino, 0, op->offset, op->length);
    default:
        break;
    }
    uint8_t *p = malloc(op->length);
    if (p == NULL)
        return -ENOMEM;
    crash_fill(op->fill, 0, p, op->length);
    int rc = tree_write(c->tree, ino, bytes_of(p, op->length), &how);
    free(p);
    return rc;
}

static int do_inode(struct crash_tree *c, const struct crash_op *op)
{
    struct attr a;
    int rc = crash_tree_find(c, op->path, &a);
    if (rc < 0)
        return rc;
    if (S_ISLNK(a.mode))
        return op->kind == CRASH_XATTR ? -EPERM : -ELOOP;
    if (op->kind == CRASH_CHMOD) {
        struct tree_set set = {.what = TREE_SET_MODE, .mode = op->mode};
        return tree_setattr(c->tree, a.ino, &set, &a);
    }
    if (op->kind == CRASH_XATTR) {
        uint64_t value = op->fill | 1;
        return tree_xattr_set(c->tree, a.ino, bytes_str("user.crash"),
                              bytes_of(&value, sizeof value), 0);
    }
    if (S_ISDIR(a.mode))
        return op->kind == CRASH_FSYNC ? tree_sync_file(c->tree, a.ino) : -EISDIR;
    bool writing = op->kind != CRASH_FSYNC;
    rc = tree_open_file(c->tree, a.ino, writing, false, &a);
    if (rc < 0)
        return rc;
    rc = do_opened(c, a.ino, op);
    tree_close_file(c->tree, a.ino, writing);
    return rc;
}

int crash_tree_apply(struct crash_tree *c, const struct crash_op *op)
{
    struct attr a, dir;
    struct bytes name;
    int rc;
    switch (op->kind) {
    case CRASH_CREATE:
        return do_make(c, op, S_IFREG);
    case CRASH_MKDIR:
        return do_make(c, op, S_IFDIR);
    case CRASH_SYMLINK:
        return do_make(c, op, S_IFLNK);
    case CRASH_UNLINK:
    case CRASH_RMDIR:
        return do_remove(c, op);
    case CRASH_RENAME:
    case CRASH_NOREPLACE:
    case CRASH_EXCHANGE: {
        struct attr gone = {0};
        rc = op->kind == CRASH_RENAME ? crash_tree_find(c, op->to, &gone) : 0;
        rc = do_rename(c, op);
        if (rc == 0 && gone.ino != 0)
            tree_forget(c->tree, gone.ino);
        return rc;
    }
    case CRASH_LINK:
        rc = crash_tree_find(c, op->path, &a);
        if (rc == 0)
            rc = find_dir(c, op->to, &dir, &name);
        return rc < 0 ? rc : tree_link(c->tree, a.ino, dir.ino, name, &a);
    default:
        return do_inode(c, op);
    }
}

void crash_tree_hold(struct crash_tree *c, unsigned i, const char *path)
{
    struct attr a;
    uint64_t old = c->held[i];
    c->held[i] = 0;
    if (path != NULL && crash_tree_find(c, path, &a) == 0 && S_ISREG(a.mode) &&
        tree_open_file(c->tree, a.ino, true, false, &a) == 0)
        c->held[i] = a.ino;
    if (old == 0)
        return;
    tree_close_file(c->tree, old, true);
    tree_forget(c->tree, old);
}

/* ---- publishing, as the layer above does it ---- */

struct publish {
    struct crash_tree *c;
    uint64_t ino;
};

static int publish_read(void *arg, uint64_t off, void *p, size_t n)
{
    struct publish *s = arg;
    int64_t got = tree_read(s->c->tree, s->ino, off, p, n);
    return got < 0 ? (int)got : (size_t)got == n ? 0 : -EIO;
}

int crash_tree_publish(struct crash_tree *c, const char *path)
{
    struct attr before;
    int rc = crash_tree_find(c, path, &before);
    if (rc < 0 || !S_ISREG(before.mode))
        return rc < 0 ? rc : -EINVAL;
    struct publish s = {c, before.ino};
    struct content_source src = {.size = before.size, .read = publish_read, .arg = &s};
    CLEANUP(buf_fini) struct buf body = {0};
    uint8_t hash[CONTENT_HASH_BYTES];
    rc = content_build(c->db, &keys, &src, NULL, &body, hash);
    struct op x;
    if (rc == 0)
        rc = op_begin(c->tree, false, &x);
    if (rc < 0)
        return rc;
    struct attr *a;
    rc = op_add(&x, before.ino, &a);
    if (rc < 0 || a->changes != before.changes)
        return op_abort(&x, rc < 0 ? rc : -EAGAIN);
    struct base_ref ref = {{0}};
    put_u64(ref.b, a->ino);
    put_u64(ref.b + 8, a->changes);
    rc = content_ref(x.batch, buf_bytes(&body), bytes_of(ref.b, sizeof ref.b));
    if (rc < 0)
        return op_abort(&x, rc);
    db_batch_put(x.batch, DB_VERSION, bytes_of(ref.b, sizeof ref.b), buf_bytes(&body));
    op_set_version(&x, a, &ref, a->size);
    op_put(&x, a);
    return op_commit(&x);
}

/* ---- looking ---- */

static int look_stat(void *arg, const char *path, struct stat *ret)
{
    struct attr a;
    int rc = crash_tree_find(arg, path, &a);
    if (rc == 0)
        attr_stat(&a, ret);
    return rc;
}

static int look_read(void *arg, const char *path, struct buf *ret)
{
    struct crash_tree *c = arg;
    struct attr a;
    int rc = crash_tree_find(c, path, &a);
    buf_reset(ret);
    if (rc == 0)
        rc = buf_resize(ret, a.size + 1);
    int64_t n = rc < 0 ? rc : tree_read(c->tree, a.ino, 0, ret->p, ret->n);
    if (n >= 0)
        ret->n = (size_t)n;
    return n < 0 ? (int)n : 0;
}

static int look_readlink(void *arg, const char *path, struct buf *ret)
{
    struct crash_tree *c = arg;
    struct attr a;
    int rc = crash_tree_find(c, path, &a);
    buf_reset(ret);
    return rc < 0 ? rc : tree_readlink(c->tree, a.ino, ret);
}

struct listing {
    void (*emit)(void *arg, const char *name);
    void *arg;
};

static bool list_one(void *arg, const struct tree_entry *e)
{
    struct listing *l = arg;
    char name[TREE_NAME_MAX + 1];
    memcpy(name, e->name.p, e->name.n);
    name[e->name.n] = '\0';
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        l->emit(l->arg, name);
    return true;
}

static int look_list(void *arg, const char *path, void (*emit)(void *arg, const char *name),
                     void *emit_arg)
{
    struct crash_tree *c = arg;
    struct attr a;
    int rc = crash_tree_find(c, path, &a);
    struct listing l = {emit, emit_arg};
    return rc < 0 ? rc : tree_list(c->tree, a.ino, 0, true, list_one, &l);
}

static int look_xattr(void *arg, const char *path, struct buf *ret)
{
    struct crash_tree *c = arg;
    struct attr a;
    int rc = crash_tree_find(c, path, &a);
    buf_reset(ret);
    return rc < 0 ? rc : tree_xattr_get(c->tree, a.ino, bytes_str("user.crash"), ret);
}

/* One value of the map: 0, or -EUCLEAN and why. */
static int check_segment(struct crash_tree *c, struct bytes key, struct bytes value, char why[256])
{
    struct segment s;
    uint64_t ino = get_u64(key.p);
    int rc = segment_decode(value, get_u64(key.p + 8), &s);
    char path[40], name[STAGING_NAME_BYTES];
    struct attr a;
    if (rc == 0)
        rc = tree_getattr(c->tree, ino, &a);
    file_staging_name(ino, rc == 0 ? a.staging : 0, name);
    snprintf(path, sizeof path, "staging/%s", name);
    int fd = openat(c->dir_fd, path, O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < SEGMENT_BLOCKS && rc == 0; i++) {
        uint8_t bytes[BLOCK_BYTES] = {0};
        uint64_t at = s.index * SEGMENT_BYTES + i * BLOCK_BYTES;
        if ((s.valid >> i & 1) == 0)
            continue;
        if (fd < 0 || pread(fd, bytes, sizeof bytes, (off_t)at) < 0)
            rc = -errno;
        else if (block_sum(bytes) != s.sums[i])
            rc = -EUCLEAN;
        if (rc < 0)
            snprintf(why, 256, "inode %llu: block at %llu: %s", (unsigned long long)ino,
                     (unsigned long long)at, strerror(-rc));
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

bool crash_tree_sums_hold(struct crash_tree *c, char why[256])
{
    struct db_iter *it = db_iter_new(c->db, DB_MAP, bytes_of(NULL, 0), NULL);
    int rc = it == NULL ? -ENOMEM : 0;
    while (rc == 0 && db_iter_next(it))
        rc = check_segment(c, db_iter_key(it), db_iter_value(it), why);
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc == 0;
}

/* ---- directories ---- */

static char copy_from[512], copy_to[512];

static int copy_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    char to[1024];
    snprintf(to, sizeof to, "%s%s", copy_to, path + strlen(copy_from));
    if (type == FTW_D)
        return mkdir(to, st->st_mode & 07777);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st->st_mode & 07777);
    int rc = in < 0 || out < 0 ? -1 : 0;
    static char bytes[1 << 16];
    ssize_t n = 1;
    while (rc == 0 && n > 0) {
        n = read(in, bytes, sizeof bytes);
        rc = n < 0 || (n > 0 && write(out, bytes, (size_t)n) != n) ? -1 : 0;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return rc;
}

int crash_copy_dir(const char *from, const char *to)
{
    snprintf(copy_from, sizeof copy_from, "%s", from);
    snprintf(copy_to, sizeof copy_to, "%s", to);
    return nftw(from, copy_one, 16, FTW_PHYS);
}

static uint64_t dir_state;

static int state_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    uint64_t h = (uint64_t)type;
    for (; *path != '\0'; path++)
        h = h * 31 + (uint8_t)*path;
    h = h * 31 + (uint64_t)st->st_size;
    h = h * 31 + (uint64_t)st->st_mtim.tv_sec;
    dir_state += (h * 31 + (uint64_t)st->st_mtim.tv_nsec) * 0x9e3779b1;
    return 0;
}

uint64_t crash_dir_state(const char *dir)
{
    dir_state = 0;
    if (nftw(dir, state_one, 16, FTW_PHYS) < 0)
        dir_state = (uint64_t)clock();
    return dir_state;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void crash_remove_dir(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_PHYS | FTW_DEPTH | FTW_MOUNT);
}

const char *crash_temp_dir(void)
{
    static char dir[256];
    return scratch_dir(dir, sizeof dir, "crash") ? dir : NULL;
}
