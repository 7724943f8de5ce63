#include "ramfs_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct entry **buckets; /* a power of two of them */
static size_t buckets_n, entries_n;
static struct node root;

struct node *node_of(uint64_t ino)
{
    return ino == 1 ? &root : (struct node *)(uintptr_t)ino;
}

uint64_t node_ino(const struct node *n)
{
    return n == &root ? 1 : (uint64_t)(uintptr_t)n;
}

void node_changed(struct node *node, bool content)
{
    clock_gettime(CLOCK_REALTIME, &node->st.st_ctim);
    if (content)
        node->st.st_mtim = node->st.st_ctim;
}

static void node_start(struct node *n, const struct node_new *what)
{
    n->st = (struct stat){.st_ino = node_ino(n),
                          .st_mode = what->mode,
                          .st_uid = what->uid,
                          .st_gid = what->gid,
                          .st_rdev = what->rdev,
                          .st_nlink = S_ISDIR(what->mode) ? 2 : 1,
                          .st_blksize = 4096};
    node_changed(n, true);
    n->st.st_atim = n->st.st_mtim;
}

int ramfs_tree_start(void)
{
    buckets_n = 1 << 16;
    buckets = calloc(buckets_n, sizeof(struct entry *));
    if (buckets == NULL)
        return -ENOMEM;
    struct node_new what = {.mode = S_IFDIR | 0755, .uid = getuid(), .gid = getgid()};
    node_start(&root, &what);
    root.parent = &root;
    return 0;
}

/* ---- bytes ---- */

static int make_room(struct node *file, uint64_t n)
{
    if (n <= file->room)
        return 0;
    if (n > INT64_MAX / 2)
        return -EFBIG;
    size_t room = file->room * 2 > n ? file->room * 2 : (size_t)n;
    char *p = realloc(file->data, room);
    if (p == NULL)
        return -ENOMEM;
    file->data = p;
    file->room = room;
    return 0;
}

static void set_size(struct node *file, uint64_t n)
{
    file->st.st_size = (off_t)n;
    file->st.st_blocks = (blkcnt_t)((n + 511) / 512);
}

int node_resize(struct node *file, uint64_t n)
{
    int rc = make_room(file, n);
    if (rc < 0)
        return rc;
    uint64_t old = (uint64_t)file->st.st_size;
    if (n > old)
        memset(file->data + old, 0, n - old);
    set_size(file, n);
    node_changed(file, true);
    return 0;
}

int node_write(struct node *file, const char *p, size_t n, uint64_t at)
{
    uint64_t size = (uint64_t)file->st.st_size, end;
    if (__builtin_add_overflow(at, n, &end))
        return -EFBIG;
    int rc = make_room(file, end);
    if (rc < 0)
        return rc;
    if (at > size)
        memset(file->data + size, 0, at - size);
    memcpy(file->data + at, p, n);
    if (end > size)
        set_size(file, end);
    node_changed(file, true);
    return 0;
}

/* ---- names ---- */

static uint64_t hash_of(const struct node *dir, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(uintptr_t)dir;
    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h ^ h >> 32;
}

static struct entry **bucket_of(uint64_t hash)
{
    return &buckets[hash & (buckets_n - 1)];
}

static struct entry *find(const struct node *dir, const char *name)
{
    uint64_t hash = hash_of(dir, name);
    struct entry *e = *bucket_of(hash);
    while (e != NULL && (e->hash != hash || e->dir != dir || strcmp(e->name, name) != 0))
        e = e->next;
    return e;
}

struct node *name_find(const struct node *dir, const char *name)
{
    struct entry *e = find(dir, name);
    return e != NULL ? e->node : NULL;
}

static void grow_buckets(void)
{
    struct entry **old = buckets, **grown = calloc(buckets_n * 2, sizeof(struct entry *));
    if (grown == NULL)
        return; /* slower, no more */
    size_t old_n = buckets_n;
    buckets = grown;
    buckets_n *= 2;
    for (size_t i = 0; i < old_n; i++)
        for (struct entry *e = old[i], *next; e != NULL; e = next) {
            next = e->next;
            e->next = *bucket_of(e->hash);
            *bucket_of(e->hash) = e;
        }
    free(old);
}

static int add(struct node *dir, const char *name, struct node *node)
{
    if (dir->slots_n == dir->slots_room) {
        size_t room = dir->slots_room * 2 + 8;
        struct entry **p = realloc(dir->slots, room * sizeof *p);
        if (p == NULL)
            return -ENOMEM;
        dir->slots = p;
        dir->slots_room = room;
    }
    size_t n = strlen(name) + 1;
    struct entry *e = malloc(sizeof *e + n);
    if (e == NULL)
        return -ENOMEM;
    *e = (struct entry){.dir = dir, .node = node, .slot = dir->slots_n, .hash = hash_of(dir, name)};
    memcpy(e->name, name, n);
    if (++entries_n > buckets_n)
        grow_buckets();
    e->next = *bucket_of(e->hash);
    *bucket_of(e->hash) = e;
    dir->slots[dir->slots_n++] = e;
    dir->st.st_size++;
    if (S_ISDIR(node->st.st_mode)) {
        dir->st.st_nlink++;
        node->parent = dir;
    }
    node_changed(dir, true);
    return 0;
}

static void take_away(struct entry *e)
{
    struct entry **at = bucket_of(e->hash);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    entries_n--;
    struct node *dir = e->dir;
    dir->slots[e->slot] = NULL;
    while (dir->slots_n > 0 && dir->slots[dir->slots_n - 1] == NULL)
        dir->slots_n--;
    dir->st.st_size--;
    dir->st.st_nlink -= S_ISDIR(e->node->st.st_mode);
    node_changed(dir, true);
    free(e);
}

static void free_if_unused(struct node *n)
{
    if (n == &root || n->st.st_nlink > 0 || n->lookups > 0)
        return;
    free(n->data);
    free(n->slots);
    free(n);
}

void node_forget(struct node *n, uint64_t lookups)
{
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    free_if_unused(n);
}

/* @n has lost a name. */
static void lose_name(struct node *n)
{
    n->st.st_nlink -= S_ISDIR(n->st.st_mode) ? 2 : 1;
    node_changed(n, false);
    free_if_unused(n);
}

int name_make(struct node *dir, const char *name, const struct node_new *what, struct node **ret)
{
    if (find(dir, name) != NULL)
        return -EEXIST;
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return -ENOMEM;
    node_start(n, what);
    if ((dir->st.st_mode & S_ISGID) != 0) {
        n->st.st_gid = dir->st.st_gid;
        n->st.st_mode |= S_ISDIR(what->mode) ? S_ISGID : 0;
    }
    int rc = what->target != NULL ? node_write(n, what->target, strlen(what->target) + 1, 0) : 0;
    if (rc == 0)
        rc = add(dir, name, n);
    if (rc < 0) {
        free(n->data);
        free(n);
        return rc;
    }
    if (what->target != NULL)
        set_size(n, strlen(what->target));
    *ret = n;
    return 0;
}

int name_link(struct node *node, struct node *dir, const char *name)
{
    int rc = find(dir, name) != NULL ? -EEXIST : add(dir, name, node);
    if (rc == 0) {
        node->st.st_nlink++;
        node_changed(node, false);
    }
    return rc;
}

/* May @n be removed where a folder, or no folder, is expected? */
static int removable(const struct node *n, bool folder)
{
    if (S_ISDIR(n->st.st_mode) != folder)
        return folder ? -ENOTDIR : -EISDIR;
    return folder && n->slots_n > 0 ? -ENOTEMPTY : 0;
}

int name_remove(struct node *dir, const char *name, bool folder)
{
    struct entry *e = find(dir, name);
    int rc = e == NULL ? -ENOENT : removable(e->node, folder);
    if (rc < 0)
        return rc;
    struct node *n = e->node;
    take_away(e);
    lose_name(n);
    return 0;
}

static void exchange(struct entry *a, struct entry *b)
{
    struct node *n = a->node;
    a->node = b->node;
    b->node = n;
    struct entry *both[] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        struct node *moved = both[i]->node, *from = both[1 - i]->dir;
        node_changed(moved, false);
        node_changed(both[i]->dir, true);
        if (S_ISDIR(moved->st.st_mode)) {
            from->st.st_nlink--;
            both[i]->dir->st.st_nlink++;
            moved->parent = both[i]->dir;
        }
    }
}

int name_rename(struct node *dir, const char *name, struct node *to, const char *new_name,
                unsigned flags)
{
    struct entry *from = find(dir, name), *over = find(to, new_name);
    if (from == NULL || (over == NULL && (flags & RENAME_EXCHANGE) != 0))
        return -ENOENT;
    if (over != NULL && (flags & RENAME_NOREPLACE) != 0)
        return -EEXIST;
    if ((flags & RENAME_EXCHANGE) != 0) {
        exchange(from, over);
        return 0;
    }
    struct node *n = from->node, *old = over != NULL ? over->node : NULL;
    if (old == n)
        return 0;
    int rc = old != NULL ? removable(old, S_ISDIR(n->st.st_mode)) : 0;
    if (rc == 0 && old == NULL)
        rc = add(to, new_name, n);
    if (rc < 0)
        return rc;
    take_away(from);
    if (old != NULL) { /* which was of the same kind: the count of @to's folders stays */
        over->node = n;
        if (S_ISDIR(n->st.st_mode))
            n->parent = to;
        node_changed(to, true);
        lose_name(old);
    }
    node_changed(n, false);
    return 0;
}
