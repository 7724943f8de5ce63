#include "sync/cli/stored_links.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/space/sync.h"
#include "sync/cli/remote.h"
#include "sync/links/remotes.h"

static void put(const struct remote *r, struct buf *ret)
{
    struct sync_link l = {
        .state = SYNC_LINK_UNMOUNTED, .interval_s = r->interval_s, .managed = r->managed};
    snprintf(l.url, sizeof l.url, "%s", r->url);
    l.remote = space_sync_remote_id(l.url);
    buf_put(ret, &l, sizeof l);
}

int stored_links(const struct home *h, const struct space_entry *e, struct buf *ret,
                 struct err *err)
{
    uint8_t id[SPACE_ID_SIZE];
    struct remotes *all = NULL;
    int fd;
    int rc = home_dir(h, "sync", false, &fd, err);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = remotes_read(fd, &all, err);
    close(fd);
    if (rc < 0)
        return rc;
    remote_space_id(e, id);
    for (size_t i = 0; i < remotes_n(all); i++)
        if (memcmp(remotes_at(all, i)->space, id, sizeof id) == 0)
            put(remotes_at(all, i), ret);
    remotes_free(all);
    return buf_status(ret) < 0 ? err_set(err, -ENOMEM, "its servers: out of memory") : 0;
}
