/* What a space holds and how it is; with --watch again whenever that has changed. */
#include <errno.h>
#include <stdio.h>

#include "fs/space/policies.h"
#include "fs/space/status_links.h"
#include "fs/space/unsent.h"
#include "fs/space/usage.h"
#include "fs/space/verb.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"
#include "proto/base/log.h"

enum {
    POLL_MS = 500,
    REST_FACTOR = 20, /* a count that took so long is not repeated for so many times as long */
};

struct status {
    struct usage usage;
    size_t pending;
    uint64_t versions, error_ms;
    char error[256];       /* empty: none */
    struct buf complaints; /* of policies: each line ends with a NUL */
    struct unsent unsent;
};

/* What usage takes, and what is wrong with the policies that it found. */
static int get_usage(struct space *s, struct status *st)
{
    CLEANUP(buf_fini) struct buf policies = {0};
    int rc = usage_get(s, &st->usage, &policies);
    for (size_t at = 0; rc == 0 && at < policies.n; at += sizeof(uint64_t)) {
        uint64_t dir;
        memcpy(&dir, policies.p + at, sizeof dir);
        rc = policies_errors(s, dir, &st->complaints);
    }
    return rc;
}

static int get_state(struct space *s, const struct verb_call *call, struct status *ret)
{
    *ret = (struct status){.pending = publisher_pending(s)};
    /* Of a space that is not mounted there is no process whose errors they would be. */
    if (!call->mounted || !log_last(ret->error, sizeof ret->error, &ret->error_ms))
        ret->error[0] = '\0';
    pthread_mutex_lock(&s->lock);
    ret->versions = s->versions;
    pthread_mutex_unlock(&s->lock);
    int rc = unsent_get(s, &ret->unsent);
    return rc < 0 ? rc : get_usage(s, ret);
}

static void json_unsent(const struct unsent *u, struct json *j)
{
    json_key_u64(j, "not_sent_files", u->n);
    json_key(j, "not_sent");
    json_list(j);
    for (size_t i = 0; i < u->named; i++) {
        json_object(j);
        json_key_bytes(j, "path", buf_bytes(&u->path[i]));
        json_key_str(j, "why", u->why[i]);
        json_end(j);
    }
    json_end(j);
}

static int put_json(struct space *s, const struct verb_call *call, const struct status *st,
                    struct buf *out)
{
    const struct usage *u = &st->usage;
    struct json j;
    json_init(&j, out);
    json_object(&j);
    json_key_str(&j, "name", call->name);
    json_key_str(&j, "folder", call->folder);
    json_key_bool(&j, "mounted", call->mounted);
    json_key_str(&j, "device", s->label);
    json_key_u64(&j, "records", u->files + u->folders);
    json_key_u64(&j, "files", u->files);
    json_key_u64(&j, "folders", u->folders);
    json_key_u64(&j, "bytes", u->bytes);
    json_key_u64(&j, "versions", st->versions);
    json_key_u64(&j, "pending", st->pending);
    json_key_u64(&j, "conflicts", u->open_conflicts + u->siblings);
    json_key_u64(&j, "database_bytes", u->disk_bytes);
    if (call->mounted)
        json_key_u64(&j, "memory_bytes", u->memory_bytes);
    json_key(&j, "policy_errors");
    json_list(&j);
    for (size_t at = 0; at < st->complaints.n;) {
        const char *line = (const char *)st->complaints.p + at;
        json_bytes(&j, bytes_str(line));
        at += strlen(line) + 1;
    }
    json_end(&j);
    json_unsent(&st->unsent, &j);
    int rc = status_links_json(s, &j);
    json_key_str(&j, "last_error", st->error[0] != '\0' ? st->error : NULL);
    if (st->error[0] != '\0')
        json_key_time(&j, "last_error_time", st->error_ms);
    json_end(&j);
    return rc < 0 ? rc : json_finish(&j);
}

static void put_line(struct buf *out, const char *label, const char *text)
{
    char line[512];
    int n = snprintf(line, sizeof line, "  %-10s  %s\n", label, text);
    buf_put(out, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void put_holds(const struct usage *u, struct buf *out)
{
    char files[HUMAN_MAX], folders[HUMAN_MAX], bytes[HUMAN_MAX], text[256];
    snprintf(text, sizeof text, "%s %s in %s %s, %s", human_count(u->files, files),
             u->files == 1 ? "file" : "files", human_count(u->folders, folders),
             u->folders == 1 ? "folder" : "folders", human_bytes(u->bytes, bytes));
    put_line(out, "holds", text);
}

static void put_unsent(const struct unsent *u, struct buf *out)
{
    char text[HUMAN_MAX];
    for (size_t i = 0; i < u->named; i++) {
        buf_put_bytes(out, bytes_str("  not sent    "));
        escape_put(out, buf_bytes(&u->path[i]));
        buf_put_bytes(out, bytes_str(": "));
        buf_put_bytes(out, bytes_str(u->why[i]));
        buf_put_bytes(out, bytes_str("\n"));
    }
    if (u->n > u->named) {
        buf_put_bytes(out, bytes_str("  not sent    and "));
        buf_put_bytes(out, bytes_str(human_count(u->n - u->named, text)));
        buf_put_bytes(out, bytes_str(" more\n"));
    }
}

static int put_text(struct space *s, const struct verb_call *call, const struct status *st,
                    struct buf *out)
{
    char text[HUMAN_MAX], line[400], error[300], shown[400];
    const struct usage *u = &st->usage;
    int rc;
    buf_put_bytes(out, bytes_str(call->colour ? "\033[1m" : ""));
    escape_put(out, bytes_str(call->folder != NULL ? call->folder : ""));
    buf_put_bytes(out, bytes_str(call->colour ? "\033[0m\n" : "\n"));
    put_line(out, "mounted", call->mounted ? "yes" : "no");
    put_holds(u, out);
    put_line(out, "history", human_count(st->versions, text));
    put_line(out, "pending", st->pending == 0 ? "nothing" : human_count(st->pending, text));
    uint64_t conflicts = u->open_conflicts + u->siblings;
    if (conflicts == 0)
        snprintf(line, sizeof line, "none");
    else
        snprintf(line, sizeof line, "%s; 'persist conflicts' lists them",
                 human_count(conflicts, text));
    put_line(out, "conflicts", line);
    for (size_t at = 0; at < st->complaints.n;) {
        const char *complaint = (const char *)st->complaints.p + at;
        put_line(out, "policy", escape_to(shown, sizeof shown, bytes_str(complaint)));
        at += strlen(complaint) + 1;
    }
    put_unsent(&st->unsent, out);
    rc = status_links_text(s, out);
    put_line(out, "database", human_bytes(u->disk_bytes, text));
    if (call->mounted)
        put_line(out, "memory", human_bytes(u->memory_bytes, text));
    if (st->error[0] == '\0')
        snprintf(line, sizeof line, "none");
    else
        snprintf(line, sizeof line, "%s  %s", human_time(st->error_ms, text),
                 escape_to(error, sizeof error, bytes_str(st->error)));
    put_line(out, "last error", line);
    return rc < 0 ? rc : buf_status(out);
}

static int put_state(struct space *s, const struct verb_call *call, struct buf *out)
{
    struct status st;
    buf_reset(out);
    int rc = get_state(s, call, &st);
    if (rc == 0)
        rc = call->json ? put_json(s, call, &st, out) : put_text(s, call, &st, out);
    buf_fini(&st.complaints);
    unsent_fini(&st.unsent);
    return rc;
}

/* Before each state but the first: a terminal shows it in place of the last one. */
static int put_gap(const struct verb_call *call, const struct buf *last, struct out *out)
{
    if (call->json || last->n == 0)
        return 0;
    if (!call->terminal)
        return out_printf(out, "\n");
    unsigned lines = 0;
    for (size_t i = 0; i < last->n; i++)
        lines += last->p[i] == '\n';
    return out_printf(out, "\033[%uA\033[J", lines);
}

static int watch(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf last = {0}, now = {0};
    uint64_t seen = 0, rest_until_ms = 0;
    int rc = 0;
    for (bool first = true; rc == 0; first = false) {
        uint64_t mark = db_written(s->db) + publisher_pending(s) + status_links_rates(s);
        uint64_t began_ms = space_now_ms();
        if ((first || mark != seen) && began_ms >= rest_until_ms) {
            seen = mark;
            rc = put_state(s, call, &now);
            rest_until_ms = began_ms + REST_FACTOR * (space_now_ms() - began_ms);
            if (rc == 0 && !bytes_equal(buf_bytes(&now), buf_bytes(&last))) {
                rc = put_gap(call, &last, out);
                if (rc == 0)
                    rc = out_buf(out, &now);
                struct buf other = last;
                last = now;
                now = other;
            }
        }
        if (rc == 0 && out_cancelled(out, POLL_MS))
            rc = -ECANCELED;
    }
    return rc;
}

static int once(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    int rc = put_state(s, call, &text);
    return rc < 0 ? rc : out_buf(out, &text);
}

int verb_status(struct space *s, const struct verb_call *call, struct out *out)
{
    int rc = call->watch ? watch(s, call, out) : once(s, call, out);
    if (rc == -ECANCELED)
        return VERB_OK;
    if (rc < 0)
        out_error(out, "status: %s", strerror(-rc));
    return verb_status_of(rc);
}
