/* persist log: the versions of a path. */
#include "fs/space/verb.h"
#include "sync/cli/commands.h"

static int run(const struct args *a)
{
    struct verb_call call = {.verb = "log", .json = args_count(a, COMMANDS_JSON) > 0};
    return commands_on_folder(args_plain(a, 0), true, &call);
}

const struct command command_log = {
    .name = "log",
    .arguments = "PATH [--json]",
    .summary = "list the versions of a file, newest first",
    .help = "PATH may be one that was deleted.\n"
            "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist log ~/Notes/todo.md\n",
    .options = commands_json_only,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
