/*
 * sync/cli/versioned - the PATH@VERSION argument of show and restore, with the session it needs.
 */
#ifndef SYNC_CLI_VERSIONED_H
#define SYNC_CLI_VERSIONED_H

#include "sync/cli/session.h"

struct versioned {
    struct session session;
    struct target target;
    char *text; /* the argument, taken apart */
    const char *version;
};

#define VERSIONED_INIT                                                                             \
    {                                                                                              \
        .session = SESSION_INIT                                                                    \
    }

/**
 * Takes @argument apart and finds the space. Returns VERB_OK, or an exit status after the error
 * line was written. Always followed by versioned_fini().
 */
int versioned_open(struct versioned *v, const char *argument) MUST_CHECK;
void versioned_fini(struct versioned *v);

#endif
