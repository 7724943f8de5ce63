/* persist sync: brings a folder up to date now. */
#include <errno.h>
#include <stdlib.h>

#include "fs/space/verb.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/session.h"
#include "sync/cli/sync_ensure.h"

enum { OPT_WAIT, OPT_TIMEOUT };
static const struct args_option options[] = {
    {.long_name = "wait"}, {.long_name = "timeout", .has_value = true}, {0}};

/* Of a folder that is not mounted the verb tells. */
static int start_process(const struct session *s, const struct space_entry *e, struct err *err)
{
    pid_t pid;
    int rc = session_owner(s, e, &pid, err);
    return rc == 1 ? sync_ensure(&s->home, s->run_fd, err) : rc;
}

static bool is_seconds(const char *text)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    return errno == 0 && text[0] >= '1' && text[0] <= '9' && *end == '\0' &&
           n <= VERB_SYNC_SECONDS_MAX;
}

static int run(const struct args *a)
{
    struct verb_call call = {.verb = "sync"};
    const char *seconds = args_value(a, OPT_TIMEOUT, 0);
    if (args_count(a, OPT_WAIT) > 0)
        call.args[call.args_n++] = "wait";
    if (seconds != NULL && (call.args_n == 0 || !is_seconds(seconds)))
        return fail(VERB_USAGE, "sync: --timeout takes seconds, from 1 to %d (a year), with --wait",
                    VERB_SYNC_SECONDS_MAX);
    if (seconds != NULL)
        call.args[call.args_n++] = seconds;
    return commands_on_folder_after(start_process, args_plain(a, 0), &call);
}

const struct command command_sync = {
    .name = "sync",
    .arguments = "[FOLDER] [--wait [--timeout SECONDS]]",
    .summary = "send and receive everything now",
    .help =
        "  --wait              return when every server that is reached has all of it on disk, "
        "all\n"
        "                      that they have is here, and each device that is online has\n"
        "                      acknowledged what this one had. One that is offline, or goes, is\n"
        "                      not waited for; 'persist status' says which hold the same\n"
        "  --timeout SECONDS   wait no longer than that (a day unless given), then exit with 5\n"
        "\n"
        "Example:\n"
        "  persist sync --wait ~/Notes\n",
    .options = options,
    .plain_max = 1,
    .run = run,
};
