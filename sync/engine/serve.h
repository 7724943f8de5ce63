/*
 * sync/engine/serve - the serving half of a session between two devices (proto/session.proto,
 * peers): the other one pulls what arrived here. Sans IO, like session.h, which is the half that
 * pulls.
 *
 *   acts       go first, whatever arrived before them
 *   own        changes since the session began are sent at once
 *   others     are offered, and sent when they are wanted
 *   content    is sent when it is asked for, after all that is smaller; chunks of a file that is
 *              being cut go ahead of its entry
 *
 * Only a member is served: that is looked at before each frame that is sent. What is kept for the
 * other one is bounded, whatever it says or leaves unread.
 * Thread: one.
 */
#ifndef SYNC_ENGINE_SERVE_H
#define SYNC_ENGINE_SERVE_H

#include "fs/space/sync.h"
#include "proto/frame.h"

struct sync_serve;

struct sync_serve_config {
    struct space *space;
    uint64_t remote;             /* what it brings is not given back: space_sync_remote_id() */
    uint8_t peer[SIGN_KEY_SIZE]; /* the identity that the other one has proved */
    /** Sends a frame; it is copied. Only called while can_send(). */
    void (*send)(void *arg, const Persist__Frame *frame);
    /** Whether there is room for a frame. */
    bool (*can_send)(void *arg);
    /** The link cannot go on: it is to be ended, and tried again after some ms. */
    void (*failed)(void *arg, uint64_t after_ms, const char *why);
    void *arg;
};

#define SERVE_STRANGER "the other device is no member of the folder"

/** Serves from when an Open comes. -ENOMEM; -EACCES: SERVE_STRANGER. */
int sync_serve_new(const struct sync_serve_config *cfg, struct sync_serve **ret) MUST_CHECK;
void sync_serve_free(struct sync_serve *x); /* accepts NULL */

/** Whether a frame is for this half, not for the one that pulls. An End is for both. */
bool sync_serve_is_for(const Persist__Frame *frame);
/** A frame came, borrowed; sync_serve_pump() is to be called then. */
void sync_serve_frame(struct sync_serve *x, const Persist__Frame *frame);
/**
 * Goes on where there is something to do: to be called when changes were collected or taken in,
 * when there is room to send again, and after frames.
 */
void sync_serve_pump(struct sync_serve *x);

/** Whether the other one has said that it has all that is here. */
bool sync_serve_is_settled(const struct sync_serve *x);

#endif
