/*
 * sync/links/probe - connects to a server once, for a command: whether it welcomes this device, and
 * what it answers to one question. Thread: the loop's.
 */
#ifndef SYNC_LINKS_PROBE_H
#define SYNC_LINKS_PROBE_H

#include "proto/session.pb-c.h"
#include "sync/links/line.h"

enum { PROBE_MS = 10000 }; /* for all of it */

/* What came of it; borrowed for the call. */
struct probe_result {
    bool welcomed, refused;    /* neither: it was not reached, or does not follow the protocol */
    char text[LINE_TEXT_SIZE]; /* why not, one escaped sentence */
    struct bytes member;       /* of the Welcome */
    struct bytes spaces;       /* an encoded Spaces, when they were asked for */
    struct bytes grant;        /* of a Joined, likewise */
};

typedef void (*probe_fn)(const struct probe_result *result, void *user);

struct probe;

/**
 * Begins, with the frame of session.proto @question to be asked (ListSpaces or Join; encoded before
 * the call returns; NULL: none); @done is called once, from the loop, and the probe is gone then.
 * Errors as line_open(); nothing is called then.
 */
int probe_start(struct line_env *env, const struct remote *remote, const Persist__Frame *question,
                probe_fn done, void *user, struct probe **ret, struct err *err) MUST_CHECK;

/** Gives it up: nothing is called. Accepts NULL. */
void probe_cancel(struct probe *p);

#endif
