/* persist peers, persist peer show: the devices of a folder. */
#include <string.h>

#include "fs/space/verb.h"
#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"

enum { OPT_JSON, OPT_ALL };
static const struct args_option options[] = {{.long_name = "json"}, {.long_name = "all"}, {0}};

static int run_list(const struct args *a)
{
    struct verb_call call = {.verb = "peers", .json = args_count(a, OPT_JSON) > 0};
    if (args_count(a, OPT_ALL) > 0)
        call.args[call.args_n++] = "all";
    return commands_on_folder(args_plain(a, 0), false, &call);
}

const struct command command_peers = {
    .name = "peers",
    .arguments = "[FOLDER] [--all] [--json]",
    .summary = "list the devices of a folder",
    .help = "Label, role, online or offline as the server says, how far it is behind this one,\n"
            "and when it was last heard of.\n"
            "  --all      those that were put out, too\n"
            "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist peers ~/Notes\n",
    .options = options,
    .plain_max = 1,
    .run = run_list,
};

static int run_one(const struct args *a)
{
    char shown[64];
    struct verb_call call = {.verb = "peer", .json = args_count(a, COMMANDS_JSON) > 0};
    if (strcmp(args_plain(a, 0), "show") != 0)
        return fail(VERB_USAGE, "peer: '%s' is not show; see 'persist peer --help'",
                    escape_to(shown, sizeof shown, bytes_str(args_plain(a, 0))));
    call.args[call.args_n++] = args_plain(a, 1);
    return commands_on_folder(args_plain(a, 2), false, &call);
}

const struct command command_peer = {
    .name = "peer",
    .arguments = "show PEER [FOLDER] [--json]",
    .summary = "show the keys of a device, and who let it in",
    .help = "PEER is a label, or any part of a PeerId that no other device has.\n"
            "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist peer show desk\n",
    .options = commands_json_only,
    .plain_min = 2,
    .plain_max = 3,
    .run = run_one,
};
