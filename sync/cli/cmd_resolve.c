/* persist resolve: ends the conflict of a file. */
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/session.h"

enum { OPT_KEEP, OPT_JSON };
static const struct args_option options[] = {
    {.long_name = "keep", .has_value = true},
    {.long_name = "json"},
    {0},
};

static int run(const struct args *a)
{
    struct session s = SESSION_INIT;
    struct target t = {.space = NULL};
    struct err err = {0};
    const char *keep = args_value(a, OPT_KEEP, 0);
    if (keep == NULL)
        return fail(VERB_USAGE, "resolve: say which version is kept: --keep this, other or both");
    int rc = session_open(&s, false, &err);
    if (rc == 0)
        rc = target_find(&s.spaces, args_plain(a, 0), false, &t, &err);
    struct verb_call call = {.verb = "resolve", .json = args_count(a, OPT_JSON) > 0, .args_n = 2};
    call.args[1] = keep;
    if (rc == 0)
        call.args[0] = (const char *)t.path.p;
    int status = rc < 0 ? fail_err(&err) : session_command(&s, t.space, &call);
    target_fini(&t);
    session_fini(&s);
    return status;
}

const struct command command_resolve = {
    .name = "resolve",
    .arguments = "FILE --keep this|other|both [--json]",
    .summary = "end the conflict of a file, on all devices",
    .help = "FILE is the file, or one of the versions beside it: 'this' is what has the name that\n"
            "you gave. What is not kept stays in the history.\n"
            "  --keep this|other|both\n"
            "  --json     one JSON document\n"
            "\n"
            "Examples:\n"
            "  persist resolve ~/Notes/todo.md --keep this\n"
            "  persist resolve '~/Notes/todo (conflict from laptop 2026-11-22 14.03.05).md' --keep "
            "this\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 1,
    .run = run,
};
