/*
 * Random operations on two files, compared with a model in memory, byte for byte. A failure prints
 * the seed and the number of the step; PERSIST_TEST_SEED is the first seed.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/crash_rand.h"
#include "tests/support/posix.h"

enum { FILES = 2, LARGEST = 3 << 20, STEPS = 2500, SEEDS = 8, HISTORY = 12 };

struct model {
    uint8_t *bytes; /* LARGEST; past size zeros */
    size_t size;
    int fd;
    char name[16];
};

struct run {
    struct rng rng;
    uint64_t seed;
    unsigned step;
    size_t size_max; /* of files in this run */
    struct model files[FILES];
    char history[HISTORY][80];
    bool failed;
    struct e2e *f;
};

static uint8_t scratch[LARGEST];

static void remember(struct run *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void remember(struct run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->history[r->step % HISTORY], sizeof r->history[0], fmt, ap);
    va_end(ap);
}

static void stop(struct run *r, const char *what)
{
    if (r->failed)
        return;
    r->failed = true;
    check_fail("PERSIST_TEST_SEED=%" PRIu64 ", step %u: %s (%s); the steps before:", r->seed,
               r->step, what, strerror(errno));
    for (unsigned i = r->step >= HISTORY - 1 ? r->step - (HISTORY - 1) : 0; i <= r->step; i++)
        fprintf(stderr, "    %u: %s\n", i, r->history[i % HISTORY]);
}

static bool must(struct run *r, bool condition, const char *what)
{
    if (!condition)
        stop(r, what);
    return condition;
}

/* Offsets and lengths as they come: mostly small, often at an edge. */
static size_t pick(struct run *r, size_t max)
{
    static const size_t edges[] = {4096, 8192, 32768, 36864, 65536, 262144};
    uint64_t n;
    switch (rng_below(&r->rng, 4)) {
    case 0:
        n = edges[rng_below(&r->rng, ARRAY_N(edges))] + rng_below(&r->rng, 3) - 1;
        break;
    case 1:
        n = rng_below(&r->rng, 200);
        break;
    default:
        n = rng_below(&r->rng, max + 1);
        break;
    }
    return n > max ? max : (size_t)n;
}

static void compare(struct run *r, const struct model *m, size_t at, size_t n)
{
    size_t k = read_all(m->fd, scratch, n, (off_t)at);
    size_t want = at >= m->size ? 0 : m->size - at < n ? m->size - at : n;
    if (k != want) {
        remember(r, "read %s: %zu bytes at %zu, expected %zu", m->name, k, at, want);
        stop(r, "a read was short or long");
        return;
    }
    for (size_t i = 0; i < k; i++)
        if (scratch[i] != m->bytes[at + i]) {
            remember(r, "read %s at %zu: byte %zu of %zu is %#x, expected %#x", m->name, at, at + i,
                     m->size, scratch[i], m->bytes[at + i]);
            stop(r, "a byte is wrong");
            return;
        }
}

static void compare_whole(struct run *r, const struct model *m)
{
    struct stat st = {0};
    if (must(r, fstat(m->fd, &st) == 0, "fstat") &&
        must(r, (size_t)st.st_size == m->size, "the size is wrong"))
        compare(r, m, 0, LARGEST);
}

static void reopen(struct run *r, struct model *m, int flags)
{
    close(m->fd);
    m->fd = open(m->name, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
    must(r, m->fd >= 0, "open");
}

static void note_write(struct model *m, size_t at, size_t n)
{
    memcpy(m->bytes + at, scratch, n);
    if (n > 0 && at + n > m->size)
        m->size = at + n;
}

static void do_write(struct run *r, struct model *m, bool append)
{
    size_t n = pick(r, r->size_max / 4), at = append ? m->size : pick(r, r->size_max);
    if (at + n > r->size_max)
        n = at < r->size_max ? r->size_max - at : 0;
    pattern_fill(scratch, n, r->seed * 1000003 + r->step, 0);
    remember(r, "%s %s: %zu bytes at %zu of %zu", append ? "append" : "write", m->name, n, at,
             m->size);
    if (append) {
        int fd = open(m->name, O_WRONLY | O_APPEND | O_CLOEXEC);
        must(r, fd >= 0 && (n == 0 || write(fd, scratch, n) == (ssize_t)n), "append");
        close(fd);
    } else {
        must(r, write_all(m->fd, scratch, n, (off_t)at), "write");
    }
    note_write(m, at, n);
}

static void do_truncate(struct run *r, struct model *m)
{
    size_t n = pick(r, r->size_max);
    remember(r, "truncate %s: %zu to %zu", m->name, m->size, n);
    bool path = rng_below(&r->rng, 2) == 0;
    must(r, (path ? truncate(m->name, (off_t)n) : ftruncate(m->fd, (off_t)n)) == 0, "truncate");
    if (n < m->size)
        memset(m->bytes + n, 0, m->size - n);
    m->size = n;
}

static void do_fallocate(struct run *r, struct model *m)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    size_t at = pick(r, r->size_max - 1), n = 1 + pick(r, r->size_max - at - 1);
    int mode = modes[rng_below(&r->rng, ARRAY_N(modes))];
    remember(r, "fallocate %s, mode %#x: %zu at %zu of %zu", m->name, (unsigned)mode, n, at,
             m->size);
    must(r, fallocate(m->fd, mode, (off_t)at, (off_t)n) == 0, "fallocate");
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0 && at < m->size)
        memset(m->bytes + at, 0, at + n > m->size ? m->size - at : n);
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && at + n > m->size)
        m->size = at + n;
}

static void do_copy(struct run *r, struct model *to)
{
    struct model *from = &r->files[rng_below(&r->rng, FILES)];
    size_t at = pick(r, r->size_max), n = pick(r, r->size_max), dest = pick(r, r->size_max);
    if (rng_below(&r->rng, 4) == 0) {
        at = dest = 0;
        n = r->size_max;
    }
    if (at + n > r->size_max)
        n = r->size_max - at;
    if (dest + n > r->size_max)
        n = r->size_max - dest;
    if (from == to && (at < dest ? dest - at : at - dest) < n)
        n = at < dest ? dest - at : at - dest;
    size_t can = at >= from->size ? 0 : from->size - at < n ? from->size - at : n;
    if (from == to) /* else the file would grow under the copy */
        n = can;
    remember(r, "copy %s at %zu of %zu to %s at %zu of %zu: %zu bytes", from->name, at, from->size,
             to->name, dest, to->size, n);
    off_t in = (off_t)at, out = (off_t)dest;
    size_t done = 0;
    while (done < n) {
        ssize_t k = copy_file_range(from->fd, &in, to->fd, &out, n - done, 0);
        if (!must(r, k >= 0, "copy_file_range") || k == 0)
            break;
        done += (size_t)k;
    }
    must(r, done == can, "the wrong number of bytes was copied");
    memcpy(scratch, from->bytes + at, can);
    note_write(to, dest, can);
}

static void do_map(struct run *r, struct model *m)
{
    if (m->size == 0)
        return;
    size_t at = pick(r, m->size - 1), n = 1 + pick(r, m->size - at - 1);
    remember(r, "map %s: %zu bytes at %zu of %zu", m->name, n, at, m->size);
    uint8_t *p = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    if (!must(r, p != MAP_FAILED, "mmap"))
        return;
    pattern_fill(scratch, n, r->seed * 1000003 + r->step, 0);
    must(r, memcmp(p + at, m->bytes + at, n) == 0, "a mapped byte is wrong");
    memcpy(p + at, scratch, n);
    must(r, msync(p, m->size, MS_SYNC) == 0, "msync");
    must(r, munmap(p, m->size) == 0, "munmap");
    note_write(m, at, n);
}

static void do_replace(struct run *r, struct model *m)
{
    size_t n = pick(r, r->size_max / 2);
    remember(r, "replace %s by %zu bytes", m->name, n);
    pattern_fill(scratch, n, r->seed * 1000003 + r->step, 0);
    int fd = open("new", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    must(r, fd >= 0 && write_all(fd, scratch, n, 0) && rename("new", m->name) == 0, "rename");
    close(m->fd);
    m->fd = fd;
    memset(m->bytes, 0, LARGEST);
    m->size = 0;
    note_write(m, 0, n);
}

static void do_seek(struct run *r, struct model *m)
{
    size_t at = pick(r, r->size_max);
    remember(r, "seek in %s of %zu at %zu", m->name, m->size, at);
    off_t data = lseek(m->fd, (off_t)at, SEEK_DATA);
    size_t until = data < 0 ? m->size : (size_t)data;
    must(r, data >= 0 || errno == ENXIO, "SEEK_DATA");
    must(r, data < 0 || ((size_t)data >= at && (size_t)data < m->size),
         "SEEK_DATA is out of range");
    for (size_t i = at; i < until; i++)
        if (!must(r, m->bytes[i] == 0, "data was called a hole"))
            return;
    off_t hole = lseek(m->fd, (off_t)at, SEEK_HOLE);
    must(r,
         at >= m->size ? hole < 0 && errno == ENXIO : hole >= (off_t)at && hole <= (off_t)m->size,
         "SEEK_HOLE");
}

static void do_step(struct run *r)
{
    struct model *m = &r->files[rng_below(&r->rng, FILES)];
    uint64_t what = rng_below(&r->rng, 100);
    if (what < 30) {
        do_write(r, m, false);
    } else if (what < 36) {
        do_write(r, m, true);
    } else if (what < 46) {
        do_truncate(r, m);
    } else if (what < 54) {
        do_fallocate(r, m);
    } else if (what < 60) {
        do_copy(r, m);
    } else if (what < 65) {
        do_map(r, m);
    } else if (what < 67) {
        do_replace(r, m);
    } else if (what < 72) {
        remember(r, "reopen %s", m->name);
        reopen(r, m, 0);
    } else if (what < 73) {
        remember(r, "reopen %s with O_TRUNC", m->name);
        reopen(r, m, O_TRUNC);
        memset(m->bytes, 0, LARGEST);
        m->size = 0;
    } else if (what < 78) {
        remember(r, "sync %s", m->name);
        must(r, (what & 1 ? fsync(m->fd) : fdatasync(m->fd)) == 0, "fsync");
    } else if (what < 82) {
        remember(r, "drop the cache of %s", m->name);
        drop_cache(m->fd);
    } else if (what < 86) {
        do_seek(r, m);
    } else if (what < 90) {
        remember(r, "compare %s", m->name);
        compare_whole(r, m);
    } else {
        size_t at = pick(r, r->size_max);
        remember(r, "compare a part of %s", m->name);
        compare(r, m, at, pick(r, r->size_max - at));
    }
}

static void begin(struct run *r)
{
    for (int i = 0; i < FILES; i++) {
        struct model *m = &r->files[i];
        snprintf(m->name, sizeof m->name, "file%d", i);
        m->bytes = calloc(1, LARGEST);
        if (m->bytes == NULL)
            abort();
        m->fd = -1;
        reopen(r, m, O_TRUNC);
    }
}

static void end(struct run *r)
{
    for (int i = 0; i < FILES; i++) {
        struct model *m = &r->files[i];
        if (!r->failed) {
            remember(r, "compare %s at the end", m->name);
            compare_whole(r, m);
            drop_cache(m->fd);
            compare_whole(r, m);
        }
        close(m->fd);
        unlink(m->name);
        free(m->bytes);
    }
}

static void run_seed(struct e2e *f, uint64_t seed)
{
    static const size_t sizes[] = {8192, 40000, 40000, 300000, LARGEST};
    struct run r = {.rng = {seed}, .seed = seed, .size_max = sizes[seed % ARRAY_N(sizes)], .f = f};
    begin(&r);
    for (r.step = 0; r.step < STEPS && !r.failed; r.step++)
        do_step(&r);
    end(&r);
    holds(!r.failed);
}

static void files_are_as_a_model_in_memory(struct e2e *f)
{
    uint64_t first = crash_seed("model");
    for (uint64_t seed = first; seed < first + SEEDS; seed++)
        run_seed(f, seed);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {E2E_TEST(files_are_as_a_model_in_memory)};
    return e2e_main(argc, argv, E2E_SHARED, tests, ARRAY_N(tests));
}
