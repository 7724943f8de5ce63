/*
 * proto/value - one facet value of one record ("part"), and its only encoding.
 *
 * A struct value is a view: its byte strings and vectors are borrowed from what it was decoded
 * from, or from its maker. Decoding allocates nothing and checks everything that one part can be
 * checked for by itself, so code that holds a decoded value need not check it again.
 *
 * Encoding, integers big-endian, counts and sizes as varints:
 *   part     form 1 · facet 1 · rid 16 · dot 16 · slot 16 (place only) · ctx vector · stamp 8+8
 *            · origin: 0 own dot, or 1 + number of dots, then the dots · data
 *   place    alive 1 · parent 16 · name string · prev 16 · cseen vector (only when not alive)
 *   meta     mode 4 · xattrs string: (name string · value string)*, ascending by name
 *   content  size varint · mtime 8 · hash 32 · body string (only in the form VALUE_WIRE)
 *   change   format 1 · dot 16 · varint number of parts · each part as a string
 */
#ifndef PROTO_VALUE_H
#define PROTO_VALUE_H

#include "proto/hash.h"
#include "proto/hlc.h"

enum facet { FACET_PLACE, FACET_META, FACET_CONTENT };

/* The first byte of a part: its format version and whether a content's body is in it. */
enum value_form {
    VALUE_WIRE = 1,   /* whole, as it goes to others */
    VALUE_STORED = 2, /* without the body, which lies elsewhere once */
};

/* Where a record is: one name of it. A deletion also says what it deleted. */
struct value_place {
    bool alive;
    struct rid parent; /* a directory */
    struct bytes name; /* 1 to LIMIT_NAME bytes, value_name_valid() */
    struct rid prev;   /* the parent before a move, a directory; root if none */
    struct dots cseen; /* of a deletion: the content that it covers, a vector */
};

struct value_meta {
    uint32_t mode;       /* permission bits, at most 07777 */
    struct bytes xattrs; /* encoded; read with value_xattr_next() */
};

struct value_content {
    uint64_t size;           /* bytes; at most LIMIT_FILE, of a symlink LIMIT_SYMLINK */
    int64_t mtime_ns;        /* since 1970 */
    uint8_t hash[HASH_SIZE]; /* hash_equal of the bytes */
    struct bytes body;       /* opaque: inline bytes or the root of the chunks; <= LIMIT_BODY */
};

struct value {
    struct rid rid;
    enum facet facet;
    struct dot slot; /* of a place: none for the first, else the dot that made the hard link */
    struct dot dot;
    struct dots ctx; /* vector: what of this facet the author held or knew superseded */
    struct stamp stamp;
    bool from_own;    /* it embodies one user change, its own dot; else @from, perhaps empty */
    struct dots from; /* set; empty when from_own */
    union {
        struct value_place place;
        struct value_meta meta;
        struct value_content content;
    };
};

/** Whether @name may be an entry of @parent: length, not "." or "..", no '/', no NUL, not reserved.
 */
bool value_name_valid(const struct rid *parent, struct bytes name);

/** Appends the encoding. @v must hold what decoding would accept (asserted where cheap). */
void value_encode(const struct value *v, enum value_form form, struct buf *b);

/** Decodes and checks a whole part, views into @in. 0 or -EBADMSG (@ret is then undefined). */
int value_decode(struct bytes in, enum value_form form, struct value *ret) MUST_CHECK;

/** Order of a record's values: facet, slot, dot. */
int value_cmp(const struct value *a, const struct value *b);

/** Whether both are values of one facet (of one slot, for places) of one record. */
bool value_same_facet(const struct value *a, const struct value *b);

/** Whether @v has seen @dot: it is @v's own or in its context. */
bool value_seen(const struct value *v, const struct dot *dot);

/** Number of user changes that @v embodies, and the i-th of them. */
size_t value_from_n(const struct value *v);
struct dot value_from_at(const struct value *v, size_t i);
/** Whether @vv covers all of them. */
bool value_from_within(const struct value *v, const struct vv *vv);

/** Appends one attribute to an encoded list; the caller gives them ascending by name. */
void value_xattr_put(struct buf *b, struct bytes name, struct bytes value);
/** Steps through an encoded list: false at its end. */
bool value_xattr_next(struct reader *r, struct bytes *ret_name, struct bytes *ret_value);

/** Begins the encoding of a change; its @n parts follow, each by buf_put_string(). */
void value_change_begin(struct buf *b, const struct dot *dot, size_t n);

/** Reads a change's beginning; the parts follow in @r: value_change_next() each. -EBADMSG. */
int value_change_open(struct bytes in, struct reader *ret_r, struct dot *ret_dot,
                      size_t *ret_n) MUST_CHECK;
/** The next part; it must be of @dot. 0 or -EBADMSG. After the last, reader_end() must hold. */
int value_change_next(struct reader *r, const struct dot *dot, struct value *ret) MUST_CHECK;

#endif
