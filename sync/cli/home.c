#include "sync/cli/home.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sync/state/statefile.h"

/* The user's home directory, or NULL. */
static const char *user_home(void)
{
    const char *home = getenv("HOME");
    if (home != NULL && home[0] == '/')
        return home;
    const struct passwd *pw = getpwuid(geteuid());
    return pw != NULL && pw->pw_dir != NULL && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
}

/* $NAME/persist when that variable is an absolute path, else below the user's home; NULL on
 * failure. */
static char *xdg_dir(const char *variable, const char *below_home, struct err *err)
{
    char *path = NULL;
    const char *base = getenv(variable);
    int n;
    if (base != NULL && base[0] == '/') {
        n = asprintf(&path, "%s/persist", base);
    } else {
        const char *home = user_home();
        if (home == NULL) {
            err_set(err, -EUNATCH, "state directory: no home directory is known; set PERSIST_HOME");
            return NULL;
        }
        n = asprintf(&path, "%s/%s/persist", home, below_home);
    }
    if (n < 0) {
        err_set(err, -ENOMEM, "state directory: out of memory");
        return NULL;
    }
    return path;
}

static int absolute(const char *path, char **ret, struct err *err)
{
    if (path[0] == '/') {
        *ret = strdup(path);
    } else {
        char *cwd = getcwd(NULL, 0);
        if (cwd == NULL)
            return err_set(err, -errno, "PERSIST_HOME: the current directory is gone: %s",
                           strerror(errno));
        if (asprintf(ret, "%s/%s", cwd, path) < 0)
            *ret = NULL;
        free(cwd);
    }
    return *ret == NULL ? err_set(err, -ENOMEM, "state directory: out of memory") : 0;
}

static int find(struct home *h, struct err *err)
{
    const char *own = getenv("PERSIST_HOME");
    if (own != NULL && own[0] != '\0') {
        int rc = absolute(own, &h->path, err);
        if (rc < 0)
            return rc;
        h->config_dir = strdup(h->path);
        return h->config_dir == NULL ? err_set(err, -ENOMEM, "state directory: out of memory") : 0;
    }
    struct err why = {0};
    h->path = xdg_dir("XDG_STATE_HOME", ".local/state", &why);
    if (h->path != NULL)
        h->config_dir = xdg_dir("XDG_CONFIG_HOME", ".config", &why);
    return h->path == NULL || h->config_dir == NULL ? err_set(err, why.code, "%s", why.msg) : 0;
}

/* Makes a directory and those above it, closed to others. */
static int make_path(const char *path, struct err *err)
{
    char *p = strdup(path);
    if (p == NULL)
        return err_set(err, -ENOMEM, "state directory: out of memory");
    int rc = 0;
    for (char *s = p + 1; rc == 0; s++) {
        if (*s != '/' && *s != '\0')
            continue;
        char c = *s;
        *s = '\0';
        if (mkdir(p, 0700) < 0 && errno != EEXIST && errno != EISDIR)
            rc = err_set(err, -errno, "%s: cannot be made: %s", p, strerror(errno));
        *s = c;
        if (c == '\0')
            break;
    }
    free(p);
    return rc;
}

static int check(const struct home *h, struct err *err)
{
    struct stat st;
    if (fstat(h->fd, &st) < 0)
        return err_set(err, -errno, "%s: %s", h->path, strerror(errno));
    if (st.st_uid != geteuid())
        return err_set(
            err, -EPERM,
            "%s: belongs to user %u, not to this one; set PERSIST_HOME to a directory of yours",
            h->path, (unsigned)st.st_uid);
    if ((st.st_mode & 022) != 0)
        return err_set(err, -EPERM, "%s: mode %03o lets others write to it; chmod 700 it", h->path,
                       (unsigned)(st.st_mode & 0777));
    return 0;
}

int home_open(struct home *h, bool create, struct err *err)
{
    assert(h->fd == -1);
    int rc = find(h, err);
    if (rc == 0 && create)
        rc = make_path(h->path, err);
    if (rc == 0) {
        h->fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (h->fd < 0)
            rc = err_set(err, -errno, "%s: %s", h->path, strerror(errno));
        else
            rc = check(h, err);
    }
    if (rc < 0)
        home_fini(h);
    return rc;
}

void home_fini(struct home *h)
{
    free(h->path);
    free(h->config_dir);
    if (h->fd >= 0)
        close(h->fd);
    *h = (struct home)HOME_INIT;
}

int home_dir(const struct home *h, const char *name, bool create, int *ret_fd, struct err *err)
{
    struct err why = {0};
    int rc = statefile_open_dir(h->fd, name, create, ret_fd, &why);
    if (rc < 0 && why.code != 0)
        err_set(err, rc, "%s/%s", h->path, why.msg);
    return rc;
}

int home_lock(const struct home *h, int *ret_fd, struct err *err)
{
    return home_lock_file(h, "lock", ret_fd, err);
}

int home_lock_file(const struct home *h, const char *name, int *ret_fd, struct err *err)
{
    int fd = openat(h->fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, -errno, "%s/%s: %s", h->path, name, strerror(errno));
    int rc;
    do
        rc = flock(fd, LOCK_EX);
    while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        rc = err_set(err, -errno, "%s/%s: %s", h->path, name, strerror(errno));
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
