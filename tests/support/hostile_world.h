/*
 * Two devices of one space, and two servers for them, which lie when a test has them do so.
 */
#ifndef TESTS_SUPPORT_HOSTILE_WORLD_H
#define TESTS_SUPPORT_HOSTILE_WORLD_H

#include "tests/support/hostile_server.h"
#include "tests/support/online.h"
#include "tests/support/sync_meet.h"

enum { ANNA, BERT, DEVICES };

struct hostile_world {
    struct sync_meet *w;
    struct online *on; /* DEVICES; a test starts those that it wants */
    struct hostile_server *bad, *good;
};

/** Opens the space on both devices, and starts both servers. */
void hostile_world_open(const struct hostile_world *h);
/** Stops and closes all of it. */
void hostile_world_close(const struct hostile_world *h);

#endif
