#include "tests/support/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int answer_write(struct out *o, struct bytes v)
{
    struct answer *a = CONTAINER_OF(o, struct answer, out);
    size_t n = strlen(a->text);
    snprintf(a->text + n, sizeof a->text - n, "%.*s", (int)v.n, (const char *)v.p);
    return 0;
}

static void answer_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    (void)o;
    (void)done;
    (void)total;
    (void)label;
}

static void answer_error(struct out *o, const char *line)
{
    struct answer *a = CONTAINER_OF(o, struct answer, out);
    snprintf(a->error, sizeof a->error, "%s", line);
}

static bool answer_cancelled(struct out *o, unsigned wait_ms)
{
    (void)o;
    (void)wait_ms;
    return false;
}

struct answer answer_of(struct device *d, const char *verb, const char *path, const char *keep)
{
    struct answer a = {.out = {.write = answer_write,
                               .progress = answer_progress,
                               .error = answer_error,
                               .cancelled = answer_cancelled}};
    struct verb_call call = {.verb = verb,
                             .args = {path, keep},
                             .args_n = keep != NULL ? 2 : path != NULL,
                             .folder = "/f",
                             .name = "f"};
    int status = verb_find(verb)->run(d->s, &call, &a.out);
    assert_int_equal(status == VERB_OK, a.error[0] == '\0');
    return a;
}
