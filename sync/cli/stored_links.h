/*
 * sync/cli/stored_links - the servers of a space that no process serves now, for `persist status`.
 */
#ifndef SYNC_CLI_STORED_LINKS_H
#define SYNC_CLI_STORED_LINKS_H

#include "fs/space/space.h"
#include "sync/cli/session.h"

/** Tells @space, that of @e, of its stored remotes. As remotes_open(); -ENOMEM. */
int stored_links_tell(const struct session *s, const struct space_entry *e, struct space *space,
                      struct err *err) MUST_CHECK;

#endif
