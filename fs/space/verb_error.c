/* Apart from the table, so that who needs only this needs no verb. */
#include "fs/space/verb.h"

#include <errno.h>

int verb_status_of(int error)
{
    switch (error) {
    case 0:
        return VERB_OK;
    case -ENOENT:
    case -ESTALE:
        return VERB_NOT_FOUND;
    case -EACCES:
    case -EPERM:
        return VERB_NOT_ALLOWED;
    case -ETIMEDOUT:
    case -ENOTCONN:
    case -ECONNREFUSED:
        return VERB_UNREACHABLE;
    default:
        return VERB_FAILED;
    }
}
