#include "fs/mount/virtual_text.h"

#include <errno.h>

#include "proto/base/log.h"

struct text_out {
    struct out out; /* first */
    struct buf *to;
};

static int text_write(struct out *o, struct bytes v)
{
    struct text_out *t = (struct text_out *)(void *)o;
    buf_put_bytes(t->to, v);
    return buf_status(t->to);
}

static void text_error(struct out *o, const char *line)
{
    (void)o;
    log_warn("%s", line);
}

static bool text_cancelled(struct out *o, unsigned wait_ms)
{
    (void)o;
    (void)wait_ms;
    return false;
}

int virtual_text(struct space *s, const struct verb_call *call, struct buf *ret)
{
    struct text_out t = {
        .out = {.write = text_write, .error = text_error, .cancelled = text_cancelled}, .to = ret};
    int status = verb_find(call->verb)->run(s, call, &t.out);
    return status == VERB_OK ? buf_status(ret) : -EIO;
}
