/* A plain copy of what is in a space. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/space/export.h"
#include "fs/space/path.h"
#include "fs/space/verb.h"
#include "proto/base/escape.h"
#include "proto/base/human.h"
#include "proto/base/json.h"

/* Opens the directory, which has to be empty. */
static int open_empty(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    if (d == NULL) {
        int rc = -errno;
        if (copy >= 0)
            close(copy);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int n = 0;
    while (n < 3 && readdir(d) != NULL)
        n++;
    closedir(d);
    if (n > 2) {
        close(fd);
        return -ENOTEMPTY;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- how much there is to copy ---- */

struct sum {
    struct space *s;
    uint64_t bytes;
    struct buf dirs; /* still to be looked into, 8 bytes each */
};

static bool add(void *arg, const struct tree_entry *e)
{
    struct sum *sum = arg;
    if (e->offset <= 2)
        return true;
    if (e->type == S_IFDIR)
        buf_put(&sum->dirs, &e->ino, sizeof e->ino);
    else if (e->attr != NULL)
        sum->bytes += e->type == S_IFREG ? e->attr->size : 0;
    return !sum->dirs.failed;
}

static int total_bytes(struct space *s, const struct attr *a, uint64_t *ret)
{
    struct sum sum = {.s = s, .bytes = attr_is_dir(a) ? 0 : a->size};
    if (attr_is_dir(a))
        buf_put(&sum.dirs, &a->ino, sizeof a->ino);
    int rc = buf_status(&sum.dirs);
    while (rc == 0 && sum.dirs.n > 0) {
        uint64_t ino;
        sum.dirs.n -= sizeof ino;
        memcpy(&ino, sum.dirs.p + sum.dirs.n, sizeof ino);
        rc = tree_list(s->tree, ino, 0, true, add, &sum);
        if (rc == 0)
            rc = buf_status(&sum.dirs);
        rc = rc == -ESTALE ? 0 : rc;
    }
    buf_fini(&sum.dirs);
    *ret = sum.bytes;
    return rc;
}

/* ---- ---- */

static int put_json(const struct export *x, struct buf *text)
{
    struct json j;
    json_init(&j, text);
    json_object(&j);
    json_key_u64(&j, "files", x->files);
    json_key_u64(&j, "folders", x->folders);
    json_key_u64(&j, "bytes", x->done_bytes);
    json_key_u64(&j, "skipped", x->skipped);
    json_key(&j, "unread");
    json_list(&j);
    for (size_t at = 0; at < x->unread.n; at += strlen((const char *)x->unread.p + at) + 1)
        json_str(&j, (const char *)x->unread.p + at);
    json_end(&j);
    json_end(&j);
    return json_finish(&j);
}

static int put_text(const struct export *x, struct buf *text)
{
    char n[HUMAN_MAX], m[HUMAN_MAX], bytes[HUMAN_MAX], line[200];
    snprintf(line, sizeof line, "%s file%s in %s folder%s, %s\n", human_count(x->files, n),
             x->files == 1 ? "" : "s", human_count(x->folders, m), x->folders == 1 ? "" : "s",
             human_bytes(x->done_bytes, bytes));
    buf_put_bytes(text, bytes_str(line));
    if (x->skipped > 0) {
        snprintf(line, sizeof line, "%s sockets and devices left out\n",
                 human_count(x->skipped, n));
        buf_put_bytes(text, bytes_str(line));
    }
    for (size_t at = 0; at < x->unread.n; at += strlen((const char *)x->unread.p + at) + 1) {
        buf_put_bytes(text, bytes_str("cannot be read: "));
        escape_put(text, bytes_str((const char *)x->unread.p + at));
        buf_put_u8(text, '\n');
    }
    return buf_status(text);
}

static int copy(struct export *x, const char *path, const struct attr *a)
{
    int rc = total_bytes(x->s, a, &x->total_bytes);
    if (rc == 0 && attr_is_dir(a))
        rc = export_dir(x, a->ino);
    else if (rc == 0)
        rc =
            export_one(x, a, bytes_str(path + path_parent_len(path) + (strchr(path, '/') != NULL)));
    if (rc == 0 && syncfs(x->root_fd) < 0)
        rc = -errno;
    return rc;
}

static int run(struct export *x, const struct verb_call *call, const struct attr *a)
{
    CLEANUP(buf_fini) struct buf text = {0};
    char shown[400];
    int rc = copy(x, call->args[0], a);
    if (rc < 0) {
        if (rc != -ECANCELED)
            out_error(x->out, "export: '%s': %s",
                      escape_to(shown, sizeof shown, buf_bytes(&x->path)), strerror(-rc));
        return verb_status_of(rc);
    }
    rc = call->json ? put_json(x, &text) : put_text(x, &text);
    if (rc == 0)
        rc = out_buf(x->out, &text);
    if (x->unread.n == 0)
        return verb_status_of(rc);
    out_error(x->out, "export: not all files can be read; 'persist check' tells more");
    return VERB_FAILED;
}

int verb_export(struct space *s, const struct verb_call *call, struct out *out)
{
    char shown[400];
    struct attr a;
    struct export x = {.s = s, .out = out};
    int rc = path_file(s, call->args[0], &a);
    if (rc < 0) {
        escape_to(shown, sizeof shown, bytes_str(call->args[0]));
        out_error(out, "%s: %s", shown,
                  rc == -ENOENT ? "no such file; check the path" : strerror(-rc));
        return verb_status_of(rc);
    }
    rc = open_empty(call->args[1], &x.root_fd);
    if (rc < 0) {
        escape_to(shown, sizeof shown, bytes_str(call->args[1]));
        out_error(out, "%s: %s", shown,
                  rc == -ENOTEMPTY ? "is not empty; export into a new directory" : strerror(-rc));
        return verb_status_of(rc);
    }
    int status = run(&x, call, &a);
    close(x.root_fd);
    export_fini(&x);
    return status;
}
