/*
 * sync/server/mirrors - where the mirrors of a server are: the file `mirrors` in the data directory
 * has the directories that were given for them, the last one at the end. So a directory with other
 * things in it is known from one that this server filled, and who asks about users can be told
 * while no server runs, too. Thread: any.
 */
#ifndef SYNC_SERVER_MIRRORS_H
#define SYNC_SERVER_MIRRORS_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

/**
 * Takes directory @mirror (absolute; open as @mirror_fd) for the mirrors of data directory @data.
 * -EINVAL: it is not empty, and was never taken for them. As statefile_write().
 */
int srv_mirrors_claim(const char *data, const char *mirror, int mirror_fd,
                      struct err *err) MUST_CHECK;

/**
 * Appends the path of the directory of @user's mirrors, terminated: 1; 0 there is none. @data NULL:
 * none. -EACCES, -ENOMEM and others of a file that cannot be read.
 */
int srv_mirrors_of(const char *data, const char *user, struct buf *ret) MUST_CHECK;

/**
 * Calls @fn with the path of each thing that a mirror of @user's set aside (fs/space/mirror.h) and
 * that is still there. Errors as srv_mirrors_of(), and of @fn.
 */
int srv_mirrors_kept(const char *data, const char *user, int (*fn)(void *arg, const char *path),
                     void *arg) MUST_CHECK;

#endif
