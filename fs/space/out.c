#include "fs/space/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int out_write(struct out *o, const void *p, size_t n)
{
    return n == 0 ? 0 : o->write(o, bytes_of(p, n));
}

int out_buf(struct out *o, const struct buf *b)
{
    int rc = buf_status(b);
    return rc < 0 ? rc : out_write(o, b->p, b->n);
}

int out_printf(struct out *o, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM;
    int rc = out_write(o, text, (size_t)n);
    free(text);
    return rc;
}

void out_error(struct out *o, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    o->error(o, line);
}

void out_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    if (o->progress != NULL)
        o->progress(o, done, total, label);
}

bool out_cancelled(struct out *o, unsigned wait_ms)
{
    return o->cancelled(o, wait_ms);
}
