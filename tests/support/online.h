/*
 * tests/support/online - a device (tests/support/device) that is on the network: its sessions
 * (sync/engine), and what the sync process does (sync/links) in a thread of the test, between them
 * the socket that a mount and the sync process have. Functions fail the running test.
 */
#ifndef TESTS_SUPPORT_ONLINE_H
#define TESTS_SUPPORT_ONLINE_H

#include <pthread.h>

#include "sync/engine/engine.h"
#include "sync/links/links.h"
#include "tests/support/device.h"

struct online {
    struct device *d;
    char dir[64];
    int dir_fd, listen_fd, stop_fd;
    struct member_keys identity;
    struct net_loop *loop;
    struct net_watch *stop;
    struct links *links;
    pthread_t thread;
    struct engine *engine;
};

/** Links @d, device number @n, with the servers at @urls. */
void online_start(struct online *o, struct device *d, unsigned n, const char *const *urls,
                  size_t urls_n);
/** Ends sessions and links. Accepts all zero. */
void online_stop(struct online *o);

/** The identity that servers see. */
const uint8_t *online_identity(const struct online *o);

/** Publishes and sends what is pending, and waits until all links are settled. */
void online_sync(struct online *o);
/** Whether all its links are settled; false also when none is up. */
bool online_is_settled(struct online *o);
/** Fails with @what unless @done(@arg) holds within 20 s. */
void online_wait(bool (*done)(void *arg), void *arg, const char *what);
/** The last error of the link with the server at @url; "": none. */
void online_error(struct online *o, const char *url, char *ret, size_t size);

#endif
