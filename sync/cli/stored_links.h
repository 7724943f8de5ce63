/*
 * sync/cli/stored_links - the servers of a space as they are stored, for when no sync process tells
 * of them: `persist status` of a folder that is not mounted, and a mount that has just begun.
 */
#ifndef SYNC_CLI_STORED_LINKS_H
#define SYNC_CLI_STORED_LINKS_H

#include "proto/base/buf.h"
#include "sync/cli/home.h"
#include "sync/cli/spaces.h"

/** Those of @e, appended to @ret as struct sync_link. As remotes_read(); -ENOMEM. */
int stored_links(const struct home *h, const struct space_entry *e, struct buf *ret,
                 struct err *err) MUST_CHECK;

#endif
