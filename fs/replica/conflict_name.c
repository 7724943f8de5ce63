#include "fs/replica/conflict_name.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "fs/replica/mutant.h"

enum { EXTENSION_MAX = 16 };

/* Where the extension begins, with its dot; @name.n when there is none. */
static size_t extension(struct bytes name)
{
    for (size_t i = name.n; i-- > 1 && !MUTANT(no_extension);) {
        if (name.p[i] == '.')
            return name.n - i > EXTENSION_MAX ? name.n : i;
        if (name.p[i] == ' ')
            break; /* "1. Introduction" has none */
    }
    return name.n;
}

/* The longest beginning of at most @max bytes that does not end within a UTF-8 character. */
static size_t cut(struct bytes v, size_t max)
{
    if (v.n <= max)
        return v.n;
    size_t n = max;
    while (n > 0 && max - n < 4 && (v.p[n] & 0xc0) == 0x80)
        n--;
    return n > 0 && (v.p[n] & 0xc0) != 0x80 ? n : max;
}

size_t conflict_name(struct bytes name, const char *label, uint64_t hlc, const struct rid *rid,
                     char ret[static LIMIT_NAME + 1])
{
    assert(name.n > 0 && name.n <= LIMIT_NAME && strlen(label) <= LIMIT_LABEL);
    time_t seconds = (time_t)(hlc_ms(hlc) / 1000);
    struct tm tm = {0};
    gmtime_r(&seconds, &tm); /* 48 bits of milliseconds end in the year 10889 */
    char date[64], middle[LIMIT_LABEL + 128], tag[RID_HEX_SIZE + 2] = "";
    strftime(date, sizeof date, "%Y-%m-%d %H.%M.%S", &tm);
    if (rid != NULL) {
        char hex[RID_HEX_SIZE];
        rid_hex(rid, hex);
        snprintf(tag, sizeof tag, " #%.8s", hex);
    }
    int n = snprintf(middle, sizeof middle, " (conflict from %s %s%s)", label, date, tag);
    assert(n > 0 && (size_t)n < sizeof middle);
    size_t middle_n = (size_t)n, dot = extension(name), ext_n = name.n - dot;
    size_t stem_n = cut(bytes_of(name.p, dot), CONFLICT_NAME_MAX - middle_n - ext_n);
    memcpy(ret, name.p, stem_n);
    memcpy(ret + stem_n, middle, middle_n);
    memcpy(ret + stem_n + middle_n, name.p + dot, ext_n);
    ret[stem_n + middle_n + ext_n] = '\0';
    return stem_n + middle_n + ext_n;
}
