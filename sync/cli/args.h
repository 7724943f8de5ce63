/*
 * sync/cli/args - takes the words of a command line apart.
 *
 * Options may stand anywhere: -x, -xVALUE, -x VALUE, --name, --name=VALUE, --name VALUE; after "--"
 * all is a plain argument, and so is a lone "-". Nothing is copied. Thread: any.
 */
#ifndef SYNC_CLI_ARGS_H
#define SYNC_CLI_ARGS_H

#include <stdbool.h>

#include "proto/base/err.h"

enum { ARGS_WORDS_MAX = 64 };

struct args_option {
    char short_name;       /* 0: none */
    const char *long_name; /* without dashes; NULL: none. Both none: the end of a list */
    bool has_value;
    bool repeats; /* may be given more than once */
};

struct args {
    struct {
        int option;        /* index in the list of options, -1: a plain argument */
        const char *value; /* NULL when the option takes none */
    } words[ARGS_WORDS_MAX];
    size_t words_n;
};

/**
 * Parses the @argc words at @argv (without the command's name). -EINVAL with the reason in @err.
 */
int args_parse(const struct args_option *options, int argc, char *const *argv, struct args *ret,
               struct err *err) MUST_CHECK;

/** The plain arguments: their number, and the one at @i or NULL. */
size_t args_plain_n(const struct args *a);
const char *args_plain(const struct args *a, size_t i);

/** How often an option was given (by its index), and the value of the @i-th time or NULL. */
size_t args_count(const struct args *a, int option);
const char *args_value(const struct args *a, int option, size_t i);

#endif
