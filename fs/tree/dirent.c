/*
 * Directory entries. The key is directory, hash of the name, name: a look-up is one point read, and
 * the order of a listing does not depend on what comes and goes.
 */
#include <assert.h>
#include <errno.h>
#include <xxhash.h>

#include "fs/tree/tree_priv.h"

enum { VALUE_BYTES = 9, HASH_FIRST = 3 /* 1 and 2 are the offsets of . and .. */ };

void dirent_key(const struct tree *t, uint64_t dir, struct bytes name, struct dirent_key *ret)
{
    assert(name.n <= TREE_NAME_MAX);
    /* 63 bits: the hash is also the entry's offset, which is signed. */
    uint64_t hash = XXH3_64bits_withSeed(name.p, name.n, t->name_seed) >> 1;
    put_u64(ret->b, dir);
    put_u64(ret->b + 8, max_u64(hash, HASH_FIRST));
    memcpy(ret->b + 16, name.p, name.n);
    ret->n = 16 + name.n;
}

int dirent_check_name(struct bytes name)
{
    if (name.n > TREE_NAME_MAX)
        return -ENAMETOOLONG;
    if (name.n == 0 || memchr(name.p, '/', name.n) != NULL || memchr(name.p, '\0', name.n) != NULL)
        return -EINVAL;
    if (bytes_equal(name, bytes_str(".")) || bytes_equal(name, bytes_str("..")))
        return -EEXIST;
    return 0;
}

int dirent_decode(struct bytes value, struct dirent_value *ret)
{
    if (value.n != VALUE_BYTES || value.p[8] > S_IFMT >> 12)
        return -EUCLEAN;
    ret->ino = get_u64(value.p);
    ret->type = (unsigned)value.p[8] << 12;
    return 0;
}

int dirent_get(struct tree *t, uint64_t dir, struct bytes name, struct dirent_value *ret)
{
    if (name.n > TREE_NAME_MAX)
        return -ENAMETOOLONG;
    struct dirent_key key;
    dirent_key(t, dir, name, &key);
    struct db_value v;
    int rc = db_get(t->db, DB_DIRENT, bytes_of(key.b, key.n), &v);
    if (rc == 0)
        rc = dirent_decode(v.v, ret);
    db_value_fini(&v);
    return rc;
}

void dirent_put(struct op *x, uint64_t dir, struct bytes name, struct dirent_value v)
{
    struct dirent_key key;
    dirent_key(x->t, dir, name, &key);
    uint8_t value[VALUE_BYTES];
    put_u64(value, v.ino);
    value[8] = (uint8_t)((v.type & S_IFMT) >> 12);
    db_batch_put(x->batch, DB_DIRENT, bytes_of(key.b, key.n), bytes_of(value, sizeof value));
}

void dirent_delete(struct op *x, uint64_t dir, struct bytes name)
{
    struct dirent_key key;
    dirent_key(x->t, dir, name, &key);
    db_batch_delete(x->batch, DB_DIRENT, bytes_of(key.b, key.n));
}

int dirent_none(struct tree *t, uint64_t dir)
{
    uint8_t prefix[8];
    put_u64(prefix, dir);
    struct db_iter *it = db_iter_new(t->db, DB_DIRENT, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    bool any = db_iter_next(it);
    int rc = db_iter_status(it);
    db_iter_free(it);
    return rc < 0 ? rc : !any;
}

int dirent_each(struct tree *t, uint64_t dir,
                int (*fn)(void *arg, struct bytes name, struct dirent_value v), void *arg)
{
    uint8_t prefix[8];
    put_u64(prefix, dir);
    struct db_iter *it = db_iter_new(t->db, DB_DIRENT, bytes_of(prefix, sizeof prefix), NULL);
    if (it == NULL)
        return -ENOMEM;
    int rc = 0;
    while (rc == 0 && db_iter_next(it)) {
        struct bytes key = db_iter_key(it);
        struct dirent_value v;
        rc = key.n > 16 ? dirent_decode(db_iter_value(it), &v) : -EUCLEAN;
        if (rc == 0)
            rc = fn(arg, bytes_of(key.p + 16, key.n - 16), v);
    }
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}
