/*
 * proto/base/log - one line per event, for the edges of the program; the core does not log.
 *
 * Lines go to stderr (the journal, or the role's file in the log folder) as "LEVEL text"; control
 * characters in arguments are replaced, so that no name from outside can forge a line. Thread: any.
 */
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include <stdbool.h>

#include "proto/base/base.h"

enum log_level {
    LOG_LEVEL_NONE = -1,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/** Sets the least urgent level that is still written; the start value is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/**
 * The text of the newest warning or error of this process, cut to @size bytes with its NUL, and its
 * time in ms since 1970. False, with nothing written: there was none.
 */
bool log_last(char *ret, size_t size, uint64_t *ret_ms);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
