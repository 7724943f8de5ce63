/*
 * fs/mount/loop - the threads that read the kernel's requests.
 *
 * On two processors, where a keeper (keeper.h) makes it cheap to be woken, all of them wait for the
 * next one. On any other number one of them, the leader, reads; it answers short requests itself,
 * and before a long one it hands the lead to a follower. For some microseconds after a request the
 * leader asks again instead of sleeping: waking a sleeping thread costs more than most requests do.
 * After that it sleeps, and idle costs nothing.
 */
#ifndef FS_MOUNT_LOOP_H
#define FS_MOUNT_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

struct fuse_session;
struct loop;

/** What the threads know of the session beside its operations. The functions may be NULL. */
struct loop_hooks {
    /* Before each request is processed, and after that. */
    void (*before)(void *arg, const void *request, size_t n);
    void (*after)(void *arg);
    void (*thread_done)(void); /* frees what the calling thread keeps */
    void *arg;
    bool no_disk; /* a sync does not wait for one: it is a short request */
};

/** Starts the threads; they end when the file system is unmounted. @hooks outlives them. */
int loop_start(struct fuse_session *se, const struct loop_hooks *hooks, struct loop **ret,
               struct err *err) MUST_CHECK;

/** A descriptor that becomes readable when the threads have ended. */
int loop_fd(const struct loop *l);

/** Ends the threads, though files may still be open. */
void loop_stop(struct loop *l);

/** Waits until the threads have ended, frees @l. 0, or the error that ended them. */
int loop_join(struct loop *l);

#endif
