/* persist token: what devices show to a server. */
#include <string.h>

#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/server_data.h"

enum { OPT_USER, OPT_LABEL, OPT_DATA, OPT_JSON };
static const struct args_option options[] = {
    {.long_name = "user", .has_value = true},
    {.long_name = "label", .has_value = true},
    {.long_name = "data", .has_value = true},
    {.long_name = "json"},
    {0},
};

/* Fills in what the words say; VERB_OK, or the status after an error line. */
static int read_words(const struct args *a, Persist__AdminRequest *r)
{
    const char *word = args_plain(a, 0);
    const char *id = args_plain(a, 1);
    const char *user = args_value(a, OPT_USER, 0);
    const char *label = args_value(a, OPT_LABEL, 0);
    bool creates = strcmp(word, "create") == 0;
    bool lists = strcmp(word, "list") == 0;
    if (!creates && !lists && strcmp(word, "revoke") != 0) {
        char shown[64];
        return fail(VERB_USAGE, "token: '%s' is none of create, list, revoke",
                    escape_to(shown, sizeof shown, bytes_str(word)));
    }
    if (creates && (user == NULL || label == NULL))
        return fail(VERB_USAGE, "token: create needs --user USER and --label LABEL");
    if (!creates && !lists && id == NULL)
        return fail(VERB_USAGE, "token: which one? 'persist token list' shows the ids");
    if ((creates || lists ? id : user) != NULL || (!creates && label != NULL))
        return fail(VERB_USAGE, "token: too many arguments for %s", word);
    r->verb = creates ? PERSIST__ADMIN_VERB__ADMIN_TOKEN_CREATE
              : lists ? PERSIST__ADMIN_VERB__ADMIN_TOKEN_LIST
                      : PERSIST__ADMIN_VERB__ADMIN_TOKEN_REVOKE;
    const char *name = creates || lists ? user : id;
    if (name != NULL)
        r->name = server_data_text(name);
    if (label != NULL)
        r->label = server_data_text(label);
    return VERB_OK;
}

static int run(const struct args *a)
{
    Persist__AdminRequest r;
    persist__admin_request__init(&r);
    int status = read_words(a, &r);
    if (status != VERB_OK)
        return status;
    r.json = args_count(a, OPT_JSON) > 0;
    return server_data_call(args_value(a, OPT_DATA, 0), &r);
}

const struct command command_token = {
    .name = "token",
    .arguments = "create --user USER --label LABEL | list [--user USER] | revoke ID",
    .summary = "what devices show to a server: make, list, revoke",
    .help = "A token is printed once; the server keeps only its hash. It belongs to the first\n"
            "device that uses it. revoke cuts its connections at once.\n"
            "  --data DIR  the server's data; else $PERSIST_HOME/server. The server may run.\n"
            "  --json      one JSON document\n"
            "\n"
            "Example:\n"
            "  persist token create --user alice --label laptop\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 2,
    .run = run,
};
