#include "sync/cli/commands.h"

#include <errno.h>

#include "sync/cli/fail.h"
#include "sync/cli/session.h"

const struct command *const commands[] = {
    &command_mount,   &command_unmount,   &command_status,
    &command_sync,    &command_log,       &command_show,
    &command_restore, &command_conflicts, &command_resolve,
    &command_export,  &command_check,     &command_gc,
    &command_driver,  &command_forget,    &command_remote,
    &command_clone,   &command_pair,      &command_peers,
    &command_peer,    &command_revoke,    &command_daemon,
    &command_p2p,     &command_serve,     &command_user,
    &command_token,   &command_id,        NULL,
};

const struct args_option commands_json_only[] = {{.long_name = "json"}, {0}};

typedef int before_fn(const struct session *s, const struct space_entry *e, struct err *err);

static int run_on_folder(before_fn *before, const char *folder, bool with_path,
                         struct verb_call *call)
{
    struct session s = SESSION_INIT;
    struct target t = {.space = NULL};
    struct err err = {0};
    int status = VERB_FAILED;
    int rc = session_open(&s, false, &err);
    if (rc == 0)
        rc = folder != NULL ? target_find(&s.spaces, folder, !with_path, &t, &err)
                            : target_default(&s.spaces, &t, &err);
    bool found = rc == 0;
    if (found && before != NULL)
        rc = before(&s, t.space, &err);
    if (rc == -EINVAL && folder == NULL && !found) {
        status = fail(VERB_USAGE, "%s", err.msg);
    } else if (rc < 0) {
        status = fail_err(&err);
    } else {
        if (with_path)
            call->args[call->args_n++] = (const char *)t.path.p;
        status = session_command(&s, t.space, call);
    }
    target_fini(&t);
    session_fini(&s);
    return status;
}

int commands_on_folder(const char *folder, bool with_path, struct verb_call *call)
{
    return run_on_folder(NULL, folder, with_path, call);
}

int commands_on_folder_after(before_fn *before, const char *folder, struct verb_call *call)
{
    return run_on_folder(before, folder, false, call);
}
