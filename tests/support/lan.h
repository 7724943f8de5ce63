/*
 * tests/support/lan - the computers of a test: network namespaces with loopback and one interface,
 * eth0, the cable of which ends in one namespace more. There all are joined, by a bridge to one
 * local network, or by a router that passes no multicast on.
 *
 * None has a name, so tests beside each other do not meet, and all end with their last process,
 * also when the test is killed. As root; by iproute2. Thread: one, the test's only one.
 */
#ifndef TESTS_SUPPORT_LAN_H
#define TESTS_SUPPORT_LAN_H

#include "tests/support/check.h"

enum { LAN_HOSTS_MAX = 3 };

struct lan {
    int host[LAN_HOSTS_MAX]; /* descriptors of namespaces: for `net` of a fixture (e2e.h) */
    int middle;              /* where the cables end, of host I in c@I, and the bridge is: lan */
    size_t n;
};

/** One network: host I has 10.77.0.@I+1/24. False, after a failed check; lan_end() then, too. */
bool lan_bridged(struct lan *w, size_t n);
/** A network each: host I has 10.77.@I+1.2/24, and a route to the others. The same errors. */
bool lan_routed(struct lan *w, size_t n);
void lan_end(struct lan *w);

/** Runs a line of sh in the network @net; a failure is a failed check. */
bool lan_sh(int net, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Host @i has the address @to (with its prefix) instead of @from, and its default route if any. */
bool lan_move(const struct lan *w, size_t i, const char *from, const char *to);

#endif
