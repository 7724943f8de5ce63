#include "sync/cli/stored_links.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/space/sync.h"
#include "sync/cli/remote.h"
#include "sync/links/remotes.h"

static int tell(struct space *space, const struct remote *r, struct err *err)
{
    struct sync_link l = {.state = SYNC_LINK_UNMOUNTED, .interval_s = r->interval_s};
    snprintf(l.url, sizeof l.url, "%s", r->url);
    l.remote = space_sync_remote_id(l.url);
    int rc = space_sync_set_link(space, &l);
    return rc < 0 ? err_set(err, rc, "its servers: %s", strerror(-rc)) : 0;
}

int stored_links_tell(const struct session *s, const struct space_entry *e, struct space *space,
                      struct err *err)
{
    uint8_t id[SPACE_ID_SIZE];
    struct remotes *all = NULL;
    int fd;
    int rc = home_dir(&s->home, "sync", false, &fd, err);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = remotes_open(fd, &all, err);
    remote_space_id(e, id);
    for (size_t i = 0; rc == 0 && i < remotes_n(all); i++)
        if (memcmp(remotes_at(all, i)->space, id, sizeof id) == 0)
            rc = tell(space, remotes_at(all, i), err);
    remotes_free(all);
    close(fd);
    return rc;
}
