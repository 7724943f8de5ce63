#include "sync/cli/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/cli/process.h"

static struct bytes next_field(struct bytes *line)
{
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ')
        n++;
    struct bytes field = bytes_of(line->p, n);
    size_t used = n < line->n ? n + 1 : n;
    line->p += used;
    line->n -= used;
    return field;
}

/* The kernel writes blank, tab, newline and backslash as three octal digits. */
static void unescape(struct bytes v, struct buf *ret)
{
    while (v.n > 0) {
        if (v.p[0] == '\\' && v.n >= 4) {
            buf_put_u8(ret, (uint8_t)((v.p[1] & 7) << 6 | (v.p[2] & 7) << 3 | (v.p[3] & 7)));
            v.p += 4;
            v.n -= 4;
        } else {
            buf_put_u8(ret, v.p[0]);
            v.p++;
            v.n--;
        }
    }
}

/* ID PARENT DEV ROOT FOLDER OPTIONS [OPTIONAL...] - TYPE SOURCE OPTIONS */
int mounts_parse_line(struct bytes line, struct mounts_line *ret)
{
    buf_reset(&ret->folder);
    for (int i = 0; i < 4; i++)
        (void)next_field(&line);
    struct bytes folder = next_field(&line);
    if (folder.n == 0 || folder.p[0] != '/')
        return -EBADMSG;
    struct bytes field;
    do {
        if (line.n == 0)
            return -EBADMSG;
        field = next_field(&line);
    } while (!bytes_equal(field, bytes_str("-")));
    ret->ours = bytes_equal(next_field(&line), bytes_str(MOUNTS_TYPE));
    unescape(folder, &ret->folder);
    buf_put_u8(&ret->folder, 0);
    return buf_status(&ret->folder);
}

bool mounts_is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    if (strcmp(folder, "/") == 0)
        return true;
    return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* Calls @f for each mount, in the kernel's order: a later one covers an earlier one. */
static int each(int (*f)(const struct mounts_line *line, void *arg), void *arg, struct err *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (file == NULL)
        return err_set(err, -errno, "/proc/self/mountinfo: %s", strerror(errno));
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    struct mounts_line line = {.ours = false};
    int rc = 0;
    while (rc == 0 && (n = getline(&text, &cap, file)) > 0) {
        rc = mounts_parse_line(bytes_of(text, (size_t)n), &line);
        if (rc == 0)
            rc = f(&line, arg);
        else if (rc == -EBADMSG)
            rc = 0;
    }
    buf_fini(&line.folder);
    free(text);
    fclose(file);
    return rc < 0 ? err_set(err, rc, "/proc/self/mountinfo: %s", strerror(-rc)) : rc;
}

struct at_search {
    const char *folder;
    int found;
};

static int note_at(const struct mounts_line *line, void *arg)
{
    struct at_search *s = arg;
    if (strcmp((const char *)line->folder.p, s->folder) == 0)
        s->found = line->ours ? 2 : 1;
    return 0;
}

int mounts_at(const char *folder, struct err *err)
{
    struct at_search s = {.folder = folder};
    int rc = each(note_at, &s, err);
    return rc < 0 ? rc : s.found;
}

struct around_search {
    const char *path;
    bool ours;
    size_t longest;
    struct buf *folder;
};

static int note_around(const struct mounts_line *line, void *arg)
{
    struct around_search *s = arg;
    const char *folder = (const char *)line->folder.p;
    size_t n = strlen(folder);
    /* The innermost mount above the path decides. */
    if (strcmp(s->path, folder) != 0 && mounts_is_below(s->path, folder) && n >= s->longest) {
        s->longest = n;
        s->ours = line->ours;
        buf_reset(s->folder);
        buf_put(s->folder, folder, n + 1);
    }
    return buf_status(s->folder);
}

int mounts_around(const char *path, struct buf *ret, struct err *err)
{
    struct around_search s = {.path = path, .folder = ret};
    int rc = each(note_around, &s, err);
    return rc < 0 ? rc : s.ours;
}

int mounts_stat(const char *folder, struct stat *ret)
{
    struct statvfs v;
    int rc;
    /* The kernel may still know the attributes of a dead mount's root: statvfs() asks the process.
     * It may be dying: what it did not answer is aborted, the next is refused. */
    do
        rc = stat(folder, ret) < 0 || statvfs(folder, &v) < 0 ? -errno : 0;
    while (rc == -ECONNABORTED);
    return rc;
}

static int with_fusermount(const char *folder, bool detach, struct err *err)
{
    char *copy = strdup(folder);
    if (copy == NULL)
        return err_set(err, -ENOMEM, "unmount: out of memory");
    char program[] = "fusermount3";
    char unmount[] = "-u";
    char unmount_lazily[] = "-uz";
    char end[] = "--";
    char *argv[] = {program, detach ? unmount_lazily : unmount, end, copy, NULL};
    struct buf text = {0};
    int rc = process_run(argv, &text);
    free(copy);
    char shown[200];
    if (rc == -ENOENT)
        err_set(err, rc, "unmount: fusermount3 is not installed; install the package fuse3");
    else if (rc < 0)
        err_set(err, rc, "unmount: fusermount3 cannot be run: %s", strerror(-rc));
    else if (rc > 0 && text.n > 0 && memmem(text.p, text.n, "busy", 4) != NULL)
        rc = err_set(err, -EBUSY, "unmount: in use");
    else if (rc > 0)
        rc = err_set(err, -EPERM, "unmount: fusermount3 says: %s",
                     escape_to(shown, sizeof shown, buf_bytes(&text)));
    buf_fini(&text);
    return rc;
}

int mounts_unmount(const char *folder, bool detach, struct err *err)
{
    if (umount2(folder, UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0)) == 0)
        return 0;
    if (errno != EPERM)
        return err_set(err, -errno, "unmount: %s: %s", folder, strerror(errno));
    return with_fusermount(folder, detach, err);
}
