#include "sync/server/admin_call.h"

#include <errno.h>

#include "sync/server/session.h"

int srv_admin_decode(struct bytes in, Persist__AdminRequest **ret)
{
    if (in.n > ADMIN_REQUEST_MAX)
        return -EBADMSG;
    *ret = persist__admin_request__unpack(NULL, in.n, in.p);
    return *ret == NULL ? -EBADMSG : 0;
}

int srv_admin_encode(const Persist__AdminRequest *request, struct buf *ret)
{
    size_t n = persist__admin_request__get_packed_size(request);
    if (n > ADMIN_REQUEST_MAX)
        return -EMSGSIZE;
    if (buf_reserve(ret, n) < 0)
        return -ENOMEM;
    ret->n += persist__admin_request__pack(request, ret->p + ret->n);
    return 0;
}

int srv_admin_call(struct srv_admin *a, const Persist__AdminRequest *request, struct buf *out,
                   struct err *err)
{
    const char *name = request->name;
    a->json = request->json;
    a->now_ms = srv_now_ms();
    switch (request->verb) {
    case PERSIST__ADMIN_VERB__ADMIN_USER_ADD:
        return srv_admin_user_add(a, name, request->quota_bytes, request->quota_entries, out, err);
    case PERSIST__ADMIN_VERB__ADMIN_USER_QUOTA:
        return srv_admin_user_quota(a, name, request->quota_bytes, request->quota_entries, out,
                                    err);
    case PERSIST__ADMIN_VERB__ADMIN_USER_LIST:
        return srv_admin_user_list(a, out, err);
    case PERSIST__ADMIN_VERB__ADMIN_USER_REMOVE:
        return srv_admin_user_remove(a, name, out, err);
    case PERSIST__ADMIN_VERB__ADMIN_TOKEN_CREATE:
        return srv_admin_token_create(a, name, request->label, out, err);
    case PERSIST__ADMIN_VERB__ADMIN_TOKEN_LIST:
        return srv_admin_token_list(a, name[0] == '\0' ? NULL : name, out, err);
    case PERSIST__ADMIN_VERB__ADMIN_TOKEN_REVOKE:
        return srv_admin_token_revoke(a, name, out, err);
    case PERSIST__ADMIN_VERB__ADMIN_NONE:
    case _PERSIST__ADMIN_VERB_IS_INT_SIZE:
        break;
    }
    return err_set(err, -ENOTSUP, "server: does not know this; start it again");
}
