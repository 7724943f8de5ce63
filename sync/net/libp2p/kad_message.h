/*
 * sync/net/libp2p/kad_message - what peers of Kademlia ask each other, and answer. Pure.
 * Thread: any. Source: libp2p specs, kad-dht.
 */
#ifndef SYNC_NET_LIBP2P_KAD_MESSAGE_H
#define SYNC_NET_LIBP2P_KAD_MESSAGE_H

#include "sync/net/libp2p/kad_contact.h"
#include "sync/net/libp2p/limits.h"

enum kad_type {
    KAD_PUT_VALUE = 0, /* refused, as the next: nothing is stored but who has what */
    KAD_GET_VALUE = 1,
    KAD_ADD_PROVIDER = 2,  /* the sender, with its addresses, has what @key stands for */
    KAD_GET_PROVIDERS = 3, /* who has it, and who is nearer to it? */
    KAD_FIND_NODE = 4,     /* who is nearer to it? */
    KAD_PING = 5
};

struct kad_contacts {
    struct kad_contact *v;
    size_t n;
};

/* All zero is valid and empty. Free: kad_message_fini(). */
struct kad_message {
    enum kad_type type;
    uint8_t key[P2P_KAD_KEY];
    size_t key_n;
    struct kad_contacts closer;    /* at most P2P_KAD_K */
    struct kad_contacts providers; /* at most P2P_KAD_PROVIDERS */
};

/**
 * Decodes what a peer at @ip sent, without the length before it. Peers whose key is not Ed25519
 * are left out, as is what goes beyond a limit, and addresses that are not believed of who is
 * there (kad_addr_suits()); a peer may be left without any. Errors, with an empty @m: -EBADMSG;
 * -ENOMEM.
 */
int kad_message_read(struct kad_message *m, struct bytes in,
                     const uint8_t ip[static SCOPE_IP_BYTES]) MUST_CHECK;

/** Accepts NULL. */
void kad_message_fini(struct kad_message *m);

/* What is to be sent; all is borrowed. */
struct kad_said {
    enum kad_type type;
    struct bytes key;
    const struct kad_contact *closer[P2P_KAD_K];
    size_t closer_n;
    const struct kad_contact *providers[P2P_KAD_PROVIDERS];
    size_t providers_n;
};

/**
 * Appends the message for a peer at @ip, with its length before it. Left out are addresses that are
 * of no use there, and peers that have no other. Errors: -ENOMEM.
 */
int kad_message_put(struct buf *b, const struct kad_said *said,
                    const uint8_t ip[static SCOPE_IP_BYTES]) MUST_CHECK;

#endif
