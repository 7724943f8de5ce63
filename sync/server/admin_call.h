/*
 * sync/server/admin_call - an AdminRequest (proto/admin.proto): its bytes, and carrying it out, in
 * the running server or in the command's own process. Thread: any.
 */
#ifndef SYNC_SERVER_ADMIN_CALL_H
#define SYNC_SERVER_ADMIN_CALL_H

#include "proto/admin.pb-c.h"
#include "sync/server/admin.h"

enum { ADMIN_REQUEST_MAX = 4096 };

/** -EBADMSG, -ENOMEM. Free: persist__admin_request__free_unpacked(). */
int srv_admin_decode(struct bytes in, Persist__AdminRequest **ret) MUST_CHECK;
/** Appends the bytes. -EMSGSIZE longer than any name or label, -ENOMEM. */
int srv_admin_encode(const Persist__AdminRequest *request, struct buf *ret) MUST_CHECK;

/** Carries it out; sets json and now_ms of @a. As the functions of admin.h. */
int srv_admin_call(struct srv_admin *a, const Persist__AdminRequest *request, struct buf *out,
                   struct err *err) MUST_CHECK;

#endif
