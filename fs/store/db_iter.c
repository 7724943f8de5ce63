/* Iterators over the keys of one prefix. */
#include <assert.h>
#include <stdlib.h>

#include "fs/store/db_err.h"
#include "fs/store/db_priv.h"

enum { SCAN_READAHEAD_BYTES = 1 << 20, PREFIX_BYTES_MAX = 512 };

struct db_iter {
    rocksdb_iterator_t *it;
    rocksdb_readoptions_t *options;
    uint8_t prefix[PREFIX_BYTES_MAX], end[PREFIX_BYTES_MAX]; /* end: first key past the prefix */
    size_t prefix_n, end_n;
    bool at; /* stands on a key that db_iter_next() has not given yet */
    bool started;
};

/* The shortest key that is greater than all that begin with the prefix; empty: there is none. */
static void set_end(struct db_iter *it)
{
    memcpy(it->end, it->prefix, it->prefix_n);
    it->end_n = it->prefix_n;
    while (it->end_n > 0 && it->end[it->end_n - 1] == 0xff)
        it->end_n--;
    if (it->end_n > 0)
        it->end[it->end_n - 1]++;
}

static struct db_iter *iter_new(struct db *db, enum db_cf cf, struct bytes prefix,
                                const struct db_snapshot *snap, bool scan)
{
    assert(prefix.n <= PREFIX_BYTES_MAX);
    struct db_iter *it = calloc(1, sizeof *it);
    if (it == NULL)
        return NULL;
    if (prefix.n > 0)
        memcpy(it->prefix, prefix.p, prefix.n);
    it->prefix_n = prefix.n;
    set_end(it);
    it->options = rocksdb_readoptions_create();
    if (snap != NULL)
        rocksdb_readoptions_set_snapshot(it->options, snap->snapshot);
    if (it->end_n > 0)
        rocksdb_readoptions_set_iterate_upper_bound(it->options, (const char *)it->end, it->end_n);
    if (it->prefix_n > 0)
        rocksdb_readoptions_set_iterate_lower_bound(it->options, (const char *)it->prefix,
                                                    it->prefix_n);
    if (scan) {
        rocksdb_readoptions_set_fill_cache(it->options, 0);
        rocksdb_readoptions_set_readahead_size(it->options, SCAN_READAHEAD_BYTES);
    }
    it->it = rocksdb_create_iterator_cf(db->rocks, it->options, db->cf[cf]);
    return it;
}

struct db_iter *db_iter_new(struct db *db, enum db_cf cf, struct bytes prefix,
                            const struct db_snapshot *snap)
{
    return iter_new(db, cf, prefix, snap, false);
}

struct db_iter *db_iter_new_scan(struct db *db, enum db_cf cf, struct bytes prefix,
                                 const struct db_snapshot *snap)
{
    return iter_new(db, cf, prefix, snap, true);
}

void db_iter_free(struct db_iter *it)
{
    if (it == NULL)
        return;
    rocksdb_iter_destroy(it->it);
    rocksdb_readoptions_destroy(it->options);
    free(it);
}

void db_iter_seek(struct db_iter *it, struct bytes key)
{
    rocksdb_iter_seek(it->it, (const char *)key.p, key.n);
    it->started = it->at = true;
}

void db_iter_seek_before(struct db_iter *it, struct bytes key)
{
    rocksdb_iter_seek_for_prev(it->it, (const char *)key.p, key.n);
    it->started = it->at = true;
}

bool db_iter_next(struct db_iter *it)
{
    if (!it->started) {
        rocksdb_iter_seek_to_first(it->it);
        it->started = true;
    } else if (!it->at && rocksdb_iter_valid(it->it)) {
        rocksdb_iter_next(it->it);
    }
    it->at = false;
    return rocksdb_iter_valid(it->it);
}

struct bytes db_iter_key(const struct db_iter *it)
{
    size_t n;
    const char *p = rocksdb_iter_key(it->it, &n);
    return bytes_of(p, n);
}

struct bytes db_iter_value(const struct db_iter *it)
{
    size_t n;
    const char *p = rocksdb_iter_value(it->it, &n);
    return bytes_of(p, n);
}

int db_iter_status(const struct db_iter *it)
{
    char *error = NULL;
    rocksdb_iter_get_error(it->it, &error);
    return db_err_take(&error, NULL);
}
