/* Publishes what is pending, and makes everything durable. */
#include "fs/space/space_priv.h"
#include "fs/space/verb.h"

int verb_flush(struct space *s, const struct verb_call *call, struct out *out)
{
    (void)call;
    int rc = publisher_flush(s);
    if (rc == 0)
        rc = tree_sync(s->tree);
    if (rc < 0)
        out_error(out, "flush: %s", strerror(-rc));
    return verb_status_of(rc);
}
