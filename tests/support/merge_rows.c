#include "tests/support/merge_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

void merge_check_rows(merge_fn *merge, const struct merge_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct merge_row *r = &rows[i];
        struct buf got = {0};
        int rc = merge(bytes_str(r->base), bytes_str(r->earlier), bytes_str(r->later), &got);
        struct bytes ought = bytes_str(r->ought != NULL ? r->ought : "");
        if (rc != (r->ought != NULL) || !bytes_equal(buf_bytes(&got), ought))
            fail_msg("'%s' with '%s', later '%s' is %d, '%.*s', ought to be '%s'", r->base,
                     r->earlier, r->later, rc, (int)got.n, (const char *)got.p,
                     r->ought ? r->ought : "-");
        buf_fini(&got);
    }
}
