#include "fs/merge/merge.h"

#include <errno.h>
#include <strings.h>

#include "fs/merge/front.h"
#include "fs/merge/frontmatter.h"
#include "fs/merge/json.h"
#include "fs/merge/text.h"
#include "proto/base/utf8.h"

static bool is_text(struct bytes v)
{
    return v.n == 0 || (memchr(v.p, 0, v.n) == NULL && utf8_valid(v));
}

static bool ends_in(struct bytes name, const char *end)
{
    size_t n = strlen(end);
    return name.n > n && strncasecmp((const char *)name.p + name.n - n, end, n) == 0;
}

static bool is_markdown(struct bytes name)
{
    return ends_in(name, ".md") || ends_in(name, ".markdown");
}

enum merge_outcome merge_unread(const struct strategy *how)
{
    if (how->kind == STRATEGY_LWW)
        return MERGE_LATER;
    return how->kind == STRATEGY_EXEC ? MERGE_EXEC : MERGE_KEEP_BOTH;
}

static int merge_by_keys(const struct merge_input *in, bool markdown, struct buf *ret)
{
    struct bytes earlier = in->b_is_later ? in->a : in->b;
    struct bytes later = in->b_is_later ? in->b : in->a;
    return markdown ? frontmatter_merge(in->base, earlier, later, ret)
                    : json_merge(in->base, earlier, later, ret);
}

static int merge_text(const struct merge_input *in, enum text_overlap overlap, struct buf *ret)
{
    return text_merge(in->base, in->a, in->b, overlap, ret);
}

static int merge_by_default(const struct merge_input *in, struct buf *ret)
{
    if (!is_text(in->base) || !is_text(in->a) || !is_text(in->b))
        return 0;
    if (is_markdown(in->name) && front_begins(in->a) && front_begins(in->b))
        return merge_by_keys(in, true, ret);
    return merge_text(in, OVERLAP_STOPS, ret);
}

/* Returns as text_merge(). */
static int merge(const struct strategy *how, const struct merge_input *in, struct buf *ret)
{
    switch (how->kind) {
    case STRATEGY_TEXT:
        return merge_text(in, OVERLAP_STOPS, ret);
    case STRATEGY_UNION:
        return merge_text(in, OVERLAP_UNITES, ret);
    case STRATEGY_JSON:
        return merge_by_keys(in, is_markdown(in->name), ret);
    case STRATEGY_DEFAULT:
        return merge_by_default(in, ret);
    case STRATEGY_LWW:
    case STRATEGY_KEEP_BOTH:
    case STRATEGY_EXEC:
        break;
    }
    return 0;
}

/* A side that is as the base has changed nothing; that is so for contents of any length. */
static const struct bytes *only_change(const struct strategy *how, const struct merge_input *in)
{
    bool merges =
        how->kind != STRATEGY_LWW && how->kind != STRATEGY_KEEP_BOTH && how->kind != STRATEGY_EXEC;
    if (bytes_equal(in->a, in->b) || (merges && bytes_equal(in->b, in->base)))
        return &in->a;
    return merges && bytes_equal(in->a, in->base) ? &in->b : NULL;
}

int merge_contents(const struct strategy *how, const struct merge_input *in, struct buf *ret)
{
    const struct bytes *one = only_change(how, in);
    if (one != NULL) {
        buf_put_bytes(ret, *one);
        return buf_status(ret) < 0 ? -ENOMEM : MERGE_DONE;
    }
    int rc = merge(how, in, ret);
    if (rc == -ENOMEM)
        return rc;
    return rc == 1 ? MERGE_DONE : (int)merge_unread(how);
}
