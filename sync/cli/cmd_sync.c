/* persist sync: brings a folder up to date now. */
#include "fs/space/verb.h"
#include "sync/cli/commands.h"
#include "sync/cli/session.h"
#include "sync/cli/sync_ensure.h"

enum { OPT_WAIT };
static const struct args_option options[] = {{.long_name = "wait"}, {0}};

/* Of a folder that is not mounted the verb tells. */
static int start_process(const struct session *s, const struct space_entry *e, struct err *err)
{
    pid_t pid;
    int rc = session_owner(s, e, &pid, err);
    return rc == 1 ? sync_ensure(&s->home, s->run_fd, err) : rc;
}

static int run(const struct args *a)
{
    struct verb_call call = {.verb = "sync"};
    if (args_count(a, OPT_WAIT) > 0)
        call.args[call.args_n++] = "wait";
    return commands_on_folder_after(start_process, args_plain(a, 0), &call);
}

const struct command command_sync = {
    .name = "sync",
    .arguments = "[FOLDER] [--wait]",
    .summary = "send and receive everything now",
    .help = "  --wait     return when every server that is reached has all of it on disk, and all "
            "that\n"
            "             they have is here. Other devices are not waited for: nobody knows which\n"
            "             are on; 'persist status' says which of them hold the same\n"
            "\n"
            "Example:\n"
            "  persist sync --wait ~/Notes\n",
    .options = options,
    .plain_max = 1,
    .run = run,
};
