/*
 * fs/space/sync_priv - what the files sync*.c share. Not for others. All is guarded by space.lock.
 *
 * Rows of DB_SYNC:
 *   'a' index 4            -> act, in the order in which they were taken
 *   'w' act id             -> act that waits for its parents
 *   'e' dot                -> arrival number 8 · at 4 · entry (stored form); at > 0: · record 16 ·
 *                             entry without the content that is there (sync_entry.c)
 *   's' replica 8          -> arrival number 8 · the newest STATE of the replica (stored form)
 *   'h' dot, head hash 16  -> source 8 · author 8 · entry (stored form) that waits for acts or
 * changes 'k' hash 32            -> source 8 · entry (sealed form) that waits for the key of its
 * epoch 'c' dot                -> source 8 · bytes 8 · entry (stored form) that waits for content
 *   'g' replica 8, after 8 -> counter 8: a change that was applied beyond what is known
 *   'n' arrival number 8   -> kind 1 · source 8 · act index 4, or dot 16
 *   'r' remote 8           -> run 16 · cursor 8 · pushed 8
 *   'l' remote 8, arrival number 8 -> nothing: the remote takes no more forms of it
 *   'd' remote 8            -> passphrase blob that the remote is still to be given
 *   'b' dot                -> nothing: an own change that no entry can hold
 *   'j' record 16, dot     -> nothing: a content of a deleted file that is held without its chunks
 *   'q' member 32          -> numbers of its STATEs, summed 8 · time of the last look 8 · for how
 *                             long it has lacked something without a word 8
 *   'f'                    -> nothing: it has known all that anybody could have cleaned up
 *   't' act index 4        -> when this device heard of the act 8
 *   'u' remote 8, identity 32 -> nothing: the remote is still to be told that the device is out
 *   'x' dot                -> nothing: an own change that was superseded, to be named as such
 *   'o'                    -> replica's random 16 · signed_to 8 · signed_last 8 · next arrival 8
 *                             · number of the last own STATE 8
 *
 * The plaintext of a VALUE is: after 8 · change (proto/value.h). `after` is the counter of the
 * author's last entry before this one: between the two it has signed nothing, so who knows all up
 * to `after`, and has applied this one, knows all up to this one.
 */
#ifndef FS_SPACE_SYNC_PRIV_H
#define FS_SPACE_SYNC_PRIV_H

#include "fs/replica/compare.h"
#include "fs/space/exchange.h"
#include "fs/space/space_priv.h"
#include "fs/space/sync.h"
#include "proto/sealed/members.h"
#include "proto/sealed/verify.h"

enum {
    SYNC_ACT = 'a',
    SYNC_ACT_WAITS = 'w',
    SYNC_ENTRY = 'e',
    SYNC_STATE = 's',
    SYNC_HELD = 'h',
    SYNC_LOCKED = 'k',
    SYNC_CONTENT_WAITS = 'c',
    SYNC_GAP = 'g',
    SYNC_ARRIVAL = 'n',
    SYNC_REMOTE = 'r',
    SYNC_LEFT_OUT = 'l',
    SYNC_BLOB = 'd',
    SYNC_TOO_BIG = 'b',
    SYNC_REPLACED = 'x',
    SYNC_BARE = 'j',
    SYNC_LACKS = 'q',
    SYNC_OWN = 'o',
    SYNC_WHOLE = 'f',
    SYNC_ACT_TIME = 't',
    SYNC_UNTOLD = 'u',
    SYNC_KEY_MAX = 1 + 8 + HASH_SIZE,
    SYNC_AFTER_SIZE = 8,
};

/* Bytes of chunks that came ahead, and that nothing names so far: a server that shows old chunks
 * again does not fill a disk with them. */
#define SYNC_AHEAD_MAX (UINT64_C(4) << 30)

/* The label of a device that has none, or none so far. */
#define SYNC_NO_LABEL "device"

/* Whose what waits is, but for authors (sync_author_of()). */
#define SYNC_NOBODY UINT64_C(0)      /* acts are missing: it may be anybody's */
#define SYNC_LOCKED_ONES UINT64_C(1) /* the key of its epoch is missing: anybody's, too */

struct sync_poison;
struct sync_root;

/* The newest STATE of a replica, own included. */
struct sync_state {
    uint64_t replica, number, arrival, time_ms;
    uint64_t differs_ms; /* since when it knows the same and holds something else; 0: it does not */
    bool told;           /* people know that */
    bool own;            /* of a replica that this device has, or had */
    struct state_digest digest;
    struct vv known, floor;
    struct buf more; /* as it was said: state_more_decode() */
    uint8_t heads[LIMIT_ACT_HEADS * ACT_ID_SIZE];
    size_t heads_n;
    /* For sync_compare.c: */
    uint64_t stays_ms;            /* since when both are as they are; 0: not looked at */
    struct state_digest here;     /* the own digest then */
    uint64_t compare_ms;          /* not before, */
    struct state_digest compared; /* unless the own digest is another one */
    bool was_compared, sent_again;
};

/* A full comparison, of either side: see sync_compare.c. */
struct sync_compare {
    bool whole; /* a row says it: SYNC_WHOLE */
    /* The list of this device. */
    int spool; /* a file without a name while it is made; -1: it is not */
    bool first;
    struct rid at;
    uint64_t spooled, list_ms; /* bytes; not before */
    struct buf list;           /* its body, which has a reference; empty: there is none */
    uint64_t list_number;
    /* The list that it asked for. */
    uint64_t asks, after; /* of a replica, newer than that; 0: none */
    struct buf missing;   /* what it asks for, too */
    struct buf theirs;    /* the body that came */
    bool is_here;         /* with all chunks */
    uint64_t look_ms, give_up_ms;
    /* What the last comparison could not settle. */
    uint64_t found_with; /* a replica; 0: nothing is left */
    struct comparison_found found;
};

/* What waits of one author. */
struct sync_wait_sum {
    uint64_t author, n, bytes;
};

struct sync {
    const struct space_member *me;
    struct member_id id;
    struct members *members; /* NULL: the genesis is not here yet */
    struct space_id space;
    uint8_t random[REPLICA_RANDOM_SIZE];
    uint64_t signed_to;   /* own changes up to here are signed, or were superseded before */
    uint64_t signed_last; /* the last of them that was signed */
    uint64_t durable;     /* signed ones up to this arrival number are on disk */
    uint64_t next;        /* the next arrival number */
    uint64_t states;      /* own STATEs made */
    struct vv highest;    /* of each replica the highest counter that a signature backs */
    struct vv gapless;    /* no row of SYNC_GAP of a replica has an `after` below it */
    struct sync_counts counts;
    struct sync_wait_sum *wait; /* see sync_wait.c */
    size_t wait_n;
    struct sync_poison *poison;    /* what is being taken in; see sync_poison.c */
    pthread_mutex_t incoming_lock; /* guards the three below; taken before any other */
    struct content_put *incoming;  /* chunks that came, and are not written */
    size_t incoming_bytes;
    uint64_t ahead_bytes; /* of chunks that came before an entry named them, at most */
    uint64_t own_last;    /* the last arrival of this device's own */
    pthread_cond_t moved; /* links or what waits have changed */
    struct sync_link *link;
    size_t link_n;
    char trouble[SYNC_TROUBLE_MAX]; /* space_sync_trouble() */
    uint64_t round;                 /* space_sync_round() */
    void (*kick)(void *arg, bool now);
    void *kick_arg;
    struct buf fresh;         /* names of chunks that were stored last while a file is being cut */
    uint64_t fresh_end;       /* how many there were so far */
    struct sync_state *state; /* the newest one of each replica */
    size_t state_n;
    uint64_t states_heard; /* of others, since the start */
    struct sync_compare compare;
    bool has_bare;           /* contents are held without their chunks, or were: sync_bare.c */
    struct buf wanted;       /* of these, what is to be fetched */
    uint64_t wants;          /* how often something was added there */
    uint64_t blobs;          /* how often a blob was set */
    bool ends_due;           /* acts came: replicas may have ended */
    uint64_t adopt_at_ms;    /* when void values that are held are taken over; 0: there are none */
    bool look_again;         /* something came that held entries may wait for */
    struct sync_root *roots; /* ROOTS of them: what was verified, see sync_take.c */
    bool failed;             /* memory and database may differ: nothing more is authored */
};

/* ---- sync_rows.c ---- */
struct sync_key {
    uint8_t p[SYNC_KEY_MAX];
    size_t n;
};
struct sync_key sync_key(int tag, struct bytes v);
struct sync_key sync_key_u64(int tag, uint64_t v);
struct sync_key sync_key_dot(int tag, const struct dot *dot);
/** Of an entry that waits: its signature may be false, so its dot alone does not name it. */
struct sync_key sync_key_held(const struct dot *dot, const uint8_t head_hash[static HASH_SIZE]);
static inline struct bytes sync_key_bytes(const struct sync_key *k)
{
    return bytes_of(k->p, k->n);
}
/** The own row, into @batch. */
void sync_put_own(const struct sync *y, struct db_batch *batch);
/** Gives the next arrival number to what @a describes, into @batch; sync_put_own() has to follow.
 */
void sync_put_arrival(struct sync *y, struct db_batch *batch, struct arrival *a);
int sync_arrival_decode(struct bytes key, struct bytes row, struct arrival *ret) MUST_CHECK;
/** Reads a row, without its first @skip bytes, into @ret (replaced). -ENOENT. */
int sync_get(struct space *s, const struct sync_key *key, size_t skip, struct buf *ret) MUST_CHECK;

/** Whether an arrival is left out of what a remote is sent: 1, 0. */
int sync_is_left_out(struct space *s, uint64_t remote, uint64_t arrival) MUST_CHECK;
/** Counts them, when opening. */
int sync_load_left_out(struct space *s) MUST_CHECK;

/* ---- sync.c ---- */
/** Before the replica is opened: the id that a new one gets. -ENOMEM, -EIO. */
int sync_prepare(struct space *s, uint64_t *ret_replica, struct err *err) MUST_CHECK;
/** After it. The first time, a space that was made here gets its first acts. */
int sync_open(struct space *s, struct err *err) MUST_CHECK;
void sync_close(struct space *s);
/** struct replica_config.label_of; @space: struct space. */
bool sync_label_of(void *space, uint64_t replica, char ret[LIMIT_LABEL + 1]);

/* ---- sync_acts.c ---- */
/** Loads all acts. */
int sync_load_acts(struct space *s) MUST_CHECK;
/** Takes an act into memory and, with what waited for it, into @batch: as members_insert(). */
int sync_insert_act(struct space *s, struct bytes act, uint64_t source,
                    struct db_batch *batch) MUST_CHECK;
/** When this device heard of an act, since 1970; 0: not known. */
uint64_t sync_act_time(struct space *s, size_t i);
/** Completes @a (space, author, number, parents), signs it with @k and inserts it. */
int sync_author(struct space *s, struct act *a, const struct member_keys *k,
                struct db_batch *batch) MUST_CHECK;
/** Writes @batch, which has acts of sync_author(): on disk when it returns, and to be sent. */
int sync_write_acts(struct space *s, struct db_batch *batch) MUST_CHECK;
/** The acts that make this device's replica known: own and label. 1: some were missing; 0. */
int sync_author_own(struct space *s, struct db_batch *batch) MUST_CHECK;
/** An act with the label of this device, if it has one. */
int sync_author_label(struct space *s, struct db_batch *batch) MUST_CHECK;
/**
 * Who owns a replica, as far as all acts here say; NULL: nobody. @ret_past, which the answer
 * borrows from, is to be freed in any case.
 */
const struct member_public *sync_owner_of(const struct sync *y, uint64_t replica,
                                          struct members_past **ret_past);
/** The label of a member, as it gave it last. Lock held. False: it gave none that can be read. */
bool sync_label_of_member(struct space *s, const struct member_public *owner,
                          char ret[LIMIT_LABEL + 1]);
/** Whether this device is a member that owns its replica. */
bool sync_owns_replica(struct space *s);
/** And that replica has not ended: then it may sign. */
bool sync_may_sign(struct space *s);
/** The keys of the epoch to seal under; NULL: none. */
const struct epoch_keys *sync_epoch(struct space *s);
/** After acts came: what they say is taken over (keys in boxes, labels). */
int sync_acts_changed(struct space *s) MUST_CHECK;

/* ---- sync_epoch.c ---- */
/**
 * Completes @a, an epoch or a revoke with one, whose author is this device: draws a key, keeps it,
 * seals it to all members but those that @a revokes; then as sync_author(). Lock held.
 */
int sync_author_epoch(struct space *s, struct act *a, struct db_batch *batch) MUST_CHECK;
/** Makes a new epoch if this device, a member, has none to seal under. Lock held by nobody. */
int sync_ensure_epoch(struct space *s) MUST_CHECK;

/* ---- sync_again.c ---- */
/** The epoch has moved: own contents that no remote has so far are published anew, so that their
 * chunks have ids, and seals, of the new one. Lock held by nobody. */
int sync_publish_again(struct space *s) MUST_CHECK;
/** Some of them, in @batch. Lock held. How many; 0: that was all. */
int sync_put_again(struct space *s, struct db_batch *batch) MUST_CHECK;

/* ---- peers.c ---- */
/** The label that a member, or one that was, gave last. Lock held. False: none that can be read. */
bool sync_label_of_id(struct space *s, const struct member_id *id, char ret[LIMIT_LABEL + 1]);

/* ---- sync_wait.c ---- */
/** An author by its key, for the sums of what waits. */
uint64_t sync_author_of(const uint8_t key[static SIGN_KEY_SIZE]);
/** Adds to what waits of @author; false: that would be more than may wait of one. Lock not held. */
bool sync_wait_begins(struct space *s, uint64_t author, size_t bytes);
void sync_wait_ends(struct space *s, uint64_t author, size_t bytes);
/** How much waits of @author: entries. Lock held. */
uint64_t sync_wait_count(const struct sync *y, uint64_t author);
/** What is in the database at the start is counted. */
int sync_load_waiting(struct space *s) MUST_CHECK;

/* ---- sync_sign.c ---- */
/** The names of the chunks in the contents of a change, without repetition, appended to @ret. */
int sync_names_of(struct bytes change, struct buf *ret) MUST_CHECK;
/** Appends a name to the buffer @names, unless it is there: a content_id_fn. */
int sync_add_name(void *names, const uint8_t id[CONTENT_ID_BYTES]) MUST_CHECK;

/* ---- sync_send.c ---- */
/** The epoch in which a chunk has its id; NULL: in none that is held. Lock held. */
const struct epoch_keys *sync_epoch_of_chunk(const struct space *s, const struct sync_chunk *c);

/* ---- sync_fresh.c ---- */
/** A build has stored chunks with these names, and goes on. Thread: any; no lock held. */
void sync_put_fresh(struct space *s, struct bytes names);

/* ---- sync_poison.c ---- */
int sync_poison_open(struct space *s) MUST_CHECK;
void sync_poison_close(struct sync *y);
/** What an entry is noted by: its head, so that a false one of the same dot is another one. */
struct dot sync_poison_key(const struct entry *e);
struct dot sync_poison_key_of(const uint8_t head_hash[static HASH_SIZE]);
/** Notes that a change is being taken in. False: two processes died of it, it is to be left out. */
bool sync_poison_begin(struct sync *y, const struct dot *dot);
/** Notes that several are being taken in at once; which of them is to blame is found out later. */
void sync_poison_begin_many(struct sync *y);
void sync_poison_end(struct sync *y);
/** Whether the next one is to be taken in by itself, as a process died of several. */
bool sync_poison_alone(struct sync *y);

/* ---- sync_take.c ---- */
/** Takes one that was in a batch by itself: as space_sync_take_entry(). */
int sync_take_alone(struct space *s, uint64_t source, struct bytes stored) MUST_CHECK;

/* ---- sync_chunk.c ---- */
/** Chunks that came can be found when it returns. */
int sync_flush_chunks(struct space *s) MUST_CHECK;
/** An entry with @bytes of content was applied: so much of what came ahead is named. */
void sync_chunks_named(struct space *s, uint64_t bytes);

/* ---- sync_tidy.c ---- */
/**
 * Drops superseded entries among some, from @cursor on, which is moved. 1: there is more, 0: that
 * was all. Lock held by nobody.
 */
int sync_tidy_slice(struct space *s, struct dot *cursor) MUST_CHECK;
/** Whether a record still holds a value of the change: 1, 0, or a negative errno. */
int sync_is_current(struct space *s, const struct dot *dot) MUST_CHECK;
/** A superseded entry and its arrival go with @batch; an own one is to be named as such. */
void sync_drop_entry(struct space *s, struct db_batch *batch, const struct dot *dot,
                     uint64_t number);
/** Appends at most LIMIT_REPLACED dots of own superseded changes, which @batch then forgets. */
int sync_take_replaced(struct space *s, struct db_batch *batch, struct buf *ret) MUST_CHECK;

/* ---- sync_state.c ---- */
int sync_load_states(struct space *s) MUST_CHECK;
void sync_states_fini(struct sync *y);
/** Knows what a member knows that holds the same values. Lock held by nobody. */
int sync_close_by_states(struct space *s) MUST_CHECK;
/** No STATE knows what is void. */
void sync_cap_states(struct space *s);
/** Takes the stored form of a STATE: as space_sync_take_entry(). */
int sync_take_state(struct space *s, uint64_t source, struct bytes stored) MUST_CHECK;

/** Whether its replica goes on; else it says nothing any more. */
bool sync_state_is_current(const struct sync *y, const struct sync_state *st);
/** Whether it tells of the values, and the acts, that @v tells of; accepts NULL. Lock held. */
bool sync_state_says(const struct sync_state *st, const struct state *v);
/** The own newest STATE; NULL: none. Lock held. */
const struct sync_state *sync_own_state(const struct space *s);
/** What is to wait of an own STATE is not signed. Lock held. */
bool sync_has_unsigned(const struct space *s);
/** Signs a STATE of what is held now, whatever was said before. Lock held. */
int sync_author_state(struct space *s) MUST_CHECK;

/* ---- sync_online.c ---- */
/** Whether a server that is up says that the device of this member is online. Lock held. */
bool sync_is_online(const struct sync *y, const struct member_public *m);

/* ---- sync_clean.c ---- */
/**
 * Raises the floor to what the newest STATE of every member knows that is not away, and cleans up,
 * in @batch: how many records. @now_ms: since 1970. Lock held.
 */
int sync_put_cleaned(struct space *s, struct db_batch *batch, uint64_t now_ms) MUST_CHECK;

/* ---- sync_compare.c ---- */
int sync_load_compare(struct space *s) MUST_CHECK;
void sync_compare_fini(struct sync_compare *c);
/**
 * Whether others have cleaned up what this device had not acknowledged, or it knows less than it
 * said itself before it was restored from a copy. It acknowledges nothing until it has compared.
 * Lock held.
 */
bool sync_has_to_compare(const struct space *s);
/**
 * The same, and it is not to wait for another one that has to compare with it first. It gives no
 * changes to anyone then. Lock held.
 */
bool sync_is_behind(const struct space *s);
/** What the next own STATE says besides; views of what @s holds and @floor. Lock held. */
int sync_compare_say(struct space *s, struct buf *floor, struct state_more *ret) MUST_CHECK;
/** Rows that go with an own STATE, in @batch. Lock held. */
int sync_compare_said(struct space *s, struct db_batch *batch, const struct state *v) MUST_CHECK;
/** What the last comparison with a replica could not settle, for people; "": nothing. Lock held. */
void sync_compare_about(struct space *s, uint64_t replica, char ret[160]);
/** A STATE came: whether its list is now waited for. Lock held. */
bool sync_compare_heard(struct space *s, uint64_t replica, const struct state *v);

/** A list among what waits for content, the same as for entries. */
void sync_list_waits(struct space *s, struct buf *ret);
int sync_list_needs(struct space *s, content_need_fn fn, void *arg) MUST_CHECK;
int sync_list_is_here(struct space *s) MUST_CHECK;

/* What stands for a list among what waits for content: no change has such a number. */
#define SYNC_LIST_COUNTER UINT64_MAX

/* ---- exchange.c ---- */
/* An entry that is applied, and what goes into the batch with it. */
struct exchange_entry {
    struct dot dot;
    uint64_t after, source;
    struct bytes change, stored;
    uint8_t head_hash[HASH_SIZE];
    bool is_new; /* told: something of it was */
};
/**
 * As space_apply(), with the rows of @n entries and what follows from them for the knowledge, all
 * in one write. After an error nothing of any of them is there.
 */
int exchange_apply(struct space *s, struct exchange_entry *e, size_t n) MUST_CHECK;

/* ---- sync_batch.c ---- */
enum { SYNC_BATCH_MAX = 64 };

/* Entries that are applied together. */
struct sync_batch {
    struct space *s;
    int *fate; /* of the one that is being taken */
    size_t n, bytes;
    struct exchange_entry entry[SYNC_BATCH_MAX];
    struct buf stored[SYNC_BATCH_MAX];
    int *fates[SYNC_BATCH_MAX];
};
/** Empty; NULL: out of memory. */
struct sync_batch *sync_batch_new(struct space *s) MUST_CHECK;
/** Accepts NULL. What is in it and was not flushed is dropped. */
void sync_batch_free(struct sync_batch *b);
bool sync_batch_has(const struct sync_batch *b, const struct dot *dot);
/** Whether it is to be flushed before the next one is taken. */
bool sync_batch_is_full(struct sync_batch *b);
/** Adds the entry @x, a view of @stored, which is taken over. Not when it is full. */
void sync_batch_add(struct sync_batch *b, const struct exchange_entry *x, struct buf *stored);
/**
 * Applies all that is in it, with one write: 0. When that fails each is taken by itself, so that a
 * bad one does the others no harm; a negative errno: one of them could not be stored.
 */
int sync_batch_flush(struct sync_batch *b) MUST_CHECK;

/** Carries out some of a comparison: as comparison_step(), or, @at NULL, comparison_know(). */
int exchange_compare(struct space *s, struct comparison *c, struct comparison_at *at) MUST_CHECK;

/** Has this device go on under a new replica id, own changes that are not signed with it. */
int exchange_renew(struct space *s) MUST_CHECK;

/** Publishes some anew: as sync_put_again(). */
int exchange_again(struct space *s) MUST_CHECK;

/** Takes over some of what ended replicas left: as sync_put_adopted(). */
int exchange_adopt(struct space *s) MUST_CHECK;

/** Acts came, or perhaps did before the start: conflicts are named by the labels of now. */
int exchange_relabel(struct space *s) MUST_CHECK;

/** What replicas made after their end is known no more. */
int exchange_end(struct space *s) MUST_CHECK;

/**
 * Removes some of what every member knows to be deleted that is not away at @now_ms, since 1970:
 * how many records, or an error.
 */
int exchange_clean(struct space *s, uint64_t now_ms) MUST_CHECK;

/* ---- sync_renew.c ---- */
/** The renewal itself, in @batch. Lock held. */
int sync_put_renewed(struct space *s, struct db_batch *batch) MUST_CHECK;
/** The same with what goes round it: a new id, registered. */
int sync_renew(struct space *s) MUST_CHECK;
/**
 * Looks at an entry of the own replica that came from elsewhere: 1 it is one of this device, or of
 * a fork and void; 0 it is of another copy of it, and this one has a new replica id now; or a
 * negative errno.
 */
int sync_check_own(struct space *s, const struct entry *e) MUST_CHECK;

/**
 * Looks at a STATE of the own replica. One that this device did not make says that it was restored
 * from a copy, or copied: it goes on under a new id. 1: so it was; 0.
 */
int sync_check_own_state(struct space *s, const struct entry *e, const struct state *v) MUST_CHECK;

/* ---- sync_fork.c ---- */
/**
 * Looks at an entry whose dot is known here. If it is another form of what is here, both signed by
 * the owner, that is made an act of. SYNC_KNOWN, SYNC_TAKEN, or a negative errno; -EBADMSG: it is
 * not signed by the owner.
 */
int sync_see_form(struct space *s, const struct entry *e) MUST_CHECK;
/** Whether it is another form of what is here, and that would say something new. */
bool sync_is_other_form(struct space *s, const struct sync_offered *o);

/* ---- sync_ends.c ---- */
/** When opening: which replicas have ended. */
int sync_load_ends(struct space *s) MUST_CHECK;
/** After acts came: what follows for replicas that ended. Lock held by nobody. */
int sync_take_ends(struct space *s) MUST_CHECK;
/** In the database. Lock held. 1: something is pending; 0. */
int sync_put_ended(struct space *s, struct db_batch *batch) MUST_CHECK;

/* ---- sync_adopt.c ---- */
/** If void values are held, the time is drawn when they are taken over. Lock held. */
int sync_plan_adoption(struct space *s) MUST_CHECK;
/** Takes some over, or drops those that somebody else took over. Lock held. How many; 0: all done.
 */
int sync_put_adopted(struct space *s, struct db_batch *batch) MUST_CHECK;

/* ---- sync_entry.c ---- */
/* The content of an entry that a version holds, too. */
struct entry_shared {
    struct rid rid;    /* of the version; its dot is the entry's */
    size_t at;         /* where in the stored form; 0: there is none */
    struct bytes body; /* a view into it */
};
/** What is worth sharing in @stored, of whose plaintext @change is a part (a view into it). */
struct entry_shared sync_shared(struct bytes stored, struct bytes change);
/** The row of an entry. The version that @shared names has its body, byte for byte, then. */
int sync_put_entry(struct db_batch *batch, const struct dot *dot, uint64_t number,
                   struct bytes stored, const struct entry_shared *shared) MUST_CHECK;
/** The stored form, into @ret (replaced). -ENOENT, -EUCLEAN, -ENOMEM. */
int sync_get_entry(struct space *s, const struct dot *dot, uint64_t *ret_number,
                   struct buf *ret) MUST_CHECK;
/** A version is deleted by @batch: its entry keeps the content, or goes, too. Lock held. */
int sync_version_goes(struct space *s, struct db_batch *batch, const struct rid *rid,
                      const struct dot *dot, struct bytes body) MUST_CHECK;

/* ---- sync_links.c ---- */
/** An entry arrives anew, in @batch. -ENOENT: there is none. Lock held. */
int sync_arrive_again(struct space *s, struct db_batch *batch, const struct dot *dot) MUST_CHECK;
/** Writes what arrived anew, from number @next on, unless @rc is an error already. Lock held. */
int sync_write_arrivals(struct space *s, struct db_batch *batch, int rc, uint64_t next) MUST_CHECK;
/** Those of @dots (16 bytes each) that are here arrive anew. How many, or an error. */
int sync_send_again(struct space *s, struct dots dots) MUST_CHECK;

/* ---- sync_bare.c ---- */
int sync_load_bare(struct space *s) MUST_CHECK;
/** Whether a content is held without its chunks: 1, 0. */
int sync_is_bare(struct space *s, const struct rid *rid, const struct dot *dot) MUST_CHECK;
/** 0; -ENODATA: it is so, and is fetched as soon as somebody gives it. Lock held. */
int sync_ask_bare(struct space *s, const struct rid *rid, const struct dot *dot) MUST_CHECK;
/**
 * Notes, in @batch, that a content is held so. -ENODATA: it is not to be, with what is pending, as
 * its record is not deleted. Lock held.
 */
int sync_put_bare(struct space *s, struct db_batch *batch, const struct rid *rid,
                  const struct dot *dot) MUST_CHECK;
/**
 * With what is pending contents may be shown that were held so: 0, and of those whose chunks are
 * here that is noted in @batch; -ENODATA: chunks are missing, which are asked for, if @want is set.
 * Lock held.
 */
int sync_put_shown(struct space *s, struct db_batch *batch, bool want) MUST_CHECK;
/** The bodies of such contents, appended to @ret, each as buf_put_string() does. Lock held. */
int sync_bare_needs(struct space *s, struct buf *ret_bodies) MUST_CHECK;
/** A version goes with @batch. Lock held. */
void sync_bare_goes(struct space *s, struct db_batch *batch, const struct rid *rid,
                    const struct dot *dot);
/** Those that are wanted, among what waits for content, the same as for entries. */
void sync_bare_waits(struct space *s, struct buf *ret);
int sync_wanted_needs(struct space *s, const struct dot *dot, content_need_fn fn,
                      void *arg) MUST_CHECK;
int sync_wanted_is_here(struct space *s, const struct dot *dot) MUST_CHECK;

/* ---- sync_know.c ---- */
/** Rows of an entry that is applied in @batch, but for the own one. Lock held. */
int sync_put_applied(struct space *s, struct db_batch *batch,
                     const struct exchange_entry *e) MUST_CHECK;
/** The knowledge that follows when these entries are applied. Lock held. */
int sync_put_known(struct space *s, struct db_batch *batch, const struct exchange_entry *e,
                   size_t n) MUST_CHECK;

#endif
