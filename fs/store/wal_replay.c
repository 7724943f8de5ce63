/* After a crash: what the log holds and the tables do not. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fs/store/wal_priv.h"

/* A segment in memory. */
struct view {
    struct bytes all;
    uint64_t first; /* number of its first record; 0: it has none */
};

struct views {
    struct view *v;
    size_t n;
};

static void views_fini(struct views *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].all.n > 0)
            munmap((void *)(uintptr_t)s->v[i].all.p, s->v[i].all.n);
    free(s->v);
}

static int views_open(struct wal *w, struct views *s)
{
    *s = (struct views){.v = calloc(w->n, sizeof *s->v)};
    if (s->v == NULL)
        return -ENOMEM;
    for (; s->n < w->n; s->n++) {
        struct view *v = &s->v[s->n];
        size_t n = w->segments[s->n].size;
        void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, w->segments[s->n].fd, 0);
        if (p == MAP_FAILED)
            return -errno;
        v->all = bytes_of(p, n);
        struct wal_record r;
        if (wal_record_read(v->all, w->seed, &r) == 0)
            v->first = r.number;
    }
    return 0;
}

/* The segment that begins with record @number. */
static const struct view *begins_with(const struct views *s, uint64_t number)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].first == number)
            return &s->v[i];
    return NULL;
}

/* The segment that holds record @number, if any does: it has the highest first one below. */
static const struct view *holds(const struct views *s, uint64_t number)
{
    const struct view *best = NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].first != 0 && s->v[i].first <= number &&
            (best == NULL || s->v[i].first > best->first))
            best = &s->v[i];
    return best;
}

static struct bytes skip(struct bytes b, size_t n)
{
    return n < b.n ? bytes_of(b.p + n, b.n - n) : bytes_of(b.p, 0);
}

/* Is there a record that says that @number, which is not there, was on disk? */
static bool is_missed(const struct views *s, uint64_t seed, uint64_t number)
{
    struct wal_record r;
    for (size_t i = 0; i < s->n; i++)
        for (struct bytes at = s->v[i].all; at.n >= WAL_HEADER_BYTES; at = skip(at, 8)) {
            uint64_t found = get_u64(at.p + 8), synced = get_u64(at.p + 16);
            if (found > number && synced >= number && synced < found &&
                wal_record_read(at, seed, &r) == 0)
                return true;
        }
    return false;
}

/* Reads on from @at, which is to be record @number; gives the number after the last. */
static int replay(const struct views *s, uint64_t seed, struct bytes at, uint64_t *number,
                  uint64_t after, wal_apply_fn *apply, void *arg)
{
    struct wal_record r;
    for (;;) {
        if (wal_record_read(at, seed, &r) < 0 || r.number != *number) {
            const struct view *next = begins_with(s, *number);
            if (next == NULL || next->all.p == at.p)
                return 0;
            at = next->all;
            continue;
        }
        int rc = r.number > after ? apply(arg, &r) : 0;
        if (rc < 0)
            return rc;
        at = skip(at, r.n);
        ++*number;
    }
}

int wal_replay(struct wal *w, uint64_t after, wal_apply_fn *apply, void *arg, uint64_t *ret_last,
               struct err *err)
{
    struct views s;
    int rc = views_open(w, &s);
    uint64_t number = after + 1;
    const struct view *from = rc == 0 ? holds(&s, number) : NULL;
    if (from != NULL) {
        uint64_t n = from->first;
        rc = replay(&s, w->seed, from->all, &n, after, apply, arg);
        number = max_u64(number, n);
    }
    if (rc < 0)
        err_set(err, rc, "reading the log failed");
    else if (is_missed(&s, w->seed, number))
        rc = err_set(err, -EUCLEAN, "a record of the log does not match its checksum");
    views_fini(&s);
    *ret_last = number - 1;
    return rc;
}
