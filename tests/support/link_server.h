/*
 * tests/support/link_server - a server as far as links see it: greets, looks at the proof, and then
 * does with the frames of the session what a test wants. A process of its own, which can be killed.
 *
 * Tokens that begin with "good" are accepted. A session of a mount is taken for one with an empty
 * space: whatever is put is Done, and nothing is kept. What a test changes in `control` holds from
 * the next event on. Thread: the test's.
 */
#ifndef TESTS_SUPPORT_LINK_SERVER_H
#define TESTS_SUPPORT_LINK_SERVER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

enum { LINK_SERVER_FRAME = 512 * 1024, LINK_SERVER_MEMBER = 96 };

/* Shared with the process. */
struct link_server_control {
    /* What it does. */
    _Atomic unsigned version;    /* it speaks; 1 at first */
    _Atomic unsigned end_code;   /* says End and closes instead of the Welcome; 0: welcomes */
    _Atomic unsigned mute;       /* sends no Challenge */
    _Atomic unsigned echo;       /* sends frames back */
    _Atomic unsigned slow_ms;    /* reads a frame only every so often */
    _Atomic unsigned no_entries; /* a session answers nothing any more once an entry came */
    _Atomic unsigned pour;       /* so many numbered frames are sent after a Welcome */
    _Atomic unsigned close_code; /* closes all connections with it, after an End; then it is 0 */
    /* What it saw, in all. */
    _Atomic unsigned opened, welcomed, frames, poured, wrong; /* wrong: proofs, numbers of frames */
    _Atomic unsigned refused;                                 /* tokens */
    _Atomic unsigned doors; /* blobs that were taken, of either kind */
    _Atomic unsigned open;  /* connections now */
    _Atomic unsigned port;
    uint8_t identity[32]; /* of the last Proof */
};

struct link_server {
    pid_t pid;
    char url[64];
    struct link_server_control *control;
};

/** Starts it on a free port, or again on the one it had. Fails the test when it cannot. */
void link_server_start(struct link_server *s);

/** Kills it: its connections end without a word. Accepts one that does not run. */
void link_server_kill(struct link_server *s);

/** Kills it and frees what is shared. Accepts all zero. */
void link_server_free(struct link_server *s);

/** A numbered frame of a session, of LINK_SERVER_FRAME bytes; and its number, or -1. */
void link_server_fill(uint8_t frame[LINK_SERVER_FRAME], uint32_t number);
int64_t link_server_number(const uint8_t *frame, size_t n);

#endif
