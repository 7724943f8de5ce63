/*
 * sync/cli/sync_process - the life of the sync process: its pid file, its socket, its loop.
 */
#ifndef SYNC_CLI_SYNC_PROCESS_H
#define SYNC_CLI_SYNC_PROCESS_H

#include "fs/mount/control.h"
#include "sync/cli/home.h"

#define SYNC_RUNFILE "sync.pid"
#define SYNC_LOG "sync.log"

/**
 * Runs until SIGTERM, SIGINT or a Stop; returns the exit status. Errors before it listened go to
 * @out, later ones to the log. @report is told when it listens; NULL in the foreground. Thread: the
 * main one; starts others.
 */
int sync_process_run(const struct home *h, struct out *out, struct control_out *report);

#endif
