/*
 * A replica against bytes from outside. The first byte says what they are: a change of another
 * device, or a row of the database, which may be damaged. Any answer is right that is not a crash,
 * and what was refused must have changed nothing.
 */
#include <stdlib.h>

#include "fs/replica/exchange.h"
#include "fs/replica/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AS_CHANGE, AS_RECORD, AS_NODE, AS_NAME, AS_LOSER, AS_VERSION, AS_N };

static struct db *db;
static struct db_batch *batch;
static struct replica *replica;
static struct rid dir, file;
static struct dot file_dot;

static uint64_t now_ms(void *ctx)
{
    (void)ctx;
    return UINT64_C(1795356245000);
}

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void start(void)
{
    const struct rid root = RID_ROOT;
    const struct value_meta meta = {.mode = 0755};
    const struct value_content content = {.size = 1, .body = bytes_str("x")};
    struct replica_config cfg = {.secret = "fuzz", .id = 1, .label = "fuzz", .now_ms = now_ms};
    need(db_open("/fuzz", &(struct db_config){.create = true, .in_memory = true}, &db, NULL) == 0);
    need(replica_open(db, &cfg, &replica, NULL) == 0);
    batch = db_batch_new(db);
    struct change *c = replica_begin(replica, batch);
    need(c != NULL && change_create(c, KIND_DIR, &root, bytes_str("d"), &meta, NULL, &dir) == 0);
    need(change_create(c, KIND_FILE, &dir, bytes_str("f"), &meta, &content, &file) == 0);
    need(replica_commit(c, &file_dot) == 0 && db_write(db, batch, false) == 0);
    replica_committed(replica);
    db_batch_clear(batch);
}

static int any_entry(void *ctx, const struct replica_entry *e)
{
    (void)ctx;
    (void)e;
    return 0;
}

static int any_effect(void *ctx, const struct replica_effect *e)
{
    (void)ctx;
    (void)e;
    return 0;
}

static int any_version(void *ctx, const struct history_version *v)
{
    (void)ctx;
    (void)v;
    return 0;
}

static void look(void)
{
    const struct rid root = RID_ROOT;
    struct replica_info info;
    struct replica_entry e;
    struct buf b = {0};
    (void)!replica_list(replica, &root, any_entry, NULL);
    (void)!replica_list(replica, &dir, any_entry, NULL);
    (void)!replica_lookup(replica, &dir, bytes_str("f"), &e);
    (void)!replica_stat(replica, &file, &info);
    (void)!replica_entries(replica, &file, any_entry, NULL);
    (void)!replica_versions(replica, &file, any_version, NULL);
    (void)!replica_version_get(replica, &file, &file_dot, &b);
    (void)!replica_effects(replica, any_effect, NULL);
    buf_fini(&b);
}

static void apply(struct bytes in)
{
    int rc = replica_apply(replica, batch, in, NULL);
    need(rc > 0 || db_batch_n(batch) == 0);
    look();
    replica_abort(replica);
    db_batch_clear(batch);
}

/* The row that is replaced, and its family. */
static enum db_cf key_of_row(int as, struct buf *key)
{
    static const uint8_t tags[AS_N] = {0, 0, 'D', 'N', 'L', 'v'};
    if (as != AS_RECORD)
        buf_put_u8(key, tags[as]);
    rid_put(key, as == AS_NAME || as == AS_LOSER ? &dir : &file);
    if (as == AS_NAME || as == AS_LOSER)
        buf_put(key, "f", 1);
    if (as == AS_VERSION)
        dot_put(key, &file_dot);
    return as == AS_RECORD ? DB_RECORD : as == AS_VERSION ? DB_VERSION : DB_SHOWN;
}

static void work(void)
{
    const struct dot none = {0, 0};
    const struct value_content content = {.size = 2, .body = bytes_str("yy")};
    struct change *c = replica_begin(replica, batch);
    need(c != NULL);
    (void)!change_edit(c, &file, &content, NULL);
    (void)!change_move(c, &file, &none, &dir, bytes_str("g"));
    (void)!change_unlink(c, &file, &none);
    (void)!change_unlink(c, &dir, &none);
    replica_abort(replica);
    db_batch_clear(batch);
}

static void damage(int as, struct bytes in)
{
    struct buf key = {0};
    struct db_value old = {0};
    enum db_cf cf = key_of_row(as, &key);
    int had = db_get(db, cf, buf_bytes(&key), &old);
    db_batch_put(batch, cf, buf_bytes(&key), in);
    need(db_write(db, batch, false) == 0);
    db_batch_clear(batch);
    look();
    work();
    if (had == 0)
        db_batch_put(batch, cf, buf_bytes(&key), old.v);
    else
        db_batch_delete(batch, cf, buf_bytes(&key));
    need(db_write(db, batch, false) == 0);
    db_batch_clear(batch);
    db_value_fini(&old);
    buf_fini(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (db == NULL)
        start();
    if (size == 0)
        return 0;
    int as = data[0] % AS_N;
    struct bytes in = bytes_of(data + 1, size - 1);
    if (as == AS_CHANGE)
        apply(in);
    else
        damage(as, in);
    return 0;
}
