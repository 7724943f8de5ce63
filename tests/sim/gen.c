#include "tests/sim/gen.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t below(struct gen *g, uint64_t n)
{
    return crash_below(&g->r, n);
}

static bool chance(struct gen *g, unsigned percent)
{
    return crash_chance(&g->r, percent);
}

void gen_init(struct gen *g, const struct gen_options *options, uint64_t seed)
{
    static const enum sim_policy policies[] = {POLICY_KEEP,  POLICY_KEEP, POLICY_MERGE, POLICY_EXEC,
                                               POLICY_LATER, POLICY_TEXT, POLICY_TEXT};
    *g = (struct gen){.options = *options, .r = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1}};
    struct sim_setup *s = &g->setup;
    /* Mostly few devices: conflicts of three say as much as those of eight. */
    int most = options->devices_max;
    s->devices =
        chance(g, 70) && most > 3 ? 2 + (int)below(g, 2) : 2 + (int)below(g, (uint64_t)most - 1);
    s->server = options->plain ? (enum sim_server)below(g, 2) : (enum sim_server)below(g, 3);
    s->relay = s->server != SERVER_NONE && chance(g, 30);
    s->policy = policies[below(g, options->plain ? 4 : ARRAY_N(policies))];
    g->theme = chance(g, 40) ? 1 + (enum gen_theme)below(g, GEN_THEMES - 1) : GEN_ALL;
    g->restores = chance(g, 15);
    s->cleaning = (!g->restores || !options->plain) && chance(g, 35);
    g->aways = !options->plain && s->cleaning && chance(g, 40);
    s->together = chance(g, 50);
    s->checked = chance(g, options->checked);
    g->steps = 15 + (int)below(g, (uint64_t)options->steps_max - 14);
    g->clocks = chance(g, 60);
    g->crashes = !options->plain && chance(g, 40);
    g->busy = 40 + (unsigned)below(g, 35);
}

/* ---- what is there --------------------------------------------------------------------------- */

struct shown {
    char **path;
    size_t n;
};

static const char *any(struct gen *g, const struct shown *s)
{
    return s->n > 0 ? s->path[below(g, s->n)] : "/a";
}

static bool is_dir_at(struct sim *s, int i, const char *path)
{
    struct replica_entry e;
    return world_find(s->w, i, path, &e) == 0 && rid_is_dir(&e.rid);
}

static const char *some(struct gen *g, struct sim *s, int i, const struct shown *p, bool dir)
{
    const char *path = any(g, p);
    for (int k = 0; k < 8 && is_dir_at(s, i, path) != dir; k++)
        path = any(g, p);
    return path;
}

/* A path that is mostly not there, in a directory that is. */
static void fresh(struct gen *g, struct sim *s, int i, const struct shown *p,
                  char ret[SIM_LINE_MAX / 4])
{
    static const char *const names[] = {"a", "b", "f", "x", "n.txt"};
    unsigned deep = g->theme == GEN_FILES ? 0 : g->theme == GEN_FOLDERS ? 90 : 67;
    const char *up = chance(g, deep) ? some(g, s, i, p, true) : "";
    const char *name = names[below(g, g->theme == GEN_ALL ? ARRAY_N(names) : 3)];
    if (chance(g, 8)) /* a name that an entry has, perhaps one of a conflict */
        name = strrchr(any(g, p), '/') + 1;
    if (!is_dir_at(s, i, up) || strlen(up) > 200)
        up = "";
    snprintf(ret, SIM_LINE_MAX / 4, "%s/%s", up, name);
}

/* ---- programs at work ------------------------------------------------------------------------ */

static void later(struct gen *g, int i, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void later(struct gen *g, int i, const char *fmt, ...)
{
    if (g->queued[i] == GEN_QUEUE_MAX)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->queue[i][g->queued[i]++], SIM_LINE_MAX, fmt, ap);
    va_end(ap);
}

static int save(struct gen *g)
{
    return g->saves + 1 < SIM_SAVES_MAX - 2 * WORLD_MAX ? ++g->saves : 0;
}

static void saves(struct gen *g, int i, const char *p)
{
    switch (g->options.plain ? below(g, 4) : below(g, 7)) {
    case 0:
        later(g, i, "edit|%s|0", p); /* truncated, then written */
        later(g, i, "edit|%s|%d", p, save(g));
        break;
    case 1: /* a new file takes its place */
        later(g, i, "create|%s.tmp|%d", p, save(g));
        later(g, i, "mv|%s.tmp|%s", p, p);
        break;
    case 2: /* the old one is a backup first */
        later(g, i, "mv|%s|%s~", p, p);
        later(g, i, "create|%s|%d", p, save(g));
        if (chance(g, 60))
            later(g, i, "rm|%s~", p);
        break;
    case 4: /* a new file takes its place, known for what it is */
        later(g, i, "join");
        later(g, i, "create|%s.tmp|%d", p, save(g));
        later(g, i, "mv|%s.tmp|%s", p, p);
        later(g, i, chance(g, 80) ? "joined" : "dropped");
        break;
    case 5: /* the program had opened an older version */
        later(g, i, "stale|%s|%d|%d", p, save(g), (int)below(g, 4));
        break;
    default:
        later(g, i, "edit|%s|%d", p, save(g));
        break;
    }
}

/* A directory and all in it: what is deepest goes first. */
static void removes(struct gen *g, int i, const struct shown *p, const char *dir)
{
    size_t n = strlen(dir);
    for (size_t k = p->n; k-- > 0;)
        if (strncmp(p->path[k], dir, n) == 0 && p->path[k][n] == '/')
            later(g, i, "rm|%s", p->path[k]);
    later(g, i, "rm|%s", dir);
}

static void copies(struct gen *g, int i, const char *to)
{
    later(g, i, "mkdir|%s", to);
    later(g, i, "create|%s/f|%d", to, save(g));
    later(g, i, "mkdir|%s/b", to);
    later(g, i, "create|%s/b/x|%d", to, save(g));
}

enum work {
    MAKE,
    MAKE_DIR,
    COPY,
    SAVE,
    MOVE,
    MOVE_DIR,
    MOVE_OVER,
    REMOVE,
    REMOVE_DIR,
    LINK,
    SWAP,
    CHMOD,
};

enum { KINDS = 20 };

/* How often what is done. */
static const enum work kinds[GEN_THEMES][KINDS] = {
    [GEN_ALL] = {MAKE,   MAKE,   MAKE,       MAKE_DIR, COPY,     SAVE,     SAVE,
                 SAVE,   SAVE,   MOVE,       MOVE,     MOVE_DIR, MOVE_DIR, MOVE_OVER,
                 REMOVE, REMOVE, REMOVE_DIR, LINK,     SWAP,     CHMOD},
    [GEN_FOLDERS] = {MAKE,     MAKE_DIR, MAKE_DIR,   MAKE_DIR,   MAKE_DIR, SAVE,     MOVE,
                     MOVE_DIR, MOVE_DIR, MOVE_DIR,   MOVE_DIR,   MOVE_DIR, MOVE_DIR, MOVE_DIR,
                     MOVE_DIR, REMOVE,   REMOVE_DIR, REMOVE_DIR, SWAP,     SWAP},
    [GEN_FILES] = {MAKE, MAKE, MAKE, MAKE, MAKE,      SAVE,   SAVE,   SAVE,   SAVE,   SAVE,
                   SAVE, SAVE, MOVE, MOVE, MOVE_OVER, REMOVE, REMOVE, REMOVE, REMOVE, LINK},
};

static void works(struct gen *g, struct sim *s, int i)
{
    struct shown p;
    char to[SIM_LINE_MAX / 4];
    p.path = world_paths(s->w, i, &p.n);
    const char *file = some(g, s, i, &p, false), *dir = some(g, s, i, &p, true);
    fresh(g, s, i, &p, to);
    switch (kinds[g->theme][below(g, KINDS)]) {
    case MAKE:
        later(g, i, "create|%s|%d", to, save(g));
        break;
    case MAKE_DIR:
        later(g, i, "mkdir|%s", to);
        break;
    case COPY:
        copies(g, i, to);
        break;
    case SAVE:
        saves(g, i, file);
        break;
    case MOVE:
        later(g, i, "mv|%s|%s", file, to);
        break;
    case MOVE_DIR:
        later(g, i, "mv|%s|%s", dir, to);
        break;
    case MOVE_OVER:
        later(g, i, "mv|%s|%s", file, some(g, s, i, &p, false));
        break;
    case REMOVE:
        later(g, i, "rm|%s", file);
        break;
    case REMOVE_DIR:
        removes(g, i, &p, dir);
        break;
    case LINK:
        later(g, i, "ln|%s|%s", file, to);
        break;
    case SWAP:
        later(g, i, "swap|%s|%s", any(g, &p), any(g, &p));
        break;
    case CHMOD:
        later(g, i, "chmod|%s|%d", any(g, &p), 0600 + (int)below(g, 8));
        break;
    }
    world_paths_free(p.path, p.n);
}

/* ---- meeting --------------------------------------------------------------------------------- */

static bool may_meet(const struct gen *g, int a, int b)
{
    int server = g->setup.devices;
    return a != b && !g->apart[a][b] && (!g->setup.relay || a == server || b == server);
}

static void meets(struct gen *g, int n, char ret[SIM_LINE_MAX])
{
    int to = (int)below(g, (uint64_t)n), from = (int)below(g, (uint64_t)n);
    unsigned seed = chance(g, 30) ? 0 : 1 + (unsigned)below(g, 1000000);
    if (chance(g, 8))
        snprintf(ret, SIM_LINE_MAX, "%d cut", to);
    else if (chance(g, 30))
        snprintf(ret, SIM_LINE_MAX, "%d take", to);
    else if (!may_meet(g, to, from))
        ret[0] = '\0';
    else if (g->setup.cleaning && !g->options.plain && chance(g, 12))
        snprintf(ret, SIM_LINE_MAX, "%d acks|%d", to, from);
    else if (chance(g, 25))
        snprintf(ret, SIM_LINE_MAX, "%d open|%d|%u", to, from, seed);
    else
        snprintf(ret, SIM_LINE_MAX, "%d pull|%d|%u|%d", to, from, seed,
                 chance(g, 30) ? (int)below(g, 6) : -1);
}

static void parts(struct gen *g, int n)
{
    int a = (int)below(g, (uint64_t)n);
    bool apart = chance(g, 50);
    for (int b = 0; b < n; b++)
        if (chance(g, 70))
            g->apart[a][b] = g->apart[b][a] = apart;
}

/* ---- what happens to devices ----------------------------------------------------------------- */

static void happens(struct gen *g, struct sim *s, int i, char ret[SIM_LINE_MAX])
{
    static const long long ahead[] = {0,        -7200000,  7200000,    -300000, 300000,
                                      86400000, -86400000, 3155760000, 1000};
    ret[0] = '\0';
    switch (below(g, 6)) {
    case 0:
        if (g->clocks)
            snprintf(ret, SIM_LINE_MAX, "%d ahead|%lld", i, ahead[below(g, ARRAY_N(ahead))]);
        break;
    case 1:
    case 2:
        if (g->crashes)
            snprintf(ret, SIM_LINE_MAX, "%d crash|%s", i, chance(g, 50) ? "before" : "after");
        break;
    case 3:
        if (g->restores && s->copied < 0 && !s->restored)
            snprintf(ret, SIM_LINE_MAX, "%d copy", i);
        else if (g->restores && s->copied >= 0)
            snprintf(ret, SIM_LINE_MAX, "%d restore", s->copied);
        break;
    case 4:
        if (g->aways && chance(g, 30))
            snprintf(ret, SIM_LINE_MAX, "%d %s", i, s->away[i] ? "back" : "away");
        else if (g->setup.cleaning)
            snprintf(ret, SIM_LINE_MAX, "%d clean", i);
        break;
    default:
        snprintf(ret, SIM_LINE_MAX, "%d resolve", i);
        break;
    }
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void pop(struct gen *g, int i, char ret[SIM_LINE_MAX])
{
    snprintf(ret, SIM_LINE_MAX, "%d %.1400s", i, g->queue[i][0]);
    memmove(g->queue[i][0], g->queue[i][1], sizeof g->queue[i][0] * (size_t)(--g->queued[i]));
}

bool gen_next(struct gen *g, struct sim *s, char ret[SIM_LINE_MAX])
{
    char step[SIM_LINE_MAX] = "";
    if (g->steps-- <= 0)
        return false;
    while (step[0] == '\0') {
        int i = (int)below(g, (uint64_t)g->setup.devices);
        if (chance(g, 2))
            parts(g, sim_nodes(s));
        if (chance(g, 20)) {
            happens(g, s, i, step);
        } else if (chance(g, g->busy)) {
            if (g->queued[i] == 0)
                works(g, s, i);
            pop(g, i, step);
        } else {
            meets(g, sim_nodes(s), step);
        }
    }
    g->at += 1 + (long long)below(g, chance(g, 90) ? 5 : 4000);
    snprintf(ret, SIM_LINE_MAX, "%lld %.1400s", g->at, step);
    return true;
}
