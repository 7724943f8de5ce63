/*
 * sync/cli/new_space - `persist mount FOLDER --new-space`: a new space of a folder as it stands, in
 * the place of the one that it was. Thread: one.
 */
#ifndef SYNC_CLI_NEW_SPACE_H
#define SYNC_CLI_NEW_SPACE_H

#include "proto/base/err.h"

/**
 * Makes it for the folder @path, which is not mounted, and says so on stdout, with where the old
 * space is now; or finds that an earlier command has made it, and nobody mounted it since. Returns
 * the exit status, after saying on stderr why it is not 0: then all is as it was.
 */
int new_space(const char *path) MUST_CHECK;

#endif
