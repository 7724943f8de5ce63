/* persist gc: gives back the room of what no kept version needs. */
#include "fs/space/verb.h"
#include "sync/cli/commands.h"

static int run(const struct args *a)
{
    struct verb_call call = {.verb = "gc", .json = args_count(a, COMMANDS_JSON) > 0};
    return commands_on_folder(args_plain(a, 0), false, &call);
}

const struct command command_gc = {
    .name = "gc",
    .arguments = "[FOLDER] [--json]",
    .summary = "free the room of versions that are no longer kept",
    .help = "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist gc ~/Notes\n",
    .options = commands_json_only,
    .plain_max = 1,
    .run = run,
};
