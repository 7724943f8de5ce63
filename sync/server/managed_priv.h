/* sync/server/managed_priv - what the files managed*.c share. Not for others. */
#ifndef SYNC_SERVER_MANAGED_PRIV_H
#define SYNC_SERVER_MANAGED_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/space/keyring.h"
#include "fs/space/mirror.h"
#include "proto/base/ring.h"
#include "sync/engine/engine.h"
#include "sync/server/managed.h"
#include "sync/server/own_link.h"

enum { MANAGED_NAME_SIZE = GRANT_NAME_MAX + 8 };

/* One space. */
struct managed {
    struct srv_managed *of;
    struct ring in_all; /* guarded by the lock */
    uint64_t account;
    uint8_t id[SPACE_ID_SIZE];
    char user[USER_NAME_MAX + 1], name[MANAGED_NAME_SIZE]; /* of its mirror */
    int dir_fd;
    char *dir;
    uint64_t granted_ms;       /* in this process; the loop's */
    struct srv_own_link *link; /* the loop's; NULL: the space is on its way out */

    /* The thread's; @space and @failed change under the lock. */
    struct space *space; /* NULL: not open */
    bool failed;         /* and cannot be */
    bool ends;           /* to be closed and removed; under the lock */
    struct engine *engine;
    struct mirror *mirror;
    uint64_t tidy_ms;  /* when files without a name are looked for */
    uint64_t retry_ms; /* a run that failed is repeated then; 0: none did */
    _Atomic uint64_t first_ms,
        last_ms; /* when what the mirror lacks changed; 0: it lacks nothing */
};

struct srv_managed {
    struct srv_managed_config cfg;
    struct space_member member;
    uint8_t public[2 * SIGN_KEY_SIZE + BOX_KEY_SIZE];
    struct srv_hub *hub;
    struct net_loop *loop;
    struct net_timer *timer; /* looks for users that were removed */
    int dir_fd, mirror_fd;   /* managed/; -1: no mirrors */
    char *dir, *mirror;      /* absolute */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t work;
    struct ring all;
    size_t n;
    bool ends;
    struct mirror *running; /* a mirror that is being written */
    struct srv_managed_stats stats;
};

/** The space of an account. Under lock. NULL: there is none. */
struct managed *managed_find(struct srv_managed *m, const struct srv_at *at);

/* ---- managed_dir.c: what is below managed/ ---- */

/** Makes the directory of a granted space: keys and name. @ret has no link yet. */
int managed_make(struct srv_managed *m, const struct srv_at *at, const struct grant *g,
                 struct managed **ret, struct err *err) MUST_CHECK;
/** Reads all that are there into m->all; those of removed users are removed. */
int managed_load(struct srv_managed *m, struct err *err) MUST_CHECK;
/** Deletes its directory. */
void managed_remove(struct managed *s);
void managed_free(struct managed *s); /* accepts NULL; closed before */

/* ---- managed_work.c: the thread ---- */
void *managed_work(void *srv_managed);

#endif
