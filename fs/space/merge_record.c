#include <errno.h>

#include "fs/space/fold.h"
#include "fs/space/merger.h"

/* An open conflict, as it was when it was looked at. */
struct conflict {
    struct rid rid;
    struct policy_found policy;
    struct buf contents; /* of struct replica_content, the shown one first */
};

static void conflict_fini(struct conflict *c)
{
    policies_fini(&c->policy);
    buf_fini(&c->contents);
}

static size_t contents_n(const struct conflict *c)
{
    return c->contents.n / sizeof(struct replica_content);
}

static struct replica_content content_at(const struct conflict *c, size_t i)
{
    struct replica_content v;
    memcpy(&v, c->contents.p + i * sizeof v, sizeof v);
    return v;
}

static int add_content(void *ctx, const struct replica_content *v)
{
    struct buf *b = ctx;
    buf_put(b, v, sizeof *v);
    return buf_status(b);
}

/* Whether all of it has come: else a sibling that would be made may exist already. */
static bool all_known(struct space *s, const struct conflict *c)
{
    const struct vv *known = replica_knowledge(s->replica);
    for (size_t i = 0; i < contents_n(c); i++) {
        struct replica_content v = content_at(c, i);
        if (!vv_has(known, &v.dot) && v.dot.replica != replica_id(s->replica))
            return false;
    }
    return true;
}

/* 0: there is one to be ended. -EAGAIN: not now. -EALREADY: there is none. */
static int look(struct space *s, struct conflict *c)
{
    pthread_mutex_lock(&s->lock);
    int rc = replica_contents(s->replica, &c->rid, add_content, &c->contents);
    if (rc == 0 && contents_n(c) < 2)
        rc = -EALREADY;
    if (rc == 0 && !all_known(s, c))
        rc = -EAGAIN;
    if (rc == 0) {
        rc = policies_find(s, &c->rid, &c->policy);
        rc = rc == -ENOENT ? -EAGAIN : rc; /* it is shown nowhere yet */
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int fold_all(struct space *s, struct conflict *c, bool impatient, struct fold *f)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct value_content first;
    struct replica_content v = content_at(c, 0);
    int rc = fold_version(s, &c->rid, &v, &body, &first);
    if (rc == 0)
        rc = fold_begin(f, s, &c->rid, &c->policy, &first, &v.dot);
    f->impatient = impatient;
    for (size_t i = 1; rc == 0 && i < contents_n(c); i++) {
        v = content_at(c, i);
        rc = fold_add(f, &v);
    }
    return rc;
}

/* ---- publishing the outcome ---- */

/* -EAGAIN: the conflict is another one than what was merged. */
static int same_conflict(struct space *s, const struct conflict *c)
{
    CLEANUP(buf_fini) struct buf now = {0};
    int rc = replica_contents(s->replica, &c->rid, add_content, &now);
    if (rc < 0)
        return rc;
    if (now.n != c->contents.n)
        return -EAGAIN;
    for (size_t i = 0; i < contents_n(c); i++) {
        struct replica_content a = content_at(c, i), b;
        memcpy(&b, now.p + i * sizeof b, sizeof b);
        if (!dot_equal(&a.dot, &b.dot))
            return -EAGAIN;
    }
    return 0;
}

/* How a conflict ends: the arguments of change_resolve(). */
struct outcome {
    enum resolve how;
    const struct value_content *merged;
    const struct buf *beside; /* of struct dot; NULL: none */
};

static struct outcome outcome_of(const struct fold *f)
{
    if (f->merged > 0)
        return (struct outcome){RESOLVE_MERGED, &f->result, &f->beside};
    return (struct outcome){f->later ? RESOLVE_LATER : RESOLVE_KEEP_BOTH, NULL, NULL};
}

static int author(struct change *change, const struct rid *rid, const struct outcome *o)
{
    if (o->beside == NULL)
        return change_resolve(change, rid, o->how, o->merged, NULL, 0);
    return change_resolve(change, rid, o->how, o->merged,
                          (const struct dot *)(const void *)o->beside->p,
                          o->beside->n / sizeof(struct dot));
}

static int publish_locked(struct space *s, const struct conflict *c, const struct outcome *o,
                          struct inval_list *invals)
{
    struct op x;
    int rc = same_conflict(s, c);
    if (rc == 0)
        rc = op_begin(s->tree, false, &x);
    if (rc < 0)
        return rc;
    struct change *change = replica_begin(s->replica, x.batch);
    if (change == NULL)
        return op_abort(&x, -ENOMEM);
    rc = author(change, &c->rid, o);
    if (rc < 0) {
        replica_cancel(change);
        replica_abort(s->replica);
        return op_abort(&x, rc);
    }
    return publish_commit(s, &x, change, NULL, NULL, invals);
}

static int publish(struct space *s, const struct conflict *c, const struct outcome *o)
{
    struct inval_list invals = {.s = s};
    pthread_mutex_lock(&s->lock);
    int rc = publish_locked(s, c, o, &invals);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0)
        inval_send(&invals);
    else
        inval_drop(&invals);
    return rc;
}

static int merge_once(struct space *s, const struct rid *rid, bool impatient)
{
    struct conflict c = {.rid = *rid};
    struct fold f = {.s = s};
    int rc = look(s, &c);
    if (rc == 0) {
        pthread_rwlock_rdlock(&s->builds);
        rc = fold_all(s, &c, impatient, &f);
        struct outcome o = outcome_of(&f);
        if (rc == 0)
            rc = publish(s, &c, &o);
        pthread_rwlock_unlock(&s->builds);
    }
    fold_fini(&f);
    conflict_fini(&c);
    return rc;
}

int merge_record(struct space *s, const struct rid *rid, bool impatient)
{
    int rc = merge_once(s, rid, impatient);
    /* Not whole yet, another one by now, or gone from where it is shown: what comes next decides.
     */
    if (rc == -EAGAIN || rc == -ENOENT || rc == -ENODATA || rc == -ECANCELED)
        return MERGE_NOT_NOW;
    return rc == -EALREADY ? MERGE_ENDED : rc;
}

/* ---- as a person says ---- */

int merge_keep(struct space *s, const struct rid *rid, enum keep keep)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct conflict c = {.rid = *rid};
    struct value_content other;
    struct outcome o = {keep == KEEP_BOTH ? RESOLVE_KEEP_BOTH : RESOLVE_LATER, NULL, NULL};
    int rc = look(s, &c);
    if (rc == 0 && keep == KEEP_OTHER) {
        struct replica_content v = content_at(&c, 1);
        rc = contents_n(&c) > 2 ? -ENOTUNIQ : fold_version(s, rid, &v, &body, &other);
        o.how = RESOLVE_MERGED;
        o.merged = &other;
    }
    if (rc == 0) {
        pthread_rwlock_rdlock(&s->builds);
        rc = publish(s, &c, &o);
        pthread_rwlock_unlock(&s->builds);
    }
    conflict_fini(&c);
    return rc;
}

/* ---- a save over what its author had not seen ---- */

/* What is shown, if the save would replace it unseen. */
static int look_stale(struct space *s, const struct rid *rid, const struct dot *base,
                      const struct value_content *saved, struct conflict *c)
{
    struct replica_info info;
    pthread_mutex_lock(&s->lock);
    int rc = replica_stat(s->replica, rid, &info);
    bool stale = rc == 0 && !info.conflict && !dot_is_none(&info.content.dot) &&
                 !dot_equal(&info.content.dot, base) &&
                 memcmp(info.content.hash, saved->hash, HASH_SIZE) != 0;
    if (stale)
        rc = add_content(&c->contents, &info.content);
    if (stale && rc == 0)
        rc = policies_find(s, rid, &c->policy);
    pthread_mutex_unlock(&s->lock);
    return rc < 0 ? rc : stale;
}

int merge_stale(struct space *s, const struct rid *rid, const struct dot *base,
                const struct value_content *saved, struct buf *body, struct value_content *ret,
                struct dot *ret_over)
{
    struct conflict c = {.rid = *rid};
    struct fold f = {.s = s};
    int rc = look_stale(s, rid, base, saved, &c);
    if (rc > 0) {
        struct replica_content shown = content_at(&c, 0);
        int folded = fold_begin(&f, s, rid, &c.policy, saved, base);
        f.impatient = true;
        if (folded == 0)
            folded = fold_add(&f, &shown);
        rc = folded < 0 ? folded : f.merged > 0 || f.later;
        *ret_over = shown.dot;
    }
    if (rc > 0) {
        *ret = f.result;
        ret->body = bytes_of(NULL, 0);
        buf_reset(body);
        buf_put_bytes(body, buf_bytes(&f.body));
        ret->body = buf_bytes(body);
        rc = buf_status(body) < 0 ? -ENOMEM : 1;
    }
    fold_fini(&f);
    conflict_fini(&c);
    /* A driver that is ended because the space is closed: it is published at the next start. */
    return rc == -ENOENT || rc == -ENODATA ? 0 : rc == -ECANCELED ? -EAGAIN : rc;
}
