/*
 * tests/support/links_fixture - a service of sync/links with mounts and commands that talk to it,
 * all in one loop, and servers in processes of their own. There is one at a time. Thread: one.
 *
 * Mounts note what they are told. A wait that lasts LINKS_WAIT_MS fails the test.
 */
#ifndef TESTS_SUPPORT_LINKS_FIXTURE_H
#define TESTS_SUPPORT_LINKS_FIXTURE_H

#include "proto/frame.h"
#include "sync/links/links.h"
#include "sync/net/unix_frames.h"
#include "tests/support/link_server.h"

enum { LINKS_WAIT_MS = 120000, LINKS_MOUNTS = 4, LINKS_PER_MOUNT = 8 };

/* What a mount knows of one of its links. */
struct links_seen {
    uint32_t id;
    uint64_t generation, retry_ms;
    Persist__LinkState state;
    char url[128], error[256];
    size_t member_n;
    uint32_t interval_s;
    unsigned told; /* how often */
};

/* A mount, or a command. */
struct links_mount {
    struct unix_conn *conn; /* NULL: closed, with */
    int error;
    struct links_seen links[LINKS_PER_MOUNT];
    size_t links_n;
    unsigned frames, wrong; /* Data that came; not in order */
    uint64_t late;          /* Data of a link that was not up, or of another generation */
    unsigned sent, want;    /* numbered frames that went out, of so many, on */
    size_t link;
    bool slow;       /* pauses after each frame */
    struct buf last; /* of the last Data */
    Persist__LinkState state_at_last;
    Persist__Local *reply;
};

struct links_fixture {
    char top[64];
    int dir_fd, listen_fd;
    struct member_keys identity;
    struct net_loop *loop;
    struct net_timer *tick;
    struct links *links;
    bool stopped;
    struct link_server a, b;                 /* b: of tests that start it */
    struct links_mount mounts[LINKS_MOUNTS]; /* the last is the commands' */
    size_t heap_max;                         /* bytes in use, at most, while the loop ran */
};

extern struct links_fixture lf;

/** For cmocka: with the server a, and no remotes. */
int links_set_up(void **state);
int links_tear_down(void **state);

/** Another service on the same files, instead of the one that is. */
void links_restart(void);

/* ---- waiting ---- */

/** Runs the loop until @done, or for @ms; whether it is done. */
bool links_run_for(bool (*done)(void), unsigned ms);
void links_run_ms(unsigned ms);

#define links_until(done)                                                                          \
    do {                                                                                           \
        if (!links_run_for(done, LINKS_WAIT_MS))                                                   \
            fail_msg("%s:%d: %s did not happen", __FILE__, __LINE__, #done);                       \
    } while (0)

/* Of the first link of the first mount, and of that mount. */
struct links_seen *links_first(void);
bool links_is_up(void);
bool links_is_down(void);
bool links_is_refused(void);
bool links_is_removed(void);
bool links_is_closed(void);

/* ---- mounts ---- */

/** A blocking socket, connected to the service. */
int links_connect_socket(void);
/** Connects as mount @i, and says nothing. */
struct links_mount *links_mount_open(size_t i);
/** Connects as mount @i and attaches the space of that letter. */
struct links_mount *links_attach(size_t i, char space);
/** Adds the server a to space 'a', attaches that, and waits until the link is up. */
struct links_mount *links_attach_up(void);

void links_space(char c, uint8_t ret[SPACE_ID_SIZE]);
void links_send(struct links_mount *m, Persist__Local *local);
/** As unix_send(). */
int links_send_data(struct links_mount *m, uint32_t link, uint64_t generation, struct bytes v);
/** Sends numbered frames until `want` are sent, as there is room. */
void links_push(struct links_mount *m);
/** Says Retry for its first link. */
void links_retry(struct links_mount *m, uint64_t after_ms);

/* ---- commands ---- */

/** Asks; the reply is good until the next one. */
const Persist__Reply *links_ask(Persist__Local *local);
const Persist__Reply *links_ask_add(char space, const char *url, const char *token,
                                    uint32_t interval_s);
const Persist__Reply *links_ask_spaces(const char *url, const char *token);
const Persist__Reply *links_ask_remove(char space, const char *url);
const Persist__Reply *links_ask_list(void);
/** Adds it with a good token, or fails the test. */
void links_add(char space, const struct link_server *s);

#endif
