/*
 * tests/sim/merge - what fs/merge makes of a conflict, folded as fs/space/fold does it.
 */
#ifndef TESTS_SIM_MERGE_H
#define TESTS_SIM_MERGE_H

#include "tests/sim/sim.h"

struct sim_merged {
    enum resolve how;
    char text[SIM_LINE_MAX];
    struct dot beside[LIMIT_FACET_VALUES];
    size_t n;
};

/**
 * Merges the open conflict of @rid as texts. @impatient: also when another device may know a later
 * base. 0, or -EAGAIN: not now.
 */
int sim_merge(struct sim *s, int i, const struct rid *rid, bool impatient, struct sim_merged *ret);

/** The content @old, in which @save takes the place of a line; others stay. */
void sim_edit_text(const char *old, int save, char ret[SIM_LINE_MAX]);

#endif
