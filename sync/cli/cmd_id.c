/* persist id: who this device is. */
#include "proto/base/json.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/identity.h"
#include "sync/cli/term.h"

static void put_json(const struct identity *id, struct buf *b)
{
    struct json j;
    json_init(&j, b);
    json_object(&j);
    json_key_str(&j, "peer_id", id->peer_id);
    json_key_str(&j, "label", id->label);
    json_key(&j, "addresses");
    json_list(&j);
    json_end(&j);
    json_end(&j);
    (void)!json_finish(&j); /* a failure stays in the buffer */
}

static void put_text(const struct identity *id, struct buf *b)
{
    buf_put_bytes(b, bytes_str("peer id    "));
    buf_put_bytes(b, bytes_str(id->peer_id));
    buf_put_bytes(b, bytes_str("\nlabel      "));
    buf_put_bytes(b, bytes_str(id->label));
    buf_put_bytes(b, bytes_str("\naddresses  none\n"));
}

static int run(const struct args *a)
{
    struct home home = HOME_INIT;
    struct identity id;
    struct err err = {0};
    int rc = home_open(&home, true, &err);
    if (rc == 0)
        rc = identity_load(&home, &id, &err);
    home_fini(&home);
    if (rc < 0)
        return fail_err(&err);
    struct buf b = {0};
    struct term term;
    term_init(&term);
    if (args_count(a, COMMANDS_JSON) > 0)
        put_json(&id, &b);
    else
        put_text(&id, &b);
    rc = out_buf(&term.out, &b);
    buf_fini(&b);
    return term_finish(&term, rc < 0 ? VERB_FAILED : VERB_OK);
}

const struct command command_id = {
    .name = "id",
    .arguments = "[--json]",
    .summary = "show this device's peer id, label and addresses",
    .help = "  --json     one JSON document\n"
            "\n"
            "Example:\n"
            "  persist id --json\n",
    .options = commands_json_only,
    .run = run,
};
