/*
 * tests/support/harmless - whether text may go to a terminal: it shows it, and does nothing else.
 */
#ifndef TESTS_SUPPORT_HARMLESS_H
#define TESTS_SUPPORT_HARMLESS_H

#include "proto/base/buf.h"

/** Fails the test when there is a control character in @text, line feeds apart. */
void expect_harmless(struct bytes text);

#endif
