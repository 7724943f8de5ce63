/*
 * sync/links/probe - connects to a server once, for a command: whether it welcomes this device, and
 * which spaces the account has. Thread: the loop's.
 */
#ifndef SYNC_LINKS_PROBE_H
#define SYNC_LINKS_PROBE_H

#include "sync/links/line.h"

enum { PROBE_MS = 10000 }; /* for all of it */

/* What came of it; borrowed for the call. */
struct probe_result {
    bool welcomed, refused;    /* neither: it was not reached, or does not follow the protocol */
    char text[LINE_TEXT_SIZE]; /* why not, one escaped sentence */
    struct bytes member;       /* of the Welcome */
    struct bytes spaces;       /* an encoded Spaces, when they were asked for */
};

typedef void (*probe_fn)(const struct probe_result *result, void *user);

struct probe;

/**
 * Begins; @done is called once, from the loop, and the probe is gone then. Errors as line_open();
 * nothing is called then.
 */
int probe_start(struct line_env *env, const struct remote *remote, bool spaces, probe_fn done,
                void *user, struct probe **ret, struct err *err) MUST_CHECK;

/** Gives it up: nothing is called. Accepts NULL. */
void probe_cancel(struct probe *p);

#endif
