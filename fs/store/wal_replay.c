/* After a crash: what the log holds and the tables do not. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fs/store/wal_priv.h"
#include "proto/base/log.h"

/* A segment in memory, a copy that is changed where a byte is put right. */
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

static struct bytes skip(struct bytes b, size_t n)
{
    return n < b.n ? bytes_of(b.p + n, b.n - n) : bytes_of(b.p, 0);
}

static bool is_record(struct wal *w, struct bytes at, uint64_t number, struct wal_record *ret)
{
    if (wal_record_read(at, w->seed, ret) == 0)
        return ret->number == number;
    if (!wal_heal((uint8_t *)(uintptr_t)at.p, at.n, w->seed, number))
        return false;
    w->healed++;
    log_warn("database: a flipped byte in the log was put right record=%llu",
             (unsigned long long)number);
    return wal_record_read(at, w->seed, ret) == 0;
}

/*
 * The number of the first record of a segment, or 0. The byte that is flipped there may be one of
 * the number: then the record behind it tells.
 */
static uint64_t first_number(struct wal *w, struct bytes all)
{
    struct wal_record r, next;
    if (all.n < WAL_HEADER_BYTES)
        return 0;
    if (wal_record_read(all, w->seed, &r) == 0 || is_record(w, all, get_u64(all.p + 8), &r))
        return r.number;
    struct bytes behind = skip(all, wal_record_bytes(get_u32(all.p + 24)));
    if (wal_record_read(behind, w->seed, &next) == 0 && is_record(w, all, next.number - 1, &r))
        return r.number;
    return 0;
}

static int views_open(struct wal *w, struct views *s)
{
    *s = (struct views){.v = calloc(w->n, sizeof *s->v)};
    if (s->v == NULL)
        return -ENOMEM;
    for (; s->n < w->n; s->n++) {
        struct view *v = &s->v[s->n];
        size_t n = w->segments[s->n].size;
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE, w->segments[s->n].fd, 0);
        if (p == MAP_FAILED)
            return -errno;
        v->all = bytes_of(p, n);
        v->first = first_number(w, v->all);
    }
    return 0;
}

/* The segment that begins with record @number. */
static const struct view *begins_with(struct wal *w, const struct views *s, uint64_t number)
{
    struct wal_record r;
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].first == number)
            return &s->v[i];
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].first == 0 && is_record(w, s->v[i].all, number, &r)) {
            s->v[i].first = number;
            return &s->v[i];
        }
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
static int replay(struct wal *w, const struct views *s, struct bytes at, uint64_t *number,
                  uint64_t after, wal_apply_fn *apply, void *arg)
{
    struct wal_record r;
    for (;;) {
        if (!is_record(w, at, *number, &r)) {
            const struct view *next = begins_with(w, s, *number);
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
    if (rc == 0 && from == NULL)
        from = begins_with(w, &s, number);
    if (from != NULL) {
        uint64_t n = from->first;
        rc = replay(w, &s, from->all, &n, after, apply, arg);
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

unsigned wal_healed(const struct wal *w)
{
    return w->healed;
}
