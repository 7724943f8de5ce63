#include "sync/cli/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/cli/mounts.h"

/* Puts one component at the end of the path that began at @start of @ret. */
static void put_component(struct buf *ret, size_t start, const char *p, size_t n)
{
    if (n == 0 || (n == 1 && p[0] == '.'))
        return;
    if (n == 2 && p[0] == '.' && p[1] == '.') {
        while (ret->n > start && ret->p[--ret->n] != '/')
            ;
        return;
    }
    buf_put_u8(ret, '/');
    buf_put(ret, p, n);
}

static void put_components(struct buf *ret, size_t start, const char *path)
{
    for (const char *p = path; *p != '\0';) {
        size_t n = strcspn(p, "/");
        put_component(ret, start, p, n);
        p += n + (p[n] == '/');
    }
}

void resolve_clean(const char *base, const char *path, struct buf *ret)
{
    size_t start = ret->n;
    if (path[0] != '/')
        put_components(ret, start, base);
    put_components(ret, start, path);
    if (ret->n == start)
        buf_put_u8(ret, '/');
}

/*
 * Follows the longest part of @path (absolute) that exists and appends the rest. What stays
 * behind is cleaned as text: nothing is there that could be a link.
 */
static int follow(char *path, bool follow_last, struct buf *ret)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    size_t cut = n;
    bool last = true;
    for (;;) {
        if (!last || follow_last || cut == 0) {
            char c = path[cut];
            path[cut] = '\0';
            char *real = realpath(cut == 0 ? "/" : path, NULL);
            path[cut] = c;
            if (real != NULL) {
                resolve_clean("/", real, ret);
                free(real);
                break;
            }
            if (errno == ENOMEM || cut == 0)
                return -ENOMEM;
        }
        last = false;
        while (cut > 0 && path[--cut] != '/')
            ;
        while (cut > 0 && path[cut - 1] == '/')
            cut--;
    }
    struct buf whole = {0};
    buf_put_u8(ret, 0);
    if (buf_status(ret) == 0)
        resolve_clean((const char *)ret->p, path + cut + strspn(path + cut, "/"), &whole);
    buf_put_u8(&whole, 0);
    int rc = buf_status(&whole);
    buf_fini(ret);
    *ret = whole;
    return rc;
}

int resolve_path(const char *path, bool follow_last, struct buf *ret, struct err *err)
{
    if (path[0] == '\0')
        return err_set(err, -EINVAL, "path: is empty");
    struct buf whole = {0};
    if (path[0] != '/') {
        char *cwd = getcwd(NULL, 0);
        if (cwd == NULL)
            return err_set(err, -ENOENT, "current directory: %s; give the path from '/' on",
                           strerror(errno));
        buf_put_bytes(&whole, bytes_str(cwd));
        buf_put_u8(&whole, '/');
        free(cwd);
    }
    buf_put(&whole, path, strlen(path) + 1);
    int rc = buf_status(&whole);
    buf_reset(ret);
    /* "a/.." and "a/." name a directory: its links are always followed. */
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    bool dots = name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (rc == 0)
        rc = follow((char *)whole.p, follow_last || dots, ret);
    buf_fini(&whole);
    return rc < 0 ? err_set(err, rc, "path: out of memory") : 0;
}

void target_fini(struct target *t)
{
    buf_fini(&t->path);
    t->space = NULL;
}

int target_place(const struct space_list *l, const char *path, struct target *ret)
{
    const struct space_entry *found = NULL;
    for (size_t i = 0; i < l->n; i++)
        if (mounts_is_below(path, l->v[i].folder) &&
            (found == NULL || strlen(l->v[i].folder) > strlen(found->folder)))
            found = &l->v[i];
    if (found == NULL)
        return -ENOENT;
    const char *rest = path + strlen(found->folder);
    rest += strspn(rest, "/");
    buf_reset(&ret->path);
    buf_put(&ret->path, rest, strlen(rest) + 1);
    ret->space = found;
    return buf_status(&ret->path);
}

int target_find(const struct space_list *l, const char *path, bool folder, struct target *ret,
                struct err *err)
{
    struct buf whole = {0};
    int rc = resolve_path(path, folder, &whole, err);
    if (rc == 0)
        rc = target_place(l, (const char *)whole.p, ret);
    /* A link to a folder, given as a path: then it is the folder that is meant. */
    if (rc == -ENOENT && !folder && resolve_path(path, true, &whole, err) == 0)
        rc = target_place(l, (const char *)whole.p, ret);
    buf_fini(&whole);
    char shown[200];
    if (rc == -ENOENT)
        err_set(err, rc, "%s: is in no persist folder; 'persist status' lists them",
                escape_to(shown, sizeof shown, bytes_str(path)));
    else if (rc == -ENOMEM)
        err_set(err, rc, "path: out of memory");
    return rc;
}

int target_default(const struct space_list *l, struct target *ret, struct err *err)
{
    struct buf here = {0};
    int rc = -ENOENT;
    if (resolve_path(".", true, &here, NULL) == 0)
        rc = target_place(l, (const char *)here.p, ret);
    buf_fini(&here);
    if (rc == -ENOENT && l->n == 1)
        rc = target_place(l, l->v[0].folder, ret);
    if (rc == -ENOENT && l->n == 0)
        return err_set(err, -ENOENT, "folder: there is none yet; 'persist mount FOLDER' makes one");
    if (rc == -ENOENT)
        return err_set(err, -EINVAL, "folder: there are %zu of them; say which", l->n);
    return rc < 0 ? err_set(err, rc, "path: out of memory") : 0;
}

int target_split_version(char *text, const char **ret_version, struct err *err)
{
    char *at = strrchr(text, '@');
    char shown[200];
    if (at == NULL || at == text || at[1] == '\0' || strchr(at, '/') != NULL)
        return err_set(err, -EINVAL, "%s: is not PATH@VERSION; 'persist log PATH' lists versions",
                       escape_to(shown, sizeof shown, bytes_str(text)));
    *at = '\0';
    *ret_version = at + 1;
    return 0;
}
