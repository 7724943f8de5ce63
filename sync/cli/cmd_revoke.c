/* persist revoke: puts a device out of a folder. */
#include <stdio.h>
#include <unistd.h>

#include "fs/space/verb.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"

enum { OPT_YES, OPT_JSON };
static const struct args_option options[] = {
    {.short_name = 'y', .long_name = "yes"}, {.long_name = "json"}, {0}};

/* Shows which device it is, and asks. */
static int confirm(const struct args *a)
{
    struct verb_call call = {.verb = "revoke", .args = {args_plain(a, 0), "look"}, .args_n = 2};
    char answer[16] = "";
    if (!isatty(STDIN_FILENO))
        return fail(VERB_USAGE, "revoke: asks on a terminal only; use --yes");
    int status = commands_on_folder(args_plain(a, 1), false, &call);
    if (status != VERB_OK)
        return status;
    fprintf(stderr, "It keeps what it has, and gets nothing more; there is no way back but to let "
                    "it in anew.\nGo on? [y/N] ");
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return fail(VERB_FAILED, "revoke: nothing was done");
    return VERB_OK;
}

static int run(const struct args *a)
{
    struct verb_call call = {.verb = "revoke",
                             .args = {args_plain(a, 0)},
                             .args_n = 1,
                             .json = args_count(a, OPT_JSON) > 0};
    int status = args_count(a, OPT_YES) > 0 ? VERB_OK : confirm(a);
    return status != VERB_OK ? status : commands_on_folder(args_plain(a, 1), false, &call);
}

const struct command command_revoke = {
    .name = "revoke",
    .arguments = "PEER [FOLDER] [--yes] [--json]",
    .summary = "put a device out of a folder",
    .help =
        "PEER is a label, or any part of a PeerId that no other device has. It keeps what it\n"
        "has, and gets nothing more; its token dies on the servers of the folder. Asks before.\n"
        "  --yes      do not ask\n"
        "  --json     one JSON document: which servers know it\n"
        "\n"
        "Example:\n"
        "  persist revoke phone\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 2,
    .run = run,
};
