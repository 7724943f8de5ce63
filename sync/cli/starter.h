/*
 * sync/cli/starter - a process beside the mount process that does for it what that cannot do once
 * it is confined: it starts the sync process, which has to have a network, and unmounts the folder,
 * for which a user needs fusermount3, a setuid program. What is started by a confined process is as
 * confined.
 *
 * It knows its two orders and nothing else: home and folder are those that it was made with. It has
 * no keys and no files, and ends with the mount process.
 */
#ifndef SYNC_CLI_STARTER_H
#define SYNC_CLI_STARTER_H

#include "sync/cli/home.h"

struct starter;

/**
 * Starts the process. Called by the main thread while there is no other, and nothing in memory that
 * is not to be shared. @h and @folder are used by that process alone. Errors: of fork() and
 * socketpair(), -ENOMEM.
 */
int starter_start(const struct home *h, const char *folder, struct starter **ret,
                  struct err *err) MUST_CHECK;

/** Ends the process, after what it is doing, waits for that, and frees @s; NULL is good. */
void starter_stop(struct starter *s);

/** sync_start(), by that process. -EIO when it is gone. Thread: any. */
int starter_sync(struct starter *s, struct err *err) MUST_CHECK;

/** device_unmount() of the folder, by that process. Thread: any. */
void starter_unmount(struct starter *s);

#endif
