#include "fs/merge/policy.h"

#include <ctype.h>
#include <errno.h>

#include "fs/merge/split.h"
#include "proto/base/escape.h"
#include "proto/glob.h"

struct policy_rule {
    struct glob glob; /* a view of the text */
    struct strategy strategy;
    unsigned line;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct bytes trim(struct bytes v)
{
    while (v.n > 0 && is_blank(v.p[0]))
        v = bytes_behind(v, 1);
    while (v.n > 0 && is_blank(v.p[v.n - 1]))
        v.n--;
    return v;
}

/* Up to the first blank without a backslash before it. */
static size_t pattern_bytes(struct bytes line)
{
    size_t n = 0;
    while (n < line.n && !is_blank(line.p[n]))
        n += line.p[n] == '\\' && n + 1 < line.n ? 2 : 1;
    return n;
}

static bool is_driver(struct bytes name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!(name.p[i] < 0x80 && isalnum(name.p[i])) && memchr("._-", name.p[i], 3) == NULL)
            return false;
    return name.n > 0 && name.n <= POLICY_DRIVER_MAX;
}

static bool parse_strategy(struct bytes v, struct strategy *ret)
{
    static const struct {
        const char *name;
        enum strategy_kind kind;
    } known[] = {
        {"text", STRATEGY_TEXT}, {"union", STRATEGY_UNION},         {"json", STRATEGY_JSON},
        {"lww", STRATEGY_LWW},   {"keep-both", STRATEGY_KEEP_BOTH},
    };
    static const char exec[] = "exec:";
    const size_t n = sizeof exec - 1;
    for (size_t i = 0; i < ARRAY_N(known); i++)
        if (bytes_equal(v, bytes_str(known[i].name))) {
            *ret = (struct strategy){.kind = known[i].kind};
            return true;
        }
    if (v.n < n || memcmp(v.p, exec, n) != 0)
        return false;
    *ret = (struct strategy){STRATEGY_EXEC, bytes_behind(v, n)};
    return is_driver(ret->driver);
}

static int parse_line(struct policy *p, struct bytes line, unsigned number, struct err *e)
{
    char shown[64];
    struct policy_rule rule = {.strategy = {.kind = STRATEGY_DEFAULT}, .line = number};
    line = trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return 0;
    struct bytes pattern = bytes_of(line.p, pattern_bytes(line));
    struct bytes strategy = trim(bytes_behind(line, pattern.n));
    if (strategy.n == 0)
        return err_set(e, -EBADMSG,
                       "line %u: no strategy behind the pattern; a blank in a pattern "
                       "needs a backslash before it",
                       number);
    if (pattern.p[0] == '!')
        return err_set(e, -EBADMSG,
                       "line %u: a pattern cannot be taken back with '!'; the last line "
                       "that matches holds; for a name with a '!' write '\\!'",
                       number);
    if (pattern.p[pattern.n - 1] == '/')
        return err_set(e, -EBADMSG,
                       "line %u: '%s' is of a folder, and only files are merged; write "
                       "%s** for all in it",
                       number, escape_to(shown, sizeof shown, pattern), shown);
    if (!parse_strategy(strategy, &rule.strategy))
        return err_set(e, -EBADMSG,
                       "line %u: '%s' is no strategy; there are text, union, json, lww, "
                       "keep-both and exec:NAME",
                       number, escape_to(shown, sizeof shown, strategy));
    rule.glob = glob_of(pattern);
    buf_put(&p->rules, &rule, sizeof rule);
    return buf_status(&p->rules);
}

static int parse(struct policy *p, struct err *e)
{
    struct bytes left = buf_bytes(&p->text);
    left = bytes_behind(left, text_mark_bytes(left));
    for (unsigned number = 1; left.n > 0; number++) {
        const uint8_t *end = memchr(left.p, '\n', left.n);
        size_t n = end != NULL ? (size_t)(end - left.p) : left.n, skip = n + (end != NULL);
        if (number > POLICY_LINES_MAX)
            return err_set(e, -E2BIG, "line %u: more than %d lines", number, POLICY_LINES_MAX);
        if (n > POLICY_LINE_MAX)
            return err_set(e, -E2BIG, "line %u: longer than %d bytes", number, POLICY_LINE_MAX);
        n -= n > 0 && left.p[n - 1] == '\r';
        int rc = parse_line(p, bytes_of(left.p, n), number, e);
        if (rc < 0)
            return rc;
        left = bytes_behind(left, skip);
    }
    return 0;
}

int policy_parse(struct bytes text, struct policy *ret, struct err *e)
{
    *ret = (struct policy){.text = {0}};
    if (text.n > POLICY_FILE_MAX)
        return err_set(e, -E2BIG, "longer than %d KiB", POLICY_FILE_MAX >> 10);
    buf_put_bytes(&ret->text, text);
    int rc = buf_status(&ret->text);
    if (rc == 0)
        rc = parse(ret, e);
    if (rc < 0)
        policy_fini(ret);
    return rc;
}

void policy_fini(struct policy *p)
{
    buf_fini(&p->text);
    buf_fini(&p->rules);
}

struct strategy policy_find(const struct policy *p, struct bytes path)
{
    for (size_t end = p->rules.n; end > 0; end -= sizeof(struct policy_rule)) {
        struct policy_rule rule;
        memcpy(&rule, p->rules.p + end - sizeof rule, sizeof rule);
        if (glob_match(&rule.glob, path))
            return rule.strategy;
    }
    return (struct strategy){.kind = STRATEGY_DEFAULT};
}

int policy_each(const struct policy *p,
                int (*fn)(void *ctx, unsigned line, const struct strategy *strategy), void *ctx)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < p->rules.n; at += sizeof(struct policy_rule)) {
        struct policy_rule rule;
        memcpy(&rule, p->rules.p + at, sizeof rule);
        rc = fn(ctx, rule.line, &rule.strategy);
    }
    return rc;
}
