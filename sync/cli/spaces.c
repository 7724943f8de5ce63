#include "sync/cli/spaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "proto/base/utf8.h"
#include "sync/state/statefile.h"

enum { FOLDER_BYTES_MAX = 64 * 1024 };

void spaces_fini(struct space_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].folder);
    free(l->v);
    *l = (struct space_list){0};
}

const struct space_entry *spaces_at(const struct space_list *l, const char *folder)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].folder, folder) == 0)
            return &l->v[i];
    return NULL;
}

const struct space_entry *spaces_named(const struct space_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].name, name) == 0)
            return &l->v[i];
    return NULL;
}

const struct space_entry *spaces_of_id(const struct space_list *l, const struct space_id *id)
{
    char text[SPACE_ID_TEXT_SIZE];
    sodium_bin2hex(text, sizeof text, id->b, sizeof id->b);
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i].id, text) == 0)
            return &l->v[i];
    return NULL;
}

bool spaces_name_valid(const char *name)
{
    return utf8_is_label(bytes_str(name)) && name[0] != '.' && name[0] != '-';
}

void spaces_choose_name(const struct space_list *l, const char *folder,
                        char ret_name[SPACE_NAME_SIZE])
{
    const char *slash = strrchr(folder, '/');
    struct bytes last = bytes_str(slash == NULL ? folder : slash + 1);
    char base[SPACE_NAME_SIZE] = "folder";
    size_t n = 0;
    /* Room stays for a number behind it. */
    while (last.n > 0 && n + 4 < SPACE_NAME_SIZE - 8) {
        uint32_t c;
        size_t k = utf8_decode(last, &c);
        bool fine = k > 0 && !utf8_is_hidden(c) && c != '\\' && (n > 0 || (c != '.' && c != '-'));
        if (fine)
            memcpy(base + n, last.p, k);
        else
            base[n] = '_';
        n += fine ? k : 1;
        base[n] = '\0';
        last.p += k == 0 ? 1 : k;
        last.n -= k == 0 ? 1 : k;
    }
    snprintf(ret_name, SPACE_NAME_SIZE, "%s", base);
    for (unsigned i = 2; spaces_named(l, ret_name) != NULL; i++)
        snprintf(ret_name, SPACE_NAME_SIZE, "%.56s-%u", base, i % 1000000);
}

static bool is_id(const char *name)
{
    return strlen(name) == SPACE_ID_TEXT_SIZE - 1 &&
           strspn(name, "0123456789abcdef") == SPACE_ID_TEXT_SIZE - 1;
}

/* A string in a file has a line with its checksum behind it: another folder would be made. */
enum { SUM_BYTES = 1 + 16 + 1 };

static void sum_of(struct bytes v, char ret[SUM_BYTES + 1])
{
    snprintf(ret, SUM_BYTES + 1, "\n%016llx\n", (unsigned long long)XXH3_64bits(v.p, v.n));
}

static int write_string(int dir_fd, const char *name, const char *value, struct err *err)
{
    CLEANUP(buf_fini) struct buf b = {0};
    char sum[SUM_BYTES + 1];
    sum_of(bytes_str(value), sum);
    buf_put_bytes(&b, bytes_str(value));
    buf_put_bytes(&b, bytes_str(sum));
    if (buf_status(&b) < 0)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    return statefile_write(dir_fd, name, buf_bytes(&b), false, err);
}

/* Takes the checksum off. */
static int check_string(const char *name, struct buf *b, struct err *err)
{
    char sum[SUM_BYTES + 1] = "";
    size_t n = b->n >= SUM_BYTES ? b->n - SUM_BYTES : 0;
    sum_of(bytes_of(b->p, n), sum);
    if (b->n < SUM_BYTES || memcmp(b->p + n, sum, SUM_BYTES) != 0)
        return err_set(err, -EUCLEAN, "%s: is damaged; restore it from a copy", name);
    b->n = n;
    return 0;
}

/* Reads one small file of a space as a string; the caller frees it. */
static int read_string(int dir_fd, const char *name, size_t max, char **ret, struct err *err)
{
    struct buf b = {0};
    int rc = statefile_read(dir_fd, name, max + SUM_BYTES, &b, err);
    if (rc == -ENOENT)
        rc = err_set(err, -EUCLEAN, "%s: is missing", name);
    if (rc == 0)
        rc = check_string(name, &b, err);
    if (rc == 0 && b.n > 0 && memchr(b.p, 0, b.n) != NULL)
        rc = err_set(err, -EUCLEAN, "%s: contains a zero byte", name);
    if (rc == 0) {
        buf_put_u8(&b, 0);
        rc = buf_status(&b) < 0 ? err_set(err, -ENOMEM, "%s: out of memory", name) : 0;
    }
    if (rc < 0) {
        buf_fini(&b);
        return rc;
    }
    *ret = (char *)b.p;
    return 0;
}

static int read_entry(int dir_fd, const char *id, struct space_entry *ret, struct err *err)
{
    struct space_entry e = {.folder = NULL};
    memcpy(e.id, id, SPACE_ID_TEXT_SIZE); /* is_id() has seen its length */
    char *name = NULL;
    int rc = read_string(dir_fd, "folder", FOLDER_BYTES_MAX, &e.folder, err);
    if (rc == 0)
        rc = read_string(dir_fd, "name", SPACE_NAME_SIZE, &name, err);
    if (rc == 0 && (e.folder[0] != '/' || !spaces_name_valid(name)))
        rc = err_set(err, -EUCLEAN, "folder or name: makes no sense");
    if (rc == 0) {
        snprintf(e.name, sizeof e.name, "%s", name);
        e.fresh = faccessat(dir_fd, "new", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        e.anew = faccessat(dir_fd, "before", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        *ret = e;
    } else {
        free(e.folder);
    }
    free(name);
    return rc;
}

static int append(struct space_list *l, const struct space_entry *e)
{
    struct space_entry *v = reallocarray(l->v, l->n + 1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    l->v = v;
    l->v[l->n++] = *e;
    return 0;
}

static int load_one(const struct home *h, int spaces_fd, const char *id, struct space_list *l,
                    struct err *err)
{
    int fd;
    struct err why = {0};
    int rc = statefile_open_dir(spaces_fd, id, false, &fd, &why);
    if (rc == -ENOENT)
        return 0; /* removed this moment */
    if (rc < 0)
        return err_set(err, rc, "%s/spaces/%s", h->path, why.msg);
    struct space_entry e = {.folder = NULL};
    rc = read_entry(fd, id, &e, &why);
    close(fd);
    if (rc == 0 && append(l, &e) < 0) {
        free(e.folder);
        return err_set(err, -ENOMEM, "spaces: out of memory");
    }
    return rc < 0 ? err_set(err, rc, "%s/spaces/%s/%s", h->path, id, why.msg) : 0;
}

/* Moves the files that one space has for another; those that are moved already are no error. */
static int give_folder(int dir_fd, int old_fd, struct err *err)
{
    if ((renameat(dir_fd, "before-folder", old_fd, "folder") < 0 && errno != ENOENT) ||
        (renameat(dir_fd, "before-name", old_fd, "name") < 0 && errno != ENOENT) ||
        fsync(old_fd) < 0)
        return err_set(err, -errno, "%s", strerror(errno));
    return 0;
}

/*
 * A space takes another one's place when its directory gets its name. What the other one is called
 * from then on is in it, and given to that by whoever looks first.
 */
static int settle(int spaces_fd, const char *id, struct err *err)
{
    int fd, old_fd;
    char *old = NULL;
    struct err why = {0};
    int rc = statefile_open_dir(spaces_fd, id, false, &fd, &why);
    if (rc < 0)
        return 0; /* load_one() says so */
    /* Without `before` it was mounted since, and the other one is gone. */
    if (faccessat(fd, "before-name", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        faccessat(fd, "before", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = read_string(fd, "before", SPACE_ID_TEXT_SIZE, &old, &why);
    if (rc == 0 && old != NULL)
        rc = is_id(old) ? statefile_open_dir(spaces_fd, old, false, &old_fd, &why)
                        : err_set(&why, -EUCLEAN, "before: makes no sense");
    if (rc == 0 && old != NULL) {
        rc = give_folder(fd, old_fd, &why);
        close(old_fd);
    }
    close(fd);
    free(old);
    return rc < 0 && rc != -ENOENT ? err_set(err, rc, "spaces/%s: %s", id, why.msg) : 0;
}

static int by_folder(const void *a, const void *b)
{
    const struct space_entry *x = a;
    const struct space_entry *y = b;
    return strcmp(x->folder, y->folder);
}

int spaces_load(const struct home *h, struct space_list *ret, struct err *err)
{
    int fd;
    *ret = (struct space_list){0};
    int rc = home_dir(h, "spaces", false, &fd, err);
    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return rc;
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        close(fd);
        return err_set(err, -ENOMEM, "spaces: out of memory");
    }
    struct space_list l = {0};
    struct dirent *e;
    while (rc == 0 && (e = readdir(d)) != NULL)
        if (is_id(e->d_name))
            rc = settle(fd, e->d_name, err);
    rewinddir(d);
    while (rc == 0 && (e = readdir(d)) != NULL)
        if (is_id(e->d_name))
            rc = load_one(h, fd, e->d_name, &l, err);
    closedir(d);
    if (rc < 0) {
        spaces_fini(&l);
        return rc;
    }
    if (l.n > 1)
        qsort(l.v, l.n, sizeof *l.v, by_folder);
    *ret = l;
    return 0;
}

int spaces_still_at(const struct home *h, const struct space_entry *e, struct err *err)
{
    struct space_list now;
    bool is = false;
    int rc = spaces_load(h, &now, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < now.n; i++)
        is = is || (strcmp(now.v[i].id, e->id) == 0 && strcmp(now.v[i].folder, e->folder) == 0);
    spaces_fini(&now);
    return is ? 0
              : err_set(err, -EBUSY,
                        "another command has put another space here meanwhile; 'persist status' "
                        "lists them");
}

/* Fills the directory of a new space under a name that nobody looks at, then shows it. */
static int make_dir(int spaces_fd, const struct space_entry *e, const struct keyring *k,
                    struct err *err)
{
    char hidden[SPACE_ID_TEXT_SIZE + 8];
    snprintf(hidden, sizeof hidden, ".new-%s", e->id);
    int fd;
    int rc = statefile_open_dir(spaces_fd, hidden, true, &fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_write(fd, "new", bytes_of(NULL, 0), false, err);
    if (rc == 0)
        rc = write_string(fd, "folder", e->folder, err);
    if (rc == 0)
        rc = write_string(fd, "name", e->name, err);
    if (rc == 0)
        rc = keyring_write(k, fd, err);
    close(fd);
    if (rc == 0 && (renameat2(spaces_fd, hidden, spaces_fd, e->id, RENAME_NOREPLACE) < 0 ||
                    fsync(spaces_fd) < 0))
        rc = err_set(err, -errno, "spaces: %s", strerror(errno));
    if (rc < 0)
        (void)!statefile_remove_tree(spaces_fd, hidden, NULL);
    return rc;
}

int spaces_create(const struct home *h, struct space_list *l, const char *folder, const char *name,
                  const struct keyring *k, const struct space_entry **ret, struct err *err)
{
    if (l->n >= SPACES_MAX)
        return err_set(err, -EMFILE,
                       "this device has %d folders already; 'persist forget' one that it does not "
                       "need",
                       SPACES_MAX);
    struct space_entry e = {.fresh = true, .folder = strdup(folder)};
    if (e.folder == NULL)
        return err_set(err, -ENOMEM, "spaces: out of memory");
    sodium_bin2hex(e.id, sizeof e.id, k->space.b, sizeof k->space.b);
    snprintf(e.name, sizeof e.name, "%s", name);
    int fd;
    int rc = home_dir(h, "spaces", true, &fd, err);
    if (rc == 0) {
        rc = make_dir(fd, &e, k, err);
        close(fd);
    }
    if (rc == 0 && append(l, &e) < 0)
        rc = err_set(err, -ENOMEM, "spaces: out of memory");
    if (rc < 0) {
        free(e.folder);
        return rc;
    }
    *ret = &l->v[l->n - 1];
    return 0;
}

/* ---- a space in another one's place ---- */

enum { STAGED_SIZE = SPACE_ID_TEXT_SIZE + 8 };

static const char *staged_name(const struct space_entry *old, char ret[STAGED_SIZE])
{
    snprintf(ret, STAGED_SIZE, ".anew-%s", old->id);
    return ret;
}

int spaces_stage(const struct home *h, const struct space_entry *old, const struct keyring *k,
                 char **ret_path, struct err *err)
{
    char staged[STAGED_SIZE];
    int spaces_fd, fd;
    int rc = home_dir(h, "spaces", false, &spaces_fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_remove_tree(spaces_fd, staged_name(old, staged), err);
    if (rc == 0)
        rc = statefile_open_dir(spaces_fd, staged, true, &fd, err);
    close(spaces_fd);
    if (rc < 0)
        return rc;
    rc = keyring_write(k, fd, err);
    close(fd);
    char *path = NULL;
    if (rc == 0 && asprintf(&path, "%s/spaces/%s", h->path, staged) < 0)
        return err_set(err, -ENOMEM, "spaces: out of memory");
    *ret_path = path;
    return rc;
}

int spaces_unstage(const struct home *h, const struct space_entry *old, struct err *err)
{
    char staged[STAGED_SIZE];
    int fd;
    int rc = home_dir(h, "spaces", false, &fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_remove_tree(fd, staged_name(old, staged), err);
    close(fd);
    return rc;
}

static int write_names(int fd, const struct space_entry *old, const char *aside,
                       const char *aside_name, struct err *err)
{
    int rc = write_string(fd, "folder", old->folder, err);
    if (rc == 0)
        rc = write_string(fd, "name", old->name, err);
    if (rc == 0)
        rc = write_string(fd, "before", old->id, err);
    if (rc == 0)
        rc = write_string(fd, "before-folder", aside, err);
    return rc == 0 ? write_string(fd, "before-name", aside_name, err) : rc;
}

int spaces_replace(const struct home *h, const struct space_entry *old, const struct space_id *id,
                   const char *aside, const char *aside_name, struct err *err)
{
    char staged[STAGED_SIZE], text[SPACE_ID_TEXT_SIZE];
    int spaces_fd, fd;
    sodium_bin2hex(text, sizeof text, id->b, sizeof id->b);
    int rc = home_dir(h, "spaces", false, &spaces_fd, err);
    if (rc < 0)
        return rc;
    rc = statefile_open_dir(spaces_fd, staged_name(old, staged), false, &fd, err);
    if (rc == 0) {
        rc = write_names(fd, old, aside, aside_name, err);
        close(fd);
    }
    if (rc == 0 && (renameat2(spaces_fd, staged, spaces_fd, text, RENAME_NOREPLACE) < 0 ||
                    fsync(spaces_fd) < 0))
        rc = err_set(err, -errno, "spaces: %s", strerror(errno));
    close(spaces_fd);
    return rc;
}

static int unmark(const struct home *h, const struct space_entry *e, const char *mark,
                  struct err *err)
{
    char path[SPACE_ID_TEXT_SIZE + 16];
    snprintf(path, sizeof path, "spaces/%s/%s", e->id, mark);
    if (unlinkat(h->fd, path, 0) < 0 && errno != ENOENT)
        return err_set(err, -errno, "%s/%s: %s", h->path, path, strerror(errno));
    return 0;
}

int spaces_mark_used(const struct home *h, const struct space_entry *e, struct err *err)
{
    int rc = unmark(h, e, "new", err);
    return rc < 0 ? rc : spaces_unstage(h, e, err);
}

int spaces_mark_mounted(const struct home *h, const struct space_entry *e, struct err *err)
{
    return unmark(h, e, "before", err);
}

void spaces_sweep(const struct home *h)
{
    static const char *const half[] = {".new-", ".gone-"};
    int fd;
    struct err ignored = {0};
    if (home_dir(h, "spaces", false, &fd, &ignored) < 0)
        return;
    DIR *d = fdopendir(fd);
    struct dirent *e;
    if (d == NULL) {
        close(fd);
        return;
    }
    while ((e = readdir(d)) != NULL)
        for (size_t i = 0; i < ARRAY_N(half); i++)
            if (strncmp(e->d_name, half[i], strlen(half[i])) == 0)
                (void)!statefile_remove_tree(fd, e->d_name, NULL);
    closedir(d);
}

int spaces_remove(const struct home *h, const struct space_entry *e, struct err *err)
{
    char hidden[SPACE_ID_TEXT_SIZE + 8];
    snprintf(hidden, sizeof hidden, ".gone-%s", e->id);
    int fd;
    int rc = spaces_unstage(h, e, err);
    if (rc == 0)
        rc = home_dir(h, "spaces", false, &fd, err);
    if (rc < 0)
        return rc;
    /* First out of sight, at once: a half removed space is never opened. */
    if (renameat(fd, e->id, fd, hidden) < 0)
        rc = err_set(err, -errno, "space %s: %s", e->name, strerror(errno));
    if (rc == 0)
        rc = statefile_remove_tree(fd, hidden, err);
    close(fd);
    return rc;
}

char *spaces_dir(const struct home *h, const struct space_entry *e)
{
    char *path;
    return asprintf(&path, "%s/spaces/%s", h->path, e->id) < 0 ? NULL : path;
}
