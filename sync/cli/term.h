/*
 * sync/cli/term - the out of a command: stdout, one error line on stderr, a progress bar when
 * stderr is a terminal. Thread: one.
 */
#ifndef SYNC_CLI_TERM_H
#define SYNC_CLI_TERM_H

#include "fs/space/verb.h"

struct term {
    struct out out; /* first: the struct out to give away */
    int error;      /* why stdout takes no more, a negative errno; 0: it does */
    bool bar;       /* stderr is a terminal */
    bool drawn;     /* a bar stands in the last line */
    uint64_t began_ms, drawn_ms;
};

void term_init(struct term *t);

/**
 * Removes the bar and returns the exit status of the command: @status, but VERB_OK when the reader
 * of stdout has gone ("| head" has read what it wanted), and VERB_FAILED, said on stderr, when
 * stdout could not be written.
 */
int term_finish(struct term *t, int status);

/** Sets the fields of @call that speak of the terminal: terminal, colour, columns. */
void term_describe(struct verb_call *call);

/** Whether stdout wants colour: a terminal, NO_COLOR unset or empty, TERM not "dumb". */
bool term_wants_colour(void);

/**
 * Formats a progress line of at most @columns columns, for work of which @done of @total bytes are
 * done after @elapsed_ms. Returns its length. @total 0: not known.
 */
size_t term_progress_line(char *to, size_t size, unsigned columns, const char *label, uint64_t done,
                          uint64_t total, uint64_t elapsed_ms);

#endif
