#include "tests/sim/run.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/mirror.h"

enum {
    SCRIPT_MAX = 1 << 20,
    RUNS_OF_A_CHILD = 300,
    SCRIPTS_OF_A_CHILD = 2000,
    SECONDS_MAX = 60, /* of a run: one that does not end is a failure */
    TRIES_MAX = 3000, /* of a shorter script */
    CREW_MAX = 16,
};

/* What a child tells, also when it dies. */
struct shared {
    uint64_t seed, done;
    size_t n;
    char script[SCRIPT_MAX];
};

const char *run_dir(void)
{
    return SIM_DIR;
}

/* One for each place of a crew. */
static struct shared *share(size_t place)
{
    static struct shared *shared;
    if (shared == NULL) {
        shared = mmap(NULL, CREW_MAX * sizeof *shared, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert(shared != MAP_FAILED);
    }
    return &shared[place];
}

static void note(struct shared *sh, const char *line)
{
    size_t n = strlen(line);
    assert(sh->n + n + 2 < SCRIPT_MAX);
    memcpy(sh->script + sh->n, line, n);
    sh->n += n;
    sh->script[sh->n++] = '\n';
    sh->script[sh->n] = '\0';
}

/* ---- in the child ---------------------------------------------------------------------------- */

/* The rules as a program, if runs are to be compared with it. */
struct beside {
    struct model *model;
    struct mirror *mirror;
};

static struct beside start_beside(const struct run_options *o)
{
    struct beside b = {NULL, NULL};
    if (o->model || o->mirror)
        b.model = model_start(run_dir());
    if (o->mirror)
        b.mirror = mirror_new(b.model, o->every);
    return b;
}

static void end_beside(struct beside *b)
{
    mirror_free(b->mirror);
    model_stop(b->model);
}

static uint64_t run_one(const struct run_options *o, struct beside *b, uint64_t seed,
                        struct shared *sh)
{
    static struct gen g;
    char line[SIM_LINE_MAX];
    sh->n = 0;
    gen_init(&g, &o->gen, seed);
    sim_setup_write(&g.setup, line);
    note(sh, line);
    struct sim *s = sim_new(&g.setup, b->model, b->mirror);
    while (gen_next(&g, s, line)) {
        note(sh, line);
        (void)sim_step(s, line);
    }
    sim_finish(s);
    uint64_t hash = s->hash;
    sim_free(s);
    return hash;
}

static void replay(struct beside *b, const char *script)
{
    char *text = strdup(script), *save = NULL;
    struct sim_setup setup;
    assert(text != NULL);
    char *line = strtok_r(text, "\n", &save);
    while (line != NULL && line[0] == '#')
        line = strtok_r(NULL, "\n", &save);
    SIM_NEED(line != NULL && sim_setup_read(line, &setup), "not a setup line: %s",
             line != NULL ? line : "");
    struct sim *s = sim_new(&setup, b->model, b->mirror);
    while ((line = strtok_r(NULL, "\n", &save)) != NULL)
        (void)sim_step(s, line);
    sim_finish(s);
    sim_free(s);
    free(text);
}

static void child_of_seeds(const struct run_options *o, struct shared *sh, uint64_t first,
                           uint64_t n)
{
    struct beside b = start_beside(o);
    for (sh->seed = first; sh->seed < first + n; sh->seed++) {
        alarm(SECONDS_MAX);
        uint64_t hash = run_one(o, &b, sh->seed, sh);
        if (o->twice && run_one(o, &b, sh->seed, sh) != hash)
            sim_fail("the same seed gives another run");
        sh->done++;
    }
    end_beside(&b);
}

static void child_of_scripts(const struct run_options *o, struct shared *sh, struct bytes batch)
{
    struct beside b = start_beside(o);
    struct reader in = reader_of(batch);
    while (in.n > 0) {
        struct bytes script = reader_string(&in, SCRIPT_MAX);
        alarm(SECONDS_MAX);
        sh->n = 0;
        sh->done++;
        memcpy(sh->script, script.p, script.n);
        replay(&b, sh->script);
    }
    end_beside(&b);
}

static void child_of_script(const struct run_options *o, const char *script)
{
    struct beside b = start_beside(o);
    alarm(SECONDS_MAX / 4);
    replay(&b, script);
    end_beside(&b);
}

/* ---- in the parent --------------------------------------------------------------------------- */

static bool wait_well(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            abort();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static pid_t fork_quiet(bool quiet)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0 && quiet) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
    }
    return pid;
}

static bool replays_well(const struct run_options *o, const char *script, bool quiet)
{
    pid_t pid = fork_quiet(quiet);
    if (pid == 0) {
        child_of_script(o, script);
        _exit(0);
    }
    return wait_well(pid);
}

struct lines {
    char **v;
    size_t n;
};

static struct buf joined(const struct lines *l, size_t from, size_t to)
{
    struct buf b = {0};
    for (size_t i = 0; i < l->n; i++) {
        if (i >= from && i < to)
            continue;
        buf_put(&b, l->v[i], strlen(l->v[i]));
        buf_put(&b, "\n", 1);
    }
    buf_put_u8(&b, 0);
    assert(buf_status(&b) == 0);
    return b;
}

/* Takes lines out, many at a time and then fewer, as long as the run still fails. */
static void shrink(const struct run_options *o, struct lines *l)
{
    int tries = 0;
    for (size_t step = (l->n - 1) / 2; step > 0; step = step > 1 ? (step + 1) / 2 : 0) {
        bool again = true;
        while (again) {
            again = false;
            for (size_t at = 1; at < l->n && tries < TRIES_MAX;) {
                size_t to = at + step < l->n ? at + step : l->n;
                struct buf b = joined(l, at, to);
                tries++;
                if (replays_well(o, (char *)b.p, true)) {
                    at = to;
                } else {
                    memmove(&l->v[at], &l->v[to], (l->n - to) * sizeof l->v[0]);
                    l->n -= to - at;
                    again = step == 1;
                }
                buf_fini(&b);
            }
        }
    }
}

static void report(const struct run_options *o, const char *script)
{
    const char *env = getenv("PERSIST_SHRINK");
    struct lines l = {NULL, 0};
    char *text = strdup(script), *save = NULL;
    assert(text != NULL);
    for (char *t = strtok_r(text, "\n", &save); t != NULL; t = strtok_r(NULL, "\n", &save)) {
        l.v = reallocarray(l.v, l.n + 1, sizeof l.v[0]);
        assert(l.v != NULL);
        l.v[l.n++] = t;
    }
    if (env != NULL && strcmp(env, "0") == 0)
        return;
    fprintf(stderr, "%zu lines; making it shorter\n", l.n);
    if (l.n > 1 && !replays_well(o, script, true))
        shrink(o, &l);
    struct buf b = joined(&l, 0, 0);
    fprintf(stderr, "---- script of %zu lines, and what it gives\n%s----\n", l.n, (char *)b.p);
    (void)replays_well(o, (char *)b.p, false);
    buf_fini(&b);
    free(l.v);
    free(text);
}

/* ---- many at once ------------------------------------------------------------------------------
 */

/*
 * Children at work, one for each processor. They are waited for in the order in which they began,
 * so that of several failures the first is told.
 */
struct crew {
    struct {
        pid_t pid;
        uint64_t first; /* of what it was given */
    } v[CREW_MAX];
    size_t began, ended;
};

static bool has_room(const struct crew *w)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return w->began - w->ended < (n < 1 ? 1 : n > CREW_MAX ? CREW_MAX : (size_t)n);
}

/* Like fork(): in the child, what it shares with the parent; in the parent NULL. */
static struct shared *begin_child(struct crew *w, uint64_t first)
{
    size_t place = w->began++ % CREW_MAX;
    struct shared *sh = share(place);
    sh->seed = sh->done = 0;
    w->v[place].first = first;
    w->v[place].pid = fork_quiet(false);
    return w->v[place].pid == 0 ? sh : NULL;
}

/* Whether all is well with the child that began first; else the others end, and @ret_sh is what it
 * shared, @ret_first what it was given. */
static bool end_child(struct crew *w, struct shared **ret_sh, uint64_t *ret_first)
{
    size_t place = w->ended++ % CREW_MAX;
    *ret_sh = share(place);
    *ret_first = w->v[place].first;
    if (wait_well(w->v[place].pid))
        return true;
    for (; w->ended < w->began; w->ended++) {
        kill(w->v[w->ended % CREW_MAX].pid, SIGKILL);
        (void)wait_well(w->v[w->ended % CREW_MAX].pid);
    }
    return false;
}

bool run_seeds(const struct run_options *o, uint64_t first, uint64_t n)
{
    struct crew w = {.began = 0};
    struct shared *sh;
    for (uint64_t seed = first, at; seed < first + n || w.ended < w.began;) {
        uint64_t left = first + n - seed, some = left < RUNS_OF_A_CHILD ? left : RUNS_OF_A_CHILD;
        if (some > 0 && has_room(&w)) {
            if ((sh = begin_child(&w, seed)) != NULL) {
                child_of_seeds(o, sh, seed, some);
                _exit(0);
            }
            seed += some;
        } else if (!end_child(&w, &sh, &at)) {
            fprintf(stderr,
                    "the run of seed %llu fails, number %llu: ", (unsigned long long)sh->seed,
                    (unsigned long long)(sh->seed - first + 1));
            report(o, sh->script);
            return false;
        }
    }
    return true;
}

bool run_script(const struct run_options *o, const char *script)
{
    return replays_well(o, script, false);
}

/* The next scripts of a child, of which one in TEST_SHARE is run: how many. */
static uint64_t next_batch(run_next_fn next, void *ctx, uint64_t *made, struct buf *ret)
{
    struct buf one CLEANUP(buf_fini) = {0};
    uint64_t n = 0;
    while (n < SCRIPTS_OF_A_CHILD && next(ctx, &one)) {
        if ((*made)++ % TEST_SHARE != 0)
            continue;
        buf_put_u8(&one, 0);
        buf_put_string(ret, buf_bytes(&one));
        n++;
    }
    assert(buf_status(ret) == 0);
    return n;
}

bool run_scripts(const struct run_options *o, run_next_fn next, void *ctx, uint64_t *ret_n)
{
    struct crew w = {.began = 0};
    struct shared *sh;
    uint64_t made = 0, at;
    *ret_n = 0;
    for (bool more = true; more || w.ended < w.began;) {
        if (more && has_room(&w)) {
            struct buf batch CLEANUP(buf_fini) = {0};
            uint64_t n = next_batch(next, ctx, &made, &batch);
            more = n == SCRIPTS_OF_A_CHILD;
            if (n > 0 && (sh = begin_child(&w, *ret_n)) != NULL) {
                child_of_scripts(o, sh, buf_bytes(&batch));
                _exit(0);
            }
            *ret_n += n;
        } else if (!end_child(&w, &sh, &at)) {
            fprintf(stderr, "case %llu fails: ", (unsigned long long)(at + sh->done));
            report(o, sh->script);
            return false;
        }
    }
    return true;
}

/* ---- kept scripts ---------------------------------------------------------------------------- */

static bool is_script(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".txt") == 0;
}

static void read_file(const char *dir, const char *name, struct buf *ret)
{
    char *path = NULL, text[4096];
    size_t n;
    int len = asprintf(&path, "%s/%s", dir, name);
    FILE *f = len > 0 ? fopen(path, "r") : NULL;
    assert(f != NULL);
    while ((n = fread(text, 1, sizeof text, f)) > 0)
        buf_put(ret, text, n);
    buf_put_u8(ret, 0);
    fclose(f);
    free(path);
}

bool run_kept_scripts(const struct run_options *o)
{
    char dir[4096];
    bool well = true;
    snprintf(dir, sizeof dir, "%s/scripts", run_dir());
    struct dirent **names;
    int n = scandir(dir, &names, NULL, alphasort);
    assert(n >= 0);
    for (int i = 0; i < n; i++) {
        struct buf script = {0};
        if (is_script(names[i]->d_name)) {
            read_file(dir, names[i]->d_name, &script);
            if (!run_script(o, (char *)script.p)) {
                fprintf(stderr, "%s fails\n", names[i]->d_name);
                well = false;
            }
        }
        buf_fini(&script);
        free(names[i]);
    }
    free(names);
    return well;
}
