/*
 * sync/cli/local_call - asks the sync process: one request, one Reply. Thread: any.
 */
#ifndef SYNC_CLI_LOCAL_CALL_H
#define SYNC_CLI_LOCAL_CALL_H

#include "proto/base/err.h"
#include "proto/local.pb-c.h"

#define LOCAL_SOCKET "sync.sock" /* in the directory run/ */

enum { LOCAL_CALL_MS = 15000 /* longer than the process takes to reach a server, or give up */ };

/**
 * Connects to the process's socket in @run_fd. Errors: -ENOENT, -ECONNREFUSED it does not run;
 * -EPERM another user listens; -EAGAIN too many ask; -EMFILE.
 */
int local_connect(int run_fd, int *ret_fd, struct err *err) MUST_CHECK;

/**
 * Sends a frame on such a connection, and takes the next one, which is freed with
 * frame_local_free(). Errors: -ETIMEDOUT, -ECONNRESET it went away, -EBADMSG, -ENOMEM; afterwards
 * the connection is of no use.
 */
int local_send(int fd, const Persist__Local *f, unsigned timeout_ms) MUST_CHECK;
int local_receive(int fd, unsigned timeout_ms, Persist__Local **ret) MUST_CHECK;
/** The same, where a Reply is to come: -EBADMSG it is another frame. */
int local_receive_reply(int fd, unsigned timeout_ms, Persist__Local **ret) MUST_CHECK;
/** Says what an error of these means. Returns it. */
int local_fail(int rc, struct err *err);

/**
 * Asks, on a connection of its own, and gives the Reply, whatever its status; free it with
 * frame_local_free(). The bytes of the request that were made here are wiped. Errors: as
 * local_connect(); -ETIMEDOUT, -ECONNRESET it went away, -EBADMSG, -ENOMEM.
 */
int local_call(int run_fd, const Persist__Local *request, unsigned timeout_ms,
               Persist__Local **ret_reply, struct err *err) MUST_CHECK;

/**
 * The same for a command: a Reply with a status other than 0 becomes an error of that status
 * (verb_status_of()), with its sentence. -EINVAL stands for wrong usage.
 */
int local_ask(int run_fd, const Persist__Local *request, Persist__Local **ret_reply,
              struct err *err) MUST_CHECK;

/** The error that an exit status other than 0 stands for: what verb_status_of() turns back. */
int local_error_of(uint32_t status);

#endif
