#include "tests/sim/cases.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const ops[CASE_OPS] = {
    "edit|/f|#",      "rm|/f",
    "mv|/f|/a/g",     "mv|/a|/b/a",
    "mv|/b|/a/b",     "rm|/a/g;rm|/a",
    "create|/a/n|#",  "create|/x|#",
    "edit|/a/g|#",    "mv|/f|/x",
    "mv|/f|/b/f",     "mv|/a/g|/f",
    "mv|/a|/x",       "mkdir|/x",
    "rm|/a/g",        "rm|/b",
    "mv|/a/g|/g",     "rm|/f;create|/f|#",
    "rm|/f;mkdir|/f", "ln|/f|/h",
    "ln|/f|/h;rm|/f", "rm|/a/g;rm|/a;mkdir|/a",
    "swap|/a|/b",     "swap|/f|/a/g",
};

void case_step(struct script *s, const char *fmt, ...)
{
    char line[SIM_LINE_MAX];
    va_list ap;
    int n = snprintf(line, sizeof line, "%lld ", ++s->at);
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    assert(n < SIM_LINE_MAX - 1);
    line[n++] = '\n';
    buf_put(s->text, line, (size_t)n);
}

void case_begin(struct script *s, struct buf *text, const struct sim_setup *setup)
{
    char line[SIM_LINE_MAX];
    buf_reset(text);
    *s = (struct script){.text = text};
    sim_setup_write(setup, line);
    buf_put(text, line, strlen(line));
    buf_put(text, "\n", 1);
    case_step(s, "0 mkdir|/a");
    case_step(s, "0 create|/a/g|%d", ++s->saves);
    case_step(s, "0 mkdir|/b");
    case_step(s, "0 create|/f|%d", ++s->saves);
    for (int i = 1; i < setup->devices; i++)
        case_step(s, "%d pull|0|0|-1", i);
}

void case_op(struct script *s, int i, int op)
{
    case_act(s, i, ops[op]);
}

void case_act(struct script *s, int i, const char *what)
{
    const char *p = what;
    while (*p != '\0') {
        size_t n = strcspn(p, ";"), bare = strcspn(p, ";#");
        if (bare < n)
            case_step(s, "%d %.*s%d", i, (int)bare, p, ++s->saves);
        else
            case_step(s, "%d %.*s", i, (int)n, p);
        p += n + (p[n] == ';');
    }
}
