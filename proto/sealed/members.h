/*
 * proto/sealed/members - who is a member, what is accepted of whom, and what to seal under: a pure
 * function of the set of acts.
 *
 * Acts name their parents and so form a hash graph. They may be inserted in any order: one whose
 * parents are missing waits. Every answer depends on the set alone, never on order or time.
 *
 * An act is taken when it is well-formed, judged by its own ancestors alone: its author was a
 * member then and signed it. Of those
 *   - a revoke counts, always;
 *   - an add stands when the add that made its author a member stands and no revoke of its author
 *     is concurrent with it; one through a door, when the door stands likewise and every revoke
 *     that descends from the door has the add as an ancestor;
 *   - a member is one with an add that stands and that descends from every revoke of it;
 *   - an epoch is clean when all that were given its key are members: its author, those with a box,
 *     and those whose add descends from it, for they get all older keys.
 * Removes win: who revoke each other unseen are all out.
 *
 * Memory is bounded: -ENOBUFS beyond the limits below, revokes having some of their own. Of what
 * waits, the one that came first makes room for the next. Anybody can make up an act that waits:
 * what no member signed takes no room from what one did.
 * Views are valid until the next insertion. Thread: one at a time. Errors as in keys.h, -ENOMEM.
 */
#ifndef PROTO_SEALED_MEMBERS_H
#define PROTO_SEALED_MEMBERS_H

#include "proto/sealed/act.h"

enum {
    MEMBERS_ACTS_MAX = 16384,             /* LIMIT_MEMBERS times LIMIT_AUTHOR_ACTS */
    MEMBERS_BYTES_MAX = 32 * 1024 * 1024, /* of these acts */
    MEMBERS_REVOKES_MAX = 1024,           /* more acts, if they are revokes */
    MEMBERS_REVOKES_BYTES_MAX = 16 * 1024 * 1024,
    MEMBERS_WAITING_MAX = 512, /* signed by members, and as many others */
    MEMBERS_WAITING_BYTES_MAX = 2 * 1024 * 1024,
};

#define MEMBERS_NO_CUT UINT64_MAX

struct members;

/* One who is a member now. */
struct member_now {
    struct member_id id;
    struct member_public keys;
    enum act_role role;
    const uint8_t *label; /* sealed, the newest; NULL: none (the first member before it gave one) */
};

/** Begins with the genesis of a space. @space (may be NULL): the id that it must have. */
int members_new(struct bytes genesis, const struct space_id *space,
                struct members **ret) MUST_CHECK;
void members_free(struct members *m); /* accepts NULL */

/**
 * Inserts an act, and what waited for it. 1: taken; 0: known; -EAGAIN: parents are missing, it
 * waits; -EBADMSG: refused, by everybody and for ever; -ENOTSUP: of a later version; -ENOBUFS.
 */
int members_insert(struct members *m, struct bytes act) MUST_CHECK;

/**
 * The ids of those that the last insertion, of whatever result, dropped from what waits: refused
 * now that their parents are here, or waiting longest when another one wanted the room; these can
 * be inserted again. Valid until the next insertion.
 */
struct act_ids members_dropped(const struct members *m);

/** Writes at most @max ids of acts that others wait for and that are not here; their number. */
size_t members_missing(const struct members *m, struct act_id *ret, size_t max);

const struct space_id *members_space(const struct members *m);
/** The acts taken, parents before children: a caller takes those from the last count on. */
size_t members_acts_n(const struct members *m);
const struct act *members_act(const struct members *m, size_t i);
bool members_has(const struct members *m, const struct act_id *id);

/**
 * The newest acts, for the next act or entry: those that are no parents. At most LIMIT_ACT_HEADS,
 * ascending, into @ret; their number. More there can only be when as many devices act unseen by
 * each other: an act that names some leaves fewer.
 */
size_t members_heads(const struct members *m, uint8_t ret[static LIMIT_ACT_HEADS * ACT_ID_SIZE]);

/** The number that the next act of @author (of a door: its key) has. */
uint32_t members_next_number(const struct members *m, const struct member_id *author);
/** The generation that the next epoch has. */
uint32_t members_next_generation(const struct members *m);

/** The members, ascending by id. */
size_t members_n(const struct members *m);
const struct member_now *members_at(const struct members *m, size_t i);
/** The member with @id; NULL: not one now. */
const struct member_now *members_find(const struct members *m, const struct member_id *id);

/**
 * The last counter accepted of a replica; MEMBERS_NO_CUT: all. 0: nothing, as of an unknown one.
 * The smallest that a revoke of its owner names which its own act does not descend from (not named:
 * 0) or that a fork leaves; 0 when the add of its owner does not stand.
 */
uint64_t members_cut(const struct members *m, uint64_t replica);

/**
 * The epoch to seal under: of the clean ones the highest generation, then the smallest id. NULL:
 * there is none, a new one has to be made before anything more is sent.
 */
const struct act *members_epoch(const struct members *m);

/** Whether an add through the door with @key would stand now. */
bool members_door_open(const struct members *m, const uint8_t key[static SIGN_KEY_SIZE]);

/* ---- the past of some acts ---------------------------------------------------------------------
 */

struct members_past;

/**
 * The acts @heads and all their ancestors. -EAGAIN: one of them is not here. Valid until the next
 * insertion.
 */
int members_past_new(const struct members *m, struct act_ids heads,
                     struct members_past **ret) MUST_CHECK;
void members_past_free(struct members_past *p); /* accepts NULL */

/** Who owns a replica, by a well-formed own act there; NULL: nobody. */
const struct member_public *members_past_owner(const struct members_past *p, uint64_t replica);

#endif
