/* Three Markdown files: merged without a fault, and the same edit of both is that edit. */
#include "fs/merge/front.h"
#include "fs/merge/frontmatter.h"
#include "fs/merge/split.h"
#include "tests/fuzz/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_front(struct bytes file)
{
    struct front f;
    if (front_init(&f, file) == 1) {
        /* The block is made of its parts, and nothing is between them. */
        struct bytes at = f.opening;
        for (size_t i = 0; i < front_count(&f); i++) {
            must(front_entry(&f, i)->lines.p == at.p + at.n);
            at = front_entry(&f, i)->lines;
        }
        must(f.below.p == at.p + at.n && f.closing.p == f.below.p + f.below.n &&
             f.body.p == f.closing.p + f.closing.n && f.body.p + f.body.n == file.p + file.n);
    }
    front_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in[3];
    struct buf got = {0};
    parts_of(data, size, 3, in);
    check_front(in[1]);
    int rc = frontmatter_merge(in[0], in[1], in[2], &got);
    must(rc == 0 || rc == 1);
    buf_reset(&got);
    rc = frontmatter_merge(in[0], in[2], in[2], &got);
    must(rc == 1 && (text_ends(in[2]) == ENDS_MIXED || bytes_equal(buf_bytes(&got), in[2])));
    buf_fini(&got);
    return 0;
}
