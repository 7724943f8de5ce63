/* Lets a device in, and writes what hands it the space: sealed, for it alone. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "fs/space/sync.h"
#include "fs/space/verb.h"
#include "proto/base/utf8.h"

static bool read_member(const char *text, struct member_public *ret)
{
    uint8_t keys[ACT_MEMBER_SIZE];
    size_t n = 0;
    if (sodium_hex2bin(keys, sizeof keys, text, strlen(text), NULL, &n, NULL) != 0 ||
        n != sizeof keys)
        return false;
    memcpy(ret->identity, keys, SIGN_KEY_SIZE);
    memcpy(ret->sign, keys + SIGN_KEY_SIZE, SIGN_KEY_SIZE);
    memcpy(ret->box, keys + 2 * SIGN_KEY_SIZE, BOX_KEY_SIZE);
    return true;
}

static int failed(int rc, struct out *out)
{
    if (rc == -EKEYREVOKED)
        out_error(out, "pair: the device was put out of this folder, and keys that were put out "
                       "do not come back; it needs a new state directory ($PERSIST_HOME)");
    else if (rc == -ENOTCONN)
        out_error(out, "pair: this device is no member of the folder; it cannot let others in");
    else if (rc == -ENOBUFS)
        out_error(out, "pair: the folder has as many devices as it can have");
    else
        out_error(out, "pair: letting the device in: %s", strerror(-rc));
    return rc == -EKEYREVOKED || rc == -ENOTCONN ? VERB_NOT_ALLOWED : verb_status_of(rc);
}

int verb_grant(struct space *s, const struct verb_call *call, struct out *out)
{
    struct buf blob CLEANUP(buf_fini) = {0};
    struct act_add who = {.role = ACT_ROLE_DEVICE};
    if (!read_member(call->args[0], &who.member))
        return failed(-EINVAL, out);
    if (space_sync_was_revoked(s, who.member.identity))
        return failed(-EKEYREVOKED, out);
    bool plain = utf8_is_label(bytes_str(call->args[1]));
    int rc = space_sync_grant(s, &who, plain ? call->args[1] : "device", call->name, &blob);
    if (rc < 0)
        return failed(rc, out);
    return verb_status_of(out_buf(out, &blob));
}
