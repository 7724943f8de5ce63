#include "tests/sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/compare.h"
#include "tests/sim/derived.h"
#include "tests/sim/ghost.h"
#include "tests/sim/merge.h"
#include "tests/sim/mirror.h"
#include "tests/sim/model.h"
#include "tests/sim/session.h"

/* How often a device is looked at in the middle of things, in steps. */
enum { DERIVED_EVERY = 20 };

static const uint64_t start_ms = UINT64_C(1795356245000); /* 2026-11-22 14:04:05 */

/* ---- setup ----------------------------------------------------------------------------------- */

static const char *const servers[] = {"none", "replica", "log"};
static const char *const policies[] = {"keep", "merge", "exec", "later", "text"};

static int word(const char *w, const char *const *of, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(w, of[i]) == 0)
            return i;
    return -1;
}

bool sim_setup_read(const char *line, struct sim_setup *ret)
{
    char server[16], policy[16];
    int devices, relay, cleaning, together, checked;
    if (sscanf(line,
               "setup devices %d server %15s policy %15s relay %d cleaning %d together %d "
               "checked %d",
               &devices, server, policy, &relay, &cleaning, &together, &checked) != 7)
        return false;
    int s = word(server, servers, ARRAY_N(servers)), p = word(policy, policies, ARRAY_N(policies));
    *ret = (struct sim_setup){devices,       (enum sim_server)s, (enum sim_policy)p, relay != 0,
                              cleaning != 0, together != 0,      checked != 0};
    return s >= 0 && p >= 0 && (s > 0 || relay == 0) && devices >= 1 && devices <= SIM_DEVICES_MAX;
}

void sim_setup_write(const struct sim_setup *s, char ret[SIM_LINE_MAX])
{
    snprintf(ret, SIM_LINE_MAX,
             "setup devices %d server %s policy %s relay %d cleaning %d together %d checked %d",
             s->devices, servers[s->server], policies[s->policy], s->relay, s->cleaning,
             s->together, s->checked);
}

int sim_nodes(const struct sim *s)
{
    return s->setup.devices + (s->setup.server != SERVER_NONE);
}

struct sim *sim_new(const struct sim_setup *setup, struct model *model, struct mirror *mirror)
{
    struct sim *s = calloc(1, sizeof *s);
    assert(s != NULL);
    s->setup = *setup;
    s->spare = setup->devices + (setup->server == SERVER_REPLICA);
    s->w = world_new(s->spare + 1);
    s->w->now_ms = start_ms;
    s->w->unchecked = !setup->checked;
    s->copied = -1;
    s->hash = UINT64_C(0xcbf29ce484222325);
    s->model = model;
    s->mirror = mirror;
    if (model != NULL)
        model_keys(model, replica_keys(s->w->d[0].r));
    mirror_begin(mirror, setup->devices, setup->server == SERVER_REPLICA);
    return s;
}

void sim_free(struct sim *s)
{
    for (int i = 0; i < WORLD_MAX; i++)
        session_end(&s->in[i]);
    for (int i = 0; i < WORLD_MAX; i++)
        for (int m = 0; m < SIM_DEVICES_MAX; m++)
            vv_fini(&s->acks[i][m]);
    ghost_fini(s);
    session_log_fini(s);
    buf_fini(&s->copy);
    world_free(s->w);
    free(s);
}

void sim_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "violated: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    abort();
}

/* ---- what users do --------------------------------------------------------------------------- */

void sim_save_text(int save, char ret[16])
{
    ret[0] = 0;
    if (save != 0)
        snprintf(ret, 16, "s%04d", save);
}

bool sim_text(struct sim *s, int i, const char *path, char ret[SIM_LINE_MAX])
{
    struct replica_entry e;
    struct replica_info info;
    struct buf body = {0};
    struct replica *r = s->w->d[i].r;
    if (world_find(s->w, i, path, &e) < 0 || replica_stat(r, &e.rid, &info) < 0 ||
        dot_is_none(&info.content.dot) ||
        replica_version_get(r, &e.rid, &info.content.dot, &body) < 0 || body.n >= SIM_LINE_MAX)
        return false;
    if (body.n > 0)
        memcpy(ret, body.p, body.n);
    ret[body.n] = '\0';
    buf_fini(&body);
    return true;
}

/* What a user sees at a path before an operation that may take it away. */
struct before {
    bool there;
    struct rid rid;
    char text[SIM_LINE_MAX];
};

static void look(struct sim *s, int i, const char *path, struct before *ret)
{
    struct replica_entry e;
    ret->there = world_find(s->w, i, path, &e) == 0 && !rid_is_root(&e.rid);
    ret->rid = e.rid;
    if (!sim_text(s, i, path, ret->text))
        ret->text[0] = '\0';
}

/* If the record has no name any more, whoever took the last one away saw the content. */
static void gone(struct sim *s, int i, const struct before *b)
{
    struct replica_info info;
    if (b->there && replica_stat(s->w->d[i].r, &b->rid, &info) == 0 && !info.shown)
        ghost_knew(s, i, b->text);
}

static void need_absent(struct sim *s, int i, const char *path)
{
    struct replica_entry e;
    SIM_NEED(world_find(s->w, i, path, &e) == -ENOENT, "device %d: %s is still there", i, path);
}

static void need_there(struct sim *s, int i, const char *path, const struct rid *rid)
{
    struct replica_entry e;
    SIM_NEED(world_find(s->w, i, path, &e) == 0 && rid_equal(&e.rid, rid),
             "device %d: what was moved to %s is not there", i, path);
}

static int do_rm(struct sim *s, int i, const char *path)
{
    struct before b;
    look(s, i, path, &b);
    int rc = b.there ? world_rm(s->w, i, path) : -ENOENT;
    if (rc < 0)
        return rc;
    gone(s, i, &b);
    need_absent(s, i, path);
    return 0;
}

static int do_mv(struct sim *s, int i, const char *from, const char *to)
{
    struct before a, b;
    look(s, i, from, &a);
    look(s, i, to, &b);
    int rc = a.there ? world_mv(s->w, i, from, to) : -ENOENT;
    if (rc < 0 || strcmp(from, to) == 0)
        return rc;
    gone(s, i, &b);
    need_absent(s, i, from);
    need_there(s, i, to, &a.rid);
    return 0;
}

static int do_swap(struct sim *s, int i, const char *x, const char *y)
{
    struct before a, b;
    look(s, i, x, &a);
    look(s, i, y, &b);
    int rc = world_swap(s->w, i, x, y);
    if (rc < 0)
        return rc;
    need_there(s, i, x, &b.rid);
    need_there(s, i, y, &a.rid);
    return 0;
}

static int made(struct sim *s, int i, int save, int rc)
{
    if (rc == 0)
        ghost_made(s, i, save);
    return rc;
}

/* What a save makes of the content @old. */
static void edited(const struct sim *s, const char *old, int save, char ret[SIM_LINE_MAX])
{
    if (s->setup.policy == POLICY_TEXT)
        sim_edit_text(old, save, ret);
    else
        sim_save_text(save, ret);
}

static int do_create(struct sim *s, int i, const char *path, int save)
{
    char text[SIM_LINE_MAX];
    edited(s, "", save, text);
    return made(s, i, save, world_create(s->w, i, path, text));
}

static int do_edit(struct sim *s, int i, const char *path, int save)
{
    char text[SIM_LINE_MAX];
    struct before b;
    look(s, i, path, &b);
    edited(s, b.text, save, text);
    int rc = world_edit(s->w, i, path, text);
    if (rc == 0)
        ghost_replaced(s, i, b.text, text);
    return made(s, i, save, rc);
}

struct old_version {
    int left;
    struct dot dot;
};

static int pick_version(void *ctx, const struct history_version *v)
{
    struct old_version *o = ctx;
    o->dot = v->content.dot;
    return o->left-- == 0;
}

/* A save of a program that had opened an older version: only that one was seen by its user. */
static int do_stale(struct sim *s, int i, const char *path, int save, int version)
{
    struct replica_entry e;
    struct old_version old = {.left = version};
    struct buf body = {0};
    struct replica *r = s->w->d[i].r;
    char text[SIM_LINE_MAX];
    int rc = s->w->d[i].joined != NULL ? -EBUSY : world_find(s->w, i, path, &e);
    if (rc == 0)
        rc = replica_versions(r, &e.rid, pick_version, &old);
    if (rc < 0 || dot_is_none(&old.dot) || replica_version_get(r, &e.rid, &old.dot, &body) < 0)
        return rc < 0 ? rc : -ENOENT;
    buf_put_u8(&body, 0);
    edited(s, (const char *)body.p, save, text);
    rc = world_edit_from(s->w, i, path, text, &old.dot);
    if (rc == 0)
        ghost_replaced(s, i, (const char *)body.p, text);
    buf_fini(&body);
    return made(s, i, save, rc);
}

static int do_join(struct sim *s, int i)
{
    if (s->w->d[i].joined != NULL)
        return -EBUSY;
    world_join(s->w, i);
    return 0;
}

static int do_joined(struct sim *s, int i)
{
    if (s->w->d[i].joined == NULL)
        return -ENOENT;
    int rc = world_joined(s->w, i);
    ghost_joined(s, i, rc == 0);
    return rc;
}

static int do_dropped(struct sim *s, int i)
{
    if (s->w->d[i].joined == NULL)
        return -ENOENT;
    world_dropped(s->w, i);
    ghost_joined(s, i, false);
    return 0;
}

static int user(struct sim *s, int i, const char *op, char *const *arg)
{
    int number = arg[1] != NULL ? atoi(arg[1]) : 0;
    bool saves = strcmp(op, "create") == 0 || strcmp(op, "edit") == 0 || strcmp(op, "stale") == 0;
    if (arg[0] == NULL || arg[0][0] != '/' || (saves && (number < 0 || number >= SIM_SAVES_MAX)))
        return -EINVAL;
    if (strcmp(op, "mkdir") == 0)
        return world_mkdir(s->w, i, arg[0]);
    if (strcmp(op, "create") == 0)
        return do_create(s, i, arg[0], number);
    if (strcmp(op, "edit") == 0)
        return do_edit(s, i, arg[0], number);
    if (strcmp(op, "stale") == 0)
        return do_stale(s, i, arg[0], number, arg[2] != NULL ? atoi(arg[2]) : 0);
    if (strcmp(op, "chmod") == 0)
        return world_chmod(s->w, i, arg[0], (uint32_t)number & 0777);
    if (strcmp(op, "rm") == 0)
        return do_rm(s, i, arg[0]);
    if (arg[1] == NULL || arg[1][0] != '/')
        return -EINVAL;
    if (strcmp(op, "mv") == 0)
        return do_mv(s, i, arg[0], arg[1]);
    if (strcmp(op, "ln") == 0)
        return world_ln(s->w, i, arg[0], arg[1]);
    if (strcmp(op, "swap") == 0)
        return do_swap(s, i, arg[0], arg[1]);
    return -EINVAL;
}

/* ---- what replicas do ------------------------------------------------------------------------ */

struct dot_list {
    struct dot v[LIMIT_FACET_VALUES];
    int n;
};

static int add_dot(void *ctx, const struct replica_content *c)
{
    struct dot_list *l = ctx;
    assert(l->n < LIMIT_FACET_VALUES);
    l->v[l->n++] = c->dot;
    return 0;
}

static int cmp_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The merge of all that is in conflict: the union of the saves, as one text in order. */
static void merge(struct sim *s, int i, const struct rid *rid, char ret[SIM_LINE_MAX])
{
    struct dot_list in = {.n = 0};
    struct replica *r = s->w->d[i].r;
    struct buf all = {0}, body = {0};
    char *words[SIM_SAVES_MAX], *save = NULL, mark[32];
    size_t n = 0;
    int rc = replica_contents(r, rid, add_dot, &in);
    for (int k = 0; rc == 0 && k < in.n; k++) {
        rc = replica_version_get(r, rid, &in.v[k], &body);
        buf_put_bytes(&all, buf_bytes(&body));
        buf_put_u8(&all, ' ');
    }
    assert(rc == 0);
    if (s->setup.policy == POLICY_EXEC) {
        uint64_t id = s->w->d[i].id; /* a device that was restored has another one */
        snprintf(mark, sizeof mark, "x%llu.%llu", (unsigned long long)id - 1,
                 (unsigned long long)vv_get(replica_knowledge(r), id));
        buf_put(&all, mark, strlen(mark));
    }
    buf_put_u8(&all, 0);
    for (char *t = strtok_r((char *)all.p, " ", &save); t != NULL; t = strtok_r(NULL, " ", &save)) {
        assert(n < SIM_SAVES_MAX);
        words[n++] = t;
    }
    qsort(words, n, sizeof words[0], cmp_words);
    ret[0] = '\0';
    for (size_t k = 0; k < n; k++) {
        if (k > 0 && strcmp(words[k], words[k - 1]) == 0)
            continue;
        SIM_NEED(strlen(ret) + strlen(words[k]) + 2 < SIM_LINE_MAX, "a merge of too many saves");
        strcat(ret, ret[0] != '\0' ? " " : "");
        strcat(ret, words[k]);
    }
    buf_fini(&all);
    buf_fini(&body);
}

struct resolver {
    struct sim *s;
    int i;
};

static int resolve_by_policy(void *ctx, const struct rid *rid)
{
    static const enum resolve how[] = {RESOLVE_KEEP_BOTH, RESOLVE_MERGED, RESOLVE_MERGED,
                                       RESOLVE_LATER};
    const struct resolver *r = ctx;
    struct sim *s = r->s;
    struct sim_merged m = {.n = 0};
    int rc = 0;
    if (s->setup.policy == POLICY_TEXT)
        rc = sim_merge(s, r->i, rid, s->at_end, &m);
    else
        m.how = how[s->setup.policy];
    if (rc < 0)
        return rc;
    if (s->setup.policy == POLICY_MERGE || s->setup.policy == POLICY_EXEC)
        merge(s, r->i, rid, m.text);
    struct mirror_op op = mirror_before(s->mirror, s->w, r->i);
    rc = world_resolve_one(s->w, r->i, rid, m.how, m.text, m.beside, m.n);
    ghost_capture(s, r->i);
    mirror_resolve(s->mirror, s->w, r->i, &op, rid, policies[s->setup.policy]);
    return rc;
}

int sim_resolve(struct sim *s, int i)
{
    if (s->w->d[i].joined != NULL)
        return -EBUSY;
    return world_each_conflict(s->w, i, resolve_by_policy, &(struct resolver){s, i});
}

int sim_clean(struct sim *s, int i)
{
    struct device *d = &s->w->d[i];
    struct replica_ack acks[SIM_DEVICES_MAX];
    size_t n = 0;
    if (d->joined != NULL)
        return -EBUSY;
    for (int m = 0; m < s->setup.devices; m++)
        if (m != i && !s->away[m])
            acks[n++] = (struct replica_ack){s->w->d[m].id, &s->acks[i][m]};
    int rc = replica_raise_floor(d->r, d->batch, acks, n);
    if (rc == 0)
        rc = replica_clean(d->r, d->batch, 1000);
    SIM_NEED(rc >= 0, "clean-up: %s", strerror(-rc));
    rc = world_write(s->w, i);
    if (rc == 0)
        mirror_clean(s->mirror, s->w, i);
    return rc;
}

/* The last own change of the copied disk that another device is sure to have. */
static uint64_t confirmed(struct sim *s, int i)
{
    uint64_t id = s->w->d[i].id, most = 0, own = vv_get(replica_knowledge(s->w->d[i].r), id);
    for (int k = 0; k < s->setup.devices + (s->setup.server == SERVER_REPLICA); k++)
        if (k != i)
            most = max_u64(most, vv_get(replica_knowledge(s->w->d[k].r), id));
    most = max_u64(most, vv_get(&s->log_known, id));
    return most < own ? most : own;
}

/* Others have what was signed after the copy was made: they show its head hashes. */
static int hear_heads(struct sim *s, int i, uint64_t old, uint64_t last)
{
    struct device *d = &s->w->d[i];
    int rc = 0;
    for (struct dot dot = {old, 1}; dot.counter <= last && rc == 0; dot.counter++) {
        const uint8_t *head = world_head(s->w, &dot);
        if (head == NULL)
            continue;
        struct replica_head h = {.dot = dot};
        memcpy(h.hash, head, HASH_SIZE);
        rc = replica_signed(d->r, d->batch, &h, 1);
    }
    return rc < 0 ? rc : world_write(s->w, i);
}

static int do_restore(struct sim *s, int i)
{
    struct device *d = &s->w->d[i];
    if (s->copied != i)
        return -ENOENT;
    if (sim_giver(s, i) < 0)
        return -EBUSY;
    s->copied = -1;
    s->restored = true;
    session_end(&s->in[i]);
    /* The model of model.py compares nothing, so nothing is cleaned up any more. */
    s->setup.cleaning = s->setup.cleaning && s->mirror == NULL;
    s->went_back[i] = s->mirror == NULL;
    for (int k = 0; k < SIM_SAVES_MAX; k++)
        s->lost[k] = s->save[k].made && !s->at_copy[k].made && s->save[k].device == i;
    world_restore(s->w, i, buf_bytes(&s->copy));
    uint64_t last = confirmed(s, i), id = (uint64_t)s->spare + 2, old = d->id;
    int rc = replica_renew(d->r, d->batch, id, last);
    SIM_NEED(rc == 0, "a new replica id: %s", strerror(-rc));
    d->crash = CRASH_NOT;
    d->id = id;
    rc = world_write(s->w, i);
    if (rc == 0)
        rc = hear_heads(s, i, old, last);
    assert(rc == 0);
    mirror_restore(s->mirror, s->w, i, id, last);
    return 0;
}

static int do_copy(struct sim *s, int i)
{
    if (s->copied >= 0 || s->restored || s->w->d[i].joined != NULL ||
        (s->setup.cleaning && s->mirror != NULL))
        return -EBUSY;
    world_copy(s->w, i, &s->copy);
    memcpy(s->at_copy, s->save, sizeof s->save);
    s->copied = i;
    mirror_copy(s->mirror, i);
    return 0;
}

/* One is there, or nobody could be compared with. */
static int do_away(struct sim *s, int i, bool away)
{
    if (away && (sim_giver(s, i) < 0 || s->mirror != NULL))
        return -EBUSY;
    s->away[i] = away;
    session_end(&s->in[i]);
    return 0;
}

static int own(struct sim *s, int i, const char *op, char *const *arg)
{
    struct device *d = &s->w->d[i];
    if (strcmp(op, "resolve") == 0)
        return sim_resolve(s, i);
    if (strcmp(op, "clean") == 0)
        return s->setup.cleaning ? sim_clean(s, i) : -EINVAL;
    if (strcmp(op, "crash") == 0) {
        d->crash = arg[0] != NULL && strcmp(arg[0], "after") == 0 ? CRASH_AFTER : CRASH_BEFORE;
        return 0;
    }
    if (strcmp(op, "ahead") == 0) {
        d->ahead_ms = arg[0] != NULL ? atoll(arg[0]) : 0;
        return 0;
    }
    if (strcmp(op, "copy") == 0)
        return do_copy(s, i);
    if (strcmp(op, "restore") == 0)
        return do_restore(s, i);
    if (strcmp(op, "away") == 0)
        return do_away(s, i, true);
    if (strcmp(op, "back") == 0)
        return do_away(s, i, false);
    return -ENOSYS;
}

static int exchange(struct sim *s, int to, const char *op, char *const *arg)
{
    struct sim_session *in = &s->in[to];
    int from = arg[0] != NULL ? atoi(arg[0]) : -1;
    uint64_t seed = arg[0] != NULL && arg[1] != NULL ? strtoull(arg[1], NULL, 10) : 0;
    bool names = strcmp(op, "pull") == 0 || strcmp(op, "open") == 0 || strcmp(op, "acks") == 0;
    if (names && (from < 0 || from >= sim_nodes(s) || from == to))
        return -EINVAL;
    if (strcmp(op, "pull") == 0) {
        struct sim_session one = {0};
        int cut = arg[1] != NULL && arg[2] != NULL ? atoi(arg[2]) : -1;
        int rc = session_open(s, &one, to, from, seed);
        while (rc == 0 && one.open && cut-- != 0)
            rc = session_take(s, &one, to);
        session_end(&one);
        return rc;
    }
    if (strcmp(op, "open") == 0) {
        session_end(in);
        return session_open(s, in, to, from, seed);
    }
    if (strcmp(op, "acks") == 0)
        return session_acks(s, to, from);
    if (strcmp(op, "take") == 0)
        return in->open ? session_take(s, in, to) : -ENOENT;
    if (strcmp(op, "cut") == 0) {
        session_end(in);
        return 0;
    }
    return -ENOSYS;
}

/* ---- a step ---------------------------------------------------------------------------------- */

void sim_fold(struct sim *s, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ b[i]) * UINT64_C(0x100000001b3);
}

static int device_step(struct sim *s, int i, const char *op, char *const *arg)
{
    if (strcmp(op, "join") == 0)
        return do_join(s, i);
    if (strcmp(op, "joined") == 0)
        return do_joined(s, i);
    if (strcmp(op, "dropped") == 0)
        return do_dropped(s, i);
    int rc = own(s, i, op, arg);
    if (rc != -ENOSYS)
        return rc;
    struct mirror_op m = mirror_before(s->mirror, s->w, i);
    rc = user(s, i, op, arg);
    mirror_user(s->mirror, s->w, i, &m, op, arg);
    return rc;
}

int sim_step(struct sim *s, const char *line)
{
    char text[SIM_LINE_MAX], *arg[4] = {NULL}, *save = NULL, *op;
    long long at;
    int i, end = 0, rc;
    if (strlen(line) >= sizeof text || sscanf(line, "%lld %d %n", &at, &i, &end) != 2 || end == 0 ||
        i < 0 || i >= sim_nodes(s))
        return -EINVAL;
    strcpy(text, line + end);
    op = strtok_r(text, "|", &save);
    for (size_t k = 0; op != NULL && k < ARRAY_N(arg); k++)
        arg[k] = strtok_r(NULL, "|", &save);
    s->w->now_ms = max_u64(s->w->now_ms, start_ms + (uint64_t)at * 1000);
    s->steps++;
    rc = op == NULL ? -EINVAL : exchange(s, i, op, arg);
    if (rc == -ENOSYS && i < s->setup.devices) {
        rc = device_step(s, i, op, arg);
        ghost_capture(s, i);
        if (s->steps % 4 == 0)
            world_sign(s->w, i);
    }
    uint64_t crashes = s->w->crashes;
    sim_fold(s, line, strlen(line));
    sim_fold(s, &rc, sizeof rc);
    sim_fold(s, &crashes, sizeof crashes);
    if (i < s->setup.devices && s->steps % DERIVED_EVERY == 0)
        derived_held(s, i);
    return rc;
}
