/*
 * sync/engine/session - one session of a space with one remote, a server or another device: the
 * side of proto/session.proto that pulls, and puts, from Open on. Sans IO: frames come in and go
 * out through calls, time is given.
 *
 *   push   what arrived here goes out as Puts: acts, small entries and STATEs in their order; an
 *          entry with chunks as a job of its own beside them, so that bulk delays nobody
 *   pull   Items are taken into the space; content that they wait for is fetched, the smallest
 * first
 *
 * The sessions of a space share what is fetched (sources.h): each asks for other chunks.
 * Nothing is put to another device: it pulls what is here by itself, from serve.h.
 *
 * The cursor of each direction is in the space's database, so a session may end anywhere.
 * Thread: one.
 */
#ifndef SYNC_ENGINE_SESSION_H
#define SYNC_ENGINE_SESSION_H

#include "fs/space/sync.h"
#include "proto/frame.h"

struct sources;
struct sync_session;

struct sync_session_config {
    struct space *space;
    struct sources *sources; /* of all sessions of the space in this process; borrowed */
    const char *url;         /* of the remote; copied */
    bool peer;               /* it is another device */
    unsigned interval_ms;    /* at least so long between two pushes; 0: at once */
    uint64_t bulk_at_ms;     /* no chunks are put before, as the remote had no room; 0: at once */
    /** Sends a frame; it is copied. Only called while can_send(). */
    void (*send)(void *arg, const Persist__Frame *frame);
    /** Whether there is room for a frame. */
    bool (*can_send)(void *arg);
    /** The remote has no room, or this device none for a chunk: @why; NULL: it took a chunk. */
    void (*room)(void *arg, const char *why);
    /** The session cannot go on: it is to be ended, and tried again after some ms. */
    void (*failed)(void *arg, uint64_t after_ms, const char *why);
    void *arg;
};

/** A session that begins when sync_session_start() is called. -ENOMEM, -EIO, -EMFILE. */
int sync_session_new(const struct sync_session_config *cfg, struct sync_session **ret) MUST_CHECK;
void sync_session_free(struct sync_session *x); /* accepts NULL */

/** Sends Open. */
void sync_session_start(struct sync_session *x);
/**
 * A frame came, borrowed. False: what follows from it can wait for sync_session_pump() until the
 * frames that came with it were given, too: many small ones cost as much as few big ones then.
 */
bool sync_session_frame(struct sync_session *x, const Persist__Frame *frame, uint64_t now_ms);
/**
 * Goes on where there is something to do: to be called when changes were collected, when there is
 * room to send again, and at the time that the last call returned (0: none). @now: pushes at once,
 * whatever the interval.
 */
uint64_t sync_session_pump(struct sync_session *x, uint64_t now_ms, bool now);

/** How far the remote's log is taken, and where it ended when the session began, or later. */
void sync_session_progress(const struct sync_session *x, uint64_t *ret_cursor, uint64_t *ret_last);

/** Whether the remote has all that is here, and this device all that the remote had. */
bool sync_session_is_settled(const struct sync_session *x);
/** The last of the space's rounds after whose beginning the remote said that it has no more. */
uint64_t sync_session_heard(const struct sync_session *x);
/** Who is online, as the remote says. */
const struct sync_online *sync_session_online(const struct sync_session *x);
/** Whether all that the remote had in its log is taken, its content perhaps not. */
bool sync_session_is_caught_up(const struct sync_session *x);

#endif
