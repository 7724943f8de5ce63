/*
 * sync/cli/pair_qr - a QR code of blocks, for a terminal. By libqrencode. Thread: one.
 */
#ifndef SYNC_CLI_PAIR_QR_H
#define SYNC_CLI_PAIR_QR_H

#include "proto/base/buf.h"

/** Appends the code of @text, dark on light whatever the terminal's colours, in lines. @text is
 * secret, and so is the code. -E2BIG: too long for one; -ENOMEM. */
int pair_qr(const char *text, struct buf *ret) MUST_CHECK;

#endif
