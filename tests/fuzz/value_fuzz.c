/* Parts from others and from the database: decoding refuses, or what it accepts has one encoding.
 */
#include <stdlib.h>

#include "proto/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size, enum value_form form)
{
    struct value v;
    if (value_decode(bytes_of(data, size), form, &v) < 0)
        return;
    struct buf b = {0};
    value_encode(&v, form, &b);
    if (b.failed || !bytes_equal(buf_bytes(&b), bytes_of(data, size)))
        abort();
    buf_fini(&b);
}

static void check_change(const uint8_t *data, size_t size)
{
    struct reader r;
    struct dot dot;
    struct value v;
    size_t n;
    if (value_change_open(bytes_of(data, size), &r, &dot, &n) < 0)
        return;
    while (n-- > 0 && value_change_next(&r, &dot, &v) == 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size, VALUE_WIRE);
    check(data, size, VALUE_STORED);
    check_change(data, size);
    struct vv vv = {0};
    struct reader r = reader_of(bytes_of(data, size));
    (void)!vv_read(&r, &vv);
    vv_fini(&vv);
    return 0;
}
