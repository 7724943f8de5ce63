/*
 * sync/server/session_priv - what hub.c and the session*.c files share. Not for others.
 */
#ifndef SYNC_SERVER_SESSION_PRIV_H
#define SYNC_SERVER_SESSION_PRIV_H

#include <stdatomic.h>

#include "proto/base/ring.h"
#include "proto/frame.h"
#include "proto/sealed/keys.h"
#include "sync/server/session.h"
#include "sync/server/syncer.h"

/* An Items that is being put together; one for all sessions, as it is made and sent at once. */
struct items;

struct srv_hub {
    struct srv_hub_config cfg;
    struct srv_syncer *syncer;
    struct ring sessions; /* all */
    struct ring waiting;  /* for a sync */
    struct ring grown;    /* places whose log has grown, until the turn of the loop has ended */
    struct net_timer *grown_timer;
    struct ring moved; /* places where devices came or went, until that is said */
    struct net_timer *online_timer;
    void *places; /* tree of struct place */
    int cut_fd;   /* written to when a token ended */
    struct net_watch *cut_watch;
    struct items *items;
    struct buf scratch;
    struct srv_hub_stats stats;
};

/* The sessions of one space of one account. */
struct place {
    uint64_t account;
    uint8_t space[SPACE_ID_SIZE];
    struct ring sessions;
    struct ring in_grown, in_moved;
    unsigned online_n; /* sessions that are online */
    /* Who is, as Online says it; its number changes with it. */
    struct buf online;
    bool online_many;
    uint64_t online_number;
    uint64_t online_due; /* that of what all are to hear of by now */
};

/* What carries the frames of a session: a WebSocket, or the socket of a space of this process. */
struct srv_wire {
    /** As ws_send(): after -EAGAIN session_writable() is called. */
    int (*send)(void *to, struct bytes frame);
    /** Reads on, or does not. */
    void (*read)(void *to, bool on);
    /** Then session_free() is called, later. */
    void (*close)(void *to, unsigned code, const char *text);
};

enum session_state {
    SESSION_NEW,     /* waits for the Proof */
    SESSION_LINKED,  /* for ListSpaces or Open */
    SESSION_OPENING, /* until what Opened says is on disk */
    SESSION_OPEN,
    SESSION_ENDING, /* does nothing any more */
};

/* Sequence numbers that this session pushed, and that its cursor has not passed. */
struct own_range {
    uint64_t first, last;
};

enum {
    OWN_RANGES_MAX = 1024
}; /* then the oldest are forgotten, and sent back to who pushed them */

struct srv_session {
    struct ring in_all, in_waiting, in_place;
    struct srv_hub *hub;
    const struct srv_wire *wire;
    void *to; /* NULL: not opened so far */
    enum session_state state;
    struct net_timer *timer; /* of the handshake; then of a Put that waits */

    char token[TOKEN_TEXT_SIZE]; /* until the Proof, then wiped */
    uint8_t nonce[FRAME_NONCE_SIZE];
    struct srv_login login;
    bool is_logged_in;
    uint8_t identity[SIGN_KEY_SIZE]; /* that was proved; of an own one the server's */
    atomic_bool cut;                 /* the token ended */

    struct buf out; /* the frame that is being sent, */
    bool blocked;   /* or that has no room yet */

    struct srv_at at;
    struct place *place;
    Persist__Frame *open; /* until it is answered */

    /* Puts. Two syncs at most are under way: the one that runs, and the next. */
    uint64_t put_id;    /* the last that was stored */
    uint64_t synced_id; /* the last that is on disk */
    uint64_t done_id;   /* the last that was acknowledged */
    struct {
        uint64_t sync, id; /* sync 0: free */
    } pending[2];
    uint64_t open_sync;
    Persist__Frame *stalled; /* a Put that came too fast, or a Join that came too early, */
    unsigned join_tries;     /* so many times */
    enum { PUTS_TAKEN, PUTS_REFUSED, PUTS_REFUSED_SAID } puts;
    Persist__Code refused_code;
    char *refused_text;

    /* Items. */
    bool exists;
    bool wants_passing, wants_online;
    bool is_online;        /* opened, and did not end */
    uint64_t online_told;  /* place.online_number that the device heard of */
    size_t passing;        /* bytes that were passed on to it, and that it has not dealt with */
    uint64_t cursor, told; /* told: the last seq that the device heard of */
    bool has_grown, owes_caught_up;
    struct own_range *own;
    size_t own_n, own_cap;

    Persist__Frame *question; /* GetChunks, AskChunks or ListDots that is being answered */
    size_t chunk;             /* the next one of a GetChunks, */
    unsigned variant;         /* and of its forms */
    unsigned turn;            /* whose turn it is: answers, Items */
};

/* ---- hub.c ---- */

/** Puts the session among those of its space. -ENOMEM. */
int hub_enter(struct srv_session *s) MUST_CHECK;
void hub_leave(struct srv_session *s);
/** Lets the session know when what was pushed so far is on disk: the number of the sync. */
uint64_t hub_wait_sync(struct srv_session *s);
/* ---- hub_online.c ---- */

/** A session of a place is open, or not any more: the others are told, soon. */
void hub_set_online(struct srv_session *s, bool online);
/** Looks who is online now: who is to hear CaughtUp is told before that, all others with the next
 * hub_say_online(). */
void hub_look_online(struct place *p);
/** Tells who is to be told; a timer's function. */
void hub_say_online(void *hub);

/* ---- hub.c, again ---- */

/** The token of a session ended. Thread: any. */
void hub_cut(struct srv_hub *h);

/* ---- session.c ---- */

/** A session in its first state, of no wire so far. NULL: no memory. */
struct srv_session *session_new(struct srv_hub *h) MUST_CHECK;
/** A session of this process itself, which needs no proof, on a wire. NULL: no memory. */
struct srv_session *session_new_own(struct srv_hub *h, uint64_t account,
                                    const struct srv_wire *wire, void *to) MUST_CHECK;
/** The wire is gone. Accepts NULL. */
void session_free(struct srv_session *s);
/** A frame came; there is room to send again. */
void session_message(struct srv_session *s, struct bytes message);
void session_writable(struct srv_session *s);
/** Ends the session with a code of proto/session.proto, and closes. */
void session_end(struct srv_session *s, Persist__Code code, const char *text);
/** Reads, or does not, as the state of the session wants it. */
void session_steer(struct srv_session *s);
/** A sync that the session waited for has ended. */
void session_synced(struct srv_session *s, uint64_t sync, int error);

/* ---- session_put.c ---- */

/** Stores a Put, or takes it over (*f = NULL) to store it later. */
void session_put(struct srv_session *s, Persist__Frame **f);
/** The time of waiting is over. */
void session_put_again(struct srv_session *s);
/** Notes what is on disk now. */
void session_puts_synced(struct srv_session *s, uint64_t sync);
/** Whether the session pushed that itself; what is before @seq is forgotten. */
bool session_is_own(struct srv_session *s, uint64_t seq);
/** The end of what it pushed itself right behind its cursor, or the cursor. */
uint64_t session_own_end(struct srv_session *s);

/* ---- session_send.c ---- */

/** Sends a frame, at once or when there is room. Only when not blocked. */
void session_send(struct srv_session *s, const Persist__Frame *f);
/** Sends what there is to send, as far as there is room. */
void session_pump(struct srv_session *s);
/** Sends a chunk that @s put on to those that read along, where nothing else is to be sent. */
void session_pass(struct srv_session *s, const Persist__SealedChunk *c);
/** The device has dealt with some of that. False: it was not sent so much. */
bool session_passed(struct srv_session *s, uint64_t bytes);

struct items *items_new(void);    /* NULL: no memory */
void items_free(struct items *i); /* accepts NULL */

#endif
