/*
 * tests/sim/text - what a device shows and holds as text, a line for each entry and each value:
 * model_driver.py writes the same of the model, and reads it.
 */
#ifndef TESTS_SIM_TEXT_H
#define TESTS_SIM_TEXT_H

#include "tests/support/replica_world.h"

/** Appends a few words. */
void text_put(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Appends its counters. */
void text_vector(struct buf *b, const struct vv *v);
/** Appends all fields of a value, that device @i holds or made, with tabs between them. */
void text_value(struct world *w, int i, const struct value *v, struct buf *b);
/** Appends all values that device @i holds: how many. */
size_t text_held(struct world *w, int i, struct buf *b);
/** Appends each path that device @i shows, with its record, mode, content, and what is open. */
void text_shown(struct world *w, int i, struct buf *b);

#endif
