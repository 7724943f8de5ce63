/*
 * tests/support/replica_world - a few replicas of one space, in memory, worked on by path.
 *
 * Operations by path return 0 or a negative errno and are one change each. Contents are short
 * strings. Every step is checked: the derived state must equal a full derivation of the same
 * values, and the effects reported must turn the tree of before into that of after.
 */
#ifndef TESTS_SUPPORT_REPLICA_WORLD_H
#define TESTS_SUPPORT_REPLICA_WORLD_H

#include "fs/replica/exchange.h"
#include "fs/replica/history.h"
#include "tests/support/replica_full.h"

enum { WORLD_MAX = 10 };

/* The process of a device dies at its next write: the batch is written, or not. */
enum world_crash { CRASH_NOT, CRASH_BEFORE, CRASH_AFTER };

struct device {
    struct world *w;
    struct db *db;
    struct db_batch *batch;
    struct replica *r;
    uint64_t id;
    enum world_crash crash;
    struct change *joined;         /* operations are part of this change */
    int64_t ahead_ms;              /* of the world's clock */
    uint64_t signed_to;            /* own changes up to here have a head hash */
    struct replica_entry *entries; /* all that is shown, as the effects told */
    size_t entries_n, entries_cap;
};

/* The head hash of a change. */
struct world_head {
    struct dot dot;
    uint8_t hash[HASH_SIZE];
};

struct world {
    struct device d[WORLD_MAX];
    int n;
    uint64_t now_ms; /* each operation takes a second */
    uint64_t crashes;
    bool unchecked;           /* for speed: no full derivations */
    struct world_head *heads; /* of what was signed, ascending */
    size_t heads_n;
};

/** @n replicas with ids 1 to @n, called dev1, dev2, …, all empty. */
struct world *world_new(int n);
void world_free(struct world *w);
/** The label that replicas of a world have. */
void world_label(uint64_t replica, char ret[LIMIT_LABEL + 1]);
/** Labels are @stem, which is borrowed, and the id from now on; "dev" at first. */
void world_rename_devices(const char *stem);

int world_mkdir(struct world *w, int i, const char *path);
int world_create(struct world *w, int i, const char *path, const char *content);
int world_edit(struct world *w, int i, const char *path, const char *content);
int world_chmod(struct world *w, int i, const char *path, uint32_t mode);
int world_rm(struct world *w, int i, const char *path);
/** Deletes a directory with what is in it, one change each. */
int world_rmtree(struct world *w, int i, const char *path);
int world_mv(struct world *w, int i, const char *from, const char *to);
int world_swap(struct world *w, int i, const char *a, const char *b);
int world_ln(struct world *w, int i, const char *from, const char *to);
/** The operations between these two are one change; the end gives what the write gives. */
void world_join(struct world *w, int i);
int world_joined(struct world *w, int i);
/** Or none of them took place. */
void world_dropped(struct world *w, int i);
/** Edits with @base as the version that was opened, which may be an old one. */
int world_edit_from(struct world *w, int i, const char *path, const char *content,
                    const struct dot *base);
/** Ends the conflict of @rid by a change of its own. @merged, @beside: of RESOLVE_MERGED. */
int world_resolve_one(struct world *w, int i, const struct rid *rid, enum resolve how,
                      const char *merged, const struct dot *beside, size_t beside_n);
/**
 * Calls @resolve for each record in conflict; those of which it says that they cannot be resolved
 * now are left. How many it resolved, or a negative errno.
 */
int world_each_conflict(struct world *w, int i, int (*resolve)(void *ctx, const struct rid *rid),
                        void *ctx);
/** Resolves every conflict that can be: how many, or a negative errno. */
int world_resolve(struct world *w, int i, enum resolve how);

/** The entry at @path. -ENOENT. */
int world_find(struct world *w, int i, const char *path, struct replica_entry *ret);
/** The content shown at @path is @content. */
bool world_has(struct world *w, int i, const char *path, const char *content);
/** Number of entries shown, and of those whose name contains "(conflict". */
int world_count(struct world *w, int i, int *ret_conflicts);

/** Signs the own changes of device @i that are not yet, but for an open one. */
void world_sign(struct world *w, int i);
/** The head hash of a change; NULL: it is not signed. */
const uint8_t *world_head(const struct world *w, const struct dot *dot);
/** The digest that device @i keeps is that of its values. */
void world_check_digest(struct world *w, int i);
bool world_same_digest(struct world *w, int a, int b);

/**
 * Whether replica @i holds nothing, or knows all that replica @with may have cleaned up: else it
 * has to compare in full before it gives anything.
 */
bool world_may_exchange(const struct world *w, int i, int with);
/** Replica @to takes over all that @from has; stops after @cut changes unless that is negative. */
void world_pull(struct world *w, int to, int from, int cut);
/** Until nobody has anything new for another. */
void world_exchange(struct world *w);
/** world_exchange(), and all replicas show the same. */
void world_meet(struct world *w);
/** world_meet() with resolutions until there is nothing to resolve. */
void world_quiesce(struct world *w, enum resolve how);

/** A line for each shown path, in order: "PATH/" or "PATH = first bytes of the hash". */
void world_show(struct world *w, int i, struct buf *ret);
/** The derived state of a replica is right. */
void world_check(struct world *w, int i);
/** Writes what is pending, with all checks. -EINTR: it crashed before the write. */
int world_write(struct world *w, int i);
/** The process of device @i dies and starts again: what was not written is gone. */
void world_reopen(struct world *w, int i);
/** The same while nothing is pending: it knows afterwards what it knew. */
void world_restart(struct world *w, int i);
/** Every row of a device's database, and back: as from a copy of its disk. */
void world_copy(struct world *w, int i, struct buf *ret);
void world_restore(struct world *w, int i, struct bytes copy);

/** The content value of a string. @ret->body borrows it. */
void world_content(struct world *w, int i, const char *text, struct value_content *ret);

/** Every path shown, as strings; free with world_paths_free(). */
char **world_paths(struct world *w, int i, size_t *ret_n);
void world_paths_free(char **paths, size_t n);

#endif
