#include "proto/base/json.h"

#include <assert.h>
#include <stdio.h>

#include "proto/base/human.h"
#include "proto/base/utf8.h"

void json_init(struct json *j, struct buf *b)
{
    *j = (struct json){.b = b};
}

static void put(struct json *j, const char *s)
{
    buf_put_bytes(j->b, bytes_str(s));
}

/* Before a value: the comma of a list, or nothing after a key. */
static void before_value(struct json *j)
{
    assert(!j->done);
    if (j->depth == 0)
        return;
    uint32_t bit = 1U << j->depth;
    if ((j->lists & bit) == 0) {
        assert(j->keyed);
        j->keyed = false;
        return;
    }
    if ((j->begun & bit) != 0)
        put(j, ",");
    j->begun |= bit;
}

static void after_value(struct json *j)
{
    if (j->depth == 0)
        j->done = true;
}

static void value(struct json *j, const char *text)
{
    before_value(j);
    put(j, text);
    after_value(j);
}

static void open_value(struct json *j, bool list)
{
    before_value(j);
    put(j, list ? "[" : "{");
    j->depth++;
    assert(j->depth < JSON_DEPTH_MAX);
    uint32_t bit = 1U << j->depth;
    j->begun &= ~bit;
    j->lists = list ? j->lists | bit : j->lists & ~bit;
}

void json_object(struct json *j)
{
    open_value(j, false);
}

void json_list(struct json *j)
{
    open_value(j, true);
}

void json_end(struct json *j)
{
    assert(j->depth > 0 && !j->keyed);
    put(j, (j->lists & 1U << j->depth) != 0 ? "]" : "}");
    j->depth--;
    after_value(j);
}

static void put_char(struct json *j, uint32_t c, struct bytes as)
{
    char text[16];
    if (c == '"' || c == '\\')
        snprintf(text, sizeof text, "\\%c", (char)c);
    else if (c == '\n')
        snprintf(text, sizeof text, "\\n");
    else if (c == '\t')
        snprintf(text, sizeof text, "\\t");
    else if (c < 0x20 || c == 0x7f || c == 0x2028 || c == 0x2029)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else {
        buf_put_bytes(j->b, as);
        return;
    }
    put(j, text);
}

static void put_string(struct json *j, struct bytes v)
{
    put(j, "\"");
    while (v.n > 0) {
        uint32_t c;
        size_t n = utf8_decode(v, &c);
        if (n == 0) {
            put(j, "\xef\xbf\xbd");
            n = 1;
        } else {
            put_char(j, c, bytes_of(v.p, n));
        }
        v.p += n;
        v.n -= n;
    }
    put(j, "\"");
}

void json_key(struct json *j, const char *key)
{
    uint32_t bit = 1U << j->depth;
    assert(j->depth > 0 && (j->lists & bit) == 0 && !j->keyed);
    if ((j->begun & bit) != 0)
        put(j, ",");
    j->begun |= bit;
    put_string(j, bytes_str(key));
    put(j, ":");
    j->keyed = true;
}

void json_bytes(struct json *j, struct bytes v)
{
    before_value(j);
    put_string(j, v);
    after_value(j);
}

void json_str(struct json *j, const char *v)
{
    if (v == NULL)
        json_null(j);
    else
        json_bytes(j, bytes_str(v));
}

void json_hex(struct json *j, struct bytes v)
{
    before_value(j);
    put(j, "\"");
    for (size_t i = 0; i < v.n; i++) {
        char text[4];
        snprintf(text, sizeof text, "%02x", v.p[i]);
        put(j, text);
    }
    put(j, "\"");
    after_value(j);
}

void json_u64(struct json *j, uint64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    value(j, text);
}

void json_i64(struct json *j, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    value(j, text);
}

void json_bool(struct json *j, bool v)
{
    value(j, v ? "true" : "false");
}

void json_null(struct json *j)
{
    value(j, "null");
}

void json_raw(struct json *j, struct bytes v)
{
    before_value(j);
    buf_put_bytes(j->b, v);
    after_value(j);
}

void json_key_bytes(struct json *j, const char *key, struct bytes v)
{
    json_key(j, key);
    json_bytes(j, v);
}

void json_key_str(struct json *j, const char *key, const char *v)
{
    json_key(j, key);
    json_str(j, v);
}

void json_key_u64(struct json *j, const char *key, uint64_t v)
{
    json_key(j, key);
    json_u64(j, v);
}

void json_key_bool(struct json *j, const char *key, bool v)
{
    json_key(j, key);
    json_bool(j, v);
}

void json_key_time(struct json *j, const char *key, uint64_t ms)
{
    char text[HUMAN_MAX];
    json_key(j, key);
    json_str(j, human_time_utc(ms, text));
}

int json_finish(struct json *j)
{
    assert(j->done && j->depth == 0);
    put(j, "\n");
    return buf_status(j->b);
}
