/*
 * fs/mount/control - the control socket of a mount process: commands ask, the process answers.
 *
 * One request per connection. Frames, both ways: u32 big-endian length of the payload (at most
 * 1 MiB), u8 type, payload. The client sends one REQUEST; the server answers any number of OUT,
 * PROGRESS and ERROR, and last one EXIT. Closing the connection cancels the request. Only this user
 * and root are served, and 16 connections at a time.
 * Source: sync/cli/README.md, "Control socket".
 */
#ifndef FS_MOUNT_CONTROL_H
#define FS_MOUNT_CONTROL_H

#include <sys/types.h>

#include "fs/space/verb.h"
#include "proto/base/err.h"

enum control_type {
    CONTROL_REQUEST = 1,  /* a verb_call, see control_put_request() */
    CONTROL_OUT = 2,      /* bytes for stdout */
    CONTROL_PROGRESS = 3, /* u64 done, u64 total, label */
    CONTROL_ERROR = 4,    /* one line for stderr */
    CONTROL_EXIT = 5      /* u8 exit status; nothing follows */
};

enum {
    CONTROL_HEAD_BYTES = 5,
    CONTROL_FRAME_MAX = 1 << 20,
    CONTROL_CONNECTIONS_MAX = 16,
    CONTROL_REQUEST_TIMEOUT_MS = 10000 /* from connecting to a whole request */
};

struct control_frame {
    enum control_type type;
    struct bytes payload; /* borrowed from the bytes that were decoded */
};

/**
 * Decodes the frame that @in begins with. Returns its whole length, 0 when more bytes are needed.
 * Errors: -EBADMSG unknown type or too long; close the connection.
 */
ssize_t control_decode(struct bytes in, struct control_frame *ret_frame) MUST_CHECK;

/** Appends a frame. The payload has at most CONTROL_FRAME_MAX bytes. */
void control_put(struct buf *b, enum control_type type, struct bytes payload);

/** Appends a REQUEST frame; `folder`, `name` and `mounted` of the call are not sent. */
void control_put_request(struct buf *b, const struct verb_call *call);

/* A decoded request: the call's strings live in @text. All zero is valid and empty. */
struct control_request {
    struct verb_call call;
    struct buf text;
};

/** Decodes the payload of a REQUEST. -EBADMSG, -ENOMEM; then @ret stays empty. */
int control_get_request(struct bytes payload, struct control_request *ret) MUST_CHECK;
void control_request_fini(struct control_request *r);

/** Decodes the payload of a PROGRESS; the label (cut to fit) is terminated. -EBADMSG. */
int control_get_progress(struct bytes payload, uint64_t *ret_done, uint64_t *ret_total,
                         char ret_label[64]) MUST_CHECK;

/* An out that writes frames to a connected socket; its other end closing, or half of it, cancels.
 */
struct control_out {
    struct out out; /* first: the struct out to give away */
    int fd;
    bool broken;       /* a write failed: nobody listens */
    uint64_t shown_ms; /* when the last PROGRESS was sent */
    struct buf scratch;
};

void control_out_init(struct control_out *o, int fd);
void control_out_fini(struct control_out *o); /* does not close @fd */
/** Sends the EXIT frame. 0 or -ECANCELED. */
int control_out_exit(struct control_out *o, int status) MUST_CHECK;

struct control_server;

struct control_server_config {
    int dir_fd;       /* directory of the socket; used by the start call only */
    const char *name; /* file name of the socket; an old one is replaced */
    struct space *space;
    const char *folder;     /* for struct verb_call; borrowed until the server is stopped */
    const char *space_name; /* likewise */
    const struct verb *(*find)(const char *name); /* verb_find(), or a test's own */
};

/**
 * Binds the socket (mode 0600) and starts a thread that serves it.
 * Errors: -ENAMETOOLONG, -EACCES, -ENOMEM, -EIO; nothing is left behind.
 */
int control_server_start(const struct control_server_config *cfg, struct control_server **ret,
                         struct err *err) MUST_CHECK;

/**
 * Takes no more connections, cancels the running verbs and waits for them, removes the socket.
 * Accepts NULL.
 */
void control_server_stop(struct control_server *s);

/**
 * Serves one connection on @fd, which stays the caller's: what each thread of the server runs.
 * Returns the exit status that was sent, or a negative errno when no whole request came: -EBADMSG,
 * -ETIMEDOUT, -ECONNRESET, -ENOMEM. Thread: any; shutdown() of @fd from another one cancels.
 */
int control_serve(const struct control_server_config *cfg, int fd);

/**
 * Connects. The server's process id goes to @ret_pid when that is not NULL.
 * Errors: -ENOENT or -ECONNREFUSED nobody listens (a stale socket), -EPERM another user listens.
 */
int control_connect(int dir_fd, const char *name, int *ret_fd, pid_t *ret_pid,
                    struct err *err) MUST_CHECK;

/**
 * Sends a call on a new connection and passes the answers to @out; @ret_status gets the exit
 * status. Errors: -ECONNRESET the process went away before its answer ended, -EBADMSG, -ECANCELED
 * @out takes no more, -ENOMEM.
 */
int control_call(int fd, const struct verb_call *call, struct out *out, int *ret_status,
                 struct err *err) MUST_CHECK;

/** Passes the answers that come on @fd to @out, until EXIT. As control_call(). */
int control_relay(int fd, struct out *out, int *ret_status, struct err *err) MUST_CHECK;

#endif
