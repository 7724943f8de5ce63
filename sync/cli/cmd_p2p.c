/* persist p2p: direct links with other devices, shown and set. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/json.h"
#include "proto/frame.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/local_call.h"
#include "sync/cli/sync_ensure.h"
#include "sync/cli/term.h"

enum { OPT_LISTEN, OPT_MDNS, OPT_DHT, OPT_PROTOCOL, OPT_BOOTSTRAP, OPT_PEER, OPT_JSON };

static const struct args_option options[] = {
    [OPT_LISTEN] = {.long_name = "listen", .has_value = true, .repeats = true},
    [OPT_MDNS] = {.long_name = "mdns", .has_value = true},
    [OPT_DHT] = {.long_name = "dht", .has_value = true},
    [OPT_PROTOCOL] = {.long_name = "dht-protocol", .has_value = true},
    [OPT_BOOTSTRAP] = {.long_name = "bootstrap", .has_value = true, .repeats = true},
    [OPT_PEER] = {.long_name = "peer", .has_value = true, .repeats = true},
    [OPT_JSON] = {.long_name = "json"},
    {0},
};

/* What the sync process is asked; its texts are the command line's. */
struct question {
    Persist__P2p p2p;
    char *listen[ARGS_WORDS_MAX], *know[ARGS_WORDS_MAX], *bootstrap[ARGS_WORDS_MAX];
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

/* Which of two words an option has: 1 or 2, or without the option what it was. */
static int read_word(const struct args *a, int option, const char *one, const char *two,
                     uint32_t *ret, struct err *err)
{
    const char *word = args_value(a, option, 0);
    if (word == NULL)
        return 0;
    *ret = strcmp(word, one) == 0 ? 1 : strcmp(word, two) == 0 ? 2 : 0;
    return *ret != 0 ? 0
                     : err_set(err, -EINVAL, "p2p: --%s is %s or %s, not '%s'",
                               options[option].long_name, one, two, word);
}

/* The values of @option, without the word that stands for none of them. How many. */
static size_t read_list(const struct args *a, int option, const char *none, char **ret)
{
    size_t n = 0;
    for (size_t i = 0; i < args_count(a, option); i++)
        if (strcmp(args_value(a, option, i), none) != 0)
            ret[n++] = value_of(a, option, i);
    return n;
}

static int ask_what(const struct args *a, struct question *q, struct err *err)
{
    persist__p2p__init(&q->p2p);
    q->p2p.listen = q->listen;
    q->p2p.know = q->know;
    q->p2p.bootstrap = q->bootstrap;
    q->p2p.set_listen = args_count(a, OPT_LISTEN) > 0;
    q->p2p.n_listen = read_list(a, OPT_LISTEN, "off", q->listen);
    q->p2p.set_bootstrap = args_count(a, OPT_BOOTSTRAP) > 0;
    q->p2p.n_bootstrap = read_list(a, OPT_BOOTSTRAP, "none", q->bootstrap);
    for (size_t i = 0; i < args_count(a, OPT_PEER); i++)
        q->know[q->p2p.n_know++] = value_of(a, OPT_PEER, i);
    if (args_plain_n(a) > 0)
        return err_set(err, -EINVAL, "p2p: '%s' is one word too many", args_plain(a, 0));
    int rc = read_word(a, OPT_MDNS, "on", "off", &q->p2p.mdns, err);
    if (rc == 0)
        rc = read_word(a, OPT_DHT, "on", "off", &q->p2p.dht, err);
    return rc < 0 ? rc : read_word(a, OPT_PROTOCOL, "persist", "ipfs", &q->p2p.dht_protocol, err);
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

static void put_list(struct json *j, const char *key, char *const *text, size_t n)
{
    json_key(j, key);
    json_list(j);
    for (size_t i = 0; i < n; i++)
        json_str(j, text[i]);
    json_end(j);
}

static const char *protocol_of(const Persist__Reply *r)
{
    return r->dht_ipfs ? "ipfs" : "persist";
}

static void put_json(const Persist__Reply *r, struct buf *b)
{
    struct json j;
    json_init(&j, b);
    json_object(&j);
    put_list(&j, "addresses", r->addresses, r->n_addresses);
    json_key_bool(&j, "mdns", r->mdns);
    json_key_bool(&j, "dht", r->dht);
    json_key_str(&j, "dht_protocol", protocol_of(r));
    put_list(&j, "bootstrap", r->bootstrap, r->n_bootstrap);
    json_key_u64(&j, "neighbours", r->neighbours);
    json_key_str(&j, "error", r->error);
    json_end(&j);
    (void)!json_finish(&j); /* a failure stays in the buffer */
}

static void put_line(struct buf *b, const char *name, const char *text)
{
    buf_put_bytes(b, bytes_str(name));
    buf_put_bytes(b, bytes_str(text));
    buf_put_bytes(b, bytes_str("\n"));
}

static void put_dht(const Persist__Reply *r, struct buf *b)
{
    char text[64];
    snprintf(text, sizeof text, "on, %" PRIu32 " neighbours, protocol %s", r->neighbours,
             protocol_of(r));
    put_line(b, "dht        ", r->dht ? text : "off");
    for (size_t i = 0; i < r->n_bootstrap; i++)
        put_line(b, "bootstrap  ", r->bootstrap[i]);
}

static void put_text(const Persist__Reply *r, struct buf *b)
{
    for (size_t i = 0; i < r->n_addresses; i++)
        put_line(b, "listens    ", r->addresses[i]);
    if (r->n_addresses == 0)
        buf_put_bytes(b, bytes_str("direct     off; --listen /ip4/0.0.0.0/tcp/4001 turns it on\n"));
    buf_put_bytes(b, bytes_str(r->mdns ? "mdns       on\n" : "mdns       off\n"));
    put_dht(r, b);
    if (r->error[0] != '\0')
        put_line(b, "error      ", r->error);
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
    .arguments = "[--listen ADDRESS]... [--mdns on|off] [--dht on|off] [--bootstrap ADDRESS]...\n"
                 "              [--dht-protocol persist|ipfs] [--peer ADDRESS]... [--json]",
    .summary = "direct links with other devices: show them, or set them",
    .help =
        "  --listen ADDRESS  listen there: /ip4/0.0.0.0/tcp/4001, or with /ws behind it for a\n"
        "                    WebSocket; off: there are no direct links\n"
        "  --mdns on|off     be found on the local network\n"
        "  --dht on|off      find devices of a folder anywhere, by asking peers that need not be\n"
        "                    members; on by itself when there is a bootstrap peer\n"
        "  --dht-protocol persist|ipfs\n"
        "                    whose DHT it is, the same on all devices: persist's own, or IPFS's\n"
        "  --bootstrap ADDRESS\n"
        "                    a peer that is asked first, as its --listen says, instead of those\n"
        "                    before; none: there is none any more\n"
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
