#include "fs/space/ignore_rules.h"

#include <errno.h>

#include "proto/glob.h"

struct ignore_rule {
    struct glob glob; /* a view of the text */
    bool keeps;       /* '!' */
    bool dirs_only;   /* '/' at the end */
};

/* A blank at the end counts when a backslash is before it. */
static struct bytes strip(struct bytes line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    size_t end = 0;
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '\\' && i + 1 < line.n)
            end = ++i + 1;
        else if (line.p[i] != ' ')
            end = i + 1;
    }
    line.n = end;
    return line;
}

static void put_rule(struct ignore_rules *r, struct bytes line)
{
    struct ignore_rule rule = {.keeps = false};
    line = strip(line);
    if (line.n == 0 || line.p[0] == '#')
        return;
    if (line.p[0] == '!') {
        rule.keeps = true;
        line = bytes_of(line.p + 1, line.n - 1);
    }
    if (line.n > 0 && line.p[line.n - 1] == '/') {
        rule.dirs_only = true;
        line.n--;
    }
    rule.glob = glob_of(line);
    if (rule.glob.pattern.n == 0)
        return;
    buf_put(&r->rules, &rule, sizeof rule);
}

static int parse(struct ignore_rules *r)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors begin a file of UTF-8 with it */
    struct bytes left = buf_bytes(&r->text);
    if (left.n >= 3 && memcmp(left.p, mark, 3) == 0)
        left = bytes_of(left.p + 3, left.n - 3);
    for (unsigned lines = 0; left.n > 0; lines++) {
        const uint8_t *end = memchr(left.p, '\n', left.n);
        size_t n = end != NULL ? (size_t)(end - left.p) : left.n;
        if (lines == IGNORE_LINES_MAX || n > IGNORE_LINE_MAX)
            return -E2BIG;
        put_rule(r, bytes_of(left.p, n));
        n += end != NULL;
        left = bytes_of(left.p + n, left.n - n);
    }
    return buf_status(&r->rules);
}

int ignore_rules_parse(struct bytes text, struct ignore_rules *ret)
{
    *ret = (struct ignore_rules){0};
    if (text.n > IGNORE_FILE_MAX)
        return -E2BIG;
    buf_put_bytes(&ret->text, text);
    int rc = buf_status(&ret->text);
    if (rc == 0)
        rc = parse(ret);
    if (rc < 0)
        ignore_rules_fini(ret);
    return rc;
}

void ignore_rules_fini(struct ignore_rules *r)
{
    buf_fini(&r->text);
    buf_fini(&r->rules);
}

enum ignore_verdict ignore_rules_match(const struct ignore_rules *r, struct bytes path, bool is_dir)
{
    for (size_t end = r->rules.n; end > 0; end -= sizeof(struct ignore_rule)) {
        struct ignore_rule rule;
        memcpy(&rule, r->rules.p + end - sizeof rule, sizeof rule);
        if ((is_dir || !rule.dirs_only) && glob_match(&rule.glob, path))
            return rule.keeps ? IGNORE_NO : IGNORE_YES;
    }
    return IGNORE_SILENT;
}
