/*
 * proto/sealed/verify - whether a change or a STATE is to be applied.
 *
 * No rule looks at a clock, a route, an epoch or at what else is stored, so all devices decide
 * alike. A held entry is asked about again when more is known; a refused one is so for ever, but
 * for a cut, which only falls. Thread: as the members.
 */
#ifndef PROTO_SEALED_VERIFY_H
#define PROTO_SEALED_VERIFY_H

#include "proto/sealed/members.h"
#include "proto/sealed/state.h"

enum verify_result {
    VERIFY_ACCEPT,
    /* Held: what is missing may come. */
    VERIFY_HOLD_ACTS,   /* acts that it names are not here */
    VERIFY_HOLD_VECTOR, /* it has seen changes that no signature of their owner backs yet */
    /* Refused. */
    VERIFY_SPACE,     /* of another space */
    VERIFY_OWNER,     /* nobody owns its replica in the acts that it names */
    VERIFY_SIGNATURE, /* not signed by the owner */
    VERIFY_CUT,       /* above what is accepted of the replica */
    VERIFY_VECTOR,    /* names replicas that nobody owns, or its own future */
    VERIFY_MEMBER,    /* a STATE of one who is no member */
    VERIFY_MEMORY,    /* none left: ask again */
};

/* A vector or set of dots of a change. */
struct verify_claim {
    struct dots dots;
    bool origin; /* the changes that it embodies, which its own dot may be among */
};

struct verify_value {
    const struct members *members;
    const struct entry *entry;         /* a VALUE, opened or stored */
    const struct verify_claim *claims; /* of all its parts: contexts, what deletions saw, origins */
    size_t claims_n;
    const struct vv *highest; /* of each replica the counter of its highest signed head or STATE */
    bool signature_known;     /* its root is one that verified with the key of verify_owner() */
};

/** The key with which an entry must be signed, into @ret; VERIFY_ACCEPT, or why there is none. */
enum verify_result verify_owner(const struct members *m, const struct entry *e,
                                uint8_t ret[static SIGN_KEY_SIZE]);

/** Whether a VALUE is to be applied. */
enum verify_result verify_value(const struct verify_value *v);

/** Whether a STATE counts: signed by the owner of its replica, who is a member now and uses it. */
enum verify_result verify_state(const struct members *m, const struct entry *e,
                                const struct state *s);

static inline bool verify_holds(enum verify_result r)
{
    return r == VERIFY_HOLD_ACTS || r == VERIFY_HOLD_VECTOR || r == VERIFY_MEMORY;
}

/** A few words for people. */
const char *verify_text(enum verify_result r);

#endif
