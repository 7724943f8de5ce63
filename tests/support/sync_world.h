/*
 * tests/support/sync_world - a server and devices that share one space through it: each with a
 * state directory of its own, as real processes and mounts of this machine.
 *
 * Of a device the commands run as those of any fixture: e2e_sh(world_at(w, 0), "persist ...").
 * Everything is below the test's fixture and ends with it.
 */
#ifndef TESTS_SUPPORT_SYNC_WORLD_H
#define TESTS_SUPPORT_SYNC_WORLD_H

#include "tests/support/e2e.h"
#include "tests/support/lan.h"

enum { WORLD_DEVICES_MAX = 4, WORLD_EVEN_MS = E2E_LONG_MS };

struct sync_world {
    struct e2e *f;       /* the test's own fixture, in which nothing is mounted */
    struct e2e *server;  /* its commands know the server's data as $DATA */
    pid_t server_pid;    /* 0: it does not run */
    const char *address; /* where it listens */
    unsigned port;
    char url[48];
    const struct lan *lan; /* NULL: all are this machine */
    char data[E2E_PATH_MAX];
    char options[E2E_PATH_MAX + 32]; /* of `persist serve`, besides; from the next start on */
    struct e2e *device[WORLD_DEVICES_MAX];
    size_t n;
};

/**
 * A server with the user "alice", and @n devices: the first makes the space, the others clone it.
 * False, after a failed check, when that does not work; world_end() then, too.
 */
bool world_begin(struct sync_world *w, struct e2e *f, size_t n);
/** The same with hosts of @lan, one bridged network: each device is the one of its number, the
 * server the one after them. The devices do not look for each other. */
bool world_begin_apart(struct sync_world *w, struct e2e *f, size_t n, const struct lan *lan);
/** Ends all processes and mounts, and checks what stayed behind. */
void world_end(struct sync_world *w);

struct e2e *world_at(const struct sync_world *w, size_t device);

/* ---- devices ---- */

/** A device with a token for the server (TOP/token), and no folder yet. NULL: it failed. */
struct e2e *world_add(struct sync_world *w);
/** Mounts its folder and links it with the server; the passphrase is kept for world_clone(). */
bool world_found(struct sync_world *w, struct e2e *d);
/** Joins with the passphrase, which is in the file TOP/passphrase of each device. */
bool world_clone(struct sync_world *w, struct e2e *d);
/** Ends the sync process of a device, and starts it. */
void world_offline(struct e2e *d);
void world_online(struct e2e *d);

/** Where a device listens for direct links, from now on, and is announced to nobody: a multiaddr,
 * good for some calls. */
const char *world_listen(struct e2e *d);
/** From now on each device is linked with each directly, and the server is gone. */
void world_without_server(struct sync_world *w);

/* ---- the server ---- */

/** Ends it with @signal, and waits for that. */
void world_server_stop(struct sync_world *w, int signal);
/** Starts it, at the same address each time, and waits until it listens. */
bool world_server_start(struct sync_world *w);
/** A number that GET /metrics shows: the one named persist_@name. */
uint64_t world_metric(struct sync_world *w, const char *name);

/* ---- files ---- */

/** The path of a file of a device, good for some calls. */
const char *world_path(const struct e2e *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Writes a file, as an editor does that truncates it. */
void world_save(const struct e2e *d, const char *name, const char *text);
/** What is in a file, terminated; "" when it is not there. Good for some calls. */
const char *world_text(const struct e2e *d, const char *name);
/** Waits until a file of a device holds exactly this. */
bool world_wait_text(const struct e2e *d, const char *name, const char *text);
bool world_wait_text_within(const struct e2e *d, unsigned ms, const char *name, const char *text);
/** How many files of the top directory have @part in their name. */
unsigned world_named(const struct e2e *d, const char *part);

/* ---- waiting ---- */

/** Waits until the link of a device is as `persist remote list` says: "connected", "down" ... */
bool world_wait_link(struct e2e *d, const char *state);
/** Waits until all devices show the same tree and publish nothing: names, modes, times, content. */
bool world_even(struct sync_world *w);
bool world_even_within(struct sync_world *w, unsigned ms);

#endif
