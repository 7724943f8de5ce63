/*
 * sync/net/loop - the event loop of a process: timers, descriptors, and the WebSockets of sync/net.
 *
 * One thread runs the loop and makes all calls of sync/net; only loop_stop() is for others. A
 * callback never runs inside the call that asked for it, but from loop_run() (or loop_free()).
 */
#ifndef SYNC_NET_LOOP_H
#define SYNC_NET_LOOP_H

#include <sys/epoll.h>

#include "proto/base/err.h"

struct loop;
struct loop_timer;
struct loop_watch;

/**
 * Makes the loop of this process. It uses up to @fd_max descriptors: raises or lowers the soft
 * limit of the process to that, as far as the hard limit allows, since tables are sized by it.
 * Errors: -ENOMEM, -EMFILE.
 */
int loop_new(size_t fd_max, struct loop **ret, struct err *err) MUST_CHECK;

/**
 * Ends the loop, outside of loop_run(). Servers, clients, timers and watches are freed before.
 * Accepts NULL.
 */
void loop_free(struct loop *l);

/** Serves until loop_stop() is called, before or meanwhile. Errors: -EIO the loop is broken. */
int loop_run(struct loop *l) MUST_CHECK;

/** Lets loop_run() return soon. Async-signal-safe; thread: any. */
void loop_stop(struct loop *l);

/** Milliseconds of the monotonic clock. Thread: any. */
uint64_t loop_now_ms(void);

/** A timer that is not set; it fires by calling @fn with @arg. Errors: -ENOMEM. */
int loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg,
                   struct loop_timer **ret) MUST_CHECK;

/** Cancels and frees it, also from its own function. Accepts NULL. */
void loop_timer_free(struct loop_timer *t);

/** Fires once, @ms from now, instead of any other time that was set. */
void loop_timer_set(struct loop_timer *t, uint64_t ms);

/** Does not fire any more until it is set again. */
void loop_timer_cancel(struct loop_timer *t);

/* Called with what of EPOLLIN, EPOLLOUT is possible now, or EPOLLHUP, EPOLLERR. */
typedef void (*loop_watch_fn)(uint32_t events, void *arg);

/**
 * Watches a descriptor, which stays the caller's, for @events (EPOLLIN, EPOLLOUT, both or 0).
 * Level-triggered. Errors: -ENOMEM, -EPERM a descriptor that cannot be waited for, -EEXIST.
 */
int loop_watch_new(struct loop *l, int fd, uint32_t events, loop_watch_fn fn, void *arg,
                   struct loop_watch **ret) MUST_CHECK;

/** Changes what is waited for. */
void loop_watch_want(struct loop_watch *w, uint32_t events);

/** Stops watching, before the descriptor is closed; also from its own function. Accepts NULL. */
void loop_watch_free(struct loop_watch *w);

#endif
