/* Verifies everything that is stored. */
#include <errno.h>

#include "fs/space/check.h"
#include "fs/space/usage.h"
#include "fs/space/verb.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

static const struct part {
    const char *label;
    int (*run)(struct check *c);
} parts[] = {
    {"checking files of the database", check_files},
    {"checking tables", check_tables},
    {"checking chunks", check_chunks},
    {"checking staging", check_staging},
    {"checking names", check_tree},
    {"checking records", check_records},
};

/* Staging files go first: publishing takes them away. */
static int check_before(struct check *c)
{
    struct usage u;
    int rc = usage_get(c->s, &u, NULL);
    c->total_bytes = rc < 0 ? 0 : u.disk_bytes;
    c->label = "checking staging";
    rc = check_staging(c);
    if (rc < 0)
        return rc;
    rc = publisher_flush(c->s);
    /* What is in memory alone cannot be damaged on disk, and is not looked at there. */
    if (rc == 0)
        rc = db_flush(c->s->db);
    /* A full disk is no damage. */
    if (rc < 0 && rc != -ENOMEM && rc != -ENOSPC)
        check_problem(c, bytes_of(NULL, 0), CHECK_FOUND, "what is pending cannot be written: %s",
                      strerror(-rc));
    return rc == -ENOMEM ? rc : 0;
}

static int run_parts(struct check *c)
{
    int rc = check_before(c);
    for (size_t i = 0; rc == 0 && i < ARRAY_N(parts); i++) {
        c->label = parts[i].label;
        rc = parts[i].run(c);
    }
    return rc;
}

/* How many versions there are is counted along; here it was counted, if none came meanwhile. */
static void set_versions(struct check *c, uint64_t before)
{
    pthread_mutex_lock(&c->s->lock);
    if (c->s->versions == before && c->problems == 0)
        c->s->versions = c->versions;
    pthread_mutex_unlock(&c->s->lock);
}

static uint64_t get_versions(struct check *c)
{
    pthread_mutex_lock(&c->s->lock);
    uint64_t n = c->s->versions;
    pthread_mutex_unlock(&c->s->lock);
    return n;
}

static int put_json(const struct check *c, struct buf *text)
{
    struct json j;
    CLEANUP(buf_fini) struct buf list = {0};
    buf_put_u8(&list, '[');
    buf_put_bytes(&list, buf_bytes(&c->list));
    buf_put_u8(&list, ']');
    int rc = buf_status(&list);
    if (rc < 0)
        return rc;
    json_init(&j, text);
    json_object(&j);
    json_key_bool(&j, "ok", c->problems == c->repaired);
    json_key_u64(&j, "problems", c->problems);
    json_key_u64(&j, "repaired", c->repaired);
    json_key_u64(&j, "versions", c->versions);
    json_key(&j, "found");
    json_raw(&j, buf_bytes(&list));
    json_end(&j);
    return json_finish(&j);
}

static int put_text(const struct check *c)
{
    char n[HUMAN_MAX], m[HUMAN_MAX];
    if (c->problems == 0)
        return out_printf(c->out, "no problems; %s versions checked\n",
                          human_count(c->versions, n));
    return out_printf(c->out, "%s problem%s found, %s repaired\n", human_count(c->problems, n),
                      c->problems == 1 ? "" : "s", human_count(c->repaired, m));
}

int verb_check(struct space *s, const struct verb_call *call, struct out *out)
{
    CLEANUP(buf_fini) struct buf text = {0};
    struct check c = {.s = s, .out = out, .json = call->json, .repair = call->repair};
    uint64_t versions = get_versions(&c);
    int rc = run_parts(&c);
    if (rc == 0)
        set_versions(&c, versions);
    if (rc == 0 && call->json)
        rc = put_json(&c, &text);
    if (rc == 0)
        rc = call->json ? out_buf(out, &text) : put_text(&c);
    buf_fini(&c.list);
    if (rc < 0) {
        if (rc == -ENOSPC)
            out_error(out, "check: the disk is full, and this needs some room; 'persist gc', or "
                           "remove something else from it");
        else if (rc != -ECANCELED)
            out_error(out, "check: %s", strerror(-rc));
        return VERB_FAILED;
    }
    if (c.problems == c.repaired)
        return VERB_OK;
    out_error(out, call->repair ? "check: not all could be repaired; restore the files named above "
                                  "from a copy or another device"
                                : "check: problems were found; try 'persist check --repair'");
    return VERB_FAILED;
}
