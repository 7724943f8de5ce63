/* Bytes from a client or a server of the control socket. */
#include <stdlib.h>
#include <string.h>

#include "fs/mount/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes must encode to something that decodes to the same. */
static void check_request(struct bytes payload)
{
    struct control_request r;
    if (control_get_request(payload, &r) < 0)
        return;
    struct buf b = {0};
    struct control_frame f;
    struct control_request again;
    control_put_request(&b, &r.call);
    if (buf_status(&b) < 0 || control_decode(buf_bytes(&b), &f) != (ssize_t)b.n ||
        control_get_request(f.payload, &again) < 0)
        abort();
    if (strcmp(r.call.verb, again.call.verb) != 0 || r.call.args_n != again.call.args_n ||
        r.call.at_ms != again.call.at_ms || r.call.columns != again.call.columns ||
        r.call.json != again.call.json || r.call.repair != again.call.repair)
        abort();
    for (size_t i = 0; i < r.call.args_n; i++)
        if (strcmp(r.call.args[i], again.call.args[i]) != 0)
            abort();
    control_request_fini(&again);
    control_request_fini(&r);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct control_frame f;
    ssize_t n;
    while ((n = control_decode(in, &f)) > 0) {
        uint64_t done;
        uint64_t total;
        char label[64];
        if ((size_t)n > in.n || f.payload.n + CONTROL_HEAD_BYTES != (size_t)n)
            abort();
        if (f.type == CONTROL_REQUEST)
            check_request(f.payload);
        if (f.type == CONTROL_PROGRESS &&
            control_get_progress(f.payload, &done, &total, label) == 0 &&
            strnlen(label, sizeof label) == sizeof label)
            abort();
        in.p += n;
        in.n -= (size_t)n;
    }
    return 0;
}
