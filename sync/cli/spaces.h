/*
 * sync/cli/spaces - the spaces of this device: which folder each belongs to, and its name here.
 *
 * spaces/ID/ (ID: 32 hex digits): the files `folder` (absolute path of the mount point) and `name`
 * (used in run/ and log/), the database and its staging files, and while nothing was ever put into
 * it, `new`. Of one that took the place of another one at its folder (--new-space), until it is
 * mounted, `before`: that one's id. Names beginning with '.' are being made or removed. Thread:
 * one; making, replacing and removing under home_lock().
 */
#ifndef SYNC_CLI_SPACES_H
#define SYNC_CLI_SPACES_H

#include "fs/space/keyring.h"
#include "sync/cli/home.h"

enum { SPACE_ID_TEXT_SIZE = 33, SPACE_NAME_SIZE = 65, SPACES_MAX = 1024 };

struct space_entry {
    char id[SPACE_ID_TEXT_SIZE];
    char name[SPACE_NAME_SIZE];
    char *folder;
    bool fresh; /* never opened so far */
    bool anew;  /* took another one's place, and was not mounted since */
};

struct space_list {
    struct space_entry *v;
    size_t n;
};

/** Reads them all, sorted by folder. -EPERM, -EUCLEAN an entry makes no sense, -EIO, -ENOMEM. */
int spaces_load(const struct home *h, struct space_list *ret, struct err *err) MUST_CHECK;
void spaces_fini(struct space_list *l);

/** The space of exactly this folder, or of this name; NULL when there is none. */
const struct space_entry *spaces_at(const struct space_list *l, const char *folder);
const struct space_entry *spaces_named(const struct space_list *l, const char *name);

/** Whether @name can be a space's: 1 to 64 bytes of plain text, no '/', not beginning with '.' or
 * '-'. */
bool spaces_name_valid(const char *name);

/**
 * Whether @e, of a list that was read before, still has its folder: another command may have taken
 * it away meanwhile, or put another space in its place. That ends while who calls has its database
 * open, or home_lock(). -EBUSY it has not; as spaces_load().
 */
int spaces_still_at(const struct home *h, const struct space_entry *e, struct err *err) MUST_CHECK;

/** Makes a valid name that is not taken from the last component of @folder. */
void spaces_choose_name(const struct space_list *l, const char *folder,
                        char ret_name[SPACE_NAME_SIZE]);

/**
 * Makes a space (its files only: the database comes when it is opened) and adds it to @l. @k: its
 * keys, which name it. -EEXIST it is here already; -EMFILE there are SPACES_MAX.
 */
int spaces_create(const struct home *h, struct space_list *l, const char *folder, const char *name,
                  const struct keyring *k, const struct space_entry **ret,
                  struct err *err) MUST_CHECK;
/** The space with an id; NULL when there is none. */
const struct space_entry *spaces_of_id(const struct space_list *l, const struct space_id *id);

/**
 * Begins a space with the keys @k that is to take the place of @old: an empty directory, but for
 * the keys, that is shown to nobody; what an interrupted one has left is removed first. Who calls
 * has @old's database open, as with the two below. @ret_path: its path. Free: free().
 */
int spaces_stage(const struct home *h, const struct space_entry *old, const struct keyring *k,
                 char **ret_path, struct err *err) MUST_CHECK;
/**
 * Puts it in @old's place, with the folder and the name of that, in one step; @old has the folder
 * @aside and the name @aside_name from then on. @id: of the new one.
 */
int spaces_replace(const struct home *h, const struct space_entry *old, const struct space_id *id,
                   const char *aside, const char *aside_name, struct err *err) MUST_CHECK;
/** Removes one that was begun; none is no error. */
int spaces_unstage(const struct home *h, const struct space_entry *old, struct err *err) MUST_CHECK;

/** Its database exists; who calls has that open. */
int spaces_mark_used(const struct home *h, const struct space_entry *e, struct err *err) MUST_CHECK;
/** It is mounted: what it took the place of is past. */
int spaces_mark_mounted(const struct home *h, const struct space_entry *e,
                        struct err *err) MUST_CHECK;

/** Deletes what commands that died have left half made or half deleted. Under home_lock(). */
void spaces_sweep(const struct home *h);

/** Deletes everything that this device has of the space. */
int spaces_remove(const struct home *h, const struct space_entry *e, struct err *err) MUST_CHECK;

/** The path of a space's directory; NULL when memory ran out. Free: free(). */
char *spaces_dir(const struct home *h, const struct space_entry *e) MUST_CHECK;

#endif
