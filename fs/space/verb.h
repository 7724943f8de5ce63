/*
 * fs/space/verb - the commands that need a space: one table, used by the mount process (asked over
 * its control socket) and by the command line itself when the space is not mounted.
 *
 * A verb never looks at the current directory, the environment or a terminal: all it needs is in
 * the call. A path inside the space is relative to its root, "" for the root, without a leading or
 * trailing '/', without ".", ".." and empty components; it need not exist. A path outside is
 * absolute.
 *
 *   verb       arguments          what it does; the fields of the call that it heeds
 *   status     -                  the state of this space; with watch again on each change, until
 *                                 cancelled (json, watch)
 *   log        PATH               the versions of a path, newest first (json)
 *   show       PATH VERSION       the bytes of that version, nothing else
 *   restore    PATH VERSION [TO]  brings a version back, at the path TO if given (json)
 *   restore    PATH               brings PATH and what is below it back as of at_ms (json)
 *   export     PATH DIR           copies what is below PATH to DIR: absolute, exists, empty (json)
 *   check      -                  verifies every record and chunk (json, repair)
 *   gc         -                  frees what no kept version needs (json)
 *   conflicts  PATH               lists the conflicts below PATH (json)
 *   resolve    PATH KEEP          ends the conflict of a file: KEEP is "this" (what has the name
 *                                 PATH), "other" or "both" (json)
 *   sync       [HOW [SECONDS]]    pushes and pulls now; HOW "wait": until all is even with every
 *                                 server that is reached, and each device that is online has
 *                                 acknowledged it, or for so long; "first": until its list of
 *                                 changes is taken
 *   door       URL SALT KEY       opens the space to who has a passphrase: has the server at URL be
 *                                 given what opens it, before all else; SALT and KEY (struct
 *                                 door_key) in hex digits
 *   door       URL                whether that is still to be given
 *   manage     URL MEMBER         makes the server at URL a member, likewise; MEMBER (its public
 *                                 keys: identity, sign, box) in hex digits
 *   grant      MEMBER LABEL       makes a device a member; MEMBER in hex digits, as above. Writes
 *                                 what hands it the space (proto/sealed/grant.h), nothing else
 *   opened     URL                waits until the server has been given it, else takes it back;
 *                                 without a mount that is with the next one, and not waited for
 *   shut       URL                takes it back, if it was not given
 *   peers      -                  the devices of the space; with HOW "all" also those that were
 *              [HOW]              put out (json)
 *   peer       PEER               one of them: keys, who let it in (json)
 *   revoke     PEER [HOW]         puts a device out, and waits for a moment until the servers that
 *                                 are reached know it (json); HOW "look": only says which it is.
 *                                 PEER is a label, or a part of a PeerId that no other one has
 *   flush      -                  publishes what is pending, makes all durable; unmount asks first
 *
 * log, show and conflicts tell of small saves up to this moment; what a file over 1 MiB became that
 * is not published yet, they do not wait for.
 *
 * JSON is one document and a newline; with watch one line per event. `status` writes one object
 * (the command line puts several into a list).
 */
#ifndef FS_SPACE_VERB_H
#define FS_SPACE_VERB_H

#include "fs/space/out.h"

struct space;

/* Exit statuses of a command; what verbs return. Source: the command line's contract. */
enum verb_status {
    VERB_OK = 0,
    VERB_FAILED = 1,
    VERB_USAGE = 2,
    VERB_NOT_FOUND = 3,
    VERB_NOT_ALLOWED = 4,
    VERB_UNREACHABLE = 5
};

enum {
    VERB_SYNC_SECONDS = 24 * 3600,          /* that sync waits, unless told */
    VERB_SYNC_SECONDS_MAX = 365 * 24 * 3600 /* and at most */
};

enum {
    VERB_ARGS_MAX = 8,
    VERB_ARG_BYTES_MAX = 128 * 1024 /* a path of 256 names of 255 bytes, and room */
};

struct verb_call {
    const char *verb;
    const char *args[VERB_ARGS_MAX]; /* as in the table above; borrowed for the call */
    size_t args_n;
    const char *folder; /* the mount point, absolute: to show, not to use */
    const char *name;   /* the space's name on this device */
    bool mounted;       /* runs in the mount process */
    bool json;          /* --json */
    bool watch;         /* --watch */
    bool repair;        /* --repair */
    bool as_published;  /* conflicts: without publishing first what is pending; never sent */
    bool terminal;      /* stdout is a terminal */
    bool colour;        /* and wants colour */
    uint16_t columns;   /* width of it; 0: not known, do not cut lines */
    uint64_t at_ms;     /* --at, ms since 1970 UTC; 0: not given */
};

/**
 * Carries out a command and returns its exit status (enum verb_status). On failure exactly one
 * error line has gone to @out. When @out takes no more (-ECANCELED), it stops soon; then what it
 * returns does not matter. Names in error lines are escaped. Thread: any, several at a time.
 */
typedef int (*verb_fn)(struct space *s, const struct verb_call *call, struct out *out);

struct verb {
    const char *name;
    verb_fn run;
    size_t args_min, args_max;
    bool servers; /* without a mount it is to be told which servers the space has */
};

/* Ends with an entry whose name is NULL. */
extern const struct verb verbs[];

/** The verb of that name, or NULL. */
const struct verb *verb_find(const char *name);

/** The exit status that a negative errno of the space or the mount means. */
int verb_status_of(int error);

int verb_status(struct space *s, const struct verb_call *call, struct out *out);
int verb_log(struct space *s, const struct verb_call *call, struct out *out);
int verb_show(struct space *s, const struct verb_call *call, struct out *out);
int verb_restore(struct space *s, const struct verb_call *call, struct out *out);
int verb_export(struct space *s, const struct verb_call *call, struct out *out);
int verb_check(struct space *s, const struct verb_call *call, struct out *out);
int verb_gc(struct space *s, const struct verb_call *call, struct out *out);
int verb_conflicts(struct space *s, const struct verb_call *call, struct out *out);
int verb_resolve(struct space *s, const struct verb_call *call, struct out *out);
int verb_sync(struct space *s, const struct verb_call *call, struct out *out);
int verb_door(struct space *s, const struct verb_call *call, struct out *out);
int verb_manage(struct space *s, const struct verb_call *call, struct out *out);
int verb_grant(struct space *s, const struct verb_call *call, struct out *out);
int verb_opened(struct space *s, const struct verb_call *call, struct out *out);
int verb_shut(struct space *s, const struct verb_call *call, struct out *out);
int verb_peers(struct space *s, const struct verb_call *call, struct out *out);
int verb_peer(struct space *s, const struct verb_call *call, struct out *out);
int verb_revoke(struct space *s, const struct verb_call *call, struct out *out);
int verb_flush(struct space *s, const struct verb_call *call, struct out *out);

#endif
