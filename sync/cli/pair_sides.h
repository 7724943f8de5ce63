/*
 * sync/cli/pair_sides - the two sides of `persist pair`: who makes a code, and who types it. Both
 * return the exit status, after an error line when it is not 0. Thread: one.
 */
#ifndef SYNC_CLI_PAIR_SIDES_H
#define SYNC_CLI_PAIR_SIDES_H

#include "sync/cli/args.h"
#include "sync/pair/code.h"

/* Options of `persist pair`. */
enum { PAIR_OPT_LABEL, PAIR_OPT_EXPIRES, PAIR_OPT_PEER, PAIR_OPT_NAME };

/** Makes a code for the folders that are the plain arguments, shows it, and waits. */
int pair_invite(const struct args *a);

/** Joins with a code; the second plain argument is the folder, if given. Wipes @code. */
int pair_join(const struct args *a, struct pair_code *code);

#endif
