/*
 * sync/cli/confine - what a process of the program gives up for the rest of its life, so that who
 * takes it over gains little: no_new_privs, a seccomp filter (libseccomp) and, for the sync
 * process, Landlock (confine_files.h) and no capability but that of binding low ports.
 *
 * A denied system call fails with EPERM and is not the end of the process: libraries try some of
 * them (nscd's socket, clone3) and go on another way, and an attacker learns nothing by trying that
 * is not in this file. Calls of another architecture (32 bit ones, x32), which would be counted
 * otherwise, end the process.
 *
 * What is listed is denied, the rest allowed: lists of what the C library, OpenSSL and RocksDB may
 * call differ from version to version, and a call that is missing in one is an outage. What lets a
 * process out is a short list.
 *
 * A filter cannot be taken off again, and holds for all threads and all that is started later.
 * Where one cannot be installed the call fails, and the process is not to go on; where the kernel
 * has no such thing at all, a warning is logged.
 */
#ifndef SYNC_CLI_CONFINE_H
#define SYNC_CLI_CONFINE_H

#include "proto/base/err.h"

/*
 * Built with AddressSanitizer the program looks for leaks when it ends, from a child that stops it
 * by ptrace(): then, and only then, these two are not denied.
 */
#if defined(__SANITIZE_ADDRESS__)
#define CONFINE_CHECKS_LEAKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONFINE_CHECKS_LEAKS 1
#endif
#endif
#ifndef CONFINE_CHECKS_LEAKS
#define CONFINE_CHECKS_LEAKS 0
#endif

/**
 * The sync process, while it has one thread and before it has read from any network: from now on
 * no AF_UNIX socket (one that listens already accepts), no program, no child process, no look into
 * other processes or signal to them, no mode, owner, time or attribute of any file, no file but
 * what Landlock leaves: in @sync_dir_fd what it likes, in @run_dir_fd to remove. Of the system: the
 * resolver's files, certificates, libraries. -EIO with a message.
 */
int confine_sync(int sync_dir_fd, int run_dir_fd, struct err *err) MUST_CHECK;

/**
 * The mount process, once it is mounted (fusermount3 is setuid, so it has to be before) and before
 * it reads what the sync process sends: no socket but AF_UNIX. Merge drivers, which are its
 * children, inherit that. Thread: any; holds for all. -EIO with a message.
 */
int confine_mount(struct err *err) MUST_CHECK;

/**
 * The watch of a mount (fs/mount/watch.h): no socket, no program. It mounts fusectl. Returns 0 or
 * -EIO, which it has logged.
 */
int confine_watch(void) MUST_CHECK;

/** A server, before it listens: no program. -EIO with a message. */
int confine_server(struct err *err) MUST_CHECK;

#endif
