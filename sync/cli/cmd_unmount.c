/* persist unmount: makes everything durable, takes the mount away, waits for its process to end. */
#include <errno.h>
#include <unistd.h>

#include "fs/mount/control.h"
#include "proto/base/escape.h"
#include "sync/cli/busy.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/mounts.h"
#include "sync/cli/process.h"
#include "sync/cli/session.h"
#include "sync/cli/term.h"

static const struct args_option options[] = {{0}};

enum { END_TIMEOUT_MS = 120 * 1000 };

/* VERB_OK also when the process cannot be asked: it makes all durable when it ends, too. */
static int ask_to_flush(const struct session *s, const struct space_entry *e)
{
    struct verb_call call = {.verb = "flush"};
    pid_t pid;
    int rc = session_owner(s, e, &pid, NULL);
    return rc == 1 ? session_command(s, e, &call) : VERB_OK;
}

static int say_busy(const char *folder)
{
    char shown[200];
    struct buf who = {0};
    size_t n = busy_list(folder, &who);
    buf_put_u8(&who, 0);
    escape_to(shown, sizeof shown, bytes_str(folder));
    int status =
        n > 0 && buf_status(&who) == 0
            ? fail(VERB_FAILED, "%s: in use by %s; close it and try again", shown,
                   (const char *)who.p)
            : fail(VERB_FAILED, "%s: in use by a process of another user; close it and try again",
                   shown);
    buf_fini(&who);
    return status;
}

/* Takes the mount away, if the kernel has one there. @own: a process of this state directory has
 * it; one of another is left alone, and only a mount that has no process any more taken away. */
static int take_away(const char *folder, bool own)
{
    struct err err = {0};
    struct stat st;
    char shown[200];
    int rc = mounts_at(folder, &err);
    if (rc < 0)
        return fail_err(&err);
    if (rc != 2)
        return VERB_OK;
    if (!own && mounts_stat(folder, &st) != -ENOTCONN)
        return fail(VERB_NOT_ALLOWED,
                    "%s: is mounted by a process of another state directory; unmount it as the "
                    "user, and with the PERSIST_HOME, that it was mounted with",
                    escape_to(shown, sizeof shown, bytes_str(folder)));
    rc = mounts_unmount(folder, !own, &err);
    if (rc == -EBUSY)
        return say_busy(folder);
    /* Somebody else was faster. */
    if (rc == -EINVAL)
        return VERB_OK;
    return rc < 0 ? fail_err(&err) : VERB_OK;
}

static int wait_for(const struct space_entry *e, pid_t pid)
{
    char shown[200];
    int rc = pid > 0 ? process_wait_gone(pid, END_TIMEOUT_MS) : 0;
    if (rc == -ETIMEDOUT)
        return fail(VERB_UNREACHABLE,
                    "%s: is unmounted, but process %ld is still writing; wait for it to end",
                    escape_to(shown, sizeof shown, bytes_str(e->folder)), (long)pid);
    return rc < 0 ? fail(VERB_FAILED, "process %ld: %s", (long)pid, strerror(-rc)) : VERB_OK;
}

static int unmount(const struct session *s, const struct space_entry *e)
{
    struct err err = {0};
    char shown[200];
    pid_t pid = 0;
    int owned = session_owner(s, e, &pid, &err);
    int mounted = owned < 0 ? owned : mounts_at(e->folder, &err);
    if (owned < 0 || mounted < 0)
        return fail_err(&err);
    if (owned == 0 && mounted != 2)
        return fail(VERB_FAILED, "%s: is not mounted",
                    escape_to(shown, sizeof shown, bytes_str(e->folder)));
    /* Without a mount it is ending already, and makes all durable by that. */
    int status = mounted == 2 ? ask_to_flush(s, e) : VERB_OK;
    /* This process must not be what holds the folder. */
    if (status == VERB_OK && chdir("/") < 0)
        status = fail(VERB_FAILED, "/: %s", strerror(errno));
    if (status == VERB_OK)
        status = take_away(e->folder, owned == 1);
    if (status == VERB_OK)
        status = wait_for(e, pid);
    return status;
}

/* A persist mount that this state directory knows nothing about. */
static int unmount_foreign(const char *path)
{
    struct buf folder = {0};
    struct err err = {0};
    int status;
    int rc = resolve_path(path, true, &folder, &err);
    if (rc == 0)
        rc = mounts_at((const char *)folder.p, &err);
    if (rc < 0) {
        status = fail_err(&err);
    } else if (rc != 2) {
        char shown[200];
        status = fail(VERB_NOT_FOUND, "%s: is no persist folder; 'persist status' lists them",
                      escape_to(shown, sizeof shown, bytes_str(path)));
    } else {
        status = take_away((const char *)folder.p, false);
    }
    buf_fini(&folder);
    return status;
}

static int run(const struct args *a)
{
    struct session s = SESSION_INIT;
    struct target t = {.space = NULL};
    struct err err = {0};
    const char *path = args_plain(a, 0);
    int status;
    int rc = session_open(&s, false, &err);
    if (rc == 0)
        rc = target_find(&s.spaces, path, true, &t, &err);
    if (rc == -ENOENT)
        status = unmount_foreign(path);
    else
        status = rc < 0 ? fail_err(&err) : unmount(&s, t.space);
    target_fini(&t);
    session_fini(&s);
    return status;
}

const struct command command_unmount = {
    .name = "unmount",
    .arguments = "FOLDER",
    .summary = "make everything durable and unmount",
    .help =
        "Returns when the mount process has ended. While a program has files open there it fails\n"
        "and says which.\n"
        "\n"
        "Example:\n"
        "  persist unmount ~/Notes\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
