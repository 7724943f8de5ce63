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

/** Makes the door, durable when it returns; the remote was added before. */
int remote_door(const struct session *s, const struct remote_door *door,
                struct err *err) MUST_CHECK;

/** Whether the door of a remote was made and is still to be sent, which the next mount does: 1, 0.
 */
int remote_door_waits(const struct session *s, const struct space_entry *e, const char *url,
                      struct err *err) MUST_CHECK;

#endif
