/*
 * sync/net/loop - the event loop of a process: timers, descriptors, and the WebSockets of sync/net.
 *
 * One thread runs the loop and makes all calls of sync/net; only net_loop_stop() is for others. A
 * callback never runs inside the call that asked for it, but from net_loop_run() (or
 * net_loop_free()).
 */
#ifndef SYNC_NET_LOOP_H
#define SYNC_NET_LOOP_H

#include <sys/epoll.h>

#include "proto/base/err.h"

struct net_loop;
struct net_timer;
struct net_watch;

/**
 * Makes the loop of this process. It uses up to @fd_max descriptors: raises or lowers the soft
 * limit of the process to that, as far as the hard limit allows, since tables are sized by it.
 * Errors: -ENOMEM, -EMFILE, -ELIBACC the part of libwebsockets for libev is not installed.
 */
int net_loop_new(size_t fd_max, struct net_loop **ret, struct err *err) MUST_CHECK;

/**
 * Ends the loop, outside of net_loop_run(). Servers, clients, timers and watches are freed before.
 * Accepts NULL.
 */
void net_loop_free(struct net_loop *l);

/** Serves until net_loop_stop() is called, before or meanwhile: 0. */
int net_loop_run(struct net_loop *l) MUST_CHECK;

/** Lets net_loop_run() return soon. Async-signal-safe; thread: any. */
void net_loop_stop(struct net_loop *l);

/** Milliseconds of the monotonic clock. Thread: any. */
uint64_t net_now_ms(void);

/** A timer that is not set; it fires by calling @fn with @arg. Errors: -ENOMEM. */
int net_timer_new(struct net_loop *l, void (*fn)(void *arg), void *arg,
                  struct net_timer **ret) MUST_CHECK;

/** Cancels and frees it, also from its own function. Accepts NULL. */
void net_timer_free(struct net_timer *t);

/** Fires once, @ms from now, instead of any other time that was set. */
void net_timer_set(struct net_timer *t, uint64_t ms);

/** Does not fire any more until it is set again. */
void net_timer_cancel(struct net_timer *t);

/* Called with what of EPOLLIN, EPOLLOUT is possible now, or EPOLLHUP, EPOLLERR. */
typedef void (*net_watch_fn)(uint32_t events, void *arg);

/**
 * Watches a descriptor, which stays the caller's, for @events (EPOLLIN, EPOLLOUT, both or 0).
 * Level-triggered. Errors: -ENOMEM, -EPERM a descriptor that cannot be waited for, -EEXIST.
 */
int net_watch_new(struct net_loop *l, int fd, uint32_t events, net_watch_fn fn, void *arg,
                  struct net_watch **ret) MUST_CHECK;

/** Changes what is waited for. */
void net_watch_want(struct net_watch *w, uint32_t events);

/** Stops watching, before the descriptor is closed; also from its own function. Accepts NULL. */
void net_watch_free(struct net_watch *w);

#endif
