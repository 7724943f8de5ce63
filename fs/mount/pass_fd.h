/*
 * fs/mount/pass_fd - an open descriptor, from one process to another over a Unix socket.
 */
#ifndef FS_MOUNT_PASS_FD_H
#define FS_MOUNT_PASS_FD_H

#include "proto/base/base.h"

/** Sends @fd, with one byte; it stays open here. 0, or the negative errno of sendmsg(). */
int pass_fd_send(int socket, int fd) MUST_CHECK;

/** Waits for one. The caller's, close-on-exec; -1: the other end closed, or sent none. */
int pass_fd_receive(int socket) MUST_CHECK;

#endif
