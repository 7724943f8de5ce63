#include "tests/support/e2e_log.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/json_read.h"

struct wanted {
    struct e2e *f;
    const char *path;
    long n;
};

const char *e2e_value(const struct e2e *f, const char *place)
{
    static char text[8][1024];
    static unsigned next;
    return json_read_at(f->last.out, place, text[next++ % 8], sizeof text[0]);
}

long e2e_versions(struct e2e *f, const char *path)
{
    const struct e2e_result *r = e2e_sh(f, "persist log '%s' --json", path);
    return r->status == 0 ? json_read_count(r->out, "versions") : -1;
}

static bool has_versions(void *arg)
{
    const struct wanted *w = arg;
    return e2e_versions(w->f, w->path) >= w->n;
}

bool e2e_wait_versions(struct e2e *f, const char *path, long n)
{
    struct wanted w = {f, path, n};
    char what[200];
    snprintf(what, sizeof what, "%ld versions of %.100s", n, path);
    if (!e2e_wait(has_versions, &w, E2E_LONG_MS, what))
        return false;
    long found = e2e_versions(f, path);
    if (found == n)
        return true;
    char sizes[256] = "";
    for (long i = 0; i < found && strlen(sizes) < sizeof sizes - 40; i++) {
        char place[64];
        snprintf(place, sizeof place, "versions.%ld.size", i);
        snprintf(sizes + strlen(sizes), sizeof sizes - strlen(sizes), " %.20s",
                 e2e_value(f, place));
    }
    check_fail("%s has %ld versions, expected %ld; their sizes, newest first:%s", path, found, n,
               sizes);
    return false;
}

static bool is_published(void *arg)
{
    struct e2e *f = arg;
    e2e_sh(f, "persist status %s --json", f->folder);
    return strcmp(e2e_value(f, "pending"), "0") == 0;
}

bool e2e_wait_published(struct e2e *f)
{
    return e2e_wait(is_published, f, E2E_LONG_MS, "nothing pending");
}
