/*
 * How many changes of another replica are applied in a second, on one core: creations, saves, moves
 * of files and of directories, deletions, in a tree that grows. In memory, or on a disk in DIR.
 *
 *     bench_replica CHANGES BATCH [DIR]
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fs/replica/exchange.h"

enum { DIRS_MAX = 2000, FILES_MAX = 20000 };

struct node {
    struct rid rid;
    bool there;
};

struct bench {
    struct replica *r;
    struct db *db;
    struct db_batch *batch;
    struct node dir[DIRS_MAX], file[FILES_MAX];
    int dirs, files;
    uint64_t random, number, now_ms;
    int kind[5]; /* how many of each were made */
};

static uint64_t below(struct bench *b, uint64_t n)
{
    b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (b->random >> 33) % n;
}

static uint64_t now_ms(void *ctx)
{
    struct bench *b = ctx;
    return b->now_ms += 10;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench_replica: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static void start(struct bench *b, uint64_t id, const char *dir)
{
    struct err err = {0};
    struct replica_config cfg = {.id = id, .label = "bench", .now_ms = now_ms, .ctx = b};
    *b = (struct bench){.random = 7, .now_ms = UINT64_C(1795356245000)};
    must(db_open(dir != NULL ? dir : "/bench",
                 &(struct db_config){.create = true, .in_memory = dir == NULL}, &b->db, &err),
         err.msg);
    must(replica_open(b->db, &cfg, &b->r, &err), err.msg);
    b->batch = db_batch_new(b->db);
    assert(b->batch != NULL);
}

static void stop(struct bench *b)
{
    replica_close(b->r);
    db_batch_free(b->batch);
    db_close(b->db);
}

static void written(struct bench *b)
{
    must(db_write(b->db, b->batch, false), "writing");
    replica_committed(b->r);
    db_batch_clear(b->batch);
}

/* ---- making changes -------------------------------------------------------------------------- */

static const struct dot first = {0, 0};

static struct rid some_dir(struct bench *b)
{
    return b->dirs > 0 ? b->dir[below(b, (uint64_t)b->dirs)].rid : RID_ROOT;
}

static void content(struct bench *b, char text[32], struct value_content *ret)
{
    snprintf(text, 32, "content %llu", (unsigned long long)++b->number);
    *ret = (struct value_content){.size = strlen(text), .body = bytes_str(text)};
    hash_equal_of(replica_keys(b->r), bytes_str(text), ret->hash);
}

static int create(struct bench *b, struct change *c, enum kind kind, struct rid *ret)
{
    char name[32], text[32];
    struct value_content v;
    struct rid parent = some_dir(b);
    content(b, text, &v);
    snprintf(name, sizeof name, "name %llu", (unsigned long long)b->number);
    return change_create(c, kind, &parent, bytes_str(name), &(struct value_meta){.mode = 0644},
                         kind == KIND_DIR ? NULL : &v, ret);
}

static int move(struct bench *b, struct change *c, const struct rid *rid)
{
    char name[32];
    struct rid parent = some_dir(b);
    snprintf(name, sizeof name, "moved %llu", (unsigned long long)++b->number);
    return change_move(c, rid, &first, &parent, bytes_str(name));
}

static int one_change(struct bench *b, struct change *c)
{
    uint64_t x = below(b, 100);
    struct node *f = b->files > 0 ? &b->file[below(b, (uint64_t)b->files)] : NULL;
    if (b->files < 20 || (x < 30 && b->files < FILES_MAX)) {
        struct node *made = &b->file[b->files++];
        made->there = true;
        b->kind[0]++;
        return create(b, c, KIND_FILE, &made->rid);
    }
    if (b->dirs < 20 || (x < 33 && b->dirs < DIRS_MAX)) {
        b->kind[0]++;
        return create(b, c, KIND_DIR, &b->dir[b->dirs++].rid);
    }
    if (x < 43) { /* a directory with all that is in it; not into itself */
        b->kind[1]++;
        return move(b, c, &b->dir[below(b, (uint64_t)b->dirs)].rid);
    }
    if (!f->there)
        return -ENOENT;
    if (x < 53) {
        b->kind[2]++;
        return move(b, c, &f->rid);
    }
    if (x < 58) {
        b->kind[3]++;
        f->there = false;
        return change_unlink(c, &f->rid, &first);
    }
    char text[32];
    struct value_content v;
    content(b, text, &v);
    b->kind[4]++;
    return change_edit(c, &f->rid, &v, NULL);
}

static void author(struct bench *b, int n)
{
    for (int made = 0; made < n;) {
        struct change *c = replica_begin(b->r, b->batch);
        assert(c != NULL);
        if (one_change(b, c) < 0) {
            replica_cancel(c);
            continue;
        }
        must(replica_commit(c, NULL), "committing");
        written(b);
        made++;
    }
}

/* ---- taking them ----------------------------------------------------------------------------- */

static void take(struct bench *b, struct bytes all, int batch)
{
    struct reader in = reader_of(all);
    uint8_t head[HASH_SIZE] = {0};
    for (int n = 1; in.n > 0; n++) {
        put_u64(head, (uint64_t)n);
        must(replica_apply(b->r, b->batch, reader_string(&in, in.n), head), "applying");
        if (n % batch == 0)
            written(b);
    }
    written(b);
}

static void collect(struct bench *b, const struct dot *dot, struct buf *all)
{
    struct buf one = {0};
    must(replica_change_get(b->r, dot, &one), "reading a change");
    buf_put_string(all, buf_bytes(&one));
    buf_fini(&one);
}

int main(int argc, char **argv)
{
    static struct bench a, b;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_replica CHANGES BATCH [DIR]\n");
        return 2;
    }
    int n = atoi(argv[1]), batch = atoi(argv[2]);
    struct buf all = {0};
    start(&a, 1, NULL);
    start(&b, 2, argc > 3 ? argv[3] : NULL);
    double begin = seconds(), authored = 0;
    for (int i = 1; i <= n; i++) {
        author(&a, 1);
        authored += seconds() - begin;
        collect(&a, &(struct dot){1, (uint64_t)i}, &all);
        begin = seconds();
    }
    take(&b, buf_bytes(&all), batch);
    double applied = seconds() - begin;
    printf(
        "%d changes: %d creations, %d moves of directories, %d of files, %d deletions, %d saves\n",
        n, a.kind[0], a.kind[1], a.kind[2], a.kind[3], a.kind[4]);
    printf("authored %.0f a second, applied %.0f a second, %d in a batch\n", n / authored,
           n / applied, batch);
    buf_fini(&all);
    stop(&a);
    stop(&b);
    return 0;
}
