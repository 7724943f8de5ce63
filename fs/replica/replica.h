/*
 * fs/replica/replica - the replicated records of one space: what devices agree on.
 *
 * A record is a file, directory or symlink through all its names and versions. It consists of
 * values, which changes bring: own ones (authoring, below) and others' (exchange.h). What the
 * values show, a tree of entries, is a pure function of the set of values, kept up to date here
 * incrementally. The rules: fs/replica/README.md.
 *
 * Writing. A change is put in a batch of the caller together with the caller's own keys. The caller
 * then writes the batch and says so:
 *
 *     struct change *c = replica_begin(r, batch);
 *     rc = change_create(c, ...);            // more operations, each sees those before it
 *     rc = replica_commit(c, &dot);          // or replica_cancel(c): forgets this change alone
 *     replica_effects(r, fn, ctx);           // what became of the shown tree, if wanted
 *     rc = db_write(db, batch, false);
 *     rc == 0 ? replica_committed(r) : replica_abort(r);
 *
 * Several changes, and applied ones, may share a batch. All queries see what is in the batch.
 * replica_abort() forgets everything since the last replica_committed(); the batch is the caller's
 * to clear. An operation that fails leaves the change as it was before it.
 *
 * Thread: a replica belongs to one thread at a time (the caller holds a lock), from before the
 * first operation on a batch until replica_committed(). No time(), no threads, no logging inside.
 * Any function may return -ENOMEM, -EIO, -EUCLEAN (stored data contradicts itself).
 */
#ifndef FS_REPLICA_REPLICA_H
#define FS_REPLICA_REPLICA_H

#include "fs/store/db.h"
#include "proto/hash.h"
#include "proto/value.h"

struct replica;
struct change;

struct replica_config {
    uint8_t secret[SPACE_SECRET_SIZE]; /* the space secret; copied, wiped at close */
    uint64_t id;                       /* own replica id, used when the database has none yet */
    const char *label;                 /* own label, for conflict names; copied */

    /* Wall clock, milliseconds since 1970. */
    uint64_t (*now_ms)(void *ctx);
    /*
     * The label of the device that owns replica @id, for conflict names; false: not known, then 8
     * digits of the id stand in. Devices show equal names only where they give equal labels; when
     * an answer changes: replica_relabel(); names may be those of before until then. NULL: only the
     * own label is known.
     */
    bool (*label_of)(void *ctx, uint64_t id, char ret[LIMIT_LABEL + 1]);
    /*
     * A version with @body is put into, or taken out of, the batch: the content layer adds or drops
     * its references in the same batch. Called from replica_commit(), _apply(), _thin() and the
     * like, never from within an operation of a change. May be NULL. A negative errno fails the
     * call.
     */
    int (*version_added)(void *ctx, struct db_batch *batch, const struct rid *rid,
                         const struct dot *dot, struct bytes body);
    int (*version_removed)(void *ctx, struct db_batch *batch, const struct rid *rid,
                           const struct dot *dot, struct bytes body);
    /*
     * Whether a version that replica_thin() would remove has to stay, because a file is based on
     * it: 1, 0, or a negative errno, which fails the call. May be NULL.
     */
    int (*version_kept)(void *ctx, const struct rid *rid, const struct dot *dot);
    /* A change was committed (@own) or applied; called from replica_committed(). May be NULL. */
    void (*changed)(void *ctx, const struct dot *dot, bool own);
    /* What was put into the batch is not to be written: called from replica_abort(). May be NULL.
     */
    void (*aborted)(void *ctx);
    void *ctx; /* for all of these */
};

/**
 * Opens the replica in @db, which must outlive it; makes it when the database has none.
 * Errors: -EINVAL a bad @cfg, -EUCLEAN, -ENOTSUP of a newer format.
 */
int replica_open(struct db *db, const struct replica_config *cfg, struct replica **ret_replica,
                 struct err *err) MUST_CHECK;

/** Nothing may be pending (asserted). Accepts NULL. */
void replica_close(struct replica *r);

/** The keys derived from the space secret, as long as @r lives. */
const struct space_keys *replica_keys(const struct replica *r);
uint64_t replica_id(const struct replica *r);

/* ---- authoring ---------------------------------------------------------------------------------
 *
 * Records are named by id; @slot says which of a record's names (none, {0, 0}, is the first). Names
 * are those shown. Common errors: -ENOENT no such record or entry is shown, -EINVAL a name that is
 * not allowed or wrong kind of argument, -ENOTDIR, -EEXIST, -E2BIG more than LIMIT_CHANGE_PARTS.
 */

/** Begins a change. NULL when memory ran out. One at a time (asserted). */
struct change *replica_begin(struct replica *r, struct db_batch *batch) MUST_CHECK;

/**
 * Finishes: all goes into the batch and the counter is used up. @ret_dot (may be NULL) names the
 * change; with no operation in it, it is {0, 0} and nothing was written. @c is gone in any case;
 * after an error nothing of it is left.
 */
int replica_commit(struct change *c, struct dot *ret_dot) MUST_CHECK;

/** Forgets the change @c alone. Accepts NULL. */
void replica_cancel(struct change *c);

/** The batch was written: what was pending is now so. */
void replica_committed(struct replica *r);
/** It was not: forgets everything pending since replica_committed(), open change included. */
void replica_abort(struct replica *r);

/** The dot that the open change has. */
struct dot change_dot(const struct change *c);

/**
 * Makes a record, or continues a deleted one of that path. @content is NULL for directories (only).
 * A directory that is shown only for what is in it is revived, here and in all operations below.
 * @ret_rid: its id; its slot is none. Errors: -EEXIST the name is shown, -ENAMETOOLONG deeper than
 * LIMIT_DEPTH.
 */
int change_create(struct change *c, enum kind kind, const struct rid *parent, struct bytes name,
                  const struct value_meta *meta, const struct value_content *content,
                  struct rid *ret_rid) MUST_CHECK;

/**
 * New content. @base: the version that the editing program had opened, NULL for the current one. If
 * it is not the one shown now, what is shown stays as a conflict sibling: the caller may instead
 * merge the two first, and then gives the current one as @base. An open conflict is settled
 * likewise.
 */
int change_edit(struct change *c, const struct rid *rid, const struct value_content *content,
                const struct dot *base) MUST_CHECK;

/** New mode and attributes. The root (RID_ROOT) has them too. */
int change_meta(struct change *c, const struct rid *rid, const struct value_meta *meta) MUST_CHECK;

/** Deletes one name, or a directory. -ENOTEMPTY when something is shown in it. */
int change_unlink(struct change *c, const struct rid *rid, const struct dot *slot) MUST_CHECK;

/**
 * Renames; what is shown at the new name is deleted in the same change. To its own name: nothing.
 * Errors: -EISDIR, -ENOTDIR, -ENOTEMPTY as rename(2) has them, -EINVAL into itself or below,
 * -EEXIST the new name is another name of the same record.
 */
int change_move(struct change *c, const struct rid *rid, const struct dot *slot,
                const struct rid *new_parent, struct bytes new_name) MUST_CHECK;

/** Two entries change places (RENAME_EXCHANGE). -EINVAL when one is above the other. */
int change_exchange(struct change *c, const struct rid *a, const struct dot *a_slot,
                    const struct rid *b, const struct dot *b_slot) MUST_CHECK;

/**
 * A further name of a file or symlink; @ret_slot: its slot. Errors: -EEXIST, -EPERM a directory,
 * -EMLINK more than LIMIT_LINKS, -EAGAIN the record got a name in this change already: commit
 * first.
 */
int change_link(struct change *c, const struct rid *rid, const struct rid *parent,
                struct bytes name, struct dot *ret_slot) MUST_CHECK;

/* How an open conflict is resolved. */
enum resolve {
    RESOLVE_KEEP_BOTH, /* the shown one stays, each loser becomes a sibling file */
    RESOLVE_LATER,     /* the shown one stays, the others are left to history */
    RESOLVE_MERGED     /* @merged replaces all but those @beside, which become sibling files */
};

/**
 * Resolves an open conflict. @merged and @beside (contents of the conflict, never the shown one):
 * only for RESOLVE_MERGED. Errors: -ENOENT not shown, -EALREADY no conflict is open or it has not
 * what is in @beside, -EAGAIN parts of it are still on their way (see replica_know()).
 */
int change_resolve(struct change *c, const struct rid *rid, enum resolve how,
                   const struct value_content *merged, const struct dot *beside,
                   size_t beside_n) MUST_CHECK;

/* ---- queries ------------------------------------------------------------------------------------
 */

/* One shown name. */
struct replica_entry {
    struct rid rid;
    struct dot slot;
    struct rid parent;
    uint8_t name_len;
    char name[LIMIT_NAME + 1]; /* as shown; NUL-terminated */
};

/* A content value, its body apart: replica_version_get(). */
struct replica_content {
    struct dot dot; /* names the version; {0, 0}: none */
    struct stamp stamp;
    uint64_t size;
    int64_t mtime_ns;
    uint8_t hash[HASH_SIZE];
};

struct replica_info {
    bool held;      /* a name of it, alive or deleted, is known */
    bool alive;     /* not deleted; false for a directory that is shown for what is in it */
    bool shown;     /* has at least one shown entry (the root: always) */
    bool suspended; /* a directory that concurrent moves put in a cycle: shown elsewhere */
    bool conflict;  /* two or more contents wait for a resolution */
    bool has_meta;
    uint32_t mode;
    struct replica_content content; /* the shown one */
};

/** The entry shown at @name in @parent. -ENOENT. */
int replica_lookup(struct replica *r, const struct rid *parent, struct bytes name,
                   struct replica_entry *ret) MUST_CHECK;

/** Called for each; not 0 ends the walk and is returned. It must not call the replica. */
typedef int (*replica_entry_fn)(void *ctx, const struct replica_entry *entry);

/** Every entry shown in directory @dir, in no special order. */
int replica_list(struct replica *r, const struct rid *dir, replica_entry_fn fn,
                 void *ctx) MUST_CHECK;

/** Every shown entry of a record. */
int replica_entries(struct replica *r, const struct rid *rid, replica_entry_fn fn,
                    void *ctx) MUST_CHECK;

/** State of a record; of an unknown one all is zero. */
int replica_stat(struct replica *r, const struct rid *rid, struct replica_info *ret) MUST_CHECK;

/** Encoded attributes (value_xattr_next()) of a record; none: empty. Replaces what is in @ret. */
int replica_xattrs(struct replica *r, const struct rid *rid, struct buf *ret) MUST_CHECK;

/** Whether @v, a value of a change, is superseded by one that is held: 1; 0. */
int replica_is_superseded(struct replica *r, const struct value *v) MUST_CHECK;

/** Every content value that takes part in an open conflict, the shown one first. */
int replica_contents(struct replica *r, const struct rid *rid,
                     int (*fn)(void *ctx, const struct replica_content *content),
                     void *ctx) MUST_CHECK;

/** The body of a version, current or old. Replaces what is in @ret. -ENOENT. */
int replica_version_get(struct replica *r, const struct rid *rid, const struct dot *dot,
                        struct buf *ret) MUST_CHECK;

/** Every record with an open conflict, shown or not. */
int replica_conflicts(struct replica *r, int (*fn)(void *ctx, const struct rid *rid),
                      void *ctx) MUST_CHECK;

/* ---- effects ------------------------------------------------------------------------------------
 */

/* A name that appeared, went, or changed. */
struct replica_place {
    struct dot slot;
    bool was, is;              /* shown before, shown now */
    struct replica_entry from; /* if was */
    struct replica_entry to;   /* if is */
};

/* What became of one record. */
struct replica_effect {
    struct rid rid;
    bool content, meta;                 /* what it shows now differs */
    const struct replica_place *places; /* the names that changed; borrowed for the call */
    size_t places_n;
};

/**
 * What differs between the state at the last replica_committed() and now, with all that is pending:
 * one call per record, in no special order. To bring a tree up to date take away every @from first,
 * then add every @to. A parent may not have an entry itself yet: what is in a directory may arrive
 * before the directory, which then is an effect of its own, without its content being repeated.
 * A not-0 return of @fn ends the walk and is returned; it may query the replica, not change it.
 */
int replica_effects(struct replica *r, int (*fn)(void *ctx, const struct replica_effect *effect),
                    void *ctx) MUST_CHECK;

/** The label of replica @id, or 8 digits of it, as conflict names have it: fit for a file name. */
void replica_label(struct replica *r, uint64_t id, char ret[LIMIT_LABEL + 1]);

/** Label answers changed: computes all conflict names anew. Pending in @batch like a change. */
int replica_relabel(struct replica *r, struct db_batch *batch) MUST_CHECK;

#endif
