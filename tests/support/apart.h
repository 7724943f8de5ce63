/*
 * tests/support/apart - keeps a test's devices from the network of this machine, where others that
 * run at the same time would be found.
 */
#ifndef TESTS_SUPPORT_APART_H
#define TESTS_SUPPORT_APART_H

/** This process, and what it starts, has a network of its own, with nothing but loopback; once.
 * Without the right to that (root), all stays as it is. */
void apart_network(void);

/** The device whose file of direct links (sync/links/p2p_file.h) is in @dir_fd has none. */
void apart_no_direct_links(int dir_fd);

#endif
