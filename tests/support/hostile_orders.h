/*
 * tests/support/hostile_orders - what hostile code that is loaded into a process
 * (preload/hostile.c) is told of the device that it attacks.
 */
#ifndef TESTS_SUPPORT_HOSTILE_ORDERS_H
#define TESTS_SUPPORT_HOSTILE_ORDERS_H

#include "tests/preload/hostile.h"
#include "tests/support/e2e.h"

/** Where state, folder, control socket and processes of the device are; all else of @ret is 0. */
void hostile_orders(struct e2e *f, struct hostile *ret);

#endif
