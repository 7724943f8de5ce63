/*
 * tests/support/hostile_member - a member that keeps to no rule: it has the keys of a device
 * (tests/support/device) that joined a space, and signs what it likes with them. Nothing of the
 * product's own checks stands in its way: heads, bodies and changes are put together here.
 *
 * Functions fail the running test when they cannot do what they say.
 */
#ifndef TESTS_SUPPORT_HOSTILE_MEMBER_H
#define TESTS_SUPPORT_HOSTILE_MEMBER_H

#include "proto/sealed/entry.h"
#include "proto/sealed/state.h"
#include "tests/support/device.h"

/* An entry to be signed; zeros are what an honest one would have. */
struct hostile_entry {
    enum entry_kind kind; /* 0: a VALUE */
    struct dot dot;       /* goes out as it is, allowed or not */
    uint64_t stamp, after;
    struct act_ids acts; /* none: the newest that the member knows */
    struct dots replaced;
    struct bytes plain; /* of a VALUE the change, of a STATE all of it */
    const struct member_keys *keys;
    const struct epoch_keys *epoch;
};

/** Signs and seals it; replaces what is in @ret. */
void hostile_entry_seal(const struct device *m, const struct hostile_entry *x, struct buf *ret);

/* One record in a change. */
struct hostile_file {
    struct rid rid; /* zeros: a new one of @kind, and stored here */
    enum kind kind;
    struct rid parent;       /* zeros: the root */
    const void *name;        /* any bytes, of */
    size_t name_n;           /* this length */
    uint32_t mode;           /* 0: 0644, of a directory 0755 */
    struct bytes xattrs;     /* encoded */
    struct bytes content;    /* of a file its bytes, of a symlink its target; at most 2048 */
    struct dots content_ctx; /* what the content has seen, a vector */
    uint64_t stamp;
    bool content_only; /* no place, no meta */
};

/** The encoding of the change @dot with @n files; replaces what is in @ret. */
void hostile_change(const struct device *m, const struct dot *dot, struct hostile_file *files,
                    size_t n, struct buf *ret);

/** The member's own replica with the counter after its last one. */
struct dot hostile_next_dot(const struct device *m);
/** The newest acts that it knows. */
struct act_ids hostile_heads(const struct device *m);
/** Signs an act with its keys, parents and number as they ought to be; replaces what is in @ret. */
void hostile_act(const struct device *m, struct act *a, struct buf *ret);
/** Signs and seals a STATE with number @number. */
void hostile_state(const struct device *m, uint64_t number, const struct state *v, struct buf *ret);

#endif
