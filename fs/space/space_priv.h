/*
 * fs/space/space_priv - what the files of fs/space share. Not for other folders.
 *
 * Locks, in this order: space.lock (the replica), tree.lock, nodes (fs/tree). The builds lock is
 * held (shared) from before chunks of a content are stored until the version that refers to them
 * is.
 */
#ifndef FS_SPACE_SPACE_PRIV_H
#define FS_SPACE_SPACE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/replica/exchange.h"
#include "fs/replica/history.h"
#include "fs/replica/replica.h"
#include "fs/space/keyring.h"
#include "fs/space/space.h"
#include "fs/store/content.h"
#include "fs/tree/op.h"
#include "proto/limits.h"

struct ignore;
struct merger;
struct publisher;
struct sync;

/* What the kernel has to be told once no lock is held. */
struct inval_list {
    struct space *s;
    struct buf b;
    uint64_t last; /* inode */
};

struct space {
    struct space_config cfg;
    char label[LIMIT_LABEL + 1];
    int dir_fd;
    struct db *db;
    struct tree *tree;
    pthread_mutex_t lock; /* guards the replica, and the order of its batches */
    struct replica *replica;
    uint64_t versions, versions_removed; /* kept; since the opening; guarded by lock */
    struct content_keys keys;
    struct keyring keyring; /* guarded by lock */
    struct sync *sync;      /* what sessions exchange; guarded by lock */
    pthread_rwlock_t builds;
    struct publisher *publisher;
    struct merger *merger;
    _Atomic bool closing;        /* a driver that runs is not waited for */
    pthread_mutex_t driver_lock; /* one at a time: they have one directory */
    _Atomic unsigned uses;       /* begun, and not done */
    _Atomic uint64_t used_ms;    /* when the last one was done; see space_used() */
    _Atomic int64_t past_ns;     /* see history_view_time() */
    struct ignore *ignore;       /* guarded by lock */
    _Atomic bool rules_seen;     /* since the start a name of a file of rules was pending */
    pthread_mutex_t inval_lock;  /* guards the two below; held during the call */
    void (*inval)(void *arg, const struct space_inval *what);
    void *inval_arg;
    void (*subscriber)(void *arg, const struct dot *dot, bool own);
    void *subscriber_arg;
};

uint64_t space_now_ms(void);
/** The records, or what is kept of their past, have changed: moves history_view_time(). Under lock.
 */
void space_past_changed(struct space *s);

/* ---- bind.c: which file shows a record ---- */
/** The inode of a record; RID_ROOT is the root. -ENOENT. */
int bind_ino(struct space *s, const struct rid *rid, uint64_t *ret_ino) MUST_CHECK;
void bind_put(struct op *x, const struct rid *rid, struct attr *a);
/**
 * Whether what is in the file or symlink of a record is still on its way: it is not shown before,
 * as an empty one. 1, 0, or a negative errno. space.lock is held.
 */
int bind_waits(struct space *s, const struct rid *rid) MUST_CHECK;
/** The file shows no record any more. */
void bind_delete(struct op *x, struct attr *a);
static inline struct rid bind_rid(const struct attr *a)
{
    struct rid rid;
    memcpy(rid.b, a->record, sizeof rid.b);
    return rid;
}
struct base_ref base_of(const struct rid *rid, const struct dot *dot);
void base_split(const struct base_ref *ref, struct rid *ret_rid, struct dot *ret_dot);

/* ---- capture.c: a file's content and attributes, as records hold them ---- */
struct captured {
    struct value_content content; /* body is a view of @body */
    struct buf body;
    uint64_t changes;
};
/** The content as it is. The builds lock is held. Free: captured_fini(). */
int capture_content(struct space *s, const struct attr *a, struct captured *ret) MUST_CHECK;
/** Whether the file is what it is based on, and more after it: 1; 0 no, or its base is longer than
 * 1 MiB. Errors: -EIO, -ENOENT the base is not here, -ENOMEM. */
int capture_has_grown(struct space *s, const struct attr *a) MUST_CHECK;
void captured_fini(struct captured *c);
/** Mode and attributes; @xattrs holds what the result refers to. */
int capture_meta(struct space *s, const struct attr *a, struct buf *xattrs,
                 struct value_meta *ret) MUST_CHECK;
int64_t capture_mtime_ns(const struct attr *a);
/** And back. */
struct timespec capture_time(int64_t ns);
/** The kind of record of a file; false: none, it stays on this device. */
bool capture_kind(const struct attr *a, enum kind *ret);

/* ---- publish_name.c, publish_inode.c: one pending item ---- */
enum publish_result {
    PUBLISH_DONE,   /* nothing is left to do */
    PUBLISH_SETTLE, /* not now: when the name has not changed for a while */
    PUBLISH_OPEN,   /* not while a program writes the file; @wait_ino tells which */
    PUBLISH_LATER,  /* something else has to be published first */
};
struct publish_item {
    uint64_t ino;      /* of a name: the directory */
    struct bytes name; /* empty: the inode itself */
    bool settled;      /* unchanged for SETTLE_MS */
    bool quiet;        /* unchanged for QUIET_MS */
    bool forced;       /* now, as it is: before a change from outside, or at the end */
    bool local;        /* told: the name is ignored */
    uint64_t wait_ino;
};
/**
 * Deletes an entry that the tree has no more, a folder with all below it. 1: not all, commit and
 * come again. -EAGAIN: something in it was moved away, and that has to be published first.
 */
int publish_gone(struct space *s, struct change *c, const struct publish_item *item,
                 const struct replica_entry *e) MUST_CHECK;
/** Whether the file of a record still has one of its names in the tree: 1, 0 or a negative errno.
 */
int publish_is_linked(struct space *s, const struct rid *rid) MUST_CHECK;
/**
 * Whether a file has left the names of its record, and other files have them: then the record goes
 * on with those, once they are published. 1, 0 or a negative errno.
 */
int publish_was_replaced(struct space *s, const struct attr *a) MUST_CHECK;
/** Publishes an item. A negative errno: try again later. */
int publish_name(struct space *s, struct publish_item *item) MUST_CHECK;
int publish_inode(struct space *s, struct publish_item *item) MUST_CHECK;
/* The tree's side of a change, with names locked: 0, or an error that cancels all. */
typedef int (*publish_show)(void *arg);
/**
 * Commits @x with the open change @c: takes the lock of names (if @x has it not), calls @show (may
 * be NULL), brings the tree up to what the records then show, and writes.
 */
int publish_commit(struct space *s, struct op *x, struct change *c, publish_show show, void *arg,
                   struct inval_list *invals) MUST_CHECK;

/* ---- show.c: what records show, put into the tree ---- */
/* A name that is to be published first: of a file that has the name of a record that is to be
 * shown, or from which one was removed here. */
struct blocked {
    uint64_t dir; /* 0: none */
    struct buf name;
    bool aside; /* it cannot be published: it makes way */
};
/**
 * Brings the tree up to date with all that is pending in the replica, in @x. -EAGAIN: @blocked says
 * what has to be published first. @blocked NULL: the changes are the tree's own, which then is the
 * truth: files are added (conflict siblings), none loses its name.
 */
int show_effects(struct space *s, struct op *x, struct inval_list *invals,
                 struct blocked *blocked) MUST_CHECK;
/** Brings the content of one file up to date with its record. */
int show_record(struct space *s, struct op *x, struct attr *a,
                struct inval_list *invals) MUST_CHECK;
/** Before the change is committed: from then on the tree knows that the kernel is to be told. */
void inval_name(struct inval_list *l, uint64_t dir, struct bytes name);
void inval_inode(struct inval_list *l, uint64_t ino);
/** Tells the kernel; no lock may be held. Empties the list. */
void inval_send(struct inval_list *l);
/** Empties the list: what is in it did not take place. */
void inval_drop(struct inval_list *l);

/* ---- publisher.c ---- */
int publisher_start(struct space *s) MUST_CHECK;
/** Publishes all that can be, then ends the thread. */
void publisher_stop(struct space *s);
void publisher_changed(void *space, const struct tree_change *change);
/** Publishes everything that is pending, open files left out, before it returns. */
int publisher_flush(struct space *s) MUST_CHECK;
/**
 * The same without files over 1 MiB: while the thread is at work on one, this is done between two
 * pieces of it. So of such a file what is told afterwards may be its state before the last saves.
 * Waits for a publisher_flush() that is under way.
 */
int publisher_catch_up(struct space *s) MUST_CHECK;
/** Keeps the thread from publishing (flushing still does) until publisher_release(). Counts. */
void publisher_hold(struct space *s);
void publisher_release(struct space *s);
/**
 * Takes the item that is due next, if it is a name, to be published with the one that this thread
 * is at; false: there is none, or this is no thread that publishes what is pending. The item is
 * good until publisher_more_done().
 */
bool publisher_more(struct space *s, struct publish_item *ret);
/** The one that was taken last is not published with the others: it is pending again. */
void publisher_not_more(struct space *s);
/** All that were taken are published, or pending again. */
void publisher_more_done(struct space *s, bool published);
/** Number of pending items. */
size_t publisher_pending(struct space *s);
/* A pending item that could not be published when that was tried last. */
struct publish_failed {
    uint64_t ino; /* with a name: of the directory */
    int error;    /* a positive errno */
    size_t name_n;
    uint8_t name[LIMIT_NAME];
};
/** How many there are; the first @max of them into @ret. */
size_t publisher_failed(struct space *s, struct publish_failed *ret, size_t max);
/** Whether something is to be published, or the thread is wanted to stand back: tidying ends. */
bool publisher_wanted(struct space *s);
/**
 * Between two pieces of a large file that the publisher takes in: publishes small ones that are
 * due, and waits while programs use the folder. In other threads it does nothing. @big: over 1 MiB,
 * makes way for publisher_catch_up(), too.
 */
void publisher_pause(bool big);
/** Whether that is where this thread is, or it catches up: then a large file is not its turn. */
bool publisher_between(void);

/* ---- tidy.c: what is kept of the past, and for how long ---- */
/** struct replica_config.version_kept; @space: struct space. */
int tidy_version_kept(void *space, const struct rid *rid, const struct dot *dot) MUST_CHECK;
/**
 * One slice of thinning, as of @now_ms (since 1970): the history of some records from @cursor on
 * (all zero: the first), which is moved; @ret_removed counts versions. 1: there is more, 0: that
 * was all.
 */
int tidy_slice(struct space *s, uint64_t now_ms, struct rid *cursor,
               uint64_t *ret_removed) MUST_CHECK;
/** Now, in ms since 1970. */
uint64_t tidy_now_ms(void);
/**
 * Some of the thinning that is due, and then the sweeping of what it left: to be called when
 * nothing else is to do, once an hour. Goes on where it was, and stops when something is to be
 * published.
 */
int space_tidy(struct space *s) MUST_CHECK;
/** All that every member knows to be deleted goes, and superseded entries: how many records. */
int tidy_deleted(struct space *s, uint64_t *ret_removed) MUST_CHECK;

#endif
