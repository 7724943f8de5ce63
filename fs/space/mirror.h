/*
 * fs/space/mirror - keeps an ordinary directory equal to a space: its folders, files and symbolic
 * links, with modes (& 0777), times of modification and user.* attributes. What is not in the space
 * goes. For backups and reading: what anybody changes there is put right.
 *
 * A file is written beside, synced and renamed to its name: at each name there is an old state or a
 * new one, whole. Names of a space are data from others: each is made in, and opened below, the
 * directory that it belongs in, without following a link, so nothing outside can be met.
 *
 * The brake: when of at least MIRROR_BRAKE_MIN files that are there more than half would vanish or
 * be rewritten at once, the directory is renamed to NAME.before-TIME, and written anew. A file that
 * moved (it has size and time of another one that is to come) has not vanished. What has the name
 * before the first run in a place is not the mirror's: it goes aside likewise, however little it
 * is.
 *
 * What was seen of files is kept in memory, and in the file "mirror" of a state directory, so that
 * one that is as it was is not read again. If that is lost, files are compared. Thread: one.
 */
#ifndef FS_SPACE_MIRROR_H
#define FS_SPACE_MIRROR_H

#include "fs/space/space.h"

enum { MIRROR_BRAKE_MIN = 20 };

struct mirror;

struct mirror_config {
    struct space *space; /* open as long as the mirror is */
    const char *name;    /* one component; borrowed */
    const char *root;    /* names the place of all mirrors: another one, another mirror; borrowed */
    int state_fd;        /* the state directory; borrowed */
};

/* What a run did. */
struct mirror_report {
    uint64_t files, folders;   /* there are now; files: all that is no folder */
    uint64_t written, removed; /* files */
    uint64_t skipped;          /* could not be read, and stayed as they were */
    char kept[300];            /* where what was there is now; "": nothing went aside */
    bool was_other;            /* and that was not the mirror's: else the brake worked */
};

/** -ENOMEM. */
int mirror_new(const struct mirror_config *cfg, struct mirror **ret) MUST_CHECK;
/** Writes its state down. Accepts NULL. */
void mirror_free(struct mirror *m);

/**
 * Makes directory NAME in @dir_fd equal to the space. A negative errno, with a sentence: all else
 * is done, as far as it could be, and another run does the rest. -ECANCELED after mirror_cancel().
 */
int mirror_run(struct mirror *m, int dir_fd, struct mirror_report *ret, struct err *err) MUST_CHECK;

/** Whether @name is one that the mirror gives what goes aside. */
bool mirror_is_kept_name(const char *name);

/** Ends a run soon, and those that come. Thread: any. */
void mirror_cancel(struct mirror *m);

#endif
