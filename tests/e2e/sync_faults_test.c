/*
 * Everything breaks: any of the processes is killed at any moment while all devices save, the
 * server loses its power and what it has not synced (crash_power.h), its disk is full, the server
 * or a device is an older copy of itself. Afterwards all devices show the same, and what was saved
 * is there.
 *
 * PERSIST_TEST_SEED, PERSIST_TEST_ROUNDS: of the kills; PERSIST_LONG=1: more of them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/crash_log.h"
#include "tests/support/crash_power.h"
#include "tests/support/crash_rand.h"
#include "tests/support/e2e_log.h"
#include "tests/support/posix.h"
#include "tests/support/sync_world.h"

static struct sync_world world;

static struct e2e *at(size_t i)
{
    return world_at(&world, i);
}

/* ---- savers ------------------------------------------------------------------------------------
 */

enum {
    DEVICES = 3,
    SAVES_MAX = 50000,
    OWN_FILES = 4,
    SHARED_FILES = 3,
    LARGE_BYTES = 300000,
    AFTER_MS = 2 * E2E_LONG_MS, /* until all is even: a sync process may come back after 60 s */
};

/* What a saver of one device has done; shared with the test. Its saves are numbered from 1. */
struct saver {
    atomic_bool stop;
    atomic_uint saved;   /* all up to this one were answered */
    unsigned failed;     /* tries that were cut off */
    bool own[SAVES_MAX]; /* which of them went to a file that no other device saves */
};

struct savers {
    struct saver v[DEVICES];
};

struct work {
    struct saver *s;
    struct crash_rand rand;
    unsigned device, n; /* the save that is tried */
    int dir;            /* the folder, as it is mounted now: another mount's calls fail */
};

static void token_of(unsigned device, unsigned n, char ret[32])
{
    snprintf(ret, 32, "token-%u-%u;", device, n);
}

/* Writes a file whole, and closes it: 0, or -1. */
static int write_file(int dir, const char *name, int flags, const char *text, size_t n)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        return -1;
    bool good = write(fd, text, n) == (ssize_t)n;
    return close(fd) == 0 && good ? 0 : -1;
}

static int save_new(struct work *w, const char *token)
{
    char name[64], folder[32];
    snprintf(name, sizeof name, "new-%u-%u.md", w->device, w->n);
    snprintf(folder, sizeof folder, "folder-%u", w->n / 20);
    if (write_file(w->dir, name, O_TRUNC, token, strlen(token)) < 0)
        return -1;
    if (crash_chance(&w->rand, 50))
        return 0;
    char to[128];
    snprintf(to, sizeof to, "%s/%s", folder, name);
    if (mkdirat(w->dir, folder, 0755) < 0 && errno != EEXIST)
        return -1;
    return renameat(w->dir, name, w->dir, to);
}

/* A file that no other device saves: its newest token is what counts. */
static int save_own(struct work *w, const char *token)
{
    char name[64];
    w->s->own[w->n] = true;
    snprintf(name, sizeof name, "own-%u-%u.md", w->device, w->n % OWN_FILES);
    return write_file(w->dir, name, O_TRUNC, token, strlen(token));
}

static int save_large(struct work *w, const char *token)
{
    static char bytes[LARGE_BYTES];
    char name[64];
    crash_fill(w->n + 1000u * w->device, 0, bytes, sizeof bytes);
    memcpy(bytes + sizeof bytes / 2, token, strlen(token));
    snprintf(name, sizeof name, "large-%u-%u", w->device, w->n);
    return write_file(w->dir, name, O_TRUNC, bytes, sizeof bytes);
}

/* Adds a line below the device's own heading, as an editor: reads all, saves all. */
static int save_shared(struct work *w, const char *token)
{
    static char text[1 << 20], next[(1 << 20) + 64];
    char name[64], tmp[80], heading[32];
    snprintf(name, sizeof name, "shared-%u.md", (unsigned)crash_below(&w->rand, SHARED_FILES));
    snprintf(tmp, sizeof tmp, ".%s.%u.tmp", name, w->device);
    snprintf(heading, sizeof heading, "# device %u\n", w->device);
    int fd = openat(w->dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    struct stat st = {0};
    fstat(fd, &st);
    close(fd);
    if (n < 0)
        return -1;
    text[n] = '\0';
    const char *place = strstr(text, heading);
    if (place == NULL) {
        check_fail("%s of device %u has lost a heading: %zd bytes of %ju of inode %ju: \"%.200s\"",
                   name, w->device, n, (uintmax_t)st.st_size, (uintmax_t)st.st_ino, text);
        return -1;
    }
    place += strlen(heading);
    int k = snprintf(next, sizeof next, "%.*s%s\n%s", (int)(place - text), text, token, place);
    if (write_file(w->dir, tmp, O_TRUNC, next, (size_t)k) < 0)
        return -1;
    return renameat(w->dir, tmp, w->dir, name);
}

static int save_once(struct work *w, const struct e2e *d)
{
    static int (*const saves[])(struct work * w, const char *token) = {
        save_new, save_own, save_own, save_shared, save_shared, save_large};
    char token[32];
    token_of(w->device, w->n, token);
    w->dir = open(d->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st, below;
    if (w->dir < 0)
        return -1;
    /* What is below a folder that is not mounted is not the folder. */
    bool mounted =
        fstat(w->dir, &st) == 0 && stat(d->top, &below) == 0 && st.st_dev != below.st_dev;
    int rc = mounted ? saves[crash_below(&w->rand, ARRAY_N(saves))](w, token) : -1;
    close(w->dir);
    return rc;
}

static void save_on(const struct e2e *d, unsigned device, struct saver *s, uint64_t seed)
{
    struct work w = {.s = s, .rand.s = seed, .device = device, .n = 1};
    while (!atomic_load(&s->stop) && w.n < SAVES_MAX) {
        uint64_t again = w.rand.s;
        if (save_once(&w, d) == 0) {
            atomic_store(&s->saved, w.n++);
            usleep(2000 + (unsigned)crash_below(&w.rand, 20000));
            continue;
        }
        s->failed++;
        w.rand.s = again; /* the same save is tried until it is answered */
        usleep(20000);
    }
}

static void make_shared_files(const struct e2e *d)
{
    char name[32], text[512] = "";
    for (unsigned i = 0; i < DEVICES; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "# device %u\n\nthe end of what device %u has to say\n\n----\n\n", i, i);
    for (unsigned i = 0; i < SHARED_FILES; i++) {
        snprintf(name, sizeof name, "shared-%u.md", i);
        world_save(d, name, text);
    }
}

static void start_savers(struct savers *s, pid_t *pids, struct crash_rand *rand)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        uint64_t seed = crash_next(rand);
        pids[i] = check_fork();
        if (pids[i] == 0) {
            save_on(at(i), i, &s->v[i], seed);
            check_child_end();
        }
    }
}

static void stop_savers(struct savers *s, const pid_t *pids)
{
    for (unsigned i = 0; i < DEVICES; i++)
        atomic_store(&s->v[i].stop, true);
    for (unsigned i = 0; i < DEVICES; i++)
        check_join(pids[i]);
}

/* ---- what was saved is there -------------------------------------------------------------------
 */

/* Marks the tokens of @device that are in the text. */
static void mark(const char *text, unsigned device, uint8_t *seen, unsigned n)
{
    char begin[32];
    snprintf(begin, sizeof begin, "token-%u-", device);
    for (const char *p = text; (p = strstr(p, begin)) != NULL; p++) {
        unsigned long k = strtoul(p + strlen(begin), NULL, 10);
        if (k >= 1 && k <= n)
            seen[k] = 1;
    }
}

/* The newest token of an own file is to be in it; older ones it replaced itself. */
static void mark_replaced(const struct saver *v, uint8_t *seen, unsigned n)
{
    bool newer[OWN_FILES] = {false};
    for (unsigned k = n; k >= 1; k--) {
        if (!v->own[k])
            continue;
        seen[k] = seen[k] || newer[k % OWN_FILES];
        newer[k % OWN_FILES] = true;
    }
}

/*
 * What was saved is shown: in its file, or in a sibling of that. It is not enough that it is in the
 * history, for no editor replaces what it has not seen.
 */
static void check_tokens(struct e2e *d, unsigned device, const struct saver *v)
{
    unsigned n = atomic_load(&v->saved), lost = 0;
    uint8_t *seen = calloc(1, n + 1);
    e2e_ok(d, "grep -rahoE 'token-%u-[0-9]+;' notes", device);
    mark(d->last.out, device, seen, n);
    mark_replaced(v, seen, n);
    for (unsigned k = 1; k <= n; k++)
        if (!seen[k] && lost++ < 10)
            check_fail("token-%u-%u is nowhere on %s", device, k, d->folder);
    if (lost > 10)
        check_fail("%u of %u tokens of device %u are lost", lost, n, device);
    printf("    device %u: %u saves, %u tries cut off, %u siblings\n", device, n, v->failed,
           world_named(d, "(conflict from "));
    free(seen);
}

/* ---- kills -------------------------------------------------------------------------------------
 */

static void kill_mount(struct e2e *d, unsigned down_ms)
{
    pid_t pid = e2e_mount_pid(d);
    if (!holds(pid > 0))
        return;
    ok(kill(pid, SIGKILL));
    e2e_wait_gone(pid, E2E_LONG_MS);
    usleep(down_ms * 1000);
    e2e_mount(d, NULL);
}

/* The mount starts it again, the more rarely the oftener it dies: it may be dead still. */
static void kill_sync(const struct e2e *d)
{
    pid_t pid = e2e_sync_pid(d);
    if (holds(pid > 0) && kill(pid, SIGKILL) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
}

static void kill_server(unsigned down_ms)
{
    world_server_stop(&world, SIGKILL);
    usleep(down_ms * 1000);
    holds(world_server_start(&world));
}

static void kill_one(struct crash_rand *rand, bool served)
{
    usleep((20 + (unsigned)crash_below(rand, 400)) * 1000);
    unsigned down_ms = crash_chance(rand, 20) ? 1000 : (unsigned)crash_below(rand, 100);
    unsigned which = (unsigned)crash_below(rand, 2 * DEVICES + (served ? 2 : 0));
    if (which < DEVICES)
        kill_mount(at(which), down_ms);
    else if (which < 2 * DEVICES)
        kill_sync(at(which - DEVICES));
    else
        kill_server(down_ms);
}

struct goal {
    struct savers *savers;
    unsigned kills;
};

/* More than was killed: else nothing was cut off, or nothing came through. */
static bool all_have_saved(void *arg)
{
    const struct goal *g = arg;
    unsigned n = 0;
    while (n < DEVICES && atomic_load(&g->savers->v[n].saved) > g->kills)
        n++;
    return n == DEVICES;
}

static void kills_lose_nothing(struct e2e *f, bool served)
{
    struct crash_rand rand = {.s = crash_env("PERSIST_TEST_SEED", 1)};
    unsigned usual = crash_env("PERSIST_LONG", 0) != 0 ? 150 : served ? 40 : 20;
    unsigned kills = (unsigned)crash_env("PERSIST_TEST_ROUNDS", usual);
    struct savers *savers = crash_shared(sizeof *savers);
    pid_t pids[DEVICES];
    printf("    PERSIST_TEST_SEED=%ju, %u kills\n", (uintmax_t)rand.s, kills);
    if (world_begin(&world, f, DEVICES)) {
        make_shared_files(at(0));
        world_even(&world);
        if (!served)
            world_without_server(&world);
        start_savers(savers, pids, &rand);
        for (unsigned i = 0; i < kills && check_failures() == 0; i++)
            kill_one(&rand, served);
        e2e_wait(all_have_saved, &(struct goal){savers, kills}, E2E_LONG_MS,
                 "all have saved often");
        stop_savers(savers, pids);
        world_even_within(&world, AFTER_MS);
        for (unsigned i = 0; i < DEVICES; i++) {
            check_tokens(at(0), i, &savers->v[i]);
            e2e_ok(at(i), "persist check %s", at(i)->folder);
        }
    }
    world_end(&world);
}

static void nothing_is_lost_by_kills(struct e2e *f)
{
    kills_lose_nothing(f, true);
}

static void nothing_is_lost_by_kills_without_a_server(struct e2e *f)
{
    kills_lose_nothing(f, false);
}

/* Many are taken in with one write: one that ends in the middle is all or nothing. */
static void a_heap_that_comes_outlives_kills_of_who_takes_it(struct e2e *f)
{
    enum { FILES = 1500, KILLS = 5 };
    if (world_begin(&world, f, 2)) {
        e2e_ok(at(0), "mkdir %s/many && cd %s/many && for i in $(seq %d); do echo $i >$i; done",
               at(0)->folder, at(0)->folder, FILES);
        for (unsigned i = 0; i < KILLS; i++) {
            usleep(150 * 1000);
            kill_mount(at(1), 0);
        }
        world_even(&world);
        e2e_ok(at(1), "test $(ls %s/many | wc -l) = %d", at(1)->folder, FILES);
        e2e_ok(at(1), "persist check %s", at(1)->folder);
    }
    world_end(&world);
}

/* ---- the server's power ------------------------------------------------------------------------
 */

static bool move_server_data(struct crash_power *power)
{
    world_server_stop(&world, SIGTERM);
    return e2e_ok(world.server, "mv data before && mkdir -m 700 data") &&
           holds(crash_power_start(power, world.data)) &&
           e2e_ok(world.server, "cp -a before/. data") && holds(crash_power_sync(power)) &&
           holds(world_server_start(&world));
}

static void cut_server(struct crash_power *power, struct crash_rand *rand)
{
    usleep((200 + (unsigned)crash_below(rand, 300)) * 1000);
    world_server_stop(&world, SIGKILL);
    holds(crash_power_cut(power, crash_next(rand)));
    holds(world_server_start(&world));
    /* New sync processes connect at once, and do not wait as after many failures. */
    for (unsigned i = 0; i < DEVICES; i++) {
        world_offline(at(i));
        world_online(at(i));
    }
}

/* How many times devices have found that the server had lost what it had shown. */
static unsigned times_lost(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < DEVICES; i++) {
        e2e_sh(at(i), "cat home/log/* | grep -c 'had lost [0-9]* changes'");
        n += (unsigned)strtoul(at(i)->last.out, NULL, 10);
    }
    return n;
}

/* What others got before it was synced, and the server then has not, is put there again. */
static void nothing_is_lost_by_a_server_without_power(struct e2e *f)
{
    struct crash_rand rand = {.s = crash_env("PERSIST_TEST_SEED", 1)};
    unsigned cuts =
        (unsigned)crash_env("PERSIST_TEST_ROUNDS", crash_env("PERSIST_LONG", 0) != 0 ? 60 : 12);
    struct savers *savers = crash_shared(sizeof *savers);
    struct crash_power power = {.server = 0};
    pid_t pids[DEVICES];
    unsigned lost = 0;
    printf("    PERSIST_TEST_SEED=%ju, %u cuts\n", (uintmax_t)rand.s, cuts);
    if (world_begin(&world, f, DEVICES) && move_server_data(&power)) {
        make_shared_files(at(0));
        world_even(&world);
        start_savers(savers, pids, &rand);
        for (unsigned i = 0; (i < cuts || (i < 10 * cuts && lost == 0)) && check_failures() == 0;
             i++) {
            cut_server(&power, &rand);
            lost = times_lost();
        }
        stop_savers(savers, pids);
        world_even_within(&world, AFTER_MS);
        lost = times_lost();
        printf("    devices found a loss %u times\n", lost);
        holds(lost > 0);
        /* A new device sees what the server has. */
        struct e2e *d = world_add(&world);
        if (d != NULL && world_clone(&world, d) && world_even_within(&world, AFTER_MS))
            for (unsigned i = 0; i < DEVICES; i++)
                check_tokens(d, i, &savers->v[i]);
        for (size_t i = 0; i < world.n; i++)
            e2e_sh(at(i), "persist unmount notes");
    }
    world_server_stop(&world, SIGTERM);
    if (power.server > 0)
        crash_power_stop(&power);
    world_end(&world);
}

/* ---- the server's disk -------------------------------------------------------------------------
 */

enum { DISK_MIB = 96, BIG_MIB = 160 };

static bool says_full(void *arg)
{
    struct e2e *d = arg;
    e2e_sh(d, "persist status %s", d->folder);
    return strstr(d->last.out, "full") != NULL;
}

/* The server's data on a disk of DISK_MIB, with two devices. */
static bool begin_on_small_disk(struct e2e *f)
{
    char options[32];
    if (!world_begin(&world, f, 0))
        return false;
    world_server_stop(&world, SIGTERM);
    e2e_ok(world.server, "mv data small && mkdir -m 700 data");
    snprintf(options, sizeof options, "size=%dm,mode=700", DISK_MIB);
    ok(mount("persist-test", world.data, "tmpfs", 0, options));
    e2e_ok(world.server, "cp -a small/. data");
    return holds(world_server_start(&world)) && world_add(&world) != NULL &&
           world_found(&world, at(0)) && world_add(&world) != NULL && world_clone(&world, at(1));
}

static void end_on_small_disk(void)
{
    for (size_t i = 0; i < world.n; i++)
        e2e_sh(at(i), "persist unmount notes");
    world_server_stop(&world, SIGTERM);
    ok(umount(world.data));
    world_end(&world);
}

static void a_full_server_says_so_and_goes_on(struct e2e *f)
{
    char options[32];
    if (begin_on_small_disk(f)) {
        e2e_ok(at(0), "head -c %dM /dev/urandom >notes/big", BIG_MIB);
        e2e_wait(says_full, at(0), E2E_LONG_MS, "status says that the server's disk is full");
        world_save(at(0), "small.md", "while it is full\n");
        world_wait_text(at(1), "small.md", "while it is full\n");
        world_save(at(1), "back.md", "by the other one\n");
        world_wait_text(at(0), "back.md", "by the other one\n");
        holds(says_full(at(0)));
        e2e_sh(at(0), "persist sync --wait %s", at(0)->folder);
        same(at(0)->last.status, 1);
        holds(strstr(at(0)->last.err, "full") != NULL);
        snprintf(options, sizeof options, "size=%dm", 8 * DISK_MIB);
        ok(mount("persist-test", world.data, NULL, MS_REMOUNT, options));
        world_even_within(&world, AFTER_MS);
        world.server->errors_expected = true;
    }
    end_on_small_disk();
}

static void take_all_of_the_server_s_room(void)
{
    e2e_sh(world.server, "cat /dev/zero >data/ballast");
}

/* No room for what is small either. */
static void one_without_any_room_is_why_nothing_is_sent(struct e2e *f)
{
    if (begin_on_small_disk(f)) {
        world_save(at(0), "a.md", "on the server\n");
        world_even(&world);
        take_all_of_the_server_s_room();
        world_save(at(0), "b.md", "there is no room for this\n");
        e2e_wait(says_full, at(0), E2E_LONG_MS, "status says that the server's disk is full");
        e2e_refused(at(0), 1,
                    "sync: the server refused: ", "persist sync --wait --timeout 40 notes");
        contains(at(0)->last.err, "the server is full");
        holds(says_full(at(0)));
        contains(at(0)->last.out, "1 to send");
        e2e_ok(world.server, "rm data/ballast");
        world_wait_text(at(1), "b.md", "there is no room for this\n");
        e2e_ok(at(0), "persist sync --wait notes");
        e2e_ok(at(0), "persist status --json notes");
        same_text(e2e_value(at(0), "remotes.0.error"), "null");
        world.server->errors_expected = true;
    }
    end_on_small_disk();
}

static void a_server_without_any_room_says_so_and_starts_later(struct e2e *f)
{
    if (begin_on_small_disk(f)) {
        world_save(at(0), "a.md", "on the server\n");
        world_even(&world);
        world_server_stop(&world, SIGKILL);
        take_all_of_the_server_s_room();
        e2e_refused(world.server, 1, "free some space", "persist serve -f --data data");
        e2e_ok(world.server, "rm data/ballast");
        world_server_start(&world);
        world_save(at(1), "b.md", "after that\n");
        world_even(&world);
    }
    end_on_small_disk();
}

/* ---- the disk of a device ----------------------------------------------------------------------
 */

enum { SMALL_DISK_MIB = 192, TOO_BIG_MIB = 256 };

static bool nothing_waits(void *arg)
{
    struct e2e *d = arg;
    e2e_sh(d, "persist status %s", d->folder);
    return strstr(d->last.out, "full") == NULL && strstr(d->last.out, "receiving") == NULL;
}

static void a_device_without_room_for_content_gets_what_is_small(struct e2e *f)
{
    char options[32];
    if (world_begin(&world, f, 1) && world_add(&world) != NULL) {
        struct e2e *a = at(0), *d = at(1);
        e2e_ok(a, "head -c %dM /dev/urandom >notes/big && persist sync --wait notes", TOO_BIG_MIB);
        snprintf(options, sizeof options, "size=%dm,mode=700", SMALL_DISK_MIB);
        ok(mkdir(d->home, 0700));
        ok(mount("persist-test", d->home, "tmpfs", 0, options));
        d->errors_expected = true;
        if (world_clone(&world, d)) {
            e2e_wait(says_full, d, E2E_LONG_MS, "status says that the device's disk is full");
            contains(d->last.out, "syncing"); /* not offline */
            e2e_sh(d, "persist sync --wait %s", d->folder);
            same(d->last.status, 1);
            contains(d->last.err, "the disk is full");
            holds(says_full(d));
            for (unsigned i = 0; i < 5; i++) {
                char name[16];
                snprintf(name, sizeof name, "%u.md", i);
                world_save(a, name, "while it is full\n");
                world_wait_text(d, name, "while it is full\n");
            }
            /* The content that there is no room for will never be shown: it is not waited for. */
            world_save(a, "big", "small\n");
            world_wait_text(d, "big", "small\n");
            e2e_wait(nothing_waits, d, E2E_LONG_MS, "nothing is waited for any more");
            world_even(&world);
        }
        e2e_sh(d, "persist unmount notes");
        world_offline(d);
        ok(umount(d->home));
    }
    world_end(&world);
}

/* Somebody else took all of the room: nothing can be written down, and what was heard is not. */
static void a_device_without_any_room_says_so_and_goes_on(struct e2e *f)
{
    char options[32];
    if (world_begin(&world, f, 1) && world_add(&world) != NULL) {
        struct e2e *d = at(1);
        snprintf(options, sizeof options, "size=%dm,mode=700", SMALL_DISK_MIB);
        ok(mkdir(d->home, 0700));
        ok(mount("persist-test", d->home, "tmpfs", 0, options));
        d->errors_expected = true;
        if (world_clone(&world, d)) {
            world_server_stop(&world, SIGTERM);
            e2e_sh(d, "cat /dev/zero >home/ballast");
            world_save(at(0), "note.md", "while it is full\n");
            world_server_start(&world);
            e2e_wait(says_full, d, E2E_LONG_MS, "status says that the device's disk is full");
            e2e_ok(d, "rm home/ballast");
            world_even(&world);
        }
        e2e_sh(d, "persist unmount notes");
        world_offline(d);
        ok(umount(d->home));
    }
    world_end(&world);
}

/* ---- an upload that is cut off ------------------------------------------------------------------
 */

static bool is_halfway(void *arg)
{
    return world_metric(&world, "pushed_chunks_total") >= *(const uint64_t *)arg;
}

/* Device 0 saves a big file, and its mount is killed when so many chunks of it are at the server:
 * a small part, so that it is not there as a whole before the kill. */
static void begin_upload(const char *name, uint64_t chunks)
{
    uint64_t n = world_metric(&world, "pushed_chunks_total") + chunks;
    e2e_ok(at(0), "head -c 192M /dev/urandom >notes/%s", name);
    e2e_wait(is_halfway, &n, AFTER_MS, "some of its chunks are at the server");
    pid_t pid = e2e_mount_pid(at(0));
    if (holds(pid > 0))
        ok(kill(pid, SIGKILL));
    e2e_wait_gone(pid, E2E_LONG_MS);
}

/* Who puts is gone in the middle, then the server, then who follows: nothing is shown of it,
 * nothing waits, others' saves come; and all goes on. */
static void an_upload_that_is_cut_off_goes_on(struct e2e *f)
{
    if (world_begin(&world, f, 3)) {
        begin_upload("big", 150);
        world_save(at(1), "meanwhile.md", "by another\n");
        world_wait_text(at(2), "meanwhile.md", "by another\n");
        for (size_t i = 1; i < 3; i++) {
            holds(!exists(world_path(at(i), "big")));
            e2e_ok(at(i), "persist sync --wait %s", at(i)->folder);
            e2e_ok(at(i), "persist status %s", at(i)->folder);
            holds(strstr(at(i)->last.out, "waiting") == NULL);
        }
        kill_server(100);
        kill_mount(at(1), 10);
        world_wait_link(at(1), "connected");
        e2e_mount(at(0), NULL);
        world_even_within(&world, AFTER_MS);
        e2e_ok(at(0), "cmp notes/big %s", world_path(at(1), "big"));
        for (size_t i = 0; i < 3; i++)
            e2e_ok(at(i), "persist check %s", at(i)->folder);
    }
    world_end(&world);
}

/* What was uploaded in part is replaced: the new version needs nothing of it. */
static void a_later_version_does_not_wait_for_one_that_was_cut_off(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        begin_upload("file", 100);
        e2e_mount(at(0), NULL);
        world_save(at(0), "file", "small by now\n");
        world_wait_text(at(1), "file", "small by now\n");
        world_even(&world);
        /* A device that joins sees no more than the others. */
        struct e2e *d = world_add(&world);
        if (d != NULL && world_clone(&world, d))
            world_even(&world);
    }
    world_end(&world);
}

/* ---- copies ------------------------------------------------------------------------------------
 */

static void a_server_from_an_older_copy_gets_the_rest_again(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_save(at(0), "old.md", "before the copy\n");
        world_wait_text(at(1), "old.md", "before the copy\n");
        world_server_stop(&world, SIGTERM);
        e2e_ok(world.server, "cp -a data copy");
        holds(world_server_start(&world));
        for (unsigned i = 0; i < 20; i++) {
            char name[32], text[64];
            snprintf(name, sizeof name, "new%u.md", i);
            snprintf(text, sizeof text, "after the copy, %u\n", i);
            world_save(at(i % 2), name, text);
        }
        e2e_ok(at(0), "head -c 2000000 /dev/urandom >notes/large");
        world_save(at(1), "old.md", "changed after the copy\n");
        world_even(&world);
        for (size_t i = 0; i < 2; i++)
            e2e_ok(at(i), "persist sync --wait %s", at(i)->folder);
        world_server_stop(&world, SIGTERM);
        e2e_ok(world.server, "mv data lost && mv copy data");
        holds(world_server_start(&world));
        for (size_t i = 0; i < 2; i++) {
            world_wait_link(at(i), "connected");
            e2e_ok(at(i), "persist sync --wait %s", at(i)->folder);
        }
        /* A new device sees what the server has. */
        struct e2e *d = world_add(&world);
        if (d != NULL && world_clone(&world, d)) {
            world_even(&world);
            same_text(world_text(d, "old.md"), "changed after the copy\n");
            same_text(world_text(d, "new19.md"), "after the copy, 19\n");
            same(world_named(d, "conflict"), 0);
        }
    }
    world_end(&world);
}

/* Mounts the device's folder from another state directory. */
static void mount_with(struct e2e *d, const char *home)
{
    e2e_unmount(d);
    world_offline(d);
    snprintf(d->home, sizeof d->home, "%.100s/%s", d->top, home);
    e2e_mount(d, NULL);
    e2e_ok(d, "persist sync --wait %s", d->folder);
}

static void a_copied_device_is_another_one(struct e2e *f)
{
    if (world_begin(&world, f, 2)) {
        world_save(at(1), "note.md", "of both\n");
        world_even(&world);
        e2e_unmount(at(1));
        world_offline(at(1));
        e2e_ok(at(1), "cp -a home copy");
        e2e_mount(at(1), NULL);
        world_save(at(1), "first.md", "by the first\n");
        world_save(at(1), "note.md", "changed by the first\n");
        e2e_ok(at(1), "persist sync --wait %s", at(1)->folder);
        world_wait_text(at(0), "first.md", "by the first\n");
        /* The copy saves without having heard of that. */
        e2e_unmount(at(1));
        world_offline(at(1));
        world_server_stop(&world, SIGTERM);
        snprintf(at(1)->home, sizeof at(1)->home, "%.100s/copy", at(1)->top);
        e2e_mount(at(1), NULL);
        holds(!exists(world_path(at(1), "first.md")));
        world_save(at(1), "copy.md", "by the copy\n");
        world_save(at(1), "other.md", "by the copy, too\n");
        holds(world_server_start(&world));
        world_wait_text(at(1), "first.md", "by the first\n");
        world_wait_text(at(0), "copy.md", "by the copy\n");
        world_wait_text(at(0), "other.md", "by the copy, too\n");
        world_even(&world);
        mount_with(at(1), "home");
        world_wait_text(at(1), "copy.md", "by the copy\n");
        world_save(at(1), "first.md", "by the first, again\n");
        world_wait_text(at(0), "first.md", "by the first, again\n");
        world_even(&world);
        mount_with(at(1), "copy");
        world_save(at(1), "copy.md", "by the copy, again\n");
        world_wait_text(at(0), "copy.md", "by the copy, again\n");
        world_even(&world);
        mount_with(at(1), "home");
        world_even(&world);
        same(world_named(at(0), "conflict"), 0);
    }
    world_end(&world);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {
        E2E_TEST(nothing_is_lost_by_kills),
        E2E_TEST(nothing_is_lost_by_kills_without_a_server),
        E2E_TEST(a_heap_that_comes_outlives_kills_of_who_takes_it),
        E2E_TEST(nothing_is_lost_by_a_server_without_power),
        E2E_TEST(a_full_server_says_so_and_goes_on),
        E2E_TEST(one_without_any_room_is_why_nothing_is_sent),
        E2E_TEST(a_server_without_any_room_says_so_and_starts_later),
        E2E_TEST(a_device_without_room_for_content_gets_what_is_small),
        E2E_TEST(a_device_without_any_room_says_so_and_goes_on),
        E2E_TEST(an_upload_that_is_cut_off_goes_on),
        E2E_TEST(a_later_version_does_not_wait_for_one_that_was_cut_off),
        E2E_TEST(a_server_from_an_older_copy_gets_the_rest_again),
        E2E_TEST(a_copied_device_is_another_one),
    };
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
