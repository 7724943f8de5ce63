/*
 * tests/sim/sim - replicas that work, meet and die as a script says, and what must hold.
 *
 * A script is a setup line and steps, one a line: "TIME DEVICE OPERATION|ARGUMENT|…" with the time
 * in seconds. A step that cannot be done does nothing, so a script stays one when lines are taken
 * out. Nothing here depends on anything but the script: the same one gives the same run. What must
 * not be, ends the process (sim_fail()): runs are made in child processes, see run.h.
 *
 *     mkdir|PATH  create|PATH|SAVE  edit|PATH|SAVE  stale|PATH|SAVE|VERSION  chmod|PATH|MODE
 *     rm|PATH  mv|PATH|PATH  ln|PATH|PATH  swap|PATH|PATH
 *     join, joined        the operations between them are one change
 *     dropped             or, instead of joined, none of them took place
 *     resolve             by the policy of the setup
 *     clean               raises the floor, removes what is deleted everywhere
 *     pull|FROM|SEED|CUT  one session, which ends after CUT batches (-1: does not);
 *                         SEED: order, batches, repeats
 *     open|FROM|SEED      one that goes on during other steps, batch by batch:
 *     take, cut           the next batch, after the last the knowledge; breaks it off
 *     acks|FROM           what FROM acknowledges, ahead of what it has: as from another channel
 *     crash|before        the process dies at its next write: before it, or
 *     crash|after         after it
 *     ahead|MILLISECONDS  the clock
 *     copy, restore       a copy of the disk, and back to it (with a new replica id)
 *     away, back          nobody meets it, nor waits for what it acknowledges
 *
 * A save is a number; the content of a file is the set of saves that are in it. Save 0 is empty.
 * With the policy "text" a file has some lines, and a save takes the place of one. Device DEVICES
 * is the server, if there is one.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "tests/support/replica_world.h"

enum { SIM_DEVICES_MAX = WORLD_MAX - 2, SIM_SAVES_MAX = 1000, SIM_LINE_MAX = 1500 };

enum sim_server { SERVER_NONE, SERVER_REPLICA, SERVER_LOG };
enum sim_policy { POLICY_KEEP, POLICY_MERGE, POLICY_EXEC, POLICY_LATER, POLICY_TEXT };

struct sim_setup {
    int devices;
    enum sim_server server; /* a replica that does nothing of its own, or a log of changes */
    enum sim_policy policy; /* of resolutions; exec: merges that differ by device; text: fs/merge */
    bool relay;             /* devices meet only through the server */
    bool cleaning;          /* in the end, what was deleted is cleaned up */
    bool together;          /* in the end, all resolve at once, or one after the other */
    bool checked;           /* the state is compared with a full derivation after every write */
};

/* A change as it was when it was made. */
struct sim_change {
    struct dot dot;
    struct buf blob;
};

/* What is on its way to a device. */
struct sim_session {
    bool open;
    int mirrored;      /* its number there */
    struct buf *batch; /* changes as strings */
    size_t n, at;
    struct vv known;
    struct vv acks[SIM_DEVICES_MAX];
};

/* A deletion by a user, and the changes to the record that its device had received. */
struct sim_deletion {
    struct rid rid;
    struct dot dot;
    bool whole; /* of the last name */
    struct value *seen;
    size_t seen_n;
    struct buf bytes; /* which the values borrow */
};

struct sim_save {
    bool made, known; /* known: a user saw it, and replaced or deleted it */
    int device;
    int made_in, known_in; /* 1 + the device whose joined change, not yet at its end, says so */
};

struct model;
struct mirror;

struct sim {
    struct sim_setup setup;
    struct world *w; /* the members, the server, a spare one */
    int spare;
    struct model *model;
    struct mirror *mirror;
    struct sim_save save[SIM_SAVES_MAX], at_copy[SIM_SAVES_MAX];
    struct sim_change *change;
    size_t changes;
    struct value *part; /* of all these changes; borrow the blobs */
    size_t parts;
    struct sim_deletion *deletion;
    size_t deletions;
    struct vv taken;     /* own changes that are in @change */
    struct vv log_known; /* of the log server */
    struct sim_change *log;
    size_t log_n;
    struct sim_session in[WORLD_MAX];
    struct vv acks[WORLD_MAX][SIM_DEVICES_MAX];
    int copied;                /* which device was copied, -1: none */
    bool restored, compared;   /* somebody was, or has compared in full */
    bool went_back[WORLD_MAX]; /* and has not compared in full since */
    bool away[WORLD_MAX];
    bool at_end;              /* nothing more will come: no merge waits for it */
    bool lost[SIM_SAVES_MAX]; /* with the disk that was replaced by its copy */
    struct buf copy;
    size_t steps;
    uint64_t hash;
};

/**
 * @model derives what is shown, now and then and at the end; with @mirror it takes all steps. Both
 * are borrowed and may be NULL.
 */
struct sim *sim_new(const struct sim_setup *setup, struct model *model, struct mirror *mirror);
void sim_free(struct sim *s);

/** Reads or writes the setup line, without its end. */
bool sim_setup_read(const char *line, struct sim_setup *ret);
void sim_setup_write(const struct sim_setup *setup, char ret[SIM_LINE_MAX]);

/** One step: 0, or a negative errno when it could not be done. */
int sim_step(struct sim *s, const char *line);

/** Everybody meets, resolves, cleans up; every check. */
void sim_finish(struct sim *s);

/** Ends the process: something that must hold does not. */
_Noreturn void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define SIM_NEED(ok, ...) ((ok) ? (void)0 : sim_fail(__VA_ARGS__))

/* ---- for the files of this folder ------------------------------------------------------------ */

int sim_nodes(const struct sim *s); /* members and server */
/** Makes @p part of the hash that runs are told apart by. */
void sim_fold(struct sim *s, const void *p, size_t n);
/** The content shown at @path, as the text of its saves: false when there is none. */
bool sim_text(struct sim *s, int i, const char *path, char ret[SIM_LINE_MAX]);
/** The text of a save. */
void sim_save_text(int save, char ret[16]);
/** A session from the beginning to the end. */
void sim_pull(struct sim *s, int to, int from);
int sim_resolve(struct sim *s, int i);
int sim_clean(struct sim *s, int i);
/** Known changes are held, superseded, or were cleaned up. */
void sim_check_held(struct sim *s, int i);

#endif
