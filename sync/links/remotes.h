/*
 * sync/links/remotes - the servers that spaces of this device are to be linked with, as stored.
 *
 *   remotes   version 1 · count 4 · (space 16 · url · interval 4 · flags 1 · CA file) each · XXH3 8
 *   tokens    version 1 · count 4 · (space 16 · url · token) each · XXH3 8
 *
 * A text has its length before it. Both are files of sync/state/statefile.h: closed to others,
 * written whole. Thread: one.
 */
#ifndef SYNC_LINKS_REMOTES_H
#define SYNC_LINKS_REMOTES_H

#include "proto/sealed/ids.h"
#include "sync/net/ws.h"
#include "sync/net/ws_url.h"

enum {
    REMOTES_MAX = 256,
    REMOTE_CA_FILE_SIZE = 4096,
    REMOTE_INTERVAL_MAX_S = 7 * 24 * 3600,
    REMOTE_TOKEN_SIZE = WS_TOKEN_MAX + 1,
    REMOTE_CA_NAME_SIZE = 48
};

/* Copies of certificates that users gave, "ca-HASH.pem" beside the two files. */
#define REMOTE_CA_PREFIX "ca-"

/* One remote of one space; (space, url) names it. Wiped with remote_wipe(). */
struct remote {
    uint8_t space[SPACE_ID_SIZE];
    char url[WS_URL_SIZE];             /* in its one spelling, ws_url_text() */
    char token[REMOTE_TOKEN_SIZE];     /* "": none is stored */
    char ca_file[REMOTE_CA_FILE_SIZE]; /* absolute, of a copy; "": the system's roots */
    uint32_t interval_s;               /* 0: at once */
    bool insecure, managed;
};

void remote_wipe(struct remote *r);

struct remotes;

/**
 * Reads them from the directory @dir_fd, which stays the caller's and is used until
 * remotes_free(). None are stored: an empty list. Errors: -EPERM owner or mode of a file, -EUCLEAN
 * damaged, -ENOTSUP of a later version, -EIO, -ENOMEM.
 */
int remotes_open(int dir_fd, struct remotes **ret, struct err *err) MUST_CHECK;
/** The same without their tokens, which are not looked at: for who shows them, and no more. */
int remotes_read(int dir_fd, struct remotes **ret, struct err *err) MUST_CHECK;
void remotes_free(struct remotes *r); /* accepts NULL */

size_t remotes_n(const struct remotes *r);
/** The one at @i, good until the list is changed; not to be written to. */
struct remote *remotes_at(const struct remotes *r, size_t i);
/** The one of that name, or NULL. */
const struct remote *remotes_find(const struct remotes *r, const uint8_t space[SPACE_ID_SIZE],
                                  const char *url);

/**
 * Stores @remote, instead of the one of its name. Durable when it returns. Errors: -EMFILE too
 * many, -EIO, -ENOSPC, -ENOMEM; the list is as before.
 */
int remotes_put(struct remotes *r, const struct remote *remote, struct err *err) MUST_CHECK;

/** Removes it. -ENOENT there is none, else as remotes_put(). */
int remotes_remove(struct remotes *r, const uint8_t space[SPACE_ID_SIZE], const char *url,
                   struct err *err) MUST_CHECK;

/**
 * Removes the copies of certificates that no remote has, and that are a day old: a command may have
 * made a younger one for what it is about to add. What cannot be removed stays.
 */
void remotes_tidy(const struct remotes *r);

#endif
