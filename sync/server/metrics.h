/*
 * sync/server/metrics - the numbers of a server in Prometheus' text format: nothing in them tells
 * of one account, device or address.
 */
#ifndef SYNC_SERVER_METRICS_H
#define SYNC_SERVER_METRICS_H

#include "sync/server/mailbox.h"
#include "sync/server/session.h"

/** Appends the text. -EUCLEAN, -EIO, -ENOMEM. */
int srv_metrics_put(struct srv_hub *h, struct srv_accounts *accounts, struct srv_spaces *spaces,
                    struct srv_managed *managed, const struct srv_mailbox_stats *mailboxes,
                    struct buf *ret) MUST_CHECK;

#endif
