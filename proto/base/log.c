#include "proto/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static _Atomic int level_max = LOG_LEVEL_INFO;

static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_text[512]; /* guarded by last_lock, both; empty: none yet */
static uint64_t last_ms;

static void keep_last(const char *text, size_t n, const struct timespec *at)
{
    pthread_mutex_lock(&last_lock);
    snprintf(last_text, sizeof last_text, "%.*s", (int)n, text);
    last_ms = (uint64_t)at->tv_sec * 1000 + (uint64_t)at->tv_nsec / 1000000;
    pthread_mutex_unlock(&last_lock);
}

bool log_last(char *ret, size_t size, uint64_t *ret_ms)
{
    pthread_mutex_lock(&last_lock);
    bool any = last_text[0] != '\0';
    if (any) {
        snprintf(ret, size, "%s", last_text);
        *ret_ms = last_ms;
    }
    pthread_mutex_unlock(&last_lock);
    return any;
}

void log_set_level(enum log_level level)
{
    atomic_store(&level_max, (int)level);
}

static void replace_controls(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i], next = i + 1 < n ? (unsigned char)p[i + 1] : 0;
        bool high =
            c == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F: as ESC and a letter */
        if (c < 0x20 || c == 0x7f || high)
            p[i] = '?';
        if (high)
            p[++i] = '?';
    }
}

void log_write(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if ((int)level > atomic_load(&level_max))
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm tm;
    gmtime_r(&now.tv_sec, &tm);
    char line[1024];
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s ", now.tv_nsec / 1000000,
                          names[level]);
    size_t text = n;
    va_list ap;
    va_start(ap, fmt);
    int k = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
    va_end(ap);
    if (k > 0)
        n += (size_t)k < sizeof line - n - 1 ? (size_t)k : sizeof line - n - 2;
    replace_controls(line + text, n - text);
    if (level <= LOG_LEVEL_WARN)
        keep_last(line + text, n - text, &now);
    line[n++] = '\n';
    /* One write: lines of several threads do not mix. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}
