/*
 * Loss of power while programs work in a folder, again and again. The state directory is on a file
 * system that forgets what was not synced (crash_power.h). After each cut: what was fsynced is
 * there, as it was then or as it was written later; names are as after some moment since the last
 * fsync, none of it out of order; a file saved by renaming is a whole version; the check finds
 * nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/crash_posix.h"
#include "tests/support/crash_power.h"
#include "tests/support/e2e.h"

enum {
    CUTS = 100,
    RUN_MS_MIN = 50,
    RUN_MS_MAX = 500,
    BLOCK = 4096,
    DB_BLOCKS = 768,
    DOCS = 6,
    DOC_SMALL = 20000,
    DOC_LARGE = 150000,
    LOG_MAX = 8 << 20,
    CREATED_MAX = 500,
    CHECK_EVERY = 10,
};

/* What the programs did, in shared memory. "Written" is noted before, "synced" after the call. */
struct shared {
    atomic_bool stop;
    struct crash_log names;
    unsigned names_synced; /* operations that an fsync came after */
    struct {
        uint64_t written, synced;
    } db[DB_BLOCKS], docs[DOCS];
    struct {
        char path[32];
        uint64_t written, synced;
    } log;
    unsigned created, created_synced;
};

struct run {
    struct e2e *f;
    struct crash_power power;
    struct crash_rand rand;
    struct crash_model *names;
    struct shared *s;
    unsigned round;
    pid_t pids[4];
    uint64_t lost_blocks, lost_names, lost_saves; /* what cuts took, to see that they do */
};

static uint8_t bytes[LOG_MAX], ought[LOG_MAX];

/* ---- in the programs ---- */

struct program {
    const char *folder;
    struct shared *s;
    struct crash_model *names;
    struct crash_rand rand;
    unsigned round;
};

static const char *path_in(const char *folder, const char *name, uint64_t i)
{
    static char path[E2E_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s%llu", folder, name, (unsigned long long)i);
    return path;
}

static bool going_on(const struct program *p)
{
    return !atomic_load(&p->s->stop);
}

static void change_names(struct program *p)
{
    struct crash_op op;
    while (going_on(p)) {
        crash_model_choose(p->names, &p->rand, "names", &op);
        if (op.kind >= CRASH_WRITE && op.kind <= CRASH_ALLOCATE)
            continue;
        if (op.kind == CRASH_FSYNC && crash_chance(&p->rand, 50))
            *strrchr(op.path, '/') = '\0'; /* its directory */
        unsigned before = p->s->names.begun;
        if (!crash_log_begin(&p->s->names, &op))
            break;
        int rc = crash_posix_apply(p->folder, &op);
        crash_log_answer(&p->s->names, rc);
        crash_model_apply(p->names, &op);
        if (op.kind == CRASH_FSYNC && rc == 0)
            p->s->names_synced = before;
    }
}

static void overwrite_blocks(struct program *p)
{
    static uint64_t done[DB_BLOCKS];
    int fd = open(path_in(p->folder, "db", 0), O_RDWR | O_CLOEXEC);
    while (going_on(p) && fd >= 0) {
        for (uint64_t n = 1 + crash_below(&p->rand, crash_chance(&p->rand, 20) ? 120 : 12); n > 0;
             n--) {
            uint64_t b = crash_below(&p->rand, DB_BLOCKS), v = ++p->s->db[b].written;
            crash_fill(b << 32 | v, 0, bytes, BLOCK);
            memcpy(bytes, &v, sizeof v);
            if (pwrite(fd, bytes, BLOCK, (off_t)(b * BLOCK)) != BLOCK)
                return;
        }
        if (crash_chance(&p->rand, 10)) {
            close(fd);
            fd = open(path_in(p->folder, "db", 0), O_RDWR | O_CLOEXEC);
        }
        for (int b = 0; b < DB_BLOCKS; b++)
            done[b] = p->s->db[b].written;
        if (crash_chance(&p->rand, 80) &&
            (crash_chance(&p->rand, 50) ? fsync(fd) : fdatasync(fd)) == 0)
            for (int b = 0; b < DB_BLOCKS; b++)
                p->s->db[b].synced = done[b];
    }
}

static size_t doc_bytes(unsigned doc, uint64_t version)
{
    uint64_t most = doc % 2 == 0 ? DOC_SMALL : DOC_LARGE;
    return 100 + (size_t)(version * 7919 % most);
}

/* As editors do: a new file, most often fsynced, renamed over the old one. */
static void save_documents(struct program *p)
{
    while (going_on(p)) {
        unsigned doc = (unsigned)crash_below(&p->rand, DOCS);
        uint64_t v = p->s->docs[doc].written + 1;
        size_t n = doc_bytes(doc, v);
        char temporary[E2E_PATH_MAX + 64];
        snprintf(temporary, sizeof temporary, "%s", path_in(p->folder, ".doc.tmp", doc));
        crash_fill((uint64_t)doc << 32 | v, 0, bytes, n);
        memcpy(bytes, &v, sizeof v);
        int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        bool done = fd >= 0 && write(fd, bytes, n) == (ssize_t)n;
        if (done && (doc % 2 == 1 || crash_chance(&p->rand, 70)))
            done = fsync(fd) == 0;
        if (fd < 0 || close(fd) < 0 || !done)
            return;
        p->s->docs[doc].written = v;
        if (rename(temporary, path_in(p->folder, "doc", doc)) < 0)
            return;
        if (!crash_chance(&p->rand, 40))
            continue;
        bool directory = crash_chance(&p->rand, 50);
        fd = open(directory ? p->folder : path_in(p->folder, "doc", doc), O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && fsync(fd) == 0)
            p->s->docs[doc].synced = v;
        if (fd >= 0)
            close(fd);
    }
}

static void append_and_create(struct program *p)
{
    snprintf(p->s->log.path, sizeof p->s->log.path, "log%u", p->round);
    int log =
        open(path_in(p->folder, "log", p->round), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    while (going_on(p) && log >= 0) {
        size_t n = 1 + (size_t)crash_below(&p->rand, crash_chance(&p->rand, 20) ? 60000 : 3000);
        uint64_t at = p->s->log.written;
        if (at + n > LOG_MAX)
            break;
        crash_fill(p->round, at, bytes, n);
        p->s->log.written = at + n;
        if (write(log, bytes, n) != (ssize_t)n)
            return;
        if (crash_chance(&p->rand, 25) && fsync(log) == 0)
            p->s->log.synced = at + n;
        if (!crash_chance(&p->rand, 30) || p->s->created == CREATED_MAX)
            continue;
        unsigned i = p->s->created;
        n = doc_bytes(i, i);
        crash_fill(i, p->round, bytes, n);
        int fd = open(path_in(p->folder, "new", p->round * 1000 + i),
                      O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        bool done = fd >= 0 && write(fd, bytes, n) == (ssize_t)n && fsync(fd) == 0;
        if (fd < 0 || close(fd) < 0 || !done)
            return;
        p->s->created = i + 1;
    }
}

static void (*const programs[])(struct program *p) = {change_names, overwrite_blocks,
                                                      save_documents, append_and_create};

static void start_programs(struct run *r)
{
    atomic_store(&r->s->stop, false);
    for (size_t i = 0; i < ARRAY_N(programs); i++) {
        struct program p = {r->f->folder, r->s, r->names, {crash_next(&r->rand)}, r->round};
        r->pids[i] = fork();
        if (r->pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            programs[i](&p);
            _exit(0);
        }
    }
}

static void stop_programs(struct run *r)
{
    atomic_store(&r->s->stop, true);
    for (size_t i = 0; i < ARRAY_N(programs); i++) {
        unsigned ms = 0;
        while (waitpid(r->pids[i], NULL, WNOHANG) == 0)
            if (usleep(1000) == 0 && ms++ == E2E_LONG_MS) {
                check_fail("program %zu does not come to an end", i);
                kill(r->pids[i], SIGKILL);
            }
    }
}

/* ---- what has to be there ---- */

static ssize_t read_file(struct run *r, const char *name, uint64_t i)
{
    int fd = open(path_in(r->f->folder, name, i), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t at = 0;
    ssize_t n = 1;
    while (n > 0 && at < sizeof bytes) {
        n = read(fd, bytes + at, sizeof bytes - at);
        at += n > 0 ? (size_t)n : 0;
    }
    int error = errno;
    close(fd);
    return n < 0 ? -error : (ssize_t)at;
}

/* The names are as after one of the operations since the last that was synced. */
static void look_at_names(struct run *r)
{
    struct crash_log *log = &r->s->names;
    struct crash_view view = crash_posix_view(r->f->folder);
    char why[256] = "", first[256] = "";
    bool same = false;
    unsigned at = 0, early = UINT32_MAX;
    for (; at <= log->begun && !same; at++) {
        if (at > 0) {
            int rc = crash_model_apply(r->names, &log->at[at - 1].op);
            if (at <= log->answered && (rc < 0) != (log->at[at - 1].rc < 0))
                check_fail("names: operation %u gave %d, has to give %d: %s", at - 1,
                           log->at[at - 1].rc, rc, crash_op_text(&log->at[at - 1].op));
        }
        same = crash_model_same(r->names, &view, "names", why);
        if (same && at < r->s->names_synced) {
            early = at; /* too old a state, but one that was */
            same = false;
        }
        if (at == r->s->names_synced)
            memcpy(first, why, sizeof first);
    }
    if (!same && early != UINT32_MAX)
        check_fail("names: as after operation %u, but %u were synced", early, r->s->names_synced);
    else if (!same)
        check_fail("names: as after none of operations %u to %u: %.100s ... %.100s",
                   r->s->names_synced, log->begun, first, why);
    r->lost_names += log->begun + 1 - at;
    atomic_store(&log->begun, 0);
    atomic_store(&log->answered, 0);
    log->stop = false;
    r->s->names_synced = 0;
}

static void look_at_blocks(struct run *r)
{
    if (!holds(read_file(r, "db", 0) == DB_BLOCKS * BLOCK))
        return;
    for (uint64_t b = 0; b < DB_BLOCKS; b++) {
        uint64_t v, written = r->s->db[b].written, synced = r->s->db[b].synced;
        memcpy(&v, bytes + b * BLOCK, sizeof v);
        crash_fill(b << 32 | v, 0, ought, BLOCK);
        memcpy(ought, &v, sizeof v);
        if (v < synced || v > written || memcmp(bytes + b * BLOCK, ought, BLOCK) != 0) {
            check_fail("block %llu: version %llx, was synced with %llu, written with %llu",
                       (unsigned long long)b, (unsigned long long)v, (unsigned long long)synced,
                       (unsigned long long)written);
            return;
        }
        r->lost_blocks += written - v;
        r->s->db[b].written = r->s->db[b].synced = v;
    }
}

static void look_at_documents(struct run *r)
{
    for (unsigned doc = 0; doc < DOCS; doc++) {
        uint64_t written = r->s->docs[doc].written, synced = r->s->docs[doc].synced, v = 0;
        ssize_t n = read_file(r, "doc", doc);
        if (n == -ENOENT && synced == 0) {
            r->s->docs[doc].written = 0;
            continue;
        }
        memcpy(&v, bytes, sizeof v);
        size_t size = doc_bytes(doc, v);
        crash_fill((uint64_t)doc << 32 | v, 0, ought, size);
        memcpy(ought, &v, sizeof v);
        if (n != (ssize_t)size || v < synced || v > written || memcmp(bytes, ought, size) != 0)
            check_fail("document %u: version %llx of %zd bytes, was synced as %llu, saved as %llu",
                       doc, (unsigned long long)v, n, (unsigned long long)synced,
                       (unsigned long long)written);
        r->lost_saves += written - v;
        r->s->docs[doc].written = r->s->docs[doc].synced = v;
    }
}

static void look_at_log(struct run *r)
{
    uint64_t written = r->s->log.written, synced = r->s->log.synced;
    ssize_t n = read_file(r, "log", r->round);
    if (n == -ENOENT && synced == 0)
        n = 0;
    bool well = n >= (ssize_t)synced && n <= (ssize_t)written;
    size_t end = well ? (size_t)n : 0, at = 0;
    static const uint8_t zeros[BLOCK];
    crash_fill(r->round, 0, ought, end);
    for (size_t to; at < end && well; at = to) {
        to = (at / BLOCK + 1) * BLOCK < end ? (at / BLOCK + 1) * BLOCK : end;
        if (at < synced && to > synced)
            to = (size_t)synced;
        size_t k = at; /* a block as it was at some moment: written so far, then zeros */
        while (k < to && bytes[k] == ought[k])
            k++;
        well = k == to || (at >= synced && memcmp(bytes + k, zeros, to - k) == 0);
    }
    if (!well)
        check_fail("log: wrong near byte %zu of %zd; %llu bytes were synced, %llu written", at, n,
                   (unsigned long long)synced, (unsigned long long)written);
    for (unsigned i = 0; i < r->s->created; i++) {
        size_t size = doc_bytes(i, i);
        crash_fill(i, r->round, ought, size);
        n = read_file(r, "new", r->round * 1000 + i);
        if (n != (ssize_t)size || memcmp(bytes, ought, size) != 0)
            check_fail("new file %u: %zd bytes of %zu, or others", i, n, size);
        unlink(path_in(r->f->folder, "new", r->round * 1000 + i));
    }
    unlink(path_in(r->f->folder, "log", r->round));
    r->s->created = 0;
    r->s->log.written = r->s->log.synced = 0;
}

/* ---- the course ---- */

static bool begin(struct run *r)
{
    r->names = crash_model_new();
    r->s = crash_shared(sizeof *r->s);
    struct crash_op op = {.kind = CRASH_MKDIR, .path = "names", .mode = 0755};
    if (!holds(r->s != NULL) || ok(mkdir(r->f->home, 0700)) < 0 ||
        !holds(crash_power_start(&r->power, r->f->home)) || !e2e_mount(r->f, NULL))
        return false;
    crash_model_apply(r->names, &op);
    if (!holds(crash_posix_apply(r->f->folder, &op) == 0))
        return false;
    for (uint64_t b = 0; b < DB_BLOCKS; b++) {
        crash_fill(b << 32, 0, bytes + b * BLOCK, BLOCK);
        memset(bytes + b * BLOCK, 0, sizeof(uint64_t));
    }
    int fd = open(path_in(r->f->folder, "db", 0), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    bool done = write(fd, bytes, (size_t)DB_BLOCKS * BLOCK) == DB_BLOCKS * BLOCK && fsync(fd) == 0;
    close(fd);
    return holds(done);
}

static void end_sync_process(struct run *r)
{
    char path[E2E_PATH_MAX + 32], text[32] = "";
    snprintf(path, sizeof path, "%s/run/sync.pid", r->f->home);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    pid_t pid = read(fd, text, sizeof text - 1) > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
    close(fd);
    if (pid > 1 && kill(pid, SIGKILL) == 0)
        e2e_wait_gone(pid, E2E_LONG_MS);
}

static bool cut_once(struct run *r)
{
    start_programs(r);
    usleep((useconds_t)(RUN_MS_MIN + crash_below(&r->rand, RUN_MS_MAX - RUN_MS_MIN)) * 1000);
    pid_t pid = e2e_mount_pid(r->f);
    bool killed = holds(pid > 0) && ok(kill(pid, SIGKILL)) == 0 && e2e_wait_gone(pid, E2E_LONG_MS);
    stop_programs(r);
    end_sync_process(r);
    umount2(r->f->folder, MNT_DETACH);
    uint64_t seed = crash_next(&r->rand);
    bool cut = false;
    for (int i = 0; i < 100 && killed && !cut; i++) {
        cut = crash_power_cut(&r->power, seed);
        if (!cut)
            usleep(20000);
    }
    if (!holds(cut) || !e2e_mount(r->f, NULL))
        return false;
    check_about("after cut %u", r->round);
    unsigned before = check_failures();
    look_at_names(r);
    look_at_blocks(r);
    look_at_documents(r);
    look_at_log(r);
    if (r->round % CHECK_EVERY == 0)
        e2e_ok(r->f, "persist check %s", r->f->folder);
    check_about_nothing();
    return check_failures() == before;
}

static void what_was_synced_survives_the_loss_of_power(struct e2e *f)
{
    struct run r = {.f = f, .rand = {crash_seed("powerloss")}};
    unsigned cuts = (unsigned)crash_env("PERSIST_TEST_ROUNDS", CUTS);
    if (begin(&r)) {
        while (r.round < cuts && cut_once(&r))
            r.round++;
        same(r.round, cuts);
        e2e_unmount(f);
        end_sync_process(&r);
        printf("%u cuts; they took %llu writes of blocks, %llu changes of names, %llu saves\n",
               r.round, (unsigned long long)r.lost_blocks, (unsigned long long)r.lost_names,
               (unsigned long long)r.lost_saves);
        holds(r.lost_blocks > 0 && r.lost_names > 0);
    }
    crash_power_stop(&r.power);
    crash_model_free(r.names);
}

int main(int argc, char **argv)
{
    static const struct e2e_test tests[] = {E2E_TEST(what_was_synced_survives_the_loss_of_power)};
    return e2e_main(argc, argv, E2E_FRESH, tests, ARRAY_N(tests));
}
