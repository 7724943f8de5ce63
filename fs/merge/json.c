#include "fs/merge/json.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/merge/split.h"

/* A value of one document, or none. */
struct value {
    const struct json_tree *tree;
    uint32_t at;
};

/* The same key in the base, the earlier and the later document. */
struct trio {
    struct value base, old, new;
};

enum choice {
    TAKE_OLD, /* or nothing, where it has none; likewise with the next */
    TAKE_NEW,
    TAKE_KEYS,     /* objects, key by key */
    TAKE_ELEMENTS, /* arrays, as sets */
    TAKE_LATER,    /* both changed it */
};

static bool is_none(struct value v)
{
    return v.at == JSON_NONE;
}

static const struct json_node *get(struct value v)
{
    return json_node(v.tree, v.at);
}

static bool is(struct value v, enum json_type type)
{
    return !is_none(v) && get(v)->type == type;
}

static bool equal(struct value x, struct value y)
{
    if (is_none(x) || is_none(y))
        return is_none(x) && is_none(y);
    return json_equal(x.tree, x.at, y.tree, y.at);
}

static struct value member(struct value object, struct bytes name)
{
    bool has = is(object, JSON_OBJECT);
    return (struct value){object.tree, has ? json_find(object.tree, object.at, name) : JSON_NONE};
}

static struct value first_of(struct value v)
{
    return (struct value){v.tree, is_none(v) ? JSON_NONE : get(v)->first};
}

static struct value next_of(struct value v)
{
    return (struct value){v.tree, get(v)->next};
}

/* ---- arrays as sets ---- */

static int compare(const void *a, const void *b)
{
    const struct json_node *x = *(const struct json_node *const *)a;
    const struct json_node *y = *(const struct json_node *const *)b;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    return x->type == JSON_STRING ? bytes_cmp(x->string, y->string) : bytes_cmp(x->text, y->text);
}

/* The elements in some order, as pointers. -EINVAL: they are no set. */
static int sort_elements(struct value array, struct buf *ret)
{
    for (struct value e = first_of(array); !is_none(e); e = next_of(e)) {
        const struct json_node *n = get(e);
        if (n->type == JSON_OBJECT || n->type == JSON_ARRAY)
            return -EINVAL;
        buf_put(ret, &n, sizeof n);
    }
    if (buf_status(ret) < 0 || ret->n == 0)
        return buf_status(ret);
    const struct json_node **all = (const struct json_node **)(void *)ret->p;
    size_t n = ret->n / sizeof *all;
    qsort(all, n, sizeof *all, compare);
    for (size_t i = 1; i < n; i++)
        if (compare(&all[i - 1], &all[i]) == 0)
            return -EINVAL;
    return 0;
}

static bool is_set(struct value array)
{
    CLEANUP(buf_fini) struct buf sorted = {0};
    return is(array, JSON_ARRAY) && sort_elements(array, &sorted) == 0;
}

static const struct json_node *find_element(const struct buf *sorted, const struct json_node *like)
{
    size_t size = sizeof like;
    const struct json_node **found =
        sorted->n > 0 ? bsearch(&like, sorted->p, sorted->n / size, size, compare) : NULL;
    return found != NULL ? *found : NULL;
}

/* ---- what to take ---- */

static enum choice choose(const struct trio *t)
{
    if (is(t->old, JSON_OBJECT) && is(t->new, JSON_OBJECT))
        return TAKE_KEYS;
    if (equal(t->old, t->new) || equal(t->old, t->base))
        return TAKE_NEW;
    if (equal(t->new, t->base) || is_none(t->new))
        return TAKE_OLD;
    if (is_none(t->old))
        return TAKE_NEW;
    if (is_set(t->old) && is_set(t->new) && (!is(t->base, JSON_ARRAY) || is_set(t->base)))
        return TAKE_ELEMENTS;
    return TAKE_LATER;
}

/* ---- members, one behind the other ---- */

struct list {
    struct buf *out;
    struct bytes first, next; /* blanks before the first member, before the others */
    struct bytes close, none; /* before the end; between the brackets if nothing is */
    struct bytes trail;       /* behind the last one, before a comma */
    bool begun;
};

static bool has_newline(struct bytes blanks)
{
    return blanks.n > 0 && memchr(blanks.p, '\n', blanks.n) != NULL;
}

/* Blanks as the later document has them, if it has enough members to tell, else as the earlier. */
static struct list list_of(struct value old, struct value new, struct buf *out)
{
    uint32_t n_old = get(old)->n, n_new = get(new)->n;
    bool own_lines = n_new > 0 && has_newline(get(first_of(new))->lead);
    struct value like = own_lines || n_new >= 2 || (n_new == 1 && n_old < 2) ? new : old;
    struct list l = {.out = out, .close = get(n_new > 0 ? new : old)->close};
    struct value first = first_of(like);
    if (n_new == 0)
        l.none = get(new)->close;
    if (is_none(first))
        return l;
    l.first = l.next = get(first)->lead;
    struct bytes head = get(first)->head;
    if (!is_none(next_of(first)))
        l.next = get(next_of(first))->lead;
    else if (!has_newline(l.first))
        l.next = bytes_str(head.n > 0 && head.p[head.n - 1] == ':' ? "" : " ");
    return l;
}

/* All before the value of a member. @own: it is a member of the later document. */
static void put_head(struct list *l, const struct json_node *n, bool own, bool own_first)
{
    if (l->begun) {
        buf_put_bytes(l->out, l->trail);
        buf_put_u8(l->out, ',');
    }
    bool as_it_is = own && own_first != l->begun;
    buf_put_bytes(l->out, as_it_is ? n->lead : l->begun ? l->next : l->first);
    buf_put_bytes(l->out, n->head);
    l->trail = own ? n->trail : bytes_of(NULL, 0);
    l->begun = true;
}

static void put_end(struct list *l, char end)
{
    buf_put_bytes(l->out, l->begun ? l->close : l->none);
    buf_put_u8(l->out, (uint8_t)end);
}

static int put_elements(const struct trio *t, struct buf *out)
{
    CLEANUP(buf_fini) struct buf base = {0}, old = {0}, new = {0};
    struct value none = {t->base.tree, JSON_NONE}, from = is(t->base, JSON_ARRAY) ? t->base : none;
    if (sort_elements(from, &base) < 0 || sort_elements(t->old, &old) < 0 ||
        sort_elements(t->new, &new) < 0)
        return -ENOMEM; /* choose() saw that they are sets */
    struct list l = list_of(t->old, t->new, out);
    buf_put_u8(out, '[');
    for (struct value e = first_of(from); !is_none(e); e = next_of(e)) {
        const struct json_node *n = find_element(&new, get(e));
        if (n == NULL || find_element(&old, n) == NULL)
            continue;
        put_head(&l, n, false, false);
        buf_put_bytes(out, n->text);
    }
    struct value sides[] = {t->old, t->new};
    for (size_t i = 0; i < ARRAY_N(sides); i++)
        for (struct value e = first_of(sides[i]); !is_none(e); e = next_of(e)) {
            if (find_element(&base, get(e)) != NULL ||
                (i == 1 && find_element(&old, get(e)) != NULL))
                continue;
            put_head(&l, get(e), false, false);
            buf_put_bytes(out, get(e)->text);
        }
    put_end(&l, ']');
    return 0;
}

static int put_value(const struct trio *t, enum choice choice, struct buf *out);

/* The members of the earlier object from @e on, up to one that the later has, too. */
static void put_added(const struct trio *t, struct value e, struct list *l)
{
    for (; !is_none(e); e = next_of(e)) {
        struct bytes name = get(e)->name;
        struct trio m = {member(t->base, name), e, member(t->new, name)};
        if (!is_none(m.new))
            return;
        if (choose(&m) != TAKE_OLD)
            continue;
        put_head(l, get(e), false, false);
        buf_put_bytes(l->out, get(e)->text);
    }
}

static int put_keys(const struct trio *t, struct buf *out)
{
    struct list l = list_of(t->old, t->new, out);
    int rc = 0;
    buf_put_u8(out, '{');
    put_added(t, first_of(t->old), &l);
    for (struct value e = first_of(t->new); rc == 0 && !is_none(e); e = next_of(e)) {
        struct bytes name = get(e)->name;
        struct trio m = {member(t->base, name), member(t->old, name), e};
        enum choice choice = choose(&m);
        if (choice != TAKE_OLD || !is_none(m.old)) {
            put_head(&l, get(e), true, e.at == get(t->new)->first);
            rc = put_value(&m, choice, out);
        }
        if (!is_none(m.old))
            put_added(t, next_of(m.old), &l);
    }
    put_end(&l, '}');
    return rc;
}

static int put_value(const struct trio *t, enum choice choice, struct buf *out)
{
    switch (choice) {
    case TAKE_KEYS:
        return put_keys(t, out);
    case TAKE_ELEMENTS:
        return put_elements(t, out);
    case TAKE_OLD:
        buf_put_bytes(out, get(t->old)->text);
        return 0;
    case TAKE_NEW:
    case TAKE_LATER:
        buf_put_bytes(out, get(t->new)->text);
        return 0;
    }
    return 0;
}

/* ---- documents ---- */

static int merge_trees(const struct json_tree trees[static TEXTS], bool has_base, struct buf *ret)
{
    const struct trio roots = {
        {&trees[0], has_base ? 0 : JSON_NONE}, {&trees[1], 0}, {&trees[2], 0}};
    size_t before = ret->n;
    enum choice choice = choose(&roots);
    if (choice == TAKE_LATER)
        return 0;
    buf_put_bytes(ret, trees[2].before);
    int rc = put_value(&roots, choice, ret);
    buf_put_bytes(ret, trees[2].behind);
    if (rc == 0)
        rc = buf_status(ret);
    if (rc < 0)
        ret->n = before;
    return rc < 0 ? rc : 1;
}

int json_merge(struct bytes base, struct bytes earlier, struct bytes later, struct buf *ret)
{
    const struct bytes in[TEXTS] = {base, earlier, later};
    struct json_tree trees[TEXTS] = {{.before = {0}}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < TEXTS; i++)
        if (in[i].n > TEXT_BYTES_MAX)
            rc = -E2BIG;
        else if (i > 0 || base.n > 0)
            rc = json_tree_init(&trees[i], in[i]);
    if (rc == 0)
        rc = merge_trees(trees, base.n > 0, ret);
    for (size_t i = 0; i < TEXTS; i++)
        json_tree_fini(&trees[i]);
    return rc;
}
