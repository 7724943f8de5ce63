#include "proto/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (e == NULL)
        return code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    e->code = code;
    return code;
}

int err_wrap(struct err *e, int code, const char *fmt, ...)
{
    if (e == NULL)
        return code;
    char head[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    char tail[sizeof e->msg];
    memcpy(tail, e->msg, sizeof tail);
    tail[sizeof tail - 1] = '\0';
    size_t head_len = strnlen(head, sizeof head / 2);
    snprintf(e->msg, sizeof e->msg, "%.*s: %.*s", (int)head_len, head,
             (int)(sizeof e->msg - head_len - 3), e->code != 0 ? tail : strerror(-code));
    e->code = code;
    return code;
}
