#include "fs/space/verb.h"

#include <string.h>

const struct verb verbs[] = {
    {.name = "status", .run = verb_status, .servers = true},
    {.name = "log", .run = verb_log, .args_min = 1, .args_max = 1},
    {.name = "show", .run = verb_show, .args_min = 2, .args_max = 2},
    {.name = "restore", .run = verb_restore, .args_min = 1, .args_max = 3},
    {.name = "export", .run = verb_export, .args_min = 2, .args_max = 2},
    {.name = "check", .run = verb_check},
    {.name = "gc", .run = verb_gc},
    {.name = "conflicts", .run = verb_conflicts, .args_min = 1, .args_max = 1},
    {.name = "resolve", .run = verb_resolve, .args_min = 2, .args_max = 2},
    {.name = "sync", .run = verb_sync, .args_max = 2},
    {.name = "door", .run = verb_door, .args_min = 1, .args_max = 3},
    {.name = "manage", .run = verb_manage, .args_min = 2, .args_max = 2},
    {.name = "grant", .run = verb_grant, .args_min = 2, .args_max = 2},
    {.name = "opened", .run = verb_opened, .args_min = 1, .args_max = 1},
    {.name = "shut", .run = verb_shut, .args_min = 1, .args_max = 1},
    {.name = "peers", .run = verb_peers, .args_max = 1},
    {.name = "peer", .run = verb_peer, .args_min = 1, .args_max = 1},
    {.name = "revoke", .run = verb_revoke, .args_min = 1, .args_max = 2, .servers = true},
    {.name = "flush", .run = verb_flush},
    {.name = NULL},
};

const struct verb *verb_find(const char *name)
{
    for (const struct verb *v = verbs; v->name != NULL; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}
