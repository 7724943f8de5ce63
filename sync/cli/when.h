/*
 * sync/cli/when - a moment as a person writes it. Thread: any.
 */
#ifndef SYNC_CLI_WHEN_H
#define SYNC_CLI_WHEN_H

#include "proto/base/err.h"

/**
 * Understands "2026-11-22", "2026-11-22 14:03[:05]" and with 'T' (local time; with Z or +01:00 that
 * zone),
 * "@SECONDS" since 1970, and "2h" or "2h ago" (s, m, h, d, w) before @now_ms. A bare minute or day
 * is its beginning. -EINVAL not understood, before 1970, or after @now_ms.
 */
int when_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms, struct err *err) MUST_CHECK;

#endif
