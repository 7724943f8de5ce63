/* persist conflicts: lists the files of which two versions survive. */
#include "fs/space/verb.h"
#include "sync/cli/commands.h"

static int run(const struct args *a)
{
    struct verb_call call = {.verb = "conflicts", .json = args_count(a, COMMANDS_JSON) > 0};
    return commands_on_folder(args_plain(a, 0), true, &call);
}

const struct command command_conflicts = {
    .name = "conflicts",
    .arguments = "[FOLDER] [--json]",
    .summary = "list the conflicts of a folder",
    .help = "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist conflicts ~/Notes\n",
    .options = commands_json_only,
    .plain_max = 1,
    .run = run,
};
