/*
 * proto/base/base - the few attributes and macros that every file uses.
 */
#ifndef PROTO_BASE_BASE_H
#define PROTO_BASE_BASE_H

#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
/* Runs @fn on the address of the variable when it goes out of scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* Hands a pointer over: the local becomes NULL, so that its cleanup does nothing. */
#define TAKE_PTR(p)                                                                                \
    __extension__({                                                                                \
        __typeof__(p) take_ptr_tmp = (p);                                                          \
        (p) = NULL;                                                                                \
        take_ptr_tmp;                                                                              \
    })
#define ARRAY_N(a) (sizeof(a) / sizeof((a)[0]))
/* Recovers the struct that holds member @m at @p. */
#define CONTAINER_OF(p, type, m) ((type *)(void *)((char *)(p)-offsetof(type, m)))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The sooner of two times, of which 0 is never. */
static inline uint64_t sooner(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : min_u64(a, b);
}

#endif
