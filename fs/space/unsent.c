#include "fs/space/unsent.h"

#include <errno.h>

#include "fs/space/path.h"
#include "fs/space/sync_priv.h"

_Static_assert(LIMIT_DEPTH == 256 && LIMIT_LINKS == 1000, "as the texts say");

static const char *why_of(int error)
{
    switch (error) {
    case EMLINK:
        return "the file has 1,000 other names; this one stays here while it has them";
    case ENAMETOOLONG:
        return "it is more than 256 folders deep; it stays here until it is moved up";
    case E2BIG:
        return "its change is too big to be sent; copy it to another name, and the copy is sent";
    default:
        return strerrordesc_np(error);
    }
}

/* Takes what is at @path over. */
static void add(struct unsent *u, struct buf *path, int error)
{
    for (size_t i = 0; i < u->named; i++)
        if (bytes_equal(buf_bytes(&u->path[i]), buf_bytes(path)))
            return;
    u->n++;
    if (u->named == UNSENT_MAX)
        return;
    u->why[u->named] = why_of(error);
    u->path[u->named++] = *path;
    *path = (struct buf){0};
}

/* ---- what could not be published ---------------------------------------------------------------
 */

static int add_failed(struct space *s, struct unsent *u)
{
    struct publish_failed failed[UNSENT_MAX];
    size_t all = publisher_failed(s, failed, UNSENT_MAX);
    size_t n = all < UNSENT_MAX ? all : UNSENT_MAX;
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        CLEANUP(buf_fini) struct buf path = {0};
        rc = path_of_file(s, failed[i].ino, &path);
        if (rc == 0 && failed[i].name_n > 0) {
            buf_put_bytes(&path, bytes_str(path.n > 0 ? "/" : ""));
            buf_put(&path, failed[i].name, failed[i].name_n);
        }
        if (rc == 0)
            rc = buf_status(&path);
        if (rc == 0) {
            add(u, &path, failed[i].error);
        } else if (rc == -ENOENT || rc == -ESTALE || rc == -ELOOP) { /* it is gone, or deep down */
            u->n += rc == -ELOOP;
            rc = 0;
        }
    }
    u->n += all - n;
    return rc;
}

/* ---- what could not be sealed ------------------------------------------------------------------
 */

/* Of each record that @change is about: where it is shown. */
static int add_change(struct space *s, struct unsent *u, struct bytes change)
{
    struct reader r;
    struct dot dot;
    size_t n;
    int rc = value_change_open(change, &r, &dot, &n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        CLEANUP(buf_fini) struct buf path = {0};
        struct value v;
        rc = value_change_next(&r, &dot, &v);
        int found = rc < 0 ? rc : path_of_record(s, &v.rid, &path);
        if (found == 0)
            add(u, &path, E2BIG);
        else if (rc == 0 && found != -ENOENT && found != -ELOOP)
            rc = found;
    }
    return rc == -EBADMSG ? -EUCLEAN : rc;
}

static int add_too_big(struct space *s, struct unsent *u)
{
    const uint8_t prefix = SYNC_TOO_BIG;
    struct db_iter *it = db_iter_new(s->db, DB_SYNC, bytes_of(&prefix, 1), NULL);
    int rc = 0;
    if (it == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&s->lock);
    while (rc == 0 && db_iter_next(it)) {
        CLEANUP(buf_fini) struct buf change = {0};
        struct bytes key = db_iter_key(it);
        if (key.n != 1 + DOT_SIZE)
            continue;
        struct dot dot = dot_decode(key.p + 1);
        rc = replica_change_get(s->replica, &dot, &change);
        if (rc == 0)
            rc = add_change(s, u, buf_bytes(&change));
        else if (rc == -ENOENT) /* other changes, which are sent, took its place */
            rc = 0;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc == 0)
        rc = db_iter_status(it);
    db_iter_free(it);
    return rc;
}

int unsent_get(struct space *s, struct unsent *ret)
{
    *ret = (struct unsent){0};
    int rc = add_failed(s, ret);
    return rc < 0 || s->sync == NULL ? rc : add_too_big(s, ret);
}

void unsent_fini(struct unsent *u)
{
    for (size_t i = 0; i < u->named; i++)
        buf_fini(&u->path[i]);
}
