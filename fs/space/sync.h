/*
 * fs/space/sync - what sessions exchange of a space: acts, signed entries, STATEs and chunks. What
 * leaves here is signed and sealed; what comes in is opened and verified before anything of it is
 * believed (proto/sealed).
 *
 * Arrivals. Each act, entry and STATE that this device has, of its own or of others, has an arrival
 * number, ascending, and the remote that it came from. What a remote has to be sent is what arrived
 * after the number up to which it has all, but for what it brought itself.
 *
 *   sender    space_sync_collect() signs what is new; space_sync_next() each arrival, then
 *             space_sync_seal() its bytes; of the chunks that an entry names space_sync_chunks(),
 *             space_sync_chunk_seal(). When the remote has it on disk: space_sync_put_remote()
 *   receiver  space_sync_take_act(), space_sync_take_entries(). An entry whose content is not here
 *             waits, in the database: space_sync_waiting(), space_sync_needs(),
 *             space_sync_chunk_take(), then space_sync_retry()
 *
 * Own changes are signed when they are collected, not before: what was superseded meanwhile is
 * never sent, and a space without a remote pays nothing. What was signed is on disk before it is
 * handed out, as a change under the same dot after a loss of power would be a fork.
 *
 * Ids of chunks: `name` is that within bodies of content, `id` the one on the wire.
 * Thread: any. Common errors: -ENOTCONN this space has no member keys, or is not joined yet.
 */
#ifndef FS_SPACE_SYNC_H
#define FS_SPACE_SYNC_H

#include "fs/space/out.h"
#include "fs/space/rate.h"
#include "fs/space/space.h"
#include "fs/store/content.h"
#include "proto/sealed/act.h"
#include "proto/sealed/door.h"
#include "proto/sealed/grant.h"

enum { SYNC_RUN_SIZE = 16, SYNC_OFFERED_HEAD = 8 };

/* Where a session with one remote goes on. */
struct sync_remote {
    uint8_t run[SYNC_RUN_SIZE]; /* zeros: there was no session so far */
    uint64_t cursor;            /* in the remote's log */
    uint64_t pushed;            /* it has all arrivals up to this one */
};

/** A number for the remote at @url, for all calls below. Never 0. */
uint64_t space_sync_remote_id(const char *url);
/** What is known of a remote: zeros when nothing is. */
int space_sync_get_remote(struct space *s, uint64_t remote, struct sync_remote *ret) MUST_CHECK;
int space_sync_put_remote(struct space *s, uint64_t remote, const struct sync_remote *v) MUST_CHECK;
int space_sync_forget_remote(struct space *s, uint64_t remote) MUST_CHECK;
/**
 * An arrival that the remote will never take is not offered to it again: it has too many other
 * forms of it.
 */
int space_sync_leave_out(struct space *s, uint64_t remote, uint64_t arrival) MUST_CHECK;
/** It has nothing of the space: all is offered to it again. */
int space_sync_leave_none_out(struct space *s, uint64_t remote) MUST_CHECK;

/**
 * What names the log of arrivals that another device has a cursor in: another one when this device
 * goes on under a new replica id. -ENOTCONN.
 */
int space_sync_run(struct space *s, uint8_t ret[static SYNC_RUN_SIZE]) MUST_CHECK;

/** The id of the space. -ENOTCONN. */
int space_sync_id(struct space *s, struct space_id *ret) MUST_CHECK;

/* ---- what is to be sent ---- */

enum arrival_kind { ARRIVAL_ACT, ARRIVAL_ENTRY, ARRIVAL_STATE };

struct arrival {
    uint64_t number;
    enum arrival_kind kind;
    uint64_t source; /* a remote, or 0: this device */
    struct dot dot;  /* of an entry; of a STATE its replica and number */
    uint32_t act;    /* of an act: its index */
};

/**
 * Signs own changes that are new, up to some hundreds, and waits until they are on disk. 1: there
 * may be more; 0: that was all. What is pending in the tree is not waited for.
 */
int space_sync_collect(struct space *s) MUST_CHECK;

/**
 * The first arrival after number @after that @remote did not bring, and that is not left out: 1; 0
 * there is none, and @ret has the number up to which was looked.
 */
int space_sync_next(struct space *s, uint64_t after, uint64_t remote,
                    struct arrival *ret) MUST_CHECK;
/** The same of up to @max (> 0) of them, in their order: how many. */
int space_sync_list(struct space *s, uint64_t after, uint64_t remote, struct arrival *ret,
                    size_t max) MUST_CHECK;
/** The same of acts alone, whatever arrived between them. */
int space_sync_list_acts(struct space *s, uint64_t after, uint64_t remote, struct arrival *ret,
                         size_t max) MUST_CHECK;
/** The number of the last arrival. */
uint64_t space_sync_last(struct space *s);
/** The replica of this device, and the counter of the last change that it has signed. */
struct dot space_sync_signed(struct space *s);

/* A chunk by both of its names. */
struct sync_chunk {
    uint8_t name[CONTENT_ID_BYTES];
    struct chunk_id id;
};

/**
 * The bytes of an arrival for the wire, entries sealed under the newest clean epoch, appended to
 * @ret; and the chunks that it names, appended to @ret_chunks as struct sync_chunk.
 * -ENOENT: it was superseded, there is nothing to send; -ENOKEY: there is no clean epoch (a STATE
 * is left out then).
 */
int space_sync_seal(struct space *s, const struct arrival *a, struct buf *ret,
                    struct buf *ret_chunks) MUST_CHECK;

/**
 * Seals a chunk under the epoch in which it has its id, appended to @ret. Of a list node what is
 * below it is appended to @ret_below (struct sync_chunk each). -ENODATA: it is not here.
 */
int space_sync_chunk_seal(struct space *s, const struct sync_chunk *c, struct buf *ret,
                          struct buf *ret_below) MUST_CHECK;
/**
 * The same by its name alone, for a member: under the newest clean epoch, where it has the id
 * @ret_id. -ENODATA; -ENOKEY: there is no clean epoch.
 */
int space_sync_chunk_give(struct space *s, const uint8_t name[static CONTENT_ID_BYTES],
                          struct chunk_id *ret_id, struct buf *ret) MUST_CHECK;
/** Whether an arrival still is one: else it was superseded, or is published anew. */
bool space_sync_is_to_send(struct space *s, const struct arrival *a);
/** The id of a chunk in the epoch to seal under, then in the @i-th of the others, the newest first.
 * -ENOENT: no such. */
int space_sync_chunk_id(struct space *s, const uint8_t name[static CONTENT_ID_BYTES], size_t i,
                        struct chunk_id *ret) MUST_CHECK;

/**
 * The next chunk of a file that is still being cut, so that it can be sent before there is an entry
 * that names it: 1, and @ret has it, with its id in the newest clean epoch; 0: there is none. *@at
 * is how many the caller was given, or passed over; @ret NULL: passes over all. Of many the first
 * are left out: they go with the entry. No list nodes. It may be that no entry comes, or that the
 * chunk is gone: -ENODATA when it is sealed.
 */
int space_sync_fresh(struct space *s, uint64_t *at, struct sync_chunk *ret) MUST_CHECK;

/**
 * Signs a STATE of what this device holds now, unless its last one says the same: 1, or 0. To be
 * collected and sent like a change.
 */
int space_sync_state(struct space *s) MUST_CHECK;

/** How many STATEs of others came since the start. */
uint64_t space_sync_states_heard(struct space *s);

/* ---- what comes ---- */

/* What became of something that came. */
enum sync_taken {
    SYNC_KNOWN,   /* it was here */
    SYNC_TAKEN,   /* something is new */
    SYNC_WAITS,   /* kept until acts, keys or other changes are here */
    SYNC_CONTENT, /* kept until its content is here */
    SYNC_REFUSED, /* false: said in the log, and counted */
};

/* What could come, by its head alone. */
struct sync_offered {
    struct dot dot;
    bool state;
    uint8_t head[SYNC_OFFERED_HEAD]; /* of the hash of an entry's head; zeros for a STATE */
};

/** What is offered of an arrival. -ENOENT: it was superseded, there is nothing to send. */
int space_sync_offer(struct space *s, const struct arrival *a, struct sync_offered *ret) MUST_CHECK;
/**
 * What is here of it: SYNC_KNOWN (of a STATE a newer one counts as it); SYNC_CONTENT: it waits for
 * its content; SYNC_TAKEN: nothing, or another form of it. What was not verified counts as nothing.
 */
int space_sync_foresee(struct space *s, const struct sync_offered *o) MUST_CHECK;

/** Takes an act from @remote: an enum sync_taken, or a negative errno (try again later). */
int space_sync_take_act(struct space *s, uint64_t remote, struct bytes act) MUST_CHECK;
/** Takes a sealed entry or STATE, likewise. */
int space_sync_take_entry(struct space *s, uint64_t remote, struct bytes sealed) MUST_CHECK;
/**
 * Takes @n of them, in their order; those that can be applied are so with few writes, and each
 * write is there wholly or not at all. What became of each into @ret (n of enum sync_taken), and 0;
 * a negative errno: some of them are perhaps not taken, all are to be brought again.
 */
int space_sync_take_entries(struct space *s, uint64_t remote, const struct bytes *sealed, size_t n,
                            int *ret) MUST_CHECK;
/** After some of these: what waits for acts, keys or changes is looked at again, if it may help. */
int space_sync_settle(struct space *s) MUST_CHECK;

/**
 * All acts that the server had are here: makes this device a member through the door that it
 * joined by, if it is none yet, and registers its replica. 1: new acts of its own; 0.
 * -EKEYREVOKED: the door is closed, or this device was revoked.
 */
int space_sync_join(struct space *s) MUST_CHECK;

struct sync_wait {
    struct dot dot;
    uint64_t rank; /* bytes that it needs; 0: of what is deleted nothing is */
};

/** Whether more content is wanted since the last call: *@at is how much was then. */
bool space_sync_wants(struct space *s, uint64_t *at);
/** Those that wait for content, ascending by rank; appended to @ret as struct sync_wait. */
int space_sync_waiting(struct space *s, struct buf *ret) MUST_CHECK;
/** Calls @fn for the chunks that @dot needs and that are not here. -ENOENT: it does not wait. */
int space_sync_needs(struct space *s, const struct dot *dot, content_need_fn fn,
                     void *arg) MUST_CHECK;
/**
 * Opens one form of a chunk that was asked for, and stores it. -EBADMSG: it is not what it should
 * be, another form may be.
 */
int space_sync_chunk_take(struct space *s, const struct sync_chunk *c,
                          struct bytes sealed) MUST_CHECK;
/**
 * The same for one that nobody asked for, as an entry that names it is still to come. -EBADMSG it
 * does not open; -ENOSPC: too much came so that nothing names.
 */
int space_sync_chunk_ahead(struct space *s, const struct chunk_id *id,
                           struct bytes sealed) MUST_CHECK;
/** Whether a chunk is here, by its name within bodies: 1, 0, or a negative errno. */
int space_sync_chunk_has(struct space *s, const uint8_t name[static CONTENT_ID_BYTES]) MUST_CHECK;
/** Tries again to apply an entry that waited for content: as space_sync_take_entry(). */
int space_sync_retry(struct space *s, const struct dot *dot) MUST_CHECK;

/**
 * Takes over what others made that is void, and was taken in here before that was known, when the
 * time for it has come: a random one within a minute, as one device is enough. Returns the time for
 * the next call, as space_now_ms() has it; 0: nothing is left.
 */
uint64_t space_sync_adopt(struct space *s, uint64_t now_ms);

/**
 * Looks whether others' STATEs know what this device does, and hold something else: then something
 * was withheld or damaged, and that is logged and shown. Returns the time for the next call, as
 * space_now_ms() has it; 0: when something came.
 */
uint64_t space_sync_watch(struct space *s, uint64_t now_ms);

/**
 * Goes on with full comparisons, a bit at a time: makes a list for a member that asked for one, and
 * compares with a member that knows the same and holds something else, or that could have cleaned
 * up what is held here. Not before remotes were heard. @ret_tell: there is something to be said by
 * the next STATE. Returns the time for the next call, as space_now_ms() has it; 0: when something
 * came.
 */
uint64_t space_sync_compare(struct space *s, uint64_t now_ms, bool *ret_tell);
/**
 * Whether this device may give its changes to others; else it has to compare first, as it may hold
 * what others cleaned up. Acts and STATEs it gives in any case.
 */
bool space_sync_may_give(struct space *s);

/**
 * The remote has lost changes: @dots (16 bytes each, ascending) is all that it has. What is here
 * and not there arrives anew, acts too. How many changes, or a negative errno.
 */
int space_sync_push_again(struct space *s, struct bytes dots) MUST_CHECK;

/* ---- for people ---- */

struct sync_counts {
    uint64_t waiting;         /* entries that wait for acts, keys or other changes */
    uint64_t content_waiting; /* entries that wait for content, and its bytes */
    uint64_t content_bytes;
    uint64_t refused; /* since the start */
    char last_refused[160];
    uint64_t left_out;   /* arrivals that a remote will not take */
    uint64_t forks;      /* replicas that were ended as they contradicted themselves: acts */
    char last_fork[160]; /* the last one since the start; empty: none */
    bool behind;         /* it has to be compared in full before what is new here is given */
    bool taking_over;    /* void changes are held, and are going to be taken over */
};

/* Another device, as its newest STATE tells. */
struct sync_peer {
    char label[LIMIT_LABEL + 1];
    uint64_t time_ms; /* of the STATE, since 1970 */
    bool equal;       /* it holds what this device holds now */
    bool online;      /* so says a server that is reached */
    bool differs;     /* it knows the same, and has held something else for a minute */
    char about[160];  /* what the last full comparison with it left; empty: nothing */
};

/** All others that sent a STATE, appended to @ret as struct sync_peer. */
int space_sync_peers(struct space *s, struct buf *ret) MUST_CHECK;

void space_sync_counts(struct space *s, struct sync_counts *ret);
/**
 * How many changes and acts @remote is to be sent, not counting changes that are not signed yet,
 * nor STATEs, which are made by themselves.
 */
uint64_t space_sync_to_push(struct space *s, uint64_t remote);
/** How many own changes are not signed yet, at most. */
uint64_t space_sync_unsigned(struct space *s);

/* ---- links: what the one who runs sessions tells ---- */

/* What the URL of a link with another device begins with; its PeerId follows. */
#define SYNC_DIRECT_URL "/p2p/"

enum { SYNC_URL_MAX = 256, SYNC_TEXT_MAX = 200, SYNC_TROUBLE_MAX = 512 };

enum sync_link_state {
    SYNC_LINK_DOWN,
    SYNC_LINK_CONNECTING,
    SYNC_LINK_UP,
    SYNC_LINK_REFUSED,
    SYNC_LINK_ABSENT,   /* there is no sync process, which would connect */
    SYNC_LINK_UNMOUNTED /* nobody runs sessions: the folder is not mounted */
};

enum { SYNC_ONLINE_MAX = LIMIT_MEMBERS };

/* Who is online, as a server says. */
struct sync_online {
    bool known; /* else it says nothing, or says that there are too many */
    size_t n;
    uint8_t identity[SYNC_ONLINE_MAX][SIGN_KEY_SIZE]; /* this device's among them */
};

/* A remote of this space. */
struct sync_link {
    uint64_t remote;
    char url[SYNC_URL_MAX];
    enum sync_link_state state;
    char error[SYNC_TEXT_MAX]; /* the last one; empty: none */
    char full[SYNC_TEXT_MAX];  /* no room is why content is not sent, or taken, and perhaps what is
                                  small neither; empty: there is */
    uint64_t retry_at_ms;      /* since 1970, when down; 0: not known */
    unsigned interval_s;
    bool managed;
    bool caught_up, settled;       /* session.h */
    uint64_t cursor, last;         /* of the remote's log: taken, and there */
    uint64_t heard;                /* session.h; of the last session, while there is none */
    uint64_t up_bytes, down_bytes; /* of frames, since the start */
    struct rate up, down;          /* of late */
    struct sync_online online;
};

/** Sets what is known of a link, by its remote; an empty @url takes it out. -ENOMEM. */
int space_sync_set_link(struct space *s, const struct sync_link *l) MUST_CHECK;
/** All links, appended to @ret as struct sync_link. */
int space_sync_links(struct space *s, struct buf *ret) MUST_CHECK;

/** Sets why there is no sync process, in one sentence; empty: there is, or it is coming. */
void space_sync_set_trouble(struct space *s, const char *text);
/** That sentence, in @ret; whether there is one. */
bool space_sync_trouble(struct space *s, char ret[static SYNC_TROUBLE_MAX]);

/**
 * Sets who is to look (NULL: nobody), @now: whatever intervals say, else as there is something
 * fresh. Called under the lock of the space: it notes that, and wakes whom it concerns.
 */
void space_sync_on_kick(struct space *s, void (*fn)(void *arg, bool now), void *arg);
/** Publishes what is pending, and begins a round: it is pushed, and all remotes are asked, now. */
int space_sync_now(struct space *s) MUST_CHECK;
/** The number of the last round. */
uint64_t space_sync_round(struct space *s);
/**
 * Waits until every link that is up is settled, and was heard in the last round: 0; -ETIMEDOUT;
 * -ENOTCONN: no link is up; -ECANCELED by @out.
 */
int space_sync_wait(struct space *s, uint64_t wait_ms, struct out *out) MUST_CHECK;

/**
 * Whether each device that a server which is up says to be online, and that is a member, has
 * acknowledged all that @held covers, or holds what this device holds now: 1; 0, and @ret_label has
 * the label of one that has not. -ENOTCONN, -ENOMEM.
 */
int space_sync_acknowledged(struct space *s, const struct vv *held,
                            char ret_label[static LIMIT_LABEL + 1]) MUST_CHECK;

/* ---- letting others in ---- */

/** Whether this device is a member that may let others in. */
bool space_sync_is_member(struct space *s);

/**
 * Makes @who a member, unless it is one, and appends the blob (proto/sealed/grant.h) that hands it
 * the space, under the name @name. -ENOTCONN, -ENOMEM, -EIO, -ENOSPC; -ENOBUFS: no more members.
 */
int space_sync_grant(struct space *s, const struct act_add *who, const char *label,
                     const char *name, struct buf *ret_blob) MUST_CHECK;
/** Takes the epochs of another grant of this space. -EEXIST: its secret is another; -ENOTCONN,
 * -EIO.
 */
int space_sync_take_grant(struct space *s, const struct grant *g) MUST_CHECK;
/** Whether the device with this identity is a member now: 1, 0; -ENOTCONN: no acts are here yet. */
int space_sync_has_device(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE]) MUST_CHECK;
/** The other devices that are members now, by identity, appended to @ret (SIGN_KEY_SIZE each); as
 * long as no acts are here, the one that has invited this one.
 * -ENOTCONN, -ENOMEM. */
int space_sync_devices(struct space *s, struct buf *ret) MUST_CHECK;
/** The names under which members look for each other on the days before, of and after @now, seconds
 * since 1970, appended to @ret (HASH_SIZE each); of the newest epoch, and none without its key.
 * -ENOTCONN, -ENOMEM. */
int space_sync_names(struct space *s, uint64_t now, struct buf *ret) MUST_CHECK;
/** How many acts are here: while that stays, so do the members. */
size_t space_sync_acts(struct space *s);
/** Whether a member of the device with this identity was ever revoked. */
bool space_sync_was_revoked(struct space *s, const uint8_t identity[static SIGN_KEY_SIZE]);
/** The acts that this device made, appended to @ret, each as buf_put_string() does. */
int space_sync_own_acts(struct space *s, struct buf *ret) MUST_CHECK;

/**
 * Opens a door: authors its act, and appends the blob for servers under the passphrase's key,
 * derived by the caller with @salt. -ENOTCONN, -ENOMEM, -EIO, -ENOSPC.
 */
int space_sync_door(struct space *s, const struct door_key *k,
                    const uint8_t salt[static DOOR_SALT_SIZE], struct buf *ret_blob) MUST_CHECK;
/** The blob, of either kind, that @remote is still to be given: kept until it has been, or it is
 * set to nothing. -ENOENT: none. */
int space_sync_get_blob(struct space *s, uint64_t remote, struct buf *ret) MUST_CHECK;
int space_sync_set_blob(struct space *s, uint64_t remote, struct bytes blob) MUST_CHECK;
/** How often any was set since the space was opened: while that stays, none comes. */
uint64_t space_sync_blobs(struct space *s);
/** @remote has this one: it is not kept any more, unless it is another one by now. */
int space_sync_blob_given(struct space *s, uint64_t remote, struct bytes blob) MUST_CHECK;

#endif
