#include "sync/cli/fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail(enum verb_status status, const char *fmt, ...)
{
    char line[2048] = "persist: ";
    size_t n = strlen(line);
    va_list ap;
    va_start(ap, fmt);
    int k = vsnprintf(line + n, sizeof line - n, fmt, ap);
    va_end(ap);
    if (k > 0)
        n += (size_t)k < sizeof line - n ? (size_t)k : sizeof line - n - 1;
    /* What comes from others was escaped where it was put in; this only keeps it one line. */
    for (char *p = line; p < line + n; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "%s\n", line);
    return (int)status;
}

int fail_err(const struct err *err)
{
    return fail((enum verb_status)verb_status_of(err->code), "%s", err->msg);
}
