/*
 * fs/mount/keeper - keeps the other one of two processors awake while requests come.
 *
 * A request is a question and an answer between two threads. When they share a processor, each
 * wakes the other at the price of a switch; when they do not, at the price of an interrupt to a
 * processor that has gone to sleep, which in a virtual machine takes longer than most requests. The
 * kernel puts a woken thread on an idle processor if there is one. So, where there are two, a
 * thread of the lowest priority leaves none idle while requests follow each other, and gives its
 * processor to anything else that wants to run; meanwhile all who answer run on the other
 * processor. Measured: 10 us for a request instead of 20 to 50.
 */
#ifndef FS_MOUNT_KEEPER_H
#define FS_MOUNT_KEEPER_H

#include "proto/base/err.h"

struct keeper;

enum { KEEPER_SERVERS_MAX = 8 };

/** Starts the thread. @ret is NULL where it would be of no use: not two processors. */
int keeper_start(struct keeper **ret, struct err *err) MUST_CHECK;

/** The calling thread answers requests, from now until keeper_stop(). @k may be NULL. */
void keeper_join(struct keeper *k);

/** There was a request. Called by threads that have joined. @k may be NULL. */
void keeper_note(struct keeper *k);

/** There was a request that keeps a processor busy for long: both are wanted. @k may be NULL. */
void keeper_yield(struct keeper *k);

/** Ends the thread and frees @k, which may be NULL. */
void keeper_stop(struct keeper *k);

/** What a processor does that waits for a word in memory to change, awake. */
static inline void keeper_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
