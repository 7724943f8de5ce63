/*
 * tests/sim/ghost - what a run remembers beside its replicas: who made and saw what.
 */
#ifndef TESTS_SIM_GHOST_H
#define TESTS_SIM_GHOST_H

#include "tests/sim/sim.h"

/** The user of device @i saw this content, and replaced or deleted it. */
void ghost_knew(struct sim *s, int i, const char *text);
/** The user of device @i made @text of @old, and so replaced the saves that are not in it. */
void ghost_replaced(struct sim *s, int i, const char *old, const char *text);
/** The user of device @i saved. */
void ghost_made(struct sim *s, int i, int save);
/** The joined change of device @i was written, or not. */
void ghost_joined(struct sim *s, int i, bool written);
/** The saves in @text, one after the other: the next one, or 0 at the end. */
int ghost_next_save(const char **text);
/** Notes the own changes that device @i made since the last call. */
void ghost_capture(struct sim *s, int i);
void ghost_fini(struct sim *s);

#endif
