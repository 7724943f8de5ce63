/*
 * sync/links/pairing_mail - the mailboxes of servers (mailbox.h) in which a command that pairs
 * meets another device: one for each server that this device has a token for. Thread: the loop's.
 */
#ifndef SYNC_LINKS_PAIRING_MAIL_H
#define SYNC_LINKS_PAIRING_MAIL_H

#include "sync/links/peers.h"
#include "sync/links/remotes.h"

struct pairing_mail;
struct p2p_peer;

struct pairing_mail_config {
    struct peers *peers;
    const struct remotes *remotes; /* looked at in the call */
    const char *plate;             /* four digits; borrowed */
    bool inviting;
    /** There is a connection to a device in a mailbox. Joining, it is the only one. */
    void (*met)(struct p2p_peer *p, void *user);
    void *user;
};

/** Opens them; one that cannot be is said in the log. @cfg is copied. Errors: -ENOMEM. */
int pairing_mail_new(const struct pairing_mail_config *cfg, struct pairing_mail **ret) MUST_CHECK;

/** Gives them up; connections that were made in them are closed. Not from within met(). Accepts
 * NULL. */
void pairing_mail_free(struct pairing_mail *m);

/** A connection is gone: if it was made in a mailbox, that is opened for the next device. */
void pairing_mail_left(struct pairing_mail *m, const uint8_t *peer_id);

#endif
