/*
 * sync/server/own_link - what a space of this process has in place of a sync process: a socket at
 * which its engine (sync/engine) attaches, and one link behind it, to this server itself. The
 * session there is like any other's, but that it needs no proof. Thread: the loop's.
 */
#ifndef SYNC_SERVER_OWN_LINK_H
#define SYNC_SERVER_OWN_LINK_H

#include "sync/server/session.h"

/* The URL of that link, as the engine sees it. */
#define OWN_LINK_URL "server:"

struct srv_own_link;

/** Listens at sync.sock in @dir_fd, which is borrowed. Errors: -EMFILE, -ENOMEM, -EACCES, -EIO. */
int srv_own_link_start(struct srv_hub *h, uint64_t account, int dir_fd,
                       struct srv_own_link **ret) MUST_CHECK;

/** Ends the session, and cuts who is attached. Accepts NULL. */
void srv_own_link_free(struct srv_own_link *o);

#endif
