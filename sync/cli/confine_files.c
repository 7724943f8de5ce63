#include "sync/cli/confine_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/base.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What Debian 12's headers do not know yet; struct landlock_ruleset_attr of now. */
struct ruleset {
    uint64_t files, network, scopes;
};

#define TRUNCATE_FILE (UINT64_C(1) << 14)
#define DEVICE_IOCTL (UINT64_C(1) << 15)
#define SCOPES UINT64_C(3) /* abstract sockets, signals */

#define READ_FILES LANDLOCK_ACCESS_FS_READ_FILE
#define READ_ALL (READ_FILES | LANDLOCK_ACCESS_FS_READ_DIR)
#define OWN_FILES                                                                                  \
    (READ_ALL | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |                      \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE_FILE)

/* Directories, not the files in them: what is written anew and renamed is another file. */
static const struct {
    const char *path;
    uint64_t rights;
} readable[] = {
    {"/etc", READ_FILES},
    /* Libraries are searched for. */
    {"/lib", READ_ALL},
    {"/lib64", READ_ALL},
    {"/usr/lib", READ_ALL},
    {"/usr/lib64", READ_ALL},
    {"/usr/local/lib", READ_ALL},
    {"/usr/share/zoneinfo", READ_FILES},
    /* Certificates, and what points to them; OpenSSL lists directories of them. */
    {"/etc/ssl", READ_ALL},
    {"/etc/pki", READ_ALL},
    {"/usr/share/ca-certificates", READ_ALL},
    {"/usr/local/share/ca-certificates", READ_ALL},
    {"/usr/share/pki", READ_ALL},
    {"/var/lib/ca-certificates", READ_ALL},
    /* Where programs put the resolver's file. */
    {"/run/systemd/resolve", READ_FILES},
    {"/run/resolvconf", READ_FILES},
    {"/dev/urandom", READ_FILES}, /* libwebsockets does not start without it */
#if SANITIZED
    {"/proc/self", READ_ALL}, /* the map of its memory, its threads */
#endif
};

struct confinement {
    int fd;
    uint64_t known; /* of the kernel: rights that it can take */
};

static struct confinement begin(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return (struct confinement){.fd = -ENOSYS};
    struct ruleset r = {.files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    size_t size = offsetof(struct ruleset, network);
    if (version >= 2)
        r.files |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        r.files |= TRUNCATE_FILE;
    if (version >= 5)
        r.files |= DEVICE_IOCTL;
    if (version >= 6) {
        r.scopes = SCOPES;
        size = sizeof r;
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    return (struct confinement){.fd = fd < 0 ? -errno : fd, .known = r.files};
}

static int allow(const struct confinement *c, int fd, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & c->known, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, c->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno
                                                                                           : 0;
}

/* What is not there is not allowed. */
static int allow_path(const struct confinement *c, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return 0;
    int rc = fstat(fd, &st) < 0 ? -errno : 0;
    if (rc == 0)
        rc = allow(c, fd, S_ISDIR(st.st_mode) ? rights : rights & READ_FILES);
    close(fd);
    return rc;
}

/*
 * The resolver's file may be elsewhere by a link. Its directory, as it is written anew at any time;
 * but the file alone where that is a directory of all kinds of things, as /run.
 */
static int allow_resolver(const struct confinement *c)
{
    char path[PATH_MAX];
    if (realpath("/etc/resolv.conf", path) == NULL)
        return 0;
    char *end = strrchr(path, '/');
    if (end != path && memchr(path + 1, '/', (size_t)(end - path - 1)) != NULL)
        *end = '\0';
    return allow_path(c, path, READ_FILES);
}

/* A list of paths, as OpenSSL takes it from the environment. */
static int allow_listed(const struct confinement *c, const char *name)
{
    const char *list = getenv(name);
    char *copy = list == NULL ? NULL : strdup(list), *save = NULL;
    int rc = list != NULL && copy == NULL ? -ENOMEM : 0;
    for (char *p = copy == NULL ? NULL : strtok_r(copy, ":", &save); rc == 0 && p != NULL;
         p = strtok_r(NULL, ":", &save))
        rc = allow_path(c, p, READ_ALL);
    free(copy);
    return rc;
}

static int allow_system(const struct confinement *c)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_N(readable); i++)
        rc = allow_path(c, readable[i].path, readable[i].rights);
    if (rc == 0)
        rc = allow_resolver(c);
    if (rc == 0)
        rc = allow_listed(c, "SSL_CERT_FILE");
    return rc == 0 ? allow_listed(c, "SSL_CERT_DIR") : rc;
}

int confine_files(int sync_dir_fd, int run_dir_fd)
{
    struct confinement c = begin();
    if (c.fd < 0)
        return c.fd;
    int rc = allow(&c, sync_dir_fd, OWN_FILES);
    if (rc == 0)
        rc = allow(&c, run_dir_fd, LANDLOCK_ACCESS_FS_REMOVE_FILE);
    if (rc == 0)
        rc = allow_system(&c);
    if (rc == 0 && syscall(SYS_landlock_restrict_self, c.fd, 0) < 0)
        rc = -errno;
    close(c.fd);
    return rc;
}
