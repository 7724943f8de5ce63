/*
 * tests/support/pty - a program at a terminal: keys are typed, what it shows is read and looked at.
 */
#ifndef TESTS_SUPPORT_PTY_H
#define TESTS_SUPPORT_PTY_H

#include "tests/support/e2e.h"

/* Among keys: waits until the program has done with those before, so that an escape stands alone.
 */
#define PTY_PAUSE "\001"

enum { PTY_SHOWN_BYTES = 256 << 10 };

struct pty {
    pid_t pid; /* 0: it has ended */
    int fd;
    char shown[PTY_SHOWN_BYTES]; /* all that it wrote so far, terminated; NUL bytes left out */
    size_t shown_n;
    int status; /* after its end: exit status, or 128 + signal */
};

/** Starts a line of sh at a terminal of 100 columns and 30 lines. Free: pty_end(). */
struct pty *pty_start(struct e2e *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Types the text. */
void pty_type(struct pty *p, const char *keys);
/** Reads until @condition holds, or a failed check after @ms: @what was waited for. */
bool pty_wait(struct pty *p, bool (*condition)(void *arg), void *arg, unsigned ms,
              const char *what);
/** Reads until the program has shown @text since the newest call of pty_type(). */
bool pty_wait_text(struct pty *p, const char *text, unsigned ms);
/** Reads until the program has written nothing for some time. */
void pty_wait_quiet(struct pty *p, unsigned quiet_ms);
/** Reads until the program has ended. */
bool pty_wait_end(struct pty *p, unsigned ms);
/** Ends what still runs, and frees. Accepts NULL. */
void pty_end(struct pty *p);

#endif
