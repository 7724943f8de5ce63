#include "fs/space/verb.h"

#include <string.h>

const struct verb verbs[] = {
    {"status", verb_status, 0, 0}, {"log", verb_log, 1, 1},
    {"show", verb_show, 2, 2},     {"restore", verb_restore, 1, 3},
    {"export", verb_export, 2, 2}, {"check", verb_check, 0, 0},
    {"gc", verb_gc, 0, 0},         {"conflicts", verb_conflicts, 1, 1},
    {"flush", verb_flush, 0, 0},   {NULL, NULL, 0, 0},
};

const struct verb *verb_find(const char *name)
{
    for (const struct verb *v = verbs; v->name != NULL; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}
