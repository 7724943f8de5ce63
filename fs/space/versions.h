/*
 * fs/space/versions - the contents that a record had, as people name and see them.
 *
 * A version is named by its dot, so its name holds as long as the version does, whatever comes or
 * goes around it: "17-3fa9" is change 17 of the replica whose id begins with 3fa9.
 */
#ifndef FS_SPACE_VERSIONS_H
#define FS_SPACE_VERSIONS_H

#include "fs/space/out.h"
#include "fs/space/path.h"

enum { VERSION_NAME_SIZE = 40 };

struct version {
    struct rid rid;
    struct history_version h;
    bool shown; /* what the file has now */
};

/** Every version of every record of a path into @ret (of struct version), the newest first. */
int versions_of_path(struct space *s, const struct path *p, struct buf *ret) MUST_CHECK;

static inline struct version versions_at(const struct buf *list, size_t i)
{
    struct version v;
    memcpy(&v, list->p + i * sizeof v, sizeof v);
    return v;
}

static inline size_t versions_n(const struct buf *list)
{
    return list->n / sizeof(struct version);
}

/** The name of a version. Returns @to. */
const char *version_name(const struct dot *dot, char to[VERSION_NAME_SIZE]);

/**
 * The version that @name names: the number, and of the replica as many digits as it takes.
 * -EINVAL not such a name, -ENOENT none, -ENOTUNIQ several.
 */
int versions_find(const struct buf *list, const char *name, struct version *ret) MUST_CHECK;

/**
 * The label of the device that made a change, the same that conflict names have: by whichever of
 * its replicas; 8 digits of the replica when none is known. Returns @to. Takes the space's lock.
 */
const char *version_device(struct space *s, const struct dot *dot, char to[LIMIT_LABEL + 1]);

/**
 * Asks for the bytes of a version of a deleted file that are not here: -ENODATA; 0: they are. Takes
 * the space's lock.
 */
int version_ask(struct space *s, const struct rid *rid, const struct dot *dot) MUST_CHECK;

/** Opens the content of a version. -ENOENT: it is gone. Free: content_free(). */
int version_open(struct space *s, const struct rid *rid, const struct dot *dot,
                 struct content **ret) MUST_CHECK;

/** The bytes of a version, into @ret (replaced). -ENOENT: it is gone, -EUCLEAN. */
int version_bytes(struct space *s, const struct rid *rid, const struct replica_content *which,
                  struct buf *ret) MUST_CHECK;

/**
 * The version of a path that a call asks for, newest saves included. On failure an error line has
 * gone to @out, and the negative errno is returned.
 */
int version_wanted(struct space *s, const char *path, const char *name, struct out *out,
                   struct version *ret) MUST_CHECK;

#endif
