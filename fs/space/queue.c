#include "fs/space/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

static size_t bucket_of(const struct queue *q, uint64_t ino, struct bytes name)
{
    return (size_t)(XXH3_64bits_withSeed(name.p, name.n, ino) & (q->buckets_n - 1));
}

static struct bytes name_of(const struct queue_item *e)
{
    return bytes_of(e->name, e->name_n);
}

/* ---- heap ---- */

static void heap_set(struct queue *q, size_t at, struct queue_item *e)
{
    q->heap[at] = e;
    e->heap_at = at;
}

static void heap_up(struct queue *q, size_t at)
{
    struct queue_item *e = q->heap[at];
    while (at > 0 && q->heap[(at - 1) / 2]->due_ms > e->due_ms) {
        heap_set(q, at, q->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(q, at, e);
}

static void heap_down(struct queue *q, size_t at)
{
    struct queue_item *e = q->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= q->n)
            break;
        if (child + 1 < q->n && q->heap[child + 1]->due_ms < q->heap[child]->due_ms)
            child++;
        if (q->heap[child]->due_ms >= e->due_ms)
            break;
        heap_set(q, at, q->heap[child]);
        at = child;
    }
    heap_set(q, at, e);
}

static void heap_move(struct queue *q, struct queue_item *e, uint64_t due_ms)
{
    e->due_ms = due_ms;
    heap_up(q, e->heap_at);
    heap_down(q, e->heap_at);
}

/* ---- hash ---- */

static struct queue_item *find(const struct queue *q, uint64_t ino, struct bytes name)
{
    if (q->buckets_n == 0)
        return NULL;
    struct queue_item *e = q->buckets[bucket_of(q, ino, name)];
    while (e != NULL && (e->ino != ino || !bytes_equal(name_of(e), name)))
        e = e->hash_next;
    return e;
}

static int grow(struct queue *q)
{
    if (q->n < q->cap)
        return 0;
    size_t cap = q->cap == 0 ? 64 : 2 * q->cap;
    struct queue_item **heap = realloc(q->heap, cap * sizeof(struct queue_item *));
    if (heap == NULL)
        return -ENOMEM;
    q->heap = heap;
    struct queue_item **buckets = calloc(cap, sizeof(struct queue_item *));
    if (buckets == NULL)
        return -ENOMEM;
    free(q->buckets);
    q->buckets = buckets;
    q->buckets_n = q->cap = cap;
    for (size_t i = 0; i < q->n; i++) {
        struct queue_item **at = &buckets[bucket_of(q, q->heap[i]->ino, name_of(q->heap[i]))];
        q->heap[i]->hash_next = *at;
        *at = q->heap[i];
    }
    return 0;
}

static int insert(struct queue *q, struct queue_item *e)
{
    int rc = grow(q);
    if (rc < 0)
        return rc;
    struct queue_item **bucket = &q->buckets[bucket_of(q, e->ino, name_of(e))];
    e->hash_next = *bucket;
    *bucket = e;
    q->waiting_n += e->wait_ino != 0;
    heap_set(q, q->n++, e);
    heap_up(q, q->n - 1);
    return 0;
}

int queue_touch(struct queue *q, uint64_t ino, struct bytes name, uint64_t now_ms, uint64_t due_ms)
{
    struct queue_item *e = find(q, ino, name);
    if (e != NULL) {
        e->touched_ms = now_ms;
        e->tries = 0;
        heap_move(q, e, due_ms);
        return 0;
    }
    e = calloc(1, sizeof *e + name.n);
    if (e == NULL)
        return -ENOMEM;
    e->ino = ino;
    e->touched_ms = now_ms;
    e->due_ms = due_ms;
    e->name_n = (uint8_t)name.n;
    if (name.n > 0)
        memcpy(e->name, name.p, name.n);
    int rc = insert(q, e);
    if (rc < 0)
        free(e);
    return rc;
}

const struct queue_item *queue_first(const struct queue *q)
{
    return q->n > 0 ? q->heap[0] : NULL;
}

struct queue_item *queue_take(struct queue *q)
{
    struct queue_item *e = q->heap[0];
    struct queue_item **at = &q->buckets[bucket_of(q, e->ino, name_of(e))];
    while (*at != e)
        at = &(*at)->hash_next;
    *at = e->hash_next;
    q->waiting_n -= e->wait_ino != 0;
    struct queue_item *last = q->heap[--q->n];
    if (q->n > 0) {
        heap_set(q, 0, last);
        heap_down(q, 0);
    }
    return e;
}

int queue_give(struct queue *q, struct queue_item *item, uint64_t due_ms)
{
    struct queue_item *now = find(q, item->ino, name_of(item));
    if (now != NULL) {
        free(item);
        return 0;
    }
    item->due_ms = due_ms;
    int rc = insert(q, item);
    if (rc < 0)
        free(item);
    return rc;
}

void queue_wake(struct queue *q, uint64_t ino, uint64_t now_ms)
{
    /* Few files are waited for at a time, and mostly none. */
    for (size_t i = 0; i < q->n && q->waiting_n > 0; i++) {
        struct queue_item *e = q->heap[i];
        if (e->wait_ino != ino)
            continue;
        e->wait_ino = 0;
        q->waiting_n--;
        heap_move(q, e, now_ms);
    }
}

void queue_fini(struct queue *q)
{
    for (size_t i = 0; i < q->n; i++)
        free(q->heap[i]);
    free(q->heap);
    free(q->buckets);
    *q = (struct queue){0};
}
