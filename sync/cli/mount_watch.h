/*
 * sync/cli/mount_watch - a process beside the mount process that sees to it that this one can die.
 *
 * A thread that tells the kernel of a changed name waits in it for the folder's lock; a program
 * that has that lock waits for an answer. Is the mount process killed in that moment, the thread,
 * which no signal reaches, keeps its descriptors open, so the kernel sees no dead file system and
 * nobody ever goes on. Aborting the connection from outside ends all of it.
 */
#ifndef SYNC_CLI_MOUNT_WATCH_H
#define SYNC_CLI_MOUNT_WATCH_H

#include "proto/base/err.h"

/**
 * Starts it for @folder (absolute, clean). Called by the main thread of the mount process, before
 * it has others and anything open that is not to be shared. It ends with the caller. Errors: of
 * fork().
 */
int mount_watch_start(const char *folder, struct err *err) MUST_CHECK;

#endif
