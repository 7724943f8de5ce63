/*
 * sync/engine/session - one session of a space with one remote: the device's side of
 * proto/session.proto, from Open on. Sans IO: frames come in and go out through calls, time is given.
 *
 *   push   what arrived here goes out as Puts: acts, small entries and STATEs in their order; an
 *          entry with chunks as a job of its own beside them, so that bulk delays nobody
 *   pull   Items are taken into the space; content that they wait for is fetched, the smallest first
 *
 * The cursor of each direction is in the space's database, so a session may end anywhere.
 * Thread: one.
 */
#ifndef SYNC_ENGINE_SESSION_H
#define SYNC_ENGINE_SESSION_H

#include "fs/space/sync.h"
#include "proto/frame.h"

struct session;

struct session_config {
    struct space *space;
    const char *url; /* of the remote; copied */
    unsigned interval_ms; /* at least so long between two pushes; 0: at once */
    /** Sends a frame; it is copied. Only called while can_send(). */
    void (*send)(void *arg, const Persist__Frame *frame);
    /** Whether there is room for a frame. */
    bool (*can_send)(void *arg);
    /** The session cannot go on: it is to be ended, and tried again after some ms. */
    void (*failed)(void *arg, uint64_t after_ms, const char *why);
    void *arg;
};

/** A session that begins when session_start() is called. -ENOMEM, -EIO. */
int session_new(const struct session_config *cfg, struct session **ret) MUST_CHECK;
void session_free(struct session *x); /* accepts NULL */

/** Sends Open. */
void session_start(struct session *x);
/** A frame came, borrowed. */
void session_frame(struct session *x, const Persist__Frame *frame, uint64_t now_ms);
/**
 * Goes on where there is something to do: to be called when changes were collected, when there is
 * room to send again, and at the time that the last call returned (0: none). @now: pushes at once,
 * whatever the interval.
 */
uint64_t session_pump(struct session *x, uint64_t now_ms, bool now);

/** Whether the remote has all that is here, and this device all that the remote had. */
bool session_is_settled(const struct session *x);
/** Whether all that the remote had in its log is taken, its content perhaps not. */
bool session_is_caught_up(const struct session *x);

#endif
