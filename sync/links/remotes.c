#include "sync/links/remotes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "sync/state/statefile.h"

enum {
    VERSION = 1,
    SUM_BYTES = 8,
    HEAD_BYTES = 5,
    INSECURE = 1, /* flags */
    MANAGED = 2,
    CA_KEPT_S = 24 * 3600,
    FILE_MAX = HEAD_BYTES + SUM_BYTES + REMOTES_MAX * (int)sizeof(struct remote)
};

struct remotes {
    int dir_fd;
    struct remote *v;
    size_t n;
};

void remote_wipe(struct remote *r)
{
    sodium_memzero(r, sizeof *r);
}

static void list_free(struct remote *v, size_t n)
{
    if (v != NULL)
        sodium_memzero(v, n * sizeof *v);
    free(v);
}

void remotes_free(struct remotes *r)
{
    if (r == NULL)
        return;
    list_free(r->v, r->n);
    free(r);
}

size_t remotes_n(const struct remotes *r)
{
    return r->n;
}

struct remote *remotes_at(const struct remotes *r, size_t i)
{
    return &r->v[i];
}

static bool is_named(const struct remote *r, const uint8_t space[SPACE_ID_SIZE], const char *url)
{
    return memcmp(r->space, space, SPACE_ID_SIZE) == 0 && strcmp(r->url, url) == 0;
}

static struct remote *find(const struct remotes *r, const uint8_t space[SPACE_ID_SIZE],
                           const char *url)
{
    for (size_t i = 0; i < r->n; i++)
        if (is_named(&r->v[i], space, url))
            return &r->v[i];
    return NULL;
}

const struct remote *remotes_find(const struct remotes *r, const uint8_t space[SPACE_ID_SIZE],
                                  const char *url)
{
    return find(r, space, url);
}

/* ---- reading ---- */

/* A text of less than @size bytes, terminated in @to. */
static void get_text(struct reader *in, char *to, size_t size)
{
    struct bytes v = reader_string(in, size - 1);
    if (v.n > 0 && memchr(v.p, 0, v.n) != NULL)
        in->failed = true;
    if (v.n > 0 && !in->failed)
        memcpy(to, v.p, v.n);
    to[in->failed ? 0 : v.n] = '\0';
}

static void get_name(struct reader *in, struct remote *r)
{
    struct bytes space = reader_bytes(in, SPACE_ID_SIZE);
    if (space.n == SPACE_ID_SIZE)
        memcpy(r->space, space.p, SPACE_ID_SIZE);
    get_text(in, r->url, sizeof r->url);
}

static void get_remote(struct reader *in, struct remote *r)
{
    get_name(in, r);
    r->interval_s = reader_u32(in);
    uint8_t flags = reader_u8(in);
    r->insecure = (flags & INSECURE) != 0;
    r->managed = (flags & MANAGED) != 0;
    get_text(in, r->ca_file, sizeof r->ca_file);
}

/* Looks at the outside of a file and opens it for reading; *ret_n: how many things are in it. */
static int open_list(const char *name, const struct buf *file, struct reader *ret, uint32_t *ret_n,
                     struct err *err)
{
    if (file->n < HEAD_BYTES + SUM_BYTES ||
        XXH3_64bits(file->p, file->n - SUM_BYTES) != get_u64(file->p + file->n - SUM_BYTES))
        return err_set(
            err, -EUCLEAN,
            "%s: is damaged; bring it back from a copy, or remove it and add the remotes "
            "again",
            name);
    *ret = reader_of(bytes_of(file->p, file->n - SUM_BYTES));
    if (reader_u8(ret) != VERSION)
        return err_set(err, -ENOTSUP, "%s: was written by a later version of persist", name);
    *ret_n = reader_u32(ret);
    return *ret_n <= REMOTES_MAX ? 0 : err_set(err, -EUCLEAN, "%s: has too many remotes", name);
}

/* Reads one of the two files; 0 and nothing in *ret_n when there is none. */
static int read_file(struct remotes *r, const char *name, struct buf *file, struct reader *ret,
                     uint32_t *ret_n, struct err *err)
{
    *ret_n = 0;
    *ret = (struct reader){0};
    /* One allocation, wiped by the caller: no copy of a token stays behind in the heap. */
    if (buf_reserve(file, FILE_MAX + 2 * 4096) < 0)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    int rc = statefile_read(r->dir_fd, name, FILE_MAX, file, err);
    if (rc == -ENOENT)
        return 0;
    return rc < 0 ? rc : open_list(name, file, ret, ret_n, err);
}

static int read_remotes(struct remotes *r, struct buf *file, struct err *err)
{
    struct reader in;
    uint32_t n;
    int rc = read_file(r, "remotes", file, &in, &n, err);
    if (rc < 0 || n == 0)
        return rc;
    r->v = calloc(n, sizeof *r->v);
    if (r->v == NULL)
        return err_set(err, -ENOMEM, "remotes: out of memory");
    for (r->n = 0; r->n < n; r->n++)
        get_remote(&in, &r->v[r->n]);
    return reader_end(&in) < 0 ? err_set(err, -EUCLEAN, "remotes: makes no sense") : 0;
}

static int read_tokens(struct remotes *r, struct buf *file, struct err *err)
{
    struct reader in;
    uint32_t n;
    int rc = read_file(r, "tokens", file, &in, &n, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct remote t = {.interval_s = 0};
        get_name(&in, &t);
        get_text(&in, t.token, sizeof t.token);
        struct remote *of = find(r, t.space, t.url);
        if (of != NULL)
            memcpy(of->token, t.token, sizeof of->token);
        remote_wipe(&t);
    }
    if (rc == 0 && n > 0 && reader_end(&in) < 0)
        rc = err_set(err, -EUCLEAN, "tokens: makes no sense");
    return rc;
}

static void wiped_fini(struct buf *b)
{
    if (b->p != NULL)
        sodium_memzero(b->p, b->cap);
    buf_fini(b);
}

static int open_remotes(int dir_fd, bool with_tokens, struct remotes **ret, struct err *err)
{
    CLEANUP(wiped_fini) struct buf remotes = {0};
    CLEANUP(wiped_fini) struct buf tokens = {0};
    struct remotes *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_set(err, -ENOMEM, "remotes: out of memory");
    r->dir_fd = dir_fd;
    int rc = read_remotes(r, &remotes, err);
    if (rc == 0 && with_tokens)
        rc = read_tokens(r, &tokens, err);
    if (rc < 0) {
        remotes_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

int remotes_open(int dir_fd, struct remotes **ret, struct err *err)
{
    return open_remotes(dir_fd, true, ret, err);
}

int remotes_read(int dir_fd, struct remotes **ret, struct err *err)
{
    return open_remotes(dir_fd, false, ret, err);
}

/* ---- writing ---- */

static void put_name(struct buf *b, const struct remote *r)
{
    buf_put(b, r->space, SPACE_ID_SIZE);
    buf_put_string(b, bytes_str(r->url));
}

static void put_remote(struct buf *b, const struct remote *r)
{
    put_name(b, r);
    buf_put_u32(b, r->interval_s);
    buf_put_u8(b, (uint8_t)((r->insecure ? INSECURE : 0) | (r->managed ? MANAGED : 0)));
    buf_put_string(b, bytes_str(r->ca_file));
}

static void put_token(struct buf *b, const struct remote *r)
{
    put_name(b, r);
    buf_put_string(b, bytes_str(r->token));
}

static int write_list(int dir_fd, const char *name, const struct remote *v, size_t n,
                      void (*put)(struct buf *b, const struct remote *r), struct err *err)
{
    CLEANUP(wiped_fini) struct buf b = {0};
    if (buf_reserve(&b, HEAD_BYTES + SUM_BYTES + n * sizeof *v) < 0)
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    buf_put_u8(&b, VERSION);
    buf_put_u32(&b, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        put(&b, &v[i]);
    buf_put_u64(&b, XXH3_64bits(b.p, b.n));
    return statefile_write(dir_fd, name, buf_bytes(&b), false, err);
}

/*
 * The list becomes @v, of @n, which is taken over. What is left of the tokens when this dies half
 * way belongs to no remote, and goes with the next change.
 */
static int replace(struct remotes *r, struct remote *v, size_t n, bool grows, struct err *err)
{
    int rc = grows ? write_list(r->dir_fd, "tokens", v, n, put_token, err) : 0;
    if (rc == 0)
        rc = write_list(r->dir_fd, "remotes", v, n, put_remote, err);
    if (rc == 0 && !grows)
        rc = write_list(r->dir_fd, "tokens", v, n, put_token, err);
    if (rc < 0) {
        list_free(v, n);
        return rc;
    }
    list_free(r->v, r->n);
    r->v = v;
    r->n = n;
    return 0;
}

int remotes_put(struct remotes *r, const struct remote *remote, struct err *err)
{
    const struct remote *old = find(r, remote->space, remote->url);
    size_t at = old != NULL ? (size_t)(old - r->v) : r->n;
    if (at == REMOTES_MAX)
        return err_set(err, -EMFILE, "there are %d remotes already; remove some", REMOTES_MAX);
    struct remote *v = calloc(r->n + 1, sizeof *v);
    if (v == NULL)
        return err_set(err, -ENOMEM, "remotes: out of memory");
    if (r->n > 0)
        memcpy(v, r->v, r->n * sizeof *v);
    v[at] = *remote;
    return replace(r, v, at == r->n ? r->n + 1 : r->n, true, err);
}

int remotes_remove(struct remotes *r, const uint8_t space[SPACE_ID_SIZE], const char *url,
                   struct err *err)
{
    const struct remote *old = find(r, space, url);
    if (old == NULL)
        return err_set(err, -ENOENT, "%.150s: is no remote of this folder", url);
    struct remote *v = calloc(r->n, sizeof *v);
    if (v == NULL)
        return err_set(err, -ENOMEM, "remotes: out of memory");
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        if (&r->v[i] != old)
            v[n++] = r->v[i];
    return replace(r, v, n, false, err);
}

/* ---- certificates ---- */

static bool has_ca(const struct remotes *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++) {
        const char *file = strrchr(r->v[i].ca_file, '/');
        if (file != NULL && strcmp(file + 1, name) == 0)
            return true;
    }
    return false;
}

void remotes_tidy(const struct remotes *r)
{
    int copy = openat(r->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *e;
    struct stat st;
    if (d == NULL && copy >= 0)
        close(copy);
    while (d != NULL && (e = readdir(d)) != NULL)
        if (strncmp(e->d_name, REMOTE_CA_PREFIX, strlen(REMOTE_CA_PREFIX)) == 0 &&
            !has_ca(r, e->d_name) && fstatat(r->dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtim.tv_sec < time(NULL) - CA_KEPT_S)
            unlinkat(r->dir_fd, e->d_name, 0);
    if (d != NULL)
        closedir(d);
}
