#include "tests/support/pty.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/e2e_process.h"

enum { LINE_MAX_BYTES = 8192, PIECE_MS = 5, QUIET_MS = 60 };

struct pty *pty_start(struct e2e *f, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    struct pty *p = calloc(1, sizeof *p);
    if (p == NULL || n < 0 || (size_t)n >= sizeof line)
        abort();
    struct winsize size = {.ws_row = 30, .ws_col = 100};
    fflush(NULL);
    p->pid = forkpty(&p->fd, NULL, NULL, &size);
    if (p->pid == 0) {
        setenv("TERM", "xterm", 1);
        e2e_enter(f);
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        _exit(127);
    }
    if (p->pid < 0) {
        check_fail("no terminal: %s", strerror(errno));
        p->pid = 0;
        p->fd = -1;
    }
    return p;
}

static void note_end(struct pty *p)
{
    int status;
    if (p->pid > 0 && waitpid(p->pid, &status, WNOHANG) == p->pid) {
        p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        p->pid = 0;
    }
}

/* Terminals are asked what they can; a program may wait for the answers. */
static void answer(struct pty *p, const char *text)
{
    static const struct {
        const char *question, *answer;
    } known[] = {
        {"\033[c", "\033[?1;2c"},
        {"\033[>c", "\033[>0;276;0c"},
        {"\033[6n", "\033[1;1R"},
        {"\033[5n", "\033[0n"},
    };
    for (size_t i = 0; i < ARRAY_N(known); i++)
        if (strstr(text, known[i].question) != NULL &&
            write(p->fd, known[i].answer, strlen(known[i].answer)) < 0)
            return;
}

/* Reads what is there within @ms. False: nothing came. */
static bool read_some(struct pty *p, unsigned ms)
{
    char piece[4096 + 1];
    struct pollfd in = {.fd = p->fd, .events = POLLIN};
    note_end(p);
    if (p->fd < 0 || poll(&in, 1, (int)ms) <= 0)
        return false;
    ssize_t n = read(p->fd, piece, sizeof piece - 1);
    if (n <= 0) {
        close(p->fd);
        p->fd = -1;
        return false;
    }
    size_t k = 0;
    for (ssize_t i = 0; i < n; i++)
        if (piece[i] != '\0')
            piece[k++] = piece[i];
    piece[k] = '\0';
    answer(p, piece);
    if (p->shown_n + k >= sizeof p->shown)
        p->shown_n = 0;
    memcpy(p->shown + p->shown_n, piece, k + 1);
    p->shown_n += k;
    return true;
}

void pty_type(struct pty *p, const char *keys)
{
    p->shown_n = 0;
    p->shown[0] = '\0';
    while (*keys != '\0' && p->fd >= 0) {
        if (*keys == PTY_PAUSE[0]) {
            pty_wait_quiet(p, QUIET_MS);
            keys++;
            continue;
        }
        ssize_t k = write(p->fd, keys, strcspn(keys, PTY_PAUSE));
        if (k <= 0)
            break;
        keys += k;
    }
}

static void tell(const struct pty *p, const char *what)
{
    check_fail("the program at the terminal: %s", what);
    fprintf(stderr, "    it showed: ");
    size_t from = p->shown_n > 600 ? p->shown_n - 600 : 0;
    for (size_t i = from; i < p->shown_n; i++)
        fputc(p->shown[i] < 0x20 ? '.' : p->shown[i], stderr);
    fputc('\n', stderr);
}

bool pty_wait(struct pty *p, bool (*condition)(void *arg), void *arg, unsigned ms, const char *what)
{
    uint64_t deadline = e2e_now_ms() + ms;
    while (!condition(arg)) {
        if (e2e_now_ms() >= deadline) {
            tell(p, what);
            return false;
        }
        if (!read_some(p, PIECE_MS) && p->fd < 0)
            nanosleep(&(struct timespec){.tv_nsec = PIECE_MS * 1000000}, NULL);
    }
    return true;
}

struct wanted_text {
    const struct pty *p;
    const char *text;
};

static bool has_text(void *arg)
{
    const struct wanted_text *w = arg;
    return strstr(w->p->shown, w->text) != NULL;
}

bool pty_wait_text(struct pty *p, const char *text, unsigned ms)
{
    struct wanted_text w = {p, text};
    char what[128];
    snprintf(what, sizeof what, "'%.80s' did not appear", text);
    return pty_wait(p, has_text, &w, ms, what);
}

void pty_wait_quiet(struct pty *p, unsigned quiet_ms)
{
    while (read_some(p, quiet_ms))
        ;
}

static bool has_ended(void *arg)
{
    return ((const struct pty *)arg)->pid == 0;
}

bool pty_wait_end(struct pty *p, unsigned ms)
{
    return pty_wait(p, has_ended, p, ms, "did not end");
}

void pty_end(struct pty *p)
{
    if (p == NULL)
        return;
    if (p->pid > 0)
        e2e_stop(p->pid);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}
