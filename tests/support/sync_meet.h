/*
 * tests/support/sync_meet - what devices (tests/support/device) tell each other, by nothing but
 * what fs/space/sync.h offers: signed and sealed, as a server in the middle would carry it.
 */
#ifndef TESTS_SUPPORT_SYNC_MEET_H
#define TESTS_SUPPORT_SYNC_MEET_H

#include "fs/space/sync.h"
#include "tests/support/device.h"

enum { SYNC_MEET_MAX = 6 };

/* What each was given of each. */
struct sync_meet {
    struct device d[SYNC_MEET_MAX];
    uint64_t done[SYNC_MEET_MAX][SYNC_MEET_MAX]; /* arrivals of the first that the second has */
    bool back;                                   /* a device is also given what it brought itself */
    struct dot withheld; /* a change that nobody gives to device @victim; none: nothing is */
    size_t victim;
};

/** Device 0 makes the space. */
void sync_meet_found(struct sync_meet *w, const char *label);
/** Device @i joins, through a door of device @of, and knows what that one does. */
void sync_meet_join(struct sync_meet *w, size_t i, const char *label, size_t of);
/** Both: the others of @labels join through device 0, and all know each other. */
void sync_meet_open(struct sync_meet *w, const char *const *labels, size_t n);
void sync_meet_close(struct sync_meet *w);

/** Publishes and signs what @d has pending. */
void sync_meet_sign(struct device *d);
/** Gives device @b what device @a has and @b was not given, content included. How many arrivals. */
size_t sync_meet_give(struct sync_meet *w, size_t a, size_t b);
/** The same without the content: what needs some waits. */
size_t sync_meet_give_entries(struct sync_meet *w, size_t a, size_t b);
/** What a server passes on of device @a, whatever becomes of it: how many were refused. */
size_t sync_meet_offer(struct sync_meet *w, size_t a, size_t b);
/** All of the first @n give each other everything. */
void sync_meet_all(struct sync_meet *w, size_t n);

/** Fails unless the file has this text; NULL: unless there is none. */
void sync_meet_expect(struct device *d, const char *path, const char *text);
/** Fails unless the first @n hold and know the same. */
void sync_meet_expect_equal(struct sync_meet *w, size_t n);

#endif
