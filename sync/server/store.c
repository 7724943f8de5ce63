/* The store on RocksDB: opening, rows, batches, iterators. */
#include "sync/server/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/db_err.h"
#include "sync/server/store_priv.h"

enum {
    CACHE_BYTES = 64 << 20,
    MEMTABLES_BYTES_MAX = 32 << 20, /* of all families together */
    LOGS_BYTES_MAX = 64 << 20,
    BLOB_BYTES_MIN = 1024,
    BLOB_FILE_BYTES = 64 << 20,
    BLOOM_BITS = 10,
    FILES_MAX = 768,
};

static const struct {
    const char *name;
    bool blobs;    /* sealed bytes: they are large, and nothing compresses them */
    double filter; /* of the table in memory: most keys that are asked for are not there */
} families[SRV_FAMILY_N] = {
    [SRV_META] = {"default", false, 0}, /* RocksDB wants a family of this name */
    [SRV_ACCOUNTS] = {"accounts", false, 0}, [SRV_LOG] = {"log", false, 0},
    [SRV_ENTRIES] = {"entries", true, 0},    [SRV_CHUNKS] = {"chunks", true, 0.01},
};

static rocksdb_options_t *family_options(const struct srv_store *s, int family)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, s->cache);
    /* In parts, as the cache is: whole ones, of a million chunks, are more than one of its shards
     * holds, and would be read and verified each time anew. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_index_type(
        t, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(t, 1);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_checksum(t, 4); /* kXXH3 */
    rocksdb_block_based_options_set_filter_policy(
        t, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_write_buffer_size(o, 16 << 20);
    if (families[family].filter > 0) {
        rocksdb_options_set_memtable_whole_key_filtering(o, 1);
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, families[family].filter);
    }
    if (families[family].blobs) {
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, BLOB_BYTES_MIN);
        rocksdb_options_set_blob_file_size(o, BLOB_FILE_BYTES);
        rocksdb_options_set_blob_compression_type(o, rocksdb_no_compression);
        rocksdb_options_set_enable_blob_gc(o, 1);
    }
    return o;
}

static void set_options(rocksdb_options_t *o, bool create)
{
    rocksdb_options_set_create_if_missing(o, create);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_db_write_buffer_size(o, MEMTABLES_BYTES_MAX);
    rocksdb_options_set_max_total_wal_size(o, LOGS_BYTES_MAX);
    rocksdb_options_set_max_open_files(o, FILES_MAX);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20);
    /* The log goes to its file when it is synced, for all pushes at once, not for each of them. */
    rocksdb_options_set_manual_wal_flush(o, 1);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_log_file_size(o, 1 << 20);
    rocksdb_options_set_info_log_level(o, 2 /* warnings */);
    /* No periodic work: an idle server uses no processor. */
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
}

static int open_rocks(struct srv_store *s, const char *dir, bool create, struct err *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/db", dir) >= (int)sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    s->cache = rocksdb_cache_create_lru(CACHE_BYTES);
    s->read = rocksdb_readoptions_create();
    s->write = rocksdb_writeoptions_create();
    s->options = rocksdb_options_create();
    set_options(s->options, create);
    const char *names[SRV_FAMILY_N];
    rocksdb_options_t *options[SRV_FAMILY_N];
    for (int i = 0; i < SRV_FAMILY_N; i++) {
        names[i] = families[i].name;
        options[i] = family_options(s, i);
    }
    char *error = NULL;
    s->rocks =
        rocksdb_open_column_families(s->options, path, SRV_FAMILY_N, names,
                                     (const rocksdb_options_t *const *)options, s->family, &error);
    for (int i = 0; i < SRV_FAMILY_N; i++)
        rocksdb_options_destroy(options[i]);
    int rc = db_err_take(&error, err);
    return rc < 0 ? err_wrap(err, rc, "%s", dir) : 0;
}

/* Looks at the format, or notes it in a store that is new. */
static int check_format(struct srv_store *s, const char *dir, struct err *err)
{
    struct bytes key = bytes_str("format");
    struct buf v = {0};
    int rc = srv_store_get(s, SRV_META, key, &v);
    if (rc == 0 && (v.n != 4 || get_u32(v.p) > SRV_STORE_FORMAT))
        rc = err_set(err, -ENOTSUP,
                     "%s: has a format that this program does not know; use a newer one", dir);
    else if (rc == 0 && get_u32(v.p) < SRV_STORE_FORMAT)
        rc = err_set(err, -ENOTSUP,
                     "%s: was made by an older persist; serve an empty directory instead, and "
                     "add the users and the folders to it again",
                     dir);
    if (rc == -ENOENT) {
        uint8_t format[4];
        put_u32(format, SRV_STORE_FORMAT);
        struct srv_batch *b = srv_batch_new(s);
        if (b != NULL)
            srv_batch_put(b, SRV_META, key, bytes_of(format, sizeof format));
        rc = b == NULL ? -ENOMEM : srv_store_write(s, b, SRV_URGENT);
        srv_batch_free(b);
        if (rc < 0)
            err_set(err, rc, "%s: cannot be written to; look at the disk", dir);
    }
    buf_fini(&v);
    return rc;
}

static int open_all(struct srv_store *s, const char *dir, bool create, struct err *err)
{
    if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(err, -errno, "%s: %s", dir, strerror(errno));
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Nothing is made in a directory of something else. */
    bool is_there = s->dir_fd >= 0 && (create || faccessat(s->dir_fd, "db/CURRENT", F_OK, 0) == 0);
    if (!is_there && errno == ENOENT)
        return err_set(err, -ENOENT,
                       "%s: is no server's data; give its --data, or make a server "
                       "by persist user add",
                       dir);
    if (!is_there)
        return err_set(err, -errno, "%s: %s; give the --data of a server", dir, strerror(errno));
    int rc = srv_store_lock(s->dir_fd, dir, &s->lock_fd, err);
    if (rc == 0) {
        rc = srv_store_room_to_open(s);
        if (rc < 0)
            err_set(err, rc, "%s: %s; look at the disk, and free some space there", dir,
                    strerror(-rc));
    }
    if (rc == 0)
        rc = open_rocks(s, dir, create, err);
    if (rc == 0)
        rc = check_format(s, dir, err);
    if (rc < 0)
        return rc;
    rc = srv_packs_open(s);
    return rc < 0 ? err_set(err, rc, "%s: the packs cannot be read: %s", dir, strerror(-rc)) : 0;
}

int srv_store_open(const char *dir, bool create, struct srv_store **ret, struct err *err)
{
    struct srv_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->dir_fd = s->lock_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    int rc = open_all(s, dir, create, err);
    if (rc < 0) {
        srv_store_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void srv_store_close(struct srv_store *s)
{
    if (s == NULL)
        return;
    if (s->rocks != NULL) {
        for (int i = 0; i < SRV_FAMILY_N; i++)
            rocksdb_column_family_handle_destroy(s->family[i]);
        rocksdb_close(s->rocks);
    }
    if (s->options != NULL) {
        rocksdb_options_destroy(s->options);
        rocksdb_readoptions_destroy(s->read);
        rocksdb_writeoptions_destroy(s->write);
        rocksdb_cache_destroy(s->cache);
    }
    packs_close(s->packs);
    pthread_mutex_destroy(&s->lock);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    free(s);
}

/* ---- rows ---- */

static int get(struct srv_store *s, enum srv_family family, struct bytes key,
               rocksdb_pinnableslice_t **ret)
{
    char *error = NULL;
    *ret = rocksdb_get_pinned_cf(s->rocks, s->read, s->family[family], (const char *)key.p, key.n,
                                 &error);
    int rc = db_err_take(&error, NULL);
    return rc < 0 ? rc : *ret == NULL ? -ENOENT : 0;
}

int srv_store_get(struct srv_store *s, enum srv_family family, struct bytes key, struct buf *ret)
{
    rocksdb_pinnableslice_t *pin;
    buf_reset(ret);
    int rc = get(s, family, key, &pin);
    if (rc < 0)
        return rc;
    size_t n;
    const char *p = rocksdb_pinnableslice_value(pin, &n);
    buf_put(ret, p, n);
    rocksdb_pinnableslice_destroy(pin);
    return buf_status(ret);
}

int srv_store_has(struct srv_store *s, enum srv_family family, struct bytes key)
{
    rocksdb_pinnableslice_t *pin;
    int rc = get(s, family, key, &pin);
    if (rc == 0)
        rocksdb_pinnableslice_destroy(pin);
    return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

/* ---- batches ---- */

/* The end of the keys that begin with a prefix: the first that is above all of them. */
struct end {
    uint8_t p[SRV_PREFIX_MAX];
    size_t n; /* 0: there is no such key */
};

static struct end end_of(struct bytes prefix)
{
    struct end e = {.n = prefix.n};
    assert(prefix.n <= sizeof e.p);
    if (prefix.n > 0)
        memcpy(e.p, prefix.p, prefix.n);
    while (e.n > 0 && e.p[e.n - 1] == 0xff)
        e.n--;
    if (e.n > 0)
        e.p[e.n - 1]++;
    return e;
}

struct srv_batch *srv_batch_new(struct srv_store *s)
{
    struct srv_batch *b = malloc(sizeof *b);
    if (b != NULL)
        *b = (struct srv_batch){.s = s, .wb = rocksdb_writebatch_create()};
    return b;
}

void srv_batch_free(struct srv_batch *b)
{
    if (b == NULL)
        return;
    rocksdb_writebatch_destroy(b->wb);
    free(b);
}

void srv_batch_put(struct srv_batch *b, enum srv_family family, struct bytes key,
                   struct bytes value)
{
    rocksdb_writebatch_put_cf(b->wb, b->s->family[family], (const char *)key.p, key.n,
                              (const char *)value.p, value.n);
}

void srv_batch_put_parts(struct srv_batch *b, enum srv_family family, struct bytes key,
                         struct bytes head, struct bytes rest)
{
    const char *keys[] = {(const char *)key.p};
    const char *values[] = {(const char *)head.p, (const char *)rest.p};
    const size_t keys_n[] = {key.n};
    const size_t values_n[] = {head.n, rest.n};
    rocksdb_writebatch_putv_cf(b->wb, b->s->family[family], ARRAY_N(keys), keys, keys_n,
                               ARRAY_N(values), values, values_n);
}

void srv_batch_delete(struct srv_batch *b, enum srv_family family, struct bytes key)
{
    rocksdb_writebatch_delete_cf(b->wb, b->s->family[family], (const char *)key.p, key.n);
}

void srv_batch_delete_all(struct srv_batch *b, enum srv_family family, struct bytes prefix)
{
    struct end end = end_of(prefix);
    assert(end.n > 0);
    rocksdb_writebatch_delete_range_cf(b->wb, b->s->family[family], (const char *)prefix.p,
                                       prefix.n, (const char *)end.p, end.n);
}

int srv_store_write(struct srv_store *s, struct srv_batch *b, enum srv_urgency urgency)
{
    size_t n;
    (void)rocksdb_writebatch_data(b->wb, &n);
    int rc = srv_store_room(s, n, urgency);
    if (rc < 0)
        return rc;
    char *error = NULL;
    if (b->releases)
        pthread_mutex_lock(&s->lock);
    rocksdb_write(s->rocks, s->write, b->wb, &error);
    if (b->releases) {
        s->released++;
        pthread_mutex_unlock(&s->lock);
    }
    return db_err_take(&error, NULL);
}

int srv_store_sync(struct srv_store *s)
{
    struct srv_packs_sync y;
    int rc = srv_packs_sync(s, &y);
    if (rc < 0)
        return rc;
    char *error = NULL;
    rocksdb_flush_wal(s->rocks, 1, &error);
    rc = db_err_take(&error, NULL);
    if (rc == 0)
        srv_packs_synced(s, &y);
    return rc;
}

void srv_store_reclaim(struct srv_store *s, enum srv_family family, struct bytes prefix)
{
    struct end end = end_of(prefix);
    rocksdb_compact_range_cf(s->rocks, s->family[family], (const char *)prefix.p, prefix.n,
                             (const char *)end.p, end.n);
}

/* ---- iterators ---- */

struct srv_iter {
    rocksdb_iterator_t *it;
    rocksdb_readoptions_t *options; /* borrows end */
    struct end end;
    bool started;
};

struct srv_iter *srv_iter_new(struct srv_store *s, enum srv_family family, struct bytes prefix,
                              struct bytes from)
{
    struct srv_iter *it = calloc(1, sizeof *it);
    if (it == NULL)
        return NULL;
    it->end = end_of(prefix);
    it->options = rocksdb_readoptions_create();
    if (it->end.n > 0)
        rocksdb_readoptions_set_iterate_upper_bound(it->options, (const char *)it->end.p,
                                                    it->end.n);
    it->it = rocksdb_create_iterator_cf(s->rocks, it->options, s->family[family]);
    struct bytes first = bytes_cmp(from, prefix) > 0 ? from : prefix;
    rocksdb_iter_seek(it->it, (const char *)first.p, first.n);
    return it;
}

void srv_iter_free(struct srv_iter *it)
{
    if (it == NULL)
        return;
    rocksdb_iter_destroy(it->it);
    rocksdb_readoptions_destroy(it->options);
    free(it);
}

bool srv_iter_next(struct srv_iter *it)
{
    if (it->started && rocksdb_iter_valid(it->it))
        rocksdb_iter_next(it->it);
    it->started = true;
    return rocksdb_iter_valid(it->it);
}

struct bytes srv_iter_key(const struct srv_iter *it)
{
    size_t n;
    const char *p = rocksdb_iter_key(it->it, &n);
    return bytes_of(p, n);
}

struct bytes srv_iter_value(const struct srv_iter *it)
{
    size_t n;
    const char *p = rocksdb_iter_value(it->it, &n);
    return bytes_of(p, n);
}

int srv_iter_status(const struct srv_iter *it)
{
    char *error = NULL;
    rocksdb_iter_get_error(it->it, &error);
    return db_err_take(&error, NULL);
}
