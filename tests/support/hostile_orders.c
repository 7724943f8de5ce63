#include "tests/support/hostile_orders.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

void hostile_orders(struct e2e *f, struct hostile *ret)
{
    memset(ret, 0, sizeof *ret);
    e2e_ok(f, "dirname $PWD/home/spaces/*/keys");
    snprintf(ret->space, sizeof ret->space, "%.*s", (int)strcspn(f->last.out, "\n"), f->last.out);
    snprintf(ret->home, sizeof ret->home, "%s", f->home);
    snprintf(ret->folder, sizeof ret->folder, "%s", f->folder);
    snprintf(ret->private, sizeof ret->private, "%s/private", f->top);
    holds(snprintf(ret->control, sizeof ret->control, "%s/run/mount-notes.sock", f->home) <
          HOSTILE_SOCKET);
    ret->mount = e2e_mount_pid(f);
    ret->watch = e2e_watch_pid(f);
    holds(ret->mount > 0 && ret->watch > 0);
}
