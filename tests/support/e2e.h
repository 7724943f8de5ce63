/*
 * tests/support/e2e - end-to-end tests: the program as it is used, with real processes and mounts.
 *
 * A fixture is a fresh state directory and a folder below a temporary directory. When it ends,
 * everything it started must be gone (mounts, processes) and the logs must hold no errors, else the
 * test fails; what did stay is taken away, also when the test program itself dies: a guardian
 * process waits for that. Only processes whose environment has a PERSIST_HOME below this fixture's
 * directory are ever ended, by their ids.
 *
 * Environment: PERSIST_BIN, the program. PERSIST_E2E_FOLDER, a directory of another file system:
 * tests of E2E_SHARED then run there and nothing is mounted, to check the tests themselves.
 * PERSIST_E2E_KEEP: a fixture that failed is not removed. TMPDIR: where fixtures are made.
 */
#ifndef TESTS_SUPPORT_E2E_H
#define TESTS_SUPPORT_E2E_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/support/check.h"

enum {
    E2E_USER = 65533, /* two users that own nothing */
    E2E_OTHER = 65534,
    E2E_COMMAND_MS = 180 * 1000,
    E2E_LONG_MS = 180 * 1000, /* what comes sooner or later has come: also on a busy machine */
    E2E_PATH_MAX = 128,
};

/* What a command gave. */
struct e2e_result {
    int status;      /* exit status, 128 + signal, or -ETIMEDOUT */
    char *out, *err; /* terminated */
    size_t out_n, err_n;
};

struct e2e {
    char top[E2E_PATH_MAX - 16]; /* everything of the fixture is below it; commands start here */
    char home[E2E_PATH_MAX];     /* PERSIST_HOME */
    char folder[E2E_PATH_MAX];   /* to be mounted; the space's name is "notes" */
    struct e2e_result last;      /* of the newest command */
    bool foreign;                /* not our file system: PERSIST_E2E_FOLDER */
    int net;                     /* of its commands: a namespace's descriptor; 0: this process's */
    bool errors_expected;        /* a test that damages something: the logs may tell of it */
    int guard_fd;
    pid_t guard;
};

/* ---- test programs ---- */

struct e2e_test {
    const char *name;
    void (*run)(struct e2e *f);
};

#define E2E_TEST(function)                                                                         \
    {                                                                                              \
#function, function                                                                        \
    }

enum e2e_kind {
    E2E_SHARED, /* mounted once; each test begins in an empty directory of the mount */
    E2E_FRESH,  /* each test has a fixture of its own, not mounted */
};

/** Runs the tests as a cmocka group; argv[1] is a pattern of names. Returns main()'s status. */
int e2e_main(int argc, char **argv, enum e2e_kind kind, const struct e2e_test *tests, size_t n);

/* ---- fixtures, for tests that need a second one ---- */

/** NULL, after a message, when it cannot be made. */
struct e2e *e2e_begin(void);
/** Ends, checks and frees it. Failures are counted as failed checks. Accepts NULL. */
void e2e_end(struct e2e *f);
/** Ends what runs with its home, and checks what stayed behind and the logs. */
void e2e_leave(struct e2e *f);

/* ---- commands ---- */

/**
 * Runs a line of sh with the fixture's environment in its top directory; `persist` is the program
 * under test. Returns what it gave, good until the next command; after E2E_COMMAND_MS it is ended.
 */
const struct e2e_result *e2e_sh(struct e2e *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
const struct e2e_result *e2e_sh_within(struct e2e *f, unsigned ms, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/** The same, and counts a failure when its status is not 0. */
bool e2e_ok(struct e2e *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/**
 * The same for a command that has to fail with @status and one line of error, "persist: ...", that
 * has @part in it, and nothing on stdout.
 */
bool e2e_refused(struct e2e *f, int status, const char *part, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/** Runs a line again and again until its status is 0: a failed check after E2E_LONG_MS. */
bool e2e_until(struct e2e *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Starts a line of sh in a process group of its own. Its process, or -1. */
pid_t e2e_start(struct e2e *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Ends a process of e2e_start() and what it started. */
void e2e_stop(pid_t pid);
/** What tests have loaded into commands (LD_PRELOAD) is there before a sanitizer's library, which
 * takes no offence from now on. */
void e2e_allow_preload(void);
/** In a child: the network and environment of the fixture's commands, and its top directory. */
void e2e_enter(const struct e2e *f);

/* ---- the mount ---- */

/** persist mount FOLDER @options. */
bool e2e_mount(struct e2e *f, const char *options);
/** persist unmount FOLDER. */
bool e2e_unmount(struct e2e *f);
/** Whether a file system is mounted at @path. */
bool e2e_is_mounted(const char *path);
/** The process that serves the fixture's folder, from run/mount-notes.pid; 0: none. */
pid_t e2e_mount_pid(const struct e2e *f);
/** The sync process of the fixture's home, from run/sync.pid; 0: none. */
pid_t e2e_sync_pid(const struct e2e *f);
/** A process that watches a mount of the fixture (fs/mount/watch.h); 0: none runs. */
pid_t e2e_watch_pid(const struct e2e *f);
/** Ends the sync process, which serves all folders and stays when one is unmounted. */
void e2e_end_sync(const struct e2e *f);

/* ---- waiting ---- */

/** Asks @condition until it holds. False, after a failed check, when it does not within @ms. */
bool e2e_wait(bool (*condition)(void *arg), void *arg, unsigned ms, const char *what);
bool e2e_wait_gone(pid_t pid, unsigned ms);
uint64_t e2e_now_ms(void);

#endif
