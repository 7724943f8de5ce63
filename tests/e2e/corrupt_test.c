/*
 * One byte of what is stored is changed on disk: the check says so and, where it can be known, of
 * which file; and says nothing once the byte is as it was. For chunks, tables and staging files, in
 * a folder that is mounted and, for what a clean end leaves, in one that was not when it happened.
 */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/crash_rand.h"
#include "tests/support/e2e.h"

enum { LARGE = 12, LARGE_BYTES = 300 << 10, SMALL = 200, SMALL_BYTES = 2000, FLIPS = 5 };

static struct crash_rand rand_state;
static uint8_t bytes[LARGE_BYTES];

/* ---- what is stored ---- */

static bool put_file(struct e2e *f, const char *kind, unsigned i, size_t n)
{
    char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s%u", f->folder, kind, i);
    crash_fill(crash_next(&rand_state), 0, bytes, n);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool done = fd >= 0 && write(fd, bytes, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return holds(done);
}

/* Files in chunks and files in tables. */
static bool store(struct e2e *f)
{
    if (!e2e_mount(f, NULL))
        return false;
    for (unsigned i = 0; i < LARGE; i++)
        if (!put_file(f, "large", i, LARGE_BYTES))
            return false;
    for (unsigned i = 0; i < SMALL; i++)
        if (!put_file(f, "small", i, SMALL_BYTES))
            return false;
    /* What was in the log is moved to tables by the next mount. */
    return e2e_unmount(f) && e2e_mount(f, NULL) && e2e_ok(f, "persist check %s", f->folder);
}

/* A file that is held open: its bytes stay in its staging file. */
static int hold_file(struct e2e *f)
{
    char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/held", f->folder);
    crash_fill(crash_next(&rand_state), 0, bytes, LARGE_BYTES);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    holds(write(fd, bytes, LARGE_BYTES) == LARGE_BYTES && fsync(fd) == 0);
    return fd;
}

/* ---- damage ---- */

struct place {
    char path[512];
    off_t at;
};

/* A byte of one of the files of a pattern in the space's directory; of its first part only. */
static bool choose(struct e2e *f, const char *pattern, off_t size_min, unsigned percent,
                   struct place *ret)
{
    char whole[512];
    glob_t found;
    snprintf(whole, sizeof whole, "%s/spaces/*/%s", f->home, pattern);
    if (!holds(glob(whole, 0, NULL, &found) == 0))
        return false;
    bool chosen = false;
    for (int tries = 0; tries < 200 && !chosen; tries++) {
        struct stat st;
        const char *path = found.gl_pathv[crash_below(&rand_state, found.gl_pathc)];
        if (stat(path, &st) < 0 || st.st_size < size_min)
            continue;
        snprintf(ret->path, sizeof ret->path, "%s", path);
        ret->at = (off_t)crash_below(&rand_state, (uint64_t)st.st_size * percent / 100);
        chosen = true;
    }
    globfree(&found);
    return holds(chosen);
}

/* Changes one bit there; a second call undoes it. */
static void flip(const struct place *p)
{
    uint8_t byte = 0;
    int fd = open(p->path, O_RDWR | O_CLOEXEC);
    same(pread(fd, &byte, 1, p->at), 1);
    byte ^= 0x10;
    same(pwrite(fd, &byte, 1, p->at), 1);
    close(fd);
    check_about("byte %lld of %s", (long long)p->at, strrchr(p->path, '/') + 1);
}

/* The check finds something, and names a file whose name begins with @name. */
static void is_found(struct e2e *f, const char *name)
{
    const struct e2e_result *r = e2e_sh(f, "persist check %s 2>&1", f->folder);
    same(r->status, 1);
    if (name != NULL)
        contains(r->out, name);
    else
        holds(r->out_n > 0);
}

static void is_fine(struct e2e *f)
{
    e2e_ok(f, "persist check %s", f->folder);
    check_about_nothing();
}

struct target {
    const char *pattern,
        *name; /* name: of the file that has to be told, NULL: it cannot be known */
    off_t size_min;
    unsigned percent;
};

static const struct target chunks = {"db/*.pack", "large", 64 << 10, 90};
static const struct target tables = {"db/*.sst", NULL, 2048, 40};
static const struct target staging = {"staging/*", "held", 64 << 10, 100};

static void in_a_mounted_folder(struct e2e *f, const struct target *t)
{
    struct place p;
    f->errors_expected = true;
    rand_state.s = crash_seed(t->pattern);
    if (!store(f))
        return;
    int fd = t == &staging ? hold_file(f) : -1;
    for (int i = 0; i < FLIPS && choose(f, t->pattern, t->size_min, t->percent, &p); i++) {
        flip(&p);
        is_found(f, t->name);
        flip(&p);
        is_fine(f);
    }
    if (fd >= 0)
        close(fd);
}

static void before_mounting(struct e2e *f, const struct target *t)
{
    struct place p;
    f->errors_expected = true;
    rand_state.s = crash_seed(t->pattern);
    for (int i = 0; i < FLIPS && (i > 0 || store(f)); i++) {
        e2e_unmount(f);
        if (!choose(f, t->pattern, t->size_min, t->percent, &p))
            return;
        flip(&p);
        const struct e2e_result *r = e2e_sh(f, "persist mount %s", f->folder);
        if (r->status == 0) {
            is_found(f, t->name);
            e2e_unmount(f);
        } else {
            same(r->status, 1);
            contains(r->err, "damaged");
        }
        flip(&p);
        if (e2e_mount(f, NULL))
            is_fine(f);
    }
}

static void damaged_chunks_are_found(struct e2e *f)
{
    in_a_mounted_folder(f, &chunks);
}

static void damaged_staging_files_are_found(struct e2e *f)
{
    in_a_mounted_folder(f, &staging);
}

static void damaged_chunks_are_found_by_the_next_mount(struct e2e *f)
{
    before_mounting(f, &chunks);
}

static void damaged_tables_are_found_by_the_next_mount(struct e2e *f)
{
    before_mounting(f, &tables);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(damaged_chunks_are_found),
        E2E_TEST(damaged_staging_files_are_found),
        E2E_TEST(damaged_chunks_are_found_by_the_next_mount),
        E2E_TEST(damaged_tables_are_found_by_the_next_mount),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
