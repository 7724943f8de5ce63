#include "tests/sim/merge.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "fs/merge/merge.h"

enum { LINES = 4 };

void sim_edit_text(const char *old, int save, char ret[SIM_LINE_MAX])
{
    char word[16];
    size_t n = 0;
    sim_save_text(save, word);
    ret[0] = '\0';
    for (int k = 0; k < LINES && save != 0; k++) {
        size_t len = strcspn(old, "\n");
        const char *line = k == save % LINES ? word : len == 0 ? "-" : old;
        size_t line_n = line == old ? len : strlen(line);
        int put = snprintf(ret + n, SIM_LINE_MAX - n, "%.*s\n", (int)line_n, line);
        n += (size_t)put;
        assert(n < SIM_LINE_MAX);
        old += len + (old[len] == '\n');
    }
}

struct contents {
    struct replica_content v[LIMIT_FACET_VALUES];
    size_t n;
};

static int add(void *ctx, const struct replica_content *c)
{
    struct contents *all = ctx;
    assert(all->n < LIMIT_FACET_VALUES);
    all->v[all->n++] = *c;
    return 0;
}

static void read_version(struct replica *r, const struct rid *rid, const struct dot *dot,
                         struct buf *ret)
{
    int rc = replica_version_get(r, rid, dot, ret);
    assert(rc == 0);
}

struct fold {
    struct replica *r;
    const struct rid *rid;
    struct buf result;
    struct dot of[LIMIT_FACET_VALUES]; /* what is in the result */
    size_t n;
};

/* Returns an enum merge_outcome, or -EAGAIN. */
static int fold_one(struct fold *f, const struct replica_content *other, bool impatient)
{
    static const struct strategy how = {.kind = STRATEGY_TEXT};
    struct buf base = {0}, theirs = {0}, merged = {0};
    struct replica_content from;
    bool whole;
    int rc = replica_base(f->r, f->rid, f->of, f->n, &other->dot, &from, &whole);
    assert(rc == 0);
    if (!whole && !impatient)
        return -EAGAIN;
    if (!dot_is_none(&from.dot))
        read_version(f->r, f->rid, &from.dot, &base);
    read_version(f->r, f->rid, &other->dot, &theirs);
    rc = merge_contents(&how,
                        &(struct merge_input){.name = bytes_str("f"),
                                              .base = buf_bytes(&base),
                                              .a = buf_bytes(&theirs),
                                              .b = buf_bytes(&f->result),
                                              .b_is_later = true},
                        &merged);
    assert(rc >= 0);
    if (rc == MERGE_DONE) {
        buf_reset(&f->result);
        buf_put_bytes(&f->result, buf_bytes(&merged));
        f->of[f->n++] = other->dot;
    }
    buf_fini(&base);
    buf_fini(&theirs);
    buf_fini(&merged);
    return rc;
}

int sim_merge(struct sim *s, int i, const struct rid *rid, bool impatient, struct sim_merged *ret)
{
    struct contents all = {.n = 0};
    struct fold f = {.r = s->w->d[i].r, .rid = rid};
    *ret = (struct sim_merged){.how = RESOLVE_KEEP_BOTH};
    int rc = replica_contents(f.r, rid, add, &all);
    assert(rc == 0 && all.n >= 2);
    read_version(f.r, rid, &all.v[0].dot, &f.result);
    f.of[f.n++] = all.v[0].dot;
    for (size_t k = 1; k < all.n && rc >= 0; k++) {
        rc = fold_one(&f, &all.v[k], impatient);
        if (rc == MERGE_DONE)
            ret->how = RESOLVE_MERGED;
        else if (rc >= 0)
            ret->beside[ret->n++] = all.v[k].dot;
    }
    SIM_NEED(f.result.n < SIM_LINE_MAX, "a merge of %zu bytes", f.result.n);
    if (f.result.n > 0)
        memcpy(ret->text, f.result.p, f.result.n);
    ret->text[f.result.n] = '\0';
    buf_fini(&f.result);
    return rc < 0 ? rc : 0;
}
