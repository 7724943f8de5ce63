#include "fs/mount/virtual_nodes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct node {
    struct node *next_id, *next_path;
    uint64_t id, known;
    struct history_view view;
    size_t path_n;
    uint8_t path[];
};

struct virtual_nodes {
    pthread_mutex_t lock;
    struct node *by_id[BUCKETS], *by_path[BUCKETS];
    uint64_t next;
};

struct virtual_nodes *virtual_nodes_new(void)
{
    struct virtual_nodes *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->next = VIRTUAL_BIT | VIRTUAL_FIRST;
    return t;
}

void virtual_nodes_free(struct virtual_nodes *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (t->by_id[i] != NULL) {
            struct node *n = t->by_id[i];
            t->by_id[i] = n->next_id;
            free(n);
        }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static size_t bucket_of(struct bytes path)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < path.n; i++)
        hash = (hash ^ path.p[i]) * UINT64_C(1099511628211);
    return hash % BUCKETS;
}

static bool same_view(const struct history_view *a, const struct history_view *b)
{
    return a->is_version == b->is_version &&
           (!a->is_version || (rid_equal(&a->rid, &b->rid) && a->dot.replica == b->dot.replica &&
                               a->dot.counter == b->dot.counter));
}

static struct node *add(struct virtual_nodes *t, struct bytes path, size_t bucket,
                        const struct history_view *view)
{
    struct node *n = calloc(1, sizeof *n + path.n);
    if (n == NULL)
        return NULL;
    n->id = t->next++;
    n->view = *view;
    n->path_n = path.n;
    memcpy(n->path, path.p, path.n);
    n->next_path = t->by_path[bucket];
    t->by_path[bucket] = n;
    n->next_id = t->by_id[n->id % BUCKETS];
    t->by_id[n->id % BUCKETS] = n;
    return n;
}

uint64_t virtual_nodes_enter(struct virtual_nodes *t, struct bytes path,
                             const struct history_view *view)
{
    size_t bucket = bucket_of(path);
    pthread_mutex_lock(&t->lock);
    struct node *n = t->by_path[bucket];
    while (n != NULL &&
           (!bytes_equal(bytes_of(n->path, n->path_n), path) || !same_view(&n->view, view)))
        n = n->next_path;
    if (n == NULL)
        n = add(t, path, bucket, view);
    if (n != NULL)
        n->known++;
    uint64_t id = n != NULL ? n->id : 0;
    pthread_mutex_unlock(&t->lock);
    return id;
}

int virtual_nodes_find(struct virtual_nodes *t, uint64_t id, struct history_view *ret,
                       struct buf *path)
{
    buf_reset(path);
    pthread_mutex_lock(&t->lock);
    struct node *n = t->by_id[id % BUCKETS];
    while (n != NULL && n->id != id)
        n = n->next_id;
    if (n != NULL) {
        *ret = n->view;
        buf_put(path, n->path, n->path_n);
    }
    pthread_mutex_unlock(&t->lock);
    buf_put_u8(path, 0);
    return n == NULL ? -ESTALE : buf_status(path);
}

static void unlink_path(struct virtual_nodes *t, const struct node *n)
{
    struct node **at = &t->by_path[bucket_of(bytes_of(n->path, n->path_n))];
    while (*at != n)
        at = &(*at)->next_path;
    *at = n->next_path;
}

void virtual_nodes_forget(struct virtual_nodes *t, uint64_t id, uint64_t n)
{
    pthread_mutex_lock(&t->lock);
    struct node **at = &t->by_id[id % BUCKETS], *gone = NULL;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next_id;
    if (*at != NULL) {
        (*at)->known -= min_u64(n, (*at)->known);
        gone = (*at)->known == 0 ? *at : NULL;
    }
    if (gone != NULL) {
        *at = gone->next_id;
        unlink_path(t, gone);
        free(gone);
    }
    pthread_mutex_unlock(&t->lock);
}
