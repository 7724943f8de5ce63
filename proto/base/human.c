#include "proto/base/human.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "proto/base/escape.h"

const char *human_bytes(uint64_t n, char to[HUMAN_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t u = 0;
    uint64_t whole = n;
    uint64_t tenths = 0;
    while (whole >= 1024) {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        u++;
    }
    if (u == 0 || whole >= 10)
        snprintf(to, HUMAN_MAX, "%" PRIu64 " %s", whole, units[u]);
    else
        snprintf(to, HUMAN_MAX, "%" PRIu64 ".%" PRIu64 " %s", whole, tenths, units[u]);
    return to;
}

const char *human_count(uint64_t n, char to[HUMAN_MAX])
{
    char digits[32];
    int k = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *p = to;
    for (int i = 0; i < k; i++) {
        if (i > 0 && (k - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return to;
}

/* The largest time that a four-digit year shows. */
static time_t seconds_of(uint64_t ms)
{
    const uint64_t last = 253402300799; /* 9999-12-31T23:59:59Z */
    return (time_t)min_u64(ms / 1000, last);
}

const char *human_time(uint64_t ms, char to[HUMAN_MAX])
{
    time_t t = seconds_of(ms);
    struct tm tm;
    if (localtime_r(&t, &tm) == NULL || strftime(to, HUMAN_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(to, HUMAN_MAX, "-");
    return to;
}

const char *human_time_utc(uint64_t ms, char to[HUMAN_MAX])
{
    time_t t = seconds_of(ms);
    struct tm tm;
    size_t n = 0;
    if (gmtime_r(&t, &tm) != NULL)
        n = strftime(to, HUMAN_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to + n, HUMAN_MAX - n, ".%03uZ", (unsigned)(ms % 1000));
    return to;
}

const char *human_duration(uint64_t ms, char to[HUMAN_MAX])
{
    uint64_t s = ms / 1000;
    if (s < 60)
        snprintf(to, HUMAN_MAX, "%" PRIu64 "s", s);
    else if (s < 3600)
        snprintf(to, HUMAN_MAX, "%" PRIu64 "m %02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(to, HUMAN_MAX, "%" PRIu64 "h %02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(to, HUMAN_MAX, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
    return to;
}

void table_cell(struct table *t, struct bytes v)
{
    assert(t->columns_n > 0 && t->columns_n <= TABLE_COLUMNS_MAX);
    size_t at = t->text.n;
    buf_put_u32(&t->text, 0);
    escape_put(&t->text, v);
    if (t->text.failed)
        return;
    struct bytes cell = bytes_of(t->text.p + at + 4, t->text.n - at - 4);
    put_u32(t->text.p + at, (uint32_t)cell.n);
    size_t width = escape_columns(cell);
    size_t column = t->cells_n++ % t->columns_n;
    if (width > t->width[column])
        t->width[column] = width;
}

void table_cell_str(struct table *t, const char *v)
{
    table_cell(t, bytes_str(v));
}

static void put_blanks(struct buf *out, size_t n)
{
    while (n-- > 0)
        buf_put_u8(out, ' ');
}

static void put_row(const struct table *t, struct reader *cells, struct buf *out)
{
    size_t owed = 0; /* blanks that are written only when something follows */
    for (size_t c = 0; c < t->columns_n; c++) {
        struct bytes cell = reader_bytes(cells, reader_u32(cells));
        size_t gap = t->width[c] - escape_columns(cell);
        if (cell.n > 0) {
            put_blanks(out, owed + (t->right[c] ? gap : 0));
            buf_put_bytes(out, cell);
            owed = 0;
        } else if (t->right[c]) {
            owed += gap;
        }
        owed += (t->right[c] ? 0 : gap) + 2;
    }
}

int table_put(const struct table *t, bool colour, struct buf *out)
{
    if (t->text.failed)
        return buf_status(&t->text);
    assert(t->cells_n % t->columns_n == 0);
    struct reader cells = reader_of(buf_bytes(&t->text));
    for (size_t row = 0; row * t->columns_n < t->cells_n; row++) {
        bool bold = colour && row == 0;
        if (bold)
            buf_put_bytes(out, bytes_str("\033[1m"));
        put_row(t, &cells, out);
        buf_put_bytes(out, bytes_str(bold ? "\033[0m\n" : "\n"));
    }
    return buf_status(out);
}

void table_fini(struct table *t)
{
    buf_fini(&t->text);
    t->cells_n = 0;
}
