/* persist user: the accounts of a server. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/escape.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/server_data.h"
#include "sync/server/accounts.h"

enum { OPT_DATA, OPT_JSON, OPT_QUOTA, OPT_QUOTA_ENTRIES };
static const struct args_option options[] = {
    {.long_name = "data", .has_value = true},
    {.long_name = "json"},
    {.long_name = "quota", .has_value = true},
    {.long_name = "quota-entries", .has_value = true},
    {0},
};

/* A number from 1 on; with @units, it may end in one. 0: it is none. */
static uint64_t number(const char *text, const char *units)
{
    char *end;
    if (text[0] < '1' || text[0] > '9')
        return 0;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    if (errno != 0 || (*end != '\0' && (unit == NULL || end[1] != '\0')))
        return 0;
    unsigned shift = unit == NULL ? 0 : 10 * (unsigned)(unit - units + 1);
    return v > UINT64_MAX >> shift ? 0 : (uint64_t)v << shift;
}

/* VERB_OK, or the status after an error line. */
static int read_quotas(const struct args *a, Persist__AdminRequest *r)
{
    const char *bytes = args_value(a, OPT_QUOTA, 0);
    const char *entries = args_value(a, OPT_QUOTA_ENTRIES, 0);
    bool is_quota = r->verb == PERSIST__ADMIN_VERB__ADMIN_USER_QUOTA, given = bytes || entries;
    if (given && !is_quota && r->verb != PERSIST__ADMIN_VERB__ADMIN_USER_ADD)
        return fail(VERB_USAGE, "user: a quota is given with add or quota");
    if (is_quota && !given)
        return fail(VERB_USAGE, "user: which quota? Give --quota or --quota-entries");
    if (bytes != NULL && (r->quota_bytes = number(bytes, "KMGT")) == 0)
        return fail(VERB_USAGE, "user: --quota takes bytes, as 5000000 or 200G");
    if (entries != NULL && (r->quota_entries = number(entries, "")) == 0)
        return fail(VERB_USAGE, "user: --quota-entries takes a number from 1 on");
    return VERB_OK;
}

static int run(const struct args *a)
{
    static const struct {
        const char *word;
        Persist__AdminVerb verb;
        bool has_name;
    } words[] = {
        {"add", PERSIST__ADMIN_VERB__ADMIN_USER_ADD, true},
        {"quota", PERSIST__ADMIN_VERB__ADMIN_USER_QUOTA, true},
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
        /* Before a store is made for it. */
        if (r.verb == PERSIST__ADMIN_VERB__ADMIN_USER_ADD && !srv_user_name_valid(name))
            return fail(VERB_USAGE,
                        "user: a name is 1 to %d of a-z, 0-9, '.', '_' and '-'; "
                        "choose another one",
                        USER_NAME_MAX);
        r.json = args_count(a, OPT_JSON) > 0;
        int status = read_quotas(a, &r);
        if (status != VERB_OK)
            return status;
        return server_data_call(args_value(a, OPT_DATA, 0), &r);
    }
    char shown[64];
    return fail(VERB_USAGE, "user: '%s' is none of add, quota, list, remove",
                escape_to(shown, sizeof shown, bytes_str(word)));
}

const struct command command_user = {
    .name = "user",
    .arguments = "add|quota USER [--quota BYTES] [--quota-entries N] | list | remove USER "
                 "[--data DIR] [--json]",
    .summary = "the accounts of a server",
    .help =
        "USER is 1 to 64 of a-z 0-9 . _ -. quota changes what is given, for what comes from\n"
        "then on. remove deletes all that the account stores, but not its mirror. list says,\n"
        "too, what mirrors have set aside.\n"
        "  --quota BYTES      what the account may store, in bytes or as 200G; 100G unless given\n"
        "  --quota-entries N  how many changes and files that is; 20000000 unless given\n"
        "  --data DIR         the server's data; else $PERSIST_HOME/server. The server may run.\n"
        "  --json             one JSON document\n"
        "\n"
        "Example:\n"
        "  persist user add alice --quota 200G\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 2,
    .run = run,
};
