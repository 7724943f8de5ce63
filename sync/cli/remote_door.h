/*
 * sync/cli/remote_door - opens a space to other devices by way of a server: behind a passphrase, or
 * by making the server a member.
 */
#ifndef SYNC_CLI_REMOTE_DOOR_H
#define SYNC_CLI_REMOTE_DOOR_H

#include "sync/cli/session.h"

struct remote_door {
    const struct space_entry *space;
    const char *url;         /* of the remote */
    struct bytes passphrase; /* normal (passphrase_normal()); empty when managed */
    bool managed;
    struct bytes member; /* of the server's Welcome: 96 bytes, or empty */
};

/**
 * Makes the door, durable when it returns. It is what the remote is given first, so the remote is
 * added after it; then remote_door_opened(), or remote_door_shut() when that failed.
 */
int remote_door(const struct session *s, const struct remote_door *door,
                struct err *err) MUST_CHECK;
/** Waits until the remote was given it; if that takes too long, it is taken back. Not mounted: 0.
 */
int remote_door_opened(const struct session *s, const struct space_entry *e, const char *url,
                       struct err *err) MUST_CHECK;
/** Takes it back, if it was not given. */
int remote_door_shut(const struct session *s, const struct space_entry *e, const char *url,
                     struct err *err) MUST_CHECK;

/** Whether the door of a remote was made and is still to be sent, which the next mount does: 1, 0.
 */
int remote_door_waits(const struct session *s, const struct space_entry *e, const char *url,
                      struct err *err) MUST_CHECK;

#endif
