/*
 * sync/net/unix_frames - frames between processes of one user, on stream sockets of AF_UNIX.
 *
 * A frame is a u32 big-endian length of at most 1 MiB, then so many bytes. The rules are those of
 * ws.h: bounded queues, and what is paused is not read. Connections of other users are refused, and
 * more than 16 at a time. Thread: the loop's; no callback runs inside a call of this file.
 */
#ifndef SYNC_NET_UNIX_FRAMES_H
#define SYNC_NET_UNIX_FRAMES_H

#include "proto/base/buf.h"
#include "sync/net/loop.h"

enum { UNIX_FRAME_MAX = 1 << 20, UNIX_CONNECTIONS_MAX = 256 };

struct unix_conn;

/* Each may be NULL but closed. */
struct unix_events {
    /** A whole frame, borrowed until the callback returns. */
    void (*frame)(struct unix_conn *c, struct bytes frame, void *user);
    /** There is room again, after unix_send() returned -EAGAIN. */
    void (*writable)(struct unix_conn *c, void *user);
    /**
     * The last call, exactly once: @c is freed when it returns. @error: 0 closed between two
     * frames, by either side; -EBADMSG a frame that is too long; -ECONNRESET inside a frame;
     * -ETIMEDOUT the peer did not take what was sent before unix_close(); -ECANCELED
     * unix_server_free(); -ENOMEM.
     */
    void (*closed)(struct unix_conn *c, int error, void *user);
};

/**
 * Takes over a connected socket, which is closed in any case.
 * Errors: -EPERM the other end is not of this process's user; -ENOMEM.
 */
int unix_adopt(struct net_loop *l, int fd, const struct unix_events *events, void *user,
               struct unix_conn **ret) MUST_CHECK;

/** Queues a copy. Errors: -EAGAIN wait for writable(), -EMSGSIZE, -ENOTCONN closing, -ENOMEM. */
int unix_send(struct unix_conn *c, struct bytes frame) MUST_CHECK;

/** Reads no more frames until unix_resume(). */
void unix_pause(struct unix_conn *c);
void unix_resume(struct unix_conn *c);

/** Sends what is queued, in 5 s, then closes. No callback but closed() comes any more. */
void unix_close(struct unix_conn *c);

struct unix_server;

struct unix_server_config {
    int fd; /* listens; stays the caller's, who closes it after unix_server_free() */
    const struct unix_events *events;
    /** A connection came; returns what its events are given. May close it, and may send. */
    void *(*opened)(struct unix_conn *c, void *user);
    void *user;
};

/** Accepts connections of this process's user. Errors: -ENOMEM, -EPERM. */
int unix_server_start(struct net_loop *l, const struct unix_server_config *cfg,
                      struct unix_server **ret) MUST_CHECK;

/** Stops accepting and cuts its connections (closed() is called). Accepts NULL. */
void unix_server_free(struct unix_server *s);

#endif
