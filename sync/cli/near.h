/*
 * sync/cli/near - which known words a mistyped one may have meant.
 */
#ifndef SYNC_CLI_NEAR_H
#define SYNC_CLI_NEAR_H

#include <stdbool.h>

/**
 * Whether @word looks like a slip for @known: it begins it, or lies at most two edits (one for
 * words of up to four letters) away: a letter added, lost, changed, or two swapped.
 */
bool near_match(const char *word, const char *known);

#endif
