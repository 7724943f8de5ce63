/* Three texts, base and two edits: merged the same either way, and one edit alone is itself. */
#include "fs/merge/text.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_alone(struct bytes base, struct bytes a, struct bytes b, struct bytes ought)
{
    struct buf got = {0};
    must(text_merge(base, a, b, OVERLAP_STOPS, &got) == 1);
    must(bytes_equal(buf_bytes(&got), ought));
    buf_fini(&got);
}

static int check_both(const struct bytes in[static TEXTS], enum text_overlap overlap)
{
    struct buf ab = {0}, ba = {0};
    int rc = text_merge(in[0], in[1], in[2], overlap, &ab);
    must(text_merge(in[0], in[2], in[1], overlap, &ba) == rc);
    must(bytes_equal(buf_bytes(&ab), buf_bytes(&ba)));
    buf_fini(&ab);
    buf_fini(&ba);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in[TEXTS];
    parts_of(data, size, TEXTS, in);
    check_alone(in[0], in[1], in[1], in[1]);
    check_alone(in[0], in[0], in[1], in[1]);
    int rc = check_both(in, OVERLAP_STOPS);
    must(rc == 0 || rc == 1);
    must(check_both(in, OVERLAP_UNITES) == 1);
    return 0;
}
