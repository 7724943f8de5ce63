/*
 * sync/cli/mount_process - the life of a mount process: opens the space, imports, serves, closes.
 */
#ifndef SYNC_CLI_MOUNT_PROCESS_H
#define SYNC_CLI_MOUNT_PROCESS_H

#include "fs/mount/control.h"
#include "sync/cli/identity.h"
#include "sync/cli/session.h"

struct mount_process {
    const struct session *session; /* open, with its run directory */
    const struct space_entry *space;
    const char *options; /* -o, NULL for none */
    const struct identity *identity;
    const char *sync_error; /* why there is no sync process; "": there is */
    bool import;
    struct out *out;            /* progress, messages and errors until the folder is usable */
    struct control_out *report; /* told when it is; NULL in the foreground */
};

/**
 * Runs until the folder is unmounted; returns the exit status. Errors before the folder was usable
 * go to `out`, later ones to the log. Thread: the main one; starts others.
 */
int mount_process_run(const struct mount_process *m);

#endif
