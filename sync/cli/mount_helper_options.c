/* The options of a line of /etc/fstab. */
#include <errno.h>

#include "sync/cli/mount_helper.h"

/* Options that are for mount(8), fstab or systemd, or that hold always. */
static bool is_for_others(struct bytes option)
{
    static const char *const words[] = {
        "auto",   "noauto",  "user",   "nouser", "users", "group", "owner", "defaults",
        "nofail", "_netdev", "nosuid", "nodev",  "suid",  "dev",   "rw",    "exec",
    };
    for (size_t i = 0; i < ARRAY_N(words); i++)
        if (bytes_equal(option, bytes_str(words[i])))
            return true;
    return (option.n >= 2 && memcmp(option.p, "x-", 2) == 0) ||
           (option.n >= 2 && memcmp(option.p, "X-", 2) == 0) ||
           (option.n >= 8 && memcmp(option.p, "comment=", 8) == 0);
}

/* 1 when @option is "KEY=value" and the value was stored, 0 when it is another option. */
static int take_value(struct bytes option, const char *key, struct buf *to, struct err *err)
{
    size_t n = strlen(key);
    if (option.n < n || memcmp(option.p, key, n) != 0 || (option.n > n && option.p[n] != '='))
        return 0;
    if (option.n <= n + 1)
        return err_set(err, -EINVAL, "mount.persist: option %s= needs a value", key);
    if (to->n > 0)
        return err_set(err, -EINVAL, "mount.persist: option %s= is given twice", key);
    buf_put(to, option.p + n + 1, option.n - n - 1);
    buf_put_u8(to, 0);
    return buf_status(to) < 0 ? -ENOMEM : 1;
}

static int take_option(struct bytes option, struct mount_helper_options *o, struct err *err)
{
    int rc = take_value(option, "name", &o->name, err);
    if (rc == 0)
        rc = take_value(option, "uid", &o->user, err);
    if (rc == 0)
        rc = take_value(option, "home", &o->home, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (option.n == 0 || is_for_others(option))
        return 0;
    if (o->rest.n > 0)
        o->rest.p[o->rest.n - 1] = ',';
    buf_put_bytes(&o->rest, option);
    buf_put_u8(&o->rest, 0);
    return buf_status(&o->rest);
}

int mount_helper_parse(const char *list, struct mount_helper_options *ret, struct err *err)
{
    struct mount_helper_options o = {0};
    int rc = 0;
    for (const char *p = list; rc == 0 && *p != '\0';) {
        size_t n = strcspn(p, ",");
        rc = take_option(bytes_of(p, n), &o, err);
        p += n + (p[n] == ',');
    }
    if (rc < 0) {
        mount_helper_options_fini(&o);
        return rc == -ENOMEM ? err_set(err, rc, "mount.persist: out of memory") : rc;
    }
    *ret = o;
    return 0;
}

void mount_helper_options_fini(struct mount_helper_options *o)
{
    buf_fini(&o->name);
    buf_fini(&o->user);
    buf_fini(&o->home);
    buf_fini(&o->rest);
}
