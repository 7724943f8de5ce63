/*
 * sync/cli/home - the state directory of this device and what is directly in it.
 *
 *   $PERSIST_HOME, else $XDG_STATE_HOME/persist, else ~/.local/state/persist
 *     config             settings; with $PERSIST_HOME unset: $XDG_CONFIG_HOME/persist/config
 *     lock               held while spaces are made or removed
 *     sync/identity      the seed of this device's key
 *     spaces/ID/         one space: see spaces.h
 *     run/ log/          pid files and sockets; logs of background processes
 *
 * The directory must be this user's and not writable by others; those in it are closed to others.
 * Thread: one.
 */
#ifndef SYNC_CLI_HOME_H
#define SYNC_CLI_HOME_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

struct home {
    char *path; /* absolute */
    int fd;
    char *config_dir; /* absolute; may not exist */
};

#define HOME_INIT                                                                                  \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/**
 * Finds the state directory and opens it, after making it when @create. -ENOENT there is none yet,
 * -EPERM owner or mode, -ENOTDIR, -EUNATCH no home directory is known, -EIO, -ENOMEM.
 */
int home_open(struct home *h, bool create, struct err *err) MUST_CHECK;
void home_fini(struct home *h);

/** Opens one of its directories ("run"), after making it when @create. As statefile_open_dir(). */
int home_dir(const struct home *h, const char *name, bool create, int *ret_fd,
             struct err *err) MUST_CHECK;

/** Takes the lock, waiting for it; closing @ret_fd gives it back. */
int home_lock(const struct home *h, int *ret_fd, struct err *err) MUST_CHECK;
/** The same of another one, the file @name. */
int home_lock_file(const struct home *h, const char *name, int *ret_fd, struct err *err) MUST_CHECK;

enum { CONFIG_BYTES_MAX = 64 * 1024, LABEL_SIZE = 65 };

/* What the configuration says; all zero is the default. */
struct config {
    char label[LABEL_SIZE]; /* "": the host's name */
};

/**
 * Takes lines "key = value" apart; '#' starts a comment line. -EINVAL names the line in @err.
 */
int config_parse(struct bytes text, struct config *ret, struct err *err) MUST_CHECK;

/** Reads the configuration; none is an empty one. -EINVAL, -EPERM others can write it, -EIO. */
int config_read(const struct home *h, struct config *ret, struct err *err) MUST_CHECK;

#endif
