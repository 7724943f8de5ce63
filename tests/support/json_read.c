#include "tests/support/json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

static const char *skip_space(const char *p)
{
    return p + strspn(p, " \t\r\n");
}

static bool is_hex4(const char *p)
{
    return strspn(p, "0123456789abcdefABCDEF") >= 4;
}

/* Past a UTF-8 sequence of at least two bytes, or NULL. */
static const char *skip_wide(const char *p)
{
    unsigned char c = (unsigned char)*p;
    int more = c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 0;
    for (int i = 1; i <= more; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return NULL;
    return more > 0 ? p + more + 1 : NULL;
}

static const char *skip_string(const char *p)
{
    if (*p++ != '"')
        return NULL;
    while (p != NULL && *p != '"') {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20)
            return NULL;
        if (c >= 0x80)
            p = skip_wide(p);
        else if (c != '\\')
            p++;
        else if (p[1] == 'u' && is_hex4(p + 2))
            p += 6;
        else if (p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL)
            p += 2;
        else
            return NULL;
    }
    return p != NULL ? p + 1 : NULL;
}

static const char *skip_digits(const char *p)
{
    size_t n = strspn(p, "0123456789");
    return n > 0 ? p + n : NULL;
}

static const char *skip_number(const char *p)
{
    if (*p == '-')
        p++;
    if (*p == '0' && p[1] >= '0' && p[1] <= '9')
        return NULL;
    p = skip_digits(p);
    if (p != NULL && *p == '.')
        p = skip_digits(p + 1);
    if (p != NULL && (*p == 'e' || *p == 'E')) {
        p++;
        p = skip_digits(p + (*p == '+' || *p == '-'));
    }
    return p;
}

static const char *skip_value(const char *p, unsigned depth);

/* Past "key": of an object's member, and white space. */
static const char *skip_key(const char *p)
{
    p = skip_string(p);
    p = p != NULL ? skip_space(p) : NULL;
    return p != NULL && *p == ':' ? skip_space(p + 1) : NULL;
}

static const char *skip_members(const char *p, bool object, unsigned depth)
{
    char end = object ? '}' : ']';
    p = skip_space(p + 1);
    if (*p == end)
        return p + 1;
    while (p != NULL) {
        if (object)
            p = skip_key(p);
        if (p != NULL)
            p = skip_value(p, depth + 1);
        if (p == NULL)
            return NULL;
        p = skip_space(p);
        if (*p == end)
            return p + 1;
        p = *p == ',' ? skip_space(p + 1) : NULL;
    }
    return NULL;
}

static const char *skip_value(const char *p, unsigned depth)
{
    static const char *const words[] = {"true", "false", "null"};
    if (depth > DEPTH_MAX)
        return NULL;
    if (*p == '{' || *p == '[')
        return skip_members(p, *p == '{', depth);
    if (*p == '"')
        return skip_string(p);
    for (size_t i = 0; i < 3; i++)
        if (strncmp(p, words[i], strlen(words[i])) == 0)
            return p + strlen(words[i]);
    return skip_number(p);
}

bool json_read_valid(const char *text)
{
    const char *end = skip_value(skip_space(text), 0);
    return end != NULL && *skip_space(end) == '\0';
}

/* The member of the value at @p that the first component of @place names, or NULL. */
static const char *find_member(const char *p, const char *name, size_t name_n)
{
    bool object = *p == '{';
    unsigned long index = strtoul(name, NULL, 10);
    if (!object && *p != '[')
        return NULL;
    p = skip_space(p + 1);
    for (unsigned long i = 0; *p != '}' && *p != ']'; i++) {
        bool found =
            object ? strncmp(p + 1, name, name_n) == 0 && p[1 + name_n] == '"' : i == index;
        if (object)
            p = skip_key(p);
        if (found)
            return p;
        p = skip_space(skip_value(p, 0));
        if (*p == ',')
            p = skip_space(p + 1);
    }
    return NULL;
}

static const char *find(const char *text, const char *place)
{
    const char *p = json_read_valid(text) ? skip_space(text) : NULL;
    while (p != NULL && *place != '\0') {
        size_t n = strcspn(place, ".");
        p = find_member(p, place, n);
        place += n + (place[n] == '.');
    }
    return p;
}

long json_read_count(const char *text, const char *place)
{
    const char *p = find(text, place);
    long n = 0;
    if (p == NULL || (*p != '{' && *p != '['))
        return -1;
    bool object = *p == '{';
    for (p = skip_space(p + 1); *p != '}' && *p != ']'; n++) {
        if (object)
            p = skip_key(p);
        p = skip_space(skip_value(p, 0));
        if (*p == ',')
            p = skip_space(p + 1);
    }
    return n;
}

static char unescape(const char **p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = strchr(from, *(*p)++);
    return at != NULL ? to[at - from] : '?';
}

const char *json_read_at(const char *text, const char *place, char *to, size_t size)
{
    const char *p = find(text, place);
    size_t n = 0;
    to[0] = '\0';
    if (p == NULL || *p == '{' || *p == '[')
        return to;
    if (*p != '"') {
        snprintf(to, size, "%.*s", (int)(skip_value(p, 0) - p), p);
        return to;
    }
    for (p++; *p != '"' && n + 1 < size;) {
        char c = *p++;
        if (c == '\\' && *p == 'u' && strncmp(p, "u00", 3) == 0) {
            c = (char)strtol((const char[]){p[3], p[4], '\0'}, NULL, 16);
            p += 5;
        } else if (c == '\\' && *p != 'u') {
            c = unescape(&p);
        }
        to[n++] = c;
    }
    to[n] = '\0';
    return to;
}
