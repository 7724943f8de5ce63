/*
 * tests/sim/mirror - the same steps in model.py, and the two states compared: what is shown, what
 * is known, and every value that is held. Each function does nothing when the mirror is NULL.
 */
#ifndef TESTS_SIM_MIRROR_H
#define TESTS_SIM_MIRROR_H

#include "tests/sim/model.h"
#include "tests/sim/sim.h"

/** Borrows @model. @every: compares after each step, not only at rest. */
struct mirror *mirror_new(struct model *model, bool every);
void mirror_free(struct mirror *m);

void mirror_begin(struct mirror *m, int members, bool server);

/* A device before an operation: what tells whether the clock and the knowledge moved. */
struct mirror_op {
    uint64_t now_ms, own;
};
struct mirror_op mirror_before(struct mirror *m, struct world *w, int i);
void mirror_user(struct mirror *m, struct world *w, int i, const struct mirror_op *before,
                 const char *op, char *const *arg);
void mirror_resolve(struct mirror *m, struct world *w, int i, const struct mirror_op *before,
                    const struct rid *rid, const char *policy);
void mirror_clean(struct mirror *m, struct world *w, int i);
/** The number of a session; its changes are compared. */
int mirror_open(struct mirror *m, int to, int from, const struct sim_change *v, size_t n);
void mirror_take(struct mirror *m, struct world *w, int session, int to, const struct dot *dot);
void mirror_know(struct mirror *m, struct world *w, int session, int to);
void mirror_copy(struct mirror *m, int i);
void mirror_restore(struct mirror *m, struct world *w, int i, uint64_t id, uint64_t confirmed);
/** The two states are the same, or sim_fail(). */
void mirror_compare(struct mirror *m, struct world *w, int i);
/** After a step of device @i: the same, if every step is to be compared. */
void mirror_step(struct mirror *m, struct world *w, int i);

#endif
