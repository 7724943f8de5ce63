/*
 * fs/store/xxh3 - XXH3, with the widest instructions that the processor has: on x86-64 about twice
 * as fast as what xxhash.h alone calls.
 */
#ifndef FS_STORE_XXH3_H
#define FS_STORE_XXH3_H

#include <xxhash.h>

#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* names its functions as those of xxhash.h */
#endif

#endif
