/*
 * fs/tree/tree - the local tree: the files as this device shows them, over the database. It knows
 * nothing of FUSE, and of records only that a file may be bound to one.
 *
 * Every operation is one atomic batch, written before the call returns: it survives the death of
 * the process, and the loss of power after tree_sync(). Each batch also holds what the publisher
 * has to look at (DB_PENDING). Functions return 0 or a negative errno, as the man page of the
 * system call names it; permission checks are the kernel's (default_permissions). Inode numbers are
 * stable. Thread: any.
 *
 * Locks, in this order: tree.lock (names: create, unlink, rename …), then the locks of the nodes.
 * Who holds more than one node also holds tree.lock; data operations hold just the one of their
 * file.
 */
#ifndef FS_TREE_TREE_H
#define FS_TREE_TREE_H

#include <sys/types.h>

#include "fs/store/db.h"
#include "fs/tree/attr.h"

struct content;
struct tree;

enum tree_event {
    TREE_NAME,
    TREE_BACK,
    TREE_INODE,
    TREE_CLOSED,     /* by its last writer */
    TREE_CLOSED_NEW, /* the same of a file without a record: its name is what is pending */
    TREE_SYNCED,
};

struct tree_change {
    enum tree_event kind;
    uint64_t ino;      /* of a name: the directory; else the file */
    struct bytes name; /* TREE_NAME: what changed in it; TREE_BACK: likewise, without the kernel's
                          doing, which is to be told; borrowed */
};

struct tree_config {
    struct db *db; /* stays the caller's */
    int dir_fd; /* the space's state directory, staging/ is made in it; -1: no file over 32 KiB */
    /* Opens the version of content that a file is based on. Called with the lock of one node. */
    int (*base_open)(void *arg, const struct base_ref *ref, struct content **ret);
    /* Told after a change was written, with no lock held. May be NULL. */
    void (*changed)(void *arg, const struct tree_change *change);
    void *arg;
};

/** Opens the tree in @cfg->db, makes an empty one (a root directory) where there is none. */
int tree_open(const struct tree_config *cfg, struct tree **ret_tree, struct err *err) MUST_CHECK;
void tree_close(struct tree *t); /* accepts NULL */
/** Frees what a thread keeps from one operation to the next; call before the thread ends. */
void tree_thread_done(void);

/* The caller of an operation, for owners of new files. */
struct tree_caller {
    uint32_t uid, gid;
};

/* ---- who has seen what (stale.c, seen.h) -------------------------------------------------------
 */

/** From now on this thread works for thread @tid of a program; 0: for none. */
void tree_serve(pid_t tid);
/**
 * What was in file @ino is published: version @ref. @merged: what it shows now is another one, made
 * of that and of what had come from elsewhere.
 */
void tree_published(struct tree *t, uint64_t ino, const struct base_ref *ref, bool merged);
/** File @a, which is still that of another record, becomes that of @record: tree_published(). */
void tree_moved(struct tree *t, const struct attr *a, const uint8_t record[16]);
/** What is shown of a record (attr.record) came from elsewhere: no program has seen it yet. */
void tree_replaced(struct tree *t, const uint8_t record[16]);

/* ---- names (tree_names.c, tree_rename.c, tree_list.c) ------------------------------------------
 */

int tree_lookup(struct tree *t, uint64_t dir, struct bytes name, struct attr *ret) MUST_CHECK;

struct tree_new {
    uint32_t mode; /* with the file type */
    bool inherits; /* as open(2) makes files: what umask leaves, or what the directory's ACL says */
    uint32_t umask;
    uint64_t rdev;
    struct bytes target; /* of a symlink */
    struct tree_caller caller;
};

/** Makes a file of any type. -EEXIST, -ENOENT (the directory is gone), -ENAMETOOLONG, -EMLINK. */
int tree_make(struct tree *t, uint64_t dir, struct bytes name, const struct tree_new *what,
              struct attr *ret) MUST_CHECK;
int tree_link(struct tree *t, uint64_t ino, uint64_t dir, struct bytes name,
              struct attr *ret) MUST_CHECK;
int tree_unlink(struct tree *t, uint64_t dir, struct bytes name) MUST_CHECK;
int tree_rmdir(struct tree *t, uint64_t dir, struct bytes name) MUST_CHECK;
/** @flags: RENAME_NOREPLACE, RENAME_EXCHANGE of renameat2(2). */
int tree_rename(struct tree *t, uint64_t dir, struct bytes name, uint64_t new_dir,
                struct bytes new_name, unsigned flags) MUST_CHECK;
int tree_readlink(struct tree *t, uint64_t ino, struct buf *ret) MUST_CHECK;

/**
 * Makes a file (@what: S_IFREG) that has the bytes of version @ref, without copying them, in place
 * of any file that has the name: a change like any other. The version is kept while the file is
 * based on it: tree_base_used(). -EISDIR a directory has the name.
 */
int tree_make_version(struct tree *t, uint64_t dir, struct bytes name, const struct tree_new *what,
                      const struct base_ref *ref, uint64_t size, const struct timespec *mtime,
                      struct attr *ret) MUST_CHECK;

struct tree_entry {
    struct bytes name; /* borrowed for the call */
    uint64_t ino;
    unsigned type;           /* DT_* >> nothing: S_IFMT bits of the mode */
    int64_t offset;          /* where the entry after this one is */
    const struct attr *attr; /* NULL unless asked for; and always for . and .. */
};

/**
 * Calls @emit for each entry after @offset (0: from the start, with . and ..), until it returns
 * false: that entry was not taken. Offsets stay good while entries come and go: an entry that stays
 * is given exactly once.
 */
int tree_list(struct tree *t, uint64_t dir, int64_t offset, bool with_attr,
              bool (*emit)(void *arg, const struct tree_entry *e), void *arg) MUST_CHECK;

/* ---- attributes (tree_attr.c, tree_xattr.c)
 * ------------------------------------------------------ */

int tree_getattr(struct tree *t, uint64_t ino, struct attr *ret) MUST_CHECK;

enum {
    TREE_SET_MODE = 1,
    TREE_SET_UID = 2,
    TREE_SET_GID = 4,
    TREE_SET_SIZE = 8,
    TREE_SET_ATIME = 16,
    TREE_SET_MTIME = 32,
    TREE_SET_ATIME_NOW = 64,
    TREE_SET_MTIME_NOW = 128,
    TREE_SET_CTIME = 256,
    TREE_SET_KILL_SUID = 512, /* the writer may not keep setuid and setgid */
};

struct tree_set {
    unsigned what;
    uint32_t mode, uid, gid;
    uint64_t size;
    struct timespec atime, mtime, ctime;
};

int tree_setattr(struct tree *t, uint64_t ino, const struct tree_set *set,
                 struct attr *ret) MUST_CHECK;

enum { TREE_XATTR_KILL_SGID = 1 << 16 };

/**
 * @flags: XATTR_CREATE, XATTR_REPLACE of setxattr(2); TREE_XATTR_KILL_SGID: who sets an access ACL
 * may not keep setgid. ACLs (system.posix_acl_access, system.posix_acl_default) are as acl.h says.
 */
int tree_xattr_set(struct tree *t, uint64_t ino, struct bytes name, struct bytes value,
                   int flags) MUST_CHECK;
int tree_xattr_get(struct tree *t, uint64_t ino, struct bytes name, struct buf *ret) MUST_CHECK;
/** Appends the names, each with its NUL. */
int tree_xattr_list(struct tree *t, uint64_t ino, struct buf *ret) MUST_CHECK;
int tree_xattr_remove(struct tree *t, uint64_t ino, struct bytes name) MUST_CHECK;

/* ---- data (data_*.c)
 * ------------------------------------------------------------------------------- */

/**
 * @truncate: O_TRUNC. Every success is matched by one tree_close_file() with the same @writing. 1:
 * success; the reads of the caller are to come here, not to be answered by what the kernel has: it
 * opens the file to write, and whether it reads now what is in it is to be noticed; or what the
 * kernel has may be older than what the caller is taken to see (tree_untold()).
 */
int tree_open_file(struct tree *t, uint64_t ino, bool writing, bool truncate,
                   struct attr *ret) MUST_CHECK;
void tree_close_file(struct tree *t, uint64_t ino, bool writing);
/**
 * @more: a change is about to be committed of which the kernel is to be told then; else: one that
 * was announced so has been told of, or was not made.
 */
void tree_untold(struct tree *t, bool more);
/** The kernel has forgotten the inode: if it has no name, it goes. */
void tree_forget(struct tree *t, uint64_t ino);
/** Of a tree that no kernel shows: all that have no name go. */
int tree_forget_all(struct tree *t) MUST_CHECK;

/** Reads up to @n bytes into @p. Returns how many: fewer only at the end of the file. */
int64_t tree_read(struct tree *t, uint64_t ino, uint64_t offset, void *p, size_t n) MUST_CHECK;

/** The same without a trace in the time of reading: for the publisher, checks and exports. */
int64_t tree_read_unseen(struct tree *t, uint64_t ino, uint64_t offset, void *p,
                         size_t n) MUST_CHECK;
/** Appends the ranges (pairs of u64 in memory order: start, end) in which a file differs from its
 * base, sorted. */
int tree_dirty(struct tree *t, uint64_t ino, struct buf *ret) MUST_CHECK;

struct tree_write {
    uint64_t offset;
    bool append;    /* O_APPEND: @offset is ignored */
    bool adds;      /* @offset is the end of the file, whatever it is */
    bool kill_suid; /* clear setuid and setgid */
};

/** Writes all of @data. -EFBIG, -ENOSPC, -EIO. */
int tree_write(struct tree *t, uint64_t ino, struct bytes data,
               const struct tree_write *how) MUST_CHECK;
/** @mode as in fallocate(2). */
int tree_fallocate(struct tree *t, uint64_t ino, int mode, uint64_t offset,
                   uint64_t length) MUST_CHECK;
/** @whence: SEEK_DATA or SEEK_HOLE. Returns the offset, or -ENXIO. */
int64_t tree_seek(struct tree *t, uint64_t ino, uint64_t offset, int whence) MUST_CHECK;
/** copy_file_range(2) within the tree; shares the content where a whole file is copied. */
int64_t tree_copy(struct tree *t, uint64_t from, uint64_t from_offset, uint64_t to,
                  uint64_t to_offset, uint64_t n) MUST_CHECK;
/** fsync(2): returns when the file, with its name, is on disk. */
int tree_sync_file(struct tree *t, uint64_t ino) MUST_CHECK;
/** Returns when everything that was answered is on disk. */
int tree_sync(struct tree *t) MUST_CHECK;
/** Gives the disk back what files no longer need; that may take a while, so no request does. */
void tree_tidy(struct tree *t);

/* A block of a staging file, or a whole file, that is not what it should be. */
struct tree_fault {
    uint64_t ino, offset, bytes;
    int error; /* -EUCLEAN: not what was written; else why it could not be read */
};

/**
 * How many blocks of staging files had one byte that was not what had been written, and were put
 * right, when the tree was opened after a crash.
 */
unsigned tree_healed(const struct tree *t);

/**
 * Reads the blocks of all staging files and checks their sums; @fault hears of each that does not
 * hold (runs of blocks are told as one). @step hears how many bytes were read since the last call;
 * false ends the check: -ECANCELED. No write is held up for more than one segment of one file.
 */
int tree_check_staging(struct tree *t, bool (*step)(void *arg, uint64_t bytes),
                       void (*fault)(void *arg, const struct tree_fault *f), void *arg) MUST_CHECK;

/**
 * Whether a file other than that of its own record may be based on version @ref: 1, 0, or a
 * negative errno. Notes of copies that are based on something else by now are deleted.
 */
int tree_base_used(struct tree *t, const struct base_ref *ref) MUST_CHECK;

struct tree_usage {
    uint64_t files; /* inodes in use, about */
    uint64_t bytes, free_bytes, blocks, free_blocks, avail_blocks, block_bytes; /* of the disk */
};

int tree_usage(struct tree *t, struct tree_usage *ret) MUST_CHECK;

/** 0, or -ENOSPC when @bytes more would leave the database too little to go on with. */
int tree_room(struct tree *t, uint64_t bytes) MUST_CHECK;

#endif
