#include "tests/support/check.h"

#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SHOWN_MAX = 60, CHILD_LOST = 255 };

static unsigned failures, count;
static char about[256];

static const char *error_name(int error)
{
    const char *name = strerrorname_np(error);
    return error == 0 ? "success" : name != NULL ? name : "unknown error";
}

static void report(const struct check_at *at, const char *found)
{
    failures++;
    /* More would bury the first ones. */
    if (failures > SHOWN_MAX)
        return;
    fprintf(stderr, "%s:%d: %s%s%s: %s\n", at->file, at->line, about, about[0] != '\0' ? ": " : "",
            at->text, found);
}

intmax_t check_ok(intmax_t result, const struct check_at *at)
{
    int error = errno;
    count++;
    if (result < 0) {
        char found[80];
        snprintf(found, sizeof found, "failed with %s", error_name(error));
        report(at, found);
    }
    return result;
}

bool check_fails(intmax_t result, int error, const struct check_at *at)
{
    int found_error = errno;
    count++;
    if (result == -1 && found_error == error)
        return true;
    char found[120];
    if (result == -1)
        snprintf(found, sizeof found, "failed with %s, expected %s", error_name(found_error),
                 error_name(error));
    else
        snprintf(found, sizeof found, "returned %jd, expected %s", result, error_name(error));
    report(at, found);
    return false;
}

bool check_gives(intmax_t result, int error, const struct check_at *at)
{
    return error == 0 ? check_ok(result, at) >= 0 : check_fails(result, error, at);
}

bool check_same(intmax_t is, intmax_t ought, const struct check_at *at)
{
    count++;
    if (is == ought)
        return true;
    char found[120];
    snprintf(found, sizeof found, "is %jd (%#jx), expected %jd (%#jx)", is, (uintmax_t)is, ought,
             (uintmax_t)ought);
    report(at, found);
    return false;
}

bool check_holds(bool condition, const struct check_at *at)
{
    count++;
    if (!condition)
        report(at, "does not hold");
    return condition;
}

bool check_same_text(const char *is, const char *ought, const struct check_at *at)
{
    count++;
    if (strcmp(is, ought) == 0)
        return true;
    char found[2048];
    snprintf(found, sizeof found, "is \"%.900s\", expected \"%.900s\"", is, ought);
    report(at, found);
    return false;
}

bool check_same_bytes(const void *is, const void *ought, size_t n, const struct check_at *at)
{
    count++;
    if (memcmp(is, ought, n) == 0)
        return true;
    const unsigned char *a = is, *b = ought;
    size_t i = 0;
    while (a[i] == b[i])
        i++;
    char found[120];
    snprintf(found, sizeof found, "byte %zu of %zu is %#x, expected %#x", i, n, a[i], b[i]);
    report(at, found);
    return false;
}

bool check_contains(const char *text, const char *part, const struct check_at *at)
{
    count++;
    if (strstr(text, part) != NULL)
        return true;
    char found[2048];
    snprintf(found, sizeof found, "is \"%.900s\", which does not have \"%.900s\"", text, part);
    report(at, found);
    return false;
}

void check_about(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(about, sizeof about, fmt, ap);
    va_end(ap);
}

void check_about_nothing(void)
{
    about[0] = '\0';
}

void check_fail(const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    failures++;
    fprintf(stderr, "%s%s%s\n", about, about[0] != '\0' ? ": " : "", text);
}

unsigned check_failures(void)
{
    return failures;
}

unsigned check_count(void)
{
    return count;
}

void check_reset(void)
{
    failures = 0;
    count = 0;
    about[0] = '\0';
}

pid_t check_fork(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        check_fail("fork: %s", error_name(errno));
    if (pid == 0) {
        failures = 0;
        count = 0;
    }
    return pid;
}

void check_child_end(void)
{
    fflush(NULL);
    /* No exit handlers: they are the parent's. */
    _exit(failures < CHILD_LOST ? (int)failures : CHILD_LOST - 1);
}

void check_join(pid_t pid)
{
    int status;
    if (pid <= 0)
        return;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            status = -1;
    if (WIFEXITED(status)) {
        failures += (unsigned)WEXITSTATUS(status);
        count++;
    } else {
        check_fail("a child process was ended by signal %d", WTERMSIG(status));
    }
}

static bool fork_as(uid_t uid, gid_t gid, size_t groups_n, const gid_t *groups)
{
    pid_t pid = check_fork();
    if (pid == 0) {
        if (setgroups(groups_n, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
            setresuid(uid, uid, uid) < 0) {
            check_fail("changing to user %u: %s", (unsigned)uid, error_name(errno));
            check_child_end();
        }
        return true;
    }
    check_join(pid);
    return false;
}

bool check_fork_as(uid_t uid, gid_t gid)
{
    return fork_as(uid, gid, 0, NULL);
}

bool check_fork_with(uid_t uid, gid_t gid, gid_t group)
{
    return fork_as(uid, gid, 1, &group);
}
