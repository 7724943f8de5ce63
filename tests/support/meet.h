/*
 * tests/support/meet - what devices (tests/support/device) tell each other, by nothing but what
 * fs/space/exchange.h offers.
 */
#ifndef TESTS_SUPPORT_MEET_H
#define TESTS_SUPPORT_MEET_H

#include "tests/support/device.h"

/** @to gets all that @from has published, chunks included; what is pending is published first. */
void device_pull(struct device *to, struct device *from);
/** The same, before @to has published what is pending there. */
void device_hear(struct device *to, struct device *from);
/** @n devices pull from each other until all have everything. */
void devices_meet(struct device *const *d, size_t n);

#endif
