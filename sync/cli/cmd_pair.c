/* persist pair: lets a device in by a short code, or is let in. */
#include <sodium.h>
#include <sys/stat.h>

#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/pair_sides.h"

static const struct args_option options[] = {
    [PAIR_OPT_LABEL] = {.long_name = "label", .has_value = true},
    [PAIR_OPT_EXPIRES] = {.long_name = "expires", .has_value = true},
    [PAIR_OPT_PEER] = {.long_name = "peer", .has_value = true},
    [PAIR_OPT_NAME] = {.long_name = "name", .has_value = true},
    {0},
};

/* A code, or the path of a folder; one that is both is meant as a code. */
static int run(const struct args *a)
{
    struct pair_code code;
    struct err err = {0};
    struct stat st;
    const char *first = args_plain(a, 0);
    if (first == NULL)
        return pair_invite(a);
    if (pair_code_parse(bytes_str(first), &code, &err) == 0)
        return pair_join(a, &code);
    if (lstat(first, &st) < 0)
        return fail(VERB_USAGE, "pair: this is neither a code nor a folder: %s", err.msg);
    return pair_invite(a);
}

const struct command command_pair = {
    .name = "pair",
    .arguments = "[FOLDER...] | CODE [FOLDER] [OPTIONS]",
    .summary = "let a device in by a short code, or be let in",
    .help =
        "Without a code: makes one, shows it, waits, and says who was let in. With the code, on\n"
        "the other device: takes the folders over, and mounts them; FOLDER is an empty directory\n"
        "or none yet, and of several folders the one they come to stand in.\n"
        "  --label LABEL      what the other device calls this one; else its own label\n"
        "  --expires SECONDS  how long the code is good for: 300 unless given\n"
        "  --peer ADDRESS     with a code: where the other device is, as it shows it, when the "
        "two\n"
        "                     are not on one local network\n"
        "  --name NAME        with a code: the folder's name on this device\n"
        "\n"
        "Example:\n"
        "  persist pair ~/Notes             # shows KXNR-7842\n"
        "  persist pair KXNR-7842 ~/Notes   # on the other device\n",
    .options = options,
    .plain_max = 32,
    .run = run,
};
