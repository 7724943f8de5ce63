/* The inodes in memory: one node for each number in use, and some that were used lately. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/tree/data.h"
#include "fs/tree/tree_priv.h"

static struct node_shard *shard_of(struct tree *t, uint64_t ino)
{
    return &t->shards[ino % NODE_SHARDS];
}

static struct node **bucket_of(struct node_shard *s, uint64_t ino)
{
    return &s->buckets[ino / NODE_SHARDS % NODE_BUCKETS];
}

int node_cache_init(struct tree *t)
{
    for (int i = 0; i < NODE_SHARDS; i++) {
        struct node_shard *s = &t->shards[i];
        s->idle.idle_prev = s->idle.idle_next = &s->idle;
        int rc = pthread_mutex_init(&s->lock, NULL);
        if (rc != 0)
            return -rc;
    }
    return 0;
}

static void idle_unlink(struct node_shard *s, struct node *n)
{
    n->idle_prev->idle_next = n->idle_next;
    n->idle_next->idle_prev = n->idle_prev;
    n->idle_prev = n->idle_next = NULL;
    s->idle_n--;
}

static void node_free(struct node_shard *s, struct node *n)
{
    struct node **at = bucket_of(s, n->ino);
    while (*at != n)
        at = &(*at)->hash_next;
    *at = n->hash_next;
    assert(n->file == NULL);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

void node_cache_fini(struct tree *t)
{
    for (int i = 0; i < NODE_SHARDS; i++) {
        struct node_shard *s = &t->shards[i];
        for (int k = 0; k < NODE_BUCKETS; k++)
            while (s->buckets[k] != NULL) {
                struct node *n = s->buckets[k];
                if (n->file != NULL) {
                    file_free(n->file);
                    n->file = NULL;
                }
                node_free(s, n);
            }
        pthread_mutex_destroy(&s->lock);
    }
}

void node_key(uint64_t ino, uint8_t key[8])
{
    put_u64(key, ino);
}

static int load(struct tree *t, uint64_t ino, struct attr *ret)
{
    uint8_t key[8];
    node_key(ino, key);
    struct db_value v;
    int rc = db_get(t->db, DB_INODE, bytes_of(key, sizeof key), &v);
    if (rc == 0) {
        rc = attr_decode(v.v, ino, ret);
        db_value_fini(&v);
        return rc < 0 ? -EUCLEAN : 0;
    }
    return rc == -ENOENT ? -ESTALE : rc;
}

/* Finds the node or makes an unloaded one; takes a reference. */
static struct node *find_or_make(struct tree *t, uint64_t ino)
{
    struct node_shard *s = shard_of(t, ino);
    pthread_mutex_lock(&s->lock);
    struct node **bucket = bucket_of(s, ino);
    struct node *n = *bucket;
    while (n != NULL && n->ino != ino)
        n = n->hash_next;
    if (n == NULL) {
        n = calloc(1, sizeof *n);
        if (n != NULL && pthread_mutex_init(&n->lock, NULL) != 0) {
            free(n);
            n = NULL;
        }
        if (n != NULL) {
            n->ino = ino;
            n->hash_next = *bucket;
            *bucket = n;
        }
    } else if (n->idle_next != NULL) {
        idle_unlink(s, n);
    }
    if (n != NULL)
        n->refs++;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/*
 * An operation on names has several locked, taken in any order; one such runs at a time. Tried
 * first: of those that may have to wait the thread sanitizer keeps the order, and its search among
 * thousands would not end.
 */
void node_lock(struct node *n)
{
    if (pthread_mutex_trylock(&n->lock) != 0)
        pthread_mutex_lock(&n->lock);
}

int node_get(struct tree *t, uint64_t ino, struct node **ret)
{
    struct node *n = find_or_make(t, ino);
    if (n == NULL)
        return -ENOMEM;
    int rc = 0;
    node_lock(n);
    if (n->gone) {
        rc = -ESTALE;
    } else if (!n->loaded) {
        rc = load(t, ino, &n->attr);
        n->loaded = rc == 0;
    }
    pthread_mutex_unlock(&n->lock);
    if (rc < 0) {
        node_put(t, n);
        return rc;
    }
    *ret = n;
    return 0;
}

void node_put(struct tree *t, struct node *n)
{
    if (n == NULL)
        return;
    struct node_shard *s = shard_of(t, n->ino);
    pthread_mutex_lock(&s->lock);
    assert(n->refs > 0);
    if (--n->refs == 0) {
        if (!n->loaded || n->gone) {
            node_free(s, n);
        } else if (n->file == NULL) { /* of an open file, the node stays */
            n->idle_next = s->idle.idle_next;
            n->idle_prev = &s->idle;
            n->idle_next->idle_prev = n->idle_prev->idle_next = n;
            if (++s->idle_n > NODE_IDLE_MAX) {
                struct node *oldest = s->idle.idle_prev;
                idle_unlink(s, oldest);
                node_free(s, oldest);
            }
        }
    }
    pthread_mutex_unlock(&s->lock);
}

int node_peek(struct tree *t, uint64_t ino, struct attr *ret)
{
    struct node_shard *s = shard_of(t, ino);
    pthread_mutex_lock(&s->lock);
    struct node *n = *bucket_of(s, ino);
    while (n != NULL && n->ino != ino)
        n = n->hash_next;
    pthread_mutex_unlock(&s->lock);
    if (n == NULL) /* only a hint: node_get() below looks again */
        return load(t, ino, ret);
    int rc = node_get(t, ino, &n);
    if (rc < 0)
        return rc;
    node_lock(n);
    *ret = n->attr;
    pthread_mutex_unlock(&n->lock);
    node_put(t, n);
    return 0;
}
