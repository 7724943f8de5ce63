#include "sync/cli/mount_helper.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/mount/mount.h"
#include "proto/base/escape.h"
#include "sync/cli/args.h"
#include "sync/cli/commands.h"
#include "sync/cli/fail.h"

enum { MOUNT_USAGE = 1, MOUNT_FAILED = 32 }; /* exit statuses of mount(8) */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static bool is_helper_name(const char *name)
{
    return strcmp(name, "mount.persist") == 0 || strcmp(name, "mount.fuse.persist") == 0;
}

bool mount_helper_is_called(int argc, char *const *argv)
{
    if (argc > 0 && is_helper_name(base_name(argv[0])))
        return true;
    if (argc > 1 && is_helper_name(argv[1]))
        return true;
    /* mount.fuse3, for the type fuse.persist: no command takes an absolute path and then -o. */
    return argc == 5 && argv[2][0] == '/' && strcmp(argv[3], "-o") == 0 &&
           strcmp(argv[1], command_mount.name) != 0;
}

static const struct passwd *find_user(const char *text)
{
    char *end;
    errno = 0;
    unsigned long uid = strtoul(text, &end, 10);
    if (errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9')
        return uid < UINT32_MAX ? getpwuid((uid_t)uid) : NULL;
    return getpwnam(text);
}

/* The environment that a login of that user would have: nothing of the caller's. */
static int set_environment(const struct passwd *pw, const char *home)
{
    if (clearenv() != 0 || setenv("HOME", pw->pw_dir, 1) < 0 ||
        setenv("USER", pw->pw_name, 1) < 0 || setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1) < 0)
        return -ENOMEM;
    return home != NULL && setenv("PERSIST_HOME", home, 1) < 0 ? -ENOMEM : 0;
}

static int become(const struct passwd *pw, struct err *err)
{
    if (pw->pw_uid == getuid() && pw->pw_uid == geteuid())
        return 0;
    if (initgroups(pw->pw_name, pw->pw_gid) < 0 ||
        setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
        return err_set(err, -EPERM, "mount.persist: cannot become user %s: %s", pw->pw_name,
                       strerror(errno));
    /* Given up for good, or not at all. */
    if (pw->pw_uid != 0 && setuid(0) == 0)
        return err_set(err, -EPERM, "mount.persist: root could not be given up");
    return 0;
}

static int switch_user(const struct mount_helper_options *o, struct err *err)
{
    const char *home = o->home.n > 0 ? (const char *)o->home.p : NULL;
    if (home != NULL && home[0] != '/')
        return err_set(err, -EINVAL, "mount.persist: option home= must be an absolute path");
    char self[32];
    snprintf(self, sizeof self, "%u", (unsigned)getuid());
    const char *name = o->user.n > 0 ? (const char *)o->user.p : self;
    const struct passwd *pw = find_user(name);
    char shown[64];
    if (pw == NULL)
        return err_set(err, -EINVAL, "mount.persist: option uid=: there is no user '%s'",
                       escape_to(shown, sizeof shown, bytes_str(name)));
    int rc = become(pw, err);
    if (rc == 0 && set_environment(pw, home) < 0)
        rc = err_set(err, -ENOMEM, "mount.persist: out of memory");
    return rc;
}

/* With -s, options that nobody knows are left out: what is kept is in @ret, terminated. */
static int keep_known(const char *list, struct buf *ret)
{
    for (const char *p = list; *p != '\0';) {
        size_t n = strcspn(p, ",");
        char *one = strndup(p, n);
        if (one == NULL)
            return -ENOMEM;
        if (mount_check_options(one, NULL) == 0) {
            if (ret->n > 0)
                buf_put_u8(ret, ',');
            buf_put(ret, p, n);
        }
        free(one);
        p += n + (p[n] == ',');
    }
    buf_put_u8(ret, 0);
    return buf_status(ret);
}

enum { OPT_SLOPPY, OPT_FAKE, OPT_NO_TAB, OPT_VERBOSE, OPT_READ_WRITE, OPT_OPTIONS, OPT_TYPE };
static const struct args_option options[] = {
    {.short_name = 's'},
    {.short_name = 'f'},
    {.short_name = 'n'},
    {.short_name = 'v', .repeats = true},
    {.short_name = 'w'},
    {.short_name = 'o', .has_value = true, .repeats = true},
    {.short_name = 't', .has_value = true},
    {0},
};

static int mount_folder(const char *target, const struct mount_helper_options *o, const char *rest)
{
    struct args a;
    struct err err = {0};
    char *argv[8];
    int n = 0;
    char name_option[] = "--name";
    char options_option[] = "-o";
    char end[] = "--";
    char *folder = strdup(target);
    char *list = strdup(rest);
    int status = MOUNT_FAILED;
    if (folder != NULL && list != NULL) {
        if (o->name.n > 0) {
            argv[n++] = name_option;
            argv[n++] = (char *)o->name.p;
        }
        if (list[0] != '\0') {
            argv[n++] = options_option;
            argv[n++] = list;
        }
        argv[n++] = end;
        argv[n++] = folder;
        int rc = args_parse(command_mount.options, n, argv, &a, &err);
        int done = rc < 0 ? fail(VERB_USAGE, "%s", err.msg) : command_mount.run(&a);
        status = done == VERB_OK ? 0 : done == VERB_USAGE ? MOUNT_USAGE : MOUNT_FAILED;
    }
    free(folder);
    free(list);
    return status;
}

static int mount_with(const struct args *a, const struct mount_helper_options *o)
{
    struct err err = {0};
    struct buf rest = {0};
    const char *list = o->rest.n > 0 ? (const char *)o->rest.p : "";
    int rc = switch_user(o, &err);
    if (rc == 0 && args_count(a, OPT_SLOPPY) > 0)
        rc = keep_known(list, &rest);
    else if (rc == 0)
        rc = mount_check_options(list, &err);
    int status;
    if (rc < 0) {
        (void)fail(VERB_USAGE, "%s", err.code != 0 ? err.msg : strerror(-rc));
        status = MOUNT_USAGE;
    } else if (args_count(a, OPT_FAKE) > 0) {
        status = 0;
    } else {
        status = mount_folder(args_plain(a, 1), o, rest.n > 0 ? (const char *)rest.p : list);
    }
    buf_fini(&rest);
    return status;
}

int mount_helper_main(int argc, char **argv)
{
    int skip = is_helper_name(argv[1] != NULL ? argv[1] : "") ? 2 : 1;
    struct args a;
    struct err err = {0};
    int rc = args_parse(options, argc - skip, argv + skip, &a, &err);
    if (rc == 0 && args_plain_n(&a) != 2)
        rc = err_set(&err, -EINVAL, "usage: mount.persist SOURCE TARGET [-sfnv] [-o OPTIONS]");
    struct buf list = {0};
    for (size_t i = 0; rc == 0 && i < args_count(&a, OPT_OPTIONS); i++) {
        buf_put_bytes(&list, bytes_str(args_value(&a, OPT_OPTIONS, i)));
        buf_put_u8(&list, ',');
    }
    buf_put_u8(&list, 0);
    struct mount_helper_options o = {0};
    if (rc == 0)
        rc = buf_status(&list) < 0 ? err_set(&err, -ENOMEM, "mount.persist: out of memory")
                                   : mount_helper_parse((const char *)list.p, &o, &err);
    buf_fini(&list);
    int status = rc < 0 ? MOUNT_USAGE : mount_with(&a, &o);
    if (rc < 0)
        (void)fail(VERB_USAGE, "%s", err.msg);
    mount_helper_options_fini(&o);
    return status;
}
