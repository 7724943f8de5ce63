#include "sync/cli/mount_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "fs/mount/mount.h"
#include "fs/mount/watch.h"
#include "fs/space/import.h"
#include "fs/space/space.h"
#include "proto/base/escape.h"
#include "proto/base/log.h"
#include "sync/cli/confine.h"
#include "sync/cli/mount_import.h"
#include "sync/cli/mounts.h"
#include "sync/cli/runfile.h"
#include "sync/cli/starter.h"
#include "sync/cli/stored_links.h"
#include "sync/cli/sync_keeper.h"
#include "sync/engine/engine.h"
#include "sync/state/statefile.h"

enum { ENDING_TRIES = 500, ENDING_TRY_MS = 20 };

struct state {
    const struct mount_process *m;
    struct space_member member;
    struct space *space;
    struct watch *watch;
    struct starter *starter;
    struct control_server *server;
    struct sync_keeper *keeper;
    struct engine *engine;
    int run_file; /* -1: not taken */
    int claim;    /* of the directory that is mounted on, until it is; -1: none */
    bool usable;
};

/* A space that was never opened: what an interrupted first start left is of no value. */
static int clear_fresh(const struct mount_process *m, struct err *err)
{
    char path[64];
    int rc = 0;
    static const char *const parts[] = {"db", "staging"};
    for (size_t i = 0; rc == 0 && i < ARRAY_N(parts); i++) {
        snprintf(path, sizeof path, "spaces/%s/%s", m->space->id, parts[i]);
        rc = statefile_remove_tree(m->session->home.fd, path, err);
    }
    return rc;
}

static int open_space(struct state *st, struct err *err)
{
    const struct mount_process *m = st->m;
    int rc = m->space->fresh ? clear_fresh(m, err) : 0;
    if (rc < 0)
        return rc;
    char *dir = spaces_dir(&m->session->home, m->space);
    if (dir == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    struct space_config config = {
        .dir = dir, .create = m->space->fresh, .label = m->identity->label, .member = &st->member};
    rc = identity_member(&m->session->home, m->identity, &st->member, err);
    if (rc == 0)
        rc = space_open(&config, &st->space, err);
    free(dir);
    if (rc == 0)
        rc = spaces_still_at(&m->session->home, m->space, err);
    return rc < 0 ? rc : spaces_mark_used(&m->session->home, m->space, err);
}

static int import(struct state *st, struct err *err)
{
    const char *folder = st->m->space->folder;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno, "import: %s", strerror(errno));
    int rc = space_import(st->space, fd, st->m->out, err);
    close(fd);
    struct buf sibling = {0};
    if (rc == 0)
        rc = mount_import_move(folder, &sibling, err);
    if (rc == 0) {
        struct buf text = {0};
        buf_put_bytes(&text, bytes_str("imported; the originals are in "));
        escape_put(&text, bytes_str((const char *)sibling.p));
        buf_put_bytes(&text, bytes_str("\n"));
        /* Who started it has gone: the folder is mounted all the same. */
        (void)!out_buf(st->m->out, &text);
        buf_fini(&text);
    }
    buf_fini(&sibling);
    return rc;
}

/* The sessions, and who starts the sync process for them when it dies. */
static int start_sync(struct state *st, struct err *err)
{
    const struct session *s = st->m->session;
    CLEANUP(buf_fini) struct buf links = {0};
    struct err why = {0};
    if (stored_links(&s->home, st->m->space, &links, &why) < 0)
        log_warn("mount: %s", why.msg); /* the sync process does not start either, and says why */
    struct sync_keeper_config keeper = {.home = &s->home,
                                        .run_fd = s->run_fd,
                                        .starter = st->starter,
                                        .space = st->space,
                                        .why = st->m->sync_error};
    int rc = sync_keeper_start(&keeper, &st->keeper, err);
    if (rc < 0)
        return rc;
    struct engine_config cfg = {.space = st->space,
                                .run_fd = s->run_fd,
                                .links = buf_bytes(&links),
                                .attached = sync_keeper_tell,
                                .arg = st->keeper};
    rc = engine_start(&cfg, &st->engine, err);
    return rc == -ENOTCONN ? 0 : rc;
}

static int start_server(struct state *st, struct err *err)
{
    char name[RUNFILE_NAME_SIZE];
    const struct space_entry *e = st->m->space;
    struct control_server_config config = {
        .dir_fd = st->m->session->run_fd,
        .name = runfile_name(e, ".sock", name),
        .space = st->space,
        .folder = e->folder,
        .space_name = e->name,
        .find = verb_find,
    };
    return control_server_start(&config, &st->server, err);
}

/*
 * The directory is this process's to mount on: another one, of any user or state directory, that
 * has looked at it as well, does not lay its folder over this one's.
 */
static int claim(struct state *st, struct err *err)
{
    const char *folder = st->m->space->folder;
    st->claim = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (st->claim < 0)
        return err_set(err, -errno, "%s", strerror(errno));
    if (flock(st->claim, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, -EBUSY, "another program has locked it, or mounts a folder here")
                   : err_set(err, -errno, "locking it: %s", strerror(errno));
    int rc = mounts_at(folder, err);
    return rc == 2  ? err_set(err, -EBUSY, "is mounted already; choose another directory")
           : rc < 0 ? rc
                    : 0;
}

static void let_go(struct state *st)
{
    if (st->claim >= 0)
        close(st->claim);
    st->claim = -1;
}

/*
 * Confined only now: to mount a user needs fusermount3, which is setuid. And not later: what
 * follows reads frames that the sync process passes on.
 */
static int on_mounted(void *arg, struct err *err)
{
    struct state *st = arg;
    int rc = spaces_mark_mounted(&st->m->session->home, st->m->space, err);
    if (rc == 0)
        rc = confine_mount(err);
    return rc == 0 ? start_sync(st, err) : rc;
}

static void unmount(void *arg)
{
    struct state *st = arg;
    starter_unmount(st->starter);
}

static void on_ready(void *arg)
{
    struct state *st = arg;
    let_go(st);
    st->usable = true;
    log_info("mount: folder is usable name=%s folder=%s pid=%ld", st->m->space->name,
             st->m->space->folder, (long)getpid());
    if (st->m->report != NULL)
        (void)!control_out_exit(st->m->report, VERB_OK);
}

static int serve(struct state *st, struct err *err)
{
    struct mount_config config = {
        .space = st->space,
        .watch = st->watch,
        .folder = st->m->space->folder,
        .name = st->m->space->name,
        .options = st->m->options,
        .mounted = on_mounted,
        .ready = on_ready,
        .unmount = unmount,
        .arg = st,
    };
    return mount_serve(&config, err);
}

/* One that was killed, or unmounted by others, has its files a moment longer than its mount. */
static int take_runfile(struct state *st, struct err *err)
{
    const struct mount_process *m = st->m;
    const char *folder = m->space->folder;
    for (unsigned i = 0;; i++) {
        int rc = runfile_take(m->session->run_fd, m->space, &st->run_file, err);
        if (rc != -EBUSY || i == ENDING_TRIES)
            return rc;
        if (mounts_at(folder, NULL) == 2)
            return err_set(err, rc, "%s: is mounted already; 'persist status' shows it", folder);
        nanosleep(&(struct timespec){.tv_nsec = ENDING_TRY_MS * 1000000L}, NULL);
    }
}

static int run(struct state *st, struct err *err)
{
    const struct mount_process *m = st->m;
    int rc = watch_start(confine_watch, &st->watch, err);
    if (rc == 0)
        rc = starter_start(&m->session->home, m->space->folder, &st->starter, err);
    if (rc == 0)
        rc = take_runfile(st, err);
    if (rc < 0)
        return rc;
    rc = open_space(st, err);
    if (rc == 0 && m->import)
        rc = import(st, err);
    if (rc == 0)
        rc = start_server(st, err);
    if (rc == 0)
        rc = claim(st, err);
    if (rc == 0)
        rc = serve(st, err);
    return rc < 0 ? err_wrap(err, rc, "%s", m->space->folder) : 0;
}

int mount_process_run(const struct mount_process *m)
{
    struct state st = {.m = m, .run_file = -1, .claim = -1};
    struct err err = {0};
    int rc = run(&st, &err);
    let_go(&st);
    engine_stop(st.engine);
    sync_keeper_stop(st.keeper);
    control_server_stop(st.server);
    space_close(st.space);
    space_member_fini(&st.member);
    watch_stop(st.watch);
    starter_stop(st.starter);
    if (st.run_file >= 0)
        runfile_release(m->session->run_fd, m->space, st.run_file);
    /* Wrong options are wrong usage; everything else as usual. */
    int status = rc == -EINVAL ? VERB_USAGE : verb_status_of(rc);
    if (st.usable) {
        if (rc < 0)
            log_error("mount: ended with an error: %s", err.msg);
        else
            log_info("mount: unmounted name=%s", m->space->name);
        return status;
    }
    /* Said last: who waits may start again at once. */
    if (rc < 0)
        out_error(m->out, "%s", err.msg);
    if (m->report != NULL)
        (void)!control_out_exit(m->report, status);
    return status;
}
