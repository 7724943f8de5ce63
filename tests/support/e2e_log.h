/*
 * tests/support/e2e_log - what `persist log` and `persist status` tell of a fixture's folder.
 */
#ifndef TESTS_SUPPORT_E2E_LOG_H
#define TESTS_SUPPORT_E2E_LOG_H

#include "tests/support/e2e.h"

/** The value at a place of the JSON that the newest command printed; good for some calls. */
const char *e2e_value(const struct e2e *f, const char *place);

/** How many versions `persist log PATH --json` lists, -1 when it fails. */
long e2e_versions(struct e2e *f, const char *path);

/** Waits until there are @n versions, and fails when there are more. */
bool e2e_wait_versions(struct e2e *f, const char *path, long n);

/** Waits until nothing of the folder is waiting to be published. */
bool e2e_wait_published(struct e2e *f);

#endif
