#include "fs/space/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fs/space/path.h"
#include "proto/base/escape.h"
#include "proto/base/json.h"

bool check_step(struct check *c, uint64_t bytes)
{
    c->done_bytes += bytes;
    out_progress(c->out, c->done_bytes, max_u64(c->total_bytes, c->done_bytes), c->label);
    return !c->broken && !out_cancelled(c->out, 0);
}

static void put_json(struct check *c, struct bytes about, enum check_fate fate, const char *what)
{
    struct json j;
    if (c->list.n > 0)
        buf_put_u8(&c->list, ',');
    json_init(&j, &c->list);
    json_object(&j);
    json_key_bytes(&j, "path", about);
    json_key_str(&j, "problem", what);
    json_key_bool(&j, "repaired", fate == CHECK_REPAIRED);
    json_end(&j);
    if (buf_status(&c->list) < 0)
        c->broken = true;
}

void check_problem(struct check *c, struct bytes about, enum check_fate fate, const char *fmt, ...)
{
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    c->problems++;
    c->repaired += fate == CHECK_REPAIRED;
    if (c->json) {
        put_json(c, about, fate, what);
        return;
    }
    CLEANUP(buf_fini) struct buf line = {0};
    escape_put(&line, about.n > 0 ? about : bytes_str("database"));
    buf_put_bytes(&line, bytes_str(": "));
    buf_put_bytes(&line, bytes_str(what));
    buf_put_bytes(&line, bytes_str(fate == CHECK_REPAIRED ? " (repaired)\n" : "\n"));
    if (out_buf(c->out, &line) < 0)
        c->broken = true;
}

void check_problem_record(struct check *c, const struct rid *rid, enum check_fate fate,
                          const char *what)
{
    CLEANUP(buf_fini) struct buf path = {0};
    char hex[RID_HEX_SIZE], name[RID_HEX_SIZE + 8];
    pthread_mutex_lock(&c->s->lock);
    int rc = path_of_record(c->s, rid, &path);
    pthread_mutex_unlock(&c->s->lock);
    rid_hex(rid, hex);
    snprintf(name, sizeof name, "record %s", hex);
    check_problem(c, rc < 0 || path.n == 0 ? bytes_str(name) : buf_bytes(&path), fate, "%s", what);
}

void check_problem_file(struct check *c, uint64_t ino, enum check_fate fate, const char *what)
{
    CLEANUP(buf_fini) struct buf path = {0};
    char name[40];
    int rc = path_of_file(c->s, ino, &path);
    snprintf(name, sizeof name, "file %llu", (unsigned long long)ino);
    check_problem(
        c, rc < 0 || path.n == 0 ? bytes_str(ino == TREE_ROOT ? "/" : name) : buf_bytes(&path),
        fate, "%s", what);
}
