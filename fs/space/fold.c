#include "fs/space/fold.h"

#include <errno.h>

#include "fs/merge/merge.h"
#include "fs/merge/split.h"
#include "fs/replica/version.h"
#include "fs/space/versions.h"

int fold_version(struct space *s, const struct rid *rid, const struct replica_content *which,
                 struct buf *body, struct value_content *ret)
{
    int rc = version_read(s->db, rid, &which->dot, body);
    if (rc < 0)
        return rc;
    *ret = (struct value_content){
        .size = which->size, .mtime_ns = which->mtime_ns, .body = buf_bytes(body)};
    memcpy(ret->hash, which->hash, sizeof ret->hash);
    return 0;
}

int fold_begin(struct fold *f, struct space *s, const struct rid *rid,
               const struct policy_found *policy, const struct value_content *first,
               const struct dot *version)
{
    *f = (struct fold){.s = s, .rid = *rid, .policy = policy, .result = *first};
    buf_put_bytes(&f->body, first->body);
    f->result.body = buf_bytes(&f->body);
    if (!dot_is_none(version))
        buf_put(&f->of, version, sizeof *version);
    return buf_status(&f->body) < 0 ? -ENOMEM : buf_status(&f->of);
}

void fold_fini(struct fold *f)
{
    buf_fini(&f->body);
    buf_fini(&f->of);
    buf_fini(&f->beside);
}

/* ---- the result so far ---- */

/* The result embodies @other now. */
static int join(struct fold *f, const struct replica_content *other)
{
    if (other->mtime_ns > f->result.mtime_ns)
        f->result.mtime_ns = other->mtime_ns;
    buf_put(&f->of, &other->dot, sizeof other->dot);
    f->merged++;
    return buf_status(&f->of);
}

/* The bytes of the result are those of @body now, which is taken. */
static void take(struct fold *f, struct buf *body, const uint8_t hash[static HASH_SIZE],
                 uint64_t size)
{
    struct buf old = f->body;
    f->body = *body;
    *body = old;
    f->result.body = buf_bytes(&f->body);
    f->result.size = size;
    memcpy(f->result.hash, hash, sizeof f->result.hash);
}

static int read_bytes(void *arg, uint64_t off, void *p, size_t n)
{
    const struct buf *b = arg;
    memcpy(p, b->p + off, n);
    return 0;
}

static int take_bytes(struct fold *f, struct buf *bytes)
{
    CLEANUP(buf_fini) struct buf body = {0};
    uint8_t hash[HASH_SIZE];
    struct content_source src = {.size = bytes->n, .read = read_bytes, .arg = bytes};
    int rc = content_build(f->s->db, &f->s->keys, &src, NULL, &body, hash);
    if (rc == 0)
        take(f, &body, hash, bytes->n);
    return rc;
}

static int take_version(struct fold *f, const struct replica_content *from)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct value_content content;
    int rc = fold_version(f->s, &f->rid, from, &body, &content);
    if (rc == 0)
        take(f, &body, content.hash, content.size);
    return rc;
}

static int keep_beside(struct fold *f, const struct replica_content *other)
{
    buf_put(&f->beside, &other->dot, sizeof other->dot);
    return buf_status(&f->beside);
}

/* ---- one step ---- */

static int find_base(struct fold *f, const struct replica_content *other,
                     struct replica_content *ret, bool *ret_whole)
{
    size_t n = f->of.n / sizeof(struct dot);
    pthread_mutex_lock(&f->s->lock);
    int rc = replica_base(f->s->replica, &f->rid, (const struct dot *)(const void *)f->of.p, n,
                          &other->dot, ret, ret_whole);
    pthread_mutex_unlock(&f->s->lock);
    return rc;
}

static int read_result(const struct fold *f, struct buf *ret)
{
    struct content *c;
    int rc = content_open(f->s->db, f->result.body, &c);
    if (rc < 0)
        return rc;
    rc = buf_resize(ret, f->result.size);
    ssize_t n = rc == 0 && ret->n > 0 ? content_read(c, 0, ret->p, ret->n) : 0;
    content_free(c);
    return rc < 0 ? rc : n < 0 ? (int)n : (size_t)n < ret->n ? -EUCLEAN : 0;
}

/* Returns an enum merge_outcome; what is merged is the result then. */
static int merge_bytes(struct fold *f, const struct replica_content *base,
                       const struct replica_content *other)
{
    CLEANUP(buf_fini) struct buf from = {0}, ours = {0}, theirs = {0}, merged = {0};
    if (base->size > TEXT_BYTES_MAX || other->size > TEXT_BYTES_MAX ||
        f->result.size > TEXT_BYTES_MAX)
        return (int)merge_unread(&f->policy->how);
    int rc = dot_is_none(&base->dot) ? 0 : version_bytes(f->s, &f->rid, base, &from);
    if (rc == 0)
        rc = version_bytes(f->s, &f->rid, other, &theirs);
    if (rc == 0)
        rc = read_result(f, &ours);
    if (rc < 0)
        return rc;
    struct merge_input in = {.name = buf_bytes(&f->policy->path),
                             .base = buf_bytes(&from),
                             .a = buf_bytes(&theirs),
                             .b = buf_bytes(&ours),
                             .b_is_later = true};
    int outcome = merge_contents(&f->policy->how, &in, &merged);
    if (outcome != MERGE_DONE)
        return outcome;
    rc = take_bytes(f, &merged);
    return rc < 0 ? rc : MERGE_DONE;
}

static bool same(const uint8_t a[static HASH_SIZE], const uint8_t b[static HASH_SIZE])
{
    return memcmp(a, b, HASH_SIZE) == 0;
}

/* A side that is as the base is has changed nothing; so much is known of contents of any length. */
static int merge_lines(struct fold *f, const struct replica_content *base,
                       const struct replica_content *other)
{
    bool based = !dot_is_none(&base->dot);
    if (based && same(other->hash, base->hash))
        return MERGE_DONE;
    if (!based || !same(f->result.hash, base->hash))
        return merge_bytes(f, base, other);
    int rc = take_version(f, other);
    return rc < 0 ? rc : MERGE_DONE;
}

static int open_sides(struct fold *f, const struct replica_content *base,
                      const struct replica_content *other, struct content *c[static 3])
{
    int rc = dot_is_none(&base->dot) ? 0 : version_open(f->s, &f->rid, &base->dot, &c[0]);
    if (rc == 0)
        rc = content_open(f->s->db, f->result.body, &c[1]);
    return rc < 0 ? rc : version_open(f->s, &f->rid, &other->dot, &c[2]);
}

/* Returns an enum merge_outcome, or -ENOENT: there is no such driver here. */
static int merge_by_driver(struct fold *f, const struct replica_content *base,
                           const struct replica_content *other)
{
    CLEANUP(buf_fini) struct buf body = {0};
    struct content *c[3] = {NULL, NULL, NULL};
    uint8_t hash[HASH_SIZE];
    uint64_t size = 0;
    int rc = open_sides(f, base, other, c);
    if (rc == 0)
        rc = fold_driver(f, c[0], c[1], c[2], &body, hash, &size);
    else if (rc == -ENOENT)
        rc = -EUCLEAN;
    for (size_t i = 0; i < ARRAY_N(c); i++)
        content_free(c[i]);
    if (rc == 1)
        take(f, &body, hash, size);
    return rc < 0 ? rc : rc == 1 ? MERGE_DONE : MERGE_KEEP_BOTH;
}

/* A base of a file that was deleted before it came here is asked for: -ENOENT. 0: it is here. */
static int ask_base(struct fold *f, const struct replica_content *base)
{
    int rc = dot_is_none(&base->dot) ? 0 : version_ask(f->s, &f->rid, &base->dot);
    return rc == -ENODATA ? -ENOENT : rc;
}

static int merge_on_base(struct fold *f, const struct replica_content *base,
                         const struct replica_content *other)
{
    int outcome = ask_base(f, base);
    if (outcome == 0)
        outcome = f->policy->how.kind == STRATEGY_EXEC ? merge_by_driver(f, base, other)
                                                       : merge_lines(f, base, other);
    return outcome == -ENOENT && f->impatient ? MERGE_KEEP_BOTH : outcome;
}

/* Whether what both come from matters at all. */
static bool wants_base(const struct fold *f)
{
    enum strategy_kind how = f->policy->how.kind;
    return rid_kind(&f->rid) == KIND_FILE && how != STRATEGY_LWW && how != STRATEGY_KEEP_BOTH;
}

int fold_add(struct fold *f, const struct replica_content *other)
{
    struct replica_content base;
    bool whole = true;
    int outcome = f->policy->how.kind == STRATEGY_LWW ? MERGE_LATER : MERGE_KEEP_BOTH;
    if (same(f->result.hash, other->hash)) {
        outcome = MERGE_DONE;
    } else if (wants_base(f)) {
        int rc = find_base(f, other, &base, &whole);
        if (rc < 0)
            return rc;
        if (!whole && !f->impatient)
            return 1;
        outcome = merge_on_base(f, &base, other);
    }
    if (outcome == -ENOENT)
        return 1;
    switch (outcome) {
    case MERGE_DONE:
        return join(f, other);
    case MERGE_KEEP_BOTH:
        return keep_beside(f, other);
    case MERGE_LATER:
        f->later = true;
        return 0;
    default:
        return outcome < 0 ? outcome : -EINVAL;
    }
}
