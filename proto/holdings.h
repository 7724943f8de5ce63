/*
 * proto/holdings - the list of all that a replica holds, for a full comparison with another one: a
 * list only says what is there, by dots, and is as long as the folder has files.
 *
 * Encoding, integers big-endian, counts as varints:
 *   list     format 1 · known vector · floor vector · record*, ascending by rid
 *   record   rid 16 · alive 1 · number of values · value*, in order (value_cmp())
 *   value    facet 1 · slot 16 (place only) · dot 16 · the first 8 bytes of the head hash
 * A reader needs HOLDINGS_RECORD_MAX bytes at a time, and allocates nothing. Thread: any.
 */
#ifndef PROTO_HOLDINGS_H
#define PROTO_HOLDINGS_H

#include "proto/value.h"

enum {
    HOLDINGS_VALUES_MAX = 8192, /* of a record: those of 1000 names and some more */
    HOLDINGS_HEAD = 8,          /* of a head hash: two forms of one dot differ in it */
    HOLDINGS_RECORD_MAX = 16 + 1 + 3 + HOLDINGS_VALUES_MAX * (1 + 16 + 16 + HOLDINGS_HEAD),
};

/* What the one who made the list knew then, and could have cleaned up. */
struct holdings_head {
    struct dots known, floor; /* vectors; the floor is within the known */
};

struct holdings_value {
    enum facet facet;
    struct dot slot, dot;
    uint8_t head[HOLDINGS_HEAD];
};

/* A record: views of the encoding. */
struct holdings_record {
    struct rid rid;
    bool alive;          /* by itself: not deleted */
    struct bytes values; /* encoded; read with holdings_next() */
};

void holdings_put_head(struct buf *b, const struct holdings_head *h);
/** A record's beginning; its @n values follow, each by holdings_put_value(). */
void holdings_put_record(struct buf *b, const struct rid *rid, bool alive, size_t n);
void holdings_put_value(struct buf *b, const struct holdings_value *v);

/** 0 or -EBADMSG; the records follow. */
int holdings_read_head(struct reader *r, struct holdings_head *ret) MUST_CHECK;
/** The next record, which has to come after @after (NULL: it is the first). 0 or -EBADMSG. */
int holdings_read_record(struct reader *r, const struct rid *after,
                         struct holdings_record *ret) MUST_CHECK;
/** Steps through the values of a record that was read: false at its end. */
bool holdings_next(struct reader *values, struct holdings_value *ret);

#endif
