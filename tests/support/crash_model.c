#include "crash_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/xxh3.h"

enum { NAME_BYTES = 12, NODES_MAX = 4096, DEPTH_MAX = 3, NAMES_N = 7 };

struct entry {
    char name[NAME_BYTES];
    int node;
};

struct node {
    mode_t mode; /* with the type; 0: free */
    unsigned nlink;
    int parent; /* of a directory */
    struct buf data;
    uint64_t xattr;  /* 0: none */
    struct buf past; /* hashes of what it held before */
    struct entry *entries;
    size_t entries_n, entries_cap;
};

struct crash_model {
    struct node nodes[NODES_MAX];
    int nodes_n;
};

static void *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return p;
}

struct crash_model *crash_model_new(void)
{
    struct crash_model *m = must(calloc(1, sizeof *m));
    m->nodes[0] = (struct node){.mode = S_IFDIR | 0755, .nlink = 1};
    m->nodes_n = 1;
    return m;
}

void crash_model_free(struct crash_model *m)
{
    if (m == NULL)
        return;
    for (int i = 0; i < m->nodes_n; i++) {
        buf_fini(&m->nodes[i].data);
        buf_fini(&m->nodes[i].past);
        free(m->nodes[i].entries);
    }
    free(m);
}

struct crash_model *crash_model_copy(const struct crash_model *m)
{
    struct crash_model *to = must(malloc(sizeof *to));
    *to = *m;
    for (int i = 0; i < m->nodes_n; i++) {
        const struct node *from = &m->nodes[i];
        struct node *n = &to->nodes[i];
        n->data = n->past = (struct buf){0};
        buf_put_bytes(&n->data, buf_bytes(&from->data));
        buf_put_bytes(&n->past, buf_bytes(&from->past));
        n->entries = must(malloc((from->entries_cap + 1) * sizeof *n->entries));
        if (from->entries_n > 0)
            memcpy(n->entries, from->entries, from->entries_n * sizeof *n->entries);
    }
    return to;
}

/* ---- paths ---- */

static int find(const struct node *dir, const char *name, size_t n)
{
    for (size_t i = 0; i < dir->entries_n; i++)
        if (strlen(dir->entries[i].name) == n && memcmp(dir->entries[i].name, name, n) == 0)
            return (int)i;
    return -1;
}

/* The directory of the last part of @path, and that part. -ENOENT, -ENOTDIR. */
static int walk(const struct crash_model *m, const char *path, const char **ret_name)
{
    int at = 0;
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        if (!S_ISDIR(m->nodes[at].mode))
            return -ENOTDIR;
        int i = find(&m->nodes[at], path, (size_t)(slash - path));
        if (i < 0)
            return -ENOENT;
        at = m->nodes[at].entries[i].node;
        path = slash + 1;
    }
    *ret_name = path;
    return S_ISDIR(m->nodes[at].mode) ? at : -ENOTDIR;
}

/* The node of @path, or -ENOENT. */
static int lookup(const struct crash_model *m, const char *path)
{
    const char *name;
    int dir = walk(m, path, &name);
    if (dir < 0 || *name == '\0')
        return dir;
    int i = find(&m->nodes[dir], name, strlen(name));
    return i < 0 ? -ENOENT : m->nodes[dir].entries[i].node;
}

static void add_entry(struct crash_model *m, int dir, const char *name, int node)
{
    struct node *d = &m->nodes[dir];
    if (d->entries_n == d->entries_cap) {
        d->entries_cap = d->entries_cap * 2 + 4;
        d->entries = must(realloc(d->entries, d->entries_cap * sizeof *d->entries));
    }
    struct entry *e = &d->entries[d->entries_n++];
    snprintf(e->name, sizeof e->name, "%s", name);
    e->node = node;
    if (S_ISDIR(m->nodes[node].mode))
        m->nodes[node].parent = dir;
}

static void drop_entry(struct crash_model *m, int dir, const char *name)
{
    struct node *d = &m->nodes[dir];
    int i = find(d, name, strlen(name));
    d->entries[i] = d->entries[--d->entries_n];
}

static int make_node(struct crash_model *m, mode_t mode)
{
    int i = 1;
    while (i < m->nodes_n && m->nodes[i].mode != 0)
        i++;
    if (i == NODES_MAX)
        must(NULL);
    if (i == m->nodes_n)
        m->nodes_n++;
    free(m->nodes[i].entries);
    buf_fini(&m->nodes[i].data);
    buf_fini(&m->nodes[i].past);
    m->nodes[i] = (struct node){.mode = mode, .nlink = 1};
    return i;
}

static void drop_link(struct node *n)
{
    if (--n->nlink > 0)
        return;
    n->mode = 0;
    buf_fini(&n->data);
    buf_fini(&n->past);
}

/* ---- operations ---- */

static int apply_make(struct crash_model *m, const struct crash_op *op, mode_t type)
{
    const char *name;
    int dir = walk(m, op->path, &name);
    if (dir < 0)
        return dir;
    if (find(&m->nodes[dir], name, strlen(name)) >= 0)
        return -EEXIST;
    mode_t mode = type == S_IFLNK ? 0777 : op->mode & 07777;
    int node = make_node(m, type | mode);
    if (type == S_IFLNK)
        buf_put(&m->nodes[node].data, op->to, strlen(op->to));
    add_entry(m, dir, name, node);
    return 0;
}

static int apply_remove(struct crash_model *m, const struct crash_op *op)
{
    const char *name;
    int dir = walk(m, op->path, &name), node = lookup(m, op->path);
    if (dir < 0 || node < 0)
        return dir < 0 ? dir : node;
    struct node *n = &m->nodes[node];
    if (S_ISDIR(n->mode) != (op->kind == CRASH_RMDIR))
        return op->kind == CRASH_RMDIR ? -ENOTDIR : -EISDIR;
    if (n->entries_n > 0)
        return -ENOTEMPTY;
    drop_entry(m, dir, name);
    drop_link(n);
    return 0;
}

static bool is_below(const struct crash_model *m, int dir, int ancestor)
{
    while (dir != ancestor && dir != 0)
        dir = m->nodes[dir].parent;
    return dir == ancestor;
}

struct sides {
    int dir, node, to_dir, to_node; /* to_node: -1 when there is none */
    const char *name, *to_name;
};

static int find_sides(const struct crash_model *m, const struct crash_op *op, struct sides *s)
{
    s->dir = walk(m, op->path, &s->name);
    s->to_dir = walk(m, op->to, &s->to_name);
    if (s->dir < 0 || s->to_dir < 0)
        return s->dir < 0 ? s->dir : s->to_dir;
    s->node = lookup(m, op->path);
    s->to_node = lookup(m, op->to);
    return s->node < 0 ? s->node : 0;
}

static void set_entry(struct crash_model *m, int dir, const char *name, int node)
{
    m->nodes[dir].entries[find(&m->nodes[dir], name, strlen(name))].node = node;
    if (S_ISDIR(m->nodes[node].mode))
        m->nodes[node].parent = dir;
}

static int apply_exchange(struct crash_model *m, const struct sides *s)
{
    if (s->to_node < 0)
        return -ENOENT;
    if (is_below(m, s->dir, s->to_node) && S_ISDIR(m->nodes[s->to_node].mode))
        return s->to_node == s->node ? 0 : -EINVAL;
    set_entry(m, s->dir, s->name, s->to_node);
    set_entry(m, s->to_dir, s->to_name, s->node);
    return 0;
}

static int apply_rename(struct crash_model *m, const struct crash_op *op)
{
    struct sides s;
    int rc = find_sides(m, op, &s);
    if (rc < 0)
        return rc;
    struct node *from = &m->nodes[s.node], *to = s.to_node < 0 ? NULL : &m->nodes[s.to_node];
    if (to != NULL && op->kind == CRASH_NOREPLACE)
        return -EEXIST;
    if (S_ISDIR(from->mode) && is_below(m, s.to_dir, s.node))
        return -EINVAL;
    if (op->kind == CRASH_EXCHANGE)
        return apply_exchange(m, &s);
    if (to != NULL && is_below(m, s.dir, s.to_node) && S_ISDIR(to->mode))
        return -ENOTEMPTY;
    if (to == from)
        return 0;
    if (to != NULL && S_ISDIR(from->mode) != S_ISDIR(to->mode))
        return S_ISDIR(from->mode) ? -ENOTDIR : -EISDIR;
    if (to != NULL && to->entries_n > 0)
        return -ENOTEMPTY;
    if (to != NULL) {
        drop_entry(m, s.to_dir, s.to_name);
        drop_link(to);
    }
    drop_entry(m, s.dir, s.name);
    add_entry(m, s.to_dir, s.to_name, s.node);
    return 0;
}

static int apply_link(struct crash_model *m, const struct crash_op *op)
{
    struct sides s;
    int rc = find_sides(m, op, &s);
    if (rc < 0)
        return rc;
    if (s.to_node >= 0)
        return -EEXIST;
    if (S_ISDIR(m->nodes[s.node].mode))
        return -EPERM;
    m->nodes[s.node].nlink++;
    add_entry(m, s.to_dir, s.to_name, s.node);
    return 0;
}

static void must_resize(struct buf *b, size_t n)
{
    if (buf_resize(b, n) < 0)
        must(NULL);
}

/* Writes the part of an operation that lies in @from <= i < @end. */
static void write_range(struct node *n, const struct crash_op *op, uint64_t from, uint64_t end)
{
    from = max_u64(from, op->offset);
    end = min_u64(end, op->offset + op->length);
    if (op->kind == CRASH_PUNCH)
        end = min_u64(end, n->data.n);
    if (from >= end)
        return;
    if (end > n->data.n)
        must_resize(&n->data, (size_t)end);
    if (op->kind == CRASH_PUNCH)
        memset(n->data.p + from, 0, (size_t)(end - from));
    else if (op->kind != CRASH_ALLOCATE)
        crash_fill(op->fill, from - op->offset, n->data.p + from, (size_t)(end - from));
}

static void remember(struct node *n)
{
    buf_put_u64(&n->past, XXH3_64bits(n->data.p, n->data.n));
    if (buf_status(&n->past) < 0)
        must(NULL);
}

static int apply_data(struct node *n, const struct crash_op *op)
{
    struct crash_op at = *op;
    if (op->kind == CRASH_APPEND)
        at.offset = n->data.n;
    remember(n);
    if (op->kind == CRASH_TRUNCATE)
        must_resize(&n->data, (size_t)op->length);
    else
        write_range(n, &at, 0, UINT64_MAX);
    return 0;
}

static int apply_file(struct crash_model *m, const struct crash_op *op)
{
    int node = lookup(m, op->path);
    if (node < 0)
        return node;
    struct node *n = &m->nodes[node];
    switch (op->kind) {
    case CRASH_CHMOD:
        if (S_ISLNK(n->mode))
            return -EOPNOTSUPP;
        n->mode = (n->mode & S_IFMT) | (op->mode & 07777);
        return 0;
    case CRASH_FSYNC:
        return S_ISLNK(n->mode) ? -ELOOP : 0;
    case CRASH_XATTR:
        if (S_ISLNK(n->mode))
            return -EPERM;
        n->xattr = op->fill | 1;
        return 0;
    default:
        if (!S_ISREG(n->mode))
            return S_ISDIR(n->mode) ? -EISDIR : -ELOOP;
        return apply_data(n, op);
    }
}

int crash_model_apply(struct crash_model *m, const struct crash_op *op)
{
    switch (op->kind) {
    case CRASH_CREATE:
        return apply_make(m, op, S_IFREG);
    case CRASH_MKDIR:
        return apply_make(m, op, S_IFDIR);
    case CRASH_SYMLINK:
        return apply_make(m, op, S_IFLNK);
    case CRASH_UNLINK:
    case CRASH_RMDIR:
        return apply_remove(m, op);
    case CRASH_RENAME:
    case CRASH_NOREPLACE:
    case CRASH_EXCHANGE:
        return apply_rename(m, op);
    case CRASH_LINK:
        return apply_link(m, op);
    default:
        return apply_file(m, op);
    }
}

const char *crash_op_text(const struct crash_op *op)
{
    static const char *const names[CRASH_KIND_N] = {
        "create", "write",   "append", "truncate", "punch", "allocate",
        "unlink", "mkdir",   "rmdir",  "rename",   "move",  "exchange",
        "link",   "symlink", "chmod",  "xattr",    "fsync"};
    static char text[3 * CRASH_PATH_MAX];
    snprintf(text, sizeof text, "%s %s %s offset %llu length %llu fill %llx mode %o",
             names[op->kind], op->path, op->to, (unsigned long long)op->offset,
             (unsigned long long)op->length, (unsigned long long)op->fill, (unsigned)op->mode);
    return text;
}

/* ---- choosing ---- */

static void append_name(char path[CRASH_PATH_MAX], const char *name)
{
    size_t n = strlen(path);
    snprintf(path + n, CRASH_PATH_MAX - n, "%s%s", n > 0 ? "/" : "", name);
}

/* A directory below @top: down at random, most often not far. */
static int choose_dir(const struct crash_model *m, struct crash_rand *r, char path[CRASH_PATH_MAX])
{
    int at = lookup(m, path);
    for (int depth = 0; at >= 0 && depth < DEPTH_MAX && crash_chance(r, 60); depth++) {
        const struct node *d = &m->nodes[at];
        if (d->entries_n == 0)
            break;
        const struct entry *e = &d->entries[crash_below(r, d->entries_n)];
        if (!S_ISDIR(m->nodes[e->node].mode))
            continue;
        append_name(path, e->name);
        at = e->node;
    }
    return at;
}

/* One of the paths below a directory, each as likely as the others. */
struct pick {
    const struct crash_model *m;
    struct crash_rand *r;
    mode_t type; /* 0: any */
    unsigned seen_n;
    char *path;
};

static void pick_below(struct pick *p, int dir, const char *at)
{
    const struct node *d = &p->m->nodes[dir];
    for (size_t i = 0; i < d->entries_n; i++) {
        char path[CRASH_PATH_MAX];
        snprintf(path, sizeof path, "%s", at);
        append_name(path, d->entries[i].name);
        mode_t mode = p->m->nodes[d->entries[i].node].mode;
        if ((p->type == 0 || (mode & S_IFMT) == p->type) && crash_below(p->r, ++p->seen_n) == 0)
            memcpy(p->path, path, sizeof path);
        if (S_ISDIR(mode))
            pick_below(p, d->entries[i].node, path);
    }
}

/* The path of something that is there, of the type wanted; most often. */
static void choose_there(const struct crash_model *m, struct crash_rand *r, const char *top,
                         mode_t type, char path[CRASH_PATH_MAX])
{
    struct pick p = {.m = m, .r = r, .type = type, .path = path};
    snprintf(path, CRASH_PATH_MAX, "%s", top);
    int dir = lookup(m, path);
    if (dir >= 0)
        pick_below(&p, dir, top);
    if (p.seen_n == 0 || crash_chance(r, 3))
        append_name(path, "none");
}

static void choose_new(const struct crash_model *m, struct crash_rand *r, const char *top,
                       char path[CRASH_PATH_MAX])
{
    static const char *const names[NAMES_N] = {"a", "b", "c", "d", "e.txt", "f.bin", "g"};
    for (int tries = 0; tries < 6; tries++) {
        snprintf(path, CRASH_PATH_MAX, "%s", top);
        choose_dir(m, r, path);
        append_name(path, names[crash_below(r, NAMES_N)]);
        if (lookup(m, path) < 0)
            return;
    }
}

static uint64_t choose_length(struct crash_rand *r)
{
    static const uint64_t most[] = {10, 300, 5000, 40000, 100000, CRASH_WRITE_MAX};
    uint64_t n = 1 + crash_below(r, most[crash_below(r, ARRAY_N(most))]);
    return crash_chance(r, 30) ? (n + CRASH_BLOCK - 1) / CRASH_BLOCK * CRASH_BLOCK : n;
}

/* Where to write in a file: inside, at its end, or past it. */
static void choose_data(const struct crash_model *m, struct crash_rand *r, struct crash_op *op)
{
    int node = lookup(m, op->path);
    uint64_t size = node < 0 ? 0 : m->nodes[node].data.n;
    op->length = choose_length(r);
    op->fill = crash_next(r);
    op->offset = crash_below(r, size + 1);
    if (crash_chance(r, 10))
        op->offset = size + crash_below(r, 70000);
    if (crash_chance(r, 30))
        op->offset -= op->offset % CRASH_BLOCK;
    if (op->kind == CRASH_APPEND)
        op->offset = 0;
    uint64_t at = op->kind == CRASH_APPEND ? size : op->offset;
    if (at + op->length > CRASH_FILE_MAX) {
        op->kind = CRASH_TRUNCATE;
        op->offset = 0;
    }
    if (op->kind == CRASH_TRUNCATE) {
        op->length = crash_chance(r, 20) ? 0 : crash_below(r, size + 1);
        if (crash_chance(r, 25))
            op->length = min_u64(size + crash_below(r, 70000), CRASH_FILE_MAX);
    }
}

static enum crash_kind choose_kind(struct crash_rand *r, size_t names)
{
    static const uint8_t weights[CRASH_KIND_N] = {12, 16, 12, 7, 3, 2, 7, 5, 3,
                                                  9,  2,  3,  4, 3, 2, 2, 6};
    /* Not ever larger: above a number of names, more is removed than made. */
    if (names > 60 && crash_chance(r, 40))
        return crash_chance(r, 80) ? CRASH_UNLINK : CRASH_RMDIR;
    unsigned sum = 0;
    for (int i = 0; i < CRASH_KIND_N; i++)
        sum += weights[i];
    unsigned at = (unsigned)crash_below(r, sum);
    for (int i = 0; i < CRASH_KIND_N; i++) {
        if (at < weights[i])
            return (enum crash_kind)i;
        at -= weights[i];
    }
    return CRASH_CREATE;
}

void crash_model_choose(const struct crash_model *m, struct crash_rand *r, const char *top,
                        struct crash_op *ret)
{
    *ret = (struct crash_op){.kind = choose_kind(r, crash_model_names(m))};
    ret->mode = crash_chance(r, 50) ? 0644 : 0700;
    switch (ret->kind) {
    case CRASH_SYMLINK:
        snprintf(ret->to, sizeof ret->to, "target-%llx", (unsigned long long)crash_next(r));
        choose_new(m, r, top, ret->path);
        break;
    case CRASH_CREATE:
    case CRASH_MKDIR:
        choose_new(m, r, top, ret->path);
        break;
    case CRASH_RMDIR:
        choose_there(m, r, top, S_IFDIR, ret->path);
        break;
    case CRASH_RENAME:
    case CRASH_NOREPLACE:
    case CRASH_EXCHANGE:
    case CRASH_LINK:
        choose_there(m, r, top, crash_chance(r, 30) ? S_IFDIR : S_IFREG, ret->path);
        if (crash_chance(r, 50))
            choose_there(m, r, top, 0, ret->to);
        else
            choose_new(m, r, top, ret->to);
        break;
    case CRASH_XATTR:
    case CRASH_CHMOD:
        ret->fill = crash_next(r);
        choose_there(m, r, top, crash_chance(r, 30) ? S_IFDIR : S_IFREG, ret->path);
        break;
    case CRASH_UNLINK:
        choose_there(m, r, top, crash_chance(r, 20) ? S_IFLNK : S_IFREG, ret->path);
        break;
    default:
        choose_there(m, r, top, S_IFREG, ret->path);
        if (ret->kind != CRASH_FSYNC)
            choose_data(m, r, ret);
        break;
    }
}

/* ---- comparing ---- */

struct compare {
    const struct crash_model *m;
    const struct crash_view *v;
    char *why;
    struct buf scratch;
    uint64_t inos[NODES_MAX]; /* of the real tree, by node; 0: not seen */
    size_t names;             /* entries counted by count_name() */
};

static bool differ(struct compare *c, const char *path, const char *what, uint64_t is,
                   uint64_t ought)
{
    snprintf(c->why, 256, "/%s: %s is %llu (0x%llx), has to be %llu (0x%llx)", path, what,
             (unsigned long long)is, (unsigned long long)is, (unsigned long long)ought,
             (unsigned long long)ought);
    return false;
}

static bool failed(struct compare *c, const char *path, const char *what, int rc)
{
    snprintf(c->why, 256, "/%s: %s: %s", path, what, strerror(-rc));
    return false;
}

static bool same_data(struct compare *c, const struct node *n, const char *path)
{
    int rc = S_ISLNK(n->mode) ? c->v->readlink(c->v->arg, path, &c->scratch)
                              : c->v->read(c->v->arg, path, &c->scratch);
    if (rc < 0)
        return failed(c, path, "reading", rc);
    if (c->scratch.n != n->data.n)
        return differ(c, path, "number of bytes read", c->scratch.n, n->data.n);
    for (size_t i = 0; i < n->data.n; i++)
        if (c->scratch.p[i] != n->data.p[i]) {
            size_t bad = 0;
            for (size_t k = i; k < n->data.n; k++)
                bad += c->scratch.p[k] != n->data.p[k];
            snprintf(c->why, 256, "/%s: byte %zu of %zu is %02x, has to be %02x; %zu bytes differ",
                     path, i, n->data.n, c->scratch.p[i], n->data.p[i], bad);
            return false;
        }
    return true;
}

static bool same_xattr(struct compare *c, const struct node *n, const char *path)
{
    uint64_t value = 0;
    int rc = c->v->xattr(c->v->arg, path, &c->scratch);
    if (rc < 0 && rc != -ENODATA)
        return failed(c, path, "reading user.crash", rc);
    if (rc == 0 && c->scratch.n == sizeof value)
        memcpy(&value, c->scratch.p, sizeof value);
    return value == n->xattr || differ(c, path, "user.crash", value, n->xattr);
}

static void count_name(void *arg, const char *name)
{
    (void)name;
    ((struct compare *)arg)->names++;
}

static bool same_node(struct compare *c, int node, const char *path);

static bool same_dir(struct compare *c, const struct node *n, const char *path)
{
    c->names = 0;
    int rc = c->v->list(c->v->arg, path, count_name, c);
    if (rc < 0)
        return failed(c, path, "listing", rc);
    if (c->names != n->entries_n)
        return differ(c, path, "number of entries", c->names, n->entries_n);
    for (size_t i = 0; i < n->entries_n; i++) {
        char below[CRASH_PATH_MAX];
        snprintf(below, sizeof below, "%s", path);
        append_name(below, n->entries[i].name);
        if (!same_node(c, n->entries[i].node, below))
            return false;
    }
    return true;
}

static bool same_node(struct compare *c, int node, const char *path)
{
    const struct node *n = &c->m->nodes[node];
    struct stat st;
    int rc = c->v->stat(c->v->arg, path, &st);
    if (rc < 0)
        return failed(c, path, "stat", rc);
    if (node != 0 && st.st_mode != n->mode)
        return differ(c, path, "mode", st.st_mode, n->mode);
    if (S_ISDIR(n->mode))
        return (node == 0 || same_xattr(c, n, path)) && same_dir(c, n, path);
    if (st.st_nlink != n->nlink)
        return differ(c, path, "number of links", st.st_nlink, n->nlink);
    if ((size_t)st.st_size != n->data.n)
        return differ(c, path, "size", (uint64_t)st.st_size, n->data.n);
    if (c->inos[node] != 0)
        return c->inos[node] == st.st_ino || differ(c, path, "inode", st.st_ino, c->inos[node]);
    c->inos[node] = st.st_ino;
    return same_data(c, n, path) && (S_ISLNK(n->mode) || same_xattr(c, n, path));
}

bool crash_model_same(const struct crash_model *m, const struct crash_view *v, const char *top,
                      char why[256])
{
    int node = lookup(m, top);
    if (node < 0) {
        struct stat st;
        snprintf(why, 256, "/%s: is there and must not be", top);
        return v->stat(v->arg, top, &st) == -ENOENT;
    }
    struct compare *c = must(calloc(1, sizeof *c));
    c->m = m;
    c->v = v;
    c->why = why;
    bool same = same_node(c, node, top);
    buf_fini(&c->scratch);
    free(c);
    return same;
}

/* Takes over the blocks of the real file that are as after @op, if each is as before or after. */
static bool settle_blocks(struct crash_model *m, const struct crash_view *v,
                          const struct crash_op *op)
{
    int node = lookup(m, op->path);
    if (node < 0 ||
        (op->kind != CRASH_WRITE && op->kind != CRASH_PUNCH && op->kind != CRASH_APPEND))
        return false;
    struct node *n = &m->nodes[node];
    struct crash_op at = *op;
    if (op->kind == CRASH_APPEND)
        at.offset = n->data.n;
    uint64_t end = at.offset + at.length;
    CLEANUP(buf_fini) struct buf is = {0};
    if (v->read(v->arg, op->path, &is) < 0)
        return false;
    size_t old = n->data.n;
    remember(n);
    if (is.n != old) {
        /* Size and bytes go together, for each part that arrives on its own. */
        bool part = v->splits && op->kind != CRASH_PUNCH && is.n > old && is.n > at.offset &&
                    is.n < end && is.n % CRASH_BLOCK == 0;
        if (!part)
            return false;
        write_range(n, &at, old, is.n);
    }
    end = min_u64(end, n->data.n);
    for (uint64_t from = at.offset; from < end;) {
        uint64_t to = min_u64(end, (from / CRASH_BLOCK + 1) * CRASH_BLOCK);
        if (memcmp(is.p + from, n->data.p + from, (size_t)(to - from)) != 0)
            write_range(n, &at, from, to);
        from = to;
    }
    return true;
}

/* Takes over the content of a file that @op was emptying, if that is one which it had before. */
static bool settle_emptied(struct crash_model *m, const struct crash_view *v,
                           const struct crash_op *op)
{
    int node = lookup(m, op->path);
    if (!v->saves || node < 0 || op->kind != CRASH_TRUNCATE || op->length > 0)
        return false;
    struct node *n = &m->nodes[node];
    CLEANUP(buf_fini) struct buf is = {0};
    if (v->read(v->arg, op->path, &is) < 0)
        return false;
    uint64_t hash = XXH3_64bits(is.p, is.n);
    for (size_t i = 0; i < n->past.n; i += sizeof hash)
        if (get_u64(n->past.p + i) == hash) {
            must_resize(&n->data, is.n);
            memcpy(n->data.p, is.p, is.n);
            return true;
        }
    return false;
}

enum crash_settled crash_model_settle(struct crash_model *m, const struct crash_view *v,
                                      const char *top, const struct crash_op *op, char why[256])
{
    char without[256], with[256];
    if (crash_model_same(m, v, top, without))
        return CRASH_WITHOUT;
    struct crash_model *after = crash_model_copy(m);
    bool same = crash_model_apply(after, op) == 0 && crash_model_same(after, v, top, with);
    crash_model_free(after);
    if (same)
        return crash_model_apply(m, op) == 0 ? CRASH_WITH : CRASH_WRONG;
    if (settle_blocks(m, v, op) && crash_model_same(m, v, top, with))
        return CRASH_MIXED;
    if (settle_emptied(m, v, op) && crash_model_same(m, v, top, with))
        return CRASH_WITHOUT;
    snprintf(why, 256, "neither as before (%.108s) nor as after (%.108s)", without, with);
    return CRASH_WRONG;
}

void crash_model_put(struct crash_model *m, const char *path, struct bytes bytes)
{
    struct buf *data = &m->nodes[lookup(m, path)].data;
    buf_reset(data);
    buf_put_bytes(data, bytes);
}

size_t crash_model_names(const struct crash_model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->nodes_n; i++)
        if (m->nodes[i].mode != 0)
            n += m->nodes[i].entries_n;
    return n;
}

bool crash_model_read(const struct crash_model *m, const char *path, struct bytes *ret)
{
    int node = lookup(m, path);
    if (node < 0 || !S_ISREG(m->nodes[node].mode))
        return false;
    *ret = buf_bytes(&m->nodes[node].data);
    return true;
}
