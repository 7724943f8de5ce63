/* persist export: a plain copy of a folder. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/mounts.h"
#include "sync/cli/process.h"
#include "sync/cli/session.h"

/* Makes the directory unless it is there; then it must be empty. */
static int prepare(const char *dir, bool *ret_made, struct err *err)
{
    char shown[200];
    escape_to(shown, sizeof shown, bytes_str(dir));
    *ret_made = mkdir(dir, 0700) == 0;
    if (*ret_made)
        return chmod(dir, 0777 & ~process_umask()) < 0
                   ? err_set(err, -errno, "%s: %s", shown, strerror(errno))
                   : 0;
    if (errno != EEXIST)
        return err_set(err, -errno, "%s: cannot be made: %s", shown, strerror(errno));
    DIR *d = opendir(dir);
    if (d == NULL)
        return err_set(err, -errno, "%s: %s", shown, strerror(errno));
    int n = 0;
    while (n < 3 && readdir(d) != NULL)
        n++;
    closedir(d);
    if (n > 2)
        return err_set(err, -ENOTEMPTY, "%s: is not empty; export into a new directory", shown);
    return 0;
}

static int export_to(const struct session *s, const struct target *t, const char *dir, bool json)
{
    struct err err = {0};
    bool made;
    if (mounts_is_below(dir, t->space->folder) || mounts_is_below(dir, s->home.path))
        return fail(VERB_USAGE,
                    "export: the copy would lie in what is copied; choose another directory");
    if (prepare(dir, &made, &err) < 0)
        return fail_err(&err);
    struct verb_call call = {
        .verb = "export",
        .args = {(const char *)t->path.p, dir},
        .args_n = 2,
        .json = json,
    };
    int status = session_command(s, t->space, &call);
    /* Only what is still empty: a part of a copy may be all that can be had. */
    if (status != VERB_OK && made)
        (void)!rmdir(dir);
    return status;
}

static int run(const struct args *a)
{
    struct session s = SESSION_INIT;
    struct target t = {.space = NULL};
    struct buf dir = {0};
    struct err err = {0};
    int rc = session_open(&s, false, &err);
    if (rc == 0)
        rc = target_find(&s.spaces, args_plain(a, 0), false, &t, &err);
    if (rc == 0)
        rc = resolve_path(args_plain(a, 1), true, &dir, &err);
    int status = rc < 0 ? fail_err(&err)
                        : export_to(&s, &t, (const char *)dir.p, args_count(a, COMMANDS_JSON) > 0);
    buf_fini(&dir);
    target_fini(&t);
    session_fini(&s);
    return status;
}

const struct command command_export = {
    .name = "export",
    .arguments = "FOLDER DIR [--json]",
    .summary = "copy a folder to plain files, byte for byte, with times and modes",
    .help = "DIR is made; when it exists it must be empty.\n"
            "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist export ~/Notes /media/stick/notes\n",
    .options = commands_json_only,
    .plain_min = 2,
    .plain_max = 2,
    .run = run,
};
