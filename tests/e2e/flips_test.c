/*
 * A byte is flipped in a file of a folder's state, wherever: the check of the folder, which is not
 * mounted, says so, or all that the folder holds is what it was. Once with what a clean end leaves,
 * and once with what the end of its process leaves, when the log is needed.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/crash_rand.h"
#include "tests/support/e2e.h"

enum {
    LARGE_BYTES = 300 << 10,
    PLACES_MAX = 4000,
    WHOLE = 64,            /* files up to this size: every byte */
    TAIL = 1500,           /* of a table: filter, properties, index, footer */
    BUDGET_MS = 25 * 1000, /* of each test */
};

static struct crash_rand rand_state;

struct place {
    char path[300];
    off_t at;
};

static struct place places[PLACES_MAX];
static unsigned places_n;
static unsigned told, refused, harmless;

/* ---- what is stored ---- */

static bool put_random(struct e2e *f, const char *name, size_t n)
{
    static uint8_t bytes[LARGE_BYTES];
    char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    crash_fill(crash_next(&rand_state), 0, bytes, n);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool done = fd >= 0 && write(fd, bytes, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return holds(done);
}

/* Of every kind, and with a history. */
static bool store(struct e2e *f)
{
    return e2e_mount(f, NULL) && put_random(f, "large", LARGE_BYTES) &&
           put_random(f, "inline", 20000) &&
           e2e_ok(f,
                  "cd %s && mkdir -p d/e && for i in $(seq 40); do echo text $i >d/n$i; done && "
                  "ln -s d/n1 link && ln d/n2 hard && setfattr -n user.a -v b d/n3 && "
                  "echo one >changed && echo gone >gone && chmod 600 d/n4",
                  f->folder) &&
           e2e_unmount(f) && e2e_mount(f, NULL) &&
           e2e_ok(f, "cd %s && echo two >changed && rm gone && mv d/n5 d/e/moved", f->folder) &&
           e2e_unmount(f);
}

/* Then more that is not published yet, some of it not fsynced, and the process ends. */
static bool store_and_kill(struct e2e *f)
{
    char path[E2E_PATH_MAX + 64];
    if (!store(f) || !e2e_mount(f, NULL) || !put_random(f, "staged", LARGE_BYTES))
        return false;
    snprintf(path, sizeof path, "%s/held", f->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    holds(write(fd, path, sizeof path) == sizeof path);
    bool done = e2e_ok(f,
                       "cd %s && echo three >changed && mkdir new && for i in $(seq 9); do "
                       "echo $i >new/$i; done && mv d/n6 new && rm d/n7 && "
                       "setfattr -n user.c -v d changed",
                       f->folder) &&
                put_random(f, "staged2", 100000);
    pid_t pid = e2e_mount_pid(f);
    done =
        done && holds(pid > 0) && kill(pid, SIGKILL) == 0 && holds(e2e_wait_gone(pid, E2E_LONG_MS));
    close(fd);
    return done;
}

/* All that the folder holds, as text; NULL: it cannot be mounted. */
static char *content(struct e2e *f)
{
    const struct e2e_result *r = e2e_sh(f, "persist mount %s", f->folder);
    if (r->status != 0)
        return NULL;
    r = e2e_sh(f,
               "cd %s && find . -path ./.persist -prune -o -printf '%%p %%y %%m %%s %%n %%l\\n' | "
               "sort; find . -path ./.persist -prune -o -type f -print0 | sort -z | "
               "xargs -0 sha256sum; getfattr -h -R -d -m user . | sort; persist log large; "
               "persist log gone | wc -l; for v in $(persist log d/n1 --json | grep -o "
               "'\"version\":\"[^\"]*\"' | cut -d'\"' -f4); do persist show d/n1@$v; done",
               f->folder);
    char *text = strdup(r->out);
    e2e_unmount(f);
    return text;
}

/* ---- places ---- */

static void add(const char *path, off_t at)
{
    if (places_n == PLACES_MAX)
        return;
    snprintf(places[places_n].path, sizeof places[0].path, "%s", path);
    places[places_n++].at = at;
}

static void add_some(const char *path, off_t from, off_t end, unsigned n)
{
    for (unsigned i = 0; i < n && end > from; i++)
        add(path, from + (off_t)crash_below(&rand_state, (uint64_t)(end - from)));
}

/* The end of what is not zero: of a segment of the log, what was used of it. */
static off_t used(const char *path, off_t size)
{
    uint8_t *p = malloc((size_t)size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool fine = p != NULL && pread(fd, p, (size_t)size, 0) == size;
    while (fine && size > 0 && p[size - 1] == 0)
        size--;
    close(fd);
    free(p);
    return size;
}

/* The highest byte of how many rows the properties of a table have: RocksDB reads it unverified. */
static off_t properties_end(const char *path, off_t size)
{
    uint8_t footer[53] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    same(pread(fd, footer, sizeof footer, size - (off_t)sizeof footer), sizeof footer);
    close(fd);
    off_t list = 0; /* begins behind the properties and the 5 bytes of their checksum */
    for (unsigned i = 0; i < 5; i++) {
        list |= (off_t)(footer[1 + i] & 0x7f) << 7 * i;
        if (footer[1 + i] < 0x80)
            break;
    }
    return list - 6;
}

static int see(const char *path, const struct stat *st, int type, struct FTW *w)
{
    const char *name = path + w->base;
    off_t n = st->st_size;
    if (type != FTW_F || n == 0)
        return 0;
    bool log = strncmp(name, "LOG", 3) == 0 || strncmp(name, "OPTIONS", 7) == 0 ||
               strcmp(name, "IDENTITY") == 0;
    if (log) {
        add_some(path, 0, n, 2); /* for people, or for no one */
    } else if (n <= WHOLE) {
        for (off_t at = 0; at < n; at++)
            add(path, at);
    } else if (strstr(path, "/wal/") != NULL) {
        n = used(path, n);
        add_some(path, 0, n, 40);
        add_some(path, n > 2000 ? n - 2000 : 0, n, 20);
    } else if (strstr(name, ".sst") != NULL) {
        off_t tail = n > TAIL ? n - TAIL : 0;
        add_some(path, 0, tail, 6);
        add_some(path, tail, n - 53, 8);
        add_some(path, n - 53, n, 3);
        add(path, properties_end(path, n));
    } else if (strstr(name, ".pack") != NULL) {
        add_some(path, 0, n, 30);
    } else {
        add_some(path, 0, n, 16);
        add_some(path, n > 200 ? n - 200 : 0, n, 8);
    }
    return 0;
}

static void shuffle(void)
{
    for (unsigned i = places_n; i > 1; i--) {
        unsigned k = (unsigned)crash_below(&rand_state, i);
        struct place p = places[i - 1];
        places[i - 1] = places[k];
        places[k] = p;
    }
}

static void flip(const struct place *p, unsigned by)
{
    uint8_t byte = 0;
    int fd = open(p->path, O_RDWR | O_CLOEXEC);
    same(pread(fd, &byte, 1, p->at), 1);
    byte ^= (uint8_t)by;
    same(pwrite(fd, &byte, 1, p->at), 1);
    close(fd);
}

static bool save(struct e2e *f)
{
    return e2e_ok(f, "rm -rf saved && mkdir saved && cp -a --sparse=always %s/spaces %s/sync saved",
                  f->home, f->home);
}

static bool bring_back(struct e2e *f)
{
    return e2e_ok(f, "cd %s && rm -rf spaces sync && cp -a --sparse=always ../saved/* .", f->home);
}

/* ---- trials ---- */

static unsigned lines(const char *s)
{
    unsigned n = 0;
    for (; *s != '\0'; s++)
        n += *s == '\n';
    return n;
}

static void try(struct e2e *f, const struct place *p, const char *want)
{
    unsigned by = 1 + (unsigned)crash_below(&rand_state, 255);
    if (!bring_back(f))
        return;
    flip(p, by);
    check_about("byte %lld of %s by %02x", (long long)p->at, p->path + strlen(f->home), by);
    const struct e2e_result *r = e2e_sh(f, "persist check %s", f->folder);
    if (r->status == 1) {
        bool opened = r->out_n > 0;
        same(lines(r->err), 1);
        contains(r->err, "persist: ");
        holds(strstr(r->err, "damaged") != NULL || strstr(r->err, "--repair") != NULL ||
              strstr(r->err, "newer") != NULL);
        told += opened;
        refused += !opened;
    } else {
        if (r->status != 0)
            check_fail("status %d: %s", r->status, r->err);
        char *is = content(f);
        if (holds(is != NULL))
            holds(strcmp(is, want) == 0);
        if (is != NULL && strcmp(is, want) != 0)
            check_about("content:\n%s\nand not:\n%s\n", is, want);
        free(is);
        harmless++;
    }
    check_about_nothing();
}

static void trials(struct e2e *f)
{
    char top[300];
    snprintf(top, sizeof top, "%s/spaces", f->home);
    f->errors_expected = true;
    places_n = told = refused = harmless = 0;
    if (!save(f))
        return;
    nftw(top, see, 16, FTW_PHYS);
    snprintf(top, sizeof top, "%s/sync", f->home);
    nftw(top, see, 16, FTW_PHYS);
    shuffle();
    char *want = content(f);
    if (!holds(want != NULL) || !holds(places_n > 100))
        return;
    uint64_t end = e2e_now_ms() + BUDGET_MS;
    unsigned i = 0;
    for (; i < places_n && e2e_now_ms() < end; i++)
        try(f, &places[i], want);
    printf("%u of %u places: %u told of, %u not opened, %u harmless\n", i, places_n, told, refused,
           harmless);
    free(want);
    bring_back(f);
}

static void after_a_clean_end(struct e2e *f)
{
    rand_state.s = crash_seed("flips");
    if (store(f))
        trials(f);
}

static void after_a_kill(struct e2e *f)
{
    rand_state.s = crash_seed("flips after a kill");
    if (store_and_kill(f))
        trials(f);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(after_a_clean_end),
        E2E_TEST(after_a_kill),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
