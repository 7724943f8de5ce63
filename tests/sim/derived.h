/*
 * tests/sim/derived - what a device shows, beside what model.py derives: from nothing but the set
 * of changes, merged by its own rule. The functions do nothing when a run has no model.
 */
#ifndef TESTS_SIM_DERIVED_H
#define TESTS_SIM_DERIVED_H

#include "tests/sim/sim.h"

/** Of the values that device @i holds now. */
void derived_held(struct sim *s, int i);
/** Of all changes that were made in the run, of which every device shows the outcome. */
void derived_all(struct sim *s);

#endif
