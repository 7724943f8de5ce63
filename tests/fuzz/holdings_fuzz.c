/* Lists of what others hold: decoding refuses, or what it accepts has one encoding. */
#include "proto/holdings.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct holdings_record *rec, struct buf *b)
{
    struct holdings_value v;
    size_t n = 0;
    for (struct reader r = reader_of(rec->values); holdings_next(&r, &v);)
        n++;
    must(n > 0 && n <= HOLDINGS_VALUES_MAX);
    holdings_put_record(b, &rec->rid, rec->alive, n);
    for (struct reader r = reader_of(rec->values); holdings_next(&r, &v);)
        holdings_put_value(b, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of(bytes_of(data, size));
    struct holdings_head head;
    struct holdings_record rec;
    struct rid before;
    struct buf b = {0};
    bool first = true;
    if (holdings_read_head(&r, &head) < 0)
        return 0;
    holdings_put_head(&b, &head);
    while (r.n > 0 && holdings_read_record(&r, first ? NULL : &before, &rec) == 0) {
        again(&rec, &b);
        must(bytes_equal(buf_bytes(&b), bytes_of(data, size - r.n)));
        before = rec.rid;
        first = false;
    }
    buf_fini(&b);
    return 0;
}
