/* Listing of directories. */
#include <errno.h>

#include "fs/tree/data.h"
#include "fs/tree/tree_priv.h"

enum { OFFSET_DOT = 1, OFFSET_DOTDOT = 2 };

struct listing {
    struct tree *t;
    bool with_attr;
    bool (*emit)(void *arg, const struct tree_entry *e);
    void *arg;
};

static int emit_dots(const struct listing *l, const struct attr *dir, int64_t offset,
                     bool *ret_more)
{
    const char *const names[] = {".", ".."};
    for (int64_t at = offset + 1; at <= OFFSET_DOTDOT && *ret_more; at++) {
        struct attr a = *dir;
        if (at == OFFSET_DOTDOT && dir->parent != dir->ino) {
            int rc = node_peek(l->t, dir->parent, &a);
            if (rc < 0)
                return rc;
        }
        struct tree_entry e = {bytes_str(names[at - 1]), a.ino, S_IFDIR, at, &a};
        *ret_more = l->emit(l->arg, &e);
    }
    return 0;
}

/* One stored entry; false ends the listing. An entry whose file is just going is left out. */
static bool emit_stored(const struct listing *l, struct bytes key, struct bytes value, int *ret_rc)
{
    struct dirent_value v;
    *ret_rc = key.n > 16 ? dirent_decode(value, &v) : -EUCLEAN;
    if (*ret_rc < 0)
        return false;
    struct attr a;
    if (l->with_attr && node_peek(l->t, v.ino, &a) < 0)
        return true;
    struct tree_entry e = {
        .name = bytes_of(key.p + 16, key.n - 16),
        .ino = v.ino,
        .type = v.type,
        .offset = (int64_t)get_u64(key.p + 8),
        .attr = l->with_attr ? &a : NULL,
    };
    return l->emit(l->arg, &e);
}

int tree_list(struct tree *t, uint64_t dir, int64_t offset, bool with_attr,
              bool (*emit)(void *arg, const struct tree_entry *e), void *arg)
{
    struct listing l = {t, with_attr, emit, arg};
    struct attr a;
    int rc = node_peek(t, dir, &a);
    if (rc < 0)
        return rc;
    if (!attr_is_dir(&a))
        return -ENOTDIR;
    bool more = offset >= 0;
    if (offset == 0)
        atime_touch_ino(t, dir);
    if (offset < OFFSET_DOTDOT) {
        rc = emit_dots(&l, &a, offset, &more);
        if (rc < 0 || !more)
            return rc;
        offset = OFFSET_DOTDOT;
    }
    uint8_t from[16];
    put_u64(from, dir);
    put_u64(from + 8, (uint64_t)offset + 1);
    struct db_iter *it = db_iter_new(t->db, DB_DIRENT, bytes_of(from, 8), NULL);
    if (it == NULL)
        return -ENOMEM;
    db_iter_seek(it, bytes_of(from, sizeof from));
    while (more && db_iter_next(it))
        more = emit_stored(&l, db_iter_key(it), db_iter_value(it), &rc);
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}
