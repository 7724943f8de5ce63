/*
 * sync/cli/confine_files - which files the sync process can open, by Landlock (Linux 5.13). What is
 * open already stays so. Paths lead through any directory; what is at their end is judged by where
 * it is, whatever descriptor or link led there.
 */
#ifndef SYNC_CLI_CONFINE_FILES_H
#define SYNC_CLI_CONFINE_FILES_H

#include "proto/base/err.h"

/**
 * For this thread and those that it starts: in @sync_dir_fd files can be read, written, made and
 * removed; in @run_dir_fd removed, and not made or moved, so that the socket cannot take the name
 * of another one; of the system's files those for names, certificates and libraries be read, and
 * those that $SSL_CERT_FILE and $SSL_CERT_DIR name. Where the kernel can (6.12), no signal and no
 * abstract socket of other processes, either. Needs no_new_privs. -ENOSYS: this kernel has no
 * Landlock; else a negative errno.
 */
int confine_files(int sync_dir_fd, int run_dir_fd) MUST_CHECK;

#endif
