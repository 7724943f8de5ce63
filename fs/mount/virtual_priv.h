/*
 * fs/mount/virtual_priv - what the files virtual*.c share. Not for others.
 */
#ifndef FS_MOUNT_VIRTUAL_PRIV_H
#define FS_MOUNT_VIRTUAL_PRIV_H

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/mount/ll_priv.h"
#include "fs/mount/virtual.h"
#include "fs/mount/virtual_nodes.h"

struct content;

enum { VIRTUAL_LISTINGS = 4 };

/* A request that may take long: done by a thread of its own, so that no other one waits. */
struct virtual_job {
    struct virtual_job *next;
    void (*run)(struct virtual *v, struct virtual_job *j);
    fuse_req_t req;
    uint64_t node;
    struct fuse_file_info fi;
    size_t size;
    off_t off;
    bool plus;
    bool again; /* set by run(): not answered yet, it is to run once more in a moment */
    uint64_t began_ms;
    char name[];
};

/* An open file: its bytes as they were then. */
struct virtual_handle {
    struct virtual_handle *prev, *next;
    struct content *content; /* of a version; NULL: the text */
    struct buf text;
};

/* A folder as it was when its listing began. Of the thread. */
struct virtual_listing {
    uint64_t node;
    struct buf names; /* as history_view_list() gives them */
};

struct virtual
{
    struct space *space;
    const char *folder, *name;
    struct timespec began;
    struct virtual_nodes *nodes;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below but the listings */
    pthread_cond_t wake;
    struct virtual_job *first, **last;
    struct virtual_job *later; /* those that run again, at later_ms */
    uint64_t later_ms;
    struct virtual_handle handles; /* head of the list */
    bool stop;
    struct virtual_listing listings[VIRTUAL_LISTINGS];
    unsigned next_listing;
};

static inline struct virtual *virtual_of(fuse_req_t req)
{
    return ((struct ll *)fuse_req_userdata(req))->virtual;
}

static inline uint64_t virtual_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/** Whether a name is that of .persist itself. */
static inline bool virtual_is_top(fuse_ino_t dir, const char *name)
{
    return dir == TREE_ROOT && name[0] == '.' && strcmp(name, ".persist") == 0;
}

/* ---- virtual.c ---- */
/** Appends what is always in .persist, as history_view_list() does. */
int virtual_list_top(struct buf *ret) MUST_CHECK;
/**
 * What a node is: its path in the history, NUL-terminated, and @ret at @view; *ret NULL for those
 * that are always there. -ESTALE, -ENOMEM.
 */
int virtual_find(struct virtual *v, uint64_t node, struct history_view *view, struct buf *path,
                 const struct history_view **ret) MUST_CHECK;

/* ---- virtual_jobs.c: requests that may take long ---- */
/** A job to be added; NULL after a reply: out of memory. */
struct virtual_job *virtual_job_new(fuse_req_t req, uint64_t node, const char *name,
                                    void (*run)(struct virtual *v, struct virtual_job *j));
void virtual_job_add(struct virtual_job *j);
/** Puts those that are to run again behind all others. v->lock is held, or there is no thread. */
void virtual_take_later(struct virtual *v);
/** The thread, until v->stop is set. */
void *virtual_work(void *arg);

/* ---- virtual_list.c: listings ---- */
void virtual_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                     struct fuse_file_info *fi);
void virtual_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                         struct fuse_file_info *fi);

/* ---- virtual_open.c: open files ---- */
/** Takes a handle off the list, and frees it. */
void virtual_handle_remove(struct virtual *v, struct virtual_handle *h);
void virtual_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void virtual_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void virtual_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
                  struct fuse_file_info *fi);
void virtual_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
                   struct fuse_file_info *fi);
void virtual_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);

/* ---- virtual_refuse.c: what a read-only directory refuses ---- */
void virtual_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int what,
                     struct fuse_file_info *fi);
void virtual_readlink(fuse_req_t req, fuse_ino_t node);
void virtual_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode, dev_t rdev);
void virtual_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode);
void virtual_symlink(fuse_req_t req, const char *target, fuse_ino_t dir, const char *name);
void virtual_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                    struct fuse_file_info *fi);
void virtual_unlink(fuse_req_t req, fuse_ino_t dir, const char *name);
void virtual_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name);
void virtual_rename(fuse_req_t req, fuse_ino_t dir, const char *name, fuse_ino_t new_dir,
                    const char *new_name, unsigned flags);
void virtual_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t dir, const char *name);
void virtual_write(fuse_req_t req, fuse_ino_t node, const char *p, size_t n, off_t off,
                   struct fuse_file_info *fi);
void virtual_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t n,
                       struct fuse_file_info *fi);
void virtual_setxattr(fuse_req_t req, fuse_ino_t node, const char *name, const char *value,
                      size_t n, int flags);
void virtual_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);
void virtual_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t max);
void virtual_listxattr(fuse_req_t req, fuse_ino_t node, size_t max);
void virtual_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t in_off,
                             struct fuse_file_info *in_fi, fuse_ino_t out, off_t out_off,
                             struct fuse_file_info *out_fi, size_t n, int flags);

#endif
