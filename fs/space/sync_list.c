#include "fs/space/sync_list.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    SLICE = 500,            /* records that are listed or compared with the lock held */
    WINDOW = 4 * (1 << 20), /* bytes of a list that are read at a time */
};

_Static_assert((int)WINDOW > (int)HOLDINGS_RECORD_MAX, "a record fits");

static const char referrer[] = "list";

int sync_list_unref(struct db_batch *batch, struct bytes body)
{
    return content_unref(batch, body, bytes_str(referrer));
}

/* ---- making ------------------------------------------------------------------------------------
 */

static int spool(struct sync_compare *c, struct bytes v)
{
    while (v.n > 0) {
        ssize_t n = write(c->spool, v.p, v.n);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        v = bytes_of(v.p + n, v.n - (size_t)n);
        c->spooled += (uint64_t)n;
    }
    return 0;
}

static void drop_spool(struct sync_compare *c)
{
    close(c->spool);
    c->spool = -1;
}

/* A file that is gone when this process is. */
static int begin(struct space *s, struct buf *out)
{
    struct sync_compare *c = &s->sync->compare;
    if (sync_has_unsigned(s))
        return -EAGAIN;
    c->spool = open(s->cfg.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (c->spool < 0)
        return -errno;
    c->spooled = 0;
    c->first = true;
    return replica_list_head(s->replica, s->sync->signed_last, out);
}

static int read_spool(void *arg, uint64_t off, void *p, size_t n)
{
    const struct sync_compare *c = arg;
    for (size_t at = 0; at < n;) {
        ssize_t got = pread(c->spool, (uint8_t *)p + at, n - at, (off_t)(off + at));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return -EIO;
        at += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/* The next STATE says it: in one write with the reference to it. */
static int say(struct space *s, const struct buf *body)
{
    struct sync_compare *c = &s->sync->compare;
    struct db_batch *batch = db_batch_new(s->db);
    if (batch == NULL)
        return -ENOMEM;
    int rc = c->list.n == 0 ? 0 : sync_list_unref(batch, buf_bytes(&c->list));
    if (rc == 0)
        rc = content_ref(batch, buf_bytes(body), bytes_str(referrer));
    if (rc == 0)
        rc = db_write(s->db, batch, false);
    db_batch_free(batch);
    if (rc < 0)
        return rc;
    buf_reset(&c->list);
    buf_put_bytes(&c->list, buf_bytes(body));
    c->list_number = s->sync->states + 1;
    rc = buf_status(&c->list);
    return rc < 0 ? rc : sync_author_state(s);
}

static int finish(struct space *s)
{
    struct sync_compare *c = &s->sync->compare;
    struct content_source src = {.size = c->spooled, .read = read_spool, .arg = c};
    struct buf body CLEANUP(buf_fini) = {0};
    uint8_t hash[CONTENT_HASH_BYTES];
    pthread_rwlock_rdlock(&s->builds);
    int rc = content_build(s->db, &s->keys, &src, NULL, &body, hash);
    if (rc == 0) {
        pthread_mutex_lock(&s->lock);
        rc = say(s, &body);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_rwlock_unlock(&s->builds);
    return rc < 0 ? rc : 0;
}

int sync_list_make(struct space *s)
{
    struct sync_compare *c = &s->sync->compare;
    struct buf out CLEANUP(buf_fini) = {0};
    pthread_mutex_lock(&s->lock);
    int more = 0, rc = c->spool < 0 ? begin(s, &out) : 0;
    if (rc == 0) {
        more = replica_list_put(s->replica, &c->at, c->first, SLICE, &out);
        rc = more < 0 ? more : 0;
        c->first = false;
    }
    pthread_mutex_unlock(&s->lock);
    if (rc == 0)
        rc = spool(c, buf_bytes(&out));
    if (rc == 0 && more == 1)
        return 1;
    if (rc == 0)
        rc = finish(s);
    if (c->spool >= 0)
        drop_spool(c);
    return rc;
}

/* ---- waiting for one ---------------------------------------------------------------------------
 */

void sync_list_waits(struct space *s, struct buf *ret)
{
    pthread_mutex_lock(&s->lock);
    const struct sync_compare *c = &s->sync->compare;
    struct sync_wait w = {.dot = {c->asks, SYNC_LIST_COUNTER}};
    if (c->theirs.n > 0 && !c->is_here)
        buf_put(ret, &w, sizeof w);
    pthread_mutex_unlock(&s->lock);
}

/* The body that came, copied. -ENOENT: none is waited for. */
static int get_theirs(struct space *s, struct buf *ret)
{
    pthread_mutex_lock(&s->lock);
    buf_put_bytes(ret, buf_bytes(&s->sync->compare.theirs));
    pthread_mutex_unlock(&s->lock);
    return ret->n == 0 ? -ENOENT : buf_status(ret);
}

int sync_list_needs(struct space *s, content_need_fn fn, void *arg)
{
    struct buf body CLEANUP(buf_fini) = {0};
    struct content_info info;
    int rc = get_theirs(s, &body);
    if (rc == 0)
        rc = sync_flush_chunks(s);
    if (rc == 0)
        rc = content_parse(buf_bytes(&body), &info);
    return rc < 0 ? rc : content_missing(s->db, buf_bytes(&body), 0, fn, arg);
}

int sync_list_is_here(struct space *s)
{
    int rc = sync_flush_chunks(s);
    pthread_mutex_lock(&s->lock);
    s->sync->compare.is_here = rc == 0;
    s->sync->compare.look_ms = 0;
    if (s->sync->kick != NULL) /* it is to be compared, and nothing else may come */
        s->sync->kick(s->sync->kick_arg, false);
    pthread_mutex_unlock(&s->lock);
    return rc < 0 ? rc : SYNC_TAKEN;
}

/* ---- comparing ---------------------------------------------------------------------------------
 */

/* A list that is read: bytes of it from @at on are in @window. */
struct list {
    struct space *s;
    struct content *content;
    struct buf window;
    struct reader r;
    uint64_t off; /* of what is behind the window */
    struct rid before;
    bool first;
    struct comparison *with;
};

/* So that a whole record is in the window, if the list has one. */
static int fill(struct list *l)
{
    if (l->r.n >= HOLDINGS_RECORD_MAX || l->off == content_size(l->content))
        return 0;
    if (l->r.n > 0)
        memmove(l->window.p, l->r.p, l->r.n);
    l->window.n = l->r.n;
    ssize_t n = content_read(l->content, l->off, l->window.p + l->window.n, WINDOW - l->window.n);
    if (n < 0)
        return (int)n;
    l->off += (uint64_t)n;
    l->window.n += (size_t)n;
    l->r = reader_of(buf_bytes(&l->window));
    return 0;
}

/* Nothing of what others did is taken for known that no signature backs. */
static int cap(const struct space *s, struct dots claimed, struct buf *ret)
{
    CLEANUP(vv_fini) struct vv v = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < claimed.n; i++) {
        struct dot d = dots_at(claimed, i);
        d.counter = min_u64(d.counter, vv_get(&s->sync->highest, d.replica));
        if (d.counter > 0)
            rc = vv_add(&v, &d);
    }
    replica_cap(s->replica, &v);
    vv_put_elements(ret, &v);
    return rc < 0 ? rc : buf_status(ret);
}

static int read_head(struct list *l)
{
    struct holdings_head head;
    struct buf known CLEANUP(buf_fini) = {0}, floor CLEANUP(buf_fini) = {0};
    int rc = holdings_read_head(&l->r, &head);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&l->s->lock);
    rc = cap(l->s, head.known, &known);
    if (rc == 0)
        rc = cap(l->s, head.floor, &floor);
    head = (struct holdings_head){{known.p, known.n / DOT_SIZE}, {floor.p, floor.n / DOT_SIZE}};
    if (rc == 0)
        rc = comparison_new(l->s->replica, &head, sync_is_behind(l->s), &l->with);
    pthread_mutex_unlock(&l->s->lock);
    return rc;
}

/* Some records, while nobody else has the replica. 1: there are more. */
static int compare_some(struct list *l)
{
    int rc = 0;
    pthread_mutex_lock(&l->s->lock);
    for (int i = 0; rc == 0 && i < SLICE && (rc = fill(l)) == 0 && l->r.n > 0; i++) {
        struct holdings_record rec;
        rc = holdings_read_record(&l->r, l->first ? NULL : &l->before, &rec);
        if (rc == 0)
            rc = comparison_record(l->with, &rec);
        l->before = rec.rid;
        l->first = false;
    }
    if (rc == 0 && l->r.n == 0)
        rc = comparison_end(l->with);
    pthread_mutex_unlock(&l->s->lock);
    return rc < 0 ? rc : l->r.n > 0;
}

int sync_list_compare(struct space *s, struct comparison **ret)
{
    struct list l = {.s = s, .first = true};
    struct buf body CLEANUP(buf_fini) = {0};
    int rc = get_theirs(s, &body);
    if (rc == 0)
        rc = buf_resize(&l.window, WINDOW);
    if (rc == 0)
        rc = content_open(s->db, buf_bytes(&body), &l.content);
    l.window.n = 0;
    if (rc == 0)
        rc = fill(&l);
    if (rc == 0)
        rc = read_head(&l);
    for (int more = 1; rc == 0 && more == 1;) {
        more = compare_some(&l);
        rc = more < 0 ? more : 0;
    }
    content_free(l.content);
    buf_fini(&l.window);
    *ret = l.with;
    return rc;
}
