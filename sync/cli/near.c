#include "sync/cli/near.h"

#include <stddef.h>
#include <string.h>

enum { NEAR_MAX = 24 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment distance, row by row. */
static size_t distance(const char *a, size_t a_n, const char *b, size_t b_n)
{
    size_t d[NEAR_MAX + 1][NEAR_MAX + 1];
    for (size_t i = 0; i <= a_n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b_n; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_n; i++)
        for (size_t j = 1; j <= b_n; j++) {
            size_t same = a[i - 1] == b[j - 1] ? 0 : 1;
            d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    return d[a_n][b_n];
}

bool near_match(const char *word, const char *known)
{
    size_t n = strlen(word);
    size_t m = strlen(known);
    if (n == 0 || n > NEAR_MAX || m > NEAR_MAX)
        return false;
    if (n >= 2 && strncmp(word, known, n) == 0)
        return true;
    return distance(word, n, known, m) <= (m <= 4 ? 1 : 2);
}
