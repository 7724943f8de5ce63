/*
 * tests/support/replica_device - the database and the process of a device in a world.
 */
#ifndef TESTS_SUPPORT_REPLICA_DEVICE_H
#define TESTS_SUPPORT_REPLICA_DEVICE_H

#include "tests/support/replica_world.h"

/** Opens device @i of a world, empty; its id and world are set. */
void replica_device_open(struct device *d, int i);
void replica_device_close(struct device *d, int i);
/** Ends its process, and starts another one on the rows of @copy (world_copy()). */
void replica_device_fill(struct device *d, struct bytes copy);

#endif
