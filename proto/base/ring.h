/*
 * proto/base/ring - a doubly linked list through its members, which are in it or not. Thread: one.
 */
#ifndef PROTO_BASE_RING_H
#define PROTO_BASE_RING_H

#include <stdbool.h>

#include "proto/base/base.h"

/* A member, or the list itself. */
struct ring {
    struct ring *next, *prev;
};

/** An empty list, or a member that is in none. */
static inline void ring_init(struct ring *r)
{
    r->next = r->prev = r;
}

static inline bool ring_is_empty(const struct ring *list)
{
    return list->next == list;
}

/** Takes a member out; one that is in no list stays so. */
static inline void ring_remove(struct ring *r)
{
    r->prev->next = r->next;
    r->next->prev = r->prev;
    ring_init(r);
}

/** Puts a member that is in no list at the end of @list. */
static inline void ring_add(struct ring *list, struct ring *r)
{
    r->prev = list->prev;
    r->next = list;
    list->prev->next = r;
    list->prev = r;
}

#endif
