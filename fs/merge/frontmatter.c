#include "fs/merge/frontmatter.h"

#include <errno.h>

#include "fs/merge/front.h"
#include "fs/merge/text.h"

enum { BASE, OLD, NEW };

/* An entry of one of the files, or none. */
struct place {
    const struct front *front;
    const struct front_entry *entry;
};

/* One key in the base, the earlier and the later file. */
struct trio {
    struct place base, old, new;
};

enum choice {
    TAKE_OLD, /* or nothing, where it has none; likewise with the next */
    TAKE_NEW,
    TAKE_ITEMS, /* of both lists */
};

static struct place find(const struct front *f, struct bytes key)
{
    for (size_t i = 0; i < front_count(f); i++)
        if (bytes_equal(front_entry(f, i)->key, key))
            return (struct place){f, front_entry(f, i)};
    return (struct place){f, NULL};
}

static struct trio find_all(const struct front f[static TEXTS], struct bytes key)
{
    return (struct trio){find(&f[BASE], key), find(&f[OLD], key), find(&f[NEW], key)};
}

static bool is_list(struct place p)
{
    return p.entry != NULL && p.entry->kind != FRONT_VALUE;
}

static const struct front_item *item(struct place list, size_t i)
{
    return front_item(list.front, list.entry->items + i);
}

static bool equal(struct place x, struct place y)
{
    if (x.entry == NULL || y.entry == NULL)
        return x.entry == y.entry;
    if (is_list(x) != is_list(y) || x.entry->n != y.entry->n)
        return false;
    for (size_t i = 0; i < x.entry->n; i++)
        if (!bytes_equal(item(x, i)->plain, item(y, i)->plain))
            return false;
    return bytes_equal(x.entry->value, y.entry->value);
}

static enum choice choose(const struct trio *t)
{
    if (equal(t->old, t->new) || equal(t->old, t->base))
        return TAKE_NEW;
    if (equal(t->new, t->base) || t->new.entry == NULL)
        return TAKE_OLD;
    return is_list(t->old) && is_list(t->new) ? TAKE_ITEMS : TAKE_NEW;
}

/* ---- the block, with LF for all line ends ---- */

static void put_lines(struct buf *out, struct bytes lines)
{
    while (lines.n > 0) {
        const uint8_t *end = memchr(lines.p, '\n', lines.n);
        size_t n = end != NULL ? (size_t)(end - lines.p) : lines.n, skip = n + (end != NULL);
        buf_put(out, lines.p, n - (end != NULL && n > 0 && lines.p[n - 1] == '\r'));
        buf_put_u8(out, '\n');
        lines = bytes_behind(lines, skip);
    }
}

/* The comments and empty lines at one place; without an entry there, none. */
static struct bytes remarks(struct bytes base, struct bytes old, struct bytes new)
{
    return bytes_equal(new, base) ? old : new;
}

static struct bytes above(const struct trio *t)
{
    const struct front_entry *base = t->base.entry, *old = t->old.entry, *new = t->new.entry;
    return base != NULL && old != NULL ? remarks(base->above, old->above, new->above) : new->above;
}

static bool has_item(struct place list, struct bytes plain)
{
    for (size_t i = 0; is_list(list) && i < list.entry->n; i++)
        if (bytes_equal(item(list, i)->plain, plain))
            return true;
    return false;
}

static void put_new_item(struct buf *items, const struct front_item *one)
{
    const struct front_item *all = (const void *)items->p;
    for (size_t i = 0; i < items->n / sizeof *all; i++)
        if (bytes_equal(all[i].plain, one->plain))
            return;
    buf_put(items, one, sizeof *one);
}

/* What is in the base and was not removed, then what was added. */
static void list_items(const struct trio *t, struct buf *items)
{
    const struct place sides[] = {t->base, t->old, t->new};
    for (size_t s = 0; s < ARRAY_N(sides); s++)
        for (size_t i = 0; is_list(sides[s]) && i < sides[s].entry->n; i++) {
            const struct front_item *one = item(sides[s], i);
            bool old = has_item(t->old, one->plain), new = has_item(t->new, one->plain);
            if (has_item(t->base, one->plain) ? old && new : old || new)
                put_new_item(items, one);
        }
}

/* In the form that the later file has. */
static int put_items(const struct trio *t, struct buf *out)
{
    CLEANUP(buf_fini) struct buf items = {0};
    list_items(t, &items);
    const struct front_item *all = (const void *)items.p;
    const struct front_entry *e = t->new.entry;
    size_t n = items.n / sizeof *all;
    bool block = e->kind == FRONT_BLOCK && n > 0;
    put_lines(out, above(t));
    buf_put_bytes(out, e->key);
    buf_put_bytes(out, bytes_str(block ? ":\n" : ": ["));
    for (size_t i = 0; i < n; i++) {
        buf_put_bytes(out, block ? e->indent : bytes_str(i > 0 ? ", " : ""));
        buf_put_bytes(out, bytes_str(block ? "- " : ""));
        buf_put_bytes(out, all[i].text);
        buf_put_bytes(out, bytes_str(block ? "\n" : ""));
    }
    buf_put_bytes(out, bytes_str(block ? "" : "]\n"));
    return buf_status(&items);
}

/* The entries of the earlier file from @i on, up to one that the later has, too. */
static void put_added(const struct front f[static TEXTS], size_t i, struct buf *out)
{
    for (; i < front_count(&f[OLD]); i++) {
        struct trio t = find_all(f, front_entry(&f[OLD], i)->key);
        if (t.new.entry != NULL)
            return;
        if (choose(&t) == TAKE_OLD)
            put_lines(out, t.old.entry->lines);
    }
}

static int put_entry(const struct trio *t, struct buf *out)
{
    enum choice choice = choose(t);
    if (choice == TAKE_ITEMS)
        return put_items(t, out);
    const struct front_entry *e = choice == TAKE_OLD ? t->old.entry : t->new.entry;
    if (e == NULL)
        return 0;
    put_lines(out, above(t));
    put_lines(out, bytes_of(e->lines.p + e->above.n, e->lines.n - e->above.n));
    return 0;
}

static int put_block(const struct front f[static TEXTS], struct buf *out)
{
    int rc = 0;
    put_lines(out, f[NEW].opening);
    put_added(f, 0, out);
    for (size_t i = 0; rc == 0 && i < front_count(&f[NEW]); i++) {
        struct trio t = find_all(f, front_entry(&f[NEW], i)->key);
        rc = put_entry(&t, out);
        if (t.old.entry != NULL)
            put_added(f, (size_t)(t.old.entry - front_entry(&f[OLD], 0)) + 1, out);
    }
    put_lines(out, remarks(f[BASE].below, f[OLD].below, f[NEW].below));
    put_lines(out, f[NEW].closing);
    return rc < 0 ? rc : buf_status(out);
}

/* ---- the file ---- */

/* A file with the merged block in the place of its own. */
static int put_file(struct bytes block, struct bytes file, const struct front *f, struct buf *out)
{
    enum text_ends ends = text_ends(file);
    struct bytes first = f->opening;
    bool crlf =
        ends == ENDS_CRLF || (ends == ENDS_MIXED && first.n > 1 && first.p[first.n - 2] == '\r');
    buf_put(out, file.p, text_mark_bytes(file));
    while (block.n > 0) {
        const uint8_t *end = memchr(block.p, '\n', block.n);
        size_t n = (size_t)(end - block.p);
        buf_put(out, block.p, n);
        if (n + 1 < block.n || f->body.n > 0 || f->closing.n == 0 ||
            f->closing.p[f->closing.n - 1] == '\n')
            buf_put(out, crlf ? "\r\n" : "\n", crlf ? 2 : 1);
        block = bytes_behind(block, n + 1);
    }
    buf_put_bytes(out, f->body);
    return buf_status(out);
}

/* All three get the merged block, so that what is left to merge is the rest, line ends and mark. */
static int merge_files(const struct front f[static TEXTS], const struct bytes in[static TEXTS],
                       struct buf *ret)
{
    CLEANUP(buf_fini) struct buf block = {0}, base = {0}, old = {0}, new = {0};
    struct buf *files[TEXTS] = {&base, &old, &new};
    int rc = put_block(f, &block);
    for (int i = 0; rc == 0 && i < TEXTS; i++)
        rc = put_file(buf_bytes(&block), in[i], &f[i], files[i]);
    if (rc < 0)
        return rc;
    return text_merge(buf_bytes(&base), buf_bytes(&old), buf_bytes(&new), OVERLAP_STOPS, ret);
}

int frontmatter_merge(struct bytes base, struct bytes earlier, struct bytes later, struct buf *ret)
{
    const struct bytes in[TEXTS] = {base, earlier, later};
    struct front f[TEXTS] = {{.body = {0}}};
    int has[TEXTS], rc = 0;
    for (int i = 0; i < TEXTS; i++) {
        has[i] = in[i].n > TEXT_BYTES_MAX ? -E2BIG : front_init(&f[i], in[i]);
        if (has[i] < 0 && has[i] != -EBADMSG)
            rc = has[i];
    }
    if (rc == 0 && has[BASE] >= 0 && has[OLD] == 1 && has[NEW] == 1)
        rc = merge_files(f, in, ret);
    else if (rc == 0)
        rc = text_merge(base, earlier, later, OVERLAP_STOPS, ret);
    for (int i = 0; i < TEXTS; i++)
        front_fini(&f[i]);
    return rc;
}
