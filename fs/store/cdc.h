/*
 * fs/store/cdc - where content is cut into chunks: FastCDC with normalized chunking.
 *
 * A cut depends on the bytes since the cut before and on nothing else, so that after a change the
 * old cuts are found again. The table of the rolling hash comes from a key: sizes of chunks tell a
 * stranger less. Source: Xia et al., "FastCDC", USENIX ATC 2016.
 */
#ifndef FS_STORE_CDC_H
#define FS_STORE_CDC_H

#include "proto/base/base.h"

enum {
    CDC_MIN = 16 * 1024,
    CDC_MEAN = 64 * 1024, /* measured: tests/fs/store_cdc_test.c */
    CDC_MAX = 256 * 1024,
    CDC_SEED_BYTES = 32,
};

struct cdc {
    uint64_t gear[256];
};

void cdc_init(struct cdc *c, const uint8_t seed[static CDC_SEED_BYTES]);

/**
 * Length of the first chunk of the @n (at least 1) bytes at @p: 1 to CDC_MAX. When it is @n, and
 * less than CDC_MAX, no cut was found: the chunk ends there only if the content does.
 */
size_t cdc_cut(const struct cdc *c, const uint8_t *p, size_t n) MUST_CHECK;

#endif
