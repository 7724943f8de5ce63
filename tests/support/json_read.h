/*
 * tests/support/json_read - looks into one JSON document (RFC 8259, strict), for what commands
 * print with --json. A place is a list of keys and indexes: "versions.0.size"; "" is the document.
 */
#ifndef TESTS_SUPPORT_JSON_READ_H
#define TESTS_SUPPORT_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

/** Whether @text is exactly one document, and white space. */
bool json_read_valid(const char *text);

/** Number of members of the object or list at @place, -1 when there is none. */
long json_read_count(const char *text, const char *place);

/**
 * The string (escapes below U+0080 taken apart, others left), number, true, false or null at
 * @place, in @to, which holds @size bytes. Returns @to, "" when there is no such value.
 */
const char *json_read_at(const char *text, const char *place, char *to, size_t size);

#endif
