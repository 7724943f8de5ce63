/*
 * fs/replica/mutant - deliberate faults, with which the tests are tested: scripts/test --mutants.
 *
 * There are none unless the build option PERSIST_MUTANTS is on; then the environment variable
 * PERSIST_MUTANT names the one that is in effect.
 */
#ifndef FS_REPLICA_MUTANT_H
#define FS_REPLICA_MUTANT_H

#ifdef PERSIST_MUTANTS
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool mutant_is(const char *name)
{
    const char *chosen = getenv("PERSIST_MUTANT");
    return chosen != NULL && strcmp(chosen, name) == 0;
}
#define MUTANT(name) mutant_is(#name)
#else
#define MUTANT(name) false
#endif

#endif
