/* persist show: the bytes of an old version. */
#include "sync/cli/commands.h"
#include "sync/cli/versioned.h"

static const struct args_option options[] = {{0}};

static int run(const struct args *a)
{
    struct versioned v = VERSIONED_INIT;
    int status = versioned_open(&v, args_plain(a, 0));
    if (status == VERB_OK) {
        struct verb_call call = {
            .verb = "show",
            .args = {(const char *)v.target.path.p, v.version},
            .args_n = 2,
        };
        status = session_command(&v.session, v.target.space, &call);
    }
    versioned_fini(&v);
    return status;
}

const struct command command_show = {
    .name = "show",
    .arguments = "PATH@VERSION",
    .summary = "write an old version of a file to stdout",
    .help = "VERSION as 'persist log' lists it.\n"
            "\n"
            "Example:\n"
            "  persist show ~/Notes/todo.md@3 > old.md\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
