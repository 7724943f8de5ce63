/*
 * tests/support/check - checks that say what failed and go on, so that one run of a test names all
 * that is wrong; and checks made by child processes, with the privileges of another user.
 *
 * A failed check prints FILE:LINE, the expression, and what was found; check_failures() counts
 * them. Each argument is evaluated once. Thread: one.
 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/base.h"

/* Where a check stands. */
struct check_at {
    const char *file, *text;
    int line;
};

#define CHECK_AT(text) (&(const struct check_at){__FILE__, text, __LINE__})

/* A system call succeeds; the value is what it returned. */
#define ok(call) check_ok((errno = 0, (intmax_t)(call)), CHECK_AT(#call))
/* It returns -1 with errno @error. */
#define fails(call, error) check_fails((errno = 0, (intmax_t)(call)), (error), CHECK_AT(#call))
/* It succeeds for @error 0, else fails with it. */
#define gives(call, error) check_gives((errno = 0, (intmax_t)(call)), (error), CHECK_AT(#call))
/* Two integers are equal: first what is, then what ought to be. */
#define same(is, ought) check_same((intmax_t)(is), (intmax_t)(ought), CHECK_AT(#is))
#define holds(condition) check_holds((condition), CHECK_AT(#condition))
#define same_text(is, ought) check_same_text((is), (ought), CHECK_AT(#is))
#define same_bytes(is, ought, n) check_same_bytes((is), (ought), (n), CHECK_AT(#is))
#define contains(text, part) check_contains((text), (part), CHECK_AT(#text))

intmax_t check_ok(intmax_t result, const struct check_at *at);
bool check_fails(intmax_t result, int error, const struct check_at *at);
bool check_gives(intmax_t result, int error, const struct check_at *at);
bool check_same(intmax_t is, intmax_t ought, const struct check_at *at);
bool check_holds(bool condition, const struct check_at *at);
bool check_same_text(const char *is, const char *ought, const struct check_at *at);
bool check_same_bytes(const void *is, const void *ought, size_t n, const struct check_at *at);
bool check_contains(const char *text, const char *part, const struct check_at *at);

/** What the following checks are about ("row 7: ..."), printed when one fails. */
void check_about(const char *fmt, ...) PRINTF_LIKE(1, 2);
void check_about_nothing(void);
/** Notes a failure. */
void check_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

unsigned check_failures(void);
unsigned check_count(void);
void check_reset(void);

/*
 * The statement that follows runs in a child process: of user @uid, group @gid and no other
 * groups. Failed checks in it count here. It must not leave the statement.
 */
#define AS(uid, gid) CHECK_IN_CHILD(check_fork_as((uid), (gid)))
/* The same with one supplementary group, @group. */
#define AS_WITH(uid, gid, group) CHECK_IN_CHILD(check_fork_with((uid), (gid), (group)))

#define CHECK_IN_CHILD(fork_it)                                                                    \
    for (bool check_child = (fork_it); check_child; check_child = false, check_child_end())

bool check_fork_as(uid_t uid, gid_t gid);
bool check_fork_with(uid_t uid, gid_t gid, gid_t group);

/** Starts a child that runs beside this process: 0 in it, and it ends with check_child_end(). */
pid_t check_fork(void);
void check_child_end(void) __attribute__((noreturn));
/** Waits for it and counts its failed checks. */
void check_join(pid_t pid);

#endif
