/* persist remote: the servers that a folder is linked with. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/frame.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/local_call.h"
#include "sync/cli/remote.h"
#include "sync/cli/sync_ensure.h"

static const struct args_option options[] = {
    [REMOTE_TOKEN_FILE] = {.long_name = "token-file", .has_value = true},
    [REMOTE_PASSPHRASE_FILE] = {.long_name = "passphrase-file", .has_value = true},
    [REMOTE_MANAGED] = {.long_name = "managed"},
    [REMOTE_INTERVAL] = {.long_name = "interval", .has_value = true},
    [REMOTE_CA] = {.long_name = "ca", .has_value = true},
    [REMOTE_INSECURE] = {.long_name = "insecure"},
    [REMOTE_JSON] = {.long_name = "json"},
    {0},
};

void remote_space_id(const struct space_entry *e, uint8_t ret[SPACE_ID_SIZE])
{
    /* The name of its directory: 32 hex digits, looked at when it was read. */
    int rc = sodium_hex2bin(ret, SPACE_ID_SIZE, e->id, strlen(e->id), NULL, NULL, NULL);
    if (rc != 0)
        abort();
}

static int token_of_environment(struct secret *ret, struct err *err)
{
    char *text = getenv("PERSIST_DEVICE_TOKEN");
    if (text == NULL || text[0] == '\0')
        return err_set(err, -EINVAL,
                       "remote: no token is given; use --token-file, or set PERSIST_DEVICE_TOKEN");
    size_t n = strlen(text);
    if (n > SECRET_MAX)
        return err_set(err, -EINVAL, "PERSIST_DEVICE_TOKEN: is too long to be a token");
    secret_wipe(ret);
    memcpy(ret->text, text, n);
    ret->n = n;
    sodium_memzero(text, n); /* it would be seen in this process's environment */
    return 0;
}

int remote_token(const char *file, struct secret *ret, struct err *err)
{
    return file != NULL ? secretfile_read(file, ret, err) : token_of_environment(ret, err);
}

int remote_fail(const struct err *err)
{
    return err->code == -EINVAL ? fail(VERB_USAGE, "%s", err->msg) : fail_err(err);
}

int remote_ask(const struct session *s, const Persist__Local *request, Persist__Local **ret_reply,
               struct err *err)
{
    int rc = sync_ensure(&s->home, s->run_fd, err);
    return rc < 0 ? rc : local_ask(s->run_fd, request, ret_reply, err);
}

static int ask_removal(const struct session *s, const struct space_entry *e, const char *url,
                       bool undo, struct err *err)
{
    Persist__Local *answer;
    uint8_t space[SPACE_ID_SIZE];
    char copy[FRAME_TEXT_MAX + 1]; /* protobuf-c takes no const */
    remote_space_id(e, space);
    if (snprintf(copy, sizeof copy, "%s", url) >= (int)sizeof copy)
        return err_set(err, -EINVAL, "remote: the URL is too long");
    Persist__RemoteRemove request;
    persist__remote_remove__init(&request);
    Persist__Local f = PERSIST__LOCAL__INIT;
    request.space = frame_data(bytes_of(space, sizeof space));
    request.url = copy;
    request.undo = undo;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_REMOVE;
    f.remote_remove = &request;
    int rc = remote_ask(s, &f, &answer, err);
    if (rc == 0)
        frame_local_free(answer);
    return rc;
}

int remote_remove(const struct session *s, const struct space_entry *e, const char *url,
                  struct err *err)
{
    return ask_removal(s, e, url, false, err);
}

int remote_undo(const struct session *s, const struct space_entry *e, const char *url,
                struct err *err)
{
    return ask_removal(s, e, url, true, err);
}

int remote_remove_all(const struct session *s, const struct space_entry *e, struct err *err)
{
    Persist__Local *answer;
    uint8_t space[SPACE_ID_SIZE];
    Persist__RemoteList request = PERSIST__REMOTE_LIST__INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    f.kind_case = PERSIST__LOCAL__KIND_REMOTE_LIST;
    f.remote_list = &request;
    if (faccessat(s->home.fd, "sync/remotes", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    int rc = remote_ask(s, &f, &answer, err);
    if (rc < 0)
        return rc;
    const Persist__Reply *r = answer->reply;
    remote_space_id(e, space);
    for (size_t i = 0; rc == 0 && i < r->n_links; i++)
        if (bytes_equal(frame_bytes(r->link_spaces[i]), bytes_of(space, sizeof space)))
            rc = remote_remove(s, e, r->links[i]->url, err);
    frame_local_free(answer);
    return rc;
}

static int run_remove(const struct args *a, const struct session *s, const struct space_entry *e)
{
    struct err err = {0};
    return remote_remove(s, e, args_plain(a, 1), &err) < 0 ? remote_fail(&err) : VERB_OK;
}

/* ---- the words ---- */

struct subcommand {
    const char *name;
    size_t folder; /* which plain argument the folder is */
    unsigned options;
    bool all; /* without a folder it is about all of them */
    int (*run)(const struct args *a, const struct session *s, const struct space_entry *e);
};

static const struct subcommand subcommands[] = {
    {"add", 2,
     1 << REMOTE_TOKEN_FILE | 1 << REMOTE_PASSPHRASE_FILE | 1 << REMOTE_MANAGED |
         1 << REMOTE_INTERVAL | 1 << REMOTE_CA | 1 << REMOTE_INSECURE,
     false, remote_add},
    {"list", 1, 1 << REMOTE_JSON, true, remote_list},
    {"remove", 2, 0, false, run_remove},
};

static const struct subcommand *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_N(subcommands); i++)
        if (strcmp(subcommands[i].name, name) == 0)
            return &subcommands[i];
    return NULL;
}

/* What is wrong with the words, or 0. */
static int check_usage(const struct args *a, const struct subcommand *c)
{
    static const char see[] = "see 'persist remote --help'";
    char shown[64];
    if (c == NULL)
        return fail(VERB_USAGE, "remote: '%s' is none of add, list, remove; %s",
                    escape_to(shown, sizeof shown, bytes_str(args_plain(a, 0))), see);
    if (args_plain_n(a) < c->folder)
        return fail(VERB_USAGE, "remote %s: which server? %s", c->name, see);
    if (args_plain_n(a) > c->folder + 1)
        return fail(VERB_USAGE, "remote %s: too many arguments; %s", c->name, see);
    for (int i = 0; options[i].long_name != NULL; i++)
        if (args_count(a, i) > 0 && (c->options & 1u << i) == 0)
            return fail(VERB_USAGE, "remote %s: takes no option --%s; %s", c->name,
                        options[i].long_name, see);
    return VERB_OK;
}

static int run(const struct args *a)
{
    const struct subcommand *c = find(args_plain(a, 0));
    int status = check_usage(a, c);
    if (status != VERB_OK)
        return status;
    struct session s = SESSION_INIT;
    struct target t = {.space = NULL};
    struct err err = {0};
    const char *folder = args_plain(a, c->folder);
    int rc = session_open(&s, true, &err);
    if (rc == 0 && folder != NULL)
        rc = target_find(&s.spaces, folder, true, &t, &err);
    else if (rc == 0 && !c->all)
        rc = target_default(&s.spaces, &t, &err);
    status = rc < 0 ? remote_fail(&err) : c->run(a, &s, t.space);
    target_fini(&t);
    session_fini(&s);
    return status;
}

const struct command command_remote = {
    .name = "remote",
    .arguments = "add|list|remove [URL] [FOLDER] [OPTIONS]",
    .summary = "link a folder with a server; list or remove such links",
    .help =
        "  add URL [FOLDER]     link FOLDER with the server at URL, as wss://sync.example.org\n"
        "    --token-file F       this device's token for it; else $PERSIST_DEVICE_TOKEN\n"
        "    --passphrase-file F  what other devices have to know to join; without it one is\n"
        "                         made and shown once. To add a server again, with a new token\n"
        "                         or interval, keeps the one there is\n"
        "    --managed            no passphrase: the server itself becomes a member\n"
        "    --interval SECONDS   send changes every so often, not at once\n"
        "    --ca F               trust the authorities in F (PEM; copied), not the system's\n"
        "    --insecure           ws:// to another machine, where nobody can listen in\n"
        "  list [FOLDER]        the servers of all folders, or of one; --json\n"
        "  remove URL [FOLDER]  link FOLDER with that server no more; what it has stays there\n"
        "\n"
        "Example:\n"
        "  persist remote add wss://sync.example.org ~/Notes --token-file token\n",
    .options = options,
    .plain_min = 1,
    .plain_max = 3,
    .run = run,
};
