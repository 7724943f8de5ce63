/*
 * fs/space/peer_find - the device that a person means. Thread: any.
 */
#ifndef FS_SPACE_PEER_FIND_H
#define FS_SPACE_PEER_FIND_H

#include "fs/space/peers.h"

/**
 * Finds @text among the devices of the space: a whole PeerId, else a label, else any part of a
 * PeerId; of several, the one that is a member. VERB_OK; else an error line has gone to @out, which
 * begins with @verb and names those that it may be: VERB_NOT_FOUND, or as verb_status_of().
 */
int peer_find(struct space *s, const char *verb, const char *text, struct out *out,
              struct peer *ret) MUST_CHECK;

/** The error line of a list that could not be had, and the exit status. */
int peer_list_failed(const char *verb, int error, struct out *out);

#endif
