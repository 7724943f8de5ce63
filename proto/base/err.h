/*
 * proto/base/err - an error code with a sentence for a human, without allocation.
 *
 * Functions return 0 or a positive count, or a negative errno. Where a person needs to know why,
 * the last argument is a struct err (may be NULL). One meaning per code: -EBADMSG  bytes that do
 * not parse or verify      -EUCLEAN  stored data contradicts itself -EPROTO   a peer broke the
 * order of messages     -ESTALE   superseded, gone -EUNATCH  not configured -EAGAIN   come back
 * later
 */
#ifndef PROTO_BASE_ERR_H
#define PROTO_BASE_ERR_H

#include "proto/base/base.h"

struct err {
    int code;      /* negative errno; 0: none */
    char msg[512]; /* "what: why; what to do", no newline */
};

/** Stores @code and a message in @e (which may be NULL); returns @code. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/** Puts "text: " before the message of @e (which may be NULL); returns its code. */
int err_wrap(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
