/*
 * sync/links - the sync process's work: serves mounts and commands on its socket, and keeps a
 * connection to each server of each space whose mount is attached.
 *
 * Thread: the loop's.
 * Source: proto/local.proto, proto/session.proto, sync/links/README.md.
 */
#ifndef SYNC_LINKS_LINKS_H
#define SYNC_LINKS_LINKS_H

#include "proto/sealed/keys.h"
#include "sync/net/loop.h"

struct links;

struct links_config {
    int listen_fd; /* a listening socket of AF_UNIX; stays the caller's until links_free() */
    int dir_fd;    /* the directory of the remotes; likewise */
    const struct member_keys *identity; /* the device's: its sign keys; likewise */
    void (*stopped)(void *arg);         /* after links_stop(), or a Stop of a command */
    void *arg;
};

/** Starts to serve. Errors: as remotes_open(); -ENOMEM, -EMFILE. */
int links_new(struct net_loop *l, const struct links_config *cfg, struct links **ret,
              struct err *err) MUST_CHECK;

/**
 * Takes no more requests, lets mounts go and closes all links, in 6 s at most; then the
 * configuration's stopped() is called, once, from the loop.
 */
void links_stop(struct links *l);

/** Cuts what is still open. Accepts NULL. */
void links_free(struct links *l);

#endif
