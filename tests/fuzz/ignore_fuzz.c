/* Rules that came from another device, against a path: the first line is the path. */
#include <stdlib.h>
#include <string.h>

#include "fs/space/ignore_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t n = end != NULL ? (size_t)(end - data) : 0;
    struct bytes path = bytes_of(data, n), text = bytes_of(data + n, size - n);
    struct ignore_rules r;
    if (ignore_rules_parse(text, &r) < 0)
        return 0;
    enum ignore_verdict file = ignore_rules_match(&r, path, false);
    enum ignore_verdict dir = ignore_rules_match(&r, path, true);
    /* A folder is matched by all that a file is; without rules nothing is. */
    if ((file != IGNORE_SILENT && dir == IGNORE_SILENT) ||
        (r.rules.n == 0 && file != IGNORE_SILENT))
        abort();
    ignore_rules_fini(&r);
    return 0;
}
