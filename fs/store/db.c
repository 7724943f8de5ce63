/* Opening, reading, batches; writing is in db_log.c, iterators are in db_iter.c. */
#include "fs/store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/db_err.h"
#include "fs/store/db_priv.h"

enum {
    CACHE_BYTES_DEFAULT = 10 << 20,
    MEMTABLES_BYTES_MAX = 12 << 20, /* of all families together */
    ARENA_BYTES = 128 << 10,
    BLOOM_BITS = 10,
    FILES_MAX = 768,
    MERGED_FILES = 8,       /* as they are flushed, of a family whose values are read one by one */
    LEVEL_BYTES = 64 << 20, /* of the first level of merged tables, */
    BODIES_BYTES = 256 << 20, /* and of that of versions */
};

static const struct {
    const char *name;
    bool compress; /* LZ4: small values of much repetition */
    bool bloom;    /* point reads of keys that are often missing */
    double filter; /* of the tables in memory: most keys that are asked for are not there */
    int files;     /* as they are flushed, that are merged at a time; 0: four, as is usual */
} families[DB_CF_N] = {
    [DB_META] = {"default", false, false, 0, 0}, /* RocksDB wants a family of this name */
    [DB_INODE] = {"inode", true, true, 0, MERGED_FILES},
    [DB_DIRENT] = {"dirent", true, true, 0.005, 0},
    [DB_DATA] = {"data", false, true, 0, MERGED_FILES},
    [DB_MAP] = {"map", false, true, 0, 0},
    [DB_REDO] = {"redo", false, true, 0, 0},
    [DB_XATTR] = {"xattr", false, true, 0, 0},
    [DB_PENDING] = {"pending", false, true, 0, 0},
    [DB_RECORD] = {"record", true, true, 0.001, MERGED_FILES},
    [DB_LOG] = {"log", true, false, 0, 0},
    [DB_SHOWN] = {"shown", true, true, 0.001, 0},
    [DB_VERSION] = {"version", true, true, 0.001, 2 * MERGED_FILES},
    [DB_CHUNK] = {"chunk", false, true, 0, 0},
    [DB_CHUNKREF] = {"chunkref", false, true, 0.005, 0},
    [DB_BIND] = {"bind", false, true, 0.001, MERGED_FILES},
    [DB_SYNC] = {"sync", true, false, 0, MERGED_FILES},
};

enum db_cf db_family(const char *name)
{
    int i = 0;
    while (i < DB_CF_N && strcmp(families[i].name, name) != 0)
        i++;
    return (enum db_cf)i;
}

static rocksdb_options_t *family_options(const struct db *db, enum db_cf cf)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, db->cache);
    /* Indexes and filters stay with their tables: in the cache, which is small, they would push
     * each other out, and a look-up in a folder of a million files would read hundreds of KiB. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 0);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_checksum(t, 4); /* kXXH3 */
    if (families[cf].bloom)
        rocksdb_block_based_options_set_filter_policy(
            t, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
    rocksdb_options_set_compression(o, families[cf].compress ? rocksdb_lz4_compression
                                                             : rocksdb_no_compression);
    /* More than all families may have: they are written to tables together, see db_log.c. */
    rocksdb_options_set_write_buffer_size(o, 2 * MEMTABLES_BYTES_MAX);
    rocksdb_options_set_arena_block_size(o, ARENA_BYTES);
    if (families[cf].filter > 0) {
        rocksdb_options_set_memtable_whole_key_filtering(o, 1);
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, families[cf].filter);
    }
    rocksdb_options_set_target_file_size_base(o, 16 << 20);
    /* Bodies come in no order, so each merge goes over all of a level: the fewer of them, and the
     * fewer levels, the less often each byte is written. */
    rocksdb_options_set_max_bytes_for_level_base(o, cf == DB_VERSION ? BODIES_BYTES : LEVEL_BYTES);
    if (families[cf].files > 0) {
        rocksdb_options_set_level0_file_num_compaction_trigger(o, families[cf].files);
        rocksdb_options_set_level0_slowdown_writes_trigger(o, 4 * families[cf].files);
        rocksdb_options_set_level0_stop_writes_trigger(o, 6 * families[cf].files);
    }
    return o;
}

/* What is not in tables is in the log. On a full disk, a close would not come to its end. */
static rocksdb_options_t *closes_without_flush(void)
{
    char *error = NULL;
    rocksdb_options_t *base = rocksdb_options_create(), *o = rocksdb_options_create();
    rocksdb_get_options_from_string(base, "avoid_flush_during_shutdown=true", o, &error);
    assert(error == NULL);
    rocksdb_options_destroy(base);
    return o;
}

static void set_options(struct db *db, rocksdb_options_t *o, const struct db_config *cfg)
{
    if (cfg->in_memory) {
        db->env = rocksdb_create_mem_env();
        rocksdb_options_set_env(o, db->env);
    }
    rocksdb_options_set_create_if_missing(o, cfg->create);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_db_write_buffer_size(o, MEMTABLES_BYTES_MAX);
    rocksdb_options_set_atomic_flush(o, 1);
    rocksdb_options_set_max_open_files(o, FILES_MAX);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_log_file_size(o, 1 << 20);
    rocksdb_options_set_info_log_level(o, 2 /* warnings */);
    /* No periodic work: an idle folder uses no processor. */
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    rocksdb_options_set_advise_random_on_open(o, 0);
}

/* Packs go on after the last chunk there is. */
static int open_packs(struct db *db)
{
    static const uint8_t above_all[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct db_iter *it = db_iter_new(db, DB_CHUNK, bytes_of(NULL, 0), NULL);
    if (it == NULL)
        return -ENOMEM;
    uint64_t end = 0;
    db_iter_seek_before(it, bytes_of(above_all, sizeof above_all));
    if (db_iter_next(it) && db_iter_key(it).n == 8 && db_iter_value(it).n >= 4)
        end = get_u64(db_iter_key(it).p) + get_u32(db_iter_value(it).p);
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : packs_open(db->dir_fd, end, &db->packs);
}

int db_open(const char *dir, const struct db_config *cfg, struct db **ret_db, struct err *err)
{
    struct err own = {0};
    if (err == NULL)
        err = &own;
    if (!cfg->in_memory) {
        int rc = db_look_first(dir, cfg, err);
        if (rc < 0)
            return rc;
    }
    struct db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    db->dir_fd = -1;
    pthread_mutex_init(&db->verify, NULL);
    pthread_mutex_init(&db->order, NULL);
    db->cache =
        rocksdb_cache_create_lru(cfg->cache_bytes != 0 ? cfg->cache_bytes : CACHE_BYTES_DEFAULT);
    db->options = closes_without_flush();
    set_options(db, db->options, cfg);
    const char *names[DB_CF_N];
    rocksdb_options_t *cf_options[DB_CF_N];
    for (int i = 0; i < DB_CF_N; i++) {
        names[i] = families[i].name;
        cf_options[i] = family_options(db, (enum db_cf)i);
    }
    char *error = NULL;
    const rocksdb_options_t *const *each = (const rocksdb_options_t *const *)cf_options;
    db->rocks =
        rocksdb_open_column_families(db->options, dir, DB_CF_N, names, each, db->cf, &error);
    if (error != NULL && strstr(error, "MANIFEST-") != NULL && !cfg->in_memory && db_mend(dir)) {
        free(error);
        error = NULL;
        db->rocks =
            rocksdb_open_column_families(db->options, dir, DB_CF_N, names, each, db->cf, &error);
    }
    for (int i = 0; i < DB_CF_N; i++)
        rocksdb_options_destroy(cf_options[i]);
    int rc = db_err_take(&error, err);
    if (rc < 0)
        rc = db_open_error(rc, dir, err);
    if (rc == 0) {
        db->read = rocksdb_readoptions_create();
        db->read_tables = rocksdb_readoptions_create();
        rocksdb_readoptions_set_read_tier(db->read_tables, 2 /* kPersistedTier */);
        db->write = rocksdb_writeoptions_create();
        rocksdb_writeoptions_disable_WAL(db->write, 1);
        if (!cfg->in_memory) {
            db->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            db_verify_clear(db);
        }
        err_set(err, 0, "a table cannot be read");
        rc = cfg->in_memory ? 0 : db_log_open(db, dir, err);
        if (rc == 0)
            rc = open_packs(db);
        if (rc < 0)
            rc = db_open_error(rc, dir, err);
    }
    if (rc < 0) {
        db_close(db);
        return rc;
    }
    *ret_db = db;
    return 0;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    if (db->rocks != NULL) {
        db_log_close(db, db->wal != NULL && db_flush(db) == 0);
        for (int i = 0; i < DB_CF_N; i++)
            rocksdb_column_family_handle_destroy(db->cf[i]);
        rocksdb_close(db->rocks);
    }
    if (db->read != NULL)
        rocksdb_readoptions_destroy(db->read);
    packs_close(db->packs);
    if (db->read_tables != NULL)
        rocksdb_readoptions_destroy(db->read_tables);
    if (db->write != NULL)
        rocksdb_writeoptions_destroy(db->write);
    if (db->dir_fd >= 0)
        close(db->dir_fd);
    rocksdb_options_destroy(db->options);
    rocksdb_cache_destroy(db->cache);
    if (db->env != NULL)
        rocksdb_env_destroy(db->env);
    pthread_mutex_destroy(&db->order);
    pthread_mutex_destroy(&db->verify);
    free(db);
}

void db_value_fini(struct db_value *v)
{
    if (v->pin != NULL)
        rocksdb_pinnableslice_destroy(v->pin);
    free(v->own);
    *v = (struct db_value){0};
}

int db_get(struct db *db, enum db_cf cf, struct bytes key, struct db_value *ret)
{
    *ret = (struct db_value){0};
    char *error = NULL;
    rocksdb_pinnableslice_t *pin =
        rocksdb_get_pinned_cf(db->rocks, db->read, db->cf[cf], (const char *)key.p, key.n, &error);
    int rc = db_err_take(&error, NULL);
    if (rc < 0)
        return rc;
    if (pin == NULL)
        return -ENOENT;
    ret->pin = pin;
    ret->v.p = (const uint8_t *)rocksdb_pinnableslice_value(pin, &ret->v.n);
    return 0;
}

int db_has(struct db *db, enum db_cf cf, struct bytes key)
{
    struct db_value v;
    int rc = db_get(db, cf, key, &v);
    db_value_fini(&v);
    return rc == 0 ? 1 : rc == -ENOENT ? 0 : rc;
}

void db_batch_free(struct db_batch *b)
{
    if (b == NULL)
        return;
    rocksdb_writebatch_destroy(b->wb);
    free(b);
}

struct db_batch *db_batch_new(struct db *db)
{
    struct db_batch *b = malloc(sizeof *b);
    if (b == NULL)
        return NULL;
    *b = (struct db_batch){.db = db, .wb = rocksdb_writebatch_create()};
    return b;
}

void db_batch_clear(struct db_batch *b)
{
    rocksdb_writebatch_clear(b->wb);
    b->stores = false;
}

void db_batch_frees(struct db_batch *b)
{
    b->frees = true;
}

size_t db_batch_n(const struct db_batch *b)
{
    return (size_t)rocksdb_writebatch_count(b->wb);
}

size_t db_batch_bytes(const struct db_batch *b)
{
    size_t n;
    (void)rocksdb_writebatch_data(b->wb, &n);
    return n;
}

void db_batch_put(struct db_batch *b, enum db_cf cf, struct bytes key, struct bytes value)
{
    b->stores = b->stores || cf == DB_DATA || cf == DB_VERSION;
    rocksdb_writebatch_put_cf(b->wb, b->db->cf[cf], (const char *)key.p, key.n,
                              (const char *)value.p, value.n);
}

void db_batch_delete(struct db_batch *b, enum db_cf cf, struct bytes key)
{
    rocksdb_writebatch_delete_cf(b->wb, b->db->cf[cf], (const char *)key.p, key.n);
}

void db_batch_delete_range(struct db_batch *b, enum db_cf cf, struct bytes from, struct bytes to)
{
    rocksdb_writebatch_delete_range_cf(b->wb, b->db->cf[cf], (const char *)from.p, from.n,
                                       (const char *)to.p, to.n);
}

void db_batch_save(struct db_batch *b)
{
    rocksdb_writebatch_set_save_point(b->wb);
}

void db_batch_rollback(struct db_batch *b)
{
    char *error = NULL;
    rocksdb_writebatch_rollback_to_save_point(b->wb, &error);
    int rc = db_err_take(&error, NULL);
    assert(rc == 0);
    (void)rc;
}

void db_batch_keep(struct db_batch *b)
{
    char *error = NULL;
    rocksdb_writebatch_pop_save_point(b->wb, &error);
    int rc = db_err_take(&error, NULL);
    assert(rc == 0);
    (void)rc;
}

static uint64_t property(struct db *db, enum db_cf cf, const char *name)
{
    uint64_t v = 0;
    if (rocksdb_property_int_cf(db->rocks, db->cf[cf], name, &v) != 0)
        return 0;
    return v;
}

int db_compact(struct db *db, enum db_cf cf)
{
    int rc = db_room_tables(db, property(db, cf, "rocksdb.live-sst-files-size"));
    if (rc < 0)
        return rc;
    rocksdb_compact_range_cf(db->rocks, db->cf[cf], NULL, 0, NULL, 0);
    return 0;
}

void db_rewrite(struct db *db, enum db_cf cf)
{
    rocksdb_compactoptions_t *o = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_bottommost_level_compaction(o, 2); /* kForce */
    rocksdb_compact_range_cf_opt(db->rocks, db->cf[cf], o, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(o);
}

struct db_snapshot *db_snapshot_new(struct db *db)
{
    struct db_snapshot *s = malloc(sizeof *s);
    if (s != NULL)
        s->snapshot = rocksdb_create_snapshot(db->rocks);
    return s;
}

void db_snapshot_free(struct db *db, struct db_snapshot *s)
{
    if (s == NULL)
        return;
    rocksdb_release_snapshot(db->rocks, s->snapshot);
    free(s);
}

struct packs *db_packs(struct db *db)
{
    return db->packs;
}

uint64_t db_written(struct db *db)
{
    return atomic_load(&db->written);
}

uint64_t db_estimate_keys(struct db *db, enum db_cf cf)
{
    return property(db, cf, "rocksdb.estimate-num-keys");
}

uint64_t db_memory(struct db *db)
{
    uint64_t sum = rocksdb_cache_get_usage(db->cache);
    for (int i = 0; i < DB_CF_N; i++)
        sum += property(db, (enum db_cf)i, "rocksdb.cur-size-all-mem-tables") +
               property(db, (enum db_cf)i, "rocksdb.estimate-table-readers-mem");
    return sum;
}
