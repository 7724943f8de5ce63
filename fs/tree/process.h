/*
 * fs/tree/process - which process a request comes from, as /proc tells. A request bears the number
 * of a thread. Looking costs about 10 us. Only files are read that need no lock of the process'
 * memory: it may be waiting for this one, in a page fault.
 */
#ifndef FS_TREE_PROCESS_H
#define FS_TREE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "proto/base/base.h"

/** The process of a thread. -ESRCH: there is no such thread, or none that may be looked at. */
int process_of(pid_t thread, pid_t *ret) MUST_CHECK;

/** When a process began, in ms of process_now_ms(), rounded down to 10 ms. -ESRCH. */
int process_began(pid_t process, uint64_t *ret_ms) MUST_CHECK;

/** ms since the machine started, those asleep too. */
uint64_t process_now_ms(void);

#endif
