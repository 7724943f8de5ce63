/*
 * Times of reading (relatime). They change in memory and go to the database many at a time: a crash
 * may lose some, as it does on a local disk, and a read costs no write.
 */
#include <errno.h>

#include "fs/tree/data.h"

enum { NOTED_MAX = 32, DAY_S = 24 * 3600 };

static bool is_due(const struct attr *a, const struct timespec *now)
{
    return attr_time_cmp(&a->atime, &a->mtime) <= 0 || attr_time_cmp(&a->atime, &a->ctime) <= 0 ||
           now->tv_sec - a->atime.tv_sec > DAY_S;
}

bool atime_touch(struct tree *t, struct node *n)
{
    struct timespec now = attr_now();
    if (!is_due(&n->attr, &now))
        return false;
    n->attr.atime = now;
    pthread_mutex_lock(&t->atime_lock);
    buf_put(&t->atimes, &n->ino, sizeof n->ino); /* failing, it is forgotten with the node */
    bool full = t->atimes.n >= NOTED_MAX * sizeof n->ino;
    pthread_mutex_unlock(&t->atime_lock);
    return full;
}

void atime_touch_ino(struct tree *t, uint64_t ino)
{
    struct node *n;
    if (node_get(t, ino, &n) < 0)
        return;
    node_lock(n);
    bool full = !n->gone && atime_touch(t, n);
    pthread_mutex_unlock(&n->lock);
    node_put(t, n);
    if (full)
        atime_flush(t);
}

void atime_flush(struct tree *t)
{
    pthread_mutex_lock(&t->atime_lock);
    struct buf noted = t->atimes;
    t->atimes = (struct buf){0};
    pthread_mutex_unlock(&t->atime_lock);
    struct op x;
    if (noted.n > 0 && op_begin(t, true, &x) == 0) {
        for (size_t at = 0; at < noted.n; at += sizeof(uint64_t)) {
            uint64_t ino;
            struct attr *a;
            memcpy(&ino, noted.p + at, sizeof ino);
            if (op_add(&x, ino, &a) == 0)
                op_put(&x, a);
        }
        int rc = op_commit(&x);
        (void)rc; /* a time of reading is not worth an error */
    }
    buf_fini(&noted);
}
