#include "fs/mount/notify.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/space/space.h"

/* Called with no lock held: the kernel may wait for a request that this process has to answer. */
static void invalidate(void *arg, const struct space_inval *what)
{
    struct fuse_session *se = arg;
    /* A name or inode that the kernel does not know needs no invalidation: results do not matter.
     */
    if (what->name.n > 0)
        fuse_lowlevel_notify_inval_entry(se, what->ino, (const char *)what->name.p, what->name.n);
    else
        fuse_lowlevel_notify_inval_inode(se, what->ino, 0, 0);
}

void notify_start(struct space *space, struct fuse_session *se)
{
    space_on_inval(space, invalidate, se);
}

void notify_stop(struct space *space)
{
    space_on_inval(space, NULL, NULL);
}
