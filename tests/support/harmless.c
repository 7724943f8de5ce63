#include "tests/support/harmless.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

void expect_harmless(struct bytes text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool c1 = c == 0xc2 && i + 1 < text.n && text.p[i + 1] >= 0x80 && text.p[i + 1] < 0xa0;
        if ((c < 0x20 && c != '\n') || c == 0x7f || c1)
            fail_msg("byte %02x at %zu of: %.*s", c, i, (int)text.n, (const char *)text.p);
    }
}
