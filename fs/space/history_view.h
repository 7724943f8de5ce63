/*
 * fs/space/history_view - the history of a space as a tree of folders: one for each path that there
 * is or was, which holds the versions of the files that had the path, and what the folders that had
 * it hold or held.
 *
 * The name of a version says when it was made (UTC), on which device, and which version it is, so
 * that names sort by time: "2026-11-22 14.03.05.120 laptop (17-3fa9).md". Shows what is published,
 * and publishes nothing. Paths are as verb.h has them. Thread: any; no lock may be held.
 */
#ifndef FS_SPACE_HISTORY_VIEW_H
#define FS_SPACE_HISTORY_VIEW_H

#include <time.h>

#include "proto/base/buf.h"
#include "proto/id.h"

struct content;
struct space;

/* What one name in a folder of the history is. */
struct history_view {
    bool is_version; /* the rest holds; else a folder */
    struct rid rid;
    struct dot dot;
    uint64_t size;
    int64_t mtime_ns;
};

/**
 * When anything of it changed last, or the space was opened; no two changes have the same time.
 * Never waits.
 */
struct timespec history_view_time(struct space *s);

/** Appends the names in folder @path, sorted, each as u8 1 for a version, u8 length, bytes.
 * -ENOENT. */
int history_view_list(struct space *s, const char *path, struct buf *ret) MUST_CHECK;

/** Looks up a name in folder @path. -ENOENT. */
int history_view_find(struct space *s, const char *path, struct bytes name,
                      struct history_view *ret) MUST_CHECK;

/**
 * Opens the bytes of a version. -ENOENT: it is gone; -ENODATA: they are not on this device, and are
 * asked for. Free: content_free().
 */
int history_view_open(struct space *s, const struct history_view *v,
                      struct content **ret) MUST_CHECK;

#endif
