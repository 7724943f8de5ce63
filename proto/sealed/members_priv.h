/*
 * proto/sealed/members_priv - the graph of acts, as the set (members.c) and its rules
 * (members_rules.c) see it. Private to these two.
 */
#ifndef PROTO_SEALED_MEMBERS_PRIV_H
#define PROTO_SEALED_MEMBERS_PRIV_H

#include "proto/sealed/members.h"

/* A set of acts by index; what is beyond its words is not in it. */
struct bits {
    uint64_t *w;
    size_t n; /* words */
};

static inline bool bits_has(const struct bits *b, size_t i)
{
    return i / 64 < b->n && (b->w[i / 64] >> i % 64 & 1) != 0;
}

static inline void bits_set(struct bits *b, size_t i)
{
    b->w[i / 64] |= UINT64_C(1) << i % 64;
}

struct node {
    struct act act; /* views into @raw */
    struct act_id id;
    uint8_t *raw;
    struct bits past;        /* its ancestors */
    struct member_id member; /* of genesis and add: whom it adds */
    bool has_child;
};

/* Indexes of nodes of one kind, in order of arrival: parents before children. */
struct list {
    uint32_t *v;
    size_t n, cap;
};

struct waiting {
    struct act_id id;
    uint8_t *raw;
    size_t n;
    bool of_member; /* one signed it */
};

struct waiting_sum {
    size_t n, bytes;
};

struct members {
    struct space_id space;
    struct node *nodes;
    size_t n, cap;
    size_t bytes, revokes_bytes;
    struct list adds; /* genesis and adds */
    struct list owns, revokes, epochs, forks, doors, labels;
    struct waiting *waiting; /* in order of arrival */
    struct buf dropped;      /* see members_dropped() */
    size_t waiting_n, waiting_cap;
    struct waiting_sum waiting_sum[2]; /* of others, of members */

    /* The answers: members_rules_decide(). */
    struct member_now *now;
    size_t now_n, now_cap;
    bool *stands; /* of each of @adds */
    size_t stands_cap;
    size_t epoch; /* the act with it; SIZE_MAX: none */
};

struct members_past {
    const struct members *m;
    struct bits acts;
};

/**
 * Whether node @x, whose ancestors are in the graph but which itself is not yet, is well-formed:
 * 0, -EBADMSG, -ENOMEM.
 */
int members_rules_check(struct members *m, const struct node *x) MUST_CHECK;

/** Computes the answers anew. 0 or -ENOMEM. */
int members_rules_decide(struct members *m) MUST_CHECK;

/** The own act of a replica among @past (NULL: all), NULL: none. */
const struct node *members_rules_own(const struct members *m, const struct bits *past,
                                     uint64_t replica);

/** The keys of the member with @id among @past, which has an add there; NULL: none. */
const struct member_public *members_rules_keys(const struct members *m, const struct bits *past,
                                               const struct member_id *id);

#endif
