/*
 * fs/replica/past - the rows of history, as values arrive.
 *
 * Rows of DB_VERSION: HISTORY_VERSION: the content with what it was made of and its body, also of
 * current values, which have it nowhere else. HISTORY_PLACE and HISTORY_NAME: what place a record
 * had, and who had a name.
 */
#ifndef FS_REPLICA_PAST_H
#define FS_REPLICA_PAST_H

#include "fs/replica/replica_priv.h"

enum { VERSION_KEY_SIZE = 1 + RID_SIZE + DOT_SIZE };

/** Adds the rows of a value that arrived or was made. */
int past_add(struct replica *r, const struct value *v) MUST_CHECK;

/** The key of a version. */
struct bytes past_version_key(uint8_t key[KEY_MAX], const struct rid *rid, const struct dot *dot);

/* What a version is made of, as far as its author knew: views of the row. */
struct lineage {
    bool from_own;         /* a user's save; else a resolution: of the saves @from */
    struct dots from, ctx; /* as in the value that it was */
};

/** Decodes the beginning of a row of HISTORY_VERSION. 0 or -EUCLEAN. */
int past_lineage(struct bytes key, struct bytes row, struct replica_content *ret,
                 struct lineage *ret_lineage) MUST_CHECK;

/** Decodes a row of HISTORY_VERSION; the body is a view into @row. 0 or -EUCLEAN. */
int past_version(struct bytes key, struct bytes row, struct replica_content *ret,
                 struct bytes *ret_body) MUST_CHECK;

/** Decodes a row of HISTORY_PLACE. 0 or -EUCLEAN. */
int past_place(struct bytes key, struct bytes row, struct history_place *ret) MUST_CHECK;

/** The key of a HISTORY_PLACE row of @p's stamp, dot and slot. */
struct bytes past_place_key(uint8_t key[KEY_MAX], const struct rid *rid,
                            const struct history_place *p);

/** The key of a HISTORY_NAME row, a view into @key. */
struct bytes past_name_key(uint8_t key[KEY_MAX], const struct rid *parent, struct bytes name,
                           const struct rid *rid);

#endif
