/* persist user: the accounts of a server. */
#include <string.h>

#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/server_data.h"

enum { OPT_DATA, OPT_JSON };
static const struct args_option options[] = {
    {.long_name = "data", .has_value = true},
    {.long_name = "json"},
    {0},
};

static int run(const struct args *a)
{
    static const struct {
        const char *word;
        Persist__AdminVerb verb;
        bool has_name;
    } words[] = {
        {"add", PERSIST__ADMIN_VERB__ADMIN_USER_ADD, true},
        {"list", PERSIST__ADMIN_VERB__ADMIN_USER_LIST, false},
        {"remove", PERSIST__ADMIN_VERB__ADMIN_USER_REMOVE, true},
    };
    const char *word = args_plain(a, 0);
    const char *name = args_plain(a, 1);
    for (size_t i = 0; i < ARRAY_N(words); i++) {
        if (strcmp(word, words[i].word) != 0)
            continue;
        if (words[i].has_name != (name != NULL))
            return fail(VERB_USAGE, "user: %s",
                        name == NULL ? "which one? Give a name" : "list takes no name");
        Persist__AdminRequest r;
        persist__admin_request__init(&r);
        r.verb = words[i].verb;
        if (name != NULL)
            r.name = server_data_text(name);
        r.json = args_count(a, OPT_JSON) > 0;
        return server_data_call(args_value(a, OPT_DATA, 0), &r);
    }
    char shown[64];
    return fail(VERB_USAGE, "user: '%s' is none of add, list, remove",
                escape_to(shown, sizeof shown, bytes_str(word)));
}

const struct command command_user = {
    .name = "user",
    .arguments = "add|list|remove [USER] [--data DIR] [--json]",
    .summary = "the accounts of a server",
    .help = "USER is 1 to 64 of a-z 0-9 . _ -. remove deletes all that the account stores,\n"
            "but not its mirror. list says, too, what mirrors have set aside.\n"
            "  --data DIR  the server's data; else $PERSIST_HOME/server. The server may run.\n"
            "  --json      one JSON document\n"
            "\n"
            "Example:\n"
            "  persist user add alice\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 2,
    .run = run,
};
