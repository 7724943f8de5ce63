/* persist status: the state of one folder, or of all. */
#include <errno.h>

#include "proto/base/escape.h"
#include "proto/base/json.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"
#include "sync/cli/session.h"
#include "sync/cli/term.h"

enum { OPT_JSON, OPT_WATCH };
static const struct args_option options[] = {{.long_name = "json"}, {.long_name = "watch"}, {0}};

/* An out that keeps what is written, and the error line: one folder that fails is shown, not fatal.
 */
struct capture {
    struct out out;
    struct buf text;
    char error[512];
};

static struct capture *capture_of(struct out *o)
{
    return CONTAINER_OF(o, struct capture, out);
}

static int capture_write(struct out *o, struct bytes v)
{
    buf_put_bytes(&capture_of(o)->text, v);
    return buf_status(&capture_of(o)->text);
}

static void capture_error(struct out *o, const char *line)
{
    struct capture *c = capture_of(o);
    size_t n = strlen(line);
    n = n < sizeof c->error ? n : sizeof c->error - 1;
    memcpy(c->error, line, n);
    c->error[n] = '\0';
}

static bool capture_cancelled(struct out *o, unsigned wait_ms)
{
    (void)o;
    (void)wait_ms;
    return false;
}

/* A folder whose state cannot be had: its name, and why. */
static void put_failure(const struct space_entry *e, const char *why, bool json, struct buf *b)
{
    if (json) {
        struct json j;
        json_init(&j, b);
        json_object(&j);
        json_key_str(&j, "name", e->name);
        json_key_str(&j, "folder", e->folder);
        json_key_bool(&j, "mounted", false);
        json_key_str(&j, "error", why);
        json_end(&j);
        (void)!json_finish(&j); /* a failure stays in the buffer */
        return;
    }
    escape_put(b, bytes_str(e->folder));
    buf_put_bytes(b, bytes_str("\n  not mounted; "));
    buf_put_bytes(b, bytes_str(why));
    buf_put_bytes(b, bytes_str("\n"));
}

/* Appends the state of one space to @b: lines, or one JSON object without a newline. */
static int put_one(const struct session *s, const struct space_entry *e, bool json, struct buf *b)
{
    struct capture c = {
        .out = {.write = capture_write, .error = capture_error, .cancelled = capture_cancelled}};
    struct verb_call call = {.verb = "status", .json = json};
    struct err err = {0};
    int status = VERB_OK;
    term_describe(&call);
    int rc = session_run(s, e, &call, &c.out, &status, &err);
    bool failed = rc < 0 || status != VERB_OK;
    if (failed) {
        buf_reset(&c.text);
        put_failure(e, rc < 0 ? err.msg : c.error, json, &c.text);
    }
    while (json && c.text.n > 0 && c.text.p[c.text.n - 1] == '\n')
        c.text.n--;
    buf_put_bytes(b, buf_bytes(&c.text));
    b->failed = b->failed || c.text.failed;
    buf_fini(&c.text);
    return failed ? VERB_FAILED : VERB_OK;
}

static int show_all(const struct session *s, bool json)
{
    struct buf b = {0};
    struct term term;
    int status = VERB_OK;
    term_init(&term);
    if (json)
        buf_put_bytes(&b, bytes_str("{\"spaces\":["));
    else if (s->spaces.n == 0)
        buf_put_bytes(&b, bytes_str("no folders yet; 'persist mount FOLDER' makes one\n"));
    for (size_t i = 0; i < s->spaces.n; i++) {
        if (i > 0)
            buf_put_bytes(&b, bytes_str(json ? "," : "\n"));
        if (put_one(s, &s->spaces.v[i], json, &b) != VERB_OK)
            status = VERB_FAILED;
    }
    if (json)
        buf_put_bytes(&b, bytes_str("]}\n"));
    int rc = out_buf(&term.out, &b);
    if (rc == -ENOMEM)
        status = fail(VERB_FAILED, "status: out of memory");
    buf_fini(&b);
    return term_finish(&term, status);
}

static int run(const struct args *a)
{
    struct verb_call call = {
        .verb = "status",
        .json = args_count(a, OPT_JSON) > 0,
        .watch = args_count(a, OPT_WATCH) > 0,
    };
    if (args_plain_n(a) > 0 || call.watch)
        return commands_on_folder(args_plain(a, 0), false, &call);
    struct session s = SESSION_INIT;
    struct err err = {0};
    int status = session_open(&s, false, &err) < 0 ? fail_err(&err) : show_all(&s, call.json);
    session_fini(&s);
    return status;
}

const struct command command_status = {
    .name = "status",
    .arguments = "[FOLDER] [--json] [--watch]",
    .summary = "show what a folder holds, what is pending, conflicts, the last error",
    .help = "Without FOLDER: all folders of this device.\n"
            "  --json     one JSON object; without FOLDER {\"spaces\": [...]}\n"
            "  --watch    again on each change, until interrupted; with --json a line each\n"
            "\n"
            "Example:\n"
            "  persist status ~/Notes\n",
    .options = options,
    .plain_max = 1,
    .run = run,
};
