/*
 * sync/links/attached - a mount that is attached: the links of its space, and session frames moved
 * unchanged between its connection and theirs.
 *
 * Nothing is queued beside the queues of the two sides: what one does not take is one frame in
 * each direction, and then the other is not read. Thread: the loop's.
 */
#ifndef SYNC_LINKS_ATTACHED_H
#define SYNC_LINKS_ATTACHED_H

#include "sync/links/link.h"
#include "sync/links/peers.h"
#include "sync/net/unix_frames.h"

struct attached;

/**
 * Links @space with each of its @remotes, and tells the mount at @conn, which stays the caller's;
 * with other devices by @peers, when the mount says which. @last_id numbers links and outlives it.
 * Errors: -ENOMEM.
 */
int attached_new(struct line_env *env, struct peers *peers, struct unix_conn *conn,
                 const uint8_t space[SPACE_ID_SIZE], const struct remotes *remotes,
                 uint32_t *last_id, struct attached **ret) MUST_CHECK;
void attached_free(struct attached *a); /* accepts NULL; closes its links */

/** Takes a Data, a Retry or the Members of the mount. -EPROTO anything else, or what cannot be;
 * -ENOMEM. */
int attached_frame(struct attached *a, const Persist__Local *f) MUST_CHECK;

/** The mount's connection has room again. */
void attached_writable(struct attached *a);

bool attached_is_of(const struct attached *a, const uint8_t space[SPACE_ID_SIZE]);

/** A remote of this space was stored, anew or again. -ENOMEM. */
int attached_put(struct attached *a, const struct remote *remote) MUST_CHECK;
/** It is gone. */
void attached_remove(struct attached *a, const char *url);

/** The link with a remote, or NULL. */
struct link *attached_link(const struct attached *a, const char *url);

/** There are direct links now, or none any more. -ENOMEM. */
int attached_look_at_peers(struct attached *a) MUST_CHECK;

/** The network is another. */
void attached_hurry(struct attached *a);

#endif
