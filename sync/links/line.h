/*
 * sync/links/line - one connection to a server: opened, this device proved, messages, closed.
 *
 * Tries once: who wants more tries again (link.h). Thread: the loop's; no callback runs inside a
 * call of this file.
 */
#ifndef SYNC_LINKS_LINE_H
#define SYNC_LINKS_LINE_H

#include "sync/links/clients.h"
#include "sync/links/remotes.h"

enum { LINE_TEXT_SIZE = 256 };

/* What all lines of the process share. */
struct line_env {
    struct net_loop *loop;
    struct clients *clients;
    const struct member_keys *identity; /* its sign keys */
    size_t lines;                       /* open, or closing */
    void (*idle)(void *arg);            /* called when the last of them is gone; may be NULL */
    void *arg;
};

struct line;

/* How a line ended. */
struct line_end {
    bool refused;              /* token, identity or version: no use in trying again soon */
    bool token;                /* it was the token */
    char text[LINE_TEXT_SIZE]; /* why, one escaped sentence */
};

/* Each may be NULL but closed. */
struct line_events {
    /** The server knows this device: line_send() works from now on. */
    void (*welcomed)(struct line *l, void *user);
    /** A message after the Welcome, borrowed until the callback returns. */
    void (*message)(struct line *l, struct bytes message, void *user);
    /** There is room again, after line_send() returned -EAGAIN. */
    void (*writable)(struct line *l, void *user);
    /** The last call, exactly once: @l is freed when it returns. */
    void (*closed)(struct line *l, const struct line_end *end, void *user);
};

/**
 * Connects to the server of @remote, of which nothing is needed any more when it returns. Errors,
 * and nothing is called then: -ENOENT the CA file, -EINVAL, -EACCES URL, -EMFILE, -ENOMEM.
 */
int line_open(struct line_env *env, const struct remote *remote, const struct line_events *events,
              void *user, struct line **ret, struct err *err) MUST_CHECK;

/** As ws_send(), ws_pause(), ws_resume(). */
int line_send(struct line *l, struct bytes message) MUST_CHECK;
void line_pause(struct line *l);
void line_resume(struct line *l);

/** Of the server's Welcome: its member keys, or empty. */
struct bytes line_member(const struct line *l);

/** Closes after what is queued, as ws_close(); no callback but closed() comes any more. */
void line_close(struct line *l, unsigned code);

/** The same, and not even closed() is called: @l is not to be used any more. Accepts NULL. */
void line_leave(struct line *l);

#endif
