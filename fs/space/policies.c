#include "fs/space/policies.h"

#include <errno.h>

#include "fs/merge/split.h"
#include "fs/space/drivers.h"
#include "fs/space/path.h"
#include "fs/space/versions.h"
#include "proto/base/escape.h"

enum { DEPTH_MAX = 2 * LIMIT_DEPTH, DRIVERS_TOLD_MAX = 8 };

/* A folder's own policy. -ENOENT: it has none; -EBADMSG, -E2BIG: @e says what is wrong. */
static int load(struct space *s, const struct rid *dir, struct policy *ret, struct err *e)
{
    struct replica_entry entry;
    struct replica_info info;
    int rc = replica_lookup(s->replica, dir, bytes_str(POLICY_NAME), &entry);
    if (rc == 0 && rid_kind(&entry.rid) != KIND_FILE)
        rc = -ENOENT;
    if (rc == 0)
        rc = replica_stat(s->replica, &entry.rid, &info);
    if (rc == 0 && dot_is_none(&info.content.dot))
        rc = -ENOENT;
    if (rc < 0)
        return rc;
    CLEANUP(buf_fini) struct buf text = {0};
    if (info.content.size > POLICY_FILE_MAX)
        return err_set(e, -E2BIG, "longer than %d KiB", POLICY_FILE_MAX >> 10);
    rc = version_bytes(s, &entry.rid, &info.content, &text);
    return rc < 0 ? rc : policy_parse(buf_bytes(&text), ret, e);
}

struct step {
    struct rid parent;
    size_t name_n;
};

static int take_entry(void *ctx, const struct replica_entry *e)
{
    struct step *step = ctx;
    *step = (struct step){e->parent, e->name_len};
    return 1;
}

/* The policy of folder @dir, as it speaks of the path below it. */
static int look(struct space *s, const struct rid *dir, struct bytes below,
                struct policy_found *ret)
{
    struct policy p = {.text = {0}};
    int rc = load(s, dir, &p, NULL);
    if (rc < 0)
        return rc == -ENOENT || rc == -EBADMSG || rc == -E2BIG ? 0 : rc;
    struct strategy how = policy_find(&p, below);
    if (how.kind == STRATEGY_DEFAULT) {
        policy_fini(&p);
        return 0;
    }
    ret->policy = p;
    ret->how = how;
    return 1;
}

int policies_find(struct space *s, const struct rid *rid, struct policy_found *ret)
{
    struct rid at = *rid;
    *ret = (struct policy_found){.how = {.kind = STRATEGY_DEFAULT}};
    int rc = path_of_record(s, rid, &ret->path);
    size_t from = ret->path.n + 1; /* where what the folder's policy speaks of begins */
    for (unsigned depth = 0; rc == 0 && !rid_is_root(&at); depth++) {
        struct step step;
        rc = depth < DEPTH_MAX ? replica_entries(s->replica, &at, take_entry, &step) : -ELOOP;
        if (rc <= 0 || from < step.name_n + 1) {
            rc = rc < 0 ? rc : -ENOENT;
            break;
        }
        from -= step.name_n + 1;
        at = step.parent;
        rc = look(s, &at, bytes_behind(buf_bytes(&ret->path), from), ret);
    }
    if (rc < 0)
        policies_fini(ret);
    return rc < 0 ? rc : 0;
}

void policies_fini(struct policy_found *p)
{
    buf_fini(&p->path);
    policy_fini(&p->policy);
}

/* ---- what is wrong ---- */

struct complaints {
    struct space *s;
    struct bytes folder; /* its path, with a '/' at the end */
    const struct drivers *drivers;
    unsigned left; /* so many more: who wrote the policy need not mean well */
    struct buf *ret;
};

static void complain(const struct complaints *c, const char *why)
{
    buf_put_bytes(c->ret, c->folder);
    buf_put_bytes(c->ret, bytes_str(POLICY_NAME ": "));
    buf_put_bytes(c->ret, bytes_str(why));
    buf_put_u8(c->ret, 0);
}

static int look_driver(void *ctx, unsigned line, const struct strategy *how)
{
    struct complaints *c = ctx;
    if (how->kind != STRATEGY_EXEC || drivers_find(c->drivers, how->driver) != NULL)
        return 0;
    struct err e = {0};
    char name[POLICY_DRIVER_MAX + 1];
    escape_to(name, sizeof name, how->driver);
    (void)err_set(&e, -ENOENT,
                  "line %u: this device has no driver '%s' for this folder; 'persist driver "
                  "set %s' adds it, until then both versions are kept",
                  line, name, name);
    complain(c, e.msg);
    return buf_status(c->ret) < 0 ? -ENOMEM : --c->left == 0;
}

int policies_errors(struct space *s, uint64_t dir, struct buf *ret)
{
    struct attr a;
    CLEANUP(buf_fini) struct buf path = {0};
    CLEANUP(policy_fini) struct policy policy = {.text = {0}};
    CLEANUP(drivers_fini) struct drivers drivers = {.v = NULL};
    struct err e = {0}, in_file = {0};
    int rc = tree_getattr(s->tree, dir, &a);
    if (rc < 0 || !a.bound)
        return rc == -ESTALE ? 0 : rc;
    struct rid rid = bind_rid(&a);
    pthread_mutex_lock(&s->lock);
    rc = path_of_record(s, &rid, &path);
    if (rc == 0)
        rc = load(s, &rid, &policy, &e);
    pthread_mutex_unlock(&s->lock);
    if (rc == 0 || rc == -EBADMSG || rc == -E2BIG)
        buf_put_bytes(&path, bytes_str(path.n > 0 ? "/" : ""));
    struct complaints c = {s, buf_bytes(&path), &drivers, DRIVERS_TOLD_MAX, ret};
    if (rc == -EBADMSG || rc == -E2BIG) {
        complain(&c, e.msg);
        return buf_status(ret);
    }
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (drivers_read(s->dir_fd, &drivers, &in_file) < 0) {
        e = in_file;
        (void)err_wrap(&e, e.code, "the list of this device's drivers");
        complain(&c, e.msg);
    }
    rc = policy_each(&policy, look_driver, &c);
    return rc < 0 ? rc : buf_status(ret);
}
