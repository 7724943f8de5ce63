#include "sync/cli/remote_ca.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/escape.h"
#include "sync/links/remotes.h"
#include "sync/net/ws_tls.h"
#include "sync/state/statefile.h"

enum { CA_BYTES_MAX = 1 << 20, NAME_BYTES = 16 };

/* Not as a file of the state: it may be anybody's. */
static int read_all(const char *path, struct buf *ret, struct err *err)
{
    char shown[200];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : 1;
    int rc = 0;
    while (rc == 0 && n > 0) {
        rc = buf_reserve(ret, 4096);
        n = rc < 0 ? 0 : read(fd, ret->p + ret->n, 4096);
        ret->n += n > 0 ? (size_t)n : 0;
        if (ret->n > CA_BYTES_MAX)
            rc = -EFBIG;
    }
    if (rc == 0 && n < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc < 0 ? err_set(err, rc, "%s: %s", escape_to(shown, sizeof shown, bytes_str(path)),
                            strerror(-rc))
                  : 0;
}

/* Whether it is what it is to be: said now, with the name that the user gave. */
static int check(const char *path, struct err *err)
{
    SSL_CTX *roots;
    int rc = ws_tls_client(path, &roots, err);
    if (rc == 0)
        SSL_CTX_free(roots);
    return rc;
}

static int copy(const struct home *h, struct bytes v, char name[static REMOTE_CA_NAME_SIZE],
                struct err *err)
{
    uint8_t hash[NAME_BYTES];
    char hex[2 * NAME_BYTES + 1];
    int dir_fd;
    crypto_generichash(hash, sizeof hash, v.p, v.n, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    snprintf(name, REMOTE_CA_NAME_SIZE, REMOTE_CA_PREFIX "%s.pem", hex);
    int rc = home_dir(h, "sync", true, &dir_fd, err);
    if (rc < 0)
        return rc;
    /* Written anew where there is one: so it is whole, and too young to be removed. */
    rc = statefile_write(dir_fd, name, v, false, err);
    close(dir_fd);
    return rc;
}

int remote_ca(const struct home *h, struct buf *file, struct err *err)
{
    CLEANUP(buf_fini) struct buf content = {0};
    char name[REMOTE_CA_NAME_SIZE], *path;
    if (file->n == 0)
        return 0;
    int rc = read_all((const char *)file->p, &content, err);
    if (rc == 0)
        rc = check((const char *)file->p, err);
    if (rc == 0)
        rc = copy(h, buf_bytes(&content), name, err);
    if (rc < 0)
        return rc;
    if (asprintf(&path, "%s/sync/%s", h->path, name) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    buf_reset(file);
    buf_put(file, path, strlen(path) + 1);
    free(path);
    return buf_status(file) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}
