/*
 * tests/sim/model - model.py, the rules as a program, as a process that answers questions.
 *
 * What a device shows is a function of the changes it has: model_tree() tells which tree they are.
 * mirror.h does all steps of a run there too.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include <stdio.h>

#include "proto/hash.h"

struct model;

/** Starts model_driver.py of directory @dir. */
struct model *model_start(const char *dir);
/** Waits for its end. Accepts NULL. */
void model_stop(struct model *m);

/** The keys of the space that all that follows is about. */
void model_keys(struct model *m, const struct space_keys *keys);
/** The tree of @n values (text_value()), as text_shown() has it; appended. */
void model_tree(struct model *m, struct bytes values, size_t n, struct buf *ret);

/* ---- for mirror.c ---------------------------------------------------------------------------- */

/** What commands are written to, each a line with tabs between its fields. */
FILE *model_to(struct model *m);
/** The answer to a command: "ok", or sim_fail() with what it says of @what. */
void model_agree(struct model *m, const char *what);
/** An answer that is a text; appended. */
void model_text(struct model *m, struct buf *ret);

#endif
