/*
 * fs/space/status_links - the part of `status` about servers and other devices.
 */
#ifndef FS_SPACE_STATUS_LINKS_H
#define FS_SPACE_STATUS_LINKS_H

#include "fs/space/space_priv.h"
#include "proto/base/json.h"

/** A number that changes when the bytes a second do that are shown. */
uint64_t status_links_rates(struct space *s);

/** Appends the lines for people. -ENOMEM, -EIO. */
int status_links_text(struct space *s, struct buf *out) MUST_CHECK;
/**
 * Appends the keys "sync_error", "remotes": [{"url", "state", "to_push", "caught_up", "up_bytes",
 * "down_bytes", "up_bytes_s", "down_bytes_s", "interval_s", "managed", "error", "retry"}],
 * "receiving", "receiving_bytes", "held", "refused", and "devices": [{"label", "heard", "equal"}].
 * Errors the same.
 */
int status_links_json(struct space *s, struct json *j) MUST_CHECK;

#endif
