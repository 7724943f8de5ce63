#include "sync/cli/secretfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "proto/base/escape.h"

void secret_wipe(struct secret *s)
{
    sodium_memzero(s, sizeof *s);
}

/* Reads up to the end of the line; what follows does not matter. */
static int read_line(int fd, struct secret *s)
{
    const char *end = NULL;
    while (end == NULL) {
        size_t room = sizeof s->text - s->n;
        if (room == 0)
            return -EINVAL;
        ssize_t k = read(fd, s->text + s->n, room);
        if (k < 0 && errno != EINTR)
            return -errno;
        if (k == 0)
            break;
        if (k > 0) {
            end = memchr(s->text + s->n, '\n', (size_t)k);
            s->n += (size_t)k;
        }
    }
    s->n = end != NULL ? (size_t)(end - s->text) : s->n;
    if (s->n > 0 && s->text[s->n - 1] == '\r')
        s->n--;
    if (s->n == 0 || s->n > SECRET_MAX || memchr(s->text, 0, s->n) != NULL)
        return -EINVAL;
    sodium_memzero(s->text + s->n, sizeof s->text - s->n);
    return 0;
}

int secretfile_read(const char *path, struct secret *ret, struct err *err)
{
    char shown[200];
    secret_wipe(ret);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int rc = fd < 0 ? -errno : read_line(fd, ret);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        return 0;
    secret_wipe(ret);
    return err_set(err, rc, "%s: %s", escape_to(shown, sizeof shown, bytes_str(path)),
                   rc == -EINVAL ? "its first line is empty or too long" : strerror(-rc));
}
