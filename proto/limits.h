/*
 * proto/limits - every maximum of values, records and changes, with its reason.
 *
 * Decoders check against these before they allocate or use a length. A limit on what comes from
 * others bounds the memory and the time that one message can cost.
 */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

#include <stdint.h>

enum {
    LIMIT_NAME = 255,          /* NAME_MAX of Linux: a longer name could not be shown */
    LIMIT_SYMLINK = 4095,      /* PATH_MAX without its NUL */
    LIMIT_DEPTH = 256,         /* directories above a record that a local operation may make */
    LIMIT_VECTOR = 1024,       /* replicas of a space in ten years of 64 devices */
    LIMIT_FROM = 1024,         /* saves that one merged value embodies; as a vector */
    LIMIT_FACET_VALUES = 64,   /* concurrent values of a facet: one per device */
    LIMIT_XATTRS = 128,        /* extended attributes of a record */
    LIMIT_XATTR_NAME = 255,    /* XATTR_NAME_MAX */
    LIMIT_XATTR_VALUE = 65536, /* XATTR_SIZE_MAX */
    LIMIT_XATTR_BYTES = 66048, /* of all of a record, encoded: one of the greatest fits */
    LIMIT_INLINE = 32768,      /* content that rides in its change: a note is one message */
    LIMIT_BODY = 65536,        /* an encoded content body: inline bytes, or 1024 chunk ids */
    LIMIT_CHANGE_PARTS = 4096, /* parts of one change: an operation with its pins and siblings */
    LIMIT_LABEL = 64,          /* bytes of a device's label */
    LIMIT_LINKS = 1000,        /* names of one record that local operations make */
    LIMIT_PART = 3 * 65536,    /* one encoded part: a body or attributes, vectors and the rest */

    /* What is signed and sealed. */
    LIMIT_ENTRY = 393216,    /* a sealed entry: the largest change that one operation makes */
    LIMIT_CHUNK = 262144,    /* plaintext of a chunk, the largest that cutting makes */
    LIMIT_ACT_HEADS = 16,    /* newest acts that an entry or an act names */
    LIMIT_REPLACED = 64,     /* dots that an entry says it replaces: the values of a facet */
    LIMIT_CHUNK_IDS = 1024,  /* chunks that an entry or a list chunk names */
    LIMIT_TREE_DEPTH = 8,    /* of the tree under one signature: 256 entries */
    LIMIT_MEMBERS = 64,      /* of a space: the devices of a family or a small office */
    LIMIT_REPLICAS = 1024,   /* of a space, see LIMIT_VECTOR */
    LIMIT_EPOCHS = 1024,     /* of a space: one for each revocation */
    LIMIT_ACT = 65536,       /* one act: a revocation with 1024 cuts and its boxes */
    LIMIT_AUTHOR_ACTS = 256, /* by one member, revocations apart */
    LIMIT_EPOCH_BOXES = 256  /* adds that cross each other make more members than LIMIT_MEMBERS */
};

#define LIMIT_COUNTER ((UINT64_C(1) << 48) - 1) /* counters of a replica: 8,900 years at 1000/s */
#define LIMIT_FILE (UINT64_C(1) << 50)          /* bytes of a file: 1 PiB, three levels of lists */

/* Three vectors of a part (context, origin, what a deletion saw) and its largest data fit. */
_Static_assert(3 * LIMIT_VECTOR * 16 + LIMIT_BODY + 1024 <= LIMIT_PART, "a part fits its limit");
_Static_assert(2 * LIMIT_VECTOR * 16 + LIMIT_XATTR_BYTES + 1024 <= LIMIT_PART, "so do attributes");
_Static_assert(LIMIT_XATTR_VALUE + LIMIT_XATTR_NAME + 8 <= LIMIT_XATTR_BYTES, "as does one alone");
_Static_assert(LIMIT_INLINE < LIMIT_BODY, "inline content fits a body");

#endif
