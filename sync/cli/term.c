#include "sync/cli/term.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "sync/cli/fail.h"

enum { DRAW_EVERY_MS = 100, BAR_MAX = 30, LINE_SIZE = 512 };

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned columns_of(int fd)
{
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

bool term_wants_colour(void)
{
    const char *no = getenv("NO_COLOR");
    const char *type = getenv("TERM");
    return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') &&
           (type == NULL || strcmp(type, "dumb") != 0);
}

void term_describe(struct verb_call *call)
{
    call->terminal = isatty(STDOUT_FILENO) != 0;
    call->colour = term_wants_colour();
    call->columns = call->terminal ? (uint16_t)columns_of(STDOUT_FILENO) : 0;
}

/* The part with the bar between label and numbers; as wide as the line allows. */
static void put_bar(char *to, size_t size, unsigned width, uint64_t done, uint64_t total)
{
    if (width > BAR_MAX)
        width = BAR_MAX;
    if (total == 0 || width < 8) {
        to[0] = '\0';
        return;
    }
    unsigned inner = width - 3;
    unsigned full = (unsigned)((double)done / (double)total * inner);
    size_t n = 0;
    to[n++] = '[';
    for (unsigned i = 0; i < inner && n + 3 < size; i++)
        to[n++] = i < full ? '#' : '.';
    to[n++] = ']';
    to[n++] = ' ';
    to[n] = '\0';
}

size_t term_progress_line(char *to, size_t size, unsigned columns, const char *label, uint64_t done,
                          uint64_t total, uint64_t elapsed_ms)
{
    char a[HUMAN_MAX];
    char b[HUMAN_MAX];
    char rate_text[HUMAN_MAX];
    char numbers[256];
    char left[64] = "";
    if (done > total && total > 0)
        total = done;
    double rate = elapsed_ms == 0 ? 0 : (double)done * 1000 / (double)elapsed_ms;
    const char *(*human)(uint64_t, char *) =
        strcmp(label, OUT_COUNTED) == 0 ? human_count : human_bytes;
    human(done, a);
    human((uint64_t)rate, rate_text);
    if (total == 0) {
        snprintf(numbers, sizeof numbers, "%s  %s/s", a, rate_text);
    } else {
        /* The first moments say nothing about the rest. */
        if (rate >= 1 && elapsed_ms >= 1000) {
            double rest_s = (double)(total - done) / rate;
            uint64_t rest_ms = rest_s > 3e9 ? (uint64_t)3e12 : (uint64_t)(rest_s * 1000);
            char time_left[HUMAN_MAX];
            snprintf(left, sizeof left, "  %s left", human_duration(rest_ms, time_left));
        }
        snprintf(numbers, sizeof numbers, "%3u%%  %s of %s  %s/s%s",
                 (unsigned)((double)done / (double)total * 100), a, human(total, b), rate_text,
                 left);
    }
    size_t room = columns > 1 ? columns - 1 : 1;
    size_t used = escape_columns(bytes_str(label)) + 1 + strlen(numbers);
    char bar[BAR_MAX + 4];
    put_bar(bar, sizeof bar, used < room ? (unsigned)(room - used) : 0, done, total);
    snprintf(to, size, "%s %s%s", label, bar, numbers);
    size_t n = strlen(to);
    if (n > room && escape_columns(bytes_str(to)) > room)
        to[n = room] = '\0'; /* a very narrow terminal: bytes are as good as columns */
    return n;
}

static struct term *term_of(struct out *o)
{
    return CONTAINER_OF(o, struct term, out);
}

static void clear_bar(struct term *t)
{
    if (t->drawn)
        fputs("\r\033[K", stderr);
    t->drawn = false;
}

static int write_stdout(struct out *o, struct bytes v)
{
    struct term *t = term_of(o);
    clear_bar(t);
    while (v.n > 0 && t->error == 0) {
        ssize_t n = write(STDOUT_FILENO, v.p, v.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            t->error = -errno;
            return errno == EPIPE ? -ECANCELED : t->error;
        }
        v.p += n;
        v.n -= (size_t)n;
    }
    return t->error != 0 ? -ECANCELED : 0;
}

static void show_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    struct term *t = term_of(o);
    uint64_t now = monotonic_ms();
    if (!t->bar || (t->drawn && now - t->drawn_ms < DRAW_EVERY_MS && done != total))
        return;
    if (t->began_ms == 0)
        t->began_ms = now;
    char shown[64];
    char line[LINE_SIZE];
    escape_to(shown, sizeof shown, bytes_str(label));
    term_progress_line(line, sizeof line, columns_of(STDERR_FILENO), shown, done, total,
                       now - t->began_ms);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    t->drawn = true;
    t->drawn_ms = now;
}

static void show_error(struct out *o, const char *line)
{
    struct term *t = term_of(o);
    clear_bar(t);
    if (t->error != 0)
        return; /* a consequence of what term_finish() is going to say */
    (void)fail(VERB_FAILED, "%s", line);
}

static bool is_cancelled(struct out *o, unsigned wait_ms)
{
    struct term *t = term_of(o);
    if (t->error != 0)
        return true;
    /* A pipe whose reader has gone says so without being written to. */
    struct pollfd p = {.fd = STDOUT_FILENO, .events = 0};
    if (poll(&p, 1, (int)(wait_ms < 3600000 ? wait_ms : 3600000)) > 0 && (p.revents & POLLERR) != 0)
        t->error = -EPIPE;
    return t->error != 0;
}

void term_init(struct term *t)
{
    *t = (struct term){
        .out = {.write = write_stdout,
                .progress = show_progress,
                .error = show_error,
                .cancelled = is_cancelled},
        .bar = isatty(STDERR_FILENO) != 0,
    };
}

int term_finish(struct term *t, int status)
{
    clear_bar(t);
    if (t->error == -EPIPE)
        return VERB_OK;
    if (t->error != 0)
        return fail(VERB_FAILED, "output: %s", strerror(-t->error));
    return status;
}
