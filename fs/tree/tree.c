/* Opening and closing of the tree. */
#include "fs/tree/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "fs/tree/data.h"
#include "fs/tree/seen.h"
#include "fs/tree/tree_priv.h"

static const char seed_key[] = "name-seed", clean_key[] = "clean";

static int read_u64(struct db *db, const char *key, uint64_t *ret)
{
    struct db_value v;
    int rc = db_get(db, DB_META, bytes_str(key), &v);
    if (rc == 0 && v.v.n != 8)
        rc = -EUCLEAN;
    if (rc == 0)
        *ret = get_u64(v.v.p);
    db_value_fini(&v);
    return rc;
}

static void put_meta_u64(struct db_batch *b, const char *key, uint64_t v)
{
    uint8_t value[8];
    put_u64(value, v);
    db_batch_put(b, DB_META, bytes_str(key), bytes_of(value, sizeof value));
}

/* The first contents of a new database: a root directory, and the seed of the hash of names. */
static int make_root(struct tree *t)
{
    uint8_t seed[8];
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return -EIO;
    struct db_batch *b = db_batch_new(t->db);
    if (b == NULL)
        return -ENOMEM;
    struct timespec now = attr_now();
    struct attr root = {
        .ino = TREE_ROOT,
        .mode = S_IFDIR | 0755,
        .uid = getuid(),
        .gid = getgid(),
        .nlink = 2,
        .parent = TREE_ROOT,
        .atime = now,
        .mtime = now,
        .ctime = now,
        .btime = now,
        .bound = true,
    };
    CLEANUP(buf_fini) struct buf value = {0};
    attr_encode(&root, &value);
    int rc = buf_status(&value);
    uint8_t key[8];
    node_key(TREE_ROOT, key);
    db_batch_put(b, DB_INODE, bytes_of(key, sizeof key), buf_bytes(&value));
    db_batch_put(b, DB_META, bytes_str(seed_key), bytes_of(seed, sizeof seed));
    put_meta_u64(b, TREE_NEXT_INO_KEY, TREE_ROOT + 1);
    put_meta_u64(b, clean_key, 0);
    if (rc == 0)
        rc = db_write(t->db, b, true);
    db_batch_free(b);
    return rc;
}

static int load_meta(struct tree *t)
{
    int rc = read_u64(t->db, seed_key, &t->name_seed);
    if (rc == -ENOENT) {
        rc = make_root(t);
        if (rc == 0)
            rc = read_u64(t->db, seed_key, &t->name_seed);
    }
    if (rc == 0)
        rc = read_u64(t->db, TREE_NEXT_INO_KEY, &t->next_ino);
    t->reserved_ino = t->next_ino;
    return rc == -ENOENT ? -EUCLEAN : rc;
}

/* "clean" holds the number of files while nobody has the database open; it is absent else. */
static int set_clean(struct tree *t, bool clean)
{
    struct db_batch *b = db_batch_new(t->db);
    if (b == NULL)
        return -ENOMEM;
    if (clean)
        put_meta_u64(b, clean_key, atomic_load(&t->files));
    else
        db_batch_delete(b, DB_META, bytes_str(clean_key));
    int rc = db_write(t->db, b, true);
    db_batch_free(b);
    return rc;
}

static int recover(struct tree *t)
{
    uint64_t files;
    int rc = read_u64(t->db, clean_key, &files);
    if (rc == 0) {
        atomic_store(&t->files, files);
        return set_clean(t, false);
    }
    if (rc != -ENOENT)
        return rc;
    atomic_store(&t->files, db_estimate_keys(t->db, DB_INODE));
    return data_recover(t);
}

static int open_staging(struct tree *t, struct err *err)
{
    if (t->cfg.dir_fd < 0)
        return 0;
    if (mkdirat(t->cfg.dir_fd, "staging", 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno, "making the folder for staging files: %s", strerror(errno));
    t->staging_fd =
        openat(t->cfg.dir_fd, "staging", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (t->staging_fd < 0)
        return err_set(err, -errno, "opening the folder of staging files: %s", strerror(errno));
    return 0;
}

int tree_open(const struct tree_config *cfg, struct tree **ret_tree, struct err *err)
{
    struct tree *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    t->cfg = *cfg;
    t->db = cfg->db;
    t->staging_fd = -1;
    t->seen = seen_new(NULL);
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_init(&t->late_lock, NULL);
    pthread_mutex_init(&t->gone_lock, NULL);
    pthread_mutex_init(&t->atime_lock, NULL);
    int rc = node_cache_init(t);
    if (rc == 0 && t->seen == NULL)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = open_staging(t, err);
    if (rc == 0) {
        rc = load_meta(t);
        if (rc == 0)
            rc = recover(t);
        if (rc == 0)
            rc = orphan_reap_all(t);
        if (rc < 0)
            err_set(err, rc, "reading the folder's database: %s", strerror(-rc));
    }
    if (rc < 0) {
        tree_close(t);
        return rc;
    }
    t->usable = true;
    *ret_tree = t;
    return 0;
}

void tree_close(struct tree *t)
{
    if (t == NULL)
        return;
    if (t->usable)
        atime_flush(t);
    if (t->usable && data_settle(t) == 0 && late_sync(t) == 0) {
        int rc = set_clean(t, true);
        (void)rc; /* not clean: the next opening looks closer */
    }
    node_cache_fini(t);
    tree_thread_done();
    seen_free(t->seen);
    if (t->staging_fd >= 0)
        close(t->staging_fd);
    buf_fini(&t->late);
    pthread_mutex_destroy(&t->late_lock);
    buf_fini(&t->atimes);
    pthread_mutex_destroy(&t->gone_lock);
    pthread_mutex_destroy(&t->atime_lock);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int tree_sync(struct tree *t)
{
    int rc = data_settle(t);
    return rc < 0 ? rc : late_sync(t);
}
