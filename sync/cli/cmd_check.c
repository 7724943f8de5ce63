/* persist check: verifies everything that is stored. */
#include "fs/space/verb.h"
#include "sync/cli/commands.h"

enum { OPT_REPAIR, OPT_JSON };
static const struct args_option options[] = {{.long_name = "repair"}, {.long_name = "json"}, {0}};

static int run(const struct args *a)
{
    struct verb_call call = {
        .verb = "check",
        .repair = args_count(a, OPT_REPAIR) > 0,
        .json = args_count(a, OPT_JSON) > 0,
    };
    return commands_on_folder(args_plain(a, 0), false, &call);
}

const struct command command_check = {
    .name = "check",
    .arguments = "[FOLDER] [--repair] [--json]",
    .summary = "verify every record and chunk against its hash",
    .help =
        "  --repair   mend what can be mended: rebuild what can be derived, set aside what cannot\n"
        "  --json     one JSON document\n"
        "\n"
        "Example:\n"
        "  persist check ~/Notes\n",
    .options = options,
    .plain_max = 1,
    .run = run,
};
