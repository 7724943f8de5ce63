#include "sync/cli/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/escape.h"

/* Reads exactly @n digits. */
static bool digits(const char **p, int n, int *ret)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if (!isdigit((unsigned char)(*p)[i]))
            return false;
        v = v * 10 + ((*p)[i] - '0');
    }
    *p += n;
    *ret = v;
    return true;
}

static bool character(const char **p, char c)
{
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

static bool parse_number(const char **p, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    const char *start = *p;
    for (; isdigit((unsigned char)**p); (*p)++) {
        v = v * 10 + (uint64_t)(**p - '0');
        if (v > max)
            return false;
    }
    *ret = v;
    return *p > start;
}

static bool parse_ago(const char *p, uint64_t now_ms, uint64_t *ret_ms)
{
    static const struct {
        char letter;
        uint64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
    uint64_t n;
    if (!parse_number(&p, 1000000000, &n))
        return false;
    for (size_t i = 0; i < ARRAY_N(units); i++)
        if (*p == units[i].letter && (p[1] == '\0' || strcmp(p + 1, " ago") == 0)) {
            *ret_ms = now_ms - min_u64(now_ms, n * units[i].ms);
            return true;
        }
    return false;
}

static bool parse_day(const char **p, struct tm *tm)
{
    int year;
    if (!digits(p, 4, &year) || !character(p, '-') || !digits(p, 2, &tm->tm_mon) ||
        !character(p, '-') || !digits(p, 2, &tm->tm_mday))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon--;
    return tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 && tm->tm_mday <= 31;
}

static bool parse_time(const char **p, struct tm *tm, unsigned *ret_ms)
{
    if (!digits(p, 2, &tm->tm_hour) || !character(p, ':') || !digits(p, 2, &tm->tm_min))
        return false;
    if (character(p, ':') && !digits(p, 2, &tm->tm_sec))
        return false;
    *ret_ms = 0;
    if (character(p, '.'))
        for (unsigned unit = 100; isdigit((unsigned char)**p); unit /= 10, (*p)++)
            *ret_ms += (unsigned)(**p - '0') * unit;
    return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec < 61;
}

/* "Z", "+01:00" or nothing (then *ret_local). */
static bool parse_zone(const char **p, bool *ret_local, int *ret_offset_s)
{
    *ret_local = **p == '\0';
    if (*ret_local || character(p, 'Z'))
        return true;
    int sign = **p == '-' ? -1 : 1;
    int hours;
    int minutes;
    if (!character(p, '+') && !character(p, '-'))
        return false;
    if (!digits(p, 2, &hours) || !character(p, ':') || !digits(p, 2, &minutes))
        return false;
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool parse_date(const char *p, uint64_t *ret_ms)
{
    struct tm tm = {.tm_isdst = -1};
    bool local = true;
    int offset_s = 0;
    unsigned ms = 0;
    if (!parse_day(&p, &tm))
        return false;
    int day = tm.tm_mday;
    if (*p != '\0' && (!(character(&p, 'T') || character(&p, ' ')) || !parse_time(&p, &tm, &ms) ||
                       !parse_zone(&p, &local, &offset_s) || *p != '\0'))
        return false;
    time_t t = local ? mktime(&tm) : timegm(&tm) - offset_s;
    /* The 31st of a month of 30 days would have become the 1st. */
    if (t < 0 || tm.tm_mday != day)
        return false;
    *ret_ms = (uint64_t)t * 1000 + ms;
    return true;
}

int when_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms, struct err *err)
{
    char shown[64];
    uint64_t ms = 0;
    const char *p = text;
    bool fine;
    if (character(&p, '@')) {
        fine = parse_number(&p, UINT32_MAX * (uint64_t)100, &ms) && *p == '\0';
        ms *= 1000;
    } else {
        fine = parse_date(text, &ms) || parse_ago(text, now_ms, &ms);
    }
    escape_to(shown, sizeof shown, bytes_str(text));
    if (!fine)
        return err_set(
            err, -EINVAL,
            "time: '%s' is not understood; as '2026-11-22 14:03', '2h ago' or '@SECONDS'", shown);
    if (ms > now_ms)
        return err_set(err, -EINVAL, "time: '%s' is yet to come; give one that has passed", shown);
    *ret_ms = ms;
    return 0;
}
