/*
 * tests/sim/session - changes on their way from one device to another, or to the server.
 */
#ifndef TESTS_SIM_SESSION_H
#define TESTS_SIM_SESSION_H

#include "tests/sim/sim.h"

/**
 * Takes what @from has and @to lacks, as it is now, in the order and the batches that @seed gives
 * (0: in order, one by one), some of it twice. -EXDEV: the two must not exchange.
 */
int session_open(struct sim *s, struct sim_session *in, int to, int from, uint64_t seed);
/** Applies the next batch; after the last it takes over the knowledge, and ends. */
int session_take(struct sim *s, struct sim_session *in, int to);
void session_end(struct sim_session *in);
/** @to hears what @from and others acknowledge, and nothing of what these have. */
int session_acks(struct sim *s, int to, int from);
void session_log_fini(struct sim *s);

#endif
