/*
 * sync/links/link - keeps one remote of one attached space connected: tries again after a wait that
 * grows, at once when the network is back, and rarely when the server refused this device.
 *
 *   CONNECTING --welcomed--> UP --closed--> DOWN --wait over, network back--> CONNECTING
 *   CONNECTING, UP --refused--> REFUSED --a minute, link_reset()--> CONNECTING
 *
 * Each connection has its generation, greater than the one before. Thread: the loop's; no callback
 * runs inside a call of this file.
 */
#ifndef SYNC_LINKS_LINK_H
#define SYNC_LINKS_LINK_H

#include "proto/local.pb-c.h"
#include "sync/links/line.h"

enum { LINK_REFUSED_MS = 60 * 1000, LINK_RETRY_MAX_MS = 24 * 3600 * 1000 };

struct link;

struct link_events {
    /** Its state, or something else of link_describe(), is another. */
    void (*changed)(struct link *l, void *user);
    /** A frame of the session, borrowed until the callback returns; pause the link in it when there
     * is no room for the next. */
    void (*frame)(struct link *l, struct bytes frame, void *user);
    /** There is room again, after link_send() returned -EAGAIN, or the connection has ended. */
    void (*writable)(struct link *l, void *user);
};

/** Makes it, and connects soon. @remote is copied. Errors: -ENOMEM. */
int link_new(struct line_env *env, uint32_t id, const struct remote *remote,
             const struct link_events *events, void *user, struct link **ret) MUST_CHECK;

/** Closes its connection; nothing is called any more. Accepts NULL. */
void link_free(struct link *l);

/** The remote was added again: closes, and connects with what is in @remote now. */
void link_reset(struct link *l, const struct remote *remote);

/** The network is another: a link that waits to try again does so now. */
void link_hurry(struct link *l);

/**
 * Ends the connection of @generation, to be made again after @after_ms; @why is shown meanwhile. An
 * older generation is ignored.
 */
void link_retry(struct link *l, uint64_t generation, uint64_t after_ms, struct bytes why);

/**
 * Sends a frame of the session. Errors: -EAGAIN wait for writable(); -ENOTCONN the connection of
 * that generation is gone, drop it; -EPROTO there was none yet; -ENOMEM.
 */
int link_send(struct link *l, uint64_t generation, struct bytes frame) MUST_CHECK;

/** Stops frames from coming (and the end of the connection), until link_resume(). */
void link_pause(struct link *l);
void link_resume(struct link *l);

uint64_t link_generation(const struct link *l);
const struct remote *link_remote(const struct link *l);

/** Fills in everything of @ret; what it points to is the link's, good until the next call. */
void link_describe(struct link *l, Persist__Link *ret);

#endif
