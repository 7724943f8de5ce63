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

/** For cmocka: opens the space on both devices, and starts both servers. @state: the world. */
int hostile_world_setup(void **state);
/** Stops and closes all of it. */
int hostile_world_teardown(void **state);

/* A test of a world, as cmocka takes it. */
#define HOSTILE_WORLD_TEST(test, world)                                                            \
    cmocka_unit_test_prestate_setup_teardown(test, hostile_world_setup, hostile_world_teardown,    \
                                             world)

#endif
