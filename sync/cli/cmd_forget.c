/* persist forget: deletes what this device has of a space. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/space/space.h"
#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/mounts.h"
#include "sync/cli/remote.h"
#include "sync/cli/session.h"

enum { OPT_YES };
static const struct args_option options[] = {{.short_name = 'y', .long_name = "yes"}, {0}};

/* Whether nothing uses the space; else the error line was written. */
static bool is_idle(const struct session *s, const struct space_entry *e, const char *shown)
{
    struct err err = {0};
    pid_t pid;
    int owned = session_owner(s, e, &pid, &err);
    int mounted = owned < 0 ? owned : mounts_at(e->folder, &err);
    if (owned < 0 || mounted < 0) {
        (void)fail_err(&err);
        return false;
    }
    if (owned == 1 || mounted == 2) {
        (void)fail(VERB_FAILED, "%s: is mounted; 'persist unmount' it first", shown);
        return false;
    }
    char *dir = e->fresh ? NULL : spaces_dir(&s->home, e);
    if (dir == NULL)
        return e->fresh;
    /* A command that works on the database keeps it; a damaged one can be forgotten. */
    struct space *space = NULL;
    int rc = space_open(&(struct space_config){.dir = dir, .label = ""}, &space, &err);
    space_close(space);
    free(dir);
    if (rc == -EBUSY)
        (void)fail_err(&err);
    return rc != -EBUSY;
}

/* While this one asked, or waited for the lock, another one may have been faster. */
static int still_there(const struct session *s, const struct space_entry *e, const char *shown)
{
    char dir[SPACE_ID_TEXT_SIZE + 16];
    struct err err = {0};
    snprintf(dir, sizeof dir, "spaces/%s", e->id);
    if (faccessat(s->home.fd, dir, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(VERB_NOT_FOUND,
                    "%s: another command has forgotten it meanwhile; nothing is left to be done",
                    shown);
    if (spaces_still_at(&s->home, e, &err) == 0)
        return VERB_OK;
    (void)err_wrap(&err, err.code, "%s", shown);
    return fail_err(&err);
}

static int confirm(const char *shown)
{
    if (!isatty(STDIN_FILENO))
        return fail(VERB_USAGE, "forget: asks on a terminal only; use --yes");
    fprintf(stderr,
            "All files of %s and their history are deleted from this device.\n"
            "What no other device or server has is lost. Go on? [y/N] ",
            shown);
    fflush(stderr);
    char answer[16] = "";
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return fail(VERB_FAILED, "forget: nothing was deleted");
    return VERB_OK;
}

static int run(const struct args *a)
{
    struct session s = SESSION_INIT;
    struct target t = {.space = NULL};
    struct err err = {0};
    int lock_fd = -1;
    int status = VERB_FAILED;
    int rc = session_open(&s, false, &err);
    if (rc == 0)
        rc = target_find(&s.spaces, args_plain(a, 0), true, &t, &err);
    if (rc < 0) {
        status = fail_err(&err);
    } else {
        char shown[200];
        escape_to(shown, sizeof shown, bytes_str(t.space->folder));
        /* Elsewhere any path below does; what deletes takes the folder itself only. */
        if (t.path.p[0] != '\0')
            status = fail(VERB_USAGE, "forget: this lies in %s; name that folder", shown);
        else
            status = args_count(a, OPT_YES) > 0 ? VERB_OK : confirm(shown);
        if (status == VERB_OK && home_lock(&s.home, &lock_fd, &err) < 0)
            status = fail_err(&err);
        if (status == VERB_OK) {
            spaces_sweep(&s.home);
            status = still_there(&s, t.space, shown);
        }
        if (status == VERB_OK && !is_idle(&s, t.space, shown))
            status = VERB_FAILED;
        if (status == VERB_OK && remote_remove_all(&s, t.space, &err) < 0)
            status = fail_err(&err);
        if (status == VERB_OK && spaces_remove(&s.home, t.space, &err) < 0)
            status = fail_err(&err);
    }
    if (lock_fd >= 0)
        close(lock_fd);
    target_fini(&t);
    session_fini(&s);
    return status;
}

const struct command command_forget = {
    .name = "forget",
    .arguments = "FOLDER [--yes]",
    .summary = "leave the space and delete its local state",
    .help = "Deletes the files and their history from this device; asks before.\n"
            "  --yes      do not ask\n"
            "\n"
            "Example:\n"
            "  persist forget ~/Notes\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
