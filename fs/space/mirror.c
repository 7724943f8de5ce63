#include "fs/space/mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fs/space/mirror_priv.h"
#include "fs/space/remove.h"
#include "proto/base/escape.h"

/* ---- names ---- */

static int open_beneath(int fd, const char *name, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    long rc = syscall(SYS_openat2, fd, name, &how, sizeof how);
    return rc < 0 ? -errno : (int)rc;
}

int mirror_open_dir(int fd, const char *name)
{
    int rc = open_beneath(fd, name, O_RDONLY);
    if (rc != -EACCES)
        return rc;
    /* One that its owner may not read: it is ours. */
    int path = open_beneath(fd, name, O_PATH);
    if (path < 0)
        return path;
    char by_fd[40];
    snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d", path);
    rc = chmod(by_fd, 0700) < 0 ? -errno : open_beneath(fd, name, O_RDONLY);
    close(path);
    return rc;
}

int mirror_host_names(int fd, struct buf *ret)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (d == NULL) {
        int rc = -errno;
        if (copy >= 0)
            close(copy);
        return rc;
    }
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        buf_put_u8(ret, (uint8_t)strlen(e->d_name));
        buf_put(ret, e->d_name, strlen(e->d_name));
    }
    closedir(d);
    return buf_status(ret);
}

static bool add_name(void *arg, const struct tree_entry *e)
{
    struct buf *b = arg;
    if (e->offset <= 2 || (e->type != S_IFREG && e->type != S_IFDIR && e->type != S_IFLNK))
        return true;
    buf_put_u8(b, (uint8_t)e->name.n);
    buf_put_bytes(b, e->name);
    return !b->failed;
}

int mirror_space_names(struct mirror *m, uint64_t dir, struct buf *ret)
{
    int rc = tree_list(m->cfg.space->tree, dir, 0, false, add_name, ret);
    return rc == -ENOENT ? 0 : rc < 0 ? rc : buf_status(ret);
}

/* ---- what fails ---- */

/* One name that fails does not keep the others from being right: @rc is told when they are. */
static int go_on(struct mirror *m, int rc)
{
    if (rc >= 0 || rc == -ECANCELED || rc == -ENOMEM)
        return rc;
    if (m->failed == 0) {
        m->failed = rc;
        buf_reset(&m->failed_at);
        buf_put_bytes(&m->failed_at, buf_bytes(&m->path));
    }
    return buf_status(&m->failed_at);
}

/* ---- what goes ---- */

static int by_name(const void *a, const void *b)
{
    const uint8_t *x = *(const uint8_t *const *)a, *y = *(const uint8_t *const *)b;
    size_t n = x[0] < y[0] ? x[0] : y[0];
    int order = memcmp(x + 1, y + 1, n);
    return order != 0 ? order : x[0] - y[0];
}

/* Pointers to the names in @names, sorted; their number. NULL and 0 when there are none. */
static int sort_names(const struct buf *names, const uint8_t ***ret, size_t *ret_n)
{
    size_t n = 0;
    for (size_t at = 0; at < names->n; at += 1 + (size_t)names->p[at])
        n++;
    const uint8_t **v = n > 0 ? reallocarray(NULL, n, sizeof *v) : NULL;
    if (n > 0 && v == NULL)
        return -ENOMEM;
    n = 0;
    for (size_t at = 0; at < names->n; at += 1 + (size_t)names->p[at])
        v[n++] = names->p + at;
    if (n > 0)
        qsort(v, n, sizeof *v, by_name);
    *ret = v;
    *ret_n = n;
    return 0;
}

static int remove_entry(struct mirror *m, int fd, const uint8_t *entry)
{
    char name[TREE_NAME_MAX + 1];
    memcpy(name, entry + 1, entry[0]);
    name[entry[0]] = '\0';
    m->report->removed++;
    return remove_tree(fd, name);
}

/* Removes what is in @fd, and not among @names. */
static int remove_others(struct mirror *m, int fd, const struct buf *names)
{
    CLEANUP(buf_fini) struct buf host = {0};
    const uint8_t **v = NULL;
    size_t n = 0;
    int rc = mirror_host_names(fd, &host);
    if (rc == 0)
        rc = sort_names(names, &v, &n);
    for (size_t at = 0; rc == 0 && at < host.n; at += 1 + (size_t)host.p[at]) {
        const uint8_t *entry = host.p + at;
        if (n == 0 || bsearch(&entry, v, n, sizeof *v, by_name) == NULL)
            rc = go_on(m, remove_entry(m, fd, entry));
    }
    free(v);
    return rc;
}

/* ---- what comes ---- */

static int put_dir(struct mirror *m, const struct attr *a, int fd, unsigned depth);

/* Opens a folder of the mirror, which is made if there is none. */
static int enter(int fd, const char *name)
{
    int sub = mirror_open_dir(fd, name);
    if (sub == -ENOTDIR || sub == -ELOOP) { /* something else has the name */
        int rc = remove_tree(fd, name);
        if (rc < 0)
            return rc;
        sub = -ENOENT;
    }
    if (sub != -ENOENT)
        return sub;
    return mkdirat(fd, name, 0700) < 0 ? -errno : mirror_open_dir(fd, name);
}

static int put_folder(struct mirror *m, const struct attr *a, int fd, const char *name,
                      unsigned depth)
{
    int sub = enter(fd, name);
    if (sub < 0)
        return sub;
    int rc = put_dir(m, a, sub, depth + 1);
    close(sub);
    m->report->folders += rc == 0;
    return rc;
}

static int put_entry(struct mirror *m, uint64_t dir, struct bytes entry, int fd, unsigned depth)
{
    char name[TREE_NAME_MAX + 1];
    struct attr a;
    size_t n = m->path.n;
    int rc = dirent_check_name(entry);
    if (rc == 0)
        rc = tree_lookup(m->cfg.space->tree, dir, entry, &a);
    if (rc == -ENOENT) /* gone meanwhile */
        return 0;
    if (rc < 0)
        return rc;
    memcpy(name, entry.p, entry.n);
    name[entry.n] = '\0';
    buf_put_u8(&m->path, '/');
    buf_put_bytes(&m->path, entry);
    rc = buf_status(&m->path);
    if (rc == 0)
        rc = m->cancelled      ? -ECANCELED
             : attr_is_dir(&a) ? put_folder(m, &a, fd, name, depth)
                               : mirror_file(m, dir, &a, fd, name);
    rc = go_on(m, rc);
    if (rc == 0)
        m->path.n = n;
    return rc;
}

/* Makes folder @fd what @a is, with all below it. */
static int put_dir(struct mirror *m, const struct attr *a, int fd, unsigned depth)
{
    CLEANUP(buf_fini) struct buf names = {0};
    struct stat st;
    int rc = depth < MIRROR_DEPTH_MAX ? mirror_space_names(m, a->ino, &names) : -ELOOP;
    if (rc == 0 && fstat(fd, &st) < 0)
        rc = -errno;
    if (rc == 0 && (st.st_mode & 0700) != 0700 && fchmod(fd, 0700) < 0)
        rc = -errno;
    if (rc == 0)
        rc = remove_others(m, fd, &names);
    struct reader left = reader_of(buf_bytes(&names));
    while (rc == 0 && left.n > 0) {
        size_t n = reader_u8(&left);
        rc = put_entry(m, a->ino, reader_bytes(&left, n), fd, depth);
    }
    return rc < 0 ? rc : mirror_attr(m, a, fd);
}

/* ---- a run ---- */

static const char aside[] = ".before-", begun_file[] = "mirror.begun";

bool mirror_is_kept_name(const char *name)
{
    const char *at = strstr(name, aside);
    char stamp[17], like[] = "00000000T000000Z";
    if (at == NULL || at == name || strlen(at += sizeof aside - 1) < sizeof like - 1)
        return false;
    memcpy(stamp, at, sizeof like - 1);
    for (size_t i = 0; i < sizeof like - 1; i++)
        if (stamp[i] >= '0' && stamp[i] <= '9')
            stamp[i] = '0';
    at += sizeof like - 1;
    return memcmp(stamp, like, sizeof like - 1) == 0 && (*at == '\0' || *at == '-');
}

/* What has the mirror's name gets another one. */
static int set_aside(struct mirror *m)
{
    char stamp[32];
    struct tm tm;
    time_t now = time(NULL);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    char *to = m->report->kept;
    int dir = m->dir_fd, rc = -EEXIST;
    for (unsigned i = 1; rc == -EEXIST && i < 100; i++) {
        int n = snprintf(to, sizeof m->report->kept, "%s%s%s", m->cfg.name, aside, stamp);
        if (i > 1)
            snprintf(to + n, sizeof m->report->kept - (size_t)n, "-%u", i);
        rc = renameat2(dir, m->cfg.name, dir, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
    }
    if (rc < 0) {
        to[0] = '\0';
        return rc;
    }
    buf_reset(&m->seen);
    return fsync(dir) < 0 ? -errno : 0;
}

/* Whether something has the mirror's name that is no empty directory. 1 or 0. */
static int is_taken(const struct mirror *m)
{
    CLEANUP(buf_fini) struct buf names = {0};
    int fd = mirror_open_dir(m->dir_fd, m->cfg.name);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd == -ENOTDIR || fd == -ELOOP ? 1 : fd;
    int rc = mirror_host_names(fd, &names);
    close(fd);
    return rc < 0 ? rc : names.n > 0;
}

/* Whether the last run was in this place: 1, 0. A file that is empty is of a program that knew one.
 */
static int was_here(const struct mirror *m)
{
    CLEANUP(buf_fini) struct buf root = {0};
    struct bytes ought = bytes_str(m->cfg.root);
    int fd = openat(m->cfg.state_fd, begun_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int rc = buf_resize(&root, ought.n + 1); /* a longer one differs */
    ssize_t n = rc < 0 ? rc : pread(fd, root.p, root.n, 0);
    rc = n < 0 ? rc < 0 ? rc : -errno : n == 0 || bytes_equal(ought, bytes_of(root.p, (size_t)n));
    close(fd);
    return rc;
}

static int note_place(const struct mirror *m)
{
    struct bytes root = bytes_str(m->cfg.root);
    int fd = openat(m->cfg.state_fd, begun_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, root.p, root.n);
    int rc = n == (ssize_t)root.n ? 0 : n < 0 ? -errno : -ENOSPC;
    close(fd);
    return rc;
}

/* Before the first run in a place: what is there is of somebody who has no copy of it here. */
static int claim(struct mirror *m)
{
    int rc = was_here(m);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = is_taken(m);
    if (rc == 1) {
        m->report->was_other = true;
        rc = set_aside(m);
    }
    return rc < 0 ? rc : note_place(m);
}

/* The old state goes aside when too much of it would vanish; in @fd is the directory in its place.
 */
static int brake(struct mirror *m, int *fd)
{
    int rc = mirror_brake(m, *fd);
    if (rc != 1)
        return rc;
    close(*fd);
    rc = set_aside(m);
    *fd = rc < 0 ? rc : enter(m->dir_fd, m->cfg.name);
    return *fd < 0 ? *fd : 0;
}

static int tell(const struct mirror *m, int rc, const struct buf *path, struct err *err)
{
    char shown[300];
    return err_set(err, rc, "%s%s: %s", m->cfg.name,
                   escape_to(shown, sizeof shown, buf_bytes(path)), strerror(-rc));
}

static int run(struct mirror *m, struct err *err)
{
    struct attr root;
    int rc = claim(m);
    int fd = rc < 0 ? rc : enter(m->dir_fd, m->cfg.name);
    if (fd < 0)
        return err_set(err, fd, "%s: %s", m->cfg.name, strerror(-fd));
    rc = brake(m, &fd);
    if (rc == 0)
        rc = tree_getattr(m->cfg.space->tree, TREE_ROOT, &root);
    if (rc == 0)
        rc = put_dir(m, &root, fd, 0);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? tell(m, rc, &m->path, err) : 0;
}

int mirror_run(struct mirror *m, int dir_fd, struct mirror_report *ret, struct err *err)
{
    *ret = (struct mirror_report){.files = 0};
    m->report = ret;
    m->dir_fd = dir_fd;
    m->failed = 0;
    buf_reset(&m->path);
    buf_reset(&m->now);
    int rc = run(m, err);
    if (rc < 0)
        return rc;
    mirror_seen_turn(m);
    mirror_seen_store(m, false);
    return m->failed < 0 ? tell(m, m->failed, &m->failed_at, err) : 0;
}

/* ---- life ---- */

static void no_progress(struct out *o, uint64_t done, uint64_t total, const char *label)
{
    (void)o;
    (void)done;
    (void)total;
    (void)label;
}

static bool is_cancelled(struct out *o, unsigned wait_ms)
{
    (void)wait_ms;
    return CONTAINER_OF(o, struct mirror, out)->cancelled;
}

int mirror_new(const struct mirror_config *cfg, struct mirror **ret)
{
    struct mirror *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->cfg = *cfg;
    m->out = (struct out){.progress = no_progress, .cancelled = is_cancelled};
    m->copy = (struct export){.s = cfg->space, .out = &m->out};
    snprintf(m->temp, sizeof m->temp, ".%s.new", cfg->name);
    mirror_seen_load(m);
    *ret = m;
    return 0;
}

void mirror_cancel(struct mirror *m)
{
    m->cancelled = true;
}

void mirror_free(struct mirror *m)
{
    if (m == NULL)
        return;
    mirror_seen_store(m, true);
    export_fini(&m->copy);
    buf_fini(&m->path);
    buf_fini(&m->failed_at);
    buf_fini(&m->seen);
    buf_fini(&m->now);
    free(m);
}
