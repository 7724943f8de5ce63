#include "sync/cli/versioned.h"

#include <stdlib.h>
#include <string.h>

#include "sync/cli/fail.h"

int versioned_open(struct versioned *v, const char *argument)
{
    struct err err = {0};
    v->text = strdup(argument);
    if (v->text == NULL)
        return fail(VERB_FAILED, "path: out of memory");
    if (target_split_version(v->text, &v->version, &err) < 0)
        return fail(VERB_USAGE, "%s", err.msg);
    int rc = session_open(&v->session, false, &err);
    if (rc == 0)
        rc = target_find(&v->session.spaces, v->text, false, &v->target, &err);
    return rc < 0 ? fail_err(&err) : VERB_OK;
}

void versioned_fini(struct versioned *v)
{
    target_fini(&v->target);
    session_fini(&v->session);
    free(v->text);
    v->text = NULL;
}
