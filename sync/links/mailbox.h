/*
 * sync/links/mailbox - meets another device in the mailbox of a server (sync/net/ws_pair.h), and
 * makes a connection of peers of it (sync/net/libp2p/host.h) over that pipe. Once: who wants more
 * opens another one.
 *
 * Who invites opens one for each server that it knows, that is, for each URL among its remotes, not
 * for each remote: done again with the same token a mailbox closes the one before. After a run is
 * over, and the connection is closed (p2p_disconnect()), it is opened again for the next one, as
 * long as the code lives and it did not end with MAILBOX_REFUSED, MAILBOX_SPENT, MAILBOX_OVER or
 * MAILBOX_TAKEN; after MAILBOX_LOST with a wait that grows (sync/net/backoff.h). Who joins tries
 * each server that it knows until MAILBOX_MET; it dials, so it is the joining side of sync/pair,
 * too. A run is begun on a connection: on both sides p2p_peer_hash() is the channel of that run.
 *
 * What goes through the pipe is bounded (512 KiB for all runs), so nothing else belongs on such a
 * connection: p2p_peer_is_piped(). When both devices have a direct connection, or get one, they
 * have that alone. Thread: the loop's; no callback runs inside a call of this file.
 */
#ifndef SYNC_LINKS_MAILBOX_H
#define SYNC_LINKS_MAILBOX_H

#include "sync/links/clients.h"
#include "sync/links/remotes.h"
#include "sync/net/libp2p/host.h"

/* How it ended. */
enum mailbox_end {
    MAILBOX_MET,     /* there is a connection to the other device */
    MAILBOX_NOBODY,  /* joining: nobody invites there under the nameplate. Inviting: the server has
                        no mailboxes */
    MAILBOX_TAKEN,   /* joining: another device is at it. Inviting: the nameplate is another user's,
                        or this user has made another one since */
    MAILBOX_SPENT,   /* too many joins of that nameplate, or from this address within a minute */
    MAILBOX_REFUSED, /* the token */
    MAILBOX_OVER,    /* the nameplate's time */
    MAILBOX_LOST     /* not reached, broken, or the other device left or failed */
};

struct mailbox_config {
    struct p2p_host *host;
    const struct remote *remote; /* its URL, roots, and token; joining: the token may be "" */
    const char *nameplate;       /* four digits */
    bool inviting;
    /** Inviting: the server has the mailbox, so the code works by this server. May be NULL. */
    void (*waits)(void *user);
    /** The last call, once. @p: of MAILBOX_MET the other device, a peer like any other, else NULL.
     * @why: for people, escaped; empty of MAILBOX_MET. */
    void (*done)(enum mailbox_end end, struct p2p_peer *p, const char *why, void *user);
    void *user;
};

struct mailbox;

/** Begins. Nothing of @cfg but the host is needed afterwards. Errors, and nothing is called then:
 * -EINVAL nameplate, URL, or no token to invite with; -EACCES, -ENOENT, -EMFILE as line_open();
 * -ENOMEM. */
int mailbox_open(struct net_loop *l, struct clients *clients, const struct mailbox_config *cfg,
                 struct mailbox **ret, struct err *err) MUST_CHECK;

/** Gives it up: nothing is called any more. Accepts NULL; not one whose done() was called. Before
 * p2p_host_stop() and p2p_host_free(), which forget it, and before clients_free(). */
void mailbox_cancel(struct mailbox *m);

#endif
