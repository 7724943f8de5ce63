/*
 * tests/support/e2e_process - processes of a fixture: running them, finding what they left.
 */
#ifndef TESTS_SUPPORT_E2E_PROCESS_H
#define TESTS_SUPPORT_E2E_PROCESS_H

#include "tests/support/e2e.h"

/** Calls @each with every process whose PERSIST_HOME is below @top, but for this one and @but. */
void e2e_processes(const char *top, pid_t but, void (*each)(pid_t pid, const char *what, void *arg),
                   void *arg);

/** Takes away whatever is mounted at @top or below. Returns how many mounts that were. */
unsigned e2e_unmount_below(const char *top);

/** Ends, by id, every process of the fixture, and its mounts. */
void e2e_clean(const char *top, pid_t but);

/** Starts a process that cleans up when this one dies. */
bool e2e_guard_start(struct e2e *f);
void e2e_guard_end(struct e2e *f);

void e2e_result_free(struct e2e_result *r);

#endif
