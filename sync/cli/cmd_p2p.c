/* persist p2p: direct links with other devices, shown and set. */
#include <errno.h>
#include <unistd.h>

#include "proto/base/json.h"
#include "proto/frame.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/local_call.h"
#include "sync/cli/sync_ensure.h"
#include "sync/cli/term.h"

enum { OPT_LISTEN, OPT_MDNS, OPT_PEER, OPT_JSON, MDNS_ON = 1, MDNS_OFF = 2 };

static const struct args_option options[] = {
    [OPT_LISTEN] = {.long_name = "listen", .has_value = true, .repeats = true},
    [OPT_MDNS] = {.long_name = "mdns", .has_value = true},
    [OPT_PEER] = {.long_name = "peer", .has_value = true, .repeats = true},
    [OPT_JSON] = {.long_name = "json"},
    {0},
};

/* What the sync process is asked; its texts are the command line's. */
struct question {
    Persist__P2p p2p;
    char *listen[ARGS_WORDS_MAX], *know[ARGS_WORDS_MAX];
};

static char *value_of(const struct args *a, int option, size_t i)
{
    /* protobuf-c does not write to what it encodes, but its type has no const. */
    union {
        const char *in;
        char *out;
    } text = {.in = args_value(a, option, i)};
    return text.out;
}

static int read_mdns(const struct args *a, uint32_t *ret, struct err *err)
{
    const char *word = args_value(a, OPT_MDNS, 0);
    if (word == NULL)
        return 0;
    *ret = strcmp(word, "on") == 0 ? MDNS_ON : strcmp(word, "off") == 0 ? MDNS_OFF : 0;
    return *ret != 0 ? 0 : err_set(err, -EINVAL, "p2p: --mdns is on or off, not '%s'", word);
}

static int ask_what(const struct args *a, struct question *q, struct err *err)
{
    persist__p2p__init(&q->p2p);
    q->p2p.listen = q->listen;
    q->p2p.know = q->know;
    q->p2p.set_listen = args_count(a, OPT_LISTEN) > 0;
    for (size_t i = 0; i < args_count(a, OPT_LISTEN); i++)
        if (strcmp(args_value(a, OPT_LISTEN, i), "off") != 0)
            q->listen[q->p2p.n_listen++] = value_of(a, OPT_LISTEN, i);
    for (size_t i = 0; i < args_count(a, OPT_PEER); i++)
        q->know[q->p2p.n_know++] = value_of(a, OPT_PEER, i);
    if (args_plain_n(a) > 0)
        return err_set(err, -EINVAL, "p2p: '%s' is one word too many", args_plain(a, 0));
    return read_mdns(a, &q->p2p.mdns, err);
}

static int ask(const struct question *q, Persist__Local **ret, struct err *err)
{
    struct home home = HOME_INIT;
    Persist__Local f = PERSIST__LOCAL__INIT;
    int run_fd = -1;
    Persist__P2p p2p = q->p2p;
    f.kind_case = PERSIST__LOCAL__KIND_P2P;
    f.p2p = &p2p;
    int rc = home_open(&home, true, err);
    if (rc == 0)
        rc = home_dir(&home, "run", true, &run_fd, err);
    if (rc == 0)
        rc = sync_ensure(&home, run_fd, err);
    if (rc == 0)
        rc = local_ask(run_fd, &f, ret, err);
    if (run_fd >= 0)
        close(run_fd);
    home_fini(&home);
    return rc;
}

static void put_json(const Persist__Reply *r, struct buf *b)
{
    struct json j;
    json_init(&j, b);
    json_object(&j);
    json_key(&j, "addresses");
    json_list(&j);
    for (size_t i = 0; i < r->n_addresses; i++)
        json_str(&j, r->addresses[i]);
    json_end(&j);
    json_key_bool(&j, "mdns", r->mdns);
    json_key_str(&j, "error", r->error);
    json_end(&j);
    (void)!json_finish(&j); /* a failure stays in the buffer */
}

static void put_text(const Persist__Reply *r, struct buf *b)
{
    for (size_t i = 0; i < r->n_addresses; i++) {
        buf_put_bytes(b, bytes_str("listens    "));
        buf_put_bytes(b, bytes_str(r->addresses[i]));
        buf_put_bytes(b, bytes_str("\n"));
    }
    if (r->n_addresses == 0)
        buf_put_bytes(b, bytes_str("direct     off; --listen /ip4/0.0.0.0/tcp/4001 turns it on\n"));
    buf_put_bytes(b, bytes_str(r->mdns ? "mdns       on\n" : "mdns       off\n"));
    if (r->error[0] != '\0') {
        buf_put_bytes(b, bytes_str("error      "));
        buf_put_bytes(b, bytes_str(r->error));
        buf_put_bytes(b, bytes_str("\n"));
    }
}

static int run(const struct args *a)
{
    struct question q = {.p2p = PERSIST__P2P__INIT};
    struct err err = {0};
    Persist__Local *answer = NULL;
    if (ask_what(a, &q, &err) < 0)
        return fail(VERB_USAGE, "%s", err.msg);
    if (ask(&q, &answer, &err) < 0)
        return err.code == -EINVAL ? fail(VERB_USAGE, "p2p: %s", err.msg) : fail_err(&err);
    struct buf b = {0};
    struct term term;
    term_init(&term);
    if (args_count(a, OPT_JSON) > 0)
        put_json(answer->reply, &b);
    else
        put_text(answer->reply, &b);
    int rc = out_buf(&term.out, &b);
    buf_fini(&b);
    frame_local_free(answer);
    return term_finish(&term, rc < 0 ? VERB_FAILED : VERB_OK);
}

const struct command command_p2p = {
    .name = "p2p",
    .arguments = "[--listen ADDRESS]... [--mdns on|off] [--peer ADDRESS]... [--json]",
    .summary = "direct links with other devices: show them, or set them",
    .help = "  --listen ADDRESS  listen there: /ip4/0.0.0.0/tcp/4001, or with /ws behind it for a\n"
            "                    WebSocket; off: there are no direct links\n"
            "  --mdns on|off     be found on the local network\n"
            "  --peer ADDRESS    where another device of a folder is, with /p2p/ and its id at the "
            "end\n"
            "  --json            one JSON document\n"
            "\n"
            "Devices of a folder that reach each other directly need no server between them.\n"
            "\n"
            "Example:\n"
            "  persist p2p --listen /ip4/0.0.0.0/tcp/4001\n",
    .options = options,
    .run = run,
};
