/*
 * tests/support/pair_world - two devices of a test of `persist pair`, and the command that shows a
 * code on one of them. Thread: one.
 */
#ifndef TESTS_SUPPORT_PAIR_WORLD_H
#define TESTS_SUPPORT_PAIR_WORLD_H

#include "tests/support/e2e.h"
#include "tests/support/lan.h"

enum {
    PAIR_WORLD_CODE = 16,
    PAIR_WORLD_ADDRESS = 256,
    PAIR_WORLD_FOUND_MS = 240000, /* until devices have found each other again, at most */
};

/* The one that makes the code, with the mounted folder notes, and the one that types it. */
extern struct e2e *desk, *phone;
/* What the newest invite() showed. */
extern char code[PAIR_WORLD_CODE], address[PAIR_WORLD_ADDRESS];

/** The fixture of a test is the desk; both listen on loopback. False: the test cannot go on. */
bool pair_world_begin(struct e2e *f);
/** Also after a pair_world_begin() that failed. */
void pair_world_end(void);

/**
 * The same for devices that are computers of their own, the first two of the @n that @lan gets, as
 * they are when they are told nothing, and paired: on one local network, where they find each
 * other, or @routed, and the phone is told where the desk is.
 */
bool pair_world_apart(struct e2e *f, struct lan *lan, size_t n, bool routed);
/** Also after it failed. */
void pair_world_apart_end(struct lan *lan);
/** Waits until the link between the two is so on @d: "up to date", "offline" ... */
bool pair_world_link(struct e2e *d, const char *word);
/** What one saves, and what the other makes of it, comes to the other. */
void pair_world_both_ways(const char *name);

/** Another device, below the fixture of the test. */
struct e2e *pair_world_device(const char *name);
/** Ends, checks and frees it. Accepts NULL. */
void pair_world_leave(struct e2e *d);

/** Makes a code, with @options; false: it was refused. Its process is in pair.pid. */
bool invite(const char *options);
/** The inviting command ends with @status (-1: any error), and has @part on one of its streams. */
void invite_ends(int status, const char *part);

/**
 * On the phone: runs "persist pair @arguments" while strangers (pair_stranger.h) do what they do;
 * its process is in join.pid. And: it ends with @status, and one line of error that has @part, or,
 * with status 0, such a line of output.
 */
void join_begin(const char *arguments, ...) PRINTF_LIKE(1, 2);
void join_ends(int status, const char *part);
/** It ends with any error, and says @part among others. */
void join_ends_any(const char *part);

/** Another code with the same digits. */
const char *wrong_code(void);

/** Nobody else is a device of the desk's folder, and the phone has nothing of it. */
void expect_alone(void);

#endif
