#include "sync/cli/session.h"

#include "proto/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/mount/control.h"
#include "fs/space/space.h"
#include "fs/space/sync.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/runfile.h"
#include "sync/cli/stored_links.h"
#include "sync/cli/term.h"

int session_open(struct session *s, bool create, struct err *err)
{
    int rc = home_open(&s->home, create, err);
    if (rc == -ENOENT && !create)
        return 0;
    if (rc == 0)
        rc = spaces_load(&s->home, &s->spaces, err);
    if (rc == 0)
        rc = home_dir(&s->home, "run", create, &s->run_fd, err);
    if (rc == -ENOENT && !create)
        rc = 0;
    if (rc < 0)
        session_fini(s);
    return rc;
}

int session_lock(struct session *s, int *ret_fd, struct err *err)
{
    int rc = home_lock(&s->home, ret_fd, err);
    if (rc < 0)
        return rc;
    spaces_sweep(&s->home);
    spaces_fini(&s->spaces);
    rc = spaces_load(&s->home, &s->spaces, err);
    if (rc < 0)
        close(*ret_fd);
    return rc;
}

void session_fini(struct session *s)
{
    spaces_fini(&s->spaces);
    home_fini(&s->home);
    if (s->run_fd >= 0)
        close(s->run_fd);
    *s = (struct session)SESSION_INIT;
}

int session_owner(const struct session *s, const struct space_entry *e, pid_t *ret_pid,
                  struct err *err)
{
    return s->run_fd < 0 ? 0 : runfile_owner(s->run_fd, e, ret_pid, err);
}

/* Tells @space of its stored remotes. */
static int tell_links(const struct session *s, const struct space_entry *e, struct space *space,
                      struct err *err)
{
    CLEANUP(buf_fini) struct buf links = {0};
    int rc = stored_links(&s->home, e, &links, err);
    for (size_t at = 0; rc == 0 && at < links.n; at += sizeof(struct sync_link)) {
        struct sync_link l;
        memcpy(&l, links.p + at, sizeof l);
        if (space_sync_set_link(space, &l) < 0)
            rc = err_set(err, -ENOMEM, "its servers: out of memory");
    }
    return rc;
}

/* On the database itself; another process that has it open shows as -EBUSY. */
static int run_here(const struct session *s, const struct space_entry *e,
                    const struct verb_call *call, struct out *out, int *ret_status, struct err *err)
{
    if (e->fresh)
        return err_set(err, -ENOENT, "%s: was never mounted; 'persist mount' it", e->folder);
    struct identity id;
    int rc = identity_load(&s->home, &id, err);
    if (rc < 0)
        return rc;
    char *dir = spaces_dir(&s->home, e);
    if (dir == NULL)
        return err_set(err, -ENOMEM, "%s: out of memory", e->folder);
    struct space_member member = {0};
    struct space_config config = {.dir = dir, .label = id.label, .member = &member};
    struct space *space = NULL;
    /* What went wrong is told once, by the command's own line. */
    log_set_level(LOG_LEVEL_NONE);
    rc = identity_member(&s->home, &id, &member, err);
    if (rc == 0)
        rc = space_open(&config, &space, err);
    free(dir);
    if (rc < 0) {
        space_member_fini(&member);
        return err_wrap(err, rc, "%s", e->folder);
    }
    const struct verb *v = verb_find(call->verb);
    if (v->servers)
        rc = tell_links(s, e, space, err);
    if (rc == 0)
        *ret_status = v->run(space, call, out);
    space_close(space);
    space_member_fini(&member);
    return rc < 0 ? err_wrap(err, rc, "%s", e->folder) : 0;
}

int session_run(const struct session *s, const struct space_entry *e, struct verb_call *call,
                struct out *out, int *ret_status, struct err *err)
{
    char name[RUNFILE_NAME_SIZE];
    int fd = -1;
    call->folder = e->folder;
    call->name = e->name;
    call->mounted = false;
    int rc = s->run_fd < 0
                 ? -ENOENT
                 : control_connect(s->run_fd, runfile_name(e, ".sock", name), &fd, NULL, err);
    if (rc == -ENOENT || rc == -ECONNREFUSED)
        return run_here(s, e, call, out, ret_status, err);
    if (rc < 0)
        return err_wrap(err, rc, "%s", e->folder);
    call->mounted = true;
    rc = control_call(fd, call, out, ret_status, err);
    close(fd);
    return rc < 0 ? err_wrap(err, rc, "%s", e->folder) : 0;
}

int session_command(const struct session *s, const struct space_entry *e, struct verb_call *call)
{
    struct err err = {0};
    struct term term;
    int status = VERB_FAILED;
    term_init(&term);
    term_describe(call);
    int rc = session_run(s, e, call, &term.out, &status, &err);
    if (rc < 0 && term.error == 0)
        status = fail_err(&err);
    return term_finish(&term, status);
}
